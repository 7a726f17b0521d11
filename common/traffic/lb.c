/* SPDX-License-Identifier: Apache-2.0 */
/* One of a host set: by priority, by locality, then by the policy. */
#include <math.h>
#include <stdlib.h>

#include "traffic/cluster_int.h"

#define TRIES 6               /* at random for one that was not tried before; Envoy's host_selection_retry_max_attempts is 5 */

static uint64_t next_random(uint64_t *seed)
{
	uint64_t z = *seed += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

uint64_t lb_random_below(uint64_t *seed, uint64_t n)
{
	return (uint64_t)((__uint128_t)next_random(seed) * n >> 64);
}

/* --- slow start --- */

/* The part of its weight that a host has at this age. */
static double warmth(const struct lb_conf *lb, uint64_t joined_ms, uint64_t now_ms)
{
	uint64_t age = now_ms > joined_ms ? now_ms - joined_ms : 0;
	double part, least = lb->warmup_min_percent / 100.0;

	if (age >= lb->warmup_ms)
		return 1;
	part = (double)(age ? age : 1) / lb->warmup_ms;
	if (lb->warmup_aggression > 0 && lb->warmup_aggression != 1)
		part = pow(part, 1 / lb->warmup_aggression);
	return part > least ? part : least;
}

static bool is_slow(const struct lb_conf *lb, const struct group *g, uint64_t now_ms)
{
	return lb->warmup_ms && now_ms < g->warm_ms;
}

/* --- in turn --- */

/* Visit k of n things, by stride scheduling without a lock: things are looked at in a circle, and one of weight w of max is taken in w
 * of max rounds, evenly spread. */
static bool earns(uint64_t round, uint32_t i, uint64_t w, uint64_t max)
{
	uint64_t phase = i * UINT64_C(0x9e3779b97f4a7c15) % max;

	return (uint64_t)(((__uint128_t)(round + 1) * w + phase) / max) != (uint64_t)(((__uint128_t)round * w + phase) / max);
}

static struct group *turn_of_place(struct level *l)
{
	for (uint32_t i = 0; i < 64 * l->n_places; i++) {
		unsigned k = atomic_fetch_add_explicit(&l->next, 1, memory_order_relaxed);
		struct group *g = &l->places[k % l->n_places];

		if (g->n && earns(k / l->n_places, k % l->n_places, g->share, l->max_share))
			return g;
	}
	return NULL;
}

static uint64_t weight_now(const struct lb_conf *lb, const struct entry *e, uint64_t now_ms)
{
	return (uint64_t)(e->weight * 65536.0 * warmth(lb, e->host->joined_ms, now_ms)) + 1;
}

static uint32_t in_turn(const struct lb_conf *lb, const struct hostset *s, struct group *g, uint64_t now_ms)
{
	bool slow = is_slow(lb, g, now_ms);
	uint64_t max = slow ? (uint64_t)(g->max_weight * 65536.0 * warmth(lb, g->oldest_ms, now_ms)) + 1 : g->max_weight, w;
	unsigned k = 0;

	for (uint32_t i = 0; i < 64 * g->n; i++) {
		const struct entry *e;

		k = atomic_fetch_add_explicit(&g->next, 1, memory_order_relaxed);
		e = &s->entries[g->at[k % g->n]];
		if (!slow && !g->sums)
			break;
		w = slow ? weight_now(lb, e, now_ms) : e->weight;
		if (earns(k / g->n, k % g->n, w < max ? w : max, max))
			break;
	}
	return g->at[k % g->n];
}

/* --- at random --- */

static uint32_t by_weight(const struct group *g, uint64_t *seed)
{
	uint64_t want;
	uint32_t from = 0, to = g->n - 1;

	if (!g->sums)
		return (uint32_t)lb_random_below(seed, g->n);
	want = lb_random_below(seed, g->sums[g->n - 1]);
	while (from < to) {
		uint32_t mid = from + (to - from) / 2;

		if (g->sums[mid] > want)
			to = mid;
		else
			from = mid + 1;
	}
	return from;
}

/* A host in slow start is refused now and then. */
static uint32_t thrown(const struct lb_conf *lb, const struct hostset *s, const struct group *g, const struct pick_ask *ask)
{
	uint32_t i = by_weight(g, ask->seed);
	double top;

	if (!is_slow(lb, g, ask->now_ms))
		return i;
	top = warmth(lb, g->oldest_ms, ask->now_ms);
	for (int tries = 0; tries < 32; tries++) {
		double part = warmth(lb, s->entries[g->at[i]].host->joined_ms, ask->now_ms) / top;

		if ((double)lb_random_below(ask->seed, 1u << 20) < part * (1u << 20))
			break;
		i = by_weight(g, ask->seed);
	}
	return i;
}

static double load_of(const struct lb_conf *lb, const struct entry *e, bool slow, uint64_t now_ms)
{
	unsigned active = atomic_load_explicit(&e->host->active, memory_order_relaxed);

	return slow ? active / (e->weight * warmth(lb, e->host->joined_ms, now_ms)) : (double)active / e->weight;
}

/* The less busy one of two. */
static uint32_t least(const struct lb_conf *lb, const struct hostset *s, const struct group *g, const struct pick_ask *ask)
{
	bool slow = is_slow(lb, g, ask->now_ms);
	uint32_t a = thrown(lb, s, g, ask), b;

	if (g->n == 1)
		return g->at[a];
	if (!g->sums && !slow) {
		b = (uint32_t)lb_random_below(ask->seed, g->n - 1);
		b += b >= a;
	} else {
		b = thrown(lb, s, g, ask);
	}
	return load_of(lb, &s->entries[g->at[b]], slow, ask->now_ms) < load_of(lb, &s->entries[g->at[a]], slow, ask->now_ms) ? g->at[b] : g->at[a];
}

/* --- levels --- */

static bool was_tried(const struct pick_ask *ask, const struct host *h)
{
	for (int i = 0; i < ask->n_tried; i++)
		if (ask->tried[i] == h)
			return true;
	return false;
}

/* Priorities of hosts that were tried get nothing more, two tries at a time (previous_priorities with update_frequency 2). */
static bool shares_elsewhere(const struct hostset *s, const struct pick_ask *ask, uint32_t *load)
{
	uint32_t available[64];
	int count = ask->n_tried & ~1;

	if (!ask->avoid_tried_localities || !count || s->n_levels > (int)ARRAY_LEN(available))
		return false;
	for (int i = 0; i < s->n_levels; i++)
		available[i] = s->levels[i].available;
	for (int i = 0; i < s->n; i++)
		for (int k = 0; k < count; k++)
			if (ask->tried[k] == s->entries[i].host && s->entries[i].priority != ENTRY_UNUSED)
				available[s->entries[i].priority] = 0;
	return levels_share(available, s->n_levels, load) > 0;
}

static struct level *choose_level(const struct hostset *s, const struct pick_ask *ask, uint32_t draw)
{
	uint32_t load[64], sum = 0;
	bool other;

	if (s->n_levels == 1)
		return &s->levels[0];
	other = shares_elsewhere(s, ask, load);
	for (int i = 0; i < s->n_levels; i++) {
		sum += other ? load[i] : s->levels[i].load;
		if (draw < sum)
			return &s->levels[i];
	}
	return &s->levels[0];
}

static struct group *choose_group(struct level *l, uint64_t *seed)
{
	struct group *g = NULL;

	if (!l->places)
		return &l->all;
	if (l->zone_aware && lb_random_below(seed, 10000) < l->local_10000)
		return &l->places[0];
	g = turn_of_place(l);
	return g ? g : &l->all;
}

static const struct entry *once(const struct lb_conf *lb, struct hostset *s, const struct pick_ask *ask, uint64_t hash, uint32_t try)
{
	bool hashes = lb->policy == LB_RING_HASH || lb->policy == LB_MAGLEV;
	uint32_t draw = s->n_levels == 1 ? 0 : (uint32_t)(hashes ? hash % 100 : lb_random_below(ask->seed, 100));
	struct level *l = choose_level(s, ask, draw);
	struct group *g;

	if (hashes)
		return l->table.n ? &s->entries[hash_table_at(&l->table, hash, try)] : NULL;
	g = choose_group(l, ask->seed);
	if (!g->n)
		return NULL;
	switch (lb->policy) {
	case LB_ROUND_ROBIN:
		return &s->entries[in_turn(lb, s, g, ask->now_ms)];
	case LB_RANDOM:
		return &s->entries[g->at[by_weight(g, ask->seed)]];
	default:
		return &s->entries[least(lb, s, g, ask)];
	}
}

/* The first from a random place on that was not tried, the best priority first. */
static const struct entry *untried(const struct hostset *s, const struct pick_ask *ask)
{
	for (int i = 0; i < s->n_levels; i++) {
		const struct group *g = &s->levels[i].all;
		uint32_t from = g->n ? (uint32_t)lb_random_below(ask->seed, g->n) : 0;

		for (uint32_t k = 0; k < g->n; k++) {
			const struct entry *e = &s->entries[g->at[(from + k) % g->n]];

			if (!was_tried(ask, e->host))
				return e;
		}
	}
	return NULL;
}

const struct entry *lb_pick(const struct cluster *c, struct hostset *s, const struct pick_ask *ask)
{
	const struct lb_conf *lb = &c->conf.lb;
	uint64_t hash = ask->hashed ? ask->hash : 0;
	const struct entry *e, *other;

	if (!s->n_levels)
		return NULL;
	if (!ask->hashed && (lb->policy == LB_RING_HASH || lb->policy == LB_MAGLEV))
		hash = next_random(ask->seed);
	e = once(lb, s, ask, hash, 0);
	for (uint32_t try = 1; e && ask->n_tried && try < TRIES && was_tried(ask, e->host); try++)
		e = once(lb, s, ask, hash, try);
	if (!e || !ask->n_tried || !was_tried(ask, e->host))
		return e;
	other = untried(s, ask);
	return other ? other : e;
}
