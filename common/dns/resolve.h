/* SPDX-License-Identifier: Apache-2.0 */
/* Host names to addresses, asynchronously, by /etc/hosts and the servers and search domains of /etc/resolv.conf (c-ares). A
 * resolver belongs to one loop and its thread. Names that are asked for at the same time are asked for once; answers are
 * kept as long as their TTL says, up to LIMIT_RESOLVE_TTL_MS. */
#ifndef DNS_RESOLVE_H
#define DNS_RESOLVE_H

#include "base/addr.h"
#include "io/sock.h"

struct resolver;
struct resolve;     /* one question */

/* netns: where its sockets are made (borrowed), or NETNS_OWN. ops (borrowed, NULL ok): its `prepare` marks them. */
struct resolver *resolver_new(struct loop *l, const struct sock_ops *ops, int netns);
void resolver_free(struct resolver *r);     /* cancels its questions; NULL ok; allowed inside on_done */

/* Asks for the addresses of a name (an address is its own) of the families that are wanted. on_done comes once, never inside
 * this call, within LIMIT_RESOLVE_MS; the question is gone after it. v: lent, in the order of RFC 6724; n 0: there are none,
 * error says why in a few words: "no such host". */
struct resolve *resolve_start(struct resolver *r, struct str host, bool v4, bool v6,
			      void (*on_done)(void *arg, const struct ip *v, int n, const char *error), void *arg);
void resolve_cancel(struct resolve *q);     /* no callback follows; NULL ok */

#endif
