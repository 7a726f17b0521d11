/* SPDX-License-Identifier: Apache-2.0 */
/* `meshd --mode=…`: puts the rooms together, and is the control thread from then on. */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/tuning.h"
#include "dns/hostnames.h"
#include "identity/secret.h"
#include "modes/demand.h"
#include "net/notify.h"
#include "net/privs.h"
#include "policy/jwksource.h"
#include "src/serve_int.h"
#include "src/settings.h"
#include "src/version.h"
#include "tls/origin.h"

#define COLLECT_MS       1000      /* how often retired snapshots are looked at when nothing is published */
#define DRAIN_POLL_MS    50
#define HANDOVER_MS      3600000
#define PEAK_CONNS       100       /* fewer are not worth a walk over the heap */

#define O(kind, name, arg, member, doc) { name, OPTION_##kind, arg, doc, offsetof(struct options, member), 0, 0 }
const struct option_row serve_options[] = {
	O(TEXT, "mode", "MODE", mode, "sidecar, ztunnel or waypoint"),
	O(TEXT, "config-dir", "DIR", config_dir, "Istio YAML in DIR, watched; no control plane"),
	O(LIST, "workload", "NS/NAME", workloads, "the WorkloadEntry or Pod in that directory that this process serves; repeatable"),
	O(TEXT, "ca-dir", "DIR", ca_dir, "sign our own short-lived certificates with the CA in DIR (made by `meshd ca init DIR`)"),
	O(TEXT, "cert", "FILE", cert, "or: a certificate chain that somebody else renews, with --key and --root; reloaded on change"),
	O(TEXT, "key", "FILE", key, "its private key"),
	O(TEXT, "root", "FILE", root, "the roots that peers' certificates must lead to"),
	O(TEXT, "crl", "FILE", crl, "revoked certificates; also $CRL_PATH"),
	{ "concurrency", OPTION_NUMBER, "N", "worker threads (default: the CPU limit, else a quarter of the cores, at least 1)", offsetof(struct options, concurrency), 1, 256 },
	{ "admin-port", OPTION_NUMBER, "PORT", "port of the admin pages on loopback (default 15000)", offsetof(struct options, admin_port), 1, 65535 },
	O(TEXT, "admin-socket", "PATH", admin_socket, "Unix socket (0600) of the admin pages, for the command line"),
	O(FLAG, "admin-post-unix-only", NULL, post_unix_only, "refuse POST on the admin port: an application that shares the network namespace cannot stop us"),
	O(TEXT, "log-level", "LEVEL", log_level, "error, warn, info, debug; or for one room: access=debug,info"),
	O(TEXT, "log-format", "FORMAT", log_format, "text or json"),
	O(DURATION, "drain-time", "D", drain_ms, "how long live connections may go on after SIGTERM (default 5s)"),
	O(TEXT, "handover-dir", "DIR", handover_dir, "take over from the meshd that runs here, and hand over to the next one, through DIR (0700); for upgrades without loss"),
	O(DURATION, "handover-time", "D", handover_ms, "how long live connections may go on in this process after that (default 1h)"),
	O(TEXT, "user", "NAME", user, "become this user after the start (default meshd where it exists, when started as root on a host)"),
	O(FLAG, "tls12", NULL, tls12, "also accept TLS 1.2; also $TLS12_ENABLED"),
	O(FLAG, "help", NULL, help, "this text"),
	{ NULL, 0, NULL, NULL, 0, 0, 0 },
};

/* ---- life ---- */

static void on_identity(struct identity *i, struct str id, struct tlsctx *old, void *arg)
{
	struct serve *s = arg;

	if (!s->proxy)
		return;
	if (old)
		proxy_retire(s->proxy, old);
	proxy_recheck_certs(s->proxy);
	proxy_wake(s->proxy);
}

static void on_identity_failed(struct identity *i, struct str id, void *arg)
{
	struct serve *s = arg;

	if (s->proxy)
		proxy_wake(s->proxy);
}

/* Retired snapshots go, and after a peak so does the memory that malloc keeps. */
static void on_collect(struct timer *t)
{
	struct serve *s = container_of(t, struct serve, collect);
	uint64_t generation = mesh_generation(mesh_current());
	int n = proxy_connections(s->proxy);

	epoch_collect();
	/* What plans were made of and in, once changes have ceased for a moment. */
	if (generation == s->seen && generation != s->trimmed && s->mode != MODE_ZTUNNEL) {
		malloc_trim(0);
		s->trimmed = generation;
	}
	s->seen = generation;
	if (n > s->peak) {
		s->peak = n;
	} else if (s->peak > PEAK_CONNS && n < s->peak / 2) {
		malloc_trim(0);
		s->peak = n;
	}
	timer_start(t, COLLECT_MS);
}

