/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include <stdlib.h>

#define ARENA_BLOCK (16 * 1024)

struct arena_block {
	struct arena_block *next;
	size_t size;
	_Alignas(16) unsigned char mem[];
};

/* Room for n bytes at an offset that is a multiple of align. */
static void *take(struct arena *a, size_t n, size_t align)
{
	struct arena_block *b = a->blocks;
	size_t at = (a->used + align - 1) & ~(align - 1);

	if (!b || b->size < at || b->size - at < n) {
		size_t usual = a->block ? a->block : ARENA_BLOCK, size = n > usual ? n : usual;

		b = xmalloc(sizeof(*b) + size);
		b->next = a->blocks;
		b->size = size;
		a->blocks = b;
		at = 0;
	}
	a->used = at + n;
	return b->mem + at;
}

void *arena_alloc(struct arena *a, size_t n)
{
	return memset(take(a, n, 16), 0, n);
}

char *arena_dup(struct arena *a, struct str s)
{
	char *p = take(a, s.n + 1, 1);

	if (s.n)
		memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	return p;
}

void arena_reset(struct arena *a)
{
	struct arena_block *keep = a->blocks;

	if (!keep)
		return;
	for (struct arena_block *b = keep->next, *next; b; b = next) {
		next = b->next;
		free(b);
	}
	keep->next = NULL;
	if (keep->size > 16 * ARENA_BLOCK) {
		free(keep);
		a->blocks = NULL;
	}
	a->used = 0;
}

void arena_done(struct arena *a)
{
	arena_reset(a);
	free(a->blocks);
	*a = (struct arena){ .block = a->block };
}
