/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/epoch.h"
#include "model/mesh_int.h"
#include "model/object_int.h"

struct mesh_edit {
	struct mesh *m;      /* owned; not seen by anybody yet */
};

static void workload_hold(void *w) { workload_ref(w); }
static void workload_drop(void *w) { workload_unref(w); }
static void service_hold(void *s) { service_ref(s); }
static void service_drop(void *s) { service_unref(s); }
static void policy_hold(void *p) { policy_ref(p); }
static void policy_drop(void *p) { policy_unref(p); }
static void peer_authn_hold(void *p) { peer_authn_ref(p); }
static void peer_authn_drop(void *p) { peer_authn_unref(p); }
static void request_authn_hold(void *p) { request_authn_ref(p); }
static void request_authn_drop(void *p) { request_authn_unref(p); }
static void rate_limit_hold(void *p) { rate_limit_ref(p); }
static void rate_limit_drop(void *p) { rate_limit_unref(p); }

static const struct pmap_values held_workloads = { workload_hold, workload_drop };
static const struct pmap_values held_services = { service_hold, service_drop };
static const struct pmap_values held_policies = { policy_hold, policy_drop };
static const struct pmap_values held_peer_authns = { peer_authn_hold, peer_authn_drop };
static const struct pmap_values held_request_authns = { request_authn_hold, request_authn_drop };
static const struct pmap_values held_rate_limits = { rate_limit_hold, rate_limit_drop };

static void resource_hold(void *r) { resource_ref(r); }
static void resource_drop(void *r) { resource_unref(r); }
static const struct pmap_values held_resources = { resource_hold, resource_drop };

static void settings_unref(struct settings_block *b)
{
	if (b && --b->refs == 0)
		free(b);
}

static void mesh_free(void *obj)
{
	struct mesh *m = obj;

	pmap_done(&m->workloads_named);
	pmap_done(&m->workloads_called);
	pmap_done(&m->workloads_at);
	pmap_done(&m->workloads_called);
	pmap_done(&m->services_at);
	pmap_done(&m->services_called);
	pmap_done(&m->policies_in);
	pmap_done(&m->peer_authns_in);
	pmap_done(&m->request_authns_in);
	pmap_done(&m->rate_limits_in);
	pmap_done(&m->policies_at);
	pmap_done(&m->request_authns_at);
	pmap_done(&m->rate_limits_at);
	pmap_done(&m->services);
	pmap_done(&m->workloads);
	pmap_done(&m->policies);
	pmap_done(&m->peer_authns);
	pmap_done(&m->resources_of);
	pmap_done(&m->resources_in);
	pmap_done(&m->resources);
	pmap_done(&m->request_authns);
	pmap_done(&m->rate_limits);
	settings_unref(m->settings);
	free(m);
}

struct mesh_edit *mesh_edit_begin(void)
{
	const struct mesh *base = mesh_current();
	struct mesh_edit *e = xmalloc(sizeof(*e));
	struct mesh *m = e->m = xmalloc(sizeof(*m));

	*m = *base;
	m->generation++;
	if (m->settings)
		m->settings->refs++;
	m->workloads = pmap_ref(&base->workloads);
	m->workloads_named = pmap_ref(&base->workloads_named);
	m->workloads_at = pmap_ref(&base->workloads_at);
	m->workloads_called = pmap_ref(&base->workloads_called);
	m->services = pmap_ref(&base->services);
	m->services_at = pmap_ref(&base->services_at);
	m->services_called = pmap_ref(&base->services_called);
	m->policies = pmap_ref(&base->policies);
	m->policies_in = pmap_ref(&base->policies_in);
	m->peer_authns = pmap_ref(&base->peer_authns);
	m->peer_authns_in = pmap_ref(&base->peer_authns_in);
	m->resources = pmap_ref(&base->resources);
	m->resources_in = pmap_ref(&base->resources_in);
	m->resources_of = pmap_ref(&base->resources_of);
	m->resources.values = &held_resources;
	m->request_authns = pmap_ref(&base->request_authns);
	m->request_authns_in = pmap_ref(&base->request_authns_in);
	m->rate_limits = pmap_ref(&base->rate_limits);
	m->rate_limits_in = pmap_ref(&base->rate_limits_in);
	m->policies_at = pmap_ref(&base->policies_at);
	m->request_authns_at = pmap_ref(&base->request_authns_at);
	m->rate_limits_at = pmap_ref(&base->rate_limits_at);
	m->workloads.values = &held_workloads;
	m->services.values = &held_services;
	m->policies.values = &held_policies;
	m->peer_authns.values = &held_peer_authns;
	m->request_authns.values = &held_request_authns;
	m->rate_limits.values = &held_rate_limits;
	return e;
}

