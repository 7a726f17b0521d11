/* SPDX-License-Identifier: Apache-2.0 */
#include "io/loop.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "base/str.h"
#include "io/stage.h"

#define TRIM_AFTER_S 2.0

static struct deferred end;     /* of each queue: what is queued always has a next */

static struct deferred *take(struct loop *l)
{
	struct deferred **head = l->first != &end ? &l->first : l->flushes != &end ? &l->flushes : &l->graves;
	struct deferred *d = *head;

	if (d == &end)
		return NULL;
	*head = d->next;
	if (l->first == &end)
		l->last = &l->first;
	d->next = NULL;
	return d;
}

static void run_all(struct loop *l)
{
	struct deferred *d;

	while ((d = take(l)))
		d->run(d);
}

static void on_prepare(struct ev_loop *ev, ev_prepare *w, int revents)
{
	struct loop *l = container_of(w, struct loop, prepare);

	run_all(l);
	epoch_sleep(&l->epoch);
}

static void on_check(struct ev_loop *ev, ev_check *w, int revents)
{
	struct loop *l = container_of(w, struct loop, check);

	epoch_wake(&l->epoch);
	l->turn++;
	l->parties_before = l->parties;
	l->parties = 0;
}

static void on_trim(struct ev_loop *ev, ev_timer *w, int revents)
{
	struct loop *l = container_of(w, struct loop, trim);

	if (l->bufs_used) {
		l->bufs_used = false;
		ev_timer_set(&l->trim, TRIM_AFTER_S, 0);
		ev_timer_start(ev, &l->trim);
		return;
	}
	for (int i = 0; i < LOOP_BUFS; i++) {
		if (l->bufs[i])
			munmap(l->bufs[i], LOOP_BUF_BYTES);
		l->bufs[i] = NULL;
	}
}

struct loop *loop_new(int worker)
{
	struct loop *l = xcalloc(1, sizeof(*l));

	l->ev = ev_loop_new(EVFLAG_NOENV | EVBACKEND_EPOLL);
	if (!l->ev) {
		free(l);
		return NULL;
	}
	l->first = l->flushes = l->graves = &end;
	l->last = &l->first;
	list_init(&l->leftovers);
	l->worker = worker;
	epoch_join(&l->epoch);
	epoch_wake(&l->epoch);
	ev_prepare_init(&l->prepare, on_prepare);
	ev_set_priority(&l->prepare, EV_MINPRI);
	ev_prepare_start(l->ev, &l->prepare);
	ev_check_init(&l->check, on_check);
	ev_set_priority(&l->check, EV_MAXPRI);
	ev_check_start(l->ev, &l->check);
	ev_timer_init(&l->trim, on_trim, TRIM_AFTER_S, 0);
	/* The loop's own watchers do not keep it alive. */
	ev_unref(l->ev);
	ev_unref(l->ev);
	return l;
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	run_all(l);
	while (!list_empty(&l->leftovers)) {
		struct leftover *left = container_of(l->leftovers.next, struct leftover, link);

		left->end(left);
	}
	run_all(l);
	for (int i = 0; i < LOOP_BUFS; i++)
		if (l->bufs[i])
			munmap(l->bufs[i], LOOP_BUF_BYTES);
	epoch_sleep(&l->epoch);
	epoch_leave(&l->epoch);
	ev_loop_destroy(l->ev);
	free(l);
}

void loop_run(struct loop *l)
{
	ev_run(l->ev, 0);
}

void loop_stop(struct loop *l)
{
	ev_break(l->ev, EVBREAK_ALL);
}

uint64_t loop_now_ms(const struct loop *l)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void loop_defer(struct loop *l, struct deferred *d)
{
	if (deferred_queued(d))
		return;
	d->next = &end;
	*l->last = d;
	l->last = &d->next;
}

static void push(struct deferred **head, struct deferred *d)
{
	if (deferred_queued(d))
		return;
	d->next = *head;
	*head = d;
}

void loop_flush(struct loop *l, struct deferred *d)
{
	push(&l->flushes, d);
}

void loop_bury(struct loop *l, struct deferred *d)
{
	push(&l->graves, d);
}

uint8_t *loop_borrow(struct loop *l)
{
	uint8_t **at;

	if (l->bufs_lent == LOOP_BUFS)
		abort();     /* nesting is bounded by the code: TLS in HTTP/2 in TLS takes five */
	at = &l->bufs[l->bufs_lent++];
	if (!*at) {
		*at = mmap(NULL, LOOP_BUF_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (*at == MAP_FAILED)
			abort();
	}
	l->bufs_used = true;
	if (!ev_is_active(&l->trim)) {
		ev_timer_set(&l->trim, TRIM_AFTER_S, 0);
		ev_timer_start(l->ev, &l->trim);
	}
	return *at;
}

void loop_return(struct loop *l)
{
	l->bufs_lent--;
}

static void on_timer(struct ev_loop *ev, ev_timer *w, int revents)
{
	struct timer *t = container_of(w, struct timer, w);

	t->fire(t);
}

void timer_init(struct timer *t, struct loop *l, void (*fire)(struct timer *t))
{
	ev_timer_init(&t->w, on_timer, 0, 0);
	t->loop = l;
	t->fire = fire;
}

void timer_start(struct timer *t, uint64_t after_ms)
{
	ev_timer_stop(t->loop->ev, &t->w);
	ev_timer_set(&t->w, (double)after_ms / 1000, 0);
	ev_timer_start(t->loop->ev, &t->w);
}

void timer_stop(struct timer *t)
{
	ev_timer_stop(t->loop->ev, &t->w);
}

void stage_set_queued(struct stage *s, size_t queued)
{
	s->queued = queued;
	if (queued > LIMIT_QUEUE_LOW) {
		s->above_low = true;
	} else if (s->above_low) {
		s->above_low = false;
		stage_emit(s, STAGE_DRAINED, NULL, 0);
	}
}
