/* SPDX-License-Identifier: Apache-2.0 */
/* RequestAuthentication and RateLimit. */
#include <ctype.h>
#include <stdio.h>

#include "source/check.h"
#include "source/conf.h"

static const char *lower(struct conf_load *l, const char *text)
{
	char *to = arena_dup(l->arena, str_c(text));

	for (char *c = to; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return to;
}

/* "a.b" as Envoy has it: b within a. */
static const char *const *claim_path(struct conf_load *l, const char *text, int *n)
{
	const char **v = arena_alloc(l->arena, (strlen(text) + 1) * sizeof(*v));
	struct str rest = str_c(text);

	*n = 0;
	while (rest.n) {
		struct str one = str_cut(rest, '.', &rest);

		v[(*n)++] = arena_dup(l->arena, one);
	}
	return v;
}

/* --- RequestAuthentication --- */

static void jwt_rule(struct conf_load *l, const struct crd_jwt_rule *from, struct jwt_rule *to)
{
	const struct crd_jwt_header *h = from->headers.v;
	const struct crd_claim_header *c = from->claim_headers.v;
	struct jwt_header *headers = arena_alloc(l->arena, (size_t)from->headers.n * sizeof(*headers));
	struct jwt_claim_header *claims = arena_alloc(l->arena, (size_t)from->claim_headers.n * sizeof(*claims));

	for (int i = 0; i < from->headers.n; i++)
		headers[i] = (struct jwt_header){ lower(l, h[i].name), h[i].prefix };
	for (int i = 0; i < from->claim_headers.n; i++) {
		claims[i].header = lower(l, c[i].header);
		claims[i].claim = claim_path(l, c[i].claim, &claims[i].n_claim);
	}
	*to = (struct jwt_rule){
		.issuer = from->issuer, .audiences = from->audiences.v, .n_audiences = from->audiences.n, .jwks = from->jwks,
		.jwks_uri = from->jwks_uri, .timeout_ms = from->timeout_ms, .headers = headers, .n_headers = from->headers.n,
		.params = from->params.v, .n_params = from->params.n, .cookies = from->cookies.v, .n_cookies = from->cookies.n,
		.payload_header = lower(l, from->payload_header), .claim_headers = claims, .n_claim_headers = from->claim_headers.n,
		.space_delimited = from->space_delimited.v, .n_space_delimited = from->space_delimited.n, .forward = from->forward,
	};
}

bool conf_request_authn(struct conf_load *l, struct field_walk *w, const struct crd_meta *m, const struct crd_request_authn *spec,
			struct request_authn **ret)
{
	struct jwt_rule *rules = arena_alloc(l->arena, (size_t)spec->rules.n * sizeof(*rules));
	const struct crd_jwt_rule *from = spec->rules.v;
	char key[700], where[4200];
	struct request_authn a = { .key = key, .ns = m->ns, .name = m->name, .where = where, .problem = "", .rules = rules, .n_rules = spec->rules.n };

	a.targets = check_target_refs(l->arena, &spec->targets, spec->target, &a.n_targets);
	if (!check_has_effect(w, a.n_targets))
		return true;
	for (int i = 0; i < spec->rules.n; i++)
		jwt_rule(l, &from[i], &rules[i]);
	snprintf(key, sizeof(key), "%s/%s", m->ns, m->name);
	snprintf(where, sizeof(where), "%s:%u", l->file, w->root->line);
	if (spec->selector) {
		a.selector = spec->selector->labels.v;
		a.n_selector = spec->selector->labels.n;
	}
	*ret = request_authn_new(&a);
	return true;
}

/* --- RateLimit --- */

static struct rate_key rate_key(struct conf_load *l, const struct crd_rate_key *from)
{
	struct rate_key k = { .by = from->identity ? RATE_BY_IDENTITY : from->address ? RATE_BY_ADDRESS : from->path ? RATE_BY_PATH :
				    from->method ? RATE_BY_METHOD : from->host ? RATE_BY_HOST : *from->header ? RATE_BY_HEADER : RATE_BY_CLAIM };

	if (k.by == RATE_BY_CLAIM)
		k.name = claim_path(l, from->claim, &k.n_name);
	if (k.by == RATE_BY_HEADER) {
		const char **v = arena_alloc(l->arena, sizeof(*v));

		v[0] = lower(l, from->header);
		k.name = v;
		k.n_name = 1;
	}
	return k;
}

static void rate_rule(struct conf_load *l, struct field_walk *w, const struct crd_meta *m, const struct crd_rate_rule *from, struct rate_rule *to)
{
	struct policy_rule *match = arena_alloc(l->arena, (size_t)from->match.n * sizeof(*match));
	struct rate_key *keys = arena_alloc(l->arena, (size_t)from->by.n * sizeof(*keys));
	const struct crd_rate_key *by = from->by.v;
	size_t len = w->path_len;

	for (int i = 0; i < from->match.n; i++) {
		field_enter(w, "match", 0);
		field_enter(w, NULL, i);
		conf_rule(l, w, m, &((const struct crd_rule *)from->match.v)[i], &match[i]);
		if (from->connections && conf_rule_has_http(&match[i]))
			field_error(w, 0, NULL, "want nothing of HTTP, of connections");
		field_leave(w, len);
	}
	for (int i = 0; i < from->by.n; i++)
		keys[i] = rate_key(l, &by[i]);
	*to = (struct rate_rule){ .name = from->name, .match = match, .n_match = from->match.n, .keys = keys, .n_keys = from->by.n,
				  .connections = from->connections, .amount = from->amount, .burst = from->burst, .per_s = from->per_ms / 1000,
				  .dry_run = from->dry_run };
	if (from->by.n > 8)
		field_error(w, 0, "by", "want at most 8, got %d", from->by.n);
}

bool conf_rate_limit(struct conf_load *l, struct field_walk *w, const struct crd_meta *m, const struct crd_rate_limit *spec, struct rate_limit **ret)
{
	struct rate_rule *rules = arena_alloc(l->arena, (size_t)spec->rules.n * sizeof(*rules));
	const struct crd_rate_rule *from = spec->rules.v;
	char key[700], where[4200];
	struct rate_limit r = { .key = key, .ns = m->ns, .name = m->name, .where = where, .problem = "", .rules = rules, .n_rules = spec->rules.n,
				.headers = spec->headers, .shared = { .service = "", .domain = "" } };
	size_t len = w->path_len;

	r.targets = check_target_refs(l->arena, &spec->targets, spec->target, &r.n_targets);
	if (!check_has_effect(w, r.n_targets))
		return true;
	for (int i = 0; i < spec->rules.n; i++) {
		field_enter(w, "rules", 0);
		field_enter(w, NULL, i);
		if (!from[i].connections && !sees_requests(l->settings))
			field_warn(w, 0, NULL, "has no effect in ztunnel mode: it counts requests");
		rate_rule(l, w, m, &from[i], &rules[i]);
		field_leave(w, len);
	}
	if (w->errors)
		return false;
	snprintf(key, sizeof(key), "%s/%s", m->ns, m->name);
	snprintf(where, sizeof(where), "%s:%u", l->file, w->root->line);
	if (spec->shared)
		r.shared = (struct rate_service){ spec->shared->service, spec->shared->port, spec->shared->domain, spec->shared->timeout_ms, spec->shared->fail_open };
	if (spec->selector) {
		r.selector = spec->selector->labels.v;
		r.n_selector = spec->selector->labels.n;
	}
	*ret = rate_limit_new(&r);
	return true;
}
