/* SPDX-License-Identifier: Apache-2.0 */
/* Connections to the workload: captured ones on 15006, and those that came in an HBONE tunnel. TLS is ended where Istio's is offered or
 * required; policy is judged before a byte flows, or request by request. */
#include <stdlib.h>
#include <unistd.h>

#include "hbone/hserve.h"
#include "http/xfcc.h"
#include "modes/binds.h"
#include "modes/mx.h"
#include "modes/side.h"
#include "modes/l7.h"
#include "net/origdst.h"
#include "tls/origin.h"
#include "tls/tls.h"
#include "traffic/intake.h"

#define INGRESS_NAMES 64    /* of clients, that one port accepts */

static struct hconn_from from_of(const struct side *s)
{
	return (struct hconn_from){
		.place = !l7_is_waypoint(s->conn.pod) ? s->in->real ? HCONN_BOUND : HCONN_CAPTURED : s->target ? HCONN_SERVED : HCONN_DIRECT,
		.service = str_c(s->in->service), .target = s->target, .asked = str_c(s->asked),
		.peer = s->conn.flow.source, .local = s->to, .peer_id = str_c(s->conn.flow.source_id), .mtls = s->conn.flow.mtls, .inbound = true,
		.said_id = str_c(s->conn.said.id), .said_from = s->conn.said.from, .at = s->in->real ? &s->in->at : NULL,
	};
}

/* ---- where bytes go ---- */

/* A waypoint has routes for them. NULL: *ret_why. */
static struct cluster *bytes_to(struct side *s, enum fail *ret_why)
{
	const struct inbound_port *in = s->in;
	const char *sni = *s->sniff.hello.sni ? s->sniff.hello.sni : NULL;
	struct cluster *to = NULL;

	*ret_why = FAIL_NO_ROUTE;
	if (sni && in->n_by_sni)
		to = side_target(s, in->by_sni, in->n_by_sni, sni, ret_why);
	if (!to && *ret_why == FAIL_NO_ROUTE && in->n_bytes)
		to = side_target(s, in->bytes, in->n_bytes, NULL, ret_why);
	return to || *ret_why != FAIL_NO_ROUTE ? to : in->to;
}

static void to_bytes(struct side *s)
{
	enum fail why;
	struct cluster *to = s->cluster ? s->cluster : bytes_to(s, &why);   /* dialled ahead: by no SNI */

	if (s->cluster && s->in->n_by_sni && *s->sniff.hello.sni)
		to = bytes_to(s, &why);
	if (to)
		side_bytes(s, to);
	else
		side_fail(s, why, NULL);
}

/* Whether the server's name that the client's TLS asks for may be asked for here. */
static enum fail judge_name(const struct side *s)
{
	const char *sni = s->sniff.hello.sni, *only = s->in->server_name;

	if (only && !*sni)
		return FAIL_NO_SNI;
	if (only && !str_eq_nocase(str_c(only), str_c(sni)))
		return FAIL_SNI_OUTSIDE;
	return s->asked && *sni && !str_eq_nocase(str_c(s->asked), str_c(sni)) ? FAIL_NAME_MISMATCH : FAIL_NONE;
}

static void as_bytes(struct side *s)
{
	enum fail why = judge_name(s);

	s->conn.input.sni = str_c(s->sniff.hello.sni);
	if (why == FAIL_NONE)
		to_bytes(s);
	else
		side_fail(s, why, s->sniff.hello.sni);
}

/* ---- HTTP ---- */

/* Its requests are judged one by one; who must not even connect is refused here. */
static bool may_connect(struct side *s)
{
	return conn_may_ask(&s->conn) || side_judge(s);
}

