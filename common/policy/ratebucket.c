/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/ratebucket.h"

#include <stdlib.h>

#define WINDOW 16     /* places that a key may have */

bool ratebucket_take(_Atomic uint64_t *b, const struct rate_conf *c, uint64_t now_ns, struct rate_left *ret)
{
	uint64_t full = atomic_load_explicit(b, memory_order_relaxed), depth = c->step_ns * c->burst, next;

	do {
		uint64_t from = full > now_ns ? full : now_ns;

		next = from + c->step_ns;
		if (next - now_ns > depth) {
			*ret = (struct rate_left){ 0, next - now_ns - depth };
			return false;
		}
	} while (!atomic_compare_exchange_weak_explicit(b, &full, next, memory_order_relaxed, memory_order_relaxed));
	*ret = (struct rate_left){ (uint32_t)((depth - (next - now_ns)) / c->step_ns), next - now_ns };
	return true;
}

struct place {
	_Atomic uint64_t key, bucket;        /* key 0: free */
};

struct ratetable {
	uint32_t mask;
	_Atomic uint64_t shared;
	struct place places[];
};

struct ratetable *ratetable_new(uint32_t slots)
{
	struct ratetable *t = calloc(1, sizeof(*t) + slots * sizeof(t->places[0]));

	if (t)
		t->mask = slots - 1;
	return t;
}

void ratetable_free(struct ratetable *t)
{
	free(t);
}

/* Two keys that race for a place: one gets it, the other looks on. A key may then stand twice for a moment; the later one is
 * forgotten when its bucket is full. */
static _Atomic uint64_t *bucket_of(struct ratetable *t, uint64_t key, uint64_t now_ns)
{
	struct place *vacant = NULL;

	for (uint32_t i = 0; i < WINDOW; i++) {
		struct place *p = &t->places[(key + i) & t->mask];
		uint64_t there = atomic_load_explicit(&p->key, memory_order_acquire);

		if (there == key)
			return &p->bucket;
		if (!vacant && (!there || atomic_load_explicit(&p->bucket, memory_order_relaxed) <= now_ns))
			vacant = p;
	}
	if (vacant) {
		uint64_t there = atomic_load(&vacant->key);

		if (atomic_compare_exchange_strong(&vacant->key, &there, key) || there == key)
			return &vacant->bucket;
	}
	return &t->shared;
}

bool ratetable_take(struct ratetable *t, uint64_t key, const struct rate_conf *c, uint64_t now_ns, struct rate_left *ret)
{
	return ratebucket_take(bucket_of(t, key ? key : 1, now_ns), c, now_ns, ret);
}
