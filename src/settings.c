/* SPDX-License-Identifier: Apache-2.0 */
#include "src/settings.h"

#include <errno.h>
#include <stdlib.h>

#include "base/limits.h"

bool env_is_true(const char *name)
{
	const char *v = getenv(name);

	return v && (strcmp(v, "true") == 0 || strcmp(v, "1") == 0);
}

bool env_is_false(const char *name)
{
	const char *v = getenv(name);

	return v && (strcmp(v, "false") == 0 || strcmp(v, "0") == 0);
}

int settings_read(struct mesh_settings *ret, struct err *err)
{
	const char *stance = getenv("MESHD_ENFORCEMENT"), *network = getenv("NETWORK"), *cluster = getenv("CLUSTER_ID");

	if (stance && strcmp(stance, "istio") != 0 && strcmp(stance, "strict") != 0)
		return err_set(err, -EINVAL, "MESHD_ENFORCEMENT: want istio or strict (closed comes with waypoints), got '%s'", stance);
	*ret = (struct mesh_settings){
		.trust_domain = "cluster.local", .root_ns = "istio-system", .cluster_domain = "cluster.local",
		.network = network ? network : "", .cluster = cluster ? cluster : "Kubernetes",
		.connect_timeout_ms = LIMIT_CONNECT_MS, .strict = stance && strcmp(stance, "strict") == 0,
	};
	return 0;
}
