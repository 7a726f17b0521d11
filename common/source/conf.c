/* SPDX-License-Identifier: Apache-2.0 */
/* From a document to an object: envelope, metadata, dispatch, and what becomes of a bad one. */
#include "source/conf.h"

#include <stdio.h>
#include <stdlib.h>

#include "policy/authz.h"
#include "policy/jwt_filter.h"
#include "policy/ratelimit.h"
#include "source/check.h"
#include "source/value.h"

struct doc {
	struct conf_load *l;
	struct field_walk w;
	const struct yaml_node *root;
	const struct crd *crd;
	enum conf_kind kind;
	struct crd_meta meta;
	bool meta_ok;
	bool ns_known;
};

const char *conf_kind_name(enum conf_kind kind)
{
	return crds[kind].kind;
}

bool conf_kind_is_security(enum conf_kind kind)
{
	return crds[kind].security;
}

bool conf_is_resource(const struct conf_obj *o)
{
	return crds[o->kind].object && (!o->bad || crds[o->kind].security) && !o->skipped;
}

bool conf_refuses(const struct conf_obj *o, const struct mesh_settings *s)
{
	bool waypoint = s->mode == MODE_WAYPOINT;

	if (!o->bad || !crds[o->kind].security)
		return false;
	if (o->kind == CONF_AUTHZ)
		return waypoint == (o->u.policy->scope == POLICY_TARGETS);
	if (o->kind == CONF_REQUEST_AUTHN)
		return waypoint == (o->u.request_authn->n_targets > 0);
	return o->kind != CONF_PEER_AUTHN || !waypoint;
}

struct conf_obj *conf_obj_ref(struct conf_obj *o)
{
	o->refs++;
	return o;
}

static void content_free(struct conf_obj *o)
{
	free(o->ports);
	workload_unref(o->placed);
	o->placed = NULL;
	if (o->kind == CONF_AUTHZ && !o->skipped)
		policy_unref(o->u.policy);
	else if (o->kind == CONF_PEER_AUTHN && !o->skipped)
		peer_authn_unref(o->u.peer_authn);
	else if (o->kind == CONF_REQUEST_AUTHN && !o->skipped)
		request_authn_unref(o->u.request_authn);
	else if (conf_is_resource(o))
		resource_unref(o->u.resource);
	else if (o->bad || o->skipped)
		free(o->u.named);
	else if (o->kind == CONF_RATE_LIMIT)
		rate_limit_unref(o->u.rate_limit);
	else if (o->kind == CONF_WORKLOAD_ENTRY || o->kind == CONF_POD)
		workload_unref(o->u.workload);
	else if (o->kind == CONF_NAMESPACE)
		free(o->u.ns);
	else if (o->kind == CONF_GATEWAY)
		conf_gateway_free(o->u.gateway);
	else
		conf_service_free(o->u.service);
}

void conf_obj_unref(struct conf_obj *o)
{
	if (!o || --o->refs)
		return;
	content_free(o);
	free(o);
}

void conf_obj_key(const struct conf_obj *o, const char **ns, const char **name)
{
	if (o->skipped || (o->bad && !crds[o->kind].security)) {
		*ns = o->u.named->ns;
		*name = o->u.named->name;
	} else if (o->kind == CONF_WORKLOAD_ENTRY || o->kind == CONF_POD) {
		*ns = o->u.workload->ns;
		*name = o->u.workload->name;
	} else if (o->kind == CONF_AUTHZ) {
		*ns = o->u.policy->ns;
		*name = o->u.policy->name;
	} else if (o->kind == CONF_PEER_AUTHN) {
		*ns = o->u.peer_authn->ns;
		*name = o->u.peer_authn->name;
	} else if (o->kind == CONF_REQUEST_AUTHN) {
		*ns = o->u.request_authn->ns;
		*name = o->u.request_authn->name;
	} else if (o->kind == CONF_RATE_LIMIT) {
		*ns = o->u.rate_limit->ns;
		*name = o->u.rate_limit->name;
	} else if (crds[o->kind].object) {
		*ns = o->u.resource->ns;
		*name = o->u.resource->name;
	} else if (o->kind == CONF_GATEWAY) {
		*ns = o->u.gateway->ns;
		*name = o->u.gateway->name;
	} else if (o->kind == CONF_NAMESPACE) {
		*ns = "";
		*name = o->u.ns->name;
	} else {
		*ns = o->u.service->ns;
		*name = o->u.service->name;
	}
}

