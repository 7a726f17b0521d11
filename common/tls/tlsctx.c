/* SPDX-License-Identifier: Apache-2.0 */
#include "tls/tlsctx.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tls/pem_int.h"
#include "tls/resume_int.h"
#include "tls/spiffe.h"
#include "tls/tlsctx_int.h"

#define CIPHERS_13 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384"
#define CIPHERS_12 "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:" \
		   "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"

static const unsigned char alpn_h2[] = { 2, 'h', '2' };

/* What is chosen, the first that the client offers, too. */
static const char *const choices[] = {
	[TLS_ALPN_HBONE]       = "\2h2",
	[TLS_ALPN_ISTIO_TCP]   = "\23istio-peer-exchange" "\2h2" "\10http/1.1",
	[TLS_ALPN_ISTIO_HTTP1] = "\2h2" "\10http/1.1",
	[TLS_ALPN_ISTIO_HTTP2] = "\2h2" "\10http/1.1",
	[TLS_ALPN_HTTP1]       = "\10http/1.1",
	[TLS_ALPN_HTTP2]       = "\2h2" "\10http/1.1",
	[TLS_ALPN_NONE]        = "",
};

/* HBONE refuses a client that offers others only, with alert 120; Istio's sidecars then go on without. */
static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *in, unsigned in_n, void *arg)
{
	const struct tls_verify *v = SSL_get_app_data(ssl);
	enum tls_alpn kind = v ? v->alpn : TLS_ALPN_HBONE;

	for (const char *want = choices[kind]; *want; want += 1 + *want)
		for (unsigned i = 0; i < in_n; i += 1u + in[i]) {
			if (in[i] != (unsigned char)*want || i + 1u + in[i] > in_n || memcmp(in + i + 1, want + 1, in[i]) != 0)
				continue;
			*out = in + i + 1;
			*out_n = in[i];
			return SSL_TLSEXT_ERR_OK;
		}
	return kind == TLS_ALPN_HBONE ? SSL_TLSEXT_ERR_ALERT_FATAL : SSL_TLSEXT_ERR_NOACK;
}

void tlsctx_choose_alpn(SSL_CTX *server)
{
	SSL_CTX_set_alpn_select_cb(server, select_alpn, NULL);
}

