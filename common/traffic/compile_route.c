/* SPDX-License-Identifier: Apache-2.0 */
/* One rule of a VirtualService, or of a Gateway API route, as a route of a port. */
#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

#include "base/regex.h"
#include "traffic/compile_route_int.h"

/* ---- what a rule matches ---- */

/* port, source labels, namespace and gateways are judged here: they say nothing of a request. */
static bool for_us(struct compile *c, const struct vs *v, const struct vs_match *m, uint16_t port)
{
	if (m->port && m->port != port)
		return false;
	if (c->waypoint && m->source_labels.n) {
		compile_report(c, &v->from->r, "a match with sourceLabels never holds at a waypoint: its clients' labels are not known");
		return false;
	}
	if (m->gateways.n) {
		for (int i = 0; i < m->gateways.n; i++)
			if (!strcmp(m->gateways.v[i], "mesh"))
				return true;     /* then nothing else is asked, as in istiod */
		return false;
	}
	return compile_from_us(c, m->source_labels.v, m->source_labels.n, m->source_ns);
}

static bool is_present(const struct string_match *m)
{
	return m->kind == STRING_ANY || (m->kind == STRING_REGEX && !strcmp(m->text, "*"));
}

/* False: a pattern that cannot be compiled. */
static bool text_of(struct compile *c, const struct vs *v, const struct string_match *m, struct text_match *ret)
{
	*ret = (struct text_match){ .kind = TEXT_PRESENT, .text = m->text ? m->text : "" };
	if (is_present(m))
		return true;
	ret->kind = m->kind == STRING_EXACT ? TEXT_EXACT : m->kind == STRING_PREFIX ? TEXT_PREFIX : TEXT_REGEX;
	if (ret->kind == TEXT_REGEX)
		ret->regex = compile_regex(c, &v->from->r, m->text);
	return ret->kind != TEXT_REGEX || ret->regex;
}

static bool is_claim(const char *name)
{
	return !strncmp(name, "@request.auth.claims", strlen("@request.auth.claims"));
}

struct match_lists { struct named_match *headers, *claims; int n_headers, n_claims; };

static bool add_named(struct compile *c, const struct vs *v, const struct vs_named *from, bool invert, struct match_lists *l)
{
	bool claim = is_claim(from->name);
	struct named_match *m = claim ? &l->claims[l->n_claims++] : &l->headers[l->n_headers++];

	m->name = from->name;
	if (!text_of(c, v, &from->value, &m->value))
		return false;
	m->value.invert = invert;
	m->value.missing_is_empty = invert && !is_present(&from->value);
	if (claim && !c->waypoint)
		compile_report(c, &v->from->r, "\"%s\" never matches in a sidecar: tokens are read where requests come in", from->name);
	return true;
}

static bool add_pseudo(struct compile *c, const struct vs *v, const char *name, const struct string_match *value, struct match_lists *l)
{
	struct vs_named n = { name, *value };

	return value->kind == STRING_ANY || add_named(c, v, &n, false, l);
}

static bool path_of(struct compile *c, const struct vs *v, const struct vs_match *m, struct route_match *ret)
{
	size_t n = strlen(m->uri.text ? m->uri.text : "");

	ret->path = PATH_PREFIX;
	ret->path_text = "/";
	ret->path_nocase = m->ignore_uri_case && m->uri.kind != STRING_REGEX;
	if (m->uri.kind == STRING_ANY)
		return true;
	ret->path_text = m->uri.text;
	if (m->uri.kind == STRING_EXACT) {
		ret->path = PATH_EXACT;
	} else if (m->uri.kind == STRING_REGEX) {
		ret->path = PATH_REGEX;
		ret->path_regex = compile_regex(c, &v->from->r, m->uri.text);
		return ret->path_regex != NULL;
	} else if (v->gateway && strcmp(m->uri.text, "/")) {
		ret->path = PATH_SEGMENTS;
		if (n && m->uri.text[n - 1] == '/')
			ret->path_text = arena_dup(c->mem, (struct str){ m->uri.text, n - 1 });
	}
	return true;
}

