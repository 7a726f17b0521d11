/* SPDX-License-Identifier: Apache-2.0 */
/* A stream's life: DATA in and out, its window, its events, its verbs as a stage. */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "http/h2_int.h"

static atomic_size_t process_buffered;

static struct stream *stream_of(const struct stage *s)
{
	return container_of(s, struct stream, pub.stage);
}

void stream_touch(struct h2 *h, struct stream *s)
{
	if (list_empty(&s->touched))
		list_add_tail(&h->touched, &s->touched);
}

/* ---- credit ---- */

static bool over_cap(const struct h2 *h)
{
	return h->buffered > LIMIT_CONN_BUFFER || atomic_load_explicit(&process_buffered, memory_order_relaxed) > LIMIT_PROCESS_BUFFER;
}

void h2_credit(struct h2 *h, size_t n)
{
	h->owed += n;
	if (!h->owed || over_cap(h))
		return;
	nghttp2_session_consume_connection(h->ng, h->owed);
	h->owed = 0;
}

static void count_buffered(struct h2 *h, ptrdiff_t delta)
{
	h->buffered += (size_t)delta;
	atomic_fetch_add_explicit(&process_buffered, (size_t)delta, memory_order_relaxed);
}

/* The reader took what is owed: its window opens again, and wider when it never had to wait. */
static void stream_credit(struct stream *s)
{
	struct h2 *h = s->h2;

	if (!h || h->dead || s->closed || !s->owed)
		return;
	nghttp2_session_consume_stream(h->ng, s->id, s->owed);
	s->grown_bytes += s->owed;
	s->owed = 0;
	if (s->held || s->window >= (int32_t)tuning.stream_window || over_cap(h)) {
		s->held = false;
		s->grown_bytes = 0;
	} else if (s->grown_bytes > 2 * (size_t)s->window) {
		s->window = s->window < (int32_t)tuning.stream_window / 2 ? s->window * 2 : (int32_t)tuning.stream_window;
		s->grown_bytes = 0;
		nghttp2_session_set_local_window_size(h->ng, NGHTTP2_FLAG_NONE, s->id, s->window);
	}
}

/* ---- the end of a stream ---- */

static void stream_free(struct deferred *d)
{
	struct stream *s = container_of(d, struct stream, grave);

	buf_done(&s->out);
	buf_done(&s->in);
	if (s->trailers)
		buf_done(s->trailers);
	if (s->out_trailers)
		buf_done(s->out_trailers);
	free(s->trailers);
	free(s->out_trailers);
	free(s);
}

static void drop_input(struct stream *s)
{
	if (s->h2)
		count_buffered(s->h2, -(ptrdiff_t)buf_len(&s->in));
	buf_done(&s->in);
	s->first_piece = -1;
}

static void stream_bury(struct stream *s)
{
	if (!s->done || !s->closed || deferred_queued(&s->grave))
		return;
	drop_input(s);
	list_del(&s->touched);
	list_del(&s->link);
	s->grave.run = stream_free;
	loop_bury(s->pub.stage.loop, &s->grave);
}

/* nghttp2 (or the death of the connection) let go of the stream. */
void stream_close(struct stream *s, enum fail why)
{
	struct h2 *h = s->h2;

	if (s->closed)
		return;
	s->closed = true;
	s->pub.stage.fail = why;
	s->pub.refused |= !h->server && !s->head_sent;
	h->n_streams--;
	s->done |= !s->announced;
	if (s->done)
		stream_bury(s);
	else
		stream_touch(h, s);
}

/* ---- events to the owner, who may call any verb ---- */

static void deliver_data(struct stream *s)
{
	struct h2 *h = s->h2;
	struct iovec iov[PIECES + 1];
	struct buf in = s->in;
	int n = 0;

	if (!s->want_read || (!buf_len(&in) && s->first_piece < 0))
		return;
	if (buf_len(&in))
		iov[n++] = (struct iovec){ buf_data(&in), buf_len(&in) };
	for (int i = s->first_piece; i >= 0; i = h->pieces[i].next)
		iov[n++] = (struct iovec){ (void *)h->pieces[i].p, h->pieces[i].n };
	s->first_piece = -1;
	s->in = (struct buf){ 0 };
	if (h)
		count_buffered(h, -(ptrdiff_t)buf_len(&in));
	s->owed += iov_len(iov, n);
	stage_emit(&s->pub.stage, STAGE_DATA, iov, n);
	buf_done(&in);
	if (s->want_read || s->done)
		stream_credit(s);
	else
		s->held = true;
}

