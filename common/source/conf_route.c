/* SPDX-License-Identifier: Apache-2.0 */
/* Gateway API routes with Services as parents become virtual services, BackendTLSPolicies destination rules, as istiod translates them. */
#include <stdio.h>

#include "source/check.h"
#include "source/conf.h"
#include "source/value.h"

struct route { struct conf_load *l; struct field_walk *w; const struct crd_meta *m; struct virtual_service *v; };

static void *new(struct route *r, int n, size_t size)
{
	return arena_alloc(r->w->arena, (size_t)n * size);
}

static const char *service_host(struct route *r, const char *name, const char *ns)
{
	const char *domain = r->l->settings->cluster_domain;
	size_t n = strlen(name) + strlen(ns) + strlen(domain) + 7;
	char *to = new(r, 1, n);

	snprintf(to, n, "%s.%s.svc.%s", name, ns, domain);
	return to;
}

/* --- parents --- */

static void add_host(struct route *r, const char *host, const char **hosts)
{
	for (int i = 0; i < r->v->hosts.n; i++)
		if (!strcmp(hosts[i], host))
			return;
	hosts[r->v->hosts.n++] = host;
}

static void read_parents(struct route *r, const struct field_list *list)
{
	const struct crd_ref *p = list->v;
	struct vs_parent *parents = new(r, list->n, sizeof(*parents));
	const char **hosts = new(r, list->n, sizeof(*hosts));

	for (int i = 0; i < list->n; i++) {
		const char *ns = *p[i].ns ? p[i].ns : r->m->ns, *host;

		if (!strcmp(p[i].kind, "ServiceEntry") && p[i].group && !strcmp(p[i].group, "networking.istio.io") && value_is_name(p[i].name)) {
			parents[r->v->parents.n++] = (struct vs_parent){ "", p[i].port, p[i].name, arena_dup(r->w->arena, str_c(ns)) };
			continue;
		}
		if (strcmp(p[i].kind, "Service") || (p[i].group && *p[i].group)) {
			if (!strcmp(p[i].kind, "Gateway"))
				field_info(r->w, 0, "parentRefs", "the Gateway '%.80s' has no effect here", p[i].name);
			else
				field_warn(r->w, 0, "parentRefs", "a %.40s as parent is not honoured: want a Service, or a ServiceEntry of networking.istio.io", p[i].kind);
			continue;
		}
		if (!p[i].group) {
			field_warn(r->w, 0, "parentRefs", "the group of the Service '%.80s' must be said: it is empty (group: \"\")", p[i].name);
			continue;
		}
		if (!value_is_name(p[i].name) || !value_is_label(ns)) {
			field_error(r->w, 0, "parentRefs", "want the name of a Service, got '%.80s/%.80s'", ns, p[i].name);
			continue;
		}
		host = service_host(r, p[i].name, ns);
		parents[r->v->parents.n++] = (struct vs_parent){ host, p[i].port, "", "" };
		add_host(r, host, hosts);
	}
	r->v->parents.v = parents;
	r->v->hosts.v = hosts;
}

/* --- where it goes --- */

/* A reference that leads nowhere keeps its share, which is answered with 500. */
static const struct vs_destination *destination(struct route *r, const struct crd_backend *b)
{
	struct vs_destination *d = new(r, 1, sizeof(*d));
	const char *ns = *b->ns ? b->ns : r->m->ns;

	*d = (struct vs_destination){ .host = "", .subset = "", .port = b->port };
	if (!strcmp(b->kind, "Hostname") && !strcmp(b->group, "networking.istio.io") && value_is_host_any(b->name))
		d->host = b->name;
	else if (!strcmp(b->kind, "Service") && !*b->group && value_is_name(b->name) && b->port)
		d->host = service_host(r, b->name, ns);
	else
		field_warn(r->w, 0, "backendRefs", "want a Service with a port, or a Hostname of networking.istio.io, got the %.40s '%.80s': its share is answered with 500",
			   b->kind, b->name);
	return d;
}

