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

#include "admin/admin.h"
#include "base/log.h"
#include "identity/localca.h"
#include "identity/secret.h"
#include "io/watch.h"
#include "modes/proxy.h"
#include "net/notify.h"
#include "net/privs.h"
#include "source/confdir.h"
#include "src/options.h"
#include "src/settings.h"
#include "src/version.h"

#define RELOAD_QUIET_MS  100
#define COLLECT_MS       1000      /* how often retired snapshots are looked at when nothing is published */
#define DRAIN_POLL_MS    50
#define PEAK_CONNS       100       /* fewer are not worth a walk over the heap */

struct options {
	const char *mode, *config_dir, *ca_dir, *cert, *key, *root, *crl, *user, *log_level, *log_format, *admin_socket;
	struct option_list workloads;
	unsigned concurrency, admin_port, drain_ms;
	bool post_unix_only, tls12, help;
};

#define O(kind, name, arg, member, doc) { name, OPTION_##kind, arg, doc, offsetof(struct options, member), 0, 0 }
const struct option_row serve_options[] = {
	O(TEXT, "mode", "MODE", mode, "sidecar, ztunnel or waypoint (of which this version has ztunnel)"),
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
	O(TEXT, "user", "NAME", user, "become this user after the start (default meshd where it exists, when started as root on a host)"),
	O(FLAG, "tls12", NULL, tls12, "also accept TLS 1.2; also $TLS12_ENABLED"),
	O(FLAG, "help", NULL, help, "this text"),
	{ NULL, 0, NULL, NULL, 0, 0, 0 },
};

struct serve {
	struct options opt;
	struct loop *loop;
	struct proxy *proxy;
	struct identity *identity;
	struct confdir *confdir;
	struct watch *watch;
	struct admin *admin;
	ev_signal signals[4];
	struct timer collect, drain_poll;
	uint64_t drain_until_ms;
	char *problems;                    /* why a workload is not served, "" when it is: 256 bytes each */
	int peak;                          /* live connections since memory was given back last */
	bool draining;
};

/* ---- identities follow the configuration ---- */

static struct workload *served(struct serve *s, int i)
{
	struct str name, ns = str_cut(str_c(s->opt.workloads.v[i]), '/', &name);

	return mesh_workload_named(mesh_current(), ns, name);
}

static char *problem(struct serve *s, int i)
{
	return s->problems + (size_t)i * 256;
}

static void want_identities(struct serve *s)
{
	const struct mesh_settings *set = mesh_settings(mesh_current());
	struct str domains[1 + 16] = { str_c(set->trust_domain) };
	int n = 1;

	for (int i = 0; i < set->n_aliases && n < (int)ARRAY_LEN(domains); i++)
		domains[n++] = str_c(set->aliases[i]);
	identity_set_trust(s->identity, domains, n);
	for (int i = 0; i < s->opt.workloads.n; i++) {
		struct workload *w = served(s, i);
		struct err err;
		char old[256];

		snprintf(old, sizeof(old), "%s", problem(s, i));
		if (!w)
			snprintf(problem(s, i), 256, "no WorkloadEntry or Pod %s in %s", s->opt.workloads.v[i], s->opt.config_dir);
		else if (identity_want(s->identity, str_c(w->identity), &err) < 0)
			snprintf(problem(s, i), 256, "%.255s", err.msg);
		else
			problem(s, i)[0] = '\0';
		if (problem(s, i)[0] && strcmp(old, problem(s, i)) != 0)
			log_warn(LOG_MAIN, "workload %s is not served: %s", s->opt.workloads.v[i], problem(s, i));
	}
}

static void on_identity(struct identity *i, struct str id, struct tlsctx *old, void *arg)
{
	struct serve *s = arg;

	if (!s->proxy)
		return;
	if (old)
		proxy_retire(s->proxy, old);
	proxy_recheck_certs(s->proxy);
}

/* ---- configuration ---- */

static int reload(struct serve *s, struct err *err)
{
	uint64_t before = mesh_generation(mesh_current());
	int r = confdir_load(s->confdir, err);

	if (r < 0)
		return r;
	want_identities(s);
	if (s->proxy && mesh_generation(mesh_current()) != before)
		proxy_rejudge(s->proxy);
	return 0;
}

