/* SPDX-License-Identifier: Apache-2.0 */
#include "traffic/guard.h"

#include "traffic/dest.h"

#define NAMED_MAX 32         /* of one workload and port; what more are named admit nobody */

/* Whom a workload and its services name for one of its ports. From files that takes a walk over all services, so each thread remembers it
 * for the mesh that it looked at last. */
struct named {
	const struct mesh *m;
	uint64_t generation;
	const struct workload *w;
	uint16_t port;
	int n;
	const struct gateway *v[NAMED_MAX];
};

static void add(struct named *x, const struct gateway *g)
{
	if (!g || mesh_is_gateway(x->m, g, x->w))        /* itself */
		return;
	for (int i = 0; i < x->n; i++)
		if (gateway_eq(x->v[i], g))
			return;
	if (x->n < NAMED_MAX)
		x->v[x->n++] = g;
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

static bool add_service(struct service *s, void *arg)
{
	struct named *x = arg;
	const struct endpoint *e;

	if (!s->waypoint && !s->n_waypoints)
		return true;
	e = endpoints_find(s->endpoints, str_c(x->w->uid));
	if (!e || !is_port_of(s, e, x->port))
		return true;
	add(x, s->waypoint);
	for (int i = 0; i < s->n_waypoints; i++)
		add(x, &s->waypoints[i].gateway);
	return true;
}

static const struct named *named_by(const struct mesh *m, const struct workload *w, uint16_t port)
{
	static _Thread_local struct named table[32];
	struct named *x = &table[(hash_bytes(&w, sizeof(w)) ^ port) % ARRAY_LEN(table)];
	struct service *s;

	if (x->m == m && x->generation == mesh_generation(m) && x->w == w && x->port == port)
		return x;
	*x = (struct named){ .m = m, .generation = mesh_generation(m), .w = w, .port = port };
	add(x, w->waypoint);
	for (int i = 0; i < w->n_services; i++)
		if (*w->version && (s = mesh_service(m, str_c(w->services[i]))))
			add_service(s, x);
	/* A control plane says which they are; from files it is not known beforehand. */
	if (!*w->version && mesh_has_guarded(m))
		mesh_each_service(m, add_service, x);
	return x;
}

enum guard guard_ask(const struct mesh *m, const struct workload *w, uint16_t port, struct str peer, const struct gateway **ret)
{
	const struct named *x = named_by(m, w, port);

	if (ret)
		*ret = x->n ? x->v[0] : NULL;
	for (int i = 0; peer.n && i < x->n; i++) {
		if (!dest_has_identity(m, x->v[i], peer))
			continue;
		if (ret)
			*ret = NULL;
		return GUARD_MET;
	}
	return x->n ? GUARD_BYPASSED : GUARD_NONE;
}

const struct gateway *guard_bypassed(const struct mesh *m, const struct workload *w, uint16_t port, struct str peer)
{
	const struct gateway *g;

	guard_ask(m, w, port, peer, &g);
	return g;
}