static bool match_of(struct compile *c, const struct vs *v, const struct vs_match *m, struct route_match *ret)
{
	struct match_lists l = { .n_headers = 0 };
	struct named_match *queries;

	*ret = (struct route_match){ .path = PATH_PREFIX, .path_text = "/" };
	if (!m)
		return true;
	l.headers = NEW(c, struct named_match, m->headers.n + m->without_headers.n + 3);
	l.claims = NEW(c, struct named_match, m->headers.n + m->without_headers.n);
	for (int i = 0; i < m->headers.n; i++)
		if (!add_named(c, v, &m->headers.v[i], false, &l))
			return false;
	for (int i = 0; i < m->without_headers.n; i++)
		if (!add_named(c, v, &m->without_headers.v[i], true, &l))
			return false;
	if (!add_pseudo(c, v, ":method", &m->method, &l) || !add_pseudo(c, v, ":authority", &m->authority, &l) || !add_pseudo(c, v, ":scheme", &m->scheme, &l))
		return false;
	queries = NEW(c, struct named_match, m->query_params.n);
	for (int i = 0; i < m->query_params.n; i++) {
		queries[i].name = m->query_params.v[i].name;
		if (!text_of(c, v, &m->query_params.v[i].value, &queries[i].value))
			return false;
	}
	ret->headers = l.headers;
	ret->n_headers = l.n_headers;
	ret->claims = l.claims;
	ret->n_claims = l.n_claims;
	ret->queries = queries;
	ret->n_queries = m->query_params.n;
	return path_of(c, v, m, ret);
}

static bool catches_all(const struct route_match *m)
{
	bool all = (m->path == PATH_PREFIX && !strcmp(m->path_text, "/")) || (m->path == PATH_REGEX && !strcmp(m->path_text, ".*"));

	return all && !m->n_headers && !m->n_queries && !m->n_claims;
}

/* ---- where it goes ---- */

static struct cluster *target_cluster(struct compile *c, const struct vs *v, const char *name)
{
	struct cluster *x = plan_cluster(c->p, str_c(name));

	if (!x)
		compile_report(c, &v->from->r, "its destination %s does not exist: requests to it are answered with %d", name, v->gateway ? 500 : 503);
	return x;
}

/* The consistent hash of a destination: of its port and subset, then of the subset, of the port, of all. */
static const struct dr_consistent_hash *hash_for(struct compile *c, const struct vs_destination *d)
{
	struct seen *s = map_get(&c->by_host, str_c(d->host));
	const struct rule *r = s ? compile_rule(c, s) : NULL;
	const struct dr_subset *sub = rule_subset(r, d->subset);
	const struct dr_policy *policies[] = { sub ? sub->policy : NULL, r ? r->policy : NULL };
	const struct dr_consistent_hash *of_port[2] = { NULL, NULL }, *of_all[2] = { NULL, NULL };

	for (int i = 0; i < 2; i++) {
		const struct dr_policy *p = policies[i];

		for (int k = 0; p && d->port && k < p->ports.n; k++)
			if (p->ports.v[k].port && p->ports.v[k].port->number == d->port && p->ports.v[k].load_balancer)
				of_port[i] = p->ports.v[k].load_balancer->consistent_hash;
		if (p && p->load_balancer)
			of_all[i] = p->load_balancer->consistent_hash;
	}
	return of_port[0] ? of_port[0] : of_all[0] ? of_all[0] : of_port[1] ? of_port[1] : of_all[1];
}

