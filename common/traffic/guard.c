/* SPDX-License-Identifier: Apache-2.0 */
#include "traffic/guard.h"

#include "traffic/dest.h"

struct judging {
	const struct mesh *m;
	const struct workload *w;
	uint16_t port;
	struct str peer;
	const struct gateway *bypassed;   /* the first that the peer is not */
	bool met;                         /* the peer is one */
};

static void ask(struct judging *g, const struct gateway *waypoint)
{
	if (!waypoint || g->met || dest_is_gateway(g->m, waypoint, g->w))   /* itself */
		return;
	if (g->peer.n && dest_has_identity(g->m, waypoint, g->peer))
		g->met = true;
	else if (!g->bypassed)
		g->bypassed = waypoint;
}

static bool is_port_of(const struct service *s, const struct endpoint *e, uint16_t port)
{
	for (int i = 0; i < s->n_ports; i++) {
		uint16_t own = endpoint_target(e, s->ports[i].port), target = s->ports[i].target ? s->ports[i].target : s->ports[i].port;

		if ((own ? own : s->ports[i].named ? 0 : target) == port)
			return true;
	}
	return false;
}

static bool ask_service(struct service *s, void *arg)
{
	struct judging *g = arg;
	const struct endpoint *e;

	if (!s->waypoint && !s->n_waypoints)
		return true;
	e = endpoints_find(s->endpoints, str_c(g->w->uid));
	if (!e || !is_port_of(s, e, g->port))
		return true;
	ask(g, s->waypoint);
	for (int i = 0; i < s->n_waypoints; i++)
		ask(g, s->waypoints[i].weight ? &s->waypoints[i].gateway : NULL);
	return !g->met;
}

static struct judging judge(const struct mesh *m, const struct workload *w, uint16_t port, struct str peer)
{
	struct judging g = { .m = m, .w = w, .port = port, .peer = peer };
	struct service *s;

	ask(&g, w->waypoint);
	for (int i = 0; i < w->n_services && !g.met; i++)
		if (*w->version && (s = mesh_service(m, str_c(w->services[i]))))
			ask_service(s, &g);
	/* A control plane says which they are; from files it is not known beforehand. */
	if (!*w->version && !g.met && mesh_has_guarded(m))
		mesh_each_service(m, ask_service, &g);
	return g;
}

enum guard guard_ask(const struct mesh *m, const struct workload *w, uint16_t port, struct str peer, const struct gateway **ret)
{
	struct judging g = judge(m, w, port, peer);

	if (ret)
		*ret = g.met ? NULL : g.bypassed;
	return g.met ? GUARD_MET : g.bypassed ? GUARD_BYPASSED : GUARD_NONE;
}

const struct gateway *guard_bypassed(const struct mesh *m, const struct workload *w, uint16_t port, struct str peer)
{
	const struct gateway *g;

	guard_ask(m, w, port, peer, &g);
	return g;
}
