/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/teleconf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/epoch.h"
#include "model/waypoint.h"
#include "telemetry/teleconf_int.h"

static _Atomic(struct teleconf *) current;

void teleconf_report(const struct teleconf_job *j, const char *object, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (j->report)
		j->report(j->arg, object, text);
}

const struct tele_provider *teleconf_provider(const struct teleconf_job *j, const char *name)
{
	for (int i = 0; i < j->config->tele.providers.n; i++)
		if (strcmp(j->config->tele.providers.v[i].name, name) == 0)
			return &j->config->tele.providers.v[i];
	return NULL;
}

/* The oldest one of a namespace that has no selector, or the oldest whose selector fits. */
static void take(struct teleconf_job *j, const char *ns, const struct workload *w)
{
	int n = 0;
	struct resource **all = mesh_resources(j->m, RESOURCE_TELEMETRY, str_c(ns), &n);

	for (int i = 0; i < n; i++) {
		const struct telemetry *t = (const struct telemetry *)(const void *)all[i];

		if (t->targets.n || strcmp(t->r.ns, ns) != 0)
			continue;
		if (w ? !t->has_selector || !t->selector.n || !labels_match(t->selector.v, t->selector.n, w->labels, w->n_labels)
		      : t->has_selector && t->selector.n)
			continue;
		j->objects[j->n_objects++] = t;
		break;
	}
	free(all);
}

/* --- what is bound to a waypoint --- */

#define KEY_BYTES 600

static struct str target_key(char key[KEY_BYTES], enum target_kind kind, const char *ns, const char *name)
{
	int n = snprintf(key, KEY_BYTES, "%d/%s/%s", (int)kind, ns, name);

	return (struct str){ key, n < KEY_BYTES ? (size_t)n : KEY_BYTES - 1 };
}

/* To all of it: by its Gateways, or the class. */
static bool is_bound(const struct teleconf_job *j, const struct telemetry *t, const struct waypoint_name *gates, int n)
{
	const char *root = mesh_settings(j->m)->root_ns;

	for (int i = 0; i < t->targets.n; i++) {
		const struct target_ref *to = &t->targets.v[i];

		if (to->kind == TARGET_GATEWAY_CLASS && !strcmp(t->r.ns, root) && !strcmp(to->name, WAYPOINT_CLASS))
			return true;
		for (int k = 0; to->kind == TARGET_GATEWAY && k < n; k++)
			if (!strcmp(t->r.ns, gates[k].ns) && !strcmp(to->name, gates[k].name))
				return true;
	}
	return false;
}

static bool is_bound_to(const struct telemetry *t, const char *ns, const struct target_ref *to)
{
	for (int i = 0; i < t->targets.n; i++)
		if (t->targets.v[i].kind == to->kind && !strcmp(t->r.ns, ns) && !strcmp(t->targets.v[i].name, to->name))
			return true;
	return false;
}

static void make_side(struct teleconf_job *j, struct tele_side *s, bool inbound);

/* The side of what `to` names: all that holds for the waypoint, and what is bound to it, the older ones first. */
static void add_side(struct teleconf_job *j, struct resource *const *all, int n, const struct waypoint_name *gates, int n_gates, const char *ns,
		     const struct target_ref *to)
{
	struct arena *mem = &j->t->memory;
	int wide = j->n_objects;
	struct tele_side *s;
	char text[KEY_BYTES];
	struct str key = target_key(text, to->kind, ns, to->name);

	if (map_get(&j->t->of_services, key))
		return;
	for (int i = 0; i < n; i++) {
		const struct telemetry *t = (const struct telemetry *)(const void *)all[i];

		if (is_bound_to(t, ns, to) || is_bound(j, t, gates, n_gates))
			j->objects[j->n_objects++] = t;
	}
	s = arena_alloc(mem, sizeof(*s));
	make_side(j, s, true);
	map_put(&j->t->of_services, (struct str){ arena_dup(mem, key), key.n }, s);
	j->n_objects = wide;
}

static void take_bound(struct teleconf_job *j, const struct workload *w)
{
	int n, n_gates;
	struct resource **all = mesh_resources(j->m, RESOURCE_TELEMETRY, str_c(""), &n);
	struct waypoint_name *gates = waypoint_names(j->m, w, &n_gates);

	j->objects = xrealloc(j->objects, ((size_t)n + 3) * sizeof(*j->objects));
	for (int i = 0; i < n; i++) {
		const struct telemetry *t = (const struct telemetry *)(const void *)all[i];

		for (int k = 0; k < t->targets.n; k++)
			if (t->targets.v[k].kind == TARGET_SERVICE || t->targets.v[k].kind == TARGET_SERVICE_ENTRY)
				add_side(j, all, n, gates, n_gates, t->r.ns, &t->targets.v[k]);
	}
	for (int i = 0; i < n; i++)
		if (is_bound(j, (const struct telemetry *)(const void *)all[i], gates, n_gates))
			j->objects[j->n_objects++] = (const struct telemetry *)(const void *)all[i];
	free(gates);
	free(all);
}

