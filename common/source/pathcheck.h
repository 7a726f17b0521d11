/* SPDX-License-Identifier: Apache-2.0 */
/* Paths through a mixed mesh that cannot be made right, for `meshd analyze`: policies that nobody on the way evaluates or that are gone
 * around, routes that nobody applies, waypoints that are not there. One finding for each object, with what to do. */
#ifndef SOURCE_PATHCHECK_H
#define SOURCE_PATHCHECK_H

#include "base/arena.h"
#include "source/confdir.h"

/* What the directory, which is loaded into the mesh, has of them as the mesh's mode reads it; a whole answer takes all modes. Objects of
 * which that mode's own reader has told are left out when it is the one that was asked for. Findings point into mem. */
void pathcheck(const struct mesh *m, const struct confdir *c, enum mesh_mode asked, struct arena *mem, struct report *ret);

/* Whether there are sidecars or waypoints: then what says nothing to ztunnel is not without effect. */
bool pathcheck_mixed(const struct mesh *m);

#endif
