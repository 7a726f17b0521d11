/* SPDX-License-Identifier: Apache-2.0 */
/* Incoming connections: HBONE on 15008, captured plaintext on 15006. Policy is judged before a byte flows. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/tuning.h"
#include "hbone/hserve.h"
#include "io/sock.h"
#include "modes/authority.h"
#include "modes/conn.h"
#include "modes/l7.h"
#include "net/origdst.h"
#include "net/proxyproto.h"
#include "tls/tls.h"
#include "telemetry/span.h"

/* One HBONE connection; its tunnels are `struct inbound_conn`. */
struct inbound {
	struct list link;             /* in pod.tunnels */
	struct pod *pod;              /* a reference on what its parts share */
	struct hserve *serve;
	struct workload *local;       /* reference */
	struct addr peer, dest;
	bool handshaking;             /* counted in pod.shared.n_handshakes */
	bool unchecked;               /* the CRL changed while the handshake ran */
};

struct inbound_conn {
	struct conn conn;
	struct http_stream *tunnel;     /* NULL: captured plaintext */
	struct addr asked;            /* what a PROXY header says */
	bool app_tunnel;              /* to the application's own tunnel, on loopback */
	bool forward;                 /* the inner tunnel of another network's client goes on to its destination's HBONE port */
};

static void inbound_conn_free(struct conn *c)
{
	free(container_of(c, struct inbound_conn, conn));
}

/* ---- towards the application ---- */

static void refuse(struct inbound_conn *i, enum fail why, const char *detail)
{
	if (i->tunnel) {
		/* The stage is hserve's to end, with the status. */
		hserve_refuse(i->tunnel, fail_info(why)->status ? fail_info(why)->status : 503);
		i->conn.pump.down = NULL;
	}
	conn_end(&i->conn, why, detail);
}

static void send_proxy_header(struct inbound_conn *i)
{
	uint8_t head[PROXYPROTO_MAX];
	const struct flow *f = &i->conn.flow;
	struct addr dst = i->asked.port ? i->asked : f->dest;
	struct iovec iov = { head, proxyproto_v2(&f->source, &dst, str_c(f->mtls ? f->source_id : NULL), head) };

	if (iov.iov_len)
		stage_write(i->conn.pump.up, &iov, 1);
}

static void on_app(struct stage *s, enum stage_event ev, const struct iovec *iov, int n)
{
	struct inbound_conn *i = s->arg;

	if (ev == STAGE_OPEN) {
		if (i->app_tunnel)
			send_proxy_header(i);
		if (i->tunnel) {
			struct buf baggage = { 0 };

			if (tuning.baggage)
				conn_baggage(i->conn.local, &baggage);
			hserve_accept(i->tunnel, buf_str(&baggage));
			buf_done(&baggage);
		}
		conn_pump(&i->conn);
	} else if (ev == STAGE_CLOSED) {
		char detail[128];

		snprintf(detail, sizeof(detail), "%s", sock_errno(s) ? strerror(sock_errno(s)) : "");
		refuse(i, s->fail, detail);
	}
}

/* While the application is being dialled only the client's reset matters; its bytes wait. */
static void on_client(struct stage *s, enum stage_event ev, const struct iovec *iov, int n)
{
	struct inbound_conn *i = s->arg;

	if (ev == STAGE_CLOSED)
		conn_end(&i->conn, FAIL_CLIENT_RESET, NULL);
}

static void dial_app(struct inbound_conn *i)
{
	struct pod *pod = i->conn.pod;
	struct addr to = i->conn.input.dest;
	const struct addr *source = conn_client(&i->conn);

	if (i->app_tunnel && tuning.app_loopback) {
		ip_parse(str_c(ip_is_v4(&to.ip) ? "127.0.0.1" : "::1"), &to.ip);
		source = NULL;
	} else if (i->forward || !pod->worker->proxy->conf.spoof || pod->shared->hbone_only || ip_eq(&source->ip, &to.ip) || ip_is_v4(&source->ip) != ip_is_v4(&to.ip)) {
		source = NULL;
	}
	i->conn.pump.up = sock_connect(pod->worker->loop, &to, source, i->forward ? &pod->out.ops : &pod->app.ops, mesh_settings(mesh_current())->connect_timeout_ms);
	if (!i->conn.pump.up) {
		refuse(i, FAIL_MEMORY, NULL);
		return;
	}
	i->conn.pump.up->on_event = on_app;
	i->conn.pump.up->arg = i;
}