static void put_headers(struct route *r, const struct field_list *from, const struct label **v, int *n)
{
	const struct label *l = from->v;
	struct label *to = new(r, from->n, sizeof(*to));

	*n = 0;
	for (int i = 0; i < from->n; i++) {
		bool twice = false;   /* the first of a name counts */

		for (int k = 0; k < *n; k++)
			twice = twice || str_eq_nocase(str_c(to[k].key), str_c(l[i].key));
		if (!twice)
			to[(*n)++] = (struct label){ l[i].key, l[i].value };
	}
	*v = to;
}

static const struct vs_header_ops *header_ops(struct route *r, const struct crd_modifier *m)
{
	struct vs_header_ops *h = new(r, 1, sizeof(*h));

	put_headers(r, &m->set, &h->set.v, &h->set.n);
	put_headers(r, &m->add, &h->add.v, &h->add.n);
	h->remove.v = m->remove.v;
	h->remove.n = m->remove.n;
	return h;
}

/* False: none of these. */
static bool header_filter(struct route *r, const struct crd_filter *f, struct vs_headers **h)
{
	bool request = !strcmp(f->type, "RequestHeaderModifier");

	if (!request && strcmp(f->type, "ResponseHeaderModifier"))
		return false;
	if (!(request ? f->request : f->response))
		return true;
	*h = *h ? *h : new(r, 1, sizeof(**h));
	if (request)
		(*h)->request = header_ops(r, f->request);
	else
		(*h)->response = header_ops(r, f->response);
	return true;
}

static void unsupported(struct route *r, const struct crd_filter *f, struct vs_http *to)
{
	to->invalid = true;
	field_warn(r->w, 0, "filters", "the type '%.40s' is not supported: the rule answers 500, as the Gateway API wants it", f->type);
}

static void read_backends(struct route *r, const struct crd_route_rule *rule, struct vs_http *to)
{
	const struct crd_backend *b = rule->backends.v;
	struct vs_target *v = new(r, rule->backends.n, sizeof(*v));

	for (int i = 0; i < rule->backends.n; i++) {
		const struct crd_filter *f = b[i].filters.v;
		struct vs_headers *h = NULL;

		for (int k = 0; k < b[i].filters.n; k++)
			if (!header_filter(r, &f[k], &h))
				unsupported(r, &f[k], to);
		v[i] = (struct vs_target){ destination(r, &b[i]), b[i].weight, h };
	}
	to->route.v = v;
	to->route.n = rule->backends.n;
}

/* --- filters --- */

static const struct vs_redirect *redirect(struct route *r, const struct crd_redirect *from)
{
	struct vs_redirect *to = new(r, 1, sizeof(*to));

	*to = (struct vs_redirect){ .uri = "", .authority = from->host, .scheme = from->scheme, .port = from->port, .code = from->code };
	if (!from->port.set)
		to->derive_port = *from->scheme ? VS_PORT_PROTOCOL_DEFAULT : VS_PORT_REQUEST;
	if (from->path && from->path->type)
		to->prefix_rewrite = from->path->prefix;
	else if (from->path)
		to->uri = from->path->full;
	return to;
}

static const struct vs_rewrite *rewrite(struct route *r, const struct crd_redirect *from)
{
	struct vs_rewrite *to = new(r, 1, sizeof(*to));

	*to = (struct vs_rewrite){ .uri = "", .authority = from->host };
	if (from->path && from->path->type) {
		size_t n = strlen(from->path->prefix);

		n -= n > 0 && from->path->prefix[n - 1] == '/';
		to->uri = n ? arena_dup(r->w->arena, (struct str){ from->path->prefix, n }) : "/";
	} else if (from->path) {
		struct vs_regex_rewrite *x = new(r, 1, sizeof(*x));

		*x = (struct vs_regex_rewrite){ "/.*", from->path->full };
		to->regex = x;
	}
	return *to->uri || to->regex || *to->authority ? to : NULL;
}

static void mirror(struct route *r, const struct crd_mirror *from, struct vs_mirror *to)
{
	struct vs_percent *p = new(r, 1, sizeof(*p));

	to->destination = destination(r, from->backend);
	if (from->fraction)
		p->value = (struct opt_double){ 100.0 * from->fraction->numerator / from->fraction->denominator, true };
	else if (from->percent.set)
		p->value = (struct opt_double){ from->percent.v, true };
	if (p->value.set)
		to->percentage = p;
}

