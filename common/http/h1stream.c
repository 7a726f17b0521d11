/* SPDX-License-Identifier: Apache-2.0 */
/* A stream of an HTTP/1 connection: heads and bodies out, events to the owner. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "http/h1_int.h"

#define WRITE_PIECES 128
#define SMALL_BYTES 4096      /* a write that waits for others of this turn */

static struct h1_stream *of(struct stage *s)
{
	return container_of(s, struct h1_stream, pub.stage);
}

static struct h1_stream *of_http(const struct http_stream *s)
{
	return container_of(s, struct h1_stream, pub);
}

/* ---- events ---- */

static void stream_free(struct deferred *d)
{
	struct h1_stream *s = container_of(d, struct h1_stream, grave);

	buf_done(&s->trailers);
	buf_done(&s->early);
	free(s);
}

static void stream_bury(struct h1_stream *s)
{
	if (!s->done || s->h1 || deferred_queued(&s->grave))
		return;
	s->grave.run = stream_free;
	loop_bury(s->pub.stage.loop, &s->grave);
}

void h1_stream_deliver(struct h1_stream *s, struct iovec *iov, int n)
{
	if (n && !s->done)
		stage_emit(&s->pub.stage, STAGE_DATA, iov, n);
	if (s->in_end && !s->eof_told && s->want_read && !s->done && s->pub.stage.fail == FAIL_NONE) {
		s->eof_told = true;
		stage_emit(&s->pub.stage, STAGE_EOF, NULL, 0);
	}
	if (s->pub.stage.fail != FAIL_NONE && !s->closed_told && !s->done) {
		s->closed_told = true;
		stage_emit(&s->pub.stage, STAGE_CLOSED, NULL, 0);
	}
}

static void on_wake(struct deferred *d)
{
	h1_stream_deliver(container_of(d, struct h1_stream, wake), NULL, 0);
}

void h1_stream_detach(struct h1_stream *s)
{
	s->h1->s = NULL;
	s->h1 = NULL;
	s->pub.stage.queued = 0;
	s->pub.stage.above_low = false;
	if (s->done)
		stream_bury(s);
	else
		loop_defer(s->pub.stage.loop, &s->wake);
}

void h1_stream_close(struct h1_stream *s, enum fail why)
{
	bool over = s->in_end && s->out_end;

	s->pub.refused = !s->h1->server && !s->sent;
	if (!over && s->pub.stage.fail == FAIL_NONE)
		s->pub.stage.fail = why == FAIL_NONE ? FAIL_DRAIN : why;
	h1_stream_detach(s);
}

/* ---- heads out ---- */

/* llhttp knows the phrases as names: METHOD_NOT_ALLOWED. */
void h1_put_status(struct buf *out, int status)
{
	const char *name = status == 413 ? "CONTENT_TOO_LARGE" : "";
	bool start = true;

	switch (status == 413 ? 0 : status) {
#define REASON(num, id, string) case num: name = #id; break;
	HTTP_STATUS_MAP(REASON)
#undef REASON
	}
	buf_puts(out, "HTTP/1.1 ");
	buf_append(out, (char[]){ (char)('0' + status / 100 % 10), (char)('0' + status / 10 % 10), (char)('0' + status % 10), ' ' }, 4);
	for (; *name; name++) {
		char c = *name == '_' ? ' ' : start || status == 200 ? *name : (char)(*name | 32);

		start = c == ' ';
		buf_append(out, &c, 1);
	}
	buf_puts(out, "\r\n");
}

/* RFC 9113 8.2.3: HTTP/2 may cut cookies into several fields. */
static void put_fields(struct buf *out, const struct http_head *h, bool length)
{
	bool cookies = false;

	for (int i = 0; i < h->n_fields; i++) {
		const struct http_field *f = &h->fields[i];

		if (f->name.n == 6 && str_eq_nocase(f->name, str_c("cookie"))) {
			if (cookies)
				continue;
			cookies = true;
			buf_printf(out, "%.*s: %.*s", STR_FMT(f->name), STR_FMT(f->value));
			for (int k = i + 1; k < h->n_fields; k++)
				if (str_eq_nocase(h->fields[k].name, f->name))
					buf_printf(out, "; %.*s", STR_FMT(h->fields[k].value));
			buf_puts(out, "\r\n");
		} else if (length || f->name.n != 14 || !str_eq_nocase(f->name, str_c("content-length"))) {
			buf_append(out, f->name.p, f->name.n);
			buf_append(out, ": ", 2);
			buf_append(out, f->value.p, f->value.n);
			buf_append(out, "\r\n", 2);
		}
	}
}

