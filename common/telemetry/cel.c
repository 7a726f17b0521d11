/* SPDX-License-Identifier: Apache-2.0 */
/* Reading: text to nodes. What they mean is in cel_eval.c. */
#include "telemetry/cel.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "telemetry/cel_int.h"

static const struct attribute {
	const char *name;
	enum cel_attr attr;
	bool map, constant;          /* constant: known with the connection */
} attributes[] = {
	{ "request.path", ATTR_REQUEST_PATH, false, false }, { "request.url_path", ATTR_REQUEST_URL_PATH, false, false },
	{ "request.host", ATTR_REQUEST_HOST, false, false }, { "request.scheme", ATTR_REQUEST_SCHEME, false, false },
	{ "request.method", ATTR_REQUEST_METHOD, false, false }, { "request.headers", ATTR_REQUEST_HEADERS, true, false },
	{ "request.referer", ATTR_REQUEST_REFERER, false, false }, { "request.useragent", ATTR_REQUEST_USERAGENT, false, false },
	{ "request.id", ATTR_REQUEST_ID, false, false }, { "request.protocol", ATTR_REQUEST_PROTOCOL, false, false },
	{ "request.query", ATTR_REQUEST_QUERY, false, false }, { "request.duration", ATTR_REQUEST_DURATION, false, false },
	{ "request.size", ATTR_REQUEST_SIZE, false, false },
	{ "response.code", ATTR_RESPONSE_CODE, false, false }, { "response.code_details", ATTR_RESPONSE_CODE_DETAILS, false, false },
	{ "response.headers", ATTR_RESPONSE_HEADERS, true, false }, { "response.grpc_status", ATTR_RESPONSE_GRPC_STATUS, false, false },
	{ "response.size", ATTR_RESPONSE_SIZE, false, false }, { "response.backend_latency", ATTR_RESPONSE_BACKEND_LATENCY, false, false },
	{ "source.address", ATTR_SOURCE_ADDRESS, false, false }, { "source.port", ATTR_SOURCE_PORT, false, false },
	{ "destination.address", ATTR_DESTINATION_ADDRESS, false, true }, { "destination.port", ATTR_DESTINATION_PORT, false, true },
	{ "connection.mtls", ATTR_CONNECTION_MTLS, false, true },
	{ "connection.requested_server_name", ATTR_CONNECTION_SNI, false, true },
	{ "connection.uri_san_peer_certificate", ATTR_CONNECTION_PEER_SAN, false, true },
	{ "connection.uri_san_local_certificate", ATTR_CONNECTION_LOCAL_SAN, false, true },
	{ "connection.termination_details", ATTR_CONNECTION_TERMINATION, false, false },
	{ "upstream.address", ATTR_UPSTREAM_ADDRESS, false, false }, { "upstream.port", ATTR_UPSTREAM_PORT, false, false },
	{ "upstream.local_address", ATTR_UPSTREAM_LOCAL, false, false },
	{ "upstream.transport_failure_reason", ATTR_UPSTREAM_FAILURE, false, false },
	{ "xds.cluster_name", ATTR_CLUSTER_NAME, false, false }, { "xds.route_name", ATTR_ROUTE_NAME, false, false },
	{ "cluster_name", ATTR_CLUSTER_NAME, false, false }, { "route_name", ATTR_ROUTE_NAME, false, false },
	{ "upstream_peer", ATTR_UPSTREAM_PEER, true, false }, { "downstream_peer", ATTR_DOWNSTREAM_PEER, true, false },
};

struct parser {
	struct str in;
	size_t at;
	int depth;
	struct cel *cel;
	struct err *err;
	int failed;
};

static struct cel_node *parse_or(struct parser *p);

static struct cel_node *fail(struct parser *p, int code, const char *what, struct str which)
{
	if (!p->failed)
		p->failed = err_set(p->err, code, "the expression '%.*s' is not understood at column %zu: %s%.*s", (int)(p->in.n < 300 ? p->in.n : 300),
				    p->in.p, p->at + 1, what, STR_FMT(which));
	return NULL;
}

static const struct str none = { "", 0 };

static void blanks(struct parser *p)
{
	while (p->at < p->in.n && isspace((unsigned char)p->in.p[p->at]))
		p->at++;
}

/* An operator: not the beginning of a longer one. */
static bool take(struct parser *p, const char *op)
{
	size_t n = strlen(op);

	blanks(p);
	if (p->in.n - p->at < n || memcmp(p->in.p + p->at, op, n) != 0)
		return false;
	if ((op[0] == '<' || op[0] == '>' || op[0] == '!') && n == 1 && p->at + 1 < p->in.n && p->in.p[p->at + 1] == '=')
		return false;
	p->at += n;
	return true;
}