/* "*": any origin; "x*": a prefix; a star elsewhere: a regular expression. */
static struct string_match origin(struct route *r, const char *text)
{
	const char *star = strchr(text, '*');
	char *to, *at;

	if (!strcmp(text, "*"))
		return (struct string_match){ STRING_REGEX, "[a-zA-Z][a-zA-Z0-9+.-]*://[^/\\s?#]+" };
	if (!star)
		return (struct string_match){ STRING_EXACT, text };
	if (!star[1])
		return (struct string_match){ STRING_PREFIX, arena_dup(r->w->arena, (struct str){ text, (size_t)(star - text) }) };
	to = at = new(r, 1, 2 * strlen(text) + 1);
	for (; *text; text++) {
		if (*text == '*')
			*at++ = '.';
		else if (strchr("\\.+?()|[]{}^$", *text))
			*at++ = '\\';
		*at++ = *text;
	}
	return (struct string_match){ STRING_REGEX, to };
}

static const struct vs_cors *cors(struct route *r, const struct crd_cors *from)
{
	struct vs_cors *to = new(r, 1, sizeof(*to));
	struct string_match *v = new(r, from->origins.n, sizeof(*v));

	for (int i = 0; i < from->origins.n; i++)
		v[i] = origin(r, from->origins.v[i]);
	to->allow_origins.v = v;
	to->allow_origins.n = from->origins.n;
	to->allow_credentials = from->credentials ? OPT_YES : OPT_UNSET;
	to->allow_methods.v = from->methods.v;
	to->allow_methods.n = from->methods.n;
	to->allow_headers.v = from->headers.v;
	to->allow_headers.n = from->headers.n;
	to->expose_headers.v = from->expose.v;
	to->expose_headers.n = from->expose.n;
	to->max_age = (struct opt_ms){ from->max_age_s * 1000, from->max_age_s > 0 };
	to->ignore_unmatched = true;
	return to;
}

static void read_filters(struct route *r, const struct crd_route_rule *rule, bool grpc, struct vs_http *to)
{
	const struct crd_filter *f = rule->filters.v;
	struct vs_mirror *mirrors = new(r, rule->filters.n, sizeof(*mirrors));
	struct vs_headers *h = NULL;

	for (int i = 0; i < rule->filters.n; i++) {
		if (header_filter(r, &f[i], &h))
			continue;
		if (!strcmp(f[i].type, "RequestMirror") && f[i].mirror && f[i].mirror->backend)
			mirror(r, f[i].mirror, &mirrors[to->mirrors.n++]);
		else if (!grpc && !strcmp(f[i].type, "RequestRedirect") && f[i].redirect)
			to->redirect = redirect(r, f[i].redirect);
		else if (!grpc && !strcmp(f[i].type, "URLRewrite") && f[i].rewrite)
			to->rewrite = rewrite(r, f[i].rewrite);
		else if (!grpc && !strcmp(f[i].type, "CORS") && f[i].cors)
			to->cors = cors(r, f[i].cors);
		else
			unsupported(r, &f[i], to);
	}
	to->headers = h;
	to->mirrors.v = mirrors;
	if (to->redirect && to->rewrite)
		field_error(r->w, 0, "filters", "want either RequestRedirect or URLRewrite, got both");
}

/* --- matches --- */

static void put_texts(struct route *r, const struct field_list *from, const struct vs_named **v, int *n)
{
	const struct crd_text_match *m = from->v;
	struct vs_named *to = new(r, from->n, sizeof(*to));

	for (int i = 0; i < from->n; i++)
		to[i] = (struct vs_named){ m[i].name, { m[i].type ? STRING_REGEX : STRING_EXACT, m[i].value } };
	*v = to;
	*n = from->n;
}

static struct string_match path_of(struct route *r, const struct crd_path *p)
{
	size_t n = p ? strlen(p->value) : 0;

	if (!p)
		return (struct string_match){ STRING_PREFIX, "/" };
	if (p->type)
		return (struct string_match){ p->type == 1 ? STRING_EXACT : STRING_REGEX, p->value };
	n -= n > 1 && p->value[n - 1] == '/';
	return (struct string_match){ STRING_PREFIX, arena_dup(r->w->arena, (struct str){ p->value, n }) };
}

