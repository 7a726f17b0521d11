/* SPDX-License-Identifier: Apache-2.0 */
#include "model/mesh_int.h"

#include <stdlib.h>

static const struct mesh empty;
_Atomic(const struct mesh *) mesh_published = &empty;

const struct mesh *mesh_current(void)
{
	return atomic_load(&mesh_published);
}

uint64_t mesh_generation(const struct mesh *m)
{
	return m->generation;
}

uint64_t mesh_policy_generation(const struct mesh *m)
{
	return m->policy_generation;
}

const char *stance_name(enum stance s)
{
	static const char *const names[] = { [STANCE_ISTIO] = "istio", [STANCE_CLOSED] = "closed", [STANCE_STRICT] = "strict" };

	return names[s];
}

bool mesh_through_waypoints(const struct mesh_settings *s, bool others)
{
	if (s->mode != MODE_SIDECAR || s->waypoint_use == WAYPOINTS_SKIPPED)
		return false;
	return s->waypoint_use == WAYPOINTS_USED || s->stance >= STANCE_CLOSED || !others;
}

const char *mesh_mode_name(enum mesh_mode m)
{
	static const char *const names[] = { [MODE_ZTUNNEL] = "ztunnel", [MODE_SIDECAR] = "sidecar", [MODE_WAYPOINT] = "waypoint" };

	return names[m];
}

const struct mesh_settings *mesh_settings(const struct mesh *m)
{
	static const struct mesh_settings defaults = {
		.trust_domain = "cluster.local", .root_ns = "istio-system", .cluster_domain = "cluster.local",
		.network = "", .cluster = "Kubernetes", .connect_timeout_ms = 10000,
	};

	return m->settings ? &m->settings->s : &defaults;
}

/* --- workloads --- */
static bool is_pod(const struct workload *w)
{
	return strstr(w->uid, "//Pod/") != NULL;
}

static struct workload *workload_better(struct workload *a, struct workload *b)
{
	if (!a || !b)
		return a ? a : b;
	if (is_pod(a) != is_pod(b))
		return is_pod(a) ? a : b;
	if (a->tunnel != b->tunnel)
		return a->tunnel == TUNNEL_HBONE ? a : b;
	return strcmp(a->uid, b->uid) <= 0 ? a : b;
}

struct workload *mesh_workload(const struct mesh *m, struct str uid)
{
	struct pmap_run run = pmap_find(&m->workloads, mesh_hash(uid));

	for (int i = 0; i < run.n; i++) {
		struct workload *w = run.values[i];

		if (str_is(uid, w->uid))
			return w;
	}
	return NULL;
}

struct workload *mesh_workload_named(const struct mesh *m, struct str ns, struct str name)
{
	struct pmap_run run = pmap_find(&m->workloads_named, mesh_hash_pair(mesh_hash(ns), mesh_hash(name)));
	struct workload *best = NULL;

	for (int i = 0; i < run.n; i++) {
		struct workload *w = run.values[i];

		if (str_is(ns, w->ns) && str_is(name, w->name))
			best = workload_better(best, w);
	}
	return best;
}

struct workload *mesh_workload_by_host(const struct mesh *m, struct str ns, struct str hostname)
{
	struct pmap_run run = pmap_find(&m->workloads_called, mesh_hash(hostname));
	struct workload *best = NULL;

	for (int i = 0; i < run.n; i++) {
		struct workload *w = run.values[i];

		if (str_is(ns, w->ns) && str_is(hostname, w->hostname))
			best = workload_better(best, w);
	}
	return best;
}

static bool workload_is_at(const struct workload *w, struct str network, const struct ip *ip)
{
	for (int i = 0; i < w->n_ips; i++)
		if (ip_eq(&w->ips[i], ip))
			return str_is(network, w->network);
	return false;
}

struct workload *mesh_workload_by_ip(const struct mesh *m, struct str network, const struct ip *ip)
{
	struct pmap_run run = pmap_find(&m->workloads_at, mesh_hash_cidr(mesh_hash(network), ip, 128));
	struct workload *best = NULL;

	for (int i = 0; i < run.n; i++)
		if (workload_is_at(run.values[i], network, ip))
			best = workload_better(best, run.values[i]);
	return best;
}

/* --- services --- */
struct service *mesh_service(const struct mesh *m, struct str key)
{
	struct pmap_run run = pmap_find(&m->services, mesh_hash(key));

	for (int i = 0; i < run.n; i++) {
		struct service *s = run.values[i];

		if (str_is(key, s->key))
			return s;
	}
	return NULL;
}

