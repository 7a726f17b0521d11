/* SPDX-License-Identifier: Apache-2.0 */
/* Captured outgoing connections: destination choice, tunnel or plain connection, other endpoints while nothing moved. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "dns/nametable.h"
#include "base/tuning.h"
#include "io/sock.h"
#include "modes/conn.h"
#include "modes/demand.h"
#include "modes/mx.h"
#include "net/origdst.h"
#include "net/socks.h"
#include "telemetry/meters.h"
#include "telemetry/peermeta.h"
#include "telemetry/span.h"
#include "tls/tls.h"
#include "traffic/dest.h"

/* What matters only until the destination answered. */
struct attempt {
	struct dest_tried tried;      /* references */
	struct workload *chosen;      /* reference; NULL for passthrough */
	struct waiter waiter;         /* for a certificate */
	struct outbound *of;
	struct resolve *question;     /* for the address of tried.known; owned */
	struct buf early;             /* what the client sent; kept for another try */
	enum fail last_fail;          /* of the endpoint tried before */
	char *last_detail;            /* owned */
	struct socks *socks;          /* owned; the client has yet to say where to, or to hear how it went; NULL: it was captured */
	struct timer patience;        /* for that word */
	bool asked;                   /* it has said where to */
	bool client_eof;
	bool untold;                  /* it waits for the control plane to say what the destination is */
};

struct outbound {
	struct conn conn;
	struct attempt *a;            /* owned; NULL once the pump runs */
	bool tunnel, across;
	bool istio;                   /* Istio's mutual TLS, to a sidecar */
};

static void try_next(struct outbound *o);

static struct outbound *outbound_of(struct conn *c)
{
	return container_of(c, struct outbound, conn);
}

static void attempt_free(struct attempt *a)
{
	if (!a)
		return;
	list_del(&a->waiter.link);
	resolve_cancel(a->question);
	workload_unref((struct workload *)a->tried.known);
	timer_stop(&a->patience);
	free(a->socks);
	workload_unref(a->chosen);
	for (int i = 0; i < a->tried.n; i++)
		workload_unref((struct workload *)a->tried.workload[i]);
	buf_done(&a->early);
	free(a->last_detail);
	free(a);
}

static void outbound_free(struct conn *c)
{
	struct outbound *o = outbound_of(c);

	attempt_free(o->a);
	free(o);
}

static enum socks_code socks_code_of(enum fail why)
{
	switch (why) {
	case FAIL_CONNECT:
		return SOCKS_REFUSED;
	case FAIL_CONNECT_TIMEOUT:
	case FAIL_NETWORK_POLICY:
	case FAIL_NO_ENDPOINT:
	case FAIL_NO_WAYPOINT:
	case FAIL_NO_GATEWAY:
	case FAIL_RESOLVE:
		return SOCKS_NO_HOST;
	case FAIL_DENIED:
	case FAIL_DENIED_BY_PEER:
	case FAIL_LOOP:
	case FAIL_UNREGISTERED:
		return SOCKS_FORBIDDEN;
	default:
		return SOCKS_FAILED;
	}
}

static void socks_write(struct stage *s, const uint8_t *p, size_t n)
{
	struct iovec iov = { (void *)p, n };

	if (n)
		stage_write(s, &iov, 1);
}

/* A refusal is told before the connection ends, and so it ends in order. */
static void socks_refuse(struct outbound *o, const uint8_t *reply, size_t n)
{
	struct stage *down = o->conn.pump.down;

	o->conn.pump.down = NULL;
	socks_write(down, reply, n);
	stage_done(down, FAIL_NONE);
}

static void fail(struct outbound *o, enum fail why, const char *detail)
{
	uint8_t reply[SOCKS_REPLY_MAX];

	if (o->conn.ended)
		return;
	if (o->a && o->a->socks && why != FAIL_CLIENT_RESET)
		socks_refuse(o, reply, socks_reply(socks_code_of(why), reply));
	if (!o->conn.flow.opened && o->conn.local)
		flow_open(o->conn.pod->worker->metrics, &o->conn.flow);
	conn_end(&o->conn, why, detail);
}

static void fail_identity(struct outbound *o)
{
	struct err err = { 0 };

	identity_state(o->conn.pod->worker->proxy->identity, str_c(o->conn.local->identity), &err);
	fail(o, FAIL_IDENTITY, err.msg);
}

