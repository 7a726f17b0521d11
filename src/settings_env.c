/* SPDX-License-Identifier: Apache-2.0 */
/* The table of variables and its reader. */
#include "src/settings_int.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "src/options.h"

#define YEAR_S (366u * 86400)

static const char *const modes[] = { "shared", "dedicated", NULL };
static const char *const stances[] = { "istio", "closed", "strict", NULL };
static const char *const waypoint_uses[] = { "auto", "true", "false", NULL };
static const char *const formats[] = { "plain", "json", "text", NULL };
static const char *const samplers[] = {
	"always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio", NULL,
};
static const char *const protocols[] = { "grpc", "http/protobuf", NULL };
static const char *const is_true[] = { "true", NULL };
static const char *const is_pqc[] = { "pqc", NULL };

#define AT(member) offsetof(struct settings, member)
#define ROW(kind, name, member, deflt, doc) { name, SETTING_##kind, AT(member), deflt, doc, 0, 0, NULL }
#define NUMBER(name, member, deflt, lo, hi, doc) { name, SETTING_NUMBER, AT(member), deflt, doc, lo, hi, NULL }
#define DURATION(name, member, deflt, lo, hi, doc) { name, SETTING_DURATION, AT(member), deflt, doc, lo, hi, NULL }
#define OWN(name, deflt, doc) { name, SETTING_OWN, 0, deflt, doc, 0, 0, NULL }
#define REFUSED(name, words, doc) { name, SETTING_REFUSED, 0, NULL, doc, 0, 0, words }
#define NOTED(name, doc) { name, SETTING_NOTED, 0, NULL, doc, 0, 0, NULL }

