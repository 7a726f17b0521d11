/* SPDX-License-Identifier: Apache-2.0 */
/* The benchmark's loads, in one small program. The first byte of a connection says what the server does with it:
 * 'e' echoes it all, 'u' counts until EOF and answers the count, 'd' sends until the client goes; 'G' is HTTP/1.1 with answers of 1 KiB.
 *   load serve PORT
 *   load echo IP PORT CONNECTIONS SECONDS RATE NEW    RATE 0: as fast as it goes. NEW 1: a connection for each message
 *   load http IP PORT CONNECTIONS SECONDS RATE NEW    the same with GET requests
 *   load bulk IP PORT SECONDS u|d
 *   load hold IP PORT CONNECTIONS echo|http           holds them, after one message each, until stdin ends
 * Results are JSON on stdout. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define MESSAGE 1024
#define BLOCK   (256 * 1024)

struct conn {
	int fd;
	char kind;               /* server: 0 until the first byte came */
	bool busy;
	size_t got, unsent;      /* client: of the answer. server: of what is to be echoed */
	uint64_t started_ns, bytes;
	char buf[MESSAGE * 16];
};

static char block[BLOCK];
static int ep;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void watch(struct conn *c, int op, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = c };

	if (epoll_ctl(ep, op, c->fd, &e) < 0)
		die("epoll_ctl");
}

