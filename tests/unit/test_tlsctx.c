/* SPDX-License-Identifier: Apache-2.0 */
/* Real handshakes over memory BIOs. */
#include <check.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "pki.h"
#include "shake.h"
#include "tls/tlsctx.h"
#include "tls/tlsctx_int.h"

#define WEB "spiffe://td/ns/default/sa/web"
#define DB  "spiffe://td/ns/default/sa/db"

static struct pki root, other_root, middle;

static void setup(void)
{
	root = pki_ca(NULL, "root");
	other_root = pki_ca(NULL, "other");
	middle = pki_ca(&root, "middle");
}

static void teardown(void)
{
	pki_done(&root);
	pki_done(&other_root);
	pki_done(&middle);
}

struct ctx_spec {
	const char *domains[3];     /* empty: { "td" } */
	const char *crl;
	const struct pki *root;     /* NULL: root */
	const struct pki *via;      /* intermediate that is sent along */
	bool tls12;
};

static int ctx_try(const struct pki *leaf, const struct ctx_spec *s, struct tlsctx **ret, struct err *err)
{
	char *cert = pki_pem(leaf->cert), *key = pki_key_pem(leaf->key);
	char *roots = pki_pem(s->root ? s->root->cert : root.cert);
	char *via = s->via ? pki_pem(s->via->cert) : NULL;
	char *chain = xasprintf("%s%s", cert, via ? via : "");
	struct str domains[3];
	int n = 0;
	struct tlsctx_conf conf = {
		.cert_chain_pem = str_c(chain), .key_pem = str_c(key), .roots_pem = str_c(roots), .crl_pem = str_c(s->crl),
		.trust_domains = domains, .allow_tls12 = s->tls12,
	};
	int r;

	for (; n < 3 && s->domains[n]; n++)
		domains[n] = str_c(s->domains[n]);
	conf.n_trust_domains = n;
	r = tlsctx_new(&conf, ret, err);
	free(cert);
	free(key);
	free(roots);
	free(via);
	free(chain);
	return r;
}

static struct tlsctx *ctx_make(const struct pki *leaf, const struct ctx_spec *s)
{
	struct tlsctx *c = NULL;
	struct err err;

	ck_assert_msg(ctx_try(leaf, s, &c, &err) == 0, "%s", err.msg);
	return c;
}

START_TEST(right_identity)
{
	struct pki web = pki_issue(&root, &(struct pki_spec){ .san = "URI:" WEB });
	struct pki db = pki_issue(&root, &(struct pki_spec){ .san = "critical,URI:" DB });
	struct tlsctx *a = ctx_make(&web, &(struct ctx_spec){ 0 });
	struct tlsctx *b = ctx_make(&db, &(struct ctx_spec){ 0 });
	struct str expect[] = { str_c("spiffe://td/ns/x/sa/y"), str_c(DB) };
	const unsigned char *alpn;
	unsigned alpn_n;
	struct shake s;

	shake_init(&s, a, b);
	s.cv.expect = expect;
	s.cv.n_expect = 2;
	shake_run(&s);
	ck_assert_msg(s.client_ok, "%s", s.cv.error);
	ck_assert_msg(s.server_ok, "%s", s.sv.error);
	ck_assert_str_eq(s.cv.peer_id, DB);
	ck_assert_str_eq(s.sv.peer_id, WEB);
	ck_assert_str_eq(s.cv.error, "");
	ck_assert_str_eq(SSL_get_version(s.client), "TLSv1.3");
	ck_assert_str_eq(SSL_get_cipher_name(s.client), "TLS_AES_128_GCM_SHA256");
	ck_assert_int_eq(SSL_get_shared_group(s.server, 0), NID_X25519);
	ck_assert_ptr_null(SSL_get_servername(s.server, TLSEXT_NAMETYPE_host_name));
	ck_assert_int_eq(sk_X509_NAME_num(SSL_get0_peer_CA_list(s.client)), 1);
	SSL_get0_alpn_selected(s.server, &alpn, &alpn_n);
	ck_assert(str_is((struct str){ (const char *)alpn, alpn_n }, "h2"));
	ck_assert(tlsctx_peer_still_valid(a, s.client));
	ck_assert(tlsctx_peer_still_valid(b, s.server));
	ck_assert(str_is(tlsctx_identity(a), WEB));
	ck_assert_int_gt(tlsctx_not_after(a), time(NULL) + 3500);
	ck_assert_int_lt(tlsctx_not_before(a), time(NULL) - 3500);
	shake_done(&s);
	tlsctx_unref(tlsctx_ref(a));
	tlsctx_unref(a);
	tlsctx_unref(b);
	pki_done(&web);
	pki_done(&db);
}
END_TEST