bool mesh_has_guarded(const struct mesh *m)
{
	return m->n_guarded;
}

static struct service *service_better(struct service *a, struct service *b, struct str ns)
{
	if (!a || !b)
		return a ? a : b;
	if (str_is(ns, a->ns) != str_is(ns, b->ns))
		return str_is(ns, a->ns) ? a : b;
	if (a->canonical != b->canonical)
		return a->canonical ? a : b;
	return strcmp(a->key, b->key) <= 0 ? a : b;
}

static bool service_seen_from(const struct service *s, struct str ns)
{
	return !s->hidden_outside_ns || str_is(ns, s->ns);
}

static bool service_is_at(const struct service *s, struct str network, const struct ip *ip, unsigned bits)
{
	for (int i = 0; i < s->n_vips; i++) {
		const struct vip *v = &s->vips[i];

		if (v->cidr.bits == bits && ip_eq(&v->cidr.ip, ip) && str_is(network, v->network))
			return true;
	}
	return false;
}

/* The best of the services that have exactly this block as a VIP. */
static struct service *service_of_cidr(const struct mesh *m, struct str network, const struct ip *ip, unsigned bits,
				       struct str client_ns)
{
	struct pmap_run run = pmap_find(&m->services_at, mesh_hash_cidr(mesh_hash(network), ip, bits));
	struct service *best = NULL;

	for (int i = 0; i < run.n; i++) {
		struct service *s = run.values[i];

		if (service_seen_from(s, client_ns) && service_is_at(s, network, ip, bits))
			best = service_better(best, s, client_ns);
	}
	return best;
}

struct service *mesh_service_by_vip(const struct mesh *m, struct str network, const struct ip *ip, struct str client_ns)
{
	int least = ip_is_v4(ip) ? 96 : 0;       /* ::/0 is for IPv6 only */
	struct ip masked = *ip;
	struct service *best = NULL, *s;

	for (int bits = 128; bits >= least; bits--) {
		if (bits < 128)
			masked.b[bits / 8] &= (uint8_t)~(0x80u >> bits % 8);
		s = m->n_vips[bits] ? service_of_cidr(m, network, &masked, (unsigned)bits, client_ns) : NULL;
		if (!s)
			continue;
		if (bits == 128 || str_is(client_ns, s->ns))
			return s;
		best = best ? best : s;
	}
	return best;
}

struct service *mesh_service_by_host(const struct mesh *m, struct str hostname, struct str ns)
{
	struct pmap_run run = pmap_find(&m->services_called, mesh_hash(hostname));
	struct service *best = NULL;

	for (int i = 0; i < run.n; i++) {
		struct service *s = run.values[i];

		if (str_is(hostname, s->hostname) && service_seen_from(s, ns))
			best = service_better(best, s, ns);
	}
	return best;
}

void mesh_each_service_called(const struct mesh *m, struct str hostname, bool (*fn)(struct service *s, void *arg), void *arg)
{
	struct pmap_run run = pmap_find(&m->services_called, mesh_hash(hostname));

	for (int i = 0; i < run.n; i++)
		if (str_is(hostname, ((struct service *)run.values[i])->hostname) && !fn(run.values[i], arg))
			return;
}

/* --- policies --- */
struct policy *mesh_policy(const struct mesh *m, struct str key)
{
	struct pmap_run run = pmap_find(&m->policies, mesh_hash(key));

	for (int i = 0; i < run.n; i++) {
		struct policy *p = run.values[i];

		if (str_is(key, p->key))
			return p;
	}
	return NULL;
}

void mesh_each_policy_in(const struct mesh *m, struct str ns, bool (*fn)(struct policy *p, void *arg), void *arg)
{
	struct pmap_run run = pmap_find(&m->policies_in, mesh_hash(ns));

	for (int i = 0; i < run.n; i++) {
		struct policy *p = run.values[i];

		if ((ns.n ? str_is(ns, p->ns) : p->scope == POLICY_GLOBAL) && !fn(p, arg))
			return;
	}
}

