/* SPDX-License-Identifier: Apache-2.0 */
/* The connection: nghttp2's session over a stage, from its start to its end. */
#include <errno.h>
#include <stdlib.h>

#include "http/h2_int.h"

#define WINDOW_STUCK_MS 1000      /* a peer's connection window at zero this long: no new streams there */

#define EMPTY_FRAMES      100       /* in a row: there is no use for them */

/* Mesh clients reset streams as their users reset connections; nghttp2's own limit is made for browsers. */
const struct http_conn_conf h2_conf_tunnels = {
	.head_bytes = LIMIT_HEADER_BYTES, .head_fields = LIMIT_HEADER_COUNT, .max_streams = LIMIT_STREAMS, .resets = 10000,
	.reset_burst = 100000,
};

/* ---- the end of the connection ---- */

static void h2_free(struct deferred *d)
{
	struct h2 *h = container_of(d, struct h2, grave);

	nghttp2_session_del(h->ng);
	buf_done(&h->head);
	free(h);
}

static void h2_die(struct h2 *h, enum fail why, bool tell)
{
	bool polite = why == FAIL_NONE || why == FAIL_DRAIN || why == FAIL_HTTP2;

	if (h->dead)
		return;
	h->dead = true;
	timer_stop(&h->ping);
	timer_stop(&h->notice);
	list_each_safe(at, next, &h->streams)
		stream_close(container_of(at, struct stream, link), why == FAIL_NONE ? FAIL_DRAIN : why);
	stream_deliver_touched(h);
	/* What is left belongs to owners who read slowly or have not let go yet. */
	list_each_safe(at, next, &h->streams)
		stream_orphan(container_of(at, struct stream, link));
	stage_done(h->below, polite ? FAIL_NONE : why);
	if (tell)
		h->ops->on_closed(h, why, h->arg);
	h->grave.run = h2_free;
	loop_bury(h->loop, &h->grave);
}

/* ---- sending ---- */

static void write_gathered(struct h2 *h)
{
	struct iovec iov = { h->gather, h->n_gather };

	if (iov.iov_len)
		stage_write(h->below, &iov, 1);
	h->n_gather = 0;
}

void h2_send(struct h2 *h)
{
	uint8_t mem[H2_GATHER];
	const uint8_t *p;
	ssize_t n;

	if (h->busy || h->dead)
		return;
	h->busy = true;
	h->gather = mem;
	h->n_gather = 0;
	while (h->below->queued <= LIMIT_QUEUE_LOW && (n = nghttp2_session_mem_send(h->ng, &p)) > 0) {
		if ((size_t)n > H2_GATHER - h->n_gather)
			write_gathered(h);
		if (n > H2_GATHER) {
			stage_write(h->below, &(struct iovec){ (void *)p, (size_t)n }, 1);
		} else {
			memcpy(h->gather + h->n_gather, p, (size_t)n);
			h->n_gather += (size_t)n;
		}
	}
	write_gathered(h);
	h->busy = false;
	if (nghttp2_session_get_remote_window_size(h->ng) > 0)
		h->stuck_ms = 0;
	else if (!h->stuck_ms)
		h->stuck_ms = loop_now_ms(h->loop);
}

static void on_flush(struct deferred *d)
{
	struct h2 *h = container_of(d, struct h2, flush);

	if (h->dead)
		return;
	h2_send(h);
	stream_deliver_touched(h);     /* streams that nghttp2 closed while sending */
	if (h->dead)
		return;
	if (h->draining && h->n_streams == 0) {
		nghttp2_session_terminate_session(h->ng, NGHTTP2_NO_ERROR);
		h2_send(h);
		h2_die(h, FAIL_NONE, true);
	} else if (!nghttp2_session_want_read(h->ng) && !nghttp2_session_want_write(h->ng)) {
		h2_die(h, h->goaway && h->n_streams == 0 ? FAIL_NONE : FAIL_HTTP2, true);
	}
}