/* Judges, then dials. A denied tunnel is told so; the flow is closed by conn_judge. */
static void admit(struct inbound_conn *i)
{
	struct http_stream *tunnel = i->tunnel;
	struct stage *down = i->conn.pump.down;

	flow_open(i->conn.pod->worker->metrics, &i->conn.flow);
	i->conn.input.principal = str_c(i->conn.flow.source_id);
	if (tunnel)
		i->conn.pump.down = NULL;   /* so that a denial does not reset what still gets its 401 */
	if (!conn_judge(&i->conn, FAIL_DENIED)) {
		if (tunnel)
			hserve_refuse(tunnel, fail_info(i->conn.why)->status);
		return;
	}
	i->conn.pump.down = down;
	dial_app(i);
}

static struct inbound_conn *inbound_conn_new(struct pod *pod, struct workload *local, struct stage *down)
{
	struct inbound_conn *i = calloc(1, sizeof(*i));

	if (!i)
		return NULL;
	conn_init(&i->conn, pod, FLOW_INBOUND, local, inbound_conn_free);
	i->conn.pump.down = down;
	down->on_event = on_client;
	down->arg = i;
	if (local)
		i->conn.flow.dest_workload = workload_ref(local);
	return i;
}

/* network: of the client when a gateway stands between; empty: ours. Then the address is the gateway's, and says nothing. */
static void note_source(struct flow *f, const struct mesh *m, const struct addr *peer, struct str network)
{
	struct str own = str_c(mesh_settings(m)->network);
	struct workload *src = network.p && !str_eq_nocase(network, own) ? NULL : mesh_workload_by_ip(m, own, &peer->ip);

	f->source = *peer;
	if (src)
		f->source_workload = workload_ref(src);
}

static bool leads_to(const struct service *s, const struct endpoint *e, uint16_t port)
{
	for (int i = 0; i < s->n_ports; i++) {
		const struct service_port *p = &s->ports[i];

		if (endpoint_target(e, p->port) == port || (!p->named && (p->target ? p->target : p->port) == port))
			return true;
	}
	return false;
}

/* The service that the client meant, for metrics and logs alone: the one that it names, if we are an endpoint of it (a peer
 * does not choose our labels), else the first of ours that leads to this port. */
static void note_service(struct flow *f, const struct mesh *m, const struct workload *local, struct str host, uint16_t port)
{
	struct service *named = host.n ? mesh_service_by_host(m, host, str_c(local->ns)) : NULL;

	if (named && endpoints_find(named->endpoints, str_c(local->uid)))
		f->service = service_ref(named);
	for (int i = 0; !f->service && i < local->n_services; i++) {
		struct service *s = mesh_service(m, str_c(local->services[i]));
		const struct endpoint *e = s ? endpoints_find(s->endpoints, str_c(local->uid)) : NULL;

		if (e && leads_to(s, e, port)) {
			f->service = service_ref(s);
			f->service_guessed = true;
		}
	}
}

/* ---- HBONE ---- */

/* What the request asks for, or why it is refused. */
static enum fail resolve(struct inbound_conn *i, struct inbound *in, const struct mesh *m, const struct hserve_request *req)
{
	struct pworker *worker = in->pod->worker;
	struct authority_dice dice = { &worker->seed, loop_now_ms(worker->loop) };
	struct flow *f = &i->conn.flow;
	struct authority a;

	f->hbone = req->addr;
	flow_set(&f->hbone_host, req->host);
	authority_resolve(m, in->local, &in->dest.ip, &req->addr, req->host, &dice, &a);
	if (a.service)
		f->service = service_ref(a.service);
	i->conn.input.dest = a.to;
	i->asked = a.asked;
	i->app_tunnel = a.app_tunnel;
	i->forward = a.forward;
	return a.why;
}

static struct tlsctx *local_ctx(struct inbound *in)
{
	return in->local ? identity_get(in->pod->worker->proxy->identity, str_c(in->local->identity)) : NULL;
}

static bool still_valid(struct inbound *in)
{
	struct tlsctx *ctx = local_ctx(in);
	/* Without a certificate of our own there is no CRL to judge by, and new connections are refused anyway. */
	bool valid = !ctx || tls_still_valid(hserve_tls(in->serve), ctx);

	tlsctx_unref(ctx);
	return valid;
}

static void report_early(struct inbound *in, enum fail why, const char *detail)
{
	struct flow f = { .direction = FLOW_INBOUND, .source = in->peer, .dest = in->dest };

	flow_refused_early(in->pod->worker->metrics, &f, why, detail);
}

