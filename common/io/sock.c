/* SPDX-License-Identifier: Apache-2.0 */
#include "io/sock.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"

#define READ_START (16 * 1024)

struct deadline {
	struct timer timer;
	struct leftover leftover;     /* while lingering */
	struct sock *sock;
};

struct sock {
	struct stage stage;
	ev_io io;
	struct share *share;          /* reference; NULL: none */
	struct deadline *deadline;    /* owned; only while connecting or lingering */
	struct deferred notify;       /* reports a failure at the end of the turn */
	struct deferred grave;
	struct buf out;
	int fd;
	int error;
	int broken;                   /* a write failed; the reader gets what came before that, then the reset */
	unsigned dropped;             /* input after done */
	unsigned read_bytes;          /* grows while the other side keeps up */
	bool connecting, connected, want_read, eof, shut, shut_sent, done, dead;
};

static struct sock *sock_of(const struct stage *s)
{
	return container_of(s, struct sock, stage);
}

static void disarm(struct sock *k)
{
	if (k->deadline) {
		timer_stop(&k->deadline->timer);
		list_del(&k->deadline->leftover.link);
	}
	free(k->deadline);
	k->deadline = NULL;
}

static void on_deadline(struct timer *t);

static void arm(struct sock *k, unsigned ms)
{
	if (!k->deadline) {
		k->deadline = xcalloc(1, sizeof(*k->deadline));
		k->deadline->sock = k;
		list_init(&k->deadline->leftover.link);
		timer_init(&k->deadline->timer, k->stage.loop, on_deadline);
	}
	timer_start(&k->deadline->timer, ms);
}

static void update_io(struct sock *k)
{
	int events = k->dead ? 0 : (k->want_read && !k->eof && !k->connecting ? EV_READ : 0) |
		     ((k->connecting && !k->connected) || buf_len(&k->out) ? EV_WRITE : 0);

	if (ev_is_active(&k->io) && (k->io.events & (EV_READ | EV_WRITE)) == events)
		return;
	ev_io_stop(k->stage.loop->ev, &k->io);
	if (!events)
		return;
	ev_io_set(&k->io, k->fd, events);
	ev_io_start(k->stage.loop->ev, &k->io);
}

static void sock_free(struct deferred *d)
{
	struct sock *k = container_of(d, struct sock, grave);

	share_unref(k->share);
	free(k);
}

/* Closes the descriptor; the memory goes at the end of the turn. */
static void sock_end(struct sock *k, bool reset)
{
	if (k->fd >= 0) {
		ev_io_stop(k->stage.loop->ev, &k->io);
		if (reset) {
			struct linger abort_now = { .l_onoff = 1 };

			setsockopt(k->fd, SOL_SOCKET, SO_LINGER, &abort_now, sizeof(abort_now));
		}
		close(k->fd);
		k->fd = -1;
	}
	disarm(k);
	buf_done(&k->out);
	k->dead = true;
	if (k->done) {
		k->grave.run = sock_free;
		loop_bury(k->stage.loop, &k->grave);
	}
}

static void sock_fail(struct sock *k, enum fail why, int error)
{
	if (k->dead)
		return;
	k->error = error;
	k->stage.fail = why;
	sock_end(k, true);
	stage_emit(&k->stage, STAGE_CLOSED, NULL, 0);
}

static void report_failed(struct deferred *d)
{
	struct sock *k = container_of(d, struct sock, notify);

	stage_emit(&k->stage, STAGE_CLOSED, NULL, 0);
}

/* A write never calls back: the failure is told at the end of the turn. */
static void sock_fail_later(struct sock *k, enum fail why, int error)
{
	k->error = error;
	k->stage.fail = why;
	sock_end(k, true);
	k->notify.run = report_failed;
	loop_defer(k->stage.loop, &k->notify);
}

static void maybe_shut(struct sock *k)
{
	if (!k->shut || k->shut_sent || buf_len(&k->out) || k->connecting || k->dead)
		return;
	k->shut_sent = true;
	shutdown(k->fd, SHUT_WR);
}