/* Where doc says what a text means, deflt may be words rather than a value: only in OWN rows. */
const struct setting_row setting_rows[] = {
	OWN("XDS_ADDRESS", "PROXY_CONFIG's discoveryAddress, else https://istiod.istio-system.svc:15012 in Kubernetes, https://localhost:15012 elsewhere",
	    "istiod; empty: no control plane"),
	OWN("CA_ADDRESS", "as XDS_ADDRESS, without discoveryAddress", "who signs certificates; empty: nobody"),
	OWN("XDS_ROOT_CA", "./var/run/secrets/istio/root-cert.pem", "roots of istiod's certificate: a file, PEM text, or SYSTEM"),
	OWN("CA_ROOT_CA", "./var/run/secrets/istio/root-cert.pem", "the same for the CA"),
	ROW(TEXT, "ALT_XDS_HOSTNAME", xds.alt_hostname, NULL, "a second name that istiod's certificate may have"),
	ROW(TEXT, "ALT_CA_HOSTNAME", ca.alt_hostname, NULL, "the same for the CA"),
	OWN("AUTH_TOKEN", "./var/run/secrets/tokens/istio-token where it exists", "the token that calls carry: a file, read for each call, or the token itself"),
	OWN("XDS_HEADER_*", NULL, "metadata of calls to istiod: XDS_HEADER_name=value"),
	OWN("CA_HEADER_*", NULL, "metadata of calls to the CA"),
	OWN("PROXY_CONFIG", NULL, "ProxyConfig as YAML or JSON: discoveryAddress, proxyAdminPort, statsPort, concurrency, proxyMetadata; over defaultConfig in ./etc/istio/config/mesh"),
	OWN("ISTIO_META_*", NULL, "metadata of the node, over proxyMetadata"),
	OWN("ISTIO_METAJSON_*", NULL, "the same, with values in JSON"),
	OWN("ISTIO_META_DNS_CAPTURE", "true", "run the DNS proxy"),
	OWN("ISTIO_META_DNS_PROXY_ADDR", "localhost:15053", "where the DNS proxy listens, in the pod"),
	OWN("ISTIO_META_CLUSTER_ID", NULL, "as CLUSTER_ID, and over it"),
	OWN("ISTIO_META_ISTIO_VERSION", "unknown", "the tag of the metric istio_build"),
	ROW(BOOL, "ENABLE_PROXY", proxy, "true", "carry connections; false: the DNS proxy alone"),
	{ "PROXY_MODE", SETTING_WORD, AT(mode), "shared", "shared: the pods that istio-cni names; dedicated: one workload, in the namespace of the process", 0, 0, modes },
	OWN("PROXY_WORKLOAD_INFO", NULL, "NAMESPACE/NAME/SERVICEACCOUNT that a dedicated proxy serves"),
	ROW(TEXT, "INPOD_UDS", inpod_uds, "/var/run/ztunnel/ztunnel.sock", "istio-cni's socket"),
	ROW(BOOL, "INPOD_PORT_REUSE", inpod_port_reuse, "true", "share ports with the proxy that this one replaces"),
	OWN("PACKET_MARK", "1337 in shared mode, none in dedicated", "SO_MARK of our own sockets"),
	ROW(TEXT, "CLUSTER_ID", cluster, "Kubernetes", "the cluster, as istiod knows it"),
	ROW(TEXT, "CLUSTER_DOMAIN", cluster_domain, "cluster.local", "the domain of Services' names"),
	ROW(TEXT, "NETWORK", network, "", "the network of this node"),
	ROW(TEXT, "NODE_NAME", node, "", "this node, as istiod is told"),
	ROW(TEXT, "POD_NAME", pod_name, "", "our own pod; with POD_NAMESPACE and SERVICE_ACCOUNT its metrics and readiness are served over HBONE, too"),
	ROW(TEXT, "POD_NAMESPACE", pod_ns, "", "its namespace"),
	ROW(TEXT, "SERVICE_ACCOUNT", service_account, "", "its service account"),
	OWN("INSTANCE_IP", "1.1.1.1", "its address"),
	ROW(TEXT, "PREFERED_SERVICE_NAMESPACE", preferred_ns, "", "among services of one name, DNS prefers this namespace's (the spelling is ztunnel's)"),
	DURATION("SECRET_TTL", secret_ttl_ms, "24h", 10, 10 * YEAR_S, "lifetime of certificates that are asked for"),
	ROW(TEXT, "CRL_PATH", crl_path, NULL, "revoked certificates: a file of PEM, or one DER; watched"),
	ROW(BOOL, "TLS12_ENABLED", tls12, "false", "also accept TLS 1.2"),
	ROW(TEXT, "LOCAL_XDS_PATH", local_xds_path, NULL, "a file of workloads, services and policies, as ztunnel reads it"),
	ROW(TEXT, "LOCAL_XDS", local_xds, NULL, "the same, as text"),
	ROW(BOOL, "XDS_ON_DEMAND", on_demand, "false", "ask istiod only for what traffic needs; not with MESHD_ENFORCEMENT=closed or strict; works with the DNS proxy, too, but it does not find the ServiceEntries of other namespaces by name"),
	ROW(BOOL, "IPV6_ENABLED", ipv6, "true", "listen and connect over IPv6"),
	ROW(MAYBE, "ENABLE_ORIG_SRC", original_source, NULL, "applications see their clients' addresses. true: not starting where that is not permitted; unset: where permitted"),
	ROW(BOOL, "LOCALHOST_APP_TUNNEL", localhost_app_tunnel, "true", "an application that takes PROXY protocol is reached on loopback"),
	ROW(BOOL, "ENABLE_RESPONSE_BAGGAGE", response_baggage, "true", "tell peers about workloads in baggage, and read theirs"),
	ROW(BOOL, "UNSTABLE_ENABLE_SOCKS5", socks5, "false", "SOCKS5 on 127.0.0.1:15080"),
	NUMBER("POOL_MAX_STREAMS_PER_CONNECTION", pool_streams, "0", 0, 65535, "connections in one HBONE tunnel, at most; 0: as many as the peer allows (ztunnel: 100)"),
	DURATION("POOL_UNUSED_RELEASE_TIMEOUT", pool_idle_ms, "5m", 1, 0, "how long an unused tunnel stays"),
	NUMBER("HTTP2_STREAM_WINDOW_SIZE", stream_window, "4194304", 65535, 0x7fffffff, "what a stream's window may grow to; it starts at 256 KiB"),
	NUMBER("HTTP2_CONNECTION_WINDOW_SIZE", conn_window, "16777216", 65535, 0x7fffffff, "the window of a tunnel"),
	NUMBER("HTTP2_FRAME_SIZE", frame_bytes, "1048576", 16384, 16777215, "the largest frame that is accepted"),
	NUMBER("MESHD_POD_CONNECTIONS", pod_conns, "50000", 1, 100000000, "how many connections one pod may have"),
	NUMBER("MESHD_POD_HANDSHAKES", pod_handshakes, "1000", 1, 100000000, "how many TLS handshakes its peers may have begun"),
	OWN("CONNECTION_TERMINATION_DEADLINE", "from TERMINATION_GRACE_PERIOD_SECONDS, else 5s", "how long live connections may go on after SIGTERM"),
	OWN("TERMINATION_GRACE_PERIOD_SECONDS", NULL, "the pod's grace period: connections get 5 s less, or 1 s less when it is at most 10"),
	ROW(BOOL, "EXIT_ON_ZERO_ACTIVE_CONNECTIONS", exit_on_zero, "false", "sidecar mode: end with the last connection; false: only after the time above, so that the application may still call others while it ends"),
	ROW(TEXT, "ISTIO_KUBE_APP_PROBERS", app_probers, NULL, "sidecar mode: the application's probes, which the kubelet asks for at /app-health/... on port 15020, as JSON"),
	ROW(BOOL, "KEEPALIVE_ENABLED", keepalive, "true", "TCP keepalive towards other hosts"),
	DURATION("KEEPALIVE_TIME", keepalive_time_ms, "180s", 1, 32767, "idle time before the first probe"),
	DURATION("KEEPALIVE_INTERVAL", keepalive_interval_ms, "180s", 1, 32767, "between probes"),
	NUMBER("KEEPALIVE_RETRIES", keepalive_retries, "9", 1, 127, "probes without an answer that end a connection"),
	ROW(BOOL, "USER_TIMEOUT_ENABLED", user_timeout, "false", "give sent bytes as long as keepalive would"),
	OWN("ZTUNNEL_WORKER_THREADS", "PROXY_CONFIG's concurrency, else the CPU limit, else a quarter of the CPUs and at least 2", "worker threads: a number, 0 for one per CPU, or a percentage of them"),
	OWN("ZTUNNEL_CPU_LIMIT", NULL, "CPUs that count for percentages"),
	OWN("ZTUNNEL_RESOURCE_CPU_LIMIT", NULL, "the container's CPU limit: 2, 1.5, 500m"),
	OWN("ZTUNNEL_RESOURCE_CPU_REQUEST", NULL, "its CPU request: at least so many threads"),
	OWN("RUST_LOG", "info", "log levels: info, access=debug; targets of ztunnel become scopes of ours"),
	OWN("MESHD_LOG", NULL, "the same in our own scopes, and over it"),
	{ "LOG_FORMAT", SETTING_OWN, 0, "plain", "plain or json", 0, 0, formats },
	ROW(BOOL, "AUTHZ_POLICY_INFO_LOGGING", authz_info_log, "false", "log what dry-run policies would do at level info"),
	{ "MESHD_ENFORCEMENT", SETTING_OWN, 0, "istio", "istio; closed: a waypoint that is named is required, and what cannot be evaluated refuses; strict: that, and policies keep to their words where Istio's own behaviour is wider; also in proxyMetadata", 0, 0, stances },
	{ "MESHD_SIDECAR_USE_WAYPOINT", SETTING_WORD, AT(waypoint_use), "auto", "sidecar mode: what is for a service that names a waypoint goes there, and the routes of that service are the waypoint's alone. auto: false, as Istio's sidecars do, but true with --config-dir where no workload has a sidecar that takes Istio's mutual TLS but no HBONE, and under MESHD_ENFORCEMENT=closed or strict", 0, 0, waypoint_uses },
	OWN("MESHD_TRUST_DOMAIN_ALIASES", "trustDomainAliases in ./etc/istio/config/mesh", "further trust domains whose certificates are accepted: a,b"),
	ROW(TEXT, "BLOCKED_CIDRS_IN_JWKS_URIS", jwks.blocked, NULL, "comma-separated blocks of addresses from which keys of token issuers are never fetched; link-local ones never are"),
	ROW(TEXT, "JWKS_ROOT_CA", jwks.roots, "SYSTEM", "roots of the servers that keys of token issuers are fetched from: a PEM file or SYSTEM"),
	OWN("OTEL_EXPORTER_OTLP_ENDPOINT", NULL, "export a span per connection to this collector: http://HOST:4317"),
	OWN("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", NULL, "over it"),
	{ "OTEL_EXPORTER_OTLP_PROTOCOL", SETTING_OWN, 0, "grpc", "grpc or http/protobuf; OTEL_EXPORTER_OTLP_TRACES_PROTOCOL is over it", 0, 0, protocols },
	OWN("OTEL_EXPORTER_OTLP_HEADERS", NULL, "name=value,name=value; OTEL_EXPORTER_OTLP_TRACES_HEADERS is over it"),
	ROW(TEXT, "OTEL_EXPORTER_OTLP_CERTIFICATE", otlp.roots, NULL, "roots of the collector's certificate: a PEM file"),
	OWN("OTEL_EXPORTER_OTLP_TIMEOUT", "10000", "milliseconds for one export"),
	ROW(TEXT, "OTEL_SERVICE_NAME", otlp.service, "meshd", "service.name of the spans"),
	OWN("OTEL_RESOURCE_ATTRIBUTES", NULL, "further attributes of the process: name=value,name=value"),
	{ "OTEL_TRACES_SAMPLER", SETTING_OWN, 0, "parentbased_always_on", "always_on, always_off or traceidratio, each also with parentbased_ before it", 0, 0, samplers },
	OWN("OTEL_TRACES_SAMPLER_ARG", "1", "the ratio of traceidratio, 0 to 1"),
	OWN("OTEL_SDK_DISABLED", "false", "true: no spans, whatever the others say"),
	REFUSED("FAKE_CA", is_true, "meshd has no fake CA: for tests make a development CA with `meshd ca init DIR`, and use --config-dir and --ca-dir"),
	REFUSED("COMPLIANCE_POLICY", is_pqc, "meshd cannot yet keep TLS to X25519MLKEM768 alone: unset it only where a key exchange that a quantum computer breaks is acceptable"),
	NOTED("TRUST_DOMAIN", "the trust domain of our own pod is the one that istiod says"),
	NOTED("TOKIO_WORKER_THREADS", "there is no tokio here: use ZTUNNEL_WORKER_THREADS"),
	NOTED("MALLOC_CONF", "there is no jemalloc here"),
	NOTED("_RJEM_MALLOC_CONF", "there is no jemalloc here"),
	{ NULL, 0, 0, NULL, NULL, 0, 0, NULL },
};

