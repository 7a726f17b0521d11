/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/hostnames.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/epoch.h"
#include "base/log.h"
#include "base/map.h"

struct hostname {
	unsigned refs;                       /* under lock */
	atomic_uint version;
	_Atomic(struct hostname_answer *) answer;
	atomic_bool settled;                 /* changes under lock */
	struct list waiting;                 /* struct hostname_wait; under lock */
	atomic_uint_least64_t used_ms;       /* 0: it is asked for all the time */
	/* of the asking thread */
	struct timer timer;
	struct resolve *question;
	bool started, failing;
	char name[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct map names;                     /* by name: struct hostname; under lock */
static struct loop *loop;
static struct resolver *resolver;
static ev_async wake;

static void drop(struct hostname *h)
{
	if (h->started)
		timer_stop(&h->timer);
	resolve_cancel(h->question);
	free(atomic_load(&h->answer));
	free(h);
}

static uint64_t used_ms(const struct hostname *h)
{
	return atomic_load_explicit(&h->used_ms, memory_order_relaxed);
}

/* --- who waits --- */

static void on_settled(struct ev_loop *ev, ev_async *a, int revents)
{
	struct hostname_wait *w = a->data;

	hostname_wait_end(w);
	w->on_settled(w);
}

/* Under the lock. Each wakes on his own thread. */
static void settle(struct hostname *h)
{
	atomic_store_explicit(&h->settled, true, memory_order_release);
	while (!list_empty(&h->waiting)) {
		struct hostname_wait *w = container_of(h->waiting.next, struct hostname_wait, link);

		list_del(&w->link);
		ev_async_send(w->loop->ev, &w->wake);
	}
}

bool hostname_wait(struct hostname *h, struct loop *l, struct hostname_wait *w)
{
	bool waits;

	w->loop = l;
	list_init(&w->link);
	if (atomic_load_explicit(&h->settled, memory_order_acquire))
		return false;
	pthread_mutex_lock(&lock);
	waits = !h->settled;
	if (waits) {
		ev_async_init(&w->wake, on_settled);
		w->wake.data = w;
		ev_async_start(l->ev, &w->wake);
		list_add_tail(&h->waiting, &w->link);
	}
	pthread_mutex_unlock(&lock);
	return waits;
}

void hostname_wait_end(struct hostname_wait *w)
{
	pthread_mutex_lock(&lock);
	list_del(&w->link);
	pthread_mutex_unlock(&lock);
	if (ev_is_active(&w->wake))
		ev_async_stop(w->loop->ev, &w->wake);
}

/* --- asking --- */

static void ask_again(struct hostname *h, bool worked)
{
	pthread_mutex_lock(&lock);
	settle(h);
	pthread_mutex_unlock(&lock);
	timer_start(&h->timer, worked ? LIMIT_HOSTNAME_MS : LIMIT_HOSTNAME_FAIL_MS);
}

/* Whether the kernel knows a way; nothing is sent. */
static bool has_route(const struct ip *ip)
{
	struct addr a = { *ip, 53 };
	struct sockaddr_storage sa;
	socklen_t len = addr_to_sockaddr(&a, 0, &sa);
	int fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool is = fd >= 0 && connect(fd, (struct sockaddr *)&sa, len) == 0;

	if (fd >= 0)
		close(fd);
	return is;
}

/* Each address is an endpoint that gets its share: one of a family that this host does not have would fail it. */
static void learn_routed(struct hostname *h, const struct ip *v, int n)
{
	struct ip *routed = xcalloc((size_t)n, sizeof(*routed));
	int k = 0;

	for (int i = 0; i < n; i++)
		if (has_route(&v[i]))
			routed[k++] = v[i];
	hostname_learn(h, k ? routed : v, k ? k : n);
	free(routed);
}

static void on_addrs(void *arg, const struct ip *v, int n, const char *error)
{
	struct hostname *h = arg;

	h->question = NULL;
	if (n)
		learn_routed(h, v, n);
	else if (used_ms(h))
		log_debug(LOG_DNS, "no address for %s: %s", h->name, error);      /* the request's log tells of it; clients choose how many there are */
	else if (!h->failing)
		log_warn(LOG_DNS, "no address for %s: %s%s", h->name, error, atomic_load(&h->answer) ? "; its last ones are used" : "");
	h->failing = !n;
	ask_again(h, n > 0);
}

/* Nobody wants it any more: who wants it again makes a new one. */
static bool forgotten(struct hostname *h)
{
	bool gone;

	pthread_mutex_lock(&lock);
	gone = !h->refs;
	if (gone)
		map_del(&names, str_c(h->name));
	pthread_mutex_unlock(&lock);
	if (gone)
		drop(h);
	return gone;
}

static void ask(struct hostname *h)
{
	h->question = resolve_start(resolver, str_c(h->name), true, true, on_addrs, h);
	if (!h->question)
		ask_again(h, false);
}

/* Requests may bring any number of names that nobody has: those are left soon. */
static bool rests(const struct hostname *h)
{
	uint64_t used = used_ms(h), idle = atomic_load(&h->answer) ? LIMIT_NAME_IDLE_MS : LIMIT_HOSTNAME_MS;

	return used && loop_now_ms(loop) > used + idle;
}

static void on_time(struct timer *t)
{
	struct hostname *h = container_of(t, struct hostname, timer);

	if (forgotten(h))
		return;
	if (rests(h))
		timer_start(&h->timer, LIMIT_HOSTNAME_MS);
	else
		ask(h);
}

/* A zero timer, since the questions must not be asked under the lock. */
static void on_wake(struct ev_loop *ev, ev_async *w, int revents)
{
	pthread_mutex_lock(&lock);
	map_each(slot, &names) {
		struct hostname *h = slot->value;

		if (h->started)
			continue;
		h->started = true;
		timer_init(&h->timer, loop, on_time);
		timer_start(&h->timer, 0);
	}
	pthread_mutex_unlock(&lock);
}

void hostnames_open(struct loop *l, struct resolver *r)
{
	pthread_mutex_lock(&lock);
	loop = l;
	resolver = r;
	ev_async_init(&wake, on_wake);
	ev_async_start(l->ev, &wake);
	ev_unref(l->ev);
	pthread_mutex_unlock(&lock);
	ev_async_send(l->ev, &wake);
}

void hostnames_close(void)
{
	pthread_mutex_lock(&lock);
	if (loop) {
		ev_ref(loop->ev);
		ev_async_stop(loop->ev, &wake);
		loop = NULL;
	}
	map_each(slot, &names) {
		struct hostname *h = slot->value;

		if (h->started)
			timer_stop(&h->timer);
		resolve_cancel(h->question);
		h->question = NULL;
		h->started = false;
	}
	pthread_mutex_unlock(&lock);
}

bool hostnames_settled(void)
{
	bool settled = true;

	pthread_mutex_lock(&lock);
	map_each(slot, &names) {
		const struct hostname *h = slot->value;

		settled &= h->settled || !h->refs || used_ms(h);
	}
	pthread_mutex_unlock(&lock);
	return settled;
}

/* --- names --- */

struct hostname *hostname_want(struct str name)
{
	struct hostname *h;

	pthread_mutex_lock(&lock);
	h = map_get(&names, name);
	if (!h) {
		h = xcalloc(1, sizeof(*h) + name.n + 1);
		memcpy(h->name, name.p, name.n);
		list_init(&h->waiting);
		map_put(&names, str_c(h->name), h);
		if (loop)
			ev_async_send(loop->ev, &wake);
	}
	h->refs++;
	pthread_mutex_unlock(&lock);
	return h;
}

/* One that is asked for goes when its time comes next. */
void hostname_unwant(struct hostname *h)
{
	bool gone;

	if (!h)
		return;
	pthread_mutex_lock(&lock);
	gone = !--h->refs && !loop;
	if (gone)
		map_del(&names, str_c(h->name));
	pthread_mutex_unlock(&lock);
	if (gone)
		drop(h);
}

void hostname_use(struct hostname *h, uint64_t now_ms)
{
	atomic_store_explicit(&h->used_ms, now_ms ? now_ms : 1, memory_order_relaxed);
}

const struct hostname_answer *hostname_addrs(const struct hostname *h)
{
	return atomic_load_explicit(&h->answer, memory_order_acquire);
}

unsigned hostname_version(const struct hostname *h)
{
	return atomic_load_explicit(&h->version, memory_order_acquire);
}

static void remember(struct hostname *h, const struct ip *v, int n)
{
	struct hostname_answer *old = atomic_load(&h->answer), *new;
	size_t size = (size_t)n * sizeof(*v);

	if (old && old->n == n && !memcmp(old->v, v, size))
		return;
	new = xmalloc(sizeof(*new) + size);
	new->n = n;
	memcpy(new->v, v, size);
	atomic_store_explicit(&h->answer, new, memory_order_release);
	atomic_fetch_add_explicit(&h->version, 1, memory_order_release);
	if (old)
		epoch_retire(old, free);
}

void hostname_learn(struct hostname *h, const struct ip *v, int n)
{
	remember(h, v, n);
	pthread_mutex_lock(&lock);
	settle(h);
	pthread_mutex_unlock(&lock);
}
