/* SPDX-License-Identifier: Apache-2.0 */
/* Automatic addresses: the same on every host that has the same set of services. */
#include <stdlib.h>

#include "source/link.h"

#define SLOTS 65536u

/* FNV-1a: the same in every process, unlike hash_bytes. */
static uint64_t stable_hash(const char *s)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 0x100000001b3u;
	return h ^ (h >> 32);
}

void link_vip_slots(const char *const *keys, size_t n, uint16_t *slots)
{
	uint8_t *used = xcalloc(SLOTS, 1);
	size_t left = SLOTS - 2;

	used[0] = used[SLOTS - 1] = 1;
	for (size_t i = 0; i < n; i++) {
		size_t at = (size_t)(stable_hash(keys[i]) % SLOTS);

		slots[i] = 0;
		if (!left)
			continue;
		while (used[at])
			at = (at + 1) % SLOTS;
		used[at] = 1;
		left--;
		slots[i] = (uint16_t)at;
	}
	free(used);
}

struct cidr link_vip4(uint16_t slot)
{
	struct cidr c = { .bits = 128 };

	c.ip.b[10] = c.ip.b[11] = 0xff;
	c.ip.b[12] = c.ip.b[13] = 240;
	c.ip.b[14] = (uint8_t)(slot >> 8);
	c.ip.b[15] = (uint8_t)slot;
	return c;
}

struct cidr link_vip6(uint16_t slot)
{
	struct cidr c = { .bits = 128, .ip.b = { 0x20, 0x01, 0x00, 0x02 } };

	c.ip.b[12] = c.ip.b[13] = 0xf0;
	c.ip.b[14] = (uint8_t)(slot >> 8);
	c.ip.b[15] = (uint8_t)slot;
	return c;
}
