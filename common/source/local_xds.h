/* SPDX-License-Identifier: Apache-2.0 */
/* ztunnel's own local configuration (LOCAL_XDS_PATH, LOCAL_XDS), as it is: YAML with `workloads`, `services` and `policies`,
 * string matches as tags (!Exact a) or as maps ({Exact: a}). Unlike ztunnel's it may be loaded again. Two things differ:
 * an empty trustDomain is the mesh's and an empty serviceAccount is "default", and workloads are their services' endpoints on
 * the inbound side, too. Control thread. */
#ifndef SOURCE_LOCAL_XDS_H
#define SOURCE_LOCAL_XDS_H

#include "base/err.h"
#include "model/mesh.h"

struct local_xds;

/* One of the two; copied. */
struct local_xds *local_xds_new(const char *path, const char *text);
/* Reads it and publishes what differs as one generation of the mesh (none when nothing does). 0, or -errno with
 * "FILE:LINE: object: field: why"; then nothing changes. Watching the file (io/watch.h) is the caller's. */
int local_xds_load(struct local_xds *l, struct err *err);
void local_xds_free(struct local_xds *l);    /* the mesh keeps its objects; NULL is allowed */

#endif
