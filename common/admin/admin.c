/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/admin.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "admin/admin_int.h"
#include "admin/clusters.h"
#include "base/log.h"
#include "telemetry/prom.h"
#include "telemetry/trace.h"
#include "telemetry/why.h"

#define LOGGING_HELP \
	"usage: POST /logging                                   (lists the current levels)\n" \
	"usage: POST /logging?level=LEVEL                       (sets all scopes)\n" \
	"usage: POST /logging?level=SCOPE=LEVEL,SCOPE=LEVEL     (sets some scopes; ztunnel's modules name them, too)\n" \
	"usage: POST /logging?reset                             (back to the start)\n\n" \
	"levels: error warn info debug trace off\n"

static struct admin *admin_of(void *arg)
{
	return ((struct admin_site *)arg)->admin;
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

uint64_t admin_uptime_s(const struct admin *a)
{
	return (now_ms() - a->started_ms) / 1000;
}

const char *admin_duration(uint64_t s, char text[32])
{
	unsigned long long d = s / 86400, h = s / 3600 % 24, m = s / 60 % 60;

	if (d)
		snprintf(text, 32, "%llud %lluh", d, h);
	else if (h)
		snprintf(text, 32, "%lluh %llum", h, m);
	else if (m)
		snprintf(text, 32, "%llum %llus", m, (unsigned long long)(s % 60));
	else
		snprintf(text, 32, "%llus", (unsigned long long)s);
	return text;
}

/* --- who may ask --- */

/* The host names of this machine's loopback. Any port: `kubectl port-forward` brings its own. */
static bool host_is_local(struct str host)
{
	static const char *const names[] = { "localhost", "127.0.0.1", "[::1]" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		size_t n = strlen(names[i]);

		if (host.n < n || !str_eq_nocase((struct str){ host.p, n }, str_c(names[i])))
			continue;
		if (host.n == n || host.p[n] == ':')
			return true;
	}
	return false;
}

/* A web page elsewhere must not reach these through its reader's browser: its requests name another host (DNS
 * rebinding), or another origin. */
static bool admit(struct h1server_request *rq, void *arg)
{
	const struct admin_site *site = arg;
	struct str host = h1server_header(rq, "host"), origin = h1server_header(rq, "origin"), http = str_c("http://");
	bool get = str_is(h1server_method(rq), "GET") || str_is(h1server_method(rq), "HEAD");

	if (site->local_socket)
		return true;
	if (!host_is_local(host)) {
		h1server_reply_text(rq, 403, "the Host header must be localhost, 127.0.0.1 or [::1]\n");
		return false;
	}
	if (origin.p && !(str_starts(origin, http) &&
			  str_eq((struct str){ origin.p + http.n, origin.n - http.n }, host))) {
		h1server_reply_text(rq, 403, "requests from pages of another origin are refused\n");
		return false;
	}
	if (!get && site->admin->conf.post_unix_only) {
		h1server_reply_text(rq, 403, "changes are accepted on the Unix socket %s only: use `curl --unix-socket`, "
				    "as the user that runs meshd\n",
				    site->admin->conf.unix_path ? site->admin->conf.unix_path : "(none is configured)");
		return false;
	}
	return true;
}

/* --- pages --- */

static bool wants_text(const struct h1server_request *rq)
{
	struct str format;

	return h1server_query(rq, "format", &format) && str_is(format, "text");
}

/* `max`, up to a limit, which is also what it is if nobody says. */
static int max_of(const struct h1server_request *rq, int limit)
{
	struct str text;
	int max = 0;

	if (!h1server_query(rq, "max", &text))
		return limit;
	for (size_t i = 0; i < text.n && text.p[i] >= '0' && text.p[i] <= '9' && max < limit; i++)
		max = max * 10 + text.p[i] - '0';
	return max < 1 || max > limit ? limit : max;
}

static void reply_buf(struct h1server_request *rq, bool text, struct buf *out)
{
	h1server_reply(rq, 200, text ? "text/plain; charset=utf-8" : "application/json", out);
}

static void on_page(struct h1server_request *rq, void *arg)
{
	struct buf out = { 0 };

	page_write(admin_of(arg), &out);
	h1server_reply(rq, 200, "text/html; charset=utf-8", &out);
}

static void on_page_css(struct h1server_request *rq, void *arg)
{
	struct buf out = { 0 };

	buf_puts(&out, page_css);
	h1server_reply(rq, 200, "text/css; charset=utf-8", &out);
}

static void on_page_js(struct h1server_request *rq, void *arg)
{
	struct buf out = { 0 };

	buf_puts(&out, page_js);
	h1server_reply(rq, 200, "text/javascript; charset=utf-8", &out);
}

static void on_traffic(struct h1server_request *rq, void *arg)
{
	struct buf out = { 0 };

	traffic_write_json(&out);
	reply_buf(rq, false, &out);
}

static void on_config_dump(struct h1server_request *rq, void *arg)
{
	struct dump *d = dump_new(admin_of(arg));

	h1server_reply_stream(rq, 200, "application/json", &(struct h1server_stream){ dump_more, dump_free, d });
}

static void on_clusters(struct h1server_request *rq, void *arg)
{
	struct buf out = { 0 };
	struct str format;
	bool json = h1server_query(rq, "format", &format) && str_is(format, "json");

	(json ? clusters_json : clusters_text)(plan_current(), &out);
	reply_buf(rq, !json, &out);
}

static void on_status(struct h1server_request *rq, void *arg)
{
	struct buf out = { 0 };

	(wants_text(rq) ? status_write_text : status_write_json)(admin_of(arg), &out);
	reply_buf(rq, wants_text(rq), &out);
}

static void on_connections(struct h1server_request *rq, void *arg)
{
	struct buf out = { 0 };

	(wants_text(rq) ? connections_write_text : connections_write_json)(admin_of(arg), max_of(rq, ADMIN_CONNECTIONS_MAX), &out);
	reply_buf(rq, wants_text(rq), &out);
}

static bool id_parse(struct str s, uint64_t *ret)
{
	char text[17] = "", *end;

	if (s.n == UUID_BYTES) {
		*ret = why_id_parse(s);
		return *ret != 0;
	}
	if (s.n == 0 || s.n > 16)
		return false;
	memcpy(text, s.p, s.n);
	if (strspn(text, "0123456789abcdefABCDEF") != s.n)
		return false;
	*ret = strtoull(text, &end, 16);
	return *ret != 0;
}

static void on_why(struct h1server_request *rq, void *arg)
{
	struct buf out = { 0 };
	struct str text;
	uint64_t id = 0;
	int n;

	if (h1server_query(rq, "id", &text) && !id_parse(text, &id)) {
		h1server_reply_text(rq, 400, "want an id as the access log shows it: up to 16 hexadecimal digits, or a request id\n");
		return;
	}
	n = (wants_text(rq) ? why_write_text : why_write_json)(id, max_of(rq, LIMIT_WHY_ENTRIES), &out);
	if (n == 0 && id)
		h1server_reply_text(rq, 404, "no refused connection with this id is remembered: it belongs to another "
				    "process, or more than %d have been refused since\n", LIMIT_WHY_ENTRIES);
	else if (n == 0 && wants_text(rq))
		h1server_reply_text(rq, 200, "no connection was refused\n");
	else
		reply_buf(rq, wants_text(rq), &out);
	buf_done(&out);
}

static void on_logging(struct h1server_request *rq, void *arg)
{
	struct buf levels = { 0 };
	struct str level = { 0 }, unused;
	bool reset = h1server_query(rq, "reset", &unused);
	struct err err;

	if (!str_is(h1server_method(rq), "POST")) {
		h1server_reply_text(rq, 405, "Invalid HTTP method\n " LOGGING_HELP);
		return;
	}
	h1server_query(rq, "level", &level);   /* absent or empty: only told */
	if (reset)
		log_reset_levels();
	if (level.n && log_set_levels(level, &err) < 0) {
		h1server_reply_text(rq, 400, "Invalid level provided: %.*s\n%s\n" LOGGING_HELP,
				    level.n < 200 ? (int)level.n : 200, level.p ? level.p : "", err.msg);
		return;
	}
	log_levels_format(&levels);
	h1server_reply_text(rq, 200, "current log level is %.*s\n", STR_FMT(buf_str(&levels)));
	buf_done(&levels);
}

static void on_pprof(struct h1server_request *rq, void *arg)
{
	h1server_reply_text(rq, 501, "meshd has no profiler of its own. CPU: `perf record -g -p %d -- sleep 10; perf report`.\n"
			    "Memory: process_resident_memory_bytes on the metrics port, or `heaptrack -p %d`.\n",
			    (int)getpid(), (int)getpid());
}

static void on_quit(struct h1server_request *rq, void *arg)
{
	struct admin *a = admin_of(arg);

	h1server_reply_text(rq, 200, "shutdown now\n");
	if (a->ops->quit)
		a->ops->quit(a->arg);
}

static void on_reload(struct h1server_request *rq, void *arg)
{
	struct admin *a = admin_of(arg);
	struct err err = { "there is nothing to reload" };

	if (!a->ops->reload || a->ops->reload(a->arg, &err) < 0)
		h1server_reply_text(rq, 500, "%s\n", err.msg);
	else
		h1server_reply_text(rq, 200, "reloaded\n");
}

static bool accepts(struct str accept, const char *type)
{
	return accept.n && memmem(accept.p, accept.n, type, strlen(type));
}

static void on_metrics(struct h1server_request *rq, void *arg)
{
	const struct admin *a = admin_of(arg);
	bool openmetrics = accepts(h1server_header(rq, "accept"), "application/openmetrics-text");
	struct buf out = { 0 };

	prom_write(&out, openmetrics, &(struct prom_build){
		.component = strcmp(a->conf.mode, "sidecar") == 0 ? "proxy" : a->conf.mode, .istio_version = a->conf.istio_version, .version = a->conf.version });
	h1server_reply(rq, 200, openmetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8" :
		       "text/plain; version=0.0.4; charset=utf-8", &out);
}

static void on_ready(struct h1server_request *rq, void *arg)
{
	struct admin *a = admin_of(arg);
	struct buf pending = { 0 };

	if (a->ops->pending)
		a->ops->pending(a->arg, &pending);
	if (buf_len(&pending))
		h1server_reply_text(rq, 500, "not ready, pending: %.*s\n", STR_FMT(buf_str(&pending)));
	else
		h1server_reply_text(rq, 200, "ready\n");
	buf_done(&pending);
}

static void on_app_health(struct h1server_request *rq, void *arg)
{
	struct admin *a = admin_of(arg);

	if (a->ops->app_health)
		a->ops->app_health(a->arg, rq);
	else
		h1server_reply_text(rq, 404, "there is nothing at this path\n");
}

static const struct h1server_route admin_routes[] = {
	{ "GET", "/", on_page },
	{ "GET", "/page.css", on_page_css },
	{ "GET", "/page.js", on_page_js },
	{ "GET", "/config_dump", on_config_dump },
	{ "GET", "/clusters", on_clusters },
	{ "GET", "/status", on_status },
	{ "GET", "/connections", on_connections },
	{ "GET", "/traffic", on_traffic },
	{ "GET", "/why", on_why },
	{ NULL, "/logging", on_logging },
	{ "POST", "/quitquitquit", on_quit },
	{ "POST", "/reload", on_reload },
	{ NULL, "/debug/pprof/profile", on_pprof },
	{ NULL, "/debug/pprof/heap", on_pprof },
	{ NULL, "/debug/pprof/heap/profiling", on_pprof },
};
static const struct h1server_route stats_routes[] = {
	{ "GET", "/metrics", on_metrics },
	{ "GET", "/stats/prometheus", on_metrics },
	{ "GET", "/healthz/ready", on_ready },
	{ "GET", "/app-health/*", on_app_health },
};
static const struct h1server_route ready_routes[] = {
	{ "GET", "/healthz/ready", on_ready },
};

/* --- listeners --- */

#define FIELD(name, value) { { name, sizeof(name) - 1 }, { value, sizeof(value) - 1 } }
/* The page runs its own script only, asks this process only, and is no part of another page. */
static const struct http_field page_fields[] = {
	FIELD("content-security-policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; "
	      "form-action 'none'; frame-ancestors 'none'"),
	FIELD("cross-origin-resource-policy", "same-origin"),
	FIELD("referrer-policy", "no-referrer"),
};
#undef FIELD

static struct admin_site *site_add(struct admin *a, const struct h1server_route *routes, int n, bool guarded,
				   bool local_socket)
{
	struct admin_site *s = &a->site[a->n_servers];

	s->admin = a;
	s->local_socket = local_socket;
	s->site = (struct h1server_site){ .routes = routes, .n_routes = n, .admit = guarded ? admit : NULL, .arg = s };
	if (guarded) {
		s->site.fields = page_fields;
		s->site.n_fields = ARRAY_LEN(page_fields);
	}
	return s;
}

static int listen_on(struct admin *a, const char *ip, uint16_t port, const struct h1server_route *routes, int n,
		     bool guarded, struct err *err)
{
	struct admin_site *s = site_add(a, routes, n, guarded, false);
	struct addr at = { .port = port };
	int r;

	ip_parse(str_c(ip), &at.ip);
	r = h1server_open(a->conf.control, &at, &s->site, &a->server[a->n_servers], err);
	if (r == 0)
		a->n_servers++;
	return r;
}

/* IPv4 must work; IPv6 where the machine has it. */
static bool no_ipv6(int r)
{
	return r == -EADDRNOTAVAIL || r == -EAFNOSUPPORT;
}

static int listen_loopback(struct admin *a, struct err *err)
{
	int r = listen_on(a, "127.0.0.1", a->conf.admin_port, admin_routes, ARRAY_LEN(admin_routes), true, err);

	if (r < 0 || !a->conf.ipv6)
		return r;
	r = listen_on(a, "::1", a->conf.admin_port, admin_routes, ARRAY_LEN(admin_routes), true, err);
	return no_ipv6(r) ? 0 : r;
}

static int listen_everywhere(struct admin *a, uint16_t port, const struct h1server_route *routes, int n,
			     struct err *err)
{
	int r = a->conf.ipv6 ? listen_on(a, "::", port, routes, n, false, err) : -EAFNOSUPPORT;

