/* SPDX-License-Identifier: Apache-2.0 */
/* mesh.yaml: settings of every mode, and the object that sidecars read. */
#include <stdio.h>

#include "source/check.h"
#include "source/conf.h"
#include "source/value.h"

/* The narrowest of those that are asked for. */
static void read_stance(struct field_walk *w, const struct crd_mesh_config *c, struct mesh_settings *s)
{
	const struct field_labels metadata = { .v = (struct label *)(uintptr_t)c->mesh.proxy.metadata.v, .n = c->mesh.proxy.metadata.n };
	const char *v = field_label(&metadata, "MESHD_ENFORCEMENT");

	if (!v)
		return;
	for (enum stance at = STANCE_ISTIO; at <= STANCE_STRICT; at++) {
		if (strcmp(v, stance_name(at)))
			continue;
		s->stance = s->stance > at ? s->stance : at;
		return;
	}
	field_error(w, 0, "defaultConfig.proxyMetadata.MESHD_ENFORCEMENT", "want istio, closed or strict, got '%.40s'", v);
}

/* --- providers --- */

/* "abc*", "*abc", "*", or exact. */
static const struct match *matches(struct field_walk *w, const struct field_strings *a, const struct field_strings *b, int *n)
{
	struct match *to = arena_alloc(w->arena, (size_t)(a->n + b->n) * sizeof(*to));

	*n = 0;
	for (int i = 0; i < a->n + b->n; i++) {
		const char *text = i < a->n ? a->v[i] : b->v[i - a->n];
		size_t len = strlen(text);

		if (!strcmp(text, "*"))
			to[(*n)++] = (struct match){ MATCH_PRESENCE, "" };
		else if (*text == '*')
			to[(*n)++] = (struct match){ MATCH_SUFFIX, text + 1 };
		else if (len && text[len - 1] == '*')
			to[(*n)++] = (struct match){ MATCH_PREFIX, arena_dup(w->arena, (struct str){ text, len - 1 }) };
		else
			to[(*n)++] = (struct match){ MATCH_EXACT, text };
	}
	return to;
}

static void authz_provider(struct field_walk *w, const char *name, const struct crd_authz_provider *from, bool grpc, struct ext_provider *p)
{
	static const struct field_strings none = { 0 };
	uint64_t status = 403;

	*p = (struct ext_provider){ .name = name, .problem = "", .grpc = grpc, .service = from->service, .port = from->port, .path_prefix = "",
				    .timeout_ms = from->timeout.set ? from->timeout.ms : 600000, .fail_open = from->fail_open,
				    .add = from->add.v, .n_add = from->add.n };
	if (*from->status_on_error)
		str_to_u64(str_c(from->status_on_error), &status);
	p->status_on_error = (int)status;
	if (from->body) {
		p->body_max = from->body->max_bytes;
		p->body_partial = from->body->partial;
		p->body_bytes = from->body->as_bytes;
	}
	if (grpc)
		return;
	p->path_prefix = from->path_prefix;
	p->include = matches(w, &from->include, &from->include_old, &p->n_include);
	p->up_on_allow = matches(w, &from->up_on_allow, &none, &p->n_up_on_allow);
	p->down_on_deny = matches(w, &from->down_on_deny, &none, &p->n_down_on_deny);
	p->down_on_allow = matches(w, &from->down_on_allow, &none, &p->n_down_on_allow);
}

static void tele_provider(const struct crd_ext_provider *from, struct tele_provider *p)
{
	const struct tele_provider *of = from->file ? from->file : from->otel;
	static const char *const others[] = {
		"envoyHttpAls", "envoyTcpAls", "envoyOtelAls", "stackdriver", "datadog", "skywalking", "lightstep", "opencensus", "sds", "zipkin",
	};

	*p = of ? *of : (struct tele_provider){ 0 };
	p->name = from->name;
	p->kind = from->file ? TELE_FILE_LOG : from->otel ? TELE_OPENTELEMETRY :
		  from->prometheus ? TELE_PROMETHEUS : TELE_OTHER;
	p->what = from->file ? "envoyFileAccessLog" : from->otel ? "opentelemetry" : "prometheus";
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (from->others[i])
			p->what = others[i];
	/* Rows of another kind set no defaults. */
	p->path = p->path ? p->path : "";
	p->text = p->text ? p->text : "";
	p->service = p->service ? p->service : "";
	p->http_path = p->http_path ? p->http_path : "";
}

static void read_providers(struct field_walk *w, struct crd_mesh_config *c, struct mesh_settings *s)
{
	const struct crd_ext_provider *from = c->providers.v;
	struct ext_provider *ext = arena_alloc(w->arena, (size_t)c->providers.n * sizeof(*ext));
	struct tele_provider *tele = arena_alloc(w->arena, (size_t)c->providers.n * sizeof(*tele));
	int n_tele = 0;

	s->providers = ext;
	s->n_providers = 0;
	for (int i = 0; i < c->providers.n; i++, from++) {
		for (int k = 0; k < i; k++)
			if (!strcmp(from->name, ((const struct crd_ext_provider *)c->providers.v)[k].name))
				field_error(w, 0, "extensionProviders", "want each name once, got '%.80s' twice", from->name);
		if (from->authz_http || from->authz_grpc)
			authz_provider(w, from->name, from->authz_http ? from->authz_http : from->authz_grpc, !from->authz_http, &ext[s->n_providers++]);
		else
			tele_provider(from, &tele[n_tele++]);
	}
	c->mesh.tele.providers.v = tele;
	c->mesh.tele.providers.n = n_tele;
}

