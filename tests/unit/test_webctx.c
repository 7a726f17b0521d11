/* SPDX-License-Identifier: Apache-2.0 */
#include "tls/webctx.h"

#include <openssl/ssl.h>
#include <pthread.h>

#include "tests/unit/pki.h"
#include "tests/unit/stages.h"
#include "tls/tls.h"

/* A server of the web's kind, by OpenSSL alone, in its own thread. */
struct server {
	int fd;
	SSL_CTX *ssl;
	pthread_t thread;
	char sni[256], alpn[8];
	bool accepted, got_cert;
};

static struct loop *l;
static struct pki ca;

static void *serve(void *arg)
{
	struct server *s = arg;
	SSL *ssl = SSL_new(s->ssl);
	const unsigned char *alpn;
	X509 *peer;
	unsigned n;

	SSL_set_fd(ssl, s->fd);
	s->accepted = SSL_accept(ssl) == 1;
	if (s->accepted) {
		snprintf(s->sni, sizeof(s->sni), "%s", SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name) ? SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name) : "");
		SSL_get0_alpn_selected(ssl, &alpn, &n);
		snprintf(s->alpn, sizeof(s->alpn), "%.*s", (int)n, (const char *)alpn);
		peer = SSL_get1_peer_certificate(ssl);
		s->got_cert = peer != NULL;
		X509_free(peer);
	}
	SSL_free(ssl);
	close(s->fd);
	return NULL;
}

static int select_h2(SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *in, unsigned in_n, void *arg)
{
	*out = in + 1;
	*out_n = in[0];
	return SSL_TLSEXT_ERR_OK;
}

static int any_peer(int ok, X509_STORE_CTX *store)
{
	return 1;
}

static void server_start(struct server *s, const struct pki *p, bool ask, int version)
{
	s->ssl = SSL_CTX_new(TLS_server_method());
	SSL_CTX_use_certificate(s->ssl, p->cert);
	SSL_CTX_use_PrivateKey(s->ssl, p->key);
	SSL_CTX_set_max_proto_version(s->ssl, version);
	SSL_CTX_set_alpn_select_cb(s->ssl, select_h2, NULL);
	if (ask)
		SSL_CTX_set_verify(s->ssl, SSL_VERIFY_PEER, any_peer);
	pthread_create(&s->thread, NULL, serve, s);
}

struct seen {
	bool open, closed;
	enum fail fail;
	char error[768];
};

static void on_event(struct stage *st, enum stage_event ev, const struct iovec *iov, int n)
{
	struct seen *s = st->arg;

	s->open |= ev == STAGE_OPEN;
	if (ev != STAGE_CLOSED)
		return;
	s->closed = true;
	s->fail = st->fail;
	snprintf(s->error, sizeof(s->error), "%s", tls_error(st));
}

static struct seen dial_version(const struct pki *leaf, const struct webctx_conf *conf, const char *name, const char *alt, struct server *ret, int version)
{
	struct str names[] = { str_c(name), str_c(alt) };
	struct server s = { 0 };
	struct seen seen = { 0 };
	struct tlsctx *ctx;
	struct stage *sock, *tls;
	struct err err = { .msg = "" };
	int near;

	ck_assert_msg(webctx_new(conf, &ctx, &err) == 0, "%s", err.msg);
	tcp_pair(&near, &s.fd);
	server_start(&s, leaf, conf->cert_file.n > 0, version);
	sock = sock_accept(l, near);
	tls = tls_client(sock, ctx, names, alt ? 2 : 1);
	tls->on_event = on_event;
	tls->arg = &seen;
	tlsctx_unref(ctx);
	stage_emit(sock, STAGE_OPEN, NULL, 0);   /* as if it had been dialed */
	for (int i = 0; i < 200 && !seen.open && !seen.closed; i++)
		turn(l);
	stage_done(tls, seen.fail);
	pthread_join(s.thread, NULL);
	SSL_CTX_free(s.ssl);
	turn(l);
	if (ret)
		*ret = s;
	return seen;
}

static struct seen dial(const struct pki *leaf, const struct webctx_conf *conf, const char *name, const char *alt, struct server *ret)
{
	return dial_version(leaf, conf, name, alt, ret, 0);
}

static void start(void)
{
	l = loop_new(-1);
	ca = pki_ca(NULL, "the root");
}

static void stop(void)
{
	pki_done(&ca);
	loop_free(l);
}

