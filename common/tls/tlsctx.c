/* SPDX-License-Identifier: Apache-2.0 */
#include "tls/tlsctx.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tls/spiffe.h"
#include "tls/tlsctx_int.h"

#define CIPHERS_13 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384"
#define CIPHERS_12 "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:" \
		   "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"

static const unsigned char alpn_h2[] = { 2, 'h', '2' };

static const char *ssl_why(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_last_error());

	return text ? text : "unknown error";
}

static int pem_open(struct str pem, const char *what, BIO **ret, struct err *err)
{
	if (pem.n == 0)
		return err_set(err, -EINVAL, "the %s is empty; PEM text is wanted", what);
	if (pem.n > INT_MAX)
		return err_set(err, -EFBIG, "the %s is too large", what);
	*ret = BIO_new_mem_buf(pem.p, (int)pem.n);
	return *ret ? 0 : -ENOMEM;
}

/* True when PEM reading stopped because there is no further block; anything else is damage. */
static bool pem_at_end(void)
{
	bool end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;

	if (end)
		ERR_clear_error();
	return end;
}

static int read_certs(struct str pem, const char *what, STACK_OF(X509) **ret, struct err *err)
{
	STACK_OF(X509) *certs = sk_X509_new_null();
	BIO *bio;
	X509 *x;
	int r = pem_open(pem, what, &bio, err);

	if (r != 0) {
		sk_X509_free(certs);
		return r;
	}
	ERR_clear_error();
	while ((x = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
		X509_check_purpose(x, -1, 0);   /* fills OpenSSL's cache before threads share it */
		sk_X509_push(certs, x);
	}
	BIO_free(bio);
	if (!pem_at_end())
		r = err_set(err, -EINVAL, "certificate %d of the %s is damaged or incomplete: %s", sk_X509_num(certs) + 1,
			    what, ssl_why());
	else if (sk_X509_num(certs) == 0)
		r = err_set(err, -EINVAL, "the %s has no block -----BEGIN CERTIFICATE-----", what);
	if (r != 0) {
		sk_X509_pop_free(certs, X509_free);
		return r;
	}
	*ret = certs;
	return 0;
}

static int no_passphrase(char *buf, int size, int rwflag, void *arg)
{
	return -1;
}

/* By way of DER, so that each copy of the key on the way is wiped. */
static int read_key(struct str pem, EVP_PKEY **ret, struct err *err)
{
	unsigned char *der = NULL;
	const unsigned char *p;
	EVP_PKEY *key = NULL;
	char *name = NULL;
	BIO *bio;
	long n = 0;
	int r = pem_open(pem, "private key", &bio, err);

	if (r != 0)
		return r;
	ERR_clear_error();
	if (PEM_bytes_read_bio_secmem(&der, &n, &name, PEM_STRING_EVP_PKEY, bio, no_passphrase, NULL)) {
		p = der;
		key = d2i_AutoPrivateKey(NULL, &p, n);
	}
	BIO_free(bio);
	OPENSSL_secure_clear_free(der, (size_t)n);
	OPENSSL_secure_free(name);
	if (!key)
		return err_set(err, -EINVAL, "the private key cannot be read: %s; an unencrypted PEM key is wanted", ssl_why());
	*ret = key;
	return 0;
}

static int crl_check(X509_CRL *crl, int number, struct err *err)
{
	ISSUING_DIST_POINT *idp = X509_CRL_get_ext_d2i(crl, NID_issuing_distribution_point, NULL, NULL);
	bool indirect = idp && idp->indirectCRL > 0;
	ASN1_INTEGER *serial = ASN1_INTEGER_new();
	X509_REVOKED *entry;

	/* OpenSSL sorts the entries at the first search: do it before threads share them. */
	X509_CRL_get0_by_serial(crl, &entry, serial);
	ASN1_INTEGER_free(serial);
	ISSUING_DIST_POINT_free(idp);
	if (indirect)
		return err_set(err, -ENOTSUP, "CRL %d is an indirect one, which is not supported; "
			       "use the CRL of the issuing CA itself",
			       number);
	return 0;
}

static int read_crls(struct str text, STACK_OF(X509_CRL) **ret, struct err *err)
{
	STACK_OF(X509_CRL) *crls = sk_X509_CRL_new_null();
	X509_CRL *crl;
	BIO *bio;
	int r = pem_open(text, "CRL", &bio, err);

	if (r != 0) {
		sk_X509_CRL_free(crls);
		return r;
	}
	ERR_clear_error();
	if ((unsigned char)text.p[0] == 0x30) {   /* a DER sequence */
		if ((crl = d2i_X509_CRL_bio(bio, NULL)))
			sk_X509_CRL_push(crls, crl);
	} else {
		while ((crl = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL)))
			sk_X509_CRL_push(crls, crl);
		r = pem_at_end() ? 0 : -EINVAL;
	}
	BIO_free(bio);
	if (r != 0 || sk_X509_CRL_num(crls) == 0)
		r = err_set(err, -EINVAL, "the CRL cannot be read (%s); "
			    "blocks of -----BEGIN X509 CRL-----, or one CRL in DER, are wanted",
			    ssl_why());
	for (int i = 0; r == 0 && i < sk_X509_CRL_num(crls); i++)
		r = crl_check(sk_X509_CRL_value(crls, i), i + 1, err);
	if (r != 0) {
		sk_X509_CRL_pop_free(crls, X509_CRL_free);
		return r;
	}
	*ret = crls;
	return 0;
}

