/* SPDX-License-Identifier: Apache-2.0 */
/* What a CA may answer: the message as it is, or a good answer of which some bytes are others. Also CRLs. */
#include <stdlib.h>

#include "identity/csr.h"
#include "identity/svid.h"
#include "proto/citadel.pb-c.h"
#include "tests/unit/fakeca.h"

#define ID "spiffe://td/ns/default/sa/web"

static struct secret key;
static struct trust *trust;
static unsigned char *der[3];      /* leaf, intermediate, root */
static int der_n[3];

static void make(void)
{
	struct fakeca ca;
	struct secret csr;
	char *texts[3];
	struct err err;
	int n;

	fakeca_init(&ca);
	ca.middle = pki_ca(&ca.root, "middle");
	if (csr_new(str_c(ID), &key, &csr, &err) != 0 || (n = fakeca_sign(&ca, secret_str(&csr), ID, 86400, texts, &err)) != 3)
		abort();
	for (int i = 0; i < n; i++) {
		BIO *bio = BIO_new_mem_buf(texts[i], -1);
		X509 *x = PEM_read_bio_X509(bio, NULL, NULL, NULL);

		der_n[i] = i2d_X509(x, &der[i]);
		X509_free(x);
		BIO_free(bio);
		free(texts[i]);
	}
	trust = trust_copy(NULL);
	secret_wipe(&csr);
	fakeca_done(&ca);
}

static void use(struct str chain, struct str roots)
{
	struct certset set = { { str_dup(chain), chain.n }, { str_dup(secret_str(&key)), key.n }, { str_dup(roots), roots.n } };
	struct tlsctx *ctx;
	struct svid *svid;
	struct err err;

	if (svid_new(&set, trust, true, &svid, &ctx, &err) != 0)
		return;
	if (tlsctx_identity(ctx).n == 0 || tlsctx_identity(ctx).n > 255)
		abort();
	tlsctx_unref(ctx);
	svid_unref(svid);
}

/* Pairs of (where, what) change certificate `which`, or none of them when there is nothing left. */
static void changed(int which, const uint8_t *p, size_t n)
{
	char *pem[3];
	char *chain;

	for (int i = 0; i < 3; i++) {
		unsigned char *copy = malloc((size_t)der_n[i]), *text = malloc((size_t)der_n[i] * 2);

		memcpy(copy, der[i], (size_t)der_n[i]);
		for (size_t k = 0; i == which && k + 2 < n; k += 3)
			copy[((p[k] << 8) | p[k + 1]) % der_n[i]] ^= p[k + 2];
		EVP_EncodeBlock(text, copy, der_n[i]);
		pem[i] = xasprintf("-----BEGIN CERTIFICATE-----\n%s\n-----END CERTIFICATE-----\n", (char *)text);
		free(copy);
		free(text);
	}
	chain = xasprintf("%s%s", pem[0], pem[1]);
	use(str_c(chain), str_c(pem[2]));
	free(chain);
	for (int i = 0; i < 3; i++)
		free(pem[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Ca__CertificateResponse *r;
	struct err err;

	if (!trust)
		make();
	if (size < 1)
		return 0;
	if (data[0] < 3) {
		changed(data[0], data + 1, size - 1);
	} else if (data[0] < 5) {
		tlsctx_check_crl((struct str){ (const char *)data + 1, size - 1 }, &err);
		tlsctx_check_roots((struct str){ (const char *)data + 1, size - 1 }, &err);
	} else if ((r = ca__certificate_response__unpack(NULL, size - 1, data + 1))) {
		if (r->n_cert_chain > 1)
			use(str_c(r->cert_chain[0]), str_c(r->cert_chain[r->n_cert_chain - 1]));
		ca__certificate_response__free_unpacked(r, NULL);
	}
	return 0;
}