static void fill_targets(struct compile *c, const struct vs *v, const struct vs_http *h, uint16_t port, struct edits *e, struct route *r, bool *ret_hashed)
{
	struct route_target *t = NEW(c, struct route_target, h->route.n);
	int counted = 0, n = 0;

	for (int i = 0; i < h->route.n; i++)
		counted += !v->gateway || h->route.v[i].weight > 0;
	e->single = counted == 1;
	for (int i = 0; i < h->route.n; i++) {
		const struct vs_target *from = &h->route.v[i];
		const struct dr_consistent_hash *hash;
		struct route_target *to = &t[n];

		if (!from->weight && (v->gateway || counted > 1))
			continue;
		n++;
		to->cluster_name = compile_cluster_name(c, from->destination, port, true);
		to->cluster = target_cluster(c, v, to->cluster_name);
		compile_report_subset(c, v, from->destination, to->cluster);
		to->weight = counted > 1 ? from->weight : 1;
		to->host_rewrite = "";
		r->weight_sum += to->weight;
		hash = hash_for(c, from->destination);
		if (hash && !r->hash.by)
			r->hash = compile_hash(c, hash);
		*ret_hashed = *ret_hashed || (hash && counted == 1);
		if (counted == 1)
			edits_merge(c, v, e, from->headers);
		else
			edits_of_target(c, v, from->headers, to);
	}
	r->targets = t;
	r->n_targets = n;
}

static void fill_rewrite(struct compile *c, const struct vs *v, const struct vs_rewrite *w, struct route *r)
{
	struct err err = { "" };

	if (!w)
		return;
	if (w->regex) {
		r->regex_rewrite.regex = compile_regex(c, &v->from->r, w->regex->match);
		r->regex_rewrite.substitution = w->regex->rewrite;
	} else if (v->gateway && !strcmp(w->uri, "/")) {
		const char *prefix = r->match.path == PATH_SEGMENTS ? r->match.path_text : "";
		char *quoted = arena_alloc(&c->tmp, strlen(prefix) * 2 + 16), *at = quoted;

		*at++ = '^';
		for (const char *p = prefix; *p; p++) {
			if (strchr("\\.+*?()|[]{}^$", *p))
				*at++ = '\\';
			*at++ = *p;
		}
		memcpy(at, "(/?)(.*)", 9);
		r->regex_rewrite.regex = compile_regex(c, &v->from->r, quoted);
		r->regex_rewrite.substitution = "/\\2";
	} else {
		r->prefix_rewrite = w->uri;
	}
	if (r->regex_rewrite.regex && !regex_rewrite_ok(r->regex_rewrite.regex, str_c(r->regex_rewrite.substitution), &err)) {
		compile_report(c, &v->from->r, "its uriRegexRewrite is left out: %s", err.msg);
		r->regex_rewrite.regex = NULL;
	}
}

static struct percent share_of(const struct vs_percent *p, uint32_t deflt)
{
	return p ? (struct percent){ (uint32_t)(p->value.v * 10000), 1000000 } : (struct percent){ deflt, 100 };
}

static void fill_mirrors(struct compile *c, const struct vs *v, const struct vs_http *h, uint16_t port, struct route *r)
{
	struct route_mirror *m = NEW(c, struct route_mirror, h->mirrors.n);
	int n = 0;

	for (int i = 0; i < h->mirrors.n; i++) {
		struct percent share = share_of(h->mirrors.v[i].percentage, 100);
		struct cluster *to = share.parts ? target_cluster(c, v, compile_cluster_name(c, h->mirrors.v[i].destination, port, true)) : NULL;

		if (to)
			m[n++] = (struct route_mirror){ to, share };
	}
	r->mirrors = m;
	r->n_mirrors = n;
}