/* One row: a peer's certificate, and what the other side says. The peer is the server when `expect` is set, else the client. */
static const struct peer_row {
	const char *label;
	struct pki_spec leaf;
	const char *domains[3];
	const char *expect;
	enum fail fail;              /* FAIL_NONE: accepted */
	const char *says;
	const char *alert;           /* part of what the refused peer hears */
} peer_rows[] = {
	{ "wrong SAN", { .san = "URI:" WEB }, { "td" }, DB, FAIL_WRONG_IDENTITY,
	  "the peer is " WEB ", wanted is " DB, "handshake failure" },
	{ "EKU server", { .san = "URI:" DB, .eku = "serverAuth" }, { "td" }, DB, FAIL_NONE, "", NULL },
	{ "EKU server only, as client", { .san = "URI:" DB, .eku = "serverAuth" }, { "td" }, NULL, FAIL_TLS,
	  "unsuitable certificate purpose", "unsupported certificate" },
	{ "EKU client only, as server", { .san = "URI:" DB, .eku = "clientAuth" }, { "td" }, DB, FAIL_TLS,
	  "unsuitable certificate purpose", "unsupported certificate" },
	{ "two URIs", { .san = "URI:" DB ",URI:" WEB }, { "td" }, DB, FAIL_TLS, "2 URI names", "handshake failure" },
	{ "same URI twice", { .san = "URI:" DB ",URI:" DB }, { "td" }, NULL, FAIL_TLS, "2 URI names", "handshake failure" },
	{ "URI and DNS", { .san = "DNS:db,URI:" DB }, { "td" }, DB, FAIL_NONE, "", NULL },
	{ "no SAN", { .name = "db" }, { "td" }, NULL, FAIL_TLS, "0 URI names", "handshake failure" },
	{ "DNS only", { .san = "DNS:td" }, { "td" }, NULL, FAIL_TLS, "0 URI names", "handshake failure" },
	{ "another scheme", { .san = "URI:https://td/ns/a/sa/b" }, { "td" }, NULL, FAIL_TLS,
	  "not spiffe://", "handshake failure" },
	{ "expired", { .san = "URI:" DB, .from = -7200, .to = -60 }, { "td" }, NULL, FAIL_TLS,
	  "certificate has expired", "certificate expired" },
	{ "not yet valid", { .san = "URI:" DB, .from = 600, .to = 7200 }, { "td" }, DB, FAIL_TLS,
	  "not yet valid", "bad certificate" },
	{ "wrong trust domain, client", { .san = "URI:spiffe://other/ns/a/sa/b" }, { "td" }, NULL, FAIL_TLS,
	  "trust domain is not td", "handshake failure" },
	{ "wrong trust domain, server", { .san = "URI:spiffe://other/ns/a/sa/b" }, { "td" },
	  "spiffe://other/ns/a/sa/b", FAIL_TLS, "trust domain is not td", "handshake failure" },
	{ "alias, client", { .san = "URI:spiffe://other/ns/a/sa/b" }, { "td", "old", "other" }, NULL, FAIL_NONE, "", NULL },
	{ "alias, and the domain of our own certificate", { .san = "URI:spiffe://other/ns/a/sa/b" }, { "", "other" }, NULL, FAIL_NONE, "", NULL },
	{ "the domain of our own certificate beside an alias", { .san = "URI:spiffe://td/ns/a/sa/b" }, { "", "other" }, NULL, FAIL_NONE, "", NULL },
	{ "alias, server", { .san = "URI:spiffe://other/ns/a/sa/b" }, { "td", "other" },
	  "spiffe://other/ns/a/sa/b", FAIL_NONE, "", NULL },
	{ "alias does not change the expected name", { .san = "URI:spiffe://other/ns/default/sa/db" }, { "td", "other" },
	  DB, FAIL_WRONG_IDENTITY, "wanted is " DB, "handshake failure" },
	{ "a CA as leaf", { .san = "URI:" DB, .name = "db", .basic = "critical,CA:TRUE" }, { "td" }, NULL, FAIL_TLS,
	  "CA's certificate", NULL },
};

