/* SPDX-License-Identifier: Apache-2.0 */
/* Accepts connections on a listening socket with a budget per turn. Out of descriptors: the newest connections are shed
 * with one log line a second at most, and accepting goes on by itself. */
#ifndef IO_LISTEN_H
#define IO_LISTEN_H

#include "base/addr.h"
#include "io/share.h"

struct listener;

/* share: whose time it takes; NULL: nobody's. Takes over fd (from sock_listen). on_accept owns the connected, non-blocking descriptor. */
struct listener *listener_new(struct loop *l, int fd, struct share *share, void (*on_accept)(void *arg, int fd, const struct addr *peer), void *arg);
void listener_free(struct listener *l);   /* closes; NULL ok */

#endif