void mesh_edit_publish(struct mesh_edit *e)
{
	const struct mesh *old = mesh_current();

	atomic_store(&mesh_published, e->m);
	free(e);
	if (old->generation)
		epoch_retire((void *)old, mesh_free);
}

void mesh_edit_abandon(struct mesh_edit *e)
{
	mesh_free(e->m);
	free(e);
}

const struct mesh *mesh_edit_view(const struct mesh_edit *e)
{
	return e->m;
}

/* --- settings --- */
static struct settings_block *settings_pack(struct pack *p, const struct mesh_settings *from)
{
	struct settings_block *b = pack_array(p, 1, sizeof(*b)), c = { *from, 1 };

	c.s.trust_domain = pack_str(p, from->trust_domain);
	c.s.aliases = pack_strs(p, from->aliases, from->n_aliases);
	c.s.root_ns = pack_str(p, from->root_ns);
	c.s.cluster_domain = pack_str(p, from->cluster_domain);
	c.s.network = pack_str(p, from->network);
	c.s.cluster = pack_str(p, from->cluster);
	c.s.providers = pack_providers(p, from->providers, from->n_providers);
	if (b)
		*b = c;
	return b;
}

void mesh_edit_settings(struct mesh_edit *e, const struct mesh_settings *s)
{
	struct settings_block *b;
	struct pack p;

	pack_init(&p);
	settings_pack(&p, s);
	pack_start(&p);
	b = settings_pack(&p, s);
	pack_done(&p);
	settings_unref(e->m->settings);
	e->m->settings = b;
	e->m->policy_generation = e->m->traffic_generation = e->m->generation;
}

/* --- workloads --- */
static uint64_t named_hash(const struct workload *w)
{
	return mesh_hash_pair(mesh_hash(str_c(w->ns)), mesh_hash(str_c(w->name)));
}

static void workload_remove(struct mesh *m, struct workload *w)
{
	uint64_t network = mesh_hash(str_c(w->network));

	for (int i = 0; i < w->n_ips; i++)
		pmap_del(&m->workloads_at, mesh_hash_cidr(network, &w->ips[i], 128), w);
	if (*w->hostname)
		pmap_del(&m->workloads_called, mesh_hash(str_c(w->hostname)), w);
	pmap_del(&m->workloads_named, named_hash(w), w);
	pmap_del(&m->workloads, mesh_hash(str_c(w->uid)), w);
}

void mesh_put_workload(struct mesh_edit *e, struct workload *w)
{
	uint64_t network = mesh_hash(str_c(w->network));
	struct mesh *m = e->m;

	mesh_del_workload(e, str_c(w->uid));
	for (int i = 0; i < w->n_ips; i++)
		pmap_add(&m->workloads_at, mesh_hash_cidr(network, &w->ips[i], 128), w);
	if (*w->hostname)
		pmap_add(&m->workloads_called, mesh_hash(str_c(w->hostname)), w);
	pmap_add(&m->workloads_named, named_hash(w), w);
	pmap_add(&m->workloads, mesh_hash(str_c(w->uid)), w);
}

