/* SPDX-License-Identifier: Apache-2.0 */
#include "tls/webctx.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/buf.h"
#include "base/limits.h"
#include "tls/pem_int.h"
#include "tls/tlsctx_int.h"

#define NAMES_SHOWN 8

__attribute__((format(printf, 5, 6)))
static int refuse(X509_STORE_CTX *store, struct tls_verify *v, int code, enum fail fail, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(v->error, sizeof(v->error), fmt, ap);
	va_end(ap);
	v->fail = fail;
	X509_STORE_CTX_set_error(store, code);
	return 0;
}

static void put_name(struct buf *out, const GENERAL_NAME *name)
{
	struct ip ip = { .b = { [10] = 0xff, [11] = 0xff } };
	const ASN1_STRING *s = name->d.ia5;
	char text[ADDR_TEXT];
	int n = ASN1_STRING_length(s);

	if (name->type == GEN_IPADD && (n == 4 || n == 16)) {
		memcpy(ip.b + 16 - n, ASN1_STRING_get0_data(s), (size_t)n);
		buf_puts(out, ip_format(&ip, text));
		return;
	}
	for (int i = 0; i < n && i < 255; i++) {
		unsigned char c = ASN1_STRING_get0_data(s)[i];

		buf_printf(out, "%c", c > ' ' && c < 0x7f ? c : '?');
	}
}

/* "a.example, 10.0.0.1 and 3 more", or "no name". */
static void names_format(X509 *leaf, struct buf *out)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
	int shown = 0, more = 0;

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

		if (name->type != GEN_DNS && name->type != GEN_IPADD && name->type != GEN_URI)
			continue;
		if (shown == NAMES_SHOWN) {
			more++;
			continue;
		}
		buf_puts(out, shown++ ? ", " : "");
		put_name(out, name);
	}
	if (more)
		buf_printf(out, " and %d more", more);
	if (!shown)
		buf_puts(out, "no name");
	GENERAL_NAMES_free(names);
}

static bool has_uri(X509 *leaf, struct str uri)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
	bool has = false;

	for (int i = 0; i < sk_GENERAL_NAME_num(names) && !has; i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

		if (name->type == GEN_URI)
			has = str_eq(uri, (struct str){ (const char *)ASN1_STRING_get0_data(name->d.uniformResourceIdentifier),
							(size_t)ASN1_STRING_length(name->d.uniformResourceIdentifier) });
	}
	GENERAL_NAMES_free(names);
	return has;
}

static bool has_name(X509 *leaf, struct str name)
{
	char text[256];
	struct ip ip;

	if (name.n == 0 || name.n >= sizeof(text))
		return false;
	snprintf(text, sizeof(text), "%.*s", STR_FMT(name));
	if (strstr(text, "://"))
		return has_uri(leaf, name);
	if (ip_parse(name, &ip) == 0)
		return X509_check_ip_asc(leaf, text, 0) == 1;
	return X509_check_host(leaf, text, name.n, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS,
			       NULL) == 1;
}

static int refuse_names(X509_STORE_CTX *store, const struct tlsctx *c, struct tls_verify *v, X509 *leaf)
{
	struct buf has = { 0 }, want = { 0 };
	int r;

	names_format(leaf, &has);
	for (int i = 0; i < v->n_expect; i++)
		buf_printf(&want, "%s%.*s", i ? " or " : "", STR_FMT(v->expect[i]));
	r = refuse(store, v, X509_V_ERR_HOSTNAME_MISMATCH, FAIL_WRONG_IDENTITY,
		   "the server's certificate is for %.*s; wanted is %.*s%s%s", STR_FMT(buf_str(&has)), STR_FMT(buf_str(&want)),
		   c->name_hint ? ": if this is the right server, name it with " : "", c->name_hint ? c->name_hint : "");
	buf_done(&has);
	buf_done(&want);
	return r;
}

