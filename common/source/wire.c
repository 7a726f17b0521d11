/* SPDX-License-Identifier: Apache-2.0 */
#include "source/wire.h"

static bool varint(struct str *s, uint64_t *ret)
{
	uint64_t v = 0;

	for (size_t i = 0; i < s->n && i < 10; i++) {
		uint8_t byte = (uint8_t)s->p[i];

		if (i == 9 && byte > 1)
			return false;
		v |= (uint64_t)(byte & 0x7f) << 7 * i;
		if (byte & 0x80)
			continue;
		*s = (struct str){ s->p + i + 1, s->n - i - 1 };
		*ret = v;
		return true;
	}
	return false;
}

static bool fixed(struct str *s, size_t n, uint64_t *ret)
{
	uint64_t v = 0;

	if (s->n < n)
		return false;
	for (size_t i = 0; i < n; i++)
		v |= (uint64_t)(uint8_t)s->p[i] << 8 * i;
	*s = (struct str){ s->p + n, s->n - n };
	*ret = v;
	return true;
}

static bool value(struct wire *w)
{
	uint64_t n;

	switch (w->type) {
	case WIRE_VARINT:
		return varint(&w->rest, &w->number);
	case WIRE_FIXED64:
		return fixed(&w->rest, 8, &w->number);
	case WIRE_FIXED32:
		return fixed(&w->rest, 4, &w->number);
	case WIRE_BYTES:
		if (!varint(&w->rest, &n) || n > w->rest.n)
			return false;
		w->bytes = (struct str){ w->rest.p, (size_t)n };
		w->rest = (struct str){ w->rest.p + n, w->rest.n - (size_t)n };
		return true;
	}
	return false;     /* groups, which proto3 does not have */
}

bool wire_next(struct wire *w)
{
	uint64_t tag;

	if (!w->rest.n || w->bad)
		return false;
	w->bad = !varint(&w->rest, &tag) || tag >> 3 == 0 || tag >> 3 > 536870911;
	if (w->bad)
		return false;
	w->field = (unsigned)(tag >> 3);
	w->type = (enum wire_type)(tag & 7);
	w->bad = !value(w);
	return !w->bad;
}
