/* SPDX-License-Identifier: Apache-2.0 */
#include "http/h1post.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/buf.h"
#include "http/conn.h"
#include "http/h1.h"

struct h1post {
	struct dial *dial;            /* NULL: it ended */
	struct h1 *h1;                /* NULL: not yet, or it ended */
	struct http_stream *stream;
	struct loop *loop;
	struct arena texts;           /* of the request's head */
	struct http_head head;
	struct http_field field[LIMIT_HEADER_COUNT];
	struct buf out, body;
	int status;
	struct timer deadline;
	struct deferred grave;
	void (*on_done)(void *arg, const struct h1post_reply *reply);
	void *arg;
	unsigned deadline_ms;
	size_t reply_bytes;
	bool over, get, cut;
};

static void post_gone(struct deferred *d)
{
	struct h1post *p = container_of(d, struct h1post, grave);

	buf_done(&p->out);
	buf_done(&p->body);
	arena_done(&p->texts);
	free(p);
}

static void post_end(struct h1post *p, enum fail why)
{
	p->over = true;
	timer_stop(&p->deadline);
	dial_cancel(p->dial);
	if (p->stream)
		stage_done(&p->stream->stage, why);
	if (p->h1)
		h1_close(p->h1, why);
	p->grave.run = post_gone;
	loop_bury(p->loop, &p->grave);
}

void h1post_cancel(struct h1post *p)
{
	if (p && !p->over)
		post_end(p, FAIL_DRAIN);
}

static void fail(struct h1post *p, const char *error)
{
	if (p->over)
		return;
	post_end(p, FAIL_DRAIN);
	p->on_done(p->arg, &(struct h1post_reply){ .error = error });
}

static void succeed(struct h1post *p)
{
	if (p->over)
		return;
	post_end(p, FAIL_NONE);
	p->on_done(p->arg, &(struct h1post_reply){ .status = p->status, .body = buf_str(&p->body), .cut = p->cut, .error = "" });
}

static void on_stream(struct stage *s, enum stage_event ev, const struct iovec *iov, int n)
{
	struct h1post *p = s->arg;

	switch (ev) {
	case STAGE_OPEN:
		p->status = p->stream->head->status;
		break;
	case STAGE_DATA:
		for (int i = 0; i < n; i++) {
			size_t room = p->reply_bytes - buf_len(&p->body);

			p->cut = p->cut || iov[i].iov_len > room;
			if (buf_append(&p->body, iov[i].iov_base, iov[i].iov_len < room ? iov[i].iov_len : room) < 0)
				fail(p, "out of memory");
		}
		break;
	case STAGE_EOF:
		succeed(p);
		break;
	case STAGE_CLOSED:
		fail(p, s->fail == FAIL_HTTP1 ? "the server's answer is not HTTP/1.1" : "the server closed the connection before it had answered");
		break;
	case STAGE_DRAINED:
		break;
	}
}

static void on_conn_closed(struct h1 *h, enum fail why, void *arg)
{
	((struct h1post *)arg)->h1 = NULL;
}

static const struct h1_ops h1_ops = { .on_closed = on_conn_closed };

static void on_dialed(void *arg, struct stage *top, const struct addr *at, const char *error)
{
	struct h1post *p = arg;
	struct iovec iov = { buf_data(&p->out), buf_len(&p->out) };

	p->dial = NULL;
	if (!top) {
		fail(p, error);
		return;
	}
	p->h1 = h1_new(top, false, &http_conn_default, &h1_ops, p);
	p->stream = p->h1 ? h1_request(p->h1, &p->head) : NULL;
	if (!p->stream) {
		fail(p, "the request cannot be sent: a header of it is not valid");
		return;
	}
	p->stream->stage.on_event = on_stream;
	p->stream->stage.arg = p;
	stage_want(&p->stream->stage, true);
	if (!p->get) {
		stage_write(&p->stream->stage, &iov, 1);
		stage_shut(&p->stream->stage);
	}
	buf_done(&p->out);
}

static void on_deadline(struct timer *t)
{
	struct h1post *p = container_of(t, struct h1post, deadline);
	char text[64];

	snprintf(text, sizeof(text), "no answer within %u ms", p->deadline_ms);
	fail(p, text);
}

static void put_field(struct h1post *p, struct str name, struct str value)
{
	p->field[p->head.n_fields++] = (struct http_field){ str_c(arena_dup(&p->texts, name)), str_c(arena_dup(&p->texts, value)) };
}

/* The connection comes later: everything is copied. */
static void put_head(struct h1post *p, const struct h1post_conf *c)
{
	char length[24];
	bool agent = false;

	snprintf(length, sizeof(length), "%zu", c->body_bytes);
	p->head = (struct http_head){ .method = str_c(c->get ? "GET" : "POST"), .end = c->get, .path = str_c(arena_dup(&p->texts, c->path)),
				      .authority = str_c(arena_dup(&p->texts, c->authority)), .fields = p->field, .close = true };
	for (int i = 0; i < c->n_fields; i++)
		agent |= str_eq_nocase(c->fields[i].name, str_c("User-Agent"));
	if (!agent)
		put_field(p, str_c("User-Agent"), str_c("meshd/" PACKAGE_VERSION));
	if (!c->get) {
		put_field(p, str_c("Content-Type"), c->content_type);
		put_field(p, str_c("Content-Length"), str_c(length));
	}
	for (int i = 0; i < c->n_fields && p->head.n_fields < LIMIT_HEADER_COUNT; i++)
		put_field(p, c->fields[i].name, c->fields[i].value);
}

struct h1post *h1post_start(struct loop *l, const struct h1post_conf *conf,
			    void (*on_done)(void *arg, const struct h1post_reply *reply), void *arg)
{
	struct h1post *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->texts.block = 1024;
	put_head(p, conf);
	if (buf_append(&p->out, conf->body, conf->body_bytes) < 0) {
		post_gone(&p->grave);
		return NULL;
	}
	p->loop = l;
	p->on_done = on_done;
	p->arg = arg;
	p->deadline_ms = conf->deadline_ms;
	p->reply_bytes = conf->reply_bytes ? conf->reply_bytes : LIMIT_REPLY_BYTES;
	p->get = conf->get;
	timer_init(&p->deadline, l, on_deadline);
	timer_start(&p->deadline, conf->deadline_ms);
	p->dial = dial_start(l, conf->dial, on_dialed, p);
	return p;
}
