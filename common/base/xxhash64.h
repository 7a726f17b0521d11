/* SPDX-License-Identifier: Apache-2.0 */
/* XXH64, the hash that Envoy places keys with: the same key leads every client of a mesh to the same endpoint. Not for tables
 * that outsiders can fill: hash_bytes is. */
#ifndef BASE_XXHASH64_H
#define BASE_XXHASH64_H

#include <stddef.h>
#include <stdint.h>

uint64_t xxhash64(const void *p, size_t n, uint64_t seed);

#endif
