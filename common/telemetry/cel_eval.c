/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/regex.h"
#include "telemetry/cel_int.h"

#define SCRATCH 8192     /* for texts that are made while an expression runs */

struct run {
	const struct exchange *x;
	char *scratch;
	size_t used, size;
};

static const struct cel_value error = { .kind = CEL_ERROR };

static struct cel_value eval(struct run *r, const struct cel_node *n);

int cel_regex(struct cel *c, struct cel_node *n, struct str pattern, struct err *err)
{
	char *text = xasprintf("(?s:.*)(?:%.*s)(?s:.*)", STR_FMT(pattern));

	n->regex = regex_new(str_c(text), err);
	free(text);
	if (!n->regex)
		return -EINVAL;
	n->owned = c->with_regex;
	c->with_regex = n;
	return 0;
}

void cel_free(struct cel *c)
{
	if (!c)
		return;
	for (struct cel_node *n = c->with_regex; n; n = n->owned)
		regex_free(n->regex);
	arena_done(&c->memory);
	free(c);
}

static struct cel_value truth(bool b)
{
	return (struct cel_value){ .kind = CEL_BOOL, .b = b };
}

static bool is(struct cel_value v, bool b)
{
	return v.kind == CEL_BOOL && v.b == b;
}

static struct cel_value attribute(struct run *r, enum cel_attr attr, const char *key)
{
	struct cel_value v = cel_attribute(r->x, attr, key, r->scratch + r->used, r->size - r->used);

	/* Only texts that were made take room. */
	if (v.kind == CEL_STRING && v.s.p >= r->scratch && v.s.p < r->scratch + r->size)
		r->used = (size_t)(v.s.p - r->scratch) + v.s.n;
	return v;
}

/* Either side decides if it can, even when the other is an error. */
static struct cel_value both(struct run *r, const struct cel_node *n, bool decides)
{
	struct cel_value a = eval(r, n->kid[0]), b;

	if (is(a, decides))
		return a;
	b = eval(r, n->kid[1]);
	if (is(b, decides))
		return b;
	return a.kind == CEL_BOOL && b.kind == CEL_BOOL ? truth(!decides) : error;
}

/* -2: they cannot be compared. */
static int compare(struct cel_value a, struct cel_value b)
{
	if (a.kind == CEL_INT && b.kind == CEL_DOUBLE)
		a = (struct cel_value){ .kind = CEL_DOUBLE, .d = (double)a.i };
	if (b.kind == CEL_INT && a.kind == CEL_DOUBLE)
		b = (struct cel_value){ .kind = CEL_DOUBLE, .d = (double)b.i };
	if (a.kind != b.kind)
		return -2;
	switch (a.kind) {
	case CEL_NULL:
		return 0;
	case CEL_BOOL:
		return a.b - b.b;
	case CEL_INT:
	case CEL_DURATION:
		return a.i < b.i ? -1 : a.i > b.i;
	case CEL_DOUBLE:
		return a.d < b.d ? -1 : a.d > b.d;
	case CEL_STRING: {
		size_t least = a.s.n < b.s.n ? a.s.n : b.s.n;
		int c = least ? memcmp(a.s.p, b.s.p, least) : 0;

		return c ? (c < 0 ? -1 : 1) : a.s.n < b.s.n ? -1 : a.s.n > b.s.n;
	}
	default:
		return -2;
	}
}

static struct cel_value relation(enum cel_op op, struct cel_value a, struct cel_value b)
{
	int c;

	if (a.kind == CEL_ERROR || b.kind == CEL_ERROR)
		return error;
	c = compare(a, b);
	if (op == CEL_EQ)
		return truth(c == 0);
	if (op == CEL_NE)
		return truth(c != 0);
	if (c == -2)
		return error;
	return truth(op == CEL_LT ? c < 0 : op == CEL_LE ? c <= 0 : op == CEL_GT ? c > 0 : c >= 0);
}

static struct cel_value contains(struct run *r, const struct cel_node *n)
{
	struct cel_value v = eval(r, n->kid[0]);
	const struct cel_node *in = n->kid[1];

	if (v.kind == CEL_ERROR)
		return error;
	if (in->op == CEL_ATTR) {
		char key[256];

		if (v.kind != CEL_STRING || v.s.n >= sizeof(key))
			return truth(false);
		for (size_t i = 0; i < v.s.n; i++)
			key[i] = v.s.p[i] >= 'A' && v.s.p[i] <= 'Z' ? (char)(v.s.p[i] | 0x20) : v.s.p[i];
		key[v.s.n] = '\0';
		return truth(attribute(r, in->attr, key).kind != CEL_ERROR);
	}
	for (const struct cel_node *e = in->kid[0]; e; e = e->next)
		if (compare(v, eval(r, e)) == 0)
			return truth(true);
	return truth(false);
}

static bool has_part(struct str s, struct str part)
{
	return !part.n || (s.n >= part.n && memmem(s.p, s.n, part.p, part.n));
}

static struct cel_value texts(struct run *r, const struct cel_node *n)
{
	struct cel_value a = eval(r, n->kid[0]), b = eval(r, n->kid[1]);

	if (a.kind != CEL_STRING || b.kind != CEL_STRING)
		return error;
	switch (n->op) {
	case CEL_STARTS:
		return truth(str_starts(a.s, b.s));
	case CEL_ENDS:
		return truth(str_ends(a.s, b.s));
	case CEL_CONTAINS:
		return truth(has_part(a.s, b.s));
	default:
		return truth(regex_match(n->regex, a.s));
	}
}