const char *settings_env(const char *name)
{
	const char *v = getenv(name);

	return v && *v ? v : NULL;
}

void settings_note(struct settings *s, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	if (s->n_notes == (int)ARRAY_LEN(s->notes))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	s->notes[s->n_notes++] = arena_dup(&s->mem, str_c(text));
}

static int word_find(const char *const *words, const char *v)
{
	for (int i = 0; words[i]; i++)
		if (strcmp(words[i], v) == 0)
			return i;
	return -1;
}

static int bad(const struct setting_row *r, const char *v, const char *want, struct err *err)
{
	return err_set(err, -EINVAL, "%s: want %s, got '%.200s'", r->name, want, v);
}

static int bool_parse(const char *v)
{
	if (strcmp(v, "true") == 0 || strcmp(v, "1") == 0)
		return 1;
	return strcmp(v, "false") == 0 || strcmp(v, "0") == 0 ? 0 : -1;
}

static int set_number(const struct setting_row *r, unsigned *at, const char *v, struct err *err)
{
	char want[64];
	uint64_t n;

	snprintf(want, sizeof(want), "a number from %u to %u", r->lo, r->hi);
	if (!str_to_u64(str_c(v), &n) || n < r->lo || n > r->hi)
		return bad(r, v, want, err);
	*at = (unsigned)n;
	return 0;
}