static void fill_forward(struct compile *c, const struct vs *v, const struct vs_http *h, uint16_t port, struct edits *e, struct route *r)
{
	bool hashed = false;

	r->action = ROUTE_FORWARD;
	r->missing_status = v->gateway ? 500 : 503;
	r->timeout_ms = h->timeout.set ? h->timeout.ms : 0;
	if (h->rewrite && *h->rewrite->authority)
		e->authority = h->rewrite->authority;
	fill_targets(c, v, h, port, e, r, &hashed);
	fill_rewrite(c, v, h->rewrite, r);
	fill_mirrors(c, v, h, port, r);
	compile_retry(c, &v->from->r, h->retries ? h->retries : c->mc->retries, hashed, &r->retry);
	if (v->gateway && h->retries && h->retry_codes.n) {
		r->retry.on |= RETRY_CODES;
		r->retry.codes = h->retry_codes.v;
		r->retry.n_codes = h->retry_codes.n;
	}
	if (h->backend_timeout.set && h->backend_timeout.ms) {
		if (h->retries)
			r->retry.per_try_ms = h->backend_timeout.ms;
		else
			r->timeout_ms = h->backend_timeout.ms;
	}
	r->max_grpc_timeout_ms = r->timeout_ms;
}

static void fill_redirect(const struct vs_redirect *d, uint16_t port, struct route *r)
{
	uint32_t to = d->port.set ? d->port.v : d->derive_port == VS_PORT_REQUEST ? port : 0;
	const char *scheme = *d->scheme ? d->scheme : "http";

	if ((to == 80 && !strcmp(scheme, "http")) || (to == 443 && !strcmp(scheme, "https")))
		to = 0;
	r->action = ROUTE_REDIRECT;
	r->redirect.status = d->code ? (int)d->code : 301;
	r->redirect.host = d->authority;
	r->redirect.scheme = d->scheme;
	r->redirect.port = (uint16_t)to;
	r->redirect.path_is_prefix = d->prefix_rewrite && *d->prefix_rewrite;
	r->redirect.path = r->redirect.path_is_prefix ? d->prefix_rewrite : d->uri;
}

static void fill_reply(int status, const struct vs_body *body, struct route *r)
{
	r->action = ROUTE_REPLY;
	r->reply.status = status;
	if (body)
		r->reply.body = *body->string ? str_c(body->string) : body->bytes;
}

static uint32_t weights(const struct vs_http *h)
{
	uint32_t sum = 0;

	for (int i = 0; i < h->route.n; i++)
		sum += h->route.v[i].weight;
	return sum;
}

/* ---- faults, CORS ---- */

static int grpc_code(const char *name)
{
	static const char *const names[] = {
		"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED",
		"FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
	};

	for (int i = 0; i < (int)ARRAY_LEN(names); i++)
		if (!strcasecmp(name, names[i]))
			return i;
	return -1;
}

static void fill_fault(const struct vs_fault *f, struct route *r)
{
	r->fault.grpc_status = -1;
	if (f && f->delay && f->delay->fixed.set) {
		r->fault.delay_ms = f->delay->fixed.ms;
		r->fault.delay_share = share_of(f->delay->percentage, f->delay->percent.set ? f->delay->percent.v : 0);
	}
	if (f && f->abort) {
		r->fault.abort_status = f->abort->http_status.set ? (int)f->abort->http_status.v : 200;
		r->fault.grpc_status = f->abort->http_status.set ? -1 : grpc_code(f->abort->grpc_status);
		r->fault.abort_share = share_of(f->abort->percentage, 0);
	}
}

static const char *join(struct compile *c, const char *const *v, int n)
{
	const char *out = "";

	for (int i = 0; i < n; i++)
		out = compile_printf(c->mem, "%s%s%s", out, i ? "," : "", v[i]);
	return out;
}

static const struct cors *cors_of(struct compile *c, const struct vs *v, const struct vs_cors *from)
{
	struct text_match *origins;
	struct cors *to;

	if (!from)
		return NULL;
	to = NEW(c, struct cors, 1);
	origins = NEW(c, struct text_match, from->allow_origins.n);
	for (int i = 0; i < from->allow_origins.n; i++)
		if (from->allow_origins.v[i].kind != STRING_ANY && text_of(c, v, &from->allow_origins.v[i], &origins[to->n_origins]))
			to->n_origins++;
	to->origins = origins;
	to->methods = join(c, from->allow_methods.v, from->allow_methods.n);
	to->headers = join(c, from->allow_headers.v, from->allow_headers.n);
	to->expose = join(c, from->expose_headers.v, from->expose_headers.n);
	to->max_age_s = from->max_age.set ? compile_printf(c->mem, "%u", from->max_age.ms / 1000) : "";
	to->credentials = from->allow_credentials == OPT_YES;
	to->answer_unmatched = from->ignore_unmatched;
	return to;
}

