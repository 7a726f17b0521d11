/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/cidrset.h"

#include <stdlib.h>

static bool is_v4(const struct cidr *c)
{
	return c->bits >= 96 && ip_is_v4(&c->ip);
}

/* IPv4 first; a block before those inside it. */
static int order(const void *pa, const void *pb)
{
	const struct cidr *a = pa, *b = pb;
	int diff;

	if (is_v4(a) != is_v4(b))
		return is_v4(a) ? -1 : 1;
	diff = memcmp(a->ip.b, b->ip.b, sizeof(a->ip.b));
	return diff ? diff : a->bits - b->bits;
}

static int drop_nested(struct cidr *v, int n)
{
	int kept = 0;

	for (int i = 0; i < n; i++)
		if (!kept || !cidr_has(&v[kept - 1], &v[i].ip))
			v[kept++] = v[i];
	return kept;
}

void cidrset_init(struct cidrset *s, struct cidr *blocks, int n)
{
	int n_v4 = 0;

	if (n > 1)
		qsort(blocks, (size_t)n, sizeof(*blocks), order);
	while (n_v4 < n && is_v4(&blocks[n_v4]))
		n_v4++;
	s->v4 = blocks;
	s->n_v4 = drop_nested(blocks, n_v4);
	s->v6 = blocks + n_v4;
	s->n_v6 = drop_nested(blocks + n_v4, n - n_v4);
}

bool cidrset_has(const struct cidrset *s, const struct ip *ip)
{
	bool v4 = ip_is_v4(ip);
	const struct cidr *v = v4 ? s->v4 : s->v6;
	int low = 0, high = v4 ? s->n_v4 : s->n_v6;

	while (low < high) {
		int mid = low + (high - low) / 2;

		if (memcmp(v[mid].ip.b, ip->b, sizeof(ip->b)) <= 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low && cidr_has(&v[low - 1], ip);
}
