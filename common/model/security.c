/* SPDX-License-Identifier: Apache-2.0 */
#include "model/security.h"

#include <stdlib.h>

#include "model/object_int.h"

/* --- RequestAuthentication --- */

static const struct jwt_header *pack_headers(struct pack *p, const struct jwt_header *from, int n)
{
	struct jwt_header *to = pack_array(p, n, sizeof(*to));

	for (int i = 0; i < n; i++) {
		struct jwt_header c = { pack_str(p, from[i].name), pack_str(p, from[i].prefix) };

		if (to)
			to[i] = c;
	}
	return to;
}

static const struct jwt_claim_header *pack_claim_headers(struct pack *p, const struct jwt_claim_header *from, int n)
{
	struct jwt_claim_header *to = pack_array(p, n, sizeof(*to));

	for (int i = 0; i < n; i++) {
		struct jwt_claim_header c = from[i];

		c.header = pack_str(p, c.header);
		c.claim = pack_strs(p, c.claim, c.n_claim);
		if (to)
			to[i] = c;
	}
	return to;
}

static const struct jwt_rule *pack_jwt_rules(struct pack *p, const struct jwt_rule *from, int n)
{
	struct jwt_rule *to = pack_array(p, n, sizeof(*to));

	for (int i = 0; i < n; i++) {
		struct jwt_rule c = from[i];

		c.issuer = pack_str(p, c.issuer);
		c.audiences = pack_strs(p, c.audiences, c.n_audiences);
		c.jwks = pack_str(p, c.jwks);
		c.jwks_uri = pack_str(p, c.jwks_uri);
		c.headers = pack_headers(p, c.headers, c.n_headers);
		c.params = pack_strs(p, c.params, c.n_params);
		c.cookies = pack_strs(p, c.cookies, c.n_cookies);
		c.payload_header = pack_str(p, c.payload_header);
		c.claim_headers = pack_claim_headers(p, c.claim_headers, c.n_claim_headers);
		c.space_delimited = pack_strs(p, c.space_delimited, c.n_space_delimited);
		if (to)
			to[i] = c;
	}
	return to;
}

static struct request_authn *request_authn_pack(struct pack *p, const struct request_authn *from)
{
	struct request_authn *a = pack_array(p, 1, sizeof(*a)), c = *from;

	c.key = pack_str(p, from->key);
	c.ns = pack_str(p, from->ns);
	c.name = pack_str(p, from->name);
	c.where = pack_str(p, from->where);
	c.problem = pack_str(p, from->problem);
	c.selector = pack_labels(p, from->selector, from->n_selector);
	c.targets = pack_targets(p, from->targets, from->n_targets);
	c.rules = pack_jwt_rules(p, from->rules, from->n_rules);
	c.compiled = NULL;
	c.compiled_free = NULL;
	atomic_init(&c.refs, 1);
	if (a)
		*a = c;
	return a;
}

struct request_authn *request_authn_new(const struct request_authn *from)
{
	struct request_authn *a;

	PACK_NEW(request_authn_pack, from, a);
	return a;
}

struct request_authn *request_authn_ref(struct request_authn *a)
{
	atomic_fetch_add_explicit(&a->refs, 1, memory_order_relaxed);
	return a;
}

void request_authn_unref(struct request_authn *a)
{
	if (!a || !object_last_ref(&a->refs))
		return;
	if (a->compiled_free)
		a->compiled_free(a->compiled);
	free(a);
}

/* --- RateLimit --- */

static const struct rate_key *pack_keys(struct pack *p, const struct rate_key *from, int n)
{
	struct rate_key *to = pack_array(p, n, sizeof(*to));

	for (int i = 0; i < n; i++) {
		struct rate_key c = from[i];

		c.name = pack_strs(p, c.name, c.n_name);
		if (to)
			to[i] = c;
	}
	return to;
}

static const struct rate_rule *pack_rate_rules(struct pack *p, const struct rate_rule *from, int n)
{
	struct rate_rule *to = pack_array(p, n, sizeof(*to));

	for (int i = 0; i < n; i++) {
		struct rate_rule c = from[i];

		c.name = pack_str(p, c.name);
		c.match = pack_rules(p, c.match, c.n_match);
		c.keys = pack_keys(p, c.keys, c.n_keys);
		if (to)
			to[i] = c;
	}
	return to;
}

static struct rate_limit *rate_limit_pack(struct pack *p, const struct rate_limit *from)
{
	struct rate_limit *r = pack_array(p, 1, sizeof(*r)), c = *from;

	c.key = pack_str(p, from->key);
	c.ns = pack_str(p, from->ns);
	c.name = pack_str(p, from->name);
	c.where = pack_str(p, from->where);
	c.problem = pack_str(p, from->problem);
	c.selector = pack_labels(p, from->selector, from->n_selector);
	c.targets = pack_targets(p, from->targets, from->n_targets);
	c.rules = pack_rate_rules(p, from->rules, from->n_rules);
	c.shared.service = pack_str(p, from->shared.service);
	c.shared.domain = pack_str(p, from->shared.domain);
	c.compiled = NULL;
	c.compiled_free = NULL;
	atomic_init(&c.refs, 1);
	if (r)
		*r = c;
	return r;
}

struct rate_limit *rate_limit_new(const struct rate_limit *from)
{
	struct rate_limit *r;

	PACK_NEW(rate_limit_pack, from, r);
	return r;
}

struct rate_limit *rate_limit_ref(struct rate_limit *r)
{
	atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
	return r;
}

void rate_limit_unref(struct rate_limit *r)
{
	if (!r || !object_last_ref(&r->refs))
		return;
	if (r->compiled_free)
		r->compiled_free(r->compiled);
	free(r);
}

/* --- extension providers --- */

const struct ext_provider *pack_providers(struct pack *p, const struct ext_provider *from, int n)
{
	struct ext_provider *to = pack_array(p, n, sizeof(*to));

	for (int i = 0; i < n; i++) {
		struct ext_provider c = from[i];

		c.name = pack_str(p, c.name);
		c.problem = pack_str(p, c.problem);
		c.service = pack_str(p, c.service);
		c.path_prefix = pack_str(p, c.path_prefix);
		c.include = pack_texts(p, c.include, c.n_include);
		c.add = pack_labels(p, c.add, c.n_add);
		c.up_on_allow = pack_texts(p, c.up_on_allow, c.n_up_on_allow);
		c.down_on_deny = pack_texts(p, c.down_on_deny, c.n_down_on_deny);
		c.down_on_allow = pack_texts(p, c.down_on_allow, c.n_down_on_allow);
		if (to)
			to[i] = c;
	}
	return to;
}
