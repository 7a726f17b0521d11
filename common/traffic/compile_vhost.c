/* SPDX-License-Identifier: Apache-2.0 */
/* The virtual hosts of a port: services and the hosts of VirtualServices, each with all the names that clients may use. */
#include <stdlib.h>

#include "traffic/compile_int.h"

/* What is gathered for one port. */
struct gathering {
	struct compile *c;
	struct egress *e;
	uint16_t port;
	struct map services;                 /* host -> struct seen, of those that have the port */
	bool wild_services;
	struct map taken;                    /* hosts of services that a VirtualService has */
	struct map names, domains, known;    /* those that are used; hosts of services */
	struct wrapper *w;
	int n_w, cap_w;
	struct vhost *v;
	int n, cap;
};

/* Routes, and who is addressed by them. */
struct wrapper {
	const struct route *routes;
	int n_routes;
	const char **hosts;                  /* without a service */
	struct seen **services;
	int n_hosts, n_services;
};

static struct egress *egress_for(struct compile *c, uint16_t port)
{
	for (int i = 0; i < c->n_egress; i++) {
		const struct scope_egress *e = c->egress[i].conf;

		if (!e || !e->port || e->port->number == port)
			return &c->egress[i];
	}
	return NULL;
}

static const struct service_port *port_of(const struct seen *s, uint16_t port)
{
	for (int i = 0; i < s->n_ports; i++)
		if (s->ports[i].port == port)
			return &s->ports[i];
	return NULL;
}

static bool http_or_unknown(enum port_protocol p)
{
	return p == PROTOCOL_AUTO || p == PROTOCOL_HTTP || p == PROTOCOL_HTTP2 || p == PROTOCOL_GRPC;
}

static struct wrapper *wrapper_new(struct gathering *g)
{
	if (g->n_w == g->cap_w) {
		int cap = g->cap_w ? g->cap_w * 2 : 64;
		struct wrapper *w = TMP(g->c, struct wrapper, cap);

		if (g->n_w)
			memcpy(w, g->w, (size_t)g->n_w * sizeof(*w));
		g->w = w;
		g->cap_w = cap;
	}
	return &g->w[g->n_w++];
}

/* ---- VirtualServices ---- */

/* On ports other than 80 only those count that name a service of the port. */
static bool selected(struct gathering *g, const struct vs *v)
{
	if (g->port == 80)
		return true;
	for (int i = 0; i < v->n_hosts; i++) {
		const char *host = v->hosts[i];

		if (map_get(&g->services, str_c(host)))
			return true;
		if (!host_wild(host) && !g->wild_services)
			continue;
		map_each(s, &g->services) {
			const struct seen *x = s->value;

			if ((host_wild(host) || host_wild(x->host)) && host_matches(host, x->host))
				return true;
		}
	}
	return false;
}

static void match_wildcard(struct gathering *g, const struct vs *v, const char *host, struct wrapper *w)
{
	bool found = false;

	for (int i = 0; !v->gateway && i < g->e->n_services; i++) {
		struct seen *s = map_get(&g->services, str_c(g->e->services[i]->host));

		if (!s || !host_matches(s->host, host))
			continue;
		found = true;
		if (map_get(&g->e->wild, str_c(s->host)) == v && !compile_through_waypoint(g->c, s->s))
			w->services[w->n_services++] = s;
	}
	if (!found)
		w->hosts[w->n_hosts++] = host;
}

static void add_vs(struct gathering *g, const struct vs *v)
{
	struct wrapper w = { .n_routes = 0 };
	int kept = 0, wild = 0;

	if (!v->n_http || !selected(g, v))
		return;
	w.n_routes = compile_routes(g->c, v, g->port, &w.routes);
	if (!w.n_routes)
		return;          /* the next VirtualService for its hosts takes its place */
	w.hosts = TMP(g->c, const char *, v->n_hosts);
	for (int i = 0; i < v->n_hosts; i++)
		wild += host_wild(v->hosts[i]);
	w.services = TMP(g->c, struct seen *, v->n_hosts + g->e->n_services * wild);
	for (int i = 0; i < v->n_hosts; i++) {
		const char *host = v->hosts[i];
		struct seen *s = map_get(&g->services, str_c(host));

		if (host_wild(host))
			match_wildcard(g, v, host, &w);
		else if (s && compile_through_waypoint(g->c, s->s))
			continue;        /* its waypoint does what this one says */
		else if (s)
			w.services[w.n_services++] = s;
		else
			w.hosts[w.n_hosts++] = host;
	}
	if (v->gateway) {        /* only for the client's namespace and the service's */
		for (int i = 0; i < w.n_services; i++)
			if (!strcmp(w.services[i]->s->ns, v->ns) || !strcmp(g->c->w->ns, v->ns))
				w.services[kept++] = w.services[i];
		w.n_services = kept;
		if (!kept)
			return;
	}
	kept = 0;
	for (int i = 0; i < w.n_services; i++)
		if (http_or_unknown(port_of(w.services[i], g->port)->app))
			w.services[kept++] = w.services[i];
	w.n_services = kept;
	if (!kept && g->port != 80)
		return;
	for (int i = 0; i < w.n_services; i++)
		map_put(&g->taken, str_c(w.services[i]->host), w.services[i]);
	*wrapper_new(g) = w;
}

