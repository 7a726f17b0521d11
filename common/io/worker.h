/* SPDX-License-Identifier: Apache-2.0 */
/* A thread with a loop and a mailbox. Mail is the only way in from another thread. */
#ifndef IO_WORKER_H
#define IO_WORKER_H

#include "io/loop.h"

struct worker;

struct mail {
	struct mail *next;
	void (*run)(struct mail *m, struct worker *w);   /* on the worker's thread; owns m from then on */
};

struct worker *worker_new(int index, const char *thread_name);
int worker_start(struct worker *w, void (*init)(struct worker *w, void *arg), void *arg);
void worker_send(struct worker *w, struct mail *m);   /* any thread; never waits */
void worker_stop(struct worker *w);                    /* any thread; the loop ends after this turn */
void worker_join(struct worker *w);                    /* then free */
struct loop *worker_loop(struct worker *w);

#endif
