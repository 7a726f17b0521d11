/* SPDX-License-Identifier: Apache-2.0 */
#include "http/h1server.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "http/conn.h"
#include "http/h1server_int.h"
#include "io/sock.h"

#define BACKLOG   64
#define RETRY_MS  100

static const struct http_conn_conf conf = {
	.head_bytes = LIMIT_ADMIN_HEAD_BYTES, .head_fields = H1_FIELDS, .http10 = true, .head_ms = H1SERVER_HEAD_MS,
	.idle_ms = H1SERVER_IDLE_MS, .stall_ms = H1SERVER_STALL_MS,
};

/* --- connection --- */

static void server_free(struct deferred *d)
{
	free(container_of(d, struct h1server, grave));
}

static void server_gone(struct h1server *s)
{
	if (s->closed && s->n_conns == 0) {
		s->grave.run = server_free;
		loop_bury(s->loop, &s->grave);
	}
}

static void reserve_refill(struct h1server *s)
{
	for (int i = 0; i < H1_RESERVE && !s->closed; i++)
		if (s->reserve[i] < 0)
			s->reserve[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void conn_free(struct deferred *d)
{
	struct h1server_request *c = container_of(d, struct h1server_request, grave);
	struct h1server *s = c->server;

	buf_done(&c->out);
	buf_done(&c->text);
	free(c);
	s->n_conns--;
	reserve_refill(s);
	server_gone(s);
}

/* The connection is gone, or goes. */
static void conn_gone(struct h1server_request *c)
{
	c->dead = true;
	list_del(&c->link);
	timer_stop(&c->timer);
	timer_stop(&c->next);
	if (c->rq)
		stage_done(&c->rq->stage, FAIL_CLIENT_RESET);
	c->rq = NULL;
	h1request_stream_end(c);
	h1request_gone(c);
	c->grave.run = conn_free;
	loop_bury(c->server->loop, &c->grave);
}

static void conn_end(struct h1server_request *c, enum fail why)
{
	if (c->dead)
		return;
	/* A reply that is cut short must not look like a whole one. */
	h1_close(c->h1, c->rq && c->replied && !c->shut ? FAIL_OVERLOAD : why);
	conn_gone(c);
}

/* ---- one request after the other ---- */

static void on_timer(struct timer *t)
{
	h1request_refuse(container_of(t, struct h1server_request, timer), 408);
}

static void on_next(struct timer *t)
{
	h1request_send(container_of(t, struct h1server_request, next));
}

static void take_head(struct h1server_request *c)
{
	const struct http_head *head = c->rq->head;
	struct str length = http_head_get(head, "content-length");
	uint64_t n = 0;

	if (!h1request_begin(c, head))
		h1request_refuse(c, 503);
	else if (str_to_u64(length, &n) && n > H1SERVER_BODY_BYTES)
		h1request_refuse(c, 413);
	else if (head->end)
		h1request_answer(c);
	else
		timer_start(&c->timer, H1SERVER_HEAD_MS);
}

static void on_stream(struct stage *s, enum stage_event ev, const struct iovec *iov, int n)
{
	struct h1server_request *c = s->arg;

	switch (ev) {
	case STAGE_OPEN:
		stage_want(s, true);
		take_head(c);
		break;
	case STAGE_DATA:
		c->body_bytes += iov_len(iov, n);
		if (c->body_bytes > H1SERVER_BODY_BYTES && !c->replied)
			h1request_refuse(c, 413);
		break;
	case STAGE_EOF:
		timer_stop(&c->timer);
		if (!c->replied && !c->on_gone)
			h1request_answer(c);
		break;
	case STAGE_DRAINED:
		h1request_send(c);
		break;
	case STAGE_CLOSED:     /* on_closed follows */
		break;
	}
}

static void on_request(struct h1 *h, struct http_stream *s, void *arg)
{
	struct h1server_request *c = arg;

	h1request_reset(c);
	c->rq = s;
	s->stage.on_event = on_stream;
	s->stage.arg = c;
}

static void on_idle(struct h1 *h, void *arg)
{
	struct h1server_request *c = arg;

	list_del(&c->link);
	list_add_tail(&c->server->conns, &c->link);
}

static void on_closed(struct h1 *h, enum fail why, void *arg)
{
	struct h1server_request *c = arg;

	if (!c->dead)
		conn_gone(c);
}

static const struct h1_ops ops = { .on_request = on_request, .on_idle = on_idle, .on_closed = on_closed };

static void conn_new(struct h1server *s, int fd)
{
	struct h1server_request *c = calloc(1, sizeof(*c));
	struct stage *sock;

	if (!c) {
		close(fd);
		return;
	}
	sock = sock_accept(s->loop, fd);
	c->h1 = sock ? h1_new(sock, true, &conf, &ops, c) : NULL;
	if (!c->h1) {
		free(c);
		return;
	}
	if (s->n_conns >= LIMIT_ADMIN_CONNS && !list_empty(&s->conns))
		conn_end(container_of(s->conns.next, struct h1server_request, link), FAIL_OVERLOAD);
	c->server = s;
	s->n_conns++;
	list_add_tail(&s->conns, &c->link);
	timer_init(&c->timer, s->loop, on_timer);
	timer_init(&c->next, s->loop, on_next);
}

/* --- listening --- */

static bool out_of_fds(int error)
{
	return error == EMFILE || error == ENFILE;
}

static void on_retry(struct timer *t)
{
	struct h1server *s = container_of(t, struct h1server, retry);

	reserve_refill(s);
	ev_io_start(s->loop->ev, &s->io);
}

/* Gives a descriptor of the reserve to the next connection. With none left, accepting waits a moment. */
static int accept_reserved(struct h1server *s)
{
	for (int i = 0; i < H1_RESERVE; i++) {
		if (s->reserve[i] < 0)
			continue;
		close(s->reserve[i]);
		s->reserve[i] = -1;
		return accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	}
	ev_io_stop(s->loop->ev, &s->io);
	timer_start(&s->retry, RETRY_MS);
	return -1;
}

static void on_ready(struct ev_loop *ev, ev_io *w, int revents)
{
	struct h1server *s = container_of(w, struct h1server, io);
	int fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0 && out_of_fds(errno))
		fd = accept_reserved(s);
	if (fd >= 0)
		conn_new(s, fd);
}

static struct h1server *server_new(struct loop *l, int fd, const struct h1server_site *site)
{
	struct h1server *s = xcalloc(1, sizeof(*s));

	s->loop = l;
	s->fd = fd;
	s->site = site;
	list_init(&s->conns);
	for (int i = 0; i < H1_RESERVE; i++)
		s->reserve[i] = -1;
	ev_io_init(&s->io, on_ready, fd, EV_READ);
	ev_io_start(l->ev, &s->io);
	timer_init(&s->retry, l, on_retry);
	reserve_refill(s);
	return s;
}

/* No SO_REUSEPORT: a second process on the same port is a mistake that must be told. */
int h1server_open(struct loop *l, const struct addr *at, const struct h1server_site *site, struct h1server **ret,
		  struct err *err)
{
	struct sockaddr_storage sa;
	int family = ip_is_v4(&at->ip) ? AF_INET : AF_INET6, one = 1, zero = 0, error;
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	char text[ADDR_TEXT];

	if (fd < 0)
		return err_set(err, -errno, "cannot open a socket for %s: %s", addr_format(at, text), strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));   /* what is accepted inherits it */
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, ip_is_any(&at->ip) ? &zero : &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&sa, addr_to_sockaddr(at, family, &sa)) < 0 || listen(fd, BACKLOG) < 0) {
		error = errno;
		close(fd);
		return err_set(err, -error, "cannot listen on %s: %s%s", addr_format(at, text), strerror(error),
			       error == EADDRINUSE ? "; is another proxy running here?" : "");
	}
	*ret = server_new(l, fd, site);
	return 0;
}

