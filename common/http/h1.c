/* SPDX-License-Identifier: Apache-2.0 */
/* The connection: input in order, one stream at a time, timeouts, the end. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "http/h1_int.h"

void h1_kick(struct h1 *h)
{
	if (!h->closed_told)
		loop_defer(h->loop, &h->turn);
}

void h1_flush(struct h1 *h)
{
	struct iovec iov = { buf_data(&h->out), buf_len(&h->out) };

	if (!iov.iov_len)
		return;
	stage_write(h->below, &iov, 1);
	if (h->s)
		h->s->sent = true;
	buf_done(&h->out);
}

/* ---- the end ---- */

static void h1_free(struct deferred *d)
{
	struct h1 *h = container_of(d, struct h1, grave);

	buf_done(&h->in);
	buf_done(&h->out);
	buf_done(&h->spill);
	buf_done(&h->field);
	free(h);
}

void h1_die(struct h1 *h, enum fail why, bool tell)
{
	struct h1_stream *s = h->s;

	if (h->dead)
		return;
	h->dead = true;
	h->why = why;
	h->closed_told = !tell;
	timer_stop(&h->timer);
	if (why == FAIL_NONE || why == FAIL_HTTP1)
		h1_flush(h);
	if (s) {
		s->pub.error = why == FAIL_HTTP1 ? h->error : NULL;
		h1_stream_close(s, why);
	}
	stage_done(h->below, why == FAIL_HTTP1 ? FAIL_NONE : why);
	loop_defer(h->loop, &h->turn);
}

/* The peer's input is refused: a server says so, where the answer has not begun. */
static void refuse(struct h1 *h, int status)
{
	const char *why = h->error ? h->error : "this is not HTTP/1.1";

	if (h->server && !(h->s && h->s->out_head)) {
		h1_put_status(&h->out, status);
		buf_printf(&h->out, "content-type: text/plain\r\ncontent-length: %zu\r\nconnection: close\r\n\r\n%s\n", strlen(why) + 1, why);
	} else if (h->server) {
		h1_die(h, FAIL_CLIENT_RESET, true);
		return;
	}
	if (h->server && !h->s && h->ops->on_refused)
		h->ops->on_refused(h, status, why, h->arg);
	h1_die(h, FAIL_HTTP1, true);
}

/* ---- input ---- */

static void offer_request(struct h1 *h, struct http_head *head, const struct http_framing *f)
{
	struct h1_stream *s = h1_stream_new(h);

	if (!s) {
		h1_die(h, FAIL_MEMORY, true);
		return;
	}
	h1_note_method(s, head->method);
	s->http10 = h->version == 10;
	s->expect = f->expect;
	s->may_switch = head->upgrade.n || str_is(head->method, "CONNECT");
	s->in_end = head->end && !s->may_switch;
	h->persist = f->persist;
	s->pub.head = head;
	h->ops->on_request(h, &s->pub, h->arg);
	stage_emit(&s->pub.stage, STAGE_OPEN, NULL, 0);
	s->pub.head = NULL;
}

static void offer_response(struct h1 *h, struct http_head *head, const struct http_framing *f)
{
	struct h1_stream *s = h->s;
	bool connect = strcmp(s->method, "CONNECT") == 0 && head->status >= 200 && head->status < 300;

	s->pub.head = head;
	if (head->status < 200 && head->status != 101) {
		h->complete = false;
		if (++s->infos > LIMIT_H1_INFOS) {
			h->error = "too many interim responses";
			refuse(h, 502);
		} else if (s->pub.on_info) {
			s->pub.on_info(&s->pub);
		}
	} else {
		s->infos = -1;     /* the head came */
		s->http10 = h->version == 10;
		h->tunnel = connect || head->status == 101;
		if (head->status == 101 && (!s->may_switch || !head->upgrade.n)) {
			h->tunnel = false;
			h->error = "a switch that was not asked for";
			refuse(h, 502);
			return;
		}
		head->end &= !h->tunnel;
		s->in_end = head->end;
		if (!f->persist)
			h->persist = false;
		if (s->may_switch && !h->tunnel) {
			s->out_end = true;
			s->may_switch = false;
		}
		if (h->tunnel)
			h1_stream_switched(s);
		stage_emit(&s->pub.stage, STAGE_OPEN, NULL, 0);
	}
	s->pub.head = NULL;
}

