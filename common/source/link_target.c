/* SPDX-License-Identifier: Apache-2.0 */
/* Whether targetRefs name something that a waypoint serves: an object that is bound to nothing protects nothing, and says so. */
#include <stdio.h>

#include "base/map.h"
#include "source/link_service.h"

struct names {
	const struct link_input *in;
	const struct link_set *set;
	struct arena a;
	struct map waypoints, services, entries;     /* by "ns/name"; of the last two any service of the object */
	bool made;
};

static const char *text(struct arena *a, const char *ns, const char *name)
{
	size_t n = strlen(ns) + strlen(name) + 2;
	char *t = arena_alloc(a, n);

	snprintf(t, n, "%s/%s", ns, name);
	return t;
}

/* Only when something has targets. */
static void make(struct names *n)
{
	if (n->made)
		return;
	n->made = true;
	for (size_t i = 0; i < n->set->n_resources; i++) {
		struct resource *r = n->set->resources[i];

		if (r->kind == RESOURCE_WAYPOINT)
			map_put(&n->waypoints, str_c(text(&n->a, r->ns, r->name)), r);
	}
	for (size_t i = 0; i < n->set->n_services; i++) {
		struct service *s = n->set->services[i];

		map_put(s->core ? &n->services : &n->entries, str_c(text(&n->a, s->ns, s->name)), s);
	}
}

static void check_service(struct names *n, const struct conf_obj *o, const char *ns, const struct target_ref *t)
{
	bool entry = t->kind == TARGET_SERVICE_ENTRY;
	struct str key = str_c(text(&n->a, ns, t->name));
	const struct service *s = map_get(entry ? &n->entries : &n->services, key);

	if (s && (s->waypoint || s->n_waypoints))
		return;
	if (s)
		link_report(n->in, o, FINDING_WARNING, "spec.targetRefs", "%s '%s' has no waypoint: nobody looks at this object; label it, or its namespace, "
			    "istio.io/use-waypoint", entry ? "ServiceEntry" : "Service", key.p);
	else
		link_report(n->in, o, FINDING_WARNING, "spec.targetRefs", "there is no %s '%s'%s: nobody looks at this object [IST0101]",
			    entry ? "ServiceEntry" : "Service", key.p,
			    !map_get(entry ? &n->services : &n->entries, key) ? ", in the namespace of the object" : entry ? "; it is a Service: write kind: Service, group: ''" :
			    "; it is a ServiceEntry: write kind: ServiceEntry, group: networking.istio.io");
}

static void check(struct names *n, const struct conf_obj *o, const char *ns, const struct target_ref *v, int n_targets)
{
	const char *root = n->in->settings->root_ns;

	for (int i = 0; i < n_targets; i++) {
		const struct target_ref *t = &v[i];

		if (!*t->name)
			continue;
		make(n);
		if (t->kind == TARGET_GATEWAY && !map_get(&n->waypoints, str_c(text(&n->a, ns, t->name))))
			link_report(n->in, o, FINDING_WARNING, "spec.targetRefs", "there is no Gateway '%s/%s' of the class " WAYPOINT_CLASS ", in the namespace of the object: "
				    "nobody looks at this object [IST0101]", ns, t->name);
		else if (t->kind == TARGET_GATEWAY_CLASS && strcmp(t->name, WAYPOINT_CLASS))
			link_report(n->in, o, FINDING_WARNING, "spec.targetRefs", "the class of waypoints is " WAYPOINT_CLASS ", not '%s': nobody looks at this object", t->name);
		else if (t->kind == TARGET_GATEWAY_CLASS && strcmp(ns, root))
			link_report(n->in, o, FINDING_WARNING, "spec.targetRefs", "a class may be named in the root namespace '%s' alone: nobody looks at this object; "
				    "put it there, or name a Gateway", root);
		else if (t->kind == TARGET_SERVICE || t->kind == TARGET_SERVICE_ENTRY)
			check_service(n, o, ns, t);
	}
}

void link_targets(const struct link_input *in, const struct link_set *set)
{
	struct names n = { .in = in, .set = set };

	for (size_t i = 0; in->settings->mode == MODE_WAYPOINT && i < in->n; i++) {
		const struct conf_obj *o = in->objs[i];
		const struct telemetry *t = o->kind == CONF_TELEMETRY && conf_is_resource(o) ? (const struct telemetry *)(const void *)o->u.resource : NULL;

		if (o->skipped)
			continue;
		if (o->kind == CONF_AUTHZ)
			check(&n, o, o->u.policy->ns, o->u.policy->targets, o->u.policy->n_targets);
		else if (o->kind == CONF_REQUEST_AUTHN)
			check(&n, o, o->u.request_authn->ns, o->u.request_authn->targets, o->u.request_authn->n_targets);
		else if (o->kind == CONF_RATE_LIMIT && !o->bad)
			check(&n, o, o->u.rate_limit->ns, o->u.rate_limit->targets, o->u.rate_limit->n_targets);
		else if (t)
			check(&n, o, t->r.ns, t->targets.v, t->targets.n);
	}
	map_done(&n.waypoints);
	map_done(&n.services);
	map_done(&n.entries);
	arena_done(&n.a);
}