static void on_drain_poll(struct timer *t)
{
	struct serve *s = container_of(t, struct serve, drain_poll);

	int n = s->handed_over ? proxy_busy(s->proxy) : proxy_connections(s->proxy);

	if ((n == 0 && (s->mode != MODE_SIDECAR || s->set.exit_on_zero || s->handed_over)) || loop_now_ms(s->loop) >= s->drain_until_ms)
		loop_stop(s->loop);
	else
		timer_start(t, DRAIN_POLL_MS);
}

void serve_drain(struct serve *s)
{
	if (s->draining && !s->handed_over) {
		loop_stop(s->loop);
		return;
	}
	s->draining = true;
	s->handed_over = false;
	/* The listeners go: nothing is left that could be handed over. */
	handover_free(s->handover);
	s->handover = NULL;
	log_info(LOG_MAIN, "draining: no new connections; %d live ones have up to %u ms", proxy_connections(s->proxy), s->opt.drain_ms);
	notify_stopping();
	proxy_drain(s->proxy, false);
	s->drain_until_ms = loop_now_ms(s->loop) + s->opt.drain_ms;
	timer_start(&s->drain_poll, DRAIN_POLL_MS);
}

static void on_signal(struct ev_loop *ev, ev_signal *w, int revents)
{
	struct serve *s = w->data;

	if (w->signum == SIGHUP) {
		struct err err;

		notify_reloading();
		log_reopen();
		if (serve_reload(s, &err) < 0)
			log_error(LOG_SOURCE, "the configuration was not reloaded; the last good state stays: %s", err.msg);
		notify_ready();
		return;
	}
	serve_drain(s);
}

static void catch_signals(struct serve *s)
{
	static const int numbers[] = { SIGTERM, SIGINT, SIGHUP };

	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		ev_signal_init(&s->signals[i], on_signal, numbers[i]);
		s->signals[i].data = s;
		ev_signal_start(s->loop->ev, &s->signals[i]);
		ev_unref(s->loop->ev);
	}
}

/* ---- start ---- */

static unsigned cpu_limit(void)
{
	FILE *f = fopen("/sys/fs/cgroup/cpu.max", "re");
	long long quota = 0, period = 0;
	int n = f ? fscanf(f, "%lld %lld", &quota, &period) : 0;

	if (f)
		fclose(f);
	return n == 2 && quota > 0 && period > 0 ? (unsigned)((quota + period - 1) / period) : 0;
}

static unsigned default_concurrency(void)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned n = cpu_limit();

	n = n ? n : (unsigned)(cores > 0 ? cores : 1) / 4;
	return n ? n : 1;
}

/* cgroup v2's root or a namespace of our own means a container; there the uid is the pod's to choose. */
static bool in_container(void)
{
	struct stat st;

	return getenv("KUBERNETES_SERVICE_HOST") || stat("/.dockerenv", &st) == 0 || stat("/run/.containerenv", &st) == 0;
}

/* For what was checked by then, or will be. */
static enum mesh_mode mode_of(const char *name)
{
	return name && !strcmp(name, "sidecar") ? MODE_SIDECAR : name && !strcmp(name, "waypoint") ? MODE_WAYPOINT : MODE_ZTUNNEL;
}

static int check_dir(const struct options *o, struct err *err)
{
	if (!o->workloads.n && !getenv("PROXY_MODE"))
		return err_set(err, -EINVAL, "--workload=NS/NAME is missing: which WorkloadEntry in %s is this host?", o->config_dir);
	for (int i = 0; i < o->workloads.n; i++)
		if (!strchr(o->workloads.v[i], '/'))
			return err_set(err, -EINVAL, "--workload: want NS/NAME, got '%s'", o->workloads.v[i]);
	return 0;
}

