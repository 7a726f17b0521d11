/* SPDX-License-Identifier: Apache-2.0 */
/* ztunnel's environment: defaults, order, and what a bad value says. */
#include "src/settings.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "src/settings_int.h"

#include "suite.h"

static char dir[] = "/tmp/test_settings.XXXXXX";
static struct settings s;
static struct err err;

/* Every test starts with an empty environment, in a folder of its own. */
static void setup(void)
{
	snprintf(dir, sizeof(dir), "/tmp/test_settings.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
	clearenv();
}

static void remove_path(const char *path)
{
	if (unlink(path) < 0)
		rmdir(path);
}

static void teardown(void)
{
	static const char *const paths[] = {
		"etc/istio/config/mesh", "etc/istio/config", "etc/istio", "etc", "var/run/secrets/tokens/istio-token",
		"var/run/secrets/tokens", "var/run/secrets", "var/run", "var",
	};

	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		remove_path(paths[i]);
	ck_assert_int_eq(chdir("/"), 0);
	remove_path(dir);
	settings_done(&s);
}

static void put_file(const char *path, const char *text)
{
	char part[128];
	FILE *f;

	for (const char *p = path; (p = strchr(p, '/')); p++) {
		snprintf(part, sizeof(part), "%.*s", (int)(p - path), path);
		mkdir(part, 0700);
	}
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

static void read_ok(void)
{
	settings_done(&s);
	ck_assert_msg(settings_read(&s, &err) == 0, "%s", err.msg);
}

static void read_fails(void)
{
	settings_done(&s);
	ck_assert_int_lt(settings_read(&s, &err), 0);
}

/* With this variable alone, the reading fails and says so. */
static void refuses(const char *name, const char *value, const char *want)
{
	clearenv();
	setenv(name, value, 1);
	ck_assert_msg(settings_read(&s, &err) < 0, "%s=%s was accepted", name, value);
	ck_assert_msg(strstr(err.msg, want) != NULL, "%s=%s: %s", name, value, err.msg);
	unsetenv(name);
}

static const char *meta(const char *name)
{
	for (int i = 0; i < s.metadata.n; i++)
		if (strcmp(s.metadata.v[i].name, name) == 0)
			return s.metadata.v[i].value;
	return NULL;
}

START_TEST(defaults)
{
	read_ok();
	ck_assert(s.proxy && s.dns && s.ipv6 && !s.socks5 && !s.on_demand && !s.tls12);
	ck_assert_int_eq(s.mode, MODE_SHARED);
	ck_assert_str_eq(s.xds.address, "https://localhost:15012");
	ck_assert_str_eq(s.ca.address, "https://localhost:15012");
	ck_assert_int_eq(s.xds.roots_kind, ROOTS_FILE);
	ck_assert_str_eq(s.xds.roots, "./var/run/secrets/istio/root-cert.pem");
	ck_assert_ptr_null(s.token_file);
	ck_assert_ptr_null(s.token);
	ck_assert_str_eq(s.cluster, "Kubernetes");
	ck_assert_str_eq(s.cluster_domain, "cluster.local");
	ck_assert_str_eq(s.network, "");
	ck_assert_str_eq(s.version, "unknown");
	ck_assert_str_eq(s.inpod_uds, "/var/run/ztunnel/ztunnel.sock");
	ck_assert(s.inpod_port_reuse && s.localhost_app_tunnel && s.response_baggage && !s.authz_info_log);
	ck_assert_uint_eq(s.mark, 1337);
	ck_assert_uint_eq(s.admin_port, 15000);
	ck_assert_uint_eq(s.stats_port, 15020);
	ck_assert(s.dns_localhost);
	ck_assert_uint_eq(s.dns_addr.port, 15053);
	ck_assert_uint_eq(s.pool_streams, 0);
	ck_assert_uint_eq(s.pool_idle_ms, 300000);
	ck_assert_uint_eq(s.stream_window, 4 << 20);
	ck_assert_uint_eq(s.conn_window, 16 << 20);
	ck_assert_uint_eq(s.frame_bytes, 1 << 20);
	ck_assert_uint_eq(s.secret_ttl_ms, 24 * 3600 * 1000);
	ck_assert_uint_eq(s.drain_ms, 5000);
	ck_assert(s.keepalive && !s.user_timeout);
	ck_assert_uint_eq(s.keepalive_time_ms, 180000);
	ck_assert_uint_eq(s.keepalive_retries, 9);
	ck_assert_int_eq(s.original_source, MAYBE_UNSET);
	ck_assert_uint_ge(s.workers, 2);
	ck_assert_uint_eq(s.concurrency, 0);
	ck_assert_str_eq(s.log_levels, "");
	ck_assert(!s.log_json);
	ck_assert_ptr_null(s.otlp.endpoint);
	ck_assert_ptr_null(s.crl_path);
	ck_assert_str_eq(s.node_id, "ztunnel~1.1.1.1~.~.svc.cluster.local");
	ck_assert_int_eq(s.n_notes, 0);
}
END_TEST

START_TEST(order)
{
	put_file("etc/istio/config/mesh", "defaultConfig:\n  discoveryAddress: mesh.example:15012\n  proxyAdminPort: 15099\n"
		 "  statsPort: 15888\n  proxyMetadata: {ISTIO_META_FOO: foo, ISTIO_META_FOOBAR: foobar, OTHER: x}\n");
	read_ok();
	ck_assert_str_eq(s.xds.address, "https://mesh.example:15012");
	ck_assert_str_eq(s.ca.address, "https://localhost:15012");   /* discoveryAddress is istiod's alone */
	ck_assert_uint_eq(s.admin_port, 15099);
	ck_assert_uint_eq(s.stats_port, 15888);
	ck_assert_str_eq(meta("FOO"), "\"foo\"");

	setenv("PROXY_CONFIG", "{\"discoveryAddress\": \"istiod-rev0.istio-system-2:15012\", \"proxyAdminPort\": 15999,"
	       " \"proxyMetadata\": {\"ISTIO_META_BAR\": \"bar\", \"ISTIO_META_FOOBAR\": \"over\"}}", 1);
	setenv("ISTIO_META_INCLUDE_THIS", "env \"quoted\"", 1);
	setenv("ISTIO_METAJSON_LABELS", "{\"app\": \"ztunnel\"}", 1);
	setenv("NOT_INCLUDED", "x", 1);
	setenv("POD_NAME", "ztunnel-x", 1);
	setenv("POD_NAMESPACE", "istio-system", 1);
	setenv("INSTANCE_IP", "10.1.2.3", 1);
	read_ok();
	ck_assert_str_eq(s.xds.address, "https://istiod-rev0.istio-system-2:15012");
	ck_assert_uint_eq(s.admin_port, 15999);
	ck_assert_uint_eq(s.stats_port, 15888);
	ck_assert_str_eq(meta("FOO"), "\"foo\"");
	ck_assert_str_eq(meta("BAR"), "\"bar\"");
	ck_assert_str_eq(meta("FOOBAR"), "\"over\"");
	ck_assert_str_eq(meta("OTHER"), "\"x\"");
	ck_assert_str_eq(meta("INCLUDE_THIS"), "\"env \\\"quoted\\\"\"");
	ck_assert_str_eq(meta("LABELS"), "{\"app\": \"ztunnel\"}");
	ck_assert_str_eq(meta("INSTANCE_IPS"), "\"10.1.2.3\"");
	ck_assert_ptr_null(meta("NOT_INCLUDED"));
	ck_assert_str_eq(s.node_id, "ztunnel~10.1.2.3~ztunnel-x.istio-system~istio-system.svc.cluster.local");

	setenv("XDS_ADDRESS", "", 1);
	setenv("CA_ADDRESS", "http://127.0.0.1:15010/", 1);
	read_ok();
	ck_assert_ptr_null(s.xds.address);
	ck_assert_str_eq(s.ca.address, "http://127.0.0.1:15010");
}
END_TEST

START_TEST(control_plane)
{
	setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1", 1);
	setenv("XDS_ROOT_CA", "SYSTEM", 1);
	setenv("CA_ROOT_CA", "-----BEGIN CERTIFICATE-----\nx\n", 1);
	setenv("ALT_XDS_HOSTNAME", "other.example", 1);
	setenv("XDS_HEADER_X-Tenant", "a b", 1);
	setenv("XDS_HEADER_two", "2", 1);
	setenv("CA_HEADER_one", "1", 1);
	setenv("CLUSTER_ID", "c1", 1);
	read_ok();
	ck_assert_str_eq(s.xds.address, "https://istiod.istio-system.svc:15012");
	ck_assert_int_eq(s.xds.roots_kind, ROOTS_SYSTEM);
	ck_assert_ptr_null(s.xds.roots);
	ck_assert_int_eq(s.ca.roots_kind, ROOTS_PEM);
	ck_assert_str_eq(s.xds.alt_hostname, "other.example");
	ck_assert_ptr_null(s.ca.alt_hostname);
	ck_assert_int_eq(s.xds.headers.n, 2);
	ck_assert_int_eq(s.ca.headers.n, 1);
	for (int i = 0; i < 2; i++)
		ck_assert_str_eq(s.xds.headers.v[i].value, strcmp(s.xds.headers.v[i].name, "x-tenant") == 0 ? "a b" : "2");
	ck_assert_str_eq(s.cluster, "c1");
	setenv("ISTIO_META_CLUSTER_ID", "c2", 1);
	read_ok();
	ck_assert_str_eq(s.cluster, "c2");
}
END_TEST

START_TEST(tokens)
{
	put_file("var/run/secrets/tokens/istio-token", "t");
	read_ok();
	ck_assert_str_eq(s.token_file, "./var/run/secrets/tokens/istio-token");
	setenv("AUTH_TOKEN", "eyJhbGciOi.J9.x", 1);
	read_ok();
	ck_assert_ptr_null(s.token_file);
	ck_assert_str_eq(s.token, "eyJhbGciOi.J9.x");
	/* A file that is not there yet is still a file: its name is not sent as a token. */
	setenv("AUTH_TOKEN", "/nowhere/token", 1);
	read_ok();
	ck_assert_str_eq(s.token_file, "/nowhere/token");
	ck_assert_ptr_null(s.token);
}
END_TEST

START_TEST(modes)
{
	setenv("PROXY_MODE", "dedicated", 1);
	read_fails();
	ck_assert_ptr_nonnull(strstr(err.msg, "PROXY_WORKLOAD_INFO"));
	setenv("PROXY_WORKLOAD_INFO", "shop/cart-1/cart", 1);
	setenv("ENABLE_ORIG_SRC", "false", 1);
	read_ok();
	ck_assert_str_eq(s.workload_ns, "shop");
	ck_assert_str_eq(s.workload_name, "cart-1");
	ck_assert_str_eq(s.workload_sa, "cart");
	ck_assert_uint_eq(s.mark, 0);
	ck_assert_int_eq(s.original_source, MAYBE_FALSE);
	setenv("PACKET_MARK", "42", 1);
	read_ok();
	ck_assert_uint_eq(s.mark, 42);
	setenv("PROXY_WORKLOAD_INFO", "shop/cart-1", 1);
	read_fails();

}
END_TEST

START_TEST(dns)
{
	setenv("ISTIO_META_DNS_CAPTURE", "TRUE", 1);
	setenv("ISTIO_META_DNS_PROXY_ADDR", "127.0.0.1:5353", 1);
	read_ok();
	ck_assert(s.dns && !s.dns_localhost);
	ck_assert_uint_eq(s.dns_addr.port, 5353);
	setenv("ISTIO_META_DNS_PROXY_ADDR", "[::1]:5353", 1);
	read_ok();
	setenv("ISTIO_META_DNS_CAPTURE", "false", 1);
	setenv("XDS_ON_DEMAND", "true", 1);
	read_ok();
	ck_assert(!s.dns && s.on_demand);
	setenv("ENABLE_PROXY", "false", 1);
	read_fails();
	ck_assert_ptr_nonnull(strstr(err.msg, "ENABLE_PROXY=false and"));
	setenv("ISTIO_META_DNS_CAPTURE", "true", 1);
	read_ok();
	ck_assert(!s.proxy && s.dns);
	/* Istio's place for it is proxyMetadata, too. */
	clearenv();
	setenv("PROXY_CONFIG", "proxyMetadata: {DNS_CAPTURE: 'false', MESHD_ENFORCEMENT: strict}", 1);
	read_ok();
	ck_assert(!s.dns);
	ck_assert_int_eq(s.stance, STANCE_STRICT);
}
END_TEST

START_TEST(aliases)
{
	struct mesh_settings m;

	put_file("etc/istio/config/mesh", "trustDomainAliases: [old.example, older]\n");
	read_ok();
	ck_assert_int_eq(s.n_aliases, 2);
	ck_assert_str_eq(s.aliases[1], "older");
	setenv("MESHD_TRUST_DOMAIN_ALIASES", "new.example", 1);
	read_ok();
	ck_assert_int_eq(settings_mesh(&s, &m, &err), 0);
	ck_assert_int_eq(m.n_aliases, 1);
	ck_assert_str_eq(m.aliases[0], "new.example");
	setenv("MESHD_TRUST_DOMAIN_ALIASES", "a,,b", 1);
	read_fails();
	ck_assert_ptr_nonnull(strstr(err.msg, "MESHD_TRUST_DOMAIN_ALIASES"));
}
END_TEST

START_TEST(bad_values)
{
	refuses("ENABLE_PROXY", "maybe", "ENABLE_PROXY: want true or false, got 'maybe'");
	refuses("PROXY_MODE", "sidecar", "want shared or dedicated, got 'sidecar'");
	refuses("XDS_ADDRESS", "istiod", "XDS_ADDRESS: want HOST:PORT");
	refuses("XDS_ADDRESS", "ftp://istiod:1", "XDS_ADDRESS");
	refuses("XDS_ADDRESS", "https://istiod:0", "XDS_ADDRESS");
	refuses("XDS_ADDRESS", "https://a/b:80", "XDS_ADDRESS");
	refuses("CA_ADDRESS", ":15012", "CA_ADDRESS");
	refuses("SECRET_TTL", "soon", "SECRET_TTL: want a duration");
	refuses("SECRET_TTL", "1s", "from 10s");
	refuses("POOL_MAX_STREAMS_PER_CONNECTION", "70000", "from 0 to 65535");
	refuses("HTTP2_FRAME_SIZE", "100", "from 16384");
	refuses("PACKET_MARK", "-1", "PACKET_MARK");
	refuses("ENABLE_ORIG_SRC", "auto", "ENABLE_ORIG_SRC");
	refuses("KEEPALIVE_RETRIES", "x", "KEEPALIVE_RETRIES");
	refuses("TERMINATION_GRACE_PERIOD_SECONDS", "30s", "TERMINATION_GRACE_PERIOD_SECONDS");
	refuses("CONNECTION_TERMINATION_DEADLINE", "x", "CONNECTION_TERMINATION_DEADLINE");
	refuses("ZTUNNEL_WORKER_THREADS", "150%", "ZTUNNEL_WORKER_THREADS");
	refuses("ZTUNNEL_WORKER_THREADS", "-2", "ZTUNNEL_WORKER_THREADS");
	refuses("ZTUNNEL_RESOURCE_CPU_LIMIT", "0", "ZTUNNEL_RESOURCE_CPU_LIMIT");
	refuses("ISTIO_META_DNS_PROXY_ADDR", "localhost", "ISTIO_META_DNS_PROXY_ADDR");
	refuses("LOG_FORMAT", "xml", "plain or json or text");
	refuses("RUST_LOG", "access=loud", "RUST_LOG");
	refuses("MESHD_ENFORCEMENT", "open", "istio or closed or strict");
	refuses("MESHD_SIDECAR_USE_WAYPOINT", "yes", "auto or true or false");
	refuses("XDS_HEADER_a b", "x", "XDS_HEADER_");
	refuses("XDS_HEADER_a", "caf\xc3\xa9", "printable");
	refuses("XDS_HEADER_x-bin", "x", "-bin");
	refuses("PROXY_CONFIG", "proxyAdminPort: many", "proxyAdminPort: want a port");
	refuses("PROXY_CONFIG", "concurrency: -1", "concurrency");
	refuses("PROXY_CONFIG", "[a]", "want a map");
	refuses("PROXY_CONFIG", "{", "PROXY_CONFIG:");
	refuses("FAKE_CA", "true", "meshd ca init");
	refuses("COMPLIANCE_POLICY", "pqc", "X25519MLKEM768");
	refuses("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317", "OTEL_EXPORTER_OTLP_ENDPOINT");
	put_file("etc/istio/config/mesh", "defaultConfig: 3\n");
	refuses("NOTHING", "x", "etc/istio/config/mesh:1");
}
END_TEST

START_TEST(workers)
{
	static const struct { const char *text; unsigned cpus; } good[] = {
		{ "2", 2 }, { "1.5", 2 }, { "500m", 1 }, { "1500m", 2 }, { "0.0001", 1 }, { "2.000", 2 },
	};
	static const char *const wrong[] = { "", "0", "m", "1.", "-1", "2x", "0m", "1.x" };
	unsigned n;

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		ck_assert_msg(settings_cpus(good[i].text, &n), "%s", good[i].text);
		ck_assert_msg(n == good[i].cpus, "%s: %u", good[i].text, n);
	}
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		ck_assert_msg(!settings_cpus(wrong[i], &n), "%s", wrong[i]);

	setenv("ZTUNNEL_CPU_LIMIT", "16", 1);
	read_ok();
	ck_assert_uint_eq(s.workers, 4);
	setenv("ZTUNNEL_RESOURCE_CPU_REQUEST", "5500m", 1);
	read_ok();
	ck_assert_uint_eq(s.workers, 6);
	setenv("ZTUNNEL_RESOURCE_CPU_LIMIT", "1", 1);
	unsetenv("ZTUNNEL_RESOURCE_CPU_REQUEST");
	read_ok();
	ck_assert_uint_eq(s.workers, 1);
	setenv("ZTUNNEL_RESOURCE_CPU_LIMIT", "7", 1);
	setenv("ZTUNNEL_WORKER_THREADS", "50%", 1);
	read_ok();
	ck_assert_uint_eq(s.workers, 4);
	setenv("ZTUNNEL_WORKER_THREADS", "0", 1);
	read_ok();
	ck_assert_uint_eq(s.workers, 7);
	setenv("ZTUNNEL_WORKER_THREADS", "3", 1);
	setenv("PROXY_CONFIG", "concurrency: 9", 1);
	read_ok();
	ck_assert_uint_eq(s.workers, 3);
	unsetenv("ZTUNNEL_WORKER_THREADS");
	read_ok();
	ck_assert_uint_eq(s.workers, 9);
	ck_assert_uint_eq(s.concurrency, 9);
	setenv("PROXY_CONFIG", "concurrency: 0", 1);
	read_ok();
	ck_assert_uint_eq(s.workers, 7);
}
END_TEST

START_TEST(drain)
{
	static const struct { const char *grace; unsigned ms; } rows[] = { { "30", 25000 }, { "10", 9000 }, { "1", 1000 }, { "0", 1000 }, { "11", 6000 } };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		setenv("TERMINATION_GRACE_PERIOD_SECONDS", rows[i].grace, 1);
		read_ok();
		ck_assert_uint_eq(s.drain_ms, rows[i].ms);
	}
	setenv("CONNECTION_TERMINATION_DEADLINE", "1m30s", 1);
	read_ok();
	ck_assert_uint_eq(s.drain_ms, 90000);
	setenv("USER_TIMEOUT_ENABLED", "true", 1);
	setenv("SECRET_TTL", "90d", 1);
	read_ok();
	ck_assert_uint_eq(s.user_timeout_ms, 1800000);
	ck_assert_uint_eq(s.secret_ttl_ms, UINT64_C(90) * 86400000);
}
END_TEST

