/* SPDX-License-Identifier: Apache-2.0 */
/* What a route changes on the way: host, path, headers. In Envoy's order: removals, what is set, what is added; the target's before
 * the route's, so that the route has the last word. */
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/regex.h"
#include "telemetry/format.h"
#include "traffic/dest_int.h"
#include "traffic/route_int.h"

bool percent_hit(struct percent p, uint64_t *seed)
{
	return p.parts && p.of && dest_random_below(seed, p.of) < p.parts;
}

const struct route_target *route_choose(const struct route *r, uint64_t *seed)
{
	uint64_t at;

	if (r->n_targets == 1)
		return r->targets;
	if (!r->weight_sum)
		return NULL;
	at = dest_random_below(seed, r->weight_sum);
	for (int i = 0; i < r->n_targets; i++) {
		if (at < r->targets[i].weight)
			return &r->targets[i];
		at -= r->targets[i].weight;
	}
	return NULL;
}

/* Values are made before any is set: they say what came, without what is removed. */
static void apply_ops(struct exchange *x, struct http_fields *f, const struct header_op *ops, int n)
{
	struct str *values = n ? arena_alloc(&x->arena, (size_t)n * sizeof(*values)) : NULL;

	for (int i = 0; i < n; i++)
		if (ops[i].kind == HEADER_REMOVE)
			fields_remove(f, str_c(ops[i].name));
		else
			values[i] = format_text(ops[i].value, x);
	for (int i = 0; i < n; i++) {
		if (ops[i].kind == HEADER_REMOVE || !values[i].n)
			continue;
		if (ops[i].kind == HEADER_SET)
			fields_set(f, ops[i].name, values[i]);
		else
			fields_add(f, ops[i].name, values[i]);
	}
}

/* Puts `text` for the first `covered` bytes of the path. */
static struct str path_with(struct exchange *x, const char *text, size_t covered)
{
	struct str old = x->request.path;

	return exchange_printf(x, "%s%.*s", text, (int)(old.n - covered), old.p + covered);
}

/* False: the route rewrites no paths. An expression that is not found leaves the path as it is. */
static bool rewritten(struct exchange *x, const struct route *r, struct str *ret)
{
	struct route_ask ask = route_ask_of(x);
	struct str got;

	if (r->prefix_rewrite && *r->prefix_rewrite) {
		*ret = path_with(x, r->prefix_rewrite, route_matched_bytes(r, ask.path));
		return true;
	}
	if (!r->regex_rewrite.regex)
		return false;
	*ret = x->request.path;
	if (!regex_replace(r->regex_rewrite.regex, ask.path, str_c(r->regex_rewrite.substitution), LIMIT_H1_HEAD_BYTES, &got))
		return true;
	*ret = exchange_printf(x, "%.*s%.*s", (int)got.n, got.p, (int)(x->request.path.n - ask.path.n), ask.path.p + ask.path.n);
	free((char *)got.p);
	return true;
}

void route_apply_request(struct exchange *x, const struct route *r, const struct route_target *t)
{
	struct str path;

	if (t) {
		apply_ops(x, &x->request_fields, t->request, t->n_request);
		if (t->host_rewrite && *t->host_rewrite)
			x->request.authority = str_c(t->host_rewrite);
	}
	apply_ops(x, &x->request_fields, r->request, r->n_request);
	if (r->host_rewrite && *r->host_rewrite) {
		fields_set(&x->request_fields, "x-envoy-original-host", x->request.authority);
		x->request.authority = str_c(r->host_rewrite);
	}
	if (rewritten(x, r, &path)) {
		fields_set(&x->request_fields, "x-envoy-original-path", x->request.path);
		x->request.path = path;
	}
}

void route_apply_response(struct exchange *x, const struct route *r, const struct route_target *t)
{
	if (t)
		apply_ops(x, &x->response_fields, t->response, t->n_response);
	apply_ops(x, &x->response_fields, r->response, r->n_response);
}

/* The host of a redirect that names none: the request's, without a port that another one replaces or that was its scheme's own. */
static struct str redirect_host(const struct exchange *x, const struct route *r, struct str scheme)
{
	struct str host = x->request.authority, bare = route_without_port(host), port = { host.p + bare.n, host.n - bare.n };
	struct str proto = fields_get(&x->request_fields, "x-forwarded-proto");

	if (!proto.n)
		proto = str_c("http");
	if (r->redirect.port)
		return bare;
	if (!str_eq(scheme, proto) && ((str_is(proto, "http") && str_is(port, ":80")) || (str_is(proto, "https") && str_is(port, ":443"))))
		return bare;
	return host;
}

struct str route_location(struct exchange *x, const struct route *r)
{
	struct route_ask ask = route_ask_of(x);
	struct str scheme = *r->redirect.scheme ? str_c(r->redirect.scheme) : x->request.scheme.n ? x->request.scheme : str_c("http");
	struct str host = *r->redirect.host ? str_c(r->redirect.host) : redirect_host(x, r, scheme);
	struct str path = x->request.path, query = { path.p + ask.path.n, path.n - ask.path.n };
	char port[8] = "";

	if (r->redirect.port)
		snprintf(port, sizeof(port), ":%u", r->redirect.port);
	if (*r->redirect.path && r->redirect.path_is_prefix)
		path = path_with(x, r->redirect.path, route_matched_bytes(r, ask.path));
	else if (*r->redirect.path && strchr(r->redirect.path, '?'))
		path = str_c(r->redirect.path);
	else if (*r->redirect.path)
		path = exchange_printf(x, "%s%.*s", r->redirect.path, (int)query.n, query.p);
	return exchange_printf(x, "%.*s://%.*s%s%.*s", STR_FMT(scheme), STR_FMT(host), port, STR_FMT(path));
}
