/* SPDX-License-Identifier: Apache-2.0 */
#include "model/object.h"

#include <stdio.h>
#include <stdlib.h>

#include "model/object_int.h"
#include "model/texts.h"

bool gateway_eq(const struct gateway *a, const struct gateway *b)
{
	if (!a || !b)
		return a == b;
	return a->hbone_port == b->hbone_port && !strcmp(a->service, b->service) && !strcmp(a->network, b->network) && ip_eq(&a->ip, &b->ip);
}

bool object_last_ref(atomic_uint *refs)
{
	return atomic_fetch_sub_explicit(refs, 1, memory_order_acq_rel) == 1;
}

static int label_cmp(const void *a, const void *b)
{
	return strcmp(((const struct label *)a)->key, ((const struct label *)b)->key);
}

const struct label *pack_labels(struct pack *p, const struct label *from, int n)
{
	struct label *to = pack_array(p, n, sizeof(*to));

	for (int i = 0; i < n; i++) {
		const char *key = pack_str(p, from[i].key), *value = pack_str(p, from[i].value);

		if (to)
			to[i] = (struct label){ key, value };
	}
	if (to)
		qsort(to, (size_t)n, sizeof(*to), label_cmp);
	return to;
}

const struct target_ref *pack_targets(struct pack *p, const struct target_ref *from, int n)
{
	struct target_ref *to = pack_array(p, n, sizeof(*to));

	for (int i = 0; i < n; i++) {
		struct target_ref t = { from[i].kind, pack_str(p, from[i].name) };

		if (to)
			to[i] = t;
	}
	return to;
}

static void fill_gateway(struct pack *p, const struct gateway *from, struct gateway *to)
{
	struct gateway g = *from;

	g.service = pack_str(p, from->service);
	g.network = pack_str(p, from->network);
	if (to)
		*to = g;
}

static const struct gateway *pack_gateway(struct pack *p, const struct gateway *from)
{
	struct gateway *to = pack_array(p, from != NULL, sizeof(*to));

	if (from)
		fill_gateway(p, from, to);
	return to;
}

static const struct weighted_gateway *pack_waypoints(struct pack *p, const struct weighted_gateway *from, int n)
{
	struct weighted_gateway *to = pack_array(p, n, sizeof(*to));

	for (int i = 0; i < n; i++) {
		fill_gateway(p, &from[i].gateway, to ? &to[i].gateway : NULL);
		if (to)
			to[i].weight = from[i].weight;
	}
	return to;
}

/* --- what workloads have in common --- */

/* Those of one Deployment, and those on one node. Then follow the services and the policies. */
enum { KIN_NS, KIN_ACCOUNT, KIN_DOMAIN, KIN_IDENTITY, KIN_NETWORK, KIN_CANONICAL, KIN_REVISION, KIN_NAME, KIN_TYPE, KIN_FIXED };
enum { SITE_CLUSTER, SITE_NODE, SITE_REGION, SITE_ZONE, SITE_SUBZONE, SITE_FIXED };
#define KIN_MAX 64     /* services and policies; what has more keeps its strings to itself */

static void share(const struct workload *w, struct texts_table *t, struct texts *ret[2])
{
	const char *site[SITE_FIXED] = {
		[SITE_CLUSTER] = w->cluster, [SITE_NODE] = w->node, [SITE_REGION] = w->locality.region,
		[SITE_ZONE] = w->locality.zone, [SITE_SUBZONE] = w->locality.subzone,
	};
	const char *kin[KIN_FIXED + KIN_MAX] = {
		[KIN_NS] = w->ns, [KIN_ACCOUNT] = w->service_account, [KIN_DOMAIN] = w->trust_domain, [KIN_IDENTITY] = w->identity,
		[KIN_NETWORK] = w->network, [KIN_CANONICAL] = w->canonical_name, [KIN_REVISION] = w->canonical_revision,
		[KIN_NAME] = w->workload_name, [KIN_TYPE] = w->workload_type,
	};
	int n = KIN_FIXED;

	for (int i = 0; i < w->n_services; i++)
		kin[n++] = w->services[i];
	for (int i = 0; i < w->n_policies; i++)
		kin[n++] = w->policies[i];
	ret[0] = texts_get(t, kin, n);
	ret[1] = texts_get(t, site, SITE_FIXED);
}

