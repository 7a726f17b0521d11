/* SPDX-License-Identifier: Apache-2.0 */
#include "source/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define SAME_MAX 3

static bool same(const struct finding *f, const struct finding *at, const char *message)
{
	return f->level == at->level && !strcmp(f->path, at->path) && !strcmp(f->kind, at->kind) &&
	       !strcmp(f->message, message);
}

/* True when enough like it are there; the last of these then counts it. */
static bool enough(struct report *r, const struct finding *at, const char *message)
{
	unsigned max = r->same_max ? r->same_max : SAME_MAX, n = 0;

	if (at->level == FINDING_ERROR)
		return false;
	for (size_t i = 0; i < r->n; i++) {
		if (same(&r->v[i], at, message) && ++n == max) {
			r->v[i].more++;
			return true;
		}
	}
	return false;
}

static const char *or_empty(const char *s)
{
	return s ? s : "";
}

void report_add(struct report *r, const struct finding *at, const char *fmt, ...)
{
	struct finding f = *at;
	char message[768];
	va_list ap;
	char *copy;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	f.kind = or_empty(f.kind);
	f.ns = or_empty(f.ns);
	f.name = or_empty(f.name);
	f.path = or_empty(f.path);
	f.more = 0;
	if (enough(r, &f, message))
		return;
	if (r->n == REPORT_MAX) {
		r->lost[f.level]++;
		return;
	}
	copy = xmalloc(strlen(f.kind) + strlen(f.ns) + strlen(f.name) + strlen(f.path) + strlen(message) + 5);
	const char **part[] = { &f.kind, &f.ns, &f.name, &f.path, &f.message };

	f.message = message;
	for (size_t i = 0; i < ARRAY_LEN(part); i++) {
		size_t n = strlen(*part[i]) + 1;

		memcpy(copy, *part[i], n);
		*part[i] = copy;   /* kind comes first and so is the block to free */
		copy += n;
	}
	if (r->n == r->cap) {
		r->cap = r->cap ? r->cap * 2 : 8;
		r->v = xrealloc(r->v, r->cap * sizeof(*r->v));
	}
	r->v[r->n++] = f;
}

void report_done(struct report *r)
{
	for (size_t i = 0; i < r->n; i++)
		free((void *)(uintptr_t)r->v[i].kind);
	free(r->v);
	*r = (struct report){ .same_max = r->same_max };
}

size_t report_count(const struct report *r, enum finding_level level)
{
	size_t n = r->lost[level];

	for (size_t i = 0; i < r->n; i++)
		n += r->v[i].level == level ? 1u + r->v[i].more : 0;
	return n;
}

const char *finding_level_name(enum finding_level level)
{
	static const char *const names[] = { "error", "warning", "info" };

	return names[level];
}

void finding_format(const struct finding *f, bool with_level, struct buf *out)
{
	buf_puts(out, f->file);
	if (f->line)
		buf_printf(out, ":%u", f->line);
	buf_puts(out, ": ");
	if (with_level)
		buf_printf(out, "%s: ", finding_level_name(f->level));
	if (*f->kind) {
		buf_printf(out, "%s", f->kind);
		if (*f->name)
			buf_printf(out, " %s%s%s", f->ns, *f->ns ? "/" : "", f->name);
		buf_puts(out, ": ");
	}
	if (*f->path)
		buf_printf(out, "%s: ", f->path);
	buf_puts(out, f->message);
	if (f->more)
		buf_printf(out, " (and %u more)", f->more);
}

int finding_compare(const void *a, const void *b)
{
	const struct finding *x = *(const struct finding *const *)a, *y = *(const struct finding *const *)b;
	int c = strcmp(x->file, y->file);

	if (!c && x->line != y->line)
		c = x->line < y->line ? -1 : 1;
	if (!c)
		c = strcmp(x->path, y->path);
	return c ? c : strcmp(x->message, y->message);
}
