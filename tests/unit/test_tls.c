/* SPDX-License-Identifier: Apache-2.0 */
/* Both ends of a connection as stages: what HBONE and Istio's mutual TLS agree on. */
#include "tls/tls.h"

#include <openssl/ssl.h>

#include "tests/unit/pki.h"
#include "tests/unit/stages.h"
#include "tls/tlsctx_int.h"

#define WEB "spiffe://td/ns/default/sa/web"
#define DB  "spiffe://td/ns/default/sa/db"

static struct loop *l;
static struct pki ca, web, db;
static struct tlsctx *web_ctx, *db_ctx;

static struct tlsctx *make(const struct pki *leaf)
{
	char *cert = pki_pem(leaf->cert), *key = pki_key_pem(leaf->key), *roots = pki_pem(ca.cert);
	struct tlsctx_conf conf = { .cert_chain_pem = str_c(cert), .key_pem = str_c(key), .roots_pem = str_c(roots) };
	struct tlsctx *c = NULL;
	struct err err;

	ck_assert_msg(tlsctx_new(&conf, &c, &err) == 0, "%s", err.msg);
	free(cert);
	free(key);
	free(roots);
	return c;
}

static void start(void)
{
	l = loop_new(-1);
	ca = pki_ca(NULL, "the root");
	web = pki_issue(&ca, &(struct pki_spec){ .san = "URI:" WEB ",DNS:web.example", .name = "a \"b\"" });
	db = pki_issue(&ca, &(struct pki_spec){ .san = "URI:" DB });
	web_ctx = make(&web);
	db_ctx = make(&db);
}

static void stop(void)
{
	tlsctx_unref(web_ctx);
	tlsctx_unref(db_ctx);
	pki_done(&ca);
	pki_done(&web);
	pki_done(&db);
	loop_free(l);
}

struct end {
	struct stage *tls;
	bool open, closed;
};

static void on_event(struct stage *s, enum stage_event ev, const struct iovec *iov, int n)
{
	struct end *e = s->arg;

	e->open |= ev == STAGE_OPEN;
	e->closed |= ev == STAGE_CLOSED;
}

/* web calls db; each says what it speaks. */
static void meet(enum tls_alpn client, enum tls_alpn server, const char *sni, const char *expect, int version, struct end *c, struct end *s)
{
	struct str names[] = { str_c(expect) };
	struct stage *below;
	int near, far;

	tcp_pair(&near, &far);
	fcntl(far, F_SETFL, O_NONBLOCK);
	below = sock_accept(l, far);
	*c = (struct end){ tls_client(below, web_ctx, names, expect ? 1 : 0), false, false };
	*s = (struct end){ tls_server(sock_accept(l, near), db_ctx), false, false };
	tls_set_alpn(c->tls, client);
	tls_set_alpn(s->tls, server);
	tls_set_sni(c->tls, str_c(sni));
	c->tls->on_event = s->tls->on_event = on_event;
	c->tls->arg = c;
	s->tls->arg = s;
	if (version)
		SSL_CTX_set_max_proto_version(tlsctx_ssl(web_ctx, false), version);
	stage_emit(below, STAGE_OPEN, NULL, 0);
	for (int i = 0; i < 100 && !((c->open && s->open) || (c->closed && s->closed)); i++)
		turn(l);
}

static void part(struct end *c, struct end *s)
{
	stage_done(c->tls, FAIL_NONE);
	stage_done(s->tls, FAIL_NONE);
	turn(l);
}

