/* SPDX-License-Identifier: Apache-2.0 */
/* Connections on the metrics page: the workers' tables, summed. */
#include <stdlib.h>

#include "telemetry/flow.h"
#include "telemetry/prom_int.h"
#include "telemetry/series.h"

/* One label set, summed over the workers. */
struct prom_row {
	const struct flow_series *series;      /* one of them, for the key */
	uint64_t opened, received, sent;
	uint64_t closed[SERIES_FLAG_COUNT], failed[SERIES_FLAG_COUNT];
	struct prom_row *next;
};

struct prom_sums {
	struct map by_key;                     /* rows, owned through the list */
	struct prom_row *first, **last;
};

static void sums_add(struct prom_sums *sums, const struct flow_series *s)
{
	struct str key = { s->key, s->key_bytes };
	struct prom_row *r = map_get(&sums->by_key, key);

	if (!r) {
		r = xcalloc(1, sizeof(*r));
		r->series = s;
		*sums->last = r;
		sums->last = &r->next;
		map_put(&sums->by_key, key, r);
	}
	r->opened += series_get(&s->opened);
	r->received += series_get(&s->received);
	r->sent += series_get(&s->sent);
	for (int i = 0; i < SERIES_FLAG_COUNT; i++) {
		r->closed[i] += series_get(&s->closed[i]);
		r->failed[i] += series_get(&s->failed[i]);
	}
}

static void sums_collect(struct prom_sums *sums)
{
	*sums = (struct prom_sums){ .last = &sums->first };
	for (struct flow_metrics *m = series_tables(); m; m = m->next)
		for (struct flow_series *s = atomic_load_explicit(&m->first, memory_order_acquire); s; s = s->next)
			sums_add(sums, s);
}

static void sums_done(struct prom_sums *sums)
{
	for (struct prom_row *r = sums->first, *next; r; r = next) {
		next = r->next;
		free(r);
	}
	map_done(&sums->by_key);
}

/* response_flags has its place in the order but no place in the key. */
static void put_labels(struct buf *out, const struct flow_series *s, enum series_flag flag)
{
	const char *at = s->key, *end = s->key + s->key_bytes;

	for (int i = 0; i < SERIES_LABEL_COUNT && at < end; i++) {
		struct str v = str_c(at);

		at += v.n + 1;
		if (i == SERIES_connection_security_policy)
			buf_printf(out, ",response_flags=\"%s\"", series_flag_names[flag]);
		if (!v.n)
			continue;
		buf_printf(out, "%s%s=\"", i ? "," : "{", series_label_names[i]);
		prom_value(out, v);
		buf_append(out, "\"", 1);
	}
	buf_append(out, "}", 1);
}

static void put_sample(struct prom *p, const char *name, const struct flow_series *s, enum series_flag flag,
		       uint64_t value)
{
	buf_printf(p->out, "%s_total", name);
	put_labels(p->out, s, flag);
	buf_printf(p->out, " %llu\n", (unsigned long long)value);
}

static const uint64_t *count_at(const struct prom_row *r, size_t offset)
{
	return (const uint64_t *)(const void *)((const char *)r + offset);
}

/* A family with one number per series, at `offset` in the row. */
static void put_plain(struct prom *p, const struct prom_sums *sums, const char *name, size_t offset,
		      const char *help)
{
	if (!sums->first)
		return;
	prom_head(p, name, PROM_COUNTER, help);
	for (const struct prom_row *r = sums->first; r; r = r->next)
		put_sample(p, name, r->series, SERIES_FLAG_NONE, *count_at(r, offset));
}

/* A family with one number per response flag. */
static void put_flagged(struct prom *p, const struct prom_sums *sums, const char *name, size_t offset,
			const char *help)
{
	bool told = false;

	for (const struct prom_row *r = sums->first; r; r = r->next) {
		const uint64_t *n = count_at(r, offset);

		for (int i = 0; i < SERIES_FLAG_COUNT; i++) {
			if (!n[i])
				continue;
			if (!told)
				prom_head(p, name, PROM_COUNTER, help);
			told = true;
			put_sample(p, name, r->series, (enum series_flag)i, n[i]);
		}
	}
}

static void put_sockets(struct prom *p)
{
	long n[2] = { 0, 0 };

	for (struct flow_metrics *m = series_tables(); m; m = m->next)
		for (int d = 0; d < 2; d++)
			n[d] += atomic_load_explicit(&m->sockets[d], memory_order_relaxed);
	prom_head(p, "istio_tcp_sockets_open", PROM_GAUGE, "The current number of open TCP sockets (unstable)");
	buf_printf(p->out, "istio_tcp_sockets_open{reporter=\"source\"} %ld\n", n[FLOW_OUTBOUND]);
	buf_printf(p->out, "istio_tcp_sockets_open{reporter=\"destination\"} %ld\n", n[FLOW_INBOUND]);
}

static void put_revoked(struct prom *p)
{
	static const char *const reporters[] = { [FLOW_INBOUND] = "destination", [FLOW_OUTBOUND] = "source" };
	uint64_t n[2] = { 0, 0 };

	for (struct flow_metrics *m = series_tables(); m; m = m->next)
		for (int d = 0; d < 2; d++)
			n[d] += series_get(&m->revoked[d]);
	if (!n[0] && !n[1])
		return;
	prom_head(p, "istio_crl_policy_rejections", PROM_COUNTER,
		  "The total number of connections rejected due to CRL certificate revocation (unstable)");
	for (int d = 0; d < 2; d++)
		if (n[d])
			buf_printf(p->out, "istio_crl_policy_rejections_total{reporter=\"%s\"} %llu\n", reporters[d], (unsigned long long)n[d]);
}

static void put_shed(struct prom *p)
{
	static const char *const reasons[SHED_COUNT] = { "pod_connections", "pod_handshakes" };
	uint64_t n[SHED_COUNT] = { 0 };

	for (struct flow_metrics *m = series_tables(); m; m = m->next)
		for (int i = 0; i < SHED_COUNT; i++)
			n[i] += series_get(&m->shed[i]);
	prom_head(p, "meshd_connections_shed", PROM_COUNTER, "Connections refused because their pod was at a limit");
	for (int i = 0; i < SHED_COUNT; i++)
		buf_printf(p->out, "meshd_connections_shed_total{reason=\"%s\"} %llu\n", reasons[i], (unsigned long long)n[i]);
}

void prom_flows(struct prom *p)
{
	struct prom_sums sums;

	sums_collect(&sums);
	put_plain(p, &sums, "istio_tcp_connections_opened", offsetof(struct prom_row, opened),
		  "The total number of TCP connections opened");
	put_flagged(p, &sums, "istio_tcp_connections_closed", offsetof(struct prom_row, closed),
		    "The total number of TCP connections closed");
	put_flagged(p, &sums, "istio_tcp_connections_failed", offsetof(struct prom_row, failed),
		    "The total number of TCP connections that failed to establish (unstable)");
	put_plain(p, &sums, "istio_tcp_received_bytes", offsetof(struct prom_row, received),
		  "The size of total bytes received during request in case of a TCP connection");
	put_plain(p, &sums, "istio_tcp_sent_bytes", offsetof(struct prom_row, sent),
		  "The size of total bytes sent during response in case of a TCP connection");
	put_sockets(p);
	put_revoked(p);
	put_shed(p);
	sums_done(&sums);
}
