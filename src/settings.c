/* SPDX-License-Identifier: Apache-2.0 */
/* What one row of the table does not say: the control plane, the node, worker threads, time to drain. */
#include "src/settings.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "source/value.h"
#include "source/yaml.h"
#include "src/options.h"
#include "src/proxyconfig.h"
#include "src/settings_int.h"

#define ROOTS_PATH "./var/run/secrets/istio/root-cert.pem"
#define TOKEN_PATH "./var/run/secrets/tokens/istio-token"
#define WORKERS_MIN 2
#define WORKERS_MAX 1024
#define MARK_SHARED 1337

extern char **environ;

/* clearenv() leaves none at all. */
static char **variables(void)
{
	static char *none[1];

	return environ ? environ : none;
}

static const char *keep(struct settings *s, const char *text)
{
	return arena_dup(&s->mem, str_c(text));
}

static const char *join(struct settings *s, const char *a, const char *b)
{
	char *at = arena_alloc(&s->mem, strlen(a) + strlen(b) + 1);

	memcpy(at, a, strlen(a));
	memcpy(at + strlen(a), b, strlen(b));
	return at;
}

/* --- the control plane --- */

/* "HOST:PORT" or "https://HOST:PORT" to the latter. "" stays none. */
static int set_address(struct settings *s, const char *name, const char *v, const char **ret, struct err *err)
{
	struct str host, port, rest;
	const char *url = strstr(v, "://") ? v : join(s, "https://", v);
	uint64_t n;

	*ret = NULL;
	if (!*v)
		return 0;
	rest = str_c(strstr(url, "://") + 3);
	if (rest.n && rest.p[rest.n - 1] == '/')
		rest.n--;
	if (rest.n && rest.p[0] == '[') {
		host = str_cut(rest, ']', &port);
		port = port.n && port.p[0] == ':' ? (struct str){ port.p + 1, port.n - 1 } : (struct str){ 0 };
	} else {
		host = str_cut(rest, ':', &port);
	}
	if ((strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0) || !host.n || memchr(host.p, '/', host.n) ||
	    !str_to_u64(port, &n) || n < 1 || n > 65535)
		return err_set(err, -EINVAL, "%s: want HOST:PORT or https://HOST:PORT, got '%.200s'", name, v);
	*ret = arena_dup(&s->mem, (struct str){ url, (size_t)(rest.p + rest.n - url) });
	return 0;
}

static void set_roots(struct settings *s, struct setting_server *to, const char *name)
{
	const char *v = settings_env(name);

	if (v && strcmp(v, "SYSTEM") == 0) {
		to->roots_kind = ROOTS_SYSTEM;
		return;
	}
	to->roots_kind = v && strstr(v, "-----BEGIN ") ? ROOTS_PEM : ROOTS_FILE;
	to->roots = keep(s, v ? v : ROOTS_PATH);
}

static bool header_name(struct str name, char *to)
{
	if (!name.n || str_ends(name, str_c("-bin")))
		return false;
	for (size_t i = 0; i < name.n; i++) {
		to[i] = (char)tolower((unsigned char)name.p[i]);
		if (!isalnum((unsigned char)to[i]) && !strchr("-_.", to[i]))
			return false;
	}
	return true;
}

static bool header_value(const char *v)
{
	while ((*v >= 0x20 && *v < 0x7f) || *v == '\t')
		v++;
	return !*v;
}

/* Variables of the environment that begin with prefix. */
static int env_count(const char *prefix)
{
	int n = 0;

	for (char **e = variables(); *e; e++)
		n += strncmp(*e, prefix, strlen(prefix)) == 0;
	return n;
}