static struct pki leaf(const char *san)
{
	return pki_issue(&ca, &(struct pki_spec){ .san = san, .eku = "serverAuth" });
}

START_TEST(names)
{
	static const struct {
		const char *san, *name, *alt;
		bool ok;
		const char *sni;
	} rows[] = {
		{ "DNS:istiod.istio-system.svc", "istiod.istio-system.svc", NULL, true, "istiod.istio-system.svc" },
		{ "DNS:istiod.istio-system.svc", "ISTIOD.istio-system.svc", NULL, true, "ISTIOD.istio-system.svc" },
		{ "DNS:istiod.istio-system.svc", "10.0.0.1", "istiod.istio-system.svc", true, "" },
		{ "DNS:other,IP:10.0.0.1", "10.0.0.1", NULL, true, "" },
		{ "DNS:other,IP:fd00::1", "fd00::1", NULL, true, "" },
		{ "DNS:other,IP:10.0.0.1", "10.0.0.2", NULL, false, "" },
		{ "DNS:*.example.com", "a.example.com", NULL, true, "a.example.com" },
		{ "DNS:*.example.com", "a.b.example.com", NULL, false, "" },
		{ "DNS:a*.example.com", "ab.example.com", NULL, false, "" },
		{ "DNS:other", "istiod", "also-not", false, "" },
		{ "URI:spiffe://td/ns/a/sa/b", "istiod", NULL, false, "" },
		{ NULL, "istiod", NULL, false, "" },
	};
	char *roots = pki_pem(ca.cert);
	struct webctx_conf conf = { .roots = str_c(roots), .name_hint = "ALT_XDS_HOSTNAME" };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct pki p = leaf(rows[i].san);
		struct server s;
		struct seen seen = dial(&p, &conf, rows[i].name, rows[i].alt, &s);

		ck_assert_msg(seen.open == rows[i].ok, "row %zu: %s", i, seen.error);
		if (rows[i].ok) {
			ck_assert_str_eq(s.sni, rows[i].sni);
			ck_assert_str_eq(s.alpn, "h2");
		} else {
			ck_assert_int_eq(seen.fail, FAIL_WRONG_IDENTITY);
			ck_assert_ptr_nonnull(strstr(seen.error, rows[i].name));
			ck_assert_ptr_nonnull(strstr(seen.error, rows[i].san ? "certificate is for" : "no name"));
			ck_assert_ptr_nonnull(strstr(seen.error, "ALT_XDS_HOSTNAME"));
		}
		pki_done(&p);
	}
	free(roots);
}
END_TEST

/* The subject's common name is not a name. */
START_TEST(common_name_does_not_count)
{
	char *roots = pki_pem(ca.cert);
	struct webctx_conf conf = { .roots = str_c(roots) };
	struct pki p = pki_issue(&ca, &(struct pki_spec){ .name = "istiod", .eku = "serverAuth" });

	X509_NAME_add_entry_by_txt(X509_get_subject_name(p.cert), "CN", MBSTRING_ASC, (const unsigned char *)"istiod", -1, -1, 0);
	X509_sign(p.cert, ca.key, EVP_sha256());
	ck_assert_int_eq(dial(&p, &conf, "istiod", NULL, NULL).fail, FAIL_WRONG_IDENTITY);
	pki_done(&p);
	free(roots);
}
END_TEST

START_TEST(chains)
{
	struct pki other = pki_ca(NULL, "another root"), p = leaf("DNS:istiod"), late, client;
	char *good = pki_pem(ca.cert), *bad = pki_pem(other.cert), *both = xasprintf("%s%s", bad, good);
	struct webctx_conf conf = { .roots = str_c(good), .roots_hint = "XDS_ROOT_CA" };
	struct seen s;

	ck_assert(dial(&p, &conf, "istiod", NULL, NULL).open);
	conf.roots = str_c(both);
	ck_assert(dial(&p, &conf, "istiod", NULL, NULL).open);
	conf.roots = str_c(bad);
	s = dial(&p, &conf, "istiod", NULL, NULL);
	ck_assert_int_eq(s.fail, FAIL_TLS);
	ck_assert_ptr_nonnull(strstr(s.error, "XDS_ROOT_CA"));
	conf.roots = str_c("SYSTEM");
	ck_assert_int_eq(dial(&p, &conf, "istiod", NULL, NULL).fail, FAIL_TLS);
	conf.roots = str_c(good);
	late = pki_issue(&ca, &(struct pki_spec){ .san = "DNS:istiod", .from = -7200, .to = -60 });
	s = dial(&late, &conf, "istiod", NULL, NULL);
	ck_assert_int_eq(s.fail, FAIL_TLS);
	ck_assert_ptr_nonnull(strstr(s.error, "expired"));
	client = pki_issue(&ca, &(struct pki_spec){ .san = "DNS:istiod", .eku = "clientAuth" });
	ck_assert_int_eq(dial(&client, &conf, "istiod", NULL, NULL).fail, FAIL_TLS);
	pki_done(&other);
	pki_done(&p);
	pki_done(&late);
	pki_done(&client);
	free(good);
	free(bad);
	free(both);
}
END_TEST

