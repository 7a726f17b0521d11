/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/resolve.h"

#include <ares.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/list.h"
#include "base/map.h"
#include "net/netns.h"

#define RESOLVE_SOCKETS 16      /* of one lookup */

struct resolver {
	struct loop *loop;
	const struct sock_ops *ops;
	int netns;
	struct map lookups;      /* by key; under way, or known until `until_ms` */
	struct list all;         /* struct lookup */
	int n_asking;
};

/* One socket of c-ares. */
struct rsock {
	ev_io io;
	struct lookup *lookup;
	int fd;                  /* -1: the slot is free */
};

/* A name that is asked for: a c-ares channel of its own, so that it can be cancelled alone and resolv.conf is always read anew. */
struct lookup {
	struct resolver *resolver;
	struct list link;
	char key[280];                   /* "46 name" */
	ares_channel channel;            /* NULL: not asking */
	struct rsock *socks;             /* owned; RESOLVE_SOCKETS of them while it asks */
	struct timer timer;              /* c-ares's own retries */
	struct timer deadline;
	struct list questions;
	struct deferred end;
	struct deferred grave;
	struct ip *v;                    /* owned */
	int n;
	const char *error;               /* static */
	uint64_t until_ms;               /* known until; 0: while its questions are answered */
	bool done, quit, listed;         /* listed: in resolver.lookups */
};

struct resolve {
	struct list link;
	struct lookup *lookup;
	void (*on_done)(void *arg, const struct ip *v, int n, const char *error);
	void *arg;
};

static void lookup_end(struct deferred *d);

/* ---- sockets of c-ares on the loop ---- */

static ares_socket_t open_socket(int family, int type, int protocol, void *arg)
{
	const struct resolver *r = ((struct lookup *)arg)->resolver;
	int fd = netns_socket(r->netns, family, type | SOCK_NONBLOCK, protocol), res = 0;

	if (fd >= 0 && r->ops && r->ops->prepare)
		res = r->ops->prepare(fd, family, r->ops, NULL);
	if (fd < 0 || res < 0) {
		if (fd >= 0)
			close(fd);
		errno = fd < 0 ? -fd : -res;
		return ARES_SOCKET_BAD;
	}
	return fd;
}

static int close_socket(ares_socket_t fd, void *arg)
{
	return close(fd);
}

static int connect_socket(ares_socket_t fd, const struct sockaddr *to, ares_socklen_t n, void *arg)
{
	return connect(fd, to, n);
}

static ares_ssize_t receive(ares_socket_t fd, void *p, size_t n, int flags, struct sockaddr *from, ares_socklen_t *from_n, void *arg)
{
	return recvfrom(fd, p, n, flags, from, from_n);
}

static ares_ssize_t send_vector(ares_socket_t fd, const struct iovec *iov, int n, void *arg)
{
	struct msghdr m = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n };

	return sendmsg(fd, &m, MSG_NOSIGNAL);
}

static const struct ares_socket_functions functions = { open_socket, close_socket, connect_socket, receive, send_vector };

static void keep_time(struct lookup *k)
{
	struct timeval tv, *wait = k->channel && !k->done ? ares_timeout(k->channel, NULL, &tv) : NULL;

	timer_stop(&k->timer);
	if (wait)
		timer_start(&k->timer, (uint64_t)wait->tv_sec * 1000 + (uint64_t)wait->tv_usec / 1000 + 1);
}

static void on_ready(struct ev_loop *ev, ev_io *w, int revents)
{
	struct rsock *s = container_of(w, struct rsock, io);
	struct lookup *k = s->lookup;
	int fd = s->fd;

	ares_process_fd(k->channel, revents & EV_READ ? fd : ARES_SOCKET_BAD, revents & EV_WRITE ? fd : ARES_SOCKET_BAD);
	keep_time(k);
}

static void on_time(struct timer *t)
{
	struct lookup *k = container_of(t, struct lookup, timer);

	ares_process_fd(k->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	keep_time(k);
}

static void on_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct lookup *k = arg;
	struct rsock *s = NULL;
	int events = (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0);

	for (int i = 0; i < RESOLVE_SOCKETS; i++) {
		if (k->socks[i].fd == fd)
			s = &k->socks[i];
		else if (!s && events && k->socks[i].fd < 0)
			s = &k->socks[i];
	}
	if (!s || (s->fd != fd && !events))
		return;
	if (s->fd == fd)
		ev_io_stop(k->timer.loop->ev, &s->io);
	s->fd = events ? fd : -1;
	if (!events)
		return;
	s->lookup = k;
	ev_io_init(&s->io, on_ready, fd, events);
	ev_io_start(k->timer.loop->ev, &s->io);
}

/* ---- the answer ---- */

static const char *words(int status)
{
	switch (status) {
	case ARES_ENOTFOUND: return "no such host";
	case ARES_ENODATA: return "the host has no address of that kind";
	case ARES_ETIMEOUT: return "no DNS server answered in time";
	case ARES_ECONNREFUSED: return "no DNS server could be reached, or all of them failed";
	case ARES_ESERVFAIL: return "the DNS servers failed";
	case ARES_EBADNAME: return "the name is not a legal host name";
	default: return ares_strerror(status);
	}
}

