/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "http/h1server.h"
#include "io/loop.h"

#define BIG (3u << 20)
#define PIECES 400            /* more than the kernel keeps of a reply that nobody reads */

static struct loop *loop;
static struct h1server *server;
static struct addr addr;
static char reply[32u << 20];
static size_t reply_len;

static void turn(void)
{
	ev_run(loop->ev, EVRUN_NOWAIT);
}

static void on_echo(struct h1server_request *rq, void *arg)
{
	struct str a = { 0 }, h = h1server_header(rq, "x-test");
	bool given = h1server_query(rq, "a", &a);

	h1server_reply_text(rq, 200, "%.*s a=%s%.*s h=%.*s host=%.*s\n", STR_FMT(h1server_method(rq)), given ? "" : "(none)", STR_FMT(a),
			    (int)h.n, h.p ? h.p : "", STR_FMT(h1server_header(rq, "host")));
}

static void on_big(struct h1server_request *rq, void *arg)
{
	struct buf b = { 0 };

	memset(buf_reserve(&b, BIG), 'x', BIG);
	buf_added(&b, BIG);
	h1server_reply(rq, 200, "text/plain", &b);
}

/* Pieces of 64 KiB; fails the test when it is asked after its end. */
static struct {
	int made, ended;
} streamed;

static bool stream_more(void *arg, struct buf *out)
{
	ck_assert_int_eq(streamed.ended, 0);
	memset(buf_reserve(out, 65536), 'a' + streamed.made % 26, 65536);
	buf_added(out, streamed.made == 7 ? 0 : 65536);   /* a piece may be empty */
	return ++streamed.made < PIECES;
}

static void stream_done(void *arg)
{
	streamed.ended++;
}

static void on_stream(struct h1server_request *rq, void *arg)
{
	streamed.made = streamed.ended = 0;
	h1server_reply_stream(rq, 200, "text/plain", &(struct h1server_stream){ stream_more, stream_done, NULL });
}

static void on_silent(struct h1server_request *rq, void *arg)
{
}

static bool admit(struct h1server_request *rq, void *arg)
{
	if (!str_is(h1server_header(rq, "host"), "evil"))
		return true;
	h1server_reply_text(rq, 403, "no\n");
	return false;
}

static const struct h1server_route routes[] = {
	{ "GET", "/echo", on_echo }, { "POST", "/post", on_echo }, { NULL, "/any", on_echo }, { "GET", "/big", on_big },
	{ "GET", "/silent", on_silent }, { "GET", "/stream", on_stream },
};
static const struct h1server_site site = { .routes = routes, .n_routes = ARRAY_LEN(routes), .admit = admit };

static void setup(void)
{
	struct err err;

	loop = loop_new(-1);
	ck_assert_int_eq(addr_parse(str_c("127.0.0.1:0"), &addr), 0);
	ck_assert_int_eq(h1server_open(loop, &addr, &site, &server, &err), 0);
	h1server_addr(server, &addr);
	ck_assert(addr.port != 0);
}

static void teardown(void)
{
	h1server_close(server);
	turn();
	loop_free(loop);
}

static int dial(void)
{
	struct sockaddr_storage sa;
	socklen_t len = addr_to_sockaddr(&addr, 0, &sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&sa, len), 0);
	return fd;
}

/* Turns the loop until fd ended (true) or has been quiet for some turns. */
static bool collect(int fd, unsigned ms)
{
	reply_len = 0;
	for (unsigned quiet = 0; quiet < ms; quiet++) {
		ssize_t n;

		turn();
		while ((n = recv(fd, reply + reply_len, sizeof(reply) - 1 - reply_len, MSG_DONTWAIT)) > 0) {
			reply_len += (size_t)n;
			quiet = 0;
		}
		reply[reply_len] = '\0';
		if (n == 0 || (n < 0 && errno != EAGAIN))
			return true;
		usleep(1000);
	}
	return false;
}