static struct conf_bad *named_new(const char *ns, const char *name)
{
	size_t n = strlen(ns) + 1, k = strlen(name) + 1;
	struct conf_bad *b = xmalloc(sizeof(*b) + n + k);
	char *text = (char *)(b + 1);

	memcpy(text, ns, n);
	memcpy(text + n, name, k);
	b->ns = text;
	b->name = text + n;
	return b;
}

static const char *scalar(const struct yaml_node *n)
{
	return n && n->kind == YAML_SCALAR ? n->text.p : "";
}

/* A kind that has no meaning in this mode says so. */
static bool loaded_here(struct doc *d, const struct crd *c)
{
	const struct yaml_node *meta = yaml_get(d->root, "metadata");
	struct finding at = { .level = FINDING_WARNING, .file = d->l->file, .line = d->root->line, .kind = c->kind,
			      .ns = scalar(yaml_get(meta, "namespace")), .name = scalar(yaml_get(meta, "name")) };

	if (c->not_at_waypoint && d->l->settings->mode == MODE_WAYPOINT) {
		at.level = FINDING_INFO;
		report_add(d->l->report, &at, "%s", c->not_at_waypoint);
		return false;
	}
	if (!c->elsewhere || sees_requests(d->l->settings))
		return true;
	report_add(d->l->report, &at, "%s", c->elsewhere);
	return false;
}

/* The envelope: which kind is it? NULL when it is none that is loaded; then it was reported. */
static const struct crd *find_kind(struct doc *d)
{
	struct str api = str_c(scalar(yaml_get(d->root, "apiVersion"))), version, group;
	const char *kind = scalar(yaml_get(d->root, "kind"));
	const struct crd_other *other;

	if (!api.n)
		api = str_c(scalar(yaml_get(d->root, "api_version")));
	group = str_cut(api, '/', &version);
	if (!version.p) {
		version = group;
		group = str_c("");
	}
	d->w.kind = *kind ? kind : "object";
	if (!api.n || !*kind) {
		field_error(&d->w, d->root->line, api.n ? "kind" : "apiVersion", "want it, got nothing");
		return NULL;
	}
	for (int i = 0; i < CRD_COUNT; i++) {
		const struct crd *c = &crds[i];

		if (!c->group || strcmp(kind, c->kind) || !str_is(group, c->group))
			continue;
		for (const char *const *v = c->versions; *v; v++) {
			if (str_is(version, *v))
				return loaded_here(d, c) ? c : NULL;
		}
		field_error(&d->w, d->root->line, "apiVersion", "want the version %s, got '%.*s'", c->versions[0],
			    STR_FMT(version));
		return c;
	}
	if (str_ends(str_c(kind), str_c("List")) && yaml_get(d->root, "items"))
		return NULL;
	other = crd_other_find(group, str_c(kind));
	if (!other && !crd_group_known(group)) {
		field_warn(&d->w, d->root->line, "kind", "meshd knows nothing of '%s' of '%.*s': it is passed over", kind, STR_FMT(api));
		return NULL;
	}
	if (!other) {
		field_error(&d->w, d->root->line, "kind", "want a kind that meshd knows, got '%s' of '%.*s'", kind, STR_FMT(api));
		return NULL;
	}
	struct finding at = { .level = other->level, .file = d->l->file, .line = d->root->line, .kind = kind,
			      .ns = scalar(yaml_get(yaml_get(d->root, "metadata"), "namespace")),
			      .name = scalar(yaml_get(yaml_get(d->root, "metadata"), "name")) };

	report_add(d->l->report, &at, "%s", other->sidecar && sees_requests(d->l->settings) ? other->sidecar : other->why);
	return NULL;
}

