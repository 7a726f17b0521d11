/* SPDX-License-Identifier: Apache-2.0 */
#include "io/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/str.h"

#define REST_MS 100     /* without even a spare descriptor, accepting pauses */

struct listener {
	ev_io io;
	struct timer rest;
	struct loop *loop;
	void (*on_accept)(void *arg, int fd, const struct addr *peer);
	void *arg;
	int fd;
	int spare;              /* given up to accept and close one connection when descriptors run out */
	uint64_t told_ms;
	unsigned long shed;
};

/* Sheds one waiting connection with the spare descriptor, so that a full backlog does not spin the loop. */
static void shed_one(struct listener *l, int error)
{
	uint64_t now = loop_now_ms(l->loop);
	int fd;

	if (l->spare < 0)
		l->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (l->spare < 0) {
		ev_io_stop(l->loop->ev, &l->io);
		timer_start(&l->rest, REST_MS);
		return;
	}
	close(l->spare);
	fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0) {
		struct linger reset = { .l_onoff = 1 };

		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(fd);
		l->shed++;
	}
	l->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (now - l->told_ms < 1000)
		return;
	l->told_ms = now;
	log_warn(LOG_IO, "shed %lu new connections: %s; raise the limit of open files (LimitNOFILE)", l->shed, strerror(error));
	l->shed = 0;
}

static void on_rested(struct timer *t)
{
	struct listener *l = container_of(t, struct listener, rest);

	ev_io_start(l->loop->ev, &l->io);
}

static void on_ready(struct ev_loop *ev, ev_io *w, int revents)
{
	struct listener *l = container_of(w, struct listener, io);

	for (int i = 0; i < LIMIT_TURN_ACCEPTS; i++) {
		struct sockaddr_storage sa;
		socklen_t len = sizeof(sa);
		struct addr peer;
		int fd = accept4(l->fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			addr_from_sockaddr(&sa, &peer);
			l->on_accept(l->arg, fd, &peer);
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			shed_one(l, errno);
			return;
		} else if (errno == EAGAIN) {
			return;
		}
	}
}

struct listener *listener_new(struct loop *loop, int fd, void (*on_accept)(void *arg, int fd, const struct addr *peer), void *arg)
{
	struct listener *l = xcalloc(1, sizeof(*l));

	l->loop = loop;
	l->on_accept = on_accept;
	l->arg = arg;
	l->fd = fd;
	l->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	timer_init(&l->rest, loop, on_rested);
	ev_io_init(&l->io, on_ready, fd, EV_READ);
	ev_io_start(loop->ev, &l->io);
	return l;
}

void listener_free(struct listener *l)
{
	if (!l)
		return;
	ev_io_stop(l->loop->ev, &l->io);
	timer_stop(&l->rest);
	close(l->fd);
	if (l->spare >= 0)
		close(l->spare);
	free(l);
}
