/* SPDX-License-Identifier: Apache-2.0 */
/* Signatures by Ed25519 (RFC 8032). */
#ifndef TLS_ED25519_H
#define TLS_ED25519_H

#include "base/str.h"

#define ED25519_KEY_BYTES       32
#define ED25519_SIGNATURE_BYTES 64

/* False also when memory is out. */
bool ed25519_verify(const uint8_t key[ED25519_KEY_BYTES], struct str text, const uint8_t signature[ED25519_SIGNATURE_BYTES]);

#endif