static int set_headers(struct settings *s, struct setting_server *to, const char *prefix, struct err *err)
{
	struct setting_pair *v = arena_alloc(&s->mem, (size_t)env_count(prefix) * sizeof(*v));

	to->headers = (struct setting_pairs){ v, 0 };
	for (char **e = variables(); *e; e++) {
		struct str value, name = str_cut(str_c(*e), '=', &value);
		char *lower;

		if (strncmp(*e, prefix, strlen(prefix)) != 0 || !value.p)
			continue;
		lower = arena_dup(&s->mem, (struct str){ name.p + strlen(prefix), name.n - strlen(prefix) });
		if (!header_name((struct str){ lower, strlen(lower) }, lower))
			return err_set(err, -EINVAL, "%.*s: want a header's name after %s: letters, digits, -, _ and ., not ending in -bin", STR_FMT(name), prefix);
		if (!header_value(value.p))
			return err_set(err, -EINVAL, "%.*s: want printable ASCII", STR_FMT(name));
		v[to->headers.n++] = (struct setting_pair){ lower, keep(s, value.p) };
	}
	return 0;
}

static int set_planes(struct settings *s, const struct proxyconfig *pc, struct err *err)
{
	const char *deflt = getenv("KUBERNETES_SERVICE_HOST") ? "https://istiod.istio-system.svc:15012" : "https://localhost:15012";
	const char *xds = getenv("XDS_ADDRESS"), *ca = getenv("CA_ADDRESS");
	const char *from = xds ? "XDS_ADDRESS" : "discoveryAddress";
	int r = set_address(s, from, xds ? xds : pc->discovery_address ? pc->discovery_address : deflt, &s->xds.address, err);

	if (r == 0)
		r = set_address(s, "CA_ADDRESS", ca ? ca : deflt, &s->ca.address, err);
	set_roots(s, &s->xds, "XDS_ROOT_CA");
	set_roots(s, &s->ca, "CA_ROOT_CA");
	if (r == 0)
		r = set_headers(s, &s->xds, "XDS_HEADER_", err);
	if (r == 0)
		r = set_headers(s, &s->ca, "CA_HEADER_", err);
	return r;
}

/* A JWT begins with neither '/' nor '.': what does is a file, also one that is not there yet. */
static void set_token(struct settings *s)
{
	const char *v = settings_env("AUTH_TOKEN");

	if (!v)
		s->token_file = access(TOKEN_PATH, F_OK) == 0 ? TOKEN_PATH : NULL;
	else if (v[0] == '/' || v[0] == '.' || access(v, F_OK) == 0)
		s->token_file = keep(s, v);
	else
		s->token = keep(s, v);
}

/* --- the node's metadata --- */

static void put_meta(struct settings *s, struct setting_pair *v, struct str name, const char *json)
{
	int at = 0;

	while (at < s->metadata.n && !str_is(name, v[at].name))
		at++;
	if (at == s->metadata.n)
		v[s->metadata.n++].name = arena_dup(&s->mem, name);
	v[at].value = json;
}

static void put_meta_text(struct settings *s, struct setting_pair *v, const char *name, const char *text)
{
	size_t skip = strncmp(name, "ISTIO_META_", 11) == 0 ? 11 : 0;
	struct buf json = { 0 };

	buf_json_str(&json, str_c(text));
	put_meta(s, v, str_c(name + skip), arena_dup(&s->mem, buf_str(&json)));
	buf_done(&json);
}

static int count_doc(const struct yaml_node *root, void *arg)
{
	return ++*(int *)arg == 1 ? 0 : -EINVAL;
}

/* As ztunnel: what is no JSON is reported, and done without. */
static void put_meta_json(struct settings *s, struct setting_pair *v, struct str name, const char *text)
{
	struct arena a = { 0 };
	struct err err = { "" };
	int docs = 0;

	if (yaml_read_text("it", str_c(text), &a, count_doc, &docs, &err) == 0 && docs == 1)
		put_meta(s, v, name, keep(s, text));
	else
		settings_note(s, "ISTIO_METAJSON_%.*s is left out: want JSON, got '%.100s'", STR_FMT(name), text);
	arena_done(&a);
}

