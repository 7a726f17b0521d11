/* SPDX-License-Identifier: Apache-2.0 */
#include <netinet/tcp.h>
#include <string.h>

#include "io/pump.h"
#include "tests/unit/stages.h"

static struct loop *l;
static struct pump p;
static int client, server;          /* the far ends */
static int ended;                   /* -1 while the pump runs, else why */

static void on_done(struct pump *pump, enum fail why)
{
	ended = (int)why;
}

static void start(void)
{
	int down, up;

	l = loop_new(0);
	ended = -1;
	memset(&p, 0, sizeof(p));
	tcp_pair(&down, &client);
	tcp_pair(&up, &server);
	pump_start(&p, sock_accept(l, down), sock_accept(l, up), on_done);
	turn(l);
}

static void stop(void)
{
	if (ended < 0)
		pump_abort(&p, FAIL_DRAIN);
	turn(l);
	loop_free(l);
	close(client);
	close(server);
}

START_TEST(half_close_both_ways)
{
	char buf[16];

	ck_assert_int_eq(send(client, "hello", 5, 0), 5);
	shutdown(client, SHUT_WR);
	turn(l);
	ck_assert_int_eq(recv(server, buf, sizeof(buf), 0), 5);
	ck_assert_int_eq(recv(server, buf, sizeof(buf), 0), 0);
	ck_assert_int_eq(ended, -1);
	ck_assert_int_eq(send(server, "bye", 3, 0), 3);
	shutdown(server, SHUT_WR);
	turn(l);
	ck_assert_int_eq(recv(client, buf, sizeof(buf), 0), 3);
	ck_assert_int_eq(recv(client, buf, sizeof(buf), 0), 0);
	ck_assert_int_eq(ended, FAIL_NONE);
	ck_assert_uint_eq(p.bytes_up, 5);
	ck_assert_uint_eq(p.bytes_down, 3);
}
END_TEST

/* A reset of a side that nobody wants to read, for the other one does not: what it said before still arrives, then both end. */
START_TEST(reset_behind_a_slow_reader)
{
	static char block[1 << 20];
	size_t sent = 0, got = 0;
	ssize_t n;

	fcntl(client, F_SETFL, O_NONBLOCK);
	for (int quiet = 0; quiet < 3; quiet++) {
		while ((n = send(client, block, sizeof(block), MSG_NOSIGNAL)) > 0) {
			sent += (size_t)n;
			quiet = 0;
		}
		turn(l);
	}
	ck_assert_uint_gt(p.up->queued, LIMIT_QUEUE_LOW);
	reset_and_close(client);
	client = -1;
	turn(l);
	ck_assert_int_eq(ended, -1);
	fcntl(server, F_SETFL, O_NONBLOCK);
	for (int i = 0; i < 2000 && ended < 0; i++) {
		while ((n = recv(server, block, sizeof(block), 0)) > 0)
			got += (size_t)n;
		ev_run(l->ev, EVRUN_NOWAIT);
	}
	ck_assert_int_eq(ended, FAIL_CLIENT_RESET);
	ck_assert_uint_gt(got, LIMIT_QUEUE_LOW);
	ck_assert_uint_le(got, sent);
}
END_TEST

START_TEST(reader_that_never_reads_ends)
{
	static char block[1 << 20];

	fcntl(client, F_SETFL, O_NONBLOCK);
	for (int i = 0; i < 3; i++) {
		while (send(client, block, sizeof(block), MSG_NOSIGNAL) > 0)
			;
		turn(l);
	}
	reset_and_close(client);
	client = -1;
	turn(l);
	reset_and_close(server);
	server = -1;
	turn(l);
	ck_assert_int_ge(ended, 0);
}
END_TEST

START_TEST(small_writes_are_not_held_back)
{
	struct addr at;
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	int listener, fd, on = 0;
	struct stage *s;

	ck_assert_int_eq(addr_parse(str_c("127.0.0.1:0"), &at), 0);
	listener = sock_listen(&at, NULL);
	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&sa, &len), 0);
	addr_from_sockaddr(&sa, &at);
	s = sock_connect(l, &at, NULL, NULL, 0);
	turn(l);
	fd = accept(listener, NULL, NULL);
	len = sizeof(on);
	ck_assert_int_eq(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
	ck_assert_int_eq(on, 1);
	on = 0;
	ck_assert_int_eq(getsockopt(sock_fd(s), IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
	ck_assert_int_eq(on, 1);
	stage_done(s, FAIL_CLIENT_RESET);
	close(fd);
	close(listener);
}
END_TEST

START_TEST(reset_stays_reset)
{
	char c;

	reset_and_close(_i ? server : client);
	turn(l);
	ck_assert_int_eq(recv(_i ? client : server, &c, 1, 0), -1);
	ck_assert_int_eq(errno, ECONNRESET);
	ck_assert_int_eq(ended, _i ? FAIL_SERVER_RESET : FAIL_CLIENT_RESET);
	*(_i ? &server : &client) = dup(0);
}
END_TEST

START_TEST(stopped_reader_stops_its_writer)
{
	static char block[65536];
	size_t sent = 0;
	ssize_t n;

	fcntl(client, F_SETFL, O_NONBLOCK);
	for (int quiet = 0; quiet < 3;) {
		n = send(client, block, sizeof(block), 0);
		quiet = n > 0 ? 0 : quiet + 1;
		sent += n > 0 ? (size_t)n : 0;
		turn(l);
		ck_assert_uint_lt(sent, 64u << 20);
	}
	ck_assert_uint_le(p.up->queued, LIMIT_QUEUE_LOW + LIMIT_READ_BYTES);
	ck_assert_uint_gt(p.up->queued, 0);
	/* Once it reads again, everything arrives. */
	shutdown(client, SHUT_WR);
	for (size_t got = 0; got < sent; got += (size_t)n) {
		ev_run(l->ev, EVRUN_NOWAIT);
		n = recv(server, block, sizeof(block), MSG_DONTWAIT);
		ck_assert(n > 0 || errno == EAGAIN);
		n = n < 0 ? 0 : n;
	}
}
END_TEST

/* The server answers, ends, and resets because the client goes on sending: the answer was said and must arrive. */
START_TEST(reset_after_the_end_takes_nothing_back)
{
	static char answer[200000];
	size_t got = 0;
	ssize_t n;

	ck_assert_int_eq(send(server, answer, sizeof(answer), 0), sizeof(answer));
	close(server);
	turn(l);
	ck_assert_int_eq(send(client, "more", 4, 0), 4);
	turn(l);
	ck_assert_int_eq(send(client, "more", 4, MSG_NOSIGNAL) >= 0 || errno == EPIPE, 1);
	turn(l);
	while ((n = recv(client, answer, sizeof(answer), 0)) > 0)
		got += (size_t)n;
	ck_assert_uint_eq(got, sizeof(answer));
	ck_assert_int_eq(n, 0);
	server = dup(0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("pump");
	TCase *t = tcase_create("pump");

	tcase_add_checked_fixture(t, start, stop);
	tcase_set_timeout(t, 20);
	tcase_add_test(t, half_close_both_ways);
	tcase_add_test(t, small_writes_are_not_held_back);
	tcase_add_test(t, reset_behind_a_slow_reader);
	tcase_add_test(t, reader_that_never_reads_ends);
	tcase_add_loop_test(t, reset_stays_reset, 0, 2);
	tcase_add_test(t, stopped_reader_stops_its_writer);
	tcase_add_test(t, reset_after_the_end_takes_nothing_back);
	suite_add_tcase(s, t);
	return suite_run(s);
}