static void push(int fd, const char *text)
{
	ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static const struct {
	const char *send, *want;
	bool closes;
} rows[] = {
	{ "GET /echo HTTP/1.1\r\nHost: h\r\n\r\n", "GET a=(none) h= host=h\n", false },
	{ "GET /echo HTTP/1.0\r\n\r\n", "connection: close\r\n", true },
	{ "GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "connection: keep-alive\r\n", false },
	{ "GET /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "connection: close\r\n", true },
	{ "GET /echo?b=1&a=x%20y+z%zz HTTP/1.1\r\nHost: h\r\nX-TEST: v\r\n\r\n", "GET a=x y z%zz h=v host=h\n", false },
	{ "GET /echo?a HTTP/1.1\r\nHost: h\r\n\r\n", "GET a= h= host=h\n", false },
	{ "GET http://other:1/echo HTTP/1.1\r\nHost: h\r\n\r\n", "host=other:1\n", false },
	{ "POST /post HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", "POST a=", false },
	{ "POST /post HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "POST a=", false },
	{ "DELETE /any HTTP/1.1\r\nHost: h\r\n\r\n", "DELETE a=", false },
	{ "GET /post HTTP/1.1\r\nHost: h\r\n\r\n", "405 Method Not Allowed\r\n", false },
	{ "GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n", "404 Not Found\r\n", false },
	{ "GET /silent HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 500 ", false },
	{ "GET /echo HTTP/1.1\r\nHost: evil\r\n\r\n", "403 Forbidden\r\n", false },
	{ "GET /echo HTTP/1.1\r\n\r\n", "400 Bad Request\r\n", true },
	{ "GET /echo HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n", "400 Bad Request\r\n", true },
	{ "rubbish\r\n\r\n", "400 Bad Request\r\n", true },
	{ "\x16\x03\x01\x02\x00\x01\x00\x01", "400 Bad Request\r\n", true },
	{ "GET /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "400 Bad Request\r\n", true },
	{ "POST /post HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n", "413 Content Too Large\r\n", true },
	{ "CONNECT a:1 HTTP/1.1\r\nHost: h\r\n\r\n", "404 Not Found\r\n", true },
};

START_TEST(answers)
{
	int fd = dial();

	push(fd, rows[_i].send);
	ck_assert_int_eq(collect(fd, 50), rows[_i].closes);
	ck_assert_msg(strstr(reply, rows[_i].want) != NULL, "want '%s', got '%s'", rows[_i].want, reply);
	close(fd);
}
END_TEST

START_TEST(head_has_no_body)
{
	int fd = dial();

	push(fd, "HEAD /echo HTTP/1.1\r\nHost: h\r\n\r\n");
	collect(fd, 50);
	ck_assert(strstr(reply, "content-length: 24\r\n"));
	ck_assert(str_ends((struct str){ reply, reply_len }, str_c("\r\n\r\n")));
	close(fd);
}
END_TEST

START_TEST(keeps_alive_and_takes_pipelines)
{
	int fd = dial();

	push(fd, "GET /echo?a=1 HTTP/1.1\r\nHost: h\r\n\r\nPOST /post?a=2 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nxxGET /ec");
	collect(fd, 30);
	ck_assert(strstr(reply, "GET a=1 ") && strstr(reply, "POST a=2 "));
	push(fd, "ho?a=3 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nGET /echo?a=4 HTTP/1.1\r\n");
	ck_assert(collect(fd, 100));
	ck_assert(strstr(reply, "GET a=3 ") && !strstr(reply, "a=4"));
	close(fd);
}
END_TEST

START_TEST(byte_by_byte)
{
	const char *text = "GET /echo?a=slow HTTP/1.1\r\nHost: h\r\nX-Test: value\r\n\r\n";
	int fd = dial();

	for (; *text; text++) {
		ck_assert_int_eq(send(fd, text, 1, 0), 1);
		turn();
	}
	collect(fd, 50);
	ck_assert_msg(strstr(reply, "GET a=slow h=value host=h\n") != NULL, "%s", reply);
	close(fd);
}
END_TEST

START_TEST(heads_are_bounded)
{
	char big[LIMIT_ADMIN_HEAD_BYTES + 64];
	int fd = dial();

	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	push(fd, "GET /echo HTTP/1.1\r\nHost: h\r\nX-Test: ");
	push(fd, big);
	ck_assert(collect(fd, 100));
	ck_assert(strstr(reply, "HTTP/1.1 431 "));
	close(fd);
	fd = dial();
	push(fd, "GET /echo HTTP/1.1\r\nHost: h\r\n");
	for (int i = 0; i < 100; i++)
		push(fd, "A: b\r\n");
	ck_assert(collect(fd, 100));
	ck_assert(strstr(reply, "HTTP/1.1 431 "));
	close(fd);
	fd = dial();
	push(fd, "GET /");
	push(fd, big);
	ck_assert(collect(fd, 100));
	ck_assert(strstr(reply, "HTTP/1.1 431 "));
	close(fd);
}
END_TEST

START_TEST(big_replies_wait_for_the_reader)
{
	int fd = dial();

	push(fd, "GET /big HTTP/1.1\r\nHost: h\r\n\r\nGET /echo?a=after HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
	for (int i = 0; i < 20; i++)
		turn();
	ck_assert(collect(fd, 200));
	ck_assert(reply_len > BIG);
	ck_assert(strstr(reply, "GET a=after "));
	close(fd);
}
END_TEST

START_TEST(streams)
{
	int fd = dial();
	char *p;

	push(fd, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\nGET /echo?a=after HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
	for (int i = 0; i < 20; i++)
		turn();
	ck_assert_int_eq(streamed.ended, 0);          /* the client reads nothing: so nothing is made ahead */
	ck_assert_int_lt(streamed.made, PIECES);
	ck_assert(collect(fd, 200));
	ck_assert_int_eq(streamed.made, PIECES);
	ck_assert_int_eq(streamed.ended, 1);
	ck_assert(strstr(reply, "transfer-encoding: chunked\r\n"));
	p = strstr(reply, "\r\n\r\n") + 4;
	for (int i = 0; i < PIECES; i++) {
		if (i == 7)
			continue;
		ck_assert_msg(strncmp(p, "10000\r\n", 7) == 0, "piece %d", i);
		ck_assert_int_eq(p[7], 'a' + i % 26);
		ck_assert_int_eq(p[7 + 65535], 'a' + i % 26);
		p += 7 + 65536 + 2;
	}
	ck_assert_int_eq(strncmp(p, "0\r\n\r\nHTTP/1.1 200 OK", 17), 0);
	ck_assert(strstr(p, "GET a=after "));
	close(fd);

	/* Without chunks the connection's end is the body's. */
	fd = dial();
	push(fd, "GET /stream HTTP/1.0\r\n\r\n");
	ck_assert(collect(fd, 200));
	ck_assert(!strstr(reply, "chunked"));
	ck_assert_int_eq((int)(reply + reply_len - strstr(reply, "\r\n\r\n") - 4), (PIECES - 1) * 65536);
	close(fd);

	fd = dial();
	push(fd, "HEAD /stream HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
	ck_assert(collect(fd, 100));
	ck_assert_int_eq(streamed.made, 0);
	ck_assert_int_eq(streamed.ended, 1);
	close(fd);

	/* A client that goes ends it. */
	fd = dial();
	push(fd, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
	for (int i = 0; i < 20; i++)
		turn();
	ck_assert_int_eq(streamed.ended, 0);
	close(fd);
	for (int i = 0; i < 500 && !streamed.ended; i++) {
		turn();
		usleep(1000);
	}
	ck_assert_int_eq(streamed.ended, 1);
	ck_assert_int_lt(streamed.made, PIECES);
}
END_TEST

START_TEST(slow_heads_are_ended)
{
	int fd = dial();

	push(fd, "GET /echo HTTP/1.1\r\n");
	ck_assert(!collect(fd, H1SERVER_HEAD_MS / 4));
	ck_assert(collect(fd, H1SERVER_HEAD_MS * 2));
	ck_assert(strstr(reply, "HTTP/1.1 408 "));
	close(fd);
}
END_TEST

START_TEST(the_longest_quiet_makes_room)
{
	int fd[LIMIT_ADMIN_CONNS + 1];

	for (int i = 0; i <= LIMIT_ADMIN_CONNS; i++) {
		fd[i] = dial();
		turn();
		turn();
	}
	push(fd[LIMIT_ADMIN_CONNS], "GET /echo HTTP/1.1\r\nHost: h\r\n\r\n");
	collect(fd[LIMIT_ADMIN_CONNS], 20);
	ck_assert(strstr(reply, "200 OK"));
	ck_assert(collect(fd[0], 20));
	ck_assert(!collect(fd[1], 20));
	for (int i = 0; i <= LIMIT_ADMIN_CONNS; i++)
		close(fd[i]);
}
END_TEST

START_TEST(reachable_without_descriptors)
{
	struct rlimit old, none;
	int fd[2], top;

	turn();
	fd[0] = dial();
	fd[1] = dial();
	getrlimit(RLIMIT_NOFILE, &old);
	top = dup(fd[0]);
	close(top);
	none = (struct rlimit){ (rlim_t)top, old.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	for (int i = 0; i < 2; i++) {
		push(fd[i], "GET /echo HTTP/1.1\r\nHost: h\r\n\r\n");
		collect(fd[i], 30);
		ck_assert(strstr(reply, "200 OK"));
	}
	close(fd[0]);
	close(fd[1]);
	for (int i = 0; i < 5; i++)
		turn();
	setrlimit(RLIMIT_NOFILE, &old);
}
END_TEST

START_TEST(addresses_in_use_are_told)
{
	struct h1server *second;
	struct err err;

	ck_assert_int_eq(h1server_open(loop, &addr, &site, &second, &err), -EADDRINUSE);
	ck_assert(strstr(err.msg, "another proxy"));
}
END_TEST

START_TEST(unix_socket)
{
	char dir[] = "/tmp/h1server.XXXXXX", path[64];
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct h1server *u, *second;
	struct stat st;
	struct err err;
	int fd;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	ck_assert_int_eq(h1server_open_unix(loop, path, &site, &u, &err), 0);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0600);
	ck_assert_int_eq(h1server_open_unix(loop, path, &site, &second, &err), -EADDRINUSE);
	memcpy(sa.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	push(fd, "GET /echo HTTP/1.1\r\nHost: h\r\n\r\n");
	collect(fd, 30);
	ck_assert(strstr(reply, "200 OK"));
	h1server_close(u);
	ck_assert(collect(fd, 30));
	ck_assert_int_eq(stat(path, &st), -1);
	close(fd);
	/* A stale one is replaced, something else is not. */
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	close(fd);
	ck_assert_int_eq(h1server_open_unix(loop, path, &site, &u, &err), 0);
	h1server_close(u);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	ck_assert_int_eq(h1server_open_unix(loop, path, &site, &u, &err), -EEXIST);
	unlink(path);
	rmdir(dir);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("h1server");
	TCase *t = tcase_create("h1server");
	SRunner *sr;
	int failures;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 20);
	tcase_add_loop_test(t, answers, 0, (int)ARRAY_LEN(rows));
	tcase_add_test(t, head_has_no_body);
	tcase_add_test(t, keeps_alive_and_takes_pipelines);
	tcase_add_test(t, byte_by_byte);
	tcase_add_test(t, heads_are_bounded);
	tcase_add_test(t, big_replies_wait_for_the_reader);
	tcase_add_test(t, streams);
	tcase_add_test(t, slow_heads_are_ended);
	tcase_add_test(t, the_longest_quiet_makes_room);
	tcase_add_test(t, reachable_without_descriptors);
	tcase_add_test(t, addresses_in_use_are_told);
	tcase_add_test(t, unix_socket);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failures = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failures != 0;
}
