/* SPDX-License-Identifier: Apache-2.0 */
/* ProxyConfig: MeshConfig.defaultConfig, and the annotation proxy.istio.io/config. */
#include "source/check.h"
#include "source/crd.h"

#define TODO(NAME, DOC, WHY) ROW_NOT(NAME, TODO, DOC, WHY)
#define ENVOYS(NAME) ROW_NOT(NAME, IGNORED, "Envoy's own; meshd has nothing like it.", NULL)
#define ISTIOD(NAME) ROW_NOT(NAME, IGNORED, "Read by Istio's agent or control plane only.", NULL)
#define SIDECAR(NAME, TYPE, STRUCT, MEMBER, DOC, ...) ROW(NAME, TYPE, STRUCT, MEMBER, DOC, .mark = FIELD_SIDECAR, ##__VA_ARGS__)

/* --- custom tags, of Telemetry too --- */

static void one_kind(struct field_walk *w, struct tele_custom *c, int kind, bool named)
{
	if (c->kind)
		field_error(w, 0, NULL, "want one of literal, environment, header, formatter");
	c->kind = kind;
	if (!*c->value)
		field_error(w, 0, named ? "name" : "value", "want a text, got nothing");
}

static void check_literal(struct field_walk *w, void *out) { one_kind(w, out, TELE_LITERAL, false); }
static void check_environment(struct field_walk *w, void *out) { one_kind(w, out, TELE_ENVIRONMENT, true); }
static void check_header(struct field_walk *w, void *out) { one_kind(w, out, TELE_HEADER, true); }
static void check_formatter(struct field_walk *w, void *out)
{
	const struct tele_custom *c = out;

	one_kind(w, out, TELE_FORMATTER, false);
	if (*c->value)
		check_format(w, "value", c->value);
}

static void check_custom(struct field_walk *w, void *out)
{
	const struct tele_custom *c = out;

	if (!c->kind)
		field_error(w, 0, NULL, "want one of literal, environment, header, formatter");
	if (!*c->name)
		field_error(w, 0, NULL, "want a name");
}

static const struct field value_rows[] = {
	ROW("value", STRING, tele_custom, value, "The text."),
	{ 0 },
};
static const struct field named_rows[] = {
	ROW("name", STRING, tele_custom, value, "Its name."),
	ROW("defaultValue", STRING, tele_custom, fallback, "The text when it is absent."),
	{ 0 },
};
static const struct field_table literal_table = { .name = "literal", .size = sizeof(struct tele_custom), .fields = value_rows, .check = check_literal };
static const struct field_table formatter_table = { .name = "formatter", .size = sizeof(struct tele_custom), .fields = value_rows, .check = check_formatter };
static const struct field_table environment_table = { .name = "environment", .size = sizeof(struct tele_custom), .fields = named_rows, .check = check_environment };
static const struct field_table header_table = { .name = "header", .size = sizeof(struct tele_custom), .fields = named_rows, .check = check_header };

static const struct field custom_rows[] = {
	ROW_WHOLE("literal", "A text.", &literal_table),
	ROW_WHOLE("environment", "A variable of the proxy's environment.", &environment_table),
	ROW_WHOLE("header", "A header of the request.", &header_table),
	ROW_WHOLE("formatter", "A text with %OPERATORS%.", &formatter_table),
	{ 0 },
};
const struct field_table crd_custom_tag_table = {
	.name = "customTags", .size = sizeof(struct tele_custom), .fields = custom_rows, .check = check_custom,
};

/* --- tracing --- */

static const struct field tracing_rows[] = {
	ROW("sampling", OPT_DOUBLE, proxy_tracing, sampling, "Share of the requests that are traced, in percent; Telemetry wins.", .max = 100),
	ROW("customTags", MESSAGE_MAP, proxy_tracing, tags, "Tags of all spans.", .sub = &crd_custom_tag_table),
	ROW("maxPathTagLength", U32, proxy_tracing, max_path_tag_length, "Longer paths are cut; 256 when absent."),
	ROW("enableIstioTags", OPT_BOOL, proxy_tracing, istio_tags, "Tags that name mesh, services and workloads; true when absent."),
	TODO("zipkin", "Address of a collector.", "name an extensionProvider, and use it in a Telemetry"),
	TODO("lightstep", "Address of a collector.", "name an opentelemetry provider"),
	TODO("datadog", "Address of a collector.", "name an opentelemetry provider"),
	TODO("stackdriver", "Google's collector.", "name an opentelemetry provider"),
	TODO("openCensusAgent", "Address of a collector.", "name an opentelemetry provider"),
	TODO("tlsSettings", "TLS to the collector.", "use a DestinationRule"),
	{ 0 },
};
static const struct field_table tracing_table = { .name = "tracing", .size = sizeof(struct proxy_tracing), .fields = tracing_rows };