static bool peek(struct parser *p, char c)
{
	blanks(p);
	return p->at < p->in.n && p->in.p[p->at] == c;
}

static struct str word(struct parser *p)
{
	size_t from;

	blanks(p);
	from = p->at;
	if (p->at < p->in.n && !isdigit((unsigned char)p->in.p[p->at]))
		while (p->at < p->in.n && (isalnum((unsigned char)p->in.p[p->at]) || p->in.p[p->at] == '_'))
			p->at++;
	return (struct str){ p->in.p + from, p->at - from };
}

static struct cel_node *node(struct parser *p, enum cel_op op, struct cel_node *a, struct cel_node *b)
{
	struct cel_node *n;

	if (p->failed)
		return NULL;
	n = arena_alloc(&p->cel->memory, sizeof(*n));
	n->op = op;
	n->kid[0] = a;
	n->kid[1] = b;
	return n;
}

static struct cel_node *literal(struct parser *p, struct cel_value v)
{
	struct cel_node *n = node(p, CEL_LITERAL, NULL, NULL);

	if (n)
		n->literal = v;
	return n;
}

/* At a quote. */
static bool string(struct parser *p, struct str *ret)
{
	char quote = p->in.p[p->at++], *to = arena_alloc(&p->cel->memory, p->in.n - p->at + 1);
	size_t n = 0;

	while (p->at < p->in.n && p->in.p[p->at] != quote) {
		char c = p->in.p[p->at++];

		if (c == '\\' && p->at < p->in.n) {
			c = p->in.p[p->at++];
			if (c == 'n' || c == 't' || c == 'r')
				c = c == 'n' ? '\n' : c == 't' ? '\t' : '\r';
			else if (!strchr("\\'\"`?", c))
				return fail(p, -ENOTSUP, "this escape is not supported: \\", (struct str){ &p->in.p[p->at - 1], 1 });
		}
		to[n++] = c;
	}
	if (p->at >= p->in.n)
		return fail(p, -EINVAL, "a string is not closed", none);
	p->at++;
	*ret = (struct str){ to, n };
	return true;
}

static struct cel_node *number(struct parser *p)
{
	char text[40], *end;
	size_t n = p->in.n - p->at < sizeof(text) - 1 ? p->in.n - p->at : sizeof(text) - 1;
	struct cel_value v = { .kind = CEL_INT };

	memcpy(text, p->in.p + p->at, n);
	text[n] = '\0';
	errno = 0;
	v.i = strtoll(text, &end, 10);
	if (*end == '.' || *end == 'e' || *end == 'E')
		v = (struct cel_value){ .kind = CEL_DOUBLE, .d = strtod(text, &end) };
	if (end == text || errno)
		return fail(p, -EINVAL, "a number is wanted", none);
	if (*end == 'u' && v.kind == CEL_INT)
		end++;
	p->at += (size_t)(end - text);
	return literal(p, v);
}