void h2_flush_later(struct h2 *h)
{
	if (!h->dead)
		loop_flush(h->loop, &h->flush);
}

/* How much nghttp2 may put into one frame; it knows the windows. Large frames are the point of the callback. */
static ssize_t on_read_length(nghttp2_session *ng, uint8_t type, int32_t id, int32_t conn_window, int32_t stream_window,
			      uint32_t max_frame, void *arg)
{
	int32_t n = conn_window < stream_window ? conn_window : stream_window;

	n = n < (int32_t)max_frame ? n : (int32_t)max_frame;
	return n < LIMIT_FRAME_BYTES ? n : LIMIT_FRAME_BYTES;
}

ssize_t h2_source_read(nghttp2_session *ng, int32_t id, uint8_t *out, size_t max, uint32_t *flags, nghttp2_data_source *source,
		       void *arg)
{
	struct stream *s = source->ptr;
	struct h2 *h = arg;
	size_t have = buf_len(&s->out) + (h->lender == s ? h->lent_len - h->lent_off : 0), n = have < max ? have : max;

	if (n == have && s->shut) {
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		if (s->out_trailers && h2_submit_trailers(s) == 0)
			*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
	} else if (n == 0)
		return NGHTTP2_ERR_DEFERRED;
	*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	return (ssize_t)n;
}

/* The frame's bytes: first what was kept, then what the writer lends right now. */
static int frame_iov(const struct h2 *h, struct stream *s, size_t n, struct iovec *iov, int max)
{
	size_t from_out = n < buf_len(&s->out) ? n : buf_len(&s->out), skip = h->lent_off;
	int k = 0;

	if (from_out)
		iov[k++] = (struct iovec){ buf_data(&s->out), from_out };
	n -= from_out;
	for (int i = 0; n && i < h->n_lent && k < max; i++) {
		size_t off = skip < h->lent[i].iov_len ? skip : h->lent[i].iov_len;
		size_t len = h->lent[i].iov_len - off;

		skip -= off;
		len = len < n ? len : n;
		if (len)
			iov[k++] = (struct iovec){ (uint8_t *)h->lent[i].iov_base + off, len };
		n -= len;
	}
	return k;
}

static int on_send_data(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *head, size_t n,
			nghttp2_data_source *source, void *arg)
{
	struct stream *s = source->ptr;
	struct h2 *h = arg;
	struct iovec iov[PIECES + 4];
	size_t from_out;
	int k = 0, n_iov;

	/* mem_send goes on over such frames by itself: stop it when the layer below has enough. */
	if (h->below->queued > LIMIT_QUEUE_LOW)
		return NGHTTP2_ERR_WOULDBLOCK;
	if (h->n_gather + 9 + n > H2_GATHER && h->n_gather)
		iov[k++] = (struct iovec){ h->gather, h->n_gather };
	iov[k] = (struct iovec){ (void *)head, 9 };
	n_iov = k + 1 + frame_iov(h, s, n, iov + k + 1, PIECES + 2);
	if (h->n_gather + 9 + n > H2_GATHER) {
		stage_write(h->below, iov, n_iov);
		h->n_gather = 0;
	} else {
		for (int i = 0; i < n_iov; i++) {
			memcpy(h->gather + h->n_gather, iov[i].iov_base, iov[i].iov_len);
			h->n_gather += iov[i].iov_len;
		}
	}
	from_out = n < buf_len(&s->out) ? n : buf_len(&s->out);
	if (from_out)
		buf_consume(&s->out, from_out);
	if (n > from_out)
		h->lent_off += n - from_out;   /* only the lender has more than it keeps */
	if (s->done)
		s->done_ms = loop_now_ms(h->loop);   /* it moves: the linger starts anew */
	else
		stage_set_queued(&s->pub.stage, buf_len(&s->out));
	return 0;
}

/* ---- receiving ---- */

static void *user_data(nghttp2_session *ng, int32_t id)
{
	return nghttp2_session_get_stream_user_data(ng, id);
}