static bool heading(const struct h1 *h)
{
	return h->s ? !h->server && h->s->infos >= 0 : h->server;
}

/* A head at the start of `in`. 0: it is not complete. */
static size_t take_head(struct h1 *h, struct str in)
{
	size_t skip = 0, n;
	struct h1_head parsed;
	struct http_head head;
	struct http_framing framing;
	int r;

	/* RFC 9112 2.2: an empty line before a request. */
	if (h->server && !h->head_begun && !h->skipped && in.n >= 2 && in.p[0] == '\r' && in.p[1] == '\n')
		skip = 2;
	h->skipped |= skip != 0;
	in = (struct str){ in.p + skip, in.n - skip };
	if (!in.n || (h->server && !h->head_begun && !h->skipped && in.n == 1 && in.p[0] == '\r'))
		return skip;
	if (h->server && !h->head_begun)
		timer_start(&h->timer, h->conf->head_ms);
	if (skip && !h->head_begun)
		h->checked = 0;
	r = h1_scan(h, in, &n);
	if (!r && !n) {
		h->head_begun = true;
		return skip;
	}
	if (!r)
		r = h1_parse_head(h, (struct str){ in.p, n }, &parsed, &head, &framing);
	h->head_begun = h->skipped = false;
	h->served = true;
	h->checked = 0;
	h->held = in.n - n;
	if (r)
		refuse(h, r);
	else if (h->server)
		offer_request(h, &head, &framing);
	else
		offer_response(h, &head, &framing);
	return skip + n;
}

static size_t take_body(struct h1 *h, struct str in)
{
	struct iovec iov[H1_PIECES + 1];
	struct h1_stream *s = h->s;
	struct buf spill;
	size_t used = 0;
	int r, n;

	in.n = in.n < LIMIT_READ_BYTES ? in.n : LIMIT_READ_BYTES;
	if (h->tunnel) {
		iov[0] = (struct iovec){ (void *)in.p, in.n };
		h1_stream_deliver(s, iov, 1);
		return in.n;
	}
	h->pieces = iov;
	h->n_pieces = 0;
	r = h1_parse_body(h, in, &used);
	n = h->n_pieces;
	spill = h->spill;
	h->spill = (struct buf){ 0 };
	if (r) {
		buf_done(&spill);
		refuse(h, r);
		return in.n;
	}
	if (buf_len(&spill))
		iov[n++] = (struct iovec){ buf_data(&spill), buf_len(&spill) };
	s->in_end = h->complete;
	h1_stream_deliver(s, iov, n);
	buf_done(&spill);
	return used;
}

/* The exchange may be over: the connection goes on to the next, or ends. */
static void settle(struct h1 *h)
{
	struct h1_stream *s = h->s;

	if (h->dead || !s)
		return;
	if (s->in_end && !s->eof_told && !(s->out_end && !h->tunnel))
		h1_stream_deliver(s, NULL, 0);
	if (h->dead || h->s != s)
		return;
	if (h->tunnel) {
		if (s->in_end && s->out_end)
			h1_die(h, FAIL_NONE, true);
	} else if (s->in_end && s->out_end) {
		if (!h->persist || h->draining || (h->eof && !h->held)) {
			h1_die(h, FAIL_NONE, true);
			return;
		}
		h1_stream_detach(s);
		if (h->ops->on_idle)
			h->ops->on_idle(h, h->arg);
	} else if (h->server ? s->out_end && s->done && !(s->skip && h->persist) : s->in_end) {
		/* The rest of the request is nobody's. */
		s->out_end = s->in_end = true;
		h1_die(h, FAIL_NONE, true);
	}
}