/* Envoy's maps of headers have names in lower case, and so has what comes over HTTP/2. */
static const char *map_key(struct parser *p, struct str key)
{
	char *k = arena_dup(&p->cel->memory, key);

	for (char *c = k; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return k;
}

static bool map_rest(struct parser *p, struct cel_node *n)
{
	struct str key = { 0 };

	if (take(p, ".")) {
		key = word(p);
	} else if (take(p, "[")) {
		blanks(p);
		if (!peek(p, '\'') && !peek(p, '"'))
			return fail(p, -ENOTSUP, "a literal key in quotes is wanted", none);
		if (!string(p, &key))
			return false;
		if (!take(p, "]"))
			return fail(p, -EINVAL, "']' is wanted", none);
	} else {
		return true;         /* the map itself: the right side of `in` */
	}
	if (!key.n)
		return fail(p, -EINVAL, "a key is wanted", none);
	n->key = map_key(p, key);
	return true;
}

static struct cel_node *attribute(struct parser *p, struct str first)
{
	size_t from = (size_t)(first.p - p->in.p);
	struct str name = first;

	for (;;) {
		for (size_t i = 0; i < ARRAY_LEN(attributes); i++) {
			const struct attribute *a = &attributes[i];
			struct cel_node *n;

			if (!str_is(name, a->name))
				continue;
			n = node(p, CEL_ATTR, NULL, NULL);
			if (!n)
				return NULL;
			n->attr = a->attr;
			p->cel->changes |= !a->constant;
			return a->map && !map_rest(p, n) ? NULL : n;
		}
		if (p->at >= p->in.n || p->in.p[p->at] != '.')
			break;
		p->at++;
		if (!word(p).n)
			break;
		name.n = p->at - from;
	}
	p->at = from;
	return fail(p, -ENOTSUP, "meshd has no attribute ", name);
}

static struct cel_node *call_end(struct parser *p, struct cel_node *n)
{
	return take(p, ")") ? n : fail(p, -EINVAL, "')' is wanted", none);
}

/* "1h2m3.5s": Go's durations, as CEL's. */
static bool duration(struct str s, int64_t *ret_ns)
{
	static const struct { const char *unit; double ns; } units[] = { { "ms", 1e6 }, { "us", 1e3 }, { "ns", 1 }, { "h", 3600e9 }, { "m", 60e9 }, { "s", 1e9 } };
	double total = 0;
	char text[64], *at = text;

	if (!s.n || s.n >= sizeof(text))
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	while (*at) {
		char *end;
		double v = strtod(at, &end);
		size_t i = 0;

		if (end == at)
			return false;
		while (i < ARRAY_LEN(units) && strncmp(end, units[i].unit, strlen(units[i].unit)) != 0)
			i++;
		if (i == ARRAY_LEN(units))
			return false;
		total += v * units[i].ns;
		at = end + strlen(units[i].unit);
	}
	if (!(total >= 0 && total < 9e18))
		return false;
	*ret_ns = (int64_t)total;
	return true;
}

static struct cel_node *call(struct parser *p, struct str name)
{
	static const struct { const char *name; enum cel_op op; } calls[] = {
		{ "has", CEL_HAS }, { "size", CEL_SIZE }, { "string", CEL_TO_STRING }, { "int", CEL_TO_INT }, { "duration", CEL_LITERAL },
	};
	struct cel_node *a;

	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		if (!str_is(name, calls[i].name))
			continue;
		a = parse_or(p);
		if (!a)
			return NULL;
		if (calls[i].op == CEL_HAS && a->op != CEL_ATTR)
			return fail(p, -EINVAL, "has() takes an attribute", none);
		if (calls[i].op == CEL_LITERAL) {
			struct cel_value v = { .kind = CEL_DURATION };

			if (a->op != CEL_LITERAL || a->literal.kind != CEL_STRING || !duration(a->literal.s, &v.i))
				return fail(p, -EINVAL, "duration() takes a text like '1.5s'", none);
			a = literal(p, v);
		} else {
			a = node(p, calls[i].op, a, NULL);
		}
		return a ? call_end(p, a) : NULL;
	}
	return fail(p, -ENOTSUP, "meshd has no function ", name);
}

static struct cel_node *list(struct parser *p)
{
	struct cel_node *l = node(p, CEL_LIST, NULL, NULL), **last = l ? &l->kid[0] : NULL;

	if (!l || take(p, "]"))
		return l;
	do {
		struct cel_node *e = parse_or(p);

		if (!e)
			return NULL;
		*last = e;
		last = &e->next;
	} while (take(p, ","));
	return take(p, "]") ? l : fail(p, -EINVAL, "']' is wanted", none);
}

static struct cel_node *primary(struct parser *p)
{
	struct cel_node *n;
	struct str w;

	blanks(p);
	if (p->at >= p->in.n)
		return fail(p, -EINVAL, "something is wanted here", none);
	if (take(p, "(")) {
		n = parse_or(p);
		return n ? call_end(p, n) : NULL;
	}
	if (take(p, "["))
		return list(p);
	if (peek(p, '\'') || peek(p, '"'))
		return string(p, &w) ? literal(p, (struct cel_value){ .kind = CEL_STRING, .s = w }) : NULL;
	if (isdigit((unsigned char)p->in.p[p->at]) || p->in.p[p->at] == '-')
		return number(p);
	w = word(p);
	if (!w.n)
		return fail(p, -EINVAL, "something is wanted here", none);
	if (str_is(w, "true") || str_is(w, "false"))
		return literal(p, (struct cel_value){ .kind = CEL_BOOL, .b = w.n == 4 });
	if (str_is(w, "null"))
		return literal(p, (struct cel_value){ .kind = CEL_NULL });
	return take(p, "(") ? call(p, w) : attribute(p, w);
}

/* Anywhere in the text, as CEL's; the engine's matches the whole. */
static bool take_regex(struct parser *p, struct cel_node *n)
{
	const struct cel_node *pattern = n->kid[1];

	if (pattern->op != CEL_LITERAL || pattern->literal.kind != CEL_STRING)
		return fail(p, -ENOTSUP, "matches() takes a literal pattern", none);
	p->failed = cel_regex(p->cel, n, pattern->literal.s, p->err);
	return p->failed == 0;
}

/* .startsWith(x) and its like. */
static struct cel_node *methods(struct parser *p, struct cel_node *n)
{
	static const struct { const char *name; enum cel_op op; } known[] = {
		{ "startsWith", CEL_STARTS }, { "endsWith", CEL_ENDS }, { "contains", CEL_CONTAINS }, { "matches", CEL_MATCHES }, { "size", CEL_SIZE },
	};

