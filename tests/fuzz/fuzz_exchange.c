/* SPDX-License-Identifier: Apache-2.0 */
/* A client and a server around exchanges with a filter that waits. The first byte says which versions they speak; then come steps:
 * who speaks and what happens, a length, bytes. Steps that are frames of HTTP/2 get their head made. */
#include <stdlib.h>

#include "http/exchange.h"
#include "tests/unit/memstage.h"

static struct loop *l;
static struct memstage down, up;
static struct http_conn *server, *client;
static struct exchange *waiting;
static int started, ended;
static enum http_codec codec;
static bool waits;

static const struct http_conn_ops client_ops;

static void on_client_closed(struct http_conn *c, enum fail why, const char *detail, void *arg)
{
	client = NULL;
}

static void on_server_closed(struct http_conn *c, enum fail why, const char *detail, void *arg)
{
	server = NULL;
}

static void start(struct exchange *x)
{
	if (!client || !exchange_send(x, client))
		exchange_reply(x, FAIL_CONNECT, 0, NULL, (struct str){ 0 }, NULL, 0);
}

static bool on_failed(struct exchange *x, enum fail why, bool refused)
{
	return !refused || !client || !exchange_may_replay(x) || !exchange_send(x, client);
}

static const struct router_ops router = { .start = start, .on_failed = on_failed };

static enum filter_step on_request(struct exchange *x, void *state, const void *conf)
{
	bool *asked = state;

	if (waits && !*asked && x->request.method.n == 4) {
		*asked = true;
		return exchange_want_body(x, 100);
	}
	if (waits && x->request.path.n > 3) {
		waiting = x;
		return FILTER_WAIT;
	}
	if (str_is(x->request.path, "/no")) {
		exchange_reply(x, FAIL_DENIED, 0, NULL, (struct str){ 0 }, NULL, 0);
		return FILTER_DONE;
	}
	fields_set(&x->request_fields, "x-a", str_c("b"));
	return FILTER_NEXT;
}

static enum filter_step on_response(struct exchange *x, void *state, const void *conf)
{
	if (waits && x->response.status == 202) {
		waiting = x;
		return FILTER_WAIT;
	}
	return FILTER_NEXT;
}

static void on_filter_end(struct exchange *x, void *state, const void *conf)
{
	if (waiting == x)
		waiting = NULL;
}

static void on_end(struct exchange *x, void *arg)
{
	ended++;
}

static const struct filter_ops filter = { "f", sizeof(bool), on_request, on_response, NULL, NULL, on_filter_end };
static const struct filter filters[] = { { &filter, NULL } };
static const struct exchange_conf conf = { .filters = filters, .n_filters = 1, .router = &router, .path = HTTP_PATH_BASE, .replay_bytes = 50, .on_end = on_end };
static const struct exchange_client nobody;

static void on_stream(struct http_conn *c, struct http_stream *s, void *arg)
{
	started += exchange_start(s, http_conn_version(c), &conf, &nobody, NULL);
}

static const struct http_conn_ops server_ops = { .on_request = on_stream, .on_closed = on_server_closed };
static const struct http_conn_ops client_ops = { .on_closed = on_client_closed };

static void turns(void)
{
	for (int i = 0; i < 3; i++)
		memstage_turn(&down);
}

static void feed(struct memstage *m, const uint8_t *p, size_t n)
{
	if (!m->done && m->stage.on_event)
		memstage_feed(m, p, n, 4096);
	turns();
}

static void feed_frame(struct memstage *m, const uint8_t *p, size_t n)
{
	uint8_t frame[9 + 256] = { 0, 0, (uint8_t)(n - 3), p[0] % 10, p[1], 0, 0, 0, p[2] % 16 };

	memcpy(frame + 9, p + 3, n - 3);
	feed(m, frame, 9 + n - 3);
}

static void step(struct memstage *m, int what, const uint8_t *p, size_t n)
{
	switch (what) {
	case 0:
		if (!m->done && m->stage.on_event)
			memstage_event(m, STAGE_EOF, FAIL_NONE);
		break;
	case 1:
		if (!m->done && m->stage.on_event)
			memstage_event(m, STAGE_CLOSED, FAIL_SERVER_RESET);
		m->stage.on_event = NULL;
		break;
	case 2:
		m->full = true;
		break;
	case 3:
		if (!m->done && m->stage.on_event)
			memstage_drain(m);
		break;
	case 4:
		if (waiting) {
			struct exchange *x = waiting;

			waiting = NULL;
			exchange_resume(x);
		}
		break;
	case 5:
		if (n >= 3)
			feed_frame(m, p, n);
		break;
	default:
		feed(m, p, n);
	}
	turns();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
	size_t at = 1;

	if (n < 2)
		return 0;
	l = loop_new(-1);
	started = ended = 0;
	waiting = NULL;
	codec = data[0] & 1 ? HTTP_CODEC_H2 : HTTP_CODEC_H1;
	waits = data[0] & 4;
	memstage_init(&down, l);
	memstage_init(&up, l);
	server = http_conn_server(&down.stage, HTTP_CODEC_AUTO, &http_conn_default, &server_ops, NULL);
	client = http_conn_client(&up.stage, codec, &http_conn_default, &client_ops, NULL);
	turns();
	if (data[0] & 2)
		feed(&down, (const uint8_t *)preface, sizeof(preface) - 1);
	if (codec == HTTP_CODEC_H2)
		feed(&up, (const uint8_t *)preface + 24, 9);
	while (at + 2 <= n) {
		size_t len = data[at + 1] < n - at - 2 ? data[at + 1] : n - at - 2;

		step(data[at] & 8 ? &up : &down, data[at] & 7, data + at + 2, len);
		at += 2 + len;
	}
	if (server)
		http_conn_close(server, FAIL_DRAIN);
	if (client)
		http_conn_close(client, FAIL_DRAIN);
	turns();
	if (started != ended)
		abort();
	buf_done(&down.out);
	buf_done(&up.out);
	loop_free(l);
	return 0;
}
