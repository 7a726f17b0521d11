/* SPDX-License-Identifier: Apache-2.0 */
#include "tls/hello.h"

#include <ctype.h>
#include <string.h>

#include "base/limits.h"

#define RECORD_HEAD     5
#define RECORD_MAX      16384
#define MESSAGE_HEAD    4
#define TYPE_HANDSHAKE  22
#define CLIENT_HELLO    1
#define EXT_SERVER_NAME 0
#define EXT_ALPN        16

/* Bytes that shrink from the front; `bad` sticks. */
struct cut {
	const uint8_t *p;
	size_t n;
	bool bad;
};

static size_t take_number(struct cut *c, int bytes)
{
	size_t v = 0;

	if (c->n < (size_t)bytes) {
		c->bad = true;
		return 0;
	}
	for (int i = 0; i < bytes; i++)
		v = v << 8 | c->p[i];
	c->p += bytes;
	c->n -= (size_t)bytes;
	return v;
}

/* What a length of so many bytes says. */
static struct cut take_vector(struct cut *c, int length_bytes)
{
	size_t n = take_number(c, length_bytes);
	struct cut v = { c->p, n, false };

	if (c->bad || n > c->n) {
		c->bad = true;
		return (struct cut){ .bad = true };
	}
	c->p += n;
	c->n -= n;
	return v;
}

static void skip(struct cut *c, size_t n)
{
	if (n > c->n) {
		c->bad = true;
		n = c->n;
	}
	c->p += n;
	c->n -= n;
}

static void read_server_name(struct cut ext, struct hello *h)
{
	struct cut list = take_vector(&ext, 2);

	while (list.n && !list.bad) {
		size_t type = take_number(&list, 1);
		struct cut name = take_vector(&list, 2);

		if (list.bad || type != 0 || h->sni[0] || name.n == 0 || name.n >= sizeof(h->sni))
			continue;
		for (size_t i = 0; i < name.n; i++)
			h->sni[i] = name.p[i] > ' ' && name.p[i] < 0x7f ? (char)tolower(name.p[i]) : '?';
		h->sni[name.n] = '\0';
	}
}

static bool is(struct cut v, const char *text)
{
	return v.n == strlen(text) && memcmp(v.p, text, v.n) == 0;
}

static void read_alpn(struct cut ext, struct hello *h)
{
	struct cut list = take_vector(&ext, 2);

	while (list.n && !list.bad) {
		struct cut name = take_vector(&list, 1);

		if (list.bad)
			return;
		h->h2 |= is(name, "h2");
		if (h->istio != HELLO_ISTIO_NONE)
			continue;
		if (is(name, "istio-http/1.1") || is(name, "istio-h2") || is(name, "istio-http/1.0"))
			h->istio = HELLO_ISTIO_HTTP;
		else if (is(name, "istio") || is(name, "istio-peer-exchange"))
			h->istio = HELLO_ISTIO_TCP;
	}
}

static bool read_body(struct cut body, struct hello *h)
{
	struct cut extensions;

	skip(&body, 2 + 32);                 /* version, random */
	take_vector(&body, 1);               /* session */
	take_vector(&body, 2);               /* ciphers */
	take_vector(&body, 1);               /* compression */
	if (body.bad)
		return false;
	if (body.n == 0)
		return true;                 /* an old client without extensions */
	extensions = take_vector(&body, 2);
	while (extensions.n && !extensions.bad) {
		size_t type = take_number(&extensions, 2);
		struct cut ext = take_vector(&extensions, 2);

		if (extensions.bad)
			break;
		if (type == EXT_SERVER_NAME)
			read_server_name(ext, h);
		else if (type == EXT_ALPN)
			read_alpn(ext, h);
	}
	return !body.bad && !extensions.bad;
}

/* Wrong in the first bytes already? */
static bool can_be(const uint8_t *p, size_t n)
{
	static const struct { size_t at; uint8_t least, most; } wanted[] = {
		{ 0, TYPE_HANDSHAKE, TYPE_HANDSHAKE }, { 1, 3, 3 }, { 2, 0, 4 }, { 3, 0, RECORD_MAX >> 8 }, { 5, CLIENT_HELLO, CLIENT_HELLO },
	};

	for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++)
		if (wanted[i].at < n && (p[wanted[i].at] < wanted[i].least || p[wanted[i].at] > wanted[i].most))
			return false;
	return true;
}

enum hello_state hello_parse(const uint8_t *p, size_t n, struct hello *ret)
{
	uint8_t message[LIMIT_HELLO_BYTES];
	size_t have = 0, want = MESSAGE_HEAD;
	struct hello h = { .istio = HELLO_ISTIO_NONE };
	struct cut in = { p, n, false };

	if (!can_be(p, n))
		return HELLO_NONE;
	/* The message may be spread over records. */
	while (have < want) {
		size_t length, part;

		if (in.n < RECORD_HEAD)
			return HELLO_MORE;
		if (in.p[0] != TYPE_HANDSHAKE)
			return HELLO_NONE;
		length = (size_t)in.p[3] << 8 | in.p[4];
		if (length == 0 || length > RECORD_MAX)
			return HELLO_NONE;
		skip(&in, RECORD_HEAD);
		part = length < in.n ? length : in.n;
		if (part > sizeof(message) - have)
			part = sizeof(message) - have;
		memcpy(message + have, in.p, part);
		have += part;
		skip(&in, part);
		if (have >= MESSAGE_HEAD)
			want = MESSAGE_HEAD + ((size_t)message[1] << 16 | (size_t)message[2] << 8 | message[3]);
		if (want > sizeof(message))
			return HELLO_NONE;
		if (have < want && part < length)
			return HELLO_MORE;
	}
	if (!read_body((struct cut){ message + MESSAGE_HEAD, want - MESSAGE_HEAD, false }, &h))
		return HELLO_NONE;
	*ret = h;
	return HELLO_OK;
}
