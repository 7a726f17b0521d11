/* SPDX-License-Identifier: Apache-2.0 */
#include "modes/hconn.h"

#include <stdlib.h>

#include "base/log.h"
#include "modes/binds.h"
#include "modes/l7.h"
#include "traffic/guard.h"

static struct hconn *hconn_of(const struct exchange *x)
{
	return container_of(x->client, struct hconn, client);
}

enum http_path hconn_path(const struct mesh_config *mc)
{
	switch (mc->path_normalization) {
	case PATHS_NONE:
		return HTTP_PATH_NONE;
	case PATHS_MERGE_SLASHES:
		return HTTP_PATH_MERGE_SLASHES;
	case PATHS_DECODE_AND_MERGE_SLASHES:
		return HTTP_PATH_DECODE_AND_MERGE_SLASHES;
	default:
		return HTTP_PATH_BASE;
	}
}

/* ---- end ---- */

static void bury(struct deferred *d)
{
	struct hconn *h = container_of(d, struct hconn, grave);
	struct pod_shared *s = h->pod->shared;

	env_unref(h->env);
	workload_unref(h->peer);
	service_unref(h->target);
	free(h->texts);
	free(h);
	pod_unref(s);
}

/* Its exchanges look at it until they ended. */
static void maybe_free(struct hconn *h)
{
	struct pod *pod = h->pod;

	if (h->http || h->exchanges || h->gone)
		return;
	h->gone = true;
	list_del(&h->link);
	atomic_fetch_sub_explicit(&pod->worker->n_conns, 1, memory_order_relaxed);
	pod_uncount(pod);
	h->grave.run = bury;
	loop_bury(pod->worker->loop, &h->grave);
}

void hconn_exchange_ended(struct exchange *x, void *arg)
{
	struct hconn *h = hconn_of(x);

	env_unref(container_of(arg, struct env, router));
	h->exchanges--;
	maybe_free(h);
}

static void on_closed(struct http_conn *c, enum fail why, const char *detail, void *arg)
{
	struct hconn *h = arg;

	if (detail && *detail) {
		char text[ADDR_TEXT];

		log_debug(LOG_IO, "HTTP connection of %s: %s", addr_format(&h->client.peer, text), detail);
	}
	h->http = NULL;
	maybe_free(h);
}

void hconn_close(struct hconn *h, enum fail why)
{
	struct http_conn *c = h->http;

	h->exchanges++;
	h->http = NULL;
	if (c)
		http_conn_close(c, why);
	h->exchanges--;
	maybe_free(h);
}

void hconn_drain(struct hconn *h)
{
	if (h->http)
		http_conn_drain(h->http);
}

void hconn_judge(struct hconn *h)
{
	const struct mesh *m = mesh_current();
	struct workload *now = mesh_workload(m, str_c(h->env->local->uid));
	bool closed = mesh_settings(m)->stance >= STANCE_CLOSED;
	struct authz_input in = { .source = h->client.peer, .dest = h->client.local, .principal = h->client.peer_id, .sni = h->client.sni,
				  .service = h->target };

	if (!h->client.inbound || !h->http)
		return;
	if (now && closed && guard_bypassed(m, now, h->client.local.port, h->client.peer_id))
		hconn_close(h, FAIL_NOT_WAYPOINT);
	else if (!now || !authz_judge_peer(m, now, &in).allowed)
		hconn_close(h, now ? FAIL_POLICY_CHANGE : FAIL_NO_WORKLOAD);
}

/* ---- requests ---- */

const struct inbound_port *hconn_port(const struct hconn *h, const struct plan *p)
{
	switch (h->place) {
	case HCONN_BOUND:
		return binds_inbound(p, &h->at);
	case HCONN_SERVED:
		return plan_served(p, h->client.service, h->at.port);
	case HCONN_DIRECT:
		return plan_direct(p);
	default:
		return plan_inbound(p, h->at.port);
	}
}

static const struct route_table *routes_of(const struct plan *p, const struct hconn *h)
{
	const struct outbound_port *out;
	const struct inbound_port *in;

	if (h->client.inbound) {
		in = hconn_port(h, p);
		return in ? in->http : NULL;
	}
	out = h->place == HCONN_BOUND ? binds_outbound(p, &h->at) : plan_outbound(p, &h->at);
	return out ? out->http : NULL;
}

/* Exchanges that live look at it, too: one object of the service is as good as another. */
static void renew_target(struct hconn *h)
{
	struct service *now = h->target ? mesh_service(mesh_current(), str_c(h->target->key)) : NULL;

	if (!now || now == h->target)
		return;
	service_unref(h->target);
	h->client.target = h->target = service_ref(now);
}

/* Whether what the peer says of others is believed. */
static void renew_trust(struct hconn *h)
{
	const struct mesh *m = mesh_current();
	struct workload *w = mesh_workload(m, str_c(h->env->local->uid));
	struct exchange_client *c = &h->client;
	enum guard guard;

	if (!c->inbound || h->looked == mesh_generation(m))
		return;
	h->looked = mesh_generation(m);
	guard = w ? guard_ask(m, w, c->local.port, c->peer_id, NULL) : GUARD_NONE;
	c->vouched = guard == GUARD_MET;
	c->bypasses = guard == GUARD_BYPASSED && mesh_settings(m)->through_waypoints;    /* else gateways and sidecars do as Istio's */
	c->hearsay = c->vouched || (h->istio_http && !c->bypasses);
	c->caller_id = c->vouched ? h->said_id : (struct str){ NULL, 0 };
	c->caller = c->vouched ? h->said_from : (struct addr){ .port = 0 };
}