static void finish(struct lookup *k, const char *error)
{
	if (k->done)
		return;
	k->done = true;
	k->error = error;
	timer_stop(&k->deadline);
	loop_defer(k->timer.loop, &k->end);
}

static void take(struct lookup *k, const struct ares_addrinfo *info)
{
	int ttl = -1, n = 0;

	for (const struct ares_addrinfo_node *a = info->nodes; a; a = a->ai_next)
		n++;
	k->v = xcalloc((size_t)n + 1, sizeof(*k->v));
	for (const struct ares_addrinfo_node *a = info->nodes; a; a = a->ai_next) {
		struct sockaddr_storage sa = { 0 };
		struct addr at;

		if (a->ai_addrlen > sizeof(sa) || (a->ai_family != AF_INET && a->ai_family != AF_INET6))
			continue;
		memcpy(&sa, a->ai_addr, a->ai_addrlen);
		addr_from_sockaddr(&sa, &at);
		k->v[k->n++] = at.ip;
		if (ttl < 0 || a->ai_ttl < ttl)
			ttl = a->ai_ttl;
	}
	for (const struct ares_addrinfo_cname *c = info->cnames; c; c = c->next)
		if (c->ttl < ttl)
			ttl = c->ttl;
	if (ttl > 0 && k->n > 0)    /* 0: of /etc/hosts, or not to be kept */
		k->until_ms = loop_now_ms(k->timer.loop) + (ttl > LIMIT_RESOLVE_TTL_MS / 1000 ? LIMIT_RESOLVE_TTL_MS : (unsigned)ttl * 1000);
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
	struct lookup *k = arg;

	if (status == ARES_EDESTRUCTION || status == ARES_ECANCELLED || k->done) {
		ares_freeaddrinfo(info);
		return;
	}
	if (status == ARES_SUCCESS)
		take(k, info);
	ares_freeaddrinfo(info);
	finish(k, k->n > 0 ? NULL : status == ARES_SUCCESS ? words(ARES_ENODATA) : words(status));
}

static void on_deadline(struct timer *t)
{
	finish(container_of(t, struct lookup, deadline), words(ARES_ETIMEOUT));
}

/* ---- lookups ---- */

static void lookup_bury(struct deferred *d)
{
	struct lookup *k = container_of(d, struct lookup, grave);

	free(k->v);
	free(k);
}

static void stop_asking(struct lookup *k)
{
	timer_stop(&k->timer);
	timer_stop(&k->deadline);
	if (!k->channel)
		return;
	ares_destroy(k->channel);    /* not from within c-ares: that is why finish() defers */
	k->channel = NULL;
	free(k->socks);
	k->socks = NULL;
	k->resolver->n_asking--;
}

static void unlist(struct lookup *k)
{
	if (k->listed)
		map_del(&k->resolver->lookups, str_c(k->key));
	k->listed = false;
}

/* Freed at the end of the turn. */
static void lookup_drop(struct lookup *k)
{
	if (k->quit)
		return;
	k->quit = k->done = true;
	stop_asking(k);
	unlist(k);
	list_del(&k->link);
	k->grave.run = lookup_bury;
	loop_bury(k->timer.loop, &k->grave);
}

/* The end of the turn in which the answer came. */
static void lookup_end(struct deferred *d)
{
	struct lookup *k = container_of(d, struct lookup, end);
	int n = 0;

	if (k->quit)
		return;
	stop_asking(k);
	if (!k->until_ms)
		unlist(k);           /* who asks again inside on_done wants a new answer */
	list_each(at, &k->questions)
		n++;
	for (; n > 0 && !k->quit && !list_empty(&k->questions); n--) {
		struct resolve *q = container_of(k->questions.next, struct resolve, link);
		struct resolve copy = *q;

		list_del(&q->link);
		free(q);
		copy.on_done(copy.arg, k->v, k->n, k->error);    /* may ask again, or end the resolver */
	}
	if (!k->until_ms)
		lookup_drop(k);
}

static void ask(struct lookup *k, const char *name, int family)
{
	struct ares_options o = { .timeout = 1500, .tries = 3, .lookups = "fb", .sock_state_cb = on_state, .sock_state_cb_data = k };
	struct ares_addrinfo_hints hints = { .ai_family = family, .ai_socktype = SOCK_STREAM };
	int r;

	r = ares_init_options(&k->channel, &o, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB);
	if (r != ARES_SUCCESS) {
		k->channel = NULL;
		finish(k, words(r));
		return;
	}
	k->resolver->n_asking++;
	k->socks = xcalloc(RESOLVE_SOCKETS, sizeof(*k->socks));
	for (int i = 0; i < RESOLVE_SOCKETS; i++)
		k->socks[i].fd = -1;
	ares_set_socket_functions(k->channel, &functions, k);
	timer_start(&k->deadline, LIMIT_RESOLVE_MS);
	ares_getaddrinfo(k->channel, name, NULL, &hints, on_answer, k);
	keep_time(k);
}

