/* SPDX-License-Identifier: Apache-2.0 */
#include "source/crosscheck.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/map.h"
#include "model/meshconfig.h"

struct cross {
	const struct link_input *in;
	const struct link_set *set;
	struct map hosts;          /* of services, each to itself */
	struct service **named;    /* the services by their objects' names; NULL: not needed yet */
	const struct conf_obj *o;  /* the present object */
};

#define say(c, level, path, ...) link_report((c)->in, (c)->o, level, path, __VA_ARGS__)

static bool host_known(const struct cross *c, const char *host)
{
	if (map_get(&c->hosts, str_c(host)))
		return true;
	for (const char *dot = strchr(host, '.'); dot; dot = strchr(dot + 1, '.')) {   /* a wildcard of it */
		char wild[300];

		snprintf(wild, sizeof(wild), "*%s", dot);
		if (map_get(&c->hosts, str_c(wild)))
			return true;
	}
	return false;
}

/* --- VirtualService: where it leads --- */

static bool subset_known(const struct cross *c, const char *host, const char *subset)
{
	for (size_t i = 0; i < c->set->n_resources; i++) {
		const struct destination_rule *d = (const struct destination_rule *)c->set->resources[i];

		if (d->r.kind != RESOURCE_DESTINATION_RULE || strcmp(d->host, host))
			continue;
		for (int k = 0; k < d->subsets.n; k++)
			if (!strcmp(d->subsets.v[k].name, subset))
				return true;
	}
	return false;
}

static void check_destination(struct cross *c, const char *path, const struct vs_destination *d)
{
	if (!d || !*d->host)
		return;
	if (!host_known(c, d->host))
		say(c, FINDING_WARNING, path, "there is no service '%.200s' [IST0101]", d->host);
	else if (*d->subset && !subset_known(c, d->host, d->subset))
		say(c, FINDING_WARNING, path, "there is no DestinationRule with the subset '%.60s' of '%.200s' [IST0101]", d->subset, d->host);
}

static void check_targets(struct cross *c, const char *path, const struct vs_target *v, int n)
{
	for (int i = 0; i < n; i++)
		check_destination(c, path, v[i].destination);
}

/* Matches every request. */
static bool takes_all(const struct vs_http *h)
{
	for (int i = 0; i < h->match.n; i++) {
		const struct vs_match *m = &h->match.v[i];
		bool any_path = m->uri.kind == STRING_ANY || (m->uri.kind == STRING_PREFIX && !strcmp(m->uri.text, "/")) ||
				(m->uri.kind == STRING_REGEX && (!strcmp(m->uri.text, ".*") || !strcmp(m->uri.text, "/.*")));

		if (any_path && m->scheme.kind + m->method.kind + m->authority.kind == 0 && !m->headers.n && !m->without_headers.n &&
		    !m->query_params.n && !m->port && !m->source_labels.n && !*m->source_ns && !m->gateways.n)
			return true;
	}
	return h->match.n == 0;
}

static void check_routes(struct cross *c, const struct virtual_service *v)
{
	char path[64];
	int all = -1;

	for (int i = 0; i < v->http.n; i++) {
		const struct vs_http *h = &v->http.v[i];

		snprintf(path, sizeof(path), v->gateway_api ? "spec.rules[%d]" : "spec.http[%d]", i);
		check_targets(c, path, h->route.v, h->route.n);
		for (int k = 0; k < h->mirrors.n; k++)
			check_destination(c, path, h->mirrors.v[k].destination);
		if (all >= 0 && !v->gateway_api)
			say(c, FINDING_WARNING, path, "is never reached, since http[%d] takes all requests [IST0130]", all);
		else if (takes_all(h))
			all = i;
	}
	for (int i = 0; i < v->tls.n; i++)
		check_targets(c, "spec.tls", v->tls.v[i].route.v, v->tls.v[i].route.n);
	for (int i = 0; i < v->tcp.n; i++)
		check_targets(c, "spec.tcp", v->tcp.v[i].route.v, v->tcp.v[i].route.n);
}

static bool in_mesh(const struct virtual_service *v)
{
	for (int i = 0; i < v->gateways.n; i++)
		if (!strcmp(v->gateways.v[i], "mesh"))
			return !v->gateway_api;
	return !v->gateways.n && !v->gateway_api;
}

/* An older one that has a host of v, too. */
static void check_conflicts(struct cross *c, const struct virtual_service *v)
{
	for (size_t i = 0; in_mesh(v) && i < c->set->n_resources; i++) {
		const struct virtual_service *o = (const struct virtual_service *)c->set->resources[i];

		if (o->r.kind != RESOURCE_VIRTUAL_SERVICE || o == v || !in_mesh(o) || resource_compare(&o->r, &v->r) > 0)
			continue;
		for (int k = 0; k < v->hosts.n; k++) {
			for (int h = 0; h < o->hosts.n; h++)
				if (!strcmp(o->hosts.v[h], v->hosts.v[k]))
					say(c, FINDING_WARNING, "spec.hosts", "'%.200s' is the older %s/%s's where both are visible: this one does not count there [IST0109]",
					    v->hosts.v[k], o->r.ns, o->r.name);
		}
	}
}