static void end_leftover(struct leftover *l)
{
	sock_end(container_of(l, struct deadline, leftover)->sock, false);
}

static void linger(struct sock *k)
{
	arm(k, LIMIT_LINGER_MS);
	k->deadline->leftover.end = end_leftover;
	list_del(&k->deadline->leftover.link);
	list_add_tail(&k->stage.loop->leftovers, &k->deadline->leftover.link);
}

/* After done(FAIL_NONE), with everything sent: input that nobody reads would turn close() into a reset that overtakes it. */
static void finish_linger(struct sock *k)
{
	if (k->eof) {
		sock_end(k, false);
		return;
	}
	shutdown(k->fd, SHUT_WR);
	k->want_read = true;
	linger(k);
	update_io(k);
}

/* The peer reset us. True: it may have said something before, which is still to be read. */
static bool still_readable(struct sock *k, int error)
{
	if ((error != EPIPE && error != ECONNRESET) || k->eof || k->done)
		return false;
	k->broken = error;
	k->shut = k->shut_sent = true;
	buf_done(&k->out);
	update_io(k);
	return true;
}

static void flush_out(struct sock *k)
{
	while (buf_len(&k->out)) {
		ssize_t n = send(k->fd, buf_data(&k->out), buf_len(&k->out), MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0 && still_readable(k, errno))
			break;
		if (n < 0) {
			sock_fail(k, FAIL_SERVER_RESET, errno);
			return;
		}
		buf_consume(&k->out, (size_t)n);
		if (k->done)
			linger(k);
	}
	if (k->done && !buf_len(&k->out)) {
		finish_linger(k);
		return;
	}
	maybe_shut(k);
	update_io(k);
	stage_set_queued(&k->stage, buf_len(&k->out));
}

static void read_in(struct sock *k)
{
	struct loop *l = k->stage.loop;
	uint8_t *mem = loop_borrow(l);
	ssize_t n;

	do
		n = recv(k->fd, mem, k->read_bytes, 0);
	while (n < 0 && errno == EINTR);
	if (k->done) {
		k->dropped += n > 0 ? (unsigned)n : 0;
		if (n == 0 || (n < 0 && errno != EAGAIN) || k->dropped > LIMIT_LINGER_BYTES)
			sock_end(k, k->dropped > LIMIT_LINGER_BYTES);
	} else if (n > 0) {
		struct iovec iov = { mem, (size_t)n };

		if ((size_t)n == k->read_bytes)
			k->read_bytes = k->read_bytes * 4 < LIMIT_READ_BYTES ? k->read_bytes * 4 : LIMIT_READ_BYTES;
		stage_emit(&k->stage, STAGE_DATA, &iov, 1);
	} else if (n == 0 && k->broken) {
		sock_fail(k, FAIL_SERVER_RESET, k->broken);
	} else if (n == 0) {
		k->eof = true;
		update_io(k);
		stage_emit(&k->stage, STAGE_EOF, NULL, 0);
	} else if (errno != EAGAIN) {
		sock_fail(k, FAIL_SERVER_RESET, errno);
	}
	loop_return(l);
}

static void opened(struct sock *k)
{
	k->connecting = false;
	disarm(k);
	stage_emit(&k->stage, STAGE_OPEN, NULL, 0);
	if (!k->dead)
		flush_out(k);
}

static void report_open(struct deferred *d)
{
	struct sock *k = container_of(d, struct sock, notify);

	if (!k->done)
		opened(k);
}

static void connected(struct sock *k)
{
	socklen_t len = sizeof(k->error);

	getsockopt(k->fd, SOL_SOCKET, SO_ERROR, &k->error, &len);
	if (k->error) {
		sock_fail(k, k->error == ETIMEDOUT ? FAIL_CONNECT_TIMEOUT : FAIL_CONNECT, k->error);
		return;
	}
	opened(k);
}

static void on_ready(struct sock *k, int revents)
{
	if (k->connecting) {
		connected(k);
		return;
	}
	if (revents & EV_WRITE)
		flush_out(k);
	if ((revents & EV_READ) && !k->dead && k->want_read && !k->eof)
		read_in(k);
}