/* The present configuration's, unless that has no HTTP there any more: then this connection ends after what it has begun. */
static void renew(struct hconn *h)
{
	struct chain *now = chain_get(h->pod);
	const struct route_table *routes = now && now != h->env->chain ? routes_of(now->plan, h) : NULL;
	struct workload *local = mesh_workload(mesh_current(), str_c(h->env->local->uid));
	struct env *env;

	if (!now || now == h->env->chain) {
		chain_unref(now);
		return;
	}
	if (!routes || !local) {
		chain_unref(now);
		hconn_drain(h);
		return;
	}
	env = env_new(h->pod, now, local, h->client.inbound);
	if (!env)
		return;
	env->router.routes = routes;
	env_unref(h->env);
	h->env = env;
	renew_target(h);
}

/* For logs: an exchange's is as good as the plan that it holds. */
static struct str cluster_of(const struct hconn *h)
{
	const struct inbound_port *in = h->client.inbound ? hconn_port(h, h->env->chain->plan) : NULL;

	return in && in->to ? str_c(cluster_conf(in->to)->name) : (struct str){ 0 };
}

/* One more exchange, of the present configuration. */
static const struct exchange_conf *begin(struct hconn *h)
{
	renew(h);
	renew_trust(h);
	h->client.local_workload = h->env->local;
	h->client.local_id = h->client.mtls ? str_c(h->env->local->identity) : (struct str){ 0 };
	h->client.cluster = cluster_of(h);
	h->env->refs++;
	h->exchanges++;
	return h->client.inbound ? &h->env->chain->inbound : &h->env->chain->outbound;
}

static void unbegin(struct hconn *h)
{
	env_unref(h->env);
	h->exchanges--;
}

static void on_refused(struct http_conn *c, int status, const char *why, void *arg)
{
	struct hconn *h = arg;
	const struct exchange_conf *conf = begin(h);

	if (!exchange_refused(c, status, why, conf, &h->client, &h->env->router))
		unbegin(h);
}

/* With a request under way nobody loses one that is on its way. */
static void maybe_leave(struct hconn *h)
{
	struct crowd *crowd = &h->pod->l7->crowd;
	uint64_t now_ms = loop_now_ms(h->pod->worker->loop);

	crowd_look(crowd, mesh_current(), h->env->local, now_ms);
	if (crowd_leaves(crowd, h->opened_ms, hash_bytes(&h, sizeof(h)), now_ms))
		hconn_drain(h);
}

static void on_request(struct http_conn *c, struct http_stream *s, void *arg)
{
	struct hconn *h = arg;
	const struct exchange_conf *conf = begin(h);

	if (l7_is_waypoint(h->pod))
		maybe_leave(h);
	if (!exchange_start(s, http_conn_version(c), conf, &h->client, &h->env->router))
		unbegin(h);
}

static const struct http_conn_ops ops = { .on_request = on_request, .on_refused = on_refused, .on_closed = on_closed };

/* ---- start ---- */

static struct str keep(char **at, struct str s)
{
	struct str kept = { *at, s.n };

	if (s.n)
		memcpy(*at, s.p, s.n);
	*at += s.n;
	return kept;
}

/* Texts in one block; false: no memory. */
static bool copy(struct hconn *h, const struct hconn_from *from)
{
	char *at = h->texts = malloc(from->peer_id.n + from->sni.n + from->xfcc.n + from->asked.n + from->service.n + from->said_id.n + 1);

	if (!at)
		return false;
	h->client = (struct exchange_client){
		.peer = from->peer, .local = from->local, .mtls = from->mtls, .inbound = from->inbound,
		.peer_id = keep(&at, from->peer_id), .sni = keep(&at, from->sni), .xfcc = keep(&at, from->xfcc),
		.asked = keep(&at, from->asked), .service = keep(&at, from->service), .peer_workload = h->peer,
		.target = h->target,
	};
	h->said_id = keep(&at, from->said_id);
	h->said_from = from->said_from;
	h->istio_http = from->istio_http;
	h->at = from->at ? *from->at : from->local;
	return true;
}

static struct hconn *hconn_new(struct pod *pod, struct workload *local, const struct hconn_from *from)
{
	struct hconn *h = calloc(1, sizeof(*h));
	const struct mesh *m = mesh_current();
	struct chain *chain = chain_get(pod);
	struct workload *peer = from->inbound ? mesh_workload_by_ip(m, str_c(mesh_settings(m)->network), &from->peer.ip) : NULL;

	if (!h || !chain) {
		chain_unref(chain);
		free(h);
		return NULL;
	}
	h->pod = pod;
	h->peer = peer ? workload_ref(peer) : NULL;
	h->place = from->place;
	h->target = from->target ? service_ref(from->target) : NULL;
	h->env = env_new(pod, chain, local, from->inbound);
	if (!h->env || !copy(h, from)) {
		env_unref(h->env);
		workload_unref(h->peer);
		service_unref(h->target);
		free(h);
		return NULL;
	}
	h->env->router.routes = routes_of(chain->plan, h);
	h->opened_ms = loop_now_ms(pod->worker->loop);
	pod_ref(pod->shared);
	list_add_tail(&pod->l7->https, &h->link);
	atomic_fetch_add_explicit(&pod->worker->n_conns, 1, memory_order_relaxed);
	return h;
}

bool hconn_start(struct pod *pod, struct stage *below, enum http_codec codec, struct workload *local, const struct hconn_from *from)
{
	struct hconn *h = hconn_new(pod, local, from);

	if (!h) {
		stage_done(below, FAIL_MEMORY);
		pod_uncount(pod);
		return false;
	}
	h->http = http_conn_server(below, codec, &pod->l7->http, &ops, h);
	if (!h->http) {
		maybe_free(h);
		return false;
	}
	if (from->inbound && pod->draining)
		http_conn_drain(h->http);
	return true;
}