static void on_socks(struct outbound *o, const struct iovec *iov, int n);
static void on_patience(struct timer *t);

/* ---- the client's side before the destination is there ---- */

/* For the destination that is not there yet, and for another one after it. */
static bool keep_early(struct outbound *o, const struct iovec *iov, int n)
{
	if (buf_append_iov(&o->a->early, iov, n, 0) < 0) {
		fail(o, FAIL_MEMORY, NULL);
		return false;
	}
	o->conn.pump.bytes_up += iov_len(iov, n);
	if (buf_len(&o->a->early) >= LIMIT_EARLY_BYTES)
		stage_want(o->conn.pump.down, false);
	return true;
}

static void on_client(struct stage *s, enum stage_event ev, const struct iovec *iov, int n)
{
	struct outbound *o = s->arg;
	struct stage *up = o->conn.pump.up;

	switch (ev) {
	case STAGE_DATA:
		if (o->a->socks && !o->a->asked) {
			on_socks(o, iov, n);
			break;
		}
		if (!keep_early(o, iov, n))
			return;
		if (up)
			stage_write(up, iov, n);
		break;
	case STAGE_EOF:
		o->a->client_eof = true;
		if (o->a->socks && !o->a->asked)
			fail(o, FAIL_BAD_REQUEST, "the client closed the connection before it said where to");
		else if (up)
			stage_shut(up);
		break;
	case STAGE_CLOSED:
		fail(o, FAIL_CLIENT_RESET, NULL);
		break;
	default:
		break;
	}
}

/* ---- the destination's side ---- */

/* The chosen next hop failed, and why. */
static void note_tried(struct outbound *o, const struct workload *w, enum fail why, const char *detail)
{
	o->a->last_fail = why;
	free(o->a->last_detail);
	o->a->last_detail = xstrdup(detail);
	if (w && o->a->tried.n < (int)ARRAY_LEN(o->a->tried.workload))
		o->a->tried.workload[o->a->tried.n++] = workload_ref((struct workload *)w);
}

/* Behind a gateway it is unknown who failed, unless the gateway was not even reached. */
static bool is_hop_bad(const struct outbound *o, enum fail why)
{
	if (why == FAIL_DENIED_BY_PEER || why == FAIL_OVERLOAD || why == FAIL_MEMORY || why == FAIL_DRAIN)
		return false;
	return !o->across || why == FAIL_CONNECT || why == FAIL_CONNECT_TIMEOUT || why == FAIL_NETWORK_POLICY;
}

static bool may_retry(const struct outbound *o, const struct stage *up)
{
	if (o->a->tried.n >= LIMIT_CONNECT_TRIES || !o->a->chosen)
		return false;
	if (!o->tunnel)
		return true;   /* a connect that failed moved nothing */
	return hpool_may_retry(up) && up->fail != FAIL_DENIED_BY_PEER && hpool_status(up) != 400;
}

static void on_up_failed(struct outbound *o, struct stage *up)
{
	enum fail why = up->fail;
	bool retry = may_retry(o, up);
	const char *detail = o->tunnel ? hpool_error(up) : o->istio ? tls_error(mx_below(up)) : sock_errno(up) ? strerror(sock_errno(up)) : "";

	note_tried(o, NULL, why, detail);
	o->conn.pump.up = NULL;
	stage_done(up, why);
	if (o->a->chosen && is_hop_bad(o, why))
		dest_failed(o->a->chosen, loop_now_ms(o->conn.pod->worker->loop));
	if (retry) {
		char text[ADDR_TEXT];

		log_debug(LOG_HBONE, "%s via %s: %s; trying another endpoint", addr_format(&o->conn.meant, text), o->a->chosen->name, fail_info(why)->reason);
		try_next(o);
		return;
	}
	fail(o, why, o->a->last_detail);
}

