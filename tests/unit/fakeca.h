/* SPDX-License-Identifier: Apache-2.0 */
/* A CA of the test's own, as istiod or in any of the ways in which one can be wrong. */
#ifndef TEST_FAKECA_H
#define TEST_FAKECA_H

#include "base/err.h"
#include "pki.h"

enum fakeca_mode {
	CA_GOOD, CA_WRONG_ID, CA_EXPIRED, CA_NOT_YET, CA_ROOTLESS, CA_LONE, CA_EMPTY, CA_GARBAGE, CA_OTHER_KEY, CA_NOTHING, CA_REFUSES,
};

struct fakeca {
	struct pki root, middle;       /* middle.cert NULL: the root signs itself */
	char *roots;                   /* what the answer ends with */
	enum fakeca_mode mode;
	long ttl_s;                    /* 0: as asked for */
	int asked;
};

static inline void fakeca_init(struct fakeca *ca)
{
	memset(ca, 0, sizeof(*ca));
	ca->root = pki_ca(NULL, "mesh root");
	ca->roots = pki_pem(ca->root.cert);
}

static inline void fakeca_done(struct fakeca *ca)
{
	pki_done(&ca->root);
	pki_done(&ca->middle);
	free(ca->roots);
}

/* Exactly what istiod and strict CAs (AWS PCA) want: P-256, SHA-256, empty subject, one critical URI name, nothing else. */
static inline EVP_PKEY *fakeca_read_csr(struct str pem, char *ret_id, size_t n, struct err *err)
{
	BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
	X509_REQ *req = PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL);
	STACK_OF(X509_EXTENSION) *all = req ? X509_REQ_get_extensions(req) : NULL;
	X509_EXTENSION *san = all && sk_X509_EXTENSION_num(all) == 1 ? sk_X509_EXTENSION_value(all, 0) : NULL;
	GENERAL_NAMES *names = san ? X509V3_EXT_d2i(san) : NULL;
	EVP_PKEY *key = req ? X509_REQ_get_pubkey(req) : NULL;
	char group[32] = "";
	const char *bad = NULL;

	if (key)
		EVP_PKEY_get_group_name(key, group, sizeof(group), NULL);
	if (!req)
		bad = "no request";
	else if (strcmp(group, "prime256v1") != 0 || X509_REQ_verify(req, key) != 1)
		bad = "key or signature";
	else if (X509_REQ_get_signature_nid(req) != NID_ecdsa_with_SHA256)
		bad = "not SHA-256";
	else if (X509_NAME_entry_count(X509_REQ_get_subject_name(req)) != 0)
		bad = "a subject";
	else if (!names || X509_EXTENSION_get_critical(san) != 1 || sk_GENERAL_NAME_num(names) != 1 ||
		 sk_GENERAL_NAME_value(names, 0)->type != GEN_URI)
		bad = "not one critical URI name";
	else
		snprintf(ret_id, n, "%.*s", ASN1_STRING_length(sk_GENERAL_NAME_value(names, 0)->d.uniformResourceIdentifier),
			 ASN1_STRING_get0_data(sk_GENERAL_NAME_value(names, 0)->d.uniformResourceIdentifier));
	GENERAL_NAMES_free(names);
	sk_X509_EXTENSION_pop_free(all, X509_EXTENSION_free);
	X509_REQ_free(req);
	BIO_free(bio);
	if (!bad)
		return key;
	EVP_PKEY_free(key);
	err_set(err, -1, "%s", bad);
	return NULL;
}

/* Up to 3 texts, the caller's; the number of them, -1 and err: the request is not what it must be. */
static inline int fakeca_sign(struct fakeca *ca, struct str csr, const char *want, long ttl_s, char *ret[3], struct err *err)
{
	char id[256], san[300];
	EVP_PKEY *key = fakeca_read_csr(csr, id, sizeof(id), err);
	struct pki other = pki_ca(NULL, "another root"), leaf;
	struct pki_spec spec = { .san = san, .pubkey = key, .from = -120 };
	struct pki *issuer = ca->mode == CA_ROOTLESS ? &other : ca->middle.cert ? &ca->middle : &ca->root;
	int n = 0;

	if (!key || strcmp(id, want) != 0) {
		pki_done(&other);
		EVP_PKEY_free(key);
		return key ? err_set(err, -1, "the request names %s", id) : -1;
	}
	spec.to = ca->ttl_s ? ca->ttl_s : ttl_s;
	if (ca->mode == CA_EXPIRED)
		spec.to = -5;
	if (ca->mode == CA_NOT_YET)
		spec.from = 3600;
	if (ca->mode == CA_OTHER_KEY)
		spec.pubkey = other.key;
	snprintf(san, sizeof(san), "critical,URI:%s", ca->mode == CA_WRONG_ID ? "spiffe://td/ns/istio-system/sa/ztunnel" : id);
	leaf = pki_issue(issuer, &spec);
	if (ca->mode == CA_GARBAGE)
		ret[n++] = strdup("-----BEGIN CERTIFICATE-----\nbm8=\n-----END CERTIFICATE-----\n");
	else if (ca->mode != CA_EMPTY)
		ret[n++] = pki_pem(leaf.cert);
	if (ca->middle.cert && n)
		ret[n++] = pki_pem(ca->middle.cert);
	if (n && ca->mode != CA_LONE)
		ret[n++] = strdup(ca->roots);
	pki_done(&leaf);
	pki_done(&other);
	EVP_PKEY_free(key);
	return n;
}

#endif