/* --- proxyHeaders --- */

static const struct field server_rows[] = {
	ROW("disabled", OPT_BOOL, proxy_headers, server_disabled, "No server header of ours."),
	ROW("value", STRING, proxy_headers, server_value, "istio-envoy when absent."),
	{ 0 },
};
static const struct field request_id_rows[] = { ROW("disabled", OPT_BOOL, proxy_headers, request_id_disabled, "No x-request-id is made."), { 0 } };
static const struct field attempt_rows[] = { ROW("disabled", OPT_BOOL, proxy_headers, attempt_count_disabled, "No x-envoy-attempt-count."), { 0 } };
static const struct field debug_rows[] = { ROW("disabled", OPT_BOOL, proxy_headers, envoy_debug_disabled, "No x-envoy- headers for debugging."), { 0 } };
static const struct field forwarded_host_rows[] = { ROW("enabled", OPT_BOOL, proxy_headers, forwarded_host_enabled, "Adds x-forwarded-host when the Host is changed."), { 0 } };
static const struct field forwarded_port_rows[] = { ROW("enabled", OPT_BOOL, proxy_headers, forwarded_port_enabled, "Adds x-forwarded-port."), { 0 } };

static const char *const exchange_words[] = { "UNDEFINED", "IN_MESH", NULL };
static const struct field exchange_rows[] = {
	ROW("mode", ENUM, proxy_headers, exchange, "IN_MESH: servers outside the mesh do not get it.", .words = exchange_words, .deflt = "UNDEFINED"), { 0 }
};

#define PART(TABLE, NAME, ROWS) static const struct field_table TABLE = { .name = NAME, .size = sizeof(struct proxy_headers), .fields = ROWS }
PART(server_table, "server", server_rows);
PART(exchange_table, "metadataExchangeHeaders", exchange_rows);
PART(request_id_table, "requestId", request_id_rows);
PART(attempt_table, "attemptCount", attempt_rows);
PART(debug_table, "envoyDebugHeaders", debug_rows);
PART(forwarded_host_table, "xForwardedHost", forwarded_host_rows);
PART(forwarded_port_table, "xForwardedPort", forwarded_port_rows);

static void check_details(struct field_walk *w, void *out)
{
	(void)w;
	((struct proxy_cert_details *)out)->set = true;
}

static const struct field details_rows[] = {
	ROW("subject", OPT_BOOL, proxy_cert_details, subject, "Subject; true when absent."),
	ROW("cert", OPT_BOOL, proxy_cert_details, cert, "Certificate."),
	ROW("chain", OPT_BOOL, proxy_cert_details, chain, "Chain."),
	ROW("dns", OPT_BOOL, proxy_cert_details, dns, "DNS names; true when absent."),
	ROW("uri", OPT_BOOL, proxy_cert_details, uri, "URI; true when absent."),
	{ 0 },
};
static const struct field_table details_table = {
	.name = "setCurrentClientCertDetails", .size = sizeof(struct proxy_cert_details), .fields = details_rows, .check = check_details,
};

static const char *const xfcc_words[] = { "UNDEFINED", "SANITIZE", "FORWARD_ONLY", "APPEND_FORWARD", "SANITIZE_SET", "ALWAYS_FORWARD_ONLY", NULL };

static const struct field headers_rows[] = {
	ROW("forwardedClientCert", ENUM, proxy_headers, xfcc, "What becomes of x-forwarded-client-cert inbound; APPEND_FORWARD when absent.",
	    .words = xfcc_words, .deflt = "UNDEFINED"),
	ROW("setCurrentClientCertDetails", INLINE, proxy_headers, details, "What of the client's certificate is in it.", .sub = &details_table),
	ROW_WHOLE("requestId", "x-request-id.", &request_id_table),
	ROW_WHOLE("server", "server.", &server_table),
	ROW_WHOLE("attemptCount", "x-envoy-attempt-count.", &attempt_table),
	ROW_WHOLE("envoyDebugHeaders", "x-envoy-upstream-service-time and others.", &debug_table),
	ROW_WHOLE("metadataExchangeHeaders", "x-envoy-peer-metadata.", &exchange_table),
	ROW("preserveHttp1HeaderCase", OPT_BOOL, proxy_headers, preserve_case, "HTTP/1 headers keep their case."),
	ROW_WHOLE("xForwardedHost", "x-forwarded-host.", &forwarded_host_table),
	ROW_WHOLE("xForwardedPort", "x-forwarded-port.", &forwarded_port_table),
	{ 0 },
};
static const struct field_table headers_table = { .name = "proxyHeaders", .size = sizeof(struct proxy_headers), .fields = headers_rows };

