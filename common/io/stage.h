/* SPDX-License-Identifier: Apache-2.0 */
/* One layer of a byte stream: a socket, TLS, an HTTP/2 tunnel. Four verbs down, one callback up.
 *
 * Data is pushed: a DATA event lends the bytes for the time of the callback, and the receiver takes all of them (it
 * writes them on, or copies). One event carries at most LIMIT_READ_BYTES. Whoever cannot keep up calls stage_want(false);
 * that holds from the next event on. write takes everything too; what the layer cannot pass on at once it copies and
 * counts in `queued`, and DRAINED tells when that fell to LIMIT_QUEUE_LOW again. A writer that stops its source
 * while `queued` is above LIMIT_QUEUE_LOW therefore bounds the memory of both. No verb calls back before it returns.
 *
 * Accepted is not sent: layers that gather (TLS, HTTP/2) flush once, at the end of the loop's turn. */
#ifndef IO_STAGE_H
#define IO_STAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#include "base/fail.h"
#include "base/limits.h"
#include "io/loop.h"

enum stage_event {
	STAGE_OPEN,       /* connected, handshake done, tunnel accepted; before it write is allowed and queues */
	STAGE_DATA,       /* iov, n: lent until the callback returns */
	STAGE_EOF,        /* the peer half-closed; writing is still possible */
	STAGE_DRAINED,    /* queued fell to LIMIT_QUEUE_LOW or below, after it had been above */
	STAGE_CLOSED,     /* reset or failed: `fail` says why. No event follows; the owner still calls stage_done */
};

struct stage;

struct stage_ops {
	const char *name;                                                  /* "sock", "tls", "tunnel" */
	void (*write)(struct stage *s, const struct iovec *iov, int n);
	void (*want)(struct stage *s, bool read);
	void (*shut)(struct stage *s);                                     /* half-close, after all accepted bytes */
	void (*done)(struct stage *s, enum fail why);                      /* see stage_done */
};

struct stage {
	const struct stage_ops *ops;
	struct loop *loop;          /* borrowed */
	void (*on_event)(struct stage *s, enum stage_event ev, const struct iovec *iov, int n);
	void *arg;                  /* borrowed; the receiver's */
	size_t queued;              /* bytes accepted and not yet passed on */
	enum fail fail;             /* why CLOSED came */
	bool above_low;             /* queued was above LIMIT_QUEUE_LOW: DRAINED is owed */
};

static inline void stage_write(struct stage *s, const struct iovec *iov, int n) { s->ops->write(s, iov, n); }
static inline void stage_want(struct stage *s, bool read) { s->ops->want(s, read); }
static inline void stage_shut(struct stage *s) { s->ops->shut(s); }

/* Ends the owner's interest: no event comes any more, and s is gone at the end of the turn as far as the owner is
 * concerned. FAIL_NONE lets what was accepted be sent (at most LIMIT_LINGER_MS), then half-closes and closes;
 * any other reason aborts: TCP RST, RST_STREAM, no close_notify. NULL is allowed. Stages below are ended with it. */
static inline void stage_done(struct stage *s, enum fail why)
{
	if (s) {
		s->on_event = NULL;
		s->ops->done(s, why);
	}
}

static inline void stage_emit(struct stage *s, enum stage_event ev, const struct iovec *iov, int n)
{
	if (s->on_event)
		s->on_event(s, ev, iov, n);
}

/* For implementers: sets queued and emits DRAINED when it is owed. */
void stage_set_queued(struct stage *s, size_t queued);

#endif