static void read_meta(struct doc *d)
{
	const struct yaml_node *n = yaml_get(d->root, "metadata");
	unsigned errors = d->w.errors;
	size_t len = d->w.path_len;
	bool security = d->w.security;

	field_enter(&d->w, "metadata", 0);
	d->w.security = false;   /* what is unknown in metadata cannot make a policy wider */
	if (!n || n->kind != YAML_MAP) {
		struct yaml_node none = { .kind = YAML_MAP, .line = d->root->line };

		field_read(&d->w, &crd_meta_table, &none, &d->meta);
		field_error(&d->w, n ? n->line : d->root->line, NULL, "want a map with a name");
	} else {
		field_read(&d->w, &crd_meta_table, n, &d->meta);
	}
	d->ns_known = value_is_label(d->meta.ns) && !(n && yaml_get(n, "namespace") && d->w.errors != errors);
	if (d->crd->cluster_wide)
		d->meta.ns = "";
	if (n && n->kind == YAML_MAP && !value_is_name(d->meta.name))
		field_error(&d->w, n->line, "name", "want a name of a-z, 0-9, - and ., got '%.40s'", d->meta.name);
	if (*d->meta.ns && !value_is_label(d->meta.ns))
		field_error(&d->w, n ? n->line : 0, "namespace", "want a name of a-z, 0-9 and -, got '%.40s'", d->meta.ns);
	if (field_label(&d->meta.labels, "istio.io/rev"))
		field_warn(&d->w, n->line, "labels.istio.io/rev", "not honoured: the object counts whatever its revision");
	field_leave(&d->w, len);
	d->w.security = security;
	d->w.ns = d->meta.ns;
	d->w.name = d->meta.name;
	d->meta_ok = d->w.errors == errors;
}

static void check_top(struct doc *d)
{
	static const char *const known[] = { "apiVersion", "api_version", "kind", "metadata", "spec", "status" };

	for (const struct yaml_node *c = d->root->child; c; c = c->next) {
		size_t i = 0;

		while (i < ARRAY_LEN(known) && !str_is(c->key, known[i]))
			i++;
		if (i < ARRAY_LEN(known))
			continue;
		if (d->w.security)
			field_error(&d->w, c->line, c->key.p, "unknown field: the object is refused, since it bears on security");
		else
			field_warn(&d->w, c->line, c->key.p, "unknown field: it is ignored");
	}
}

/* Defaults set, also when the part is missing. */
static void read_part_to(struct doc *d, const char *name, const struct field_table *t, void *out)
{
	struct yaml_node none = { .kind = YAML_MAP, .line = d->root->line };
	const struct yaml_node *n = yaml_get(d->root, name);
	size_t len = d->w.path_len;

	field_enter(&d->w, name, 0);
	field_read(&d->w, t, n && !yaml_is_null(n) ? n : &none, out);
	field_leave(&d->w, len);
}

/* Allocated in the document's arena. */
static void *read_part(struct doc *d, const char *name, const struct field_table *t)
{
	void *out = arena_alloc(d->l->arena, t->size);

	read_part_to(d, name, t, out);
	return out;
}

/* The object, and all that spec is read into, in the object's own memory. */
static void *read_resource(struct doc *d, struct conf_obj *o)
{
	const struct crd *c = d->crd;
	char where[4200];
	void *spec;

	snprintf(where, sizeof(where), "%s:%u", d->l->file, d->root->line);
	o->u.resource = resource_new(c->resource, c->object, c->kind, d->meta.ns, d->meta.name, where, d->meta.created);
	d->w.arena = &o->u.resource->mem;
	d->w.keep = true;
	spec = c->apart ? arena_alloc(d->w.arena, c->spec->size) : o->u.resource;
	read_part_to(d, "spec", c->spec, spec);
	return spec;
}

static const char *put_text(char **at, const char *text)
{
	size_t n = strlen(text) + 1;
	const char *r = memcpy(*at, text, n);

	*at += n;
	return r;
}

static struct conf_namespace *namespace_new(struct field_walk *walk, const struct crd_meta *m)
{
	struct conf_waypoint w = conf_waypoint_read(&m->labels);
	size_t n = strlen(m->name) + strlen(w.name ? w.name : "") + strlen(w.ns) + 3;
	struct conf_namespace *ns;
	struct label *labels;
	char *at;

	for (int i = 0; i < m->labels.n; i++)
		n += sizeof(*labels) + strlen(m->labels.v[i].key) + strlen(m->labels.v[i].value) + 2;
	ns = xcalloc(1, sizeof(*ns) + n);
	labels = (struct label *)(ns + 1);
	at = (char *)(labels + m->labels.n);
	for (int i = 0; i < m->labels.n; i++) {
		labels[i].key = put_text(&at, m->labels.v[i].key);
		labels[i].value = put_text(&at, m->labels.v[i].value);
	}
	ns->labels = labels;
	ns->n_labels = m->labels.n;