/* nghttp2 would drop such a field and go on. */
static int on_bad_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name, size_t nn, const uint8_t *value,
			 size_t vn, uint8_t flags, void *arg)
{
	((struct h2 *)arg)->error = "a header is not valid";
	return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static int on_bad_frame(nghttp2_session *ng, const nghttp2_frame *frame, int error, void *arg)
{
	struct stream *s = frame->hd.stream_id ? user_data(ng, frame->hd.stream_id) : NULL;
	struct h2 *h = arg;

	if (!h->error)
		h->error = nghttp2_strerror(error);
	if (s && !s->pub.error)
		s->pub.error = h->error;
	return 0;
}

/* RFC 9113 5.1: HEADERS and DATA of a stream that has gone, which nghttp2 does not remember. */
static int on_begin_frame(nghttp2_session *ng, const nghttp2_frame_hd *hd, void *arg)
{
	unsigned n, oldest;
	struct h2 *h = arg;

	if (!h->server || (hd->type != NGHTTP2_HEADERS && hd->type != NGHTTP2_DATA) || !(hd->stream_id & 1) || hd->stream_id > h->last_id ||
	    user_data(ng, hd->stream_id))
		return 0;
	n = h->n_ended < H2_ENDED ? h->n_ended : H2_ENDED;
	oldest = INT32_MAX;
	for (unsigned i = 0; i < n; i++) {
		if (h->ended[i].id == hd->stream_id) {
			if (h->ended[i].by_peer) {
				h->error = "a frame of a stream that has ended";
				nghttp2_session_terminate_session(ng, NGHTTP2_STREAM_CLOSED);
			}
			return 0;
		}
		oldest = oldest < (unsigned)h->ended[i].id ? oldest : (unsigned)h->ended[i].id;
	}
	if (hd->type == NGHTTP2_HEADERS && (n < H2_ENDED || (unsigned)hd->stream_id > oldest)) {
		h->error = "a stream's number is lower than the last one's";
		nghttp2_session_terminate_session(ng, NGHTTP2_PROTOCOL_ERROR);
	}
	return 0;
}

/* Frames that cost us more than the peer. */
static int on_empty_data(struct h2 *h)
{
	if (++h->empties <= EMPTY_FRAMES)
		return 0;
	h->error = "too many empty frames";
	nghttp2_session_terminate_session(h->ng, NGHTTP2_ENHANCE_YOUR_CALM);
	return 0;
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
	struct stream *s = frame->hd.stream_id ? user_data(ng, frame->hd.stream_id) : NULL;
	bool end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
	struct h2 *h = arg;

	if (h->dead)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	switch (frame->hd.type) {
	case NGHTTP2_HEADERS:
		if (s && !s->got_head)
			h2_take_head(h, s, end);
		else if (s)
			h2_take_trailers(h, s);
		if (h->dead)
			return NGHTTP2_ERR_CALLBACK_FAILURE;
		if (s && end) {
			s->got_end = true;
			stream_touch(h, s);
		}
		break;
	case NGHTTP2_DATA:
		if (!frame->hd.length && !end)
			return on_empty_data(h);
		h->empties = 0;
		if (s && end) {
			s->got_end = true;
			stream_touch(h, s);
		}
		break;
	case NGHTTP2_RST_STREAM:
		if (s)
			s->peer_reset = true;
		break;
	case NGHTTP2_SETTINGS:
		if (!(frame->hd.flags & NGHTTP2_FLAG_ACK) && !h->got_settings) {
			h->got_settings = true;
			if (h->ops->on_settings)
				h->ops->on_settings(h, h->arg);
		}
		break;
	case NGHTTP2_PING:
		if (frame->hd.flags & NGHTTP2_FLAG_ACK)
			h->ping_ms = 0;
		break;
	case NGHTTP2_GOAWAY:
		h->goaway = true;
		h->goaway_error = frame->goaway.error_code;
		if (h->ops->on_goaway)
			h->ops->on_goaway(h, h->arg);
		break;
	}
	return 0;
}

static int on_chunk(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *arg)
{
	struct stream *s = user_data(ng, id);
	struct h2 *h = arg;

	if (h->dead)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	h2_credit(h, n);
	if (!s || s->done) {
		nghttp2_session_consume_stream(ng, id, n);
		return 0;
	}
	return stream_take(s, p, n) < 0 ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

/* Our half ended. A peer that still sends to somebody who has gone may stop; sooner, nghttp2 would drop the reply. */
static int on_sent(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
	struct stream *s = frame->hd.stream_id ? user_data(ng, frame->hd.stream_id) : NULL;

	if (!s || (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA))
		return 0;
	s->head_sent = true;
	if (!(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		return 0;
	s->end_sent = true;
	if (s->done && !s->got_end)
		nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_NO_ERROR);
	return 0;
}

static enum fail close_reason(uint32_t error)
{
	switch (error) {
	case NGHTTP2_NO_ERROR:
		return FAIL_NONE;
	case NGHTTP2_REFUSED_STREAM:
		return FAIL_PEER_CLOSED;
	case NGHTTP2_PROTOCOL_ERROR:
	case NGHTTP2_FLOW_CONTROL_ERROR:
	case NGHTTP2_FRAME_SIZE_ERROR:
	case NGHTTP2_COMPRESSION_ERROR:
		return FAIL_HTTP2;
	default:
		return FAIL_SERVER_RESET;
	}
}

static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t error, void *arg)
{
	struct stream *s = user_data(ng, id);
	struct h2 *h = arg;

	if (!s || s->closed)
		return 0;
	h->ended[h->n_ended % H2_ENDED].id = id;
	h->ended[h->n_ended++ % H2_ENDED].by_peer = s->got_end || s->peer_reset;
	s->error = error;
	s->pub.refused = error == NGHTTP2_REFUSED_STREAM;
	stream_close(s, close_reason(error));
	h2_flush_later(h);
	if (!h->dead && h->ops->on_room)
		h->ops->on_room(h, h->arg);
	return 0;
}

static void h2_input(struct h2 *h, const struct iovec *iov)
{
	struct piece pieces[PIECES];
	ssize_t r;

	h->heard = true;
	h->pieces = pieces;
	h->n_pieces = 0;
	h->busy = true;
	r = nghttp2_session_mem_recv(h->ng, iov->iov_base, iov->iov_len);
	h->busy = false;
	if (h->dead)
		return;
	stream_deliver_touched(h);
	h->pieces = NULL;
	if (h->dead)
		return;
	if (r < 0) {
		if (!h->error)
			h->error = nghttp2_strerror((int)r);
		h2_send(h);     /* nghttp2 has queued its GOAWAY */
		h2_die(h, FAIL_HTTP2, true);
		return;
	}
	/* Replies to a peer who provokes them but does not read: our memory is not his. */
	if (nghttp2_session_get_outbound_queue_size(h->ng) > LIMIT_QUEUED_FRAMES) {
		h2_die(h, FAIL_HTTP2, true);
		return;
	}
	h2_credit(h, 0);
	h2_flush_later(h);
}

static void on_below(struct stage *below, enum stage_event ev, const struct iovec *iov, int n)
{
	struct h2 *h = below->arg;

	switch (ev) {
	case STAGE_DATA:
		for (int i = 0; i < n && !h->dead; i++)
			h2_input(h, &iov[i]);
		break;
	case STAGE_DRAINED:
		h2_flush_later(h);
		break;
	case STAGE_EOF:
		h2_die(h, h->n_streams ? FAIL_PEER_CLOSED : FAIL_NONE, true);
		break;
	case STAGE_CLOSED:
		h2_die(h, below->fail == FAIL_SERVER_RESET ? FAIL_PEER_CLOSED : below->fail, true);
		break;
	case STAGE_OPEN:
		break;
	}
}

/* Keepalive: a PING when nothing was heard for a while; silence after it ends the connection. */
static void on_ping(struct timer *t)
{
	struct h2 *h = container_of(t, struct h2, ping);
	uint64_t now = loop_now_ms(h->loop);

	if (h->heard) {
		h->ping_ms = 0;
	} else if (!h->ping_ms && !h->ping_off && (h->n_streams || !h->ping_only_busy)) {
		h->ping_ms = now;
		nghttp2_submit_ping(h->ng, NGHTTP2_FLAG_NONE, NULL);
	} else if (h->ping_ms && now - h->ping_ms >= h->ping_timeout_ms) {
		h2_die(h, FAIL_PING_TIMEOUT, true);
		return;
	}
	h->heard = false;
	if (h->n_streams)
		h->idle_ms = 0;
	else if (!h->idle_ms)
		h->idle_ms = now;
	else if (h->conf->idle_ms && now - h->idle_ms >= h->conf->idle_ms)
		h2_drain(h);
	stream_reap(h);
	h2_credit(h, 0);
	h2_flush_later(h);
	timer_start(&h->ping, h->ping_ms && h->ping_timeout_ms < h->ping_after_ms ? h->ping_timeout_ms : h->ping_after_ms);
}

void h2_keepalive(struct h2 *h, unsigned idle_ms, unsigned timeout_ms, bool only_busy)
{
	h->ping_off = idle_ms == 0;
	h->ping_after_ms = idle_ms ? idle_ms : LIMIT_PING_MS;      /* the timer has other work, too */
	h->ping_timeout_ms = timeout_ms;
	h->ping_only_busy = only_busy;
	timer_start(&h->ping, h->ping_after_ms);
}

/* ---- making and ending connections, requests ---- */

static nghttp2_session_callbacks *callbacks_new(void)
{
	nghttp2_session_callbacks *c;

	if (nghttp2_session_callbacks_new(&c) != 0)
		return NULL;
	nghttp2_session_callbacks_set_on_begin_headers_callback(c, h2_on_begin_headers);
	nghttp2_session_callbacks_set_on_begin_frame_callback(c, on_begin_frame);
	nghttp2_session_callbacks_set_on_header_callback(c, h2_on_header);
	nghttp2_session_callbacks_set_on_invalid_header_callback(c, on_bad_header);
	nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(c, on_bad_frame);
	nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_chunk);
	nghttp2_session_callbacks_set_on_frame_send_callback(c, on_sent);
	nghttp2_session_callbacks_set_on_stream_close_callback(c, on_stream_close);
	nghttp2_session_callbacks_set_send_data_callback(c, on_send_data);
	nghttp2_session_callbacks_set_data_source_read_length_callback(c, on_read_length);
	return c;
}

static int session_new(struct h2 *h)
{
	nghttp2_session_callbacks *c = callbacks_new();
	nghttp2_option *o = NULL;
	int r = -ENOMEM;

	if (!c || nghttp2_option_new(&o) != 0)
		goto out;
	nghttp2_option_set_no_auto_window_update(o, 1);
	nghttp2_option_set_no_closed_streams(o, 1);
	nghttp2_option_set_peer_max_concurrent_streams(o, LIMIT_POOL_STREAMS);
	nghttp2_option_set_stream_reset_rate_limit(o, h->conf->reset_burst, h->conf->resets);
	r = h->server ? nghttp2_session_server_new2(&h->ng, c, h, o) : nghttp2_session_client_new2(&h->ng, c, h, o);
out:
	nghttp2_option_del(o);
	nghttp2_session_callbacks_del(c);
	return r;
}

static int send_settings(struct h2 *h)
{
	nghttp2_settings_entry e[] = {
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, h2_first_window() },
		{ NGHTTP2_SETTINGS_MAX_FRAME_SIZE, h->conf->frame_bytes ? h->conf->frame_bytes : tuning.frame_bytes },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)h->conf->head_bytes },
		{ h->server ? NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS : NGHTTP2_SETTINGS_ENABLE_PUSH, h->server ? h->conf->max_streams : 0 },
		{ NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1 },
	};

	if (nghttp2_submit_settings(h->ng, NGHTTP2_FLAG_NONE, e, h->server ? ARRAY_LEN(e) : ARRAY_LEN(e) - 1) != 0)
		return -ENOMEM;
	return nghttp2_session_set_local_window_size(h->ng, NGHTTP2_FLAG_NONE, 0, (int32_t)tuning.conn_window) ? -ENOMEM : 0;
}

