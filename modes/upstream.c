/* SPDX-License-Identifier: Apache-2.0 */
#include "modes/upstream.h"

#include "base/log.h"
#include "base/tuning.h"
#include "http/xfcc.h"
#include "modes/conn.h"
#include "modes/mx.h"
#include "modes/l7.h"
#include "net/proxyproto.h"
#include "telemetry/peermeta.h"
#include "telemetry/span.h"
#include "tls/origin.h"
#include "tls/tls.h"

#define PEERS_MAX 256       /* identities that may answer for one cluster */

static struct upstream *upstream_of(struct connector *c)
{
	return container_of(c, struct upstream, connector);
}

/* ---- sockets ---- */

/* To the application from an address that capture leaves alone, as Istio does; the rules then know that it is not a self call. */
static struct addr app_source(const struct addr *to)
{
	struct addr source = { .port = 0 };

	ip_parse(str_c(ip_is_v4(&to->ip) ? "127.0.0.6" : "::6"), &source.ip);
	return source;
}

/* DestinationRule proxyProtocol: before everything else, TLS too. */
static struct stage *introduce(const struct cluster_conf *conf, const struct connect_ask *ask, struct stage *s)
{
	uint8_t head[PROXYPROTO_MAX];
	char text[PROXYPROTO_V1_MAX];
	struct iovec iov = { head, 0 };

	if (!s || !conf->pool.proxy_protocol || !ask->client.port)
		return s;
	if (conf->pool.proxy_protocol == 1)
		iov = (struct iovec){ text, proxyproto_v1(&ask->client, &ask->original, text) };
	else
		iov.iov_len = proxyproto_v2(&ask->client, &ask->original, (struct str){ 0 }, head);
	stage_write(s, &iov, 1);
	return s;
}

static struct stage *open_sock(struct upstream *u, const struct cluster_conf *conf, const struct addr *to, const struct connect_ask *ask)
{
	struct loop *l = u->pod->worker->loop;
	struct outsock out = conf->inbound ? u->pod->app : u->pod->out;
	struct addr source = app_source(to);
	const struct addr *from = conf->inbound ? &source : NULL;

	if (conf->unix_path && *conf->unix_path)
		return sock_connect_unix(l, conf->unix_path);
	/* An address of this host would look like a call of our own. */
	if (conf->inbound && ask->source.port && ip_is_v4(&ask->source.ip) == ip_is_v4(&to->ip) && !ip_eq(&ask->source.ip, &to->ip) &&
	    !ownaddr_has(&u->pod->own, &ask->source.ip, loop_now_ms(l)))
		from = &ask->source;
	out.own_source = from == &source;
	if (conf->pool.keepalive.on)
		out.keepalive = (struct keepalive){ .idle_s = conf->pool.keepalive.time_s ? conf->pool.keepalive.time_s : tuning.keepalive_s,
						    .interval_s = conf->pool.keepalive.interval_s, .count = conf->pool.keepalive.probes };
	return introduce(conf, ask, sock_connect(l, to, from, &out.ops, conf->pool.connect_ms));
}

/* ---- Istio's mutual TLS ---- */

static struct tlsctx *own_ctx(struct upstream *u, struct str identity)
{
	return identity.n ? identity_get(u->pod->worker->proxy->identity, identity) : NULL;
}

static struct stage *open_istio(struct upstream *u, struct cluster *cl, const struct pick *p, const struct connect_ask *ask)
{
	const struct cluster_conf *conf = cluster_conf(cl);
	struct loop *l = u->pod->worker->loop;
	struct tlsctx *ctx = own_ctx(u, ask->identity);
	struct str peers[PEERS_MAX];
	struct buf sni = { 0 };
	char at[ADDR_TEXT];
	struct stage *s;
	int n = 0;

	if (!ctx)
		return sock_broken(l, FAIL_IDENTITY);
	if (!cluster_peers(cl, mesh_current(), p->workload, peers, PEERS_MAX, &n)) {
		tlsctx_unref(ctx);
		return sock_broken(l, FAIL_NO_PEER_NAMES);
	}
	s = open_sock(u, conf, &p->addr, ask);
	s = s ? tls_client(s, ctx, peers, n) : NULL;
	tlsctx_unref(ctx);
	if (!s)
		return NULL;
	cluster_sni(conf, &sni);
	tls_set_sni(s, buf_str(&sni));
	tls_set_alpn(s, !ask->http ? TLS_ALPN_ISTIO_TCP : ask->h2 ? TLS_ALPN_ISTIO_HTTP2 : TLS_ALPN_ISTIO_HTTP1);
	/* Tickets are of one server. */
	buf_puts(&sni, addr_format(&p->addr, at));
	tls_resume(s, buf_str(&sni));
	buf_done(&sni);
	return ask->http ? s : mx_client(s, upstream_frame(u), mx_agreed);
}

/* ---- TLS origination ---- */

/* What the server is called: what the configuration says, what the client asks for, or the service's own host. Empty: nothing says it. */
static struct str server_name(const struct cluster_conf *conf, const struct connect_ask *ask)
{
	const char *host = conf->service ? strchr(conf->service, '/') : NULL;

