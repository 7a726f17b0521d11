/* SPDX-License-Identifier: Apache-2.0 */
/* Who the peer is: chain, revocation, SPIFFE ID, trust domain, expected identity. */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>

#include "tls/resume_int.h"
#include "tls/spiffe.h"
#include "tls/tlsctx_int.h"

int verify_spiffe_id(X509 *leaf, char ret[TLS_ID_BYTES], struct err *err)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
	struct str id = { 0 };
	struct spiffe parts;
	int uris = 0, r = 0;

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

		if (name->type != GEN_URI)
			continue;
		uris++;
		id.p = (const char *)ASN1_STRING_get0_data(name->d.uniformResourceIdentifier);
		id.n = (size_t)ASN1_STRING_length(name->d.uniformResourceIdentifier);
	}
	if (uris != 1)
		r = err_set(err, -EINVAL, "it has %d URI names, exactly one is wanted", uris);
	else if (spiffe_parse(id, &parts) != 0)
		r = err_set(err, -EINVAL, "its URI name is not spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE-ACCOUNT");
	else if (id.n >= TLS_ID_BYTES)
		r = err_set(err, -EINVAL, "its SPIFFE ID has %zu bytes, at most %d are allowed", id.n, TLS_ID_BYTES - 1);
	else
		snprintf(ret, TLS_ID_BYTES, "%.*s", STR_FMT(id));
	GENERAL_NAMES_free(names);
	return r;
}

/* A CRL counts if the certificate's issuer signed it. The signature is looked at only when the serial number is listed:
 * so a CRL costs a binary search per handshake. */
static bool cert_revoked(const struct tlsctx *c, X509 *cert, X509 *issuer)
{
	for (int i = 0; i < sk_X509_CRL_num(c->crls); i++) {
		X509_CRL *crl = sk_X509_CRL_value(c->crls, i);
		X509_REVOKED *entry;
		bool revoked;

		ERR_set_mark();
		/* 2 would be removeFromCRL: valid again. */
		revoked = X509_CRL_get0_by_cert(crl, &entry, cert) == 1 &&
			  X509_CRL_verify(crl, X509_get0_pubkey(issuer)) == 1;
		ERR_pop_to_mark();
		if (revoked)
			return true;
	}
	return false;
}

/* Index of the revoked certificate, or -1. A trust anchor that is no root has an unknown issuer: nobody can revoke it. */
static int chain_revoked(const struct tlsctx *c, STACK_OF(X509) *chain)
{
	int n = sk_X509_num(chain);

	for (int i = 0; i < n; i++) {
		X509 *cert = sk_X509_value(chain, i);
		X509 *issuer = i + 1 < n ? sk_X509_value(chain, i + 1) : cert;

		if (cert_revoked(c, cert, issuer))
			return i;
	}
	return -1;
}

bool verify_revoked(const struct tlsctx *c, STACK_OF(X509) *chain, int *ret_depth)
{
	int depth = chain_revoked(c, chain);

	if (depth >= 0)
		*ret_depth = depth;
	return depth >= 0;
}

__attribute__((format(printf, 4, 5)))
static int refuse(X509_STORE_CTX *store, int code, enum fail fail, const char *fmt, ...)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls_verify *v = SSL_get_app_data(ssl);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(v->error, sizeof(v->error), fmt, ap);
	va_end(ap);
	v->fail = fail;
	X509_STORE_CTX_set_error(store, code);
	return 0;
}

static int refuse_chain(X509_STORE_CTX *store, X509 *leaf)
{
	int code = X509_STORE_CTX_get_error(store);
	X509 *at = X509_STORE_CTX_get_current_cert(store);
	char id[TLS_ID_BYTES], issuer[128] = "";

	if (verify_spiffe_id(leaf, id, NULL) != 0)
		snprintf(id, sizeof(id), "no SPIFFE ID");
	X509_NAME_oneline(X509_get_issuer_name(at ? at : leaf), issuer, sizeof(issuer));
	return refuse(store, code, FAIL_TLS, "the peer's certificate (%s) is not trusted: %s (at depth %d, issuer %s)", id,
		      X509_verify_cert_error_string(code), X509_STORE_CTX_get_error_depth(store), issuer);
}

/* "a", or "a or 3 others". */
static void expect_format(const struct tls_verify *v, char *text, size_t n)
{
	if (v->n_expect == 1)
		snprintf(text, n, "%.*s", STR_FMT(v->expect[0]));
	else
		snprintf(text, n, "%.*s or %d other%s", STR_FMT(v->expect[0]), v->n_expect - 1,
			 v->n_expect == 2 ? "" : "s");
}

static bool is_expected(const struct tls_verify *v)
{
	for (int i = 0; i < v->n_expect; i++)
		if (str_is(v->expect[i], v->peer_id))
			return true;
	return v->n_expect == 0;
}

static bool is_trusted(const struct tlsctx *c, const struct tls_verify *v)
{
	struct spiffe parts;

	spiffe_parse(str_c(v->peer_id), &parts);
	for (int i = 0; i < c->n_trust_domains; i++)
		if (str_eq(c->trust_domains[i], parts.trust_domain))
			return true;
	return false;
}

