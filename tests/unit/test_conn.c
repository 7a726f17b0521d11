/* SPDX-License-Identifier: Apache-2.0 */
#include "http/conn.h"

#include <errno.h>
#include <stdio.h>

#include "tests/unit/memstage.h"
#include "tests/unit/stages.h"

static struct loop *l;
static struct memstage below;
static struct http_conn *c;
static char seen[256], closed[128];
static int rooms, versions;
static const struct http_field no_fields[1];

static void on_stream(struct stage *s, enum stage_event ev, const struct iovec *iov, int n)
{
	struct http_stream *hs = container_of(s, struct http_stream, stage);

	if (ev == STAGE_OPEN && str_is(hs->head->method, "POST")) {
		stage_want(s, true);
		return;
	}
	if (ev == STAGE_OPEN) {
		snprintf(seen + strlen(seen), sizeof(seen) - strlen(seen), "%.*s;", STR_FMT(hs->head->path));
		http_reply(hs, &(struct http_head){ .status = 204, .fields = no_fields, .end = true });
	}
	if (ev == STAGE_OPEN || ev == STAGE_CLOSED)
		stage_done(s, FAIL_NONE);
}

static void on_request(struct http_conn *conn, struct http_stream *s, void *arg)
{
	versions = http_conn_version(conn);
	s->stage.on_event = on_stream;
}

static void on_room(struct http_conn *conn, void *arg)
{
	rooms++;
}

static void on_closed(struct http_conn *conn, enum fail why, const char *detail, void *arg)
{
	snprintf(closed, sizeof(closed), "%s %s", fail_info(why)->name, detail);
	c = NULL;
}

static const struct http_conn_ops ops = { .on_request = on_request, .on_room = on_room, .on_closed = on_closed };
static const struct http_conn_conf quick = {
	.head_bytes = 4096, .head_fields = 10, .head_ms = 30, .idle_ms = 30, .stall_ms = 1000, .max_streams = 4, .resets = 10, .reset_burst = 10,
};

static void begin(bool server, enum http_codec codec, const struct http_conn_conf *conf)
{
	memstage_init(&below, l);
	c = server ? http_conn_server(&below.stage, codec, conf, &ops, NULL) : http_conn_client(&below.stage, codec, conf, &ops, NULL);
	ck_assert_ptr_nonnull(c);
}

static void setup(void)
{
	l = loop_new(-1);
	seen[0] = closed[0] = '\0';
	rooms = 0;
	versions = -1;
}

static void teardown(void)
{
	if (c)
		http_conn_close(c, FAIL_NONE);
	c = NULL;
	memstage_turn(&below);
	memstage_turn(&below);
	buf_done(&below.out);
	loop_free(l);
}

static const char h2_request[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0" "\0\0\6\1\5\0\0\0\1\x82\x84\x86\x41\1h";

static void feed(const void *p, size_t n, size_t step)
{
	ck_assert(memstage_feed(&below, p, n, step));
	memstage_turn(&below);
}

START_TEST(first_bytes_decide)
{
	size_t steps[] = { 1, 3, 7, 1000 };

	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		begin(true, HTTP_CODEC_AUTO, &http_conn_default);
		feed(h2_request, sizeof(h2_request) - 1, steps[i]);
		ck_assert_str_eq(seen, "/;");
		ck_assert_int_eq(versions, HTTP_2);
		teardown();
		setup();
		begin(true, HTTP_CODEC_AUTO, &http_conn_default);
		feed("PROPFIND /p HTTP/1.1\r\nHost: h\r\n\r\n", 33, steps[i]);
		ck_assert_str_eq(seen, "/p;");
		ck_assert_int_eq(versions, HTTP_1_1);
		ck_assert_int_eq(http_conn_streams(c), 0);
		ck_assert_int_gt(rooms, 0);
		teardown();
		setup();
	}
	begin(true, HTTP_CODEC_AUTO, &http_conn_default);
	feed("PRO", 3, 1);
}
END_TEST

START_TEST(a_client_that_says_nothing)
{
	begin(true, HTTP_CODEC_AUTO, &quick);
	for (int i = 0; i < 200 && c; i++) {
		ev_sleep(0.002);
		memstage_turn(&below);
	}
	ck_assert_ptr_null(c);
	ck_assert_str_eq(closed, "NONE no request came in time");
	ck_assert(below.done);
}
END_TEST

START_TEST(old_versions_where_they_are_not_served)
{
	begin(true, HTTP_CODEC_AUTO, &quick);
	feed("GET / HTTP/1.0\r\nHost: h\r\n\r\n", 27, 1000);
	ck_assert(str_starts(buf_str(&below.out), str_c("HTTP/1.1 426 ")));
	ck_assert_str_eq(closed, "HTTP1 HTTP/1.0 is not served here");
}
END_TEST

