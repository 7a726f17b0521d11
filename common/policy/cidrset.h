/* SPDX-License-Identifier: Apache-2.0 */
/* Is an address in one of many CIDR blocks? A binary search: blocks are nested or apart, so that after sorting and
 * dropping the nested ones only one can hold it. IPv4 addresses are only in IPv4 blocks (not in ::/0). */
#ifndef POLICY_CIDRSET_H
#define POLICY_CIDRSET_H

#include "base/addr.h"

struct cidrset {
	const struct cidr *v4, *v6;   /* borrowed; sorted, apart */
	int n_v4, n_v6;
};

/* Sorts the blocks where they are; they must outlive the set. */
void cidrset_init(struct cidrset *s, struct cidr *blocks, int n);
bool cidrset_has(const struct cidrset *s, const struct ip *ip);

#endif
