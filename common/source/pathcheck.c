/* SPDX-License-Identifier: Apache-2.0 */
#include "source/pathcheck.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/map.h"
#include "model/destinationrule.h"
#include "model/telemetry.h"
#include "model/virtualservice.h"
#include "model/waypoint.h"
#include "policy/authz.h"
#include "source/path.h"

/* So many, and one of them to name. */
struct some { int n; const struct workload *first; };

struct check {
	const struct mesh *m;
	const struct confdir *c;
	struct arena *mem;
	struct report *report;
	enum mesh_mode asked;
	const struct workload **ambient;     /* behind ztunnel, by name */
	struct map is_ambient;       /* the same by uid */
	struct map guarded;          /* services with a waypoint, by the key of their object */
	int n_ambient, cap;
	struct some sidecars;
	const struct gateway *asked_of;      /* a waypoint, and who it is; "": nobody */
	const char *identity;
	bool mixed;
	bool others;                 /* sidecars that speak no HBONE */
	bool skipped;                /* sidecars go past waypoints */
};

static int by_name(const void *a, const void *b)
{
	const struct workload *x = *(const struct workload *const *)a, *y = *(const struct workload *const *)b;
	int d = strcmp(x->ns, y->ns);

	return d ? d : strcmp(x->name, y->name);
}

static void count(struct some *s, const struct workload *w)
{
	if (!s->n++ || by_name(&w, &s->first) < 0)
		s->first = w;
}

static void say(struct check *c, const char *kind, const char *ns, const char *name, const char *where, const char *path, const char *fmt, ...)
	__attribute__((format(printf, 7, 8)));
static void say(struct check *c, const char *kind, const char *ns, const char *name, const char *where, const char *path, const char *fmt, ...)
{
	const char *colon = strrchr(where, ':');
	struct finding at = { .level = FINDING_WARNING, .kind = kind, .ns = ns, .name = name, .path = path };
	char text[700];
	uint64_t line = 0;
	va_list ap;

	if (colon && str_to_u64(str_c(colon + 1), &line))
		at.line = (unsigned)line;
	at.file = arena_dup(c->mem, (struct str){ where, colon ? (size_t)(colon - where) : strlen(where) });
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	report_add(c->report, &at, "%s", text);
}

/* --- who is there --- */

static bool census(struct workload *w, void *arg)
{
	struct check *c = arg;
	enum path_proxy p = path_stands_before(c->m, w);

	if (p == PATH_SIDECAR)
		count(&c->sidecars, w);
	c->others = c->others || (p == PATH_SIDECAR && w->tunnel != TUNNEL_HBONE);
	if (p != PATH_ZTUNNEL)
		return true;
	if (c->n_ambient == c->cap) {
		c->cap = c->cap ? 2 * c->cap : 64;
		c->ambient = xrealloc(c->ambient, (size_t)c->cap * sizeof(*c->ambient));
	}
	c->ambient[c->n_ambient++] = w;
	map_put(&c->is_ambient, str_c(w->uid), w);
	return true;
}

/* --- policies by selector, on workloads whose proxy sees no requests --- */

static struct some ambient_in(const struct check *c, const char *ns, const struct label *selector, int n)
{
	bool root = !strcmp(ns, mesh_settings(c->m)->root_ns);
	struct some met = { 0 };

	for (int i = 0; i < c->n_ambient; i++) {
		const struct workload *w = c->ambient[i];

		if ((root || !strcmp(ns, w->ns)) && labels_match(selector, n, w->labels, w->n_labels))
			count(&met, w);
	}
	return met;
}

static bool rule_has_http(const struct policy_rule *r)
{
	for (int i = 0; i < r->n_clauses; i++)
		for (int k = 0; k < r->clauses[i].n_matches; k++)
			for (int j = 0; j < r->clauses[i].matches[k].n_more; j++)
				if (ATTR_IS_HTTP(r->clauses[i].matches[k].more[j].attr))
					return true;
	return false;
}

static const char *without_requests(const struct policy *p)
{
	bool http = false;

	for (int i = 0; i < p->n_rules; i++)
		http = http || rule_has_http(&p->rules[i]);
	if (p->action == POLICY_CUSTOM || p->action == POLICY_AUDIT)
		return "it has no effect";
	if (!http)
		return NULL;
	return p->action == POLICY_DENY ? "a rule of HTTP attributes alone denies nothing" : "a rule with HTTP attributes allows nothing";
}

