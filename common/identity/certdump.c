/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/certdump.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <time.h>

static void put_pem(struct buf *out, X509 *x)
{
	BIO *bio = BIO_new(BIO_s_mem());
	unsigned char *text;
	char *p;
	long n;

	PEM_write_bio_X509(bio, x);
	n = BIO_get_mem_data(bio, &p);
	text = xmalloc((size_t)n / 3 * 4 + 5);
	EVP_EncodeBlock(text, (const unsigned char *)p, (int)n);
	buf_printf(out, "\"pem\":\"%s\"", (const char *)text);
	free(text);
	BIO_free(bio);
}

static void put_serial(struct buf *out, X509 *x)
{
	BIGNUM *n = ASN1_INTEGER_to_BN(X509_get0_serialNumber(x), NULL);
	char *text = n ? BN_bn2dec(n) : NULL;

	buf_printf(out, ",\"serialNumber\":\"%s\"", text ? text : "");
	OPENSSL_free(text);
	BN_free(n);
}

static void put_time(struct buf *out, const char *name, const ASN1_TIME *t)
{
	struct tm tm = { 0 };
	char text[32] = "";

	if (ASN1_TIME_to_tm(t, &tm) == 1)
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	buf_printf(out, ",\"%s\":\"%s\"", name, text);
}

void certdump_array(struct buf *out, struct str pem)
{
	BIO *bio = BIO_new_mem_buf(pem.n ? pem.p : "", (int)pem.n);
	const char *sep = "{";
	X509 *x;

	buf_puts(out, "[");
	while ((x = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
		buf_puts(out, sep);
		put_pem(out, x);
		put_serial(out, x);
		put_time(out, "validFrom", X509_get0_notBefore(x));
		put_time(out, "expirationTime", X509_get0_notAfter(x));
		buf_puts(out, "}");
		sep = ",{";
		X509_free(x);
	}
	buf_puts(out, "]");
	ERR_clear_error();
	BIO_free(bio);
}
