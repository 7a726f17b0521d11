/* SPDX-License-Identifier: Apache-2.0 */
/* LOCAL_XDS_PATH and LOCAL_XDS: the mesh, or a part of it, from ztunnel's local configuration. */
#include <errno.h>

#include "base/log.h"
#include "source/local_xds.h"
#include "src/serve_int.h"

#define RELOAD_QUIET_MS 50

int serve_local_reload(struct serve *s, struct err *err)
{
	uint64_t generation = mesh_generation(mesh_current()), policies = mesh_policy_generation(mesh_current());
	int r = s->local ? local_xds_load(s->local, err) : 0;

	if (r == 0 && mesh_generation(mesh_current()) != generation)
		serve_plane_changed(s, mesh_policy_generation(mesh_current()) != policies);
	return r;
}

static void on_file(void *arg)
{
	struct err err;

	if (serve_local_reload(arg, &err) < 0)
		log_error(LOG_SOURCE, "the local configuration was not reloaded; the last good state stays: %s", err.msg);
}

int serve_local_load(struct serve *s, struct err *err)
{
	int r = 0;

	if (!s->set.local_xds_path && !s->set.local_xds)
		return 0;
	s->local = local_xds_new(s->set.local_xds_path, s->set.local_xds);
	/* Watched before it is read: no change falls between. */
	if (s->set.local_xds_path) {
		s->watch = watch_new(s->loop, RELOAD_QUIET_MS, on_file, s, err);
		r = s->watch ? watch_add_file(s->watch, s->set.local_xds_path, err) : -EIO;
	}
	return r < 0 ? r : serve_local_reload(s, err);
}

void serve_local_stop(struct serve *s)
{
	local_xds_free(s->local);
}