/* A context that shows `leaf`: made by hand, since tlsctx_new refuses most of these for itself. */
static SSL *peer_ssl(const struct pki *leaf, bool server)
{
	SSL_CTX *c = SSL_CTX_new(TLS_method());
	SSL *ssl;

	SSL_CTX_use_certificate(c, leaf->cert);
	SSL_CTX_use_PrivateKey(c, leaf->key);
	SSL_CTX_set_verify(c, SSL_VERIFY_NONE, NULL);
	if (server) {
		SSL_CTX_set_verify(c, SSL_VERIFY_PEER, NULL);
		X509_STORE_add_cert(SSL_CTX_get_cert_store(c), root.cert);
	}
	ssl = SSL_new(c);
	SSL_CTX_free(c);
	return ssl;
}

START_TEST(peer)
{
	const struct peer_row *row = &peer_rows[_i];
	struct pki bad = pki_issue(&root, &row->leaf);
	struct pki own = pki_issue(&root, &(struct pki_spec){ .san = "URI:" WEB });
	struct ctx_spec cs = { .domains = { row->domains[0], row->domains[1], row->domains[2] } };
	struct tlsctx *c = ctx_make(&own, &cs);
	struct str expect = str_c(row->expect);
	struct tls_verify *v;
	struct shake s;
	bool ok;

	shake_init(&s, c, c);
	if (row->expect) {
		SSL_free(s.server);
		s.server = peer_ssl(&bad, true);
		s.cv.expect = &expect;
		s.cv.n_expect = 1;
	} else {
		SSL_free(s.client);
		s.client = peer_ssl(&bad, false);
	}
	shake_run(&s);
	v = row->expect ? &s.cv : &s.sv;
	ok = row->expect ? s.client_ok : s.server_ok;
	ck_assert_msg(v->fail == row->fail, "%s: %d, %s", row->label, v->fail, v->error);
	ck_assert_msg(ok == (row->fail == FAIL_NONE), "%s", row->label);
	ck_assert_msg(strstr(v->error, row->says) != NULL, "%s: %s", row->label, v->error);
	if (row->alert) {
		struct tls_verify *heard = row->expect ? &s.sv : &s.cv;

		ck_assert_msg(strstr(heard->error, row->alert) != NULL, "%s: %s", row->label, heard->error);
	}
	shake_done(&s);
	tlsctx_unref(c);
	pki_done(&bad);
	pki_done(&own);
}
END_TEST

START_TEST(foreign_root)
{
	struct pki web = pki_issue(&other_root, &(struct pki_spec){ .san = "URI:" WEB });
	struct pki db = pki_issue(&root, &(struct pki_spec){ .san = "URI:" DB });
	struct tlsctx *a = ctx_make(&web, &(struct ctx_spec){ 0 });
	struct tlsctx *b = ctx_make(&db, &(struct ctx_spec){ 0 });
	struct shake s;

	shake_init(&s, a, b);
	shake_run(&s);
	ck_assert(!s.server_ok);
	ck_assert_int_eq(s.sv.fail, FAIL_TLS);
	ck_assert_msg(strstr(s.sv.error, "unable to get") && strstr(s.sv.error, "O=other"), "%s", s.sv.error);
	ck_assert_msg(strstr(s.cv.error, "unknown CA") != NULL, "%s", s.cv.error);
	shake_done(&s);
	tlsctx_unref(a);
	tlsctx_unref(b);
	pki_done(&web);
	pki_done(&db);
}
END_TEST

/* Through an intermediate; and with the intermediate as only anchor, as webpki has it. */
START_TEST(intermediate)
{
	struct pki web = pki_issue(&middle, &(struct pki_spec){ .san = "URI:" WEB });
	struct tlsctx *a = ctx_make(&web, &(struct ctx_spec){ .via = &middle });
	struct tlsctx *b = ctx_make(&web, &(struct ctx_spec){ .root = &middle, .via = &middle });
	struct tlsctx *pair[][2] = { { a, a }, { a, b }, { b, b } };

	for (size_t i = 0; i < ARRAY_LEN(pair); i++) {
		struct shake s;

		shake_init(&s, pair[i][0], pair[i][1]);
		shake_run(&s);
		ck_assert_msg(s.client_ok && s.server_ok, "%zu: %s %s", i, s.cv.error, s.sv.error);
		shake_done(&s);
	}
	tlsctx_unref(a);
	tlsctx_unref(b);
	pki_done(&web);
}
END_TEST