/* Without a directory the environment says who configures us. */
static int check_plane(const struct options *o, const struct settings *set, struct err *err)
{
	if (o->workloads.n)
		return err_set(err, -EINVAL, "--workload goes with --config-dir: without one, istio-cni names the pods, or PROXY_WORKLOAD_INFO the one workload");
	if (set->on_demand && set->xds.address && set->stance >= STANCE_CLOSED)
		return err_set(err, -EINVAL, "XDS_ON_DEMAND does not go with MESHD_ENFORCEMENT=closed or strict: which services name a waypoint would be known for some only");
	if (!set->xds.address && !set->local_xds_path && !set->local_xds)
		return err_set(err, -EINVAL, "no configuration: want --config-dir=DIR, or XDS_ADDRESS, LOCAL_XDS_PATH or LOCAL_XDS in the environment");
	return 0;
}

static int check(struct options *o, const struct settings *set, struct err *err)
{
	bool files = o->cert || o->key || o->root;
	int r;

	if (!o->mode)
		return err_set(err, -EINVAL, "--mode=sidecar, --mode=ztunnel or --mode=waypoint is missing");
	if (strcmp(o->mode, mesh_mode_name(mode_of(o->mode))) != 0)
		return err_set(err, -EINVAL, "--mode: want sidecar, ztunnel or waypoint, got '%s'", o->mode);
	if (mode_of(o->mode) != MODE_ZTUNNEL && (!o->config_dir || !o->workloads.n))
		return err_set(err, -EINVAL, "--mode=%s wants --config-dir=DIR and --workload=NS/NAME: from a control plane it is not built in this version", o->mode);
	r = o->config_dir ? check_dir(o, err) : check_plane(o, set, err);
	if (r < 0)
		return r;
	if (o->ca_dir && files)
		return err_set(err, -EINVAL, "either --ca-dir, or --cert, --key and --root");
	if (files && !(o->cert && o->key && o->root))
		return err_set(err, -EINVAL, "--cert, --key and --root go together");
	if (!o->ca_dir && !files && (o->config_dir || !set->ca.address))
		return err_set(err, -EINVAL, "no certificates: want --ca-dir=DIR (make one with `meshd ca init DIR`), or --cert, --key and --root%s",
			       o->config_dir ? "" : ", or CA_ADDRESS in the environment");
	if (o->log_format && strcmp(o->log_format, "text") != 0 && strcmp(o->log_format, "plain") != 0 && strcmp(o->log_format, "json") != 0)
		return err_set(err, -EINVAL, "--log-format: want text or json, got '%s'", o->log_format);
	return 0;
}

/* What the command line left open is the environment's. */
static void defaults(struct options *o, const struct settings *set, bool pods_mode)
{
	o->concurrency = o->concurrency ? o->concurrency : set->concurrency ? set->concurrency : pods_mode ? set->workers : default_concurrency();
	o->admin_port = o->admin_port ? o->admin_port : set->admin_port;
	o->crl = o->crl ? o->crl : set->crl_path;
	o->log_level = o->log_level ? o->log_level : set->log_levels[0] ? set->log_levels : NULL;
	o->log_format = o->log_format ? o->log_format : set->log_json ? "json" : "text";
	o->tls12 |= set->tls12;
	o->handover_ms = o->handover_ms ? o->handover_ms : HANDOVER_MS;
	o->drain_ms = o->drain_ms ? o->drain_ms : (unsigned)set->drain_ms;
	/* Sharing ports in pods needs one uid: that of the proxy before us. */
	if (!o->user && !pods_mode && geteuid() == 0 && !in_container() && privs_has_user("meshd"))
		o->user = "meshd";
}

/* Once, before the first thread. */
static void tune(const struct serve *s)
{
	const struct settings *set = &s->set;
	bool keepalive = set->keepalive;

	tuning.pool_streams = set->pool_streams;
	tuning.pool_idle_ms = (unsigned)set->pool_idle_ms;
	tuning.stream_window = set->stream_window;
	tuning.conn_window = set->conn_window;
	tuning.frame_bytes = set->frame_bytes;
	tuning.keepalive_s = keepalive ? (unsigned)(set->keepalive_time_ms / 1000) : 0;
	tuning.keepalive_interval_s = (unsigned)(set->keepalive_interval_ms / 1000);
	tuning.keepalive_count = set->keepalive_retries;
	tuning.user_timeout_ms = (unsigned)set->user_timeout_ms;
	tuning.baggage = set->response_baggage;
	tuning.app_loopback = set->localhost_app_tunnel;
	tuning.dry_run_info = set->authz_info_log || !s->pods_mode;
}

