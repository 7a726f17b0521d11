/* SPDX-License-Identifier: Apache-2.0 */
/* What comes in: the ports that services lead to, or those that the Sidecar's ingress names instead. */
#include <stdlib.h>

#include "traffic/compile_int.h"

struct lead { struct service *s; const struct service_port *port; uint16_t target; };
struct leads { struct compile *c; struct lead *v; int n, cap; };

static bool add_lead(struct service *s, void *arg)
{
	struct leads *l = arg;
	const struct endpoint *e = endpoints_find(s->endpoints, str_c(l->c->w->uid));

	for (int i = 0; e && i < s->n_ports; i++) {
		uint16_t target = endpoint_target(e, s->ports[i].port);

		if (!target && s->ports[i].named)
			continue;
		if (l->n == l->cap) {
			l->cap = l->cap ? l->cap * 2 : 8;
			l->v = xrealloc(l->v, (size_t)l->cap * sizeof(*l->v));
		}
		l->v[l->n++] = (struct lead){ s, &s->ports[i], target ? target : s->ports[i].target ? s->ports[i].target : s->ports[i].port };
	}
	return true;
}

/* Of several services for one port the oldest counts. */
static int lead_cmp(const void *a, const void *b)
{
	const struct lead *x = a, *y = b;
	int d;

	if (x->target != y->target)
		return x->target < y->target ? -1 : 1;
	if (x->s->created != y->s->created)
		return x->s->created < y->s->created ? -1 : 1;
	d = strcmp(x->s->name, y->s->name);
	return d ? d : strcmp(x->s->key, y->s->key);
}

static struct retry_policy inbound_retry(struct compile *c, enum port_protocol protocol)
{
	struct retry_policy r = { .on = RETRY_RESET_BEFORE_REQUEST, .attempts = 2, .backoff_ms = 25, .backoff_max_ms = 250, .host_attempts = 1 };

	if (protocol == PROTOCOL_GRPC)
		return (struct retry_policy){ .on = 0 };
	if (c->mc->inbound_retries)
		compile_retry(c, NULL, c->mc->inbound_retries, false, &r);
	return r;
}

/* One virtual host, one route. */
static const struct route_table *table_for(struct compile *c, uint16_t port, const char *cluster, const char *host, uint16_t service_port,
					   enum port_protocol protocol)
{
	static const char *const all[] = { "*" };
	struct route *r = NEW(c, struct route, 1);
	struct vhost *v = NEW(c, struct vhost, 1);
	struct route_table *t;

	*r = compile_plain_route(c, "default", cluster, *host ? compile_printf(c->mem, "%s:%u/*", host, service_port) : "");
	r->retry = inbound_retry(c, protocol);
	*v = (struct vhost){ compile_printf(c->mem, "inbound|http|%u", service_port), all, 1, r, 1 };
	t = route_table_new(v, 1);
	plan_own(&c->p->tables, t);
	return t;
}

static const struct dr_pool *sidecar_pool(struct compile *c, uint16_t port)
{
	for (int i = 0; c->scope && i < c->scope->ingress.n; i++)
		if (c->scope->ingress.v[i].port->number == port && c->scope->ingress.v[i].pool)
			return c->scope->ingress.v[i].pool;
	return c->scope ? c->scope->inbound_pool : NULL;
}

/* The pool of a Sidecar takes the place of a DestinationRule's. */
static void fill_conf(struct compile *c, struct service *s, uint16_t service_port, uint16_t port, struct cluster_conf *conf)
{
	struct blocks b = { 0 };

	if (s) {
		struct seen own = { .s = s, .host = s->hostname };

		b = compile_blocks(c, compile_rule_inbound(c, &own), NULL, service_port);
	}
	if (sidecar_pool(c, port))
		b.pool = sidecar_pool(c, port);
	b.proxy = NULL;
	b.budget = NULL;
	compile_pool(c, &b, &conf->pool);
	conf->lb = (struct lb_conf){ .policy = LB_LEAST_REQUEST, .hash = { .name = "", .cookie_path = "" } };
	conf->tls = (struct tls_conf){ .mode = TLS_DISABLE, .cert = "", .key = "", .ca = "", .crl = "", .sni = "" };
}

static void inbound_of_service(struct compile *c, const struct lead *l, struct inbound_port *ret)
{
	struct cluster_conf conf = {
		.name = compile_printf(c->mem, "inbound|%u||", l->target), .kind = CLUSTER_ORIGINAL_DST, .service = l->s->key, .subset = "", .port = l->target,
		.http2 = l->port->app == PROTOCOL_HTTP2 || l->port->app == PROTOCOL_GRPC, .inbound = true, .unix_path = "",
	};

	fill_conf(c, l->s, l->port->port, l->target, &conf);
	*ret = (struct inbound_port){ .port = l->target, .protocol = l->port->app, .service = arena_dup(c->mem, str_c(l->s->key)), .tls = { .mode = TLS_AUTO } };
	ret->to = compile_cluster(c, &conf);
	ret->http = table_for(c, l->target, conf.name, l->s->hostname, l->port->port, l->port->app);
}

/* ---- a Sidecar's ingress ---- */

