/* SPDX-License-Identifier: Apache-2.0 */
/* Whether one route fits a request. As Envoy: a header that comes several times matches when one of its lines does. */
#include <strings.h>

#include "base/regex.h"
#include "traffic/route_int.h"

struct route_ask route_ask_of(const struct exchange *x)
{
	struct route_ask ask = { .x = x };

	ask.path = str_cut(x->request.path, '?', &ask.query);
	return ask;
}

static bool starts(struct str text, struct str prefix, bool nocase)
{
	if (!nocase)
		return str_starts(text, prefix);
	return text.n >= prefix.n && strncasecmp(text.p ? text.p : "", prefix.p, prefix.n) == 0;
}

bool text_matches(const struct text_match *m, struct str value)
{
	struct str want = str_c(m->text);

	switch (m->kind) {
	case TEXT_PRESENT:
		return true;
	case TEXT_EXACT:
		return m->nocase ? str_eq_nocase(value, want) : str_eq(value, want);
	case TEXT_PREFIX:
		return starts(value, want, m->nocase);
	case TEXT_SUFFIX:
		return value.n >= want.n && starts((struct str){ value.p + value.n - want.n, want.n }, want, m->nocase);
	case TEXT_REGEX:
		return regex_match(m->regex, value);
	}
	return false;
}

/* What a name with ':' stands for, and "host". False: no such thing. */
static bool pseudo(const struct http_head *h, struct str name, struct str *ret)
{
	if (str_is(name, ":method"))
		*ret = h->method;
	else if (str_is(name, ":authority") || str_eq_nocase(name, str_c("host")))
		*ret = h->authority;
	else if (str_is(name, ":scheme"))
		*ret = h->scheme;
	else if (str_is(name, ":path"))
		*ret = h->path;
	else
		return false;
	return true;
}

static bool header_matches(const struct named_match *m, const struct exchange *x)
{
	const struct http_fields *f = &x->request_fields;
	struct str name = str_c(m->name), value;
	bool there = false, hit = false;

	if (pseudo(&x->request, name, &value)) {
		there = value.p != NULL;
		hit = there && text_matches(&m->value, value);
	} else {
		for (int i = 0; i < f->n && !hit; i++) {
			if (!str_eq_nocase(f->v[i].name, name))
				continue;
			there = true;
			hit = text_matches(&m->value, f->v[i].value);
		}
	}
	if (!there && m->value.kind != TEXT_PRESENT) {
		if (!m->value.missing_is_empty)
			return false;
		hit = text_matches(&m->value, (struct str){ "", 0 });
	}
	return hit != m->value.invert;
}

static bool query_matches(const struct named_match *m, struct str query)
{
	struct str name = str_c(m->name);

	while (query.p) {
		struct str value, key = str_cut(str_cut(query, '&', &query), '=', &value);

		if (str_eq(key, name))
			return text_matches(&m->value, value);
	}
	return false;
}

static bool path_matches(const struct route_match *m, struct str path)
{
	struct str want = str_c(m->path_text);

	switch (m->path) {
	case PATH_ANY:
		return true;
	case PATH_EXACT:
		return m->path_nocase ? str_eq_nocase(path, want) : str_eq(path, want);
	case PATH_PREFIX:
		return starts(path, want, m->path_nocase);
	case PATH_SEGMENTS:
		return starts(path, want, m->path_nocase) && (path.n == want.n || path.p[want.n] == '/');
	case PATH_REGEX:
		return regex_match(m->path_regex, path);
	}
	return false;
}

static bool is_grpc(const struct exchange *x)
{
	struct str type = fields_get(&x->request_fields, "content-type"), want = str_c("application/grpc");

	return starts(type, want, true) && (type.n == want.n || type.p[want.n] == '+' || type.p[want.n] == ';');
}

bool route_matches(const struct route *r, const struct route_ask *ask, bool path_known)
{
	const struct route_match *m = &r->match;

	if (!path_known && !path_matches(m, ask->path))
		return false;
	if (m->grpc && !is_grpc(ask->x))
		return false;
	for (int i = 0; i < m->n_headers; i++)
		if (!header_matches(&m->headers[i], ask->x))
			return false;
	for (int i = 0; i < m->n_queries; i++)
		if (!query_matches(&m->queries[i], ask->query))
			return false;
	/* Tokens are judged where requests come in, not where they go out: no claim is known here. */
	for (int i = 0; i < m->n_claims; i++)
		if (!m->claims[i].value.invert)
			return false;
	return true;
}

size_t route_matched_bytes(const struct route *r, struct str path)
{
	if (r->match.path == PATH_ANY)
		return 1;        /* the prefix "/" */
	return r->match.path == PATH_PREFIX || r->match.path == PATH_SEGMENTS ? strlen(r->match.path_text) : path.n;
}
