/* SPDX-License-Identifier: Apache-2.0 */
#include "model/resource.h"

#include <stdlib.h>

#define BLOCK_BYTES 512      /* most objects are small, and there may be thousands */

void *resource_new(enum resource_kind kind, size_t size, const char *origin, const char *ns, const char *name, const char *where,
		   int64_t created)
{
	struct resource *r = xcalloc(1, size);
	const char *part[] = { origin, "/", ns, "/", name };
	size_t n = 1;
	char *key;

	r->mem.block = BLOCK_BYTES;
	for (size_t i = 0; i < ARRAY_LEN(part); i++)
		n += strlen(part[i]);
	r->key = key = arena_alloc(&r->mem, n);
	for (size_t i = 0; i < ARRAY_LEN(part); i++)
		key = stpcpy(key, part[i]);
	r->kind = kind;
	r->origin = arena_dup(&r->mem, str_c(origin));
	r->ns = arena_dup(&r->mem, str_c(ns));
	r->name = arena_dup(&r->mem, str_c(name));
	r->where = arena_dup(&r->mem, str_c(where));
	r->created = created;
	atomic_init(&r->refs, 1);
	return r;
}

struct resource *resource_ref(struct resource *r)
{
	atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
	return r;
}

void resource_unref(struct resource *r)
{
	if (!r || atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) != 1)
		return;
	arena_done(&r->mem);
	free(r);
}

int resource_compare(const struct resource *a, const struct resource *b)
{
	int c;

	if (a->created != b->created)
		return a->created < b->created ? -1 : 1;
	c = strcmp(a->name, b->name);
	if (!c)
		c = strcmp(a->ns, b->ns);
	return c ? c : strcmp(a->origin, b->origin);
}
