/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/jwt_find.h"

struct finder {
	struct exchange *x;
	struct jwt_found *to;
	int n, max;
};

static void add(struct finder *f, enum jwt_place place, const char *name, struct str token)
{
	if (f->n < f->max)
		f->to[f->n++] = (struct jwt_found){ place, name, token };
}

/* --- headers --- */

static const char *find(struct str in, struct str what)
{
	for (size_t i = 0; i + what.n <= in.n; i++)
		if (memcmp(in.p + i, what.p, what.n) == 0)
			return in.p + i;
	return NULL;
}

static struct str trim(struct str s)
{
	while (s.n && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = (struct str){ s.p + 1, s.n - 1 };
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

static void in_value(struct finder *f, const struct jwt_header *h, struct str v)
{
	struct str prefix = str_c(h->prefix);
	const char *at = prefix.n ? find(v, prefix) : v.p;

	if (at)
		add(f, JWT_IN_HEADER, h->name, trim((struct str){ at + prefix.n, v.n - (size_t)(at - v.p) - prefix.n }));
}

/* Repeated lines have a token each; but those of Authorization are one value with commas, as in Envoy, and that is no token. */
static void in_header(struct finder *f, const struct jwt_header *h)
{
	const struct http_fields *fields = &f->x->request_fields;
	bool joins = !strcmp(h->name, "authorization");
	struct str whole = { NULL, 0 };

	for (int i = 0; i < fields->n; i++) {
		struct str v = fields->v[i].value;

		if (!str_eq_nocase(fields->v[i].name, str_c(h->name)))
			continue;
		if (joins)
			whole = whole.p ? exchange_printf(f->x, "%.*s,%.*s", STR_FMT(whole), STR_FMT(v)) : v;
		else
			in_value(f, h, v);
	}
	if (whole.p)
		in_value(f, h, whole);
}

/* --- parameters --- */

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static struct str decoded(struct exchange *x, struct str s)
{
	char *out;
	size_t n = 0;

	if (!s.n || (!memchr(s.p, '%', s.n) && !memchr(s.p, '+', s.n)))
		return s;
	out = (char *)exchange_dup(x, s).p;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '%' && i + 2 < s.n && hex(s.p[i + 1]) >= 0 && hex(s.p[i + 2]) >= 0) {
			out[n++] = (char)(hex(s.p[i + 1]) << 4 | hex(s.p[i + 2]));
			i += 2;
		} else {
			out[n++] = s.p[i] == '+' ? ' ' : s.p[i];
		}
	}
	return (struct str){ out, n };
}

static struct str query_of(struct str path)
{
	struct str query;

	str_cut(path, '?', &query);
	return query;
}

static void in_param(struct finder *f, const char *name)
{
	struct str rest = query_of(f->x->request.path);

	while (rest.n) {
		struct str part = str_cut(rest, '&', &rest), value, key = str_cut(part, '=', &value);

		if (str_is(decoded(f->x, key), name)) {
			add(f, JWT_IN_PARAM, name, decoded(f->x, value.p ? value : (struct str){ "", 0 }));
			return;
		}
	}
}

static void remove_param(struct exchange *x, const char *name)
{
	struct str path = x->request.path, rest = query_of(path);
	size_t keep = path.n - rest.n - (rest.p != NULL), n = keep;
	char *out;

	if (!rest.n)
		return;
	out = (char *)exchange_dup(x, path).p;
	while (rest.n) {
		struct str part = str_cut(rest, '&', &rest), value, key = str_cut(part, '=', &value);

		if (str_is(decoded(x, key), name))
			continue;
		out[n] = n == keep ? '?' : '&';
		memcpy(out + n + 1, part.p, part.n);
		n += part.n + 1;
	}
	x->request.path = (struct str){ out, n };
}

/* --- cookies --- */

static void in_cookie(struct finder *f, const char *name)
{
	const struct http_fields *fields = &f->x->request_fields;

	for (int i = 0; i < fields->n; i++) {
		struct str rest = fields->v[i].value;

		if (!str_eq_nocase(fields->v[i].name, str_c("cookie")))
			continue;
		while (rest.n) {
			struct str part = trim(str_cut(rest, ';', &rest)), value, key = str_cut(part, '=', &value);

			if (!str_is(key, name) || !value.p)
				continue;
			if (value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"')
				value = (struct str){ value.p + 1, value.n - 2 };
			add(f, JWT_IN_COOKIE, name, value);
			return;
		}
	}
}

int jwt_find(struct exchange *x, const struct jwt_rule *r, struct jwt_found *ret, int max)
{
	static const struct jwt_header bearer = { "authorization", "Bearer " };
	struct finder f = { x, ret, 0, max };

	if (!r->n_headers && !r->n_params && !r->n_cookies) {
		in_header(&f, &bearer);
		in_param(&f, "access_token");
		return f.n;
	}
	for (int i = 0; i < r->n_headers; i++)
		in_header(&f, &r->headers[i]);
	for (int i = 0; i < r->n_params; i++)
		in_param(&f, r->params[i]);
	for (int i = 0; i < r->n_cookies; i++)
		in_cookie(&f, r->cookies[i]);
	return f.n;
}

void jwt_take_out(struct exchange *x, const struct jwt_found *f)
{
	if (f->place == JWT_IN_HEADER)
		fields_remove(&x->request_fields, str_c(f->name));
	else if (f->place == JWT_IN_PARAM)
		remove_param(x, f->name);
}
