/* SPDX-License-Identifier: Apache-2.0 */
/* What requests pass on their way through a sidecar or a waypoint, in Istio's order: the filters, the router, and the plan that they read. One for
 * each worker and configuration; connections and their exchanges hold references, so that a change meets the next request. */
#ifndef MODES_CHAIN_H
#define MODES_CHAIN_H

#include "http/clean.h"
#include "modes/mxfilter.h"
#include "modes/pod.h"
#include "telemetry/teleconf.h"
#include "traffic/plan.h"
#include "traffic/router.h"

#define CHAIN_FILTERS 12

struct chain {
	unsigned refs;                       /* one thread's */
	struct plan *plan;                   /* reference */
	struct teleconf *tele;               /* reference; NULL: none yet */
	uint64_t generation;                 /* of the mesh whose settings are in it */
	struct exchange_conf inbound, outbound;
	struct filter in[CHAIN_FILTERS], out[CHAIN_FILTERS];
	struct buf mx_id, mx_value;          /* what we say of ourselves */
	struct mxfilter mx;
	struct clean clean[2];               /* of requests out, in */
};

/* A reference on the present one; NULL: there is no plan yet. */
struct chain *chain_get(struct pod *pod);
void chain_unref(struct chain *c);           /* NULL ok */

/* What the exchanges of one connection under one chain have in common: their x->arg. */
struct env {
	struct router_env router;            /* first */
	unsigned refs;
	struct chain *chain;                 /* reference */
	struct workload *local;              /* reference */
};

/* Takes over the reference on chain. */
struct env *env_new(struct pod *pod, struct chain *chain, struct workload *local, bool inbound);
void env_unref(struct env *e);               /* NULL ok */

#endif
