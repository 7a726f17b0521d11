/* SPDX-License-Identifier: Apache-2.0 */
/* An HTTP/2 server by hand, so that a test decides on each frame: on a port of loopback, one connection at a time. */
#ifndef TESTS_H2PEER_H
#define TESTS_H2PEER_H

#include <nghttp2/nghttp2.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/buf.h"
#include "tests/unit/stages.h"

struct h2peer {
	int listener, fd, accepted;
	uint16_t port;
	nghttp2_hd_inflater *inflate;
	struct buf in;
	bool preface, settings_held;
	uint32_t stream;            /* of the last request */
	int requests, ended;        /* heads, END_STREAMs */
	struct buf head;            /* "name: value\n" of the last request */
	struct buf data;            /* of all requests */
	uint32_t reset, reset_code; /* the last RST_STREAM */
	int pings, goaways;
};

static inline void peer_start(struct h2peer *p)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(at);

	*p = (struct h2peer){ .fd = -1 };
	p->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	ck_assert_int_eq(bind(p->listener, (struct sockaddr *)&at, sizeof(at)), 0);
	ck_assert_int_eq(listen(p->listener, 16), 0);
	getsockname(p->listener, (struct sockaddr *)&at, &len);
	p->port = ntohs(at.sin_port);
	nghttp2_hd_inflate_new(&p->inflate);
}

static inline void peer_hang_up(struct h2peer *p)
{
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
	p->preface = false;
	buf_done(&p->in);
	nghttp2_hd_inflate_del(p->inflate);
	nghttp2_hd_inflate_new(&p->inflate);
}

static inline void peer_stop(struct h2peer *p)
{
	peer_hang_up(p);
	close(p->listener);
	nghttp2_hd_inflate_del(p->inflate);
	buf_done(&p->head);
	buf_done(&p->data);
}

