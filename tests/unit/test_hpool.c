/* SPDX-License-Identifier: Apache-2.0 */
/* The pool against real HBONE servers on loopback, all on one loop; among them a gateway, for a tunnel in a tunnel. */
#include "hbone/hpool.h"
#include "hbone/hserve.h"
#include "io/listen.h"
#include "io/pump.h"
#include "pki.h"
#include "tests/unit/stages.h"
#include "tls/tls.h"

#define GATE   "spiffe://td/ns/net/sa/gate"
#define SERVER "spiffe://td/ns/shop/sa/cart"
#define CLIENT "spiffe://td/ns/web/sa/front"

static struct loop *l;
static struct hpool *pool;
static struct pki ca;
static struct tlsctx *client_ctx;

/* An HBONE server. Its answer: a status; 200 echoes, or passes on to `next`. */
static struct server {
	struct listener *listener;
	struct tlsctx *ctx;
	struct addr at, next;
	int status, n_conns, n_requests, n_gone;
	char host[100], network[100], baggage[100], caller[100];
	uint16_t caller_port;
	uint16_t port;
	bool has_network;
} gate, server;

/* A client's tunnel, and what came out of it. */
static struct probe {
	struct stage *s;
	char got[200], baggage[100];
	size_t n;
	bool open, eof;
	int fail;
} probe[3];

static struct tlsctx *ctx_of(const char *id)
{
	struct pki leaf;
	char san[200];
	struct tlsctx *c = NULL;
	struct tlsctx_conf conf = { 0 };
	struct str domain = str_c("td");
	struct err err;

	snprintf(san, sizeof(san), "URI:%s", id);
	leaf = pki_issue(&ca, &(struct pki_spec){ .san = san });
	conf.cert_chain_pem = str_c(pki_pem(leaf.cert));
	conf.key_pem = str_c(pki_key_pem(leaf.key));
	conf.roots_pem = str_c(pki_pem(ca.cert));
	conf.trust_domains = &domain;
	conf.n_trust_domains = 1;
	ck_assert_msg(tlsctx_new(&conf, &c, &err) == 0, "%s", err.msg);
	free((char *)conf.cert_chain_pem.p);
	free((char *)conf.key_pem.p);
	free((char *)conf.roots_pem.p);
	pki_done(&leaf);
	return c;
}

static void copy(char to[100], struct str s)
{
	snprintf(to, 100, "%.*s", STR_FMT(s));
}

static void on_echo(struct stage *s, enum stage_event ev, const struct iovec *iov, int n)
{
	if (ev == STAGE_DATA)
		stage_write(s, iov, n);
	else if (ev == STAGE_EOF)
		stage_done(s, FAIL_NONE);
	else if (ev == STAGE_CLOSED)
		stage_done(s, s->fail);
}

static void on_relay_end(struct pump *p, enum fail why)
{
	free(p);
}

static void on_connect(struct hserve *h, struct http_stream *tunnel, const struct hserve_request *req, void *arg)
{
	struct server *s = arg;

	s->n_requests++;
	s->port = req->addr.port;
	s->has_network = req->forwarded_network.p != NULL;
	copy(s->host, req->host);
	copy(s->network, req->forwarded_network);
	copy(s->baggage, req->baggage.ns);
	copy(s->caller, req->caller);
	s->caller_port = req->forwarded_for.port;
	if (s->status != 200) {
		hserve_refuse(tunnel, s->status);
		return;
	}
	hserve_accept(tunnel, str_c(s == &server ? "k8s.namespace.name=shop" : ""));
	if (s->next.port) {
		struct pump *p = xcalloc(1, sizeof(*p));

		pump_start(p, &tunnel->stage, sock_connect(l, &s->next, NULL, NULL, 0), on_relay_end);
		return;
	}
	tunnel->stage.on_event = on_echo;
	stage_want(&tunnel->stage, true);
}

static void on_server_closed(struct hserve *h, enum fail why, void *arg)
{
	((struct server *)arg)->n_gone++;
}

static void on_bad(struct hserve *h, enum fail why, struct str detail, void *arg) {}

static const struct hserve_ops ops = { .on_connect = on_connect, .on_closed = on_server_closed, .on_bad_request = on_bad };

static void on_accept(void *arg, int fd, const struct addr *peer)
{
	struct server *s = arg;

	s->n_conns++;
	hserve_new(tls_server(sock_accept(l, fd), s->ctx), &ops, s);
}

static void serve(struct server *s, const char *id)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	int fd;

	*s = (struct server){ .status = 200, .ctx = ctx_of(id) };
	ck_assert_int_eq(addr_parse(str_c("127.0.0.1:0"), &s->at), 0);
	fd = sock_listen(&s->at, NULL);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	addr_from_sockaddr(&sa, &s->at);
	s->listener = listener_new(l, fd, NULL, on_accept, s);
}

