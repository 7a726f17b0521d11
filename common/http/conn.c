/* SPDX-License-Identifier: Apache-2.0 */
#include "http/conn.h"

#include <errno.h>
#include <stdlib.h>

#include "base/buf.h"
#include "http/h1.h"
#include "http/h2.h"

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define PREFACE_LEAST 4       /* "PRI " is no method of HTTP/1 */

struct http_conn {
	struct stage *below;      /* owned while neither codec has it */
	const struct http_conn_conf *conf;
	const struct http_conn_ops *ops;
	void *arg;
	struct h1 *h1;            /* at most one of them */
	struct h2 *h2;
	struct buf first;         /* AUTO: bytes that do not decide yet */
	struct timer timer;       /* AUTO: for the first byte */
	struct deferred wake, grave;
	uint8_t streams;          /* HTTP/1: 0 or 1 */
	bool server, undecided, dead, draining;
};

const struct http_conn_conf http_conn_default = {
	.head_bytes = LIMIT_H1_HEAD_BYTES, .head_fields = LIMIT_HTTP_FIELDS, .head_ms = LIMIT_H1_HEAD_MS, .idle_ms = LIMIT_H1_IDLE_MS,
	.stall_ms = LIMIT_H1_STALL_MS, .max_streams = LIMIT_STREAMS, .frame_bytes = 16384, .resets = LIMIT_HTTP_RESETS, .reset_burst = 2 * LIMIT_STREAMS,
	.http10 = true,
};

static void conn_free(struct deferred *d)
{
	struct http_conn *c = container_of(d, struct http_conn, grave);

	buf_done(&c->first);
	free(c);
}

static void conn_end(struct http_conn *c, enum fail why, const char *detail, bool tell)
{
	if (c->dead)
		return;
	c->dead = true;
	timer_stop(&c->timer);
	if (tell)
		c->ops->on_closed(c, why, detail, c->arg);
	c->h1 = NULL;
	c->h2 = NULL;
	c->grave.run = conn_free;
	loop_bury(c->below->loop, &c->grave);
}

/* ---- HTTP/1 ---- */

static void on_h1_request(struct h1 *h, struct http_stream *s, void *arg)
{
	struct http_conn *c = arg;

	c->streams = 1;
	c->ops->on_request(c, s, c->arg);
}

static void on_h1_idle(struct h1 *h, void *arg)
{
	struct http_conn *c = arg;

	c->streams = 0;
	if (c->ops->on_room)
		c->ops->on_room(c, c->arg);
}

static void on_h1_closed(struct h1 *h, enum fail why, void *arg)
{
	conn_end(arg, why, h1_error(h), true);
}

static void on_h1_refused(struct h1 *h, int status, const char *why, void *arg)
{
	struct http_conn *c = arg;

	if (c->ops->on_refused)
		c->ops->on_refused(c, status, why, c->arg);
}

static const struct h1_ops h1_ops = { on_h1_request, on_h1_idle, on_h1_closed, on_h1_refused };

/* ---- HTTP/2 ---- */

static void on_h2_request(struct h2 *h, struct http_stream *s, void *arg)
{
	struct http_conn *c = arg;

	c->ops->on_request(c, s, c->arg);
}

static void on_h2_room(struct h2 *h, void *arg)
{
	struct http_conn *c = arg;

	if (c->ops->on_room && (!c->server || h2_streams(h) == 0))
		loop_defer(c->below->loop, &c->wake);     /* nghttp2 is on the call stack */
}

static void on_h2_closed(struct h2 *h, enum fail why, void *arg)
{
	conn_end(arg, why, h2_error(h), true);
}

static void on_h2_refused(struct h2 *h, const struct http_head *head, int status, const char *why, void *arg)
{
	struct http_conn *c = arg;

	if (c->ops->on_refused)
		c->ops->on_refused(c, status, why, c->arg);
}

static const struct h2_ops h2_ops = {
	.on_refused = on_h2_refused, 
	.on_settings = on_h2_room, .on_goaway = on_h2_room, .on_request = on_h2_request, .on_room = on_h2_room, .on_closed = on_h2_closed,
};

static void on_wake(struct deferred *d)
{
	struct http_conn *c = container_of(d, struct http_conn, wake);

	if (!c->dead && c->ops->on_room)
		c->ops->on_room(c, c->arg);
}

/* ---- which one ---- */

static void drain(struct http_conn *c)
{
	if (c->h2)
		h2_drain(c->h2);
	else if (c->h1)
		h1_drain(c->h1);
	else
		timer_start(&c->timer, LIMIT_GOAWAY_MS);   /* what is on its way is still taken */
}

/* below passes on; false: memory is out, and it ended. */
static bool begin(struct http_conn *c, enum http_codec codec)
{
	c->undecided = false;
	if (codec == HTTP_CODEC_H2)
		c->h2 = h2_new(c->below, c->server, c->conf, &h2_ops, c);
	else
		c->h1 = h1_new(c->below, c->server, c->conf, &h1_ops, c);
	if (!c->h1 && !c->h2)
		return false;
	if (c->draining)
		drain(c);
	return true;
}

static void decide(struct http_conn *c, enum http_codec codec, const struct iovec *iov, int n)
{
	struct buf first = c->first;
	struct iovec held = { buf_data(&first), buf_len(&first) };

	timer_stop(&c->timer);
	c->first = (struct buf){ 0 };
	if (!begin(c, codec)) {
		conn_end(c, FAIL_MEMORY, "", true);
	} else {
		if (held.iov_len)
			stage_emit(c->below, STAGE_DATA, &held, 1);
		if (n)
			stage_emit(c->below, STAGE_DATA, iov, n);
	}
	buf_done(&first);
}

