/* SPDX-License-Identifier: Apache-2.0 */
/* A directory of configuration: its files, what they hold, and what of it is in the mesh. Control thread.
 *
 * Read are *.yaml, *.yml and *.json in the directory and below it, in the order of their paths; hidden files and folders are
 * passed over, symbolic links followed (Kubernetes' ..data too, through the links that point into it). mesh.yaml at the top
 * is MeshConfig. Watching is the caller's (io/watch.h): on a change it calls confdir_load again, which reads only files
 * whose inode, size or times changed. */
#ifndef SOURCE_CONFDIR_H
#define SOURCE_CONFDIR_H

#include "base/arena.h"
#include "base/err.h"
#include "model/mesh.h"
#include "source/report.h"

struct confdir;

/* base: settings before mesh.yaml is read; its strings must outlive the directory. */
struct confdir *confdir_new(const char *dir, const struct mesh_settings *base);

/* Reads what changed and publishes the differences as one new generation of the mesh (none when nothing differs).
 * Returns 0, or -errno with err when a file or folder cannot be read or parsed, or mesh.yaml is wrong at the first load: then
 * nothing changes. Bad objects are no error here: see the findings. New errors and warnings are logged. */
int confdir_load(struct confdir *c, struct err *err);
/* As confdir_load, without touching the mesh: for `meshd analyze`. */
int confdir_check(struct confdir *c, struct err *err);

const struct mesh_settings *confdir_settings(const struct confdir *c);   /* base until the first load */
/* All present findings in the order of files and lines; free() the list. With those that held back the last load. */
const struct finding **confdir_findings(const struct confdir *c, size_t *n);
size_t confdir_count(const struct confdir *c, enum finding_level level);
size_t confdir_objects(const struct confdir *c);                         /* that are in effect */
/* "file:line" of a Service (core) or ServiceEntry, in mem; "" when it is not there. */
const char *confdir_where(const struct confdir *c, bool core, const char *ns, const char *name, struct arena *mem);
uint64_t confdir_loads(const struct confdir *c);                         /* that succeeded */
const char *confdir_held_back(const struct confdir *c);                  /* why the last load failed; "" when it did not */
/* A JSON object: directory, loads, heldBack, objects, findings[] {level, file, line, kind, namespace, name, path, message}. */
void confdir_dump(const struct confdir *c, struct buf *out);
void confdir_withdraw(struct confdir *c);     /* what it has put into the mesh goes out of it: before another directory, or this one in another mode */
void confdir_free(struct confdir *c);

#endif
