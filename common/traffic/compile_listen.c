/* SPDX-License-Identifier: Apache-2.0 */
/* Which addresses and ports an application may call, and how each is spoken to. */
#include <stdlib.h>

#include "traffic/compile_int.h"

/* What istiod calls a listener's protocol. */
enum shape { SHAPE_HTTP, SHAPE_TCP, SHAPE_AUTO };

struct listener {
	struct addr at;                      /* any address: ip_is_any */
	enum shape shape;
	enum port_protocol protocol;
	bool locked, real;
	const struct route_table *http;
	struct l4_list tls, tcp;
};

struct listeners {
	struct compile *c;
	struct map by_addr;                  /* struct addr -> struct listener; the value holds the key */
	struct listener **v;
	int n, cap;
	struct plan_headless *headless;
	struct listener **headless_at;       /* beside it */
	int n_headless, cap_headless;
};

static enum shape shape_of(enum port_protocol p)
{
	return p == PROTOCOL_AUTO ? SHAPE_AUTO : p == PROTOCOL_TCP || p == PROTOCOL_TLS ? SHAPE_TCP : SHAPE_HTTP;
}

static struct str addr_key(const struct addr *a)
{
	return (struct str){ (const char *)a, sizeof(*a) };
}

static void *grown(struct compile *c, void *v, int n, int *cap, size_t size)
{
	void *more;

	if (n < *cap)
		return v;
	*cap = *cap ? *cap * 2 : 32;
	more = arena_alloc(&c->tmp, (size_t)*cap * size);
	if (n)
		memcpy(more, v, (size_t)n * size);
	return more;
}

static struct listener *listener_new(struct listeners *l, const struct addr *at, bool indexed)
{
	struct listener *x = TMP(l->c, struct listener, 1);

	x->at = *at;
	l->v = grown(l->c, l->v, l->n, &l->cap, sizeof(*l->v));
	l->v[l->n++] = x;
	if (indexed)
		map_put(&l->by_addr, addr_key(&x->at), x);
	return x;
}

static void append(struct compile *c, struct l4_list *to, const struct l4_list *from)
{
	for (int i = 0; i < from->n; i++) {
		to->v = grown(c, to->v, to->n, &to->cap, sizeof(*to->v));
		to->v[to->n++] = from->v[i];
	}
}

/* One port of one service at one address. wildcard: at any address; to: blocks of addresses that the service has. */
static void listen_at(struct listeners *l, struct egress *e, struct seen *s, const struct service_port *p, const struct addr *at, bool real,
		      const struct cidr *to, int n_to)
{
	struct compile *c = l->c;
	bool wildcard = ip_is_any(&at->ip);
	struct listener *x = map_get(&l->by_addr, addr_key(at));
	enum shape shape = shape_of(p->app);
	struct l4_list tls = { .n = 0 }, tcp = { .n = 0 };

	if (x && (x->locked || (x->shape != SHAPE_TCP && shape == SHAPE_HTTP) || (x->shape == SHAPE_AUTO && shape == SHAPE_AUTO)))
		return;
	if (shape != SHAPE_HTTP)
		compile_l4(c, e, s, p, to, n_to, wildcard, &tls, &tcp);
	if (!x || (x->shape == SHAPE_HTTP && shape == SHAPE_AUTO)) {
		if (!x)
			x = listener_new(l, at, true);
		x->real = real;
		/* On any address HTTP is known by its bytes: others than these go where unknown destinations go. */
		x->shape = shape == SHAPE_HTTP && wildcard ? SHAPE_AUTO : shape;
		x->protocol = x->shape == SHAPE_AUTO ? PROTOCOL_AUTO : p->app;
		x->tls = tls;
		x->tcp = tcp;
		if (shape != SHAPE_TCP)
			x->http = shape == SHAPE_AUTO && !wildcard ? compile_host_table(c, s->host, p->port) : compile_port_table(c, p->port);
		return;
	}
	append(c, &x->tls, &tls);
	append(c, &x->tcp, &tcp);
	if (x->shape == SHAPE_TCP && shape != SHAPE_TCP) {
		x->http = shape == SHAPE_AUTO && !wildcard ? compile_host_table(c, s->host, p->port) : compile_port_table(c, p->port);
		x->shape = SHAPE_AUTO;
		x->protocol = PROTOCOL_AUTO;
	} else if (x->shape == SHAPE_HTTP) {
		x->shape = SHAPE_AUTO;
		x->protocol = PROTOCOL_AUTO;
	} else if (x->protocol != p->app) {
		x->protocol = x->shape == SHAPE_AUTO ? PROTOCOL_AUTO : PROTOCOL_TCP;
	}
}

