/* SPDX-License-Identifier: Apache-2.0 */
#include "base/epoch.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/str.h"

struct seen {
	struct epoch_reader *reader;
	unsigned long turn;
};

struct retired {
	struct retired *next;
	void *obj;
	void (*free_fn)(void *obj);
	int n;
	struct seen seen[];      /* readers that were awake when obj was unlinked */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct epoch_reader *readers;
static int n_readers;
static struct retired *waiting;

void epoch_join(struct epoch_reader *r)
{
	atomic_init(&r->turn, 0);
	pthread_mutex_lock(&lock);
	r->next = readers;
	readers = r;
	n_readers++;
	pthread_mutex_unlock(&lock);
}

void epoch_leave(struct epoch_reader *r)
{
	pthread_mutex_lock(&lock);
	for (struct epoch_reader **at = &readers; *at; at = &(*at)->next) {
		if (*at == r) {
			*at = r->next;
			n_readers--;
			break;
		}
	}
	for (struct retired *t = waiting; t; t = t->next)
		for (int i = 0; i < t->n; i++)
			if (t->seen[i].reader == r)
				t->seen[i].reader = NULL;
	pthread_mutex_unlock(&lock);
}

void epoch_wake(struct epoch_reader *r)
{
	/* Sequentially consistent: the writer that misses this sees us later on the new object. */
	atomic_fetch_add(&r->turn, 1);
}

void epoch_sleep(struct epoch_reader *r)
{
	atomic_fetch_add_explicit(&r->turn, 1, memory_order_release);
}

static int collect_locked(void)
{
	int left = 0;

	for (struct retired **at = &waiting; *at;) {
		struct retired *t = *at;
		bool busy = false;

		for (int i = 0; i < t->n && !busy; i++)
			busy = t->seen[i].reader && atomic_load(&t->seen[i].reader->turn) == t->seen[i].turn;
		if (busy) {
			left++;
			at = &t->next;
			continue;
		}
		*at = t->next;
		t->free_fn(t->obj);
		free(t);
	}
	return left;
}

static void wait_locked(void *obj, void (*free_fn)(void *obj))
{
	struct retired *t = xcalloc(1, sizeof(*t) + (size_t)n_readers * sizeof(t->seen[0]));

	t->obj = obj;
	t->free_fn = free_fn;
	for (struct epoch_reader *r = readers; r; r = r->next) {
		unsigned long turn = atomic_load(&r->turn);

		if (turn & 1)
			t->seen[t->n++] = (struct seen){ r, turn };
	}
	t->next = waiting;
	waiting = t;
}

void epoch_retire(void *obj, void (*free_fn)(void *obj))
{
	pthread_mutex_lock(&lock);
	wait_locked(obj, free_fn);
	collect_locked();
	pthread_mutex_unlock(&lock);
}

void epoch_defer(void *obj, void (*free_fn)(void *obj))
{
	pthread_mutex_lock(&lock);
	wait_locked(obj, free_fn);
	pthread_mutex_unlock(&lock);
}

int epoch_collect(void)
{
	int left;

	pthread_mutex_lock(&lock);
	left = collect_locked();
	pthread_mutex_unlock(&lock);
	return left;
}