static int verify_server(X509_STORE_CTX *store, void *tlsctx)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	X509 *leaf = X509_STORE_CTX_get0_cert(store);
	struct tls_verify *v = SSL_get_app_data(ssl);
	const struct tlsctx *c = tlsctx;
	int revoked;

	if (c->insecure)
		return 1;
	if (X509_verify_cert(store) != 1) {
		int code = X509_STORE_CTX_get_error(store), depth = X509_STORE_CTX_get_error_depth(store);
		X509 *at = X509_STORE_CTX_get_current_cert(store);
		char issuer[128] = "";

		X509_NAME_oneline(X509_get_issuer_name(at ? at : leaf), issuer, sizeof(issuer));
		return refuse(store, v, code, FAIL_TLS, "the server's certificate is not trusted: %s (at depth %d, issuer %s)%s%s",
			      X509_verify_cert_error_string(code), depth, issuer,
			      c->roots_hint ? ": give its root with " : "", c->roots_hint ? c->roots_hint : "");
	}
	if (verify_revoked(c, X509_STORE_CTX_get0_chain(store), &revoked))
		return refuse(store, v, X509_V_ERR_CERT_REVOKED, FAIL_CERT_REVOKED, "the server's certificate is revoked by the CRL (at depth %d)", revoked);
	if (v->n_expect == 0 && c->any_name)
		return 1;
	for (int i = 0; i < v->n_expect; i++)
		if (has_name(leaf, v->expect[i]))
			return 1;
	return refuse_names(store, c, v, leaf);
}

static bool offer(SSL_CTX *ssl, const char *alpn)
{
	return SSL_CTX_set_alpn_protos(ssl, (const unsigned char *)alpn, (unsigned)strlen(alpn)) == 0;
}

static SSL_CTX *client_new(struct tlsctx *c, bool http1, STACK_OF(X509) *chain, EVP_PKEY *key, STACK_OF(X509) *roots)
{
	SSL_CTX *ssl = SSL_CTX_new(TLS_client_method());
	X509_STORE *store = roots ? tlsctx_store(roots) : X509_STORE_new();

	if (!ssl || !store || (!roots && X509_STORE_set_default_paths(store) != 1) || !tlsctx_parameters(ssl, true) ||
	    !offer(ssl, http1 ? "\10http/1.1" : "\2h2") || (chain && !tlsctx_certs(ssl, chain, key))) {
		X509_STORE_free(store);
		SSL_CTX_free(ssl);
		return NULL;
	}
	SSL_CTX_set_cert_store(ssl, store);
	SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_cert_verify_callback(ssl, verify_server, c);
	return ssl;
}

/* roots NULL: clients are not asked who they are. */
static SSL_CTX *server_new(struct tlsctx *c, STACK_OF(X509) *chain, EVP_PKEY *key, STACK_OF(X509) *roots)
{
	SSL_CTX *ssl = SSL_CTX_new(TLS_server_method());
	X509_STORE *store = tlsctx_store(roots);

	if (!ssl || !store || !tlsctx_parameters(ssl, true) || !tlsctx_certs(ssl, chain, key)) {
		X509_STORE_free(store);
		SSL_CTX_free(ssl);
		return NULL;
	}
	SSL_CTX_set_cert_store(ssl, store);
	SSL_CTX_set_verify(ssl, roots ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT : SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_cert_verify_callback(ssl, verify_server, c);
	tlsctx_choose_alpn(ssl);
	for (int i = 0; i < sk_X509_num(roots); i++)
		SSL_CTX_add_client_CA(ssl, sk_X509_value(roots, i));
	return ssl;
}

/* A whole file, as text; "SYSTEM" and PEM text are taken as they are. */
struct text {
	char *p;                  /* owned */
	size_t n;
};

static void text_done(struct text *t)
{
	if (t->p)
		OPENSSL_cleanse(t->p, t->n);
	free(t->p);
}

static int text_read(struct str file, struct text *ret, struct err *err)
{
	char *name = str_dup(file);
	int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK), r = 0;
	struct text t = { 0 };
	struct stat st;
	ssize_t n = 0;

	if (fd < 0 || fstat(fd, &st) != 0) {
		r = err_set(err, -errno, "%s cannot be read: %s", name, strerror(errno));
	} else if (!S_ISREG(st.st_mode) || st.st_size > (off_t)LIMIT_PEM_BYTES) {
		r = err_set(err, -EINVAL, "%s is not a file of at most %u KiB", name, LIMIT_PEM_BYTES >> 10);
	} else {
		t.p = xmalloc((size_t)st.st_size + 1);
		while (t.n < (size_t)st.st_size && (n = read(fd, t.p + t.n, (size_t)st.st_size - t.n)) > 0)
			t.n += (size_t)n;
		if (n < 0)
			r = err_set(err, -errno, "%s cannot be read: %s", name, strerror(errno));
	}
	if (fd >= 0)
		close(fd);
	free(name);
	if (r == 0)
		*ret = t;
	else
		text_done(&t);
	return r;
}

