/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "source/wds_int.h"

static void *on_alloc(void *arena, size_t n)
{
	return arena_alloc(arena, n);
}

static void on_free(void *arena, void *p)
{
}

ProtobufCAllocator wds_allocator(struct arena *a)
{
	return (ProtobufCAllocator){ on_alloc, on_free, a };
}

void wds_enter(struct wds_walk *w, const char *field, int index)
{
	size_t n = strlen(w->path);

	if (index >= 0)
		snprintf(w->path + n, sizeof(w->path) - n, "%s[%d].", field, index);
	else
		snprintf(w->path + n, sizeof(w->path) - n, "%s.", field);
}

void wds_leave(struct wds_walk *w, size_t path_len)
{
	w->path[path_len] = '\0';
}

bool wds_fail(struct wds_walk *w, const char *field, const char *fmt, ...)
{
	char what[600];
	va_list ap;

	if (w->failed)
		return false;
	w->failed = true;
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	err_set(w->err, -EINVAL, "%s%s%s%s", w->path, field, *w->path || *field ? ": " : "", what);
	return false;
}

/* --- values --- */

bool wds_cidr(struct wds_walk *w, const char *field, const ProtobufCBinaryData *b, uint32_t bits, struct cidr *ret)
{
	static const uint8_t mapped[12] = { [10] = 255, [11] = 255 };
	struct cidr c = { { { 0 } }, 0 };
	uint32_t most = (uint32_t)b->len * 8, skip = b->len == 4 ? 96 : 0;

	if (b->len != 4 && b->len != 16)
		return wds_fail(w, field, "want an address of 4 or 16 bytes, got %zu", b->len);
	if (bits > most)
		return wds_fail(w, field, "want a prefix of at most %u bits, got %u", most, bits);
	if (b->len == 4)
		memcpy(c.ip.b, mapped, sizeof(mapped));
	memcpy(c.ip.b + skip / 8, b->data, b->len);
	c.bits = (uint8_t)(bits + skip);
	for (uint32_t i = c.bits; i < 128; i++)
		c.ip.b[i / 8] &= (uint8_t)~(0x80u >> i % 8);
	*ret = c;
	return true;
}

bool wds_ip(struct wds_walk *w, const char *field, const ProtobufCBinaryData *b, struct ip *ret)
{
	struct cidr c;

	if (!wds_cidr(w, field, b, b->len == 4 ? 32 : 128, &c))
		return false;
	*ret = c.ip;
	return true;
}

bool wds_port(struct wds_walk *w, const char *field, uint32_t port, uint32_t least, uint16_t *ret)
{
	if (port < least || port > 65535)
		return wds_fail(w, field, "want a port from %u to 65535, got %u", least, port);
	*ret = (uint16_t)port;
	return true;
}

bool wds_name(struct wds_walk *w, const char *field, const char *text, bool empty_ok)
{
	if (!*text && !empty_ok)
		return wds_fail(w, field, "is missing");
	for (const char *p = text; *p; p++)
		if ((unsigned char)*p <= ' ' || *p == 127 || *p == '/')
			return wds_fail(w, field, "want a name without blanks and slashes, got '%.80s'", text);
	return true;
}

/* --- all fields that are set --- */

struct seen {
	wds_field_fn *fn;
	void *arg;
};

static bool walk(struct wds_walk *w, const ProtobufCMessage *m, const struct seen *s);

static bool into(struct wds_walk *w, const ProtobufCMessage *sub, const char *field, int index, const struct seen *s)
{
	size_t len = strlen(w->path);
	bool ok;

	wds_enter(w, field, index);
	ok = walk(w, sub, s);
	if (ok)
		wds_leave(w, len);
	return ok;
}

/* How often a field is there; *first: the first of its messages, as an array of pointers. */
static size_t count(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, const ProtobufCMessage *const **first)
{
	const char *at = (const char *)m + f->offset, *quantifier = (const char *)m + f->quantifier_offset;

	*first = (const void *)at;
	if (f->label == PROTOBUF_C_LABEL_REPEATED) {
		*first = *(const ProtobufCMessage *const *const *)at;
		return *(const size_t *)quantifier;
	}
	if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
		return *(const uint32_t *)quantifier == f->id;
	switch (f->type) {
	case PROTOBUF_C_TYPE_MESSAGE:
	case PROTOBUF_C_TYPE_STRING:
		return *(const void *const *)at && (f->type == PROTOBUF_C_TYPE_MESSAGE || **(const char *const *)at);
	case PROTOBUF_C_TYPE_BYTES:
		return ((const ProtobufCBinaryData *)at)->len != 0;
	case PROTOBUF_C_TYPE_BOOL:
		return *(const protobuf_c_boolean *)at != 0;
	default:
		return *(const uint32_t *)at != 0;     /* WDS has no numbers of 64 bits */
	}
}

static bool walk(struct wds_walk *w, const ProtobufCMessage *m, const struct seen *s)
{
	for (unsigned i = 0; i < m->n_unknown_fields; i++)
		if (!s->fn(w, m, m->unknown_fields[i].tag, NULL, s->arg))
			return false;
	for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
		const ProtobufCMessage *const *sub;
		size_t n = count(m, f, &sub);

		if (n && !s->fn(w, m, f->id, f->name, s->arg))
			return false;
		if (f->type != PROTOBUF_C_TYPE_MESSAGE)
			continue;
		for (size_t k = 0; k < n; k++)
			if (!into(w, sub[k], f->name, f->label == PROTOBUF_C_LABEL_REPEATED ? (int)k : -1, s))
				return false;
	}
	return true;
}

bool wds_each_field(struct wds_walk *w, const ProtobufCMessage *m, wds_field_fn *fn, void *arg)
{
	struct seen s = { fn, arg };

	return walk(w, m, &s);
}
