/* SPDX-License-Identifier: Apache-2.0 */
#include "model/meshconfig.h"

const struct mesh_config *mesh_config(const struct mesh *m)
{
	static const struct mesh_config defaults = {
		.r = { .origin = "", .key = "", .ns = "", .name = "", .where = "", .created = INT64_MAX },
		.outbound = SCOPE_ALLOW_ANY, .auto_mtls = true, .connect_timeout_ms = 10000,
		.h2_upgrade = DR_H2_DO_NOT_UPGRADE,
		.tele = { .access_log_file = "", .access_log_format = "", .enable_tracing = true },
		.proxy = { .headers = { .server_value = "" }, .mesh_id = "" },
	};
	const struct resource *r = mesh_resource(m, RESOURCE_MESH_CONFIG, str_c("MeshConfig//"));

	return r ? (const struct mesh_config *)r : &defaults;
}
