/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/rows.h"

#include <stdlib.h>
#include <time.h>

#include "base/epoch.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/map.h"
#include "telemetry/rows_int.h"

#define SWEEP_S 30

const char *const row_bounds[ROW_BUCKETS] = {
	"0.5", "1", "5", "10", "25", "50", "100", "250", "500", "1000", "2500", "5000", "10000", "30000", "60000", "300000", "600000",
	"1800000", "3600000",
};
static const uint32_t bounds[ROW_BUCKETS] = {
	0, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000,
};

static _Atomic(struct row_table *) tables;
static atomic_int count;                 /* rows of all tables */
static _Thread_local struct row_table *mine;

struct row_table *row_tables(void)
{
	return atomic_load_explicit(&tables, memory_order_acquire);
}

int rows_count(void)
{
	return atomic_load_explicit(&count, memory_order_relaxed);
}

static uint32_t clock_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (uint32_t)ts.tv_sec;
}

static struct row_table *table(void)
{
	if (mine)
		return mine;
	mine = xcalloc(1, sizeof(*mine));
	mine->now_s = clock_s();
	mine->next = atomic_load(&tables);
	while (!atomic_compare_exchange_weak(&tables, &mine->next, mine))
		;
	return mine;
}

/* Where a metric's counters begin: a histogram has its buckets, then the sum. */
static int counters(enum row_metric m)
{
	return m >= ROW_REQUEST_DURATION && m <= ROW_RESPONSE_SIZE ? ROW_BUCKETS + 2 : 1;
}

int row_at(const struct row *r, enum row_metric m)
{
	int at = 0;

	for (int i = 0; i < (int)m; i++)
		if (r->metrics & 1u << i)
			at += counters((enum row_metric)i);
	return at;
}

static int all_counters(unsigned metrics)
{
	int n = 0;

	for (int i = 0; i < ROW_METRICS; i++)
		if (metrics & 1u << i)
			n += counters((enum row_metric)i);
	return n;
}

/* The key is the metrics and the labels: in the row they lie together. */
static struct row *make(struct row_table *t, unsigned metrics, struct str labels)
{
	size_t numbers = (size_t)all_counters(metrics) * sizeof(series_count);
	struct row *r = calloc(1, sizeof(*r) + numbers + sizeof(metrics) + labels.n + 1);

	if (!r)
		return NULL;
	r->metrics = metrics;
	r->key = (char *)r->count + numbers;
	r->key_bytes = sizeof(metrics) + labels.n;
	memcpy(r->key, &metrics, sizeof(metrics));
	memcpy(r->key + sizeof(metrics), labels.p, labels.n);
	atomic_init(&r->used_s, t->now_s);
	atomic_init(&r->next, atomic_load_explicit(&t->first, memory_order_relaxed));
	atomic_store_explicit(&t->first, r, memory_order_release);
	map_put(&t->by_key, (struct str){ r->key, r->key_bytes }, r);
	atomic_fetch_add_explicit(&count, 1, memory_order_relaxed);
	return r;
}

/* Every value but the reporter's says "overflow". */
static struct row *overflow(struct row_table *t, unsigned metrics, struct str labels)
{
	char key[ROW_LABELS_BYTES], *at = key + sizeof(metrics);
	bool in = false, first = true;
	struct row *r;

	memcpy(key, &metrics, sizeof(metrics));
	for (size_t i = 0; i < labels.n && at < key + sizeof(key) - 16; i++) {
		char c = labels.p[i];

		if (c == '\\' && in) {
			i++;
			continue;
		}
		if (c == '"') {
			if (!in && !first)
				at = stpcpy(at, "\"overflow");
			else
				*at++ = '"';
			if (in)
				first = false;
			in = !in;
		} else if (!in || first) {
			*at++ = c;
		}
	}
	r = map_get(&t->by_key, (struct str){ key, (size_t)(at - key) });
	if (r)
		return r;
	log_warn(LOG_MAIN, "metrics: there are %d sets of labels; further ones are counted under the value \"overflow\". "
		 "A Telemetry object can remove the tag that has so many values", LIMIT_METRIC_ROWS);
	return make(t, metrics, (struct str){ key + sizeof(metrics), (size_t)(at - key) - sizeof(metrics) });
}

static void use(struct row_table *t, struct row *r)
{
	if (atomic_load_explicit(&r->used_s, memory_order_relaxed) != t->now_s)
		atomic_store_explicit(&r->used_s, t->now_s, memory_order_relaxed);
	if (atomic_load_explicit(&r->expired, memory_order_relaxed))
		atomic_store_explicit(&r->expired, false, memory_order_relaxed);
}

struct row *row_find(unsigned metrics, struct str labels)
{
	struct row_table *t = table();
	char key[ROW_LABELS_BYTES];
	struct row *r;

	if (labels.n > sizeof(key) - sizeof(metrics))
		labels.n = sizeof(key) - sizeof(metrics);
	memcpy(key, &metrics, sizeof(metrics));
	memcpy(key + sizeof(metrics), labels.p, labels.n);
	r = map_get(&t->by_key, (struct str){ key, sizeof(metrics) + labels.n });
	if (!r)
		r = atomic_load_explicit(&count, memory_order_relaxed) < LIMIT_METRIC_ROWS ? make(t, metrics, labels) : overflow(t, metrics, labels);
	return r;
}

void row_add(struct row *r, enum row_metric m, uint64_t n)
{
	if (!r || !(r->metrics & 1u << m))
		return;
	use(mine, r);
	series_add(&r->count[row_at(r, m)], n);
}

void row_sample(struct row *r, enum row_metric m, uint64_t value)
{
	int at, i = 0;

	if (!r || !(r->metrics & 1u << m))
		return;
	use(mine, r);
	at = row_at(r, m);
	while (i < ROW_BUCKETS && value > bounds[i])
		i++;
	series_add(&r->count[at + i], 1);
	series_add(&r->count[at + ROW_BUCKETS + 1], value);
}

/* The page has marked what is idle in all tables. When there is no room, idle here is enough. */
static bool sweep(struct row_table *t, bool full)
{
	bool any = false;

	for (_Atomic(struct row *) *at = &t->first; ;) {
		struct row *r = atomic_load_explicit(at, memory_order_relaxed);

		if (!r)
			return any;
		if (!row_is_idle(r, t->now_s) || !(full || atomic_load_explicit(&r->expired, memory_order_relaxed))) {
			at = &r->next;
			continue;
		}
		atomic_store_explicit(at, atomic_load_explicit(&r->next, memory_order_relaxed), memory_order_release);
		map_del(&t->by_key, (struct str){ r->key, r->key_bytes });
		atomic_fetch_sub_explicit(&count, 1, memory_order_relaxed);
		epoch_defer(r, free);
		any = true;
	}
}

bool rows_turn(uint32_t now_s)
{
	struct row_table *t = table();

	t->now_s = now_s;
	if (now_s - t->swept_s < SWEEP_S)
		return false;
	t->swept_s = now_s;
	return sweep(t, atomic_load_explicit(&count, memory_order_relaxed) >= LIMIT_METRIC_ROWS);
}
