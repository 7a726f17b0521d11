/* SPDX-License-Identifier: Apache-2.0 */
/* The addresses of this host (of the network namespace it is asked in), to recognise calls to ourselves. One thread's. */
#ifndef NET_OWNADDR_H
#define NET_OWNADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

#define OWNADDR_FRESH_MS 5000   /* older than this, it is read again */

struct ownaddr {
	struct ip *v;               /* owned, sorted */
	size_t n;
	uint64_t read_ms;
	int netns;                  /* borrowed; whose addresses */
	bool read;
};

void ownaddr_init(struct ownaddr *o, int netns);   /* NETNS_OWN: this host's */
/* Is ip one of ours? Loopback and the unspecified address always are. now_ms: monotonic. */
bool ownaddr_has(struct ownaddr *o, const struct ip *ip, uint64_t now_ms);
/* Reads the interfaces now. 0 or -errno, with the old addresses kept. */
int ownaddr_refresh(struct ownaddr *o, uint64_t now_ms);
void ownaddr_done(struct ownaddr *o);

#endif
