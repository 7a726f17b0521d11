/* SPDX-License-Identifier: Apache-2.0 */
#include "http/exchange.h"

#include <stdio.h>

#include "tests/unit/memstage.h"
#include "tests/unit/suite.h"

/* A client and a server of HTTP/1 by hand around one exchange at a time. */
static struct loop *l;
static struct memstage down, up;
static struct http_conn *server, *client;
static struct exchange *live;           /* the one that goes on */
static struct buf seen;                 /* what the filters saw */
static int ended, tries, max_tries, waits;
static enum fail end_why;
static char end_details[128];
static int end_status;
static struct exchange_client who;

/* ---- a filter that writes down what it sees ---- */

static enum filter_step on_request(struct exchange *x, void *state, const void *conf)
{
	struct str answer = fields_get(&x->request_fields, "x-answer"), body;
	bool whole;

	buf_printf(&seen, "%s>%.*s %.*s;", (const char *)conf, STR_FMT(x->request.method), STR_FMT(x->request.path));
	if (str_is(fields_get(&x->request_fields, "x-wait"), conf)) {
		waits++;
		return FILTER_WAIT;
	}
	if (str_is(fields_get(&x->request_fields, "x-body"), conf)) {
		if (!*(int *)state) {
			*(int *)state = 1;
			return exchange_want_body(x, 8);
		}
		body = exchange_body(x, &whole);
		buf_printf(&seen, "body %.*s %d;", STR_FMT(body), whole);
	}
	if (answer.p && str_is(answer, conf)) {
		exchange_reply(x, FAIL_DENIED, 0, NULL, (struct str){ 0 }, &(struct http_field){ str_c("x-why"), str_c("so") }, 1);
		return FILTER_DONE;
	}
	fields_add(&x->request_fields, "x-passed", str_c(conf));
	return FILTER_NEXT;
}

static enum filter_step on_response(struct exchange *x, void *state, const void *conf)
{
	buf_printf(&seen, "%s<%d;", (const char *)conf, x->response.status);
	fields_set(&x->response_fields, "x-back", str_c(conf));
	return str_is(fields_get(&x->response_fields, "x-hold"), conf) ? FILTER_WAIT : FILTER_NEXT;
}

static void on_trailers(struct exchange *x, void *state, const void *conf, bool to_up, struct http_fields *t)
{
	buf_printf(&seen, "%s%c%d trailers;", (const char *)conf, to_up ? '>' : '<', t->n);
}

static void on_filter_end(struct exchange *x, void *state, const void *conf)
{
	buf_printf(&seen, "%s.;", (const char *)conf);
}

static const struct filter_ops noter = { "noter", sizeof(int), on_request, on_response, NULL, on_trailers, on_filter_end };
static const struct filter filters[] = { { &noter, "a" }, { &noter, "b" } };

/* ---- a router to the one server ---- */

static void start(struct exchange *x)
{
	tries++;
	if (!exchange_send(x, client))
		exchange_reply(x, FAIL_CONNECT, 0, NULL, (struct str){ 0 }, NULL, 0);
}

static bool router_response(struct exchange *x)
{
	return x->response.status != 503 || tries >= max_tries;
}

static const struct http_conn_ops client_ops;

static void new_client(void)
{
	buf_done(&up.out);
	memstage_init(&up, l);
	client = http_conn_client(&up.stage, HTTP_CODEC_H1, &http_conn_default, &client_ops, NULL);
}

static bool on_failed(struct exchange *x, enum fail why, bool refused)
{
	buf_printf(&seen, "failed %s;", fail_info(why)->name);
	if (tries >= max_tries || !exchange_may_replay(x))
		return true;
	new_client();
	start(x);
	return false;
}

static const struct router_ops router = { .start = start, .on_response = router_response, .on_failed = on_failed };

static void on_end(struct exchange *x, void *arg)
{
	ended++;
	live = NULL;
	end_why = x->log.why;
	end_status = x->response.status;
	snprintf(end_details, sizeof(end_details), "%s", x->log.details);
}

static struct exchange_conf conf = { .filters = filters, .n_filters = 2, .router = &router, .path = HTTP_PATH_MERGE_SLASHES, .replay_bytes = 64, .on_end = on_end };

/* ---- connections ---- */

