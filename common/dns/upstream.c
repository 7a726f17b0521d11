/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/upstream.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "dns/dnsmsg.h"
#include "net/netns.h"

#define WRONG_REPLIES 64         /* that do not fit the question, in one turn */

struct upstream {
	const struct upstream_conf *conf;
	ev_io io;
	struct timer timer;
	struct deferred end;         /* a result that came within upstream_ask */
	struct deferred grave;
	struct addr servers[UPSTREAM_SERVERS];
	int n_servers, next;
	struct addr local;
	uint64_t until_ms;
	int fd;                      /* -1: none */
	bool tcp, transfer, sending, gone;
	uint16_t client_id;
	void (*on_reply)(void *arg, const uint8_t *p, size_t n, bool last);
	void *arg;
	uint8_t *in;                 /* owned; TCP: the reply that is being read, with its length in front */
	size_t in_n;
	size_t sent, n;
	uint8_t p[];                 /* 2 bytes of length for TCP, the question */
};

static void next_server(struct upstream *u);

static uint8_t *message(struct upstream *u)
{
	return u->p + 2;
}

static void close_fd(struct upstream *u)
{
	if (u->fd < 0)
		return;
	ev_io_stop(u->conf->loop->ev, &u->io);
	close(u->fd);
	u->fd = -1;
}

static void bury(struct deferred *d)
{
	struct upstream *u = container_of(d, struct upstream, grave);

	free(u->in);
	free(u);
}

void upstream_cancel(struct upstream *u)
{
	if (!u || u->gone)
		return;
	u->gone = true;
	close_fd(u);
	timer_stop(&u->timer);
	u->grave.run = bury;
	loop_bury(u->conf->loop, &u->grave);
}

static void give_up(struct deferred *d)
{
	struct upstream *u = container_of(d, struct upstream, end);

	if (u->gone)
		return;
	upstream_cancel(u);
	u->on_reply(u->arg, NULL, 0, true);
}

/* A whole reply. True when it was the right one. */
static bool take_reply(struct upstream *u, uint8_t *p, size_t n)
{
	unsigned rcode;
	bool last = !u->transfer;

	if (!dnsmsg_answers(p, n, message(u), u->n))
		return false;
	rcode = p[3] & 15;
	if (u->next < u->n_servers && (rcode == DNS_SERVFAIL || rcode == DNS_REFUSED || rcode == DNS_NOTIMP)) {
		next_server(u);
		return true;
	}
	dnsmsg_set_id(p, u->client_id);
	if (last)
		upstream_cancel(u);
	else
		timer_start(&u->timer, LIMIT_DNS_UPSTREAM_MS);
	u->on_reply(u->arg, p, n, last);
	return true;
}

static void read_datagrams(struct upstream *u)
{
	uint8_t *b = loop_borrow(u->conf->loop);
	ssize_t n = 0;
	int fd = u->fd;

	for (int i = 0; i < WRONG_REPLIES && u->fd == fd && !u->gone; i++) {
		n = recv(fd, b, DNSMSG_MAX, MSG_DONTWAIT);
		if (n < 0 || take_reply(u, b, (size_t)n))
			break;
	}
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		next_server(u);          /* nobody listens there */
	loop_return(u->conf->loop);
}

static bool read_some(struct upstream *u, size_t want)
{
	ssize_t n = recv(u->fd, u->in + u->in_n, want - u->in_n, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		next_server(u);
		return false;
	}
	u->in_n += (size_t)n;
	return u->in_n == want;
}

static void read_stream(struct upstream *u)
{
	int fd = u->fd;

	for (int i = 0; i < WRONG_REPLIES && u->fd == fd && !u->gone; i++) {
		size_t n;

		if (!u->in && !(u->in = malloc(2 + DNSMSG_MAX))) {
			next_server(u);
			return;
		}
		if (u->in_n < 2 && !read_some(u, 2))
			return;
		n = (size_t)u->in[0] << 8 | u->in[1];
		if (n && !read_some(u, 2 + n))
			return;
		u->in_n = 0;
		take_reply(u, u->in + 2, n);
	}
}

static void write_stream(struct upstream *u)
{
	ssize_t n = send(u->fd, u->p + u->sent, u->n + 2 - u->sent, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		next_server(u);
		return;
	}
	u->sent += n > 0 ? (size_t)n : 0;
	if (u->sent < u->n + 2)
		return;
	u->sending = false;
	ev_io_stop(u->conf->loop->ev, &u->io);
	ev_io_set(&u->io, u->fd, EV_READ);
	ev_io_start(u->conf->loop->ev, &u->io);
}

