/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/csr.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdlib.h>

#include "tls/spiffe.h"

static bool add_name(X509_REQ *req, struct str id)
{
	STACK_OF(X509_EXTENSION) *all = sk_X509_EXTENSION_new_null();
	char *value = xasprintf("critical,URI:%.*s", STR_FMT(id));
	X509_EXTENSION *name = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, value);
	bool ok = all && name && sk_X509_EXTENSION_push(all, name) > 0;

	if (!ok)
		X509_EXTENSION_free(name);
	ok = ok && X509_REQ_add_extensions(req, all) == 1;
	sk_X509_EXTENSION_pop_free(all, X509_EXTENSION_free);
	free(value);
	return ok;
}

static bool req_to_pem(X509_REQ *req, struct secret *ret)
{
	BIO *bio = BIO_new(BIO_s_mem());
	bool ok = bio && PEM_write_bio_X509_REQ(bio, req) == 1;

	if (ok)
		secret_from_bio(bio, ret);
	BIO_free(bio);
	return ok;
}

int csr_new(struct str id, struct secret *ret_key, struct secret *ret_csr, struct err *err)
{
	struct secret key_pem = { 0 };
	struct spiffe parts;
	X509_REQ *req;
	EVP_PKEY *key;
	bool ok;

	if (spiffe_parse(id, &parts) != 0)
		return err_set(err, -EINVAL, "\"%.*s\" is not a SPIFFE ID (spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE-ACCOUNT)",
			       STR_FMT(id));
	req = X509_REQ_new();
	key = EVP_EC_gen("P-256");
	ok = req && key && X509_REQ_set_version(req, X509_REQ_VERSION_1) == 1 && X509_REQ_set_pubkey(req, key) == 1 &&
	     add_name(req, id) && X509_REQ_sign(req, key, EVP_sha256()) > 0 && secret_from_key(key, &key_pem) &&
	     req_to_pem(req, ret_csr);
	X509_REQ_free(req);
	EVP_PKEY_free(key);
	if (!ok) {
		const char *why = ERR_reason_error_string(ERR_peek_last_error());

		ERR_clear_error();
		secret_wipe(&key_pem);
		return err_set(err, -ENOMEM, "a certificate request cannot be made: %s", why ? why : "OpenSSL gives no reason");
	}
	*ret_key = key_pem;
	return 0;
}
