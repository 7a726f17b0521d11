/* SPDX-License-Identifier: Apache-2.0 */
/* Zone-aware routing, Envoy's: requests stay in the client's locality as far as its endpoints there can serve what the client's
 * fellows there send, so that every endpoint gets the same. It needs to know how many fellows there are: the endpoints of the
 * client's own service. */
#include <stdlib.h>

#include "traffic/cluster_int.h"

struct own_search {
	const struct workload *client;
	struct service *found;
};

static bool is_of(struct service *s, void *arg)
{
	struct own_search *f = arg;

	if (endpoints_find(s->endpoints, str_c(f->client->uid)) && (!f->found || strcmp(s->key, f->found->key) < 0))
		f->found = s;
	return true;
}

static struct service *own_service(const struct mesh *m, const struct workload *client)
{
	struct own_search f = { .client = client };

	if (!client)
		return NULL;
	for (int i = 0; i < client->n_services && !f.found; i++)
		f.found = mesh_service(m, str_c(client->services[i]));
	if (!f.found)
		mesh_each_service(m, is_of, &f);
	return f.found;
}

static bool is_at(const struct workload *w, const struct locality *l)
{
	return !strcmp(w->locality.region, l->region) && !strcmp(w->locality.zone, l->zone) && !strcmp(w->locality.subzone, l->subzone);
}

/* Ten-thousandths of the fellows that are in each place. False: there are too few to say. */
static bool count_fellows(const struct mesh *m, const struct workload *client, const struct places *p, uint64_t *ret)
{
	struct service *own = own_service(m, client);
	uint64_t n = 0, here = 0;

	for (int i = 0; own && i < own->endpoints->n; i++) {
		const struct workload *w = endpoints_at(own->endpoints, i)->workload;

		if (!w->healthy)
			continue;
		n++;
		here += is_at(w, &client->locality);
		for (int k = 0; k < p->n; k++)
			ret[k] += is_at(w, p->at[k]);
	}
	if (!here || here == n)
		return false;
	for (int k = 0; k < p->n; k++)
		ret[k] = 10000 * ret[k] / n;
	return true;
}

static void fill(const struct hostset *s, struct level *l, struct group *g, int place)
{
	uint32_t *at = (uint32_t *)g->at;

	for (uint32_t i = 0; i < l->all.n; i++)
		if (s->entries[l->all.at[i]].place == place)
			at[g->n++] = l->all.at[i];
}

void zone_divide(const struct cluster *c, const struct mesh *m, struct hostset *s, const struct places *p, struct level *l)
{
	uint64_t *fellows = xcalloc((size_t)p->n + 1, sizeof(*fellows)), have;
	struct group *v;

	if (p->n < 2 || l->all.n < c->conf.lb.zone_min_size || !count_fellows(m, s->client, p, fellows)) {
		free(fellows);
		return;
	}
	v = arena_alloc(&s->mem, (size_t)p->n * sizeof(*v));
	for (int k = 0; k < p->n; k++) {
		v[k].at = arena_alloc(&s->mem, l->all.n * sizeof(uint32_t));
		fill(s, l, &v[k], k);
		level_weigh(c, s, &v[k]);
		have = 10000 * (uint64_t)v[k].n / l->all.n;
		if (k == 0 && p->local)
			l->local_10000 = (uint32_t)(have >= fellows[0] ? 10000 : have * 10000 / fellows[0]);
		else
			v[k].share = have > fellows[k] ? have - fellows[k] : 0;
		l->max_share = v[k].share > l->max_share ? v[k].share : l->max_share;
	}
	if (!v[0].n)
		l->local_10000 = 0;
	/* Rounding can leave nobody with room. */
	for (int k = 0; !l->max_share && k < p->n; k++)
		v[k].share = v[k].n > 0;
	l->max_share = l->max_share ? l->max_share : 1;
	l->places = v;
	l->n_places = (uint32_t)p->n;
	l->zone_aware = true;
	free(fellows);
}