static bool check_selected(struct policy *p, void *arg)
{
	struct check *c = arg;
	const char *what = p->broken || p->scope == POLICY_TARGETS ? NULL : without_requests(p);
	struct some met = { 0 };

	if (!what || (c->asked == MODE_ZTUNNEL && !c->mixed))
		return true;
	met = ambient_in(c, p->ns, p->selector, p->n_selector);
	if (met.n)
		say(c, "AuthorizationPolicy", p->ns, p->name, p->where, "spec", "%d workloads that it reaches (%s/%s) are behind ztunnel, which sees no requests: %s there. "
		    "Bind it to their waypoint with targetRefs", met.n, met.first->ns, met.first->name, what);
	return true;
}

static bool check_selected_authn(struct request_authn *a, void *arg)
{
	struct check *c = arg;
	struct some met = { 0 };

	if (a->broken || a->n_targets)
		return true;
	met = ambient_in(c, a->ns, a->selector, a->n_selector);
	if (met.n)
		say(c, "RequestAuthentication", a->ns, a->name, a->where, "spec", "%d workloads that it reaches (%s/%s) are behind ztunnel, which reads no tokens: all requests pass there. "
		    "Bind it to their waypoint with targetRefs", met.n, met.first->ns, met.first->name);
	return true;
}

/* --- routes that nobody applies --- */

struct route_for { struct check *c; const struct virtual_service *v; const struct vs_parent *entry; bool (*fn)(struct service *s, void *arg); bool said; };

static const struct workload *client_of(const struct check *c, const struct service *s)
{
	for (int i = 0; i < c->n_ambient; i++)
		if (!endpoints_find(s->endpoints, str_c(c->ambient[i]->uid)))
			return c->ambient[i];
	return NULL;
}

static bool route_without_waypoint(struct service *s, void *arg)
{
	struct route_for *r = arg;
	struct check *c = r->c;
	const struct resource *o = &r->v->r;

	const struct workload *w = service_has_waypoint(s) || r->said ? NULL : client_of(c, s);

	if (!w)
		return true;
	r->said = true;
	say(c, o->origin, o->ns, o->name, o->where, "spec", "%s: clients behind ztunnel (%s/%s) go to '%s' by connections, and it has no waypoint%s. Give it one: istio.io/use-waypoint",
	    c->sidecars.n ? "it counts for clients with a sidecar alone" : "nobody applies it", w->ns, w->name, s->hostname,
	    r->v->http.n ? ": no match, fault, retry or timeout is applied" : "");
	return true;
}

/* A waypoint takes routes of its own namespace and of the service's, and one kind before the other. */
static bool route_at_waypoint(struct service *s, void *arg)
{
	struct route_for *r = arg;
	const struct resource *o = &r->v->r;
	struct resource **all;
	int n;

	if (!service_has_waypoint(s) || r->said || r->v->gateway_api)
		return true;
	all = mesh_resources(r->c->m, RESOURCE_VIRTUAL_SERVICE, str_c(""), &n);
	for (int i = 0; i < n && !r->said; i++) {
		const struct virtual_service *g = (const struct virtual_service *)(const void *)all[i];

		for (int k = 0; g->gateway_api && !strcmp(g->r.ns, s->ns) && k < g->hosts.n && !r->said; k++) {
			r->said = !strcmp(g->hosts.v[k], s->hostname);
			if (r->said)
				say(r->c, o->origin, o->ns, o->name, o->where, "spec.hosts", "at the waypoint of '%s' the %s %s/%s goes first: this one does not count there. Make one of both",
				    s->hostname, g->r.origin, g->r.ns, g->r.name);
		}
	}
	free(all);
	return true;
}

static bool of_entry(struct service *s, void *arg)
{
	struct route_for *r = arg;

	return s->core || strcmp(s->name, r->entry->entry) || strcmp(s->ns, r->entry->entry_ns) || r->fn(s, arg);
}