static void as_http(struct side *s, enum http_codec codec)
{
	struct hconn_from from = from_of(s);
	struct stage *down = s->conn.pump.down;
	struct buf xfcc = { 0 };
	const char *over;
	char *peer_id;

	if (!may_connect(s))
		return;
	over = conn_over_limit(&s->conn);
	if (over) {
		side_fail(s, FAIL_RATE_LIMITED, over);
		return;
	}
	if (strcmp(down->ops->name, "tls") == 0) {
		tls_xfcc(down, &xfcc);
		from.xfcc = buf_str(&xfcc);
		from.sni = tls_sni(down);
		from.istio_http = s->conn.flow.mtls && s->sniff.hello.istio == HELLO_ISTIO_HTTP;
	} else if (s->conn.flow.mtls) {
		/* In a tunnel no certificate is at hand, only who it was. */
		xfcc_format(str_c(s->conn.local->identity), from.peer_id, &xfcc);
		from.xfcc = buf_str(&xfcc);
	}
	peer_id = str_dup(from.peer_id);
	from.peer_id = str_c(peer_id);
	side_http(s, codec, &from);
	free(peer_id);
	buf_done(&xfcc);
}

/* ---- TLS ---- */

static void as_bytes_in_tls(struct side *s, struct stage *tls)
{
	if (mx_agreed(tls)) {
		s->conn.pump.down = mx_server(tls, upstream_frame(&s->conn.pod->l7->upstream), side_on_peer, s);
		if (!s->conn.pump.down) {
			side_fail(s, FAIL_MEMORY, NULL);
			return;
		}
	}
	as_bytes(s);
}

static void tls_failed(struct side *s, struct stage *tls)
{
	struct flow f = { .direction = FLOW_INBOUND, .source = s->conn.flow.source, .dest = s->to };

	flow_refused_early(s->conn.pod->worker->metrics, &f, tls->fail, tls_error(tls));
	side_leave(s, tls->fail);
}

static void on_tls(struct stage *tls, enum stage_event ev, const struct iovec *iov, int n)
{
	struct side *s = tls->arg;
	struct flow *f = &s->conn.flow;

	if (ev == STAGE_CLOSED) {
		tls_failed(s, tls);
		return;
	}
	if (ev != STAGE_OPEN)
		return;
	side_handshake_over(s);
	if (l7_revoked(s->conn.pod, s->conn.local, tls)) {
		side_fail(s, FAIL_CERT_REVOKED, NULL);   /* the CRL changed while the handshake ran */
		return;
	}
	f->mtls = true;
	flow_set(&f->source_id, tls_peer_id(tls));
	flow_set(&f->dest_id, str_c(s->conn.local->identity));
	if (!f->source_id) {
		side_fail(s, FAIL_MEMORY, NULL);   /* without the name a DENY of that name could not match */
		return;
	}
	s->conn.input.principal = str_c(f->source_id);
	s->conn.input.sni = tls_sni(tls);
	if (intake_is_http(s->in->protocol) || (s->in->protocol == PROTOCOL_AUTO && s->sniff.hello.istio == HELLO_ISTIO_HTTP))
		as_http(s, HTTP_CODEC_AUTO);
	else
		as_bytes_in_tls(s, tls);
}

/* A Sidecar's ingress.tls: clients from outside the mesh. */
static void on_web_tls(struct stage *tls, enum stage_event ev, const struct iovec *iov, int n)
{
	struct side *s = tls->arg;

	if (ev == STAGE_CLOSED) {
		tls_failed(s, tls);
		return;
	}
	if (ev != STAGE_OPEN)
		return;
	side_handshake_over(s);
	if (intake_is_http(s->in->protocol))
		as_http(s, HTTP_CODEC_AUTO);
	else
		as_bytes(s);
}

static bool count_handshake(struct side *s)
{
	struct pod *pod = s->conn.pod;

	s->handshaking = true;
	if (atomic_fetch_add_explicit(&pod->shared->n_handshakes, 1, memory_order_relaxed) < pod->worker->proxy->conf.pod_handshakes)
		return true;
	pod_shed(pod, SHED_POD_HANDSHAKES);
	side_leave(s, FAIL_OVERLOAD);
	return false;
}

