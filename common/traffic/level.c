/* SPDX-License-Identifier: Apache-2.0 */
/* A host set's priorities: how much each gets, and who is in it. Envoy's rules: a level is fit for all of its load while 1/1.4 of
 * its hosts are, then the next one takes the rest. */
#include <stdlib.h>

#include "traffic/cluster_int.h"

#define OVERPROVISIONING 140     /* percent */

uint32_t levels_share(const uint32_t *available, int n, uint32_t *ret_load)
{
	uint32_t sum = 0, left = 100, total;
	int first = -1;

	for (int i = 0; i < n; i++)
		sum += available[i];
	total = sum < 100 ? sum : 100;
	for (int i = 0; i < n; i++) {
		uint32_t load = total ? available[i] * 100 / total : 0;

		ret_load[i] = load < left ? load : left;
		left -= ret_load[i];
		if (first < 0 && available[i])
			first = i;
	}
	if (first >= 0)
		ret_load[first] += left;      /* of rounding */
	return total;
}

/* --- groups --- */

static bool is_in(const struct entry *e, int level, int place, bool all)
{
	return e->priority == level && (place < 0 || e->place == place) && (all || e->usable);
}

void level_weigh(const struct cluster *c, struct hostset *s, struct group *g)
{
	uint64_t *sums, sum = 0;
	bool even = true;

	atomic_init(&g->next, (unsigned)hash_bytes(&g, sizeof(g)));      /* not all proxies begin with the same host */
	g->oldest_ms = UINT64_MAX;
	for (uint32_t i = 0; i < g->n; i++) {
		const struct entry *e = &s->entries[g->at[i]];

		even &= e->weight == s->entries[g->at[0]].weight;
		g->max_weight = e->weight > g->max_weight ? e->weight : g->max_weight;
		if (!c->conf.lb.warmup_ms)
			continue;
		g->oldest_ms = e->host->joined_ms < g->oldest_ms ? e->host->joined_ms : g->oldest_ms;
		if (e->host->joined_ms + c->conf.lb.warmup_ms > g->warm_ms)
			g->warm_ms = e->host->joined_ms + c->conf.lb.warmup_ms;
	}
	if (even)
		return;
	sums = arena_alloc(&s->mem, g->n * sizeof(*sums));
	for (uint32_t i = 0; i < g->n; i++)
		sums[i] = sum += s->entries[g->at[i]].weight;
	g->sums = sums;
}

/* place -1: of all. all: those that are not usable too. */
static void fill(const struct cluster *c, struct hostset *s, int level, int place, bool all, struct group *g)
{
	uint32_t *at, n = 0;

	for (int i = 0; i < s->n; i++)
		n += is_in(&s->entries[i], level, place, all);
	at = arena_alloc(&s->mem, n * sizeof(*at));
	for (int i = 0; i < s->n; i++)
		if (is_in(&s->entries[i], level, place, all))
			at[g->n++] = (uint32_t)i;
	g->at = at;
	level_weigh(c, s, g);
}

/* A locality keeps its share while 1/1.4 of its hosts are usable. */
static void divide(const struct cluster *c, struct hostset *s, int level, const struct places *p, struct level *l)
{
	struct group *v = arena_alloc(&s->mem, (size_t)p->n * sizeof(*v));

	for (int k = 0; k < p->n; k++) {
		uint32_t total = 0, own = 0;
		double part;

		fill(c, s, level, k, false, &v[k]);
		for (int i = 0; i < s->n; i++) {
			bool in = is_in(&s->entries[i], level, k, true);

			total += in;
			own += in ? s->entries[i].weight : 0;
		}
		part = total ? v[k].n * (OVERPROVISIONING / 100.0) / total : 0;
		/* In thousandths, so that small weights are not rounded away. */
		v[k].share = (uint64_t)((p->weights ? p->weights[k] : own) * 1000.0 * (part < 1 ? part : 1)) + (v[k].n > 0);
		l->max_share = v[k].share > l->max_share ? v[k].share : l->max_share;
	}
	l->places = v;
	l->n_places = (uint32_t)p->n;
}

