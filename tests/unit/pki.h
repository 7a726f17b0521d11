/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates made to order for tests: CAs, leaves with any SANs and dates, CRLs. */
#ifndef TEST_PKI_H
#define TEST_PKI_H

#include <assert.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/str.h"

struct pki {
	X509 *cert;
	EVP_PKEY *key;
};

struct pki_spec {
	const char *san;          /* as in openssl.cnf: "URI:spiffe://…,URI:…,DNS:…"; NULL: none */
	const char *eku;          /* NULL: no EKU */
	const char *basic;        /* basicConstraints; NULL: none */
	const char *name;         /* NULL: empty subject */
	long from, to;            /* seconds from now; both 0: an hour either way */
	const char *constraints;  /* nameConstraints */
	EVP_PKEY *pubkey;         /* somebody else's: pki.key stays NULL */
};

static inline char *pki_pem(X509 *x)
{
	BIO *b = BIO_new(BIO_s_mem());
	char *p, *text;
	long n;

	PEM_write_bio_X509(b, x);
	n = BIO_get_mem_data(b, &p);
	text = str_dup((struct str){ p, (size_t)n });
	BIO_free(b);
	return text;
}

static inline char *pki_key_pem(EVP_PKEY *key)
{
	BIO *b = BIO_new(BIO_s_mem());
	char *p, *text;
	long n;

	PEM_write_bio_PKCS8PrivateKey(b, key, NULL, NULL, 0, NULL, NULL);
	n = BIO_get_mem_data(b, &p);
	text = str_dup((struct str){ p, (size_t)n });
	BIO_free(b);
	return text;
}

static inline void pki_ext(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *e;
	X509V3_CTX ctx;

	if (!value)
		return;
	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	assert(e);
	X509_add_ext(x, e, -1);
	X509_EXTENSION_free(e);
}

/* issuer NULL: self-signed. */
static inline struct pki pki_issue(const struct pki *issuer, const struct pki_spec *s)
{
	static long serial = 1000;
	struct pki p = { X509_new(), s->pubkey ? NULL : EVP_EC_gen("P-256") };
	bool dated = s->from || s->to;

	X509_set_version(p.cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(p.cert), ++serial);
	X509_gmtime_adj(X509_getm_notBefore(p.cert), dated ? s->from : -3600);
	X509_gmtime_adj(X509_getm_notAfter(p.cert), dated ? s->to : 3600);
	if (s->name)
		X509_NAME_add_entry_by_txt(X509_get_subject_name(p.cert), "O", MBSTRING_ASC,
					   (const unsigned char *)s->name, -1, -1, 0);
	X509_set_issuer_name(p.cert, X509_get_subject_name(issuer ? issuer->cert : p.cert));
	X509_set_pubkey(p.cert, s->pubkey ? s->pubkey : p.key);
	pki_ext(p.cert, issuer ? issuer->cert : p.cert, NID_subject_alt_name, s->san);
	pki_ext(p.cert, NULL, NID_ext_key_usage, s->eku);
	pki_ext(p.cert, NULL, NID_basic_constraints, s->basic);
	pki_ext(p.cert, NULL, NID_name_constraints, s->constraints);
	X509_sign(p.cert, issuer ? issuer->key : p.key, EVP_sha256());
	return p;
}

static inline struct pki pki_ca(const struct pki *issuer, const char *name)
{
	return pki_issue(issuer, &(struct pki_spec){ .name = name, .basic = "critical,CA:TRUE" });
}

/* A PEM CRL of `ca` that revokes `cert`; to: seconds from now when it expires. */
static inline char *pki_crl(const struct pki *ca, const struct pki *cert, long to)
{
	X509_REVOKED *rev = X509_REVOKED_new();
	X509_CRL *crl = X509_CRL_new();
	ASN1_TIME *t = X509_gmtime_adj(NULL, -7200);
	BIO *b = BIO_new(BIO_s_mem());
	char *p, *text;
	long n;

	X509_CRL_set_version(crl, 1);
	X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca->cert));
	X509_CRL_set1_lastUpdate(crl, t);
	X509_REVOKED_set_serialNumber(rev, X509_get_serialNumber(cert->cert));
	X509_REVOKED_set_revocationDate(rev, t);
	X509_CRL_add0_revoked(crl, rev);
	X509_gmtime_adj(t, to);
	X509_CRL_set1_nextUpdate(crl, t);
	X509_CRL_sign(crl, ca->key, EVP_sha256());
	PEM_write_bio_X509_CRL(b, crl);
	n = BIO_get_mem_data(b, &p);
	text = str_dup((struct str){ p, (size_t)n });
	ASN1_TIME_free(t);
	BIO_free(b);
	X509_CRL_free(crl);
	return text;
}

static inline void pki_done(struct pki *p)
{
	X509_free(p->cert);
	EVP_PKEY_free(p->key);
}

#endif
