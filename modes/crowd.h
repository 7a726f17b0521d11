/* SPDX-License-Identifier: Apache-2.0 */
/* The replicas of a waypoint, as one of them sees them. A client in ztunnel mode chooses a replica for each connection of an application,
 * which may live for hours; so when replicas come, the connections that are older are asked to come again, each at a moment of its
 * own, and the next choice is among all. What carries bytes stays where it is. */
#ifndef MODES_CROWD_H
#define MODES_CROWD_H

#include "model/mesh.h"

struct crowd {
	uint64_t generation;         /* of the mesh that was looked at last; 0: none */
	char *service;               /* owned; the key of the one that we are an endpoint of; NULL: not found */
	int n;                       /* healthy replicas; 0: not known */
	uint64_t grew_ms;            /* 0: never */
};

/* After a change of the mesh: how many there are now. w: ourselves. */
void crowd_look(struct crowd *c, const struct mesh *m, const struct workload *w, uint64_t now_ms);
/* Whether a connection that was opened then has to leave. dice: any number, the same each time for one connection. */
bool crowd_leaves(const struct crowd *c, uint64_t opened_ms, uint64_t dice, uint64_t now_ms);
void crowd_done(struct crowd *c);

#endif