/* Room for a head, so that no part of it can be missing. */
static bool room_for(struct buf *out, const struct http_head *h)
{
	size_t n = 512 + h->method.n + h->path.n + 2 * h->authority.n + h->upgrade.n;

	for (int i = 0; i < h->n_fields; i++)
		n += h->fields[i].name.n + h->fields[i].value.n + 4;
	return buf_reserve(out, n) != NULL;
}

/* How the body that follows is framed; its header unless the head has one. */
static void put_framing(struct h1_stream *s, const struct http_head *h, bool needs_length, struct buf *out)
{
	struct str length = http_head_get(h, "content-length");

	if (length.p && str_to_u64(length, &s->out_left)) {
		s->out_body = HTTP_BODY_LENGTH;
	} else if (h->end) {
		s->out_body = HTTP_BODY_NONE;
		if (needs_length)
			buf_puts(out, "content-length: 0\r\n");
	} else if (s->http10) {
		s->out_body = HTTP_BODY_CLOSE;
	} else {
		s->out_body = HTTP_BODY_CHUNKED;
		buf_puts(out, "transfer-encoding: chunked\r\n");
	}
}

static void put_switch(struct buf *out, struct str upgrade)
{
	if (upgrade.n)
		buf_printf(out, "connection: upgrade\r\nupgrade: %.*s\r\n", STR_FMT(upgrade));
}

static const struct http_field no_fields[1];

/* To read the rest of the request away is cheaper than another connection. */
static bool may_skip(const struct h1_stream *s)
{
	return !s->expect && !s->h1->chunked && s->h1->parser.content_length <= LIMIT_H1_SKIP && s->h1->persist;
}

static void stream_reply(struct http_stream *pub, const struct http_head *head)
{
	const struct http_head bad = { .status = 502, .fields = no_fields, .end = true, .close = true };
	struct h1_stream *s = of_http(pub);
	struct h1 *h = s->h1;
	bool connect, empty;

	if (!h || s->done || s->out_head || !h->server)
		return;
	if (!http_sendable(head, false) || (head->status == 101 && (!s->may_switch || !head->upgrade.n)))
		head = &bad;
	if (!room_for(&h->out, head)) {
		h1_die(h, FAIL_MEMORY, true);
		return;
	}
	if (head->status < 200 && head->status != 101) {
		if (!s->http10) {
			h1_put_status(&h->out, head->status);
			put_fields(&h->out, head, false);
			buf_puts(&h->out, "\r\n");
			s->expect &= head->status != 100;
			h1_kick(h);
		}
		return;
	}
	s->out_head = true;
	connect = strcmp(s->method, "CONNECT") == 0 && head->status < 300;
	empty = head->status == 204 || head->status == 304 || strcmp(s->method, "HEAD") == 0;
	h->tunnel = connect || head->status == 101;
	s->skip = !s->in_end && !s->may_switch && (head->end || head->unread) && may_skip(s);
	if (head->close || (h->eof && !h->held) || h->draining || s->expect ||
	    ((head->end || head->unread) && !s->in_end && !s->may_switch && !s->skip))
		h->persist = false;
	h1_put_status(&h->out, head->status);
	put_fields(&h->out, head, !h->tunnel && head->status != 204);
	if (h->tunnel)
		put_switch(&h->out, head->upgrade);
	else if (!empty || (strcmp(s->method, "HEAD") == 0 && !head->end))
		put_framing(s, head, true, &h->out);
	if (s->out_body == HTTP_BODY_CLOSE && !empty)
		h->persist = false;
	if (!h->persist && !h->tunnel)
		buf_puts(&h->out, "connection: close\r\n");
	else if (s->http10 && !h->tunnel)
		buf_puts(&h->out, "connection: keep-alive\r\n");
	buf_puts(&h->out, "\r\n");
	if (empty)
		s->out_body = HTTP_BODY_NONE;
	if (!h->tunnel && !s->in_end && s->may_switch)
		s->in_end = true;      /* it did not switch: what follows is the next request */
	if (head->end && !h->tunnel)
		stage_shut(&pub->stage);
	h1_kick(h);
}

