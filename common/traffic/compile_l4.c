/* SPDX-License-Identifier: Apache-2.0 */
/* Where bytes go that are not HTTP: rules of VirtualServices for TLS and TCP, else the service itself. */
#include <stdlib.h>

#include "traffic/compile_int.h"

#define TCP_IDLE_MS 3600000

static bool l4_for_us(struct compile *c, const struct vs *v, const struct vs_l4_match *m, uint16_t port)
{
	bool mesh = m->gateways.n == 0;

	for (int i = 0; i < m->gateways.n; i++)
		mesh = mesh || !strcmp(m->gateways.v[i], "mesh");
	return mesh && (!m->port || m->port == port) && compile_from_us(c, m->source_labels.v, m->source_labels.n, m->source_ns);
}

static unsigned idle_of(struct compile *c, const char *host)
{
	struct seen *s = map_get(&c->by_host, str_c(host));
	const struct rule *r = s ? compile_rule(c, s) : NULL;
	const struct dr_pool *pool = r && r->policy ? r->policy->pool : NULL;

	return pool && pool->tcp && pool->tcp->idle_timeout.set ? pool->tcp->idle_timeout.ms : TCP_IDLE_MS;
}

/* The port of a destination that names none: that of a service with one port, else the one that was called. */
static uint16_t default_port(struct compile *c, const char *host, uint16_t port)
{
	struct seen *s = map_get(&c->by_host, str_c(host));

	return s && s->n_ports == 1 ? s->ports[0].port : port;
}

static struct l4_route *row(struct compile *c, struct l4_list *l)
{
	if (l->n == l->cap) {
		int cap = l->cap ? l->cap * 2 : 2;
		struct l4_route *v = TMP(c, struct l4_route, cap);

		if (l->n)
			memcpy(v, l->v, (size_t)l->n * sizeof(*v));
		l->v = v;
		l->cap = cap;
	}
	l->v[l->n] = (struct l4_route){ .name = "" };
	return &l->v[l->n++];
}

static void fill_targets(struct compile *c, const struct vs *v, const struct vs_target *from, int n, uint16_t port, struct l4_route *r)
{
	struct route_target *t = NEW(c, struct route_target, n);

	for (int i = 0; i < n; i++) {
		const struct vs_destination *d = from[i].destination;
		struct route_target *to = &t[r->n_targets];

		if (!from[i].weight && (n > 1 || v->gateway))
			continue;
		to->cluster_name = compile_cluster_name(c, d, default_port(c, d->host, port), false);
		to->cluster = plan_cluster(c->p, str_c(to->cluster_name));
		to->weight = n > 1 ? from[i].weight : 1;
		to->host_rewrite = "";
		r->weight_sum += to->weight;
		r->n_targets++;
		if (!to->cluster)
			compile_report(c, &v->from->r, "its destination %s does not exist: connections to it are closed", to->cluster_name);
		compile_report_subset(c, v, d, to->cluster);
	}
	r->targets = t;
	r->name = v->name;
	r->idle_ms = n ? idle_of(c, from[0].destination->host) : TCP_IDLE_MS;
}

static const struct cidr *subnets(struct compile *c, const char *const *texts, int n)
{
	struct cidr *v = NEW(c, struct cidr, n);

	for (int i = 0; i < n; i++)
		cidr_parse(str_c(texts[i]), &v[i]);      /* checked when it was read */
	return v;
}

static const struct cidr *kept(struct compile *c, const struct cidr *to, int n)
{
	struct cidr *v = NEW(c, struct cidr, n);

	if (n)
		memcpy(v, to, (size_t)n * sizeof(*v));
	return v;
}

static void service_row(struct compile *c, struct seen *s, uint16_t port, const struct cidr *to, int n_to, struct l4_list *l)
{
	struct l4_route *r = row(c, l);
	struct route_target *t = NEW(c, struct route_target, 1);
	const char *name = compile_printf(c->mem, "outbound|%u||%s", s->n_ports == 1 ? s->ports[0].port : port, s->host);

	*t = (struct route_target){ .cluster = plan_cluster(c->p, str_c(name)), .cluster_name = name, .weight = 1, .host_rewrite = "" };
	*r = (struct l4_route){ .name = name, .targets = t, .n_targets = 1, .weight_sum = 1, .idle_ms = idle_of(c, s->host), .to = kept(c, to, n_to), .n_to = n_to };
}

static bool about(const struct vs *v, const struct seen *s, uint16_t port)
{
	for (int i = 0; i < v->n_hosts; i++)
		if (host_matches(v->hosts[i], s->host) && (!v->port || v->port == port))
			return true;
	return false;
}

