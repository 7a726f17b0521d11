/* SPDX-License-Identifier: Apache-2.0 */
/* Services: endpoints, addresses, and which of several with one host name counts. */
#include "source/link_service.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/map.h"

#define SANS_MAX 32

/* One host of one ServiceEntry or Service. */
struct cand {
	const struct conf_service *from;
	const struct conf_obj *obj;
	const char *host;
	bool out;                  /* another one of the namespace has this host */
	bool canonical;
	uint16_t slot;             /* of the automatic address; 0: none */
};

struct build {
	const struct link_input *in;
	struct gates *gates;
	struct map old;            /* services of the last state by key */
	struct link_set *ret;
	struct select sel;
	struct cand *v;
	size_t n;
	struct arena a;            /* of the present service */
	/* the present service */
	const struct cand *cand;
	struct endpoints *eps;
	bool told;                 /* a missing port name was reported */
};

static void warn(struct build *b, const struct cand *c, const char *path, const char *text, const char *what)
{
	struct finding at = { .level = FINDING_WARNING, .file = b->in->paths[c->obj->file], .line = c->obj->line,
			      .kind = conf_kind_name(c->obj->kind), .ns = c->from->ns, .name = c->from->name, .path = path };

	report_add(b->in->report, &at, "%s '%s'", text, what);
}

/* --- who wins a host name --- */

/* By host; then a core Service before ServiceEntries, then the oldest, by time, name, namespace. */
static int by_host(const void *a, const void *b)
{
	const struct cand *x = a, *y = b;
	int c = strcmp(x->host, y->host);

	if (!c)
		c = (int)y->from->core - (int)x->from->core;
	if (!c && x->from->created != y->from->created)
		c = x->from->created < y->from->created ? -1 : 1;
	if (!c)
		c = strcmp(x->from->name, y->from->name);
	return c ? c : strcmp(x->from->ns, y->from->ns);
}

static void pick_winners(struct build *b)
{
	for (size_t i = 0, end; i < b->n; i = end) {
		for (end = i; end < b->n && !strcmp(b->v[end].host, b->v[i].host); end++) {
			for (size_t k = i; k < end && !b->v[end].out; k++) {
				if (strcmp(b->v[k].from->ns, b->v[end].from->ns))
					continue;
				b->v[end].out = true;
				if (b->v[end].from != b->v[k].from)
					warn(b, &b->v[end], "spec.hosts", "left out, since another object of the namespace has the host",
					     b->v[end].host);
			}
		}
		b->v[i].canonical = true;
	}
}

/* --- automatic addresses --- */

static int by_key(const void *a, const void *b)
{
	const struct cand *x = *(struct cand *const *)a, *y = *(struct cand *const *)b;
	int c = strcmp(x->from->ns, y->from->ns);

	return c ? c : strcmp(x->host, y->host);
}

static void give_addresses(struct build *b)
{
	struct cand **want = xcalloc(b->n + 1, sizeof(struct cand *));
	const char **keys = xcalloc(b->n + 1, sizeof(char *));
	uint16_t *slots = xcalloc(b->n + 1, sizeof(*slots));
	struct arena a = { 0 };
	size_t n = 0;

	for (size_t i = 0; i < b->n; i++) {
		if (!b->v[i].out && b->v[i].from->auto_vip && !b->v[i].from->n_vips &&
		    (*b->v[i].host != '*' || b->v[i].from->resolution == RESOLUTION_DYNAMIC_DNS))
			want[n++] = &b->v[i];
	}
	qsort(want, n, sizeof(*want), by_key);
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(want[i]->from->ns) + strlen(want[i]->host) + 2;
		char *text = arena_alloc(&a, len);

		snprintf(text, len, "%s/%s", want[i]->from->ns, want[i]->host);
		keys[i] = text;
	}
	link_vip_slots(keys, n, slots);
	for (size_t i = 0; i < n; i++) {
		want[i]->slot = slots[i];
		if (!slots[i])
			warn(b, want[i], "spec.addresses", "no automatic address is left; give one to", want[i]->host);
	}
	arena_done(&a);
	free(want);
	free(keys);
	free(slots);
}

