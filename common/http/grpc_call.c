/* SPDX-License-Identifier: Apache-2.0 */
/* One call: its request head, its messages both ways, and how it ended. */
#include <stdio.h>
#include <stdlib.h>

#include "http/grpc_int.h"
#include "tls/tls.h"

#define CONTENT_TYPE "application/grpc"

/* ---- the end ---- */

static void call_gone(struct deferred *d)
{
	struct grpc_call *c = container_of(d, struct grpc_call, grave);

	grpc_frame_done(&c->frame);
	buf_done(&c->early);
	buf_done(&c->reply);
	free((char *)c->head_status.p);
	free((char *)c->head_message.p);
	free(c->path);
	free(c);
}

/* Lets go of everything but the memory. */
static void call_leave(struct grpc_call *c, enum fail why)
{
	struct grpc_conn *conn = c->conn;

	c->done = true;
	timer_stop(&c->deadline);
	list_del(&c->link);
	if (c->stream)
		stage_done(&c->stream->stage, why);
	c->stream = NULL;
	c->conn = NULL;
	if (conn)
		grpc_conn_idle(conn);
	c->grave.run = call_gone;
	loop_bury(c->g->loop, &c->grave);
}

void grpc_call_end(struct grpc_call *c, const struct grpc_end *end)
{
	if (c->done)
		return;
	/* A stream that the server ended needs no reset. */
	call_leave(c, end->from_server ? FAIL_NONE : FAIL_DRAIN);
	c->ops->on_end(c, end, c->arg);
}

static void end_with(struct grpc_call *c, enum grpc_code code, const char *text)
{
	grpc_call_end(c, &(struct grpc_end){ .code = code, .message = str_c(text) });
}

void grpc_cancel(struct grpc_call *c)
{
	if (c && !c->done)
		call_leave(c, FAIL_DRAIN);
}

static void on_deadline(struct timer *t)
{
	struct grpc_call *c = container_of(t, struct grpc_call, deadline);
	char text[900];

	snprintf(text, sizeof(text), "no answer of %s within %u ms%s%s", c->g->who, c->deadline_ms, c->stream ? "" : ": ",
		 c->stream ? "" : c->g->state);
	end_with(c, GRPC_DEADLINE_EXCEEDED, text);
}

/* What the server said, in trailers or in a head that was all. */
static void end_by_status(struct grpc_call *c, struct str status, struct str message)
{
	struct grpc_end end = { .code = grpc_status_parse(status), .from_server = true };
	struct buf text = { 0 };

	end.goaway = h2_goaway(c->conn->h2) == 0;
	if (end.code == GRPC_OK && grpc_frame_partial(&c->frame)) {
		end.code = GRPC_INTERNAL;
		message = str_c("the stream ended in the middle of a message");
	}
	if (end.code != GRPC_OK)
		grpc_message_parse(message, &text);
	end.message = buf_str(&text);
	grpc_call_end(c, &end);
	buf_done(&text);
}

static bool ended_by_status(struct grpc_call *c)
{
	struct str status = http_trailer(c->stream, "grpc-status");

	if (status.p)
		end_by_status(c, status, http_trailer(c->stream, "grpc-message"));
	else if (c->head_status.p)
		end_by_status(c, c->head_status, c->head_message);
	return c->done;
}

static void end_by_reset(struct grpc_call *c)
{
	struct grpc_end end = { .unprocessed = c->stream->refused, .goaway = h2_goaway(c->conn->h2) == 0 };
	char text[64];

	end.code = grpc_code_of_h2(h2_stream_error(c->stream));
	snprintf(text, sizeof(text), "the server reset the stream (HTTP/2 error %u)", h2_stream_error(c->stream));
	end.message = str_c(text);
	grpc_call_end(c, &end);
}

/* The connection went. */
static void end_by_loss(struct grpc_call *c, enum fail why)
{
	const char *tls = c->conn->tls ? tls_error(c->conn->tls) : "";
	int64_t goaway = h2_goaway(c->conn->h2);
	struct grpc_end end = { .code = GRPC_UNAVAILABLE, .goaway = goaway == 0, .unprocessed = c->stream->refused };
	char text[900];

	if (tls[0])
		snprintf(text, sizeof(text), "%s", tls);
	else if (goaway > 0)
		snprintf(text, sizeof(text), "the server ended the connection (GOAWAY, HTTP/2 error %u)", (unsigned)goaway);
	else
		snprintf(text, sizeof(text), "%s", why == FAIL_PING_TIMEOUT ? "the server stopped answering keepalive" :
			 why == FAIL_HTTP2 ? "the server broke the HTTP/2 protocol" : goaway == 0 ?
			 "the server retired the connection" : "the server closed the connection");
	end.message = str_c(text);
	grpc_call_end(c, &end);
}

/* ---- the reply ---- */

