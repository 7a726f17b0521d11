/* SPDX-License-Identifier: Apache-2.0 */
#include "modes/side.h"

#include <stdlib.h>

#include "base/tuning.h"
#include "hbone/hserve.h"
#include "modes/mx.h"
#include "modes/l7.h"

static struct side *side_of(struct conn *c)
{
	return container_of(c, struct side, conn);
}

static void give_back(struct side *s)
{
	if (s->picked)
		l4_ended(s->cluster, &s->pick);
	s->picked = false;
}

void side_handshake_over(struct side *s)
{
	if (s->handshaking)
		atomic_fetch_sub_explicit(&s->conn.pod->shared->n_handshakes, 1, memory_order_relaxed);
	s->handshaking = false;
}

static void on_patience(struct timer *t)
{
	struct side *s = container_of(t, struct side, patience);

	if (!s->bytes)
		side_fail(s, FAIL_BAD_REQUEST, "the client's first message did not end in time");
}

static void side_free(struct conn *c)
{
	struct side *s = side_of(c);

	l4_cancel(s->trying);
	give_back(s);
	timer_stop(&s->patience);
	side_handshake_over(s);
	sniff_done(&s->sniff);
	buf_done(&s->early);
	service_unref(s->target);
	free(s->asked);
	env_unref(s->env);
	free(s);
}

/* ---- the destination ---- */

static void start_pump(struct side *s)
{
	struct iovec iov = { buf_data(&s->early), buf_len(&s->early) };

	if (iov.iov_len)
		stage_write(s->conn.pump.up, &iov, 1);
	buf_done(&s->early);
	if (s->client_eof)
		stage_shut(s->conn.pump.up);
	s->conn.pump.down_eof = s->client_eof;
	s->conn.life_ms = cluster_conf(s->cluster)->pool.max_connection_ms;
	s->conn.idle_ms = s->route ? s->route->idle_ms : s->in && s->in->port ? cluster_conf(s->cluster)->pool.idle_ms : LIMIT_TCP_IDLE_MS;
	conn_pump(&s->conn);
}

static void open_flow(struct side *s)
{
	struct flow *f = &s->conn.flow;

	if (f->proxy && s->sniff.hello.sni[0])
		flow_set(&f->proxy->sni, str_c(s->sniff.hello.sni));
	if (f->proxy && f->service)
		flow_set(&f->proxy->service, str_c(f->service->key));
	if (!f->opened && s->conn.local)
		flow_open(s->conn.pod->worker->metrics, f);
}

/* The server spoke, or ended, before the client said what it wants: that is no HTTP. */
static void on_server_first(struct stage *up, enum stage_event ev, const struct iovec *iov, int n)
{
	struct side *s = up->arg;

	if (ev == STAGE_CLOSED) {
		side_fail(s, up->fail, "");
		return;
	}
	if (ev != STAGE_DATA && ev != STAGE_EOF)
		return;
	side_bytes(s, s->cluster);
	if (!s->conn.ended)
		stage_emit(up, ev, iov, n);
}

void side_on_peer(void *arg, const struct peer *peer)
{
	struct side *s = arg;

	if (!s->conn.ended)
		flow_peer(&s->conn.flow, peer);
}

static void note_up(struct side *s, struct stage *up)
{
	struct connector *c = &s->conn.pod->l7->upstream.connector;
	struct flow *f = &s->conn.flow;

	if (f->proxy) {
		f->proxy->local = s->to;
		f->proxy->upstream = s->pick.addr;
		c->local(c, up, &f->proxy->upstream_local);
	}
	if (s->in && l7_is_waypoint(s->conn.pod))
		flow_server(f, s->pick.workload);
	if (s->in)
		return;                /* who was asked for stays the destination */
	f->dest = s->pick.addr.port ? s->pick.addr : s->to;
	workload_unref(f->dest_workload);
	f->dest_workload = s->pick.workload ? workload_ref(s->pick.workload) : NULL;
	f->mtls = s->pick.transport == TRANSPORT_ISTIO_MTLS || s->pick.transport == TRANSPORT_HBONE || s->pick.transport == TRANSPORT_WAYPOINT;
	if (s->pick.transport == TRANSPORT_WAYPOINT) {
		f->hbone = s->pick.target;
		flow_set(&f->hbone_host, str_c(ip_is_any(&f->hbone.ip) && f->service ? f->service->hostname : ""));
	}
	flow_set(&f->dest_id, c->peer_id(c, up));
	flow_set(&f->source_id, str_c(f->mtls ? s->conn.local->identity : ""));
	mx_on_peer(up, side_on_peer, s);
}

