/* SPDX-License-Identifier: Apache-2.0 */
#include "http/h1.h"

#include <stdio.h>
#include <time.h>

#include "http/conn.h"
#include "tests/unit/memstage.h"
#include "tests/unit/suite.h"

static struct loop *l;
static struct memstage below;
static struct h1 *h;
static struct http_stream *stream;      /* the live one */
static struct buf seen;                  /* METHOD AUTHORITY TARGET [BODY]; … or STATUS [BODY]; … */
static int closes, requests, idles, infos, stream_fails;
static bool echo, read_bodies;
static char trailer[32], stream_error[128];
static const struct http_conn_conf quick = { .head_bytes = 4096, .head_fields = LIMIT_HEADER_COUNT, .http10 = true, .head_ms = 40, .idle_ms = 80, .stall_ms = 60 };
static const struct http_field no_fields[1];

static void on_stream(struct stage *s, enum stage_event ev, const struct iovec *iov, int n)
{
	struct http_stream *hs = container_of(s, struct http_stream, stage);

	switch (ev) {
	case STAGE_OPEN:
		if (hs->head->status)
			buf_printf(&seen, "%d [", hs->head->status);
		else
			buf_printf(&seen, "%.*s %.*s %.*s [", STR_FMT(hs->head->method), STR_FMT(hs->head->authority), STR_FMT(hs->head->path));
		if (read_bodies)
			stage_want(s, true);
		break;
	case STAGE_DATA:
		buf_append_iov(&seen, iov, n, 0);
		break;
	case STAGE_EOF:
		buf_puts(&seen, "];");
		snprintf(trailer, sizeof(trailer), "%.*s", STR_FMT(http_trailer(hs, "x-t")));
		if (echo) {
			http_reply(hs, &(struct http_head){ .status = 204, .fields = no_fields, .end = true });
			stream = NULL;
			stage_done(s, FAIL_NONE);
		}
		break;
	case STAGE_CLOSED:
		stream_fails++;
		snprintf(stream_error, sizeof(stream_error), "%s", hs->error ? hs->error : "");
		stream = NULL;
		stage_done(s, FAIL_NONE);
		break;
	case STAGE_DRAINED:
		break;
	}
}

static void on_request(struct h1 *c, struct http_stream *s, void *arg)
{
	requests++;
	stream = s;
	s->stage.on_event = on_stream;
}

static void on_info(struct http_stream *s)
{
	infos += s->head->status;
}

static void on_idle(struct h1 *c, void *arg)
{
	idles++;
}

static void on_closed(struct h1 *c, enum fail why, void *arg)
{
	closes++;
	h = NULL;
}

static const struct h1_ops ops = { .on_request = on_request, .on_idle = on_idle, .on_closed = on_closed };

static void begin(bool server, const struct http_conn_conf *conf)
{
	closes = requests = idles = infos = stream_fails = 0;
	stream = NULL;
	trailer[0] = stream_error[0] = '\0';
	buf_done(&seen);
	memstage_init(&below, l);
	h = h1_new(&below.stage, server, conf, &ops, NULL);
	ck_assert_ptr_nonnull(h);
}

static void finish(void)
{
	if (stream)
		stage_done(&stream->stage, FAIL_DRAIN);
	stream = NULL;
	if (h)
		h1_close(h, FAIL_NONE);
	h = NULL;
	memstage_turn(&below);
	ck_assert(below.done);
	buf_done(&below.out);
	buf_done(&seen);
}

static void setup(void)
{
	l = loop_new(-1);
	echo = read_bodies = true;
}

static void teardown(void)
{
	loop_free(l);
}

static bool feed(const char *text)
{
	return memstage_feed(&below, text, strlen(text), SIZE_MAX / 2);
}

static bool wrote(const char *text)
{
	return buf_len(&below.out) && memmem(below.out.mem, buf_len(&below.out), text, strlen(text)) != NULL;
}

static bool logged(const char *text)
{
	return str_is(buf_str(&seen), text);
}

static void wait_ms(int ms)
{
	for (int i = 0; i < ms; i++) {
		ev_sleep(0.001);
		memstage_turn(&below);
	}
}

/* ---- the table ---- */