/* A longer one is none that changes how an answer is read. */
void h1_note_method(struct h1_stream *s, struct str method)
{
	size_t n = method.n < sizeof(s->method) ? method.n : 0;

	if (n)
		memcpy(s->method, method.p, n);
	s->method[n] = '\0';
}

static void put(struct buf *out, struct str s, const char *then)
{
	buf_append(out, s.p, s.n);
	buf_puts(out, then);
}

int h1_put_request(struct h1_stream *s, const struct http_head *h, struct buf *out)
{
	bool usual = str_is(h->method, "GET") || str_is(h->method, "HEAD") || str_is(h->method, "CONNECT") || str_is(h->method, "OPTIONS") ||
		str_is(h->method, "DELETE") || str_is(h->method, "TRACE");
	struct str target = str_is(h->method, "CONNECT") ? h->authority : h->path;

	if (!room_for(out, h))
		return -ENOMEM;
	h1_note_method(s, h->method);
	s->may_switch = h->upgrade.n || str_is(h->method, "CONNECT");
	put(out, h->method, " ");
	put(out, target, " HTTP/1.1\r\nHost: ");
	put(out, h->authority, "\r\n");
	put_fields(out, h, true);
	if (!s->may_switch)
		put_framing(s, h, !usual, out);
	else
		put_switch(out, h->upgrade);
	if (h->close)
		buf_puts(out, "Connection: close\r\n");
	return buf_puts(out, "\r\n");
}

/* ---- verbs ---- */

/* What waits and the first `left` bytes of iov, in as few writes as there may be. */
static void write_through(struct h1 *h, const struct iovec *iov, int n, size_t left)
{
	struct iovec v[WRITE_PIECES + 1];

	for (int i = 0; i < n && left;) {
		int k = 0;

		if (buf_len(&h->out))
			v[k++] = (struct iovec){ buf_data(&h->out), buf_len(&h->out) };
		for (; i < n && left && k <= WRITE_PIECES; i++) {
			v[k] = (struct iovec){ iov[i].iov_base, iov[i].iov_len < left ? iov[i].iov_len : left };
			left -= v[k++].iov_len;
		}
		stage_write(h->below, v, k);
		h->s->sent = true;
		h->out.head = h->out.tail = 0;
	}
}

static void stream_write(struct stage *stage, const struct iovec *iov, int n)
{
	struct h1_stream *s = of(stage);
	size_t len = iov_len(iov, n), left = len;
	struct h1 *h = s->h1;
	bool small;

	if (!h || !s->out_head || s->out_end || !len)
		return;
	if (!h->server && s->may_switch && !h->tunnel) {
		if (buf_append_iov(&s->early, iov, n, 0) < 0)
			h1_die(h, FAIL_MEMORY, true);
		else
			stage_set_queued(stage, h->below->queued + buf_len(&s->early));
		return;
	}
	if (!h->tunnel && s->out_body == HTTP_BODY_NONE)
		return;
	if (!h->tunnel && s->out_body == HTTP_BODY_LENGTH) {
		left = len < s->out_left ? len : (size_t)s->out_left;
		s->out_left -= left;
		if (left < len)
			h->persist = false;
	}
	small = left <= SMALL_BYTES && h->below->queued == 0 && buf_len(&h->out) < LIMIT_QUEUE_LOW;
	if (!buf_reserve(&h->out, 64 + (small ? left : 0))) {
		h1_die(h, FAIL_MEMORY, true);
		return;
	}
	if (s->out_body == HTTP_BODY_CHUNKED && !h->tunnel)
		buf_printf(&h->out, "%zx\r\n", len);
	if (small)
		for (int i = 0; i < n && left; i++) {
			size_t k = iov[i].iov_len < left ? iov[i].iov_len : left;

			buf_append(&h->out, iov[i].iov_base, k);
			left -= k;
		}
	else
		write_through(h, iov, n, left);
	if (s->out_body == HTTP_BODY_CHUNKED && !h->tunnel)
		buf_puts(&h->out, "\r\n");
	stage_set_queued(stage, h->below->queued + buf_len(&h->out));
	h1_kick(h);
}