static void end_web_tls(struct side *s)
{
	const struct tls_conf *t = &s->in->tls;
	bool mutual = t->mode == TLS_MUTUAL;
	const struct origin_conf oc = { .cert = t->cert, .key = t->key, .roots = mutual ? t->ca : "", .crl = mutual ? t->crl : "", .server = true };
	struct str names[INGRESS_NAMES];
	struct tlsctx *ctx;
	struct stage *tls;
	struct err err;
	int n = 0;

	ctx = mutual && !*t->ca ? NULL : origin_get(&oc, loop_now_ms(s->conn.pod->worker->loop), &err);
	if (!ctx) {
		side_fail(s, FAIL_TLS, mutual && !*t->ca ? "MUTUAL without caCertificates" : err.msg);
		return;
	}
	if (!count_handshake(s)) {
		tlsctx_unref(ctx);
		return;
	}
	s->conn.pump.down = tls = tls_server(s->conn.pump.down, ctx);
	tlsctx_unref(ctx);
	for (; mutual && n < t->n_sans && n < INGRESS_NAMES; n++)
		names[n] = str_c(t->sans[n]);
	if (!tls || (n && !tls_set_expect(tls, names, n))) {
		side_fail(s, FAIL_MEMORY, NULL);
		return;
	}
	tls_set_alpn(tls, intake_is_http(s->in->protocol) ? TLS_ALPN_HTTP2 : TLS_ALPN_NONE);
	tls->on_event = on_web_tls;
	tls->arg = s;
}

static void end_tls(struct side *s)
{
	struct pod *pod = s->conn.pod;
	struct tlsctx *ctx = identity_get(pod->worker->proxy->identity, str_c(s->conn.local->identity));
	struct stage *sock = s->conn.pump.down, *tls;
	bool http = intake_is_http(s->in->protocol) || (s->in->protocol == PROTOCOL_AUTO && s->sniff.hello.istio == HELLO_ISTIO_HTTP);

	side_drop_dial(s);
	if (!ctx) {
		side_fail(s, FAIL_IDENTITY, NULL);
		return;
	}
	if (!count_handshake(s)) {
		tlsctx_unref(ctx);
		return;
	}
	s->conn.pump.down = tls = tls_server(sock, ctx);
	tlsctx_unref(ctx);
	if (!tls) {
		side_fail(s, FAIL_MEMORY, NULL);
		return;
	}
	tls_set_alpn(tls, http ? TLS_ALPN_ISTIO_HTTP1 : TLS_ALPN_ISTIO_TCP);
	tls->on_event = on_tls;
	tls->arg = s;
	sniff_hand_on(&s->sniff, sock);
}

/* ---- the first bytes ---- */

/* STRICT refuses, and says whose rule that is. */
static void refuse_plain(struct side *s)
{
	if (side_judge(s))
		side_fail(s, FAIL_DENIED, "mutual TLS is required");
}

static enum intake_first first_of(const struct side *s, enum sniff_kind kind)
{
	if (kind == SNIFF_TLS)
		return s->sniff.hello.istio == HELLO_ISTIO_NONE ? FIRST_TLS : FIRST_ISTIO_TLS;
	return kind == SNIFF_HTTP1 || kind == SNIFF_HTTP2 ? FIRST_REQUEST : FIRST_BYTES;
}

static void decide(struct side *s, enum sniff_kind kind)
{
	switch (intake_of(s->in->protocol, s->mtls, s->tunnelled, first_of(s, kind))) {
	case INTAKE_BYTES:
		as_bytes(s);
		break;
	case INTAKE_REQUESTS:
		as_http(s, kind == SNIFF_HTTP2 ? HTTP_CODEC_H2 : HTTP_CODEC_H1);
		break;
	case INTAKE_END_TLS:
		end_tls(s);
		break;
	case INTAKE_REFUSE_PLAIN:
		refuse_plain(s);
		break;
	case INTAKE_REFUSE_TLS:
		side_fail(s, FAIL_TLS, "TLS without Istio's ALPN on a port whose protocol is HTTP: declare it as HTTPS or TLS");
		break;
	}
}