	while (n && take(p, ".")) {
		struct str w = word(p);
		struct cel_node *arg = NULL;
		size_t i = 0;

		while (i < ARRAY_LEN(known) && !str_is(w, known[i].name))
			i++;
		if (i == ARRAY_LEN(known))
			return fail(p, -ENOTSUP, "meshd has no field or function ", w);
		if (!take(p, "("))
			return fail(p, -EINVAL, "'(' is wanted", none);
		if (known[i].op != CEL_SIZE) {
			arg = parse_or(p);
			if (!arg)
				return NULL;
		}
		n = node(p, known[i].op, n, arg);
		if (!n || (n->op == CEL_MATCHES && !take_regex(p, n)))
			return NULL;
		n = call_end(p, n);
	}
	if (n && peek(p, '['))
		return fail(p, -ENOTSUP, "only headers and peers have elements", none);
	return n;
}

static struct cel_node *unary(struct parser *p)
{
	struct cel_node *n;

	if (++p->depth > CEL_DEPTH)
		return fail(p, -EINVAL, "it is nested too deeply", none);
	if (take(p, "!")) {
		n = unary(p);
		n = n ? node(p, CEL_NOT, n, NULL) : NULL;
	} else {
		n = methods(p, primary(p));
	}
	p->depth--;
	return n;
}

static struct cel_node *sum(struct parser *p)
{
	struct cel_node *n = unary(p), *b;

	while (n && take(p, "+")) {
		b = unary(p);
		n = b ? node(p, CEL_PLUS, n, b) : NULL;
	}
	return n;
}

static bool take_in(struct parser *p)
{
	size_t from = p->at;

	if (str_is(word(p), "in"))
		return true;
	p->at = from;
	return false;
}

static struct cel_node *relation(struct parser *p)
{
	static const struct { const char *text; enum cel_op op; } ops[] = {
		{ "==", CEL_EQ }, { "!=", CEL_NE }, { "<=", CEL_LE }, { ">=", CEL_GE }, { "<", CEL_LT }, { ">", CEL_GT },
	};
	struct cel_node *n = sum(p), *b;

	while (n) {
		size_t i = 0;

		if (take_in(p)) {
			b = sum(p);
			if (b && b->op != CEL_LIST && !(b->op == CEL_ATTR && !b->key))
				return fail(p, -EINVAL, "a list or a map is wanted after `in`", none);
			n = b ? node(p, CEL_IN, n, b) : NULL;
			continue;
		}
		while (i < ARRAY_LEN(ops) && !take(p, ops[i].text))
			i++;
		if (i == ARRAY_LEN(ops))
			return n;
		b = sum(p);
		n = b ? node(p, ops[i].op, n, b) : NULL;
	}
	return NULL;
}

static struct cel_node *parse_and(struct parser *p)
{
	struct cel_node *n = relation(p), *b;

	while (n && take(p, "&&")) {
		b = relation(p);
		n = b ? node(p, CEL_AND, n, b) : NULL;
	}
	return n;
}

static struct cel_node *parse_or(struct parser *p)
{
	struct cel_node *n, *b;

	if (++p->depth > CEL_DEPTH)
		return fail(p, -EINVAL, "it is nested too deeply", none);
	n = parse_and(p);
	while (n && take(p, "||")) {
		b = parse_and(p);
		n = b ? node(p, CEL_OR, n, b) : NULL;
	}
	if (n && take(p, "?")) {
		struct cel_node *yes = parse_or(p), *no = yes && take(p, ":") ? parse_or(p) : NULL;

		if (!no)
			return p->failed ? NULL : fail(p, -EINVAL, "':' is wanted", none);
		n = node(p, CEL_COND, n, yes);
		if (n)
			n->kid[2] = no;
	}
	p->depth--;
	return n;
}

int cel_parse(struct str text, struct cel **ret, struct err *err)
{
	struct cel *c = xcalloc(1, sizeof(*c));
	struct parser p = { .in = { text.p ? text.p : "", text.n }, .cel = c, .err = err };

	c->memory.block = 1024;
	if (text.n > CEL_TEXT_BYTES)
		fail(&p, -EINVAL, "it is too long", none);
	else
		c->root = parse_or(&p);
	blanks(&p);
	if (!p.failed && p.at < p.in.n)
		fail(&p, -EINVAL, "nothing more is wanted here", none);
	if (p.failed) {
		cel_free(c);
		return p.failed;
	}
	*ret = c;
	return 0;
}

bool cel_is_constant(const struct cel *c)
{
	return !c->changes;
}