static void point_to_shared(struct workload *w, struct texts *const shared[2])
{
	const char *const *kin = shared[0]->v, *const *site = shared[1]->v;

	w->ns = kin[KIN_NS];
	w->service_account = kin[KIN_ACCOUNT];
	w->trust_domain = kin[KIN_DOMAIN];
	w->identity = kin[KIN_IDENTITY];
	w->network = kin[KIN_NETWORK];
	w->canonical_name = kin[KIN_CANONICAL];
	w->canonical_revision = kin[KIN_REVISION];
	w->workload_name = kin[KIN_NAME];
	w->workload_type = kin[KIN_TYPE];
	w->services = kin + KIN_FIXED;
	w->policies = kin + KIN_FIXED + w->n_services;
	w->cluster = site[SITE_CLUSTER];
	w->node = site[SITE_NODE];
	w->locality = (struct locality){ site[SITE_REGION], site[SITE_ZONE], site[SITE_SUBZONE] };
	w->shared[0] = shared[0];
	w->shared[1] = shared[1];
}

static void pack_common(struct pack *p, const struct workload *from, struct workload *c)
{
	c->ns = pack_str(p, from->ns);
	c->service_account = pack_str(p, from->service_account);
	c->trust_domain = pack_str(p, from->trust_domain);
	c->network = pack_str(p, from->network);
	c->cluster = pack_str(p, from->cluster);
	c->node = pack_str(p, from->node);
	c->workload_name = pack_str(p, from->workload_name);
	c->canonical_name = pack_str(p, from->canonical_name);
	c->canonical_revision = pack_str(p, from->canonical_revision);
	c->workload_type = pack_str(p, from->workload_type);
	c->locality.region = pack_str(p, from->locality.region);
	c->locality.zone = pack_str(p, from->locality.zone);
	c->locality.subzone = pack_str(p, from->locality.subzone);
	c->policies = pack_strs(p, from->policies, from->n_policies);
	c->services = pack_strs(p, from->services, from->n_services);
	c->shared[0] = c->shared[1] = NULL;
}

/* The long strings come first: others are their endings (the name ends the uid, the service account the identity). */
static struct workload *workload_pack(struct pack *p, const struct workload *from, struct texts *const shared[2])
{
	struct workload *w = pack_array(p, 1, sizeof(*w)), c = *from;

	c.uid = pack_str(p, from->uid);
	c.identity = pack_str(p, shared ? NULL : from->identity);
	c.hostname = pack_str(p, from->hostname);
	c.name = pack_str(p, from->name);
	c.version = pack_str(p, from->version);
	if (shared)
		point_to_shared(&c, shared);
	else
		pack_common(p, from, &c);
	c.waypoint = pack_gateway(p, from->waypoint);
	c.network_gateway = pack_gateway(p, from->network_gateway);
	c.ips = pack_copy(p, from->ips, from->n_ips, sizeof(*from->ips));
	c.labels = pack_labels(p, from->labels, from->n_labels);
	atomic_init(&c.refs, 1);
	if (w)
		*w = c;
	return w;
}

static struct workload *workload_make(const struct workload *from, struct texts *const shared[2])
{
	struct pack p;
	struct workload *w;

	pack_init(&p);
	workload_pack(&p, from, shared);
	pack_start(&p);
	w = workload_pack(&p, from, shared);
	pack_done(&p);
	return w;
}

struct workload *workload_new(const struct workload *from)
{
	return workload_make(from, NULL);
}

struct workload *workload_new_shared(const struct workload *from, struct texts_table *t)
{
	struct texts *shared[2];

	if (from->n_services + from->n_policies > KIN_MAX)
		return workload_make(from, NULL);
	share(from, t, shared);
	return workload_make(from, shared);
}

struct workload *workload_ref(struct workload *w)
{
	atomic_fetch_add_explicit(&w->refs, 1, memory_order_relaxed);
	return w;
}

void workload_unref(struct workload *w)
{
	if (!w || !object_last_ref(&w->refs))
		return;
	texts_unref(w->shared[0]);
	texts_unref(w->shared[1]);
	free(w);
}

