/* SPDX-License-Identifier: Apache-2.0 */
#include "net/socks.h"

#include <string.h>

#define SOCKS_VERSION  5
#define NO_AUTH  0
#define CONNECT  1
#define IS_IPV4  1
#define IS_HOST  3
#define IS_IPV6  4

size_t socks_reply(enum socks_code code, uint8_t out[SOCKS_REPLY_MAX])
{
	memset(out, 0, SOCKS_REPLY_MAX);
	out[0] = SOCKS_VERSION;
	out[1] = (uint8_t)code;
	out[3] = IS_IPV4;
	return SOCKS_REPLY_MAX;
}

/* Has s->head hold n bytes. False: the input does not have them yet. */
static bool need(struct socks *s, struct str *input, size_t n)
{
	size_t take = s->n < n ? n - s->n : 0;

	take = take < input->n ? take : input->n;
	if (take)
		memcpy(s->head + s->n, input->p, take);
	s->n = (uint16_t)(s->n + take);
	input->p += take;
	input->n -= take;
	return s->n >= n;
}

static enum socks_step bad(struct socks *s, enum socks_code code)
{
	s->reply_n = (uint8_t)socks_reply(code, s->reply);
	return SOCKS_BAD;
}

static enum socks_step greet(struct socks *s, struct str *input)
{
	bool open = false;

	if (!need(s, input, 2))
		return s->n && s->head[0] != SOCKS_VERSION ? SOCKS_BAD : SOCKS_MORE;
	if (s->head[0] != SOCKS_VERSION)
		return SOCKS_BAD;    /* SOCKS4, HTTP: nothing that it would understand */
	if (!need(s, input, 2u + s->head[1]))
		return SOCKS_MORE;
	for (int i = 0; i < s->head[1]; i++)
		open |= s->head[2 + i] == NO_AUTH;
	s->reply[0] = SOCKS_VERSION;
	s->reply[1] = open ? NO_AUTH : 0xff;
	s->reply_n = 2;
	s->n = 0;
	s->greeted = open;
	return open ? SOCKS_GREETED : SOCKS_BAD;
}

static uint16_t port_at(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static enum socks_step take_address(struct socks *s, struct str *input)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	size_t len;

	switch (s->head[3]) {
	case IS_IPV4:
		if (!need(s, input, 4 + 4 + 2))
			return SOCKS_MORE;
		memcpy(s->to.ip.b, mapped, sizeof(mapped));
		memcpy(s->to.ip.b + sizeof(mapped), s->head + 4, 4);
		s->to.port = port_at(s->head + 8);
		return SOCKS_ASKED;
	case IS_IPV6:
		if (!need(s, input, 4 + 16 + 2))
			return SOCKS_MORE;
		memcpy(s->to.ip.b, s->head + 4, 16);
		s->to.port = port_at(s->head + 20);
		return SOCKS_ASKED;
	case IS_HOST:
		if (!need(s, input, 5))
			return SOCKS_MORE;
		len = s->head[4];
		if (!need(s, input, 5 + len + 2))
			return SOCKS_MORE;
		if (!len || memchr(s->head + 5, 0, len))
			return bad(s, SOCKS_FAILED);
		memcpy(s->host, s->head + 5, len);
		s->host[len] = '\0';
		s->to.port = port_at(s->head + 5 + len);
		return SOCKS_ASKED;
	default:
		return bad(s, SOCKS_NO_ADDRESS_TYPE);
	}
}

enum socks_step socks_take(struct socks *s, struct str *input)
{
	enum socks_step step;

	if (!s->greeted)
		return greet(s, input);
	if (!need(s, input, 4))
		return SOCKS_MORE;
	if (s->head[0] != SOCKS_VERSION)
		return bad(s, SOCKS_FAILED);
	if (s->head[1] != CONNECT)
		return bad(s, SOCKS_NO_COMMAND);
	step = take_address(s, input);
	if (step == SOCKS_ASKED && !s->to.port)
		return bad(s, SOCKS_FAILED);
	return step;
}
