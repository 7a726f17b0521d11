/* SPDX-License-Identifier: Apache-2.0 */
/* The bottom stage: a TCP socket. Opens a socket through an ops table, so that io knows nothing of marks, network
 * namespaces or transparent binding. */
#ifndef IO_SOCK_H
#define IO_SOCK_H

#include "base/addr.h"
#include "io/share.h"
#include "io/stage.h"

/* How to make an outgoing socket. */
struct sock_ops {
	/* In place of socket(2); NULL: that. The non-blocking, close-on-exec descriptor, or -errno. */
	int (*open)(int family, const struct sock_ops *ops);
	/* Between that and connect() or bind(). 0 or -errno. NULL: nothing. */
	int (*prepare)(int fd, int family, const struct sock_ops *ops, const struct addr *source);
	struct share *share;       /* as for sock_share */
};

/* Takes over a connected, non-blocking fd (of a sock_listen). Reading is off until stage_want. NULL
 * when memory is out (fd is closed). */
struct stage *sock_accept(struct loop *l, int fd);

/* Connects to `to`; OPEN or CLOSED (FAIL_CONNECT, FAIL_CONNECT_TIMEOUT, FAIL_OVERLOAD) follows, never inside this call.
 * source (port ignored) asks for that local address; NULL: the kernel's choice. timeout_ms 0: LIMIT_CONNECT_MS. */
struct stage *sock_connect(struct loop *l, const struct addr *to, const struct addr *source,
			   const struct sock_ops *ops, unsigned timeout_ms);
/* The same to a Unix socket; "@name" is abstract. */
struct stage *sock_connect_unix(struct loop *l, const char *path);
/* A connection that was never made: CLOSED with `why` follows, never inside this call. NULL: out of memory. */
struct stage *sock_broken(struct loop *l, enum fail why);
void sock_share(struct stage *s, struct share *share);   /* keeps a reference: whose time its events take; NULL: nobody's */
int sock_errno(const struct stage *s);   /* of the failed connect or reset; 0 when there was none */
int sock_fd(const struct stage *s);
bool sock_has_input(const struct stage *s);   /* bytes, or the end, wait to be read */
void sock_local(const struct stage *s, struct addr *ret);   /* its own address; port 0: there is none */

/* A listening TCP socket: non-blocking, close-on-exec, SO_REUSEADDR, dual-stack on [::]; ops prepare it before it is bound.
 * TCP_NODELAY, which accepted sockets inherit. fd or -errno. */
int sock_listen(const struct addr *at, const struct sock_ops *ops);

#endif
