/* SPDX-License-Identifier: Apache-2.0 */
/* mesh.yaml as sidecars read it. */
#include "confdir_fixture.h"
#include "fielddump.h"
#include "source/crd.h"
#include "suite.h"

static char *describe(void)
{
	struct buf b = { 0 };
	char *text;

	fielddump(&crd_mesh_table, mesh_config(mesh_current()), &b);
	text = str_dup(buf_str(&b));
	buf_done(&b);
	return text;
}

static const struct { const char *yaml, *part; } rows[] = {
	{ "{}", "enableTracing {}enableAutoMtls h2UpgradePolicy=1 " },
	{ "outboundTrafficPolicy: {mode: REGISTRY_ONLY}", "outboundTrafficPolicy={}" },
	{ "pathNormalization: {normalization: MERGE_SLASHES}", "{normalization=3 }" },
	{ "accessLogFile: /dev/stdout\naccessLogFormat: '%START_TIME% %REQ(:METHOD)%'", "accessLogFile=/dev/stdout accessLogFormat=%START_TIME% %REQ(:METHOD)% " },
	{ "defaultHttpRetryPolicy: {attempts: 5, retryOn: 5xx}", "defaultHttpRetryPolicy={attempts=5 retryOn=5xx }" },
	{ "localityLbSetting: {enabled: false}", "localityLbSetting={enabled=no }" },
	{ "h2UpgradePolicy: UPGRADE", "h2UpgradePolicy=2 " },
	{ "defaultServiceExportTo: ['.']", "defaultServiceExportTo=. " },
	{ "defaultTrafficPolicy: {connectionPool: {http: {http2MaxRequests: 7}}}", "defaultTrafficPolicy={connectionPool={http={http2MaxRequests=7 }}}" },
	{ "defaultConfig: {tracing: {sampling: 12.5, customTags: {a: {literal: {value: b}}, c: {header: {name: x, defaultValue: y}}}}, gatewayTopology: {numTrustedProxies: 2}}",
	  "{sampling=12.5 customTags=[a:{{value=b }{name=b }{name=b }{value=b }}c:{{value=x }{name=x defaultValue=y }{name=x defaultValue=y }{value=x }}] }{numTrustedProxies=2 }" },
	{ "defaultConfig: {proxyHeaders: {forwardedClientCert: SANITIZE_SET, setCurrentClientCertDetails: {cert: true}, server: {disabled: true}, requestId: {}}}",
	  "{forwardedClientCert=4 {cert=yes }{}{disabled=yes }{}{}{}{}{}}" },
};

START_TEST(test_mesh)
{
	struct fixture f;
	char *text, *said;

	fixture_sidecar(&f);
	fixture_write(&f, "mesh.yaml", rows[_i].yaml);
	ck_assert_msg(fixture_load(&f) == 0, "%s", f.err.msg);
	text = describe();
	said = fixture_findings(&f);
	ck_assert_msg(strstr(text, rows[_i].part) && !*said, "%s\nwant %s\ngot  %s\n%s", rows[_i].yaml, rows[_i].part, text, said);
	free(text);
	free(said);
	fixture_done(&f);
}
END_TEST

/* Nothing said, an empty file, and the table agree on the defaults. */
START_TEST(test_defaults)
{
	const struct mesh_config *d = mesh_config(mesh_current()), *read;
	struct fixture f;

	fixture_sidecar(&f);
	fixture_write(&f, "mesh.yaml", "{}");
	ck_assert_int_eq(fixture_load(&f), 0);
	read = mesh_config(mesh_current());
	ck_assert_ptr_ne(read, d);
	ck_assert_int_eq(read->outbound, d->outbound);
	ck_assert_int_eq(read->auto_mtls, d->auto_mtls);
	ck_assert_uint_eq(read->connect_timeout_ms, d->connect_timeout_ms);
	ck_assert_int_eq(read->h2_upgrade, d->h2_upgrade);
	ck_assert_int_eq(read->path_normalization, d->path_normalization);
	ck_assert_int_eq(read->tele.enable_tracing, d->tele.enable_tracing);
	ck_assert_str_eq(read->tele.access_log_file, d->tele.access_log_file);
	ck_assert_str_eq(read->tele.access_log_format, d->tele.access_log_format);
	ck_assert_str_eq(read->proxy.mesh_id, d->proxy.mesh_id);
	ck_assert_str_eq(read->proxy.headers.server_value, d->proxy.headers.server_value);
	fixture_done(&f);
}
END_TEST

