/* SPDX-License-Identifier: Apache-2.0 */
/* /status and /connections, as JSON and as text for `meshd status`; /traffic. */
#include <stdio.h>
#include <time.h>

#include "admin/admin_int.h"
#include "admin/served.h"
#include "base/limits.h"
#include "base/log.h"
#include "model/mesh.h"
#include "telemetry/bypass.h"
#include "telemetry/refusal.h"
#include "telemetry/edges.h"
#include "telemetry/why.h"

#define REFUSALS_SHOWN 5
#define BYPASSES_SHOWN 20
#define SERVED_SHOWN 50

/* Walks that write either form carry this. */
struct status {
	struct admin *admin;
	struct json j;          /* JSON */
	struct buf *out;        /* text */
	int n, max;
	uint64_t count[2];      /* connections by direction */
};

static void count_connection(const struct admin_connection *c, void *arg)
{
	((struct status *)arg)->count[c->direction]++;
}

static void status_begin(struct status *s, struct admin *a, struct buf *out)
{
	*s = (struct status){ .admin = a, .j = { .out = out }, .out = out };
	if (a->ops->each_connection)
		a->ops->each_connection(a->arg, NULL, count_connection, s);
}

static void take_first(const struct admin_workload *w, void *arg)
{
	const struct workload **first = arg;

	*first = *first ? *first : w->workload;
}

/* The first that is served here; NULL: none is known. */
static const struct workload *own_workload(struct admin *a)
{
	const struct workload *w = NULL;

	if (a->ops->each_workload)
		a->ops->each_workload(a->arg, take_first, &w);
	return w;
}

/* 0: no certificate now; else when it ends, in Unix seconds. */
static int64_t certificate_end(const struct admin *a, const struct workload *w)
{
	return w && a->conf.identity ? identity_not_after(a->conf.identity, str_c(w->identity)) : 0;
}