static void on_noticed(struct timer *t)
{
	struct h2 *h = container_of(t, struct h2, notice);

	h->draining = true;
	nghttp2_submit_goaway(h->ng, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(h->ng), NGHTTP2_NO_ERROR, NULL, 0);
	h2_flush_later(h);
}

struct h2 *h2_new(struct stage *below, bool server, const struct http_conn_conf *conf, const struct h2_ops *ops, void *arg)
{
	struct h2 *h = calloc(1, sizeof(*h));

	if (h) {
		h->server = server;
		h->conf = conf;
	}
	if (!h || session_new(h) != 0 || send_settings(h) != 0) {
		if (h)
			nghttp2_session_del(h->ng);
		free(h);
		stage_done(below, FAIL_MEMORY);
		return NULL;
	}
	h->below = below;
	h->loop = below->loop;
	h->ops = ops;
	h->arg = arg;
	h->flush.run = on_flush;
	list_init(&h->streams);
	list_init(&h->touched);
	timer_init(&h->ping, h->loop, on_ping);
	timer_init(&h->notice, h->loop, on_noticed);
	h2_keepalive(h, LIMIT_PING_MS, LIMIT_PING_TIMEOUT_MS, false);
	below->on_event = on_below;
	below->arg = h;
	stage_want(below, true);
	h2_flush_later(h);
	return h;
}

