/* SPDX-License-Identifier: Apache-2.0 */
/* One request of HTTP/1 through a chain of filters to a server that answers 200: what it got, and what the client got. */
#ifndef TESTS_FILTERS_H
#define TESTS_FILTERS_H

#include <check.h>

#include "http/exchange.h"
#include "tests/unit/memstage.h"

static struct filters_run {
	struct loop *loop;
	struct memstage down, up;
	struct http_conn *server, *client;
	struct exchange *live;
	struct exchange_client who;
	char details[256], sent[8192], got[8192];
	int status;
	enum fail why;
} fr;

static inline void filters_start(struct exchange *x)
{
	ck_assert(exchange_send(x, fr.client));
}

static inline bool filters_response(struct exchange *x)
{
	return true;
}

static inline bool filters_failed(struct exchange *x, enum fail why, bool refused)
{
	return true;
}

static const struct router_ops filters_router = { .start = filters_start, .on_response = filters_response, .on_failed = filters_failed };

static inline void filters_end(struct exchange *x, void *arg)
{
	fr.live = NULL;
	fr.why = x->log.why;
	fr.status = x->response.status;
	snprintf(fr.details, sizeof(fr.details), "%s", x->log.details ? x->log.details : "");
}

static struct exchange_conf filters_conf = { .router = &filters_router, .path = HTTP_PATH_BASE, .on_end = filters_end };

static inline void filters_request(struct http_conn *c, struct http_stream *s, void *arg)
{
	ck_assert(exchange_start(s, http_conn_version(c), &filters_conf, &fr.who, NULL));
	fr.live = (struct exchange *)s->stage.arg;
}

static inline void filters_closed(struct http_conn *c, enum fail why, const char *detail, void *arg)
{
	*(struct http_conn **)arg = NULL;
}

static const struct http_conn_ops filters_server_ops = { .on_request = filters_request, .on_closed = filters_closed };
static const struct http_conn_ops filters_client_ops = { .on_closed = filters_closed };

static inline void filters_turn(void)
{
	memstage_turn(&fr.down);
	memstage_turn(&fr.down);
}

static inline void filters_open(const struct filter *filters, int n)
{
	filters_conf.filters = filters;
	filters_conf.n_filters = n;
	if (!fr.loop)
		fr.loop = loop_new(-1);
	memstage_init(&fr.down, fr.loop);
	memstage_init(&fr.up, fr.loop);
	fr.server = http_conn_server(&fr.down.stage, HTTP_CODEC_H1, &http_conn_default, &filters_server_ops, &fr.server);
	fr.client = http_conn_client(&fr.up.stage, HTTP_CODEC_H1, &http_conn_default, &filters_client_ops, &fr.client);
	fr.sent[0] = fr.got[0] = '\0';
}

static inline void filters_say(struct memstage *m, const char *text)
{
	memstage_feed(m, text, strlen(text), SIZE_MAX / 2);
	filters_turn();
}

static inline void filters_take(struct memstage *m, char *out, size_t n)
{
	snprintf(out, n, "%.*s", (int)buf_len(&m->out), buf_len(&m->out) ? (const char *)buf_data(&m->out) : "");
}

/* After the request was said: the server answers if it was asked; fr.sent and fr.got are what went up and came down. */
static inline void filters_finish(void)
{
	filters_take(&fr.up, fr.sent, sizeof(fr.sent));
	if (*fr.sent)
		filters_say(&fr.up, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
	filters_take(&fr.down, fr.got, sizeof(fr.got));
	if (fr.live)
		exchange_abort(fr.live, FAIL_DRAIN);
	if (fr.server)
		http_conn_close(fr.server, FAIL_NONE);
	if (fr.client)
		http_conn_close(fr.client, FAIL_NONE);
	filters_turn();
	buf_done(&fr.down.out);
	buf_done(&fr.up.out);
}

static inline void filters_ask(const struct filter *filters, int n, const char *request)
{
	filters_open(filters, n);
	filters_say(&fr.down, request);
	filters_finish();
}

#endif
