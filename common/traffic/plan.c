/* SPDX-License-Identifier: Apache-2.0 */
#include "traffic/plan_int.h"

#include <stdlib.h>

#include "base/epoch.h"
#include "base/regex.h"
#include "telemetry/format.h"

static _Atomic(struct plan *) current;

void plan_own(struct plan_list *l, void *item)
{
	if (l->n == l->cap) {
		l->cap = l->cap ? l->cap * 2 : 8;
		l->v = xrealloc(l->v, (size_t)l->cap * sizeof(*l->v));
	}
	l->v[l->n++] = item;
}

struct plan *plan_ref(const struct plan *p)
{
	atomic_fetch_add_explicit(&((struct plan *)p)->refs, 1, memory_order_relaxed);
	return (struct plan *)p;
}

static void list_done(struct plan_list *l, void (*free_item)(void *item))
{
	for (int i = 0; i < l->n; i++)
		free_item(l->v[i]);
	free(l->v);
}

static void free_table(void *t) { route_table_free(t); }
static void free_regex(void *r) { regex_free(r); }
static void free_format(void *f) { format_free(f); }
static void free_held(void *r) { resource_unref(r); }

void plan_unref(struct plan *p)
{
	if (!p || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
		return;
	list_done(&p->tables, free_table);
	map_each(s, &p->clusters)
		cluster_unref(s->value);
	map_done(&p->clusters);
	map_done(&p->by_addr);
	map_done(&p->by_port);
	map_done(&p->served);
	list_done(&p->regexes, free_regex);
	list_done(&p->formats, free_format);
	list_done(&p->held, free_held);
	arena_done(&p->mem);
	free(p);
}

static void retire(void *p)
{
	plan_unref(p);
}

void plan_publish(struct plan *p)
{
	struct plan *old = atomic_exchange_explicit(&current, p, memory_order_acq_rel);

	if (old)
		epoch_retire(old, retire);
}

const struct plan *plan_current(void)
{
	return atomic_load_explicit(&current, memory_order_acquire);
}

static struct str addr_key(const struct addr *a)
{
	_Static_assert(sizeof(struct addr) == 18, "no holes");
	return (struct str){ (const char *)a, sizeof(*a) };
}

/* Whether one of the service's endpoints has this address. */
static bool leads_to(const char *key, const struct addr *to)
{
	const struct mesh *m = mesh_current();
	struct workload *w = mesh_workload_by_ip(m, str_c(mesh_settings(m)->network), &to->ip);
	struct service *s = mesh_service(m, str_c(key));

	return w && s && endpoints_find(s->endpoints, str_c(w->uid));
}

const struct outbound_port *plan_outbound(const struct plan *p, const struct addr *to)
{
	const struct outbound_port *o = map_get(&p->by_addr, addr_key(to));

	for (int i = 0; !o && i < p->n_headless; i++)
		if (p->headless[i].port == to->port && leads_to(p->headless[i].key, to))
			o = p->headless[i].at;
	return o ? o : map_get(&p->by_port, (struct str){ (const char *)&to->port, sizeof(to->port) });
}

const struct outbound_port *plan_outbound_at(const struct plan *p, int i)
{
	return i >= 0 && i < p->n_outbound ? &p->outbound[i] : NULL;
}

const struct inbound_port *plan_inbound(const struct plan *p, uint16_t port)
{
	int lo = 1, hi = p->n_inbound;

	while (lo < hi) {
		int mid = (lo + hi) / 2;

		if (p->inbound[mid].port == port)
			return &p->inbound[mid];
		if (p->inbound[mid].port < port)
			lo = mid + 1;
		else
			hi = mid;
	}
	return &p->inbound[0];
}

const struct inbound_port *plan_inbound_at(const struct plan *p, int i)
{
	return i >= 0 && i < p->n_inbound ? &p->inbound[i] : NULL;
}

const struct inbound_port *plan_served(const struct plan *p, struct str service, uint16_t port)
{
	const struct plan_served *s = map_get(&p->served, service);

	for (int i = 0; s && i < s->n; i++)
		if (s->v[i].port == port)
			return &s->v[i];
	return NULL;
}

const struct inbound_port *plan_direct(const struct plan *p)
{
	return p->waypoint ? &p->inbound[0] : NULL;
}

struct cluster *plan_unknown(const struct plan *p)
{
	return p->unknown;
}

struct cluster *plan_cluster(const struct plan *p, struct str name)
{
	return map_get(&p->clusters, name);
}

void plan_each_cluster(const struct plan *p, void (*fn)(struct cluster *c, void *arg), void *arg)
{
	map_each(s, &p->clusters)
		fn(s->value, arg);
}

/* ---- what a plan was made of ---- */

struct own { const struct workload *w; uint64_t hash; };

static bool add_own(struct service *s, void *arg)
{
	struct own *o = arg;
	const struct endpoint *e = endpoints_find(s->endpoints, str_c(o->w->uid));

	if (!e)
		return true;
	/* A sum: services come in no order. */
	o->hash += hash_bytes(s->key, strlen(s->key));
	for (int i = 0; i < s->n_ports; i++) {
		struct endpoint_port at = { s->ports[i].port, endpoint_target(e, s->ports[i].port) };

		o->hash += hash_bytes(&at, sizeof(at)) * 31;
	}
	return true;
}

uint64_t plan_own_hash(const struct mesh *m, const struct workload *w)
{
	struct own o = { w, hash_bytes(w->uid, strlen(w->uid)) };

	mesh_each_service(m, add_own, &o);
	for (int i = 0; i < w->n_labels; i++)
		o.hash += hash_bytes(w->labels[i].key, strlen(w->labels[i].key)) ^ hash_bytes(w->labels[i].value, strlen(w->labels[i].value)) * 3;
	return o.hash;
}

bool plan_stale(const struct plan *p, const struct mesh *m, const struct workload *w)
{
	return p->generation != mesh_traffic_generation(m) || p->own != plan_own_hash(m, w);
}