START_TEST(log_levels)
{
	static const struct { const char *rust, *ours; int notes; } rows[] = {
		{ "info", "info", 0 },
		{ "debug,hyper=off", "debug", 1 },
		{ "ztunnel=debug", "debug", 0 },
		{ "info,ztunnel::access=debug", "info,access=debug", 0 },
		{ "access=DEBUG", "access=debug,warn", 0 },
		{ "ztunnel::xds::client=trace,warn", "xds=trace,warn", 0 },
		{ "info,dns", "info,dns=trace", 0 },
		{ "3,rbac=4", "info,policy=debug", 0 },
		{ "ztunnels=debug,h2[span]=info", "info", 2 },
		{ "hickory_server::server=off,info", "info", 1 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		setenv("RUST_LOG", rows[i].rust, 1);
		read_ok();
		ck_assert_str_eq(s.log_levels, rows[i].ours);
		ck_assert_int_eq(s.n_notes, rows[i].notes);
		ck_assert_int_eq(log_set_levels(str_c(s.log_levels), &err), 0);
	}
	setenv("LOG_FORMAT", "json", 1);
	setenv("MESHD_LOG", "tls=debug,info", 1);
	read_ok();
	ck_assert_str_eq(s.log_levels, "tls=debug,info");
	ck_assert(s.log_json);
	log_reset_levels();
}
END_TEST

static void find_setting(const char *name, struct str json, void *arg)
{
	const char **want = arg;

	if (strcmp(name, want[0]) == 0) {
		ck_assert_msg(str_is(json, want[1]), "%s: %.*s", name, STR_FMT(json));
		want[2] = "found";
	}
}

START_TEST(each)
{
	static const char *const rows[][2] = {
		{ "XDS_ADDRESS", "\"https://localhost:15012\"" }, { "ENABLE_PROXY", "true" }, { "ENABLE_ORIG_SRC", "null" },
		{ "POOL_MAX_STREAMS_PER_CONNECTION", "7" }, { "SECRET_TTL", "\"86400000ms\"" }, { "PROXY_MODE", "\"shared\"" },
		{ "CRL_PATH", "null" }, { "MESHD_ENFORCEMENT", "\"istio\"" }, { "NETWORK", "\"\"" },
	};

	setenv("POOL_MAX_STREAMS_PER_CONNECTION", "7", 1);
	setenv("AUTH_TOKEN", "secret-token", 1);
	read_ok();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *want[] = { rows[i][0], rows[i][1], NULL };

		settings_each(&s, find_setting, want);
		ck_assert_msg(want[2] != NULL, "%s", want[0]);
	}
}
END_TEST