/* ---- services ---- */

static void add_service(struct gathering *g, struct seen *s)
{
	struct compile *c = g->c;
	const struct service_port *p = port_of(s, g->port);
	const char *cluster = compile_printf(c->mem, "outbound|%u||%s", g->port, s->host);
	const struct rule *r = compile_rule(c, s);
	const struct dr_policy *policy = r ? r->policy : NULL;
	const struct dr_consistent_hash *hash = policy && policy->load_balancer ? policy->load_balancer->consistent_hash : NULL;
	struct wrapper *w;
	struct route *route;

	if (!http_or_unknown(p->app) || map_get(&g->taken, str_c(s->host)))
		return;
	for (int i = 0; policy && i < policy->ports.n; i++)
		if (policy->ports.v[i].port && policy->ports.v[i].port->number == g->port) {
			if (policy->ports.v[i].load_balancer && policy->ports.v[i].load_balancer->consistent_hash)
				hash = policy->ports.v[i].load_balancer->consistent_hash;
			break;
		}
	route = NEW(c, struct route, 1);
	*route = compile_plain_route(c, "default", cluster, compile_printf(c->mem, "%s:%u/*", s->host, g->port));
	compile_retry(c, NULL, c->mc->retries, false, &route->retry);
	if (compile_through_waypoint(c, s->s))        /* to another waypoint alone; the answer of one is the answer */
		route->retry.on = RETRY_CONNECT_FAILURE | RETRY_REFUSED_STREAM;
	else if (hash)
		route->hash = compile_hash(c, hash);
	w = wrapper_new(g);
	*w = (struct wrapper){ .routes = route, .n_routes = 1, .services = TMP(c, struct seen *, 1), .n_services = 1 };
	w->services[0] = s;
}

/* ---- names ---- */

struct domains { const char **v; int n; bool alt[64]; };

static void add_domain(struct domains *d, const char *name, bool alt)
{
	if (d->n == (int)ARRAY_LEN(d->alt))
		return;
	d->alt[d->n] = alt;
	d->v[d->n++] = name;
}

static const char *bracketed(struct compile *c, const char *host)
{
	return strchr(host, ':') ? compile_printf(c->mem, "[%s]", host) : host;
}

/* "foo.ns.svc.cluster.local" is also foo.ns, foo.ns.svc, and in its own namespace foo. */
static void add_short_names(struct compile *c, const char *host, struct domains *d)
{
	const char *svc = compile_printf(&c->tmp, ".svc.%s", c->set->cluster_domain);
	size_t n = strlen(host), k = strlen(svc), dot = strcspn(host, ".");
	struct ip ip;

	if (ip_parse(str_c(host), &ip) != 0)
		add_domain(d, compile_printf(c->mem, "%s.", host), true);
	if (n <= k || strcmp(host + n - k, svc) || dot >= n - k)
		return;
	if (n - k - dot - 1 == strlen(c->w->ns) && !strncmp(host + dot + 1, c->w->ns, n - k - dot - 1))
		add_domain(d, arena_dup(c->mem, (struct str){ host, dot }), true);
	add_domain(d, arena_dup(c->mem, (struct str){ host, n - k }), true);
	add_domain(d, arena_dup(c->mem, (struct str){ host, n - k + 4 }), true);
}

static void add_service_names(struct compile *c, const struct seen *s, struct domains *d)
{
	int names;

	add_domain(d, s->host, false);
	add_short_names(c, s->host, d);
	names = d->n;
	for (int i = 0; s->s->headless && i < names; i++)
		add_domain(d, compile_printf(c->mem, "*.%s", d->v[i]), false);
	for (int i = 0; i < s->s->n_vips; i++) {
		char text[ADDR_TEXT];

		if (s->s->vips[i].cidr.bits == 128)
			add_domain(d, bracketed(c, arena_dup(c->mem, str_c(ip_format(&s->s->vips[i].cidr.ip, text)))), false);
	}
}

static void add_vhost(struct gathering *g, const struct wrapper *w, const char *host, const struct seen *s)
{
	const char *name = compile_printf(g->c->mem, "%s:%u", host, g->port), *few[64];
	struct domains d = { .v = few };
	const char **kept;
	int n = 0;

	if (map_get(&g->names, str_c(name)))
		return;
	map_put(&g->names, str_c(name), g);
	if (s)
		add_service_names(g->c, s, &d);
	else
		add_domain(&d, bracketed(g->c, host), false);
	for (int i = 0; i < d.n; i++) {
		if (map_get(&g->domains, str_c(d.v[i])) || (d.alt[i] && map_get(&g->known, str_c(d.v[i]))))
			continue;
		map_put(&g->domains, str_c(d.v[i]), g);
		d.v[n++] = d.v[i];
	}
	if (!n)
		return;
	kept = NEW(g->c, const char *, n);
	memcpy(kept, d.v, (size_t)n * sizeof(*kept));
	if (g->n == g->cap) {
		int cap = g->cap ? g->cap * 2 : 16;
		struct vhost *v = TMP(g->c, struct vhost, cap);

		if (g->n)
			memcpy(v, g->v, (size_t)g->n * sizeof(*v));
		g->v = v;
		g->cap = cap;
	}
	g->v[g->n++] = (struct vhost){ name, kept, n, w->routes, w->n_routes };
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct vhost *)a)->name, ((const struct vhost *)b)->name);
}