/* Name constraints as the local CA makes them: OpenSSL holds spiffe:// names to the host. */
START_TEST(name_constraints)
{
	struct pki ca = pki_issue(NULL, &(struct pki_spec){ .name = "c", .basic = "critical,CA:TRUE,pathlen:0",
							   .constraints = "critical,permitted;URI:td" });
	const char *ids[] = { "URI:spiffe://td/ns/a/sa/b", "URI:spiffe://td.evil/ns/a/sa/b", "URI:spiffe://x.td/ns/a/sa/b" };

	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		struct pki leaf = pki_issue(&ca, &(struct pki_spec){ .san = ids[i] });
		struct tlsctx *c = ctx_make(&leaf, &(struct ctx_spec){ .root = &ca, .domains = { "td", "td.evil", "x.td" } });
		struct shake s;

		shake_init(&s, c, c);
		shake_run(&s);
		ck_assert_msg(s.client_ok == (i == 0), "%s: %s", ids[i], s.cv.error);
		if (i > 0)
			ck_assert_msg(strstr(s.cv.error, "permitted subtree violation") != NULL, "%s", s.cv.error);
		shake_done(&s);
		tlsctx_unref(c);
		pki_done(&leaf);
	}
	pki_done(&ca);
}
END_TEST

enum revoked { LEAF, MIDDLE, NOBODY, FORGED };

START_TEST(crl)
{
	struct pki web = pki_issue(&middle, &(struct pki_spec){ .san = "URI:" WEB });
	struct pki db = pki_issue(&root, &(struct pki_spec){ .san = "URI:" DB });
	struct pki forger = pki_ca(NULL, "middle");
	char *text = _i == LEAF ? pki_crl(&middle, &web, -60) : _i == MIDDLE ? pki_crl(&root, &middle, 600) :
		     _i == NOBODY ? pki_crl(&root, &web, 600) : pki_crl(&forger, &web, 600);
	struct tlsctx *a = ctx_make(&web, &(struct ctx_spec){ .via = &middle });
	struct tlsctx *b = ctx_make(&db, &(struct ctx_spec){ .crl = text });
	struct tlsctx *b0 = ctx_make(&db, &(struct ctx_spec){ 0 });
	bool want = _i == NOBODY || _i == FORGED;
	struct shake s;

	shake_init(&s, a, b);   /* the server sees the revoked one */
	shake_run(&s);
	ck_assert(s.server_ok == want);
	ck_assert_int_eq(s.sv.fail, want ? FAIL_NONE : FAIL_CERT_REVOKED);
	if (!want)
		ck_assert_msg(strstr(s.cv.error, "certificate revoked") != NULL, "%s", s.cv.error);
	shake_done(&s);
	shake_init(&s, b, a);   /* the client sees it */
	shake_run(&s);
	ck_assert(s.client_ok == want);
	ck_assert_int_eq(s.cv.fail, want ? FAIL_NONE : FAIL_CERT_REVOKED);
	shake_done(&s);
	shake_init(&s, a, b0);  /* the CRL comes while the connection lives */
	shake_run(&s);
	ck_assert(s.server_ok);
	ck_assert(tlsctx_peer_still_valid(b0, s.server));
	ck_assert(tlsctx_peer_still_valid(b, s.server) == want);
	shake_done(&s);
	tlsctx_unref(a);
	tlsctx_unref(b);
	tlsctx_unref(b0);
	free(text);
	pki_done(&web);
	pki_done(&db);
	pki_done(&forger);
}
END_TEST

START_TEST(expiry_of_live_peer)
{
	struct pki web = pki_issue(&root, &(struct pki_spec){ .san = "URI:" WEB, .from = -60, .to = 1 });
	struct tlsctx *a = ctx_make(&web, &(struct ctx_spec){ 0 });
	struct shake s;

	shake_init(&s, a, a);
	shake_run(&s);
	ck_assert(s.server_ok && !tlsctx_peer_expired(s.server));
	nanosleep(&(struct timespec){ .tv_sec = 2, .tv_nsec = 100000000 }, NULL);
	ck_assert(tlsctx_peer_still_valid(a, s.server) && tlsctx_peer_expired(s.server));
	shake_done(&s);
	shake_init(&s, a, a);   /* only new ones are refused */
	shake_run(&s);
	ck_assert(!s.server_ok);
	shake_done(&s);
	tlsctx_unref(a);
	pki_done(&web);
}
END_TEST