/* An address is its own answer. True when it was one. */
static bool numeric(struct lookup *k, struct str host, bool v4, bool v6)
{
	struct ip ip;

	if (ip_parse(host, &ip) < 0)
		return false;
	k->v = xcalloc(1, sizeof(*k->v));
	k->v[0] = ip;
	k->n = ip_is_v4(&ip) ? v4 : v6;
	finish(k, k->n ? NULL : words(ARES_ENODATA));
	return true;
}

static struct lookup *lookup_new(struct resolver *r, struct str host, bool v4, bool v6)
{
	struct lookup *k = xcalloc(1, sizeof(*k));
	bool fits = host.n > 0 && host.n <= 253 && !memchr(host.p, '\0', host.n) && (v4 || v6);

	k->resolver = r;
	list_add_tail(&r->all, &k->link);
	timer_init(&k->timer, r->loop, on_time);
	timer_init(&k->deadline, r->loop, on_deadline);
	list_init(&k->questions);
	k->end.run = lookup_end;
	k->key[0] = v4 ? '4' : '-';
	k->key[1] = v6 ? '6' : '-';
	if (!fits) {
		finish(k, words(ARES_EBADNAME));
		return k;
	}
	memcpy(k->key + 2, host.p, host.n);
	map_put(&r->lookups, str_c(k->key), k);
	k->listed = true;
	if (!numeric(k, host, v4, v6) && r->n_asking >= LIMIT_RESOLVES)
		finish(k, "too many names are asked for at once");
	else if (!k->done)
		ask(k, k->key + 2, v4 && v6 ? AF_UNSPEC : v4 ? AF_INET : AF_INET6);
	return k;
}

/* Knows too much: what is too old goes, and if that does not help all that nobody waits for. */
static void forget(struct resolver *r)
{
	uint64_t now = loop_now_ms(r->loop);

	for (int all = 0; all < 2 && r->lookups.len >= LIMIT_RESOLVE_CACHE; all++) {
		struct lookup **old = xcalloc(r->lookups.len, sizeof(struct lookup *));
		size_t n = 0;

		map_each(slot, &r->lookups) {
			struct lookup *k = slot->value;

			if (k->until_ms && list_empty(&k->questions) && (all || k->until_ms <= now))
				old[n++] = k;
		}
		while (n > 0)
			lookup_drop(old[--n]);
		free(old);
	}
}

static struct lookup *lookup_of(struct resolver *r, struct str host, bool v4, bool v6)
{
	char key[280] = { v4 ? '4' : '-', v6 ? '6' : '-' };
	struct lookup *k = NULL;

	if (host.n <= 253) {
		memcpy(key + 2, host.p, host.n);
		k = map_get(&r->lookups, (struct str){ key, host.n + 2 });
	}
	if (k && k->until_ms && k->until_ms <= loop_now_ms(r->loop) && list_empty(&k->questions)) {
		lookup_drop(k);
		k = NULL;
	}
	if (k) {
		if (k->done)
			loop_defer(r->loop, &k->end);
		return k;
	}
	forget(r);
	return lookup_new(r, host, v4, v6);
}

/* ---- the outside ---- */

struct resolve *resolve_start(struct resolver *r, struct str host, bool v4, bool v6,
			      void (*on_done)(void *arg, const struct ip *v, int n, const char *error), void *arg)
{
	struct resolve *q = xcalloc(1, sizeof(*q));

	if (host.n > 1 && host.p[0] == '[' && host.p[host.n - 1] == ']')
		host = (struct str){ host.p + 1, host.n - 2 };
	q->on_done = on_done;
	q->arg = arg;
	q->lookup = lookup_of(r, host, v4, v6);
	list_add_tail(&q->lookup->questions, &q->link);
	return q;
}

void resolve_cancel(struct resolve *q)
{
	if (!q)
		return;
	list_del(&q->link);
	if (list_empty(&q->lookup->questions) && !q->lookup->done)
		lookup_drop(q->lookup);
	free(q);
}

static void start_library(void)
{
	ares_library_init(ARES_LIB_INIT_ALL);
}

struct resolver *resolver_new(struct loop *l, const struct sock_ops *ops, int netns)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct resolver *r = xcalloc(1, sizeof(*r));

	pthread_once(&once, start_library);
	r->loop = l;
	r->ops = ops;
	r->netns = netns;
	list_init(&r->all);
	return r;
}

void resolver_free(struct resolver *r)
{
	if (!r)
		return;
	while (!list_empty(&r->all)) {
		struct lookup *k = container_of(r->all.next, struct lookup, link);

		while (!list_empty(&k->questions)) {
			struct resolve *q = container_of(k->questions.next, struct resolve, link);

			list_del(&q->link);
			free(q);
		}
		lookup_drop(k);
	}
	map_done(&r->lookups);
	free(r);
}