static void set_metadata(struct settings *s, const struct proxyconfig *pc)
{
	static const char plain[] = "ISTIO_META_", json[] = "ISTIO_METAJSON_";
	size_t max = 4 + (size_t)pc->n_metadata + (size_t)env_count("ISTIO_META");
	struct setting_pair *v = arena_alloc(&s->mem, max * sizeof(*v));
	const char *ip = settings_env("INSTANCE_IP");

	ip = ip ? ip : "1.1.1.1";
	s->metadata.v = v;
	put_meta_text(s, v, "NAME", s->pod_name);
	put_meta_text(s, v, "NAMESPACE", s->pod_ns);
	put_meta_text(s, v, "INSTANCE_IPS", ip);
	put_meta_text(s, v, "NODE_NAME", s->node);
	for (int i = 0; i < pc->n_metadata; i++)
		put_meta_text(s, v, pc->metadata[i].name, pc->metadata[i].value);
	for (char **e = variables(); *e; e++) {
		struct str value, name = str_cut(str_c(*e), '=', &value);

		if (strncmp(*e, plain, strlen(plain)) == 0 && value.p)
			put_meta_text(s, v, arena_dup(&s->mem, name), value.p);
	}
	for (char **e = variables(); *e; e++) {
		struct str value, name = str_cut(str_c(*e), '=', &value);

		if (strncmp(*e, json, strlen(json)) == 0 && value.p)
			put_meta_json(s, v, (struct str){ name.p + strlen(json), name.n - strlen(json) }, value.p);
	}
	{
		struct buf id = { 0 };

		buf_printf(&id, "ztunnel~%s~%s.%s~%s.svc.cluster.local", ip, s->pod_name, s->pod_ns, s->pod_ns);
		s->node_id = arena_dup(&s->mem, buf_str(&id));
		buf_done(&id);
	}
}

/* The text of a setting that Istio keeps in proxyMetadata: the environment's, else PROXY_CONFIG's. NULL: unset. */
static const char *metadata_text(const struct proxyconfig *pc, const char *name)
{
	const char *v = NULL;

	for (int i = 0; i < pc->n_metadata; i++) {
		const char *have = pc->metadata[i].name;

		if (strcmp(have, name) == 0 || (strncmp(have, "ISTIO_META_", 11) == 0 && strcmp(have + 11, name) == 0))
			v = pc->metadata[i].value;
	}
	return v;
}

static const char *env_or_metadata(const struct proxyconfig *pc, const char *env, const char *metadata)
{
	const char *v = settings_env(env);

	return v ? v : metadata_text(pc, metadata);
}

static int set_dns(struct settings *s, const struct proxyconfig *pc, struct err *err)
{
	const char *on = env_or_metadata(pc, "ISTIO_META_DNS_CAPTURE", "DNS_CAPTURE");
	const char *at = env_or_metadata(pc, "ISTIO_META_DNS_PROXY_ADDR", "DNS_PROXY_ADDR");
	struct str port, host = str_cut(str_c(at ? at : "localhost:15053"), ':', &port);
	uint64_t n;

	s->dns = !on || str_eq_nocase(str_c(on), str_c("true"));
	s->dns_localhost = str_is(host, "localhost");
	if (s->dns_localhost && str_to_u64(port, &n) && n >= 1 && n <= 65535)
		s->dns_addr.port = (uint16_t)n;
	else if (s->dns_localhost || addr_parse(str_c(at), &s->dns_addr) < 0)
		return err_set(err, -EINVAL, "ISTIO_META_DNS_PROXY_ADDR: want localhost:PORT or IP:PORT, got '%.200s'", at);
	if (s->dns && !s->dns_localhost && !ip_is_loopback(&s->dns_addr.ip))
		settings_note(s, "ISTIO_META_DNS_PROXY_ADDR=%s answers everybody who can reach it; localhost:15053 answers this host alone", at);
	return 0;
}