static void on_ready(struct ev_loop *ev, ev_io *w, int revents)
{
	struct upstream *u = container_of(w, struct upstream, io);

	if (!u->tcp)
		read_datagrams(u);
	else if (u->sending)
		write_stream(u);
	else
		read_stream(u);
}

static void note_local(struct upstream *u)
{
	struct sockaddr_storage sa = { 0 };
	socklen_t n = sizeof(sa);

	if (getsockname(u->fd, (struct sockaddr *)&sa, &n) == 0)
		addr_from_sockaddr(&sa, &u->local);
}

/* Another id for each server: a late reply of the last one must not count. */
static void new_id(struct upstream *u)
{
	uint16_t id;

	if (getrandom(&id, sizeof(id), GRND_NONBLOCK) != sizeof(id))
		id = (uint16_t)(hash_bytes(&u, sizeof(u)) ^ loop_now_ms(u->conf->loop));
	dnsmsg_set_id(message(u), id);
}

static int ask(struct upstream *u, const struct addr *server)
{
	const struct upstream_conf *c = u->conf;
	struct sockaddr_storage sa;
	socklen_t len = addr_to_sockaddr(server, 0, &sa);
	int r = 0;

	u->fd = netns_socket(c->netns, sa.ss_family, (u->tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK, 0);
	if (u->fd < 0) {
		r = u->fd;
		u->fd = -1;
		return r;
	}
	ev_io_init(&u->io, on_ready, u->fd, u->tcp ? EV_WRITE : EV_READ);
	if (c->ops && c->ops->prepare)
		r = c->ops->prepare(u->fd, sa.ss_family, c->ops, NULL);
	if (r == 0 && connect(u->fd, (struct sockaddr *)&sa, len) < 0 && errno != EINPROGRESS)
		r = -errno;
	new_id(u);
	note_local(u);
	if (r == 0 && !u->tcp && send(u->fd, message(u), u->n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		r = -errno;
	if (r < 0) {
		close_fd(u);
		return r;
	}
	u->sending = u->tcp;
	u->sent = u->in_n = 0;
	ev_io_start(c->loop->ev, &u->io);
	return 0;
}

static void next_server(struct upstream *u)
{
	uint64_t now = loop_now_ms(u->conf->loop);

	close_fd(u);
	while (u->next < u->n_servers && now < u->until_ms) {
		uint64_t share = (u->until_ms - now) / (uint64_t)(u->n_servers - u->next);

		if (ask(u, &u->servers[u->next++]) == 0) {
			timer_start(&u->timer, share);
			return;
		}
	}
	timer_stop(&u->timer);
	loop_defer(u->conf->loop, &u->end);
}

static void on_time(struct timer *t)
{
	next_server(container_of(t, struct upstream, timer));
}

struct upstream *upstream_ask(const struct upstream_conf *conf, const uint8_t *p, size_t n, bool tcp, const struct addr *servers,
			      int n_servers, void (*on_reply)(void *arg, const uint8_t *p, size_t n, bool last), void *arg)
{
	struct upstream *u = malloc(sizeof(*u) + n + 2);
	struct dnsmsg m;

	if (!u)
		return NULL;
	*u = (struct upstream){ .conf = conf, .tcp = tcp, .fd = -1, .on_reply = on_reply, .arg = arg, .n = n };
	u->p[0] = (uint8_t)(n >> 8);
	u->p[1] = (uint8_t)n;
	memcpy(message(u), p, n);
	u->client_id = dnsmsg_id(p);
	u->transfer = tcp && dnsmsg_parse(p, n, &m) == DNSMSG_QUESTION && (m.type == DNS_AXFR || m.type == DNS_IXFR);
	for (; u->n_servers < n_servers && u->n_servers < UPSTREAM_SERVERS; u->n_servers++)
		u->servers[u->n_servers] = servers[u->n_servers];
	u->until_ms = loop_now_ms(conf->loop) + LIMIT_DNS_UPSTREAM_MS;
	u->end.run = give_up;
	timer_init(&u->timer, conf->loop, on_time);
	next_server(u);
	return u;
}

bool upstream_is_at(const struct upstream *u, const struct addr *a)
{
	return u->fd >= 0 && addr_eq(&u->local, a);
}