static int check_identity(const struct tlsctx *c, X509_STORE_CTX *store, struct tls_verify *v)
{
	char want[TLS_ID_BYTES + 32];

	if (!is_expected(v)) {
		expect_format(v, want, sizeof(want));
		return refuse(store, X509_V_ERR_APPLICATION_VERIFICATION, FAIL_WRONG_IDENTITY,
			      "the peer is %s, wanted is %s", v->peer_id, want);
	}
	if (is_trusted(c, v))
		return 1;
	return refuse(store, X509_V_ERR_APPLICATION_VERIFICATION, FAIL_TLS,
		      "the peer is %s, its trust domain is not %.*s or one of its %d aliases", v->peer_id,
		      STR_FMT(c->trust_domains[0]), c->n_trust_domains - 1);
}

int verify_peer(X509_STORE_CTX *store, void *tlsctx)
{
	const struct tlsctx *c = tlsctx;
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls_verify *v = SSL_get_app_data(ssl);
	X509 *leaf = X509_STORE_CTX_get0_cert(store);
	struct err why;
	int depth;

	if (X509_verify_cert(store) != 1)
		return refuse_chain(store, leaf);
	if (verify_spiffe_id(leaf, v->peer_id, &why) != 0)
		return refuse(store, X509_V_ERR_APPLICATION_VERIFICATION, FAIL_TLS,
			      "the peer's certificate is not accepted: %s", why.msg);
	if (X509_get_extension_flags(leaf) & EXFLAG_CA)
		return refuse(store, X509_V_ERR_INVALID_PURPOSE, FAIL_TLS,
			      "the peer (%s) shows a CA's certificate, which may only sign others", v->peer_id);
	depth = chain_revoked(c, X509_STORE_CTX_get0_chain(store));
	if (depth >= 0)
		return refuse(store, X509_V_ERR_CERT_REVOKED, FAIL_CERT_REVOKED,
			      "the certificate of %s is revoked by the CRL (at depth %d)", v->peer_id, depth);
	return check_identity(c, store, v);
}

static bool in_time(STACK_OF(X509) *chain)
{
	for (int i = 0; i < sk_X509_num(chain); i++)
		if (X509_cmp_current_time(X509_get0_notAfter(sk_X509_value(chain, i))) < 0)
			return false;
	return sk_X509_num(chain) > 0;
}

bool verify_again(const struct tlsctx *c, STACK_OF(X509) *chain, struct tls_verify *v)
{
	return in_time(chain) && chain_revoked(c, chain) < 0 && verify_spiffe_id(sk_X509_value(chain, 0), v->peer_id, NULL) == 0 &&
	       is_expected(v) && is_trusted(c, v);
}

bool tlsctx_resumed(const struct tlsctx *c, SSL *ssl, struct tls_verify *v)
{
	STACK_OF(X509) *chain = resume_chain(ssl);

	if (!SSL_session_reused(ssl))
		return true;
	if (chain && verify_again(c, chain, v))
		return true;
	v->fail = FAIL_TLS;
	snprintf(v->error, sizeof(v->error), "the session that was resumed is not good any more");
	return false;
}

bool tlsctx_peer_still_valid(const struct tlsctx *now, SSL *ssl)
{
	STACK_OF(X509) *chain = resume_chain(ssl);

	return chain && chain_revoked(now, chain) < 0;
}

bool tlsctx_peer_expired(SSL *ssl)
{
	STACK_OF(X509) *chain = resume_chain(ssl);

	return !chain || !in_time(chain);
}

static const char *alert_text(int alert)
{
	return alert == TLS13_AD_CERTIFICATE_REQUIRED ? "certificate required" : SSL_alert_desc_string_long(alert);
}

void tlsctx_explain(struct tls_verify *v)
{
	unsigned long e = ERR_peek_error();
	int reason = ERR_GET_LIB(e) == ERR_LIB_SSL ? ERR_GET_REASON(e) : 0;
	const char *text = ERR_reason_error_string(e);

	ERR_clear_error();
	if (v->fail != FAIL_NONE)
		return;
	v->fail = FAIL_TLS;
	if (reason > SSL_AD_REASON_OFFSET) {
		snprintf(v->error, sizeof(v->error), "the peer refused with the alert: %s",
			 alert_text(reason - SSL_AD_REASON_OFFSET));
		return;
	}
	if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
		text = "the peer showed no certificate";
	else if (reason == SSL_R_UNSUPPORTED_PROTOCOL)
		text = v->alpn == TLS_ALPN_HBONE ? "the peer does not speak TLS 1.3" : "the peer speaks neither TLS 1.2 nor 1.3";
	else if (reason == SSL_R_NO_APPLICATION_PROTOCOL)
		text = "the peer offers ALPN without h2";
	else if (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST)
		text = "the peer does not speak TLS";
	snprintf(v->error, sizeof(v->error), "%s", text ? text : "unknown TLS error");
}