static void add_table(const struct cluster *c, struct hostset *s, const struct places *p, struct level *l)
{
	double *weights = xcalloc(l->all.n, sizeof(*weights)), *sums = xcalloc((size_t)p->n, sizeof(*sums)), shares = 0;
	bool by_place = p->weighted && !l->panic;
	uint32_t *at = xcalloc(l->all.n, sizeof(*at)), n = 0;

	for (uint32_t i = 0; i < l->all.n; i++)
		sums[by_place ? s->entries[l->all.at[i]].place : 0] += s->entries[l->all.at[i]].weight;
	for (uint32_t k = 0; by_place && k < l->n_places; k++)
		shares += l->places[k].n ? l->places[k].share : 0;
	for (uint32_t i = 0; i < l->all.n; i++) {
		const struct entry *e = &s->entries[l->all.at[i]];
		double part = by_place ? shares ? l->places[e->place].share / shares : 0 : 1;

		if (!part)
			continue;
		at[n] = l->all.at[i];
		weights[n++] = e->weight * part / sums[by_place ? e->place : 0];
	}
	hash_table_make(&c->conf.lb, s, at, weights, n, &s->mem, &l->table);
	free(weights);
	free(sums);
	free(at);
}

/* --- levels --- */

static void weigh(const struct cluster *c, struct hostset *s)
{
	uint32_t threshold = c->conf.outlier.on ? c->conf.outlier.min_health_percent : 0, n = (uint32_t)s->n_levels, sum;
	uint32_t *available = xcalloc(n, sizeof(*available)), *load = xcalloc(n, sizeof(*load));
	uint32_t *hosts = xcalloc(n, sizeof(*hosts)), *usable = xcalloc(n, sizeof(*usable)), left = 100;
	bool all_panic = true;

	for (int i = 0; i < s->n; i++) {
		const struct entry *e = &s->entries[i];

		if (e->priority == ENTRY_UNUSED)
			continue;
		hosts[e->priority]++;
		usable[e->priority] += e->usable;
	}
	for (uint32_t i = 0; i < n; i++) {
		available[i] = OVERPROVISIONING * usable[i] / hosts[i];
		available[i] = available[i] < 100 ? available[i] : 100;
	}
	sum = levels_share(available, (int)n, load);
	for (uint32_t i = 0; i < n; i++) {
		s->levels[i].available = available[i];
		s->levels[i].panic = sum < 100 && 100.0 * usable[i] / hosts[i] < threshold;
		all_panic &= s->levels[i].panic;
	}
	/* With nothing left but panic the load goes by the number of hosts. */
	for (uint32_t i = 0; i < n; i++) {
		s->levels[i].load = all_panic ? 100 * hosts[i] / (uint32_t)s->n_used : load[i];
		left -= s->levels[i].load;
	}
	s->levels[0].load += all_panic || !sum ? left : 0;
	free(available);
	free(load);
	free(hosts);
	free(usable);
}

void levels_make(const struct cluster *c, const struct mesh *m, struct hostset *s)
{
	bool hashes = c->conf.lb.policy == LB_RING_HASH || c->conf.lb.policy == LB_MAGLEV;
	struct places places;

	locality_rank(c, m, s, &places);
	for (int i = 0; i < s->n; i++) {
		if (s->entries[i].priority == ENTRY_UNUSED)
			continue;
		s->n_used++;
		if (s->entries[i].priority >= s->n_levels)
			s->n_levels = s->entries[i].priority + 1;
	}
	if (s->n_levels) {
		s->levels = arena_alloc(&s->mem, (size_t)s->n_levels * sizeof(*s->levels));
		weigh(c, s);
	}
	for (int i = 0; i < s->n_levels; i++) {
		struct level *l = &s->levels[i];

		fill(c, s, i, -1, l->panic, &l->all);
		if (!l->panic && places.weighted)
			divide(c, s, i, &places, l);
		else if (!l->panic && i == 0 && c->conf.lb.zone_aware && !hashes)
			zone_divide(c, m, s, &places, l);
		if (hashes && l->all.n)
			add_table(c, s, &places, l);
	}
	free(places.at);
	free(places.weights);
}