/* --- gatewayTopology --- */

static const struct field topology_rows[] = {
	ROW("numTrustedProxies", U32, proxy_config, trusted_proxies, "Proxies in front whose x-forwarded-for counts.", .max = 255),
	ROW_NOT("forwardClientCertDetails", OTHER_MODE, "x-forwarded-client-cert of gateways.", "sidecars: proxyHeaders.forwardedClientCert"),
	ROW_NOT("proxyProtocol", OTHER_MODE, "PROXY protocol of gateways.", NULL),
	{ 0 },
};
static const struct field_table topology_table = { .name = "gatewayTopology", .size = sizeof(struct proxy_config), .fields = topology_rows };

/* --- the whole --- */

static const char *const interceptions[] = { "REDIRECT", "TPROXY", "NONE", NULL };
static const char *const service_names[] = { "APP_LABEL_AND_NAMESPACE", "CANONICAL_NAME_ONLY", "CANONICAL_NAME_AND_NAMESPACE", NULL };

static const struct field proxy_rows[] = {
	ROW("proxyMetadata", LABELS, proxy_config, metadata, "MESHD_ENFORCEMENT: istio, closed or strict; other keys say nothing to meshd here."),
	TODO("concurrency", "Worker threads.", "use --concurrency"),
	TODO("drainDuration", "How long connections drain.", "use --drain-time"),
	TODO("terminationDrainDuration", "How long connections drain at the end.", "use --drain-time"),
	TODO("proxyAdminPort", "Admin port.", "use --admin-port"),
	TODO("statusPort", "Port of metrics.", NULL),
	TODO("caCertificatesPem", "Further roots.", "use --root"),
	TODO("privateKeyProvider", "Key hardware.", NULL),
	SIDECAR("tracing", INLINE, proxy_config, tracing, "Tracing.", .sub = &tracing_table),
	ROW_WHOLE("gatewayTopology", "Trusted proxies.", &topology_table, .mark = FIELD_SIDECAR),
	SIDECAR("proxyHeaders", INLINE, proxy_config, headers, "Headers that sidecars add.", .sub = &headers_table),
	TODO("connectionSettings", "Limits and timeouts of clients' HTTP.", "meshd's own hold; timeouts and pools are set by VirtualServices and DestinationRules"),
	SIDECAR("interceptionMode", ENUM, proxy_config, interception, "How inbound is captured.", .words = interceptions, .deflt = "REDIRECT"),
	SIDECAR("tracingServiceName", ENUM, proxy_config, tracing_service_name, "Name of the service in spans.", .words = service_names,
		.deflt = "APP_LABEL_AND_NAMESPACE"),
	SIDECAR("meshId", STRING, proxy_config, mesh_id, "Name of the mesh in telemetry."),
	ENVOYS("runtimeValues"), ENVOYS("extraStatTags"), ENVOYS("proxyStatsMatcher"), ENVOYS("statsCompression"), ENVOYS("fileFlushInterval"),
	ENVOYS("fileFlushMinSizeKb"), ENVOYS("envoyMetricsService"), ENVOYS("statsdUdpAddress"), ENVOYS("statNameLength"),
	ENVOYS("customConfigFile"), ENVOYS("proxyBootstrapTemplatePath"), ENVOYS("binaryPath"), ENVOYS("configPath"),
	TODO("envoyAccessLogService", "Access log by gRPC.", "use a file, or an opentelemetry provider"),
	TODO("readinessProbe", "Probe of the application on a VM.", NULL),
	ISTIOD("image"), ISTIOD("serviceCluster"), ISTIOD("discoveryAddress"), ISTIOD("holdApplicationUntilProxyStarts"),
	ISTIOD("controlPlaneAuthPolicy"), ISTIOD("availabilityZone"), ISTIOD("zipkinAddress"), ISTIOD("discoveryRefreshDelay"),
	{ 0 },
};
const struct field_table crd_proxy_table = { .name = "defaultConfig", .size = sizeof(struct proxy_config), .fields = proxy_rows };