static size_t unescape(char *s)
{
	char *to = s, *start = s;

	for (; *s && *s != '\n'; s++) {
		if (*s != '\\') {
			*to++ = *s;
			continue;
		}
		s++;
		if (*s == 'x') {
			char hex[3] = { s[1], s[2], 0 };

			*to++ = (char)strtoul(hex, NULL, 16);
			s += 2;
		} else {
			*to++ = *s == 'r' ? '\r' : *s == 'n' ? '\n' : *s == 't' ? '\t' : *s == '0' ? '\0' : *s;
		}
	}
	return (size_t)(to - start);
}

static void run_row(int line, const char *want, const char *bytes, size_t n, size_t step)
{
	char reply[16];

	begin(true, &http_conn_default);
	memstage_feed(&below, bytes, n, step);
	memstage_event(&below, STAGE_EOF, FAIL_NONE);
	if (want[0] == '=') {
		ck_assert_msg(str_is((struct str){ (char *)seen.mem + seen.head, buf_len(&seen) ? buf_len(&seen) - 1 : 0 }, want + 1),
			      "line %d by %zu: %.*s; said %.*s", line, step, STR_FMT(buf_str(&seen)), STR_FMT(buf_str(&below.out)));
		ck_assert(!wrote("HTTP/1.1 4") && !wrote("HTTP/1.1 5"));
	} else {
		snprintf(reply, sizeof(reply), "HTTP/1.1 %.3s ", want);
		ck_assert_msg(strcmp(want, "4-5") == 0 ? wrote("HTTP/1.1 4") || wrote("HTTP/1.1 5") : wrote(reply), "line %d by %zu: %.*s; %.*s", line, step,
			      STR_FMT(buf_str(&seen)), STR_FMT(buf_str(&below.out)));
		ck_assert_msg(wrote("connection: close\r\n") && below.done && !wrote("HTTP/1.1 2"), "line %d", line);
		ck_assert_msg(!buf_len(&seen) || !memmem(seen.mem, buf_len(&seen), "];", 2), "line %d: a whole request was seen", line);
	}
	finish();
}

START_TEST(smuggling)
{
	char path[512], line[1024];
	int n = 0, rows = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%.*s/smuggling.txt", (int)(strrchr(__FILE__, '/') - __FILE__), __FILE__);
	f = fopen(path, "r");
	ck_assert_msg(f != NULL, "%s", path);
	while (fgets(line, sizeof(line), f)) {
		char *bytes = strchr(line, '\t');
		size_t len;

		n++;
		if (line[0] == '#' || !bytes)
			continue;
		*bytes++ = '\0';
		len = unescape(bytes);
		rows++;
		run_row(n, line, bytes, len, SIZE_MAX / 2);
		run_row(n, line, bytes, len, 1);
		run_row(n, line, bytes, len, 7);
	}
	fclose(f);
	ck_assert_int_ge(rows, 150);
}
END_TEST

/* ---- a server ---- */

static const char whole[] = "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n2\r\nde\r\n0\r\nX-T: v \r\n\r\n"
			    "GET /b HTTP/1.1\r\nHost: h\r\n\r\nPOST /c HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nwxyz";

START_TEST(split_at_every_byte)
{
	for (size_t at = 1; at < sizeof(whole) - 1; at++) {
		begin(true, &http_conn_default);
		ck_assert(memstage_feed(&below, whole, at, SIZE_MAX / 2));
		ck_assert(memstage_feed(&below, whole + at, sizeof(whole) - 1 - at, SIZE_MAX / 2));
		ck_assert_msg(logged("POST h /a [abcde];GET h /b [];POST h /c [wxyz];"), "%zu: %.*s", at, STR_FMT(buf_str(&seen)));
		ck_assert_int_eq(idles, 3);
		ck_assert(!below.done);
		finish();
	}
}
END_TEST

START_TEST(trailers_come)
{
	begin(true, &http_conn_default);
	memstage_feed(&below, whole, sizeof(whole) - 1 - 80, 1);
	ck_assert(strstr(whole, "X-T"));
	ck_assert_int_ge(requests, 1);
	finish();
	begin(true, &http_conn_default);
	feed("POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-T: v \r\n\r\n");
	ck_assert_str_eq(trailer, "v");
	finish();
}
END_TEST