static const struct { enum tls_alpn client, server; const char *agreed; } pairs[] = {
	{ TLS_ALPN_HBONE, TLS_ALPN_HBONE, "h2" },
	{ TLS_ALPN_ISTIO_TCP, TLS_ALPN_ISTIO_TCP, "istio-peer-exchange" },
	{ TLS_ALPN_ISTIO_TCP, TLS_ALPN_ISTIO_HTTP1, "" },
	{ TLS_ALPN_ISTIO_HTTP1, TLS_ALPN_ISTIO_HTTP1, "http/1.1" },
	{ TLS_ALPN_ISTIO_HTTP1, TLS_ALPN_ISTIO_TCP, "http/1.1" },
	{ TLS_ALPN_ISTIO_HTTP2, TLS_ALPN_ISTIO_HTTP1, "h2" },
	{ TLS_ALPN_NONE, TLS_ALPN_ISTIO_TCP, "" },
	{ TLS_ALPN_ISTIO_TCP, TLS_ALPN_HBONE, NULL },
};

START_TEST(agree)
{
	struct end c, s;

	meet(pairs[_i].client, pairs[_i].server, "outbound_.80_._.db", DB, 0, &c, &s);
	ck_assert_int_eq(s.open, pairs[_i].agreed != NULL);
	if (s.open) {
		ck_assert(str_is(tls_alpn(c.tls), pairs[_i].agreed) && str_is(tls_alpn(s.tls), pairs[_i].agreed));
		ck_assert(str_is(tls_sni(s.tls), "outbound_.80_._.db"));
		ck_assert(str_is(tls_peer_id(s.tls), WEB) && str_is(tls_peer_id(c.tls), DB));
	}
	part(&c, &s);
}
END_TEST

/* A sidecar may speak TLS 1.2, an HBONE peer may not. */
START_TEST(versions)
{
	struct end c, s;

	for (int again = 0; again < 2; again++) {
		meet(TLS_ALPN_ISTIO_HTTP1, TLS_ALPN_ISTIO_HTTP1, NULL, DB, TLS1_2_VERSION, &c, &s);
		ck_assert(c.open && s.open && !tls_was_resumed(s.tls));
		ck_assert(str_is(tls_peer_id(s.tls), WEB) && str_is(tls_sni(s.tls), ""));
		ck_assert(tls_still_valid(s.tls, db_ctx));
		part(&c, &s);
	}
	meet(TLS_ALPN_ISTIO_TCP, TLS_ALPN_HBONE, NULL, DB, TLS1_2_VERSION, &c, &s);
	ck_assert(c.closed && s.closed);
	ck_assert_ptr_nonnull(strstr(tls_error(s.tls), "TLS 1.3"));
	part(&c, &s);
}
END_TEST

START_TEST(wrong_peer)
{
	struct end c, s;

	meet(TLS_ALPN_ISTIO_HTTP1, TLS_ALPN_ISTIO_HTTP1, NULL, WEB, TLS1_2_VERSION, &c, &s);
	ck_assert(c.closed && s.closed && c.tls->fail == FAIL_WRONG_IDENTITY);
	part(&c, &s);
}
END_TEST

START_TEST(xfcc)
{
	struct buf out = { 0 };
	struct end c, s;
	char *end;

	meet(TLS_ALPN_ISTIO_HTTP2, TLS_ALPN_ISTIO_HTTP1, NULL, DB, 0, &c, &s);
	tls_xfcc(s.tls, &out);
	buf_append(&out, "", 1);
	ck_assert_int_eq(strncmp((char *)buf_data(&out), "By=" DB ";Hash=", strlen("By=" DB ";Hash=")), 0);
	end = (char *)buf_data(&out) + strlen("By=" DB ";Hash=");
	ck_assert_uint_eq(strspn(end, "0123456789abcdef"), 64);
	ck_assert_str_eq(end + 64, ";Subject=\"O=a \\\"b\\\"\";URI=" WEB ";DNS=web.example");
	buf_done(&out);
	part(&c, &s);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("tls");
	TCase *t = tcase_create("tls");

	tcase_add_checked_fixture(t, start, stop);
	tcase_add_loop_test(t, agree, 0, ARRAY_LEN(pairs));
	tcase_add_test(t, versions);
	tcase_add_test(t, wrong_peer);
	tcase_add_test(t, xfcc);
	suite_add_tcase(s, t);
	return suite_run(s);
}
