/* SPDX-License-Identifier: Apache-2.0 */
/* `meshd explain --to`: what a workload's sidecar would do with a request, from a directory, offline, by the plan that the data
 * plane uses. */
#ifndef SOURCE_ROUTEASK_H
#define SOURCE_ROUTEASK_H

#include "base/buf.h"
#include "base/err.h"
#include "model/mesh.h"

struct routeask {
	const char *from;            /* "ns/name" of a WorkloadEntry or Pod */
	const char *to;              /* "host:port" or "address:port" */
	const char *method, *path;
	const char *const *headers;  /* "name: value"; host: in place of that of `to` */
	int n_headers;
};

/* 0, or negative with err: what is named does not exist, or the directory cannot be read. */
int routeask_run(const char *dir, const struct routeask *ask, const struct mesh_settings *base, struct buf *out, struct err *err);

#endif
