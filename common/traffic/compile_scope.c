/* SPDX-License-Identifier: Apache-2.0 */
/* What of the mesh a sidecar sees: the Sidecar object that is its, and the services and VirtualServices that its egress imports. */
#include <ctype.h>
#include <stdlib.h>

#include "traffic/compile_int.h"
#include "traffic/dest.h"

/* Hosts of an egress entry in one namespace ("*": any). */
struct host_list { const char **v; int n; };

static const char *lower_in(struct arena *mem, const char *text)
{
	char *s = arena_dup(mem, str_c(text));

	for (char *p = s; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	return s;
}

static const char *lower(struct compile *c, const char *text) { return lower_in(&c->tmp, text); }

/* The oldest with a selector that matches, else the oldest without, else that of the root namespace. */
static const struct sidecar *find_sidecar(struct compile *c)
{
	const struct sidecar *found = NULL;

	for (int round = 0; round < 3 && !found; round++) {
		const char *ns = round < 2 ? c->w->ns : c->set->root_ns;
		struct resource **list;
		int n;

		if (!*ns)
			continue;
		list = mesh_resources(c->m, RESOURCE_SIDECAR, str_c(ns), &n);
		for (int i = 0; i < n && !found; i++) {
			const struct sidecar *s = (const struct sidecar *)list[i];
			bool selects = s->selector && s->selector->labels.n;

			if (selects != (round == 0))
				continue;
			if (!selects || labels_match(s->selector->labels.v, s->selector->labels.n, c->w->labels, c->w->n_labels))
				found = s;
		}
		free(list);
	}
	if (found)
		compile_hold(c, &found->r);
	return found;
}

/* ---- services ---- */

struct gather { struct compile *c; struct service **v; int n, cap; };

static bool visible(struct compile *c, const struct service *s)
{
	if (s->hidden_outside_ns && strcmp(s->ns, c->w->ns))
		return false;
	if (s->n_export_to)
		return export_to_ns(c, s->export_to, s->n_export_to, s->ns);
	return export_to_ns(c, c->mc->service_export_to.v, c->mc->service_export_to.n, s->ns);
}

static bool gather(struct service *s, void *arg)
{
	struct gather *g = arg;

	if (!visible(g->c, s))
		return true;
	if (g->n == g->cap) {
		g->cap = g->cap ? g->cap * 2 : 64;
		g->v = xrealloc(g->v, (size_t)g->cap * sizeof(*g->v));
	}
	g->v[g->n++] = s;
	return true;
}

/* The oldest first, then by name, then by namespace. */
static int service_cmp(const void *a, const void *b)
{
	const struct service *x = *(struct service *const *)a, *y = *(struct service *const *)b;
	int d;

	if (x->created != y->created)
		return x->created < y->created ? -1 : 1;
	d = strcmp(x->name, y->name);
	if (!d)
		d = strcmp(x->ns, y->ns);
	return d ? d : strcmp(x->hostname, y->hostname);
}

static bool has_host(const struct host_list *l, const char *host)
{
	for (int i = 0; i < l->n; i++)
		if (host_within(host, l->v[i]))
			return true;
	return false;
}

struct imports { struct map yes, no; };          /* namespace -> struct host_list */

static void import(struct compile *c, struct map *m, const char *ns, const char *host)
{
	struct host_list *l = map_get(m, str_c(ns));

	if (!l) {
		l = TMP(c, struct host_list, 1);
		map_put(m, str_c(ns), l);
	}
	/* Grows by copying: such lists are short. */
	const char **v = TMP(c, const char *, l->n + 1);

	if (l->n)
		memcpy(v, l->v, (size_t)l->n * sizeof(*v));
	v[l->n++] = host;
	l->v = v;
}

static struct imports imports_of(struct compile *c, const struct scope_egress *e)
{
	struct imports in = { .yes = { 0 } };

	for (int i = 0; e && i < e->hosts.n; i++) {
		struct str host, ns = str_cut(str_c(e->hosts.v[i]), '/', &host);
		bool minus = ns.n > 1 && ns.p[0] == '~';
		const char *name;

		if (ns.n == 1 && ns.p[0] == '~')
			continue;        /* "~/…": none */
		name = arena_dup(&c->tmp, minus ? (struct str){ ns.p + 1, ns.n - 1 } : ns);
		import(c, minus ? &in.no : &in.yes, !strcmp(name, ".") ? c->w->ns : name, lower(c, arena_dup(&c->tmp, host)));
	}
	if (!e)
		import(c, &in.yes, "*", "*");
	return in;
}

static bool imported(const struct imports *in, const char *ns, const char *host)
{
	const struct host_list *lists[] = { map_get(&in->no, str_c(ns)), map_get(&in->no, str_c("*")), map_get(&in->yes, str_c(ns)), map_get(&in->yes, str_c("*")) };

	for (int i = 0; i < 2; i++)
		if (lists[i] && has_host(lists[i], host))
			return false;
	return (lists[2] && has_host(lists[2], host)) || (lists[3] && has_host(lists[3], host));
}

static struct seen *see(struct compile *c, struct service *s, uint16_t only)
{
	struct seen *x = TMP(c, struct seen, 1);

	*x = (struct seen){ .s = s, .host = lower_in(c->mem, s->hostname), .ports = s->ports, .n_ports = s->n_ports };
	for (int i = 0; only && i < s->n_ports; i++) {
		if (s->ports[i].port != only)
			continue;
		x->ports = &s->ports[i];
		x->n_ports = 1;
		return x;
	}
	return only ? NULL : x;
}

/* Of services with one host name: the client's namespace, else a Kubernetes Service, else the first. */
static bool better(struct compile *c, const struct service *a, const struct service *b)
{
	bool own_a = !strcmp(a->ns, c->w->ns), own_b = !strcmp(b->ns, c->w->ns);

	return own_a != own_b ? own_a : a->core && !b->core;
}

/* The port that an egress entry narrows services to; 0: none. */
static uint16_t own_port(const struct scope_egress *e)
{
	return e && e->port && strcmp(e->port->protocol, "HTTP_PROXY") ? e->port->number : 0;
}

static void import_services(struct compile *c, struct egress *e, const struct imports *in, const struct gather *all)
{
	uint16_t only = own_port(e->conf);
	struct map best = { 0 };
	int n = 0;

	e->services = TMP(c, struct seen *, all->n);
	for (int i = 0; i < all->n; i++) {
		struct seen *x = see(c, all->v[i], only), *other;

		if (!x || !imported(in, x->s->ns, x->host))
			continue;
		e->services[n++] = x;
		other = map_get(&best, str_c(x->host));
		if (!other || better(c, x->s, other->s))
			map_put(&best, str_c(x->host), x);
	}
	for (int i = 0; i < n; i++)
		if (map_get(&best, str_c(e->services[i]->host)) == e->services[i])
			e->services[e->n_services++] = e->services[i];
	map_done(&best);
}

/* ---- VirtualServices ---- */

static bool imports_vs(const struct imports *in, const struct vs *v, const char *host)
{
	const struct host_list *lists[] = { map_get(&in->yes, str_c(v->ns)), map_get(&in->yes, str_c("*")) };
	const struct host_list *no[] = { map_get(&in->no, str_c(v->ns)), map_get(&in->no, str_c("*")) };

	for (int i = 0; i < 2; i++)
		if (no[i] && has_host(no[i], host))
			return false;
	for (int i = 0; i < 2; i++)
		for (int k = 0; lists[i] && k < lists[i]->n; k++)
			if (v->gateway ? host_within(host, lists[i]->v[k]) : host_matches(host, lists[i]->v[k]))
				return true;
	return false;
}

static void import_vs(struct compile *c, struct egress *e, const struct imports *in)
{
	e->vs = TMP(c, struct vs *, c->n_vs);
	for (int i = 0; i < c->n_vs; i++)
		for (int k = 0; k < c->vs[i]->n_hosts; k++)
			if (imports_vs(in, c->vs[i], c->vs[i]->hosts[k])) {
				e->vs[e->n_vs++] = c->vs[i];
				break;
			}
}

/* For each service the VirtualService whose host names it best. */
static void index_wildcards(struct compile *c, struct egress *e)
{
	struct map exact = { 0 };

	for (int i = 0; i < e->n_vs; i++)
		for (int k = 0; k < e->vs[i]->n_hosts; k++)
			if (!map_get(&exact, str_c(e->vs[i]->hosts[k])))
				map_put(&exact, str_c(e->vs[i]->hosts[k]), e->vs[i]);
	for (int i = 0; i < e->n_services; i++) {
		const char *host = e->services[i]->host;
		struct vs *v = host_best(c, &exact, host);

		if (v)
			map_put(&e->wild, str_c(host), v);
	}
	map_done(&exact);
}

/* ---- destinations of VirtualServices are seen though no egress names them ---- */

struct named_like { struct compile *c; struct service *best; };

static bool pick_best(struct service *s, void *arg)
{
	struct named_like *n = arg;

	if (visible(n->c, s) && (!n->best || better(n->c, s, n->best) || (!better(n->c, n->best, s) && service_cmp(&s, &n->best) < 0)))
		n->best = s;
	return true;
}

/* Entries of a Sidecar may narrow one service to different ports: it has all of them. */
static void add_ports(struct compile *c, struct seen *to, const struct seen *from)
{
	struct service_port *v = TMP(c, struct service_port, to->n_ports + from->n_ports);
	int n = to->n_ports;

	if (from->n_ports == to->s->n_ports || to->n_ports == to->s->n_ports) {
		to->ports = to->s->ports;
		to->n_ports = to->s->n_ports;
		return;
	}
	memcpy(v, to->ports, (size_t)n * sizeof(*v));
	for (int i = 0; i < from->n_ports; i++) {
		bool there = false;

		for (int k = 0; k < to->n_ports; k++)
			there = there || to->ports[k].port == from->ports[i].port;
		if (!there)
			v[n++] = from->ports[i];
	}
	to->ports = v;
	to->n_ports = n;
}

static void add_service(struct compile *c, struct seen *x)
{
	struct seen *other = map_get(&c->by_host, str_c(x->host));

	if (other && (other->s->core || !x->s->core)) {
		if (other->s == x->s)
			add_ports(c, other, x);
		return;
	}
	map_put(&c->by_host, str_c(x->host), x);
	for (int i = 0; other && i < c->n_services; i++)
		if (c->services[i] == other) {
			c->services[i] = x;
			return;
		}
	if ((c->n_services & (c->n_services - 1)) == 0) {
		struct seen **v = TMP(c, struct seen *, c->n_services ? c->n_services * 2 : 1);

		if (c->n_services)
			memcpy(v, c->services, (size_t)c->n_services * sizeof(*v));
		c->services = v;
	}
	c->services[c->n_services++] = x;
}

/* only: the destination's port, or that of an egress entry; 0: all ports. */
static void add_named(struct compile *c, const char *host, uint16_t only)
{
	struct named_like n = { c, NULL };
	struct seen *x;

	if (!*host)
		return;
	mesh_each_service_called(c->m, str_c(lower(c, host)), pick_best, &n);
	x = n.best ? see(c, n.best, only) : NULL;
	if (x)
		add_service(c, x);
}

static void add_destination(struct compile *c, const struct vs_destination *d, uint16_t only)
{
	add_named(c, d->host, only ? only : d->port);
}

static void add_destinations(struct compile *c, const struct vs *v, uint16_t only)
{
	for (int i = 0; i < v->n_http; i++) {
		for (int k = 0; k < v->http[i].route.n; k++)
			add_destination(c, v->http[i].route.v[k].destination, only);
		for (int k = 0; k < v->http[i].mirrors.n; k++)
			add_destination(c, v->http[i].mirrors.v[k].destination, only);
	}
	for (int i = 0; i < v->from->tcp.n; i++)
		for (int k = 0; k < v->from->tcp.v[i].route.n; k++)
			add_destination(c, v->from->tcp.v[i].route.v[k].destination, only);
	for (int i = 0; i < v->from->tls.n; i++)
		for (int k = 0; k < v->from->tls.v[i].route.n; k++)
			add_destination(c, v->from->tls.v[i].route.v[k].destination, only);
}

static void add_host_of(struct compile *c, const char *service)
{
	const char *slash = strchr(service, '/');

	if (*service)
		add_named(c, slash ? slash + 1 : service, 0);
}

/* Those that proxies themselves call. */
static void add_providers(struct compile *c)
{
	for (int i = 0; i < c->set->n_providers; i++)
		add_host_of(c, c->set->providers[i].service);
	for (int i = 0; i < c->mc->tele.providers.n; i++)
		add_host_of(c, c->mc->tele.providers.v[i].service);
	if (c->scope && c->scope->outbound && c->scope->outbound->egress_proxy)
		add_named(c, c->scope->outbound->egress_proxy->host, 0);
}

/* ---- a waypoint ---- */

static bool serve(struct service *s, void *arg)
{
	struct compile *c = arg;
	struct seen *x;

	if (!dest_serves(c->m, c->w, s))
		return true;
	x = see(c, s, 0);
	x->served = true;
	if (map_get(&c->by_host, str_c(x->host))) {
		struct resource where = { .origin = "service", .ns = s->ns, .name = s->name, .where = "" };

		compile_report(c, &where, "the waypoint serves another service of the host name %s: this one is not served", s->hostname);
		return true;
	}
	add_service(c, x);
	return true;
}

/* It must be the service's namespace that says so, or the waypoint's. */
static void route(struct compile *c, struct seen *s, struct vs *v)
{
	if ((strcmp(v->ns, s->s->ns) && strcmp(v->ns, c->w->ns)) || (s->n_vs && s->vs[s->n_vs - 1] == v))
		return;
	if (s->n_vs == s->cap_vs) {
		struct vs **more = TMP(c, struct vs *, s->cap_vs = s->cap_vs ? s->cap_vs * 2 : 2);

		if (s->n_vs)
			memcpy(more, s->vs, (size_t)s->n_vs * sizeof(*more));
		s->vs = more;
	}
	s->vs[s->n_vs++] = v;
	add_destinations(c, v, 0);
}

void compile_served(struct compile *c)
{
	int n;

	mesh_each_service(c->m, serve, c);
	n = c->n_services;       /* what comes behind them are destinations */
	for (int i = 0; i < c->n_vs; i++)
		for (int k = 0; k < c->vs[i]->n_hosts; k++) {
			const char *host = c->vs[i]->hosts[k];
			struct seen *s = map_get(&c->by_host, str_c(host));

			if (s && s->served)
				route(c, s, c->vs[i]);
			for (int j = 0; host_wild(host) && j < n; j++)
				if (host_matches(host, c->services[j]->host))
					route(c, c->services[j], c->vs[i]);
		}
	add_providers(c);
}

void compile_scope(struct compile *c)
{
	struct gather all = { .c = c };
	int n;

	c->scope = find_sidecar(c);
	n = c->scope ? c->scope->egress.n : 0;
	mesh_each_service(c->m, gather, &all);
	if (all.n)
		qsort(all.v, (size_t)all.n, sizeof(*all.v), service_cmp);
	c->n_egress = n ? n : 1;
	c->egress = TMP(c, struct egress, c->n_egress);
	for (int i = 0; i < c->n_egress; i++) {
		struct egress *e = &c->egress[i];
		struct imports in;

		e->conf = n ? &c->scope->egress.v[i] : NULL;
		in = imports_of(c, e->conf);
		import_services(c, e, &in, &all);
		import_vs(c, e, &in);
		index_wildcards(c, e);
		map_done(&in.yes);
		map_done(&in.no);
	}
	free(all.v);
	for (int i = 0; i < c->n_egress; i++) {
		for (int k = 0; k < c->egress[i].n_services; k++)
			add_service(c, c->egress[i].services[k]);
		for (int k = 0; k < c->egress[i].n_vs; k++)
			add_destinations(c, c->egress[i].vs[k], own_port(c->egress[i].conf));
	}
	add_providers(c);
}
