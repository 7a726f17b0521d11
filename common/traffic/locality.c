/* SPDX-License-Identifier: Apache-2.0 */
/* Which endpoints come first: Istio's locality load balancing (distribute, failover, failoverPriority) and a service's
 * traffic distribution, as priorities and weights of localities. */
#include <stdlib.h>

#include "traffic/cluster_int.h"

static const struct locality nowhere = { "", "", "" };

static const struct locality *locality_of(const struct workload *w)
{
	return w ? &w->locality : &nowhere;
}

static bool same(const struct locality *a, const struct locality *b)
{
	return !strcmp(a->region, b->region) && !strcmp(a->zone, b->zone) && !strcmp(a->subzone, b->subzone);
}

static bool part_is(const char *have, struct str want, bool or_none)
{
	return str_is(want, "*") || (or_none && !want.n) || str_is(want, have);
}

bool locality_is(const struct locality *l, const char *rule)
{
	struct str rest, zone_rest, region = str_cut(str_c(rule), '/', &rest), zone = str_cut(rest, '/', &zone_rest);

	return part_is(l->region, region, false) && part_is(l->zone, zone, true) && part_is(l->subzone, zone_rest, true);
}

static void find_places(struct hostset *s, struct places *ret)
{
	const struct locality *own = locality_of(s->client);
	int cap = 0;

	*ret = (struct places){ 0 };
	for (int i = 0; i < s->n && !ret->local; i++)
		ret->local = same(locality_of(s->entries[i].workload), own);
	for (int i = -1; i < s->n; i++) {
		const struct locality *l = i < 0 ? own : locality_of(s->entries[i].workload);
		int k = 0;

		if (i < 0 && !ret->local)
			continue;
		while (k < ret->n && !same(ret->at[k], l))
			k++;
		if (k == ret->n) {
			if (ret->n == cap) {
				cap = cap ? cap * 2 : 4;
				ret->at = xrealloc(ret->at, (size_t)cap * sizeof(*ret->at));
			}
			ret->at[ret->n++] = l;
		}
		if (i >= 0)
			s->entries[i].place = (uint16_t)k;
	}
}

/* --- distribute --- */

static uint64_t weight_of_place(const struct hostset *s, int place)
{
	uint64_t sum = 0;

	for (int i = 0; i < s->n; i++)
		if (s->entries[i].place == place)
			sum += s->entries[i].weight;
	return sum;
}

/* A rule's share is divided among the localities that it means, by the weights of their endpoints. The first rule counts. */
static void share_out(const struct hostset *s, const struct locality_weight *d, struct places *p)
{
	uint64_t *own = xcalloc((size_t)p->n, sizeof(*own));
	bool *mine = xcalloc((size_t)p->n, sizeof(*mine));
	bool *taken = xcalloc((size_t)p->n, sizeof(*taken));

	for (int i = 0; i < p->n; i++)
		own[i] = weight_of_place(s, i);
	for (int r = 0; r < d->n; r++) {
		uint64_t total = 0;

		for (int i = 0; i < p->n; i++) {
			mine[i] = !taken[i] && locality_is(p->at[i], d->to[r]);
			taken[i] |= mine[i];
			total += mine[i] ? own[i] : 0;
		}
		for (int i = 0; i < p->n; i++)
			if (mine[i] && total)
				p->weights[i] = (uint32_t)((own[i] * d->weights[r] + total - 1) / total);
	}
	free(own);
	free(mine);
	free(taken);
}

static void distribute(const struct lb_conf *lb, struct hostset *s, struct places *p)
{
	const struct locality_weight *d = NULL;

	p->weighted = true;
	for (int i = 0; i < lb->n_distribute && !d; i++)
		if (locality_is(locality_of(s->client), lb->distribute[i].from))
			d = &lb->distribute[i];
	if (!d || !p->n)
		return;
	p->weights = xcalloc((size_t)p->n, sizeof(*p->weights));
	share_out(s, d, p);
	for (int i = 0; i < s->n; i++)
		if (!p->weights[s->entries[i].place])
			s->entries[i].priority = ENTRY_UNUSED;
}

/* --- failover --- */

static const char *region_to(const struct lb_conf *lb, const struct locality *from)
{
	for (int i = 0; i < lb->n_failover; i++)
		if (!strcmp(lb->failover[i].from, from->region))
			return lb->failover[i].to;
	return NULL;
}

static unsigned distance(const struct lb_conf *lb, const struct locality *from, const struct locality *l)
{
	const char *to;

	if (!strcmp(from->region, l->region))
		return strcmp(from->zone, l->zone) ? 2 : strcmp(from->subzone, l->subzone) ? 1 : 0;
	to = region_to(lb, from);
	return to && strcmp(l->region, to) ? 4 : 3;
}

