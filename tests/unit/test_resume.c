/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions that are resumed, and those that must not be. */
#include <unistd.h>

#include "base/limits.h"
#include "pki.h"
#include "shake.h"
#include "tests/unit/stages.h"
#include "tls/resume_int.h"
#include "tls/tls.h"

#define WEB "spiffe://td/ns/default/sa/web"
#define DB  "spiffe://td/ns/default/sa/db"

static struct pki root, middle, web, db;

static void setup(void)
{
	root = pki_ca(NULL, "root");
	middle = pki_ca(&root, "middle");
	web = pki_issue(&root, &(struct pki_spec){ .san = "URI:" WEB });
	db = pki_issue(&root, &(struct pki_spec){ .san = "URI:" DB });
}

static void teardown(void)
{
	pki_done(&root);
	pki_done(&middle);
	pki_done(&web);
	pki_done(&db);
}

struct spec {
	const struct pki *leaf, *via;
	const char *crl, *domain;
	bool tls12;
};

static struct tlsctx *make(struct spec s)
{
	char *leaf = pki_pem(s.leaf->cert), *key = pki_key_pem(s.leaf->key), *roots = pki_pem(root.cert);
	char *via = s.via ? pki_pem(s.via->cert) : strdup(""), *chain = xasprintf("%s%s", leaf, via);
	struct str domain = str_c(s.domain ? s.domain : "td");
	struct tlsctx_conf conf = {
		.cert_chain_pem = str_c(chain), .key_pem = str_c(key), .roots_pem = str_c(roots), .crl_pem = str_c(s.crl),
		.trust_domains = &domain, .n_trust_domains = 1, .allow_tls12 = s.tls12,
	};
	struct tlsctx *c = NULL;
	struct err err;

	ck_assert_msg(tlsctx_new(&conf, &c, &err) == 0, "%s", err.msg);
	free(leaf);
	free(key);
	free(roots);
	free(via);
	free(chain);
	return c;
}

static void begin(struct shake *s, struct tlsctx *client, struct tlsctx *server, const char *key)
{
	shake_init(s, client, server);
	s->cv.session_key = str_c(key);
	resume_offer(client, s->client, &s->cv);
}

/* 1: both say that it was resumed. -1: refused. */
static int end(struct shake *s)
{
	int reused;

	shake_run(s);
	if (!s->client_ok || !s->server_ok || s->cv.fail != FAIL_NONE || s->sv.fail != FAIL_NONE)
		return -1;
	reused = SSL_session_reused(s->client);
	ck_assert_int_eq(reused, SSL_session_reused(s->server));
	ck_assert_str_eq(s->cv.peer_id, s->server_ctx->id);
	ck_assert_str_eq(s->sv.peer_id, s->client_ctx->id);
	ck_assert(tlsctx_peer_still_valid(s->client_ctx, s->client));
	ck_assert(tlsctx_peer_still_valid(s->server_ctx, s->server));
	return reused;
}

static int meet(struct tlsctx *client, struct tlsctx *server, const char *key)
{
	struct shake s;
	int r;

	begin(&s, client, server, key);
	r = end(&s);
	shake_done(&s);
	return r;
}

START_TEST(again_and_again)
{
	struct tlsctx *a = make((struct spec){ .leaf = &web }), *b = make((struct spec){ .leaf = &db });
	struct shake s;

	ck_assert_int_eq(meet(a, b, "k"), 0);
	ck_assert_int_eq(meet(a, b, "k"), 1);
	ck_assert_int_eq(meet(a, b, "k"), 1);
	ck_assert_int_eq(meet(a, b, "other key"), 0);
	ck_assert_int_eq(meet(a, b, NULL), 0);
	begin(&s, a, b, "k");
	ck_assert_int_eq(end(&s), 1);
	ck_assert_int_eq(SSL_get_negotiated_group(s.client), NID_X25519);      /* a key exchange in any case */
	ck_assert_uint_eq(SSL_SESSION_get_max_early_data(SSL_get0_session(s.client)), 0);
	ck_assert_int_eq(SSL_get_early_data_status(s.server), SSL_EARLY_DATA_NOT_SENT);
	ck_assert_uint_le(SSL_SESSION_get_ticket_lifetime_hint(SSL_get0_session(s.client)), 3600);
	ck_assert_uint_gt(SSL_SESSION_get_ticket_lifetime_hint(SSL_get0_session(s.client)), 3500);
	shake_done(&s);
	tlsctx_unref(a);
	tlsctx_unref(b);
}
END_TEST