	return no_ipv6(r) ? listen_on(a, "0.0.0.0", port, routes, n, false, err) : r;
}

static int listen_unix(struct admin *a, struct err *err)
{
	struct admin_site *s = site_add(a, admin_routes, ARRAY_LEN(admin_routes), true, true);
	int r = h1server_open_unix(a->conf.control, a->conf.unix_path, &s->site, &a->server[a->n_servers], err);

	if (r == 0)
		a->n_servers++;
	return r;
}

int admin_new(const struct admin_conf *conf, const struct admin_ops *ops, void *arg, struct admin **ret,
	      struct err *err)
{
	struct admin *a = xcalloc(1, sizeof(*a));
	int r = 0;

	a->conf = *conf;
	a->ops = ops;
	a->arg = arg;
	a->started_ms = now_ms();
	if (conf->admin_port)
		r = listen_loopback(a, err);
	if (r == 0 && conf->stats_port)
		r = listen_everywhere(a, conf->stats_port, stats_routes, ARRAY_LEN(stats_routes), err);
	if (r == 0 && conf->envoy_stats_port)
		r = listen_everywhere(a, conf->envoy_stats_port, stats_routes, ARRAY_LEN(stats_routes), err);
	if (r == 0 && conf->ready_port)
		r = listen_everywhere(a, conf->ready_port, ready_routes, ARRAY_LEN(ready_routes), err);
	if (r == 0 && conf->unix_path)
		r = listen_unix(a, err);
	if (r < 0) {
		admin_free(a);
		return r;
	}
	*ret = a;
	return 0;
}

static void admin_bury(struct deferred *d)
{
	free(container_of(d, struct admin, grave));
}

void admin_free(struct admin *a)
{
	if (!a)
		return;
	for (int i = 0; i < a->n_servers; i++)
		h1server_close(a->server[i]);
	a->grave.run = admin_bury;
	loop_bury(a->conf.control, &a->grave);
}
