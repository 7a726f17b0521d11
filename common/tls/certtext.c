/* SPDX-License-Identifier: Apache-2.0 */
#include "tls/certtext_int.h"

#include <openssl/evp.h>
#include <openssl/x509v3.h>

/* A name that could be taken for more than one value is left out. */
static void put_names(X509 *cert, int type, const char *key, struct buf *out)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		struct str text;
		bool good = name->type == type;

		if (!good)
			continue;
		text = (struct str){ (const char *)ASN1_STRING_get0_data(name->d.ia5), (size_t)ASN1_STRING_length(name->d.ia5) };
		for (size_t k = 0; k < text.n; k++)
			good &= text.p[k] > ' ' && text.p[k] < 0x7f && !strchr(",;=\"", text.p[k]);
		if (good)
			buf_printf(out, ";%s=%.*s", key, STR_FMT(text));
	}
	GENERAL_NAMES_free(names);
}

void certtext_xfcc(X509 *cert, struct buf *out)
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	BIO *b = BIO_new(BIO_s_mem());
	unsigned n = 0;
	char *subject = NULL;
	long len = 0;

	X509_digest(cert, EVP_sha256(), hash, &n);
	buf_puts(out, "Hash=");
	for (unsigned i = 0; i < n; i++)
		buf_printf(out, "%02x", hash[i]);
	if (b && X509_NAME_print_ex(b, X509_get_subject_name(cert), 0, XN_FLAG_RFC2253) >= 0)
		len = BIO_get_mem_data(b, &subject);
	/* RFC 2253 escapes quotes and everything that could end a header. */
	buf_printf(out, ";Subject=\"%.*s\"", len > 0 ? (int)len : 0, subject ? subject : "");
	put_names(cert, GEN_URI, "URI", out);
	put_names(cert, GEN_DNS, "DNS", out);
	BIO_free(b);
}