/* Whether the application may be dialled before the client spoke. A peer with a proxy of the mesh will most likely begin with TLS,
 * which a server that speaks first would spoil. */
static bool may_dial_ahead(struct side *s)
{
	const struct workload *peer = s->conn.flow.source_workload;

	if (s->mtls != MTLS_DISABLE && !s->tunnelled && peer && (peer->istio_mtls || peer->tunnel != TUNNEL_NONE))
		return false;
	return conn_know_peer(&s->conn) && authz_judge(mesh_current(), s->conn.local, &s->conn.input, NULL, NULL).allowed;
}

/* ---- start ---- */

static void note_names(struct side *s, const struct addr *peer)
{
	const struct mesh *m = mesh_current();
	struct flow *f = &s->conn.flow;
	struct workload *src = mesh_workload_by_ip(m, str_c(mesh_settings(m)->network), &peer->ip);
	struct service *service = s->target ? s->target : *s->in->service ? mesh_service(m, str_c(s->in->service)) : NULL;
	struct workload *dest = l7_is_waypoint(s->conn.pod) ? mesh_workload_by_ip(m, str_c(mesh_settings(m)->network), &s->to.ip) : s->conn.local;

	f->source = *peer;
	f->dest = s->to;
	f->source_workload = src ? workload_ref(src) : NULL;
	f->dest_workload = dest ? workload_ref(dest) : NULL;
	f->service = service ? service_ref(service) : NULL;
	s->conn.input.source = *peer;
	s->conn.input.dest = s->to;
	s->conn.input.service = s->target;
}

/* What is dialled while the client says nothing. */
static struct cluster *ahead(struct side *s)
{
	enum fail why;

	return bytes_to(s, &why);
}

static void begin(struct side *s)
{
	bool http = intake_is_http(s->in->protocol), sniffs = s->mtls != MTLS_DISABLE || s->in->protocol == PROTOCOL_AUTO;
	bool names = l7_is_waypoint(s->conn.pod) && s->in->protocol == PROTOCOL_TLS;    /* the client's TLS may, for rules and for where to */

	s->decide = decide;
	if (s->tunnelled)
		sniffs = s->in->protocol == PROTOCOL_AUTO || s->in->n_by_sni || names;
	if (!sniffs && http)
		as_http(s, HTTP_CODEC_AUTO);
	else if (!sniffs)
		as_bytes(s);
	else if (http || names || (s->mtls == MTLS_STRICT && !s->tunnelled) || (!s->tunnel && sock_has_input(s->conn.pump.down)) || !may_dial_ahead(s))
		side_listen(s, NULL);
	else
		side_listen(s, ahead(s));
}

/* peer_id: of a tunnel; empty: there is none. */
static void refuse_early(struct pod *pod, const struct addr *peer, struct str peer_id, const struct addr *to, enum fail why, const char *detail)
{
	struct flow f = { .direction = FLOW_INBOUND, .source = *peer, .dest = *to, .mtls = peer_id.n != 0 };

	flow_set(&f.source_id, peer_id);
	flow_refused_early(pod->worker->metrics, &f, why, detail);
}

/* at: of a listener of its own; NULL: the port of `to` says what it is. */
static const struct inbound_port *port_at(const struct plan *p, const struct addr *to, const struct addr *at)
{
	return at ? binds_inbound(p, at) : plan_inbound(p, to->port);
}

/* Takes over the reference on chain. in NULL: there is none. */
static struct side *make(struct pod *pod, struct stage *down, struct workload *local, const struct addr *to, struct chain *chain, const struct inbound_port *in)
{
	struct side *s;