/* Data, then the end, then the close. A reset overtakes data that the reader does not want; a clean end waits for it. */
static void deliver(struct stream *s)
{
	if (s->done)
		return;
	deliver_data(s);
	if (s->done || (s->pub.stage.fail == FAIL_NONE && (!s->want_read || buf_len(&s->in) || s->first_piece >= 0)))
		return;
	if (s->got_end && !s->eof_told && s->pub.stage.fail == FAIL_NONE) {
		s->eof_told = true;
		stage_emit(&s->pub.stage, STAGE_EOF, NULL, 0);
	}
	if (s->done || !s->closed || s->closed_told || (s->pub.stage.fail == FAIL_NONE && s->eof_told && s->end_sent))
		return;
	s->closed_told = true;
	drop_input(s);
	stage_emit(&s->pub.stage, STAGE_CLOSED, NULL, 0);
}

static void on_wake(struct deferred *d)
{
	struct stream *s = container_of(d, struct stream, wake);

	deliver(s);
	if (!s->h2 || s->h2->dead)
		return;
	h2_credit(s->h2, 0);
	h2_flush_later(s->h2);
}

/* What a stream was lent must be kept before the lender's buffer goes. */
static int keep_pieces(struct h2 *h, struct stream *s)
{
	int r = 0;

	for (int i = s->first_piece; i >= 0 && r == 0; i = h->pieces[i].next) {
		r = buf_append(&s->in, h->pieces[i].p, h->pieces[i].n);
		if (r == 0)
			count_buffered(h, (ptrdiff_t)h->pieces[i].n);
	}
	s->first_piece = -1;
	return r;
}

void stream_deliver_touched(struct h2 *h)
{
	while (!list_empty(&h->touched)) {
		struct stream *s = container_of(h->touched.next, struct stream, touched);

		list_del(&s->touched);
		deliver(s);
		/* Its reader stopped half-way: what it was lent lies on the stack. */
		if (s->first_piece >= 0 && s->h2 && keep_pieces(h, s) < 0)
			nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_ENHANCE_YOUR_CALM);
	}
}

/* ---- the stream as a stage ---- */

static void stream_write(struct stage *stage, const struct iovec *iov, int n)
{
	struct stream *s = stream_of(stage);
	size_t sent = 0, total = iov_len(iov, n);
	struct h2 *h = s->h2;

	if (!h || s->closed || s->shut || s->done || !total)
		return;
	if (s->limited) {
		if (total > s->out_left) {
			stream_fail(s, "more was written than the head promised");
			return;
		}
		s->out_left -= total;
	}
	if (s->provided && total + buf_len(&s->out) > H2_SMALL && buf_len(&s->out) <= 2 * H2_SMALL && !h->busy) {
		h->lender = s;
		h->lent = iov;
		h->n_lent = n;
		h->lent_len = total;
		h->lent_off = 0;
		nghttp2_session_resume_data(h->ng, s->id);
		h2_send(h);
		sent = h->lent_off;
		h->lender = NULL;
	}
	if (sent < total) {
		if (buf_append_iov(&s->out, iov, n, sent) < 0)
			nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_INTERNAL_ERROR);
		if (s->provided)
			nghttp2_session_resume_data(h->ng, s->id);
		h2_flush_later(h);
		stage_set_queued(stage, buf_len(&s->out));
	}
}

static void stream_want(struct stage *stage, bool read)
{
	struct stream *s = stream_of(stage);

	if (s->want_read == read)
		return;
	s->want_read = read;
	if (!read)
		return;
	if (s->owed) {
		stream_credit(s);
		if (s->h2)
			h2_flush_later(s->h2);
	}
	if (buf_len(&s->in) || s->got_end || s->closed)
		loop_defer(stage->loop, &s->wake);
}

