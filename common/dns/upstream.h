/* SPDX-License-Identifier: Apache-2.0 */
/* One DNS message on its way to a real server and back, byte for byte but for the id, which is ours: random, as the source
 * port is. By UDP each try has a connected socket of its own, so that the kernel drops what others send. */
#ifndef DNS_UPSTREAM_H
#define DNS_UPSTREAM_H

#include "base/addr.h"
#include "io/sock.h"

#define UPSTREAM_SERVERS 3

struct upstream;

struct upstream_conf {
	struct loop *loop;
	const struct sock_ops *ops;      /* its `prepare` marks our sockets; NULL ok */
	int netns;                       /* where they are made; NETNS_OWN: here */
};

/* Asks the servers, one after the other, for LIMIT_DNS_UPSTREAM_MS altogether. p is copied. on_reply comes later: with the
 * reply, under the question's own id, or with n 0 when nobody gave one. last: it is over, and the upstream gone; only a zone
 * transfer by TCP has more replies than one. conf is borrowed while it runs. NULL: out of memory. */
struct upstream *upstream_ask(const struct upstream_conf *conf, const uint8_t *p, size_t n, bool tcp, const struct addr *servers,
			      int n_servers, void (*on_reply)(void *arg, const uint8_t *p, size_t n, bool last), void *arg);
void upstream_cancel(struct upstream *u);    /* no on_reply follows; NULL ok */
/* Is this the local address of a socket that asks? */
bool upstream_is_at(const struct upstream *u, const struct addr *a);

#endif