/* A ticket is shown once; who comes meanwhile makes a full handshake. */
START_TEST(used_once)
{
	struct tlsctx *a = make((struct spec){ .leaf = &web }), *b = make((struct spec){ .leaf = &db });
	struct shake s, t;

	ck_assert_int_eq(meet(a, b, "k"), 0);
	begin(&s, a, b, "k");
	begin(&t, a, b, "k");
	ck_assert_int_eq(end(&s), 1);
	ck_assert_int_eq(end(&t), 0);
	shake_done(&s);
	shake_done(&t);
	tlsctx_unref(a);
	tlsctx_unref(b);
}
END_TEST

START_TEST(not_after_rotation)
{
	struct tlsctx *a = make((struct spec){ .leaf = &web }), *b = make((struct spec){ .leaf = &db });
	struct tlsctx *a2 = make((struct spec){ .leaf = &web }), *b2 = make((struct spec){ .leaf = &db });

	ck_assert_int_eq(meet(a, b, "k"), 0);
	ck_assert_int_eq(meet(a, b2, "k"), 0);      /* not even the same certificate in a new context */
	ck_assert_int_eq(meet(a, b2, "k"), 1);
	ck_assert_int_eq(meet(a2, b2, "k"), 0);
	ck_assert_int_eq(meet(a2, b2, "k"), 1);
	tlsctx_unref(a);
	tlsctx_unref(b);
	tlsctx_unref(a2);
	tlsctx_unref(b2);
}
END_TEST

START_TEST(not_across_identities)
{
	struct tlsctx *a = make((struct spec){ .leaf = &web }), *b = make((struct spec){ .leaf = &db });
	struct str wrong = str_c(WEB);
	struct shake s;

	/* Another peer under the same key, and another one of ours. */
	ck_assert_int_eq(meet(a, b, "k"), 0);
	ck_assert_int_eq(meet(a, a, "k"), 0);
	ck_assert_int_eq(meet(a, b, "k"), 0);
	ck_assert_int_eq(meet(b, b, "k"), 0);

	/* The ticket is good for this peer, but somebody else is wanted now. */
	ck_assert_int_eq(meet(a, b, "k"), 1);
	shake_init(&s, a, b);
	s.cv.session_key = str_c("k");
	s.cv.expect = &wrong;
	s.cv.n_expect = 1;
	resume_offer(a, s.client, &s.cv);
	ck_assert_int_eq(end(&s), -1);
	ck_assert_int_eq(s.cv.fail, FAIL_WRONG_IDENTITY);
	ck_assert(!SSL_session_reused(s.client));
	shake_done(&s);
	tlsctx_unref(a);
	tlsctx_unref(b);
}
END_TEST

START_TEST(not_when_revoked)
{
	char *crl = pki_crl(&root, &web, 3600);
	struct tlsctx *a = make((struct spec){ .leaf = &web }), *b = make((struct spec){ .leaf = &db });
	struct tlsctx *b2 = make((struct spec){ .leaf = &db, .crl = crl }), *a2 = make((struct spec){ .leaf = &web, .crl = crl });
	struct shake s;

	ck_assert_int_eq(meet(a, b, "k"), 0);
	begin(&s, a, b, "k");
	ck_assert_int_eq(end(&s), 1);
	ck_assert(!tlsctx_peer_still_valid(b2, s.server));       /* the resumed one is cut */
	ck_assert(tlsctx_peer_still_valid(a2, s.client));
	shake_done(&s);
	ck_assert_int_eq(meet(a, b2, "k"), -1);
	tlsctx_unref(a);
	tlsctx_unref(b);
	tlsctx_unref(a2);
	tlsctx_unref(b2);
	free(crl);
}
END_TEST

START_TEST(not_when_expired)
{
	struct pki soon = pki_issue(&root, &(struct pki_spec){ .san = "URI:" DB, .from = -60, .to = 3 });
	struct tlsctx *a = make((struct spec){ .leaf = &web }), *b = make((struct spec){ .leaf = &soon });
	struct shake s;

	for (int turned = 0; turned < 2; turned++) {
		struct tlsctx *client = turned ? b : a, *server = turned ? a : b;

		ck_assert_int_eq(meet(client, server, "k"), 0);
		begin(&s, client, server, "k");
		ck_assert_int_eq(end(&s), 1);
		ck_assert_uint_le(SSL_SESSION_get_ticket_lifetime_hint(SSL_get0_session(s.client)), 3);
		shake_done(&s);
	}
	sleep(4);
	begin(&s, a, b, "k");
	ck_assert_int_eq(end(&s), -1);
	ck_assert_msg(strstr(s.cv.error, "certificate has expired") != NULL, "%s", s.cv.error);
	shake_done(&s);
	begin(&s, b, a, "k");
	ck_assert_int_eq(end(&s), -1);
	ck_assert_msg(strstr(s.sv.error, "certificate has expired") != NULL, "%s", s.sv.error);
	shake_done(&s);
	tlsctx_unref(a);
	tlsctx_unref(b);
	pki_done(&soon);
}
END_TEST

