/* SPDX-License-Identifier: Apache-2.0 */
/* Clusters for tests of what sends to them: hosts are chosen in order, limits count, what is told of hosts is kept. It stands in for
 * traffic/cluster.c, which is not linked then. */
#ifndef TESTS_FAKECLUSTER_H
#define TESTS_FAKECLUSTER_H

#include "tests/unit/suite.h"
#include "traffic/named.h"

#define FAKE_HOSTS 8

struct host {
	struct addr addr, all[3];    /* all: for Happy Eyeballs, with addr */
	int n_all;
	bool gone;
	int refs, active, answers, errors;
};

struct cluster {
	struct cluster_conf conf;
	struct host hosts[FAKE_HOSTS];
	int n_hosts, next, refs;
	enum transport transport;
	unsigned used[LIMITS_OF_CLUSTER], most[LIMITS_OF_CLUSTER];
};

static inline void fakecluster_init(struct cluster *c, const char *name)
{
	memset(c, 0, sizeof(*c));
	c->conf.name = name;
	c->conf.pool = (struct pool_conf){ .max_connections = UINT32_MAX, .max_pending = UINT32_MAX, .max_requests = UINT32_MAX, .max_retries = UINT32_MAX };
}

static inline void fakecluster_host(struct cluster *c, const struct addr *at)
{
	ck_assert_int_lt(c->n_hosts, FAKE_HOSTS);
	c->hosts[c->n_hosts++].addr = *at;
}

/* Nothing is held any more. */
static inline void fakecluster_check(const struct cluster *c)
{
	ck_assert_int_eq(c->refs, 0);
	for (int i = 0; i < LIMITS_OF_CLUSTER; i++)
		ck_assert_uint_eq(c->used[i], 0);
	for (int i = 0; i < c->n_hosts; i++) {
		ck_assert_int_eq(c->hosts[i].refs, 0);
		ck_assert_int_eq(c->hosts[i].active, 0);
	}
}

struct cluster *cluster_ref(struct cluster *c)
{
	c->refs++;
	return c;
}

void cluster_unref(struct cluster *c)
{
	if (c)
		c->refs--;
}

const struct cluster_conf *cluster_conf(const struct cluster *c)
{
	return &c->conf;
}

struct host *host_ref(struct host *h)
{
	h->refs++;
	return h;
}

void host_unref(struct host *h)
{
	if (h)
		h->refs--;
}

static inline bool fake_tried(const struct pick_ask *ask, const struct host *h)
{
	for (int i = 0; i < ask->n_tried; i++)
		if (ask->tried[i] == h)
			return true;
	return false;
}

bool cluster_pick(struct cluster *c, const struct pick_ask *ask, struct pick *ret)
{
	struct host *h;

	*ret = (struct pick){ .why = FAIL_NO_ENDPOINT };
	if (!c->n_hosts)
		return false;
	h = &c->hosts[(ask->hashed ? ask->hash : (uint64_t)c->next) % (uint64_t)c->n_hosts];
	for (int i = 0; i < c->n_hosts && fake_tried(ask, h); i++)
		h = &c->hosts[(h - c->hosts + 1) % c->n_hosts];
	if (!ask->hashed)
		c->next = (int)(h - c->hosts) + 1;
	*ret = (struct pick){ .host = host_ref(h), .addr = h->addr, .transport = c->transport };
	return true;
}

void pick_done(struct pick *p)
{
	host_unref(p->host);
	p->host = NULL;
}

void host_started(struct cluster *c, struct host *h)
{
	h->active++;
}

void host_ended(struct cluster *c, struct host *h)
{
	h->active--;
}

void host_answered(struct cluster *c, struct host *h, enum host_event ev, int status, uint64_t now_ms)
{
	h->answers++;
	h->errors += ev != HOST_OK;
}

void pick_connected(struct cluster *c, const struct pick *p, enum fail why, uint64_t now_ms)
{
	host_answered(c, p->host, why == FAIL_NONE ? HOST_OK : HOST_LOCAL_ERROR, 0, now_ms);
}

bool host_gone(const struct host *h)
{
	return h->gone;
}

const struct addr *host_addrs(const struct host *h, int *ret_n)
{
	*ret_n = h->n_all;
	return h->all;
}

bool cluster_take(struct cluster *c, enum cluster_limit l)
{
	const uint32_t max[] = { c->conf.pool.max_connections, c->conf.pool.max_pending, c->conf.pool.max_requests, c->conf.pool.max_retries };

	if (c->used[l] >= max[l])
		return false;
	if (++c->used[l] > c->most[l])
		c->most[l] = c->used[l];
	return true;
}

void cluster_give(struct cluster *c, enum cluster_limit l)
{
	ck_assert_uint_gt(c->used[l], 0);
	c->used[l]--;
}

bool cluster_shares(const struct cluster *a, const struct cluster *b)
{
	return a && a == b;
}

/* No cluster here is CLUSTER_NAMED. */
enum fail named_check(const char *const *patterns, int n, struct str authority, char ret[NAMED_MAX])
{
	return FAIL_HOST_OUTSIDE;
}

enum fail named_get(struct cluster *c, const char *name, struct loop *l, struct named_wait *w, struct cluster **ret)
{
	return FAIL_NAMES_FULL;
}

void named_cancel(struct named_wait *w)
{
}

#endif
