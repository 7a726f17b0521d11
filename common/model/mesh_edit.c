/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/epoch.h"
#include "model/mesh_int.h"
#include "model/pack.h"

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

static const struct pmap_values held_workloads = { workload_hold, workload_drop };
static const struct pmap_values held_services = { service_hold, service_drop };
static const struct pmap_values held_policies = { policy_hold, policy_drop };
static const struct pmap_values held_peer_authns = { peer_authn_hold, peer_authn_drop };

static void settings_unref(struct settings_block *b)
{
	if (b && --b->refs == 0)
		free(b);
}

static void mesh_free(void *obj)
{
	struct mesh *m = obj;

	pmap_done(&m->workloads_named);
	pmap_done(&m->workloads_at);
	pmap_done(&m->services_at);
	pmap_done(&m->services_called);
	pmap_done(&m->policies_in);
	pmap_done(&m->peer_authns_in);
	pmap_done(&m->services);
	pmap_done(&m->workloads);
	pmap_done(&m->policies);
	pmap_done(&m->peer_authns);
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
	m->workloads.values = &held_workloads;
	m->services.values = &held_services;
	m->policies.values = &held_policies;
	m->peer_authns.values = &held_peer_authns;
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
	e->m->policy_generation = e->m->generation;
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

	mesh_del_service(e, str_c(s->key));
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

	if (s)
		service_remove(e->m, s);
}

/* --- policies --- */
void mesh_put_policy(struct mesh_edit *e, struct policy *p)
{
	mesh_del_policy(e, str_c(p->key));
	e->m->policy_generation = e->m->generation;
	pmap_add(&e->m->policies_in, mesh_hash(str_c(p->ns)), p);
	if (p->scope == POLICY_GLOBAL && *p->ns)
		pmap_add(&e->m->policies_in, mesh_hash(str_c("")), p);
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
	pmap_del(&e->m->policies, mesh_hash(key), p);
}

void mesh_put_peer_authn(struct mesh_edit *e, struct peer_authn *p)
{
	mesh_del_peer_authn(e, str_c(p->key));
	e->m->policy_generation = e->m->generation;
	pmap_add(&e->m->peer_authns_in, mesh_hash(str_c(p->ns)), p);
	pmap_add(&e->m->peer_authns, mesh_hash(str_c(p->key)), p);
}

void mesh_del_peer_authn(struct mesh_edit *e, struct str key)
{
	struct peer_authn *p = mesh_peer_authn(e->m, key);

	if (!p)
		return;
	e->m->policy_generation = e->m->generation;
	pmap_del(&e->m->peer_authns_in, mesh_hash(str_c(p->ns)), p);
	pmap_del(&e->m->peer_authns, mesh_hash(key), p);
}