static void on_server_request(struct http_conn *c, struct http_stream *s, void *arg)
{
	ck_assert(exchange_start(s, http_conn_version(c), &conf, &who, NULL));
	live = (struct exchange *)s->stage.arg;
}

static void on_server_closed(struct http_conn *c, enum fail why, const char *detail, void *arg)
{
	server = NULL;
}

static void on_client_closed(struct http_conn *c, enum fail why, const char *detail, void *arg)
{
	if (client == c)
		client = NULL;
}

static void on_server_refused(struct http_conn *c, int status, const char *why, void *arg)
{
	ck_assert(exchange_refused(c, status, why, &conf, &who, NULL));
}

static const struct http_conn_ops server_ops = { .on_request = on_server_request, .on_refused = on_server_refused, .on_closed = on_server_closed };
static const struct http_conn_ops client_ops = { .on_closed = on_client_closed };

static void setup(void)
{
	l = loop_new(-1);
	ended = tries = waits = 0;
	max_tries = 1;
	memstage_init(&down, l);
	server = http_conn_server(&down.stage, HTTP_CODEC_AUTO, &http_conn_default, &server_ops, NULL);
	new_client();
}

static void teardown(void)
{
	if (live)
		exchange_abort(live, FAIL_DRAIN);
	if (server)
		http_conn_close(server, FAIL_NONE);
	if (client)
		http_conn_close(client, FAIL_NONE);
	memstage_turn(&down);
	memstage_turn(&down);
	ck_assert_ptr_null(live);
	buf_done(&down.out);
	buf_done(&up.out);
	buf_done(&seen);
	loop_free(l);
}

static bool say(struct memstage *m, const char *text)
{
	bool r = memstage_feed(m, text, strlen(text), SIZE_MAX / 2);

	memstage_turn(m);
	memstage_turn(m);
	return r;
}

/* What arrived there, from the start; then it is forgotten. */
#define ck_got(m, text) do { \
	memstage_turn(m); \
	ck_assert_msg(str_is(buf_str(&(m)->out), text), "got: %.*s", STR_FMT(buf_str(&(m)->out))); \
	buf_done(&(m)->out); \
} while (0)

static bool has(struct memstage *m, const char *text)
{
	return buf_len(&m->out) && memmem(m->out.mem, buf_len(&m->out), text, strlen(text));
}

#define ck_seen(text) ck_assert_msg(str_is(buf_str(&seen), text), "seen: %.*s", STR_FMT(buf_str(&seen)))