/* Removes a socket that nobody listens on any more. */
static int unix_clear(const struct sockaddr_un *sa, struct err *err)
{
	struct stat st;
	int fd, r;

	if (lstat(sa->sun_path, &st) < 0)
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return err_set(err, -EEXIST, "%s exists and is not a socket", sa->sun_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set(err, -errno, "cannot open a Unix socket: %s", strerror(errno));
	r = connect(fd, (const struct sockaddr *)sa, sizeof(*sa));
	close(fd);
	if (r == 0)
		return err_set(err, -EADDRINUSE, "another process listens on %s", sa->sun_path);
	unlink(sa->sun_path);
	return 0;
}

int h1server_open_unix(struct loop *l, const char *path, const struct h1server_site *site, struct h1server **ret,
		       struct err *err)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	mode_t mask;
	int fd, r, error;

	if (strlen(path) >= sizeof(sa.sun_path))
		return err_set(err, -ENAMETOOLONG, "the path of the Unix socket is longer than %zu bytes: %s",
			       sizeof(sa.sun_path) - 1, path);
	memcpy(sa.sun_path, path, strlen(path) + 1);
	r = unix_clear(&sa, err);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set(err, -errno, "cannot open a Unix socket: %s", strerror(errno));
	mask = umask(0177);
	r = bind(fd, (struct sockaddr *)&sa, sizeof(sa));
	error = errno;
	umask(mask);
	if (r < 0 || listen(fd, BACKLOG) < 0) {
		error = r < 0 ? error : errno;
		close(fd);
		return err_set(err, -error, "cannot listen on %s: %s", path, strerror(error));
	}
	*ret = server_new(l, fd, site);
	(*ret)->path = xstrdup(path);
	return 0;
}

void h1server_close(struct h1server *s)
{
	if (!s)
		return;
	s->closed = true;
	ev_io_stop(s->loop->ev, &s->io);
	timer_stop(&s->retry);
	close(s->fd);
	for (int i = 0; i < H1_RESERVE; i++)
		if (s->reserve[i] >= 0)
			close(s->reserve[i]);
	if (s->path)
		unlink(s->path);
	free(s->path);
	list_each_safe(pos, tmp, &s->conns) {
		struct h1server_request *c = container_of(pos, struct h1server_request, link);

		conn_end(c, FAIL_NONE);
	}
	if (s->n_conns == 0)
		server_gone(s);
}

void h1server_addr(const struct h1server *s, struct addr *ret)
{
	struct sockaddr_storage sa = { 0 };
	socklen_t len = sizeof(sa);

	getsockname(s->fd, (struct sockaddr *)&sa, &len);
	addr_from_sockaddr(&sa, ret);
}
