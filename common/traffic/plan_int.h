/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRAFFIC_PLAN_INT_H
#define TRAFFIC_PLAN_INT_H

#include <stdatomic.h>

#include "base/arena.h"
#include "base/map.h"
#include "model/resource.h"
#include "traffic/plan.h"

/* A headless service is called by its endpoints' addresses, which no plan knows. */
struct plan_headless { const char *key; uint16_t port; const struct outbound_port *at; };

/* The ports of a service that a waypoint serves. */
struct plan_served { const struct inbound_port *v; int n; };

struct plan_list { void **v; int n, cap; };  /* owned things of one kind */
void plan_own(struct plan_list *l, void *item);

struct l4_list { struct l4_route *v; int n, cap; };

struct plan {
	atomic_uint refs;
	struct arena mem;                    /* all that has no owner below */
	uint64_t generation;                 /* mesh_traffic_generation that it was made of */
	uint64_t own;                        /* hash of the workload's part in services */
	struct map clusters;                 /* by name; a reference on each */
	struct map by_addr;                  /* struct addr -> outbound_port */
	struct map by_port;                  /* uint16_t -> outbound_port of any address */
	struct outbound_port *outbound;
	int n_outbound;
	struct plan_headless *headless;
	int n_headless;
	struct inbound_port *inbound;        /* sorted by port; the first is that of all others */
	int n_inbound;
	struct map served;                   /* of a waypoint: a service's key -> its struct plan_served of `inbound` */
	bool waypoint;                       /* then inbound's first is that of workloads, the others are by service and port */
	struct cluster *unknown;
	struct plan_list tables, regexes, formats, held;
};

/* Hash of which services lead to the workload and to which ports of it. */
uint64_t plan_own_hash(const struct mesh *m, const struct workload *w);

#endif