/* "0.0.0.0:P" and "[::]:P" mean the workload's own address. False: not an address. */
static bool default_endpoint(struct compile *c, const char *text, struct addr *ret)
{
	if (addr_parse(str_c(text), ret) != 0)
		return false;
	if (!ip_is_any(&ret->ip))
		return true;
	for (int i = 0; i < c->w->n_ips; i++)
		if (ip_is_v4(&c->w->ips[i]) == ip_is_v4(&ret->ip)) {
			ret->ip = c->w->ips[i];
			return true;
		}
	return ip_parse(str_c(ip_is_v4(&ret->ip) ? "127.0.0.1" : "::1"), &ret->ip) == 0;
}

static void fill_ingress_tls(const struct scope_tls *t, struct tls_conf *ret)
{
	*ret = (struct tls_conf){ .mode = TLS_AUTO, .cert = "", .key = "", .ca = "", .crl = "", .sni = "" };
	if (!t)
		return;
	*ret = (struct tls_conf){
		.mode = t->mode == SCOPE_TLS_MUTUAL ? TLS_MUTUAL : TLS_SIMPLE, .cert = t->certificate, .key = t->private_key, .ca = t->ca_certificates,
		.crl = t->ca_crl, .sni = "", .sans = t->subject_alt_names.v, .n_sans = t->subject_alt_names.n,
	};
}

/* After TLS is taken off. */
static enum port_protocol inner_protocol(const struct scope_ingress *in)
{
	if (!in->tls || in->port->app != PROTOCOL_TLS)
		return in->port->app;
	return !strcmp(in->port->protocol, "HTTPS") ? PROTOCOL_HTTP : PROTOCOL_TCP;
}

static bool inbound_of_ingress(struct compile *c, const struct scope_ingress *in, struct inbound_port *ret)
{
	uint16_t port = in->port->number;
	enum port_protocol protocol = inner_protocol(in);
	struct addr to;
	struct cluster_conf conf = {
		.name = compile_printf(c->mem, "inbound|%u||", port), .kind = CLUSTER_ORIGINAL_DST, .service = "", .subset = "", .port = port,
		.http2 = protocol == PROTOCOL_HTTP2 || protocol == PROTOCOL_GRPC, .inbound = true, .unix_path = "",
	};

	if (!strncmp(in->default_endpoint, "unix://", 7)) {
		conf.kind = CLUSTER_STATIC;
		conf.unix_path = in->default_endpoint + 7;
	} else if (*in->default_endpoint && default_endpoint(c, in->default_endpoint, &to)) {
		conf.kind = CLUSTER_STATIC;
		conf.addrs = &to;
		conf.n_addrs = 1;
	} else if (*in->default_endpoint) {
		compile_report(c, &c->scope->r, "its defaultEndpoint \"%s\" is not an address: the ingress of port %u is left out", in->default_endpoint, port);
		return false;
	}
	*ret = (struct inbound_port){ .port = port, .protocol = protocol, .service = "" };
	ret->real = in->capture == SCOPE_CAPTURE_NONE || c->mc->proxy.interception == PROXY_NONE;
	ret->at.port = port;
	if (*in->bind && ip_parse(str_c(in->bind), &ret->at.ip) == 0)
		ret->real = true;
	else
		ip_parse(str_c("0.0.0.0"), &ret->at.ip);
	fill_ingress_tls(in->tls, &ret->tls);
	fill_conf(c, NULL, 0, port, &conf);
	ret->to = compile_cluster(c, &conf);
	ret->http = table_for(c, port, conf.name, compile_printf(&c->tmp, "%s.%s", c->scope->r.name, c->scope->r.ns), port, protocol);
	return true;
}

static int port_cmp(const void *a, const void *b)
{
	return (int)((const struct inbound_port *)a)->port - (int)((const struct inbound_port *)b)->port;
}

void compile_inbound(struct compile *c)
{
	struct leads l = { .c = c };
	int n_ingress = c->scope ? c->scope->ingress.n : 0, n = 1;
	struct inbound_port *v;

	if (!n_ingress)
		mesh_each_service(c->m, add_lead, &l);
	if (l.n)
		qsort(l.v, (size_t)l.n, sizeof(*l.v), lead_cmp);
	v = NEW(c, struct inbound_port, l.n + n_ingress + 1);
	v[0] = (struct inbound_port){ .protocol = PROTOCOL_AUTO, .service = "", .to = plan_cluster(c->p, str_c("InboundPassthroughCluster")) };
	v[0].http = table_for(c, 0, "InboundPassthroughCluster", "", 0, PROTOCOL_AUTO);
	for (int i = 0; i < l.n; i++)
		if (i == 0 || l.v[i].target != l.v[i - 1].target)
			inbound_of_service(c, &l.v[i], &v[n++]);
	for (int i = 0; i < n_ingress; i++) {
		bool twice = false;

		for (int k = 1; k < n; k++)
			twice = twice || v[k].port == c->scope->ingress.v[i].port->number;
		if (!twice && inbound_of_ingress(c, &c->scope->ingress.v[i], &v[n]))
			n++;
	}
	free(l.v);
	qsort(v + 1, (size_t)(n - 1), sizeof(*v), port_cmp);
	c->p->inbound = v;
	c->p->n_inbound = n;
}
