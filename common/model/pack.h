/* SPDX-License-Identifier: Apache-2.0 */
/* Lays an object, its arrays and its strings out in one block of memory. The same code runs twice: first to measure (every
 * pack_ array is NULL then), and after pack_start to fill. A string that ends an earlier one is stored once. */
#ifndef MODEL_PACK_H
#define MODEL_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pack_seen {
	const char *s;
	size_t n, offset;    /* from the first string; SIZE_MAX: "" */
};

struct pack {
	char *block;                 /* owned until the fill is done; NULL while measuring */
	size_t arrays, strings;      /* bytes of each: arrays come first */
	struct pack_seen *seen;      /* every string, in the order of the calls: few, or on the heap */
	struct pack_seen few[40];
	int n_seen, cap, next;
};

void pack_init(struct pack *p);

void pack_start(struct pack *p);
void pack_done(struct pack *p);      /* the block is the caller's */
/* Zeroed, for any type. NULL while measuring, and when n is 0. */
void *pack_array(struct pack *p, int n, size_t size);
/* NULL is "". While measuring the result means nothing. */
const char *pack_str(struct pack *p, const char *s);
const char *const *pack_strs(struct pack *p, const char *const *from, int n);
/* A plain copy. */
const void *pack_copy(struct pack *p, const void *from, int n, size_t size);

#endif