static void on_up_open(struct outbound *o, struct stage *up)
{
	struct flow *f = &o->conn.flow;
	uint8_t reply[SOCKS_REPLY_MAX];

	if (o->istio)
		flow_set(&f->dest_id, tls_peer_id(mx_below(up)));
	if (o->tunnel) {
		flow_set(&f->dest_id, hpool_peer_id(up));
		if (!f->dest_workload && tuning.baggage && hpool_reply_baggage(up).n)
			flow_set(&f->peer_baggage, hpool_reply_baggage(up));
	}
	if (o->a->chosen)
		dest_worked(o->a->chosen);
	flow_open(o->conn.pod->worker->metrics, f);
	if (o->a->socks)
		socks_write(o->conn.pump.down, reply, socks_reply(SOCKS_OK, reply));
	o->conn.pump.down_eof = o->a->client_eof;
	attempt_free(o->a);
	o->a = NULL;
	conn_pump(&o->conn);
}

static void on_up(struct stage *s, enum stage_event ev, const struct iovec *iov, int n)
{
	struct outbound *o = s->arg;

	if (ev == STAGE_OPEN)
		on_up_open(o, s);
	else if (ev == STAGE_CLOSED)
		on_up_failed(o, s);
}

static struct stage *open_tunnel(struct outbound *o, const struct dest *d, struct tlsctx *ctx)
{
	struct pod *pod = o->conn.pod;
	struct workload *local = o->conn.local;
	struct buf baggage = { 0 }, forwarded = { 0 }, authority = { 0 };
	char text[ADDR_TEXT], trace[56];
	struct hpool_via hop;
	struct stage *up;

	conn_baggage(local, &baggage);
	forwarded_format(&o->conn.flow.source, str_c(d->service ? d->service->hostname : ""), &forwarded);
	traceparent_make(trace);
	span_begin(&o->conn.flow, trace);
	if (d->host.n)
		buf_printf(&authority, "%.*s:%u", STR_FMT(d->host), d->target.port);
	else
		buf_puts(&authority, addr_format(&d->target, text));
	hop = (struct hpool_via){
		{ .ctx = ctx, .own_id = str_c(local->identity), .expect = d->expect, .n_expect = d->n_expect, .addr = d->connect },
		{ .authority = buf_str(&authority), .baggage = buf_str(&baggage), .forwarded = buf_str(&forwarded), .traceparent = str_c(trace) },
	};
	if (d->kind == DEST_DOUBLE) {
		struct hpool_target inner = { .ctx = ctx, .own_id = hop.target.own_id, .expect = d->inner, .n_expect = d->n_inner };
		struct hpool_request request = hop.request;

		request.forwarded_network = str_c(mesh_settings(mesh_current())->network);
		up = hpool_open_via(pod->pool, &hop, &inner, &request);
	} else {
		up = hpool_open(pod->pool, &hop.target, &hop.request);
	}
	buf_done(&baggage);
	buf_done(&forwarded);
	buf_done(&authority);
	return up;
}

/* As its sidecar's Envoy expects it of another sidecar. */
static struct stage *open_istio(struct outbound *o, const struct dest *d, struct tlsctx *ctx)
{
	const struct mesh_settings *set = mesh_settings(mesh_current());
	struct stage *s = sock_connect(o->conn.pod->worker->loop, &d->connect, NULL, &o->conn.pod->out.ops, set->connect_timeout_ms);
	struct buf frame = { 0 }, sni = { 0 };
	char text[ADDR_TEXT];

	s = s ? tls_client(s, ctx, d->expect, d->n_expect) : NULL;
	if (!s)
		return NULL;
	if (d->service)
		buf_printf(&sni, "outbound_.%u_._.%s", o->conn.meant.port, d->service->hostname);
	peermeta_frame(o->conn.local, set->cluster_domain, &frame);
	tls_set_sni(s, buf_str(&sni));
	tls_set_alpn(s, TLS_ALPN_ISTIO_TCP);
	tls_resume(s, str_c(addr_format(&d->connect, text)));
	s = mx_client(s, buf_str(&frame), mx_agreed);
	buf_done(&frame);
	buf_done(&sni);
	return s;
}

static struct stage *open_dest(struct outbound *o, const struct dest *d, struct tlsctx *ctx)
{
	if (o->tunnel)
		return open_tunnel(o, d, ctx);
	if (o->istio)
		return open_istio(o, d, ctx);
	return sock_connect(o->conn.pod->worker->loop, &d->connect, NULL, &o->conn.pod->out.ops, mesh_settings(mesh_current())->connect_timeout_ms);
}

