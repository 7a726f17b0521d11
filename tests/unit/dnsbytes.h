/* SPDX-License-Identifier: Apache-2.0 */
/* Builds DNS messages byte by byte, for tests. */
#ifndef TESTS_UNIT_DNSBYTES_H
#define TESTS_UNIT_DNSBYTES_H

#include <stdint.h>
#include <string.h>

struct dnsbytes {
	uint8_t p[70000];
	size_t n;
};

static inline void dnsbytes_16(struct dnsbytes *b, unsigned v)
{
	b->p[b->n++] = (uint8_t)(v >> 8);
	b->p[b->n++] = (uint8_t)v;
}

static inline void dnsbytes_name(struct dnsbytes *b, const char *name)
{
	while (*name) {
		size_t n = strcspn(name, ".");

		b->p[b->n++] = (uint8_t)n;
		memcpy(b->p + b->n, name, n);
		b->n += n;
		name += n + (name[n] == '.');
	}
	b->p[b->n++] = 0;
}

static inline void dnsbytes_question(struct dnsbytes *b, unsigned id, const char *name, unsigned type)
{
	b->n = 0;
	dnsbytes_16(b, id);
	dnsbytes_16(b, 0x0100);          /* RD */
	dnsbytes_16(b, 1);
	dnsbytes_16(b, 0);
	dnsbytes_16(b, 0);
	dnsbytes_16(b, 0);
	dnsbytes_name(b, name);
	dnsbytes_16(b, type);
	dnsbytes_16(b, 1);
}

/* OPT with DO and an unknown option. */
static inline void dnsbytes_edns(struct dnsbytes *b, unsigned size, unsigned version)
{
	b->p[11]++;
	b->p[b->n++] = 0;
	dnsbytes_16(b, 41);
	dnsbytes_16(b, size);
	b->p[b->n++] = 0;
	b->p[b->n++] = (uint8_t)version;
	dnsbytes_16(b, 0x8000);
	dnsbytes_16(b, 7);
	dnsbytes_16(b, 65001);
	dnsbytes_16(b, 3);
	memcpy(b->p + b->n, "abc", 3);
	b->n += 3;
}

#endif
