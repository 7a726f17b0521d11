/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "dns/dnsproxy_int.h"
#include "net/origdst.h"

static atomic_int n_all;         /* clients of all proxies */

static void bury(struct deferred *d)
{
	struct dnsproxy_tcp *c = container_of(d, struct dnsproxy_tcp, grave);

	buf_done(&c->in);
	buf_done(&c->out);
	free(c);
}

void dnsproxy_tcp_close(struct dnsproxy_tcp *c)
{
	if (c->gone)
		return;
	c->gone = true;
	dnsproxy_drop_of(c->proxy, c);
	ev_io_stop(c->proxy->loop->ev, &c->io);
	timer_stop(&c->idle);
	close(c->fd);
	list_del(&c->link);
	c->proxy->n_clients--;
	atomic_fetch_sub_explicit(&n_all, 1, memory_order_relaxed);
	c->grave.run = bury;
	loop_bury(c->proxy->loop, &c->grave);
}

/* For use inside callbacks of its questions: it closes at the next turn. */
static void fail(struct dnsproxy_tcp *c)
{
	c->broken = c->eof = true;
	buf_done(&c->out);
	timer_start(&c->idle, 0);
}

static bool may_read(const struct dnsproxy_tcp *c)
{
	return !c->eof && c->pending < LIMIT_DNS_TCP_PENDING && buf_len(&c->out) < LIMIT_DNS_TCP_QUEUE;
}

/* Waits for what there is to wait for; closes when there is nothing. */
static void settle(struct dnsproxy_tcp *c)
{
	int events = (may_read(c) ? EV_READ : 0) | (buf_len(&c->out) ? EV_WRITE : 0);

	if (c->gone)
		return;
	if (c->eof && !c->pending && !buf_len(&c->out)) {
		dnsproxy_tcp_close(c);
		return;
	}
	if (ev_is_active(&c->io) && c->io.events == events)
		return;
	ev_io_stop(c->proxy->loop->ev, &c->io);
	if (!events)
		return;
	ev_io_set(&c->io, c->fd, events);
	ev_io_start(c->proxy->loop->ev, &c->io);
}

/* Something came of it: it is the youngest again. */
static void touch(struct dnsproxy_tcp *c)
{
	list_del(&c->link);
	list_add_tail(&c->proxy->clients, &c->link);
	timer_start(&c->idle, LIMIT_DNS_TCP_IDLE_MS);
}

static void take_questions(struct dnsproxy_tcp *c)
{
	struct dnsproxy_from from = { .tcp = c, .peer = c->peer, .local = c->dest };

	while (!c->gone && !c->broken && buf_len(&c->in) >= 2 && c->pending < LIMIT_DNS_TCP_PENDING && buf_len(&c->out) < LIMIT_DNS_TCP_QUEUE) {
		const uint8_t *p = buf_data(&c->in);
		size_t n = (size_t)p[0] << 8 | p[1];

		if (buf_len(&c->in) < 2 + n)
			return;
		if (n < DNSMSG_HEAD) {           /* nothing that could be answered */
			dnsproxy_tcp_close(c);
			return;
		}
		touch(c);
		c->pending++;
		dnsproxy_take(c->proxy, &from, p + 2, n);
		if (!c->gone)
			buf_consume(&c->in, 2 + n);
	}
}

static void read_some(struct dnsproxy_tcp *c)
{
	uint8_t *b = loop_borrow(c->proxy->loop);
	ssize_t n = recv(c->fd, b, 2 + DNSMSG_MAX, MSG_DONTWAIT);

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		dnsproxy_tcp_close(c);
	else if (n == 0)
		c->eof = true;
	else if (n > 0 && buf_append(&c->in, b, (size_t)n) < 0)
		dnsproxy_tcp_close(c);
	loop_return(c->proxy->loop);
	take_questions(c);
}