/* --- what is found by key and by namespace alone --- */
#define PLACED(noun) \
	struct noun *mesh_##noun(const struct mesh *m, struct str key) \
	{ \
		struct pmap_run run = pmap_find(&m->noun##s, mesh_hash(key)); \
		for (int i = 0; i < run.n; i++) \
			if (str_is(key, ((struct noun *)run.values[i])->key)) \
				return run.values[i]; \
		return NULL; \
	} \
	void mesh_each_##noun##_in(const struct mesh *m, struct str ns, bool (*fn)(struct noun *o, void *arg), void *arg) \
	{ \
		struct pmap_run run = pmap_find(&m->noun##s_in, mesh_hash(ns)); \
		for (int i = 0; i < run.n; i++) { \
			struct noun *o = run.values[i]; \
			if (str_is(ns, o->ns) && !fn(o, arg)) \
				return; \
		} \
	}

PLACED(peer_authn)
PLACED(request_authn)
PLACED(rate_limit)

/* --- what is found by targets --- */
static bool is_bound(const struct target_ref *v, int n, enum target_kind kind, struct str name)
{
	for (int i = 0; i < n; i++)
		if (v[i].kind == kind && str_is(name, v[i].name))
			return true;
	return false;
}

#define BOUND(noun, map) \
	void mesh_each_##noun##_at(const struct mesh *m, struct str ns, enum target_kind kind, struct str name, \
				   bool (*fn)(struct noun *o, void *arg), void *arg) \
	{ \
		struct pmap_run run = pmap_find(&m->map, mesh_hash_target(ns, kind, name)); \
		for (int i = 0; i < run.n; i++) { \
			struct noun *o = run.values[i]; \
			if (str_is(ns, o->ns) && is_bound(o->targets, o->n_targets, kind, name) && !fn(o, arg)) \
				return; \
		} \
	}

BOUND(policy, policies_at)
BOUND(request_authn, request_authns_at)
BOUND(rate_limit, rate_limits_at)

bool mesh_is_gateway(const struct mesh *m, const struct gateway *g, const struct workload *w)
{
	struct str host, ns;
	struct workload *named;
	struct service *s;

	if (!g)
		return false;
	s = *g->service ? mesh_service(m, str_c(g->service)) : mesh_service_by_vip(m, str_c(g->network), &g->ip, str_c(w->ns));
	if (s)
		return endpoints_find(s->endpoints, str_c(w->uid)) != NULL;
	if (*g->service) {
		ns = str_cut(str_c(g->service), '/', &host);
		named = host.n ? mesh_workload_by_host(m, ns, host) : NULL;
		return named && strcmp(named->uid, w->uid) == 0;
	}
	for (int i = 0; i < w->n_ips; i++)
		if (ip_eq(&w->ips[i], &g->ip) && strcmp(w->network, g->network) == 0)
			return true;
	return false;
}

/* --- all of a kind --- */
#define EACH(noun, map) \
	struct each_##noun { bool (*fn)(struct noun *o, void *arg); void *arg; }; \
	static bool call_##noun(void *value, void *arg) \
	{ \
		struct each_##noun *e = arg; \
		return e->fn(value, e->arg); \
	} \
	void mesh_each_##noun(const struct mesh *m, bool (*fn)(struct noun *o, void *arg), void *arg) \
	{ \
		struct each_##noun e = { fn, arg }; \
		pmap_each(&m->map, call_##noun, &e); \
	}

EACH(workload, workloads)
EACH(service, services)
EACH(policy, policies)
EACH(peer_authn, peer_authns)
EACH(request_authn, request_authns)
EACH(rate_limit, rate_limits)

size_t mesh_count(const struct mesh *m, size_t *services, size_t *policies)
{
	if (services)
		*services = m->services.len;
	if (policies)
		*policies = m->policies.len;
	return m->workloads.len;
}

/* --- resources --- */
uint64_t mesh_traffic_generation(const struct mesh *m) { return m->traffic_generation; }

struct resource *mesh_resource(const struct mesh *m, enum resource_kind kind, struct str key)
{
	struct pmap_run run = pmap_find(&m->resources, mesh_hash_kind(kind, key));

	for (int i = 0; i < run.n; i++) {
		struct resource *r = run.values[i];

		if (r->kind == kind && str_is(key, r->key))
			return r;
	}
	return NULL;
}

static int older(const void *a, const void *b)
{
	return resource_compare(*(struct resource *const *)a, *(struct resource *const *)b);
}

struct resource **mesh_resources(const struct mesh *m, enum resource_kind kind, struct str ns, int *n)
{
	struct pmap_run run = pmap_find(ns.n ? &m->resources_in : &m->resources_of, mesh_hash_kind(kind, ns));
	struct resource **v = xcalloc((size_t)run.n + 1, sizeof(*v));

	*n = 0;
	for (int i = 0; i < run.n; i++) {
		struct resource *r = run.values[i];

		if (r->kind == kind && (!ns.n || str_is(ns, r->ns)))
			v[(*n)++] = r;
	}
	if (*n > 1)
		qsort(v, (size_t)*n, sizeof(*v), older);
	return v;
}
