/* SPDX-License-Identifier: Apache-2.0 */
#include "tls/pem_int.h"

#include <errno.h>
#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

const char *pem_why(void)
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

int pem_certs(struct str pem, const char *what, STACK_OF(X509) **ret, struct err *err)
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
			    what, pem_why());
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

/* P-256 in PKCS #8, as CAs and we ourselves write it: with this head the private number is at byte 36, the public point at 73.
 * Taken by hand, since OpenSSL's decoder leaves the private number in freed memory. NULL: something else. */
static EVP_PKEY *p256_key(const unsigned char *der, size_t n)
{
	static const unsigned char head[36] = {
		0x30, 0x81, 0x87, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08,
		0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x6d, 0x30, 0x6b, 0x02, 0x01, 0x01, 0x04, 0x20,
	};
	unsigned char number[32], point[65];
	EVP_PKEY_CTX *ctx;
	EVP_PKEY *key = NULL;
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)"prime256v1", 0),
		OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_PRIV_KEY, number, sizeof(number)),
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point)),
		OSSL_PARAM_construct_end(),
	};
	BIGNUM *bn;

	if (n != 138 || memcmp(der, head, sizeof(head)) != 0)
		return NULL;
	memcpy(point, der + 73, sizeof(point));
	bn = BN_bin2bn(der + 36, 32, NULL);
	ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	if (!bn || !ctx || BN_bn2nativepad(bn, number, sizeof(number)) < 0 || EVP_PKEY_fromdata_init(ctx) != 1 ||
	    EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params) != 1)
		key = NULL;
	EVP_PKEY_CTX_free(ctx);
	BN_clear_free(bn);
	OPENSSL_cleanse(number, sizeof(number));
	return key;
}

/* By way of DER, so that each copy of the key on the way is wiped. */
int pem_key(struct str pem, EVP_PKEY **ret, struct err *err)
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
		key = p256_key(der, (size_t)n);
		key = key ? key : d2i_AutoPrivateKey(NULL, &p, n);
	}
	BIO_free(bio);
	OPENSSL_secure_clear_free(der, (size_t)n);
	OPENSSL_secure_free(name);
	if (!key)
		return err_set(err, -EINVAL, "the private key cannot be read: %s; an unencrypted PEM key is wanted", pem_why());
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

int pem_crls(struct str text, STACK_OF(X509_CRL) **ret, struct err *err)
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
			    pem_why());
	for (int i = 0; r == 0 && i < sk_X509_CRL_num(crls); i++)
		r = crl_check(sk_X509_CRL_value(crls, i), i + 1, err);
	if (r != 0) {
		sk_X509_CRL_pop_free(crls, X509_CRL_free);
		return r;
	}
	*ret = crls;
	return 0;
}