static void reply(int status, const char *length, bool end)
{
	struct http_field f[2] = { { str_c("x-a"), str_c("b") }, { str_c("content-length"), str_c(length ? length : "") } };

	http_reply(stream, &(struct http_head){ .status = status, .fields = f, .n_fields = length ? 2 : 1, .end = end });
}

static void say(const char *text)
{
	stage_write(&stream->stage, &(struct iovec){ (void *)text, strlen(text) }, 1);
}

static void end(void)
{
	struct http_stream *s = stream;

	stream = NULL;
	stage_done(&s->stage, FAIL_NONE);
	memstage_turn(&below);
}

static const struct {
	const char *request;
	int status;
	const char *length, *body;      /* body NULL: the head ends it */
	const char *want;
	bool stays;
} replies[] = {
	{ "GET / HTTP/1.1\r\n", 200, NULL, "abc", "HTTP/1.1 200 OK\r\nx-a: b\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", true },
	{ "GET / HTTP/1.1\r\n", 200, "3", "abc", "HTTP/1.1 200 OK\r\nx-a: b\r\ncontent-length: 3\r\n\r\nabc", true },
	{ "GET / HTTP/1.1\r\n", 200, "3", "abcde", "HTTP/1.1 200 OK\r\nx-a: b\r\ncontent-length: 3\r\n\r\nabc", false },
	{ "GET / HTTP/1.1\r\n", 404, NULL, NULL, "HTTP/1.1 404 Not Found\r\nx-a: b\r\ncontent-length: 0\r\n\r\n", true },
	{ "GET / HTTP/1.1\r\n", 204, NULL, NULL, "HTTP/1.1 204 No Content\r\nx-a: b\r\n\r\n", true },
	{ "GET / HTTP/1.1\r\n", 204, "3", "abc", "HTTP/1.1 204 No Content\r\nx-a: b\r\n\r\n", true },
	{ "GET / HTTP/1.1\r\n", 304, "3", "abc", "HTTP/1.1 304 Not Modified\r\nx-a: b\r\ncontent-length: 3\r\n\r\n", true },
	{ "HEAD / HTTP/1.1\r\n", 200, "3", "abc", "HTTP/1.1 200 OK\r\nx-a: b\r\ncontent-length: 3\r\n\r\n", true },
	{ "HEAD / HTTP/1.1\r\n", 200, NULL, "abc", "HTTP/1.1 200 OK\r\nx-a: b\r\ntransfer-encoding: chunked\r\n\r\n", true },
	{ "GET / HTTP/1.0\r\n", 200, NULL, "abc", "HTTP/1.1 200 OK\r\nx-a: b\r\nconnection: close\r\n\r\nabc", false },
	{ "GET / HTTP/1.0\r\nConnection: keep-alive\r\n", 200, "3", "abc", "HTTP/1.1 200 OK\r\nx-a: b\r\ncontent-length: 3\r\nconnection: keep-alive\r\n\r\nabc", true },
	{ "GET / HTTP/1.1\r\nConnection: close\r\n", 200, "3", "abc", "HTTP/1.1 200 OK\r\nx-a: b\r\ncontent-length: 3\r\nconnection: close\r\n\r\nabc", false },
};

START_TEST(answers)
{
	echo = false;
	begin(true, &http_conn_default);
	feed(replies[_i].request);
	feed("Host: h\r\n\r\n");
	ck_assert_ptr_nonnull(stream);
	reply(replies[_i].status, replies[_i].length, !replies[_i].body);
	if (replies[_i].body)
		say(replies[_i].body);
	end();
	ck_assert_msg(str_is(buf_str(&below.out), replies[_i].want), "%.*s", STR_FMT(buf_str(&below.out)));
	ck_assert_int_eq(!below.done, replies[_i].stays);
	ck_assert(below.why == FAIL_NONE);
	finish();
}
END_TEST