static void on_dialled(void *arg, struct stage *up, const struct pick *p, enum fail why, const char *detail)
{
	struct side *s = arg;

	s->trying = NULL;
	if (!up) {
		if (!s->conn.ended)
			side_fail(s, why, detail);
		return;
	}
	s->pick = *p;
	s->picked = true;
	s->conn.pump.up = up;
	if (s->conn.ended) {
		s->conn.pump.up = NULL;
		stage_done(up, FAIL_DRAIN);
		return;
	}
	note_up(s, up);
	if (s->bytes) {
		side_bytes(s, s->cluster);
		return;
	}
	up->on_event = on_server_first;
	up->arg = s;
	stage_want(up, true);
}

static void dial(struct side *s, struct cluster *to)
{
	const struct connect_ask ask = {
		.sni = str_c(s->sniff.hello.sni), .identity = s->env->router.identity, .original = s->to, .client = s->conn.flow.source,
		.source = s->in && !s->env->router.keep_source && !s->env->router.tell_caller ? (struct addr){ .port = 0 } : *conn_client(&s->conn),
		.caller = str_c(s->env->router.tell_caller ? s->conn.flow.source_id : NULL),
	};

	s->cluster = to;
	if (s->conn.flow.proxy)
		flow_set(&s->conn.flow.proxy->cluster, str_c(cluster_conf(to)->name));
	s->trying = l4_connect(&s->env->router, to, &ask, on_dialled, s);
	if (!s->trying)
		side_fail(s, FAIL_MEMORY, NULL);
}

void side_drop_dial(struct side *s)
{
	struct stage *up = s->conn.pump.up;

	if (s->trying || up)
		l7_note_unused();
	l4_cancel(s->trying);
	s->trying = NULL;
	s->conn.pump.up = NULL;
	stage_done(up, FAIL_NONE);
	give_back(s);
	s->cluster = NULL;
}

/* ---- the client ---- */

/* A probe of the port, or a connection that was opened ahead. */
static bool is_silent(const struct side *s)
{
	return !s->bytes && sniff_bytes(&s->sniff) == 0;
}

static void on_client(struct stage *down, enum stage_event ev, const struct iovec *iov, int n)
{
	struct side *s = down->arg;
	enum sniff_kind kind;

	switch (ev) {
	case STAGE_DATA:
		if (s->bytes) {
			if (buf_append_iov(&s->early, iov, n, 0) < 0)
				side_fail(s, FAIL_MEMORY, NULL);
			s->conn.pump.bytes_up += iov_len(iov, n);
			if (buf_len(&s->early) >= LIMIT_EARLY_BYTES)
				stage_want(down, false);
			break;
		}
		kind = sniff_take(&s->sniff, iov, n);
		if (kind == SNIFF_MORE) {
			if (!timer_armed(&s->patience))
				timer_start(&s->patience, LIMIT_HANDSHAKE_MS);
			break;
		}
		timer_stop(&s->patience);
		if (kind == SNIFF_MEMORY)
			side_fail(s, FAIL_MEMORY, NULL);
		else
			s->decide(s, kind);
		break;
	case STAGE_EOF:
		s->client_eof = true;
		if (is_silent(s) && !s->trying && !s->conn.pump.up)
			side_leave(s, FAIL_NONE);
		else if (!s->bytes)
			s->decide(s, SNIFF_OTHER);
		break;
	case STAGE_CLOSED:
		if (is_silent(s))
			side_leave(s, FAIL_CLIENT_RESET);
		else
			side_fail(s, FAIL_CLIENT_RESET, NULL);
		break;
	default:
		break;
	}
}

static void accept_tunnel(struct side *s)
{
	struct http_stream *tunnel = s->tunnel;
	struct buf baggage = { 0 };

	s->tunnel = NULL;
	if (!tunnel)
		return;
	if (tuning.baggage)
		conn_baggage(s->conn.local, &baggage);
	hserve_accept(tunnel, buf_str(&baggage));
	buf_done(&baggage);
}

void side_listen(struct side *s, struct cluster *to)
{
	struct stage *down = s->conn.pump.down;

	accept_tunnel(s);
	down->on_event = on_client;
	down->arg = s;
	stage_want(down, true);
	if (to)
		dial(s, to);
}