static int set_duration(const struct setting_row *r, uint64_t *at, const char *v, struct err *err)
{
	uint64_t hi = r->hi ? r->hi : YEAR_S, ms;
	char want[96];

	snprintf(want, sizeof(want), "a duration such as 10s or 5m, from %us to %llus", r->lo, (unsigned long long)hi);
	if (!duration_parse(v, &ms) || ms < r->lo * UINT64_C(1000) || ms > hi * 1000)
		return bad(r, v, want, err);
	*at = ms;
	return 0;
}

static int set_word(const struct setting_row *r, int *at, const char *v, struct err *err)
{
	char want[160] = "";
	size_t n = 0;

	*at = word_find(r->words, v);
	if (*at >= 0)
		return 0;
	for (int i = 0; r->words[i] && n < sizeof(want); i++)
		n += (size_t)snprintf(want + n, sizeof(want) - n, "%s%s", i ? " or " : "", r->words[i]);
	return bad(r, v, want, err);
}

static int set_one(struct settings *s, const struct setting_row *r, const char *v, struct err *err)
{
	void *at = (char *)s + r->offset;
	int b = v ? bool_parse(v) : -1;

	switch (r->kind) {
	case SETTING_BOOL:
		if (b < 0)
			return bad(r, v, "true or false", err);
		*(bool *)at = b;
		break;
	case SETTING_MAYBE:
		if (v && b < 0)
			return bad(r, v, "true or false", err);
		*(enum setting_maybe *)at = !v ? MAYBE_UNSET : b ? MAYBE_TRUE : MAYBE_FALSE;
		break;
	case SETTING_TEXT:
		*(const char **)at = v ? arena_dup(&s->mem, str_c(v)) : NULL;
		break;
	case SETTING_NUMBER:
		return set_number(r, at, v, err);
	case SETTING_DURATION:
		return set_duration(r, at, v, err);
	case SETTING_WORD:
		return set_word(r, at, v, err);
	case SETTING_OWN:
		break;
	case SETTING_REFUSED:
		if (v && (!r->words || word_find(r->words, v) >= 0))
			return err_set(err, -EINVAL, "%s=%.100s: %s", r->name, v, r->doc);
		break;
	case SETTING_NOTED:
		if (v)
			settings_note(s, "%s is not honoured: %s", r->name, r->doc);
		break;
	}
	return 0;
}

