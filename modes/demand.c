/* SPDX-License-Identifier: Apache-2.0 */
#include "modes/demand.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/map.h"

#define GOOD_MS      5000   /* how long an answer is good */
#define TIDY_MS      100    /* a full table is looked through this often at most */

struct asked {
	enum demand_answer answer;
	uint64_t until_ms;       /* of an answer */
	struct asked *next;      /* of those that the control thread has not seen */
	char name[];
};

struct demand {
	struct loop *loop;       /* the control thread's */
	ev_async wake;
	void (*on_ask)(void *arg, struct str name);
	void *arg;
	pthread_mutex_t lock;    /* of what follows */
	struct map names;        /* struct asked */
	uint64_t tidied_ms;
	struct asked *fresh;
};

static void on_wake(struct ev_loop *ev, ev_async *w, int revents)
{
	struct demand *d = w->data;
	struct asked *a;

	pthread_mutex_lock(&d->lock);
	a = d->fresh;
	d->fresh = NULL;
	pthread_mutex_unlock(&d->lock);
	/* None of these goes before it is answered, and only this thread answers; on_ask may do so. */
	while (a) {
		struct asked *next = a->next;

		d->on_ask(d->arg, str_c(a->name));
		a = next;
	}
}

struct demand *demand_new(struct loop *control, void (*on_ask)(void *arg, struct str name), void *arg)
{
	struct demand *d = xcalloc(1, sizeof(*d));

	d->loop = control;
	d->on_ask = on_ask;
	d->arg = arg;
	pthread_mutex_init(&d->lock, NULL);
	ev_async_init(&d->wake, on_wake);
	d->wake.data = d;
	ev_async_start(control->ev, &d->wake);
	ev_unref(control->ev);
	return d;
}

void demand_free(struct demand *d)
{
	if (!d)
		return;
	ev_ref(d->loop->ev);
	ev_async_stop(d->loop->ev, &d->wake);
	map_each(slot, &d->names)
		free(slot->value);
	map_done(&d->names);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

/* What is answered and stale goes, all at once. */
static void forget_stale(struct demand *d)
{
	struct map kept = { 0 };
	uint64_t now = loop_now_ms(d->loop);

	if (now - d->tidied_ms < TIDY_MS)
		return;
	d->tidied_ms = now;
	map_each(slot, &d->names) {
		struct asked *a = slot->value;

		if (a->answer == DEMAND_ASKED || a->until_ms > now)
			map_put(&kept, str_c(a->name), a);
		else
			free(a);
	}
	map_done(&d->names);
	d->names = kept;
}

/* A new one; NULL: there are too many. */
static struct asked *add(struct demand *d, struct str name)
{
	struct asked *a;

	if (d->names.len >= LIMIT_DEMAND_NAMES)
		forget_stale(d);
	if (d->names.len >= LIMIT_DEMAND_NAMES)
		return NULL;
	a = xcalloc(1, sizeof(*a) + name.n + 1);
	memcpy(a->name, name.p, name.n);
	map_put(&d->names, (struct str){ a->name, name.n }, a);
	return a;
}

enum demand_answer demand_ask(struct demand *d, struct str name)
{
	enum demand_answer answer = DEMAND_SILENT;
	bool fresh = false;
	struct asked *a;

	if (!d)
		return DEMAND_DONE;
	pthread_mutex_lock(&d->lock);
	a = map_get(&d->names, name);
	fresh = !a || (a->answer != DEMAND_ASKED && a->until_ms <= loop_now_ms(d->loop));
	a = a ? a : add(d, name);
	if (a && fresh) {
		a->answer = DEMAND_ASKED;
		a->next = d->fresh;
		d->fresh = a;
	}
	if (a)
		answer = a->answer;
	pthread_mutex_unlock(&d->lock);
	if (a && fresh)
		ev_async_send(d->loop->ev, &d->wake);
	return answer;
}

void demand_tell(struct demand *d, struct str name, enum demand_answer answer)
{
	struct asked *a;

	pthread_mutex_lock(&d->lock);
	a = map_get(&d->names, name);
	if (a) {
		a->answer = answer;
		a->until_ms = loop_now_ms(d->loop) + GOOD_MS;
	}
	pthread_mutex_unlock(&d->lock);
}