static void stream_want(struct stage *stage, bool read)
{
	struct h1_stream *s = of(stage);

	if (s->want_read == read)
		return;
	s->want_read = read;
	if (!s->h1) {
		if (read)
			loop_defer(stage->loop, &s->wake);
		return;
	}
	if (read && s->expect && !s->out_head && s->h1->server) {
		s->expect = false;
		buf_puts(&s->h1->out, "HTTP/1.1 100 Continue\r\n\r\n");
	}
	h1_kick(s->h1);
}

static void end_body(struct h1_stream *s, const struct http_field *f, int n)
{
	struct h1 *h = s->h1;

	s->out_end = true;
	if (h->tunnel) {
		h1_flush(h);
		stage_shut(h->below);
	} else if (s->out_body == HTTP_BODY_CHUNKED) {
		buf_puts(&h->out, "0\r\n");
		for (int i = 0; i < n; i++)
			buf_printf(&h->out, "%.*s: %.*s\r\n", STR_FMT(f[i].name), STR_FMT(f[i].value));
		buf_puts(&h->out, "\r\n");
	} else if (s->out_body == HTTP_BODY_LENGTH && s->out_left) {
		h1_die(h, FAIL_SERVER_RESET, true);     /* less than was promised must not look like a whole one */
		return;
	}
	h1_kick(h);
}

static void stream_shut(struct stage *stage)
{
	struct h1_stream *s = of(stage);

	if (s->h1 && !s->h1->server && s->may_switch && !s->h1->tunnel)
		s->shut = true;
	else if (s->h1 && s->out_head && !s->out_end)
		end_body(s, NULL, 0);
}

void h1_stream_switched(struct h1_stream *s)
{
	struct buf early = s->early;
	struct iovec iov = { buf_data(&early), buf_len(&early) };

	s->early = (struct buf){ 0 };
	if (iov.iov_len)
		stream_write(&s->pub.stage, &iov, 1);
	buf_done(&early);
	if (s->shut)
		stream_shut(&s->pub.stage);
}

static void stream_done(struct stage *stage, enum fail why)
{
	struct h1_stream *s = of(stage);

	if (s->done)
		return;
	s->done = true;
	if (s->h1 && why == FAIL_NONE && s->out_head && s->h1->server && !s->h1->tunnel) {
		stream_shut(stage);
		if (s->h1)
			h1_kick(s->h1);
	} else if (s->h1 && !(s->in_end && s->out_end)) {
		/* A message that is cut short must not look like a whole one. */
		h1_die(s->h1, why == FAIL_NONE && s->h1->server && !s->h1->tunnel ? FAIL_DRAIN : why, true);
	} else if (s->h1) {
		h1_kick(s->h1);
	}
	stream_bury(s);
}

static const struct stage_ops stage_ops = {
	.name = "h1", .write = stream_write, .want = stream_want, .shut = stream_shut, .done = stream_done,
};

bool h1_trailer_next(struct str *rest, struct http_field *ret)
{
	ret->name = str_cut(*rest, '\0', rest);
	if (!rest->p)
		return false;
	ret->value = str_cut(*rest, '\0', rest);
	return rest->p != NULL;
}

static int stream_received(const struct http_stream *pub, struct http_field *ret, int max)
{
	struct str rest = buf_str(&of_http(pub)->trailers);
	int n = 0;

	while (rest.n && n < max && h1_trailer_next(&rest, &ret[n]))
		n++;
	return n;
}

static bool stream_trailers(struct http_stream *pub, const struct http_field *f, int n)
{
	struct h1_stream *s = of_http(pub);

	if (!s->h1 || !s->out_head || s->out_end || s->out_body != HTTP_BODY_CHUNKED || s->h1->tunnel || !http_trailers_ok(f, n))
		return false;
	end_body(s, f, n);
	return true;
}

static const struct http_stream_ops http_ops = { .reply = stream_reply, .received = stream_received, .trailers = stream_trailers };

struct h1_stream *h1_stream_new(struct h1 *h)
{
	struct h1_stream *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->pub.stage = (struct stage){ .ops = &stage_ops, .loop = h->loop };
	s->pub.ops = &http_ops;
	s->h1 = h;
	s->wake.run = on_wake;
	h->s = s;
	return s;
}