START_TEST(no_client_certificate)
{
	struct pki web = pki_issue(&root, &(struct pki_spec){ .san = "URI:" WEB });
	struct tlsctx *c = ctx_make(&web, &(struct ctx_spec){ 0 });
	SSL_CTX *bare = SSL_CTX_new(TLS_client_method());
	struct shake s;

	shake_init(&s, c, c);
	SSL_free(s.client);
	s.client = SSL_new(bare);
	shake_run(&s);
	ck_assert(!s.server_ok);
	ck_assert_str_eq(s.sv.error, "the peer showed no certificate");
	ck_assert_str_eq(s.cv.error, "the peer refused with the alert: certificate required");
	shake_done(&s);
	SSL_CTX_free(bare);
	tlsctx_unref(c);
	pki_done(&web);
}
END_TEST

START_TEST(tls12)
{
	struct pki web = pki_issue(&root, &(struct pki_spec){ .san = "URI:" WEB });
	struct tlsctx *c = ctx_make(&web, &(struct ctx_spec){ .tls12 = _i == 1 });
	struct shake s;

	shake_init(&s, c, c);
	SSL_free(s.client);
	s.client = peer_ssl(&web, false);
	SSL_set_max_proto_version(s.client, TLS1_2_VERSION);
	shake_run(&s);
	ck_assert(s.server_ok == (_i == 1));
	if (_i == 0) {
		ck_assert_str_eq(s.sv.error, "the peer does not speak TLS 1.3");
		ck_assert_msg(strstr(s.cv.error, "protocol version") != NULL, "%s", s.cv.error);
	} else {
		ck_assert_str_eq(SSL_get_version(s.server), "TLSv1.2");
		ck_assert_str_eq(SSL_get_cipher_name(s.server), "ECDHE-ECDSA-AES128-GCM-SHA256");
		ck_assert_str_eq(s.sv.peer_id, WEB);
	}
	shake_done(&s);
	tlsctx_unref(c);
	pki_done(&web);
}
END_TEST

static const struct {
	const char *offer;
	bool ok;
} alpn_rows[] = {
	{ NULL, true }, { "\2h2", true }, { "\10http/1.1\2h2", true }, { "\10http/1.1", false }, { "\3h2c", false },
};

START_TEST(alpn)
{
	struct pki web = pki_issue(&root, &(struct pki_spec){ .san = "URI:" WEB });
	struct tlsctx *c = ctx_make(&web, &(struct ctx_spec){ 0 });
	const char *offer = alpn_rows[_i].offer;
	const unsigned char *got;
	unsigned got_n;
	struct shake s;

	shake_init(&s, c, c);
	SSL_free(s.client);
	s.client = peer_ssl(&web, false);
	if (offer)
		SSL_set_alpn_protos(s.client, (const unsigned char *)offer, (unsigned)strlen(offer));
	shake_run(&s);
	ck_assert(s.server_ok == alpn_rows[_i].ok);
	SSL_get0_alpn_selected(s.server, &got, &got_n);
	ck_assert_uint_eq(got_n, offer && alpn_rows[_i].ok ? 2 : 0);
	if (!alpn_rows[_i].ok)
		ck_assert_msg(strstr(s.cv.error, "application protocol") != NULL, "%s", s.cv.error);
	shake_done(&s);
	tlsctx_unref(c);
	pki_done(&web);
}
END_TEST

