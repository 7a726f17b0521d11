/* SPDX-License-Identifier: Apache-2.0 */
#include "http/grpc_frame.h"

#include <nghttp2/nghttp2.h>

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static enum grpc_code check_prefix(const struct grpc_frame *f, const uint8_t *p, struct err *err)
{
	if (p[0] == 1) {
		err_set(err, 0, "the server sent a compressed message, which was not offered");
		return GRPC_INTERNAL;
	}
	if (p[0] != 0) {
		err_set(err, 0, "the server sent no gRPC message (flags 0x%02x)", p[0]);
		return GRPC_INTERNAL;
	}
	if (be32(p + 1) > f->limit) {
		err_set(err, 0, "the server sent a message of %u bytes; at most %zu are accepted", be32(p + 1), f->limit);
		return GRPC_RESOURCE_EXHAUSTED;
	}
	return GRPC_OK;
}

/* Into part, up to `want` bytes in it. Returns what was taken; *failed: no memory. */
static size_t fill(struct grpc_frame *f, const uint8_t *p, size_t n, size_t want, bool *failed)
{
	size_t lacks = want - buf_len(&f->part);

	/* All of it at once: memory that is not written to costs nothing, growing by steps would copy a large one often. */
	*failed = !buf_reserve(&f->part, lacks);
	n = n < lacks ? n : lacks;
	if (!*failed)
		*failed = buf_append(&f->part, p, n) < 0;
	return n;
}

/* A message that lies whole in the input is handed on from there. Returns its bytes, 0 when it is not so. */
static size_t whole(const struct grpc_frame *f, const uint8_t *p, size_t n)
{
	if (buf_len(&f->part) || n < GRPC_PREFIX_BYTES || n - GRPC_PREFIX_BYTES < be32(p + 1))
		return 0;
	return GRPC_PREFIX_BYTES + be32(p + 1);
}

static bool hand_on_part(struct grpc_frame *f)
{
	struct buf part = f->part;
	bool more;

	f->part = (struct buf){ 0 };
	more = f->on_message(f, (struct str){ (char *)buf_data(&part) + GRPC_PREFIX_BYTES, buf_len(&part) - GRPC_PREFIX_BYTES });
	buf_done(&part);
	return more;
}

enum grpc_code grpc_frame_feed(struct grpc_frame *f, const uint8_t *p, size_t n, struct err *err)
{
	enum grpc_code code;
	bool failed = false;

	while (n && !failed) {
		size_t take = whole(f, p, n), have = buf_len(&f->part);

		if (take) {
			code = check_prefix(f, p, err);
			if (code != GRPC_OK)
				return code;
			if (!f->on_message(f, (struct str){ (const char *)p + GRPC_PREFIX_BYTES, take - GRPC_PREFIX_BYTES }))
				return GRPC_OK;
		} else if (have < GRPC_PREFIX_BYTES) {
			take = fill(f, p, n, GRPC_PREFIX_BYTES, &failed);
			if (buf_len(&f->part) == GRPC_PREFIX_BYTES && (code = check_prefix(f, buf_data(&f->part), err)) != GRPC_OK)
				return code;
		} else {
			take = fill(f, p, n, GRPC_PREFIX_BYTES + be32(buf_data(&f->part) + 1), &failed);
		}
		have = buf_len(&f->part);
		if (!failed && have >= GRPC_PREFIX_BYTES && have == GRPC_PREFIX_BYTES + be32(buf_data(&f->part) + 1) && !hand_on_part(f))
			return GRPC_OK;
		p += take;
		n -= take;
	}
	if (failed)
		err_set(err, 0, "out of memory for a message");
	return failed ? GRPC_RESOURCE_EXHAUSTED : GRPC_OK;
}

bool grpc_frame_partial(const struct grpc_frame *f)
{
	return buf_len(&f->part) > 0;
}

void grpc_frame_done(struct grpc_frame *f)
{
	buf_done(&f->part);
}

void grpc_frame_prefix(size_t n, uint8_t ret[GRPC_PREFIX_BYTES])
{
	ret[0] = 0;
	for (int i = 0; i < 4; i++)
		ret[1 + i] = (uint8_t)(n >> (24 - 8 * i));
}

enum grpc_code grpc_status_parse(struct str text)
{
	uint64_t v;

	return str_to_u64(text, &v) && v <= GRPC_UNAUTHENTICATED ? (enum grpc_code)v : GRPC_UNKNOWN;
}

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

void grpc_message_parse(struct str text, struct buf *out)
{
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if (c == '%' && i + 2 < text.n && hex(text.p[i + 1]) >= 0 && hex(text.p[i + 2]) >= 0) {
			c = (unsigned char)(hex(text.p[i + 1]) << 4 | hex(text.p[i + 2]));
			i += 2;
		}
		c = c < ' ' || c == 0x7f ? ' ' : c;
		buf_append(out, &c, 1);
	}
}

enum grpc_code grpc_code_of_http(int status)
{
	switch (status) {
	case 400: return GRPC_INTERNAL;
	case 401: return GRPC_UNAUTHENTICATED;
	case 403: return GRPC_PERMISSION_DENIED;
	case 404: return GRPC_UNIMPLEMENTED;
	case 429:
	case 502:
	case 503:
	case 504: return GRPC_UNAVAILABLE;
	default:  return GRPC_UNKNOWN;
	}
}

enum grpc_code grpc_code_of_h2(uint32_t error)
{
	switch (error) {
	case NGHTTP2_REFUSED_STREAM:      return GRPC_UNAVAILABLE;
	case NGHTTP2_CANCEL:              return GRPC_CANCELLED;
	case NGHTTP2_ENHANCE_YOUR_CALM:   return GRPC_RESOURCE_EXHAUSTED;
	case NGHTTP2_INADEQUATE_SECURITY: return GRPC_PERMISSION_DENIED;
	default:                          return GRPC_INTERNAL;
	}
}

const char *grpc_code_name(enum grpc_code code)
{
	static const char *const names[] = {
		"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
		"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
		"INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
	};

	return (unsigned)code < ARRAY_LEN(names) ? names[code] : "UNKNOWN";
}
