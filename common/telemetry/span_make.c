/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/span_int.h"

void span_init(struct span_draft *m)
{
	otlp__span__init(&m->span);
	m->used = 0;
	m->span.attributes = m->pairs;
}

/* A collector refuses a whole batch for one byte that is not UTF-8, and peers have a say in our texts. */
char *span_keep(struct span_draft *m, struct str s)
{
	char *to = m->text + m->used;

	if (s.n >= SPAN_TEXT_BYTES - m->used)
		return NULL;
	for (size_t i = 0; i < s.n; i++)
		to[i] = s.p[i] >= ' ' && s.p[i] < 0x7f ? s.p[i] : '?';
	to[s.n] = '\0';
	m->used += s.n + 1;
	return to;
}

static Otlp__AnyValue *put(struct span_draft *m, const char *key)
{
	size_t i = m->span.n_attributes;

	if (i == SPAN_ATTRS) {
		m->span.dropped_attributes_count++;
		return NULL;
	}
	otlp__key_value__init(&m->pair[i]);
	otlp__any_value__init(&m->value[i]);
	m->pair[i].key = (char *)key;
	m->pair[i].value = &m->value[i];
	m->pairs[i] = &m->pair[i];
	m->span.n_attributes++;
	return &m->value[i];
}

void span_put_text(struct span_draft *m, const char *key, struct str value)
{
	char *text = value.n ? span_keep(m, value) : NULL;
	Otlp__AnyValue *v = text ? put(m, key) : NULL;

	if (v) {
		v->value_case = OTLP__ANY_VALUE__VALUE_STRING_VALUE;
		v->string_value = text;
	} else if (value.n && !text) {
		m->span.dropped_attributes_count++;
	}
}

void span_put_number(struct span_draft *m, const char *key, uint64_t n)
{
	Otlp__AnyValue *v = put(m, key);

	if (!v)
		return;
	v->value_case = OTLP__ANY_VALUE__VALUE_INT_VALUE;
	v->int_value = (int64_t)n;
}

void span_put_addr(struct span_draft *m, const char *key, const char *port_key, const struct addr *a)
{
	char text[ADDR_TEXT];

	span_put_text(m, key, str_c(ip_format(&a->ip, text)));
	span_put_number(m, port_key, a->port);
}
