/* SPDX-License-Identifier: Apache-2.0 */
#include "modes/chain.h"

#include <stdlib.h>

#include "ext/extauthz.h"
#include "ext/rateshared.h"
#include "model/meshconfig.h"
#include "modes/hconn.h"
#include "modes/l7.h"
#include "policy/authz.h"
#include "policy/jwt_filter.h"
#include "policy/ratelimit.h"
#include "telemetry/filter.h"
#include "telemetry/peermeta.h"

/* Istio's order: istiod-made listeners have it so. Behind all is the router. */
static const struct filter_ops *const into_sidecar[] = {
	&telemetry_filter, &clean_filter, &mx_in_filter, &ext_authz_filter, &jwt_filter, &authz_filter, &ratelimit_filter, &rate_shared_filter,
	&route_filter, &answer_filter, NULL,
};
static const struct filter_ops *const out_of_sidecar[] = {
	&telemetry_filter, &clean_filter, &route_filter, &mx_out_filter, &fault_filter, &cors_filter, &answer_filter, NULL,
};
/* Who its peers are, the mesh tells a waypoint. */
static const struct filter_ops *const through_waypoint[] = {
	&telemetry_filter, &clean_filter, &ext_authz_filter, &jwt_filter, &authz_filter, &ratelimit_filter, &rate_shared_filter,
	&route_filter, &fault_filter, &cors_filter, &answer_filter, NULL,
};

static const void *conf_of(const struct chain *c, const struct filter_ops *ops, bool inbound)
{
	if (ops == &telemetry_filter)
		return teleconf_side(c->tele, inbound);
	if (ops == &clean_filter)
		return &c->clean[inbound];
	return ops == &mx_in_filter || ops == &mx_out_filter ? &c->mx : NULL;
}

static void compose(const struct chain *c, const struct mesh_config *mc, const struct filter_ops *const *ops, bool inbound, struct filter *v,
		    struct exchange_conf *ret)
{
	*ret = (struct exchange_conf){
		.filters = v, .router = &router, .path = hconn_path(mc), .replay_bytes = LIMIT_REPLAY_BYTES, .websocket_alone = true, .keep_underscores = true,
		.preserve_case = mc->proxy.headers.preserve_case == OPT_YES, .on_end = hconn_exchange_ended,
	};
	for (; *ops; ops++)
		if (c->tele || *ops != &telemetry_filter)
			v[ret->n_filters++] = (struct filter){ *ops, conf_of(c, *ops, inbound) };
}

static void introduce(struct chain *c, struct pod *pod, const struct mesh *m)
{
	struct ip any = { { 0 } };
	const struct workload *w;

	ip_parse(str_c("127.0.0.1"), &any);
	w = pod_local(pod, m, &any);
	if (!w)
		return;
	peermeta_node(w, mesh_settings(m)->cluster_domain, &c->mx_id);
	peermeta_header(w, &c->mx_value);
	c->mx = (struct mxfilter){ buf_str(&c->mx_id), buf_str(&c->mx_value), mesh_config(m)->proxy.headers.exchange == 1 };
}

struct chain *chain_get(struct pod *pod)
{
	struct chain **at = &pod->l7->chain, *c = *at;
	struct teleconf *tele = teleconf_current();
	const struct plan *plan = plan_current();
	const struct mesh *m = mesh_current();

	if (!plan)
		return NULL;
	if (!c || c->plan != plan || c->tele != tele || c->generation != mesh_generation(m)) {
		chain_unref(c);
		*at = c = xcalloc(1, sizeof(*c));
		c->refs = 1;
		c->plan = plan_ref(plan);
		c->tele = tele ? teleconf_ref(tele) : NULL;
		c->generation = mesh_generation(m);
		introduce(c, pod, m);
		for (int in = 0; in < 2; in++)
			clean_init(&c->clean[in], &mesh_config(m)->proxy.headers, mesh_settings(m)->mode, in);
		compose(c, mesh_config(m), l7_is_waypoint(pod) ? through_waypoint : into_sidecar, true, c->in, &c->inbound);
		compose(c, mesh_config(m), out_of_sidecar, false, c->out, &c->outbound);
	}
	c->refs++;
	return c;
}

void chain_unref(struct chain *c)
{
	if (!c || --c->refs)
		return;
	plan_unref(c->plan);
	teleconf_unref(c->tele);
	buf_done(&c->mx_id);
	buf_done(&c->mx_value);
	free(c);
}

struct env *env_new(struct pod *pod, struct chain *chain, struct workload *local, bool inbound)
{
	struct env *e = calloc(1, sizeof(*e));

	if (!e) {
		chain_unref(chain);
		return NULL;
	}
	e->refs = 1;
	e->chain = chain;
	e->local = workload_ref(local);
	e->router = (struct router_env){
		.pool = pod->l7->pool, .local = local, .identity = str_c(local->identity), .seed = &pod->worker->seed, .loop = pod->worker->loop,
		.owner = pod, .plan = chain->plan, .inbound = inbound, .keep_source = pod->worker->proxy->conf.spoof,
		.tell_caller = l7_is_waypoint(pod),
	};
	return e;
}

void env_unref(struct env *e)
{
	if (!e || --e->refs)
		return;
	chain_unref(e->chain);
	workload_unref(e->local);
	free(e);
}
