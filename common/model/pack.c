/* SPDX-License-Identifier: Apache-2.0 */
#include "model/pack.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#define WINDOW 32     /* strings that a new one is compared with */

static size_t round_up(size_t n)
{
	return (n + 7) & ~(size_t)7;
}

void pack_init(struct pack *p)
{
	p->block = NULL;
	p->arrays = p->strings = 0;
	p->seen = p->few;
	p->n_seen = p->next = 0;
	p->cap = (int)ARRAY_LEN(p->few);
}

void pack_start(struct pack *p)
{
	p->block = xcalloc(1, p->arrays + p->strings);
	p->strings = p->arrays;      /* where the strings begin */
	p->arrays = 0;
	p->next = 0;
}

void pack_done(struct pack *p)
{
	if (p->seen != p->few)
		free(p->seen);
}

void *pack_array(struct pack *p, int n, size_t size)
{
	void *at = p->block && n ? p->block + p->arrays : NULL;

	p->arrays += round_up((size_t)n * size);
	return at;
}

static void grow(struct pack *p)
{
	struct pack_seen *old = p->seen == p->few ? NULL : p->seen;

	p->cap *= 2;
	p->seen = xrealloc(old, (size_t)p->cap * sizeof(*p->seen));
	if (!old)
		memcpy(p->seen, p->few, sizeof(p->few));
}

static void measure(struct pack *p, const char *s)
{
	struct pack_seen new = { s ? s : "", s ? strlen(s) : 0, SIZE_MAX };

	if (p->n_seen == p->cap)
		grow(p);
	for (int i = 0; i < p->n_seen && i < WINDOW && new.n && new.offset == SIZE_MAX; i++) {
		struct pack_seen *old = &p->seen[i];

		if (old->n >= new.n && old->s[old->n - 1] == new.s[new.n - 1] &&
		    memcmp(old->s + old->n - new.n, new.s, new.n) == 0)
			new.offset = old->offset + old->n - new.n;
	}
	if (new.n && new.offset == SIZE_MAX) {
		new.offset = p->strings;
		p->strings += new.n + 1;
	}
	p->seen[p->n_seen++] = new;
}

const char *pack_str(struct pack *p, const char *s)
{
	struct pack_seen *seen;
	char *at;

	if (!p->block) {
		measure(p, s);
		return NULL;
	}
	seen = &p->seen[p->next++];
	if (seen->offset == SIZE_MAX)
		return "";
	at = p->block + p->strings + seen->offset;
	memcpy(at, seen->s, seen->n);
	return at;
}

const char *const *pack_strs(struct pack *p, const char *const *from, int n)
{
	const char **to = pack_array(p, n, sizeof(*to));

	for (int i = 0; i < n; i++) {
		const char *s = pack_str(p, from[i]);

		if (to)
			to[i] = s;
	}
	return to;
}

const void *pack_copy(struct pack *p, const void *from, int n, size_t size)
{
	void *to = pack_array(p, n, size);

	if (to)
		memcpy(to, from, (size_t)n * size);
	return to;
}
