/* SPDX-License-Identifier: Apache-2.0 */
/* Gateways that meshd knows: waypoints, and the ways into networks. */
#include <stdio.h>
#include <stdlib.h>

#include "source/conf.h"
#include "source/value.h"

#define HBONE_PORT 15008

struct conf_waypoint conf_waypoint_read(const struct field_labels *l)
{
	const char *name = field_label(l, "istio.io/use-waypoint"), *ns = field_label(l, "istio.io/use-waypoint-namespace");

	return (struct conf_waypoint){ name && *name ? name : NULL, ns ? ns : "" };
}

struct conf_canary conf_canary_read(struct field_walk *w, const struct field_labels *labels, const struct field_labels *annotations)
{
	const char *name = field_label(labels, "istio.io/use-waypoint-canary"), *ns = field_label(labels, "istio.io/use-waypoint-canary-namespace");
	const char *weight = field_label(annotations, "istio.io/use-waypoint-canary-weight");
	struct conf_canary c = { .at = { name && *name ? name : NULL, ns ? ns : "" }, .weighed = weight != NULL };
	uint64_t percent = 0;

	c.bad = weight && (!str_to_u64(str_c(weight), &percent) || percent > 100);
	if (c.bad)
		field_warn(w, 0, "metadata.annotations.istio.io/use-waypoint-canary-weight", "want 0 to 100, got '%.40s': there is no canary", weight);
	c.percent = c.bad ? 0 : (unsigned)percent;
	return c;
}

/* NULL: there is none. */
static const struct crd_gateway_listener *hbone_listener(const struct crd_gateway *spec)
{
	const struct crd_gateway_listener *l = spec->listeners.v;

	for (int i = 0; i < spec->listeners.n; i++)
		if (!strcmp(l[i].protocol, "HBONE") && l[i].port)
			return &l[i];
	return NULL;
}

static const char *const *kept(struct arena *mem, const char *const *from, int n)
{
	const char **v = arena_alloc(mem, (size_t)n * sizeof(*v));

	for (int i = 0; i < n; i++)
		v[i] = arena_dup(mem, str_c(from[i]));
	return v;
}

static void read_origin(const struct crd_gateway_listener *l, struct conf_gateway *g)
{
	const struct crd_spaces *spaces = l && l->allowed ? l->allowed->namespaces : NULL;
	const struct crd_space_selector *s = spaces ? spaces->selector : NULL;
	struct arena *mem = &g->object->r.mem;
	struct conf_demand *v;

	g->from = spaces ? (enum conf_origin)spaces->from : FROM_SAME;
	if (g->from != FROM_SELECTOR || !s)
		return;
	v = arena_alloc(mem, (size_t)(s->labels.n + s->expressions.n) * sizeof(*v));
	for (int i = 0; i < s->labels.n; i++)
		v[g->n_demands++] = (struct conf_demand){ arena_dup(mem, str_c(s->labels.v[i].key)), LABEL_IN, kept(mem, &s->labels.v[i].value, 1), 1 };
	for (int i = 0; i < s->expressions.n; i++) {
		const struct crd_expression *e = (const struct crd_expression *)s->expressions.v + i;

		v[g->n_demands++] = (struct conf_demand){ arena_dup(mem, str_c(e->key)), e->operator, kept(mem, e->values.v, e->values.n), e->values.n };
	}
	g->demands = v;
}

static void read_purpose(struct field_walk *w, const struct crd_meta *m, struct conf_gateway *g)
{
	const char *v = field_label(&m->labels, "istio.io/waypoint-for");

	v = v ? v : "service";
	g->for_services = !strcmp(v, "service") || !strcmp(v, "all");
	g->for_workloads = !strcmp(v, "workload") || !strcmp(v, "all");
	if (!g->for_services && !g->for_workloads && strcmp(v, "none"))
		field_warn(w, 0, "metadata.labels.istio.io/waypoint-for", "want service, workload, all or none, got '%.40s': it counts as none", v);
}