/* What Istio lets a label be that is none of the object's own. */
static const char *label_or_place(const struct workload *w, struct str key)
{
	for (int i = 0; i < w->n_labels; i++)
		if (str_is(key, w->labels[i].key))
			return w->labels[i].value;
	return str_is(key, "topology.kubernetes.io/region") ? w->locality.region :
	       str_is(key, "topology.kubernetes.io/zone") ? w->locality.zone :
	       str_is(key, "topology.istio.io/subzone") ? w->locality.subzone :
	       str_is(key, "topology.istio.io/network") ? w->network :
	       str_is(key, "topology.istio.io/cluster") ? w->cluster :
	       str_is(key, "kubernetes.io/hostname") ? w->node : "";
}

/* The first label that differs decides. */
static unsigned mismatch(const struct lb_conf *lb, const struct workload *client, const struct workload *w)
{
	for (int i = 0; i < lb->n_failover_priority; i++) {
		struct str value, key = str_cut(str_c(lb->failover_priority[i]), '=', &value);
		const char *have = w ? label_or_place(w, key) : "";

		if (!(value.p ? str_is(value, have) : !strcmp(client ? label_or_place(client, key) : "", have)))
			return (unsigned)(lb->n_failover_priority - i);
	}
	return 0;
}

static bool in_scope(const struct hostset *s, const struct workload *w, enum lb_scope scope)
{
	const struct workload *from = s->client;

	switch (scope) {
	case LB_NETWORK:
		return !strcmp(s->network, w->network);
	case LB_CLUSTER:
		return from && !strcmp(from->cluster, w->cluster);
	case LB_NODE:
		return from && !strcmp(from->node, w->node);
	case LB_REGION:
		return from && !strcmp(from->locality.region, w->locality.region);
	case LB_ZONE:
		return from && !strcmp(from->locality.zone, w->locality.zone);
	case LB_SUBZONE:
		return from && !strcmp(from->locality.subzone, w->locality.subzone);
	}
	return false;
}

static unsigned scopes_missed(const struct hostset *s, const struct workload *w)
{
	int i = 0;

	while (i < s->service->n_scopes && w && in_scope(s, w, s->service->scopes[i]))
		i++;
	return (unsigned)(s->service->n_scopes - i);
}

/* Ranks are few: each becomes the number of smaller ones. */
static void close_gaps(struct hostset *s, const unsigned *ranks)
{
	unsigned from = 0, least;

	for (uint16_t priority = 0;; priority++, from = least + 1) {
		least = UINT32_MAX;
		for (int i = 0; i < s->n; i++)
			if (ranks[i] >= from && ranks[i] < least)
				least = ranks[i];
		if (least == UINT32_MAX)
			break;
		for (int i = 0; i < s->n; i++)
			if (ranks[i] == least)
				s->entries[i].priority = priority;
	}
}

static void fail_over(const struct lb_conf *lb, bool by_scopes, struct hostset *s)
{
	unsigned *ranks = xcalloc((size_t)s->n + 1, sizeof(*ranks));
	const struct locality *from = locality_of(s->client);

	for (int i = 0; i < s->n; i++) {
		const struct workload *w = s->entries[i].workload;

		if (by_scopes)
			ranks[i] = scopes_missed(s, w);
		else if (!lb->n_failover_priority)
			ranks[i] = distance(lb, from, locality_of(w));
		else
			ranks[i] = mismatch(lb, s->client, w) * 5 + (lb->n_failover ? distance(lb, from, locality_of(w)) : 0);
	}
	close_gaps(s, ranks);
	free(ranks);
}

/* The DestinationRule's setting, else the service's traffic distribution, else the mesh's. Without outlier detection nothing
 * would ever fail over to a setting's next priority, so that Istio makes none. */
void locality_rank(const struct cluster *c, const struct mesh *m, struct hostset *s, struct places *ret)
{
	const struct lb_conf *lb = &c->conf.lb;
	bool lists = lb->n_failover || lb->n_failover_priority, by_scopes = !lb->locality_own && s->service && s->service->lb_mode == LB_FAILOVER;

	find_places(s, ret);
	if (by_scopes) {
		fail_over(lb, true, s);
	} else if (lb->locality && lb->n_distribute) {
		distribute(lb, s, ret);
	} else if ((lb->locality || (lb->zone_aware && lists)) && c->conf.outlier.on) {
		ret->weighted = lists && !lb->zone_aware;
		fail_over(lb, false, s);
	}
}