START_TEST(there_and_back)
{
	say(&down, "GET //x HTTP/1.1\r\nHost: h\r\nX-One: 1\r\n\r\n");
	ck_got(&up, "GET /x HTTP/1.1\r\nHost: h\r\nx-one: 1\r\nx-passed: a\r\nx-passed: b\r\n\r\n");
	say(&up, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
	ck_got(&down, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-back: a\r\n\r\nhi");
	ck_seen("a>GET /x;b>GET /x;b<200;a<200;a.;b.;");
	ck_assert_int_eq(ended, 1);
	ck_assert_str_eq(end_details, "via_upstream");
	ck_assert_int_eq(http_conn_room(client), 1);
	say(&down, "GET /2 HTTP/1.1\r\nHost: h\r\n\r\n");
	ck_assert(has(&up, "GET /2 "));
	say(&up, "HTTP/1.1 204 No Content\r\n\r\n");
	ck_assert(has(&down, "HTTP/1.1 204 "));
	ck_assert_int_eq(ended, 2);
}
END_TEST

START_TEST(chunks_and_trailers)
{
	say(&down, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
	ck_got(&up, "POST / HTTP/1.1\r\nHost: h\r\nx-passed: a\r\nx-passed: b\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n");
	say(&up, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
	ck_got(&down, "HTTP/1.1 200 OK\r\nx-back: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n");
	say(&down, "0\r\nX-T: 1\r\n\r\n");
	ck_got(&up, "0\r\nx-t: 1\r\n\r\n");
	say(&up, "0\r\nX-R: 2\r\n\r\n");
	ck_got(&down, "0\r\nx-r: 2\r\n\r\n");
	ck_seen("a>POST /;b>POST /;b<200;a<200;a>1 trailers;b>1 trailers;b<1 trailers;a<1 trailers;a.;b.;");
}
END_TEST

START_TEST(a_filter_answers)
{
	say(&down, "GET / HTTP/1.1\r\nHost: h\r\nX-Answer: a\r\n\r\n");
	ck_got(&down, "HTTP/1.1 403 Forbidden\r\nx-why: so\r\ncontent-length: 19\r\ncontent-type: text/plain\r\nx-back: a\r\n\r\nRBAC: access denied");
	ck_seen("a>GET /;a<403;a.;");
	ck_assert_uint_eq(buf_len(&up.out), 0);
	ck_assert_int_eq(end_why, FAIL_DENIED);
	buf_done(&seen);
	say(&down, "GET / HTTP/1.1\r\nHost: h\r\nX-Answer: b\r\n\r\n");
	ck_assert(has(&down, "RBAC: access denied"));
	ck_seen("a>GET /;b>GET /;b<403;a<403;a.;b.;");
}
END_TEST

START_TEST(a_short_body_that_nobody_wants)
{
	say(&down, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nX-Answer: a\r\n\r\nab");
	ck_assert(has(&down, "HTTP/1.1 403 ") && !has(&down, "connection: close"));
	ck_assert(!down.done);
	say(&down, "cdeGET /2 HTTP/1.1\r\nHost: h\r\n\r\n");
	ck_assert(has(&up, "GET /2 "));
	say(&up, "HTTP/1.1 204 No Content\r\n\r\n");
	say(&down, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\nX-Answer: a\r\n\r\nab");
	ck_assert(has(&down, "connection: close"));
	ck_assert(down.done && down.why == FAIL_NONE);
}
END_TEST

START_TEST(grpc_gets_a_status)
{
	say(&down, "POST /s/M HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nContent-Type: application/grpc+proto\r\nX-Answer: a\r\n\r\n");
	ck_got(&down, "HTTP/1.1 200 OK\r\nx-why: so\r\ncontent-type: application/grpc\r\ngrpc-status: 7\r\ngrpc-message: RBAC: access denied\r\nx-back: a\r\ncontent-length: 0\r\n\r\n");
}
END_TEST

START_TEST(filters_wait)
{
	say(&down, "GET / HTTP/1.1\r\nHost: h\r\nX-Wait: a\r\n\r\n");
	ck_assert_int_eq(waits, 1);
	ck_assert_uint_eq(buf_len(&up.out), 0);
	exchange_resume(live);
	ck_seen("a>GET /;b>GET /;");
	memstage_turn(&up);
	ck_assert(has(&up, "GET / "));
	say(&up, "HTTP/1.1 200 OK\r\nX-Hold: b\r\nContent-Length: 1\r\n\r\nx");
	ck_assert_uint_eq(buf_len(&down.out), 0);
	exchange_resume(live);
	memstage_turn(&down);
	memstage_turn(&down);
	ck_assert(has(&down, "200 OK") && has(&down, "\r\n\r\nx"));
	ck_assert_int_eq(ended, 1);
}
END_TEST

START_TEST(an_end_while_a_filter_waits)
{
	say(&down, "GET / HTTP/1.1\r\nHost: h\r\nX-Wait: b\r\n\r\n");
	memstage_event(&down, STAGE_CLOSED, FAIL_SERVER_RESET);
	memstage_turn(&down);
	ck_seen("a>GET /;b>GET /;a.;b.;");
	ck_assert_int_eq(end_why, FAIL_CLIENT_RESET);
	ck_assert_str_eq(end_details, "downstream_remote_disconnect");
}
END_TEST

START_TEST(a_filter_reads_the_body)
{
	say(&down, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nX-Body: a\r\n\r\nab");
	ck_seen("a>POST /;");
	say(&down, "cd");
	ck_seen("a>POST /;a>POST /;body abcd 1;b>POST /;");
	ck_assert(has(&up, "\r\n\r\nabcd"));
	say(&up, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	buf_done(&seen);
	say(&down, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 14\r\nX-Body: a\r\n\r\n1234567890");
	ck_seen("a>POST /;a>POST /;body 1234567890 0;b>POST /;");
	say(&down, "last");
	ck_assert(has(&up, "\r\n\r\n1234567890last"));
}
END_TEST

START_TEST(another_try_sends_the_body_again)
{
	max_tries = 2;
	say(&down, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nab");
	ck_assert(has(&up, "\r\n\r\nab"));
	memstage_event(&up, STAGE_CLOSED, FAIL_SERVER_RESET);
	memstage_turn(&up);
	ck_assert_int_eq(tries, 2);
	ck_assert(has(&up, "\r\n\r\nab"));
	say(&down, "cd");
	ck_assert(has(&up, "\r\n\r\nabcd"));
	say(&up, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	ck_assert(has(&down, "200 OK"));
}
END_TEST

START_TEST(what_is_too_long_is_not_sent_again)
{
	char text[200];

	max_tries = 2;
	snprintf(text, sizeof(text), "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n%065d", 1);
	say(&down, text);
	memstage_event(&up, STAGE_CLOSED, FAIL_SERVER_RESET);
	memstage_turn(&up);
	ck_assert_int_eq(tries, 1);
	ck_assert(has(&down, "HTTP/1.1 503 "));
	ck_assert(has(&down, "upstream connect error or disconnect/reset before headers. reset reason: connection termination"));
	ck_assert_str_eq(end_details, "upstream_reset_before_response_started{connection_termination}");
	ck_assert_int_eq(end_why, FAIL_PEER_CLOSED);
}
END_TEST

START_TEST(a_server_that_breaks_off)
{
	say(&down, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	say(&up, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
	ck_assert(has(&down, "1\r\nx\r\n"));
	memstage_event(&up, STAGE_EOF, FAIL_NONE);
	memstage_turn(&up);
	ck_assert(!has(&down, "0\r\n\r\n"));
	ck_assert(down.done && down.why != FAIL_NONE);
	ck_assert_str_eq(end_details, "upstream_reset_after_response_started{connection_termination}");
}
END_TEST

START_TEST(a_server_that_answers_early)
{
	say(&down, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nab");
	say(&up, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
	ck_assert(has(&down, "HTTP/1.1 413 ") && has(&down, "\r\n\r\nno"));
	ck_assert_int_eq(ended, 1);
	ck_assert(down.done && down.why == FAIL_NONE);
	ck_assert_int_eq(http_conn_room(client ? client : http_conn_client(&up.stage, HTTP_CODEC_H1, &http_conn_default, &client_ops, NULL)), client ? 0 : 1);
}
END_TEST

START_TEST(garbage_is_the_servers_fault)
{
	say(&down, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	say(&up, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n");
	ck_assert(has(&down, "HTTP/1.1 502 "));
	ck_assert_str_eq(end_details, "upstream_reset_before_response_started{protocol_error|Duplicate_Content-Length}");
}
END_TEST

START_TEST(backpressure)
{
	static char big[64 * 1024];
	char head[128];

	memset(big, 'x', sizeof(big));
	big[sizeof(big) - 1] = '\0';
	snprintf(head, sizeof(head), "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n", 4 * sizeof(big));
	say(&down, head);
	up.full = true;
	say(&down, big);
	ck_assert(!down.want);
	memstage_drain(&up);
	memstage_turn(&down);
	ck_assert(down.want);
	say(&up, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
	down.full = true;
	say(&up, big);
	ck_assert(!up.want);
	memstage_drain(&down);
	memstage_turn(&up);
	ck_assert(up.want);
}
END_TEST

START_TEST(interim_answers)
{
	say(&down, "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
	ck_got(&down, "HTTP/1.1 100 Continue\r\n\r\n");
	ck_assert(!has(&up, "xpect"));
	say(&up, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: l\r\n\r\n");
	ck_got(&down, "HTTP/1.1 103 Early Hints\r\nLink: l\r\n\r\n");
	say(&down, "ok");
	say(&up, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	ck_assert(has(&down, "200 OK"));
}
END_TEST

START_TEST(switches_are_tunnels)
{
	say(&down, "GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\nearly");
	ck_assert(has(&up, "upgrade: websocket\r\n"));
	ck_assert(!has(&up, "early"));
	say(&up, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\nhello");
	ck_assert(has(&down, "HTTP/1.1 101 ") && has(&down, "upgrade: websocket\r\n") && has(&down, "\r\n\r\nhello"));
	memstage_turn(&up);
	ck_assert(has(&up, "early"));
	memstage_event(&up, STAGE_EOF, FAIL_NONE);
	memstage_turn(&up);
	ck_assert(down.shut);
	memstage_event(&down, STAGE_EOF, FAIL_NONE);
	memstage_turn(&down);
	ck_assert_int_eq(ended, 1);
	ck_assert(up.done && up.why == FAIL_NONE);
}
END_TEST

START_TEST(a_switch_that_is_declined)
{
	say(&down, "GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
	say(&up, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno");
	ck_assert(has(&down, "\r\n\r\nno"));
	ck_assert_int_eq(ended, 1);
	say(&down, "GET /2 HTTP/1.1\r\nHost: h\r\n\r\n");
	ck_assert(has(&up, "GET /2 "));
}
END_TEST

START_TEST(switches_that_are_not_allowed)
{
	static const struct { const char *text; bool refused; } rows[] = {
		{ "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n", true },
		{ "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket2\r\n\r\n", true },
		{ "CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n", true },
		{ "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", false },
		{ "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: TLS/1.2\r\n\r\n", false },
		{ "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: foo\r\n\r\n", false },                       /* Connection does not name it */
		{ "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\r\n", false },
	};

	say(&down, rows[_i].text);
	ck_assert_msg(has(&down, "HTTP/1.1 403 ") == rows[_i].refused, "%s", rows[_i].text);
	ck_assert_int_eq(tries, !rows[_i].refused);
	ck_assert_int_eq(has(&up, "pgrade: "), _i == 6);
	if (rows[_i].refused)
		ck_assert(end_why == FAIL_BAD_UPGRADE && strcmp(end_details, "upgrade_failed") == 0);
}
END_TEST

static void setup_strict(void)
{
	setup();
	conf.websocket_alone = true;
}

static void teardown_strict(void)
{
	teardown();
	conf.websocket_alone = false;
}

START_TEST(paths_without_a_normal_form)
{
	say(&down, "GET /%00 HTTP/1.1\r\nHost: h\r\n\r\n");
	ck_assert(has(&down, "HTTP/1.1 400 "));
	ck_assert_str_eq(end_details, "path_normalization_failed");
	ck_seen("a>GET /%00;a<400;a.;");
}
END_TEST

START_TEST(what_is_no_request_is_logged)
{
	say(&down, "GET / HTTP/1.1\r\nHost: h\r\nX y: z\r\n\r\n");
	ck_assert(has(&down, "HTTP/1.1 400 "));
	ck_seen("a> ;a.;");
	ck_assert_int_eq(end_why, FAIL_BAD_MESSAGE);
	ck_assert_int_eq(end_status, 400);
	ck_assert_str_eq(end_details, "http1.codec_error{Invalid_header_token}");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("exchange");
	TCase *t = tcase_create("exchange"), *strict = tcase_create("websocket alone");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, there_and_back);
	tcase_add_test(t, chunks_and_trailers);
	tcase_add_test(t, a_filter_answers);
	tcase_add_test(t, a_short_body_that_nobody_wants);
	tcase_add_test(t, grpc_gets_a_status);
	tcase_add_test(t, filters_wait);
	tcase_add_test(t, an_end_while_a_filter_waits);
	tcase_add_test(t, a_filter_reads_the_body);
	tcase_add_test(t, another_try_sends_the_body_again);
	tcase_add_test(t, what_is_too_long_is_not_sent_again);
	tcase_add_test(t, a_server_that_breaks_off);
	tcase_add_test(t, a_server_that_answers_early);
	tcase_add_test(t, garbage_is_the_servers_fault);
	tcase_add_test(t, backpressure);
	tcase_add_test(t, interim_answers);
	tcase_add_test(t, switches_are_tunnels);
	tcase_add_test(t, a_switch_that_is_declined);
	tcase_add_test(t, paths_without_a_normal_form);
	tcase_add_test(t, what_is_no_request_is_logged);
	tcase_add_checked_fixture(strict, setup_strict, teardown_strict);
	tcase_add_loop_test(strict, switches_that_are_not_allowed, 0, 7);
	suite_add_tcase(s, strict);
	suite_add_tcase(s, t);
	return suite_run(s);
}
