/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

/* ---- randomness: a page at a time ---- */

static void random_bytes(void *to, size_t n)
{
	static _Thread_local uint8_t pool[512];
	static _Thread_local size_t left;

	if (left < n) {
		/* Early in boot there may be none: the clock and the address are enough to tell requests apart. */
		if (getrandom(pool, sizeof(pool), GRND_NONBLOCK) != sizeof(pool))
			for (size_t i = 0; i + 8 <= sizeof(pool); i += 8) {
				struct timespec ts;
				uint64_t v[3];

				clock_gettime(CLOCK_REALTIME, &ts);
				v[0] = (uint64_t)ts.tv_nsec;
				v[1] = (uint64_t)(uintptr_t)&pool[i];
				v[2] = i;
				v[0] = hash_bytes(v, sizeof(v));
				memcpy(pool + i, v, 8);
			}
		left = sizeof(pool);
	}
	left -= n;
	memcpy(to, pool + left, n);
}

static const char hex_digits[] = "0123456789abcdef";

static char *to_hex(char *to, const uint8_t *b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		*to++ = hex_digits[b[i] >> 4];
		*to++ = hex_digits[b[i] & 15];
	}
	return to;
}

static int nibble(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool from_hex(uint8_t *to, struct str s, size_t n)
{
	uint8_t any = 0;

	if (s.n != 2 * n)
		return false;
	for (size_t i = 0; i < n; i++) {
		int a = nibble(s.p[2 * i]), b = nibble(s.p[2 * i + 1]);

		if (a < 0 || b < 0)
			return false;
		to[i] = (uint8_t)(a << 4 | b);
		any |= to[i];
	}
	return any;
}

/* ---- request ids ---- */

void uuid_make(char text[UUID_BYTES])
{
	static const char dashes[] = { 4, 6, 8, 10 };
	uint8_t b[16];
	char *to = text;

	random_bytes(b, sizeof(b));
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	for (size_t i = 0, d = 0; i < sizeof(b); i++) {
		if (d < sizeof(dashes) && i == (size_t)dashes[d]) {
			*to++ = '-';
			d++;
		}
		to = to_hex(to, &b[i], 1);
	}
}

static bool is_uuid(struct str id)
{
	if (id.n != UUID_BYTES)
		return false;
	for (size_t i = 0; i < id.n; i++)
		if (i == 8 || i == 13 || i == 18 || i == 23 ? id.p[i] != '-' : nibble(id.p[i]) < 0)
			return false;
	return true;
}

char uuid_reason(struct str id)
{
	if (!is_uuid(id))
		return 0;
	return id.p[14] == '9' ? 's' : id.p[14] == 'b' ? 'c' : id.p[14] == 'a' ? 'f' : 'n';
}

void uuid_set_reason(char text[UUID_BYTES], char reason)
{
	text[14] = reason == 's' ? '9' : reason == 'c' ? 'b' : reason == 'f' ? 'a' : '4';
}

unsigned uuid_number(struct str id)
{
	unsigned v = 0;

	for (size_t i = 0; i < 8 && i < id.n; i++)
		v = v << 4 | (unsigned)nibble(id.p[i]);
	return v % 10000;
}

/* ---- contexts ---- */

/* "00-TRACE-PARENT-FLAGS"; later versions may have more after it. */
static bool read_w3c(struct str s, struct trace *t)
{
	uint8_t flags;

	if (s.n < 55 || s.p[2] != '-' || s.p[35] != '-' || s.p[52] != '-' || (s.n > 55 && s.p[55] != '-') || nibble(s.p[0]) < 0 || nibble(s.p[1]) < 0)
		return false;
	if ((s.p[0] | 0x20) == 'f' && (s.p[1] | 0x20) == 'f')
		return false;
	if (s.p[0] == '0' && s.p[1] == '0' && s.n != 55)
		return false;
	if (nibble(s.p[53]) < 0 || nibble(s.p[54]) < 0)
		return false;
	flags = (uint8_t)nibble(s.p[54]);
	if (!from_hex(t->id, (struct str){ s.p + 3, 32 }, 16) || !from_hex(t->parent, (struct str){ s.p + 36, 16 }, 8))
		return false;
	t->sampled = flags & 1;
	t->decided = true;
	return true;
}

/* 64 or 128 bits. */
static bool read_b3_ids(struct str trace, struct str span, struct trace *t)
{
	memset(t->id, 0, sizeof(t->id));
	return (trace.n == 16 ? from_hex(t->id + 8, trace, 8) : from_hex(t->id, trace, 16)) && from_hex(t->parent, span, 8);
}

/* "TRACE-SPAN[-SAMPLED[-PARENT]]" */
static bool read_b3(struct str s, struct trace *t)
{
	struct str rest, trace = str_cut(s, '-', &rest), span = str_cut(rest, '-', &rest), sampled = str_cut(rest, '-', &rest);

	t->sampled = str_is(sampled, "1") || str_is(sampled, "d");
	t->decided = sampled.n != 0;
	return read_b3_ids(trace, span, t);
}

bool trace_read(const struct http_fields *f, struct trace *t)
{
	struct str s = fields_get(f, "traceparent"), flags;

	*t = (struct trace){ .form = TRACE_W3C };
	if (s.n && read_w3c(s, t))
		return true;
	s = fields_get(f, "b3");
	t->form = TRACE_B3;
	if (s.n && read_b3(s, t))
		return true;
	t->form = TRACE_B3_MULTI;
	if (read_b3_ids(fields_get(f, "x-b3-traceid"), fields_get(f, "x-b3-spanid"), t)) {
		s = fields_get(f, "x-b3-sampled");
		flags = fields_get(f, "x-b3-flags");
		t->sampled = str_is(s, "1") || str_is(s, "true") || str_is(flags, "1");
		t->decided = s.n || flags.n;
		return true;
	}
	*t = (struct trace){ .form = TRACE_NONE };
	return false;
}

static void write_w3c(struct trace *t)
{
	char *to = t->text;

	memcpy(to, "00-", 3);
	to = to_hex(to + 3, t->id, 16);
	*to++ = '-';
	to = to_hex(to, t->span, 8);
	*to++ = '-';
	*to++ = '0';
	*to++ = t->sampled ? '1' : '0';
	*to = '\0';
}

static void write_b3(const struct trace *t, struct exchange *x)
{
	struct str trace = { t->text + 3, 32 }, span = { t->text + 36, 16 };
	char parent[17];

	if (t->form == TRACE_B3) {
		fields_set(&x->request_fields, "b3", exchange_printf(x, "%.*s-%.*s-%c", STR_FMT(trace), STR_FMT(span), t->sampled ? '1' : '0'));
	} else if (t->form == TRACE_B3_MULTI) {
		*to_hex(parent, t->parent, 8) = '\0';
		fields_set(&x->request_fields, "x-b3-traceid", exchange_dup(x, trace));
		fields_set(&x->request_fields, "x-b3-spanid", exchange_dup(x, span));
		fields_set(&x->request_fields, "x-b3-parentspanid", exchange_printf(x, "%s", parent));
		fields_set(&x->request_fields, "x-b3-sampled", str_c(t->sampled ? "1" : "0"));
	}
}

void trace_begin(struct trace *t, struct exchange *x, bool sampled, bool tell)
{
	t->has_parent = trace_read(&x->request_fields, t);
	t->active = true;
	if (!t->has_parent) {
		random_bytes(t->id, sizeof(t->id));
		t->id[15] |= 1;
	}
	if (!t->decided)
		t->sampled = sampled;
	random_bytes(t->span, sizeof(t->span));
	t->span[7] |= 1;
	write_w3c(t);
	if (tell) {
		fields_set(&x->request_fields, "traceparent", exchange_dup(x, str_c(t->text)));
		write_b3(t, x);
	}
	x->log.trace_id = exchange_dup(x, (struct str){ t->text + 3, 32 });
}