/* --- endpoints --- */

static uint16_t port_named(const struct conf_port *v, int n, const char *name)
{
	for (int i = 0; *name && i < n; i++) {
		if (!strcmp(v[i].name, name))
			return v[i].port;
	}
	return 0;
}

/* The ports of this endpoint that differ from the service's own: how many, -1 when it lacks a named port. */
static int port_overrides(struct build *b, const struct conf_port *v, int n, bool pod, struct endpoint_port *to)
{
	const struct conf_service *s = b->cand->from;
	int k = 0;

	for (int i = 0; i < s->n_ports; i++) {
		const struct conf_service_port *p = &s->ports[i];
		bool by_target = *p->target_name;
		uint16_t target = port_named(v, n, by_target ? p->target_name : p->name);

		if (by_target && !target) {
			if (!b->told)
				warn(b, b->cand, "spec.ports.targetPort", "endpoints are left out that have no port named", p->target_name);
			b->told = true;
			return -1;
		}
		if (target && (by_target || !s->core || !pod))
			to[k++] = (struct endpoint_port){ p->port, target };
	}
	return k;
}

static void add_endpoint(struct build *b, struct workload *w, const struct conf_port *v, int n, bool pod)
{
	struct endpoint_port *ports = arena_alloc(&b->a, (size_t)b->cand->from->n_ports * sizeof(*ports));
	int n_ports = port_overrides(b, v, n, pod, ports);

	if (n_ports >= 0)
		endpoints_put(&b->eps, w, ports, n_ports);
}

static void on_selected(const struct conf_obj *o, void *arg)
{
	add_endpoint(arg, o->placed ? o->placed : o->u.workload, o->ports ? o->ports->v : NULL, o->ports ? o->ports->n : 0, o->kind == CONF_POD);
}

static void find_endpoints(struct build *b)
{
	const struct conf_service *s = b->cand->from;

	b->eps = endpoints_new();
	b->told = false;
	for (int i = 0; i < s->n_endpoints; i++)
		add_endpoint(b, s->endpoints[i].placed ? s->endpoints[i].placed : s->endpoints[i].workload, s->endpoints[i].ports, s->endpoints[i].n_ports, false);
	select_each(&b->sel, s->ns, s->selector, s->n_selector, on_selected, b);
}

/* --- one service --- */

static enum conf_distribution namespace_distribution(const struct link_input *in, const char *ns)
{
	for (size_t i = in->n; i-- > 0 && in->objs[i]->kind == CONF_NAMESPACE;) {   /* namespaces are last */
		if (!in->objs[i]->bad && !strcmp(in->objs[i]->u.ns->name, ns))
			return in->objs[i]->u.ns->distribution;
	}
	return CONF_DIST_UNSET;
}

static void set_balancing(struct build *b, const struct conf_service *s, struct service *t)
{
	static const enum lb_scope near[] = { LB_NETWORK, LB_REGION, LB_ZONE, LB_SUBZONE, LB_NODE };
	enum conf_distribution d = s->distribution;

	t->allow_unhealthy = s->allow_unhealthy || s->passthrough;
	if (d == CONF_DIST_UNSET)
		d = namespace_distribution(b->in, s->ns);
	if (s->passthrough) {
		t->lb_mode = LB_PASSTHROUGH;
	} else if (s->local_only) {
		t->lb_mode = LB_STRICT;
		t->scopes[t->n_scopes++] = LB_NODE;
	} else if (d == CONF_DIST_ZONE || d == CONF_DIST_NODE) {
		t->lb_mode = LB_FAILOVER;
		t->n_scopes = d == CONF_DIST_ZONE ? 3 : 5;
		memcpy(t->scopes, near, sizeof(near));
	}
}

static void set_addresses(struct build *b, const struct cand *c, struct service *t)
{
	int n = c->from->n_vips, k = 0;
	struct vip *v = arena_alloc(&b->a, (size_t)(n + 2) * sizeof(*v));

	for (int i = 0; i < n; i++)
		v[k++] = (struct vip){ b->in->settings->network, c->from->vips[i] };
	if (c->slot) {
		v[k++] = (struct vip){ b->in->settings->network, link_vip4(c->slot) };
		v[k++] = (struct vip){ b->in->settings->network, link_vip6(c->slot) };
	}
	t->vips = v;
	t->n_vips = k;
}