static void on_probe(struct stage *s, enum stage_event ev, const struct iovec *iov, int n)
{
	struct probe *p = s->arg;

	p->open |= ev == STAGE_OPEN;
	p->eof |= ev == STAGE_EOF;
	if (ev == STAGE_OPEN) {
		copy(p->baggage, hpool_reply_baggage(s));
		stage_want(s, true);
	}
	if (ev == STAGE_CLOSED)
		p->fail = (int)s->fail;
	for (int i = 0; ev == STAGE_DATA && i < n && p->n + iov[i].iov_len < sizeof(p->got); i++) {
		memcpy(p->got + p->n, iov[i].iov_base, iov[i].iov_len);
		p->n += iov[i].iov_len;
	}
}

static void say(struct probe *p, const char *text)
{
	struct iovec iov = { (void *)text, strlen(text) };

	stage_write(p->s, &iov, 1);
}

static void start(void)
{
	l = loop_new(0);
	pool = hpool_new(l, NULL);
	ca = pki_ca(NULL, "root");
	client_ctx = ctx_of(CLIENT);
	serve(&gate, GATE);
	serve(&server, SERVER);
	gate.next = server.at;
	memset(probe, 0, sizeof(probe));
}

static void stop(void)
{
	for (int i = 0; i < 3; i++)
		stage_done(probe[i].s, FAIL_NONE);
	turn(l);
	hpool_free(pool);
	listener_free(gate.listener);
	listener_free(server.listener);
	turn(l);
	loop_free(l);
	tlsctx_unref(gate.ctx);
	tlsctx_unref(server.ctx);
	tlsctx_unref(client_ctx);
	pki_done(&ca);
}

static void watch(struct probe *p, struct stage *s)
{
	ck_assert_ptr_nonnull(s);
	p->s = s;
	s->on_event = on_probe;
	s->arg = p;
}

static void open_direct(struct probe *p)
{
	static struct str expect[1];
	struct hpool_target t = { .ctx = client_ctx, .own_id = str_c(CLIENT), .expect = expect, .n_expect = 1, .addr = server.at };

	expect[0] = str_c(SERVER);
	watch(p, hpool_open(pool, &t, &(struct hpool_request){ .authority = str_c("10.0.0.1:80"), .baggage = str_c("k8s.namespace.name=web"),
						    .forwarded = str_c("for=\"10.0.0.9:999\""), .xfcc = str_c("By=" CLIENT ";URI=spiffe://td/ns/web/sa/caller") }));
}

static void open_double(struct probe *p, const char *gate_id, const char *inner_id)
{
	struct str outer = str_c(gate_id), inner = str_c(inner_id);
	struct hpool_request r = { .authority = str_c("cart.test:80"), .baggage = str_c("k8s.namespace.name=web") }, in = r;
	struct hpool_via via = { { .ctx = client_ctx, .own_id = str_c(CLIENT), .expect = &outer, .n_expect = 1, .addr = gate.at }, r };
	struct hpool_target t = { .ctx = client_ctx, .own_id = str_c(CLIENT), .expect = &inner, .n_expect = 1 };

	in.forwarded_network = str_c("near");
	watch(p, hpool_open_via(pool, &via, &t, &in));
}

/* Handshakes take their time, more so under sanitizers. */
static void until(const bool *flag, const int *fail)
{
	for (int i = 0; i < 200 && !*flag && !*fail; i++)
		turn(l);
}

START_TEST(direct)
{
	start();
	open_direct(&probe[0]);
	open_direct(&probe[1]);
	say(&probe[0], "hello");
	until(&probe[0].open, &probe[0].fail);
	until(&probe[1].open, &probe[1].fail);
	turn(l);
	ck_assert(probe[0].open && probe[1].open);
	ck_assert_str_eq(probe[0].got, "hello");
	ck_assert_int_eq(server.n_conns, 1);
	ck_assert_int_eq(server.n_requests, 2);
	ck_assert(!server.has_network);
	ck_assert_str_eq(server.baggage, "web");
	ck_assert_str_eq(server.caller, "spiffe://td/ns/web/sa/caller");
	ck_assert_int_eq(server.caller_port, 999);
	ck_assert_str_eq(probe[0].baggage, "k8s.namespace.name=shop");
	stop();
}
END_TEST