void h2_close(struct h2 *h, enum fail why)
{
	if (h->dead)
		return;
	if (why == FAIL_NONE || why == FAIL_DRAIN) {
		nghttp2_session_terminate_session(h->ng, NGHTTP2_NO_ERROR);
		h2_send(h);
	}
	h2_die(h, why, false);
}

/* RFC 9113 6.8: what a client sent before it heard of the end is still taken. */
void h2_drain(struct h2 *h)
{
	if (h->draining || h->dead || timer_armed(&h->notice))
		return;
	if (h->server) {
		nghttp2_submit_shutdown_notice(h->ng);
		timer_start(&h->notice, LIMIT_GOAWAY_MS);
	} else {
		h->draining = true;
		nghttp2_submit_goaway(h->ng, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, NULL, 0);
	}
	h2_flush_later(h);
}

int h2_streams(const struct h2 *h)
{
	return h->n_streams;
}

int h2_room(const struct h2 *h)
{
	uint32_t max = h->got_settings ? nghttp2_session_get_remote_settings(h->ng, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS) : LIMIT_POOL_STREAMS;

	if (h->dead || h->draining || h->goaway || !nghttp2_session_check_request_allowed(h->ng))
		return 0;
	if (h->stuck_ms && loop_now_ms(h->loop) - h->stuck_ms > WINDOW_STUCK_MS)
		return 0;
	max = max < LIMIT_STREAMS ? max : LIMIT_STREAMS;
	max = tuning.pool_streams && tuning.pool_streams < max ? tuning.pool_streams : max;
	return h->n_streams < (int)max ? (int)max - h->n_streams : 0;
}

bool h2_knows(const struct h2 *h)
{
	return h->got_settings;
}

int64_t h2_goaway(const struct h2 *h)
{
	return h->goaway ? (int64_t)h->goaway_error : -1;
}

bool h2_draining(const struct h2 *h)
{
	return h->dead || h->draining || h->goaway || timer_armed(&h->notice);
}

const char *h2_error(const struct h2 *h)
{
	return h->error ? h->error : "";
}
