/* SPDX-License-Identifier: Apache-2.0 */
/* What policies say at a hop: the guard of the waypoint, policies by connection or by request, tokens, limits. */
#include <stdio.h>

#include "http/clean.h"
#include "http/xfcc.h"
#include "model/meshconfig.h"
#include "policy/jwt_filter.h"
#include "policy/scope.h"
#include "source/path_int.h"
#include "traffic/dest.h"
#include "traffic/guard.h"

/* --- what is in scope --- */

static void say_policies(struct path_walk *k, struct path_hop *h, const struct scope *s, const struct authz_input *in, const struct mesh *m)
{
	static const char *const parts[] = { [PART_QUIET] = "dry run", [PART_CUSTOM] = "CUSTOM", [PART_DENY] = "DENY", [PART_ALLOW] = "ALLOW" };
	struct subject who;

	subject_init(&who, in, mesh_settings(m));
	for (int part = 0; part < PARTS; part++) {
		scope_each(at, s)
			for (int i = at->start[part]; i < at->start[part + 1]; i++) {
				int rule = rulebook_judge(scope_book(at->policies[i], &who), &who);

				if (rule < 0)
					path_fact(k, h, "policy", "%s %s: no rule matches", parts[part], at->policies[i]->key);
				else
					path_fact(k, h, "policy", "%s %s: rule %d matches", parts[part], at->policies[i]->key, rule + 1);
			}
	}
}

static const char *whose(struct path_walk *k, const struct authz_verdict *v)
{
	if (v->policy && v->rule_index >= 0)
		return path_printf(k, "AuthorizationPolicy %s rule %d", v->policy->key, v->rule_index + 1);
	return v->policy ? path_printf(k, "AuthorizationPolicy %s: %s", v->policy->key, v->rule) : v->rule;
}

/* --- the waypoint that is named --- */

/* passed: the waypoint that was. */
static bool passes_by(struct path_walk *k, struct path_hop *h, const struct mesh *m, const struct path_wire *wire, const struct gateway *passed)
{
	char name[320];

	dest_gateway_name(passed, name);
	if (mesh_settings(m)->stance < STANCE_CLOSED) {
		path_fact(k, h, "bypass", "of the waypoint %s: allowed as in Istio, counted and listed", name);
		return true;
	}
	path_breaks(k, h, 10000, wire, PATH_REFUSE, FAIL_NOT_WAYPOINT, name);
	return false;
}

/* --- tokens --- */

static bool passes_jwt(struct path_walk *k, struct path_hop *h, struct exchange *x, const struct scope *s)
{
	enum jwt_status status;

	claims_unref(k->claims);
	k->claims = NULL;
	if (!s->n_authns)
		return true;
	for (int i = 0; i < s->n_authns; i++) {
		const struct request_authn *a = s->authns[i];

		if (!a->broken && a->compiled)
			continue;
		path_ends(k, h, 10000, PATH_DENY, fail_http(FAIL_UNSAFE_CONFIG)->status, fail_info(FAIL_UNSAFE_CONFIG)->name,
			  path_printf(k, "RequestAuthentication %s could not be loaded: %s", a->key, a->problem));
		return false;
	}
	status = jwt_ask(x, &k->claims);
	x->claims = k->claims;
	for (int i = 0; i < s->n_authns; i++)
		path_fact(k, h, "jwt", "RequestAuthentication %s: %s", s->authns[i]->key, status == JWT_OK ? "the token is good" : jwt_status_text(status));
	if (status == JWT_FETCH)
		path_fact(k, h, "jwt", "its keys are fetched where meshd runs; here the token is believed");
	if (status == JWT_OK || status == JWT_MISSED || status == JWT_FETCH)
		return true;
	path_ends(k, h, 10000, PATH_DENY, status == JWT_AUDIENCE ? 403 : 401, fail_info(FAIL_JWT)->name, path_printf(k, "RequestAuthentication %s: %s", s->authns[0]->key, jwt_status_text(status)));
	return false;
}

/* --- all of it --- */

static bool passes_custom(struct path_walk *k, struct path_hop *h, const struct mesh *m, const struct workload *w, const struct authz_input *in)
{
	struct authz_asked asked;

	switch (authz_custom(m, w, in, &asked)) {
	case CUSTOM_NONE:
		return true;
	case CUSTOM_ASK:
		path_fact(k, h, "custom", "AuthorizationPolicy %s rule %d asks %s, who may refuse", asked.policy->key, asked.rule_index + 1, asked.provider->name);
		return true;
	case CUSTOM_REFUSE:
		break;
	}
	path_ends(k, h, 10000, PATH_DENY, AUTHZ_STATUS, fail_info(FAIL_EXT_DENIED)->name,
		  path_printf(k, "AuthorizationPolicy %s rule %d: its provider cannot be asked", asked.policy->key, asked.rule_index + 1));
	return false;
}