/* The namespace's canary counts where its waypoint does. */
static void set_waypoint(struct build *b, const struct cand *c, struct service *t)
{
	const struct conf_namespace *space = c->from->waypoint.name ? NULL : map_get(&b->gates->spaces, str_c(c->from->ns));
	const struct conf_canary *own = &c->from->canary, *named = own->at.name || !space ? own : &space->canary;
	const struct conf_canary *weighed = own->weighed || !space ? own : &space->canary;
	const struct gateway *canary;
	struct weighted_gateway *v;

	if (c->from->is_waypoint || gates_service(b->gates, t->key))
		return;
	t->waypoint = gates_waypoint(b->gates, c->obj, c->from->ns, &c->from->waypoint, false);
	/* Without weight, too: clients that know of an earlier one still come. */
	canary = t->waypoint && named->at.name && !weighed->bad ? gates_waypoint(b->gates, c->obj, c->from->ns, &named->at, false) : NULL;
	if (!canary)
		return;
	v = arena_alloc(&b->a, 2 * sizeof(*v));
	v[0] = (struct weighted_gateway){ *t->waypoint, 100 - weighed->percent };
	v[1] = (struct weighted_gateway){ *canary, weighed->percent };
	t->waypoints = v;
	t->n_waypoints = 2;
}

/* Who may answer behind the gateway of another network: what the service says, else the identities of the endpoints there. */
static void set_sans(struct build *b, struct service *t)
{
	const char **v;
	int n = 0;

	if (t->n_sans)
		return;
	v = arena_alloc(&b->a, (size_t)t->endpoints->n * sizeof(*v));
	for (int i = 0; i < t->endpoints->n; i++) {
		const struct workload *w = endpoints_at(t->endpoints, i)->workload;
		int k = 0;

		if (!strcmp(w->network, b->in->settings->network))
			continue;
		while (k < n && strcmp(v[k], w->identity))
			k++;
		if (k == n && n < SANS_MAX)
			v[n++] = w->identity;
	}
	t->sans = v;
	t->n_sans = n;
}

static bool same_text(const char *a, const char *b) { return !strcmp(a, b); }

static bool same_ports(const struct service_port *a, int n, const struct service_port *b, int m)
{
	if (n != m)
		return false;
	for (int i = 0; i < n; i++) {
		if (a[i].port != b[i].port || a[i].target != b[i].target || !same_text(a[i].name, b[i].name) ||
		    !same_text(a[i].protocol, b[i].protocol))
			return false;
	}
	return true;
}

static bool same_endpoint(const struct endpoint *a, const struct endpoint *b)
{
	return a->workload == b->workload && a->n_ports == b->n_ports &&
	       (!a->n_ports || !memcmp(a->ports, b->ports, (size_t)a->n_ports * sizeof(*a->ports)));
}

/* b: a template. */
static bool same_service(const struct service *a, const struct service *b)
{
	bool same = same_text(a->name, b->name) && a->n_vips == b->n_vips && a->n_sans == b->n_sans &&
		    a->endpoints->n == b->endpoints->n && a->lb_mode == b->lb_mode && a->n_scopes == b->n_scopes &&
		    a->allow_unhealthy == b->allow_unhealthy && a->canonical == b->canonical &&
		    a->external == b->external && a->core == b->core && a->headless == b->headless && a->resolution == b->resolution && a->created == b->created &&
		    a->n_export_to == b->n_export_to && gateway_eq(a->waypoint, b->waypoint) && a->n_waypoints == b->n_waypoints &&
		    same_ports(a->ports, a->n_ports, b->ports, b->n_ports);

	for (int i = 0; same && i < a->n_waypoints; i++)
		same = gateway_eq(&a->waypoints[i].gateway, &b->waypoints[i].gateway) && a->waypoints[i].weight == b->waypoints[i].weight;
	for (int i = 0; same && i < a->n_export_to; i++)
		same = same_text(a->export_to[i], b->export_to[i]);
	for (int i = 0; same && i < a->n_scopes; i++)
		same = a->scopes[i] == b->scopes[i];
	for (int i = 0; same && i < a->n_vips; i++)
		same = same_text(a->vips[i].network, b->vips[i].network) && a->vips[i].cidr.bits == b->vips[i].cidr.bits &&
		       ip_eq(&a->vips[i].cidr.ip, &b->vips[i].cidr.ip);
	for (int i = 0; same && i < a->n_sans; i++)
		same = same_text(a->sans[i], b->sans[i]);
	for (int i = 0; same && i < a->endpoints->n; i++)
		same = same_endpoint(endpoints_at(a->endpoints, i), endpoints_at(b->endpoints, i));
	return same;
}

