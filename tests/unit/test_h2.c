/* SPDX-License-Identifier: Apache-2.0 */
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

static void start(void)
{
	int fds[2];

	l = loop_new(0);
	client_closed = server_closed = -1;
	held = NULL;
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	client = h2_new(sock_accept(l, fds[0]), false, &h2_conf_tunnels, &ops, &client_closed);
	server = h2_new(sock_accept(l, fds[1]), true, &h2_conf_tunnels, &ops, &server_closed);
	turn(l);
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
	return suite_run(s);
}