/* A tunnel that was never taken: who asked for what. */
static void refuse_tunnel(struct inbound *in, struct http_stream *tunnel, const struct hserve_request *req, struct str peer_id, enum fail why)
{
	struct flow f = { .direction = FLOW_INBOUND, .source = in->peer, .dest = in->dest, .mtls = true };
	char text[300], at[ADDR_TEXT];

	flow_set(&f.source_id, peer_id);
	if (req->host.n)
		snprintf(text, sizeof(text), "%.*s:%u", (int)(req->host.n < 255 ? req->host.n : 255), req->host.p, req->addr.port);
	else
		snprintf(text, sizeof(text), "%s", addr_format(&req->addr, at));
	hserve_refuse(tunnel, fail_info(why)->status ? fail_info(why)->status : 503);
	flow_refused_early(in->pod->worker->metrics, &f, why, text);
}

/* Sidecars and waypoints look into the tunnel. */
static void to_l7(struct inbound *in, struct http_stream *tunnel, const struct hserve_request *req, struct str peer_id)
{
	struct authority_dice dice = { &in->pod->worker->seed, loop_now_ms(in->pod->worker->loop) };
	enum fail why = FAIL_NONE;
	const struct mesh *m = mesh_current();
	struct authority a;

	if (l7_is_waypoint(in->pod))
		authority_served(m, in->local, &req->addr, req->host, &a);
	else
		authority_resolve(m, in->local, &in->dest.ip, &req->addr, req->host, &dice, &a);
	if (in->unchecked && !still_valid(in))
		why = FAIL_CERT_REVOKED;
	else if (a.why != FAIL_NONE || a.forward || a.app_tunnel)
		why = a.why != FAIL_NONE ? a.why : FAIL_WRONG_AUTHORITY;
	if (!pod_count(in->pod))
		why = FAIL_POD_LIMIT;
	if (why == FAIL_NONE) {
		side_accept_tunnel(in->pod, &(struct side_tunnel){ .stream = tunnel, .local = in->local, .peer = in->peer, .peer_id = peer_id,
								    .caller = req->caller, .forwarded_for = req->forwarded_for,
								    .to = a.to, .service = a.service, .asked = a.service && a.service->wildcard && !str_is(req->host, a.service->hostname) ? req->host : (struct str){ 0 } });
		return;
	}
	pod_uncount(in->pod);
	refuse_tunnel(in, tunnel, req, peer_id, why);
}

static void on_connect(struct hserve *h, struct http_stream *tunnel, const struct hserve_request *req, void *arg)
{
	struct inbound *in = arg;
	const struct mesh *m = mesh_current();
	struct inbound_conn *i;
	enum fail why;
	struct flow *f;
	bool room;

	if (in->pod->l7) {
		to_l7(in, tunnel, req, tls_peer_id(hserve_tls(h)));
		return;
	}
	room = pod_count(in->pod);
	i = inbound_conn_new(in->pod, in->local, &tunnel->stage);
	if (!i) {
		pod_uncount(in->pod);
		hserve_refuse(tunnel, 503);
		return;
	}
	i->tunnel = tunnel;
	f = &i->conn.flow;
	note_source(f, m, &in->peer, req->forwarded_network);
	f->dest = in->dest;
	f->mtls = true;
	flow_set(&f->source_id, tls_peer_id(hserve_tls(h)));
	flow_set(&f->dest_id, str_c(in->local->identity));
	span_join(f, req->traceparent);
	if (!f->source_workload && tuning.baggage) {
		struct buf raw = { 0 };

		baggage_format(&req->baggage, &raw);
		flow_set(&f->peer_baggage, buf_str(&raw));
		buf_done(&raw);
	}
	why = resolve(i, in, m, req);
	if (!f->service)
		note_service(f, m, in->local, req->forwarded_host, i->conn.input.dest.port);
	i->conn.input.source = in->peer;
	flow_set(&i->conn.said.id, req->caller);
	i->conn.said.from = req->forwarded_for;
	if (in->unchecked && !still_valid(in))
		why = FAIL_CERT_REVOKED;
	if (!room)
		why = FAIL_POD_LIMIT;
	if (!f->source_id)
		why = FAIL_MEMORY;   /* without the name a DENY of that name could not match */
	if (why != FAIL_NONE)
		refuse(i, why, NULL);
	else
		admit(i);
}

static void on_bad_request(struct hserve *h, enum fail why, struct str detail, void *arg)
{
	char text[200];

	snprintf(text, sizeof(text), "want CONNECT host:port, got '%.*s'", (int)(detail.n < 100 ? detail.n : 100), detail.p);
	report_early(arg, why, text);
}

static void handshake_over(struct inbound *in)
{
	if (in->handshaking)
		atomic_fetch_sub_explicit(&in->pod->shared->n_handshakes, 1, memory_order_relaxed);
	in->handshaking = false;
}

