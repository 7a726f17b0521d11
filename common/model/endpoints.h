/* SPDX-License-Identifier: Apache-2.0 */
/* The endpoints of a service: a set by workload uid, in chunks that its versions share, so that one change in a service
 * with ten thousand endpoints copies about a hundred. What is in a mesh is never changed; any thread may read it. */
#ifndef MODEL_ENDPOINTS_H
#define MODEL_ENDPOINTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct workload;

struct endpoint_port {
	uint16_t port, target;               /* of the service; at the workload */
};

struct endpoint {
	struct workload *workload;           /* reference held */
	const struct endpoint_port *ports;   /* overrides of the service's targets */
	int n_ports;
	uint32_t hash;                       /* of the uid; the set's own */
};

struct endpoint_slot {
	struct endpoint_chunk *chunk;        /* reference held; NULL: empty */
	int before;                          /* endpoints in the slots before this one */
	uint32_t max_weight;                 /* of the chunk's */
};

struct endpoints {
	atomic_uint refs;
	int n;
	uint32_t max_weight;                 /* of the workloads; at least 1 */
	uint32_t n_slots;                    /* a power of two */
	struct endpoint_slot slots[];
};

/* --- readers --- */
const struct endpoint *endpoints_at(const struct endpoints *e, int i);                /* 0 ≤ i < n, in no order */
const struct endpoint *endpoints_find(const struct endpoints *e, struct str uid);     /* NULL: not there */
uint16_t endpoint_target(const struct endpoint *e, uint16_t port);                    /* its override; 0: none */

/* --- writers --- */
struct endpoints *endpoints_new(void);                       /* empty */
/* Of an array, in whose order up to a hundred of them stay. References and copies are taken. */
struct endpoints *endpoints_of(const struct endpoint *v, int n);
struct endpoints *endpoints_ref(struct endpoints *e);
void endpoints_unref(struct endpoints *e);                   /* NULL is allowed; any thread */
/* These make *e a new version, for the one reference that the caller holds; what only he can see is changed in place.
 * put takes its own references and copies, and replaces the endpoint with the same uid. del: false when it is not there. */
void endpoints_put(struct endpoints **e, struct workload *w, const struct endpoint_port *ports, int n_ports);
bool endpoints_del(struct endpoints **e, struct str uid);

#endif
