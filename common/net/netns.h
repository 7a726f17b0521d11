/* SPDX-License-Identifier: Apache-2.0 */
/* Other network namespaces. Only sockets are made there: a thread goes in, makes one and comes back within the call (about
 * 3 µs), so that nothing else ever runs in somebody else's namespace. */
#ifndef NET_NETNS_H
#define NET_NETNS_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

#define NETNS_OWN (-1)          /* in place of a descriptor: the namespace that we run in */

/* Which namespace it is, whatever descriptor leads to it. */
struct netns_id {
	dev_t dev;
	ino_t ino;
};

/* Once, before threads: remembers our own namespace, and proves that we may enter namespaces. -errno with the remedy. */
int netns_init(struct err *err);
/* Calls fn on this thread inside the namespace. Its result, or -errno when it could not be entered. A thread that cannot
 * come back ends the process: it would open sockets in the wrong place. */
int netns_run(int netns, int (*fn)(void *arg), void *arg);
/* socket(2) inside; close-on-exec is added. The descriptor, or -errno. */
int netns_socket(int netns, int family, int type, int protocol);
/* -EINVAL: it is no network namespace. NETNS_OWN is allowed. */
int netns_identify(int netns, struct netns_id *ret);

#endif
