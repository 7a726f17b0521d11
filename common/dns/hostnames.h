/* SPDX-License-Identifier: Apache-2.0 */
/* Host names that somebody wants the addresses of for as long as he lives: they are looked up again and again on one thread
 * (the control thread), for everybody. The last good answer stays until there is a better one. */
#ifndef DNS_HOSTNAMES_H
#define DNS_HOSTNAMES_H

#include "base/addr.h"
#include "dns/resolve.h"

/* On the thread that asks, once; until then names wait. r: borrowed until hostnames_close. */
void hostnames_open(struct loop *l, struct resolver *r);
void hostnames_close(void);
/* Every name that is wanted all the time was answered, or has failed once. Any thread. */
bool hostnames_settled(void);

struct hostname;
struct hostname_answer {
	int n;
	struct ip v[];               /* in the order of RFC 6724; those without a route only if no address has one */
};

struct hostname *hostname_want(struct str name);     /* a reference; any thread */
void hostname_unwant(struct hostname *h);            /* any thread; NULL ok */
/* NULL: nothing is known yet. Within a turn (base/epoch.h). */
const struct hostname_answer *hostname_addrs(const struct hostname *h);
/* Counts the answers that differed from the one before. */
unsigned hostname_version(const struct hostname *h);
/* Whoever wants it only now and then says when he does: a name that nobody used for LIMIT_NAME_IDLE_MS (LIMIT_HOSTNAME_MS, if it never had an
 * address) is not asked for until it is used again. Names that were never used in this sense are asked for all the time. Any thread; now_ms is monotonic. */
void hostname_use(struct hostname *h, uint64_t now_ms);

/* Waits for the first word of a name, good or bad, on a loop of one's own; embedded. */
struct hostname_wait {
	struct list link;
	ev_async wake;
	struct loop *loop;
	void (*on_settled)(struct hostname_wait *w);     /* never within the call; w does not wait any more */
};
/* False: it is known already, or has failed. The name must stay wanted. */
bool hostname_wait(struct hostname *h, struct loop *l, struct hostname_wait *w);
void hostname_wait_end(struct hostname_wait *w);     /* ok if it does not wait */

/* As if it had been answered: on the asking thread. */
void hostname_learn(struct hostname *h, const struct ip *v, int n);

#endif
