/* SPDX-License-Identifier: Apache-2.0 */
/* One endpoint of a cluster while the process lives. */
#include <stdlib.h>

#include "traffic/cluster_int.h"

struct host *host_new(struct workload *w, enum transport t, const struct addr *addrs, int n_addrs, uint64_t now_ms)
{
	struct host *h = xcalloc(1, sizeof(*h) + (size_t)n_addrs * sizeof(h->addrs[0]));

	atomic_init(&h->refs, 1);
	h->workload = w ? workload_ref(w) : NULL;
	h->transport = t;
	h->joined_ms = now_ms;
	h->n_addrs = n_addrs;
	if (n_addrs)
		memcpy(h->addrs, addrs, (size_t)n_addrs * sizeof(h->addrs[0]));
	return h;
}

struct host *host_ref(struct host *h)
{
	atomic_fetch_add_explicit(&h->refs, 1, memory_order_relaxed);
	return h;
}

void host_unref(struct host *h)
{
	if (!h || atomic_fetch_sub_explicit(&h->refs, 1, memory_order_acq_rel) != 1)
		return;
	workload_unref(h->workload);
	free(h);
}

const struct addr *host_addrs(const struct host *h, int *ret_n)
{
	*ret_n = h->n_addrs;
	return h->addrs;
}

bool host_gone(const struct host *h)
{
	return atomic_load_explicit(&h->gone, memory_order_relaxed);
}

bool host_ejected(const struct host *h)
{
	return atomic_load_explicit(&h->ejected, memory_order_relaxed);
}

void host_started(struct cluster *c, struct host *h)
{
	atomic_fetch_add_explicit(&h->active, 1, memory_order_relaxed);
}

void host_ended(struct cluster *c, struct host *h)
{
	atomic_fetch_sub_explicit(&h->active, 1, memory_order_relaxed);
}