static void check_virtual_services(struct check *c, bool (*fn)(struct service *s, void *arg))
{
	struct resource **all;
	int n;

	all = mesh_resources(c->m, RESOURCE_VIRTUAL_SERVICE, str_c(""), &n);
	for (int i = 0; i < n; i++) {
		struct route_for r = { .c = c, .v = (const struct virtual_service *)(const void *)all[i], .fn = fn };

		for (int k = 0; k < r.v->hosts.n; k++)
			mesh_each_service_called(c->m, str_c(r.v->hosts.v[k]), fn, &r);
		for (int k = 0; k < r.v->parents.n; k++) {
			r.entry = &r.v->parents.v[k];
			if (*r.entry->entry)
				mesh_each_service(c->m, of_entry, &r);
		}
	}
	free(all);
}

/* --- who answers --- */

struct rule_for { struct check *c; const struct destination_rule *d; };

/* Istio's list of names is empty then, and stands for everybody. Endpoints have names, where there are any. */
static bool nobody_named(struct service *s, void *arg)
{
	struct rule_for *r = arg;
	const char *what = mesh_settings(r->c->m)->stance == STANCE_STRICT ? "it is not called" : "whoever the mesh's roots vouch for does, as in Istio";

	if (!s->n_sans && (s->resolution == RESOLUTION_NONE || s->resolution == RESOLUTION_DYNAMIC_DNS))
		say(r->c, "DestinationRule", r->d->r.ns, r->d->r.name, r->d->r.where, "spec.trafficPolicy.tls", "nothing says who may answer for '%s' in Istio's mutual TLS: %s; give it subjectAltNames",
		    s->hostname, what);
	return true;
}

static void check_destination_rules(struct check *c)
{
	struct resource **all;
	int n;

	all = mesh_resources(c->m, RESOURCE_DESTINATION_RULE, str_c(""), &n);
	for (int i = 0; i < n; i++) {
		struct rule_for r = { c, (const struct destination_rule *)(const void *)all[i] };
		const struct dr_tls *t = r.d->policy ? r.d->policy->tls : NULL;

		if (t && t->mode == DR_TLS_ISTIO_MUTUAL && !t->subject_alt_names.n)
			mesh_each_service_called(c->m, str_c(r.d->host), nobody_named, &r);
	}
	free(all);
}

/* --- what is bound to waypoints --- */

struct bound { const char *kind, *ns, *name, *where; const struct target_ref *targets; int n_targets; bool judges; };
struct use { struct check *c; const struct gateway *at; const char *name; bool there; int services, workloads; };

static bool uses(struct service *s, void *arg)
{
	struct use *u = arg;
	bool is = gateway_eq(s->waypoint, u->at);

	for (int i = 0; i < s->n_waypoints && !is; i++)
		is = s->waypoints[i].weight && gateway_eq(&s->waypoints[i].gateway, u->at);
	u->services += is;
	return true;
}

static bool workload_uses(struct workload *w, void *arg)
{
	struct use *u = arg;

	u->workloads += gateway_eq(w->waypoint, u->at);
	return true;
}

static struct use use_of(struct check *c, const struct waypoint *p)
{
	struct use u = { .c = c, .at = &p->at };

	mesh_each_service(c->m, uses, &u);
	mesh_each_workload(c->m, workload_uses, &u);
	return u;
}

/* "core/ns/name" */
static struct str object_key(bool core, const char *ns, const char *name, char text[700])
{
	int n = snprintf(text, 700, "%d/%.255s/%.255s", core, ns, name);

	return (struct str){ text, (size_t)n };
}

static bool note_guarded(struct service *s, void *arg)
{
	struct check *c = arg;
	char text[700];

	if (service_has_waypoint(s))
		map_put(&c->guarded, str_c(arena_dup(c->mem, object_key(s->core, s->ns, s->name, text))), s);
	return true;
}

static const struct waypoint *waypoint_named(const struct check *c, const char *ns, const char *name)
{
	const struct waypoint *found = NULL;
	struct resource **all;
	int n;

	all = mesh_resources(c->m, RESOURCE_WAYPOINT, str_c(ns), &n);
	for (int i = 0; i < n; i++)
		if (!strcmp(all[i]->name, name))
			found = (const struct waypoint *)(const void *)all[i];
	free(all);
	return found;
}

enum effect { EFFECT_NONE, EFFECT_UNUSED, EFFECT_SOME };