/* --- the access log --- */

struct json_format { struct field_walk *w; struct tele_settings *tele; };

static int on_json(const struct yaml_node *root, void *arg)
{
	static const struct field row = { .name = "accessLogFormat", .type = FIELD_LABELS };
	struct json_format *j = arg;
	struct field_labels labels = { 0 };
	size_t len = j->w->path_len;
	bool ok;

	field_enter(j->w, row.name, 0);
	ok = field_read_one(j->w, &row, root, &labels);
	field_leave(j->w, len);
	if (!ok)
		return 0;
	for (int i = 0; i < labels.n; i++)
		check_format(j->w, "accessLogFormat", labels.v[i].value);
	j->tele->access_log_labels.v = labels.v;
	j->tele->access_log_labels.n = labels.n;
	j->tele->access_log_labels.present = true;
	return 0;
}

static void read_log_format(struct field_walk *w, struct crd_mesh_config *c)
{
	struct tele_settings *t = &c->mesh.tele;
	struct json_format j = { w, t };
	struct arena a = { 0 };
	struct err err = { "" };

	t->access_log_json = c->encoding == 1;
	if (!*t->access_log_format)
		return;
	if (!t->access_log_json)
		check_format(w, "accessLogFormat", t->access_log_format);
	else if (yaml_read_text("accessLogFormat", str_c(t->access_log_format), &a, on_json, &j, &err))
		field_error(w, 0, "accessLogFormat", "want a JSON object of texts: %s", err.msg);
	arena_done(&a);
}

/* --- the whole --- */

static void check_export(struct field_walk *w, struct crd_mesh_config *c)
{
	const struct { const char *path; const char *const *v; int n; } lists[] = {
		{ "defaultServiceExportTo", c->mesh.service_export_to.v, c->mesh.service_export_to.n },
		{ "defaultVirtualServiceExportTo", c->mesh.virtual_service_export_to.v, c->mesh.virtual_service_export_to.n },
		{ "defaultDestinationRuleExportTo", c->mesh.destination_rule_export_to.v, c->mesh.destination_rule_export_to.n },
	};

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		struct field_strings s = { .v = (const char **)(uintptr_t)lists[i].v, .n = lists[i].n };

		check_export_to(w, lists[i].path, &s);
	}
}

static void read_settings(struct field_walk *w, struct crd_mesh_config *c, struct mesh_settings *s)
{
	if (*c->trust_domain) {
		if (!value_is_domain(c->trust_domain))
			field_error(w, 0, "trustDomain", "want a name of a-z, 0-9, - and ., got '%.80s'", c->trust_domain);
		s->trust_domain = c->trust_domain;
	}
	if (!value_is_label(c->root_ns))
		field_error(w, 0, "rootNamespace", "want a namespace, got '%.80s'", c->root_ns);
	s->root_ns = c->root_ns;
	s->connect_timeout_ms = c->mesh.connect_timeout_ms = c->connect_timeout_ms;
	s->aliases = c->aliases.v;
	s->n_aliases = c->aliases.n;
	for (int i = 0; i < c->aliases.n; i++)
		if (!value_is_domain(c->aliases.v[i]))
			field_error(w, 0, "trustDomainAliases", "want names of a-z, 0-9, - and ., got '%.80s'", c->aliases.v[i]);
	s->trusted_hops = c->mesh.proxy.trusted_proxies;
	read_stance(w, c, s);
}

struct mesh_config *conf_mesh_read(struct field_walk *w, const struct yaml_node *root, const struct mesh_settings *base, struct mesh_settings *ret)
{
	struct crd_mesh_config *c;
	struct mesh_settings s = *base;
	char where[4200];

	snprintf(where, sizeof(where), "%s:%u", w->file, root->line);
	c = resource_new(RESOURCE_MESH_CONFIG, sizeof(*c), "MeshConfig", "", "", where, INT64_MAX);
	w->root = root;
	w->arena = &c->mesh.r.mem;
	w->keep = true;
	w->settings = base;
	if (field_read(w, &crd_mesh_table, root, c)) {
		c->mesh.outbound = c->outbound ? c->outbound->mode : SCOPE_ALLOW_ANY;
		read_settings(w, c, &s);
		if (c->mesh.outbound != SCOPE_ALLOW_ANY && !sees_requests(&s) && s.stance == STANCE_ISTIO)
			field_info(w, 0, "outboundTrafficPolicy", "has no effect in ztunnel mode, as in Istio, unless MESHD_ENFORCEMENT is closed or strict");
		read_providers(w, c, &s);
		read_log_format(w, c);
		check_export(w, c);
	}
	if (w->errors) {
		resource_unref(&c->mesh.r);
		return NULL;
	}
	*ret = s;
	return &c->mesh;
}