START_TEST(test_providers)
{
	struct fixture f;
	const struct mesh_settings *s;
	const struct tele_settings *t;

	fixture_sidecar(&f);
	setenv("TOKEN", "secret", 1);
	fixture_write(&f, "mesh.yaml",
		      "extensionProviders:\n"
		      "- {name: oauth, envoyExtAuthzHttp: {service: auth/oauth.auth.svc.cluster.local, port: 4180, includeRequestHeadersInCheck: [cookie, 'x-*'], "
		      "headersToUpstreamOnAllow: [authorization], includeRequestBodyInCheck: {maxRequestBytes: 10}, failOpen: true, statusOnError: '503', timeout: 2s}}\n"
		      "- {name: opa, envoyExtAuthzGrpc: {service: opa.test, port: 9191}}\n"
		      "- {name: log, envoyFileAccessLog: {path: /dev/stdout, logFormat: {labels: {m: '%REQ(:METHOD)%'}}}}\n"
		      "- {name: otel, opentelemetry: {service: otel.test, port: 4318, http: {path: /v1/traces, headers: [{name: a, envName: TOKEN}]}, resourceDetectors: {environment: {}}}}\n"
		      "- {name: zip, zipkin: {service: z.test, port: 9411, traceContextOption: USE_B3_WITH_W3C_PROPAGATION}}\n"
		      "- {name: prom, prometheus: {}}\n"
		      "- {name: als, envoyHttpAls: {service: x, port: 1}}\n"
		      "defaultProviders: {metrics: [prom], accessLogging: [log]}\n"
		      "accessLogFile: /x\naccessLogEncoding: JSON\naccessLogFormat: '{\"a\": \"%PROTOCOL%\"}'\n");
	ck_assert_msg(fixture_load(&f) == 0, "%s", f.err.msg);
	s = mesh_settings(mesh_current());
	t = &mesh_config(mesh_current())->tele;
	ck_assert_int_eq(s->n_providers, 2);
	ck_assert_str_eq(s->providers[0].name, "oauth");
	ck_assert_str_eq(s->providers[0].service, "auth/oauth.auth.svc.cluster.local");
	ck_assert_int_eq(s->providers[0].include[1].kind, MATCH_PREFIX);
	ck_assert_str_eq(s->providers[0].include[1].text, "x-");
	ck_assert_int_eq(s->providers[0].status_on_error, 503);
	ck_assert_uint_eq(s->providers[0].timeout_ms, 2000);
	ck_assert_uint_eq(s->providers[0].body_max, 10);
	ck_assert(s->providers[0].fail_open && !s->providers[0].grpc && s->providers[1].grpc);
	ck_assert_uint_eq(s->providers[1].timeout_ms, 600000);
	ck_assert_int_eq(t->providers.n, 5);
	ck_assert_int_eq(t->providers.v[0].kind, TELE_FILE_LOG);
	ck_assert_str_eq(t->providers.v[0].labels.v[0].value, "%REQ(:METHOD)%");
	ck_assert_int_eq(t->providers.v[1].kind, TELE_OPENTELEMETRY);
	ck_assert(t->providers.v[1].http && t->providers.v[1].environment);
	ck_assert_str_eq(t->providers.v[1].headers.v[0].value, "secret");
	ck_assert_int_eq(t->providers.v[2].kind, TELE_OTHER);
	ck_assert_str_eq(t->providers.v[2].what, "zipkin");
	ck_assert_int_eq(t->providers.v[3].kind, TELE_PROMETHEUS);
	ck_assert_int_eq(t->providers.v[4].kind, TELE_OTHER);
	ck_assert_str_eq(t->providers.v[4].what, "envoyHttpAls");
	ck_assert_str_eq(t->default_logging.v[0], "log");
	ck_assert(t->access_log_json && t->access_log_labels.n == 1);
	ck_assert_str_eq(t->access_log_labels.v[0].value, "%PROTOCOL%");

	/* a change takes the place; a wrong file leaves what there was */
	fixture_write(&f, "mesh.yaml", "extensionProviders: [{name: opa, envoyExtAuthzGrpc: {service: opa.test, port: 9192}}]\n");
	ck_assert_int_eq(fixture_load(&f), 0);
	ck_assert_int_eq(mesh_settings(mesh_current())->n_providers, 1);
	ck_assert_uint_eq(mesh_settings(mesh_current())->providers[0].port, 9192);
	fixture_write(&f, "mesh.yaml", "extensionProviders: [{name: opa, envoyExtAuthzGrpc: {service: opa.test}}]\n");
	ck_assert_int_eq(fixture_load(&f), 0);
	fixture_expect(&f, "extensionProviders[0].envoyExtAuthzGrpc.port: want a port");
	ck_assert_uint_eq(mesh_settings(mesh_current())->providers[0].port, 9192);
	fixture_remove(&f, "mesh.yaml");
	ck_assert_int_eq(fixture_load(&f), 0);
	ck_assert_int_eq(mesh_settings(mesh_current())->n_providers, 0);
	fixture_done(&f);
}
END_TEST