static void check_delegates(struct cross *c, const struct virtual_service *v)
{
	for (int i = 0; i < v->http.n; i++) {
		const struct vs_delegate *d = v->http.v[i].delegate;
		bool there = !d;

		for (size_t k = 0; !there && k < c->set->n_resources; k++) {
			const struct virtual_service *o = (const struct virtual_service *)c->set->resources[k];

			there = o->r.kind == RESOURCE_VIRTUAL_SERVICE && !strcmp(o->r.name, d->name) && !strcmp(o->r.ns, *d->ns ? d->ns : v->r.ns) && !o->hosts.n;
		}
		if (!there)
			say(c, FINDING_WARNING, "spec.http", "there is no delegate '%.80s/%.80s' [IST0101]", *d->ns ? d->ns : v->r.ns, d->name);
	}
}

/* --- selectors --- */

static void check_selector(struct cross *c, const char *path, const char *ns, const struct label *v, int n)
{
	bool root = !strcmp(ns, c->in->settings->root_ns) && c->o->kind != CONF_SIDECAR;

	for (size_t i = 0; n && i < c->set->n_workloads; i++) {
		const struct workload *w = c->set->workloads[i];

		if ((root || !strcmp(w->ns, ns)) && labels_match(v, n, w->labels, w->n_labels))
			return;
	}
	if (n)
		say(c, FINDING_WARNING, path, "selects no workload [IST0127]");
}

static void check_sidecar(struct cross *c, const struct sidecar *s)
{
	bool selects = s->selector && s->selector->labels.n;

	if (selects)
		check_selector(c, "spec.workloadSelector", s->r.ns, s->selector->labels.v, s->selector->labels.n);
	for (size_t i = 0; i < c->set->n_resources; i++) {
		const struct sidecar *o = (const struct sidecar *)c->set->resources[i];
		bool other = o->r.kind == RESOURCE_SIDECAR && o != s && !strcmp(o->r.ns, s->r.ns) && resource_compare(&o->r, &s->r) < 0;

		if (other && !selects && !(o->selector && o->selector->labels.n))
			say(c, FINDING_WARNING, "spec.workloadSelector", "the older Sidecar '%s' has none either: this one does not count [IST0111]", o->r.name);
		if (other && selects && o->selector && labels_match(o->selector->labels.v, o->selector->labels.n, s->selector->labels.v, s->selector->labels.n))
			say(c, FINDING_WARNING, "spec.workloadSelector", "the older Sidecar '%s' selects the same workloads: this one does not count for them [IST0110]", o->r.name);
	}
}

/* --- DestinationRule, and what names providers --- */

static void check_rule(struct cross *c, const struct destination_rule *d)
{
	if (*d->host != '*' && !host_known(c, d->host))
		say(c, FINDING_WARNING, "spec.host", "there is no service '%.200s' [IST0101]", d->host);
	if (d->selector && d->selector->labels.n)
		check_selector(c, "spec.workloadSelector", d->r.ns, d->selector->labels.v, d->selector->labels.n);
}

static void check_provider(struct cross *c, const char *name)
{
	const struct mesh_settings *s = c->in->settings;

	for (int i = 0; i < s->n_providers; i++)
		if (!strcmp(s->providers[i].name, name))
			return;
	say(c, FINDING_WARNING, "spec.provider", "MeshConfig has no extensionProvider '%.80s' for CUSTOM: what the policy matches is denied", name);
}

static bool tele_provider_known(const struct cross *c, const char *name)
{
	const struct mesh_config *m = (const struct mesh_config *)c->in->config;

	for (int i = 0; m && i < m->tele.providers.n; i++)
		if (!strcmp(m->tele.providers.v[i].name, name))
			return true;
	return !strcmp(name, "prometheus") || !strcmp(name, "envoy");
}

static void check_tele_providers(struct cross *c, const char *path, const char *const *v, int n)
{
	for (int i = 0; i < n; i++)
		if (!tele_provider_known(c, v[i]))
			say(c, FINDING_WARNING, path, "MeshConfig has no extensionProvider '%.80s'", v[i]);
}

static void check_telemetry(struct cross *c, const struct telemetry *t)
{
	check_selector(c, "spec.selector", t->r.ns, t->selector.v, t->selector.n);
	for (int i = 0; i < t->metrics.n; i++)
		check_tele_providers(c, "spec.metrics", t->metrics.v[i].providers.v, t->metrics.v[i].providers.n);
	for (int i = 0; i < t->logging.n; i++)
		check_tele_providers(c, "spec.accessLogging", t->logging.v[i].providers.v, t->logging.v[i].providers.n);
	for (int i = 0; i < t->tracing.n; i++)
		check_tele_providers(c, "spec.tracing", t->tracing.v[i].providers.v, t->tracing.v[i].providers.n);
}