static bool tls_rows(struct compile *c, const struct vs *v, uint16_t port, const struct cidr *to, int n_to, struct l4_list *l)
{
	bool any = false;

	for (int i = 0; i < v->from->tls.n; i++) {
		const struct vs_l4 *rule = &v->from->tls.v[i];

		for (int k = 0; k < rule->match.n && rule->route.n; k++) {
			const struct vs_l4_match *m = &rule->match.v[k];
			struct l4_route *r;

			if (!l4_for_us(c, v, m, port))
				continue;
			any = true;
			r = row(c, l);
			fill_targets(c, v, rule->route.v, rule->route.n, port, r);
			r->sni = m->sni_hosts.v;
			r->n_sni = m->sni_hosts.n;
			r->to = m->destination_subnets.n ? subnets(c, m->destination_subnets.v, m->destination_subnets.n) : kept(c, to, n_to);
			r->n_to = m->destination_subnets.n ? m->destination_subnets.n : n_to;
		}
	}
	return any;
}

/* TLSRoute: its hostnames are the SNI; none: any. */
static bool tls_route_rows(struct compile *c, const struct vs *v, uint16_t port, struct l4_list *l)
{
	for (int i = 0; i < v->from->tls.n; i++) {
		struct l4_route *r;

		if (v->from->tls.v[i].match.n)
			continue;
		r = row(c, l);
		fill_targets(c, v, v->from->tls.v[i].route.v, v->from->tls.v[i].route.n, port, r);
		r->sni = v->from->hostnames.v;
		r->n_sni = v->from->hostnames.n;
		return true;
	}
	return false;
}

static void tls_of(struct compile *c, struct egress *e, struct seen *s, uint16_t port, const struct cidr *to, int n_to, bool wildcard, struct l4_list *l)
{
	bool any = false;

	for (int i = 0; i < e->n_vs && !compile_through_waypoint(c, s->s); i++) {
		const struct vs *v = e->vs[i];

		if (!about(v, s, port))
			continue;
		any = tls_rows(c, v, port, to, n_to, l) || any;
		any = (v->gateway && tls_route_rows(c, v, port, l)) || any;
	}
	if (any)
		return;
	service_row(c, s, port, to, n_to, l);
	if (n_to || wildcard) {
		const char **sni = NEW(c, const char *, 1);

		sni[0] = arena_dup(c->mem, str_c(s->host));
		l->v[l->n - 1].sni = sni;
		l->v[l->n - 1].n_sni = 1;
	}
}

/* True: the service itself is not reached any more. */
static bool tcp_rows(struct compile *c, const struct vs *v, uint16_t port, const struct cidr *to, int n_to, struct l4_list *l)
{
	for (int i = 0; i < v->from->tcp.n; i++) {
		const struct vs_l4 *rule = &v->from->tcp.v[i];
		bool all = rule->match.n == 0;
		struct l4_route *r;

		if (!rule->route.n)
			continue;
		for (int k = 0; k < rule->match.n; k++)
			all = all || (l4_for_us(c, v, &rule->match.v[k], port) && !rule->match.v[k].destination_subnets.n);
		if (all) {
			r = row(c, l);
			fill_targets(c, v, rule->route.v, rule->route.n, port, r);
			r->to = kept(c, to, n_to);
			r->n_to = n_to;
			return true;
		}
		for (int k = 0; k < rule->match.n; k++) {
			const struct vs_l4_match *m = &rule->match.v[k];

			if (!l4_for_us(c, v, m, port))
				continue;
			r = row(c, l);
			fill_targets(c, v, rule->route.v, rule->route.n, port, r);
			r->to = subnets(c, m->destination_subnets.v, m->destination_subnets.n);
			r->n_to = m->destination_subnets.n;
		}
	}
	return false;
}

void compile_tcp_rows(struct compile *c, const struct vs *v, uint16_t port, struct l4_list *l)
{
	tcp_rows(c, v, port, NULL, 0, l);
}

/* A rule for the service's own name is for all TLS: the service is known by its address. */
void compile_tls_rows(struct compile *c, const struct vs *v, const struct seen *s, uint16_t port, struct l4_list *l)
{
	int before = l->n;

	tls_rows(c, v, port, NULL, 0, l);
	if (v->gateway)
		tls_route_rows(c, v, port, l);
	for (int i = before; i < l->n; i++)
		if (l->v[i].n_sni == 1 && !strcmp(l->v[i].sni[0], s->host))
			l->v[i].n_sni = 0;
}

void compile_l4(struct compile *c, struct egress *e, struct seen *s, const struct service_port *p, const struct cidr *to, int n_to, bool wildcard,
		struct l4_list *tls, struct l4_list *tcp)
{
	if (p->app == PROTOCOL_TLS) {
		tls_of(c, e, s, p->port, to, n_to, wildcard, tls);
		return;
	}
	for (int i = 0; i < e->n_vs && !compile_through_waypoint(c, s->s); i++)
		if (about(e->vs[i], s, p->port) && tcp_rows(c, e->vs[i], p->port, to, n_to, tcp))
			return;
	service_row(c, s, p->port, to, n_to, tcp);
}