bool tlsctx_parameters(SSL_CTX *ssl, bool allow_tls12)
{
	SSL_CTX_set_options(ssl, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET |
			    SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(ssl, SSL_MODE_NO_AUTO_CHAIN);
	SSL_CTX_set_security_level(ssl, 2);
	return SSL_CTX_set_min_proto_version(ssl, allow_tls12 ? TLS1_2_VERSION : TLS1_3_VERSION) == 1 &&
	       SSL_CTX_set_max_proto_version(ssl, TLS1_3_VERSION) == 1 &&
	       SSL_CTX_set_ciphersuites(ssl, CIPHERS_13) == 1 && SSL_CTX_set_cipher_list(ssl, CIPHERS_12) == 1 &&
	       SSL_CTX_set1_groups_list(ssl, "X25519:P-256:P-384") == 1 && SSL_CTX_set_num_tickets(ssl, 0) == 1;
}

static bool is_self_signed(X509 *x)
{
	return (X509_get_extension_flags(x) & EXFLAG_SS) != 0;
}

/* Leaf and intermediates are shown; a root in the file is not. */
bool tlsctx_certs(SSL_CTX *ssl, STACK_OF(X509) *chain, EVP_PKEY *key)
{
	if (SSL_CTX_use_certificate(ssl, sk_X509_value(chain, 0)) != 1 || SSL_CTX_use_PrivateKey(ssl, key) != 1)
		return false;
	for (int i = 1; i < sk_X509_num(chain); i++)
		if (!is_self_signed(sk_X509_value(chain, i)) &&
		    SSL_CTX_add1_chain_cert(ssl, sk_X509_value(chain, i)) != 1)
			return false;
	return true;
}

/* Each root is an anchor by itself, also one that somebody else signed: as ztunnel has it. */
X509_STORE *tlsctx_store(STACK_OF(X509) *roots)
{
	X509_STORE *store = X509_STORE_new();

	for (int i = 0; store && i < sk_X509_num(roots); i++)
		if (X509_STORE_add_cert(store, sk_X509_value(roots, i)) != 1) {
			X509_STORE_free(store);
			return NULL;
		}
	if (store)
		X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
	return store;
}

static SSL_CTX *ssl_ctx_new(struct tlsctx *c, bool server, bool allow_tls12, STACK_OF(X509) *chain, EVP_PKEY *key,
			    STACK_OF(X509) *roots)
{
	SSL_CTX *ssl = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	X509_STORE *store = tlsctx_store(roots);

	if (!ssl || !store || !tlsctx_parameters(ssl, allow_tls12) || !tlsctx_certs(ssl, chain, key))
		goto fail;
	SSL_CTX_set_cert_store(ssl, store);
	store = NULL;
	SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_cert_verify_callback(ssl, verify_peer, c);
	if (!server) {
		if (SSL_CTX_set_alpn_protos(ssl, alpn_h2, sizeof(alpn_h2)) != 0)
			goto fail;
		return ssl;
	}
	tlsctx_choose_alpn(ssl);
	for (int i = 0; i < sk_X509_num(roots); i++)
		if (SSL_CTX_add_client_CA(ssl, sk_X509_value(roots, i)) != 1)
			goto fail;
	return ssl;
fail:
	X509_STORE_free(store);
	SSL_CTX_free(ssl);
	return NULL;
}

static int64_t unix_time(const ASN1_TIME *t)
{
	struct tm tm = { 0 };

	return ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static int read_self(struct tlsctx *c, STACK_OF(X509) *chain, EVP_PKEY *key, struct err *err)
{
	X509 *leaf = sk_X509_value(chain, 0);
	struct err why;
	int r = verify_spiffe_id(leaf, c->id, &why);

	if (r != 0)
		return err_set(err, r, "the certificate is no workload certificate: %s", why.msg);
	if (X509_check_private_key(leaf, key) != 1) {
		ERR_clear_error();
		return err_set(err, -EINVAL, "the private key does not belong to the certificate of %s", c->id);
	}
	c->not_before = unix_time(X509_get0_notBefore(leaf));
	c->not_after = unix_time(X509_get0_notAfter(leaf));
	for (int i = 1; i < sk_X509_num(chain); i++) {
		int64_t end = unix_time(X509_get0_notAfter(sk_X509_value(chain, i)));

		c->not_after = end < c->not_after && !is_self_signed(sk_X509_value(chain, i)) ? end : c->not_after;
	}
	return 0;
}

/* What peers will do with our chain, before they see it. */
static int check_chain(STACK_OF(X509) *chain, STACK_OF(X509) *roots, struct err *err)
{
	X509_STORE *store = tlsctx_store(roots);
	X509_STORE_CTX *at = X509_STORE_CTX_new();
	char issuer[128] = "";
	int r = 0;

	if (!store || !at || X509_STORE_CTX_init(at, store, sk_X509_value(chain, 0), chain) != 1) {
		r = err_set(err, -ENOMEM, "the certificate chain cannot be checked: %s", pem_why());
	} else if (X509_verify_cert(at) != 1) {
		X509 *cert = X509_STORE_CTX_get_current_cert(at);

		if (cert)
			X509_NAME_oneline(X509_get_issuer_name(cert), issuer, sizeof(issuer));
		r = err_set(err, -EINVAL, "the certificate chain is not good under the roots that belong to it: %s (at depth %d, issuer %s)",
			    X509_verify_cert_error_string(X509_STORE_CTX_get_error(at)), X509_STORE_CTX_get_error_depth(at), issuer);
	}
	X509_STORE_CTX_free(at);
	X509_STORE_free(store);
	return r;
}

static int read_roots(const struct tlsctx_conf *conf, STACK_OF(X509) *chain, STACK_OF(X509) **ret, struct err *err)
{
	STACK_OF(X509) *roots, *more = NULL;
	int r = pem_certs(conf->roots_pem, "root certificates", &roots, err);

	if (r != 0)
		return r;
	if (conf->check_chain)
		r = check_chain(chain, roots, err);
	if (r == 0 && conf->more_roots_pem.n > 0)
		r = pem_certs(conf->more_roots_pem, "root certificates", &more, err);
	if (r == 0 && X509_add_certs(roots, more, X509_ADD_FLAG_UP_REF | X509_ADD_FLAG_NO_DUP) != 1)
		r = err_set(err, -ENOMEM, "the root certificates cannot be joined: %s", pem_why());
	sk_X509_pop_free(more, X509_free);
	if (r == 0)
		*ret = roots;
	else
		sk_X509_pop_free(roots, X509_free);
	return r;
}

static void copy_trust(struct tlsctx *c, const struct tlsctx_conf *conf)
{
	struct spiffe self;
	int n = conf->n_trust_domains;

	spiffe_parse(str_c(c->id), &self);
	c->n_trust_domains = n > 0 ? n : 1;
	c->trust_domains = xcalloc((size_t)c->n_trust_domains, sizeof(*c->trust_domains));
	for (int i = 0; i < c->n_trust_domains; i++) {
		struct str td = n > 0 && conf->trust_domains[i].n ? conf->trust_domains[i] : self.trust_domain;

		c->trust_domains[i] = (struct str){ str_dup(td), td.n };
	}
}

static void tlsctx_free(struct tlsctx *c)
{
	SSL_CTX_free(c->server);
	SSL_CTX_free(c->client);
	resume_free(c->resume);
	sk_X509_CRL_pop_free(c->crls, X509_CRL_free);
	for (int i = 0; i < c->n_trust_domains; i++)
		free((char *)c->trust_domains[i].p);
	free(c->trust_domains);
	free(c);
}

struct tlsctx *tlsctx_alloc(void)
{
	struct tlsctx *c = xcalloc(1, sizeof(*c));

	atomic_init(&c->refs, 1);
	return c;
}

/* Where it does not work, there are full handshakes. TLS 1.2 would resume without a key exchange. */
static void add_resume(struct tlsctx *c)
{
	c->resume = resume_new();
	if (!c->resume)
		return;
	if (!resume_server(c))
		SSL_CTX_set_num_tickets(c->server, 0);
	resume_client(c);
}

int tlsctx_new(const struct tlsctx_conf *conf, struct tlsctx **ret, struct err *err)
{
	STACK_OF(X509) *chain = NULL, *roots = NULL;
	struct tlsctx *c = tlsctx_alloc();
	EVP_PKEY *key = NULL;
	int r;

	if ((r = pem_certs(conf->cert_chain_pem, "certificate chain", &chain, err)) != 0 ||
	    (r = pem_key(conf->key_pem, &key, err)) != 0 ||
	    (r = read_self(c, chain, key, err)) != 0 ||
	    (r = read_roots(conf, chain, &roots, err)) != 0 ||
	    (conf->crl_pem.n > 0 && (r = pem_crls(conf->crl_pem, &c->crls, err)) != 0))
		goto out;
	copy_trust(c, conf);
	c->server = ssl_ctx_new(c, true, conf->allow_tls12, chain, key, roots);
	c->client = c->server ? ssl_ctx_new(c, false, conf->allow_tls12, chain, key, roots) : NULL;
	if (c->client && !conf->allow_tls12)
		add_resume(c);
	if (!c->client)
		r = err_set(err, -EINVAL, "OpenSSL does not accept the certificate of %s: %s", c->id, pem_why());
out:
	ERR_clear_error();
	sk_X509_pop_free(chain, X509_free);
	sk_X509_pop_free(roots, X509_free);
	EVP_PKEY_free(key);
	if (r == 0)
		*ret = c;
	else
		tlsctx_free(c);
	return r;
}

struct tlsctx *tlsctx_ref(struct tlsctx *c)
{
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}

void tlsctx_unref(struct tlsctx *c)
{
	if (c && atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1)
		tlsctx_free(c);
}

bool tlsctx_is_idle(const struct tlsctx *c)
{
	return atomic_load_explicit(&c->refs, memory_order_acquire) == 1;
}

SSL_CTX *tlsctx_ssl(const struct tlsctx *c, bool server)
{
	return server ? c->server : c->client;
}

struct str tlsctx_identity(const struct tlsctx *c)
{
	return str_c(c->id);
}

int64_t tlsctx_not_before(const struct tlsctx *c)
{
	return c->not_before;
}

int64_t tlsctx_not_after(const struct tlsctx *c)
{
	return c->not_after;
}

int tlsctx_check_crl(struct str text, struct err *err)
{
	STACK_OF(X509_CRL) *crls;
	int r = pem_crls(text, &crls, err);

	ERR_clear_error();
	if (r == 0)
		sk_X509_CRL_pop_free(crls, X509_CRL_free);
	return r;
}

int tlsctx_check_roots(struct str text, struct err *err)
{
	STACK_OF(X509) *roots;
	int r = pem_certs(text, "root certificates", &roots, err);

	ERR_clear_error();
	if (r == 0)
		sk_X509_pop_free(roots, X509_free);
	return r;
}