	ns->name = put_text(&at, m->name);
	ns->waypoint.name = w.name ? put_text(&at, w.name) : NULL;
	ns->waypoint.ns = put_text(&at, w.ns);
	ns->canary = conf_canary_read(walk, &(struct field_labels){ .v = labels, .n = ns->n_labels }, &m->annotations);
	return ns;
}

static bool convert(struct doc *d, const void *spec, struct conf_obj *o)
{
	size_t len = d->w.path_len;
	bool ok = false;

	field_enter(&d->w, "spec", 0);
	switch (d->kind) {
	case CONF_WORKLOAD_ENTRY:
		ok = conf_workload_entry(d->l, &d->w, &d->meta, spec, o);
		break;
	case CONF_SERVICE_ENTRY:
		ok = conf_service_entry(d->l, &d->w, &d->meta, spec, o);
		break;
	case CONF_AUTHZ:
		ok = conf_authz(d->l, &d->w, &d->meta, spec, &o->u.policy);
		break;
	case CONF_PEER_AUTHN:
		ok = conf_peer_authn(d->l, &d->w, &d->meta, spec, &o->u.peer_authn);
		break;
	case CONF_SERVICE:
		ok = conf_core_service(d->l, &d->w, &d->meta, spec, o);
		break;
	case CONF_POD:
		field_leave(&d->w, len);
		ok = conf_pod(d->l, &d->w, &d->meta, spec, read_part(d, "status", &crd_pod_status_table), o);
		break;
	case CONF_GATEWAY:
		ok = conf_gateway(d->l, &d->w, &d->meta, spec, read_part(d, "status", &crd_gateway_status_table), o);
		break;
	case CONF_REQUEST_AUTHN:
		ok = conf_request_authn(d->l, &d->w, &d->meta, spec, &o->u.request_authn);
		break;
	case CONF_RATE_LIMIT:
		ok = conf_rate_limit(d->l, &d->w, &d->meta, spec, &o->u.rate_limit);
		break;
	case CONF_HTTP_ROUTE:
	case CONF_GRPC_ROUTE:
	case CONF_TCP_ROUTE:
	case CONF_TLS_ROUTE:
		ok = conf_route(d->l, &d->w, &d->meta, spec, d->kind, (struct virtual_service *)o->u.resource);
		break;
	case CONF_BACKEND_TLS:
		ok = conf_backend_tls(d->l, &d->w, &d->meta, spec, (struct destination_rule *)o->u.resource);
		break;
	case CONF_PROXY_CONFIG:
	case CONF_ENVOY_FILTER:
	case CONF_WASM:
	case CONF_WORKLOAD_GROUP:
		ok = true;
		break;
	case CONF_TELEMETRY:
	case CONF_VIRTUAL_SERVICE:
	case CONF_DESTINATION_RULE:
	case CONF_SIDECAR:
		ok = true;
		break;
	case CONF_NAMESPACE:
		field_leave(&d->w, len);
		o->u.ns = namespace_new(&d->w, &d->meta);
		o->u.ns->distribution = conf_distribution_read(&d->w, &d->meta, NULL);
		if (field_label(&d->meta.labels, "meshd.io/enforcement"))
			field_warn(&d->w, 0, "metadata.labels.meshd.io/enforcement",
				   "not honoured: set MESHD_ENFORCEMENT for the process");
		ok = true;
		break;
	}
	field_leave(&d->w, len);
	return ok;
}

/* The selector of a bad object, if that much can be read without an error. */
static const struct crd_selector *readable_selector(struct doc *d)
{
	const struct yaml_node *labels = yaml_get(yaml_get(yaml_get(d->root, "spec"), "selector"), "matchLabels");
	struct report scratch = { 0 };
	struct field_walk w = { .report = &scratch, .arena = d->l->arena, .file = d->l->file, .kind = "", .ns = "", .name = "" };
	static const struct field row = { .name = "matchLabels", .type = FIELD_LABELS };
	struct crd_selector *s = arena_alloc(d->l->arena, sizeof(*s));
	bool ok = d->ns_known && labels && field_read_one(&w, &row, labels, &s->labels);

	report_done(&scratch);
	return ok ? s : NULL;
}

/* The same of its targets. What is there and cannot be read stands for all waypoints and services of the namespace. An object that names
 * both targets and a selector is what this mode reads. */