/* ---- what is for unknown hosts ---- */

static struct vhost unknown_hosts(struct compile *c)
{
	static const char *const all[] = { "*" };
	bool any = strcmp(cluster_conf(c->p->unknown)->name, "BlackHoleCluster") != 0;
	const struct scope_destination *proxy = c->scope && c->scope->outbound ? c->scope->outbound->egress_proxy : NULL;
	struct route *r = NEW(c, struct route, 1);
	const char *cluster = "PassthroughCluster";

	if (any && proxy)
		cluster = compile_printf(c->mem, "outbound|%u|%s|%s", proxy->port, proxy->subset, proxy->host);
	*r = compile_plain_route(c, any ? "allow_any" : "block_all", any ? cluster : "BlackHoleCluster", "");
	if (!any) {
		r->action = ROUTE_REPLY;
		r->reply.status = 502;
	}
	return (struct vhost){ r->name, all, 1, r, 1 };
}

static void gather_all(struct gathering *g)
{
	for (int i = 0; i < g->e->n_services; i++) {
		struct seen *s = g->e->services[i];

		if (!port_of(s, g->port))
			continue;
		map_put(&g->services, str_c(s->host), s);
		g->wild_services = g->wild_services || host_wild(s->host);
	}
	for (int i = 0; i < g->e->n_vs; i++)
		add_vs(g, g->e->vs[i]);
	for (int i = 0; i < g->e->n_services; i++)
		if (map_get(&g->services, str_c(g->e->services[i]->host)) == g->e->services[i])
			add_service(g, g->e->services[i]);
	for (int i = 0; i < g->n_w; i++)
		for (int k = 0; k < g->w[i].n_services; k++)
			map_put(&g->known, str_c(g->w[i].services[k]->host), g);
	for (int i = 0; i < g->n_w; i++) {
		for (int k = 0; k < g->w[i].n_hosts; k++)
			add_vhost(g, &g->w[i], g->w[i].hosts[k], NULL);
		for (int k = 0; k < g->w[i].n_services; k++)
			add_vhost(g, &g->w[i], g->w[i].services[k]->host, g->w[i].services[k]);
	}
}

struct vhosts *compile_vhosts(struct compile *c, uint16_t port)
{
	struct gathering g = { .c = c, .e = egress_for(c, port), .port = port };
	struct str key = { (const char *)&port, sizeof(port) };
	struct vhosts *out = map_get(&c->vhosts, key);
	struct vhost *v;

	if (out)
		return out;
	if (g.e)
		gather_all(&g);
	if (g.n)
		qsort(g.v, (size_t)g.n, sizeof(*g.v), by_name);
	out = TMP(c, struct vhosts, 1);
	v = NEW(c, struct vhost, g.n + 1);
	if (g.n)
		memcpy(v, g.v, (size_t)g.n * sizeof(*v));
	v[g.n] = unknown_hosts(c);
	*out = (struct vhosts){ .v = v, .n = g.n, .port = port };
	map_put(&c->vhosts, (struct str){ (const char *)&out->port, sizeof(out->port) }, out);
	map_done(&g.services);
	map_done(&g.taken);
	map_done(&g.names);
	map_done(&g.domains);
	map_done(&g.known);
	return out;
}

static struct route_table *own_table(struct compile *c, const struct vhost *v, int n)
{
	struct route_table *t = route_table_new(v, n);

	plan_own(&c->p->tables, t);
	return t;
}

const struct route_table *compile_port_table(struct compile *c, uint16_t port)
{
	struct vhosts *v = compile_vhosts(c, port);

	if (!v->table)
		v->table = own_table(c, v->v, v->n + 1);
	return v->table;
}

/* The port of a service that is called by its own address: whatever the Host, it is the service's virtual host. */
const struct route_table *compile_host_table(struct compile *c, const char *host, uint16_t port)
{
	static const char *const all[] = { "*" };
	struct vhosts *of = compile_vhosts(c, port);
	struct vhost *v = NEW(c, struct vhost, 1);
	int hits = 0;

	for (int i = 0; i < of->n; i++)
		for (int k = 0; k < of->v[i].n_domains; k++)
			if (!strcmp(of->v[i].domains[k], host)) {
				*v = of->v[i];
				hits++;
				break;
			}
	v->domains = all;
	v->n_domains = 1;
	return own_table(c, v, hits ? 1 : 0);
}
