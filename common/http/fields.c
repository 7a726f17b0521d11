/* SPDX-License-Identifier: Apache-2.0 */
/* Fields that can be edited, and texts that live as long as their exchange. */
#include <stdarg.h>
#include <stdio.h>

#include "http/exchange.h"

struct str fields_find(const struct http_fields *f, struct str key)
{
	for (int i = 0; i < f->n; i++)
		if (f->v[i].name.n == key.n && str_eq_nocase(f->v[i].name, key))
			return f->v[i].value;
	return (struct str){ 0 };
}

void fields_add(struct http_fields *f, const char *name, struct str value)
{
	if (f->n == f->cap) {
		int cap = f->cap ? 2 * f->cap : 16;
		struct http_field *v = arena_alloc(f->arena, (size_t)cap * sizeof(*v));

		if (f->n)
			memcpy(v, f->v, (size_t)f->n * sizeof(*v));
		f->v = v;
		f->cap = cap;
	}
	f->v[f->n] = (struct http_field){ str_c(name), value.p ? value : str_c("") };
	f->doubtful |= !http_field_ok(&f->v[f->n++]);
}

/* The first keeps its place. */
void fields_set(struct http_fields *f, const char *name, struct str value)
{
	struct str key = str_c(name);
	bool set = false;
	int n = 0;

	for (int i = 0; i < f->n; i++) {
		if (f->v[i].name.n != key.n || !str_eq_nocase(f->v[i].name, key)) {
			f->v[n++] = f->v[i];
		} else if (!set) {
			f->v[n] = (struct http_field){ f->v[i].name, value.p ? value : str_c("") };
			f->doubtful |= !http_field_ok(&f->v[n++]);
			set = true;
		}
	}
	f->n = n;
	if (!set)
		fields_add(f, name, value);
}

int fields_remove(struct http_fields *f, struct str name)
{
	int n = 0, removed;

	while (n < f->n && !(f->v[n].name.n == name.n && str_eq_nocase(f->v[n].name, name)))
		n++;
	for (int i = n; i < f->n; i++)
		if (f->v[i].name.n != name.n || !str_eq_nocase(f->v[i].name, name))
			f->v[n++] = f->v[i];
	removed = f->n - n;
	f->n = n;
	return removed;
}

struct str exchange_dup(struct exchange *x, struct str s)
{
	return (struct str){ arena_dup(&x->arena, s), s.n };
}

struct str exchange_number(struct exchange *x, uint64_t v)
{
	char text[20], *end = text + sizeof(text), *at = end;

	do
		*--at = (char)('0' + v % 10);
	while (v /= 10);
	return exchange_dup(x, (struct str){ at, (size_t)(end - at) });
}

struct str exchange_printf(struct exchange *x, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	char *p;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < (int)sizeof(text))
		return exchange_dup(x, (struct str){ text, n > 0 ? (size_t)n : 0 });
	p = arena_alloc(&x->arena, (size_t)n + 1);
	va_start(ap, fmt);
	vsnprintf(p, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return (struct str){ p, (size_t)n };
}