/* NONE: it names nothing, of which the reader of waypoints has told. UNUSED: a waypoint that nobody goes through. */
static enum effect effect_of(struct check *c, const char *ns, const struct target_ref *t)
{
	struct use u = { .c = c };
	const struct waypoint *p;
	char text[700];

	if (t->kind == TARGET_GATEWAY_CLASS)
		return EFFECT_SOME;
	if (t->kind != TARGET_GATEWAY)
		return map_get(&c->guarded, object_key(t->kind == TARGET_SERVICE, ns, t->name, text)) ? EFFECT_SOME : EFFECT_NONE;
	p = waypoint_named(c, ns, t->name);
	if (p)
		u = use_of(c, p);
	return !p ? EFFECT_NONE : u.services + u.workloads ? EFFECT_SOME : EFFECT_UNUSED;
}

static void check_bound(struct check *c, const struct bound *b)
{
	bool some = false;

	for (int i = 0; i < b->n_targets; i++) {
		enum effect e = effect_of(c, b->ns, &b->targets[i]);

		some = some || e == EFFECT_SOME;
		if (e == EFFECT_UNUSED) {
			say(c, b->kind, b->ns, b->name, b->where, "spec.targetRefs", "no service and no workload uses the waypoint '%s': nothing comes to it. "
			    "Label them with istio.io/use-waypoint", b->targets[i].name);
			return;
		}
	}
	if (some && b->judges && c->sidecars.n && c->skipped)
		say(c, b->kind, b->ns, b->name, b->where, "spec.targetRefs", "%d sidecars (%s/%s) go past waypoints, as Istio's do: what they send is not judged by it. "
		    "MESHD_SIDECAR_USE_WAYPOINT=true where all are meshd's, or MESHD_ENFORCEMENT=closed", c->sidecars.n, c->sidecars.first->ns, c->sidecars.first->name);
}

static bool bound_policy(struct policy *p, void *arg)
{
	check_bound(arg, &(struct bound){ "AuthorizationPolicy", p->ns, p->name, p->where, p->targets, p->broken ? 0 : p->n_targets, true });
	return true;
}

static bool bound_authn(struct request_authn *a, void *arg)
{
	check_bound(arg, &(struct bound){ "RequestAuthentication", a->ns, a->name, a->where, a->targets, a->broken ? 0 : a->n_targets, true });
	return true;
}

static bool bound_limit(struct rate_limit *r, void *arg)
{
	check_bound(arg, &(struct bound){ "RateLimit", r->ns, r->name, r->where, r->targets, r->broken ? 0 : r->n_targets, true });
	return true;
}

static void bound_telemetry(struct check *c)
{
	struct resource **all;
	int n;

	all = mesh_resources(c->m, RESOURCE_TELEMETRY, str_c(""), &n);
	for (int i = 0; i < n; i++) {
		const struct telemetry *t = (const struct telemetry *)(const void *)all[i];

		check_bound(c, &(struct bound){ "Telemetry", t->r.ns, t->r.name, t->r.where, t->targets.v, t->targets.n, false });
	}
	free(all);
}

/* --- waypoints themselves --- */

static bool is_ready(struct workload *w, void *arg)
{
	struct use *u = arg;

	u->there = u->there || (w->healthy && mesh_is_gateway(u->c->m, u->at, w));
	return !u->there;
}

static void check_waypoints(struct check *c)
{
	struct resource **all;
	int n;

	all = mesh_resources(c->m, RESOURCE_WAYPOINT, str_c(""), &n);
	for (int i = 0; i < n; i++) {
		const struct waypoint *p = (const struct waypoint *)(const void *)all[i];
		struct use u = use_of(c, p);

		mesh_each_workload(c->m, is_ready, &u);
		if (!u.there && u.services + u.workloads)
			say(c, "Gateway", p->r.ns, p->r.name, p->r.where, "", "no replica of this waypoint is ready: what goes to %d services and %d workloads is refused. "
			    "Run `meshd --mode=waypoint`, and give it a WorkloadEntry or Pod that its Service selects", u.services, u.workloads);
	}
	free(all);
}

/* --- destinations that refuse their waypoint --- */