/* Telemetry shows the destination that was tried last. Behind a gateway it is known once it answers. */
static void note_dest(struct outbound *o, const struct dest *d)
{
	struct flow *f = &o->conn.flow;

	o->tunnel = d->kind == DEST_HBONE || d->kind == DEST_DOUBLE;
	o->istio = d->kind == DEST_ISTIO_MTLS;
	o->across = o->conn.across = d->kind == DEST_DOUBLE;
	workload_unref(f->dest_workload);
	service_unref(f->service);
	f->dest_workload = d->workload && !o->across ? workload_ref(d->workload) : NULL;
	f->service = d->service ? service_ref(d->service) : NULL;
	f->dest = d->connect;
	f->mtls = o->tunnel || o->istio;
	f->hbone = o->tunnel ? d->target : (struct addr){ 0 };
	flow_set(&f->hbone_host, d->host);
	flow_set(&f->source_id, str_c(f->mtls ? o->conn.local->identity : ""));
	workload_unref(o->a->chosen);
	o->a->chosen = d->workload ? workload_ref(d->workload) : NULL;
	if (d->workload && o->a->tried.n < (int)ARRAY_LEN(o->a->tried.workload))
		o->a->tried.workload[o->a->tried.n++] = workload_ref(d->workload);
}

static void fail_to_choose(struct outbound *o, const struct dest *d)
{
	struct flow *f = &o->conn.flow;
	char text[320];

	if (!f->service && d->service)
		f->service = service_ref(d->service);
	if (o->a->tried.n)
		fail(o, o->a->last_fail, o->a->last_detail);
	else
		fail(o, d->why, d->missing ? dest_gateway_name(d->missing, text) : NULL);
}

static void on_woken(struct waiter *w, bool late)
{
	struct outbound *o = container_of(w, struct attempt, waiter)->of;

	if (o->conn.ended)
		return;
	if (late && o->a->untold)
		fail(o, FAIL_NOT_TOLD, NULL);
	else if (late)
		fail_identity(o);
	else
		try_next(o);
}

static bool is_pending(const struct outbound *o)
{
	return identity_state(o->conn.pod->worker->proxy->identity, str_c(o->conn.local->identity), NULL) <= IDENTITY_PENDING;
}

/* One of that family if there is one, at random. */
static const struct ip *pick_answer(struct outbound *o, bool v4, const struct ip *v, int n)
{
	int same = 0, at;

	for (int i = 0; i < n; i++)
		same += ip_is_v4(&v[i]) == v4;
	o->conn.pod->worker->seed = o->conn.pod->worker->seed * 6364136223846793005u + 1442695040888963407u;
	at = (int)(o->conn.pod->worker->seed >> 33) % (same ? same : n);
	for (int i = 0; i < n; i++)
		if ((!same || ip_is_v4(&v[i]) == v4) && at-- == 0)
			return &v[i];
	return v;
}

static void on_resolved(void *arg, const struct ip *v, int n, const char *error)
{
	struct outbound *o = arg;
	struct dest_tried *t = &o->a->tried;

	o->a->question = NULL;
	if (o->conn.ended)
		return;
	if (n) {
		t->known_ip = *pick_answer(o, ip_is_v4(&o->conn.meant.ip), v, n);
		try_next(o);
		return;
	}
	dest_failed(t->known, loop_now_ms(o->conn.pod->worker->loop));
	note_tried(o, t->known, FAIL_RESOLVE, error);
	workload_unref((struct workload *)t->known);
	t->known = NULL;
	if (t->n < LIMIT_CONNECT_TRIES)
		try_next(o);
	else
		fail(o, FAIL_RESOLVE, o->a->last_detail);
}

static struct resolver *resolver_of(struct pworker *w)
{
	static const struct keepalive none;

	if (!w->resolver) {
		outsock_init(&w->out, w->proxy->conf.mark, &none, NETNS_OWN);
		w->resolver = resolver_new(w->loop, &w->out.ops, NETNS_OWN);
	}
	return w->resolver;
}

static void resolve(struct outbound *o, const struct dest *d)
{
	struct pworker *w = o->conn.pod->worker;
	struct workload *local = o->conn.local;

	workload_unref((struct workload *)o->a->tried.known);
	o->a->tried.known = workload_ref(d->workload);
	meters_on_demand_dns(w->metrics, local, local->identity, d->resolve);
	o->a->question = resolve_start(resolver_of(w), d->resolve, true, w->proxy->conf.ipv6, on_resolved, o);
}