static size_t run(struct h1 *h, struct str in)
{
	size_t used = 0, n;

	for (;;) {
		struct str rest = { in.p + used, in.n - used };

		h->held = rest.n;
		settle(h);
		if (h->dead || !rest.n)
			break;
		if (!h->server && !h->s) {     /* nobody asked */
			h1_die(h, FAIL_NONE, true);
			break;
		}
		if (heading(h)) {
			if (h->below->queued > LIMIT_QUEUE_LOW)
				break;
			n = take_head(h, rest);
			if (!n)
				break;
		} else {
			struct h1_stream *s = h->s;

			if (s->in_end || (s->may_switch && !h->tunnel) || (!s->want_read && !s->done))
				break;
			n = take_body(h, rest);
		}
		used += n;
	}
	return h->dead ? in.n : used;
}

static void take_eof(struct h1 *h)
{
	struct h1_stream *s = h->s;

	/* What is there may be whole requests whose turn has not come; a head that was begun will not end any more. */
	if (!h->eof || h->dead || (buf_len(&h->in) && (s || !h->head_begun)) || (s && s->in_end))
		return;
	if (!s) {
		h1_die(h, FAIL_NONE, true);
	} else if (h->tunnel || (s->may_switch && h->server) || (!heading(h) && h1_parse_eof(h))) {
		if (s->may_switch && !h->tunnel)
			return;
		s->in_end = true;
		settle(h);
	} else {
		h->error = "the peer closed the connection before its message ended";
		h1_die(h, h->server ? FAIL_CLIENT_RESET : FAIL_PEER_CLOSED, true);
	}
}

/* Whether more is read, and which time is measured. */
static void arm(struct h1 *h)
{
	struct h1_stream *s = h->s;
	size_t held = buf_len(&h->in);
	bool want = true;

	if (h->dead)
		return;
	if (s && s->in_end)
		want = held < LIMIT_H1_AHEAD;
	else if (s && !heading(h))
		want = (s->want_read || s->done || (s->may_switch && !h->tunnel)) && held < LIMIT_H1_AHEAD;
	else if (h->below->queued > LIMIT_QUEUE_LOW)
		want = held < LIMIT_H1_AHEAD;
	stage_want(h->below, want && !h->eof);
	if (!s && h->server && (h->head_begun || !h->served))
		return;
	if (!s && h->server && !h->below->queued && h->draining)
		timer_start(&h->timer, LIMIT_GOAWAY_MS);
	else if (!s && h->server && !h->below->queued && h->conf->idle_ms)
		timer_start(&h->timer, h->conf->idle_ms);
	else if (h->conf->stall_ms && (h->below->queued || (s && !h->tunnel && !s->in_end && !heading(h) && (s->want_read || s->skip))))
		timer_start(&h->timer, h->conf->stall_ms);
	else
		timer_stop(&h->timer);
}

static void go(struct h1 *h, const uint8_t *p, size_t n)
{
	struct buf held = h->in;
	size_t used;

	h->in = (struct buf){ 0 };
	if (buf_len(&held)) {
		if (n && buf_append(&held, p, n) < 0)
			h1_die(h, FAIL_MEMORY, true);
		used = run(h, buf_str(&held));
		buf_consume(&held, used);
		h->in = held;
	} else {
		used = run(h, (struct str){ (const char *)p, n });
		if (used < n && buf_append(&h->in, p + used, n - used) < 0)
			h1_die(h, FAIL_MEMORY, true);
	}
}

static void on_turn(struct deferred *d)
{
	struct h1 *h = container_of(d, struct h1, turn);

	if (h->dead && !h->last_turn) {
		h->last_turn = true;     /* the stream hears of it first */
		loop_defer(h->loop, &h->turn);
		return;
	}
	if (h->dead) {
		if (!h->closed_told) {
			h->closed_told = true;
			h->ops->on_closed(h, h->why, h->arg);
		}
		h->grave.run = h1_free;
		loop_bury(h->loop, &h->grave);
		return;
	}
	h->held = buf_len(&h->in);
	if (h->held)
		go(h, NULL, 0);
	else
		settle(h);
	take_eof(h);
	if (h->dead)
		return;
	h1_flush(h);
	if (h->s)
		stage_set_queued(&h->s->pub.stage, h->below->queued + buf_len(&h->s->early));
	arm(h);
}

