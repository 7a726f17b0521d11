/* SPDX-License-Identifier: Apache-2.0 */
/* One try after the other. */
#include "traffic/router_int.h"

#include <errno.h>

#include "traffic/dest_int.h"

void routing_let_go(struct routing *r, bool avoid)
{
	upool_cancel(&r->wait);
	r->conn = NULL;
	if (r->requesting)
		cluster_give(r->cluster, LIMIT_OF_REQUESTS);
	r->requesting = r->sent = false;
	if (!r->picked)
		return;
	r->picked = false;
	host_ended(r->cluster, r->pick.host);
	if (avoid && r->n_tried < TRIED_MAX)
		r->tried[r->n_tried++] = host_ref(r->pick.host);
	pick_done(&r->pick);
}

/* ---- the end of a try ---- */

/* "upstream_reset_before_response_started{remote_connection_failure|Connection_refused}" */
static const char *details_of(struct exchange *x, const struct fail_http *f, const char *detail)
{
	size_t n = strlen(f->details);
	struct str s;

	if (!*detail || !n || f->details[n - 1] != '}')
		return NULL;
	s = exchange_printf(x, "%.*s|%s}", (int)n - 1, f->details, detail);
	for (char *p = (char *)s.p; *p; p++)
		if (*p == ' ')
			*p = '_';
	return s.p;
}

/* What the transport said is for logs: the client is told no more than Envoy's tells it. */
static struct str text_of(struct exchange *x, const struct fail_http *f, bool retried)
{
	static const char mark[] = "reset reason: ";
	const char *at = strstr(f->text, mark);

	if (!at || !retried)
		return str_c(f->text);
	return exchange_printf(x, "%.*sretried and the latest %s", (int)(at - f->text), f->text, at);
}

void routing_fail(struct routing *r, enum fail why, const char *detail)
{
	static const struct http_field overloaded = { { "x-envoy-overloaded", 18 }, { "true", 4 } };
	const struct fail_http *f = fail_http(why);
	struct exchange *x = r->x;

	exchange_reply(x, why, 0, details_of(x, f, detail), text_of(x, f, x->log.attempts > 1), &overloaded, why == FAIL_OVERFLOW);
}

bool routing_again(struct routing *r, const struct try_result *res, bool closed)
{
	struct exchange *x = r->x;
	uint64_t *seed = r->env->seed;
	bool wanted = retry_wanted(&r->retry, res), held = r->retrying;

	r->retrying = false;
	if (held)
		cluster_give(r->cluster, LIMIT_OF_RETRIES);
	if (!exchange_may_replay(x))
		return false;
	if (!r->repeated && retry_unasked(x->request.method, res, r->reused, closed)) {
		r->repeated = true;
		routing_let_go(r, false);       /* nothing is wrong with the host */
		timer_start(&r->backoff, 0);
		r->fresh = true;
		return true;
	}
	if (!wanted || !r->retry.attempts)
		return false;
	if (r->retries >= r->retry.attempts) {
		x->log.retry_limit = true;
		return false;
	}
	r->retries++;
	if (!cluster_take(r->cluster, LIMIT_OF_RETRIES))
		return false;
	r->retrying = true;
	routing_let_go(r, true);
	timer_start(&r->backoff, retry_backoff_ms(&r->retry, r->retries, dest_random_below(seed, UINT64_MAX)));
	return true;
}

static void try_failed(struct routing *r, enum try_end end, enum fail why, const char *detail)
{
	struct try_result res = { .end = end, .sent = r->sent, .grpc_status = -1 };

	if (*detail)
		r->x->log.upstream_failure = exchange_printf(r->x, "%s", detail).p;
	if (!routing_again(r, &res, false))
		routing_fail(r, why, detail);
}

/* ---- its beginning ---- */

static bool wants_h2(const struct routing *r)
{
	const struct cluster_conf *c = cluster_conf(r->cluster);

	switch (c->pool.h2) {
	case H2_ALWAYS:
		return c->http2 || !r->x->request.upgrade.n;    /* what was asked to switch protocols stays HTTP/1 where it may */
	case H2_AS_CLIENT:
		return r->x->version == HTTP_2;
	default:
		return c->http2;
	}
}

static struct connect_ask ask_of(const struct routing *r)
{
	const struct exchange *x = r->x;
	const struct tls_conf *tls = &cluster_conf(r->cluster)->tls;
	struct connect_ask ask = { .http = true, .h2 = wants_h2(r), .identity = r->env->identity, .original = x->client->local, .x = x };