static void take_head(struct grpc_call *c, const struct http_head *head)
{
	struct str type = http_head_get(head, "content-type"), status = http_head_get(head, "grpc-status");
	char text[160];

	if (head->end && status.p) {
		c->head_status = (struct str){ str_dup(status), status.n };
		status = http_head_get(head, "grpc-message");
		c->head_message = (struct str){ str_dup(status), status.n };
		return;   /* the end follows */
	}
	if (head->status != 200 || !str_starts(type, str_c(CONTENT_TYPE))) {
		snprintf(text, sizeof(text), "the server answered HTTP %d with content-type '%.60s', which is not gRPC", head->status,
			 type.p ? type.p : "");
		end_with(c, head->status == 200 ? GRPC_UNKNOWN : grpc_code_of_http(head->status), text);
		return;
	}
	if (c->ops->on_open)
		c->ops->on_open(c, c->arg);
}

static bool on_message(struct grpc_frame *f, struct str msg)
{
	struct grpc_call *c = container_of(f, struct grpc_call, frame);

	c->ops->on_message(c, msg, c->arg);
	return !c->done;
}

static void on_stream(struct stage *s, enum stage_event ev, const struct iovec *iov, int n)
{
	struct grpc_call *c = s->arg;
	enum grpc_code code;
	struct err err;

	switch (ev) {
	case STAGE_OPEN:
		take_head(c, c->stream->head);
		break;
	case STAGE_DATA:
		for (int i = 0; i < n && !c->done; i++) {
			code = grpc_frame_feed(&c->frame, iov[i].iov_base, iov[i].iov_len, &err);
			if (code != GRPC_OK)
				end_with(c, code, err.msg);
		}
		break;
	case STAGE_EOF:
		if (!ended_by_status(c))
			end_with(c, GRPC_UNKNOWN, "the server ended the stream without a grpc-status");
		break;
	case STAGE_DRAINED:
		break;
	case STAGE_CLOSED:
		/* A server that has said its status may reset what we still meant to send. */
		if (ended_by_status(c))
			break;
		if (h2_stream_error(c->stream) || s->fail == FAIL_NONE)
			end_by_reset(c);
		else
			end_by_loss(c, s->fail);
		break;
	}
}

/* ---- the request ---- */