int settings_word(const char *name, const char *v, int *ret, struct err *err)
{
	const struct setting_row *r = setting_rows;

	while (strcmp(r->name, name) != 0)
		r++;
	return set_word(r, ret, v, err);
}

int settings_env_read(struct settings *s, struct err *err)
{
	int r = 0;

	for (const struct setting_row *row = setting_rows; row->name && r == 0; row++) {
		const char *v = settings_env(row->name);

		r = set_one(s, row, v ? v : row->deflt, err);
	}
	return r;
}

bool settings_cpus(const char *text, unsigned *ret)
{
	struct str s = str_c(text), frac, whole;
	uint64_t milli = 0, n;
	bool m = s.n && s.p[s.n - 1] == 'm';

	if (m)
		s.n--;
	whole = str_cut(s, '.', &frac);
	if (!str_to_u64(whole, &n) || n > 1000000)
		return false;
	milli = m ? n : n * 1000;
	/* Any fraction counts as its first three digits, rounded up. */
	for (size_t i = 0, scale = m ? 1 : 100; i < frac.n; i++, scale /= 10) {
		if (!isdigit((unsigned char)frac.p[i]))
			return false;
		milli += scale && !m ? (uint64_t)(frac.p[i] - '0') * scale : frac.p[i] != '0';
	}
	if ((frac.p && !frac.n) || !milli)
		return false;
	*ret = (unsigned)((milli + 999) / 1000);
	return true;
}

/* --- RUST_LOG --- */

int settings_log_levels(struct settings *s, const char *rust_log, struct err *err)
{
	struct buf out = { 0 };
	bool base = false;

	for (struct str rest = str_c(rust_log); rest.p;) {
		struct str one = str_cut(rest, ',', &rest), level_text, target = str_cut(one, '=', &level_text);
		int level = log_level_parse(level_text.p ? level_text : one), scope = LOG_SCOPES;

		if (!one.n)
			continue;
		if (level_text.p && level < 0) {
			buf_done(&out);
			return err_set(err, -EINVAL, "RUST_LOG: want off, error, warn, info, debug or trace, got '%.*s'", STR_FMT(one));
		}
		/* A target alone means all of it; a level alone, every target. */
		if (level_text.p || level < 0)
			scope = log_scope_parse(target);
		if (scope < 0) {
			settings_note(s, "RUST_LOG: '%.*s' names nothing here, and is left out", one.n < 100 ? (int)one.n : 100, one.p);
			continue;
		}
		base |= scope == LOG_SCOPES;
		buf_printf(&out, "%s%s%s%s", buf_len(&out) ? "," : "", scope == LOG_SCOPES ? "" : log_scope_name(scope),
			   scope == LOG_SCOPES ? "" : "=", log_level_name(level < 0 ? LOG_TRACE : level));
	}
	/* There, what no directive names is off. Warnings are not for missing. */
	if (!base)
		buf_puts(&out, buf_len(&out) ? ",warn" : "info");
	s->log_levels = arena_dup(&s->mem, buf_str(&out));
	buf_done(&out);
	return 0;
}

/* --- texts --- */

