/* SPDX-License-Identifier: Apache-2.0 */
#include "traffic/dest.h"

#include <stdatomic.h>

#include "base/limits.h"

/* --- endpoints that failed lately --- */
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

static bool is_avoided(const struct workload *w, uint64_t now_ms)
{
	uint64_t hash, slot;

	if (atomic_load_explicit(&any_until, memory_order_relaxed) <= (now_ms & TIME_MASK))
		return false;
	hash = uid_hash(w);
	slot = atomic_load_explicit(&failures[hash % SLOTS], memory_order_relaxed);
	return slot && ((slot ^ hash) & ~TIME_MASK) == 0 && (slot & TIME_MASK) > (now_ms & TIME_MASK);
}

/* --- choosing --- */
struct choice {
	const struct mesh_settings *settings;
	const struct workload *client;             /* NULL: unknown */
	const struct dest_tried *tried;
	const struct service *service;
	const struct service_port *port;           /* of the service; NULL: it has no such port */
	bool avoid;                                /* leave failed ones out */
	uint64_t now_ms;
};

static uint64_t next_random(uint64_t *seed)
{
	uint64_t z = *seed += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static uint64_t random_below(uint64_t *seed, uint64_t n)
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

static const char *own_network(const struct choice *c)
{
	return c->client ? c->client->network : c->settings->network;
}

/* By name, since the mesh may have got a new object for it between two tries. */
static bool was_tried(const struct dest_tried *tried, const struct workload *w)
{
	for (int i = 0; tried && i < tried->n; i++)
		if (tried->workload[i] == w || strcmp(tried->workload[i]->uid, w->uid) == 0)
			return true;
	return false;
}

/* Another network is reached through its gateway, which is not modelled: those endpoints are left out. */
static bool is_usable(const struct choice *c, const struct workload *w)
{
	return w->n_ips && (w->healthy || c->service->allow_unhealthy) && strcmp(w->network, own_network(c)) == 0 &&
	       !was_tried(c->tried, w) && !(c->avoid && is_avoided(w, c->now_ms));
}

static bool in_scope(const struct choice *c, const struct workload *w, enum lb_scope scope)
{
	static const struct workload unknown = { .node = "", .locality = { "", "", "" } };
	const struct workload *from = c->client ? c->client : &unknown;
	const char *cluster = c->client ? c->client->cluster : c->settings->cluster;

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
		break;     /* as all that are usable */
	}
	return true;
}

/* How many scopes match from the first on; -1: not eligible. */
static int rank_of(const struct choice *c, const struct workload *w)
{
	const struct service *s = c->service;
	int rank = 0;

	if (!is_usable(c, w))
		return -1;
	if (s->lb_mode != LB_STRICT && s->lb_mode != LB_FAILOVER)
		return 0;
	while (rank < s->n_scopes && in_scope(c, w, s->scopes[rank]))
		rank++;
	return s->lb_mode == LB_STRICT && rank < s->n_scopes ? -1 : rank;
}

static uint64_t weight_of(const struct workload *w)
{
	return w->weight ? w->weight : 1;
}

/* A few throws at random: for a big service with most endpoints usable this spares the walk over all of them. A throw is
 * kept in proportion to its weight, so that the outcome is weighted as the walk's is. */
static const struct endpoint *pick_thrown(const struct choice *c, uint64_t *seed)
{
	const struct service *s = c->service;

	if (s->endpoints->n < 16 || s->lb_mode == LB_STRICT || s->lb_mode == LB_FAILOVER)
		return NULL;
	for (int i = 0; i < 8; i++) {
		const struct endpoint *e = endpoints_at(s->endpoints, (int)random_below(seed, (uint64_t)s->endpoints->n));

		if (rank_of(c, e->workload) >= 0 && random_below(seed, s->endpoints->max_weight) < weight_of(e->workload))
			return e;
	}
	return NULL;
}

