/* SPDX-License-Identifier: Apache-2.0 */
#include "source/link.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "source/link_gateway.h"
#include "source/link_service.h"

void link_report(const struct link_input *in, const struct conf_obj *o, enum finding_level level, const char *path, const char *fmt, ...)
{
	struct finding at = { .level = level, .file = in->paths[o->file], .line = o->line, .kind = conf_kind_name(o->kind), .path = path };
	char text[700];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	conf_obj_key(o, &at.ns, &at.name);
	report_add(in->report, &at, "%s", text);
}

static bool is_content(const struct conf_obj *o)
{
	return !o->bad && !o->skipped;
}

static bool is_waypoint(const struct conf_obj *o)
{
	return o->kind == CONF_GATEWAY && is_content(o) && o->u.gateway->object;
}

static int by_address(const void *a, const void *b)
{
	uintptr_t x = *(const uintptr_t *)a, y = *(const uintptr_t *)b;

	return x < y ? -1 : x > y;
}

static void sort(void *v, size_t n)
{
	if (n > 1)
		qsort(v, n, sizeof(void *), by_address);
}

static struct workload *endpoint_ref(struct gates *g, const struct conf_obj *o, struct conf_endpoint *e)
{
	return workload_ref(gates_place(g, o, e->workload, &e->placed));
}

static void collect(const struct link_input *in, struct gates *g, struct link_set *s)
{
	size_t w = 0, p = 0, a = 0, j = 0, l = 0, r = in->config != NULL;

	for (size_t i = 0; i < in->n; i++) {
		const struct conf_obj *o = in->objs[i];

		w += (o->kind == CONF_WORKLOAD_ENTRY || o->kind == CONF_POD) && is_content(o);
		if (o->kind == CONF_SERVICE_ENTRY && is_content(o))
			w += (size_t)o->u.service->n_endpoints;
		p += o->kind == CONF_AUTHZ && !o->skipped;
		a += o->kind == CONF_PEER_AUTHN && !o->skipped;
		j += o->kind == CONF_REQUEST_AUTHN && !o->skipped;
		l += o->kind == CONF_RATE_LIMIT && is_content(o);
		r += conf_is_resource(o) || is_waypoint(o);
	}
	s->workloads = xcalloc(w + 1, sizeof(*s->workloads));
	s->policies = xcalloc(p + 1, sizeof(*s->policies));
	s->peer_authns = xcalloc(a + 1, sizeof(*s->peer_authns));
	s->request_authns = xcalloc(j + 1, sizeof(*s->request_authns));
	s->rate_limits = xcalloc(l + 1, sizeof(*s->rate_limits));
	s->resources = xcalloc(r + 1, sizeof(*s->resources));
	if (in->config)
		s->resources[s->n_resources++] = resource_ref(in->config);
	for (size_t i = 0; i < in->n; i++) {
		struct conf_obj *o = in->objs[i];

		if (o->kind == CONF_REQUEST_AUTHN && !o->skipped)
			s->request_authns[s->n_request_authns++] = request_authn_ref(o->u.request_authn);
		if (o->kind == CONF_RATE_LIMIT && is_content(o))
			s->rate_limits[s->n_rate_limits++] = rate_limit_ref(o->u.rate_limit);
		if (conf_is_resource(o))
			s->resources[s->n_resources++] = resource_ref(o->u.resource);
		if (is_waypoint(o))
			s->resources[s->n_resources++] = resource_ref(&o->u.gateway->object->r);
		if (o->kind == CONF_AUTHZ && !o->skipped)
			s->policies[s->n_policies++] = policy_ref(o->u.policy);
		else if (o->kind == CONF_PEER_AUTHN && !o->skipped)
			s->peer_authns[s->n_peer_authns++] = peer_authn_ref(o->u.peer_authn);
		else if ((o->kind == CONF_WORKLOAD_ENTRY || o->kind == CONF_POD) && is_content(o))
			s->workloads[s->n_workloads++] = workload_ref(gates_place(g, o, o->u.workload, &o->placed));
		for (int k = 0; o->kind == CONF_SERVICE_ENTRY && is_content(o) && k < o->u.service->n_endpoints; k++)
			s->workloads[s->n_workloads++] = endpoint_ref(g, o, &o->u.service->endpoints[k]);
	}
}

void link_set_build(const struct link_input *in, const struct link_set *old, struct link_set *ret)
{
	struct gates g;

	*ret = (struct link_set){ 0 };
	gates_init(&g, in);
	collect(in, &g, ret);
	link_services(in, &g, old, ret);
	gates_done(&g);
	link_targets(in, ret);
	sort(ret->workloads, ret->n_workloads);
	sort(ret->services, ret->n_services);
	sort(ret->policies, ret->n_policies);
	sort(ret->peer_authns, ret->n_peer_authns);
	sort(ret->request_authns, ret->n_request_authns);
	sort(ret->rate_limits, ret->n_rate_limits);
	sort(ret->resources, ret->n_resources);
}

/* Calls fn for each of v that is not in `but`. Both are sorted by address. */
static size_t each_but(void *const *v, size_t n, void *const *but, size_t m, void (*fn)(struct mesh_edit *e, void *obj),
		       struct mesh_edit *e)
{
	size_t k = 0, count = 0;