static void each_one(const struct settings *s, const struct setting_row *r, setting_fn *fn, void *arg)
{
	const void *at = (const char *)s + r->offset;
	struct buf json = { 0 };

	if (r->kind == SETTING_BOOL)
		buf_puts(&json, *(const bool *)at ? "true" : "false");
	else if (r->kind == SETTING_MAYBE)
		buf_puts(&json, *(const enum setting_maybe *)at == MAYBE_UNSET ? "null" : *(const enum setting_maybe *)at == MAYBE_TRUE ? "true" : "false");
	else if (r->kind == SETTING_NUMBER)
		buf_printf(&json, "%u", *(const unsigned *)at);
	else if (r->kind == SETTING_DURATION)
		buf_printf(&json, "\"%llums\"", (unsigned long long)*(const uint64_t *)at);
	else if (r->kind == SETTING_WORD)
		buf_json_str(&json, str_c(r->words[*(const int *)at]));
	else if (r->kind == SETTING_TEXT && *(const char *const *)at)
		buf_json_str(&json, str_c(*(const char *const *)at));
	else
		buf_puts(&json, "null");
	fn(r->name, buf_str(&json), arg);
	buf_done(&json);
}

static void each_text(const char *name, const char *value, setting_fn *fn, void *arg)
{
	struct buf json = { 0 };

	if (value)
		buf_json_str(&json, str_c(value));
	else
		buf_puts(&json, "null");
	fn(name, buf_str(&json), arg);
	buf_done(&json);
}

void settings_each(const struct settings *s, setting_fn *fn, void *arg)
{
	char text[32];

	each_text("XDS_ADDRESS", s->xds.address, fn, arg);
	each_text("CA_ADDRESS", s->ca.address, fn, arg);
	each_text("MESHD_ENFORCEMENT", stances[s->stance], fn, arg);
	each_text("ISTIO_META_DNS_CAPTURE", s->dns ? "true" : "false", fn, arg);
	snprintf(text, sizeof(text), "%llums", (unsigned long long)s->drain_ms);
	each_text("CONNECTION_TERMINATION_DEADLINE", text, fn, arg);
	snprintf(text, sizeof(text), "%u", s->workers);
	each_text("ZTUNNEL_WORKER_THREADS", text, fn, arg);
	snprintf(text, sizeof(text), "%u", s->mark);
	each_text("PACKET_MARK", text, fn, arg);
	each_text("OTEL_EXPORTER_OTLP_ENDPOINT", s->otlp.endpoint, fn, arg);
	for (const struct setting_row *r = setting_rows; r->name; r++)
		if (r->kind < SETTING_OWN && strcmp(r->name, "LOCAL_XDS") != 0)
			each_one(s, r, fn, arg);
}

void settings_help(FILE *out)
{
	fprintf(out, "Variables of the environment, with their defaults. Command-line options are over them; they are over\n"
		"PROXY_CONFIG, and that is over defaultConfig in ./etc/istio/config/mesh.\n\n");
	for (const struct setting_row *r = setting_rows; r->name; r++)
		if (r->kind != SETTING_REFUSED && r->kind != SETTING_NOTED)
			fprintf(out, "  %s%s%s%s\n      %s\n", r->name, r->deflt && *r->deflt ? " (" : "", r->deflt ? r->deflt : "",
				r->deflt && *r->deflt ? ")" : "", r->doc);
	fprintf(out, "\nNot honoured:\n\n");
	for (const struct setting_row *r = setting_rows; r->name; r++)
		if (r->kind == SETTING_REFUSED || r->kind == SETTING_NOTED)
			fprintf(out, "  %s%s%s\n      %s%s\n", r->name, r->words ? "=" : "", r->words ? r->words[0] : "",
				r->kind == SETTING_REFUSED ? "not started with: " : "", r->doc);
}

void settings_roff(FILE *out)
{
	for (const struct setting_row *r = setting_rows; r->name; r++) {
		fprintf(out, ".TP\n.BR %s%s%s", r->name, r->words && r->kind == SETTING_REFUSED ? "=" : "",
			r->words && r->kind == SETTING_REFUSED ? r->words[0] : "");
		fprintf(out, "\n%s%s", r->kind == SETTING_REFUSED ? "Not started with: " : r->kind == SETTING_NOTED ? "Not honoured: " : "", r->doc);
		fprintf(out, r->deflt && *r->deflt ? " (default: %s)\n" : "\n", r->deflt);
	}
}