/* Weighted random among those of the best rank. */
static const struct endpoint *pick_walked(const struct choice *c, uint64_t *seed)
{
	const struct service *s = c->service;
	uint64_t total = 0, at;
	int best = -1;

	for (int i = 0; i < s->endpoints->n; i++) {
		const struct workload *w = endpoints_at(s->endpoints, i)->workload;
		int rank = rank_of(c, w);

		if (rank > best) {
			best = rank;
			total = 0;
		}
		if (rank >= 0 && rank == best)
			total += weight_of(w);
	}
	if (best < 0)
		return NULL;
	at = random_below(seed, total);
	for (int i = 0; i < s->endpoints->n; i++) {
		const struct workload *w = endpoints_at(s->endpoints, i)->workload;

		if (rank_of(c, w) != best)
			continue;
		if (at < weight_of(w))
			return endpoints_at(s->endpoints, i);
		at -= weight_of(w);
	}
	return NULL;     /* another thread saw one fail between the two walks: the next round takes any */
}

static const struct endpoint *pick_endpoint(struct choice *c, uint64_t *seed)
{
	const struct endpoint *e = NULL;

	if (!c->port)
		return NULL;
	for (int avoid = 1; avoid >= 0 && !e; avoid--) {
		c->avoid = avoid;
		e = pick_thrown(c, seed);
		e = e ? e : pick_walked(c, seed);
	}
	return e;
}

/* The very address that was asked for, else the first of its family, else the first. */
static const struct ip *pick_ip(const struct workload *w, const struct ip *original)
{
	const struct ip *family = NULL;

	for (int i = 0; i < w->n_ips; i++) {
		if (ip_eq(&w->ips[i], original))
			return &w->ips[i];
		if (!family && ip_is_v4(&w->ips[i]) == ip_is_v4(original))
			family = &w->ips[i];
	}
	return family ? family : &w->ips[0];
}

static uint16_t target_port(const struct choice *c, const struct endpoint *e)
{
	uint16_t own = endpoint_target(e, c->port->port);

	if (own)
		return own;
	return c->port->target ? c->port->target : c->port->port;
}

static void expect(struct dest *d, const char *id)
{
	if (*id && d->n_expect < DEST_EXPECT_MAX)
		d->expect[d->n_expect++] = str_c(id);
}

static void go_to(struct dest *d, struct workload *w, const struct ip *ip, uint16_t port)
{
	d->workload = w;
	d->target = d->connect = (struct addr){ *ip, port };
	d->kind = w->tunnel == TUNNEL_HBONE ? DEST_HBONE : DEST_PLAIN;
	if (d->kind == DEST_HBONE)
		d->connect.port = DEST_HBONE_PORT;
	expect(d, w->identity);
	for (int i = 0; d->service && i < d->service->n_sans; i++)
		expect(d, d->service->sans[i]);
}

void dest_choose(const struct mesh *m, const struct workload *client, const struct addr *original,
		 const struct dest_tried *tried, uint64_t *seed, uint64_t now_ms, struct dest *ret)
{
	struct choice c = {
		.settings = mesh_settings(m), .client = client, .tried = tried, .now_ms = now_ms,
	};
	struct str network = str_c(own_network(&c));
	struct service *s = mesh_service_by_vip(m, network, &original->ip, str_c(client ? client->ns : ""));
	struct workload *w = mesh_workload_by_ip(m, network, &original->ip);
	const struct endpoint *e = NULL;

	*ret = (struct dest){ .kind = DEST_NONE, .target = *original, .connect = *original, .service = s };
	if (s && s->lb_mode != LB_PASSTHROUGH) {
		c.service = s;
		c.port = find_port(s->ports, s->n_ports, original->port);
		e = pick_endpoint(&c, seed);
	}
	if (e) {
		go_to(ret, e->workload, pick_ip(e->workload, &original->ip), target_port(&c, e));
	} else if (s && s->lb_mode == LB_PASSTHROUGH) {
		ret->kind = DEST_PASSTHROUGH;
	} else if (w) {
		/* Also when a service has this address but nothing for this port: the address is the workload's own. */
		ret->service = NULL;
		if (!was_tried(tried, w))
			go_to(ret, w, &original->ip, original->port);
	} else if (!s) {
		ret->kind = DEST_PASSTHROUGH;
	}
}