START_TEST(rsa_and_tls12)
{
	char *roots = pki_pem(ca.cert);
	struct webctx_conf conf = { .roots = str_c(roots) };
	struct pki p = leaf("DNS:istiod");

	EVP_PKEY_free(p.key);
	p.key = EVP_RSA_gen(2048);
	X509_set_pubkey(p.cert, p.key);
	X509_sign(p.cert, ca.key, EVP_sha256());
	ck_assert(dial_version(&p, &conf, "istiod", NULL, NULL, TLS1_3_VERSION).open);
	ck_assert(dial_version(&p, &conf, "istiod", NULL, NULL, TLS1_2_VERSION).open);
	ck_assert(dial_version(&p, &conf, "istiod", NULL, NULL, TLS1_1_VERSION).closed);
	pki_done(&p);
	free(roots);
}
END_TEST

static void put_file(const char *name, const char *text)
{
	FILE *f = fopen(name, "w");

	fputs(text, f);
	fclose(f);
}

START_TEST(own_certificate_and_files)
{
	char dir[] = "/tmp/webctx-XXXXXX", *roots = pki_pem(ca.cert), *cert, *key, *f[3];
	struct pki p = leaf("DNS:istiod"), own = pki_issue(&ca, &(struct pki_spec){ .san = "URI:spiffe://td/ns/a/sa/b" });
	struct webctx_conf conf = { 0 };
	struct tlsctx *ctx;
	struct server s;
	struct err err;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	for (int i = 0; i < 3; i++)
		f[i] = xasprintf("%s/%d.pem", dir, i);
	cert = pki_pem(own.cert);
	key = pki_key_pem(own.key);
	put_file(f[0], roots);
	put_file(f[1], cert);
	put_file(f[2], key);
	conf = (struct webctx_conf){ .roots = str_c(f[0]), .cert_file = str_c(f[1]), .key_file = str_c(f[2]) };
	ck_assert(webctx_roots_is_file(conf.roots) && !webctx_roots_is_file(str_c("SYSTEM")) && !webctx_roots_is_file(str_c(roots)));
	ck_assert(dial(&p, &conf, "istiod", NULL, &s).open);
	ck_assert(s.accepted && s.got_cert);
	conf.key_file = str_c(f[1]);
	ck_assert_int_ne(webctx_new(&conf, &ctx, &err), 0);
	put_file(f[2], "-----BEGIN PRIVATE KEY-----\n");
	conf.key_file = str_c(f[2]);
	ck_assert_int_ne(webctx_new(&conf, &ctx, &err), 0);
	put_file(f[0], "nothing");
	conf = (struct webctx_conf){ .roots = str_c(f[0]) };
	ck_assert_int_ne(webctx_new(&conf, &ctx, &err), 0);
	conf.roots = str_c(dir);
	ck_assert_int_ne(webctx_new(&conf, &ctx, &err), 0);
	for (int i = 0; i < 3; i++) {
		unlink(f[i]);
		free(f[i]);
	}
	conf.roots = str_c("/nowhere/root.pem");
	ck_assert_int_ne(webctx_new(&conf, &ctx, &err), 0);
	ck_assert_ptr_nonnull(strstr(err.msg, "/nowhere/root.pem"));
	rmdir(dir);
	pki_done(&p);
	pki_done(&own);
	free(roots);
	free(cert);
	free(key);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("webctx");
	TCase *t = tcase_create("webctx");

	tcase_add_checked_fixture(t, start, stop);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, names);
	tcase_add_test(t, common_name_does_not_count);
	tcase_add_test(t, chains);
	tcase_add_test(t, rsa_and_tls12);
	tcase_add_test(t, own_certificate_and_files);
	suite_add_tcase(s, t);
	return suite_run(s);
}
