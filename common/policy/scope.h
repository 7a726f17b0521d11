/* SPDX-License-Identifier: Apache-2.0 */
/* Which security objects reach a workload; at a waypoint: those that are bound to its Gateways, to the class of all waypoints, and to the service
 * that was asked for. Found once per policy generation, workload (and service that has objects of its own) and thread, then remembered. */
#ifndef POLICY_SCOPE_H
#define POLICY_SCOPE_H

#include "policy/ruleindex.h"

enum scope_part {
	PART_QUIET,                          /* dry runs and AUDIT */
	PART_CUSTOM,                         /* by provider */
	PART_DENY, PART_ALLOW,
	PARTS,
};

/* What authz_compile makes of a policy. */
struct policy_books {
	struct rulebook *bytes, *requests;   /* of a policy that is not whole: one and the same */
};

struct scope_index {
	struct ruleindex deny, allow;
};

struct scope {
	uint64_t generation;
	struct workload *workload;           /* reference held, so that its address means no other */
	struct service *service;             /* the same */
	struct policy *broken;               /* the first by key that could not be loaded; NULL: none */
	struct policy **policies;            /* borrowed from the mesh; by part, then by key */
	int n, cap, start[PARTS + 1];
	bool many_providers;                 /* CUSTOM policies name several */
	struct scope_index *bytes, *requests;        /* made when first wanted */
	struct peer_authn *levels[3];        /* workload, namespace, mesh: the oldest of each; NULL: none */
	struct request_authn **authns;       /* borrowed; root namespace first, then by key */
	struct rate_limit **limits;
	int n_authns, n_limits, authns_cap, limits_cap;
	/* Of a waypoint: */
	struct scope *all;                   /* of a service: the policies that hold for all services hold beside its own, and so does `broken`;
	                                      * authns and limits here are all that hold. NULL: none */
	bool plain;                          /* of a service: nothing is bound to it itself */
	uint64_t gates, looked;              /* hash of the Gateways that lead to the workload, and the mesh's generation that was asked */
};

/* Good until the thread's next call. NULL when memory is out. service: at a waypoint, what was asked for; else NULL. */
struct scope *scope_of(const struct mesh *m, const struct workload *w, const struct service *service);
/* The index for what `who` is. NULL when memory is out. */
const struct scope_index *scope_index(struct scope *s, const struct subject *who);
const struct rulebook *scope_book(const struct policy *p, const struct subject *who);
/* Over a scope and what holds beside it. */
#define scope_each(at, s) for (struct scope *at = (struct scope *)(s); at; at = at->all)
struct policy *scope_broken(const struct scope *s);          /* the first by key; NULL: none */
bool scope_has(const struct scope *s, enum scope_part part);
/* The PeerAuthentication that decides for this port of the workload, and its mode there. NULL: none does, MTLS_PERMISSIVE.
 * When it is broken the mode means nothing. */
struct peer_authn *scope_peer_authn(const struct scope *s, uint16_t port, enum mtls_mode *ret_mode);

#endif
