/* SPDX-License-Identifier: Apache-2.0 */
/* What leaves the client: as it is, by ztunnel's choice, or by its sidecar's routes. */
#include <stdio.h>
#include <time.h>

#include "source/path_int.h"
#include "traffic/dest.h"
#include "traffic/intake.h"

/* --- without a proxy: the node's service proxy, or nobody, chooses an endpoint --- */

static uint16_t target_port(const struct service *s, const struct endpoint *e, uint16_t port)
{
	uint16_t own = endpoint_target(e, port);

	for (int i = 0; i < s->n_ports && !own; i++)
		if (s->ports[i].port == port && !s->ports[i].named)
			own = s->ports[i].target ? s->ports[i].target : port;
	return own;
}

static void plain_leg(struct path_walk *k, struct path_hop *h, const struct path_wire *wire, const struct workload *w, const struct addr *to, unsigned share)
{
	struct path_leg *l = path_leg(k, h, share);

	l->wire = path_wire(k, wire);
	l->wire->how = CARRIED_PLAIN;
	l->wire->to = *to;
	l->carried = "plaintext";
	path_endpoint(k, l, w, to);
}

static bool is_reachable(const struct endpoint *e, const struct service *s)
{
	return e->workload->n_ips && (e->workload->healthy || s->allow_unhealthy);
}

static void from_none(struct path_walk *k, struct path_hop *h, const char *ns, const struct path_wire *wire)
{
	const struct mesh *m = path_view(k, MODE_ZTUNNEL);
	struct str network;
	const struct workload *w;
	struct service *s;
	int n = 0;

	if (!m)
		return;
	network = str_c(mesh_settings(m)->network);
	s = mesh_service_by_vip(m, network, &wire->to.ip, str_c(ns));
	w = mesh_workload_by_ip(m, network, &wire->to.ip);
	if (w || !s) {
		plain_leg(k, h, wire, w, &wire->to, 10000);
		return;
	}
	path_fact(k, h, "service", "%s", s->key);
	for (int i = 0; i < s->endpoints->n; i++) {
		const struct endpoint *e = endpoints_at(s->endpoints, i);

		n += is_reachable(e, s) && target_port(s, e, wire->to.port);
	}
	for (int i = 0; i < s->endpoints->n; i++) {
		const struct endpoint *e = endpoints_at(s->endpoints, i);
		struct addr to = { .port = target_port(s, e, wire->to.port) };

		if (!is_reachable(e, s) || !to.port)
			continue;
		to.ip = e->workload->ips[0];
		plain_leg(k, h, wire, e->workload, &to, 10000 / (unsigned)n);
	}
	if (!n)
		path_breaks(k, h, 10000, wire, PATH_REFUSE, FAIL_NO_ENDPOINT, s->key);
}

/* --- ztunnel --- */

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static struct path_leg *leg_to(struct path_hop *h, const struct path_wire *as, const char *ns, const char *name)
{
	for (int i = 0; i < h->n_legs; i++) {
		const struct path_wire *w = h->legs[i].wire;

		if (w && w->how == as->how && w->to.port == as->to.port && ip_eq(&w->to.ip, &as->to.ip) && (ns ? w->ns && !strcmp(w->ns, ns) && !strcmp(w->name, name) : !w->ns))
			return &h->legs[i];
	}
	return NULL;
}

static void leg_of_dest(struct path_walk *k, struct path_hop *h, const struct path_wire *wire, const struct dest *d)
{
	static const char *const carried[] = { [DEST_PASSTHROUGH] = "plaintext", [DEST_PLAIN] = "plaintext", [DEST_ISTIO_MTLS] = "Istio mTLS", [DEST_HBONE] = "HBONE",
					       [DEST_DOUBLE] = "HBONE in HBONE" };
	struct path_wire *to = path_wire(k, wire);
	struct path_leg *l;

	to->how = d->kind == DEST_HBONE || d->kind == DEST_DOUBLE ? CARRIED_HBONE : d->kind == DEST_ISTIO_MTLS ? CARRIED_ISTIO_MTLS : CARRIED_PLAIN;
	to->to = d->target;
	to->across = d->kind == DEST_DOUBLE;
	to->waypoint = d->waypoint && !to->across;
	to->principal = to->how == CARRIED_PLAIN ? "" : h->identity;
	l = leg_to(h, to, d->workload ? d->workload->ns : NULL, d->workload ? d->workload->name : NULL);
	if (l) {
		l->share++;
		return;
	}
	l = path_leg(k, h, 1);
	l->wire = to;
	l->carried = carried[d->kind];
	path_endpoint(k, l, d->workload, d->kind == DEST_HBONE ? &d->target : &d->connect);
}