static int set_stance(struct settings *s, const struct proxyconfig *pc, struct err *err)
{
	const char *v = env_or_metadata(pc, "MESHD_ENFORCEMENT", "MESHD_ENFORCEMENT");
	int stance = STANCE_ISTIO, r = v ? settings_word("MESHD_ENFORCEMENT", v, &stance, err) : 0;

	s->stance = (enum stance)stance;
	return r;
}

static int set_aliases(struct settings *s, const struct proxyconfig *pc, struct err *err)
{
	const char **v = arena_alloc(&s->mem, PROXYCONFIG_ALIASES_MAX * sizeof(*v));

	s->aliases = v;
	s->n_aliases = pc->n_aliases;
	memcpy(v, pc->aliases, sizeof(pc->aliases));
	if (!settings_env("MESHD_TRUST_DOMAIN_ALIASES"))
		return 0;
	s->n_aliases = 0;
	for (struct str rest = str_c(settings_env("MESHD_TRUST_DOMAIN_ALIASES")); rest.p;) {
		struct str one = str_cut(rest, ',', &rest);
		const char *td = arena_dup(&s->mem, one);

		if (s->n_aliases == PROXYCONFIG_ALIASES_MAX || !value_is_domain(td))
			return err_set(err, -EINVAL, "MESHD_TRUST_DOMAIN_ALIASES: want at most %d trust domains with commas between, got '%.100s'",
				       PROXYCONFIG_ALIASES_MAX, td);
		v[s->n_aliases++] = td;
	}
	return 0;
}

/* --- whom we serve --- */

static int set_workload(struct settings *s, struct err *err)
{
	const char *v = settings_env("PROXY_WORKLOAD_INFO");
	struct str rest, name, sa, ns = str_cut(str_c(v), '/', &rest);

	if (s->mode == MODE_SHARED)
		return 0;
	if (!v)
		return err_set(err, -EINVAL, "PROXY_MODE=dedicated: PROXY_WORKLOAD_INFO=NAMESPACE/NAME/SERVICEACCOUNT is missing: whom does this process serve?");
	name = str_cut(rest, '/', &sa);
	if (!ns.n || !name.n || !sa.n)
		return err_set(err, -EINVAL, "PROXY_WORKLOAD_INFO: want NAMESPACE/NAME/SERVICEACCOUNT, got '%.200s'", v);
	s->workload_ns = arena_dup(&s->mem, ns);
	s->workload_name = arena_dup(&s->mem, name);
	s->workload_sa = arena_dup(&s->mem, sa);
	return 0;
}

static int set_mark(struct settings *s, struct err *err)
{
	const char *v = settings_env("PACKET_MARK");
	uint64_t n = s->mode == MODE_SHARED ? MARK_SHARED : 0;

	if (v && (!str_to_u64(str_c(v), &n) || n > UINT32_MAX))
		return err_set(err, -EINVAL, "PACKET_MARK: want a number from 0 to 4294967295, got '%.200s'", v);
	s->mark = (unsigned)n;
	return 0;
}

/* --- resources --- */

/* CPUs that the process may use: its own limit, or all. */
static unsigned cpus_here(void)
{
	FILE *f = fopen("/sys/fs/cgroup/cpu.max", "re");
	long long quota = 0, period = 0, cores = sysconf(_SC_NPROCESSORS_ONLN);
	int n = f ? fscanf(f, "%lld %lld", &quota, &period) : 0;

	if (f)
		fclose(f);
	cores = cores > 0 ? cores : 1;
	if (n == 2 && quota > 0 && period > 0 && (quota + period - 1) / period < cores)
		cores = (quota + period - 1) / period;
	return (unsigned)cores;
}

static int env_cpus(const char *name, unsigned *ret, struct err *err)
{
	const char *v = settings_env(name);

	if (v && !settings_cpus(v, ret))
		return err_set(err, -EINVAL, "%s: want CPUs such as 2, 1.5 or 500m, got '%.200s'", name, v);
	return 0;
}