static void say_limits(struct path_walk *k, struct path_hop *h, const struct scope *s)
{
	for (int i = 0; i < s->n_limits; i++)
		path_fact(k, h, "limit", "RateLimit %s%s", s->limits[i]->key, *s->limits[i]->shared.service ? ", asks its service" : "");
}

static bool judge_request(struct path_walk *k, struct path_hop *h, const struct mesh *m, const struct workload *w, const struct scope *s,
			  struct exchange *x, struct path_wire *wire)
{
	struct authz_request req;
	struct authz_verdict v;
	struct authz_input in;

	authz_input_of(x, &req, &in);
	if (!passes_custom(k, h, m, w, &in) || !passes_jwt(k, h, x, s))
		return false;
	authz_input_of(x, &req, &in);
	say_policies(k, h, s, &in, m);
	v = authz_judge(m, w, &in, NULL, NULL);
	path_fact(k, h, "judged", "%s: %s", v.allowed ? "allowed" : "denied", whose(k, &v));
	if (!v.allowed)
		path_ends(k, h, 10000, PATH_DENY, AUTHZ_STATUS, fail_info(FAIL_DENIED)->name, whose(k, &v));
	say_limits(k, h, s);
	path_exchange_keep(k, x, wire);
	return v.allowed;
}

static bool judge_bytes(struct path_walk *k, struct path_hop *h, const struct mesh *m, const struct workload *w, const struct scope *s,
			const struct authz_input *in, const struct path_wire *wire)
{
	struct authz_verdict v = authz_judge(m, w, in, NULL, NULL);

	say_policies(k, h, s, in, m);
	path_fact(k, h, "judged", "%s: %s", v.allowed ? "allowed" : "denied", whose(k, &v));
	if (!v.allowed)
		path_breaks(k, h, 10000, wire, PATH_DENY, FAIL_DENIED, whose(k, &v));
	say_limits(k, h, s);
	return v.allowed;
}

void path_clean(const struct mesh *m, struct exchange *x)
{
	struct clean conf;

	clean_init(&conf, &mesh_config(m)->proxy.headers, mesh_settings(m)->mode, x->client->inbound);
	clean_filter.on_request(x, NULL, &conf);
}

/* As a connection looks at its peer: who it is, and what of its words counts. */
static bool meet(struct path_walk *k, struct path_hop *h, const struct mesh *m, const struct path_wire *wire, struct exchange_client *c, struct authz_input *in)
{
	const struct gateway *passed = NULL;
	enum guard guard = guard_ask(m, c->local_workload, wire->to.port, c->peer_id, &passed);
	bool as_caller, tunnelled = wire->how == CARRIED_HBONE && *wire->caller;

	c->vouched = guard == GUARD_MET;
	c->bypasses = guard == GUARD_BYPASSED;
	c->hearsay = c->vouched || (wire->how == CARRIED_ISTIO_MTLS && !c->bypasses);
	if (c->vouched && tunnelled) {
		c->caller_id = str_c(wire->caller);
		c->caller = (struct addr){ wire->caller_addr.ip, 1 };
	}
	as_caller = c->vouched && mesh_settings(m)->through_waypoints;
	*in = (struct authz_input){
		.source = as_caller && c->caller.port ? c->caller : c->peer, .dest = c->local, .principal = as_caller && c->caller_id.n ? c->caller_id : c->peer_id,
		.sni = c->sni, .service = c->target,
	};
	return !c->bypasses || passes_by(k, h, m, wire, passed);
}

bool path_judge(struct path_walk *k, struct path_hop *h, const struct mesh *m, const struct workload *w, const struct service *service,
		struct path_wire *wire, bool requests)
{
	const struct scope *s = scope_of(m, w, service);
	struct exchange_client client = {
		.peer = wire->source, .local = wire->to, .peer_id = str_c(wire->principal), .sni = str_c(wire->sni), .inbound = true, .mtls = *wire->principal != 0,
		.local_workload = (struct workload *)w, .target = (struct service *)service,
	};
	struct buf xfcc = { 0 };
	struct authz_verdict peer;
	struct authz_input in;
	struct exchange x;
	bool ok;

	if (!s || !meet(k, h, m, wire, &client, &in))
		return false;
	if (!requests)
		return judge_bytes(k, h, m, w, s, &in, wire);
	peer = authz_judge_peer(m, w, &in);
	if (!peer.allowed) {
		path_breaks(k, h, 10000, wire, PATH_DENY, FAIL_DENIED, whose(k, &peer));
		return false;
	}
	if (client.mtls)
		xfcc_format(str_c(w->identity), client.peer_id, &xfcc);
	client.xfcc = buf_str(&xfcc);
	path_exchange(wire, &client, &x);
	path_clean(m, &x);
	if (x.caller_id.n)
		path_fact(k, h, "caller", "%.*s, says its waypoint", STR_FMT(x.caller_id));
	ok = judge_request(k, h, m, w, s, &x, wire);
	arena_done(&x.arena);
	buf_done(&xfcc);
	return ok;
}
