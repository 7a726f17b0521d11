/* SPDX-License-Identifier: Apache-2.0 */
#include "tls/digest.h"

#include <openssl/evp.h>

void digest_sha1(struct str s, uint8_t ret[DIGEST_SHA1_BYTES])
{
	if (!EVP_Digest(s.p, s.n, ret, NULL, EVP_sha1(), NULL))
		memset(ret, 0, DIGEST_SHA1_BYTES);
}

void digest_base64(const uint8_t *p, size_t n, char *ret)
{
	EVP_EncodeBlock((unsigned char *)ret, p, (int)n);
}