START_TEST(a_client_of_http1)
{
	struct http_head head = { .method = str_c("GET"), .authority = str_c("h"), .path = str_c("/"), .fields = no_fields, .end = true };
	struct http_stream *s;

	begin(false, HTTP_CODEC_H1, &http_conn_default);
	ck_assert_int_eq(http_conn_room(c), 1);
	head.path = str_c("/ x");
	ck_assert_ptr_null(http_conn_request(c, &head));
	ck_assert_int_eq(errno, EINVAL);
	head.path = str_c("/");
	s = http_conn_request(c, &head);
	ck_assert_ptr_nonnull(s);
	ck_assert_int_eq(http_conn_room(c), 0);
	ck_assert_ptr_null(http_conn_request(c, &head));
	ck_assert_int_eq(errno, EAGAIN);
	stage_want(&s->stage, true);
	memstage_turn(&below);
	rooms = 0;
	feed("HTTP/1.1 204 No Content\r\n\r\n", 27, 5);
	stage_done(&s->stage, FAIL_NONE);
	memstage_turn(&below);
	memstage_turn(&below);
	ck_assert_int_eq(http_conn_room(c), 1);
	ck_assert_int_eq(rooms, 1);
	http_conn_drain(c);
	ck_assert_int_eq(http_conn_room(c), 0);
	memstage_turn(&below);
	memstage_turn(&below);
	ck_assert_str_eq(closed, "NONE ");
}
END_TEST

START_TEST(what_is_on_its_way_to_one_that_drains_is_answered)
{
	begin(true, HTTP_CODEC_AUTO, &http_conn_default);
	http_conn_drain(c);
	memstage_turn(&below);
	ck_assert_str_eq(closed, "");
	feed("GET /late HTTP/1.1\r\nHost: h\r\n\r\n", 31, 31);
	memstage_turn(&below);
	memstage_turn(&below);
	ck_assert_str_eq(seen, "/late;");
	ck_assert_str_eq(closed, "NONE ");
}
END_TEST

START_TEST(a_head_that_never_left_is_refused)
{
	struct http_head head = { .method = str_c("GET"), .authority = str_c("h"), .path = str_c("/"), .fields = no_fields, .end = true };
	struct http_stream *s;

	for (int codec = HTTP_CODEC_H1; codec <= HTTP_CODEC_H2; codec++) {
		begin(false, codec, &http_conn_default);
		s = http_conn_request(c, &head);
		ck_assert_ptr_nonnull(s);
		stage_want(&s->stage, true);
		below.stage.fail = FAIL_SERVER_RESET;
		stage_emit(&below.stage, STAGE_CLOSED, NULL, 0);
		ck_assert(s->refused);
		memstage_turn(&below);
		stage_done(&s->stage, FAIL_NONE);
		teardown();
		setup();
	}
	begin(false, HTTP_CODEC_H1, &http_conn_default);
	s = http_conn_request(c, &head);
	memstage_turn(&below);
	memstage_event(&below, STAGE_CLOSED, FAIL_SERVER_RESET);
	ck_assert(!s->refused && s->stage.fail == FAIL_PEER_CLOSED);
	stage_done(&s->stage, FAIL_NONE);
}
END_TEST

START_TEST(empty_frames_end_it)
{
	static const char post[] = "\0\0\6\1\4\0\0\0\3\x83\x84\x86\x41\1h", empty[] = "\0\0\0\0\0\0\0\0\3";

	begin(true, HTTP_CODEC_H2, &http_conn_default);
	feed(h2_request, sizeof(h2_request) - 1, 1000);
	ck_assert(memstage_feed(&below, post, sizeof(post) - 1, 1000));
	for (int i = 0; i < 200 && c; i++)
		memstage_feed(&below, empty, sizeof(empty) - 1, 1000);
	ck_assert_ptr_null(c);
	ck_assert_str_eq(closed, "HTTP2 too many empty frames");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("conn");
	TCase *t = tcase_create("conn");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, first_bytes_decide);
	tcase_add_test(t, a_client_that_says_nothing);
	tcase_add_test(t, old_versions_where_they_are_not_served);
	tcase_add_test(t, a_client_of_http1);
	tcase_add_test(t, what_is_on_its_way_to_one_that_drains_is_answered);
	tcase_add_test(t, a_head_that_never_left_is_refused);
	tcase_add_test(t, empty_frames_end_it);
	suite_add_tcase(s, t);
	return suite_run(s);
}