static bool find_replica(struct workload *w, void *arg)
{
	struct use *u = arg;

	if (!u->there && mesh_is_gateway(u->c->m, u->at, w)) {
		u->there = true;
		u->name = w->identity;
	}
	return !u->there;
}

static uint16_t first_target(const struct service *s, const struct endpoint *e)
{
	uint16_t own = s->n_ports ? endpoint_target(e, s->ports[0].port) : 0;

	return own ? own : !s->n_ports ? 0 : s->ports[0].target ? s->ports[0].target : s->ports[0].port;
}

/* Many services have the same. */
static const char *identity_of(struct check *c, const struct gateway *g)
{
	struct use u = { .c = c, .at = g, .name = "" };

	if (!gateway_eq(c->asked_of, g)) {
		mesh_each_workload(c->m, find_replica, &u);
		c->asked_of = g;
		c->identity = u.name;
	}
	return c->identity;
}

static bool denies_waypoint(struct service *s, void *arg)
{
	struct check *c = arg;
	const char *identity = s->waypoint ? identity_of(c, s->waypoint) : "";
	const char *where;

	for (int i = 0; *identity && i < s->endpoints->n; i++) {
		const struct endpoint *e = endpoints_at(s->endpoints, i);
		struct authz_input in = { .principal = str_c(identity), .dest = { .port = first_target(s, e) } };
		struct authz_verdict v;

		if (!map_get(&c->is_ambient, str_c(e->workload->uid)))
			continue;
		v = authz_judge(c->m, e->workload, &in, NULL, NULL);
		if (v.allowed || (v.policy && v.policy->broken))
			continue;
		where = confdir_where(c->c, s->core, s->ns, s->name, c->mem);
		say(c, s->core ? "Service" : "ServiceEntry", s->ns, s->name, where, "", "its endpoint %s/%s denies what comes from its waypoint (%s%s%s): allow the principal %s there, and judge "
		    "clients at the waypoint", e->workload->ns, e->workload->name, v.rule, v.policy ? ": " : "", v.policy ? v.policy->key : "", identity);
		return true;
	}
	return true;
}

void pathcheck(const struct mesh *m, const struct confdir *dir, enum mesh_mode asked, struct arena *mem, struct report *ret)
{
	struct check c = { .m = m, .c = dir, .mem = mem, .report = ret, .asked = asked, .mixed = pathcheck_mixed(m) };
	struct mesh_settings sidecar = *mesh_settings(m);

	mesh_each_workload(m, census, &c);
	if (c.n_ambient > 1)
		qsort(c.ambient, (size_t)c.n_ambient, sizeof(*c.ambient), by_name);
	sidecar.mode = MODE_SIDECAR;
	c.skipped = sidecar.stance < STANCE_CLOSED && !mesh_through_waypoints(&sidecar, c.others);
	switch (mesh_settings(m)->mode) {
	case MODE_ZTUNNEL:
		mesh_each_service(m, denies_waypoint, &c);
		break;
	case MODE_SIDECAR:
		mesh_each_policy(m, check_selected, &c);
		mesh_each_request_authn(m, check_selected_authn, &c);
		check_virtual_services(&c, route_without_waypoint);
		check_destination_rules(&c);
		break;
	case MODE_WAYPOINT:
		mesh_each_service(m, note_guarded, &c);
		mesh_each_policy(m, bound_policy, &c);
		mesh_each_request_authn(m, bound_authn, &c);
		mesh_each_rate_limit(m, bound_limit, &c);
		bound_telemetry(&c);
		check_virtual_services(&c, route_at_waypoint);
		if (!c.mixed)                    /* else sidecars have the same */
			check_destination_rules(&c);
		check_waypoints(&c);
		break;
	}
	map_done(&c.is_ambient);
	map_done(&c.guarded);
	free(c.ambient);
}

static bool has_sidecar(struct workload *w, void *arg)
{
	struct check *c = arg;

	return !(c->others = path_stands_before(c->m, w) == PATH_SIDECAR);
}

bool pathcheck_mixed(const struct mesh *m)
{
	struct check c = { .m = m };
	int n;

	free(mesh_resources(m, RESOURCE_WAYPOINT, str_c(""), &n));
	if (!n)
		mesh_each_workload(m, has_sidecar, &c);
	return n || c.others;
}