START_TEST(in_a_tunnel)
{
	start();
	open_double(&probe[0], GATE, SERVER);
	say(&probe[0], "hello");
	until(&probe[0].open, &probe[0].fail);
	turn(l);
	ck_assert(probe[0].open);
	ck_assert_str_eq(probe[0].got, "hello");
	ck_assert_str_eq(gate.host, "cart.test");
	ck_assert_int_eq(gate.port, 80);
	ck_assert(!gate.has_network);
	ck_assert_str_eq(server.host, "cart.test");
	ck_assert_int_eq(server.port, 80);
	ck_assert_str_eq(server.network, "near");
	ck_assert_str_eq(server.baggage, "web");
	ck_assert_str_eq(probe[0].baggage, "k8s.namespace.name=shop");
	/* The outer connection is shared, the inner one never is. */
	open_double(&probe[1], GATE, SERVER);
	until(&probe[1].open, &probe[1].fail);
	ck_assert(probe[1].open);
	ck_assert_int_eq(gate.n_conns, 1);
	ck_assert_int_eq(gate.n_requests, 2);
	ck_assert_int_eq(server.n_conns, 2);
	/* A half-close comes back as one, and then the inner connection is gone on both sides. */
	stage_shut(probe[0].s);
	until(&probe[0].eof, &probe[0].fail);
	ck_assert(probe[0].eof);
	stage_done(probe[0].s, FAIL_NONE);
	probe[0].s = NULL;
	for (int i = 0; i < 20 && !server.n_gone; i++)
		turn(l);
	ck_assert_int_eq(server.n_gone, 1);
	ck_assert_int_eq(gate.n_gone, 0);
	say(&probe[1], "still");
	turn(l);
	ck_assert_str_eq(probe[1].got, "still");
	stop();
}
END_TEST

/* What a client may do as soon as it has asked. */
START_TEST(early_end)
{
	start();
	for (int i = 0; i < 3; i++) {
		open_double(&probe[i], GATE, SERVER);
		say(&probe[i], "x");
	}
	stage_shut(probe[0].s);
	stage_done(probe[1].s, FAIL_CLIENT_RESET);
	probe[1].s = NULL;
	until(&probe[0].eof, &probe[0].fail);
	ck_assert(probe[0].eof);
	ck_assert_str_eq(probe[0].got, "x");
	stage_done(probe[2].s, FAIL_CLIENT_RESET);
	probe[2].s = NULL;
	stop();
}
END_TEST

static const struct {
	const char *gate_id, *inner_id;
	int gate_status, status;
	enum fail why;
	int reply;
	bool may_retry;
} failures[] = {
	{ GATE, CLIENT, 200, 200, FAIL_WRONG_IDENTITY, 0, true },
	{ SERVER, SERVER, 200, 200, FAIL_WRONG_IDENTITY, 0, true },
	{ GATE, SERVER, 503, 200, FAIL_HTTP_STATUS, 0, true },
	{ GATE, SERVER, 401, 200, FAIL_DENIED_BY_PEER, 0, true },
	{ GATE, SERVER, 200, 503, FAIL_HTTP_STATUS, 503, true },
	{ GATE, SERVER, 200, 401, FAIL_DENIED_BY_PEER, 401, true },
};

START_TEST(failing)
{
	start();
	gate.status = failures[_i].gate_status;
	server.status = failures[_i].status;
	open_double(&probe[0], failures[_i].gate_id, failures[_i].inner_id);
	say(&probe[0], "x");
	until(&probe[0].open, &probe[0].fail);
	ck_assert(!probe[0].open);
	ck_assert_int_eq(probe[0].fail, failures[_i].why);
	ck_assert_int_eq(hpool_status(probe[0].s), failures[_i].reply);
	ck_assert_int_eq(hpool_may_retry(probe[0].s), failures[_i].may_retry);
	ck_assert_str_ne(hpool_error(probe[0].s), "");
	stop();
}
END_TEST

/* The pool ends with tunnels in every state. */
START_TEST(end_of_the_pool)
{
	start();
	open_double(&probe[0], GATE, SERVER);
	until(&probe[0].open, &probe[0].fail);
	open_double(&probe[1], GATE, SERVER);
	open_direct(&probe[2]);
	if (_i)
		turn(l);
	hpool_free(pool);
	turn(l);
	for (int i = 0; i < 3; i++)
		ck_assert(probe[i].fail || probe[i].open);
	pool = hpool_new(l, NULL);
	stop();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("hpool");
	TCase *tc = tcase_create("hpool");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, direct);
	tcase_add_test(tc, in_a_tunnel);
	tcase_add_test(tc, early_end);
	tcase_add_loop_test(tc, failing, 0, (int)ARRAY_LEN(failures));
	tcase_add_loop_test(tc, end_of_the_pool, 0, 2);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