static const struct service_port *pack_ports(struct pack *p, const struct service_port *from, int n)
{
	struct service_port *to = pack_array(p, n, sizeof(*to));

	for (int i = 0; i < n; i++) {
		struct service_port c = from[i];

		c.name = pack_str(p, from[i].name);
		c.protocol = pack_str(p, from[i].protocol);
		if (to)
			to[i] = c;
	}
	return to;
}

static const struct vip *pack_vips(struct pack *p, const struct vip *from, int n)
{
	struct vip *to = pack_array(p, n, sizeof(*to));

	for (int i = 0; i < n; i++) {
		struct vip c = { pack_str(p, from[i].network), from[i].cidr };

		if (to)
			to[i] = c;
	}
	return to;
}

static struct service *service_pack(struct pack *p, const struct service *from)
{
	struct service *s = pack_array(p, 1, sizeof(*s)), c = *from;

	c.key = pack_str(p, from->key);
	c.name = pack_str(p, from->name);
	c.ns = pack_str(p, from->ns);
	c.hostname = pack_str(p, from->hostname);
	c.vips = pack_vips(p, from->vips, from->n_vips);
	c.ports = pack_ports(p, from->ports, from->n_ports);
	c.sans = pack_strs(p, from->sans, from->n_sans);
	c.export_to = pack_strs(p, from->export_to, from->n_export_to);
	c.waypoint = pack_gateway(p, from->waypoint);
	c.waypoints = pack_waypoints(p, from->waypoints, from->n_waypoints);
	c.version = pack_str(p, from->version);
	atomic_init(&c.refs, 1);
	if (s)
		*s = c;
	return s;
}

struct service *service_new(const struct service *from)
{
	struct pack p;
	struct service *s;

	pack_init(&p);
	service_pack(&p, from);
	pack_start(&p);
	s = service_pack(&p, from);
	pack_done(&p);
	s->endpoints = from->endpoints ? endpoints_ref(from->endpoints) : endpoints_new();
	return s;
}

