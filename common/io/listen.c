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
	struct share *share;    /* reference */
	void (*on_accept)(void *arg, int fd, const struct addr *peer);
	void *arg;
	int fd;
	uint64_t told_ms;
	unsigned long shed;
};

/* Given up to accept and close one connection when descriptors run out. */
static _Thread_local int spare = -1;

static void have_spare(void)
{
	if (spare < 0)
		spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Sheds one waiting connection with the spare descriptor, so that a full backlog does not spin the loop. */
static void shed_one(struct listener *l, int error)
{
	uint64_t now = loop_now_ms(l->loop);
	int fd;

	have_spare();
	if (spare < 0) {
		ev_io_stop(l->loop->ev, &l->io);
		timer_start(&l->rest, REST_MS);
		return;
	}
	close(spare);
	fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0) {
		struct linger reset = { .l_onoff = 1 };

		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(fd);
		l->shed++;
	}
	spare = -1;
	have_spare();
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

static void accept_some(struct listener *l)
{
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

static void on_ready(struct ev_loop *ev, ev_io *w, int revents)
{
	struct listener *l = container_of(w, struct listener, io);

	if (!share_begin(l->share))
		return;
	accept_some(l);
	share_end(l->share);
}

struct listener *listener_new(struct loop *loop, int fd, struct share *share,
			      void (*on_accept)(void *arg, int fd, const struct addr *peer), void *arg)
{
	struct listener *l = xcalloc(1, sizeof(*l));

	l->loop = loop;
	l->share = share_ref(share);
	l->on_accept = on_accept;
	l->arg = arg;
	l->fd = fd;
	have_spare();
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
	share_unref(l->share);
	free(l);
}