static void on_io(struct ev_loop *ev, ev_io *w, int revents)
{
	struct sock *k = container_of(w, struct sock, io);
	struct share *share = k->share;    /* k may end */

	if (!share_begin(share))
		return;
	on_ready(k, revents);
	share_end(share);
}

static void sock_write(struct stage *s, const struct iovec *iov, int n)
{
	struct sock *k = sock_of(s);
	size_t sent = 0, total = iov_len(iov, n);

	if (k->dead || k->shut || k->done)
		return;
	if (!buf_len(&k->out) && !k->connecting) {
		struct msghdr msg = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n };
		ssize_t r;

		do
			r = n == 1 ? send(k->fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL) : sendmsg(k->fd, &msg, MSG_NOSIGNAL);
		while (r < 0 && errno == EINTR);
		if (r < 0 && errno != EAGAIN && still_readable(k, errno))
			return;
		if (r < 0 && errno != EAGAIN) {
			sock_fail_later(k, FAIL_SERVER_RESET, errno);
			return;
		}
		sent = r < 0 ? 0 : (size_t)r;
	}
	if (sent == total)
		return;
	if (!k->broken && buf_append_iov(&k->out, iov, n, sent) < 0) {
		sock_fail_later(k, FAIL_MEMORY, ENOMEM);
		return;
	}
	update_io(k);
	stage_set_queued(s, buf_len(&k->out));
}

static void sock_want(struct stage *s, bool read)
{
	struct sock *k = sock_of(s);

	k->want_read = read;
	if (!k->dead)
		update_io(k);
}

static void sock_shut(struct stage *s)
{
	struct sock *k = sock_of(s);

	k->shut = true;
	maybe_shut(k);
}

static void sock_done(struct stage *s, enum fail why)
{
	struct sock *k = sock_of(s);

	if (k->done)
		return;
	k->done = true;
	if (k->dead || why != FAIL_NONE || k->connecting) {
		sock_end(k, true);
		return;
	}
	k->shut = true;
	k->want_read = false;
	if (!buf_len(&k->out)) {
		finish_linger(k);
		return;
	}
	update_io(k);
	linger(k);
}

static void on_deadline(struct timer *t)
{
	struct sock *k = container_of(t, struct deadline, timer)->sock;

	if (k->done)
		sock_end(k, buf_len(&k->out) != 0);
	else
		sock_fail(k, FAIL_CONNECT_TIMEOUT, ETIMEDOUT);
}

static const struct stage_ops sock_stage = {
	.name = "sock", .write = sock_write, .want = sock_want, .shut = sock_shut, .done = sock_done,
};

static struct sock *sock_new(struct loop *l, int fd)
{
	struct sock *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	k->stage = (struct stage){ .ops = &sock_stage, .loop = l };
	k->fd = fd;
	k->read_bytes = READ_START;
	ev_io_init(&k->io, on_io, fd, 0);
	return k;
}

struct stage *sock_accept(struct loop *l, int fd)
{
	struct sock *k = sock_new(l, fd);

	if (!k)
		close(fd);
	return k ? &k->stage : NULL;
}

static enum fail connect_fail(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS || error == EADDRNOTAVAIL ? FAIL_OVERLOAD : FAIL_CONNECT;
}

static int open_socket(int family, const struct sock_ops *ops)
{
	int fd;

	if (ops && ops->open)
		return ops->open(family, ops);
	fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	return fd < 0 ? -errno : fd;
}