void mesh_del_workload(struct mesh_edit *e, struct str uid)
{
	struct workload *w = mesh_workload(e->m, uid);

	if (w)
		workload_remove(e->m, w);
}

/* --- services --- */
static bool service_is_guarded(const struct service *s)
{
	return s->waypoint || s->n_waypoints;
}

static bool same_names(const char *const *a, int n, const char *const *b, int k)
{
	for (int i = 0; n == k && i < n; i++)
		if (strcmp(a[i], b[i]))
			return false;
	return n == k;
}

/* Alike in all that a plan is made of. */
static bool same_waypoints(const struct service *a, const struct service *b)
{
	bool same = gateway_eq(a->waypoint, b->waypoint) && a->n_waypoints == b->n_waypoints;

	for (int i = 0; same && i < a->n_waypoints; i++)
		same = gateway_eq(&a->waypoints[i].gateway, &b->waypoints[i].gateway) && !a->waypoints[i].weight == !b->waypoints[i].weight;
	return same;
}

static bool same_shape(const struct service *a, const struct service *b)
{
	bool same = a->n_vips == b->n_vips && a->n_ports == b->n_ports && a->external == b->external && a->core == b->core &&
		    same_waypoints(a, b) && a->headless == b->headless && a->resolution == b->resolution && a->created == b->created && a->canonical == b->canonical &&
		    same_names(a->export_to, a->n_export_to, b->export_to, b->n_export_to) && same_names(a->sans, a->n_sans, b->sans, b->n_sans);

	for (int i = 0; same && i < a->n_vips; i++)
		same = !strcmp(a->vips[i].network, b->vips[i].network) && !memcmp(&a->vips[i].cidr, &b->vips[i].cidr, sizeof(struct cidr));
	for (int i = 0; same && i < a->n_ports; i++)
		same = a->ports[i].port == b->ports[i].port && a->ports[i].target == b->ports[i].target && a->ports[i].app == b->ports[i].app &&
		       !strcmp(a->ports[i].name, b->ports[i].name);
	return same;
}

static void service_remove(struct mesh *m, struct service *s)
{
	for (int i = 0; i < s->n_vips; i++) {
		const struct vip *v = &s->vips[i];

		pmap_del(&m->services_at, mesh_hash_cidr(mesh_hash(str_c(v->network)), &v->cidr.ip, v->cidr.bits), s);
		m->n_vips[v->cidr.bits]--;
	}
	m->n_guarded -= service_is_guarded(s);
	pmap_del(&m->services_called, mesh_hash(str_c(s->hostname)), s);
	pmap_del(&m->services, mesh_hash(str_c(s->key)), s);
}

void mesh_put_service(struct mesh_edit *e, struct service *s)
{
	struct mesh *m = e->m;
	struct service *old = mesh_service(m, str_c(s->key));

	if (!old || !same_shape(old, s))
		m->traffic_generation = m->generation;
	if (old)
		service_remove(m, old);
	for (int i = 0; i < s->n_vips; i++) {
		const struct vip *v = &s->vips[i];

		pmap_add(&m->services_at, mesh_hash_cidr(mesh_hash(str_c(v->network)), &v->cidr.ip, v->cidr.bits), s);
		m->n_vips[v->cidr.bits]++;
	}
	m->n_guarded += service_is_guarded(s);
	pmap_add(&m->services_called, mesh_hash(str_c(s->hostname)), s);
	pmap_add(&m->services, mesh_hash(str_c(s->key)), s);
}

void mesh_del_service(struct mesh_edit *e, struct str key)
{
	struct service *s = mesh_service(e->m, key);

	if (!s)
		return;
	e->m->traffic_generation = e->m->generation;
	service_remove(e->m, s);
}

/* --- what objects are bound to --- */
static void bind_to(struct pmap *at, const char *ns, const struct target_ref *v, int n, void *o)
{
	for (int i = 0; i < n; i++)
		pmap_add(at, mesh_hash_target(str_c(ns), v[i].kind, str_c(v[i].name)), o);
}

