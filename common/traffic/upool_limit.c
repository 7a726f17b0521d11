/* SPDX-License-Identifier: Apache-2.0 */
/* A cluster's limit of connections is one for the process, and its connections belong to workers. Who is refused one closes an idle
 * one of his own, or asks the other pools: they close one of theirs as soon as it is idle, and its place becomes his. All of this
 * happens at a limit only; one lock, never held for long. */
#include <pthread.h>
#include <stdatomic.h>

#include "traffic/upool_int.h"

#define PATIENCE_MS 50         /* a pool that needs its connections itself hands one over that often */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct list pools = { &pools, &pools };
static atomic_int n_starving;  /* pools with requests that wait for somebody else's connection */

/* ---- who is asked ---- */

static struct uconn *oldest_idle(const struct upool *p, const struct cluster *cl)
{
	list_each(at, &p->idle) {
		struct uconn *c = container_of(at, struct uconn, idle);

		if (cluster_shares(c->entry->cluster, cl) && c->counted)
			return c;
	}
	return NULL;
}

static void owe(struct upool *p, struct cluster *cl, struct upool *to)
{
	struct cluster *before = p->owed;

	if (!cl || cl != before || to != p->owed_to)
		p->owed_ms = loop_now_ms(p->loop);
	p->owed_more |= cl && before && (cl != before || to != p->owed_to);
	p->owed = cl ? cluster_ref(cl) : NULL;
	p->owed_to = to;
	cluster_unref(before);
}

/* c is about to end: its place is the other pool's. */
static void hand_over(struct uconn *c, const struct upool *to)
{
	pthread_mutex_lock(&lock);
	list_each(at, &pools) {
		struct upool *p = container_of(at, struct upool, link);

		if (p != to || p->granted)
			continue;
		p->granted = cluster_ref(c->entry->cluster);
		c->counted = false;
		ev_async_send(p->loop->ev, &p->wake);
	}
	pthread_mutex_unlock(&lock);
}

bool upool_limit_pay(struct upool *p, struct uconn *c)
{
	if (p->owed_more && !cluster_shares(c->entry->cluster, p->owed)) {
		p->owed_more = false;
		upool_limit_freed();
	}
	if (!cluster_shares(c->entry->cluster, p->owed) || !c->counted)
		return false;
	if (c->entry->n_waiting && loop_now_ms(p->loop) < p->owed_ms + PATIENCE_MS)
		return false;
	hand_over(c, p->owed_to);
	owe(p, NULL, NULL);
	upool_limit_freed();       /* others may be in need, too: they ask again */
	return true;
}

/* ---- who asks ---- */

static void set_starving(struct upool *p, bool on)
{
	if (p->starving == on)
		return;
	p->starving = on;
	atomic_fetch_add(&n_starving, on ? 1 : -1);
}

/* Everybody, also ourselves for another host's connections. */
static void ask(struct uentry *e)
{
	owe(e->pool, e->cluster, e->pool);
	pthread_mutex_lock(&lock);
	set_starving(e->pool, true);
	list_each(at, &pools) {
		struct upool *p = container_of(at, struct upool, link);

		if (p == e->pool)
			continue;
		p->crowded |= p->asked != NULL;
		if (p->asked)
			continue;
		p->asked = cluster_ref(e->cluster);
		p->asked_by = e->pool;
		ev_async_send(p->loop->ev, &p->wake);
	}
	pthread_mutex_unlock(&lock);
}

bool upool_limit_take(struct uentry *e)
{
	struct upool *p = e->pool;
	struct uconn *c;

	if (cluster_shares(p->grant, e->cluster)) {
		cluster_unref(p->grant);
		p->grant = NULL;
		return true;
	}
	if (cluster_take(e->cluster, LIMIT_OF_CONNECTIONS))
		return true;
	c = oldest_idle(p, e->cluster);
	if (c) {
		c->counted = false;        /* its place is this one's */
		uconn_end(c, FAIL_NONE);
		return true;
	}
	if (!e->n_conns)               /* else one of them will come free */
		ask(e);
	return false;
}

void upool_limit_freed(void)
{
	if (atomic_load_explicit(&n_starving, memory_order_relaxed) == 0)
		return;
	pthread_mutex_lock(&lock);
	list_each(at, &pools) {
		struct upool *p = container_of(at, struct upool, link);

		if (!p->starving)
			continue;
		p->freed = true;
		ev_async_send(p->loop->ev, &p->wake);
	}
	pthread_mutex_unlock(&lock);
}

static void give_back(struct upool *p, struct cluster *cl)
{
	if (!cl)
		return;
	cluster_give(cl, LIMIT_OF_CONNECTIONS);
	cluster_unref(cl);
	upool_limit_freed();
}

/* After the entries had their turn. */
static void on_regrant(struct deferred *d)
{
	struct upool *p = container_of(d, struct upool, regrant);
	struct cluster *cl = p->grant;

	p->grant = NULL;
	give_back(p, cl);
}

static void on_asked(struct upool *p, struct cluster *cl, struct upool *by)
{
	struct uconn *c = oldest_idle(p, cl);

	owe(p, c ? NULL : cl, by);
	if (!c)
		return;
	hand_over(c, by);
	uconn_end(c, FAIL_NONE);
}

static void on_wake(struct ev_loop *ev, ev_async *w, int revents)
{
	struct upool *p = container_of(w, struct upool, wake), *by;
	struct cluster *asked;
	bool look, crowded;

	pthread_mutex_lock(&lock);
	asked = p->asked;
	by = p->asked_by;
	p->asked = NULL;
	crowded = p->crowded;
	p->crowded = false;
	if (!p->grant) {
		p->grant = p->granted;
		p->granted = NULL;
	}
	look = p->freed || p->grant;
	p->freed = false;
	if (look)
		set_starving(p, false);
	pthread_mutex_unlock(&lock);
	if (asked)
		on_asked(p, asked, by);
	cluster_unref(asked);
	if (crowded)
		upool_limit_freed();
	if (look)                      /* it asks again if there is still nothing */
		list_each(at, &p->all)
			if (container_of(at, struct uentry, link)->n_waiting)
				uentry_serve_later(container_of(at, struct uentry, link));
	loop_defer(p->loop, &p->regrant);
}

void upool_limit_join(struct upool *p)
{
	p->regrant.run = on_regrant;
	ev_async_init(&p->wake, on_wake);
	ev_async_start(p->loop->ev, &p->wake);
	pthread_mutex_lock(&lock);
	list_add_tail(&pools, &p->link);
	pthread_mutex_unlock(&lock);
}

void upool_limit_leave(struct upool *p)
{
	struct cluster *granted;

	pthread_mutex_lock(&lock);
	list_del(&p->link);
	set_starving(p, false);
	cluster_unref(p->asked);
	granted = p->granted;
	p->asked = p->granted = NULL;
	pthread_mutex_unlock(&lock);
	give_back(p, granted);
	owe(p, NULL, NULL);
	ev_async_stop(p->loop->ev, &p->wake);
}