START_TEST(notes)
{
	setenv("TOKIO_WORKER_THREADS", "4", 1);
	setenv("ISTIO_METAJSON_BAD", "{", 1);
	setenv("INPOD_ENABLED", "true", 1);
	setenv("RUST_BACKTRACE", "1", 1);
	setenv("FAKE_CA", "false", 1);
	setenv("COMPLIANCE_POLICY", "fips-140-2", 1);
	read_ok();
	ck_assert_int_eq(s.n_notes, 2);
	ck_assert_ptr_null(meta("BAD"));
	ck_assert_ptr_nonnull(strstr(s.notes[0], "ZTUNNEL_WORKER_THREADS"));
	ck_assert_ptr_nonnull(strstr(s.notes[1], "ISTIO_METAJSON_BAD"));
	setenv("ISTIO_META_DNS_PROXY_ADDR", "0.0.0.0:15053", 1);
	read_ok();
	ck_assert_int_eq(s.n_notes, 3);
	ck_assert_ptr_nonnull(strstr(s.notes[2], "answers everybody"));
	setenv("ISTIO_META_DNS_CAPTURE", "false", 1);
	read_ok();
	ck_assert_int_eq(s.n_notes, 2);
}
END_TEST

START_TEST(otlp)
{
	setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/", 1);
	setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", 1);
	setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b, x=1", 1);
	setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio", 1);
	setenv("OTEL_TRACES_SAMPLER_ARG", "0.25", 1);
	setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=prod", 1);
	read_ok();
	ck_assert_str_eq(s.otlp.endpoint, "http://collector:4318/v1/traces");
	ck_assert_int_eq(s.otlp.protocol, OTLP_HTTP);
	ck_assert_int_eq(s.otlp.headers.n, 2);
	ck_assert_str_eq(s.otlp.headers.v[0].value, "a b");
	ck_assert_str_eq(s.otlp.headers.v[1].name, "x");
	ck_assert_int_eq(s.otlp.sampler, SAMPLER_RATIO);
	ck_assert(s.otlp.ratio > 0.24 && s.otlp.ratio < 0.26);
	ck_assert_int_eq(s.otlp.resource.n, 1);
	ck_assert_uint_eq(s.otlp.timeout_ms, 10000);
	ck_assert_str_eq(s.otlp.service, "meshd");
	setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://other:443/mine", 1);
	setenv("OTEL_TRACES_SAMPLER", "always_off", 1);
	read_ok();
	ck_assert_str_eq(s.otlp.endpoint, "https://other:443/mine");
	ck_assert_int_eq(s.otlp.sampler, SAMPLER_NEVER);
	setenv("OTEL_TRACES_SAMPLER", "traceidratio", 1);
	setenv("OTEL_TRACES_SAMPLER_ARG", "2", 1);
	read_fails();
	setenv("OTEL_SDK_DISABLED", "true", 1);
	read_ok();
	ck_assert_ptr_null(s.otlp.endpoint);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("settings");
	TCase *t = tcase_create("settings");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, defaults);
	tcase_add_test(t, order);
	tcase_add_test(t, control_plane);
	tcase_add_test(t, tokens);
	tcase_add_test(t, modes);
	tcase_add_test(t, dns);
	tcase_add_test(t, aliases);
	tcase_add_test(t, bad_values);
	tcase_add_test(t, workers);
	tcase_add_test(t, drain);
	tcase_add_test(t, log_levels);
	tcase_add_test(t, each);
	tcase_add_test(t, notes);
	tcase_add_test(t, otlp);
	suite_add_tcase(suite, t);
	return suite_run(suite);
}
