/* SPDX-License-Identifier: Apache-2.0 */
#include "model/texts.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/str.h"

/* n strings as one run of bytes, each with its NUL. */
struct key {
	const char *const *v;
	int n;
	size_t n_bytes;
	uint64_t hash;
};

static void key_init(struct key *k, const char *const *v, int n)
{
	*k = (struct key){ .v = v, .n = n, .hash = (uint64_t)n };
	for (int i = 0; i < n; i++) {
		struct str s = str_c(v[i] ? v[i] : "");

		k->n_bytes += s.n + 1;
		k->hash = (k->hash ^ hash_bytes(s.p, s.n)) * 0x9e3779b97f4a7c15u;
	}
	k->hash ^= k->hash >> 32;
}

static bool is_key(const struct texts *x, const struct key *k)
{
	if (x->hash != k->hash || x->n_bytes != k->n_bytes || x->n != k->n)
		return false;
	for (int i = 0; i < k->n; i++) {
		struct str s = str_c(k->v[i] ? k->v[i] : "");

		if (!str_is(s, x->v[i]))
			return false;
	}
	return true;
}

static struct texts *texts_new(const struct key *k)
{
	struct texts *x = xmalloc(sizeof(*x) + (size_t)k->n * sizeof(x->v[0]) + k->n_bytes);
	char *at = (char *)&x->v[k->n];

	atomic_init(&x->refs, 1);
	x->hash = k->hash;
	x->n_bytes = k->n_bytes;
	x->n = k->n;
	for (int i = 0; i < k->n; i++) {
		size_t n = k->v[i] ? strlen(k->v[i]) : 0;

		memcpy(at, n ? k->v[i] : "", n + 1);
		x->v[i] = at;
		at += n + 1;
	}
	return x;
}

static void grow(struct texts_table *t)
{
	struct texts_table old = *t;

	t->cap = old.cap ? old.cap * 2 : 64;
	t->slots = xcalloc(t->cap, sizeof(t->slots[0]));
	for (size_t i = 0; i < old.cap; i++) {
		for (struct texts *x = old.slots[i], *next; x; x = next) {
			struct texts **slot = &t->slots[x->hash & (t->cap - 1)];

			next = x->next;
			x->next = *slot;
			*slot = x;
		}
	}
	free(old.slots);
}

struct texts *texts_get(struct texts_table *t, const char *const *v, int n)
{
	struct texts *x, **slot;
	struct key k;

	key_init(&k, v, n);
	if (t->len >= t->cap)
		grow(t);
	slot = &t->slots[k.hash & (t->cap - 1)];
	for (x = *slot; x && !is_key(x, &k); x = x->next)
		;
	if (!x) {
		x = texts_new(&k);
		x->next = *slot;
		*slot = x;
		t->len++;
	}
	atomic_fetch_add_explicit(&x->refs, 1, memory_order_relaxed);
	return x;
}

void texts_unref(struct texts *x)
{
	if (x && atomic_fetch_sub_explicit(&x->refs, 1, memory_order_acq_rel) == 1)
		free(x);
}

/* Only the table's thread makes references out of nothing: what only the table holds stays so. */
void texts_sweep(struct texts_table *t)
{
	if (t->len < 2 * t->kept + 64)
		return;
	for (size_t i = 0; i < t->cap; i++) {
		for (struct texts **at = &t->slots[i]; *at;) {
			struct texts *x = *at;

			if (atomic_load_explicit(&x->refs, memory_order_acquire) > 1) {
				at = &x->next;
				continue;
			}
			*at = x->next;
			texts_unref(x);
			t->len--;
		}
	}
	t->kept = t->len;
}

void texts_table_done(struct texts_table *t)
{
	for (size_t i = 0; i < t->cap; i++) {
		for (struct texts *x = t->slots[i], *next; x; x = next) {
			next = x->next;
			texts_unref(x);
		}
	}
	free(t->slots);
	*t = (struct texts_table){ 0 };
}