	if (conf->tls.sni && *conf->tls.sni)
		return str_c(conf->tls.sni);
	if (ask->sni.n || !host || host[1] == '*')
		return ask->sni;
	return str_c(host + 1);
}

/* Whose certificate counts: as many as were named, else the server's name. False: nothing says it, and the stance does not take that for
 * anybody whom the CA vouches for, as Istio's Envoy would. */
static bool server_names(const struct cluster_conf *conf, struct str sni, struct str names[PEERS_MAX], int *ret_n)
{
	static atomic_flag told = ATOMIC_FLAG_INIT, cut = ATOMIC_FLAG_INIT;
	const struct tls_conf *t = &conf->tls;
	int n = 0;

	for (; n < t->n_sans && n < PEERS_MAX; n++)
		names[n] = str_c(t->sans[n]);
	if (n < t->n_sans && !atomic_flag_test_and_set(&cut))
		log_warn(LOG_TLS, "%s: of its subjectAltNames the first %d count (said once)", conf->name, PEERS_MAX);
	if (n == 0 && sni.n)
		names[n++] = sni;
	*ret_n = n;
	if (n || t->insecure)
		return true;
	if (!atomic_flag_test_and_set(&told))
		log_warn(LOG_TLS, "%s: nothing says whose certificate its servers have: give the DestinationRule subjectAltNames or sni (said once)%s", conf->name,
			 mesh_settings(mesh_current())->stance == STANCE_ISTIO ? "; until then any of that CA's counts, as in Istio" : "");
	return mesh_settings(mesh_current())->stance == STANCE_ISTIO;
}

static struct stage *over_tls(struct upstream *u, const struct cluster_conf *conf, const struct connect_ask *ask, struct stage *below)
{
	const struct tls_conf *t = &conf->tls;
	bool mutual = t->mode == TLS_MUTUAL;
	struct origin_conf oc = { .cert = mutual ? t->cert : "", .key = mutual ? t->key : "", .roots = t->ca, .crl = t->crl, .insecure = t->insecure };
	struct str sni = server_name(conf, ask), names[PEERS_MAX];
	struct tlsctx *ctx;
	struct stage *s;
	struct err err;
	int n;

	if (!below)
		return NULL;
	ctx = origin_get(&oc, loop_now_ms(u->pod->worker->loop), &err);
	if (!ctx || !server_names(conf, sni, names, &n)) {
		enum fail why = ctx ? FAIL_NO_PEER_NAMES : FAIL_TLS;

		tlsctx_unref(ctx);
		stage_done(below, why);
		return sock_broken(u->pod->worker->loop, why);
	}
	s = tls_client(below, ctx, names, n);
	tlsctx_unref(ctx);
	if (!s)
		return NULL;
	tls_set_sni(s, sni);
	tls_set_alpn(s, !ask->http ? TLS_ALPN_NONE : ask->h2 ? TLS_ALPN_HTTP2 : TLS_ALPN_HTTP1);
	return s;
}

/* ---- HBONE ---- */

/* What the CONNECT asks for: an endpoint; of a waypoint its service: one of many names, as the client said it, else by address. */
static void put_authority(const struct cluster_conf *conf, const struct pick *p, struct str sni, struct buf *out)
{
	const struct addr *at = p->transport == TRANSPORT_WAYPOINT ? &p->target : &p->addr;
	const char *host = conf->service ? strchr(conf->service, '/') : NULL;
	char text[ADDR_TEXT];
	struct addr port;
	struct str name;

	host = host ? host + 1 : "";
	if (p->transport == TRANSPORT_WAYPOINT && *host == '*' && sni.n)
		buf_printf(out, "%.*s:%u", STR_FMT(sni), at->port);
	if (buf_len(out) && authority_parse(buf_str(out), &port, &name) == 0)
		return;
	buf_consume(out, buf_len(out));
	if (ip_is_any(&at->ip))
		buf_printf(out, "%s:%u", host, at->port);
	else
		buf_puts(out, addr_format(at, text));
}

static struct stage *open_hbone(struct upstream *u, struct cluster *cl, const struct pick *p, const struct connect_ask *ask)
{
	const struct cluster_conf *conf = cluster_conf(cl);
	struct tlsctx *ctx = own_ctx(u, ask->identity);
	struct buf authority = { 0 }, baggage = { 0 }, forwarded = { 0 }, xfcc = { 0 };
	struct addr at = p->transport == TRANSPORT_WAYPOINT ? p->addr : (struct addr){ p->addr.ip, PORT_HBONE };
	char trace[56];
	const char *host = conf->service ? strchr(conf->service, '/') : NULL;
	struct str expect[1];
	struct stage *s;