/* What the mesh does not have may be told on demand: an unknown address, a waypoint or gateway. True: not now. */
static bool must_ask(struct outbound *o, const struct dest *d)
{
	struct demand *demand = o->conn.pod->worker->proxy->conf.demand;
	enum demand_answer answer = DEMAND_DONE;
	char name[320], text[ADDR_TEXT];

	o->a->untold = false;
	if (!demand)
		return false;
	if (d->kind == DEST_PASSTHROUGH && !d->service) {
		snprintf(name, sizeof(name), "%s/%s", o->conn.local->network, ip_format(&o->conn.meant.ip, text));
		answer = demand_ask(demand, str_c(name));
	} else if (d->kind == DEST_NONE && d->missing) {
		answer = demand_ask(demand, str_c(dest_gateway_name(d->missing, name)));
	}
	if (answer == DEMAND_DONE)
		return false;
	o->a->untold = true;
	o->a->waiter.wake = on_woken;
	if (answer == DEMAND_SILENT || !pod_wait(o->conn.pod, &o->a->waiter))
		fail(o, FAIL_NOT_TOLD, NULL);
	return true;
}

static void try_next(struct outbound *o)
{
	struct pod *pod = o->conn.pod;
	struct tlsctx *ctx = NULL;
	struct stage *up;
	struct dest d;

	dest_choose(mesh_current(), o->conn.local, &o->conn.meant, &o->a->tried, &pod->worker->seed, loop_now_ms(pod->worker->loop), &d);
	if (must_ask(o, &d))
		return;
	if (d.kind == DEST_NONE) {
		fail_to_choose(o, &d);
		return;
	}
	if (d.resolve.n) {
		resolve(o, &d);
		return;
	}
	if (d.kind == DEST_HBONE || d.kind == DEST_DOUBLE || d.kind == DEST_ISTIO_MTLS) {
		ctx = identity_get(pod->worker->proxy->identity, str_c(o->conn.local->identity));
		o->a->waiter.wake = on_woken;
		if (!ctx && is_pending(o) && pod_wait(pod, &o->a->waiter))
			return;
	}
	note_dest(o, &d);
	if (o->conn.flow.mtls && !ctx) {
		fail_identity(o);
		return;
	}
	up = open_dest(o, &d, ctx);
	tlsctx_unref(ctx);
	if (!up) {
		fail(o, FAIL_MEMORY, NULL);
		return;
	}
	o->conn.pump.up = up;
	up->on_event = on_up;
	up->arg = o;
	if (buf_len(&o->a->early)) {
		struct iovec iov = { buf_data(&o->a->early), buf_len(&o->a->early) };

		stage_write(up, &iov, 1);
	}
	if (o->a->client_eof)
		stage_shut(up);
}

/* Nobody may reach our own ports through us, and a connection that nobody redirected would come back for ever. */
static bool is_loop(struct pod *pod, const struct addr *to)
{
	return proxy_own_port(to->port) && ownaddr_has(&pod->own, &to->ip, loop_now_ms(pod->worker->loop));
}

/* NULL: fd is closed. */
static struct outbound *outbound_new(struct pod *pod, int fd, const struct addr *peer)
{
	struct outbound *o = calloc(1, sizeof(*o));
	struct attempt *a = o ? calloc(1, sizeof(*a)) : NULL;
	struct stage *down = NULL;

	if (a)
		down = pod_sock(pod, fd);
	else
		close(fd);
	if (!down) {
		pod_uncount(pod);
		free(a);
		free(o);
		return NULL;
	}
	o->a = a;
	a->of = o;
	list_init(&a->waiter.link);
	timer_init(&a->patience, pod->worker->loop, on_patience);
	conn_init(&o->conn, pod, FLOW_OUTBOUND, pod_local(pod, mesh_current(), &peer->ip), outbound_free);
	o->conn.pump.down = down;
	down->on_event = on_client;
	down->arg = o;
	o->conn.flow.source = *peer;
	return o;
}

/* The client's wish is known. */
static void go(struct outbound *o)
{
	o->conn.flow.dest = o->conn.meant;
	if (is_loop(o->conn.pod, &o->conn.meant)) {
		fail(o, FAIL_LOOP, NULL);
	} else if (!o->conn.local) {
		fail(o, FAIL_NO_WORKLOAD, NULL);
	} else {
		o->conn.flow.source_workload = workload_ref(o->conn.local);
		stage_want(o->conn.pump.down, true);
		try_next(o);
	}
}