START_TEST(not_across_trust)
{
	struct tlsctx *a = make((struct spec){ .leaf = &web }), *b = make((struct spec){ .leaf = &db }), *strange = make((struct spec){ .leaf = &db, .domain = "other" });

	ck_assert_int_eq(meet(a, b, "k"), 0);
	ck_assert_int_eq(meet(a, strange, "k"), -1);
	tlsctx_unref(a);
	tlsctx_unref(b);
	tlsctx_unref(strange);
}
END_TEST

/* What the CRL says of an intermediate counts for a resumed connection too: its chain is known. */
START_TEST(intermediates)
{
	struct pki deep = pki_issue(&middle, &(struct pki_spec){ .san = "URI:" WEB });
	char *crl = pki_crl(&root, &middle, 3600);
	struct tlsctx *a = make((struct spec){ .leaf = &deep, .via = &middle }), *b = make((struct spec){ .leaf = &db });
	struct tlsctx *now = make((struct spec){ .leaf = &db, .crl = crl });
	struct shake s;

	ck_assert_int_eq(meet(a, b, "k"), 0);
	begin(&s, a, b, "k");
	ck_assert_int_eq(end(&s), 1);
	ck_assert_int_eq(sk_X509_num(resume_chain(s.server)), 3);
	ck_assert(!tlsctx_peer_still_valid(now, s.server));
	shake_done(&s);
	tlsctx_unref(a);
	tlsctx_unref(b);
	tlsctx_unref(now);
	pki_done(&deep);
	free(crl);
}
END_TEST

START_TEST(many_issuers)
{
	struct tlsctx *b = make((struct spec){ .leaf = &db });

	for (int n = 0; n < 20; n++) {
		struct pki mid = pki_ca(&root, "one of many"), leaf = pki_issue(&mid, &(struct pki_spec){ .san = "URI:" WEB });
		struct tlsctx *a = make((struct spec){ .leaf = &leaf, .via = &mid });

		ck_assert_int_eq(meet(a, b, "k"), 0);
		ck_assert_int_eq(meet(a, b, "k"), n < 16);      /* beyond: full handshakes */
		tlsctx_unref(a);
		pki_done(&mid);
		pki_done(&leaf);
	}
	tlsctx_unref(b);
}
END_TEST

START_TEST(bounded)
{
	struct tlsctx *a = make((struct spec){ .leaf = &web }), *b = make((struct spec){ .leaf = &db });
	char key[16];

	for (int n = 0; n < LIMIT_SESSIONS + 10; n++) {
		snprintf(key, sizeof(key), "key %d", n);
		ck_assert_int_eq(meet(a, b, key), 0);
	}
	ck_assert_int_eq(meet(a, b, "key 9"), 0);      /* dropped */
	ck_assert_int_eq(meet(a, b, "key 11"), 1);
	ck_assert_int_eq(meet(a, b, key), 1);
	tlsctx_unref(a);
	tlsctx_unref(b);
}
END_TEST

START_TEST(not_in_tls12)
{
	struct tlsctx *a = make((struct spec){ .leaf = &web, .tls12 = true }), *b = make((struct spec){ .leaf = &db, .tls12 = true });

	for (int n = 0; n < 2; n++) {
		struct shake s;

		begin(&s, a, b, "k");
		SSL_set_max_proto_version(s.client, TLS1_2_VERSION);
		ck_assert_int_eq(end(&s), 0);
		ck_assert_str_eq(SSL_get_version(s.client), "TLSv1.2");
		shake_done(&s);
	}
	tlsctx_unref(a);
	tlsctx_unref(b);
}
END_TEST