static void set_up(int fd)
{
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

/* --- the server --- */

static void server_close(struct conn *c)
{
	close(c->fd);
	free(c);
}

static bool server_echo(struct conn *c)
{
	for (;;) {
		ssize_t n;

		if (c->unsent == 0) {
			n = recv(c->fd, c->buf, sizeof(c->buf), 0);
			if (n <= 0)
				return n < 0 && errno == EAGAIN;
			c->unsent = c->got = (size_t)n;
		}
		n = send(c->fd, c->buf + (c->got - c->unsent), c->unsent, MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN;
		c->unsent -= (size_t)n;
		if (c->unsent == 0 && c->got < sizeof(c->buf))
			return true;         /* a short read: there is no more now */
	}
}

/* Answers each whole head; requests have no bodies. */
static bool server_http(struct conn *c)
{
	static char reply[2 * MESSAGE];
	ssize_t n = recv(c->fd, c->buf + c->got, sizeof(c->buf) - c->got, 0);
	char *at = c->buf, *end;

	if (n <= 0)
		return n < 0 && errno == EAGAIN;
	if (!*reply)
		sprintf(reply, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%0*d", MESSAGE, MESSAGE, 0);
	c->got += (size_t)n;
	while ((end = memmem(at, c->got, "\r\n\r\n", 4))) {
		size_t size = strlen(reply);

		if (send(c->fd, reply, size, MSG_NOSIGNAL) != (ssize_t)size)
			return false;
		c->got -= (size_t)(end + 4 - at);
		at = end + 4;
	}
	memmove(c->buf, at, c->got);
	return c->got < sizeof(c->buf);
}

static bool server_turn(struct conn *c)
{
	ssize_t n;

	if (c->kind == 0) {
		if (recv(c->fd, &c->kind, 1, MSG_PEEK) <= 0)
			return false;
		if (c->kind == 'd')
			watch(c, EPOLL_CTL_MOD, EPOLLOUT);
	}
	if (c->kind == 'G')
		return server_http(c);
	if (c->kind == 'e') {
		bool more = server_echo(c);

		if (more)
			watch(c, EPOLL_CTL_MOD, c->unsent ? EPOLLOUT : EPOLLIN);
		return more;
	}
	if (c->kind == 'd') {
		n = send(c->fd, block, BLOCK, MSG_NOSIGNAL);
		return n >= 0 || errno == EAGAIN;
	}
	n = recv(c->fd, block, BLOCK, 0);
	if (n > 0)
		c->bytes += (uint64_t)n;
	else if (n == 0)
		send(c->fd, &c->bytes, sizeof(c->bytes), MSG_NOSIGNAL);
	return n > 0 || (n < 0 && errno == EAGAIN);
}

static void serve(int port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	struct conn listener = { .fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0) };
	struct epoll_event ev[256];
	int one = 1;

	setsockopt(listener.fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener.fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(listener.fd, 4096) < 0)
		die("listen");
	watch(&listener, EPOLL_CTL_ADD, EPOLLIN);
	for (;;) {
		int n = epoll_wait(ep, ev, 256, -1);

		for (int i = 0; i < n; i++) {
			struct conn *c = ev[i].data.ptr;
			int fd;

			if (c != &listener) {
				if (!server_turn(c))
					server_close(c);
				continue;
			}
			while ((fd = accept4(listener.fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
				c = calloc(1, sizeof(*c));
				c->fd = fd;
				set_up(fd);
				watch(c, EPOLL_CTL_ADD, EPOLLIN);
			}
		}
	}
}

/* --- clients --- */

static struct sockaddr_in to;

static void dial(struct conn *c)
{
	c->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		die("connect");
	set_up(c->fd);
	fcntl(c->fd, F_SETFL, O_NONBLOCK);
	watch(c, EPOLL_CTL_ADD, EPOLLIN);
}

static bool http;
static char message[MESSAGE] = "e";
static size_t message_bytes = MESSAGE;

static void ask(struct conn *c, uint64_t due_ns)
{
	c->started_ns = due_ns;
	c->got = 0;
	c->busy = true;
	if (send(c->fd, message, message_bytes, MSG_NOSIGNAL) != (ssize_t)message_bytes)
		die("send");
}

/* How long the answer is, 0: not known yet. An answer that is not 200 ends the run. */
static size_t answer_bytes(const struct conn *c)
{
	const char *end, *length;

	if (!http)
		return MESSAGE;
	end = memmem(c->buf, c->got, "\r\n\r\n", 4);
	if (!end)
		return 0;
	if (memcmp(c->buf, "HTTP/1.1 200", 12) != 0) {
		fprintf(stderr, "%.*s\n", (int)c->got, c->buf);
		exit(1);
	}
	length = strcasestr(c->buf, "\r\ncontent-length: ");
	return (size_t)(end + 4 - c->buf) + (length && length < end ? strtoul(length + 18, NULL, 10) : 0);
}

struct echo {
	struct conn *conn;
	int conns;
	bool fresh;
	uint64_t gap_ns, next_ns;      /* open loop; gap 0: closed loop */
	uint32_t *us;                  /* of each answer */
	size_t n, cap, failed;
};

/* Takes what came; true when the answer is whole. */
static bool answered(struct echo *e, struct conn *c)
{
	ssize_t n = recv(c->fd, c->buf + c->got, sizeof(c->buf) - 1 - c->got, 0);
	size_t want;

	if (n <= 0) {
		if (n < 0 && errno == EAGAIN)
			return false;
		e->failed++;
		close(c->fd);
		dial(c);
		return true;
	}
	c->got += (size_t)n;
	c->buf[c->got] = 0;
	want = answer_bytes(c);
	if (want == 0 || c->got < want)
		return false;
	if (e->n < e->cap)
		e->us[e->n++] = (uint32_t)((now_ns() - c->started_ns) / 1000);
	return true;
}

static void ask_due(struct echo *e, uint64_t now)
{
	for (int i = 0; i < e->conns && e->next_ns <= now; i++) {
		if (e->conn[i].busy)
			continue;
		ask(&e->conn[i], e->next_ns);
		e->next_ns += e->gap_ns;
	}
}

static struct timespec wait_time(const struct echo *e, uint64_t now, uint64_t end)
{
	uint64_t until = e->gap_ns && e->next_ns > now && e->next_ns < end ? e->next_ns : end;

	return (struct timespec){ (time_t)((until - now) / 1000000000u), (long)((until - now) % 1000000000u) };
}

static void echo_loop(struct echo *e, uint64_t end)
{
	struct epoll_event ev[256];
	uint64_t now;

	while ((now = now_ns()) < end) {
		struct timespec wait;
		int n;

		if (e->gap_ns)
			ask_due(e, now);
		wait = wait_time(e, now, end);
		n = epoll_pwait2(ep, ev, 256, &wait, NULL);
		for (int i = 0; i < n; i++) {
			struct conn *c = ev[i].data.ptr;

			if (!answered(e, c))
				continue;
			c->busy = false;
			if (e->fresh) {
				close(c->fd);
				dial(c);
			}
			if (!e->gap_ns)
				ask(c, now_ns());
		}
	}
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static int echo(int conns, double seconds, double rate, bool fresh)
{
	struct echo e = { .conns = conns, .fresh = fresh, .cap = 10000000 };
	uint64_t start;

	e.conn = calloc((size_t)conns, sizeof(*e.conn));
	e.us = malloc(e.cap * sizeof(*e.us));
	for (int i = 0; i < conns; i++)
		dial(&e.conn[i]);
	start = now_ns();
	e.gap_ns = rate > 0 ? (uint64_t)(1e9 / rate) : 0;
	e.next_ns = start;
	for (int i = 0; i < conns && !e.gap_ns; i++)
		ask(&e.conn[i], now_ns());
	echo_loop(&e, start + (uint64_t)(seconds * 1e9));
	if (e.n == 0)
		return fprintf(stderr, "no answer came\n"), 1;
	qsort(e.us, e.n, sizeof(*e.us), by_value);
	printf("{\"n\": %zu, \"failed\": %zu, \"rate\": %.1f, \"p50\": %u, \"p99\": %u}\n", e.n, e.failed,
	       (double)e.n / ((double)(now_ns() - start) / 1e9), e.us[e.n / 2], e.us[e.n * 99 / 100]);
	return 0;
}

static int bulk(double seconds, char kind)
{
	struct conn c = { 0 };
	uint64_t start = now_ns(), end = start + (uint64_t)(seconds * 1e9), bytes = 0;
	ssize_t n;

	dial(&c);
	fcntl(c.fd, F_SETFL, 0);
	memset(block, kind, sizeof(block));
	if (kind == 'd')
		send(c.fd, "d", 1, 0);
	while (now_ns() < end) {
		n = kind == 'd' ? recv(c.fd, block, BLOCK, 0) : send(c.fd, block, BLOCK, MSG_NOSIGNAL);
		if (n <= 0)
			die("bulk");
		bytes += (uint64_t)n;
	}
	if (kind == 'u') {
		shutdown(c.fd, SHUT_WR);
		if (recv(c.fd, &bytes, sizeof(bytes), MSG_WAITALL) != sizeof(bytes))
			die("count");
	}
	printf("{\"bytes\": %llu, \"seconds\": %.3f}\n", (unsigned long long)bytes, (double)(now_ns() - start) / 1e9);
	return 0;
}

static int hold(int conns)
{
	struct conn *c = calloc((size_t)conns, sizeof(*c));
	int held = 0;
	char b;

	for (int i = 0; i < conns; i++) {
		struct echo e = { .conn = &c[i] };

		dial(&c[i]);
		fcntl(c[i].fd, F_SETFL, 0);
		ask(&c[i], 0);
		while (!answered(&e, &c[i]))
			;
		held += e.failed == 0;
	}
	printf("%d\n", held);
	fflush(stdout);
	return read(0, &b, 1) < 0;
}

int main(int argc, char **argv)
{
	struct rlimit r;

	getrlimit(RLIMIT_NOFILE, &r);
	r.rlim_cur = r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
	ep = epoll_create1(0);
	if (argc == 3 && strcmp(argv[1], "serve") == 0)
		serve((int)strtol(argv[2], NULL, 10));
	if (argc < 5)
		return fprintf(stderr, "usage: see the head of load.c\n"), 2;
	to = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)strtol(argv[3], NULL, 10)) };
	inet_pton(AF_INET, argv[2], &to.sin_addr);
	http = strcmp(argv[1], "http") == 0 || strcmp(argv[argc - 1], "http") == 0;
	if (http)
		message_bytes = (size_t)sprintf(message, "GET /some/path?x=1 HTTP/1.1\r\nHost: server:%s\r\nUser-Agent: load\r\nAccept: */*\r\n\r\n", argv[3]);
	if ((strcmp(argv[1], "http") == 0 || strcmp(argv[1], "echo") == 0) && argc == 8)
		return echo((int)strtol(argv[4], NULL, 10), strtod(argv[5], NULL), strtod(argv[6], NULL), argv[7][0] == '1');
	if (strcmp(argv[1], "bulk") == 0 && argc == 6)
		return bulk(strtod(argv[4], NULL), argv[5][0]);
	if (strcmp(argv[1], "hold") == 0)
		return hold((int)strtol(argv[4], NULL, 10));
	return 2;
}
