/* SPDX-License-Identifier: Apache-2.0 */
#include "http/h1post.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "tests/unit/stages.h"

static struct loop *l;
static int listener, ends, status;
static uint16_t port;
static char body[128], error[256];

static void start(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(at);

	l = loop_new(-1);
	listener = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&at, sizeof(at)), 0);
	ck_assert_int_eq(listen(listener, 4), 0);
	getsockname(listener, (struct sockaddr *)&at, &len);
	port = ntohs(at.sin_port);
	ends = 0;
}

static void stop(void)
{
	close(listener);
	turn(l);
	loop_free(l);
}

static void on_done(void *arg, const struct h1post_reply *r)
{
	ends++;
	status = r->status;
	snprintf(body, sizeof(body), "%.*s", STR_FMT(r->body));
	snprintf(error, sizeof(error), "%s", r->error);
}

static struct h1post *post(unsigned deadline_ms)
{
	static struct dial_conf dial;
	struct http_field f = { str_c("x-token"), str_c("abc") };

	dial = (struct dial_conf){ .host = str_c("127.0.0.1"), .port = port };
	return h1post_start(l, &(struct h1post_conf){ .dial = &dial, .authority = str_c("here:1"), .path = str_c("/v1/traces"),
			    .content_type = str_c("text/plain"), .fields = &f, .n_fields = 1, .body = "hello", .body_bytes = 5, .deadline_ms = deadline_ms },
			    on_done, NULL);
}

static void until_done(void)
{
	for (int i = 0; i < 200 && !ends; i++)
		turn(l);
	ck_assert_int_eq(ends, 1);
}

START_TEST(answers)
{
	static const struct {
		const char *wire;
		int status;
		const char *body;
	} rows[] = {
		{ "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "ok" },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n", 200, "abcd" },
		{ "HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n", 503, "" },
		{ "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, "x" },
		{ "HTTP/1.1 200 OK\r\n\r\nuntil the end", 200, "until the end" },
		{ "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", 302, "" },
		{ "nonsense\r\n\r\n", 0, "" },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", 0, "" },
		{ "", 0, "" },
	};
	static const char want[] = "POST /v1/traces HTTP/1.1\r\nHost: here:1\r\nUser-Agent: meshd/" PACKAGE_VERSION "\r\nContent-Type: text/plain\r\n"
				   "Content-Length: 5\r\nx-token: abc\r\nConnection: close\r\n\r\nhello";
	char got[1024];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t n = 0, step = i % 2 ? 1 : 1000;
		int fd;

		ends = 0;
		ck_assert_ptr_nonnull(post(10000));
		turn(l);
		fd = accept(listener, NULL, NULL);
		while (n < sizeof(want) - 1) {
			ssize_t r;

			turn(l);
			r = recv(fd, got + n, sizeof(got) - n, 0);
			ck_assert_int_gt(r, 0);
			n += (size_t)r;
		}
		ck_assert_uint_eq(n, sizeof(want) - 1);
		ck_assert_int_eq(memcmp(got, want, n), 0);
		for (size_t at = 0; at < strlen(rows[i].wire); at += step)
			send(fd, rows[i].wire + at, strlen(rows[i].wire) - at < step ? strlen(rows[i].wire) - at : step, MSG_NOSIGNAL);
		shutdown(fd, SHUT_WR);
		until_done();
		ck_assert_msg(status == rows[i].status, "row %zu: %d %s", i, status, error);
		ck_assert_str_eq(body, rows[i].body);
		ck_assert((error[0] == 0) == (rows[i].status != 0));
		close(fd);
	}
}
END_TEST

START_TEST(nobody_there)
{
	close(listener);
	post(10000);
	until_done();
	ck_assert_int_eq(status, 0);
	ck_assert_ptr_nonnull(strstr(error, "refused"));
}
END_TEST

START_TEST(no_answer)
{
	post(50);
	until_done();
	ck_assert_str_eq(error, "no answer within 50 ms");
}
END_TEST

START_TEST(cancelled)
{
	h1post_cancel(post(50));
	turn(l);
	turn(l);
	turn(l);
	ck_assert_int_eq(ends, 0);
}
END_TEST

/* An endless answer is read to its end or the deadline, but not kept. */
START_TEST(long_answers_are_cut)
{
	static char much[1 << 20];
	int fd, near;

	memset(much, 'a', sizeof(much));
	post(10000);
	turn(l);
	fd = accept(listener, NULL, NULL);
	turn(l);
	near = fcntl(fd, F_SETFL, O_NONBLOCK);
	ck_assert_int_eq(near, 0);
	ck_assert_int_gt(send(fd, "HTTP/1.1 200 OK\r\n\r\n", 19, 0), 0);
	for (size_t at = 0; at < sizeof(much);) {
		ssize_t r = send(fd, much + at, sizeof(much) - at, MSG_NOSIGNAL);

		at += r > 0 ? (size_t)r : 0;
		ev_run(l->ev, EVRUN_NOWAIT);
	}
	shutdown(fd, SHUT_WR);
	until_done();
	ck_assert_int_eq(status, 200);
	close(fd);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("h1post");
	TCase *t = tcase_create("h1post");

	tcase_add_checked_fixture(t, start, stop);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, answers);
	tcase_add_test(t, nobody_there);
	tcase_add_test(t, no_answer);
	tcase_add_test(t, cancelled);
	tcase_add_test(t, long_answers_are_cut);
	suite_add_tcase(s, t);
	return suite_run(s);
}
