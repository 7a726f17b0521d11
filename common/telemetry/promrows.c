/* SPDX-License-Identifier: Apache-2.0 */
/* Requests and connections of sidecars on the metrics page: the threads' tables, summed. */
#include <stdlib.h>
#include <time.h>

#include "telemetry/prom_int.h"
#include "telemetry/rows_int.h"

static const struct {
	const char *name, *help;
	enum prom_type type;
} metrics[ROW_METRICS] = {
	[ROW_REQUEST_COUNT] = { "istio_requests", "Requests handled by this proxy", PROM_COUNTER },
	[ROW_REQUEST_DURATION] = { "istio_request_duration_milliseconds", "Duration of requests", PROM_HISTOGRAM },
	[ROW_REQUEST_SIZE] = { "istio_request_bytes", "Size of requests", PROM_HISTOGRAM },
	[ROW_RESPONSE_SIZE] = { "istio_response_bytes", "Size of responses", PROM_HISTOGRAM },
	[ROW_REQUEST_MESSAGES] = { "istio_request_messages", "gRPC messages sent by clients", PROM_COUNTER },
	[ROW_RESPONSE_MESSAGES] = { "istio_response_messages", "gRPC messages sent by servers", PROM_COUNTER },
	[ROW_TCP_OPENED] = { "istio_tcp_connections_opened", "The total number of TCP connections opened", PROM_COUNTER },
	[ROW_TCP_CLOSED] = { "istio_tcp_connections_closed", "The total number of TCP connections closed", PROM_COUNTER },
	[ROW_TCP_SENT] = { "istio_tcp_sent_bytes", "The size of total bytes sent during response in case of a TCP connection", PROM_COUNTER },
	[ROW_TCP_RECEIVED] = { "istio_tcp_received_bytes", "The size of total bytes received during request in case of a TCP connection", PROM_COUNTER },
};

struct sum {
	const struct row *row;           /* one of them, for the key */
	struct sum *next;
	bool live;
	uint64_t count[];
};

struct sums {
	struct map by_key;
	struct sum *first, **last;
};

static int counters(const struct row *r)
{
	return row_at(r, ROW_METRICS);
}

static struct sum *sum_of(struct sums *sums, const struct row *r)
{
	struct str key = { r->key, r->key_bytes };
	struct sum *s = map_get(&sums->by_key, key);

	if (s)
		return s;
	s = xcalloc(1, sizeof(*s) + (size_t)counters(r) * sizeof(s->count[0]));
	s->row = r;
	*sums->last = s;
	sums->last = &s->next;
	map_put(&sums->by_key, key, s);
	return s;
}

static void each(void (*fn)(struct sums *sums, struct row *r, uint32_t now_s), struct sums *sums, uint32_t now_s)
{
	for (struct row_table *t = row_tables(); t; t = t->next)
		for (struct row *r = atomic_load_explicit(&t->first, memory_order_acquire); r; r = atomic_load_explicit(&r->next, memory_order_acquire))
			fn(sums, r, now_s);
}

static void add(struct sums *sums, struct row *r, uint32_t now_s)
{
	struct sum *s = sum_of(sums, r);

	for (int i = 0, n = counters(r); i < n; i++)
		s->count[i] += series_get(&r->count[i]);
	s->live |= !row_is_idle(r, now_s);
}

/* Idle everywhere: its threads may forget it. */
static void expire(struct sums *sums, struct row *r, uint32_t now_s)
{
	(void)now_s;
	atomic_store_explicit(&r->expired, !sum_of(sums, r)->live, memory_order_relaxed);
}

static void put_line(struct prom *p, const char *name, const char *suffix, struct str labels, const char *le, uint64_t value)
{
	buf_printf(p->out, "%s%s", name, suffix);
	if (labels.n || le)
		buf_puts(p->out, "{");
	buf_append(p->out, labels.p, labels.n);
	if (le)
		buf_printf(p->out, "%sle=\"%s\"", labels.n ? "," : "", le);
	buf_printf(p->out, "%s %llu\n", labels.n || le ? "}" : "", (unsigned long long)value);
}

static void put_histogram(struct prom *p, const char *name, struct str labels, const uint64_t *count)
{
	uint64_t total = 0;

	for (int i = 0; i <= ROW_BUCKETS; i++) {
		total += count[i];
		put_line(p, name, "_bucket", labels, i < ROW_BUCKETS ? row_bounds[i] : "+Inf", total);
	}
	put_line(p, name, "_sum", labels, NULL, count[ROW_BUCKETS + 1]);
	put_line(p, name, "_count", labels, NULL, total);
}

static void put_metric(struct prom *p, const struct sums *sums, enum row_metric m)
{
	bool headed = false;

	for (const struct sum *s = sums->first; s; s = s->next) {
		struct str labels = row_labels(s->row);

		if (!s->live || !(s->row->metrics & 1u << m))
			continue;
		if (!headed)
			prom_head(p, metrics[m].name, metrics[m].type, metrics[m].help);
		headed = true;
		if (metrics[m].type == PROM_HISTOGRAM)
			put_histogram(p, metrics[m].name, labels, s->count + row_at(s->row, m));
		else
			put_line(p, metrics[m].name, "_total", labels, NULL, s->count[row_at(s->row, m)]);
	}
}

void prom_rows(struct prom *p)
{
	struct timespec ts;
	struct sums sums = { .last = &sums.first };
	uint32_t now_s;

	if (!row_tables())
		return;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	now_s = (uint32_t)ts.tv_sec;
	each(add, &sums, now_s);
	each(expire, &sums, now_s);
	for (int m = 0; m < ROW_METRICS; m++)
		put_metric(p, &sums, (enum row_metric)m);
	for (struct sum *s = sums.first, *next; s; s = next) {
		next = s->next;
		free(s);
	}
	map_done(&sums.by_key);
}