	if (!in) {
		chain_unref(chain);
		chain = NULL;
	}
	s = side_new(pod, down, FLOW_INBOUND, local, chain);
	if (!s)
		return NULL;
	s->to = *to;
	s->in = in;
	return s;
}

static void start(struct pod *pod, int fd, const struct addr *peer, const struct addr *at)
{
	const struct mesh *m = mesh_current();
	struct addr to = { .port = 0 };
	int r = origdst_get(fd, &to);
	struct workload *local = pod_local(pod, m, &to.ip);
	enum fail why = r < 0 ? FAIL_CONNECT : proxy_own_port(to.port) ? FAIL_LOOP : !local || !plan_current() ? FAIL_NO_WORKLOAD : FAIL_NONE;
	const struct scope *scope;
	struct chain *chain;
	struct side *s;

	if (why != FAIL_NONE) {
		refuse_early(pod, peer, (struct str){ 0 }, &to, why, r < 0 ? "the original destination is unknown" : NULL);
		pod_uncount(pod);
		close(fd);
		return;
	}
	chain = chain_get(pod);
	s = make(pod, pod_sock(pod, fd), local, &to, chain, chain ? port_at(chain->plan, &to, at) : NULL);
	if (!s)
		return;
	scope = scope_of(m, local, NULL);
	s->mtls = MTLS_STRICT;
	if (scope)
		scope_peer_authn(scope, to.port, &s->mtls);
	note_names(s, peer);
	if (s->in->tls.mode == TLS_SIMPLE || s->in->tls.mode == TLS_MUTUAL)
		end_web_tls(s);
	else
		begin(s);
}

void side_accept_in(struct pod *pod, int fd, const struct addr *peer)
{
	start(pod, fd, peer, NULL);
}

void side_accept_in_at(struct pod *pod, int fd, const struct addr *peer, const struct addr *at)
{
	start(pod, fd, peer, at);
}

static const struct inbound_port *port_of(const struct pod *pod, const struct plan *p, const struct side_tunnel *t)
{
	if (!l7_is_waypoint(pod))
		return plan_inbound(p, t->to.port);
	return t->service ? plan_served(p, str_c(t->service->key), t->to.port) : plan_direct(p);
}

void side_accept_tunnel(struct pod *pod, const struct side_tunnel *t)
{
	struct chain *chain = chain_get(pod);
	const struct inbound_port *in = chain ? port_of(pod, chain->plan, t) : NULL;
	struct side *s;

	if (chain && !in) {              /* the mesh is ahead of the plan, or the service has no such port */
		enum fail why = t->service && !service_port_at(t->service, t->to.port) ? FAIL_NO_PORT : FAIL_UNKNOWN_AUTHORITY;

		chain_unref(chain);
		pod_uncount(pod);
		hserve_refuse(t->stream, fail_info(why)->status);
		refuse_early(pod, &t->peer, t->peer_id, &t->to, why, t->service ? t->service->hostname : NULL);
		return;
	}
	s = make(pod, &t->stream->stage, t->local, &t->to, chain, in);
	if (!s)
		return;
	s->tunnel = t->stream;
	s->tunnelled = true;
	s->target = t->service ? service_ref(t->service) : NULL;
	s->asked = t->asked.n ? str_dup(t->asked) : NULL;
	note_names(s, &t->peer);
	s->conn.flow.mtls = true;
	flow_set(&s->conn.flow.source_id, t->peer_id);
	flow_set(&s->conn.said.id, t->caller);
	s->conn.said.from = t->forwarded_for;
	flow_set(&s->conn.flow.dest_id, str_c(t->local->identity));
	s->conn.input.principal = str_c(s->conn.flow.source_id);
	if (!s->conn.flow.source_id)
		side_fail(s, FAIL_MEMORY, NULL);
	else
		begin(s);
}
