/* SPDX-License-Identifier: Apache-2.0 */
/* flow_metrics_write: the exposition of everything that this process counts. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "model/mesh.h"
#include "telemetry/flow.h"
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

/* Values come from peers too: what the text format or UTF-8 would trip over becomes '_'. */
static void put_value(struct buf *out, struct str v)
{
	char *at = (char *)buf_reserve(out, v.n * 2);
	size_t n = 0;

	for (size_t i = 0; at && i < v.n; i++) {
		unsigned char c = (unsigned char)v.p[i];

		if (c == '"' || c == '\\')
			at[n++] = '\\';
		at[n++] = c < 0x20 || c >= 0x7f ? '_' : (char)c;
	}
	buf_added(out, n);
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
		put_value(out, v);
		buf_append(out, "\"", 1);
	}
	buf_append(out, "}", 1);
}

struct prom {
	struct buf *out;
	bool openmetrics;
};

/* OpenMetrics names a counter's family without _total, the older text format names each sample. */
static void put_family(const struct prom *p, const char *name, bool counter, const char *help)
{
	const char *suffix = counter && !p->openmetrics ? "_total" : "";

	buf_printf(p->out, "# HELP %s%s %s.\n# TYPE %s%s %s\n", name, suffix, help, name, suffix,
		   counter ? "counter" : "gauge");
}

static void put_gauge(const struct prom *p, const char *name, const char *help, uint64_t value)
{
	put_family(p, name, false, help);
	buf_printf(p->out, "%s %llu\n", name, (unsigned long long)value);
}

static void put_sample(const struct prom *p, const char *name, const struct flow_series *s, enum series_flag flag,
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
static void put_plain(const struct prom *p, const struct prom_sums *sums, const char *name, size_t offset,
		      const char *help)
{
	if (!sums->first)
		return;
	put_family(p, name, true, help);
	for (const struct prom_row *r = sums->first; r; r = r->next)
		put_sample(p, name, r->series, SERIES_FLAG_NONE, *count_at(r, offset));
}

/* A family with one number per response flag. */
static void put_flagged(const struct prom *p, const struct prom_sums *sums, const char *name, size_t offset,
			const char *help)
{
	bool told = false;

	for (const struct prom_row *r = sums->first; r; r = r->next) {
		const uint64_t *n = count_at(r, offset);

		for (int i = 0; i < SERIES_FLAG_COUNT; i++) {
			if (!n[i])
				continue;
			if (!told)
				put_family(p, name, true, help);
			told = true;
			put_sample(p, name, r->series, (enum series_flag)i, n[i]);
		}
	}
}

static void put_sockets(const struct prom *p)
{
	long n[2] = { 0, 0 };

	for (struct flow_metrics *m = series_tables(); m; m = m->next)
		for (int d = 0; d < 2; d++)
			n[d] += atomic_load_explicit(&m->sockets[d], memory_order_relaxed);
	put_family(p, "istio_tcp_sockets_open", false, "The number of TCP sockets that are open now");
	buf_printf(p->out, "istio_tcp_sockets_open{reporter=\"source\"} %ld\n", n[FLOW_OUTBOUND]);
	buf_printf(p->out, "istio_tcp_sockets_open{reporter=\"destination\"} %ld\n", n[FLOW_INBOUND]);
}

static void put_shed(const struct prom *p)
{
	static const char *const reasons[SHED_COUNT] = { "pod_connections", "pod_handshakes" };
	uint64_t n[SHED_COUNT] = { 0 };

	for (struct flow_metrics *m = series_tables(); m; m = m->next)
		for (int i = 0; i < SHED_COUNT; i++)
			n[i] += series_get(&m->shed[i]);
	put_family(p, "meshd_connections_shed", true, "Connections refused because their pod was at a limit");
	for (int i = 0; i < SHED_COUNT; i++)
		buf_printf(p->out, "meshd_connections_shed_total{reason=\"%s\"} %llu\n", reasons[i], (unsigned long long)n[i]);
}

static uint64_t open_fds(uint64_t max)
{
	DIR *d = opendir("/proc/self/fd");
	uint64_t n = 0;

	if (!d)
		return errno == EMFILE ? max : 0;
	for (struct dirent *e; (e = readdir(d)) != NULL;)
		n += e->d_name[0] != '.';
	closedir(d);
	return n - 1;   /* the directory's own */
}

static uint64_t resident_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	unsigned long long pages = 0;

	if (!f)
		return 0;
	if (fscanf(f, "%*u %llu", &pages) != 1)
		pages = 0;
	fclose(f);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void put_process(const struct prom *p, const char *version)
{
	struct rlimit lim = { 0 };

	put_family(p, "istio_build", false, "Istio component build info");
	buf_puts(p->out, "istio_build{component=\"meshd\",tag=\"");
	put_value(p->out, str_c(version));
	buf_puts(p->out, "\"} 1\n");
	getrlimit(RLIMIT_NOFILE, &lim);
	put_gauge(p, "process_open_fds", "Number of open file descriptors", open_fds(lim.rlim_cur));
	put_gauge(p, "process_max_fds", "Maximum number of open file descriptors", lim.rlim_cur);
	put_gauge(p, "process_resident_memory_bytes", "Resident memory size in bytes", resident_bytes());
	put_gauge(p, "meshd_config_generation", "Generation of the configuration in use",
		  mesh_generation(mesh_current()));
	put_family(p, "meshd_log_lines_dropped", true, "Log lines lost because their reader was too slow");
	buf_printf(p->out, "meshd_log_lines_dropped_total %llu\n", (unsigned long long)log_dropped());
}

void flow_metrics_write(struct buf *out, bool openmetrics, const char *version)
{
	struct prom p = { out, openmetrics };
	struct prom_sums sums;

	sums_collect(&sums);
	put_plain(&p, &sums, "istio_tcp_connections_opened", offsetof(struct prom_row, opened),
		  "The total number of TCP connections opened");
	put_flagged(&p, &sums, "istio_tcp_connections_closed", offsetof(struct prom_row, closed),
		  "The total number of TCP connections closed");
	put_flagged(&p, &sums, "istio_tcp_connections_failed", offsetof(struct prom_row, failed),
		  "The total number of TCP connections that failed");
	put_plain(&p, &sums, "istio_tcp_received_bytes", offsetof(struct prom_row, received),
		  "The size of total bytes received during request in case of a TCP connection");
	put_plain(&p, &sums, "istio_tcp_sent_bytes", offsetof(struct prom_row, sent),
		  "The size of total bytes sent during response in case of a TCP connection");
	put_sockets(&p);
	put_shed(&p);
	put_process(&p, version);
	if (openmetrics)
		buf_puts(out, "# EOF\n");
	sums_done(&sums);
}