struct service *service_ref(struct service *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void service_unref(struct service *s)
{
	if (!s || !object_last_ref(&s->refs))
		return;
	endpoints_unref(s->endpoints);
	free(s);
}

const struct match *pack_texts(struct pack *p, const struct match *from, int n)
{
	struct match *to = pack_array(p, n, sizeof(*to));

	for (int i = 0; i < n; i++) {
		struct match c = { from[i].kind, pack_str(p, from[i].text) };

		if (to)
			to[i] = c;
	}
	return to;
}

static const struct ns_sa *pack_accounts(struct pack *p, const struct ns_sa *from, int n)
{
	struct ns_sa *to = pack_array(p, n, sizeof(*to));

	for (int i = 0; i < n; i++) {
		const char *ns = pack_str(p, from[i].ns), *sa = pack_str(p, from[i].sa);

		if (to)
			to[i] = (struct ns_sa){ ns, sa };
	}
	return to;
}

static const struct policy_demand *pack_demands(struct pack *p, const struct policy_demand *from, int n)
{
	struct policy_demand *to = pack_array(p, n, sizeof(*to));

	for (int i = 0; i < n; i++) {
		struct policy_demand c = from[i];

		c.name = pack_strs(p, c.name, c.n_name);
		c.texts = c.texts ? pack_texts(p, c.texts, c.n) : NULL;
		c.blocks = c.blocks ? pack_copy(p, c.blocks, c.n, sizeof(struct cidr)) : NULL;
		if (to)
			to[i] = c;
	}
	return to;
}

static const struct policy_match *pack_matches(struct pack *p, const struct policy_match *from, int n)
{
	struct policy_match *to = pack_array(p, n, sizeof(*to));

	for (int i = 0; i < n; i++) {
		const struct policy_match *f = &from[i];
		struct policy_match c = *f;

		for (int j = 0; j < 2; j++) {
			c.namespaces[j] = pack_texts(p, f->namespaces[j], f->n_namespaces[j]);
			c.principals[j] = pack_texts(p, f->principals[j], f->n_principals[j]);
			c.service_accounts[j] = pack_accounts(p, f->service_accounts[j], f->n_service_accounts[j]);
			c.source_ips[j] = pack_copy(p, f->source_ips[j], f->n_source_ips[j], sizeof(struct cidr));
			c.dest_ips[j] = pack_copy(p, f->dest_ips[j], f->n_dest_ips[j], sizeof(struct cidr));
			c.dest_ports[j] = pack_copy(p, f->dest_ports[j], f->n_dest_ports[j], sizeof(uint16_t));
		}
		c.more = pack_demands(p, f->more, f->n_more);
		if (to)
			to[i] = c;
	}
	return to;
}

static const struct policy_clause *pack_clauses(struct pack *p, const struct policy_clause *from, int n)
{
	struct policy_clause *to = pack_array(p, n, sizeof(*to));

	for (int i = 0; i < n; i++) {
		struct policy_clause c = { pack_matches(p, from[i].matches, from[i].n_matches), from[i].n_matches };

		if (to)
			to[i] = c;
	}
	return to;
}

const struct policy_rule *pack_rules(struct pack *p, const struct policy_rule *from, int n)
{
	struct policy_rule *to = pack_array(p, n, sizeof(*to));

	for (int i = 0; i < n; i++) {
		struct policy_rule c = { pack_clauses(p, from[i].clauses, from[i].n_clauses), from[i].n_clauses, from[i].blind };

		if (to)
			to[i] = c;
	}
	return to;
}

static struct policy *policy_pack(struct pack *p, const struct policy *from)
{
	struct policy *y = pack_array(p, 1, sizeof(*y)), c = *from;

	c.key = pack_str(p, from->key);
	c.ns = pack_str(p, from->ns);
	c.name = pack_str(p, from->name);
	c.where = pack_str(p, from->where);
	c.version = pack_str(p, from->version);
	c.problem = pack_str(p, from->problem);
	c.provider = pack_str(p, from->provider);
	c.selector = pack_labels(p, from->selector, from->n_selector);
	c.targets = pack_targets(p, from->targets, from->n_targets);
	c.rules = pack_rules(p, from->rules, from->n_rules);
	c.compiled = NULL;
	c.compiled_free = NULL;
	atomic_init(&c.refs, 1);
	if (y)
		*y = c;
	return y;
}

struct policy *policy_new(const struct policy *from)
{
	struct policy *y;

	PACK_NEW(policy_pack, from, y);
	return y;
}

struct policy *policy_ref(struct policy *p)
{
	atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
	return p;
}

void policy_unref(struct policy *p)
{
	if (!p || !object_last_ref(&p->refs))
		return;
	if (p->compiled_free)
		p->compiled_free(p->compiled);
	free(p);
}

static struct peer_authn *peer_authn_pack(struct pack *p, const struct peer_authn *from, const char *refusal)
{
	struct peer_authn *a = pack_array(p, 1, sizeof(*a)), c = *from;

	c.refusal = pack_str(p, refusal);
	c.key = pack_str(p, from->key);
	c.ns = pack_str(p, from->ns);
	c.name = pack_str(p, from->name);
	c.where = pack_str(p, from->where);
	c.problem = pack_str(p, from->problem);
	c.selector = pack_labels(p, from->selector, from->n_selector);
	c.ports = pack_copy(p, from->ports, from->n_ports, sizeof(*from->ports));
	atomic_init(&c.refs, 1);
	if (a)
		*a = c;
	return a;
}

struct peer_authn *peer_authn_new(const struct peer_authn *from)
{
	char *refusal = xasprintf(from->broken ? "PeerAuthentication %s could not be loaded" :
				  "mTLS is required (PeerAuthentication %s)", from->key);
	struct pack p;
	struct peer_authn *a;

	pack_init(&p);
	peer_authn_pack(&p, from, refusal);
	pack_start(&p);
	a = peer_authn_pack(&p, from, refusal);
	pack_done(&p);
	free(refusal);
	return a;
}

struct peer_authn *peer_authn_ref(struct peer_authn *p)
{
	atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
	return p;
}

void peer_authn_unref(struct peer_authn *p)
{
	if (p && object_last_ref(&p->refs))
		free(p);
}

bool labels_match(const struct label *selector, int n_selector, const struct label *labels, int n_labels)
{
	for (int i = 0; i < n_selector; i++) {
		const struct label *l = n_labels ? bsearch(&selector[i], labels, (size_t)n_labels, sizeof(*l), label_cmp) : NULL;

		if (!l || strcmp(l->value, selector[i].value) != 0)
			return false;
	}
	return true;
}
