/* SPDX-License-Identifier: Apache-2.0 */
/* What the command line asks of configuration offline: `meshd analyze`, `meshd explain FIELD`, and meshd-config(7). */
#ifndef SOURCE_ANALYZE_H
#define SOURCE_ANALYZE_H

#include "base/buf.h"
#include "model/mesh.h"

#define ANALYZE_FOUND 79     /* exit status when there are errors, as istioctl's */

/* Loads dir with the engine of --config-dir and writes what it found, one finding a line, then a summary. Returns the exit
 * status: 0, or ANALYZE_FOUND. */
int analyze_dir(const char *dir, const struct mesh_settings *base, struct buf *out);

/* "ServiceEntry", "ServiceEntry.spec.ports.number", "WorkloadEntry.metadata.labels": kind, type, default, bounds, meaning.
 * 0, or -ENOENT with what is there instead. */
int explain_field(const char *path, struct buf *out);

/* The roff source of meshd-config(7). */
void fields_man(struct buf *out);

#endif
