/* SPDX-License-Identifier: Apache-2.0 */
/* What a gRPC server may send: messages in pieces (the first byte sets their size; whole input and pieces must give the same),
 * the texts of the status, and frames towards a client that wants trailers. */
#include <stdlib.h>

#include "http/grpc_frame.h"
#include "http/h2.h"

#define LIMIT 4096

struct taker {
	struct grpc_frame f;
	struct buf got;
	int n, stop_at;
};

static bool take(struct grpc_frame *f, struct str msg)
{
	struct taker *t = container_of(f, struct taker, f);

	if (msg.n > LIMIT)
		abort();
	buf_append(&t->got, msg.p, msg.n);
	return ++t->n != t->stop_at;
}

static enum grpc_code feed(struct taker *t, const uint8_t *p, size_t n, size_t step)
{
	enum grpc_code code = GRPC_OK;
	struct err err;

	t->f = (struct grpc_frame){ .limit = LIMIT, .on_message = take };
	for (size_t i = 0; i < n && code == GRPC_OK && (!t->stop_at || t->n < t->stop_at); i += step)
		code = grpc_frame_feed(&t->f, p + i, n - i < step ? n - i : step, &err);
	return code;
}

static void frames(const uint8_t *p, size_t n, size_t step, int stop_at)
{
	struct taker whole = { .stop_at = stop_at }, pieces = whole;

	/* A bad prefix is seen sooner in pieces, never differently. */
	if (feed(&whole, p, n, n) != feed(&pieces, p, n, step) || whole.n != pieces.n || !str_eq(buf_str(&whole.got), buf_str(&pieces.got)))
		abort();
	grpc_frame_done(&whole.f);
	grpc_frame_done(&pieces.f);
	buf_done(&whole.got);
	buf_done(&pieces.got);
}

static void texts(struct str s)
{
	struct buf out = { 0 };

	if (grpc_status_parse(s) > GRPC_UNAUTHENTICATED)
		abort();
	grpc_message_parse(s, &out);
	if (buf_len(&out) > s.n)
		abort();
	for (size_t i = 0; i < buf_len(&out); i++)
		if (buf_data(&out)[i] < ' ')
			abort();
	buf_done(&out);
}

/* ---- a client's connection ---- */

static struct loop *loop;
static bool closed;
static struct http_stream *stream;

static void sink_write(struct stage *s, const struct iovec *iov, int n) {}
static void sink_want(struct stage *s, bool read) {}
static void sink_shut(struct stage *s) {}
static void sink_done(struct stage *s, enum fail why) {}
static const struct stage_ops sink = { "sink", sink_write, sink_want, sink_shut, sink_done };

static void on_stream(struct stage *s, enum stage_event ev, const struct iovec *iov, int n)
{
	if (ev != STAGE_EOF && ev != STAGE_CLOSED)
		return;
	texts(http_trailer(stream, "grpc-message"));
	stage_done(s, s->fail);
	stream = NULL;
}

static void on_closed(struct h2 *h, enum fail why, void *arg)
{
	closed = true;
}

static const struct h2_ops ops = { .on_closed = on_closed };

static void connection(const uint8_t *p, size_t n, size_t step)
{
	static const char settings[] = "\0\0\0\4\0\0\0\0\0";
	struct iovec iov = { (void *)settings, sizeof(settings) - 1 };
	struct stage below = { .ops = &sink, .loop = loop };
	struct h2 *h = h2_new(&below, false, &h2_conf_tunnels, &ops, NULL);

	closed = false;
	stream = h2_request(h, &(struct http_head){ .method = str_c("POST"), .authority = str_c("a"), .path = str_c("/") });
	stream->stage.on_event = on_stream;
	stream->keep_trailers = true;
	stage_want(&stream->stage, true);
	stage_emit(&below, STAGE_DATA, &iov, 1);
	for (size_t i = 0; i < n && !closed; i += step) {
		iov = (struct iovec){ (void *)(p + i), n - i < step ? n - i : step };
		stage_emit(&below, STAGE_DATA, &iov, 1);
		ev_run(loop->ev, EVRUN_NOWAIT);
	}
	if (stream)
		stage_done(&stream->stage, FAIL_DRAIN);
	if (!closed)
		h2_close(h, FAIL_DRAIN);
	ev_run(loop->ev, EVRUN_NOWAIT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	size_t step;

	if (n < 3)
		return 0;
	loop = loop ? loop : loop_new(0);
	step = data[0] ? data[0] : n;
	frames(data + 2, n - 2, step, data[1] % 4);
	texts((struct str){ (const char *)data + 1, n - 1 });
	connection(data + 1, n - 1, step);
	return 0;
}