bool webctx_roots_is_file(struct str roots)
{
	return !str_is(roots, "SYSTEM") && !memmem(roots.p, roots.n, "-----BEGIN", 10);
}

/* What is wrong in a file is said with its name. */
static int certs_of(const char *what, struct str file, const struct text *t, STACK_OF(X509) **ret, struct err *err)
{
	char name[320];

	snprintf(name, sizeof(name), "%s %.*s", what, file.n < 256 ? (int)file.n : 256, file.p);
	return pem_certs((struct str){ t->p, t->n }, name, ret, err);
}

static int read_roots(struct str roots, STACK_OF(X509) **ret, struct err *err)
{
	struct text t = { 0 };
	int r;

	if (str_is(roots, "SYSTEM"))
		return 0;
	if (!webctx_roots_is_file(roots))
		return pem_certs(roots, "root certificates", ret, err);
	r = text_read(roots, &t, err);
	if (r == 0)
		r = certs_of("root file", roots, &t, ret, err);
	text_done(&t);
	return r;
}

static int read_own(const struct webctx_conf *conf, STACK_OF(X509) **chain, EVP_PKEY **key, struct err *err)
{
	struct text c = { 0 }, k = { 0 };
	int r;

	if ((r = text_read(conf->cert_file, &c, err)) != 0 || (r = text_read(conf->key_file, &k, err)) != 0 ||
	    (r = certs_of("certificate file", conf->cert_file, &c, chain, err)) != 0 ||
	    (r = pem_key((struct str){ k.p, k.n }, key, err)) != 0)
		goto out;
	if (X509_check_private_key(sk_X509_value(*chain, 0), *key) != 1)
		r = err_set(err, -EINVAL, "the key in %.*s does not belong to the certificate in %.*s", STR_FMT(conf->key_file),
			    STR_FMT(conf->cert_file));
out:
	text_done(&c);
	text_done(&k);
	return r;
}

static int read_crl(const struct webctx_conf *conf, STACK_OF(X509_CRL) **ret, struct err *err)
{
	struct text t = { 0 };
	int r = conf->crl_file.n ? text_read(conf->crl_file, &t, err) : 0;

	if (r == 0 && conf->crl_file.n)
		r = pem_crls((struct str){ t.p, t.n }, ret, err);
	text_done(&t);
	return r;
}

int webctx_new(const struct webctx_conf *conf, struct tlsctx **ret, struct err *err)
{
	STACK_OF(X509) *chain = NULL, *roots = NULL;
	struct tlsctx *c = tlsctx_alloc();
	EVP_PKEY *key = NULL;
	int r;

	c->web = true;
	c->roots_hint = conf->roots_hint;
	c->name_hint = conf->name_hint;
	c->insecure = conf->insecure;
	c->any_name = conf->any_name;
	r = conf->server && !conf->roots.n ? 0 : read_roots(conf->roots, &roots, err);
	if (r == 0 && conf->server && !conf->cert_file.n)
		r = err_set(err, -EINVAL, "a server needs a certificate and a key");
	if (r == 0 && conf->cert_file.n)
		r = read_own(conf, &chain, &key, err);
	if (r == 0)
		r = read_crl(conf, &c->crls, err);
	if (r == 0 && conf->server && !(c->server = server_new(c, chain, key, roots)))
		r = err_set(err, -EINVAL, "OpenSSL does not accept the certificate or the roots: %s", pem_why());
	if (r == 0 && !conf->server && !(c->client = client_new(c, conf->http1, chain, key, roots)))
		r = err_set(err, -EINVAL, "OpenSSL does not accept %s: %s", chain ? "the certificate or the roots" : "the roots", pem_why());
	ERR_clear_error();
	sk_X509_pop_free(chain, X509_free);
	sk_X509_pop_free(roots, X509_free);
	EVP_PKEY_free(key);
	if (r == 0)
		*ret = c;
	else
		tlsctx_unref(c);
	return r;
}
