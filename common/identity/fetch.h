/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates asked of a CA that answers later: a fresh key each, LIMIT_CA_FETCHES at once, by priority and in turn. */
#ifndef IDENTITY_FETCH_H
#define IDENTITY_FETCH_H

#include "identity/ca.h"
#include "identity/secret.h"
#include "io/loop.h"

struct fetcher;

/* One certificate that is wanted. Embedded; zeroed: idle. */
struct fetch {
	struct list link;               /* waiting or running */
	struct fetcher *owner;          /* NULL: idle */
	struct str id;                  /* borrowed until done or cancelled */
	_Atomic int priority;           /* low numbers first; fetch_hurry lowers it */
	void (*on_done)(struct fetch *f, struct certset *set, const struct err *err);
	struct secret key;              /* of the request that runs */
	struct ca_call *call;           /* NULL: waiting */
	struct timer deadline;
};

struct fetcher *fetcher_new(struct loop *l, const struct ca_ops *ca, void *ca_arg, int64_t ttl_s, unsigned reply_ms);
/* Before it: fetch_cancel for each. NULL ok. */
void fetcher_free(struct fetcher *x);
/* on_done follows once, never inside this call, with f idle again: set (the callee's to wipe; not checked at all), or NULL
 * and err. */
void fetch_start(struct fetcher *x, struct fetch *f, struct str id, int priority,
		 void (*on_done)(struct fetch *f, struct certset *set, const struct err *err));
static inline bool fetch_busy(const struct fetch *f) { return f->owner != NULL; }
/* Any thread: its turn comes before those of higher numbers. */
void fetch_hurry(struct fetch *f, int priority);
/* Idle ok; the key is wiped. */
void fetch_cancel(struct fetch *f);

#endif
