/* SPDX-License-Identifier: Apache-2.0 */
/* What a field table read, as text in its own order: only what differs from an empty object. */
#ifndef TESTS_FIELDDUMP_H
#define TESTS_FIELDDUMP_H

#include "base/buf.h"
#include "source/field.h"

static inline void fielddump(const struct field_table *t, const void *of, struct buf *out);

static inline void fielddump_list(const struct field *f, const void *at, struct buf *out)
{
	const struct field_list *l = at;

	buf_printf(out, "%s=[", f->name);
	for (int i = 0; i < l->n; i++) {
		if (f->type == FIELD_MESSAGE_MAP)
			buf_printf(out, "%s:", *(const char *const *)((const char *)l->v + (size_t)i * f->sub->size));
		fielddump(f->sub, (const char *)l->v + (size_t)i * f->sub->size, out);
	}
	buf_puts(out, "] ");
}

static inline void fielddump_text(const struct field *f, const void *at, struct buf *out)
{
	const struct opt_u32 *u = at;
	const struct opt_ms *ms = at;
	const struct opt_double *d = at;
	const struct { int kind; const char *text; } *one = at;

	switch ((enum field_type)f->type) {
	case FIELD_STRING: case FIELD_TEXT:
		if (*(const char *const *)at && **(const char *const *)at)
			buf_printf(out, "%s=%s ", f->name, *(const char *const *)at);
		break;
	case FIELD_BOOL:
		if (*(const bool *)at)
			buf_printf(out, "%s ", f->name);
		break;
	case FIELD_PORT:
		if (*(const uint16_t *)at)
			buf_printf(out, "%s=%u ", f->name, *(const uint16_t *)at);
		break;
	case FIELD_U32:
		if (*(const uint32_t *)at)
			buf_printf(out, "%s=%u ", f->name, *(const uint32_t *)at);
		break;
	case FIELD_OPT_U32:
		if (u->set)
			buf_printf(out, "%s=%u ", f->name, u->v);
		break;
	case FIELD_OPT_MS:
		if (ms->set)
			buf_printf(out, "%s=%ums ", f->name, ms->ms);
		break;
	case FIELD_OPT_DOUBLE:
		if (d->set)
			buf_printf(out, "%s=%g ", f->name, d->v);
		break;
	case FIELD_OPT_BOOL:
		if (*(const enum opt_bool *)at)
			buf_printf(out, "%s=%s ", f->name, *(const enum opt_bool *)at == OPT_YES ? "yes" : "no");
		break;
	case FIELD_ENUM:
		if (*(const int *)at)
			buf_printf(out, "%s=%d ", f->name, *(const int *)at);
		break;
	case FIELD_ONE_TEXT:
		if (one->kind == (int)f->min)
			buf_printf(out, "%s=%s ", f->name, one->text);
		break;
	default:
		break;
	}
}

static inline void fielddump_row(const struct field *f, const void *at, struct buf *out)
{
	const struct field_strings *s = at;
	const struct field_labels *l = at;
	const struct field_numbers *n = at;
	const struct field_u16s *u = at;

	switch ((enum field_type)f->type) {
	case FIELD_STRINGS:
		for (int i = 0; i < s->n; i++)
			buf_printf(out, "%s%s%s", i ? "," : f->name, i ? "" : "=", s->v[i]);
		buf_puts(out, s->n ? " " : "");
		break;
	case FIELD_LABELS:
		for (int i = 0; i < l->n; i++)
			buf_printf(out, "%s:%s=%s ", f->name, l->v[i].key, l->v[i].value);
		break;
	case FIELD_U32_MAP:
		for (int i = 0; i < n->n; i++)
			buf_printf(out, "%s:%s=%u ", f->name, n->v[i].name, n->v[i].v);
		break;
	case FIELD_U16S:
		for (int i = 0; i < u->n; i++)
			buf_printf(out, "%s=%u ", f->name, u->v[i]);
		break;
	case FIELD_MESSAGE:
		if (*(const void *const *)at) {
			buf_printf(out, "%s=", f->name);
			fielddump(f->sub, *(const void *const *)at, out);
		}
		break;
	case FIELD_INLINE:
		fielddump(f->sub, at, out);
		break;
	case FIELD_MESSAGES: case FIELD_MESSAGE_MAP:
		if (((const struct field_list *)at)->n)
			fielddump_list(f, at, out);
		break;
	default:
		fielddump_text(f, at, out);
	}
}

static inline void fielddump(const struct field_table *t, const void *of, struct buf *out)
{
	buf_puts(out, "{");
	for (const struct field *f = t->fields; f->name; f++)
		if (f->mark == FIELD_HONOURED || f->mark == FIELD_SIDECAR)
			fielddump_row(f, (const char *)of + f->offset, out);
	buf_puts(out, "}");
}

#endif
