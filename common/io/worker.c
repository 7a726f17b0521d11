/* SPDX-License-Identifier: Apache-2.0 */
#include "io/worker.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <stdio.h>

#include "base/str.h"

struct worker {
	struct loop *loop;            /* owned */
	ev_async wake;
	_Atomic(struct mail *) box;   /* newest first */
	pthread_t thread;
	char name[16];
	void (*init)(struct worker *w, void *arg);
	void *arg;
	bool started;
};

static void on_mail(struct ev_loop *ev, ev_async *a, int revents)
{
	struct worker *w = container_of(a, struct worker, wake);
	struct mail *m = atomic_exchange(&w->box, NULL), *in_order = NULL;

	while (m) {
		struct mail *next = m->next;

		m->next = in_order;
		in_order = m;
		m = next;
	}
	while (in_order) {
		m = in_order;
		in_order = m->next;
		m->run(m, w);
	}
}

struct worker *worker_new(int index, const char *thread_name)
{
	struct loop *l = loop_new(index);
	struct worker *w;

	if (!l)
		return NULL;
	w = xcalloc(1, sizeof(*w));
	w->loop = l;
	snprintf(w->name, sizeof(w->name), "%s", thread_name);
	ev_async_init(&w->wake, on_mail);
	ev_async_start(l->ev, &w->wake);
	return w;
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;

	pthread_setname_np(pthread_self(), w->name);
	if (w->init)
		w->init(w, w->arg);
	loop_run(w->loop);
	return NULL;
}

int worker_start(struct worker *w, void (*init)(struct worker *w, void *arg), void *arg)
{
	sigset_t all, old;
	int r;

	w->init = init;
	w->arg = arg;
	/* Signals are the control thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&w->thread, NULL, worker_main, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	w->started = r == 0;
	return -r;
}

void worker_send(struct worker *w, struct mail *m)
{
	struct mail *head = atomic_load(&w->box);

	do
		m->next = head;
	while (!atomic_compare_exchange_weak(&w->box, &head, m));
	ev_async_send(w->loop->ev, &w->wake);
}


static void run_stop(struct mail *m, struct worker *w)
{
	free(m);
	loop_stop(w->loop);
}

void worker_stop(struct worker *w)
{
	struct mail *m = xcalloc(1, sizeof(*m));

	m->run = run_stop;
	worker_send(w, m);
}

void worker_join(struct worker *w)
{
	if (w->started)
		pthread_join(w->thread, NULL);
	ev_async_stop(w->loop->ev, &w->wake);
	loop_free(w->loop);
	free(w);
}

struct loop *worker_loop(struct worker *w)
{
	return w->loop;
}
