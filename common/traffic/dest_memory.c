/* SPDX-License-Identifier: Apache-2.0 */
/* Endpoints that failed lately. */
#include <stdatomic.h>

#include "base/limits.h"
#include "traffic/dest_int.h"

/* A slot holds the top of a uid's hash and the time until which the endpoint is avoided; the newer of two that meet in a
 * slot stays, so that the worst that a collision does is to forget. */
#define SLOTS     4096
#define TIME_BITS 40
#define TIME_MASK ((UINT64_C(1) << TIME_BITS) - 1)

static atomic_uint_least64_t failures[SLOTS];
static atomic_uint_least64_t any_until;        /* no endpoint is avoided after this: spares the hashing */

static uint64_t uid_hash(const struct workload *w)
{
	return hash_bytes(w->uid, strlen(w->uid));
}

void dest_failed(const struct workload *w, uint64_t now_ms)
{
	uint64_t hash = uid_hash(w), until = (now_ms + LIMIT_EJECT_MS) & TIME_MASK, old = atomic_load(&any_until);

	atomic_store(&failures[hash % SLOTS], (hash & ~TIME_MASK) | until);
	while (old < until && !atomic_compare_exchange_weak(&any_until, &old, until))
		;
}

void dest_worked(const struct workload *w)
{
	uint64_t hash, old;

	if (!atomic_load_explicit(&any_until, memory_order_relaxed))
		return;
	hash = uid_hash(w);
	old = atomic_load(&failures[hash % SLOTS]);
	if (old && (old & ~TIME_MASK) == (hash & ~TIME_MASK))
		atomic_compare_exchange_strong(&failures[hash % SLOTS], &old, 0);
}

bool dest_is_avoided(const struct workload *w, uint64_t now_ms)
{
	uint64_t hash, slot;

	if (atomic_load_explicit(&any_until, memory_order_relaxed) <= (now_ms & TIME_MASK))
		return false;
	hash = uid_hash(w);
	slot = atomic_load_explicit(&failures[hash % SLOTS], memory_order_relaxed);
	return slot && ((slot ^ hash) & ~TIME_MASK) == 0 && (slot & TIME_MASK) > (now_ms & TIME_MASK);
}