	for (size_t i = 0; i < n; i++) {
		while (k < m && (uintptr_t)but[k] < (uintptr_t)v[i])
			k++;
		if (k < m && but[k] == v[i])
			continue;
		fn(e, v[i]);
		count++;
	}
	return count;
}

static void put_workload(struct mesh_edit *e, void *o) { mesh_put_workload(e, workload_ref(o)); }
static void del_workload(struct mesh_edit *e, void *o) { mesh_del_workload(e, str_c(((struct workload *)o)->uid)); }
static void put_service(struct mesh_edit *e, void *o) { mesh_put_service(e, service_ref(o)); }
static void del_service(struct mesh_edit *e, void *o) { mesh_del_service(e, str_c(((struct service *)o)->key)); }
static void put_policy(struct mesh_edit *e, void *o) { mesh_put_policy(e, policy_ref(o)); }
static void del_policy(struct mesh_edit *e, void *o) { mesh_del_policy(e, str_c(((struct policy *)o)->key)); }
static void put_peer(struct mesh_edit *e, void *o) { mesh_put_peer_authn(e, peer_authn_ref(o)); }
static void del_peer(struct mesh_edit *e, void *o) { mesh_del_peer_authn(e, str_c(((struct peer_authn *)o)->key)); }

static void put_jwt(struct mesh_edit *e, void *o) { mesh_put_request_authn(e, request_authn_ref(o)); }
static void del_jwt(struct mesh_edit *e, void *o) { mesh_del_request_authn(e, str_c(((struct request_authn *)o)->key)); }
static void put_limit(struct mesh_edit *e, void *o) { mesh_put_rate_limit(e, rate_limit_ref(o)); }
static void del_limit(struct mesh_edit *e, void *o) { mesh_del_rate_limit(e, str_c(((struct rate_limit *)o)->key)); }
static void put_resource(struct mesh_edit *e, void *o) { mesh_put_resource(e, resource_ref(o)); }
static void del_resource(struct mesh_edit *e, void *o)
{
	struct resource *r = o;

	mesh_del_resource(e, r->kind, str_c(r->key));
}

/* What is gone or replaced is deleted before anything is put, so that a key that moved keeps its new object. */
size_t link_set_apply(const struct link_set *s, const struct link_set *o, struct mesh_edit *e)
{
	const struct {
		void *const *now, *const *old;
		size_t n, m;
		void (*put)(struct mesh_edit *e, void *obj), (*del)(struct mesh_edit *e, void *obj);
	} lists[] = {
		{ (void *const *)s->workloads, (void *const *)o->workloads, s->n_workloads, o->n_workloads, put_workload, del_workload },
		{ (void *const *)s->services, (void *const *)o->services, s->n_services, o->n_services, put_service, del_service },
		{ (void *const *)s->policies, (void *const *)o->policies, s->n_policies, o->n_policies, put_policy, del_policy },
		{ (void *const *)s->peer_authns, (void *const *)o->peer_authns, s->n_peer_authns, o->n_peer_authns, put_peer, del_peer },
		{ (void *const *)s->request_authns, (void *const *)o->request_authns, s->n_request_authns, o->n_request_authns, put_jwt, del_jwt },
		{ (void *const *)s->rate_limits, (void *const *)o->rate_limits, s->n_rate_limits, o->n_rate_limits, put_limit, del_limit },
		{ (void *const *)s->resources, (void *const *)o->resources, s->n_resources, o->n_resources, put_resource, del_resource },
	};
	size_t changed = 0;

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		changed += each_but(lists[i].old, lists[i].m, lists[i].now, lists[i].n, lists[i].del, e);
		changed += each_but(lists[i].now, lists[i].n, lists[i].old, lists[i].m, lists[i].put, e);
	}
	return changed;
}

bool link_set_has_sidecars(const struct link_set *s)
{
	for (size_t i = 0; i < s->n_workloads; i++)
		if (s->workloads[i]->istio_mtls && s->workloads[i]->tunnel != TUNNEL_HBONE)
			return true;
	return false;
}

void link_set_done(struct link_set *s)
{
	for (size_t i = 0; i < s->n_services; i++)
		service_unref(s->services[i]);
	for (size_t i = 0; i < s->n_workloads; i++)
		workload_unref(s->workloads[i]);
	for (size_t i = 0; i < s->n_policies; i++)
		policy_unref(s->policies[i]);
	for (size_t i = 0; i < s->n_peer_authns; i++)
		peer_authn_unref(s->peer_authns[i]);
	for (size_t i = 0; i < s->n_resources; i++)
		resource_unref(s->resources[i]);
	for (size_t i = 0; i < s->n_request_authns; i++)
		request_authn_unref(s->request_authns[i]);
	for (size_t i = 0; i < s->n_rate_limits; i++)
		rate_limit_unref(s->rate_limits[i]);
	free(s->resources);
	free(s->request_authns);
	free(s->rate_limits);
	free(s->workloads);
	free(s->services);
	free(s->policies);
	free(s->peer_authns);
	*s = (struct link_set){ 0 };
}