/* Whether rule r of the policy is about this port, and asks of it what only requests have. */
static bool asks_bytes(const struct policy_rule *r, uint16_t port)
{
	for (int i = 0; i < r->n_clauses; i++) {
		bool meant = false;

		for (int k = 0; k < r->clauses[i].n_matches; k++) {
			const struct policy_match *m = &r->clauses[i].matches[k];

			meant = meant || !m->n_dest_ports[0];
			for (int p = 0; p < m->n_dest_ports[0]; p++)
				meant = meant || m->dest_ports[0][p] == port;
		}
		if (!meant)
			return false;
	}
	return conf_rule_has_http(r);
}

/* A service whose port carries bytes, by a policy of requests that is bound to it. */
static void check_bytes(struct cross *c, const struct policy *p, const struct service *s)
{
	char path[32];

	for (int i = 0; i < s->n_ports; i++)
		for (int r = 0; s->ports[i].app == PROTOCOL_TCP && r < p->n_rules; r++) {
			if (!asks_bytes(&p->rules[r], s->ports[i].port))
				continue;
			snprintf(path, sizeof(path), "spec.rules[%d]", r);
			if (p->action == POLICY_ALLOW)
				say(c, FINDING_WARNING, path, "port %u of '%.200s' carries bytes: what asks for HTTP never matches there, as in Istio", s->ports[i].port, s->hostname);
			else if (p->action == POLICY_DENY)
				say(c, FINDING_WARNING, path, "port %u of '%.200s' carries bytes: there the rule denies without regard to what is HTTP's, as in Istio; "
				    "name the ports that are meant", s->ports[i].port, s->hostname);
		}
}

static int compare_name(const char *name, const char *ns, const struct service *s)
{
	int diff = strcmp(name, s->name);

	return diff ? diff : strcmp(ns, s->ns);
}

static int by_name(const void *a, const void *b)
{
	const struct service *x = *(struct service *const *)a;

	return compare_name(x->name, x->ns, *(struct service *const *)b);
}

static size_t first_named(const struct cross *c, const char *name, const char *ns)
{
	size_t lo = 0, hi = c->set->n_services;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (compare_name(name, ns, c->named[mid]) > 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void check_bound(struct cross *c, const struct policy *p)
{
	size_t n = c->set->n_services;

	for (int i = 0; i < p->n_targets; i++) {
		const struct target_ref *t = &p->targets[i];

		if (t->kind < TARGET_SERVICE || !n)
			continue;
		if (!c->named) {
			c->named = memcpy(xmalloc(n * sizeof(*c->named)), c->set->services, n * sizeof(*c->named));
			qsort(c->named, n, sizeof(*c->named), by_name);
		}
		for (size_t k = first_named(c, t->name, p->ns); k < n && !compare_name(t->name, p->ns, c->named[k]); k++)
			if (c->named[k]->core == (t->kind == TARGET_SERVICE))
				check_bytes(c, p, c->named[k]);
	}
}

static void check_policy(struct cross *c, const struct policy *p)
{
	check_selector(c, "spec.selector", p->ns, p->selector, p->n_selector);
	check_bound(c, p);
	if (p->action == POLICY_CUSTOM && !p->broken)
		check_provider(c, p->provider);
}

static void check_virtual_service(struct cross *c, const struct virtual_service *v)
{
	check_routes(c, v);
	check_conflicts(c, v);
	check_delegates(c, v);
	for (int i = 0; v->gateway_api && i < v->parents.n; i++)
		if (*v->parents.v[i].host && !host_known(c, v->parents.v[i].host))
			say(c, FINDING_WARNING, "spec.parentRefs", "there is no service '%.200s' [IST0101]", v->parents.v[i].host);
}

static void check_resource(struct cross *c, const struct resource *r)
{
	if (r->kind == RESOURCE_VIRTUAL_SERVICE)
		check_virtual_service(c, (const struct virtual_service *)r);
	else if (r->kind == RESOURCE_DESTINATION_RULE)
		check_rule(c, (const struct destination_rule *)r);
	else if (r->kind == RESOURCE_SIDECAR)
		check_sidecar(c, (const struct sidecar *)r);
	else if (r->kind == RESOURCE_TELEMETRY)
		check_telemetry(c, (const struct telemetry *)r);
}

void crosscheck(const struct link_input *in, const struct link_set *set)
{
	struct cross c = { .in = in, .set = set };

	for (size_t i = 0; i < set->n_services; i++)
		map_put(&c.hosts, str_c(set->services[i]->hostname), set->services[i]);
	for (size_t i = 0; i < in->n; i++) {
		c.o = in->objs[i];
		if (conf_is_resource(c.o))
			check_resource(&c, c.o->u.resource);
		else if (c.o->kind == CONF_AUTHZ && !c.o->skipped)
			check_policy(&c, c.o->u.policy);
		else if (c.o->kind == CONF_PEER_AUTHN && !c.o->skipped)
			check_selector(&c, "spec.selector", c.o->u.peer_authn->ns, c.o->u.peer_authn->selector, c.o->u.peer_authn->n_selector);
		else if (c.o->kind == CONF_REQUEST_AUTHN && !c.o->skipped)
			check_selector(&c, "spec.selector", c.o->u.request_authn->ns, c.o->u.request_authn->selector, c.o->u.request_authn->n_selector);
	}
	map_done(&c.hosts);
	free(c.named);
}
