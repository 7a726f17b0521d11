/* SPDX-License-Identifier: Apache-2.0 */
/* Socket options: the mark that exempts our own connections from capture, transparent source addresses, keepalive.
 * All setters return 0 or -errno. */
#ifndef NET_SOCKOPT_H
#define NET_SOCKOPT_H

#include <stdbool.h>

#include "base/addr.h"
#include "io/sock.h"

#define NET_MARK      0x539u    /* istio's: every socket of ours carries it where permitted */
#define NET_MARK_MASK 0xfffu

/* Capture of DNS lasts while marked datagrams leave port 15053: in a quiet spell the DNS proxy sends itself one this often. It
 * ends by itself NET_PULSE_GONE_S later, so that a proxy that was killed or hangs takes nobody's DNS along. */
#define NET_PULSE_MS     1000u
#define NET_PULSE_GONE_S 3u

struct keepalive {
	unsigned idle_s;            /* 0: no keepalive */
	unsigned interval_s;
	unsigned count;
	unsigned user_timeout_ms;   /* TCP_USER_TIMEOUT; 0: the kernel's */
};

/* May this process mark sockets, and bind addresses that are not its own? Tried on a socket of its own. */
bool net_can_mark(void);
bool net_can_spoof(void);

int sockopt_mark(int fd, unsigned mark);
int sockopt_transparent(int fd, int family);
/* Binds fd to a source address that need not be local; the port is chosen by connect(). */
int sockopt_spoof(int fd, int family, const struct addr *source);
int sockopt_keepalive(int fd, const struct keepalive *k);

/* How meshd opens its connections: ops for sock_connect (and `prepare` for datagram sockets). A source address that the kernel refuses is reported once and
 * then done without, as ztunnel does. */
struct outsock {
	struct sock_ops ops;
	unsigned mark;              /* 0: none */
	int netns;                  /* borrowed; where the sockets are made; NETNS_OWN: here */
	bool own_source;            /* source addresses are this host's: no permission is needed for them */
	struct keepalive keepalive;
};

void outsock_init(struct outsock *o, unsigned mark, const struct keepalive *k, int netns);

/* How meshd opens its listeners: ops for sock_listen. What a listener has, the accepted sockets inherit. */
struct insock {
	struct sock_ops ops;
	unsigned mark;              /* 0: none */
	bool transparent;           /* best effort: connections to addresses that are not local */
	bool share_port;            /* SO_REUSEPORT */
};

void insock_init(struct insock *i, unsigned mark, bool transparent, bool share_port);

#endif