static void sniff(struct http_conn *c, const struct iovec *iov, int n)
{
	size_t have = buf_len(&c->first), seen = have;

	for (int i = 0; i < n; i++)
		for (size_t k = 0; k < iov[i].iov_len && seen < PREFACE_LEAST; k++, seen++)
			if (((const char *)iov[i].iov_base)[k] != PREFACE[seen]) {
				decide(c, HTTP_CODEC_H1, iov, n);
				return;
			}
	if (seen >= PREFACE_LEAST)
		decide(c, HTTP_CODEC_H2, iov, n);
	else if (buf_append_iov(&c->first, iov, n, 0) < 0)
		http_conn_close(c, FAIL_MEMORY);
}

static void on_first(struct stage *below, enum stage_event ev, const struct iovec *iov, int n)
{
	struct http_conn *c = below->arg;

	switch (ev) {
	case STAGE_DATA:
		sniff(c, iov, n);
		break;
	case STAGE_EOF:
		stage_done(below, FAIL_NONE);
		conn_end(c, FAIL_NONE, "", true);
		break;
	case STAGE_CLOSED:
		stage_done(below, below->fail);
		conn_end(c, FAIL_CLIENT_RESET, "", true);
		break;
	case STAGE_OPEN:
	case STAGE_DRAINED:
		break;
	}
}

static void on_timer(struct timer *t)
{
	struct http_conn *c = container_of(t, struct http_conn, timer);

	stage_done(c->below, FAIL_NONE);
	conn_end(c, FAIL_NONE, "no request came in time", true);
}

static struct http_conn *conn_new(struct stage *below, bool server, const struct http_conn_conf *conf, const struct http_conn_ops *ops,
				  void *arg)
{
	struct http_conn *c = calloc(1, sizeof(*c));

	if (!c) {
		stage_done(below, FAIL_MEMORY);
		return NULL;
	}
	c->below = below;
	c->server = server;
	c->conf = conf;
	c->ops = ops;
	c->arg = arg;
	c->wake.run = on_wake;
	timer_init(&c->timer, below->loop, on_timer);
	return c;
}

/* ---- interface ---- */

struct http_conn *http_conn_server(struct stage *below, enum http_codec codec, const struct http_conn_conf *conf,
				   const struct http_conn_ops *ops, void *arg)
{
	struct http_conn *c = conn_new(below, true, conf, ops, arg);

	if (!c)
		return NULL;
	if (codec == HTTP_CODEC_AUTO) {
		c->undecided = true;
		below->on_event = on_first;
		below->arg = c;
		timer_start(&c->timer, conf->head_ms);
		stage_want(below, true);
	} else if (!begin(c, codec)) {
		free(c);
		return NULL;
	}
	return c;
}

struct http_conn *http_conn_client(struct stage *below, enum http_codec codec, const struct http_conn_conf *conf,
				   const struct http_conn_ops *ops, void *arg)
{
	struct http_conn *c = conn_new(below, false, conf, ops, arg);

	if (c && !begin(c, codec)) {
		free(c);
		return NULL;
	}
	if (c && c->h1)
		loop_defer(below->loop, &c->wake);
	return c;
}

int http_conn_room(const struct http_conn *c)
{
	if (c->dead || c->draining || c->server)
		return 0;
	return c->h2 ? h2_room(c->h2) : h1_idle(c->h1);
}

bool http_conn_knows(const struct http_conn *c)
{
	return !c->h2 || h2_knows(c->h2);
}

int http_conn_streams(const struct http_conn *c)
{
	return c->dead ? 0 : c->h2 ? h2_streams(c->h2) : c->streams;
}

bool http_conn_draining(const struct http_conn *c)
{
	return c->dead || c->draining || (c->h2 && h2_draining(c->h2)) || (c->h1 && h1_ending(c->h1));
}

struct http_stream *http_conn_request(struct http_conn *c, const struct http_head *head)
{
	struct http_stream *s;

	errno = EAGAIN;
	if (http_conn_room(c) <= 0)
		return NULL;
	if (c->h2)
		return h2_request(c->h2, head);
	s = h1_request(c->h1, head);
	c->streams = s != NULL;
	return s;
}

void http_conn_keepalive(struct http_conn *c, unsigned idle_ms, unsigned timeout_ms)
{
	if (c->h2 && !c->dead)
		h2_keepalive(c->h2, idle_ms, timeout_ms, false);
}

void http_conn_drain(struct http_conn *c)
{
	if (c->dead || c->draining)
		return;
	c->draining = true;
	drain(c);
}

void http_conn_close(struct http_conn *c, enum fail why)
{
	if (c->dead)
		return;
	if (c->h2)
		h2_close(c->h2, why);
	else if (c->h1)
		h1_close(c->h1, why);
	else
		stage_done(c->below, why);
	conn_end(c, why, "", false);
}

enum http_version http_conn_version(const struct http_conn *c)
{
	return c->h2 ? HTTP_2 : c->h1 && h1_version(c->h1) == 10 ? HTTP_1_0 : HTTP_1_1;
}

struct stage *http_conn_below(const struct http_conn *c)
{
	return c->below;
}