static void from_ztunnel(struct path_walk *k, struct path_hop *h, const char *uid, const struct path_wire *wire)
{
	const struct mesh *m = path_view(k, MODE_ZTUNNEL);
	const struct workload *w = m ? mesh_workload(m, str_c(uid)) : NULL;
	char name[320];
	struct dest d;

	for (int i = 0; w && i < PATH_SAMPLES; i++) {
		uint64_t seed = (uint64_t)i + 1;

		dest_choose(m, w, &wire->to, NULL, &seed, now_ms(), &d);
		if (i == 0 && d.service)
			path_fact(k, h, "service", "%s", d.service->key);
		if (d.kind == DEST_NONE) {
			path_breaks(k, h, 10000, wire, PATH_REFUSE, d.why, d.missing ? dest_gateway_name(d.missing, name) : d.service ? d.service->key : "");
			return;
		}
		leg_of_dest(k, h, wire, &d);
	}
	path_divide(h, 0, 10000);
}

/* --- its sidecar --- */

static void on_report(void *arg, const char *object, const char *text)
{
	struct { struct path_walk *k; struct path_hop *h; } *to = arg;

	const char *note = path_printf(to->k, "%s: %s", object, text);

	for (int i = 0; i < to->h->n_facts; i++)
		if (!strcmp(to->h->facts[i].text, note))
			return;
	path_fact(to->k, to->h, "note", "%s", note);
}

/* Bytes as they come; where nobody says anything of them, as what is unknown. */
static void by_address(struct path_walk *k, struct path_hop *h, const struct path_sender *s, const struct plan *p, const struct outbound_port *o, bool tls,
		       const struct path_wire *wire)
{
	const char *sni = path_host(k, wire);
	const struct l4_route *r = NULL;

	if (tls) {
		struct path_wire inside = *wire;

		inside.tls_inside = true;
		path_fact(k, h, "reads", "TLS for %s, since the port is declared as %s", sni, "TLS");
		r = l4_route_find(o->tls, o->n_tls, &wire->to.ip, sni);
		if (r) {
			path_l4(k, h, s, r, &inside);
			return;
		}
	}
	r = l4_route_find(o->tcp, o->n_tcp, &wire->to.ip, NULL);
	if (r)
		path_l4(k, h, s, r, wire);
	else if (!o->n_tcp)
		path_cluster(k, h, s, plan_unknown(p), 10000, wire);
	else
		path_breaks(k, h, 10000, wire, PATH_REFUSE, FAIL_NO_ROUTE, o->name);
}

static void from_plan(struct path_walk *k, struct path_hop *h, const struct path_sender *s, const struct plan *p, const struct path_wire *wire)
{
	const struct outbound_port *o = plan_outbound(p, &wire->to);

	if (!o) {
		path_fact(k, h, "unknown", "no service is there: %s", cluster_conf(plan_unknown(p))->name);
		path_cluster(k, h, s, plan_unknown(p), 10000, wire);
		return;
	}
	path_fact(k, h, "listener", "%s", o->name);
	if (o->http && (intake_is_http(o->protocol) || o->protocol == PROTOCOL_AUTO)) {
		struct path_wire read = *wire;
		struct exchange x;

		path_exchange(wire, &(struct exchange_client){ .inbound = false }, &x);
		path_clean(s->m, &x);
		path_exchange_keep(k, &x, &read);
		arena_done(&x.arena);
		read.answered = read.requests = true;
		path_route(k, h, s, o->http, &read);
	} else {
		by_address(k, h, s, p, o, o->protocol == PROTOCOL_TLS, wire);
	}
}

static void from_sidecar(struct path_walk *k, struct path_hop *h, const char *uid, const struct path_wire *wire)
{
	const struct mesh *m = path_view(k, MODE_SIDECAR);
	const struct workload *w = m ? mesh_workload(m, str_c(uid)) : NULL;
	struct path_sender s = { m, w, h->identity };
	struct { struct path_walk *k; struct path_hop *h; } to = { k, h };
	struct plan *p;

	if (!w)
		return;
	p = plan_compile(m, w, NULL, on_report, &to);
	from_plan(k, h, &s, p, wire);
	plan_unref(p);
}

void path_from_client(struct path_walk *k, struct path_hop *h, const struct workload *w, enum path_proxy proxy, struct path_wire *wire)
{
	const char *uid = w ? path_copy(k, str_c(w->uid)) : "", *ns = w ? path_copy(k, str_c(w->ns)) : "";
	char text[ADDR_TEXT];

	path_fact(k, h, "asks", "%.*s http://%.*s%.*s at %s", STR_FMT(wire->method), STR_FMT(wire->authority), STR_FMT(wire->path), addr_format(&wire->to, text));
	if (proxy == PATH_ZTUNNEL)
		from_ztunnel(k, h, uid, wire);
	else if (proxy == PATH_SIDECAR || proxy == PATH_WAYPOINT)
		from_sidecar(k, h, uid, wire);
	else
		from_none(k, h, ns, wire);
}