/* "50%" of all CPUs, rounded up. */
static bool percentage(struct str v, unsigned all, unsigned *ret)
{
	char text[32], *end;
	double share;

	if (v.n < 2 || v.n >= sizeof(text) || v.p[v.n - 1] != '%' || !isdigit((unsigned char)v.p[0]))
		return false;
	memcpy(text, v.p, v.n - 1);
	text[v.n - 1] = '\0';
	share = strtod(text, &end);
	if (*end || !(share > 0 && share <= 100))
		return false;
	*ret = (unsigned)(all * share / 100);
	*ret += (double)*ret < all * share / 100;
	return true;
}

static int set_workers(struct settings *s, const struct proxyconfig *pc, struct err *err)
{
	unsigned limit = 0, request = 0, count = 0, all, asked = pc->concurrency > 0 ? (unsigned)pc->concurrency : 0;
	const char *v = settings_env("ZTUNNEL_WORKER_THREADS");
	uint64_t n = UINT64_MAX;
	int r = env_cpus("ZTUNNEL_RESOURCE_CPU_LIMIT", &limit, err);

	if (r == 0)
		r = env_cpus("ZTUNNEL_RESOURCE_CPU_REQUEST", &request, err);
	if (r == 0)
		r = env_cpus("ZTUNNEL_CPU_LIMIT", &count, err);
	if (r < 0)
		return r;
	all = limit ? limit : count ? count : cpus_here();
	if (v && !percentage(str_c(v), all, &asked)) {
		if (!str_to_u64(str_c(v), &n) || n > WORKERS_MAX)
			return err_set(err, -EINVAL, "ZTUNNEL_WORKER_THREADS: want a number up to %d, 0 for one per CPU, or a percentage such as 50%%, got '%.200s'", WORKERS_MAX, v);
		asked = n ? (unsigned)n : all;
	} else if (!v && pc->concurrency == 0) {
		asked = all;
	}
	s->concurrency = asked < WORKERS_MAX ? asked : WORKERS_MAX;
	if (asked)
		s->workers = s->concurrency;
	else if (limit)
		s->workers = limit > request ? limit : request;
	else
		s->workers = (all + 3) / 4 > request ? (all + 3) / 4 : request;
	if (!asked && !limit && s->workers < WORKERS_MIN)
		s->workers = WORKERS_MIN;
	s->workers = s->workers < WORKERS_MAX ? s->workers : WORKERS_MAX;
	return 0;
}

static int set_drain(struct settings *s, struct err *err)
{
	const char *deadline = settings_env("CONNECTION_TERMINATION_DEADLINE"), *grace = settings_env("TERMINATION_GRACE_PERIOD_SECONDS");
	uint64_t sec;

	s->drain_ms = LIMIT_DRAIN_MS;
	if (deadline && (!duration_parse(deadline, &s->drain_ms) || s->drain_ms > UINT32_MAX))
		return err_set(err, -EINVAL, "CONNECTION_TERMINATION_DEADLINE: want a duration such as 10s or 5m, got '%.200s'", deadline);
	if (grace && (!str_to_u64(str_c(grace), &sec) || sec > UINT32_MAX / 1000))
		return err_set(err, -EINVAL, "TERMINATION_GRACE_PERIOD_SECONDS: want a number of seconds, got '%.200s'", grace);
	if (grace && !deadline)
		s->drain_ms = (sec > 10 ? sec - 5 : sec > 1 ? sec - 1 : 1) * 1000;
	return 0;
}