/* ---- the whole rule ---- */

/* Of spans. */
static const char *operation_of(struct compile *c, const struct vs *v, const struct route *r, bool single, uint16_t port)
{
	const char *path = "/", *star = "*";

	if (r->match.path != PATH_SEGMENTS) {
		path = r->match.path_text;
		star = r->match.path == PATH_PREFIX ? "*" : "";
	}
	if (single && r->n_targets == 1 && strchr(r->targets->cluster_name, '|')) {
		const char *number = strchr(r->targets->cluster_name, '|') + 1, *host = strrchr(number, '|') + 1;

		return compile_printf(c->mem, "%s:%.*s%s%s", host, (int)strcspn(number, "|"), number, path, star);
	}
	return compile_printf(c->mem, "%s:%u%s%s", v->name, port, path, star);
}

static bool fill_route(struct compile *c, const struct vs *v, const struct vs_http *h, const struct vs_match *m, uint16_t port, struct route *r)
{
	struct edits e = { .authority = "" };

	*r = (struct route){ .name = h->name, .host_rewrite = "", .redirect = { .host = "", .path = "", .scheme = "" } };
	if (m && *m->name)
		r->name = compile_printf(c->mem, "%s.%s", h->name, m->name);
	if (!match_of(c, v, m, &r->match))
		return false;
	edits_merge(c, v, &e, h->headers);
	if (h->invalid)
		fill_reply(500, NULL, r);
	else if (h->redirect)
		fill_redirect(h->redirect, port, r);
	else if (h->direct_response)
		fill_reply((int)h->direct_response->status, h->direct_response->body, r);
	else if (v->gateway && !weights(h))
		fill_reply(500, NULL, r);
	else
		fill_forward(c, v, h, port, &e, r);
	edits_finish(c, v, &e, r);
	r->operation = operation_of(c, v, r, e.single, port);
	fill_fault(h->fault, r);
	r->cors = cors_of(c, v, h->cors);
	r->websocket = true;
	return true;
}

int compile_routes(struct compile *c, const struct vs *v, uint16_t port, const struct route **ret)
{
	struct route *out;
	int max = 0, n = 0;
	bool closed = false;

	for (int i = 0; i < v->n_http; i++)
		max += v->http[i].match.n ? v->http[i].match.n : 1;
	out = NEW(c, struct route, max);
	for (int i = 0; i < v->n_http && !closed; i++) {
		const struct vs_http *h = &v->http[i];

		for (int k = 0; (k < h->match.n || k == 0) && !closed; k++) {
			const struct vs_match *m = h->match.n ? &h->match.v[k] : NULL;

			if ((m && !for_us(c, v, m, port)) || !fill_route(c, v, h, m, port, &out[n]))
				continue;
			/* What follows can never be reached. */
			closed = !m || catches_all(&out[n].match);
			n++;
		}
	}
	*ret = out;
	return n;
}

struct route compile_plain_route(struct compile *c, const char *name, const char *cluster, const char *operation)
{
	struct route_target *t = NEW(c, struct route_target, 1);

	*t = (struct route_target){ .cluster = plan_cluster(c->p, str_c(cluster)), .cluster_name = cluster, .weight = 1, .host_rewrite = "" };
	return (struct route){
		.name = name, .operation = operation, .match = { .path = PATH_PREFIX, .path_text = "/" }, .action = ROUTE_FORWARD, .targets = t, .n_targets = 1,
		.weight_sum = 1, .missing_status = 503, .host_rewrite = "", .redirect = { .host = "", .path = "", .scheme = "" }, .fault = { .grpc_status = -1 },
		.websocket = true,
	};
}
