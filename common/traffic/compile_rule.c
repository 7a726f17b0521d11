/* SPDX-License-Identifier: Apache-2.0 */
/* Which DestinationRule is a service's, and which of its blocks a port and subset get. The client's namespace, the service's, and
 * the root namespace are asked in this order, and the first that says anything about the host has all of it. */
#include <stdlib.h>

#include "traffic/compile_int.h"

/* The rules of one namespace by host: all of them (for its own clients), or those that are exported. */
struct hosts { struct map by_host; };

static bool same_texts(const char *const *a, int n, const char *const *b, int m)
{
	if (n != m)
		return false;
	for (int i = 0; i < n; i++) {
		bool there = false;

		for (int k = 0; k < m; k++)
			there = there || !strcmp(a[i], b[k]);
		if (!there)
			return false;
	}
	return true;
}

static bool same_selector(const struct dr_selector *a, const struct dr_selector *b)
{
	if (!a || !b)
		return !a && !b;
	return labels_match(a->labels.v, a->labels.n, b->labels.v, b->labels.n) && a->labels.n == b->labels.n;
}

/* What of a user's policy is missing is filled from that of a BackendTLSPolicy. */
static const struct dr_policy *fill_gaps(struct compile *c, const struct dr_policy *user, const struct dr_policy *other)
{
	struct dr_policy *p;

	if (!user || !other)
		return user ? user : other;
	p = TMP(c, struct dr_policy, 1);
	*p = *user;
	if (!p->load_balancer)
		p->load_balancer = other->load_balancer;
	if (!p->pool)
		p->pool = other->pool;
	if (!p->outlier)
		p->outlier = other->outlier;
	if (!p->tls)
		p->tls = other->tls;
	if (!p->retry_budget)
		p->retry_budget = other->retry_budget;
	if (!p->ports.n)
		p->ports = other->ports;
	return p;
}

static void merge_subsets(struct compile *c, struct rule *into, const struct destination_rule *d)
{
	const struct dr_subset **v = TMP(c, const struct dr_subset *, into->n_subsets + d->subsets.n);
	int n = into->n_subsets;

	if (n)
		memcpy(v, into->subsets, (size_t)n * sizeof(*v));
	for (int i = 0; i < d->subsets.n; i++) {
		if (rule_subset(into, d->subsets.v[i].name))
			compile_report(c, &d->r, "its subset %s is ignored: an older DestinationRule for %s has one of that name", d->subsets.v[i].name, d->host);
		else
			v[n++] = &d->subsets.v[i];
	}
	into->subsets = v;
	into->n_subsets = n;
}

static void merge(struct compile *c, struct rule *into, const struct destination_rule *d)
{
	merge_subsets(c, into, d);
	if (into->fills_gaps == d->fills_gaps) {
		if (into->policy && d->policy)
			compile_report(c, &d->r, "its trafficPolicy is ignored: an older DestinationRule for %s has one", d->host);
		into->policy = into->policy ? into->policy : d->policy;
	} else if (d->fills_gaps) {
		into->policy = fill_gaps(c, into->policy, d->policy);
	} else {
		into->policy = fill_gaps(c, d->policy, into->policy);
		into->fills_gaps = false;
	}
}

static void add_rule(struct compile *c, struct map *by_host, const struct destination_rule *d, const char *const *to, int n)
{
	struct rule *first = map_get(by_host, str_c(d->host)), **at = &first, *r;

	for (; *at; at = &(*at)->next)
		if (same_texts((*at)->export_to, (*at)->n_export_to, to, n) && same_selector((*at)->selector, d->selector)) {
			merge(c, *at, d);
			return;
		}
	r = TMP(c, struct rule, 1);
	*r = (struct rule){ .host = d->host, .ns = d->r.ns, .export_to = to, .n_export_to = n, .selector = d->selector, .policy = d->policy, .fills_gaps = d->fills_gaps };
	merge_subsets(c, r, d);
	*at = r;
	map_put(by_host, str_c(d->host), first);
}

