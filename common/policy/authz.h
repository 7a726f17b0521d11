/* SPDX-License-Identifier: Apache-2.0 */
/* Authorization: AuthorizationPolicy and PeerAuthentication of one workload, compiled. Policies mean what they mean to the proxy
 * that Istio would have in this place: ztunnel, or a sidecar, which sees bytes or requests. */
#ifndef POLICY_AUTHZ_H
#define POLICY_AUTHZ_H

#include "base/addr.h"
#include "base/buf.h"
#include "http/exchange.h"
#include "model/mesh.h"
#include "telemetry/refusal.h"

/* What is known of a request. Filled by authz_request_of; all is borrowed. */
struct authz_request {
	struct str method, authority;
	struct str path;             /* normalised, with its query */
	const struct http_field *fields;
	int n_fields;
	const struct claims *claims; /* of its token; NULL: none */
};

/* What is known of a connection when it is judged. */
struct authz_input {
	struct addr source;          /* the TCP peer */
	struct addr dest;            /* the final target: application address and port */
	struct str principal;        /* the peer's SPIFFE ID with or without "spiffe://"; empty: not authenticated */
	struct str sni;
	const struct service *service;         /* at a waypoint: what was asked for; NULL: a workload itself */
	const struct authz_request *request;   /* NULL: bytes */
};

struct authz_verdict {
	bool allowed;
	struct policy *policy;       /* the one that decided, borrowed from the mesh; NULL: nothing matched, or PeerAuthentication */
	const char *rule;            /* lives as long as the mesh: "deny policy matched", "no allow policy matched", "mTLS is required (PeerAuthentication ns/name)" … */
	int rule_index;              /* of the policy's rules that matched; -1: none */
	enum refusal cause;          /* for counts; when it is not allowed */
};

/* What decides nothing: AUDIT policies that match, each; and the dry runs in scope, those of an action taken together. */
struct authz_quiet {
	enum policy_action action;
	struct policy *policy;       /* the first by key that matches; of dry runs NULL: none does */
	int rule_index;
};

/* Makes p->compiled, before p is put into a mesh. 0 or -ENOMEM. A policy without it counts as broken. */
int authz_compile(struct policy *p);

/* dest: made by workload_new; what reaches it is remembered, per thread, with a reference to it.
 * Order: a broken security object in scope refuses; STRICT mTLS; any enforced DENY that matches; no enforced ALLOW in scope: allowed;
 * any ALLOW that matches: allowed; else denied. Dry-run policies and AUDIT decide nothing: on_quiet (may be NULL) hears of them. CUSTOM is asked for apart; but
 * bytes that it covers are refused, since no provider is asked about bytes (Istio asks those of gRPC). */
struct authz_verdict authz_judge(const struct mesh *m, const struct workload *dest, const struct authz_input *in,
				 void (*on_quiet)(const struct authz_quiet *q, const struct authz_input *in, void *arg), void *arg);
/* An on_quiet: tells the log, and counts (telemetry/shadow.h). arg is not looked at. */
void authz_note_quiet(const struct authz_quiet *q, const struct authz_input *in, void *arg);
/* The beginning of it alone, for connections whose requests are judged one by one: broken objects and STRICT mTLS. */
struct authz_verdict authz_judge_peer(const struct mesh *m, const struct workload *dest, const struct authz_input *in);
/* Writes what would have allowed it, for `meshd why`: a few lines of text. */
void authz_explain(const struct mesh *m, const struct workload *dest, const struct authz_input *in, struct buf *out);

/* CUSTOM policies that match. Istio asks before it looks at tokens, so that rules about claims do not match. */
enum authz_custom {
	CUSTOM_NONE,                 /* none matches */
	CUSTOM_ASK,                  /* ret->provider must be asked */
	CUSTOM_REFUSE,               /* it cannot be asked: refuse with AUTHZ_STATUS and ret->details */
};
struct authz_asked {
	const struct ext_provider *provider;   /* of mesh_settings */
	struct policy *policy;
	int rule_index;
	char details[512];           /* response code details of a refusal */
};
enum authz_custom authz_custom(const struct mesh *m, const struct workload *dest, const struct authz_input *in, struct authz_asked *ret);

/* A sidecar's view of an exchange. Who asks is the peer, as in Istio; where waypoints are used, whom the own waypoint speaks for. ret borrows from x and req. */
void authz_input_of(const struct exchange *x, struct authz_request *req, struct authz_input *ret);
/* "ns[NS]-policy[P]-rule[N]", as Envoy names it. Returns out. */
const char *authz_policy_id(const struct authz_verdict *v, char *out, size_t n);
/* "rbac_access_denied_matched_policy[ns[NS]-policy[P]-rule[N]]", or "…[none]"; as Envoy's. Returns out. */
const char *authz_details(const struct authz_verdict *v, char *out, size_t n);

#define AUTHZ_STATUS 403
#define AUTHZ_TEXT   "RBAC: access denied"

/* Judges the requests of a sidecar by x->client->local_workload. conf: unused. */
extern const struct filter_ops authz_filter;

#endif