static struct service *make(struct build *b, const struct cand *c)
{
	const struct conf_service *s = c->from;
	struct service t = { .name = s->name, .ns = s->ns, .hostname = c->host, .sans = s->sans, .n_sans = s->n_sans,
			     .canonical = c->canonical, .external = s->external, .core = s->core, .headless = s->headless,
			     .wildcard = *c->host == '*', .resolution = s->resolution, .export_to = s->export_to,
			     .n_export_to = s->n_export_to, .created = s->created };
	struct service_port *ports = arena_alloc(&b->a, (size_t)s->n_ports * sizeof(*ports));
	size_t len = strlen(s->ns) + strlen(c->host) + 2;
	char *key = arena_alloc(&b->a, len);
	struct service *old, *new;

	snprintf(key, len, "%s/%s", s->ns, c->host);
	t.key = key;
	for (int i = 0; i < s->n_ports; i++)
		ports[i] = (struct service_port){ s->ports[i].port, s->ports[i].target, s->ports[i].name, s->ports[i].protocol, false,
						 s->ports[i].app };
	t.ports = ports;
	t.n_ports = s->n_ports;
	b->cand = c;
	find_endpoints(b);
	t.endpoints = b->eps;
	set_addresses(b, c, &t);
	set_balancing(b, s, &t);
	set_waypoint(b, c, &t);
	set_sans(b, &t);
	old = map_get(&b->old, str_c(key));
	new = old && same_service(old, &t) ? service_ref(old) : service_new(&t);
	endpoints_unref(b->eps);
	return new;
}

void link_services(const struct link_input *in, struct gates *gates, const struct link_set *old, struct link_set *ret)
{
	struct build b = { .in = in, .gates = gates, .ret = ret };

	for (size_t i = 0; i < in->n; i++) {
		const struct conf_obj *o = in->objs[i];

		if ((o->kind == CONF_SERVICE_ENTRY || o->kind == CONF_SERVICE) && !o->bad && !o->skipped)
			b.n += (size_t)o->u.service->n_hosts;
	}
	b.v = xcalloc(b.n + 1, sizeof(*b.v));
	ret->services = xcalloc(b.n + 1, sizeof(struct service *));
	b.n = 0;
	for (size_t i = 0; i < in->n; i++) {
		const struct conf_obj *o = in->objs[i];

		if ((o->kind != CONF_SERVICE_ENTRY && o->kind != CONF_SERVICE) || o->bad || o->skipped)
			continue;
		for (int k = 0; k < o->u.service->n_hosts; k++)
			b.v[b.n++] = (struct cand){ .from = o->u.service, .obj = o, .host = o->u.service->hosts[k] };
	}
	if (b.n)
		select_init(&b.sel, in);
	qsort(b.v, b.n, sizeof(*b.v), by_host);
	pick_winners(&b);
	give_addresses(&b);
	for (size_t i = 0; i < old->n_services; i++)
		map_put(&b.old, str_c(old->services[i]->key), old->services[i]);
	for (size_t i = 0; i < b.n; i++) {
		if (!b.v[i].out)
			ret->services[ret->n_services++] = make(&b, &b.v[i]);
		arena_reset(&b.a);
	}
	map_done(&b.old);
	select_done(&b.sel);
	arena_done(&b.a);
	free(b.v);
}