/* A headless service's ports of bytes are found by its endpoints' addresses. */
static void listen_headless(struct listeners *l, struct egress *e, struct seen *s, const struct service_port *p)
{
	struct addr at = { .port = p->port };
	struct listener *x = listener_new(l, &at, false);
	int cap = l->cap_headless;

	compile_l4(l->c, e, s, p, NULL, 0, false, &x->tls, &x->tcp);
	x->shape = shape_of(p->app);
	x->protocol = p->app;
	if (p->app == PROTOCOL_AUTO)
		x->http = compile_host_table(l->c, s->host, p->port);
	l->headless = grown(l->c, l->headless, l->n_headless, &l->cap_headless, sizeof(*l->headless));
	l->headless_at = grown(l->c, l->headless_at, l->n_headless, &cap, sizeof(*l->headless_at));
	l->headless[l->n_headless] = (struct plan_headless){ arena_dup(l->c->mem, str_c(s->s->key)), p->port, NULL };
	l->headless_at[l->n_headless++] = x;
}

static bool own_network(struct compile *c, const struct vip *v)
{
	return !*v->network || !strcmp(v->network, c->set->network);
}

/* An address that Istio made up for a service without one: only who asked the mesh's DNS calls it. */
static bool made_up(const struct ip *ip)
{
	static const uint8_t v6[6] = { 0x20, 0x01, 0x00, 0x02 };

	return ip_is_v4(ip) ? ip->b[12] == 240 && ip->b[13] == 240 : !memcmp(ip->b, v6, sizeof(v6));
}

static void listen_service(struct listeners *l, struct egress *e, struct seen *s, const struct service_port *p)
{
	struct cidr *blocks = TMP(l->c, struct cidr, s->s->n_vips);
	bool http = shape_of(p->app) == SHAPE_HTTP, through = compile_through_waypoint(l->c, s->s), real = false;
	struct service_port own = *p;
	struct addr at = { .port = p->port };
	int n = 0, single = 0;

	ip_parse(str_c("0.0.0.0"), &at.ip);
	/* A waypoint gets what comes to an address of its service as it is, whatever it carries. */
	if (through)
		own.app = PROTOCOL_TCP;
	for (int i = 0; (!http || through) && i < s->s->n_vips; i++) {
		const struct vip *v = &s->s->vips[i];

		if (own_network(l->c, v) && v->cidr.bits == 128) {
			struct addr vip = { v->cidr.ip, p->port };

			listen_at(l, e, s, &own, &vip, false, NULL, 0);
			single++;
			real = real || !made_up(&v->cidr.ip);
		} else if (own_network(l->c, v)) {
			blocks[n++] = v->cidr;
		}
	}
	if (http)
		listen_at(l, e, s, p, &at, false, NULL, 0);
	else if (n)
		listen_at(l, e, s, p, &at, false, blocks, n);
	else if (!single && s->s->core && s->s->headless)
		listen_headless(l, e, s, p);
	else if (!single || (!real && p->app == PROTOCOL_TLS))
		listen_at(l, e, s, p, &at, false, NULL, 0);      /* TLS tells whom it wants */
}

/* An egress entry with a port of its own. */
static void listen_entry(struct listeners *l, struct egress *e)
{
	const struct scope_egress *conf = e->conf;
	bool real = conf->capture == SCOPE_CAPTURE_NONE || l->c->mc->proxy.interception == PROXY_NONE;
	struct service_port port = { .port = conf->port->number, .name = conf->port->name, .protocol = conf->port->protocol, .app = conf->port->app };
	struct addr at = { .port = port.port };

	if (!strncmp(conf->bind, "unix:", 5) || !strcmp(conf->port->protocol, "HTTP_PROXY")) {
		compile_report(l->c, &l->c->scope->r, "its egress port %u is not honoured: %s", port.port, *conf->bind == 'u' ? "it is bound to a Unix socket" : "an HTTP proxy");
		return;
	}
	if (ip_parse(str_c(*conf->bind ? conf->bind : real ? "127.0.0.1" : "0.0.0.0"), &at.ip) != 0) {
		compile_report(l->c, &l->c->scope->r, "its egress bind \"%s\" is not an address: the entry is left out", conf->bind);
		return;
	}
	for (int i = 0; i < e->n_services; i++) {
		struct seen *s = e->services[i];

		/* Bytes go to the service's own address unless the entry says where to listen. */
		if (*conf->bind || real || shape_of(port.app) == SHAPE_HTTP)
			listen_at(l, e, s, &port, &at, real, NULL, 0);
		else
			listen_service(l, e, s, &port);
	}
}