/* One block with its texts. */
static struct conf_gateway *gateway_new(const struct conf_gateway *from)
{
	const char *text[] = { from->ns, from->name, from->network, from->at.service, from->at.network };
	struct conf_gateway *g;
	size_t n = sizeof(*g);
	char *at;

	for (size_t i = 0; i < ARRAY_LEN(text); i++)
		n += strlen(text[i]) + 1;
	g = xmalloc(n);
	*g = *from;
	at = (char *)(g + 1);
	for (size_t i = 0; i < ARRAY_LEN(text); i++) {
		n = strlen(text[i]) + 1;
		text[i] = memcpy(at, text[i], n);
		at += n;
	}
	g->ns = text[0];
	g->name = text[1];
	g->network = text[2];
	g->at.service = text[3];
	g->at.network = text[4];
	return g;
}

static struct waypoint *waypoint_new(const struct conf_load *l, const struct field_walk *w, const struct crd_meta *m, const struct conf_gateway *g)
{
	struct waypoint *p;
	char where[4200];

	snprintf(where, sizeof(where), "%s:%u", l->file, w->root->line);
	p = resource_new(RESOURCE_WAYPOINT, sizeof(*p), "Gateway", g->ns, g->name, where, m->created);
	p->at = g->at;
	p->at.service = arena_dup(&p->r.mem, str_c(g->at.service));
	p->at.network = arena_dup(&p->r.mem, str_c(g->at.network));
	p->for_services = g->for_services;
	p->for_workloads = g->for_workloads;
	return p;
}

void conf_gateway_free(struct conf_gateway *g)
{
	if (g && g->object)
		resource_unref(&g->object->r);
	free(g);
}

bool conf_gateway(struct conf_load *l, struct field_walk *w, const struct crd_meta *m, const struct crd_gateway *spec,
		  const struct crd_gateway_status *status, struct conf_obj *o)
{
	const struct field_list *list = spec->addresses.n ? &spec->addresses : &status->addresses;
	const struct crd_gateway_address *a = list->n ? list->v : NULL;
	const struct crd_gateway_listener *listener = hbone_listener(spec);
	const char *network = field_label(&m->labels, "topology.istio.io/network");
	bool across = !strcmp(spec->class, "istio-east-west") || !strcmp(spec->class, "istio-remote");
	struct conf_gateway g = { .ns = m->ns, .name = m->name, .network = "", .at = { .service = "", .network = "" } };
	char service[900];

	if (!across && strcmp(spec->class, "istio-waypoint")) {
		field_warn(w, 0, "gatewayClassName", "a Gateway of the class '%.80s' has no effect in %s mode", spec->class,
			   mesh_mode_name(l->settings->mode));
		return true;
	}
	if (across && !network) {
		field_warn(w, 0, "metadata.labels", "want topology.istio.io/network, the network into which it leads; it has no effect");
		return true;
	}
	g.at.hbone_port = listener ? listener->port : HBONE_PORT;
	g.network = across ? network : "";
	if (a && ip_parse(str_c(a->value), &g.at.ip) == 0) {
		g.at.network = across ? network : l->settings->network;
	} else if (a) {
		if (!value_is_host(a->value) || *a->value == '*')
			field_error(w, 0, "addresses", "want an IP address or a host name, got '%.80s'", a->value);
		snprintf(service, sizeof(service), "%s/%s", m->ns, a->value);
		g.at.service = service;
	} else {
		snprintf(service, sizeof(service), "%s/%s.%s.svc.%s", m->ns, m->name, m->ns, l->settings->cluster_domain);
		g.at.service = service;
	}
	if (!across) {
		read_purpose(w, m, &g);
		g.object = waypoint_new(l, w, m, &g);
		read_origin(listener, &g);
	}
	o->u.gateway = gateway_new(&g);
	return !w->errors;
}
