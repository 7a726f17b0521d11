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
/* Every name that is wanted was answered, or has failed once. Any thread. */
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
/* As if it had been answered: on the asking thread. */
void hostname_learn(struct hostname *h, const struct ip *v, int n);

#endif