static const struct { const char *yaml, *finding; } findings[] = {
	{ "extensionProviders: [{name: a, prometheus: {}}, {name: a, prometheus: {}}]", "want each name once, got 'a' twice" },
	{ "extensionProviders: [{name: a}]", "extensionProviders[0]: want one kind of provider, got 0" },
	{ "extensionProviders: [{name: a, opentelemetry: {service: 'x/', port: 1}}]", "service: want a host, or NAMESPACE/HOST" },
	{ "extensionProviders: [{name: a, envoyFileAccessLog: {path: /x, logFormat: {text: '%NOPE%'}}}]", "logFormat.text: " },
	{ "extensionProviders: [{name: a, envoyFileAccessLog: {path: /x, logFormat: {labels: {a: 1}}}}]", "labels.a: want a string" },
	{ "extensionProviders: [{name: a, opentelemetry: {service: x, port: 1, dynatraceSampler: {}}}]", "dynatraceSampler: not supported" },
	{ "accessLogFormat: '%NOPE%'", "accessLogFormat: " },
	{ "accessLogEncoding: JSON\naccessLogFormat: 'a'", "accessLogFormat: want a map of strings" },
	{ "defaultServiceExportTo: ['*', a]", "defaultServiceExportTo: want '*' alone" },
	{ "defaultConfig: {tracing: {sampling: 101}}", "defaultConfig.tracing.sampling: want a number from 0 to 100, got '101'" },
	{ "defaultConfig: {tracing: {customTags: {a: {}}}}", "customTags.a: want one of literal" },
	{ "defaultConfig: {tracing: {customTags: {a: {literal: {value: x}, header: {name: y}}}}}", "want one of literal" },
	{ "tlsDefaults: {}", "tlsDefaults: not honoured yet" },
};

START_TEST(test_findings)
{
	struct fixture f;

	fixture_sidecar(&f);
	fixture_write(&f, "x.yaml", "");
	ck_assert_int_eq(fixture_load(&f), 0);
	fixture_write(&f, "mesh.yaml", findings[_i].yaml);
	ck_assert_msg(fixture_load(&f) == 0, "%s", f.err.msg);
	fixture_expect(&f, findings[_i].finding);
	fixture_done(&f);
}
END_TEST

/* In ztunnel mode what sidecars read is named, and has no effect. */
START_TEST(test_other_mode)
{
	struct fixture f;

	fixture_init(&f);
	fixture_write(&f, "mesh.yaml", "accessLogFile: /dev/stdout\noutboundTrafficPolicy: {mode: REGISTRY_ONLY}\n");
	ck_assert_int_eq(fixture_load(&f), 0);
	fixture_expect(&f, "accessLogFile: has no effect in ztunnel mode");
	ck_assert_str_eq(mesh_config(mesh_current())->tele.access_log_file, "");
	fixture_expect(&f, "outboundTrafficPolicy: has no effect in ztunnel mode, as in Istio, unless MESHD_ENFORCEMENT is closed");
	ck_assert_int_eq(mesh_config(mesh_current())->outbound, SCOPE_REGISTRY_ONLY);
	fixture_done(&f);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("conf_mesh");
	TCase *t = tcase_create("conf_mesh");

	tcase_add_test(t, test_defaults);
	tcase_add_loop_test(t, test_mesh, 0, ARRAY_LEN(rows));
	tcase_add_test(t, test_providers);
	tcase_add_loop_test(t, test_findings, 0, ARRAY_LEN(findings));
	tcase_add_test(t, test_other_mode);
	suite_add_tcase(s, t);
	return suite_run(s);
}