static void write_some(struct dnsproxy_tcp *c)
{
	ssize_t n = send(c->fd, buf_data(&c->out), buf_len(&c->out), MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		fail(c);
	} else if (n > 0) {
		buf_consume(&c->out, (size_t)n);
		touch(c);
	}
}

static void on_ready(struct ev_loop *ev, ev_io *w, int revents)
{
	struct dnsproxy_tcp *c = container_of(w, struct dnsproxy_tcp, io);
	struct share *share = revents ? c->proxy->conf.share : NULL;   /* what was fed does not come again */

	if (!share_begin(share))
		return;
	if ((revents & EV_WRITE) && buf_len(&c->out))
		write_some(c);
	if (!c->gone && (revents & EV_READ) && may_read(c))
		read_some(c);
	else if (!c->gone)
		take_questions(c);
	settle(c);
	share_end(share);
}

static void on_idle(struct timer *t)
{
	struct dnsproxy_tcp *c = container_of(t, struct dnsproxy_tcp, idle);

	if (!c->broken && c->pending && !buf_len(&c->out))
		timer_start(t, LIMIT_DNS_TCP_IDLE_MS);       /* we are the slow ones */
	else
		dnsproxy_tcp_close(c);
}

void dnsproxy_tcp_reply(struct dnsproxy_tcp *c, const uint8_t *b, size_t n)
{
	uint8_t head[2] = { (uint8_t)(n >> 8), (uint8_t)n };
	bool first = !buf_len(&c->out);

	if (c->gone || c->broken)
		return;
	if (buf_append(&c->out, head, 2) < 0 || buf_append(&c->out, b, n) < 0)
		fail(c);
	else if (first)
		write_some(c);
	settle(c);
}

void dnsproxy_tcp_done(struct dnsproxy_tcp *c)
{
	if (c->gone)
		return;
	c->pending--;
	if (!c->pending && !c->broken)
		timer_start(&c->idle, LIMIT_DNS_TCP_IDLE_MS);
	/* What was read already and left: at the next turn, not inside the callback of another question. */
	if (buf_len(&c->in) >= 2)
		ev_feed_event(c->proxy->loop->ev, &c->io, 0);
	settle(c);
}

/* Full: the one that has been idle longest goes, if any is. */
static bool make_room(struct dnsproxy *p)
{
	if (p->n_clients < LIMIT_DNS_TCP_CLIENTS && atomic_load_explicit(&n_all, memory_order_relaxed) < LIMIT_DNS_TCP_ALL)
		return true;
	list_each(at, &p->clients) {
		struct dnsproxy_tcp *c = container_of(at, struct dnsproxy_tcp, link);

		if (!c->pending) {
			dnsproxy_tcp_close(c);
			return true;
		}
	}
	return false;
}

void dnsproxy_tcp_accept(void *proxy, int fd, const struct addr *peer)
{
	struct dnsproxy *p = proxy;
	struct dnsproxy_tcp *c;
	struct sockaddr_storage sa = { 0 };
	struct addr local = { .port = 0 };
	socklen_t n = sizeof(sa);

	if (!make_room(p) || !(c = calloc(1, sizeof(*c)))) {
		close(fd);
		return;
	}
	c->proxy = p;
	c->fd = fd;
	c->peer = *peer;
	if (getsockname(fd, (struct sockaddr *)&sa, &n) == 0)
		addr_from_sockaddr(&sa, &local);
	c->captured = origdst_get(fd, &c->dest) == 0 && !addr_eq(&c->dest, &local);
	list_add_tail(&p->clients, &c->link);
	p->n_clients++;
	atomic_fetch_add_explicit(&n_all, 1, memory_order_relaxed);
	timer_init(&c->idle, p->loop, on_idle);
	timer_start(&c->idle, LIMIT_DNS_TCP_IDLE_MS);
	ev_io_init(&c->io, on_ready, fd, EV_READ);
	ev_io_start(p->loop->ev, &c->io);
}