static void time_text(int64_t at, char text[32])
{
	time_t t = (time_t)at;
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

/* --- JSON --- */

static void json_workload(const struct admin_workload *w, void *arg)
{
	struct status *s = arg;
	int64_t end = certificate_end(s->admin, w->workload);
	char text[32];

	json_open(&s->j, NULL, '{');
	json_text(&s->j, "name", w->name);
	json_text(&s->j, "state", w->up ? "Up" : "Pending");
	if (w->workload) {
		json_text(&s->j, "uid", w->workload->uid);
		json_text(&s->j, "identity", w->workload->identity);
	}
	if (end) {
		time_text(end, text);
		json_text(&s->j, "certificateEnds", text);
	} else {
		json_nil(&s->j, "certificateEnds");
	}
	if (w->problem[0])
		json_text(&s->j, "problem", w->problem);
	json_close(&s->j, '}');
}

static void json_bypass(const struct bypass *b, void *arg)
{
	struct status *s = arg;

	json_open(&s->j, NULL, '{');
	json_text(&s->j, "workload", b->workload);
	json_text(&s->j, "waypoint", b->waypoint);
	json_text(&s->j, "peer", b->peer);
	json_number(&s->j, "connections", b->count);
	json_close(&s->j, '}');
}

static void json_cause(const struct refusal_cause *c, void *arg)
{
	struct status *s = arg;

	json_open(&s->j, NULL, '{');
	json_text(&s->j, "cause", c->cause);
	json_number(&s->j, "count", c->n);
	json_text(&s->j, "reason", c->reason);
	json_text(&s->j, "remedy", c->remedy);
	json_close(&s->j, '}');
}

static void json_finding(bool error, const char *text, void *arg)
{
	struct status *s = arg;

	json_open(&s->j, NULL, '{');
	json_text(&s->j, "level", error ? "error" : "warning");
	json_text(&s->j, "text", text);
	json_close(&s->j, '}');
}

static void json_limit(const char *what, uint64_t times, void *arg)
{
	json_number(&((struct status *)arg)->j, what, times);
}

static void json_head(struct json *j, const struct admin *a, const struct mesh *m)
{
	size_t services, policies, workloads = mesh_count(m, &services, &policies);

	json_text(j, "version", a->conf.version);
	json_text(j, "mode", a->conf.mode);
	json_number(j, "uptimeSeconds", admin_uptime_s(a));
	json_number(j, "generation", mesh_generation(m));
	json_open(j, "objects", '{');
	json_number(j, "workloads", workloads);
	json_number(j, "services", services);
	json_number(j, "policies", policies);
	json_close(j, '}');
}

void status_write_json(struct admin *a, struct buf *out)
{
	struct buf pending = { 0 };
	struct status s;

	status_begin(&s, a, out);
	if (a->ops->pending)
		a->ops->pending(a->arg, &pending);
	json_open(&s.j, NULL, '{');
	json_head(&s.j, a, mesh_current());
	json_bool(&s.j, "ready", buf_len(&pending) == 0);
	json_str(&s.j, "pending", buf_str(&pending));
	json_open(&s.j, "workloads", '[');
	if (a->ops->each_workload)
		a->ops->each_workload(a->arg, json_workload, &s);
	json_close(&s.j, ']');
	json_key(&s.j, "waypoint");
	served_json(plan_current(), mesh_current(), own_workload(a), out);
	json_key(&s.j, "certificates");
	if (a->conf.identity)
		identity_dump(a->conf.identity, out);
	else
		buf_puts(out, "[]");
	json_open(&s.j, "connections", '{');
	json_number(&s.j, "inbound", s.count[ADMIN_INBOUND]);
	json_number(&s.j, "outbound", s.count[ADMIN_OUTBOUND]);
	json_close(&s.j, '}');
	json_open(&s.j, "refusalsByCause", '[');
	refusals_each(json_cause, &s);
	json_close(&s.j, ']');
	json_key(&s.j, "refusals");
	why_write_json(0, REFUSALS_SHOWN, out);
	json_open(&s.j, "findings", '[');
	if (a->ops->each_finding)
		a->ops->each_finding(a->arg, json_finding, &s);
	json_close(&s.j, ']');
	json_number(&s.j, "waypointBypasses", bypass_total());
	json_open(&s.j, "bypasses", '[');
	bypass_each(json_bypass, &s);
	json_close(&s.j, ']');
	json_open(&s.j, "limits", '{');
	if (a->ops->each_limit)
		a->ops->each_limit(a->arg, json_limit, &s);
	json_number(&s.j, "log lines dropped", log_dropped());
	json_close(&s.j, '}');
	json_close(&s.j, '}');
	buf_puts(out, "\n");
	buf_done(&pending);
}

/* --- text --- */

static void text_workload(const struct admin_workload *w, void *arg)
{
	struct status *s = arg;
	int64_t end = certificate_end(s->admin, w->workload), left = end - (int64_t)time(NULL);
	char ends[32], in[32];

	s->n++;
	buf_printf(s->out, "  %-32s %s\n", w->name,
		   w->up ? "up" : w->workload ? "pending" : "pending: the configuration does not name it");
	if (w->workload) {
		buf_printf(s->out, "    identity     %s\n", w->workload->identity);
		time_text(end, ends);
		if (!end)
			buf_puts(s->out, "    certificate  none yet\n");
		else if (left <= 0)
			buf_printf(s->out, "    certificate  expired at %s\n", ends);
		else
			buf_printf(s->out, "    certificate  until %s (%s left)\n", ends,
				   admin_duration((uint64_t)left, in));
	}
	if (w->problem[0])
		buf_printf(s->out, "    problem      %s\n", w->problem);
}

static void text_finding(bool error, const char *text, void *arg)
{
	struct status *s = arg;

	if (s->n++ == 0)
		buf_puts(s->out, "\nThe configuration has:\n");
	buf_printf(s->out, "  %s: %s\n", error ? "error" : "warning", text);
}

static void text_limit(const char *what, uint64_t times, void *arg)
{
	struct status *s = arg;

	if (!times)
		return;
	if (s->n++ == 0)
		buf_puts(s->out, "\nLimits that were met:\n");
	buf_printf(s->out, "  %-32s %llu times\n", what, (unsigned long long)times);
}

static void text_cause(const struct refusal_cause *c, void *arg)
{
	struct status *s = arg;

	if (s->n++ == 0)
		buf_puts(s->out, "\nRefused since the start, by cause:\n");
	buf_printf(s->out, "  %-18s %8llu  %s%s%s\n", c->cause, (unsigned long long)c->n, c->reason, *c->remedy ? ": " : "", c->remedy);
}

static void text_bypass(const struct bypass *b, void *arg)
{
	struct status *s = arg;

	if (s->n++ < BYPASSES_SHOWN)
		buf_printf(s->out, "  %s, past %s, by %s: %llu\n", b->workload, b->waypoint, b->peer, (unsigned long long)b->count);
	else if (s->n == BYPASSES_SHOWN + 1)
		buf_puts(s->out, "  ... and more: see /status\n");
}

void status_write_text(struct admin *a, struct buf *out)
{
	const struct mesh *m = mesh_current();
	size_t services, policies, workloads = mesh_count(m, &services, &policies);
	struct buf pending = { 0 }, refused = { 0 };
	struct status s;
	char up[32];

	status_begin(&s, a, out);
	if (a->ops->pending)
		a->ops->pending(a->arg, &pending);
	buf_printf(out, "meshd %s, mode %s, up %s: ", a->conf.version, a->conf.mode,
		   admin_duration(admin_uptime_s(a), up));
	if (buf_len(&pending))
		buf_printf(out, "not ready, waiting for %.*s\n", STR_FMT(buf_str(&pending)));
	else
		buf_puts(out, "ready\n");
	buf_printf(out, "configuration generation %llu: %zu workloads, %zu services, %zu policies\n",
		   (unsigned long long)mesh_generation(m), workloads, services, policies);
	buf_printf(out, "live connections: %llu inbound, %llu outbound\n",
		   (unsigned long long)s.count[ADMIN_INBOUND], (unsigned long long)s.count[ADMIN_OUTBOUND]);
	buf_puts(out, "\nServed here:\n");
	if (a->ops->each_workload)
		a->ops->each_workload(a->arg, text_workload, &s);
	if (!s.n)
		buf_puts(out, "  no workload\n");
	served_text(plan_current(), m, own_workload(a), SERVED_SHOWN, out);
	s.n = 0;
	if (a->ops->each_finding)
		a->ops->each_finding(a->arg, text_finding, &s);
	s.n = 0;
	if (a->ops->each_limit)
		a->ops->each_limit(a->arg, text_limit, &s);
	text_limit("log lines dropped", log_dropped(), &s);
	if (bypass_total()) {
		buf_printf(out, "\nPast the waypoint that they should have passed (%llu connections):\n", (unsigned long long)bypass_total());
		s.n = 0;
		bypass_each(text_bypass, &s);
	}
	s.n = 0;
	refusals_each(text_cause, &s);
	if (why_write_text(0, REFUSALS_SHOWN, &refused)) {
		buf_printf(out, "\nRefused lately (at most %d of them):\n", REFUSALS_SHOWN);
		buf_append(out, buf_data(&refused), buf_len(&refused));
	}
	buf_done(&refused);
	buf_done(&pending);
}

/* --- connections --- */

static void connection_json(const struct admin_connection *c, void *arg)
{
	struct status *s = arg;
	char text[ADDR_TEXT];

	if (s->n++ >= s->max)
		return;
	json_open(&s->j, NULL, '{');
	json_text(&s->j, "direction", c->direction == ADMIN_INBOUND ? "inbound" : "outbound");
	json_text(&s->j, "workload", c->workload_uid);
	json_text(&s->j, "src", addr_format(&c->source, text));
	if (c->original.port)
		json_text(&s->j, "originalDst", addr_format(&c->original, text));
	json_text(&s->j, "actualDst", addr_format(&c->actual, text));
	if (c->host[0])
		json_text(&s->j, "service", c->host);
	json_text(&s->j, "protocol", c->protocol);
	json_text(&s->j, "peer", c->peer);
	json_number(&s->j, "bytesReceived", c->bytes_received);
	json_number(&s->j, "bytesSent", c->bytes_sent);
	json_number(&s->j, "ageMs", c->age_ms);
	json_close(&s->j, '}');
}

void connections_write_json(struct admin *a, int max, struct buf *out)
{
	struct status s = { .admin = a, .max = max, .j = { .out = out } };

	json_open(&s.j, NULL, '{');
	json_open(&s.j, "connections", '[');
	if (a->ops->each_connection)
		a->ops->each_connection(a->arg, NULL, connection_json, &s);
	json_close(&s.j, ']');
	json_number(&s.j, "total", (uint64_t)s.n);
	json_close(&s.j, '}');
	buf_puts(out, "\n");
}

static void connection_text(const struct admin_connection *c, void *arg)
{
	struct status *s = arg;
	char source[ADDR_TEXT], actual[ADDR_TEXT], age[32];

	if (s->n++ >= s->max)
		return;
	buf_printf(s->out, "%-8s %-5s %-24s -> %-24s %10llu in %10llu out  %-8s %s\n",
		   c->direction == ADMIN_INBOUND ? "inbound" : "outbound", c->protocol, addr_format(&c->source, source),
		   addr_format(&c->actual, actual), (unsigned long long)c->bytes_received,
		   (unsigned long long)c->bytes_sent,
		   admin_duration(c->age_ms / 1000, age), c->peer);
}

void connections_write_text(struct admin *a, int max, struct buf *out)
{
	struct status s = { .admin = a, .max = max, .out = out };

	if (a->ops->each_connection)
		a->ops->each_connection(a->arg, NULL, connection_text, &s);
	if (s.n > max)
		buf_printf(out, "... and %d more\n", s.n - max);
	if (!s.n)
		buf_puts(out, "no live connections\n");
}

/* --- traffic --- */

static void counts_json(struct json *j, const struct edge *e)
{
	static const char *const names[EDGE_COUNTS] = { "connections", "requests", "refused", "failed", "bytesReceived", "bytesSent" };

	for (int i = 0; i < EDGE_COUNTS; i++)
		json_number(j, names[i], e->count[i]);
}

static void edge_json(const struct edge *e, void *arg)
{
	struct json *j = arg;

	json_open(j, NULL, '{');
	json_str(j, "reporter", e->reporter);
	json_str(j, "source", e->source);
	json_str(j, "destination", e->destination);
	json_str(j, "service", e->service);
	counts_json(j, e);
	json_close(j, '}');
}

void traffic_write_json(struct buf *out)
{
	struct json j = { .out = out };
	struct edge rest;
	size_t more;

	json_open(&j, NULL, '{');
	json_open(&j, "edges", '[');
	more = edges_each(ADMIN_EDGES_MAX, edge_json, &j, &rest);
	json_close(&j, ']');
	json_number(&j, "more", more);
	json_open(&j, "rest", '{');
	counts_json(&j, &rest);
	json_close(&j, '}');
	json_close(&j, '}');
	buf_puts(out, "\n");
}
