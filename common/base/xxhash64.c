/* SPDX-License-Identifier: Apache-2.0 */
/* By its specification, https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md. */
#include "base/xxhash64.h"

#include <endian.h>
#include <string.h>

#define P1 0x9E3779B185EBCA87u
#define P2 0xC2B2AE3D27D4EB4Fu
#define P3 0x165667B19E3779F9u
#define P4 0x85EBCA77C2B2AE63u
#define P5 0x27D4EB2F165667C5u

static uint64_t rotl(uint64_t x, int n)
{
	return x << n | x >> (64 - n);
}

static uint64_t read64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

static uint64_t lane(uint64_t acc, uint64_t in)
{
	return rotl(acc + in * P2, 31) * P1;
}

static uint64_t merge(uint64_t acc, uint64_t with)
{
	return (acc ^ lane(0, with)) * P1 + P4;
}

static uint64_t tail(uint64_t acc, const uint8_t *p, const uint8_t *end)
{
	for (; p + 8 <= end; p += 8)
		acc = rotl(acc ^ lane(0, read64(p)), 27) * P1 + P4;
	if (p + 4 <= end) {
		uint32_t v;

		memcpy(&v, p, sizeof(v));
		acc = rotl(acc ^ le32toh(v) * P1, 23) * P2 + P3;
		p += 4;
	}
	for (; p < end; p++)
		acc = rotl(acc ^ *p * P5, 11) * P1;
	acc = (acc ^ acc >> 33) * P2;
	acc = (acc ^ acc >> 29) * P3;
	return acc ^ acc >> 32;
}

uint64_t xxhash64(const void *data, size_t n, uint64_t seed)
{
	const uint8_t *p = data, *end = p + n;
	uint64_t v[4] = { seed + P1 + P2, seed + P2, seed, seed - P1 }, acc;

	if (n < 32)
		return n ? tail(seed + P5 + n, p, end) : tail(seed + P5, (const uint8_t *)&v, (const uint8_t *)&v);
	for (; p + 32 <= end; p += 32)
		for (int i = 0; i < 4; i++)
			v[i] = lane(v[i], read64(p + 8 * i));
	acc = rotl(v[0], 1) + rotl(v[1], 7) + rotl(v[2], 12) + rotl(v[3], 18);
	for (int i = 0; i < 4; i++)
		acc = merge(acc, v[i]);
	return tail(acc + n, p, end);
}