static const struct target_ref *readable_targets(struct doc *d, const struct crd_selector *selector, int *n)
{
	const struct yaml_node *spec = yaml_get(d->root, "spec"), *at = NULL;
	bool waypoint = d->l->settings->mode == MODE_WAYPOINT, any = false;
	size_t max = spec ? spec->weight + 1 : 1;
	struct crd_target *v = arena_alloc(d->l->arena, max * sizeof(*v));
	struct field_list list = { .v = v };
	struct target_ref *all;

	for (const struct yaml_node *c = spec && spec->kind == YAML_MAP ? spec->child : NULL; c; c = c->next) {
		if (c->key.n < 6 || !str_eq_nocase((struct str){ c->key.p, 6 }, str_c("target")))
			continue;
		any = true;
		for (at = c->kind == YAML_LIST ? c->child : c; at; at = at == c ? NULL : at->next)
			v[list.n++] = (struct crd_target){ scalar(yaml_get(at, "group")), scalar(yaml_get(at, "kind")),
							   scalar(yaml_get(at, "name")), scalar(yaml_get(at, "namespace")) };
	}
	any = any || (waypoint && spec && spec->kind != YAML_MAP && !yaml_is_null(spec));
	*n = 0;
	if (!any || (selector && !waypoint))
		return NULL;
	if (list.n && d->ns_known)
		all = (struct target_ref *)check_target_refs(d->l->arena, &list, NULL, n);
	else
		all = NULL;
	if (*n && *n == list.n)
		return all;
	all = arena_alloc(d->l->arena, sizeof(*all));
	all[0] = (struct target_ref){ TARGET_GATEWAY, "" };
	*n = 1;
	return all;
}

/* What a bad security object leaves behind: a refusal over the scope that it names, as far as that can be read. */
static void make_broken(struct doc *d, const struct crd_selector *selector, struct conf_obj *o)
{
	int n_targets;
	const struct target_ref *targets = readable_targets(d, selector, &n_targets);
	const char *root_ns = d->l->settings->root_ns;
	const struct finding *why = NULL;
	char where[512], problem[1024], name[300], key[700];
	bool global = !d->ns_known || !strcmp(d->meta.ns, root_ns);

	for (size_t i = d->l->report->n; i-- > 0;) {
		why = &d->l->report->v[i];
		if (why->level == FINDING_ERROR)
			break;
	}
	snprintf(where, sizeof(where), "%s:%u", d->l->file, d->root->line);
	snprintf(problem, sizeof(problem), "%s%s%s", why ? why->path : "", why && *why->path ? ": " : "",
		 why ? why->message : "could not be read");
	if (!d->ns_known)
		d->meta.ns = root_ns;
	if (d->ns_known && value_is_name(d->meta.name))
		snprintf(name, sizeof(name), "%s", d->meta.name);
	else
		snprintf(name, sizeof(name), "unknown-in-line-%u-of-%s", d->root->line, d->l->file);
	snprintf(key, sizeof(key), "%s/%s", d->meta.ns, name);
	if (d->kind == CONF_AUTHZ) {
		struct policy p = { .key = key, .ns = d->meta.ns, .name = name, .where = where, .action = POLICY_DENY,
				    .broken = true, .problem = problem };

		p.targets = targets;
		p.n_targets = n_targets;
		p.scope = n_targets ? POLICY_TARGETS : selector ? POLICY_SELECTOR : global ? POLICY_GLOBAL : POLICY_NAMESPACE;
		p.selector = selector ? selector->labels.v : NULL;
		p.n_selector = selector ? selector->labels.n : 0;
		o->u.policy = policy_new(&p);
	} else if (d->kind == CONF_BACKEND_TLS) {
		const struct yaml_node *targets = yaml_get(yaml_get(d->root, "spec"), "targetRefs");
		struct destination_rule *r = resource_new(d->crd->resource, d->crd->object, d->crd->kind, d->meta.ns, name, where, d->meta.created);

		conf_backend_tls_broken(d->l, targets && targets->kind == YAML_LIST ? scalar(yaml_get(targets->child, "name")) : "", r);
		o->u.resource = &r->r;
	} else if (d->kind == CONF_REQUEST_AUTHN) {
		struct request_authn a = { .key = key, .ns = d->meta.ns, .name = name, .where = where, .broken = true, .problem = problem };

		a.targets = targets;
		a.n_targets = n_targets;
		a.selector = selector ? selector->labels.v : NULL;
		a.n_selector = selector ? selector->labels.n : 0;
		o->u.request_authn = request_authn_new(&a);
	} else {
		struct peer_authn p = { .key = key, .ns = d->meta.ns, .name = name, .where = where,
					.created = d->meta.created, .broken = true, .problem = problem };

		p.has_selector = selector != NULL;
		p.selector = selector ? selector->labels.v : NULL;
		p.n_selector = selector ? selector->labels.n : 0;
		o->u.peer_authn = peer_authn_new(&p);
	}
}