	if (r->pick.transport != TRANSPORT_PLAIN && (tls->mode == TLS_SIMPLE || tls->mode == TLS_MUTUAL) && !(tls->sni && *tls->sni))
		ask.sni = r->name ? str_c(cluster_conf(r->name)->hosts[0]) : upool_sni(x->request.authority);
	/* One name among many is what a waypoint is asked for. */
	if (r->pick.transport == TRANSPORT_WAYPOINT && strstr(cluster_conf(r->cluster)->service, "/*"))
		ask.sni = r->name ? str_c(cluster_conf(r->name)->hosts[0]) : upool_sni(x->request.authority);
	if (r->env->tell_caller && r->pick.transport == TRANSPORT_HBONE)
		ask.caller = x->client->peer_id;
	if (r->env->keep_source || ask.caller.n)
		ask.source = x->client->caller.port ? x->client->caller : x->client->peer;
	if (cluster_conf(r->cluster)->pool.proxy_protocol)
		ask.client = x->client->peer;
	return ask;
}

static void send_on(struct routing *r, struct uconn *c)
{
	struct exchange *x = r->x;
	int error;

	if (!cluster_take(r->cluster, LIMIT_OF_REQUESTS)) {
		try_failed(r, TRY_OVERFLOW, FAIL_OVERFLOW, "");
		return;
	}
	r->requesting = true;
	r->reused = c->uses > 0;
	r->h2 = c->entry->h2;
	r->conn = c;
	x->log.upstream = c->peer;
	x->log.upstream_local = c->local;
	x->log.upstream_version = r->h2 ? HTTP_2 : HTTP_1_1;
	x->log.upstream_peer_id = c->peer_id ? exchange_dup(x, str_c(c->peer_id)) : (struct str){ 0 };
	uconn_begin(c);
	error = exchange_send(x, c->http) ? 0 : errno;
	uconn_sent(c, error);
	if (!error) {
		r->sent = true;
		routing_time_try(r);
	} else if (error == EINVAL) {
		routing_fail(r, FAIL_UPSTREAM_PROTOCOL, "");
	} else {
		try_failed(r, TRY_NO_CONNECTION, error == ENOMEM ? FAIL_MEMORY : FAIL_UPSTREAM_CLOSED, "");
	}
}

static void on_conn(struct uwait *w, struct uconn *c, enum fail why, const char *detail)
{
	struct routing *r = container_of(w, struct routing, wait);

	if (c) {
		send_on(r, c);
		return;
	}
	pick_connected(r->cluster, &r->pick, why, loop_now_ms(r->env->loop));
	if (why == FAIL_CONNECT && *detail)      /* in Envoy's words */
		detail = exchange_printf(r->x, "delayed connect error: %s", detail).p;
	try_failed(r, TRY_NO_CONNECTION, why, detail);
}

static bool pick(struct routing *r)
{
	struct pick_ask ask = {
		.m = mesh_current(), .client = r->env->local, .original = r->x->client->local, .hash = r->hash, .hashed = r->hashed,
		.tried = r->tried, .n_tried = r->retry.previous_hosts ? r->n_tried : 0, .avoid_tried_localities = r->retry.remote_localities,
		.seed = r->env->seed, .now_ms = loop_now_ms(r->env->loop),
	};
	struct exchange_log *log = &r->x->log;

	if (!cluster_pick(r->cluster, &ask, &r->pick)) {
		routing_fail(r, r->pick.why, "");
		return false;
	}
	r->picked = true;
	host_started(r->cluster, r->pick.host);
	workload_unref(log->upstream_workload);
	log->upstream_workload = r->pick.workload ? workload_ref(r->pick.workload) : NULL;
	log->upstream = r->pick.addr;
	return true;
}

void routing_try(struct routing *r)
{
	struct exchange *x = r->x;
	struct connect_ask ask;
	struct uconn *c;
	enum upool_want want = r->fresh ? UPOOL_NEW : retry_idempotent(x->request.method) && exchange_may_replay(x) ? UPOOL_ANY : UPOOL_SURE;

	if (!pick(r))
		return;
	x->log.attempts += !r->fresh;
	r->fresh = false;
	if (x->log.attempts > 1 && fields_get(&x->request_fields, "x-envoy-attempt-count").p)
		fields_set(&x->request_fields, "x-envoy-attempt-count", exchange_number(x, x->log.attempts));
	r->wait.on_conn = on_conn;
	r->wait.switches = x->request.upgrade.n;
	ask = ask_of(r);
	switch (upool_take(r->env->pool, r->cluster, &r->pick, &ask, want, &r->wait, &c)) {
	case UPOOL_READY:
		send_on(r, c);
		break;
	case UPOOL_OVERFLOW:
		try_failed(r, TRY_OVERFLOW, FAIL_OVERFLOW, "");
		break;
	case UPOOL_WAIT:
		break;
	}
}
