/* SPDX-License-Identifier: Apache-2.0 */
/* The way to a waypoint or to the gateway of a network: by service, by a workload's host name, or by address. */
#include <stdio.h>

#include "traffic/dest_int.h"

static struct workload *workload_called(const struct mesh *m, const char *key)
{
	struct str host, ns = str_cut(str_c(key), '/', &host);

	return host.n ? mesh_workload_by_host(m, ns, host) : NULL;
}

static bool at_workload(const struct dest_ask *a, struct workload *w, const struct ip *want, uint16_t port, struct hop *ret)
{
	*ret = (struct hop){ .w = w, .at.port = port };
	dest_pick_ip(a, ret, want);
	return !ret->homeless || *w->hostname;
}

static bool by_name(struct dest_ask *a, const struct gateway *g, enum pick_as as, struct hop *ret)
{
	struct service *s = mesh_service(a->m, str_c(g->service));
	struct workload *w = s ? NULL : workload_called(a->m, g->service);

	if (s)
		return dest_pick(a, s, g->hbone_port, as, ret);
	return w && !dest_was_tried(a->tried, w) && at_workload(a, w, &a->original.ip, g->hbone_port, ret);
}

/* The address decides its own family. */
static bool by_address(struct dest_ask *a, const struct gateway *g, enum pick_as as, struct hop *ret)
{
	struct str ns = str_c(a->client ? a->client->ns : "");
	struct service *s = mesh_service_by_vip(a->m, str_c(g->network), &g->ip, ns);
	struct workload *w = mesh_workload_by_ip(a->m, str_c(g->network), &g->ip);
	struct addr original = a->original;
	bool found;

	if (!s)
		return w && !dest_was_tried(a->tried, w) && at_workload(a, w, &g->ip, g->hbone_port, ret);
	if (s->lb_mode == LB_PASSTHROUGH)
		return false;
	a->original = (struct addr){ g->ip, g->hbone_port };
	found = dest_pick(a, s, g->hbone_port, as, ret);
	a->original = original;
	return found;
}

bool dest_gate(struct dest_ask *a, const struct gateway *g, enum pick_as as, struct hop *ret)
{
	return *g->service ? by_name(a, g, as, ret) : by_address(a, g, as, ret);
}

struct service *dest_gate_find(const struct mesh *m, const struct gateway *g, struct workload **ret_w)
{
	struct service *s = *g->service ? mesh_service(m, str_c(g->service)) :
			    mesh_service_by_vip(m, str_c(g->network), &g->ip, (struct str){ 0 });

	*ret_w = s ? NULL : *g->service ? workload_called(m, g->service) : mesh_workload_by_ip(m, str_c(g->network), &g->ip);
	return s;
}

bool dest_network_gate(struct dest_ask *a, const struct workload *w, struct hop *ret)
{
	const struct gateway *g = w->network_gateway;

	if (!g)
		return false;
	if (!gateway_eq(a->gate_asked, g)) {
		a->gate_asked = g;
		if (!dest_gate(a, g, PICK_GATEWAY, &a->gate))
			a->gate.w = NULL;
	}
	*ret = a->gate;
	return ret->w != NULL;
}

const struct gateway *dest_service_waypoint(const struct service *s, uint64_t *seed)
{
	uint64_t total = 0, at;

	for (int i = 0; i < s->n_waypoints; i++)
		total += s->waypoints[i].weight;
	if (!total)
		return s->waypoint;
	at = dest_random_below(seed, total);
	for (int i = 0; i < s->n_waypoints; i++) {
		if (at < s->waypoints[i].weight)
			return &s->waypoints[i].gateway;
		at -= s->waypoints[i].weight;
	}
	return s->waypoint;
}

bool dest_serves(const struct mesh *m, const struct workload *w, const struct service *s)
{
	bool is = mesh_is_gateway(m, s->waypoint, w);

	for (int i = 0; !is && i < s->n_waypoints; i++)
		is = mesh_is_gateway(m, &s->waypoints[i].gateway, w);
	return is;
}

static bool is_identity_of(const struct service *s, struct str id)
{
	for (int i = 0; i < s->endpoints->n; i++)
		if (str_is(id, endpoints_at(s->endpoints, i)->workload->identity))
			return true;
	for (int i = 0; i < s->n_sans; i++)
		if (str_is(id, s->sans[i]))
			return true;
	return false;
}

bool dest_has_identity(const struct mesh *m, const struct gateway *g, struct str id)
{
	struct workload *w;
	struct service *s = dest_gate_find(m, g, &w);

	return s ? is_identity_of(s, id) : w && str_is(id, w->identity);
}

const char *dest_gateway_name(const struct gateway *g, char text[320])
{
	char ip[ADDR_TEXT];

	if (*g->service)
		snprintf(text, 320, "%.300s", g->service);
	else
		snprintf(text, 320, "%.200s/%s", g->network, ip_format(&g->ip, ip));
	return text;
}
