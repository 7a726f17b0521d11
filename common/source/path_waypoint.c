/* SPDX-License-Identifier: Apache-2.0 */
/* What a waypoint does with what it is asked for: its policies, then the service's routes, then on in its own name. */
#include "source/path_int.h"
#include "traffic/dest.h"
#include "traffic/intake.h"

static void on_report(void *arg, const char *object, const char *text)
{
	(void)arg;
	(void)object;
	(void)text;
}

/* From here on it is the waypoint that connects; for whom, it says. */
static struct path_wire sent_on(const struct workload *w, const struct path_wire *wire)
{
	struct path_wire on = *wire;

	on.caller = wire->principal;
	on.caller_addr = wire->source;
	on.principal = "";
	on.source = (struct addr){ .port = 0 };
	if (w->n_ips)
		on.source.ip = w->ips[0];
	on.how = CARRIED_PLAIN;
	on.waypoint = false;
	return on;
}

static void bytes(struct path_walk *k, struct path_hop *h, const struct path_sender *s, const struct inbound_port *in, const struct path_wire *on)
{
	const struct l4_route *r = NULL;

	if (on->tls_inside)
		r = l4_route_find(in->by_sni, in->n_by_sni, &on->to.ip, path_host(k, on));
	if (!r)
		r = l4_route_find(in->bytes, in->n_bytes, &on->to.ip, NULL);
	if (r)
		path_l4(k, h, s, r, on);
	else if (in->to)
		path_cluster(k, h, s, in->to, 10000, on);
	else
		path_breaks(k, h, 10000, on, PATH_REFUSE, FAIL_NO_ROUTE, in->service);
}

static void serve(struct path_walk *k, struct path_hop *h, const struct path_sender *s, const struct service *service, const struct inbound_port *in,
		  struct path_wire *wire)
{
	enum intake what = intake_of(in->protocol, MTLS_UNSET, true, wire->tls_inside ? FIRST_TLS : FIRST_REQUEST);
	bool requests = what == INTAKE_REQUESTS;
	struct path_wire on;

	wire->tls_inside = wire->tls_inside || in->protocol == PROTOCOL_TLS;      /* as it is declared */
	if (what == INTAKE_REFUSE_TLS) {
		path_breaks(k, h, 10000, wire, PATH_REFUSE, FAIL_TLS, "TLS in the tunnel to a port whose protocol is HTTP");
		return;
	}
	path_fact(k, h, "reads", requests ? "requests" : "bytes");
	if (!path_judge(k, h, s->m, s->w, service, wire, requests))
		return;
	on = sent_on(s->w, wire);
	on.requests = requests;
	on.answered = on.answered || requests;
	if (requests)
		path_route(k, h, s, in->http, &on);
	else
		bytes(k, h, s, in, &on);
}

void path_at_waypoint(struct path_walk *k, struct path_hop *h, struct path_wire *wire)
{
	const struct mesh *m = path_view(k, MODE_WAYPOINT);
	const struct workload *w = m ? mesh_workload_named(m, str_c(wire->ns), str_c(wire->name)) : NULL;
	const struct path_sender s = { m, w, h->identity };
	const struct inbound_port *in;
	struct service *service;
	char text[ADDR_TEXT];
	enum fail why;
	struct plan *p;

	if (!w)
		return;
	if (wire->how != CARRIED_HBONE) {
		path_breaks(k, h, 10000, wire, PATH_REFUSE, FAIL_NOT_SERVED, "a waypoint is asked by HBONE alone");
		return;
	}
	why = dest_served(m, w, &wire->to, str_c(wire->host), &wire->to, &service);
	path_fact(k, h, "asked", "%s%s%s", addr_format(&wire->to, text), service ? ", " : "", service ? service->key : "");
	if (why != FAIL_NONE) {
		path_breaks(k, h, 10000, wire, PATH_REFUSE, why, wire->host ? wire->host : text);
		return;
	}
	p = plan_compile(m, w, NULL, on_report, NULL);
	in = service ? plan_served(p, str_c(service->key), wire->to.port) : plan_direct(p);
	if (in)
		serve(k, h, &s, service, in, wire);
	else
		path_breaks(k, h, 10000, wire, PATH_REFUSE, FAIL_NO_PORT, service ? service->key : "");
	plan_unref(p);
}
