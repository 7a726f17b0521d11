/* SPDX-License-Identifier: Apache-2.0 */
/* The HBONE server behind TLS: frames as a client may send them. The input is fed in pieces; the first byte sets their size. */
#include <stdlib.h>

#include "hbone/hserve.h"

static struct loop *loop;
static bool closed;

/* A stage that swallows what is written. */
static void sink_write(struct stage *s, const struct iovec *iov, int n) {}
static void sink_want(struct stage *s, bool read) {}
static void sink_shut(struct stage *s) {}
static void sink_done(struct stage *s, enum fail why) {}
static const struct stage_ops sink = { "sink", sink_write, sink_want, sink_shut, sink_done };

static void on_stream(struct stage *s, enum stage_event ev, const struct iovec *iov, int n)
{
	if (ev == STAGE_DATA)
		stage_write(s, iov, n);
	else if (ev == STAGE_EOF)
		stage_shut(s);
	else if (ev == STAGE_CLOSED)
		stage_done(s, s->fail);
}

static void on_connect(struct hserve *h, struct http_stream *tunnel, const struct hserve_request *req, void *arg)
{
	tunnel->stage.on_event = on_stream;
	if (req->addr.port % 2) {
		hserve_refuse(tunnel, 503);
		return;
	}
	hserve_accept(tunnel, (struct str){ 0 });
	stage_want(&tunnel->stage, req->addr.port % 4 == 0);
}

static void on_closed(struct hserve *h, enum fail why, void *arg)
{
	closed = true;
}

static void on_bad(struct hserve *h, enum fail why, struct str detail, void *arg) {}

static const struct hserve_ops ops = { .on_connect = on_connect, .on_closed = on_closed, .on_bad_request = on_bad };

static void end_turn(void)
{
	ev_run(loop->ev, EVRUN_NOWAIT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
	struct stage below = { .ops = &sink };
	struct iovec iov = { (void *)preface, sizeof(preface) - 1 };
	struct hserve *h;
	size_t step;

	if (n < 1)
		return 0;
	loop = loop ? loop : loop_new(0);
	below.loop = loop;
	closed = false;
	h = hserve_new(&below, &ops, NULL);
	stage_emit(&below, STAGE_OPEN, NULL, 0);
	stage_emit(&below, STAGE_DATA, &iov, 1);
	step = data[0] ? data[0] : n;
	for (size_t i = 1; i < n && !closed; i += step) {
		iov = (struct iovec){ (void *)(data + i), n - i < step ? n - i : step };
		stage_emit(&below, STAGE_DATA, &iov, 1);
		end_turn();
	}
	if (!closed)
		hserve_close(h, FAIL_DRAIN);
	end_turn();
	return 0;
}