static bool name_ok(struct str name)
{
	for (size_t i = 0; i < name.n; i++) {
		char ch = name.p[i];

		if (!((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') || strchr("-_.", ch)))
			return false;
	}
	return name.n > 0;
}

bool grpc_meta_add(struct grpc_meta *m, struct str name, struct str value)
{
	size_t at = buf_len(&m->text);

	for (size_t i = 0; i < value.n; i++)
		if ((unsigned char)value.p[i] < ' ' || (unsigned char)value.p[i] >= 0x7f)
			return false;
	if (!name_ok(name) || m->n == LIMIT_HEADER_COUNT - 5 || at + name.n + value.n + 2 > LIMIT_GRPC_META_BYTES ||
	    !buf_reserve(&m->text, name.n + value.n + 2))
		return false;
	buf_append(&m->text, name.p, name.n);
	for (uint8_t *p = buf_data(&m->text) + at; p < buf_data(&m->text) + at + name.n; p++)
		*p = *p >= 'A' && *p <= 'Z' ? (uint8_t)(*p + 32) : *p;
	buf_append(&m->text, "", 1);
	buf_append(&m->text, value.p, value.n);
	buf_append(&m->text, "", 1);
	m->n++;
	return true;
}

bool grpc_meta_private(const struct grpc_meta *m)
{
	return m->tls;
}

static int put_meta(const struct grpc_meta *m, struct http_field *f, int n)
{
	const char *p = (const char *)m->text.mem;

	for (int i = 0; i < m->n; i++) {
		struct str name = str_c(p), value = str_c(p + name.n + 1);

		f[n++] = (struct http_field){ name, value };
		p += name.n + value.n + 2;
	}
	return n;
}

static void timeout_format(const struct grpc_call *c, char text[16])
{
	uint64_t now = loop_now_ms(c->g->loop), left = c->deadline_at > now ? c->deadline_at - now : 1;

	/* At most eight digits. */
	if (left < 100000000)
		snprintf(text, 16, "%um", (unsigned)left);
	else
		snprintf(text, 16, "%uS", (unsigned)(left / 1000));
}

static struct http_stream *request(struct grpc_call *c, struct grpc_conn *conn, const struct grpc_meta *meta)
{
	struct http_field f[LIMIT_HEADER_COUNT];
	char timeout[16];
	int n = 0;

	f[n++] = (struct http_field){ str_c("content-type"), str_c(CONTENT_TYPE) };
	f[n++] = (struct http_field){ str_c("te"), str_c("trailers") };
	f[n++] = (struct http_field){ str_c("user-agent"), str_c("meshd/" PACKAGE_VERSION) };
	if (c->deadline_at) {
		timeout_format(c, timeout);
		f[n++] = (struct http_field){ str_c("grpc-timeout"), str_c(timeout) };
	}
	n = put_meta(meta, f, n);
	return h2_request(conn->h2, &(struct http_head){ .method = str_c("POST"), .authority = c->g->url.authority,
			  .scheme = str_c(c->g->url.tls ? "https" : "http"), .path = str_c(c->path), .fields = f, .n_fields = n });
}

static void send_early(struct grpc_call *c)
{
	struct iovec iov = { buf_data(&c->early), buf_len(&c->early) };

	if (iov.iov_len)
		stage_write(&c->stream->stage, &iov, 1);
	buf_done(&c->early);
	if (c->half_closed)
		stage_shut(&c->stream->stage);
}

bool grpc_call_begin(struct grpc_call *c, struct grpc_conn *conn)
{
	struct grpc *g = c->g;
	struct grpc_meta meta = { .tls = g->url.tls };
	struct err err;

	if (g->conf.headers && g->conf.headers(g->conf.arg, &meta, &err) != 0) {
		buf_done(&meta.text);
		end_with(c, GRPC_UNAUTHENTICATED, err.msg);
		return true;
	}
	c->stream = request(c, conn, &meta);
	if (meta.text.mem)
		explicit_bzero(meta.text.mem, meta.text.cap);   /* tokens */
	buf_done(&meta.text);
	if (!c->stream)
		return false;
	c->conn = conn;
	list_del(&c->link);
	list_add_tail(&conn->calls, &c->link);
	timer_stop(&conn->timer);
	c->stream->stage.on_event = on_stream;
	c->stream->stage.arg = c;
	stage_want(&c->stream->stage, true);
	send_early(c);
	return true;
}

struct grpc_call *grpc_start(struct grpc *g, const char *path, const struct grpc_call_ops *ops, void *arg, unsigned deadline_ms)
{
	struct grpc_call *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->g = g;
	c->ops = ops;
	c->arg = arg;
	c->path = xstrdup(path);
	c->frame.limit = g->conf.message_bytes;
	c->frame.on_message = on_message;
	list_add_tail(&g->waiting, &c->link);
	timer_init(&c->deadline, g->loop, on_deadline);
	c->deadline_ms = deadline_ms;
	if (deadline_ms) {
		c->deadline_at = loop_now_ms(g->loop) + deadline_ms;
		timer_start(&c->deadline, deadline_ms);
	}
	grpc_serve_later(g);
	return c;
}

void grpc_send(struct grpc_call *c, const void *p, size_t n)
{
	uint8_t prefix[GRPC_PREFIX_BYTES];
	struct iovec iov[] = { { prefix, sizeof(prefix) }, { (void *)p, n } };

	if (c->done || c->half_closed)
		return;
	grpc_frame_prefix(n, prefix);
	if (c->stream)
		stage_write(&c->stream->stage, iov, n ? 2 : 1);
	else if (buf_append_iov(&c->early, iov, 2, 0) < 0)
		timer_start(&c->deadline, 0);
}

size_t grpc_queued(const struct grpc_call *c)
{
	return c->stream ? c->stream->stage.queued : buf_len(&c->early);
}

void grpc_half_close(struct grpc_call *c)
{
	if (c->done || c->half_closed)
		return;
	c->half_closed = true;
	if (c->stream)
		stage_shut(&c->stream->stage);
}

/* ---- unary calls ---- */

static void unary_message(struct grpc_call *c, struct str msg, void *arg)
{
	if (c->got_reply)
		end_with(c, GRPC_INTERNAL, "the server sent more than one reply");
	else if (buf_append(&c->reply, msg.p, msg.n) < 0)
		end_with(c, GRPC_RESOURCE_EXHAUSTED, "out of memory for a message");
	c->got_reply = true;
}

static void unary_end(struct grpc_call *c, const struct grpc_end *end, void *arg)
{
	struct grpc_end none = { .code = GRPC_INTERNAL, .message = str_c("the server sent no reply"), .from_server = true };
	bool ok = end->code == GRPC_OK && c->got_reply;

	c->on_reply(end->code == GRPC_OK && !ok ? &none : end, ok ? buf_str(&c->reply) : (struct str){ 0 }, arg);
}

static const struct grpc_call_ops unary_ops = { .on_message = unary_message, .on_end = unary_end };

struct grpc_call *grpc_unary(struct grpc *g, const char *path, const void *p, size_t n, unsigned deadline_ms,
			     void (*on_reply)(const struct grpc_end *end, struct str reply, void *arg), void *arg)
{
	struct grpc_call *c = grpc_start(g, path, &unary_ops, arg, deadline_ms);

	if (!c)
		return NULL;
	c->on_reply = on_reply;
	grpc_send(c, p, n);
	grpc_half_close(c);
	return c;
}
