/* SPDX-License-Identifier: Apache-2.0 */
/* A cgroup v2 of our own, below the one that we run in, to tell one command's sockets from everybody else's. It needs no
 * mounted hierarchy: a private mount serves, so it works in `ip netns exec` and on hosts with cgroup v1. */
#ifndef NET_CGROUP_H
#define NET_CGROUP_H

#include <limits.h>

#include "base/err.h"

struct cgroup {
	int parent;              /* directory fds, owned */
	int dir;
	int root;                /* of the private mount */
	char name[64];
	char nft_path[PATH_MAX]; /* what nft must be told; good while this process lives */
	unsigned level;
};

/* 0 or -errno; needs CAP_SYS_ADMIN. */
int cgroup_make(struct cgroup *c, const char *name, struct err *err);
/* Moves the calling process in. Async-signal-safe. 0 or -errno. */
int cgroup_enter(const struct cgroup *c);
/* Moves what still runs inside back to the parent and removes the group. Returns how many processes that were, or -errno
 * (-EBUSY: somebody made groups inside it). */
int cgroup_remove(struct cgroup *c);

#endif