void outbound_accept(struct pod *pod, int fd, const struct addr *peer)
{
	struct addr original = { .port = 0 };
	int r = origdst_get(fd, &original);
	struct outbound *o = outbound_new(pod, fd, peer);

	if (!o)
		return;
	o->conn.meant = original;
	if (r < 0)
		conn_end(&o->conn, FAIL_CONNECT, "the original destination is unknown");
	else
		go(o);
}

/* ---- SOCKS5: the client says where to ---- */

static void on_patience(struct timer *t)
{
	fail(container_of(t, struct attempt, patience)->of, FAIL_BAD_REQUEST, "the client did not say where to in time");
}

static void on_wish_resolved(void *arg, const struct ip *v, int n, const char *error)
{
	struct outbound *o = arg;

	o->a->question = NULL;
	if (o->conn.ended)
		return;
	if (!n) {
		fail(o, FAIL_RESOLVE, error);
		return;
	}
	o->conn.meant = (struct addr){ *pick_answer(o, ip_is_v4(&o->conn.flow.source.ip), v, n), o->a->socks->to.port };
	go(o);
}

/* A name of the mesh, else one of the resolver's; IPv4 first if the client is of that family. */
static void find_host(struct outbound *o)
{
	const struct nametable_view view = { .mesh = mesh_current(), .client = o->conn.local };
	struct nametable_match match;
	struct pworker *w = o->conn.pod->worker;
	struct str host = str_c(o->a->socks->host);
	bool v4 = ip_is_v4(&o->conn.flow.source.ip);
	struct ip ip;
	char name[256];
	size_t i;

	for (i = 0; i < host.n; i++)
		name[i] = (char)tolower((unsigned char)host.p[i]);
	name[i && name[i - 1] == '.' ? i - 1 : i] = '\0';
	if (o->conn.local && nametable_find(&view, name, &match) &&
	    (nametable_addresses(&view, &match, v4, &ip, 1) || nametable_addresses(&view, &match, !v4, &ip, 1))) {
		o->conn.meant = (struct addr){ ip, o->a->socks->to.port };
		go(o);
		return;
	}
	o->a->question = resolve_start(resolver_of(w), host, true, w->proxy->conf.ipv6, on_wish_resolved, o);
}

static void on_asked(struct outbound *o)
{
	struct socks *s = o->a->socks;

	o->a->asked = true;
	timer_stop(&o->a->patience);
	o->conn.flow.dest = o->conn.meant = s->to;
	if (*s->host) {
		find_host(o);
		return;
	}
	go(o);
}

static void on_socks(struct outbound *o, const struct iovec *iov, int n)
{
	struct socks *s = o->a->socks;

	for (int i = 0; i < n; i++) {
		struct str in = { iov[i].iov_base, iov[i].iov_len };

		while (in.n && !o->a->asked) {
			switch (socks_take(s, &in)) {
			case SOCKS_MORE:
				break;
			case SOCKS_GREETED:
				socks_write(o->conn.pump.down, s->reply, s->reply_n);
				break;
			case SOCKS_BAD:
				socks_refuse(o, s->reply, s->reply_n);
				conn_end(&o->conn, FAIL_BAD_REQUEST, "not a SOCKS5 request to connect, without a password");
				return;
			case SOCKS_ASKED:
				/* What follows belongs to the destination. */
				if (in.n && buf_append(&o->a->early, in.p, in.n) < 0)
					fail(o, FAIL_MEMORY, NULL);
				else
					o->conn.pump.bytes_up += in.n;
				for (int k = i + 1; k < n && !o->conn.ended; k++)
					keep_early(o, &iov[k], 1);
				if (!o->conn.ended)
					on_asked(o);
				return;
			}
		}
	}
}

void socks_accept(struct pod *pod, int fd, const struct addr *peer)
{
	struct outbound *o = outbound_new(pod, fd, peer);

	if (!o)
		return;
	o->a->socks = xcalloc(1, sizeof(*o->a->socks));
	timer_start(&o->a->patience, LIMIT_HANDSHAKE_MS);
	stage_want(o->conn.pump.down, true);
}