static void stream_shut(struct stage *stage)
{
	struct stream *s = stream_of(stage);

	if (s->shut)
		return;
	s->shut = true;
	if (!s->h2 || s->closed)
		return;
	if (s->limited && s->out_left)     /* less than was promised must not look like a whole one */
		nghttp2_submit_rst_stream(s->h2->ng, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_INTERNAL_ERROR);
	else if (s->provided)
		nghttp2_session_resume_data(s->h2->ng, s->id);
	h2_flush_later(s->h2);
}

static uint32_t reset_code(const struct stream *s, enum fail why)
{
	if (why == FAIL_OVERLOAD && s->h2->server)
		return NGHTTP2_REFUSED_STREAM;
	if (why == FAIL_DRAIN || !s->h2->server)
		return s->tunnel && why != FAIL_DRAIN ? NGHTTP2_CONNECT_ERROR : NGHTTP2_CANCEL;
	return s->tunnel ? NGHTTP2_CONNECT_ERROR : NGHTTP2_INTERNAL_ERROR;
}

static void stream_done(struct stage *stage, enum fail why)
{
	struct stream *s = stream_of(stage);
	struct h2 *h = s->h2;

	if (s->done)
		return;
	s->done = true;
	s->done_ms = loop_now_ms(stage->loop);
	if (!h || s->closed) {
		s->closed = true;
		stream_bury(s);
		return;
	}
	drop_input(s);
	stream_credit(s);
	if (why != FAIL_NONE) {
		nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, s->id, reset_code(s, why));
	} else {
		stream_shut(stage);
		if (s->end_sent && !s->got_end)
			nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_NO_ERROR);
	}
	h2_flush_later(h);
}

static const struct stage_ops stream_ops = {
	.name = "h2", .write = stream_write, .want = stream_want, .shut = stream_shut, .done = stream_done,
};

const struct http_stream_ops h2_stream_ops = { .reply = h2_reply, .received = h2_received, .trailers = h2_trailers };

/* nghttp2 closes it once the reset left. */
void stream_fail(struct stream *s, const char *why)
{
	s->pub.error = why;
	nghttp2_submit_rst_stream(s->h2->ng, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_PROTOCOL_ERROR);
	h2_flush_later(s->h2);
}

uint32_t h2_stream_error(const struct http_stream *s)
{
	return container_of(s, struct stream, pub)->error;
}

/* Streams that were let go of but whose peer takes nothing: not for ever. */
void stream_reap(struct h2 *h)
{
	uint64_t now = loop_now_ms(h->loop);

	list_each_safe(at, next, &h->streams) {
		struct stream *s = container_of(at, struct stream, link);

		if (s->done && !s->closed && now - s->done_ms > LIMIT_LINGER_MS)
			nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_CANCEL);
	}
}

struct stream *stream_new(struct h2 *h)
{
	struct stream *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->pub.stage = (struct stage){ .ops = &stream_ops, .loop = h->loop };
	s->pub.ops = &h2_stream_ops;
	s->h2 = h;
	s->wake.run = on_wake;
	s->first_piece = -1;
	s->window = (int32_t)h2_first_window();
	list_init(&s->touched);
	list_add_tail(&h->streams, &s->link);
	h->n_streams++;
	return s;
}

void stream_drop(struct stream *s)
{
	s->closed = s->done = true;
	s->h2->n_streams--;
	stream_bury(s);
}

void stream_orphan(struct stream *s)
{
	count_buffered(s->h2, -(ptrdiff_t)buf_len(&s->in));
	list_del(&s->touched);
	list_del(&s->link);
	s->h2 = NULL;
}

int stream_take(struct stream *s, const uint8_t *p, size_t n)
{
	struct h2 *h = s->h2;

	stream_touch(h, s);
	if (!s->want_read || h->n_pieces == PIECES) {
		if (keep_pieces(h, s) < 0 || buf_append(&s->in, p, n) < 0)
			return -ENOMEM;
		count_buffered(h, (ptrdiff_t)n);
		s->held |= !s->want_read;
		return 0;
	}
	h->pieces[h->n_pieces] = (struct piece){ p, n, -1 };
	if (s->first_piece < 0)
		s->first_piece = h->n_pieces;
	else
		h->pieces[s->last_piece].next = h->n_pieces;
	s->last_piece = h->n_pieces++;
	return 0;
}