START_TEST(short_bodies_abort)
{
	echo = false;
	begin(true, &http_conn_default);
	feed("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	reply(200, "5", false);
	say("abc");
	end();
	ck_assert(below.done && below.why != FAIL_NONE);
	finish();
	begin(true, &http_conn_default);
	feed("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	reply(200, NULL, false);
	stage_done(&stream->stage, FAIL_SERVER_RESET);
	stream = NULL;
	memstage_turn(&below);
	ck_assert(below.done && below.why == FAIL_SERVER_RESET && !wrote("0\r\n\r\n"));
	finish();
}
END_TEST

START_TEST(heads_cannot_split)
{
	struct http_field f = { str_c("x"), str_c("y\r\nset-cookie: z") };

	echo = false;
	begin(true, &http_conn_default);
	feed("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	http_reply(stream, &(struct http_head){ .status = 200, .fields = &f, .n_fields = 1, .end = true });
	end();
	ck_assert(wrote("HTTP/1.1 502 ") && !wrote("set-cookie") && below.done);
	finish();
}
END_TEST

START_TEST(continues)
{
	echo = read_bodies = false;
	begin(true, &http_conn_default);
	feed("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n");
	ck_assert_uint_eq(buf_len(&below.out), 0);
	stage_want(&stream->stage, true);
	memstage_turn(&below);
	ck_assert(str_is(buf_str(&below.out), "HTTP/1.1 100 Continue\r\n\r\n"));
	feed("abc");
	ck_assert(logged("POST h / [abc];"));
	finish();
	/* Refused at once: whether the body comes is open, so nothing may follow. */
	begin(true, &http_conn_default);
	feed("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
	reply(413, NULL, true);
	end();
	ck_assert(wrote("connection: close\r\n") && !wrote("100 Continue") && below.done && below.why == FAIL_NONE);
	finish();
}
END_TEST

START_TEST(pipelines_in_order)
{
	echo = false;
	begin(true, &http_conn_default);
	feed("GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n");
	memstage_event(&below, STAGE_EOF, FAIL_NONE);
	ck_assert_int_eq(requests, 1);
	reply(200, NULL, true);
	end();
	ck_assert_int_eq(requests, 2);      /* a client that half-closed still gets its answers */
	ck_assert(!below.done);
	reply(404, NULL, true);
	end();
	ck_assert(wrote("404 Not Found") && wrote("connection: close") && below.done && below.why == FAIL_NONE);
	finish();
}
END_TEST

START_TEST(backpressure)
{
	static char big[LIMIT_QUEUE_LOW + 1];
	size_t n;

	echo = read_bodies = false;
	begin(true, &http_conn_default);
	n = (size_t)snprintf(big, sizeof(big), "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 40000\r\n\r\n");
	memset(big + n, 'a', sizeof(big) - n);
	memstage_feed(&below, big, sizeof(big), SIZE_MAX / 2);
	ck_assert(!below.want);
	ck_assert(logged("POST h / ["));
	stage_want(&stream->stage, true);
	memstage_turn(&below);
	ck_assert(below.want);
	ck_assert_uint_eq(buf_len(&seen), 10 + sizeof(big) - n);
	/* The other way. */
	reply(200, NULL, false);
	below.full = true;
	stage_write(&stream->stage, &(struct iovec){ big, sizeof(big) }, 1);
	ck_assert_uint_gt(stream->stage.queued, LIMIT_QUEUE_LOW);
	memstage_drain(&below);
	ck_assert_uint_le(stream->stage.queued, LIMIT_QUEUE_LOW);
	finish();
}
END_TEST

START_TEST(input_ahead_is_bounded)
{
	static char big[LIMIT_H1_AHEAD * 2];

	echo = false;
	begin(true, &http_conn_default);
	feed("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	memset(big, 'a', sizeof(big));
	ck_assert(!memstage_feed(&below, big, sizeof(big), 1000));
	ck_assert(!below.done);
	finish();
}
END_TEST

START_TEST(switches)
{
	echo = false;
	begin(true, &http_conn_default);
	feed("GET /chat HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\nearly");
	ck_assert(logged("GET h /chat ["));
	http_reply(stream, &(struct http_head){ .status = 101, .fields = no_fields, .upgrade = str_c("websocket") });
	memstage_turn(&below);
	ck_assert(str_is(buf_str(&below.out), "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"));
	feed("more");
	ck_assert(logged("GET h /chat [earlymore"));
	say("back");
	memstage_turn(&below);
	ck_assert(wrote("\r\n\r\nback"));
	memstage_event(&below, STAGE_EOF, FAIL_NONE);
	ck_assert(logged("GET h /chat [earlymore];") && !below.done);
	end();
	ck_assert(below.done && below.why == FAIL_NONE && closes == 1);
	finish();
	/* Refused: what follows is the next request. */
	begin(true, &http_conn_default);
	feed("GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n");
	reply(403, NULL, true);
	end();
	ck_assert_int_eq(requests, 2);
	finish();
	/* A 101 that nobody asked for. */
	begin(true, &http_conn_default);
	feed("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	http_reply(stream, &(struct http_head){ .status = 101, .fields = no_fields, .upgrade = str_c("websocket") });
	end();
	ck_assert(wrote("HTTP/1.1 502 ") && below.done);
	finish();
}
END_TEST

START_TEST(slow_peers)
{
	echo = false;
	begin(true, &quick);
	feed("GET / HT");
	wait_ms(100);
	ck_assert(below.done && wrote("HTTP/1.1 408 "));
	finish();
	begin(true, &quick);
	feed("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\na");
	wait_ms(150);
	ck_assert(below.done && wrote("HTTP/1.1 408 ") && stream_fails == 1);
	finish();
	echo = true;
	begin(true, &quick);
	feed("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	wait_ms(40);
	ck_assert(!below.done);
	wait_ms(120);
	ck_assert(below.done && below.why == FAIL_NONE && !wrote("408"));
	finish();
	begin(true, &quick);
	wait_ms(100);
	ck_assert(below.done && !buf_len(&below.out));
	finish();
}
END_TEST

START_TEST(heads_are_bounded)
{
	char big[5000];

	memset(big, 'a', sizeof(big));
	begin(true, &quick);
	feed("GET /");
	memstage_feed(&below, big, sizeof(big), 100);
	ck_assert(below.done && wrote("HTTP/1.1 431 "));
	finish();
	begin(true, &http_conn_default);
	feed("GET / HTTP/1.1\r\nHost: h\r\n");
	for (int i = 0; i < 10000 && feed("A: b\r\n"); i++)
		;
	ck_assert(below.done && wrote("HTTP/1.1 431 "));
	finish();
	begin(true, &http_conn_default);
	feed("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1;");
	memstage_feed(&below, big, sizeof(big), 100);
	memstage_feed(&below, "\r\nx", 3, 3);
	for (int i = 0; i < 40 && !below.done; i++)
		memstage_feed(&below, big, sizeof(big), SIZE_MAX / 2);
	ck_assert(below.done);
	finish();
}
END_TEST

START_TEST(lost_clients)
{
	echo = false;
	begin(true, &http_conn_default);
	feed("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\na");
	memstage_event(&below, STAGE_EOF, FAIL_NONE);
	ck_assert(stream_fails == 1 && closes == 1 && below.done);
	finish();
	begin(true, &http_conn_default);
	feed("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	memstage_event(&below, STAGE_CLOSED, FAIL_SERVER_RESET);
	ck_assert(stream_fails == 1 && closes == 1);
	finish();
	/* In the middle of a head, the first or a later one. */
	for (int i = 0; i < 2; i++) {
		echo = i == 1;
		begin(true, &http_conn_default);
		if (i)
			feed("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
		feed("GET / HTTP/1.1\r\nHo");
		memstage_event(&below, STAGE_EOF, FAIL_NONE);
		ck_assert(closes == 1 && below.done);
		finish();
	}
}
END_TEST

/* ---- a client ---- */

static void ask(const char *method, bool end)
{
	struct http_head head = { .method = str_c(method), .authority = str_c("h:1"), .path = str_c("/p"), .fields = no_fields, .end = end };

	stream = h1_request(h, &head);
	ck_assert_ptr_nonnull(stream);
	stream->stage.on_event = on_stream;
	stream->on_info = on_info;
	stage_want(&stream->stage, true);
	memstage_turn(&below);
}

static const struct {
	const char *method, *wire, *want;   /* want NULL: the stream fails */
	bool eof, reusable;
} responses[] = {
	{ "GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "200 [abc];", false, true },
	{ "GET", "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", "200 [];", false, true },
	{ "GET", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "200 [];", false, true },
	{ "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: v\r\n\r\n", "200 [abc];", false, true },
	{ "GET", "HTTP/1.1 200 OK\r\n\r\nabc", "200 [abc];", true, false },
	{ "GET", "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", "200 [abc];", false, false },
	{ "GET", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc", "200 [abc];", false, false },
	{ "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "200 [];", false, true },
	{ "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", "304 [];", false, true },
	{ "GET", "HTTP/1.1 204 No Content\r\n\r\n", "204 [];", false, true },
	{ "GET", "HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "200 [];", false, true },
	/* More than was asked for ends the reuse, not the answer. */
	{ "GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\n\r\n", "200 [abc];", false, false },
	{ "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "200 [];", false, false },
	{ "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", NULL, true, false },
	{ "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", NULL, true, false },
	{ "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n", NULL, false, false },
	{ "GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", NULL, false, false },
	{ "GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", NULL, false, false },
	{ "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc", NULL, true, false },
	{ "GET", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", NULL, false, false },
	{ "GET", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", NULL, false, false },
	{ "GET", "HTTP/1.1 200 OK\r\nA : b\r\n\r\n", NULL, false, false },
	{ "GET", "HTTP/1.1 20 OK\r\n\r\n", NULL, false, false },
	{ "GET", "HTTP/1.1  200 OK\r\n\r\n", NULL, false, false },
	{ "GET", "HTTP/2.0 200 OK\r\n\r\n", NULL, false, false },
	{ "GET", "ICY 200 OK\r\n\r\n", NULL, false, false },
	{ "GET", "SSH-2.0-OpenSSH\r\n\r\n", NULL, false, false },
	{ "GET", "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", NULL, false, false },
	{ "GET", "", NULL, true, false },
};

START_TEST(responses_are_read)
{
	size_t n = strlen(responses[_i].wire);

	echo = false;
	for (size_t step = 1; step <= n + 1; step++) {
		begin(false, &http_conn_default);
		ask(responses[_i].method, true);
		memstage_feed(&below, responses[_i].wire, n, step);
		if (responses[_i].eof)
			memstage_event(&below, STAGE_EOF, FAIL_NONE);
		memstage_turn(&below);
		if (responses[_i].want)
			ck_assert_msg(logged(responses[_i].want) && !stream_fails, "row %d by %zu: %.*s", _i, step, STR_FMT(buf_str(&seen)));
		else
			ck_assert_msg(stream_fails == 1 && below.done, "row %d by %zu: %.*s", _i, step, STR_FMT(buf_str(&seen)));
		ck_assert_msg((h && h1_idle(h)) == responses[_i].reusable, "row %d by %zu", _i, step);
		finish();
	}
}
END_TEST

START_TEST(requests_are_written)
{
	struct http_field cookies[] = { { str_c("cookie"), str_c("a=1") }, { str_c("X-Kept"), str_c("y") }, { str_c("cookie"), str_c("b=2") } };
	struct http_head head = { .method = str_c("POST"), .authority = str_c("h"), .path = str_c("/p"), .fields = cookies, .n_fields = 3 };

	echo = false;
	begin(false, &http_conn_default);
	stream = h1_request(h, &head);
	stream->stage.on_event = on_stream;
	say("abc");
	ck_assert(http_trailers(stream, &(struct http_field){ str_c("x-t"), str_c("v") }, 1));
	memstage_turn(&below);
	ck_assert(str_is(buf_str(&below.out), "POST /p HTTP/1.1\r\nHost: h\r\ncookie: a=1; b=2\r\nX-Kept: y\r\ntransfer-encoding: chunked\r\n\r\n"
			 "3\r\nabc\r\n0\r\nx-t: v\r\n\r\n"));
	ck_assert_ptr_null(h1_request(h, &head));      /* one at a time */
	finish();
	begin(false, &http_conn_default);
	head.path = str_c("/p HTTP/1.1\r\nX: y");
	ck_assert_ptr_null(h1_request(h, &head));
	ck_assert_uint_eq(buf_len(&below.out), 0);
	finish();
}
END_TEST

START_TEST(early_answers_end_the_reuse)
{
	echo = false;
	begin(false, &http_conn_default);
	ask("POST", false);
	say("abc");
	feed("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");
	memstage_turn(&below);
	ck_assert(logged("413 [];") && below.done && closes == 1 && !stream_fails);
	finish();
}
END_TEST

START_TEST(interim_responses)
{
	echo = false;
	begin(false, &http_conn_default);
	ask("GET", true);
	feed("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n");
	ck_assert_int_eq(infos, 103);
	for (int i = 0; i < 100 && feed("HTTP/1.1 100 Continue\r\n\r\n"); i++)
		;
	ck_assert(below.done && stream_fails == 1);
	ck_assert_str_eq(stream_error, "too many interim responses");
	finish();
}
END_TEST

START_TEST(unasked_input_ends_an_idle_connection)
{
	begin(false, &http_conn_default);
	feed("HTTP/1.1 200 OK\r\n\r\n");
	ck_assert(below.done && closes == 1);
	finish();
}
END_TEST

/* An idle client may just be asking: it is answered, and told that this was the last time. */
START_TEST(drain_waits_for_what_is_under_way)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

	echo = read_bodies = true;
	begin(true, &http_conn_default);
	memstage_feed(&below, request, sizeof(request) - 1, 100);
	h1_drain(h);
	memstage_turn(&below);
	ck_assert_int_eq(closes, 0);
	buf_done(&below.out);
	memstage_feed(&below, request, sizeof(request) - 1, 100);
	memstage_turn(&below);
	ck_assert_int_eq(requests, 2);
	ck_assert(memmem(buf_data(&below.out), buf_len(&below.out), "connection: close", 17));
	ck_assert_int_eq(closes, 1);
	finish();
	/* Else it ends soon by itself. */
	begin(true, &http_conn_default);
	memstage_feed(&below, request, sizeof(request) - 1, 100);
	h1_drain(h);
	for (int i = 0; i < 3000 && !closes; i++) {
		memstage_turn(&below);
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	ck_assert_int_eq(closes, 1);
	finish();
}
END_TEST

/* A body that comes when it likes. */
START_TEST(no_patience_is_needed_where_none_is_asked)
{
	static const char part[] = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n";
	static const struct http_conn_conf endless = { .head_bytes = 4096, .head_fields = 10, .head_ms = 40, .idle_ms = 80 };
	struct http_head head = { .method = str_c("GET"), .authority = str_c("a"), .path = str_c("/"), .fields = no_fields, .end = true };

	begin(false, &endless);
	read_bodies = true;
	stream = h1_request(h, &head);
	stream->stage.on_event = on_stream;
	stage_want(&stream->stage, true);
	memstage_feed(&below, part, sizeof(part) - 1, sizeof(part));
	for (int i = 0; i < 100; i++) {
		memstage_turn(&below);
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	ck_assert_int_eq(closes + stream_fails, 0);
	finish();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("h1");
	TCase *t = tcase_create("h1");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, smuggling);
	tcase_add_test(t, split_at_every_byte);
	tcase_add_test(t, trailers_come);
	tcase_add_loop_test(t, answers, 0, ARRAY_LEN(replies));
	tcase_add_test(t, short_bodies_abort);
	tcase_add_test(t, heads_cannot_split);
	tcase_add_test(t, continues);
	tcase_add_test(t, pipelines_in_order);
	tcase_add_test(t, backpressure);
	tcase_add_test(t, input_ahead_is_bounded);
	tcase_add_test(t, switches);
	tcase_add_test(t, slow_peers);
	tcase_add_test(t, heads_are_bounded);
	tcase_add_test(t, lost_clients);
	tcase_add_loop_test(t, responses_are_read, 0, ARRAY_LEN(responses));
	tcase_add_test(t, requests_are_written);
	tcase_add_test(t, early_answers_end_the_reuse);
	tcase_add_test(t, interim_responses);
	tcase_add_test(t, unasked_input_ends_an_idle_connection);
	tcase_add_test(t, drain_waits_for_what_is_under_way);
	tcase_add_test(t, no_patience_is_needed_where_none_is_asked);
	suite_add_tcase(s, t);
	return suite_run(s);
}
