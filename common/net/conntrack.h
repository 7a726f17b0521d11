/* SPDX-License-Identifier: Apache-2.0 */
/* Where a captured datagram wanted to go, by connection tracking (ctnetlink): UDP has no SO_ORIGINAL_DST. One thread's. */
#ifndef NET_CONNTRACK_H
#define NET_CONNTRACK_H

#include "base/addr.h"

struct conntrack {
	int netns;               /* borrowed */
	int fd;                  /* owned; -1: not open */
	uint32_t seq;
};

void conntrack_init(struct conntrack *c, int netns);   /* NETNS_OWN: here */
void conntrack_done(struct conntrack *c);

/* The destination before redirection of what `peer` sent and `local`, a socket of ours, got. protocol: IPPROTO_UDP or
 * IPPROTO_TCP. 0; -ENOENT: nobody redirected it, or it was too long ago; -EPERM: needs CAP_NET_ADMIN in that namespace;
 * another -errno. Does not block: the kernel answers within the call. */
int conntrack_original(struct conntrack *c, int protocol, const struct addr *peer, const struct addr *local, struct addr *ret);

#endif
