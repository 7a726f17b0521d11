/* SPDX-License-Identifier: Apache-2.0 */
#include "tls/ed25519.h"

#include <openssl/err.h>
#include <openssl/evp.h>

bool ed25519_verify(const uint8_t key[ED25519_KEY_BYTES], struct str text, const uint8_t signature[ED25519_SIGNATURE_BYTES])
{
	EVP_PKEY *pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key, ED25519_KEY_BYTES);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good = pkey && ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey) == 1 &&
		    EVP_DigestVerify(ctx, signature, ED25519_SIGNATURE_BYTES, (const uint8_t *)text.p, text.n) == 1;

	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(pkey);
	ERR_clear_error();
	return good;
}
