/* SPDX-License-Identifier: Apache-2.0 */
/* One of a service's endpoints. */
#include "traffic/dest_int.h"

struct choice {
	struct dest_ask *ask;
	const struct service *service;
	const struct service_port *port;           /* of the service; NULL: it has no such port */
	uint16_t number;
	enum pick_as as;
	bool avoid;                                /* leave failed ones out */
};

static uint64_t next_random(uint64_t *seed)
{
	uint64_t z = *seed += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

uint64_t dest_random_below(uint64_t *seed, uint64_t n)
{
	return (uint64_t)((__uint128_t)next_random(seed) * n >> 64);
}

static const struct service_port *find_port(const struct service_port *ports, int n, uint16_t port)
{
	for (int i = 0; i < n; i++)
		if (ports[i].port == port)
			return &ports[i];
	return NULL;
}

/* By name, since the mesh may have got a new object for it between two tries. */
bool dest_was_tried(const struct dest_tried *tried, const struct workload *w)
{
	for (int i = 0; tried && i < tried->n; i++)
		if (tried->workload[i] == w || strcmp(tried->workload[i]->uid, w->uid) == 0)
			return true;
	return false;
}

static bool is_near(const struct choice *c, const struct workload *w)
{
	return strcmp(w->network, c->ask->network) == 0;
}

/* Whether there is a way to it. */
static bool is_reachable(const struct choice *c, const struct workload *w)
{
	bool near = is_near(c, w), home = w->n_ips || *w->hostname;
	struct hop gate;

	switch (c->as) {
	case PICK_GATEWAY:
		return home;
	case PICK_NEAR_WAYPOINT:
		return near && home;
	case PICK_LOCAL:
		return near && w->n_ips && w->tunnel == TUNNEL_HBONE;
	default:
		/* Behind a gateway only the service's names tell who may answer. */
		return near ? home : c->service->n_sans && dest_network_gate(c->ask, w, &gate);
	}
}

static bool is_waypoint(enum pick_as as)
{
	return as == PICK_WAYPOINT || as == PICK_NEAR_WAYPOINT;
}

/* Without a port of the service a waypoint's own tunnel decides where the bytes go. */
static bool has_port(const struct choice *c, const struct endpoint *e)
{
	return (c->port && (!c->port->named || endpoint_target(e, c->number))) || (is_waypoint(c->as) && e->workload->app_tunnel_port);
}

static bool is_usable(const struct choice *c, const struct endpoint *e)
{
	const struct workload *w = e->workload;

	return (w->healthy || c->service->allow_unhealthy) && has_port(c, e) && !dest_was_tried(c->ask->tried, w) &&
	       !(c->avoid && dest_is_avoided(w, c->ask->now_ms)) && is_reachable(c, w);
}

static bool in_scope(const struct choice *c, const struct workload *w, enum lb_scope scope)
{
	static const struct workload unknown = { .node = "", .locality = { "", "", "" } };
	const struct workload *from = c->ask->client ? c->ask->client : &unknown;
	const char *cluster = c->ask->client ? c->ask->client->cluster : mesh_settings(c->ask->m)->cluster;

	switch (scope) {
	case LB_REGION:
		return strcmp(from->locality.region, w->locality.region) == 0;
	case LB_ZONE:
		return strcmp(from->locality.zone, w->locality.zone) == 0;
	case LB_SUBZONE:
		return strcmp(from->locality.subzone, w->locality.subzone) == 0;
	case LB_NODE:
		return strcmp(from->node, w->node) == 0;
	case LB_CLUSTER:
		return strcmp(cluster, w->cluster) == 0;
	case LB_NETWORK:
		break;
	}
	return is_near(c, w);
}

/* How many scopes match from the first on. When the network is the first, all of the own network come before all others,
 * and those are ranked by the scopes that follow. */
static int scopes_matched(const struct choice *c, const struct workload *w, bool *all)
{
	const struct service *s = c->service;
	bool network_first = s->n_scopes && s->scopes[0] == LB_NETWORK, near = is_near(c, w);
	int at = network_first && !near ? 1 : 0, rank = 0;

	for (; at < s->n_scopes && in_scope(c, w, s->scopes[at]); at++)
		rank++;
	*all = rank == s->n_scopes;
	return network_first && near ? rank + s->n_scopes - 1 : rank;
}

/* -1: not eligible. */
static int rank_of(const struct choice *c, const struct endpoint *e)
{
	const struct service *s = c->service;
	bool all;
	int rank;

	if (!is_usable(c, e))
		return -1;
	if (s->lb_mode != LB_STRICT && s->lb_mode != LB_FAILOVER)
		return 0;
	rank = scopes_matched(c, e->workload, &all);
	return s->lb_mode == LB_STRICT && !all ? -1 : rank;
}

static uint64_t weight_of(const struct workload *w)
{
	return w->weight ? w->weight : 1;
}

/* A few throws at random: for a big service with most endpoints usable this spares the walk over all of them. A throw is
 * kept in proportion to its weight, so that the outcome is weighted as the walk's is. */
static const struct endpoint *pick_thrown(const struct choice *c)
{
	const struct service *s = c->service;
	uint64_t *seed = c->ask->seed;

	if (s->endpoints->n < 16 || s->lb_mode == LB_STRICT || s->lb_mode == LB_FAILOVER)
		return NULL;
	for (int i = 0; i < 8; i++) {
		const struct endpoint *e = endpoints_at(s->endpoints, (int)dest_random_below(seed, (uint64_t)s->endpoints->n));

		if (rank_of(c, e) >= 0 && dest_random_below(seed, s->endpoints->max_weight) < weight_of(e->workload))
			return e;
	}
	return NULL;
}

/* Weighted random among those of the best rank. */
static const struct endpoint *pick_walked(const struct choice *c)
{
	const struct service *s = c->service;
	uint64_t total = 0, at;
	int best = -1;

	for (int i = 0; i < s->endpoints->n; i++) {
		const struct endpoint *e = endpoints_at(s->endpoints, i);
		int rank = rank_of(c, e);

		if (rank > best) {
			best = rank;
			total = 0;
		}
		if (rank >= 0 && rank == best)
			total += weight_of(e->workload);
	}
	if (best < 0)
		return NULL;
	at = dest_random_below(c->ask->seed, total);
	for (int i = 0; i < s->endpoints->n; i++) {
		const struct endpoint *e = endpoints_at(s->endpoints, i);

		if (rank_of(c, e) != best)
			continue;
		if (at < weight_of(e->workload))
			return e;
		at -= weight_of(e->workload);
	}
	return NULL;     /* another thread saw one fail between the two walks: the next round takes any */
}

static uint16_t target_port(const struct choice *c, const struct endpoint *e)
{
	uint16_t own = endpoint_target(e, c->number);

	if (own)
		return own;
	return c->port && c->port->target ? c->port->target : c->number;
}

static bool is_known(const struct dest_ask *a, const struct workload *w)
{
	return a->tried && a->tried->known && strcmp(a->tried->known->uid, w->uid) == 0;
}

static bool is_allowed(const struct service *s, const struct ip *ip)
{
	enum ip_families f = s ? s->families : FAMILIES_ANY;

	return f == FAMILIES_V4 ? ip_is_v4(ip) : f == FAMILIES_V6 ? !ip_is_v4(ip) : true;
}

void dest_pick_ip(const struct dest_ask *a, struct hop *h, const struct ip *want)
{
	const struct ip *family = NULL, *first = NULL;

	for (int i = 0; i < h->w->n_ips; i++) {
		const struct ip *ip = &h->w->ips[i];

		if (ip_eq(ip, want)) {
			h->at.ip = *ip;
			return;
		}
		if (!is_allowed(h->via, ip))
			continue;
		first = first ? first : ip;
		family = family ? family : ip_is_v4(ip) == ip_is_v4(want) ? ip : NULL;
	}
	first = family ? family : first;
	h->homeless = !first;
	if (!first && is_known(a, h->w)) {
		first = &a->tried->known_ip;
		h->homeless = false;
	}
	if (first)
		h->at.ip = *first;
}

bool dest_pick(struct dest_ask *a, struct service *s, uint16_t port, enum pick_as as, struct hop *ret)
{
	struct choice c = { .ask = a, .service = s, .number = port, .as = as, .port = find_port(s->ports, s->n_ports, port) };
	const struct dest_tried *t = a->tried;
	const struct endpoint *e = t && t->known ? endpoints_find(s->endpoints, str_c(t->known->uid)) : NULL;

	if (!c.port && !is_waypoint(as))
		return false;
	if (e && rank_of(&c, e) < 0)
		e = NULL;
	for (int avoid = 1; avoid >= 0 && !e; avoid--) {
		c.avoid = avoid;
		e = pick_thrown(&c);
		e = e ? e : pick_walked(&c);
	}
	if (!e)
		return false;
	*ret = (struct hop){ .w = e->workload, .via = s, .at.port = target_port(&c, e) };
	dest_pick_ip(a, ret, &a->original.ip);
	return true;
}