/* ---- into the plan ---- */

/* The most specific match counts in Envoy, whatever the order: blocks by their length, then exact names, then longer wildcards. */
struct ranked { struct l4_route r; int at; };

static int sni_rank(const struct l4_route *r)
{
	if (!r->n_sni)
		return 0;
	return host_wild(r->sni[0]) ? (int)strlen(r->sni[0]) : 1 << 16;
}

static int by_rank(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;
	int p = x->r.n_to ? x->r.to->bits + 1 : 0, q = y->r.n_to ? y->r.to->bits + 1 : 0;

	if (p != q)
		return q - p;
	p = sni_rank(&x->r);
	q = sni_rank(&y->r);
	return p != q ? q - p : x->at - y->at;
}

/* One row for each name and block. */
static const struct l4_route *finish(struct compile *c, const struct l4_list *l, int *ret_n)
{
	struct ranked *ranked;
	struct l4_route *out;
	int n = 0;

	for (int i = 0; i < l->n; i++)
		n += (l->v[i].n_sni ? l->v[i].n_sni : 1) * (l->v[i].n_to ? l->v[i].n_to : 1);
	ranked = TMP(c, struct ranked, n);
	n = 0;
	for (int i = 0; i < l->n; i++)
		for (int k = 0; k < l->v[i].n_sni || k == 0; k++)
			for (int j = 0; j < l->v[i].n_to || j == 0; j++) {
				struct l4_route r = l->v[i];

				r.sni = r.n_sni ? r.sni + k : NULL;
				r.n_sni = r.n_sni != 0;
				r.to = r.n_to ? r.to + j : NULL;
				r.n_to = r.n_to != 0;
				ranked[n] = (struct ranked){ r, n };
				n++;
			}
	if (n)
		qsort(ranked, (size_t)n, sizeof(*ranked), by_rank);
	out = NEW(c, struct l4_route, n);
	for (int i = 0; i < n; i++)
		out[i] = ranked[i].r;
	*ret_n = n;
	return out;
}

static const char *listener_name(struct compile *c, const struct addr *at)
{
	char text[ADDR_TEXT];

	return compile_printf(c->mem, "%s_%u", ip_format(&at->ip, text), at->port);
}

static void into_plan(struct listeners *l)
{
	struct compile *c = l->c;
	struct plan *p = c->p;

	p->outbound = NEW(c, struct outbound_port, l->n);
	p->n_outbound = l->n;
	for (int i = 0; i < l->n; i++) {
		struct listener *x = l->v[i];
		struct outbound_port *o = &p->outbound[i];

		*o = (struct outbound_port){
			.name = listener_name(c, &x->at), .port = x->at.port, .protocol = x->protocol, .real = x->real, .at = x->at, .http = x->http,
		};
		o->tls = finish(c, &x->tls, &o->n_tls);
		o->tcp = finish(c, &x->tcp, &o->n_tcp);
		if (map_get(&l->by_addr, addr_key(&x->at)) != x)
			continue;
		if (ip_is_any(&x->at.ip))
			map_put(&p->by_port, (struct str){ (const char *)&o->port, sizeof(o->port) }, o);
		else
			map_put(&p->by_addr, addr_key(&o->at), o);
	}
	p->headless = NEW(c, struct plan_headless, l->n_headless);
	p->n_headless = l->n_headless;
	for (int i = 0; i < l->n_headless; i++) {
		p->headless[i] = l->headless[i];
		for (int k = 0; k < l->n; k++)
			if (l->v[k] == l->headless_at[i])
				p->headless[i].at = &p->outbound[k];
	}
}

void compile_outbound(struct compile *c)
{
	struct listeners l = { .c = c };

	for (int i = 0; i < c->n_egress; i++) {
		struct egress *e = &c->egress[i];

		if (e->conf && e->conf->port) {
			listen_entry(&l, e);
			continue;
		}
		for (int k = 0; k < l.n; k++)
			l.v[k]->locked = true;
		for (int k = 0; k < e->n_services; k++)
			for (int j = 0; j < e->services[k]->n_ports; j++)
				listen_service(&l, e, e->services[k], &e->services[k]->ports[j]);
	}
	into_plan(&l);
	map_done(&l.by_addr);
}
