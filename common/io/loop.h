/* SPDX-License-Identifier: Apache-2.0 */
/* One thread's event loop: libev, a coarse clock, work deferred to the end of the turn, and large buffers to borrow. */
#ifndef IO_LOOP_H
#define IO_LOOP_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/epoch.h"
#include "base/limits.h"
#include "base/list.h"

#define LOOP_BUF_BYTES (LIMIT_READ_BYTES + 32 * 1024)   /* a full read, or what TLS makes of one */
#define LOOP_BUFS      8

/* Work for the end of this turn. Embed it; a zeroed one is not queued. Runs once per loop_defer. */
struct deferred {
	struct deferred *next;       /* NULL: not queued */
	void (*run)(struct deferred *d);
};
static inline bool deferred_queued(const struct deferred *d) { return d->next != NULL; }

/* Something that nobody owns any more and that still finishes; loop_free ends it. */
struct leftover {
	struct list link;
	void (*end)(struct leftover *l);
};

struct loop {
	struct ev_loop *ev;                 /* owned */
	ev_prepare prepare;
	ev_check check;
	ev_timer trim;                      /* gives borrowed memory back after a quiet spell */
	struct deferred *first, **last;
	struct deferred *flushes;           /* after those */
	struct deferred *graves;            /* freed after everything else of the turn */
	struct list leftovers;
	struct epoch_reader epoch;
	unsigned long turn;                 /* counts */
	unsigned parties, parties_before;   /* io/share.h: with work in this turn, and in the last */
	uint8_t *bufs[LOOP_BUFS];           /* owned, made on first use */
	int bufs_lent;
	bool bufs_used;
	int worker;                         /* index of the worker, -1 on the control thread */
};

struct loop *loop_new(int worker);
void loop_free(struct loop *l);
void loop_run(struct loop *l);                /* until loop_stop */
void loop_stop(struct loop *l);               /* from the loop's own thread */
uint64_t loop_now_ms(const struct loop *l);   /* monotonic, coarse (some milliseconds) */

void loop_defer(struct loop *l, struct deferred *d);
/* Like loop_defer, but after all of that: where a layer that gathers sends what the layers above had to say in this turn. */
void loop_flush(struct loop *l, struct deferred *d);
/* Like loop_defer, but after every flush of this turn: the place to free an object that may be on the call stack. */
void loop_bury(struct loop *l, struct deferred *d);

/* Lends LOOP_BUF_BYTES until the matching loop_return; last lent, first returned. Never NULL. */
uint8_t *loop_borrow(struct loop *l);
void loop_return(struct loop *l);

/* A one-shot timer. timer_init once; start again moves it. */
struct timer {
	ev_timer w;
	struct loop *loop;
	void (*fire)(struct timer *t);
};
void timer_init(struct timer *t, struct loop *l, void (*fire)(struct timer *t));
void timer_start(struct timer *t, uint64_t after_ms);
void timer_stop(struct timer *t);
static inline bool timer_armed(const struct timer *t) { return ev_is_active(&t->w); }

#endif