/* Istio's chart says 127.0.0.1:15053, though istio-cni leads IPv6 questions to ::1: both, then. */
static void place_dns(const struct serve *s, struct proxy_conf *conf)
{
	const struct settings *set = &s->set;
	struct addr at = set->dns_addr;
	bool both = set->dns_localhost || (set->mode == MODE_SHARED && s->pods_mode && ip_is_v4(&at.ip) && ip_is_loopback(&at.ip));

	conf->dns.search_file = !s->pods_mode || set->mode == MODE_DEDICATED;
	conf->dns.preferred_ns = set->preferred_ns;
	if (set->dns_localhost)
		ip_parse(str_c("127.0.0.1"), &at.ip);
	conf->dns.at[conf->dns.n++] = at;
	if (!both || !set->ipv6)
		return;
	ip_parse(str_c("::1"), &at.ip);
	conf->dns.at[conf->dns.n++] = at;
}

static int start_proxy(struct serve *s, struct err *err)
{
	struct proxy_conf conf = {
		.demand = s->demand, .wait_ms = s->pods_mode ? LIMIT_POD_WAIT_MS : 0, .workloads = s->opt.workloads.v, .n_workloads = s->opt.workloads.n,
		.concurrency = (int)s->opt.concurrency, .pod_conns = (int)s->set.pod_conns, .pod_handshakes = (int)s->set.pod_handshakes,
		.ipv6 = s->set.ipv6, .socks = s->set.socks5, .spoof = s->mode != MODE_WAYPOINT && s->set.original_source != MAYBE_FALSE && net_can_spoof(),
	};

	conf.dns_only = !s->set.proxy;
	conf.mode = s->mode;
	/* Istio's sidecar connects from 127.0.0.6, which its capture rules know, unless it is told to keep the client's address. */
	if (s->mode == MODE_SIDECAR)
		conf.spoof = s->set.original_source == MAYBE_TRUE && net_can_spoof();
	if (s->set.dns && s->mode != MODE_WAYPOINT)
		place_dns(s, &conf);
	if (s->set.original_source == MAYBE_TRUE && s->mode != MODE_WAYPOINT && !conf.spoof)
		return err_set(err, -EPERM, "ENABLE_ORIG_SRC=true, but preserving source addresses is not permitted: it needs CAP_NET_ADMIN");
	if (net_can_mark())
		conf.mark = s->set.mark ? s->set.mark : NET_MARK;
	else
		log_warn(LOG_NET, "sockets cannot be marked (no CAP_NET_ADMIN): capture rules must exempt this process by its uid");
	return proxy_start(&conf, s->identity, &s->proxy, err);
}

/* ztunnel's keepalive towards its control plane. */
static void open_control(struct serve *s)
{
	static const struct keepalive keepalive = { .idle_s = 300, .interval_s = 75, .count = 9 };

	outsock_init(&s->control_out, net_can_mark() ? s->set.mark ? s->set.mark : NET_MARK : 0, &keepalive, NETNS_OWN);
	s->resolver = resolver_new(s->loop, &s->control_out.ops, NETNS_OWN);
	hostnames_open(s->loop, s->resolver);
}

static int start_identity(struct serve *s, struct err *err)
{
	static const struct identity_ops identity_ops = { .on_change = on_identity, .on_failed = on_identity_failed };
	int r;
	struct identity_conf ic = {
		.ttl_s = (int64_t)(s->set.secret_ttl_ms / 1000), .ca_dir = s->opt.ca_dir, .cert_file = s->opt.cert, .key_file = s->opt.key, .root_file = s->opt.root,
		.crl_file = s->opt.crl, .allow_tls12 = s->opt.tls12,
	};

	s->wanted = xcalloc((size_t)s->opt.workloads.n, sizeof(*s->wanted));
	s->problems = xcalloc((size_t)s->opt.workloads.n, 256);
	s->loop = loop_new(-1);
	if (!s->loop)
		return err_set(err, -ENOMEM, "cannot make an event loop");
	open_control(s);
	r = s->opt.config_dir ? 0 : serve_plane_open(s, err);
	if (r == 0 && s->citadel) {
		ic.ca = &citadel_ops;
		ic.ca_arg = s->citadel;
	}
	return r < 0 ? r : identity_new(s->loop, &ic, &identity_ops, s, &s->identity, err);
}

int serve_reload(struct serve *s, struct err *err)
{
	return s->confdir ? serve_files_reload(s, err) : serve_local_reload(s, err);
}

