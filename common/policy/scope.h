/* SPDX-License-Identifier: Apache-2.0 */
/* Which security objects reach a workload. Found once per policy generation, workload and thread, then remembered. */
#ifndef POLICY_SCOPE_H
#define POLICY_SCOPE_H

#include "policy/rulebook.h"

struct scope_policy {
	struct policy *policy;               /* borrowed from the mesh */
	const struct rulebook *rules;
	struct rule_keys keys;               /* a copy: most policies are passed by without a look at them */
};

struct scope {
	uint64_t generation;
	struct workload *workload;           /* reference held, so that its address means no other */
	struct policy *broken;               /* the first by key that could not be loaded; NULL: none */
	struct scope_policy *policies;       /* dry-run ones, then DENY, then ALLOW; each part by key */
	int n, n_dry_run, n_deny;
	struct peer_authn *levels[3];        /* workload, namespace, mesh: the oldest of each; NULL: none */
};

/* Good until the thread's next call. NULL when memory is out. */
const struct scope *scope_of(const struct mesh *m, const struct workload *w);
/* Of policy i: the first rule that matches, or -1. */
int scope_judge(const struct scope *s, int i, const struct subject *who);
/* The PeerAuthentication that decides for this port of the workload, and its mode there. NULL: none does, MTLS_PERMISSIVE.
 * When it is broken the mode means nothing. */
struct peer_authn *scope_peer_authn(const struct scope *s, uint16_t port, enum mtls_mode *ret_mode);

#endif