static void on_below(struct stage *below, enum stage_event ev, const struct iovec *iov, int n)
{
	struct h1 *h = below->arg;

	switch (ev) {
	case STAGE_DATA:
		for (int i = 0; i < n && !h->dead; i++)
			go(h, iov[i].iov_base, iov[i].iov_len);
		h1_kick(h);
		break;
	case STAGE_EOF:
		h->eof = true;
		h1_kick(h);
		break;
	case STAGE_DRAINED:
		if (h->s)
			stage_set_queued(&h->s->pub.stage, below->queued + buf_len(&h->s->early));
		h1_kick(h);
		break;
	case STAGE_CLOSED:
		h1_die(h, h->server ? FAIL_CLIENT_RESET : below->fail == FAIL_SERVER_RESET ? FAIL_PEER_CLOSED : below->fail, true);
		break;
	case STAGE_OPEN:
		break;
	}
}

static void on_timer(struct timer *t)
{
	struct h1 *h = container_of(t, struct h1, timer);

	h->error = "the message did not come in time";
	if (h->server && !h->s && (h->head_begun || buf_len(&h->in)))
		refuse(h, 408);
	else if (!h->s)
		h1_die(h, h->below->queued ? FAIL_CLIENT_RESET : FAIL_NONE, true);
	else if (h->server && !h->s->out_head)
		refuse(h, 408);
	else
		h1_die(h, h->server ? FAIL_CLIENT_RESET : FAIL_REPLY_TIMEOUT, true);
}

/* ---- interface ---- */

struct h1 *h1_new(struct stage *below, bool server, const struct http_conn_conf *conf, const struct h1_ops *ops, void *arg)
{
	struct h1 *h = calloc(1, sizeof(*h));

	if (!h) {
		stage_done(below, FAIL_MEMORY);
		return NULL;
	}
	h->below = below;
	h->loop = below->loop;
	h->conf = conf;
	h->ops = ops;
	h->arg = arg;
	h->server = server;
	h->persist = true;
	h->version = 11;
	h->turn.run = on_turn;
	timer_init(&h->timer, h->loop, on_timer);
	if (server)
		timer_start(&h->timer, conf->head_ms);
	below->on_event = on_below;
	below->arg = h;
	stage_want(below, true);
	return h;
}

void h1_close(struct h1 *h, enum fail why)
{
	h1_die(h, why, false);
	h->closed_told = true;
}

void h1_drain(struct h1 *h)
{
	h->draining = true;
	if (h->dead || h->s)
		return;
	if (!h->server)
		h1_die(h, FAIL_NONE, true);
	else if (!h->head_begun)
		timer_start(&h->timer, LIMIT_GOAWAY_MS);
}

bool h1_idle(const struct h1 *h)
{
	return !h->server && !h->s && !h->dead && !h->draining && !h->eof && h->persist && !buf_len(&h->in);
}

bool h1_ending(const struct h1 *h)
{
	return h->dead || h->draining || h->eof || !h->persist;
}

const char *h1_error(const struct h1 *h)
{
	return h->why == FAIL_HTTP1 && h->error ? h->error : "";
}

int h1_version(const struct h1 *h)
{
	return h->version;
}

struct http_stream *h1_request(struct h1 *h, const struct http_head *head)
{
	struct h1_stream *s;

	if (!h1_idle(h))
		return NULL;
	if (!http_sendable(head, true)) {
		errno = EINVAL;
		return NULL;
	}
	s = h1_stream_new(h);
	if (!s)
		return NULL;
	s->want_read = false;
	if (h1_put_request(s, head, &h->out) < 0) {
		s->done = true;
		h1_stream_detach(s);
		return NULL;
	}
	s->out_head = true;
	h->persist = !head->close;
	if (head->end && !s->may_switch)
		stage_shut(&s->pub.stage);
	h1_kick(h);
	return &s->pub;
}