static struct string_match grpc_path(struct route *r, const struct crd_grpc_method *m)
{
	size_t n = strlen(m->service) + strlen(m->method) + 16;
	char *to = new(r, 1, n);

	if (!*m->service)
		snprintf(to, n, "/[^/]+/%s", m->method);
	else if (!*m->method)
		snprintf(to, n, "/%s/%s", m->service, m->type ? ".+" : "");
	else
		snprintf(to, n, "/%s/%s", m->service, m->method);
	return (struct string_match){ m->type || !*m->service ? STRING_REGEX : *m->method ? STRING_EXACT : STRING_PREFIX, to };
}

static void read_matches(struct route *r, const struct crd_route_rule *rule, bool grpc, struct vs_http *to)
{
	const struct crd_route_match *m = rule->matches.v;
	int n = rule->matches.n ? rule->matches.n : 1;
	struct vs_match *v = new(r, n, sizeof(*v));
	static const struct string_match any = { STRING_ANY, "" };

	for (int i = 0; i < n; i++) {
		v[i] = (struct vs_match){ .name = "", .uri = any, .scheme = any, .method = any, .authority = any, .source_ns = "", .grpc = grpc };
		if (!grpc)
			v[i].uri = path_of(r, rule->matches.n ? m[i].path : NULL);
		if (!rule->matches.n)
			continue;
		if (grpc && m[i].grpc)
			v[i].uri = grpc_path(r, m[i].grpc);
		put_texts(r, &m[i].headers, &v[i].headers.v, &v[i].headers.n);
		if (grpc)
			continue;
		put_texts(r, &m[i].queries, &v[i].query_params.v, &v[i].query_params.n);
		if (*m[i].method)
			v[i].method = (struct string_match){ STRING_EXACT, m[i].method };
	}
	to->match.v = v;
	to->match.n = n;
}

/* --- rules --- */

static void read_retry(struct route *r, const struct crd_route_retry *from, struct vs_http *to)
{
	struct vs_retries *retries = new(r, 1, sizeof(*retries));

	*retries = (struct vs_retries){ .attempts = from->attempts, .backoff = from->backoff,
					.retry_on = from->attempts ? "connect-failure,refused-stream,unavailable,cancelled" : "" };
	to->retries = retries;
	to->retry_codes.v = from->codes.v;
	to->retry_codes.n = from->codes.n;
}

static void http_rule(struct route *r, const struct crd_route_rule *rule, int i, bool grpc, struct vs_http *to)
{
	size_t n = strlen(r->m->ns) + strlen(r->m->name) + 16;
	char *name = new(r, 1, n);

	snprintf(name, n, "%s.%s.%d", r->m->ns, r->m->name, i);
	to->name = *rule->name ? rule->name : name;
	to->rule = i;
	read_matches(r, rule, grpc, to);
	read_filters(r, rule, grpc, to);
	read_backends(r, rule, to);
	if (grpc)
		return;
	if (rule->retry)
		read_retry(r, rule->retry, to);
	to->timeout = rule->request_timeout;
	to->backend_timeout = rule->backend_timeout;
}

static void http_rules(struct route *r, const struct crd_route *spec, bool grpc)
{
	const struct crd_route_rule *rules = spec->rules.v;
	int n = spec->rules.n;
	struct vs_http *v = new(r, n, sizeof(*v));
	size_t len = r->w->path_len;

	for (int i = 0; i < n; i++) {
		field_enter(r->w, "rules", 0);
		field_enter(r->w, NULL, i);
		http_rule(r, &rules[i], i, grpc, &v[i]);
		field_leave(r->w, len);
	}
	r->v->http.v = v;
	r->v->http.n = n;
}

