/* SPDX-License-Identifier: Apache-2.0 */
/* Digests and base64 where a protocol asks for them. */
#ifndef TLS_DIGEST_H
#define TLS_DIGEST_H

#include "base/str.h"

#define DIGEST_SHA1_BYTES 20
#define DIGEST_BASE64(n)  (((n) + 2) / 3 * 4 + 1)     /* bytes of n bytes' text, with its NUL */

void digest_sha1(struct str s, uint8_t ret[DIGEST_SHA1_BYTES]);   /* no secret may depend on it */
void digest_base64(const uint8_t *p, size_t n, char *ret);

#endif