static void unbind(struct pmap *at, const char *ns, const struct target_ref *v, int n, const void *o)
{
	for (int i = 0; i < n; i++)
		pmap_del(at, mesh_hash_target(str_c(ns), v[i].kind, str_c(v[i].name)), o);
}

/* --- policies --- */
void mesh_put_policy(struct mesh_edit *e, struct policy *p)
{
	mesh_del_policy(e, str_c(p->key));
	e->m->policy_generation = e->m->generation;
	pmap_add(&e->m->policies_in, mesh_hash(str_c(p->ns)), p);
	if (p->scope == POLICY_GLOBAL && *p->ns)
		pmap_add(&e->m->policies_in, mesh_hash(str_c("")), p);
	bind_to(&e->m->policies_at, p->ns, p->targets, p->n_targets, p);
	pmap_add(&e->m->policies, mesh_hash(str_c(p->key)), p);
}

void mesh_del_policy(struct mesh_edit *e, struct str key)
{
	struct policy *p = mesh_policy(e->m, key);

	if (!p)
		return;
	e->m->policy_generation = e->m->generation;
	pmap_del(&e->m->policies_in, mesh_hash(str_c(p->ns)), p);
	if (p->scope == POLICY_GLOBAL && *p->ns)
		pmap_del(&e->m->policies_in, mesh_hash(str_c("")), p);
	unbind(&e->m->policies_at, p->ns, p->targets, p->n_targets, p);
	pmap_del(&e->m->policies, mesh_hash(key), p);
}

#define PLACED(noun, BIND, UNBIND) \
	void mesh_del_##noun(struct mesh_edit *e, struct str key) \
	{ \
		struct noun *o = mesh_##noun(e->m, key); \
		if (!o) \
			return; \
		e->m->policy_generation = e->m->generation; \
		pmap_del(&e->m->noun##s_in, mesh_hash(str_c(o->ns)), o); \
		UNBIND; \
		pmap_del(&e->m->noun##s, mesh_hash(key), o); \
	} \
	void mesh_put_##noun(struct mesh_edit *e, struct noun *o) \
	{ \
		mesh_del_##noun(e, str_c(o->key)); \
		e->m->policy_generation = e->m->generation; \
		pmap_add(&e->m->noun##s_in, mesh_hash(str_c(o->ns)), o); \
		BIND; \
		pmap_add(&e->m->noun##s, mesh_hash(str_c(o->key)), o); \
	}
#define BOUND(noun) \
	PLACED(noun, bind_to(&e->m->noun##s_at, o->ns, o->targets, o->n_targets, o), unbind(&e->m->noun##s_at, o->ns, o->targets, o->n_targets, o))

PLACED(peer_authn, , )
BOUND(request_authn)
BOUND(rate_limit)

/* --- resources --- */
void mesh_put_resource(struct mesh_edit *e, struct resource *r)
{
	struct mesh *m = e->m;

	mesh_del_resource(e, r->kind, str_c(r->key));
	m->traffic_generation = m->generation;
	pmap_add(&m->resources_of, mesh_hash_kind(r->kind, str_c("")), r);
	pmap_add(&m->resources_in, mesh_hash_kind(r->kind, str_c(r->ns)), r);
	pmap_add(&m->resources, mesh_hash_kind(r->kind, str_c(r->key)), r);
}

void mesh_del_resource(struct mesh_edit *e, enum resource_kind kind, struct str key)
{
	struct resource *r = mesh_resource(e->m, kind, key);
	struct mesh *m = e->m;

	if (!r)
		return;
	m->traffic_generation = m->generation;
	pmap_del(&m->resources_of, mesh_hash_kind(kind, str_c("")), r);
	pmap_del(&m->resources_in, mesh_hash_kind(kind, str_c(r->ns)), r);
	pmap_del(&m->resources, mesh_hash_kind(kind, key), r);
}