static void l4_rules(struct route *r, const struct crd_route *spec, bool tls)
{
	const struct crd_route_rule *rules = spec->rules.v;
	struct vs_l4 *v = new(r, spec->rules.n, sizeof(*v));
	size_t len = r->w->path_len;

	for (int i = 0; i < spec->rules.n; i++) {
		struct vs_http targets = { .name = "" };

		field_enter(r->w, "rules", 0);
		field_enter(r->w, NULL, i);
		read_backends(r, &rules[i], &targets);
		if (!targets.route.n)
			field_error(r->w, 0, "backendRefs", "want at least one, got none");
		field_leave(r->w, len);
		v[i].route.v = targets.route.v;
		v[i].route.n = targets.route.n;
	}
	if (tls) {
		r->v->tls.v = v;
		r->v->tls.n = spec->rules.n;
		r->v->hostnames.v = spec->hostnames.v;
		r->v->hostnames.n = spec->hostnames.n;
	} else {
		r->v->tcp.v = v;
		r->v->tcp.n = spec->rules.n;
	}
	for (int i = 0; tls && i < spec->hostnames.n; i++)
		if (!value_is_host_any(spec->hostnames.v[i]))
			field_error(r->w, 0, "hostnames", "want host names, got '%.80s'", spec->hostnames.v[i]);
}

bool conf_route(struct conf_load *l, struct field_walk *w, const struct crd_meta *m, const struct crd_route *spec, enum conf_kind kind,
		struct virtual_service *v)
{
	struct route r = { l, w, m, v };

	v->gateway_api = true;
	read_parents(&r, &spec->parents);
	if (kind == CONF_HTTP_ROUTE || kind == CONF_GRPC_ROUTE)
		http_rules(&r, spec, kind == CONF_GRPC_ROUTE);
	else
		l4_rules(&r, spec, kind == CONF_TLS_ROUTE);
	if (!spec->rules.n && (kind == CONF_TCP_ROUTE || kind == CONF_TLS_ROUTE))
		field_error(w, 0, "rules", "want at least one, got none");
	return !w->errors;
}

/* --- BackendTLSPolicy --- */

static void demand_tls(struct arena *mem, const char *host, const char *sni, const char *const *sans, int n_sans, struct destination_rule *d)
{
	struct dr_policy *p = arena_alloc(mem, sizeof(*p));
	struct dr_tls *t = arena_alloc(mem, sizeof(*t));

	*t = (struct dr_tls){ .mode = DR_TLS_SIMPLE, .client_certificate = "", .private_key = "", .ca_certificates = "", .ca_crl = "", .sni = sni };
	t->subject_alt_names.v = (const char **)(uintptr_t)sans;
	t->subject_alt_names.n = n_sans;
	p->tls = t;
	d->host = host;
	d->policy = p;
	d->fills_gaps = true;
}

bool conf_backend_tls(struct conf_load *l, struct field_walk *w, const struct crd_meta *m, const struct crd_backend_tls *spec, struct destination_rule *d)
{
	struct route r = { l, w, m, NULL };
	const struct crd_ref *t = spec->targets.v;
	const struct crd_san *s = spec->sans.v;
	const char **sans = new(&r, spec->sans.n, sizeof(*sans));

	if (spec->targets.n != 1 || strcmp(t->kind, "Service") || *t->group || !value_is_name(t->name)) {
		field_error(w, 0, "targetRefs", "want one Service, got %d targets%s", spec->targets.n, spec->targets.n == 1 ? " of another kind" : "");
		return false;
	}
	if (!value_is_host_any(spec->host) || *spec->host == '*')
		field_error(w, 0, "validation.hostname", "want a host name, got '%.80s'", spec->host);
	if (!spec->roots)
		field_error(w, 0, "validation.wellKnownCACertificates", "want System, got nothing");
	for (int i = 0; i < spec->sans.n; i++) {
		sans[i] = s[i].type ? s[i].uri : s[i].host;
		if (!*sans[i])
			field_error(w, 0, "validation.subjectAltNames", "want a %s, got nothing", s[i].type ? "uri" : "hostname");
	}
	demand_tls(w->arena, service_host(&r, t->name, m->ns), spec->host, sans, spec->sans.n, d);
	return !w->errors;
}

void conf_backend_tls_broken(struct conf_load *l, const char *target, struct destination_rule *d)
{
	static const char *const nobody[] = { "the-policy-is-broken.invalid" };
	const char *domain = l->settings->cluster_domain;
	size_t n = strlen(target) + strlen(d->r.ns) + strlen(domain) + 7;
	char *host = arena_alloc(&d->r.mem, n);

	if (value_is_name(target))
		snprintf(host, n, "%s.%s.svc.%s", target, d->r.ns, domain);
	demand_tls(&d->r.mem, host, "", nobody, 1, d);
}
