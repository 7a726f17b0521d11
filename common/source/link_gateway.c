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
		if (o->kind == CONF_NAMESPACE)
			map_put(&g->spaces, str_c(o->u.ns->name), o->u.ns);
		if (o->kind != CONF_GATEWAY)
			continue;
		map_put(&g->named, str_c(text(g, o->u.gateway->ns, o->u.gateway->name)), o->u.gateway);
		if (!*o->u.gateway->network && *o->u.gateway->at.service)
			map_put(&g->services, str_c(o->u.gateway->at.service), o->u.gateway);
		if (*o->u.gateway->network && !map_get(&g->networks, str_c(o->u.gateway->network)))
			map_put(&g->networks, str_c(o->u.gateway->network), o->u.gateway);
	}
}

void gates_done(struct gates *g)
{
	map_done(&g->named);
	map_done(&g->networks);
	map_done(&g->spaces);
	map_done(&g->services);
	arena_done(&g->a);
}

bool gates_service(const struct gates *g, const char *key)
{
	return map_get(&g->services, str_c(key)) != NULL;
}

static const char *label_in(const struct label *v, int n, const char *key)
{
	for (int i = 0; i < n; i++)
		if (!strcmp(v[i].key, key))
			return v[i].value;
	return NULL;
}

/* Every namespace has its name as a label, whether it is written or not. */
static bool meets(const struct conf_demand *d, const struct conf_namespace *space, const char *ns)
{
	const char *value = space ? label_in(space->labels, space->n_labels, d->key) : NULL;
	bool is = false;

	if (!value && !strcmp(d->key, "kubernetes.io/metadata.name"))
		value = ns;
	for (int i = 0; value && i < d->n && !is; i++)
		is = !strcmp(value, d->values[i]);
	return d->how == LABEL_IN ? is : d->how == LABEL_NOT_IN ? !is : (d->how == LABEL_EXISTS) == (value != NULL);
}

static bool admits(struct gates *g, const struct conf_gateway *gate, const char *ns)
{
	if (gate->from != FROM_SELECTOR)
		return gate->from == FROM_ALL || (gate->from == FROM_SAME && !strcmp(gate->ns, ns));
	for (int i = 0; i < gate->n_demands; i++)
		if (!meets(&gate->demands[i], map_get(&g->spaces, str_c(ns)), ns))
			return false;
	return gate->n_demands > 0;
}

static struct finding label_of(const struct gates *g, const struct conf_obj *o, const char *ns)
{
	const char *obj_ns, *name;

	conf_obj_key(o, &obj_ns, &name);
	return (struct finding){ .level = FINDING_WARNING, .file = g->in->paths[o->file], .line = o->line, .kind = conf_kind_name(o->kind),
				 .ns = ns, .name = name, .path = "metadata.labels.istio.io/use-waypoint" };
}

static void report_missing(struct gates *g, const struct conf_obj *o, const char *ns, const char *key, bool there, bool closed)
{
	struct finding at = label_of(g, o, ns);

	report_add(g->in->report, &at, there ? "the Gateway '%s' is not for objects of this namespace (its listener's allowedRoutes): traffic %s" :
		   "there is no Gateway '%s' of the class istio-waypoint: traffic %s", key,
		   closed ? "is refused (MESHD_ENFORCEMENT)" : "passes no waypoint, as in Istio");
}

/* Its own label asks for what the waypoint is not for; a namespace's is for both kinds of objects. */
static void report_purpose(struct gates *g, const struct conf_obj *o, const char *ns, const char *key, bool workload)
{
	struct finding at = label_of(g, o, ns);

	report_add(g->in->report, &at, "the waypoint '%s' is not for %s (its label istio.io/waypoint-for, service when absent): traffic passes no waypoint, as in Istio", key,
		   workload ? "workloads" : "services");
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
	if (gate && *gate->network)
		gate = NULL;
	if (gate && admits(g, gate, ns)) {
		if (workload ? gate->for_workloads : gate->for_services)
			return &gate->at;
		if (own->name && (!workload || o->kind == CONF_WORKLOAD_ENTRY || o->kind == CONF_POD))   /* not the endpoint of an entry that is labelled */
			report_purpose(g, o, ns, key, workload);
		return NULL;
	}
	report_missing(g, o, ns, key, gate != NULL, closed);
	if (!closed)
		return NULL;
	none = arena_alloc(&g->a, sizeof(*none));
	*none = (struct gateway){ .service = key, .network = "", .hbone_port = 15008 };
	return none;
}

/* The key of the external service that an endpoint is written out in, if that names a waypoint; NULL: none. Where the stance is closed its own
 * address is no way around (traffic/dest.h). */
static const char *external_of(struct gates *g, const struct conf_obj *o, const struct workload *w)
{
	const struct conf_service *s = o->kind == CONF_SERVICE_ENTRY ? o->u.service : NULL;

	if (!s || !s->external || !s->n_hosts || g->in->settings->stance < STANCE_CLOSED || !gates_waypoint(g, o, w->ns, &s->waypoint, false))
		return NULL;
	return text(g, s->ns, s->hosts[0]);
}

struct workload *gates_place(struct gates *g, const struct conf_obj *o, struct workload *w, struct workload **placed)
{
	struct field_labels labels = { .v = (struct label *)w->labels, .n = w->n_labels };
	struct conf_waypoint own = conf_waypoint_read(&labels);
	const struct conf_gateway *gate = map_get(&g->networks, str_c(w->network));
	const size_t refs = sizeof(w->refs);   /* the first member; workers change it meanwhile */
	const char *external = external_of(g, o, w);
	struct workload copy = { .uid = NULL };

	memcpy((char *)&copy + refs, (const char *)w + refs, sizeof(copy) - refs);
	/* The proxies of a waypoint pass none. */
	if (!label_in(w->labels, w->n_labels, "gateway.networking.k8s.io/gateway-name") && !label_in(w->labels, w->n_labels, "gateway.istio.io/managed"))
		copy.waypoint = gates_waypoint(g, o, w->ns, &own, true);
	copy.network_gateway = gate ? &gate->at : NULL;
	if (external) {
		copy.services = &external;
		copy.n_services = 1;
	}
	if (!copy.waypoint && !copy.network_gateway && !external) {
		workload_unref(*placed);
		*placed = NULL;
		return w;
	}
	if (!*placed || !gateway_eq((*placed)->waypoint, copy.waypoint) || !gateway_eq((*placed)->network_gateway, copy.network_gateway) ||
	    (*placed)->n_services != copy.n_services) {
		workload_unref(*placed);
		*placed = workload_new(&copy);
	}
	return *placed;
}
