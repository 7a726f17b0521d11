/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "http/h2.h"
#include "tests/unit/stages.h"

/* A client and a server over a real connection. The server answers 200 and echoes, or what the authority says. */
static struct loop *l;
static struct h2 *client, *server;
static int client_closed, server_closed;
static struct http_stream *held;      /* a server stream whose reader has stopped */

static void echo(struct stage *s, enum stage_event ev, const struct iovec *iov, int n)
{
	if (ev == STAGE_DATA)
		stage_write(s, iov, n);
	else if (ev == STAGE_EOF)
		stage_done(s, FAIL_NONE);
	else if (ev == STAGE_CLOSED)
		stage_done(s, s->fail);
}

static void on_request(struct h2 *h, struct http_stream *s, void *arg)
{
	bool refuse = str_is(s->head->authority, "refuse:1"), hold = str_is(s->head->authority, "hold:1");

	s->stage.on_event = echo;
	http_reply(s, &(struct http_head){ .status = refuse ? 503 : 200, .end = refuse });
	if (refuse)
		stage_done(&s->stage, FAIL_NONE);
	else
		stage_want(&s->stage, !hold);
	if (hold)
		held = s;
}

static void on_closed(struct h2 *h, enum fail why, void *arg)
{
	*(int *)arg = (int)why;
}

static const struct h2_ops ops = { .on_request = on_request, .on_closed = on_closed };

static void start_with(const struct h2_ops *server_ops)
{
	int fds[2];

	l = loop_new(0);
	client_closed = server_closed = -1;
	held = NULL;
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	client = h2_new(sock_accept(l, fds[0]), false, &h2_conf_tunnels, &ops, &client_closed);
	server = h2_new(sock_accept(l, fds[1]), true, &h2_conf_tunnels, server_ops, &server_closed);
	turn(l);
}

static void start(void)
{
	start_with(&ops);
}

static void stop(void)
{
	if (client_closed < 0)
		h2_close(client, FAIL_NONE);
	turn(l);
	if (server_closed < 0)
		h2_close(server, FAIL_DRAIN);
	turn(l);
	loop_free(l);
}

struct caller {
	struct http_stream *s;
	struct buf got;
	int status;
	bool eof, closed;
	enum fail fail;
};

static void on_reply(struct stage *s, enum stage_event ev, const struct iovec *iov, int n)
{
	struct caller *c = s->arg;

	if (ev == STAGE_OPEN)
		c->status = c->s->head->status;
	else if (ev == STAGE_DATA)
		buf_append_iov(&c->got, iov, n, 0);
	else if (ev == STAGE_EOF)
		c->eof = true;
	else if (ev == STAGE_CLOSED) {
		c->closed = true;
		c->fail = s->fail;
	}
}

static void call(struct caller *c, const char *authority)
{
	memset(c, 0, sizeof(*c));
	c->s = h2_request(client, &(struct http_head){ .method = str_c("CONNECT"), .authority = str_c(authority) });
	ck_assert_ptr_nonnull(c->s);
	c->s->stage.on_event = on_reply;
	c->s->stage.arg = c;
	stage_want(&c->s->stage, true);
}

static void say(struct caller *c, const void *p, size_t n)
{
	struct iovec iov = { (void *)p, n };

	stage_write(&c->s->stage, &iov, 1);
}

static void hang_up(struct caller *c)
{
	stage_done(&c->s->stage, FAIL_NONE);
	buf_done(&c->got);
}

START_TEST(tunnel_both_ways)
{
	static uint8_t big[3 << 20];
	struct caller c;

	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (uint8_t)(i * 7 + i / 65536);
	call(&c, "a:1");
	say(&c, big, sizeof(big));      /* before the reply */
	stage_shut(&c.s->stage);
	for (int i = 0; i < 50 && !c.eof; i++)
		turn(l);
	ck_assert_int_eq(c.status, 200);
	ck_assert(c.eof);
	ck_assert_uint_eq(buf_len(&c.got), sizeof(big));
	ck_assert_int_eq(memcmp(buf_data(&c.got), big, sizeof(big)), 0);
	hang_up(&c);
}
END_TEST

START_TEST(refusal_arrives)
{
	struct caller c;

	call(&c, "refuse:1");
	turn(l);
	ck_assert_int_eq(c.status, 503);
	hang_up(&c);
	turn(l);
	ck_assert_int_eq(h2_streams(client), 0);
	ck_assert_int_eq(h2_streams(server), 0);
	ck_assert_int_eq(client_closed, -1);
}
END_TEST

START_TEST(stalled_streams_stop_nobody)
{
	static char block[1 << 20];
	struct caller stalled[10], c;

	for (int i = 0; i < 10; i++) {
		call(&stalled[i], "hold:1");
		say(&stalled[i], block, sizeof(block));
	}
	turn(l);
	for (int i = 0; i < 10; i++)
		ck_assert_uint_ge(stalled[i].s->stage.queued, sizeof(block) - LIMIT_STREAM_WINDOW);
	call(&c, "a:1");
	say(&c, block, sizeof(block));
	turn(l);
	turn(l);
	ck_assert_uint_eq(buf_len(&c.got), sizeof(block));
	hang_up(&c);
	for (int i = 0; i < 10; i++)
		hang_up(&stalled[i]);
}
END_TEST