static int sock_dial(struct sock *k, const struct addr *to, const struct addr *source, const struct sock_ops *ops)
{
	struct sockaddr_storage sa;
	int family = ip_is_v4(&to->ip) ? AF_INET : AF_INET6, one = 1, r;
	socklen_t n = addr_to_sockaddr(to, family, &sa);

	k->fd = open_socket(family, ops);
	if (k->fd < 0)
		return -k->fd;
	setsockopt(k->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	r = ops && ops->prepare ? ops->prepare(k->fd, family, ops, source) : 0;
	if (r < 0)
		return -r;
	r = connect(k->fd, (struct sockaddr *)&sa, n);
	/* Within a host the handshake is over by now, but only a second call says so: cheaper than to wait for writability. */
	if (r < 0 && errno == EINPROGRESS)
		r = connect(k->fd, (struct sockaddr *)&sa, n);
	k->connected = r == 0;
	return r == 0 || errno == EALREADY ? 0 : errno;
}

struct stage *sock_connect(struct loop *l, const struct addr *to, const struct addr *source,
			   const struct sock_ops *ops, unsigned timeout_ms)
{
	struct sock *k = sock_new(l, -1);

	if (!k)
		return NULL;
	k->share = ops ? share_ref(ops->share) : NULL;
	k->error = sock_dial(k, to, source, ops);
	k->connecting = true;
	if (k->error) {
		sock_fail_later(k, connect_fail(k->error), k->error);
		return &k->stage;
	}
	if (k->connected) {
		k->notify.run = report_open;
		loop_defer(l, &k->notify);
		return &k->stage;
	}
	update_io(k);
	arm(k, timeout_ms ? timeout_ms : LIMIT_CONNECT_MS);
	return &k->stage;
}

/* Unix sockets connect at once, or not at all. */
struct stage *sock_connect_unix(struct loop *l, const char *path)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	struct sock *k = sock_new(l, -1);
	size_t n = strlen(path);

	if (!k)
		return NULL;
	k->connecting = true;
	k->fd = n < sizeof(at.sun_path) ? socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) : -1;
	k->error = k->fd >= 0 ? 0 : n < sizeof(at.sun_path) ? errno : ENAMETOOLONG;
	memcpy(at.sun_path, path, k->fd >= 0 ? n : 0);
	if (*path == '@')
		at.sun_path[0] = '\0';
	if (!k->error && connect(k->fd, (struct sockaddr *)&at, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (*path != '@'))) < 0)
		k->error = errno;
	if (k->error) {
		sock_fail_later(k, connect_fail(k->error), k->error);
		return &k->stage;
	}
	k->connected = true;
	k->notify.run = report_open;
	loop_defer(l, &k->notify);
	return &k->stage;
}

struct stage *sock_broken(struct loop *l, enum fail why)
{
	struct sock *k = sock_new(l, -1);

	if (!k)
		return NULL;
	k->connecting = true;
	sock_fail_later(k, why, 0);
	return &k->stage;
}

void sock_share(struct stage *s, struct share *share)
{
	share_unref(sock_of(s)->share);
	sock_of(s)->share = share_ref(share);
}

int sock_errno(const struct stage *s)
{
	return sock_of(s)->error;
}

int sock_fd(const struct stage *s)
{
	return sock_of(s)->fd;
}

bool sock_has_input(const struct stage *s)
{
	char byte;

	return recv(sock_of(s)->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0;
}

void sock_local(const struct stage *s, struct addr *ret)
{
	struct sockaddr_storage sa;
	socklen_t n = sizeof(sa);

	*ret = (struct addr){ .port = 0 };
	if (sock_of(s)->fd >= 0 && getsockname(sock_of(s)->fd, (struct sockaddr *)&sa, &n) == 0 && sa.ss_family != AF_UNIX)
		addr_from_sockaddr(&sa, ret);
}

int sock_listen(const struct addr *at, const struct sock_ops *ops)
{
	struct sockaddr_storage sa;
	int family = ip_is_v4(&at->ip) ? AF_INET : AF_INET6, one = 1, zero = 0, r = 0;
	int fd = open_socket(family, ops);

	if (fd < 0)
		return fd;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, ip_is_any(&at->ip) ? &zero : &one, sizeof(one));
	if (ops && ops->prepare)
		r = ops->prepare(fd, family, ops, NULL);
	if (r == 0 && (bind(fd, (struct sockaddr *)&sa, addr_to_sockaddr(at, family, &sa)) < 0 || listen(fd, LIMIT_LISTEN_BACKLOG) < 0))
		r = -errno;
	if (r == 0)
		return fd;
	close(fd);
	return r;
}
