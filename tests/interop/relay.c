/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP core alone: a proxy without filters in front of one server.
 * relay [-l] [-k] [-a] [-t MS] PORT UPSTREAM_PORT h1|h2: listens on 127.0.0.1:PORT (0: any; "listening on PORT" is printed), takes either
 * version there and speaks the given one behind. -l prints a line for each exchange: status, flag, details, bytes; -k keeps the
 * case of names; -a listens on every address; -t is the patience with slow clients. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/epoch.h"
#include "http/exchange.h"
#include "io/listen.h"
#include "io/sock.h"

#define DIALLING 256

struct upstream {
	struct list link;            /* idle */
	struct http_conn *conn;      /* NULL: it is dialled */
	struct stage *sock;
	struct exchange *first;      /* what it was dialled for; NULL */
};

struct try {
	struct upstream *dialled;    /* for this one; NULL */
	bool again;
};

static struct loop *loop;
static struct addr server;
static enum http_codec codec;
static bool log_lines;
static struct list idle;
static int dialling;
static struct exchange_client nobody;
static struct http_conn_conf server_conf;

/* ---- to the server ---- */

static void no_server(struct exchange *x, enum fail why)
{
	exchange_reply(x, why, 0, NULL, (struct str){ 0 }, NULL, 0);
}

/* A switch over HTTP/2 waits for the server's SETTINGS. */
static void send_first(struct upstream *u)
{
	struct exchange *x = u->first;

	if (!x)
		return;
	errno = 0;
	if (exchange_send(x, u->conn) || errno != EAGAIN) {
		u->first = NULL;
		((struct try *)x->router)->dialled = NULL;
	}
	if (!x->up && errno != EAGAIN)
		no_server(x, FAIL_CONNECT);
}

static void on_room(struct http_conn *c, void *arg)
{
	struct upstream *u = arg;

	send_first(u);
	list_del(&u->link);
	if (http_conn_room(c) > 0)
		list_add_tail(&idle, &u->link);
}

static void on_upstream_closed(struct http_conn *c, enum fail why, const char *detail, void *arg)
{
	struct upstream *u = arg;

	list_del(&u->link);
	if (u->first)
		no_server(u->first, why);
	free(u);
}

static const struct http_conn_ops upstream_ops = { .on_room = on_room, .on_closed = on_upstream_closed };

static void on_dialled(struct stage *s, enum stage_event ev, const struct iovec *iov, int n)
{
	struct upstream *u = s->arg;
	struct exchange *x = u->first;

	dialling--;
	if (ev == STAGE_CLOSED) {
		stage_done(s, s->fail);
		if (x)
			no_server(x, s->fail);
		free(u);
		return;
	}
	if (!x) {
		stage_done(s, FAIL_NONE);
		free(u);
		return;
	}
	u->conn = http_conn_client(s, codec, &http_conn_default, &upstream_ops, u);
	if (!u->conn) {
		no_server(x, FAIL_MEMORY);
		free(u);
		return;
	}
	send_first(u);
	if (codec == HTTP_CODEC_H2)
		list_add_tail(&idle, &u->link);
}

static void dial(struct exchange *x)
{
	struct upstream *u;

	if (dialling == DIALLING) {
		no_server(x, FAIL_OVERFLOW);
		return;
	}
	dialling++;
	u = calloc(1, sizeof(*u));
	list_init(&u->link);
	u->first = x;
	((struct try *)x->router)->dialled = u;
	u->sock = sock_connect(loop, &server, NULL, NULL, 0);
	u->sock->on_event = on_dialled;
	u->sock->arg = u;
}

static void start(struct exchange *x)
{
	if (!x->router)
		x->router = arena_alloc(&x->arena, sizeof(struct try));
	x->log.attempts++;
	list_each_safe(at, next, &idle) {
		struct upstream *u = container_of(at, struct upstream, link);

		if (codec == HTTP_CODEC_H1)
			list_del(&u->link);
		if (http_conn_room(u->conn) <= 0)
			continue;
		if (exchange_send(x, u->conn))
			return;
	}
	dial(x);
}

static bool on_failed(struct exchange *x, enum fail why, bool refused)
{
	struct try *t = x->router;

	if (!refused || t->again || !exchange_may_replay(x))
		return true;
	t->again = true;
	start(x);
	return false;
}

static void on_try_end(struct exchange *x)
{
	struct try *t = x->router;

	if (t && t->dialled)
		t->dialled->first = NULL;
}

static const struct router_ops router = { .start = start, .on_failed = on_failed, .on_end = on_try_end };

/* ---- from clients ---- */

static void on_end(struct exchange *x, void *arg)
{
	if (log_lines)
		printf("%d %s %s %llu %llu\n", x->response.status, fail_http(x->log.why)->flag, x->log.details, (unsigned long long)x->log.bytes_received,
		       (unsigned long long)x->log.bytes_sent);
}

static struct exchange_conf conf = { .router = &router, .path = HTTP_PATH_BASE, .replay_bytes = LIMIT_REPLAY_BYTES, .keep_underscores = true, .on_end = on_end };

static void on_request(struct http_conn *c, struct http_stream *s, void *arg)
{
	exchange_start(s, http_conn_version(c), &conf, &nobody, NULL);
}

static void on_closed(struct http_conn *c, enum fail why, const char *detail, void *arg)
{
	if (log_lines && detail[0])
		printf("closed: %s\n", detail);
}

static const struct http_conn_ops client_ops = { .on_request = on_request, .on_closed = on_closed };

static void on_accept(void *arg, int fd, const struct addr *peer)
{
	struct stage *s = sock_accept(loop, fd);

	if (s)
		http_conn_server(s, HTTP_CODEC_AUTO, &server_conf, &client_ops, NULL);
}

static void on_signal(struct ev_loop *ev, ev_signal *w, int revents)
{
	loop_stop(loop);
}

int main(int argc, char **argv)
{
	struct addr at, bound;
	struct listener *listener;
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	ev_signal term;
	bool everywhere = false;
	int opt, fd;

	server_conf = http_conn_default;
	server_conf.max_streams = 100;
	while ((opt = getopt(argc, argv, "lkat:")) != -1) {
		log_lines |= opt == 'l';
		conf.preserve_case |= opt == 'k';
		everywhere |= opt == 'a';
		if (opt == 't')
			server_conf.head_ms = server_conf.stall_ms = (unsigned)atoi(optarg);
	}
	if (argc - optind != 3)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	addr_parse(str_c("127.0.0.1:1"), &at);
	server = at;
	if (everywhere)
		memset(&at.ip, 0, sizeof(at.ip));
	at.port = (uint16_t)atoi(argv[optind]);
	server.port = (uint16_t)atoi(argv[optind + 1]);
	codec = strcmp(argv[optind + 2], "h2") == 0 ? HTTP_CODEC_H2 : HTTP_CODEC_H1;
	list_init(&idle);
	loop = loop_new(0);
	fd = sock_listen(&at, NULL);
	if (fd < 0 || getsockname(fd, (struct sockaddr *)&sa, &len) < 0) {
		fprintf(stderr, "cannot listen on port %d\n", at.port);
		return 1;
	}
	addr_from_sockaddr(&sa, &bound);
	listener = listener_new(loop, fd, NULL, on_accept, NULL);
	ev_signal_init(&term, on_signal, SIGTERM);
	ev_signal_start(loop->ev, &term);
	printf("listening on %u\n", bound.port);
	loop_run(loop);
	listener_free(listener);
	return 0;
}
