/* SPDX-License-Identifier: Apache-2.0 */
/* What comes to a waypoint: the ports of the services that name it, each with the routes of the one VirtualService or Gateway API route
 * for it; and workloads that are asked for by their own address. The rules are istiod's for waypoints: a route counts that is in
 * the service's namespace or in the waypoint's and names exactly the service's host; Gateway API routes go first; a destination is
 * a service that is served here too, with its subsets, or else any other, whose waypoint is then not visited. */
#include <stdlib.h>

#include "traffic/compile_int.h"

static const char *const all[] = { "*" };

bool compile_routes_for(struct compile *c, const struct vs *v, const struct seen *s)
{
	if (strcmp(v->ns, s->s->ns) && strcmp(v->ns, c->w->ns))
		return false;
	for (int i = 0; i < v->n_hosts; i++)
		if (!strcmp(v->hosts[i], s->host))
			return true;
	return false;
}

/* The first that `fill` finds something in. */
static bool first_of(struct compile *c, const struct seen *s, uint16_t port, bool (*fill)(struct compile *c, const struct vs *v, const struct seen *s, uint16_t port, void *arg),
		     void *arg)
{
	for (int gateway = 1; gateway >= 0; gateway--)
		for (int i = 0; i < c->n_vs; i++) {
			const struct vs *v = c->vs[i];

			if (v->gateway == gateway && (!v->port || v->port == port) && compile_routes_for(c, v, s) && fill(c, v, s, port, arg))
				return true;
		}
	return false;
}

/* ---- requests ---- */

static bool fill_http(struct compile *c, const struct vs *v, const struct seen *s, uint16_t port, void *arg)
{
	struct vhost *h = arg;

	h->n_routes = v->n_http ? compile_routes(c, v, port, &h->routes) : 0;
	return h->n_routes > 0;
}

static const struct route_table *table_of(struct compile *c, struct vhost *v)
{
	struct route_table *t = route_table_new(v, 1);

	plan_own(&c->p->tables, t);
	return t;
}

static struct route *plain_route(struct compile *c, const char *cluster, const char *host, uint16_t port)
{
	struct route *r = NEW(c, struct route, 1);

	*r = compile_plain_route(c, "default", cluster, compile_printf(c->mem, "%s:%u/*", host, port));
	compile_retry(c, NULL, c->mc->retries, false, &r->retry);
	return r;
}

static const struct dr_consistent_hash *hash_of(struct compile *c, struct seen *s, uint16_t port)
{
	struct blocks b = compile_blocks(c, compile_rule(c, s), NULL, port);

	return b.lb ? b.lb->consistent_hash : NULL;
}

static const struct route_table *requests(struct compile *c, struct seen *s, uint16_t port)
{
	struct vhost *v = NEW(c, struct vhost, 1);
	struct route *r;

	*v = (struct vhost){ .name = compile_printf(c->mem, "inbound|http|%u", port), .domains = all, .n_domains = 1 };
	if (first_of(c, s, port, fill_http, v))
		return table_of(c, v);
	r = plain_route(c, compile_service_cluster(c, s, port, "", true), s->host, port);
	r->hash = compile_hash(c, hash_of(c, s, port));
	v->routes = r;
	v->n_routes = 1;
	return table_of(c, v);
}

/* ---- bytes ---- */

static bool fill_tls(struct compile *c, const struct vs *v, const struct seen *s, uint16_t port, void *arg)
{
	return compile_tls_rows(c, v, s, port, arg);
}

static bool fill_tcp(struct compile *c, const struct vs *v, const struct seen *s, uint16_t port, void *arg)
{
	int before = ((struct l4_list *)arg)->n;

	compile_tcp_rows(c, v, port, arg);
	return ((struct l4_list *)arg)->n > before;
}

static const struct l4_route *kept(struct compile *c, const struct l4_list *l)
{
	struct l4_route *v = NEW(c, struct l4_route, l->n);

	if (l->n)
		memcpy(v, l->v, (size_t)l->n * sizeof(*v));
	return v;
}

static void bytes(struct compile *c, const struct seen *s, struct inbound_port *p)
{
	struct l4_list tls = { .n = 0 }, tcp = { .n = 0 };

	first_of(c, s, p->port, fill_tls, &tls);
	first_of(c, s, p->port, fill_tcp, &tcp);
	p->by_sni = kept(c, &tls);
	p->n_by_sni = tls.n;
	p->bytes = kept(c, &tcp);
	p->n_bytes = tcp.n;
}

/* ---- the ports ---- */

static void port_of(struct compile *c, struct seen *s, const char *key, const struct service_port *port, struct inbound_port *ret)
{
	bool http = port->app != PROTOCOL_TCP && port->app != PROTOCOL_TLS, only_http = http && port->app != PROTOCOL_AUTO;

	*ret = (struct inbound_port){ .port = port->port, .protocol = port->app, .service = key };
	ret->to = plan_cluster(c->p, str_c(compile_service_cluster(c, s, port->port, "", only_http)));
	if (http)
		ret->http = requests(c, s, port->port);
	if (!only_http)
		bytes(c, s, ret);
}

static struct inbound_port direct(struct compile *c)
{
	struct inbound_port p = { .protocol = PROTOCOL_AUTO, .service = "", .to = plan_cluster(c->p, str_c("encap")) };
	struct vhost *v = NEW(c, struct vhost, 1);

	*v = (struct vhost){ .name = "inbound|http|0", .domains = all, .n_domains = 1, .routes = plain_route(c, "encap", "", 0), .n_routes = 1 };
	p.http = table_of(c, v);
	return p;
}

void compile_waypoint(struct compile *c)
{
	struct inbound_port *v;
	int n = 1, max = 1;

	for (int i = 0; i < c->n_services; i++)
		max += c->services[i]->served ? c->services[i]->n_ports : 0;
	v = NEW(c, struct inbound_port, max);
	v[0] = direct(c);
	for (int i = 0; i < c->n_services; i++) {
		struct seen *s = c->services[i];
		struct plan_served *of;
		const char *key;

		if (!s->served)
			continue;
		of = NEW(c, struct plan_served, 1);
		key = arena_dup(c->mem, str_c(s->s->key));
		*of = (struct plan_served){ &v[n], s->n_ports };
		for (int k = 0; k < s->n_ports; k++)
			port_of(c, s, key, &s->ports[k], &v[n++]);
		map_put(&c->p->served, str_c(key), of);
	}
	c->p->inbound = v;
	c->p->n_inbound = n;
}