/* Envoy sends tickets too; they are read and not kept. */
START_TEST(tickets_of_others)
{
	struct tlsctx *a = make((struct spec){ .leaf = &web }), *b = make((struct spec){ .leaf = &db });
	unsigned char keys[80];

	memset(keys, 7, sizeof(keys));
	SSL_CTX_set_tlsext_ticket_keys(b->server, keys, sizeof(keys));
	ck_assert_int_eq(meet(a, b, "k"), 0);
	ck_assert_int_eq(meet(a, b, "k"), 0);
	tlsctx_unref(a);
	tlsctx_unref(b);
}
END_TEST

/* ---- the stage ---- */

struct side {
	struct stage *tls;
	bool open, closed, eof;
	size_t got;
};

static void on_event(struct stage *s, enum stage_event ev, const struct iovec *iov, int n)
{
	struct side *side = s->arg;

	side->open |= ev == STAGE_OPEN;
	side->eof |= ev == STAGE_EOF;
	side->closed |= ev == STAGE_CLOSED;
	for (int i = 0; ev == STAGE_DATA && i < n; i++)
		side->got += iov[i].iov_len;
}

static void side_done(struct side *s, struct loop *l, bool abrupt)
{
	stage_done(s->tls, abrupt ? FAIL_PEER_CLOSED : FAIL_NONE);
	turn(l);
}

START_TEST(stages)
{
	struct tlsctx *a = make((struct spec){ .leaf = &web }), *b = make((struct spec){ .leaf = &db });
	struct loop *l = loop_new(-1);
	struct iovec hello = { (void *)"hello", 5 };
	struct str expect = str_c(DB);

	for (int round = 0; round < 4; round++) {
		struct side client = { 0 }, server = { 0 };
		struct stage *near;
		int fds[2];

		tcp_pair(&fds[0], &fds[1]);
		near = sock_accept(l, fds[0]);
		client.tls = tls_client(near, a, &expect, 1);
		if (round != 3)
			tls_resume(client.tls, str_c("db"));
		server.tls = tls_server(sock_accept(l, fds[1]), b);
		client.tls->on_event = server.tls->on_event = on_event;
		client.tls->arg = &client;
		server.tls->arg = &server;
		stage_write(client.tls, &hello, 1);
		stage_emit(near, STAGE_OPEN, NULL, 0);   /* as if it had been dialed */
		for (int i = 0; i < 100 && !(client.open && server.open && server.got); i++)
			turn(l);
		ck_assert_uint_eq(server.got, 5);
		ck_assert(str_is(tls_peer_id(client.tls), DB));
		ck_assert(str_is(tls_peer_id(server.tls), WEB));
		ck_assert(tls_was_resumed(client.tls) == (round == 1 || round == 2));
		ck_assert(tls_was_resumed(server.tls) == tls_was_resumed(client.tls));
		ck_assert(tls_still_valid(client.tls, a) && tls_still_valid(server.tls, b));
		side_done(&client, l, round == 1);       /* a broken connection does not spoil what follows */
		side_done(&server, l, false);
	}
	loop_free(l);
	tlsctx_unref(a);
	tlsctx_unref(b);
}
END_TEST

static double cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* That it is worth its while. */
START_TEST(cheaper)
{
	struct tlsctx *a = make((struct spec){ .leaf = &web }), *b = make((struct spec){ .leaf = &db });
	double full, resumed, at;

	at = cpu_us();
	for (int n = 0; n < 100; n++)
		ck_assert_int_eq(meet(a, b, NULL), 0);
	full = cpu_us() - at;
	meet(a, b, "k");
	at = cpu_us();
	for (int n = 0; n < 100; n++)
		ck_assert_int_eq(meet(a, b, "k"), 1);
	resumed = cpu_us() - at;
	printf("both sides: full %.0f us, resumed %.0f us, ratio %.2f\n", full / 100, resumed / 100, resumed / full);
	ck_assert(resumed < full);
	tlsctx_unref(a);
	tlsctx_unref(b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("resume");
	TCase *tc = tcase_create("resume");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, again_and_again);
	tcase_add_test(tc, used_once);
	tcase_add_test(tc, not_after_rotation);
	tcase_add_test(tc, not_across_identities);
	tcase_add_test(tc, not_when_revoked);
	tcase_add_test(tc, not_when_expired);
	tcase_add_test(tc, not_across_trust);
	tcase_add_test(tc, intermediates);
	tcase_add_test(tc, many_issuers);
	tcase_add_test(tc, bounded);
	tcase_add_test(tc, not_in_tls12);
	tcase_add_test(tc, tickets_of_others);
	tcase_add_test(tc, stages);
	tcase_add_test(tc, cheaper);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