static void on_files(void *arg)
{
	struct err err;

	if (reload(arg, &err) < 0)
		log_error(LOG_SOURCE, "the configuration was not reloaded; the last good state stays: %s", err.msg);
}

static int load_first(struct serve *s, struct err *err)
{
	struct mesh_settings base;
	int r = settings_read(&base, err);

	if (r < 0)
		return r;
	s->confdir = confdir_new(s->opt.config_dir, &base);
	/* Watched before it is read: no change falls between. */
	s->watch = watch_new(s->loop, RELOAD_QUIET_MS, on_files, s, err);
	r = s->watch ? watch_add_tree(s->watch, s->opt.config_dir, err) : -EIO;
	return r < 0 ? r : confdir_load(s->confdir, err);
}

/* ---- what admin asks ---- */

static void drain_begin(struct serve *s);

static void admin_quit(void *arg)
{
	drain_begin(arg);
}

static int admin_reload(void *arg, struct err *err)
{
	return reload(arg, err);
}

static void admin_pending(void *arg, struct buf *out)
{
	struct serve *s = arg;

	for (int i = 0; i < s->opt.workloads.n; i++)
		if (problem(s, i)[0])
			buf_printf(out, "%sworkload %s", buf_len(out) ? ", " : "", s->opt.workloads.v[i]);
	if (s->draining)
		buf_printf(out, "%sdraining", buf_len(out) ? ", " : "");
}

static void each_workload(void *arg, void (*fn)(const struct admin_workload *w, void *fn_arg), void *fn_arg)
{
	struct serve *s = arg;

	for (int i = 0; i < s->opt.workloads.n; i++) {
		struct admin_workload w = { s->opt.workloads.v[i], served(s, i), !s->draining && !problem(s, i)[0], problem(s, i) };

		fn(&w, fn_arg);
	}
}

static void each_connection(void *arg, const char *uid, void (*fn)(const struct admin_connection *c, void *fn_arg), void *fn_arg)
{
	struct serve *s = arg;
	struct proxy_conn_info *v = NULL;
	int n = s->proxy ? proxy_list(s->proxy, &v) : 0;

	for (int i = 0; i < n; i++) {
		struct admin_connection c = {
			.direction = v[i].inbound ? ADMIN_INBOUND : ADMIN_OUTBOUND, .workload_uid = v[i].uid, .source = v[i].source,
			.original = v[i].original, .actual = v[i].actual, .host = v[i].host, .protocol = v[i].hbone ? "HBONE" : "TCP",
			.peer = v[i].peer, .bytes_received = v[i].received, .bytes_sent = v[i].sent, .age_ms = v[i].age_ms,
		};

		if (!uid || strcmp(uid, v[i].uid) == 0)
			fn(&c, fn_arg);
	}
	free(v);
}

static void each_finding(void *arg, void (*fn)(bool error, const char *text, void *fn_arg), void *fn_arg)
{
	struct serve *s = arg;
	size_t n;
	const struct finding **v = confdir_findings(s->confdir, &n);

	for (size_t i = 0; i < n; i++) {
		struct buf text = { 0 };

		finding_format(v[i], false, &text);
		buf_append(&text, "", 1);
		fn(v[i]->level == FINDING_ERROR, (char *)buf_data(&text), fn_arg);
		buf_done(&text);
	}
	free(v);
}

static const struct admin_ops admin_ops = {
	.quit = admin_quit, .reload = admin_reload, .pending = admin_pending, .each_workload = each_workload,
	.each_connection = each_connection, .each_finding = each_finding,
};

/* ---- life ---- */

/* Retired snapshots go, and after a peak so does the memory that malloc keeps. */
static void on_collect(struct timer *t)
{
	struct serve *s = container_of(t, struct serve, collect);
	int n = proxy_connections(s->proxy);

	epoch_collect();
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

	if (proxy_connections(s->proxy) == 0 || loop_now_ms(s->loop) >= s->drain_until_ms)
		loop_stop(s->loop);
	else
		timer_start(t, DRAIN_POLL_MS);
}

