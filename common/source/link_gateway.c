/* SPDX-License-Identifier: Apache-2.0 */
#include "source/link_gateway.h"

#include <stdio.h>

static const char *text(struct gates *g, const char *ns, const char *name)
{
	size_t n = strlen(ns) + strlen(name) + 2;
	char *t = arena_alloc(&g->a, n);

	snprintf(t, n, "%s/%s", ns, name);
	return t;
}

void gates_init(struct gates *g, const struct link_input *in)
{
	*g = (struct gates){ .in = in };
	for (size_t i = 0; i < in->n; i++) {
		const struct conf_obj *o = in->objs[i];

		if (o->bad || o->skipped)
			continue;
		if (o->kind == CONF_NAMESPACE && o->u.ns->waypoint.name)
			map_put(&g->spaces, str_c(o->u.ns->name), o->u.ns);
		if (o->kind != CONF_GATEWAY)
			continue;
		map_put(&g->named, str_c(text(g, o->u.gateway->ns, o->u.gateway->name)), o->u.gateway);
		if (*o->u.gateway->network && !map_get(&g->networks, str_c(o->u.gateway->network)))
			map_put(&g->networks, str_c(o->u.gateway->network), o->u.gateway);
	}
}

void gates_done(struct gates *g)
{
	map_done(&g->named);
	map_done(&g->networks);
	map_done(&g->spaces);
	arena_done(&g->a);
}

static void report_missing(struct gates *g, const struct conf_obj *o, const char *ns, const char *key, bool closed)
{
	const char *obj_ns, *name;

	conf_obj_key(o, &obj_ns, &name);

	struct finding at = { .level = FINDING_WARNING, .file = g->in->paths[o->file], .line = o->line, .kind = conf_kind_name(o->kind),
			      .ns = ns, .name = name, .path = "metadata.labels.istio.io/use-waypoint" };

	report_add(g->in->report, &at, "there is no Gateway '%s' of the class istio-waypoint: traffic %s", key,
		   closed ? "is refused (MESHD_ENFORCEMENT)" : "passes no waypoint, as in Istio");
}

const struct gateway *gates_waypoint(struct gates *g, const struct conf_obj *o, const char *ns, const struct conf_waypoint *own, bool workload)
{
	const struct conf_namespace *space = map_get(&g->spaces, str_c(ns));
	const struct conf_waypoint *w = own->name ? own : space ? &space->waypoint : own;
	bool closed = g->in->settings->stance >= STANCE_CLOSED;
	const struct conf_gateway *gate;
	struct gateway *none;
	const char *key;

	if (!w->name || !strcmp(w->name, "none"))
		return NULL;
	key = text(g, *w->ns ? w->ns : ns, w->name);
	gate = map_get(&g->named, str_c(key));
	if (gate && !*gate->network)
		return (workload ? gate->for_workloads : gate->for_services) ? &gate->at : NULL;
	report_missing(g, o, ns, key, closed);
	if (!closed)
		return NULL;
	none = arena_alloc(&g->a, sizeof(*none));
	*none = (struct gateway){ .service = key, .network = "", .hbone_port = 15008 };
	return none;
}

static const char *label(const struct workload *w, const char *key)
{
	for (int i = 0; i < w->n_labels; i++)
		if (!strcmp(w->labels[i].key, key))
			return w->labels[i].value;
	return NULL;
}

struct workload *gates_place(struct gates *g, const struct conf_obj *o, struct workload *w, struct workload **placed)
{
	struct field_labels labels = { .v = (struct label *)w->labels, .n = w->n_labels };
	struct conf_waypoint own = conf_waypoint_read(&labels);
	const struct conf_gateway *gate = map_get(&g->networks, str_c(w->network));
	const size_t refs = sizeof(w->refs);   /* the first member; workers change it meanwhile */
	struct workload copy = { .uid = NULL };

	memcpy((char *)&copy + refs, (const char *)w + refs, sizeof(copy) - refs);
	/* The proxies of a waypoint pass none. */
	if (!label(w, "gateway.networking.k8s.io/gateway-name") && !label(w, "gateway.istio.io/managed"))
		copy.waypoint = gates_waypoint(g, o, w->ns, &own, true);
	copy.network_gateway = gate ? &gate->at : NULL;
	if (!copy.waypoint && !copy.network_gateway) {
		workload_unref(*placed);
		*placed = NULL;
		return w;
	}
	if (!*placed || !gateway_eq((*placed)->waypoint, copy.waypoint) || !gateway_eq((*placed)->network_gateway, copy.network_gateway)) {
		workload_unref(*placed);
		*placed = workload_new(&copy);
	}
	return *placed;
}