bool side_judge(struct side *s)
{
	struct http_stream *tunnel = s->tunnel;
	struct stage *down = s->conn.pump.down;

	if (tunnel)
		s->conn.pump.down = NULL;    /* so that a denial does not reset what still gets its status */
	if (conn_judge(&s->conn, FAIL_DENIED)) {
		s->conn.pump.down = down;
		return true;
	}
	s->tunnel = NULL;
	if (tunnel)
		hserve_refuse(tunnel, fail_info(FAIL_DENIED)->status);
	return false;
}

void side_leave(struct side *s, enum fail why)
{
	struct stage *down = s->conn.pump.down;

	side_drop_dial(s);
	s->conn.pump.down = NULL;
	stage_done(down, why);
	conn_leave(&s->conn);
	pod_uncount(s->conn.pod);
}

void side_bytes(struct side *s, struct cluster *to)
{
	struct stage *down = s->conn.pump.down, *up;

	if (!s->bytes) {
		s->bytes = true;
		down->on_event = on_client;
		down->arg = s;
		if (s->in && !side_judge(s))
			return;
		if (s->cluster && s->cluster != to)
			side_drop_dial(s);
		open_flow(s);
	}
	up = s->conn.pump.up;
	if (!up && !s->trying)
		dial(s, to);
	if (s->conn.ended)
		return;
	if (up) {
		accept_tunnel(s);
		start_pump(s);
	} else if (!s->tunnel) {
		stage_want(down, true);
	}
	sniff_hand_on(&s->sniff, down);
}

void side_http(struct side *s, enum http_codec codec, const struct hconn_from *from)
{
	struct stage *down = s->conn.pump.down;
	bool eof = s->client_eof;

	side_drop_dial(s);
	accept_tunnel(s);
	s->conn.pump.down = NULL;
	conn_leave(&s->conn);
	if (!hconn_start(s->conn.pod, down, codec, s->conn.local, from))
		return;
	sniff_hand_on(&s->sniff, down);
	if (eof)
		stage_emit(down, STAGE_EOF, NULL, 0);
}

void side_fail(struct side *s, enum fail why, const char *detail)
{
	if (s->conn.ended)
		return;
	if (s->tunnel) {
		/* The stage is hserve's to end, with the status. */
		hserve_refuse(s->tunnel, fail_info(why)->status ? fail_info(why)->status : 503);
		s->tunnel = NULL;
		s->conn.pump.down = NULL;
	}
	open_flow(s);
	conn_end(&s->conn, why, detail);
}

/* ---- where bytes go ---- */

struct cluster *side_target(struct side *s, const struct l4_route *v, int n, const char *sni, enum fail *why)
{
	struct pworker *w = s->conn.pod->worker;
	const struct l4_route *r = l4_route_find(v, n, &s->to.ip, sni);
	uint64_t at;

	*why = r ? FAIL_NO_CLUSTER : FAIL_NO_ROUTE;
	if (!r)
		return NULL;
	w->seed = w->seed * 6364136223846793005u + 1442695040888963407u;
	s->route = r;
	at = r->weight_sum ? (w->seed >> 33) % r->weight_sum : 0;
	for (int k = 0; k < r->n_targets; k++) {
		if (at < r->targets[k].weight || r->weight_sum == 0)
			return r->targets[k].cluster;
		at -= r->targets[k].weight;
	}
	return NULL;
}

/* ---- start ---- */

struct side *side_new(struct pod *pod, struct stage *down, enum flow_direction direction, struct workload *local, struct chain *chain)
{
	struct side *s = down && chain ? calloc(1, sizeof(*s)) : NULL;

	if (!s) {
		chain_unref(chain);
		pod_uncount(pod);
		stage_done(down, FAIL_MEMORY);
		return NULL;
	}
	s->env = env_new(pod, chain, local, direction == FLOW_INBOUND);
	if (!s->env) {
		free(s);
		pod_uncount(pod);
		stage_done(down, FAIL_MEMORY);
		return NULL;
	}
	conn_init(&s->conn, pod, direction, local, side_free);
	timer_init(&s->patience, pod->worker->loop, on_patience);
	if (s->env->chain->tele)
		flow_set_proxy(&s->conn.flow, s->env->chain->tele);
	s->conn.pump.down = down;
	return s;
}
