/* SPDX-License-Identifier: Apache-2.0 */
/* What comes to a waypoint: the ports of the services that name it, each with the rules of all VirtualServices and Gateway API routes for
 * it, and workloads that are asked for by their own address. As istiod has it for waypoints: those count that are in the service's
 * namespace or in the waypoint's; a destination is a service that is served here too, with its subsets, or else any other, whose
 * waypoint is then not visited. */
#include "traffic/compile_int.h"

static const char *const all[] = { "*" };

static const struct route_table *table_of(struct compile *c, struct vhost *v, int n)
{
	struct route_table *t = route_table_new(v, n);

	plan_own(&c->p->tables, t);
	return t;
}

/* ---- requests ---- */

/* The rules of all, one after the other. */
static void routes_of(struct compile *c, const struct seen *s, uint16_t port, struct vhost *ret)
{
	const struct route **v = TMP(c, const struct route *, s->n_vs);
	int *n = TMP(c, int, s->n_vs), sum = 0;
	struct route *all_of;

	for (int i = 0; i < s->n_vs; i++) {
		n[i] = s->vs[i]->n_http ? compile_routes(c, s->vs[i], port, &v[i]) : 0;
		sum += n[i];
		ret->routes = v[i];
	}
	ret->n_routes = sum;
	if (s->n_vs < 2 || !sum)
		return;
	ret->routes = all_of = NEW(c, struct route, sum);
	for (int i = 0; i < s->n_vs; i++) {
		if (n[i])
			memcpy(all_of, v[i], (size_t)n[i] * sizeof(*all_of));
		all_of += n[i];
	}
}

/* Tried again as what a sidecar sends, not as what it takes in. */
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

/* Whether only requests for its own host are meant. Istio asks it of names that requests bring; else a client may have another host's
 * name carried to this one, which closed does not let through. */
static bool keeps_to_host(struct compile *c, const struct seen *s)
{
	return s->s->resolution == RESOLUTION_DYNAMIC_DNS || (c->set->stance != STANCE_ISTIO && s->s->external && s->s->resolution != RESOLUTION_NONE);
}

static struct vhost outside(struct compile *c)
{
	struct route *r = NEW(c, struct route, 1);

	*r = compile_plain_route(c, "outside", "", "");
	r->outside = true;
	return (struct vhost){ .name = "outside", .domains = all, .n_domains = 1, .routes = r, .n_routes = 1 };
}

static const struct route_table *requests(struct compile *c, struct seen *s, const struct service_port *port)
{
	struct vhost *v = NEW(c, struct vhost, 2);
	bool keeps = keeps_to_host(c, s);
	struct route *r;

	*v = (struct vhost){ .name = compile_printf(c->mem, "inbound|http|%u", port->port), .domains = all, .n_domains = 1 };
	if (keeps) {
		const char **own = NEW(c, const char *, 1);

		*own = arena_dup(c->mem, str_c(s->host));
		v->domains = own;
		v[1] = outside(c);
	}
	routes_of(c, s, port->port, v);
	if (!v->n_routes) {
		r = plain_route(c, compile_service_cluster(c, s, port->port, "", true), s->host, port->port);
		r->hash = compile_hash(c, hash_of(c, s, port->port));
		v->routes = r;
		v->n_routes = 1;
	}
	return table_of(c, v, keeps ? 2 : 1);
}

/* ---- bytes ---- */

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

	for (int i = 0; i < s->n_vs; i++) {
		if (s->vs[i]->port && s->vs[i]->port != p->port)
			continue;
		compile_tls_rows(c, s->vs[i], s, p->port, &tls);
		compile_tcp_rows(c, s->vs[i], p->port, &tcp);
	}
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
		ret->http = requests(c, s, port);
	if (!only_http)
		bytes(c, s, ret);
	if (port->app == PROTOCOL_TLS && !ret->n_by_sni && s->s->resolution != RESOLUTION_DYNAMIC_DNS && keeps_to_host(c, s))
		ret->server_name = arena_dup(c->mem, str_c(s->host));
}

static struct inbound_port direct(struct compile *c)
{
	struct inbound_port p = { .protocol = PROTOCOL_AUTO, .service = "", .to = plan_cluster(c->p, str_c("encap")) };
	struct vhost *v = NEW(c, struct vhost, 1);
	struct route *r = plain_route(c, "encap", "", 0);

	*v = (struct vhost){ .name = "inbound|http|0", .domains = all, .n_domains = 1, .routes = r, .n_routes = 1 };
	p.http = table_of(c, v, 1);
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