static int start(struct serve *s, struct err *err)
{
	int r = s->opt.config_dir ? serve_files_load(s, err) : serve_plane_settings(s, err);

	if (r == 0)
		r = serve_otlp_start(s, err);
	serve_jwks_start(s);
	serve_demand_start(s);
	if (r == 0)
		r = start_proxy(s, err);
	if (r == 0)
		r = serve_l7_start(s, err);
	if (r == 0)
		r = serve_handover_take(s, err);
	if (r == 0)
		r = serve_pods_start(s, err);
	if (r == 0)
		r = serve_handover_admin(s, err);
	if (r < 0)
		return r;
	if (!s->opt.config_dir)
		return serve_plane_start(s, err);
	serve_pods_synced(s);
	return 0;
}

static void stop(struct serve *s)
{
	admin_free(s->admin);
	handover_free(s->handover);
	serve_plane_stop(s);
	serve_pods_stop(s);
	proxy_free(s->proxy);
	serve_l7_stop(s);
	origin_forget();
	demand_free(s->demand);
	otlp_free(s->otlp);
	watch_free(s->watch);
	identity_free(s->identity);
	serve_plane_close(s);
	hostnames_close();
	jwksource_stop();
	resolver_free(s->resolver);
	confdir_free(s->confdir);
	timer_stop(&s->collect);
	loop_free(s->loop);
	for (int i = 0; i < s->opt.workloads.n; i++)
		free(s->wanted[i]);
	free(s->wanted);
	free(s->problems);
	settings_done(&s->set);
	log_info(LOG_MAIN, "stopped");
	log_stop();
}

static int usage(void)
{
	printf("usage: meshd --mode=sidecar|ztunnel|waypoint --config-dir=DIR --workload=NS/NAME --ca-dir=DIR [options]\n"
	       "       meshd --mode=ztunnel [options]     with a control plane: see `meshd help environment`\n\n");
	options_help(serve_options, stdout);
	return 0;
}

static int fail(const char *what)
{
	log_stop();
	fprintf(stderr, "meshd: %s\n", what);
	return 1;
}

int serve_command(int argc, char **argv)
{
	static struct serve s;
	struct err err;
	bool json, shared;

	if (options_parse(serve_options, &s.opt, argc, argv, NULL, 0, &err) < 0) {
		fprintf(stderr, "meshd: %s\n", err.msg);
		return 2;
	}
	if (s.opt.help)
		return usage();
	if (settings_read(&s.set, &err) < 0) {
		fprintf(stderr, "meshd: %s\n", err.msg);
		return 2;
	}
	s.mode = mode_of(s.opt.mode);
	s.pods_mode = !s.opt.workloads.n && (!s.opt.config_dir || getenv("PROXY_MODE"));
	defaults(&s.opt, &s.set, s.pods_mode);
	tune(&s);
	if (check(&s.opt, &s.set, &err) < 0 || (s.opt.log_level && log_set_levels(str_c(s.opt.log_level), &err) < 0)) {
		fprintf(stderr, "meshd: %s\n", err.msg);
		return 2;
	}
	json = s.opt.log_format && strcmp(s.opt.log_format, "json") == 0;
	log_set_json(json);
	shared = s.pods_mode && s.set.mode == MODE_SHARED;
	privs_raise_files();
	/* The CA's key is read while we may; traffic and other people's input come after privileges are gone. */
	if (start_identity(&s, &err) < 0 || privs_drop(s.opt.user, PRIVS_NET | (shared ? PRIVS_SETNS : 0), &err) < 0)
		return fail(err.msg);
	if (secret_harden() < 0)
		log_warn(LOG_IDENTITY, "cannot keep other programs of our user from reading this process's memory (PR_SET_DUMPABLE)");
	log_start(STDOUT_FILENO);
	settings_say(&s.set);
	if (start(&s, &err) < 0)
		return fail(err.msg);
	catch_signals(&s);
	timer_init(&s.collect, s.loop, on_collect);
	timer_start(&s.collect, COLLECT_MS);
	timer_init(&s.drain_poll, s.loop, on_drain_poll);
	log_info(LOG_MAIN, "meshd %s has started: mode %s, %d workloads served, %u workers, configuration generation %llu", MESHD_VERSION, s.opt.mode,
		 s.opt.workloads.n, s.opt.concurrency, (unsigned long long)mesh_generation(mesh_current()));
	notify_ready();
	loop_run(s.loop);
	stop(&s);
	return 0;
}