static struct conf_obj *obj_new(struct doc *d, uint64_t hash)
{
	struct conf_obj *o = xcalloc(1, sizeof(*o));

	o->refs = 1;
	o->line = d->root->line;
	o->hash = hash;
	o->file = d->l->file_id;
	o->kind = (uint8_t)d->kind;
	return o;
}

/* What is judged by is made before the object is in a mesh. */
static bool compile(struct doc *d, struct conf_obj *o)
{
	struct err err = { "out of memory" };
	int rc = 0;

	if (d->kind == CONF_AUTHZ)
		rc = authz_compile(o->u.policy);
	else if (d->kind == CONF_REQUEST_AUTHN)
		rc = jwt_compile(o->u.request_authn, &err);
	else if (d->kind == CONF_RATE_LIMIT)
		rc = ratelimit_compile(o->u.rate_limit);
	if (rc)
		field_error(&d->w, d->root->line, "spec", "could not be compiled: %s", err.msg);
	return rc == 0;
}

static void finish(struct doc *d, struct conf_obj *o, bool ok)
{
	ok = ok && !d->w.errors;
	if (!ok) {
		content_free(o);
		o->ports = NULL;
		o->u.named = NULL;
		o->bad = true;
		if (d->crd->security)
			make_broken(d, readable_selector(d), o);
		else
			o->u.named = named_new(d->meta.ns, value_is_name(d->meta.name) ? d->meta.name : "");
	} else if (!o->u.named) {
		if (d->crd->unsupported) {
			struct finding at = { .level = d->crd->unsupported_level, .file = d->l->file, .line = d->root->line, .kind = d->crd->kind,
					      .ns = d->meta.ns, .name = d->meta.name };

			report_add(d->l->report, &at, "%s", d->crd->unsupported);
		}
		o->skipped = true;
		o->u.named = named_new(d->meta.ns, d->meta.name);
	} else if (!compile(d, o)) {
		finish(d, o, false);
	}
}

struct conf_obj *conf_obj_read(struct conf_load *l, const struct yaml_node *root)
{
	struct doc d = { .l = l, .root = root };
	struct conf_obj *o, *old;
	const void *spec;
	uint64_t hash;
	bool ok;

	d.w = (struct field_walk){ .report = l->report, .arena = l->arena, .file = l->file, .kind = "object", .ns = "",
				   .name = "", .root = root, .settings = l->settings };
	if (root->kind != YAML_MAP) {
		field_error(&d.w, root->line, NULL, "want a map with apiVersion, kind and metadata");
		return NULL;
	}
	d.crd = find_kind(&d);
	if (!d.crd)
		return NULL;
	d.kind = (enum conf_kind)(d.crd - crds);
	d.w.security = d.crd->security;
	d.w.name = scalar(yaml_get(yaml_get(root, "metadata"), "name"));
	d.w.ns = d.crd->cluster_wide ? "" : scalar(yaml_get(yaml_get(root, "metadata"), "namespace"));
	if (!*d.w.ns && !d.crd->cluster_wide)
		d.w.ns = "default";
	read_meta(&d);
	if (!d.meta_ok && !d.crd->security)
		return NULL;
	hash = yaml_hash(root);
	if (d.crd->security)
		hash ^= hash_bytes(&(struct { uint64_t a, b; }){ l->file_id, root->line }, 16);
	old = l->find && d.meta_ok ? l->find(l->find_arg, d.kind, d.meta.ns, d.meta.name) : NULL;
	o = obj_new(&d, hash);
	check_top(&d);
	spec = d.crd->object ? read_resource(&d, o) : read_part(&d, "spec", d.crd->spec);
	ok = !d.w.errors && convert(&d, spec, o);
	finish(&d, o, ok);
	if (!old || old->bad || o->bad || old->hash != hash || old->file != o->file)
		return o;
	conf_obj_unref(o);
	old->line = root->line;
	return conf_obj_ref(old);
}
