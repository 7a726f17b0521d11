/* SPDX-License-Identifier: Apache-2.0 */
/* L4 authorization as ztunnel judges it: AuthorizationPolicy and PeerAuthentication of one workload, compiled. */
#ifndef POLICY_AUTHZ_H
#define POLICY_AUTHZ_H

#include "base/addr.h"
#include "base/buf.h"
#include "model/mesh.h"

/* What is known of a connection when it is judged. */
struct authz_input {
	struct addr source;          /* the TCP peer */
	struct addr dest;            /* the final target: application address and port */
	struct str principal;        /* the peer's SPIFFE ID with or without "spiffe://"; empty: not authenticated */
};

struct authz_verdict {
	bool allowed;
	struct policy *policy;       /* the one that decided, borrowed from the mesh; NULL: nothing matched, or PeerAuthentication */
	const char *rule;            /* lives as long as the mesh: "deny policy matched", "no allow policy matched", "mTLS is required (PeerAuthentication ns/name)" … */
	int rule_index;              /* of the policy's rules that matched; -1: none */
};

/* Makes p->compiled, before p is put into a mesh. 0 or -ENOMEM. A policy without it counts as broken. */
int authz_compile(struct policy *p);

/* dest: made by workload_new; what reaches it is remembered, per thread, with a reference to it.
 * Order: a broken security object in scope refuses; STRICT mTLS; any enforced DENY that matches; no enforced ALLOW in scope: allowed;
 * any ALLOW that matches: allowed; else denied. Dry-run policies decide nothing: those that match are reported to
 * on_dry_run (may be NULL). */
struct authz_verdict authz_judge(const struct mesh *m, const struct workload *dest, const struct authz_input *in,
				 void (*on_dry_run)(struct policy *p, const struct authz_input *in, void *arg), void *arg);
/* Writes what would have allowed it, for `meshd why`: a few lines of text. */
void authz_explain(const struct mesh *m, const struct workload *dest, const struct authz_input *in, struct buf *out);

#endif