	if (proxy_own_port(p->transport == TRANSPORT_WAYPOINT ? p->target.port : p->addr.port)) {     /* a route to a waypoint's own service, say */
		tlsctx_unref(ctx);
		return sock_broken(u->pod->worker->loop, FAIL_LOOP);
	}
	if (!ctx || !p->workload) {
		tlsctx_unref(ctx);
		return sock_broken(u->pod->worker->loop, FAIL_IDENTITY);
	}
	expect[0] = str_c(p->workload->identity);
	if (u->local)
		conn_baggage(u->local, &baggage);
	if (ask->source.port)
		forwarded_format(&ask->source, str_c(host ? host + 1 : ""), &forwarded);
	if (ask->caller.n)
		xfcc_format(ask->identity, ask->caller, &xfcc);
	put_authority(conf, p, ask->sni, &authority);
	traceparent_make(trace);
	s = hpool_open(u->pod->pool,
		       &(struct hpool_target){ .ctx = ctx, .own_id = ask->identity, .expect = expect, .n_expect = 1, .addr = at },
		       &(struct hpool_request){ .authority = buf_str(&authority), .baggage = buf_str(&baggage),
						.forwarded = buf_str(&forwarded), .traceparent = str_c(trace), .xfcc = buf_str(&xfcc) });
	tlsctx_unref(ctx);
	buf_done(&baggage);
	buf_done(&forwarded);
	buf_done(&xfcc);
	buf_done(&authority);
	return conf->tls.mode == TLS_SIMPLE || conf->tls.mode == TLS_MUTUAL ? over_tls(u, conf, ask, s) : s;
}

/* ---- the connector ---- */

static struct stage *up_connect(struct connector *c, struct cluster *cl, const struct pick *p, const struct connect_ask *ask)
{
	struct upstream *u = upstream_of(c);
	const struct cluster_conf *conf = cluster_conf(cl);
	struct loop *l = u->pod->worker->loop;

	upstream_frame(u);
	if (conf->kind == CLUSTER_NAME && ownaddr_has(&u->pod->own, &p->addr.ip, loop_now_ms(l)))    /* also those that no object tells of */
		return sock_broken(l, FAIL_FORBIDDEN_ADDRESS);
	switch (p->transport) {
	case TRANSPORT_ISTIO_MTLS:
		return open_istio(u, cl, p, ask);
	case TRANSPORT_TLS:
		return over_tls(u, conf, ask, open_sock(u, conf, &p->addr, ask));
	case TRANSPORT_HBONE:
	case TRANSPORT_WAYPOINT:
		return open_hbone(u, cl, p, ask);
	case TRANSPORT_PLAIN:
		break;
	}
	return open_sock(u, conf, &p->addr, ask);
}

static bool is_a(const struct stage *s, const char *name)
{
	return strcmp(s->ops->name, name) == 0;
}

static enum http_codec up_codec(struct connector *c, struct stage *s)
{
	struct str alpn = is_a(s, "tls") ? tls_alpn(s) : (struct str){ 0 };

	return str_is(alpn, "h2") ? HTTP_CODEC_H2 : str_is(alpn, "http/1.1") ? HTTP_CODEC_H1 : HTTP_CODEC_AUTO;
}

static struct str up_peer_id(struct connector *c, struct stage *s)
{
	s = mx_below(s);
	return is_a(s, "tls") ? tls_peer_id(s) : is_a(s, "tunnel") ? hpool_peer_id(s) : (struct str){ 0 };
}

static const char *up_error(struct connector *c, struct stage *s)
{
	s = mx_below(s);
	if (is_a(s, "tls"))
		return tls_error(s);
	if (is_a(s, "tunnel"))
		return hpool_error(s);
	return is_a(s, "sock") && sock_errno(s) ? strerror(sock_errno(s)) : "";
}

static void up_local(struct connector *c, struct stage *s, struct addr *ret)
{
	*ret = (struct addr){ .port = 0 };
	s = mx_below(s);
	if (is_a(s, "tls"))
		s = tls_below(s);
	if (is_a(s, "sock"))
		sock_local(s, ret);
}

struct str upstream_frame(struct upstream *u)
{
	const struct mesh *m = mesh_current();
	struct ip any = { { 0 } };
	struct workload *w;

	ip_parse(str_c("127.0.0.1"), &any);
	w = pod_local(u->pod, m, &any);
	if (w == u->local)
		return buf_str(&u->frame);
	workload_unref(u->local);
	u->local = w ? workload_ref(w) : NULL;
	buf_done(&u->frame);
	if (w)
		peermeta_frame(w, mesh_settings(m)->cluster_domain, &u->frame);
	return buf_str(&u->frame);
}

static void up_leaving(struct connector *c, struct cluster *cl)
{
	l7_leaving(upstream_of(c)->pod, cl);
}

void upstream_init(struct upstream *u, struct pod *pod)
{
	*u = (struct upstream){ .connector = { .connect = up_connect, .codec = up_codec, .peer_id = up_peer_id, .error = up_error, .local = up_local, .leaving = up_leaving }, .pod = pod };
	u->http = http_conn_default;
	u->http.stall_ms = 0;          /* a stream of events may be quiet for hours; dead hosts are TCP's to find */
	u->connector.http = &u->http;
}

void upstream_done(struct upstream *u)
{
	workload_unref(u->local);
	u->local = NULL;
	buf_done(&u->frame);
}