static void inbound_free(struct inbound *in)
{
	handshake_over(in);
	list_del(&in->link);
	atomic_fetch_sub_explicit(&in->pod->worker->n_tunnels, 1, memory_order_relaxed);
	workload_unref(in->local);
	pod_uncount(in->pod);
	pod_unref(in->pod->shared);
	free(in);
}

static void on_closed(struct hserve *h, enum fail why, void *arg)
{
	const struct stage *tls = hserve_tls(h);
	bool failed = why != FAIL_NONE && why != FAIL_DRAIN && why != FAIL_PEER_CLOSED;

	if (failed)
		report_early(arg, why, why == FAIL_HTTP2 ? "the peer broke the HTTP/2 protocol" : tls_error(tls));
	inbound_free(arg);
}

static void on_open(struct hserve *h, void *arg)
{
	struct inbound *in = arg;

	handshake_over(in);
	if (in->pod->draining)
		hserve_drain(h);
}

static const struct hserve_ops serve_ops = { .on_connect = on_connect, .on_open = on_open, .on_closed = on_closed, .on_bad_request = on_bad_request };

void inbound_accept_hbone(struct pod *pod, int fd, const struct addr *peer)
{
	struct inbound *in = xcalloc(1, sizeof(*in));
	struct workload *local;
	struct tlsctx *ctx;
	struct stage *tls;

	in->pod = pod;
	in->handshaking = true;   /* counted when it was accepted */
	pod_ref(pod->shared);
	in->peer = *peer;
	list_add_tail(&pod->tunnels, &in->link);
	if (origdst_get(fd, &in->dest) < 0)
		in->dest = (struct addr){ 0 };
	local = pod_local(pod, mesh_current(), &in->dest.ip);
	in->local = local ? workload_ref(local) : NULL;
	ctx = local_ctx(in);
	if (!ctx) {
		report_early(in, local ? FAIL_IDENTITY : FAIL_NO_WORKLOAD, NULL);
		close(fd);
		inbound_free(in);
		return;
	}
	tls = pod_sock(pod, fd);
	tls = tls ? tls_server(tls, ctx) : NULL;
	tlsctx_unref(ctx);
	in->serve = tls ? hserve_new(tls, &serve_ops, in) : NULL;
	if (!in->serve)
		inbound_free(in);
}

void inbound_drain(struct pod *pod)
{
	list_each_safe(at, next, &pod->tunnels) {
		struct hserve *h = container_of(at, struct inbound, link)->serve;

		/* A handshake under way may end first: see on_open. */
		if (hserve_open(h))
			hserve_drain(h);
	}
}

void inbound_recheck(struct pod *pod)
{
	list_each_safe(at, next, &pod->tunnels) {
		struct inbound *in = container_of(at, struct inbound, link);

		in->unchecked = !hserve_open(in->serve);
		if (in->unchecked)
			continue;
		if (!still_valid(in))
			hserve_close(in->serve, FAIL_CERT_REVOKED);
		else if (tls_expired(hserve_tls(in->serve)))
			hserve_drain(in->serve);       /* live streams go on, new ones come with the new certificate */
	}
}

void inbound_close_all(struct pod *pod)
{
	list_each_safe(at, next, &pod->tunnels)
		hserve_close(container_of(at, struct inbound, link)->serve, FAIL_DRAIN);
}

/* ---- captured plaintext ---- */

void inbound_accept_plain(struct pod *pod, int fd, const struct addr *peer)
{
	const struct mesh *m = mesh_current();
	struct inbound_conn *i;
	struct addr to = { 0 };
	struct workload *local;
	struct stage *down;
	int r = origdst_get(fd, &to);

	down = pod_sock(pod, fd);
	local = pod_local(pod, m, &to.ip);
	i = down ? inbound_conn_new(pod, local, down) : NULL;
	if (!i) {
		pod_uncount(pod);
		stage_done(down, FAIL_MEMORY);
		return;
	}
	note_source(&i->conn.flow, m, peer, (struct str){ 0 });
	i->conn.flow.dest = to;
	i->conn.input.source = *peer;
	i->conn.input.dest = to;
	if (local)
		note_service(&i->conn.flow, m, local, (struct str){ 0 }, to.port);
	if (r < 0)
		conn_end(&i->conn, FAIL_CONNECT, "the original destination is unknown");
	else if (proxy_own_port(to.port))
		conn_end(&i->conn, FAIL_LOOP, NULL);
	else if (!local)
		conn_end(&i->conn, FAIL_NO_WORKLOAD, NULL);
	else
		admit(i);
}