static int set_log(struct settings *s, struct err *err)
{
	const char *ours = settings_env("MESHD_LOG"), *rust = settings_env("RUST_LOG"), *format = settings_env("LOG_FORMAT");
	int word = 0, r = format ? settings_word("LOG_FORMAT", format, &word, err) : 0;

	s->log_json = word == 1;
	s->log_levels = ours ? keep(s, ours) : "";
	if (r == 0 && !ours && rust)
		r = settings_log_levels(s, rust, err);
	return r;
}

/* --- what the parts say together --- */

static int judge(struct settings *s, struct err *err)
{
	if (!s->proxy && !s->dns)
		return err_set(err, -EINVAL, "ENABLE_PROXY=false and ISTIO_META_DNS_CAPTURE=false leave nothing to run: set one of them to true");
	if (s->local_xds_path && s->local_xds)
		return err_set(err, -EINVAL, "either LOCAL_XDS_PATH or LOCAL_XDS");
	if (s->user_timeout)
		s->user_timeout_ms = s->keepalive_time_ms + s->keepalive_retries * s->keepalive_interval_ms;
	return 0;
}

static int read_proxyconfig(struct settings *s, struct proxyconfig *pc, struct err *err)
{
	const char *text = settings_env("PROXY_CONFIG");
	int r;

	proxyconfig_init(pc);
	r = proxyconfig_read_mesh(pc, PROXYCONFIG_MESH_PATH, &s->mem, err);
	if (r == 0 && text)
		r = proxyconfig_read_text(pc, "PROXY_CONFIG", text, &s->mem, err);
	s->admin_port = pc->admin_port ? pc->admin_port : 15000;
	s->stats_port = pc->stats_port ? pc->stats_port : 15020;
	return r;
}

static int read_all(struct settings *s, struct proxyconfig *pc, struct err *err)
{
	const char *cluster = settings_env("ISTIO_META_CLUSTER_ID"), *version;
	int r = read_proxyconfig(s, pc, err);

	if (r == 0)
		r = settings_env_read(s, err);
	if (r < 0)
		return r;
	s->cluster = cluster ? keep(s, cluster) : s->cluster;
	version = env_or_metadata(pc, "ISTIO_META_ISTIO_VERSION", "ISTIO_VERSION");
	s->version = version ? keep(s, version) : "unknown";
	set_token(s);
	set_metadata(s, pc);
	if ((r = set_planes(s, pc, err)) < 0 || (r = set_dns(s, pc, err)) < 0 || (r = set_stance(s, pc, err)) < 0 || (r = set_aliases(s, pc, err)) < 0 ||
	    (r = set_workload(s, err)) < 0 || (r = set_mark(s, err)) < 0 || (r = set_workers(s, pc, err)) < 0 ||
	    (r = set_drain(s, err)) < 0 || (r = set_log(s, err)) < 0 || (r = settings_otlp(s, err)) < 0)
		return r;
	return judge(s, err);
}

int settings_read(struct settings *ret, struct err *err)
{
	struct proxyconfig *pc = xcalloc(1, sizeof(*pc));
	int r;

	*ret = (struct settings){ .workload_ns = "", .workload_name = "", .workload_sa = "" };
	r = read_all(ret, pc, err);
	free(pc);
	if (r < 0)
		settings_done(ret);
	return r;
}

void settings_done(struct settings *s)
{
	arena_done(&s->mem);
	*s = (struct settings){ 0 };
}

void settings_say(const struct settings *s)
{
	for (int i = 0; i < s->n_notes; i++)
		log_warn(LOG_MAIN, "%s", s->notes[i]);
}

int settings_mesh(const struct settings *s, struct mesh_settings *ret, struct err *err)
{
	*ret = (struct mesh_settings){
		.trust_domain = "cluster.local", .root_ns = "istio-system", .cluster_domain = s->cluster_domain,
		.network = s->network, .cluster = s->cluster, .aliases = s->aliases, .n_aliases = s->n_aliases, .connect_timeout_ms = LIMIT_CONNECT_MS, .stance = s->stance,
		.waypoint_use = s->waypoint_use,
	};
	return 0;
}