const struct tele_side *tele_side_for(const struct tele_side *s, const struct service *service)
{
	const struct tele_side *own = NULL;
	char key[KEY_BYTES];

	if (s->of_services && service)
		own = map_get(s->of_services, target_key(key, service->core ? TARGET_SERVICE : TARGET_SERVICE_ENTRY, service->ns, service->name));
	return own ? own : s;
}

static bool said(enum opt_bool b, bool otherwise)
{
	return b == OPT_UNSET ? otherwise : b == OPT_YES;
}

static void take_headers(const struct teleconf_job *j, struct tele_side *s)
{
	const struct proxy_headers *h = &j->config->proxy.headers;

	s->keep_server = said(h->server_disabled, false);
	/* The outbound listener names no server: Envoy's own default then. */
	s->server = h->server_value && h->server_value[0] ? arena_dup(&j->t->memory, str_c(h->server_value)) : s->inbound ? "istio-envoy" : "envoy";
	s->request_id = !said(h->request_id_disabled, false);
	s->attempt_count = !said(h->attempt_count_disabled, false) && !s->inbound;
	s->upstream_time = !said(h->envoy_debug_disabled, false);
	if (s->inbound && (said(h->details.cert, false) || said(h->details.chain, false)))
		teleconf_report(j, "MeshConfig", "setCurrentClientCertDetails.cert and chain are not supported: X-Forwarded-Client-Cert has no certificates");
	if (s->inbound && said(h->forwarded_host_enabled, false))
		teleconf_report(j, "MeshConfig", "proxyHeaders.xForwardedHost is not supported: a rewritten Host leaves no header behind");
}

static void done_side(struct tele_side *s)
{
	for (int i = 0; i < s->n_groups; i++)
		for (int k = 0; k < s->groups[i].n_edits; k++)
			cel_free(s->groups[i].edits[k].cel);
	for (int i = 0; i < s->n_logs; i++) {
		format_free(s->logs[i].text);
		cel_free(s->logs[i].filter);
		for (int k = 0; k < s->logs[i].n_keys; k++)
			format_free(s->logs[i].keys[k].format);
	}
	for (int i = 0; i < s->tracing.n_tags; i++)
		format_free(s->tracing.tags[i].format);
}

static void make_side(struct teleconf_job *j, struct tele_side *s, bool inbound)
{
	static uint64_t ids;

	*s = (struct tele_side){ .id = ++ids, .inbound = inbound, .waypoint = inbound && mesh_settings(j->m)->mode == MODE_WAYPOINT };
	s->mesh_id = arena_dup(&j->t->memory, str_c(j->config->proxy.mesh_id));
	take_headers(j, s);
	teleconf_metrics(j, s);
	teleconf_logs(j, s);
	teleconf_tracing(j, s);
}

struct teleconf *teleconf_compile(const struct mesh *m, const struct workload *w,
				  void (*report)(void *arg, const char *object, const char *text), void *arg)
{
	struct teleconf *t = xcalloc(1, sizeof(*t));
	struct teleconf_job j = { .m = m, .config = mesh_config(m), .t = t, .report = report, .arg = arg };
	const char *root = mesh_settings(m)->root_ns;

	atomic_init(&t->refs, 1);
	t->workload = workload_ref((struct workload *)w);
	t->memory.block = 2048;
	j.objects = xcalloc(3, sizeof(*j.objects));
	take(&j, root, NULL);
	if (strcmp(root, w->ns) != 0)
		take(&j, w->ns, NULL);
	if (mesh_settings(m)->mode == MODE_WAYPOINT)
		take_bound(&j, w);
	else
		take(&j, w->ns, w);
	for (int i = 0; i < 2; i++)
		make_side(&j, &t->side[i], i);
	if (t->of_services.len)
		t->side[true].of_services = &t->of_services;
	free(j.objects);
	if (t->collector)
		t->collector_of = resource_ref((struct resource *)&j.config->r);
	return t;
}

struct teleconf *teleconf_ref(const struct teleconf *t)
{
	struct teleconf *w = (struct teleconf *)t;

	atomic_fetch_add_explicit(&w->refs, 1, memory_order_relaxed);
	return w;
}

void teleconf_unref(struct teleconf *t)
{
	if (!t || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
		return;
	done_side(&t->side[0]);
	done_side(&t->side[1]);
	map_each(slot, &t->of_services)
		done_side(slot->value);
	map_done(&t->of_services);
	workload_unref(t->workload);
	resource_unref(t->collector_of);
	arena_done(&t->memory);
	free(t);
}

static void unref(void *t)
{
	teleconf_unref(t);
}

void teleconf_publish(struct teleconf *t)
{
	struct teleconf *old = atomic_exchange(&current, t);

	if (old)
		epoch_retire(old, unref);
}

struct teleconf *teleconf_current(void)
{
	return atomic_load_explicit(&current, memory_order_acquire);
}

const struct tele_side *teleconf_side(const struct teleconf *t, bool inbound)
{
	return &t->side[inbound];
}

const struct tele_provider *teleconf_collector(const struct teleconf *t)
{
	return t->collector;
}