static inline void peer_frame(struct h2peer *p, int type, int flags, uint32_t id, const void *payload, size_t n)
{
	uint8_t head[9] = { (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n, (uint8_t)type, (uint8_t)flags,
			    (uint8_t)(id >> 24), (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id };
	struct iovec iov[] = { { head, 9 }, { (void *)payload, n } };
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = n ? 2 : 1 };

	if (sendmsg(p->fd, &m, MSG_NOSIGNAL) < 0)
		ck_assert_int_ne(errno, EAGAIN);
}

static inline void peer_data(struct h2peer *p, uint32_t id, const void *d, size_t n, bool end)
{
	peer_frame(p, NGHTTP2_DATA, end ? NGHTTP2_FLAG_END_STREAM : 0, id, d, n);
}

static inline void put_text(struct buf *b, const char *s)
{
	size_t n = strlen(s);

	/* HPACK: a length of 7 bits and a continuation. */
	if (n < 127) {
		buf_append(b, &(uint8_t){ (uint8_t)n }, 1);
	} else {
		buf_append(b, (uint8_t[]){ 127, (uint8_t)((n - 127) % 128) | 0x80, (uint8_t)((n - 127) / 128) }, 3);
	}
	buf_puts(b, s);
}

/* name, value, name, value, …, NULL. */
static inline void peer_head(struct h2peer *p, uint32_t id, bool end, ...)
{
	struct buf b = { 0 };
	const char *name;
	va_list ap;

	va_start(ap, end);
	while ((name = va_arg(ap, const char *))) {
		buf_append(&b, "\x10", 1);      /* a literal, never indexed */
		put_text(&b, name);
		put_text(&b, va_arg(ap, const char *));
	}
	va_end(ap);
	peer_frame(p, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | (end ? NGHTTP2_FLAG_END_STREAM : 0), id, buf_data(&b), buf_len(&b));
	buf_done(&b);
}

static inline void peer_reset(struct h2peer *p, uint32_t id, uint8_t code)
{
	peer_frame(p, NGHTTP2_RST_STREAM, 0, id, (uint8_t[]){ 0, 0, 0, code }, 4);
}

static inline void peer_goaway(struct h2peer *p, uint32_t last, uint8_t code)
{
	peer_frame(p, NGHTTP2_GOAWAY, 0, 0, (uint8_t[]){ 0, 0, (uint8_t)(last >> 8), (uint8_t)last, 0, 0, 0, code }, 8);
}

static inline void peer_take_head(struct h2peer *p, const uint8_t *d, size_t n)
{
	buf_done(&p->head);
	for (;;) {
		nghttp2_nv nv;
		int flags = 0;
		ssize_t r = nghttp2_hd_inflate_hd2(p->inflate, &nv, &flags, d, n, 1);

		ck_assert_int_ge(r, 0);
		d += r;
		n -= (size_t)r;
		if (flags & NGHTTP2_HD_INFLATE_EMIT)
			buf_printf(&p->head, "%.*s: %.*s\n", (int)nv.namelen, nv.name, (int)nv.valuelen, nv.value);
		if (flags & NGHTTP2_HD_INFLATE_FINAL)
			break;
	}
	nghttp2_hd_inflate_end_headers(p->inflate);
	buf_append(&p->head, "", 1);
}

static inline void peer_take(struct h2peer *p, int type, int flags, uint32_t id, const uint8_t *d, size_t n)
{
	switch (type) {
	case NGHTTP2_SETTINGS:
		if (!(flags & NGHTTP2_FLAG_ACK)) {
			if (!p->settings_held)
				peer_frame(p, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
			peer_frame(p, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, NULL, 0);
		}
		break;
	case NGHTTP2_HEADERS:
		p->stream = id;
		p->requests++;
		peer_take_head(p, flags & NGHTTP2_FLAG_PRIORITY ? d + 5 : d, flags & NGHTTP2_FLAG_PRIORITY ? n - 5 : n);
		p->ended += !!(flags & NGHTTP2_FLAG_END_STREAM);
		break;
	case NGHTTP2_DATA:
		buf_append(&p->data, d, n);
		for (int i = 0; n && i < 2; i++)
			peer_frame(p, NGHTTP2_WINDOW_UPDATE, 0, i ? id : 0, (uint8_t[]){ 0, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n }, 4);
		p->ended += !!(flags & NGHTTP2_FLAG_END_STREAM);
		break;
	case NGHTTP2_RST_STREAM:
		p->reset = id;
		p->reset_code = d[3];
		break;
	case NGHTTP2_PING:
		p->pings++;
		break;
	case NGHTTP2_GOAWAY:
		p->goaways++;
		break;
	}
}

/* Takes what is there; never waits. */
static inline void peer_turn(struct h2peer *p)
{
	uint8_t *d;
	ssize_t n;

	if (p->fd < 0) {
		p->fd = accept4(p->listener, NULL, NULL, SOCK_NONBLOCK);
		if (p->fd < 0)
			return;
		p->accepted++;
	}
	while ((n = recv(p->fd, buf_reserve(&p->in, 65536), 65536, 0)) > 0)
		buf_added(&p->in, (size_t)n);
	if (n == 0) {
		peer_hang_up(p);
		return;
	}
	if (!p->preface && buf_len(&p->in) >= 24) {
		buf_consume(&p->in, 24);
		p->preface = true;
	}
	while (p->preface && buf_len(&p->in) >= 9) {
		d = buf_data(&p->in);
		n = d[0] << 16 | d[1] << 8 | d[2];
		if (buf_len(&p->in) < 9 + (size_t)n)
			break;
		peer_take(p, d[3], d[4], (uint32_t)d[5] << 24 | (uint32_t)d[6] << 16 | (uint32_t)d[7] << 8 | d[8], d + 9, (size_t)n);
		buf_consume(&p->in, 9 + (size_t)n);
	}
}

/* Turns loop and peer until the condition holds, at most 5 s. */
#define UNTIL(l, p, cond) do { \
	int rounds_ = 0; \
	while (!(cond) && rounds_++ < 25000) { \
		ev_run((l)->ev, EVRUN_NOWAIT); \
		peer_turn(p); \
		nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL); \
	} \
	ck_assert_msg(cond, "%s did not come true", #cond); \
} while (0)

#endif
