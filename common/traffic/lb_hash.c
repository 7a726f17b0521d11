/* SPDX-License-Identifier: Apache-2.0 */
/* Consistent hashing. Keys and placement are Envoy's (XXH64 of "address:port_i", the Maglev permutation of XXH64 with seeds 0 and
 * 1), so that one key leads to one endpoint from each proxy of a mesh, whoever made it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/xxhash64.h"
#include "traffic/cluster_int.h"

#define RING_MAX     (8u << 20)
#define RING_DEFAULT 1024
#define TABLE_DEFAULT 65537

static void key_of(const struct lb_conf *lb, const struct entry *e, char text[ADDR_TEXT])
{
	if (e->host->n_addrs)
		addr_format(&e->host->addrs[0], text);
	else
		snprintf(text, ADDR_TEXT, "-");
}

/* --- ring --- */

struct point {
	uint64_t hash;
	uint32_t at;
};

static int by_hash(const void *a, const void *b)
{
	const struct point *x = a, *y = b;

	return x->hash < y->hash ? -1 : x->hash > y->hash ? 1 : (x->at > y->at) - (x->at < y->at);
}

/* The least one gets whole points; the others as many as their weights say, rounded so that the sum fits. */
static void ring(const struct lb_conf *lb, const struct hostset *s, const uint32_t *at, const double *weights, uint32_t n,
		 struct arena *mem, struct hash_table *ret)
{
	double size = (double)(lb->hash.ring_size ? lb->hash.ring_size : RING_DEFAULT), least = 1, scale, want = 0;
	struct point *points;
	uint32_t have = 0;
	uint64_t *hashes;
	uint32_t *of;

	for (uint32_t i = 0; i < n; i++)
		least = weights[i] < least ? weights[i] : least;
	scale = fmin(ceil(least * size) / least, RING_MAX);
	points = xcalloc((size_t)ceil(scale) + n + 1, sizeof(*points));
	for (uint32_t i = 0; i < n; i++) {
		char host[ADDR_TEXT], key[ADDR_TEXT + 12];

		key_of(lb, &s->entries[at[i]], host);
		want += scale * weights[i];
		for (unsigned k = 0; have < want && have < ceil(scale) + n; k++) {
			int len = snprintf(key, sizeof(key), "%s_%u", host, k);

			points[have++] = (struct point){ xxhash64(key, (size_t)len, 0), at[i] };
		}
	}
	qsort(points, have, sizeof(*points), by_hash);
	hashes = arena_alloc(mem, have * sizeof(*hashes));
	of = arena_alloc(mem, have * sizeof(*of));
	for (uint32_t i = 0; i < have; i++) {
		hashes[i] = points[i].hash;
		of[i] = points[i].at;
	}
	free(points);
	*ret = (struct hash_table){ have, hashes, of };
}

/* The first point that is not before the hash; beyond the last it is the first. */
static uint32_t ring_at(const struct hash_table *t, uint64_t hash, uint32_t try)
{
	uint32_t from = 0, to = t->n;

	while (from < to) {
		uint32_t mid = from + (to - from) / 2;

		if (t->hashes[mid] < hash)
			from = mid + 1;
		else
			to = mid;
	}
	return t->at[((uint64_t)(from == t->n ? 0 : from) + try) % t->n];
}

/* --- Maglev --- */

struct build {
	char key[ADDR_TEXT];
	uint32_t at;
	double weight, target;
	uint64_t next, skip;          /* of its permutation */
};

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct build *)a)->key, ((const struct build *)b)->key);
}

static void settle(struct build *v, uint32_t n, uint32_t size, uint32_t *table)
{
	double most = 0;
	uint32_t done = 0;

	for (uint32_t i = 0; i < n; i++)
		most = v[i].weight > most ? v[i].weight : most;
	for (uint32_t round = 1; done < size; round++) {
		for (uint32_t i = 0; i < n && done < size; i++) {
			if (round * v[i].weight < v[i].target)
				continue;
			v[i].target += most;
			while (table[v[i].next] != UINT32_MAX) {
				v[i].next += v[i].skip;
				v[i].next -= v[i].next >= size ? size : 0;
			}
			table[v[i].next] = v[i].at;
			done++;
		}
	}
}

/* Of another size a permutation would not reach every place. */
static bool is_prime(uint32_t n)
{
	for (uint32_t i = 2; (uint64_t)i * i <= n; i++)
		if (n % i == 0)
			return false;
	return n >= 2;
}

static void maglev(const struct lb_conf *lb, const struct hostset *s, const uint32_t *at, const double *weights, uint32_t n,
		   struct arena *mem, struct hash_table *ret)
{
	uint32_t size = is_prime(lb->hash.table_size) ? lb->hash.table_size : TABLE_DEFAULT;
	uint32_t *table = arena_alloc(mem, size * sizeof(*table));
	struct build *v = xcalloc(n, sizeof(*v));

	for (uint32_t i = 0; i < n; i++) {
		size_t len;

		key_of(lb, &s->entries[at[i]], v[i].key);
		len = strlen(v[i].key);
		v[i].at = at[i];
		v[i].weight = weights[i];
		v[i].next = xxhash64(v[i].key, len, 0) % size;
		v[i].skip = xxhash64(v[i].key, len, 1) % (size - 1) + 1;
	}
	qsort(v, n, sizeof(*v), by_key);
	memset(table, 0xff, size * sizeof(*table));
	settle(v, n, size, table);
	free(v);
	*ret = (struct hash_table){ size, NULL, table };
}

void hash_table_make(const struct lb_conf *lb, const struct hostset *s, const uint32_t *at, const double *weights, uint32_t n,
		     struct arena *mem, struct hash_table *ret)
{
	*ret = (struct hash_table){ 0 };
	if (n && lb->policy == LB_RING_HASH)
		ring(lb, s, at, weights, n, mem, ret);
	else if (n)
		maglev(lb, s, at, weights, n, mem, ret);
}

uint32_t hash_table_at(const struct hash_table *t, uint64_t hash, uint32_t try)
{
	if (t->hashes)
		return ring_at(t, hash, try);
	if (try)
		hash ^= ~UINT64_C(0) - try + 1;
	return t->at[hash % t->n];
}
