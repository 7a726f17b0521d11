/* SPDX-License-Identifier: Apache-2.0 */
#include "http/h1post.h"

#include <llhttp.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"

struct h1post {
	struct dial *dial;            /* NULL: it ended */
	struct stage *top;            /* owned */
	struct loop *loop;
	llhttp_t parser;
	struct buf out, body;
	size_t head_bytes;            /* of the reply, so far */
	struct timer deadline;
	struct deferred grave;
	void (*on_done)(void *arg, const struct h1post_reply *reply);
	void *arg;
	unsigned deadline_ms;
	bool over, complete;
};

static void post_gone(struct deferred *d)
{
	struct h1post *p = container_of(d, struct h1post, grave);

	buf_done(&p->out);
	buf_done(&p->body);
	free(p);
}

static void post_end(struct h1post *p, enum fail why)
{
	p->over = true;
	timer_stop(&p->deadline);
	dial_cancel(p->dial);
	stage_done(p->top, why);
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
	p->on_done(p->arg, &(struct h1post_reply){ .status = p->parser.status_code, .body = buf_str(&p->body), .error = "" });
}

static int on_body(llhttp_t *parser, const char *at, size_t n)
{
	struct h1post *p = container_of(parser, struct h1post, parser);
	size_t room = LIMIT_REPLY_BYTES - buf_len(&p->body);

	return buf_append(&p->body, at, n < room ? n : room);
}

/* The rest of the input, if any, is nobody's. A 1xx is not the reply. */
static int on_complete(llhttp_t *parser)
{
	struct h1post *p = container_of(parser, struct h1post, parser);

	if (parser->status_code < 200)
		return 0;
	p->complete = true;
	return HPE_PAUSED;
}

static int on_head_bytes(llhttp_t *parser, const char *at, size_t n)
{
	struct h1post *p = container_of(parser, struct h1post, parser);

	p->head_bytes += n;
	return p->head_bytes > LIMIT_HEADER_BYTES ? -1 : 0;
}

static const llhttp_settings_t settings = {
	.on_status = on_head_bytes, .on_header_field = on_head_bytes, .on_header_value = on_head_bytes,
	.on_body = on_body, .on_message_complete = on_complete,
};

static void take(struct h1post *p, const char *at, size_t n)
{
	llhttp_errno_t e = llhttp_execute(&p->parser, at, n);

	if (p->complete)
		succeed(p);
	else if (e != HPE_OK)
		fail(p, "the server's answer is not HTTP/1.1");
}

static void on_top(struct stage *s, enum stage_event ev, const struct iovec *iov, int n)
{
	struct h1post *p = s->arg;

	switch (ev) {
	case STAGE_DATA:
		for (int i = 0; i < n && !p->over; i++)
			take(p, iov[i].iov_base, iov[i].iov_len);
		break;
	case STAGE_EOF:
	case STAGE_CLOSED:
		/* A body without a length ends here. */
		if (ev == STAGE_EOF)
			llhttp_finish(&p->parser);
		if (p->complete)
			succeed(p);
		else
			fail(p, "the server closed the connection before it had answered");
		break;
	case STAGE_OPEN:
	case STAGE_DRAINED:
		break;
	}
}

static void on_dialed(void *arg, struct stage *top, const struct addr *at, const char *error)
{
	struct h1post *p = arg;
	struct iovec iov = { buf_data(&p->out), buf_len(&p->out) };

	p->dial = NULL;
	if (!top) {
		fail(p, error);
		return;
	}
	p->top = top;
	top->on_event = on_top;
	top->arg = p;
	stage_want(top, true);
	stage_write(top, &iov, 1);
	buf_done(&p->out);
}

static void on_deadline(struct timer *t)
{
	struct h1post *p = container_of(t, struct h1post, deadline);
	char text[64];

	snprintf(text, sizeof(text), "no answer within %u ms", p->deadline_ms);
	fail(p, text);
}

static int put_request(struct buf *out, const struct h1post_conf *c)
{
	buf_printf(out, "POST %.*s HTTP/1.1\r\nHost: %.*s\r\nUser-Agent: meshd/" PACKAGE_VERSION "\r\nContent-Type: %.*s\r\n"
		   "Content-Length: %zu\r\nConnection: close\r\n", STR_FMT(c->path), STR_FMT(c->authority), STR_FMT(c->content_type), c->body_bytes);
	for (int i = 0; i < c->n_fields; i++)
		buf_printf(out, "%.*s: %.*s\r\n", STR_FMT(c->fields[i].name), STR_FMT(c->fields[i].value));
	buf_puts(out, "\r\n");
	return buf_append(out, c->body, c->body_bytes);
}

struct h1post *h1post_start(struct loop *l, const struct h1post_conf *conf,
			    void (*on_done)(void *arg, const struct h1post_reply *reply), void *arg)
{
	struct h1post *p = calloc(1, sizeof(*p));

	if (!p || put_request(&p->out, conf) < 0) {
		if (p)
			post_gone(&p->grave);
		return NULL;
	}
	p->loop = l;
	p->on_done = on_done;
	p->arg = arg;
	p->deadline_ms = conf->deadline_ms;
	llhttp_init(&p->parser, HTTP_RESPONSE, &settings);
	timer_init(&p->deadline, l, on_deadline);
	timer_start(&p->deadline, conf->deadline_ms);
	p->dial = dial_start(l, conf->dial, on_dialed, p);
	return p;
}