START_TEST(garbage)
{
	struct pki web = pki_issue(&root, &(struct pki_spec){ .san = "URI:" WEB });
	struct tlsctx *c = ctx_make(&web, &(struct ctx_spec){ 0 });
	SSL *ssl = SSL_new(tlsctx_ssl(c, true));
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	struct tls_verify v = { 0 };

	BIO_puts(in, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	SSL_set_app_data(ssl, &v);
	SSL_set_bio(ssl, in, out);
	SSL_set_accept_state(ssl);
	ck_assert_int_le(SSL_do_handshake(ssl), 0);
	tlsctx_explain(&v);
	ck_assert_int_eq(v.fail, FAIL_TLS);
	ck_assert_str_eq(v.error, "the peer does not speak TLS");
	SSL_free(ssl);
	tlsctx_unref(c);
	pki_done(&web);
}
END_TEST

/* The connection made with the old certificate lives on when the context is replaced and gone. */
START_TEST(rotation)
{
	struct pki web = pki_issue(&root, &(struct pki_spec){ .san = "URI:" WEB });
	struct pki web2 = pki_issue(&root, &(struct pki_spec){ .san = "URI:" WEB });
	struct tlsctx *a = ctx_make(&web, &(struct ctx_spec){ 0 }), *b;
	struct shake s;
	char text[4];

	shake_init(&s, a, a);
	shake_run(&s);
	tlsctx_unref(a);
	b = ctx_make(&web2, &(struct ctx_spec){ 0 });
	ck_assert_int_eq(SSL_write(s.client, "ping", 4), 4);
	ck_assert_int_eq(SSL_read(s.server, text, 4), 4);
	ck_assert_int_eq(memcmp(text, "ping", 4), 0);
	ck_assert(tlsctx_peer_still_valid(b, s.server));
	shake_done(&s);
	shake_init(&s, b, b);
	shake_run(&s);
	ck_assert(s.server_ok);
	ck_assert_int_eq(X509_cmp(SSL_get0_peer_certificate(s.server), web2.cert), 0);
	shake_done(&s);
	tlsctx_unref(b);
	pki_done(&web);
	pki_done(&web2);
}
END_TEST

enum bad_conf { NO_CERT, CUT_CERT, NO_KEY, CUT_KEY, OTHER_KEY, NO_ROOT, BAD_CRL, EMPTY_SAN, BAD_CONFS };
static const char *const bad_says[] = {
	"no block -----BEGIN CERTIFICATE-----", "certificate 1 of the certificate chain is damaged", "private key is empty",
	"private key cannot be read", "does not belong to the certificate of " WEB, "the root certificates is empty",
	"the CRL cannot be read", "0 URI names",
};

START_TEST(refuses_own)
{
	struct pki web = pki_issue(&root, &(struct pki_spec){ .san = "URI:" WEB });
	struct pki bare = pki_issue(&root, &(struct pki_spec){ .name = "x" });
	char *cert = pki_pem(_i == EMPTY_SAN ? bare.cert : web.cert), *roots = pki_pem(root.cert);
	char *key = pki_key_pem(_i == OTHER_KEY || _i == EMPTY_SAN ? bare.key : web.key);
	struct tlsctx_conf conf = { .cert_chain_pem = str_c(cert), .key_pem = str_c(key), .roots_pem = str_c(roots) };
	struct tlsctx *c = NULL;
	struct err err;

	switch (_i) {
	case NO_CERT:
		conf.cert_chain_pem = str_c("nothing here");
		break;
	case CUT_CERT:
		conf.cert_chain_pem.n /= 2;
		break;
	case NO_KEY:
		conf.key_pem.n = 0;
		break;
	case CUT_KEY:
		conf.key_pem.n /= 2;
		break;
	case NO_ROOT:
		conf.roots_pem.n = 0;
		break;
	case BAD_CRL:
		conf.crl_pem = str_c("junk");
		break;
	}
	ck_assert_int_lt(tlsctx_new(&conf, &c, &err), 0);
	ck_assert_ptr_null(c);
	ck_assert_msg(strstr(err.msg, bad_says[_i]) != NULL, "%s", err.msg);
	ck_assert_uint_eq(ERR_peek_error(), 0);
	free(cert);
	free(key);
	free(roots);
	pki_done(&web);
	pki_done(&bare);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("tlsctx");
	TCase *tc = tcase_create("tlsctx");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, right_identity);
	tcase_add_loop_test(tc, peer, 0, ARRAY_LEN(peer_rows));
	tcase_add_test(tc, foreign_root);
	tcase_add_test(tc, intermediate);
	tcase_add_test(tc, name_constraints);
	tcase_add_loop_test(tc, crl, 0, FORGED + 1);
	tcase_add_test(tc, expiry_of_live_peer);
	tcase_add_test(tc, no_client_certificate);
	tcase_add_loop_test(tc, tls12, 0, 2);
	tcase_add_loop_test(tc, alpn, 0, ARRAY_LEN(alpn_rows));
	tcase_add_test(tc, garbage);
	tcase_add_test(tc, rotation);
	tcase_add_loop_test(tc, refuses_own, 0, BAD_CONFS);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