static struct cel_value plus(struct run *r, struct cel_value a, struct cel_value b)
{
	char *to = r->scratch + r->used;
	int64_t sum;

	if (a.kind != b.kind)
		return error;
	if (a.kind == CEL_DOUBLE)
		return (struct cel_value){ .kind = CEL_DOUBLE, .d = a.d + b.d };
	if (a.kind == CEL_INT || a.kind == CEL_DURATION)
		return __builtin_add_overflow(a.i, b.i, &sum) ? error : (struct cel_value){ .kind = a.kind, .i = sum };
	if (a.kind != CEL_STRING || a.s.n + b.s.n > r->size - r->used)
		return error;
	if (a.s.n)
		memmove(to, a.s.p, a.s.n);
	if (b.s.n)
		memmove(to + a.s.n, b.s.p, b.s.n);
	r->used += a.s.n + b.s.n;
	return (struct cel_value){ .kind = CEL_STRING, .s = { to, a.s.n + b.s.n } };
}

static struct cel_value to_text(struct run *r, struct cel_value v)
{
	char *to = r->scratch + r->used;
	size_t room = r->size - r->used;
	int n;

	if (v.kind == CEL_STRING)
		return v;
	if (v.kind == CEL_INT)
		n = snprintf(to, room, "%lld", (long long)v.i);
	else if (v.kind == CEL_DOUBLE)
		n = snprintf(to, room, "%g", v.d);
	else if (v.kind == CEL_BOOL)
		n = snprintf(to, room, "%s", v.b ? "true" : "false");
	else if (v.kind == CEL_DURATION)
		n = snprintf(to, room, "%.9gs", (double)v.i / 1e9);
	else
		return error;
	if (n < 0 || (size_t)n >= room)
		return error;
	r->used += (size_t)n;
	return (struct cel_value){ .kind = CEL_STRING, .s = { to, (size_t)n } };
}

static struct cel_value to_int(struct cel_value v)
{
	char text[32];

	if (v.kind == CEL_INT)
		return v;
	if (v.kind == CEL_DOUBLE && v.d > -9e18 && v.d < 9e18)
		return (struct cel_value){ .kind = CEL_INT, .i = (int64_t)v.d };
	if (v.kind == CEL_STRING && v.s.n && v.s.n < sizeof(text)) {
		char *end;
		struct cel_value i = { .kind = CEL_INT };

		memcpy(text, v.s.p, v.s.n);
		text[v.s.n] = '\0';
		errno = 0;
		i.i = strtoll(text, &end, 10);
		return *end || errno ? error : i;
	}
	return error;
}

static struct cel_value size_of(struct run *r, const struct cel_node *n)
{
	struct cel_value v = { .kind = CEL_INT };

	if (n->op == CEL_LIST) {
		for (const struct cel_node *e = n->kid[0]; e; e = e->next)
			v.i++;
		return v;
	}
	v = eval(r, n);
	return v.kind == CEL_STRING ? (struct cel_value){ .kind = CEL_INT, .i = (int64_t)v.s.n } : error;
}

static struct cel_value eval(struct run *r, const struct cel_node *n)
{
	struct cel_value v;

	switch (n->op) {
	case CEL_LITERAL:
		return n->literal;
	case CEL_ATTR:
		return attribute(r, n->attr, n->key);
	case CEL_OR:
		return both(r, n, true);
	case CEL_AND:
		return both(r, n, false);
	case CEL_NOT:
		v = eval(r, n->kid[0]);
		return v.kind == CEL_BOOL ? truth(!v.b) : error;
	case CEL_EQ: case CEL_NE: case CEL_LT: case CEL_LE: case CEL_GT: case CEL_GE:
		v = eval(r, n->kid[0]);
		return relation(n->op, v, eval(r, n->kid[1]));
	case CEL_IN:
		return contains(r, n);
	case CEL_COND:
		v = eval(r, n->kid[0]);
		return v.kind == CEL_BOOL ? eval(r, n->kid[v.b ? 1 : 2]) : error;
	case CEL_PLUS:
		v = eval(r, n->kid[0]);
		return plus(r, v, eval(r, n->kid[1]));
	case CEL_HAS:
		return truth(attribute(r, n->kid[0]->attr, n->kid[0]->key).kind != CEL_ERROR);
	case CEL_SIZE:
		return size_of(r, n->kid[0]);
	case CEL_STARTS: case CEL_ENDS: case CEL_CONTAINS: case CEL_MATCHES:
		return texts(r, n);
	case CEL_TO_STRING:
		return to_text(r, eval(r, n->kid[0]));
	case CEL_TO_INT:
		return to_int(eval(r, n->kid[0]));
	case CEL_LIST:
		break;
	}
	return error;
}

bool cel_match(const struct cel *c, const struct exchange *x)
{
	char scratch[SCRATCH];
	struct run r = { x, scratch, 0, sizeof(scratch) };

	return is(eval(&r, c->root), true);
}

struct str cel_text(const struct cel *c, const struct exchange *x, char *scratch, size_t size)
{
	struct run r = { x, scratch, 0, size };
	struct cel_value v = to_text(&r, eval(&r, c->root));

	return v.kind == CEL_STRING ? v.s : (struct str){ 0 };
}
