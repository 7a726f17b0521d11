/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that is freed all at once. For control-thread work: exits when memory is out. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/str.h"

struct arena_block;

struct arena {
	struct arena_block *blocks;   /* newest first */
	size_t used;                  /* of the newest block */
	size_t block;                 /* bytes of a usual block; 0: 16 KiB */
};

void *arena_alloc(struct arena *a, size_t n);        /* zeroed, aligned for any type */
char *arena_dup(struct arena *a, struct str s);      /* NUL-terminated */
void arena_reset(struct arena *a);                   /* forgets all, keeps the newest block for reuse */
void arena_done(struct arena *a);

#endif