/* exported: without those for their own namespace alone. */
static const struct map *rules_of(struct compile *c, const char *ns, bool exported)
{
	const char *key = compile_printf(&c->tmp, "%s/%d", ns, exported);
	struct hosts *h = map_get(&c->rules, str_c(key));
	struct resource **list;
	int n;

	if (h)
		return &h->by_host;
	h = TMP(c, struct hosts, 1);
	map_put(&c->rules, str_c(key), h);
	list = *ns ? mesh_resources(c->m, RESOURCE_DESTINATION_RULE, str_c(ns), &n) : NULL;
	for (int i = 0; list && i < n; i++) {
		const struct destination_rule *d = (const struct destination_rule *)list[i];
		const char *const *to = d->export_to.n ? d->export_to.v : c->mc->destination_rule_export_to.v;
		int n_to = d->export_to.n ? d->export_to.n : c->mc->destination_rule_export_to.n;

		if (!exported || n_to != 1 || strcmp(to[0], "."))
			add_rule(c, &h->by_host, d, to, n_to);
	}
	free(list);
	return &h->by_host;
}

static bool reaches(struct compile *c, const struct rule *r)
{
	for (int i = 0; i < r->n_export_to; i++)
		if (!strcmp(r->export_to[i], "*") || !strcmp(r->export_to[i], c->w->ns))
			return true;
	return r->n_export_to == 0;
}

/* Of the rules of one host: that of a selector that is ours, else the one without. */
static const struct rule *choose(struct compile *c, const struct rule *first, bool all, bool outbound)
{
	const struct rule *plain = NULL;

	for (const struct rule *r = first; r; r = r->next) {
		if (!all && !reaches(c, r))
			continue;
		if (!r->selector)
			plain = r;
		else if (outbound && !strcmp(r->ns, c->w->ns) && labels_match(r->selector->labels.v, r->selector->labels.n, c->w->labels, c->w->n_labels))
			return r;
	}
	return plain;
}

static bool any_reaches(struct compile *c, const struct rule *r)
{
	for (; r; r = r->next)
		if (reaches(c, r))
			return true;
	return false;
}

static const struct rule *find(struct compile *c, struct seen *s, bool outbound)
{
	const struct rule *first = host_best(c, rules_of(c, c->w->ns, false), s->host);

	if (first)
		return choose(c, first, true, outbound);
	first = host_best(c, rules_of(c, s->s->ns, true), s->host);
	if (!any_reaches(c, first))
		first = host_best(c, rules_of(c, c->set->root_ns, true), s->host);
	return choose(c, first, false, outbound);
}

const struct rule *compile_rule(struct compile *c, struct seen *s)
{
	if (!s->rule_known)
		s->rule = find(c, s, true);
	s->rule_known = true;
	return s->rule;
}

const struct rule *compile_rule_inbound(struct compile *c, struct seen *s)
{
	return find(c, s, false);
}

const struct dr_subset *rule_subset(const struct rule *r, const char *name)
{
	for (int i = 0; r && i < r->n_subsets; i++)
		if (!strcmp(r->subsets[i]->name, name))
			return r->subsets[i];
	return NULL;
}

/* The blocks of a policy on a port: those of its portLevelSettings take the place of all four. */
static bool blocks_of(const struct dr_policy *p, uint16_t port, struct blocks *ret)
{
	for (int i = 0; p && i < p->ports.n; i++) {
		const struct dr_port_policy *q = &p->ports.v[i];

		if (!q->port || q->port->number != port)
			continue;
		*ret = (struct blocks){ q->load_balancer, q->pool, q->outlier, q->tls, NULL, NULL };
		return true;
	}
	*ret = (struct blocks){ 0 };
	if (p)
		*ret = (struct blocks){ p->load_balancer, p->pool, p->outlier, p->tls, p->proxy, p->retry_budget };
	return false;
}

struct blocks compile_blocks(struct compile *c, const struct rule *r, const struct dr_subset *subset, uint16_t port)
{
	const struct dr_policy *deflt = c->mc->traffic_policy;
	struct blocks b, sub;
	bool level;

	blocks_of(r ? r->policy : NULL, port, &b);
	if (deflt && !b.pool)
		b.pool = deflt->pool;
	if (deflt && !b.outlier)
		b.outlier = deflt->outlier;
	if (!subset || !subset->policy)
		return b;
	level = blocks_of(subset->policy, port, &sub);
	if (sub.lb || level)
		b.lb = sub.lb;
	if (sub.pool || level)
		b.pool = sub.pool;
	if (sub.outlier || level)
		b.outlier = sub.outlier;
	if (sub.tls || level)
		b.tls = sub.tls;
	b.proxy = sub.proxy ? sub.proxy : b.proxy;
	b.budget = sub.budget ? sub.budget : b.budget;
	return b;
}