static void drain_begin(struct serve *s)
{
	if (s->draining) {
		loop_stop(s->loop);
		return;
	}
	s->draining = true;
	log_info(LOG_MAIN, "draining: no new connections; %d live ones have up to %u ms", proxy_connections(s->proxy), s->opt.drain_ms);
	notify_stopping();
	proxy_drain(s->proxy);
	s->drain_until_ms = loop_now_ms(s->loop) + s->opt.drain_ms;
	timer_start(&s->drain_poll, DRAIN_POLL_MS);
}

static void on_signal(struct ev_loop *ev, ev_signal *w, int revents)
{
	struct serve *s = w->data;

	if (w->signum == SIGHUP) {
		notify_reloading();
		on_files(s);
		notify_ready();
		return;
	}
	drain_begin(s);
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

static int check(struct options *o, struct err *err)
{
	bool files = o->cert || o->key || o->root;

	if (!o->mode)
		return err_set(err, -EINVAL, "--mode=ztunnel is missing");
	if (strcmp(o->mode, "ztunnel") != 0)
		return err_set(err, -EINVAL, strcmp(o->mode, "sidecar") == 0 || strcmp(o->mode, "waypoint") == 0 ?
			       "--mode=%s is not built in this version; it has ztunnel" : "--mode: want sidecar, ztunnel or waypoint, got '%s'", o->mode);
	if (!o->config_dir)
		return err_set(err, -EINVAL, "--config-dir=DIR is missing (a control plane is not supported in this version)");
	if (!o->workloads.n)
		return err_set(err, -EINVAL, "--workload=NS/NAME is missing: which WorkloadEntry in %s is this host?", o->config_dir);
	for (int i = 0; i < o->workloads.n; i++)
		if (!strchr(o->workloads.v[i], '/'))
			return err_set(err, -EINVAL, "--workload: want NS/NAME, got '%s'", o->workloads.v[i]);
	if (o->ca_dir && files)
		return err_set(err, -EINVAL, "either --ca-dir, or --cert, --key and --root");
	if (!o->ca_dir && !(o->cert && o->key && o->root))
		return err_set(err, -EINVAL, files ? "--cert, --key and --root go together" : "no certificates: want --ca-dir=DIR (make one with `meshd ca init DIR`), or --cert, --key and --root");
	if (o->log_format && strcmp(o->log_format, "text") != 0 && strcmp(o->log_format, "plain") != 0 && strcmp(o->log_format, "json") != 0)
		return err_set(err, -EINVAL, "--log-format: want text or json, got '%s'", o->log_format);
	return 0;
}

static void defaults(struct options *o)
{
	const char *grace = getenv("TERMINATION_GRACE_PERIOD_SECONDS");
	uint64_t s;

	o->concurrency = o->concurrency ? o->concurrency : default_concurrency();
	o->admin_port = o->admin_port ? o->admin_port : PORT_ADMIN;
	o->crl = o->crl ? o->crl : getenv("CRL_PATH");
	o->log_level = o->log_level ? o->log_level : getenv("MESHD_LOG");
	o->log_format = o->log_format ? o->log_format : getenv("LOG_FORMAT");
	o->tls12 |= env_is_true("TLS12_ENABLED");
	if (!o->drain_ms && grace && str_to_u64(str_c(grace), &s) && s < 86400)
		o->drain_ms = (unsigned)(s > 10 ? s - 5 : s > 1 ? s - 1 : 1) * 1000;
	o->drain_ms = o->drain_ms ? o->drain_ms : LIMIT_DRAIN_MS;
	if (!o->user && geteuid() == 0 && !in_container() && privs_has_user("meshd"))
		o->user = "meshd";
}

static int start_admin(struct serve *s, struct err *err)
{
	struct admin_conf conf = {
		.control = s->loop, .mode = s->opt.mode, .version = MESHD_VERSION, .admin_port = (uint16_t)s->opt.admin_port,
		.stats_port = PORT_STATS, .ready_port = PORT_READY, .ipv6 = !env_is_false("IPV6_ENABLED"), .unix_path = s->opt.admin_socket,
		.post_unix_only = s->opt.post_unix_only, .identity = s->identity,
	};

	return admin_new(&conf, &admin_ops, s, &s->admin, err);
}

static int start_proxy(struct serve *s, struct err *err)
{
	struct proxy_conf conf = {
		.workloads = s->opt.workloads.v, .n_workloads = s->opt.workloads.n, .concurrency = (int)s->opt.concurrency,
		.ipv6 = !env_is_false("IPV6_ENABLED"), .mark = net_can_mark(), .spoof = !env_is_false("ENABLE_ORIG_SRC") && net_can_spoof(),
	};

	if (env_is_true("ENABLE_ORIG_SRC") && !conf.spoof)
		return err_set(err, -EPERM, "ENABLE_ORIG_SRC=true, but preserving source addresses is not permitted: it needs CAP_NET_ADMIN");
	if (!conf.mark)
		log_warn(LOG_NET, "sockets cannot be marked (no CAP_NET_ADMIN): capture rules must exempt this process by its uid");
	return proxy_start(&conf, s->identity, &s->proxy, err);
}

static int start_identity(struct serve *s, struct err *err)
{
	static const struct identity_ops identity_ops = { .on_change = on_identity };
	struct identity_conf ic = {
		.ca_dir = s->opt.ca_dir, .cert_file = s->opt.cert, .key_file = s->opt.key, .root_file = s->opt.root,
		.crl_file = s->opt.crl, .allow_tls12 = s->opt.tls12,
	};

	s->problems = xcalloc((size_t)s->opt.workloads.n, 256);
	s->loop = loop_new(-1);
	if (!s->loop)
		return err_set(err, -ENOMEM, "cannot make an event loop");
	return identity_new(s->loop, &ic, &identity_ops, s, &s->identity, err);
}

static int start(struct serve *s, struct err *err)
{
	int r = load_first(s, err);

	if (r == 0) {
		want_identities(s);
		r = start_proxy(s, err);
	}
	if (r == 0)
		r = start_admin(s, err);
	return r;
}

static void stop(struct serve *s)
{
	admin_free(s->admin);
	proxy_free(s->proxy);
	watch_free(s->watch);
	identity_free(s->identity);
	confdir_free(s->confdir);
	timer_stop(&s->collect);
	loop_free(s->loop);
	free(s->problems);
	log_info(LOG_MAIN, "stopped");
	log_stop();
}

static int usage(void)
{
	printf("usage: meshd --mode=ztunnel --config-dir=DIR --workload=NS/NAME --ca-dir=DIR [options]\n\n");
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
	bool json;

	if (options_parse(serve_options, &s.opt, argc, argv, NULL, 0, &err) < 0) {
		fprintf(stderr, "meshd: %s\n", err.msg);
		return 2;
	}
	if (s.opt.help)
		return usage();
	defaults(&s.opt);
	if (check(&s.opt, &err) < 0 || (s.opt.log_level && log_set_levels(str_c(s.opt.log_level), &err) < 0)) {
		fprintf(stderr, "meshd: %s\n", err.msg);
		return 2;
	}
	json = s.opt.log_format && strcmp(s.opt.log_format, "json") == 0;
	log_set_json(json);
	privs_raise_files();
	/* The CA's key is read while we may; traffic and other people's input come after privileges are gone. */
	if (start_identity(&s, &err) < 0 || privs_drop(s.opt.user, PRIVS_NET, &err) < 0)
		return fail(err.msg);
	if (secret_harden() < 0)
		log_warn(LOG_IDENTITY, "cannot keep other programs of our user from reading this process's memory (PR_SET_DUMPABLE)");
	log_start(STDOUT_FILENO);
	if (start(&s, &err) < 0)
		return fail(err.msg);
	catch_signals(&s);
	timer_init(&s.collect, s.loop, on_collect);
	timer_start(&s.collect, COLLECT_MS);
	timer_init(&s.drain_poll, s.loop, on_drain_poll);
	log_info(LOG_MAIN, "meshd %s is ready: mode %s, %d workloads served, %u workers, configuration generation %llu", MESHD_VERSION, s.opt.mode,
		 s.opt.workloads.n, s.opt.concurrency, (unsigned long long)mesh_generation(mesh_current()));
	notify_ready();
	loop_run(s.loop);
	stop(&s);
	return 0;
}