START_TEST(reset_maps_to_reset)
{
	struct caller c;

	call(&c, "hold:1");
	turn(l);
	ck_assert_ptr_nonnull(held);
	stage_done(&held->stage, FAIL_SERVER_RESET);
	turn(l);
	ck_assert(c.closed);
	ck_assert_int_eq(c.fail, FAIL_SERVER_RESET);
	hang_up(&c);
}
END_TEST

START_TEST(drain_lets_live_streams_end)
{
	struct caller c;

	call(&c, "a:1");
	turn(l);
	h2_drain(server);
	turn(l);
	ck_assert_int_eq(h2_room(client), 0);
	say(&c, "x", 1);
	turn(l);
	ck_assert_uint_eq(buf_len(&c.got), 1);
	stage_shut(&c.s->stage);
	turn(l);
	hang_up(&c);
	turn(l);
	ck_assert_int_eq(server_closed, FAIL_NONE);
	ck_assert_int_eq(client_closed, FAIL_NONE);
}
END_TEST

/* A peer that provokes replies and never reads them does not fill our memory: the connection ends. */
START_TEST(replies_that_nobody_reads_are_capped)
{
	static const uint8_t preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
	static const uint8_t connect[] = { 0x42, 0x07, 'C', 'O', 'N', 'N', 'E', 'C', 'T', 0x01, 0x08, 'r', 'e', 'f', 'u', 's', 'e', ':', '1' };
	int fds[2], closed = -1, size = 4096;
	uint32_t id = 1;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	h2_new(sock_accept(l, fds[0]), true, &h2_conf_tunnels, &ops, &closed);
	ck_assert_int_gt(send(fds[1], preface, sizeof(preface) - 1, 0), 0);
	for (int i = 0; i < 4 * LIMIT_QUEUED_FRAMES && closed < 0; i++, id += 2) {
		uint8_t frames[9 + sizeof(connect) + 13] = { 0, 0, sizeof(connect), 1, 4, (uint8_t)(id >> 24), (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id };
		uint8_t *rst = frames + 9 + sizeof(connect);

		memcpy(frames + 9, connect, sizeof(connect));
		memcpy(rst, (uint8_t[]){ 0, 0, 4, 3, 0, (uint8_t)(id >> 24), (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id, 0, 0, 0, 8 }, 13);
		/* The first ones only fill the way back. */
		while (send(fds[1], frames, sizeof(frames) - (i < 5000 ? 13 : 0), MSG_NOSIGNAL) < 0 && errno == EAGAIN && closed < 0)
			ev_run(l->ev, EVRUN_NOWAIT);
	}
	turn(l);
	ck_assert_int_eq(closed, FAIL_HTTP2);
	close(fds[1]);
}
END_TEST

/* ---- messages ---- */

static struct http_stream *served;
static struct buf served_body;
static char served_head[128], served_trailer[32];
static bool served_closed;
static int served_infos;

static void on_served(struct stage *s, enum stage_event ev, const struct iovec *iov, int n)
{
	const struct http_head *head = served->head;
	struct http_field f = { str_c("x-info"), str_c("1") };

	if (ev == STAGE_OPEN) {
		snprintf(served_head, sizeof(served_head), "%.*s %.*s %.*s %d", STR_FMT(head->method), STR_FMT(head->path), STR_FMT(head->upgrade), head->end);
		http_reply(served, &(struct http_head){ .status = 103, .fields = &f, .n_fields = 1 });
	} else if (ev == STAGE_DATA) {
		buf_append_iov(&served_body, iov, n, 0);
	} else if (ev == STAGE_EOF) {
		snprintf(served_trailer, sizeof(served_trailer), "%.*s", STR_FMT(http_trailer(served, "X-T")));
	} else if (ev == STAGE_CLOSED) {
		served_closed = true;
	}
}

static void on_message(struct h2 *h, struct http_stream *s, void *arg)
{
	served = s;
	s->stage.on_event = on_served;
	stage_want(&s->stage, true);
}

static void on_info(struct http_stream *s)
{
	served_infos += s->head->status;
}

static const struct h2_ops message_ops = { .on_request = on_message, .on_closed = on_closed };

static void start_messages(void)
{
	start_with(&message_ops);
	buf_done(&served_body);
	served = NULL;
	served_closed = false;
	served_infos = 0;
	served_trailer[0] = '\0';
}

static void stop_messages(void)
{
	stop();
	buf_done(&served_body);
}

static void ask(struct caller *c, const struct http_head *head)
{
	memset(c, 0, sizeof(*c));
	c->s = h2_request(client, head);
	ck_assert_ptr_nonnull(c->s);
	c->s->stage.on_event = on_reply;
	c->s->stage.arg = c;
	c->s->on_info = on_info;
	stage_want(&c->s->stage, true);
}

START_TEST(a_message_each_way)
{
	struct http_field length = { str_c("Content-Length"), str_c("5") }, t = { str_c("X-T"), str_c("v") }, bad = { str_c("host"), str_c("v") };
	struct caller c;

	ask(&c, &(struct http_head){ .method = str_c("POST"), .authority = str_c("h"), .path = str_c("/p"), .fields = &length, .n_fields = 1 });
	say(&c, "ab", 2);
	say(&c, "cde", 3);
	ck_assert(!http_trailers(c.s, &bad, 1));
	ck_assert(http_trailers(c.s, &t, 1));
	turn(l);
	ck_assert_str_eq(served_head, "POST /p  0");
	ck_assert(str_is(buf_str(&served_body), "abcde"));
	ck_assert_str_eq(served_trailer, "v");
	ck_assert_int_eq(served_infos, 103);
	http_reply(served, &(struct http_head){ .status = 200 });
	stage_write(&served->stage, &(struct iovec){ "hi", 2 }, 1);
	ck_assert(http_trailers(served, &t, 1));
	stage_done(&served->stage, FAIL_NONE);
	turn(l);
	ck_assert(c.status == 200 && c.eof && str_is(buf_str(&c.got), "hi"));
	ck_assert(str_is(http_trailer(c.s, "x-t"), "v"));
	hang_up(&c);
}
END_TEST

START_TEST(less_than_was_promised)
{
	struct http_field length = { str_c("content-length"), str_c("5") };
	struct caller c;

	ask(&c, &(struct http_head){ .method = str_c("GET"), .authority = str_c("h"), .path = str_c("/"), .end = true });
	turn(l);
	ck_assert_str_eq(served_head, "GET /  1");
	http_reply(served, &(struct http_head){ .status = 200, .fields = &length, .n_fields = 1 });
	stage_write(&served->stage, &(struct iovec){ "hi", 2 }, 1);
	stage_done(&served->stage, FAIL_NONE);
	turn(l);
	ck_assert(c.closed && !c.eof);
	hang_up(&c);
}
END_TEST

START_TEST(extended_connect)
{
	struct caller c;

	ask(&c, &(struct http_head){ .method = str_c("GET"), .authority = str_c("h"), .path = str_c("/chat"), .upgrade = str_c("websocket") });
	say(&c, "early", 5);
	turn(l);
	ck_assert_str_eq(served_head, "GET /chat websocket 0");
	http_reply(served, &(struct http_head){ .status = 101, .upgrade = str_c("websocket") });
	stage_write(&served->stage, &(struct iovec){ "hi", 2 }, 1);
	turn(l);
	ck_assert(c.status == 101 && !c.eof && str_is(buf_str(&c.got), "hi"));
	ck_assert(str_is(buf_str(&served_body), "early"));
	stage_done(&served->stage, FAIL_NONE);
	turn(l);
	ck_assert(c.eof);
	hang_up(&c);
}
END_TEST

START_TEST(no_way_to_h2c)
{
	struct caller c;

	ask(&c, &(struct http_head){ .method = str_c("GET"), .authority = str_c("h"), .path = str_c("/"), .upgrade = str_c("h2c") });
	turn(l);
	ck_assert_int_eq(c.status, 400);
	ck_assert_ptr_null(served);
	hang_up(&c);
}
END_TEST

START_TEST(above_the_last_number_is_refused)
{
	struct caller a, b;

	ask(&a, &(struct http_head){ .method = str_c("GET"), .authority = str_c("h"), .path = str_c("/"), .end = true });
	turn(l);
	h2_close(server, FAIL_NONE);
	ask(&b, &(struct http_head){ .method = str_c("GET"), .authority = str_c("h"), .path = str_c("/2"), .end = true });
	turn(l);
	ck_assert(served_closed && a.closed && b.closed);
	ck_assert(b.s->refused && !a.s->refused);
	stage_done(&served->stage, FAIL_NONE);
	hang_up(&a);
	hang_up(&b);
	server_closed = 0;
}
END_TEST

int main(void)
{
	Suite *s = suite_create("h2");
	TCase *t = tcase_create("h2");

	tcase_add_checked_fixture(t, start, stop);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, tunnel_both_ways);
	tcase_add_test(t, refusal_arrives);
	tcase_add_test(t, stalled_streams_stop_nobody);
	tcase_add_test(t, reset_maps_to_reset);
	tcase_add_test(t, drain_lets_live_streams_end);
	tcase_add_test(t, replies_that_nobody_reads_are_capped);
	suite_add_tcase(s, t);
	t = tcase_create("messages");
	tcase_add_checked_fixture(t, start_messages, stop_messages);
	tcase_add_test(t, a_message_each_way);
	tcase_add_test(t, less_than_was_promised);
	tcase_add_test(t, extended_connect);
	tcase_add_test(t, no_way_to_h2c);
	tcase_add_test(t, above_the_last_number_is_refused);
	suite_add_tcase(s, t);
	return suite_run(s);
}