/* Of the client's offer only h2 is taken; a client that offers ALPN without it is refused with alert 120. */
static int select_h2(SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *in, unsigned in_n,
		     void *arg)
{
	for (unsigned i = 0; i < in_n; i += 1u + in[i]) {
		if (in[i] != 2 || i + 3 > in_n || memcmp(in + i + 1, "h2", 2) != 0)
			continue;
		*out = in + i + 1;
		*out_n = 2;
		return SSL_TLSEXT_ERR_OK;
	}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static bool set_parameters(SSL_CTX *ssl, bool allow_tls12)
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

/* Leaf and intermediates are shown; a root in the file is not. */
static bool set_certs(SSL_CTX *ssl, STACK_OF(X509) *chain, EVP_PKEY *key)
{
	if (SSL_CTX_use_certificate(ssl, sk_X509_value(chain, 0)) != 1 || SSL_CTX_use_PrivateKey(ssl, key) != 1)
		return false;
	for (int i = 1; i < sk_X509_num(chain); i++)
		if (!(X509_get_extension_flags(sk_X509_value(chain, i)) & EXFLAG_SS) &&
		    SSL_CTX_add1_chain_cert(ssl, sk_X509_value(chain, i)) != 1)
			return false;
	return true;
}

/* Each root is an anchor by itself, also one that somebody else signed: as ztunnel has it. */
static X509_STORE *store_new(STACK_OF(X509) *roots)
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
	X509_STORE *store = store_new(roots);

	if (!ssl || !store || !set_parameters(ssl, allow_tls12) || !set_certs(ssl, chain, key))
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
	SSL_CTX_set_alpn_select_cb(ssl, select_h2, NULL);
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

static int read_self(struct tlsctx *c, X509 *leaf, EVP_PKEY *key, struct err *err)
{
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
	return 0;
}

static void copy_trust(struct tlsctx *c, const struct tlsctx_conf *conf)
{
	struct spiffe self;
	int n = conf->n_trust_domains;

	spiffe_parse(str_c(c->id), &self);
	c->n_trust_domains = n > 0 ? n : 1;
	c->trust_domains = xcalloc((size_t)c->n_trust_domains, sizeof(*c->trust_domains));
	for (int i = 0; i < c->n_trust_domains; i++) {
		struct str td = n > 0 ? conf->trust_domains[i] : self.trust_domain;

		c->trust_domains[i] = (struct str){ str_dup(td), td.n };
	}
}

static void tlsctx_free(struct tlsctx *c)
{
	SSL_CTX_free(c->server);
	SSL_CTX_free(c->client);
	sk_X509_CRL_pop_free(c->crls, X509_CRL_free);
	for (int i = 0; i < c->n_trust_domains; i++)
		free((char *)c->trust_domains[i].p);
	free(c->trust_domains);
	free(c);
}

int tlsctx_new(const struct tlsctx_conf *conf, struct tlsctx **ret, struct err *err)
{
	STACK_OF(X509) *chain = NULL, *roots = NULL;
	struct tlsctx *c = xcalloc(1, sizeof(*c));
	EVP_PKEY *key = NULL;
	int r;

	atomic_init(&c->refs, 1);
	if ((r = read_certs(conf->cert_chain_pem, "certificate chain", &chain, err)) != 0 ||
	    (r = read_key(conf->key_pem, &key, err)) != 0 ||
	    (r = read_certs(conf->roots_pem, "root certificates", &roots, err)) != 0 ||
	    (conf->crl_pem.n > 0 && (r = read_crls(conf->crl_pem, &c->crls, err)) != 0) ||
	    (r = read_self(c, sk_X509_value(chain, 0), key, err)) != 0)
		goto out;
	copy_trust(c, conf);
	c->server = ssl_ctx_new(c, true, conf->allow_tls12, chain, key, roots);
	c->client = c->server ? ssl_ctx_new(c, false, conf->allow_tls12, chain, key, roots) : NULL;
	if (!c->client)
		r = err_set(err, -EINVAL, "OpenSSL does not accept the certificate of %s: %s", c->id, ssl_why());
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
	int r = read_crls(text, &crls, err);

	ERR_clear_error();
	if (r == 0)
		sk_X509_CRL_pop_free(crls, X509_CRL_free);
	return r;
}
