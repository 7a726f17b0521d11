/* SPDX-License-Identifier: Apache-2.0 */
/* MeshConfig.extensionProviders. */
#include <stdlib.h>

#include "source/check.h"
#include "source/crd.h"

static void check_service(struct field_walk *w, const char *service, uint16_t port)
{
	struct str host, ns = str_cut(str_c(service), '/', &host);

	if (!*service || (host.p && (!ns.n || !host.n)))
		field_error(w, 0, "service", "want a host, or NAMESPACE/HOST, got '%.80s'", service);
	if (!port)
		field_error(w, 0, "port", "want a port, got nothing");
}

/* --- envoyExtAuthzHttp, envoyExtAuthzGrpc --- */

static const struct field body_rows[] = {
	ROW("maxRequestBytes", U32, crd_authz_body, max_bytes, "How much of the body is sent.", .min = 1),
	ROW("allowPartialMessage", BOOL, crd_authz_body, partial, "Longer bodies are cut; else they are answered with 413."),
	ROW("packAsBytes", BOOL, crd_authz_body, as_bytes, "As bytes rather than as UTF-8; gRPC only."),
	{ 0 },
};
static const struct field_table body_table = { .name = "includeRequestBodyInCheck", .size = sizeof(struct crd_authz_body), .fields = body_rows };

static void check_authz(struct field_walk *w, void *out)
{
	const struct crd_authz_provider *p = out;
	uint64_t status;

	check_service(w, p->service, p->port);
	if (*p->status_on_error && (!str_to_u64(str_c(p->status_on_error), &status) || status < 200 || status > 599))
		field_error(w, 0, "statusOnError", "want a status from 200 to 599, got '%.20s'", p->status_on_error);
	if (p->body && !p->body->max_bytes)
		field_error(w, 0, "includeRequestBodyInCheck.maxRequestBytes", "want a number above 0");
	if (p->path_prefix && *p->path_prefix && *p->path_prefix != '/')
		field_error(w, 0, "pathPrefix", "want it to begin with /, got '%.80s'", p->path_prefix);
}

#define AUTHZ_ROWS \
	ROW("service", STRING, crd_authz_provider, service, "Who decides: a host, or NAMESPACE/HOST."), \
	ROW("port", PORT, crd_authz_provider, port, "Its port."), \
	ROW("timeout", OPT_MS, crd_authz_provider, timeout, "How long it may take; 600s when absent.", .min = 1), \
	ROW("failOpen", BOOL, crd_authz_provider, fail_open, "Without an answer requests pass."), \
	ROW_NOT("clearRouteCache", IGNORED, "The route is looked for after the check: there is nothing to clear.", NULL), \
	ROW("statusOnError", STRING, crd_authz_provider, status_on_error, "Status without an answer; 403 when absent."), \
	ROW("includeRequestBodyInCheck", MESSAGE, crd_authz_provider, body, "The body is sent, too.", .sub = &body_table)

static const struct field http_rows[] = {
	AUTHZ_ROWS,
	ROW("pathPrefix", STRING, crd_authz_provider, path_prefix, "Put before the path of the check."),
	ROW("includeRequestHeadersInCheck", STRINGS, crd_authz_provider, include, "Headers that are sent: exact, abc*, *abc."),
	ROW("includeHeadersInCheck", STRINGS, crd_authz_provider, include_old, "As includeRequestHeadersInCheck."),
	ROW("includeAdditionalHeadersInCheck", LABELS, crd_authz_provider, add, "Headers of the check, with %OPERATORS%."),
	ROW("headersToUpstreamOnAllow", STRINGS, crd_authz_provider, up_on_allow, "Headers of the answer that go on with the request."),
	ROW("headersToDownstreamOnDeny", STRINGS, crd_authz_provider, down_on_deny, "Headers of the answer that go back with a refusal."),
	ROW("headersToDownstreamOnAllow", STRINGS, crd_authz_provider, down_on_allow, "Headers of the answer that go back with the response."),
	{ 0 },
};
static const struct field_table http_table = {
	.name = "envoyExtAuthzHttp", .size = sizeof(struct crd_authz_provider), .fields = http_rows, .check = check_authz,
};
static const struct field grpc_rows[] = { AUTHZ_ROWS, { 0 } };
static const struct field_table grpc_table = {
	.name = "envoyExtAuthzGrpc", .size = sizeof(struct crd_authz_provider), .fields = grpc_rows, .check = check_authz,
};

/* --- envoyFileAccessLog --- */

static void check_log_format(struct field_walk *w, void *out)
{
	const struct tele_provider *p = out;

	if (*p->text && p->labels.present)
		field_error(w, 0, "labels", "want it without text");
	if (*p->text)
		check_format(w, "text", p->text);
	for (int i = 0; i < p->labels.n; i++)
		check_format(w, "labels", p->labels.v[i].value);
}

static const struct field log_format_rows[] = {
	ROW("text", STRING, tele_provider, text, "A line with Envoy's %OPERATORS%."),
	ROW("labels", LABELS, tele_provider, labels, "JSON: keys, and values with %OPERATORS%."),
	{ 0 },
};
static const struct field_table log_format_table = {
	.name = "logFormat", .size = sizeof(struct tele_provider), .fields = log_format_rows, .check = check_log_format,
};

static void check_file(struct field_walk *w, void *out)
{
	if (!*((const struct tele_provider *)out)->path)
		field_error(w, 0, "path", "want a file, got nothing");
}

static const struct field file_rows[] = {
	ROW("path", STRING, tele_provider, path, "The file; /dev/stdout too."),
	ROW_WHOLE("logFormat", "What is written; Istio's line when absent.", &log_format_table),
	ROW("omitEmptyValues", BOOL, tele_provider, omit_empty, "What is not known is left out rather than -."),
	{ 0 },
};
static const struct field_table file_table = {
	.name = "envoyFileAccessLog", .size = sizeof(struct tele_provider), .fields = file_rows, .check = check_file,
};

/* --- opentelemetry --- */

static void check_sent_header(struct field_walk *w, void *out)
{
	struct tele_header *h = out;
	const char *v;

	check_header_name(w, "name", h->key);
	if (*h->env && *h->value)
		field_error(w, 0, "envName", "want it without value");
	if (!*h->env)
		return;
	v = getenv(h->env);
	if (!v)
		field_error(w, 0, "envName", "there is no variable '%.80s' in the environment", h->env);
	h->value = arena_dup(w->arena, str_c(v ? v : ""));
}

static const struct field sent_header_rows[] = {
	ROW("name", STRING, tele_header, key, "Its name."),
	ROW("value", STRING, tele_header, value, "Its value."),
	ROW("envName", STRING, tele_header, env, "A variable of the environment, whose value it is."),
	{ 0 },
};
static const struct field_table sent_header_table = {
	.name = "headers", .size = sizeof(struct tele_header), .fields = sent_header_rows, .check = check_sent_header,
};

static void check_http(struct field_walk *w, void *out)
{
	struct tele_provider *p = out;

	p->http = true;
	if (*p->http_path != '/')
		field_error(w, 0, "path", "want a path, got '%.80s'", p->http_path);
}

static const struct field otlp_http_rows[] = {
	ROW("path", STRING, tele_provider, http_path, "Path of the collector, /v1/traces."),
	ROW("timeout", OPT_MS, tele_provider, timeout, "How long an export may take.", .min = 1),
	ROW("headers", MESSAGES, tele_provider, headers, "Headers of exports.", .sub = &sent_header_table),
	{ 0 },
};
static const struct field_table otlp_http_table = {
	.name = "http", .size = sizeof(struct tele_provider), .fields = otlp_http_rows, .check = check_http,
};
static const struct field otlp_grpc_rows[] = {
	ROW("timeout", OPT_MS, tele_provider, timeout, "How long an export may take.", .min = 1),
	ROW("initialMetadata", MESSAGES, tele_provider, headers, "Metadata of exports.", .sub = &sent_header_table),
	{ 0 },
};
static const struct field_table otlp_grpc_table = { .name = "grpc", .size = sizeof(struct tele_provider), .fields = otlp_grpc_rows };

static const struct field detector_rows[] = {
	ROW("environment", PRESENT, tele_provider, environment, "OTEL_RESOURCE_ATTRIBUTES."),
	ROW_NOT("dynatrace", REFUSED, "Dynatrace's files.", "set OTEL_RESOURCE_ATTRIBUTES, with environment"),
	{ 0 },
};
static const struct field_table detector_table = { .name = "resourceDetectors", .size = sizeof(struct tele_provider), .fields = detector_rows };

static void check_collector(struct field_walk *w, void *out)
{
	const struct tele_provider *p = out;

	check_service(w, p->service, p->port);
}

static const char *const enrichments[] = { "ISTIO_CANONICAL", "OTEL_SEMANTIC_CONVENTIONS", NULL };
static const struct field otel_rows[] = {
	ROW("service", STRING, tele_provider, service, "The collector: a host, or NAMESPACE/HOST."),
	ROW("port", PORT, tele_provider, port, "Its port."),
	ROW("maxTagLength", U32, tele_provider, max_tag_length, "Longer paths are cut; 256 when absent."),
	ROW_WHOLE("http", "OTLP over HTTP instead of gRPC.", &otlp_http_table),
	ROW_WHOLE("grpc", "OTLP over gRPC.", &otlp_grpc_table),
	ROW_WHOLE("resourceDetectors", "Attributes of the resource.", &detector_table),
	ROW("serviceAttributeEnrichment", ENUM, tele_provider, otel_semantic, "How the service is named.", .words = enrichments, .deflt = "ISTIO_CANONICAL"),
	ROW_NOT("dynatraceSampler", REFUSED, "Dynatrace decides what is traced.", "use randomSamplingPercentage of a Telemetry"),
	{ 0 },
};
static const struct field_table otel_table = {
	.name = "opentelemetry", .size = sizeof(struct tele_provider), .fields = otel_rows, .check = check_collector,
};

/* --- the list --- */

#define OTHER(NAME, I) \
	ROW(NAME, PRESENT, crd_ext_provider, others[I], "Not supported.", .why = "a Telemetry that uses it has no effect, and says so")

static void check_provider(struct field_walk *w, void *out)
{
	const struct crd_ext_provider *p = out;
	int n = (p->authz_http != NULL) + (p->authz_grpc != NULL) + (p->file != NULL) + (p->otel != NULL) + p->prometheus;

	for (size_t i = 0; i < ARRAY_LEN(p->others); i++)
		n += p->others[i];
	if (!*p->name)
		field_error(w, 0, "name", "want a name, got nothing");
	if (n != 1)
		field_error(w, 0, NULL, "want one kind of provider, got %d", n);
}

static const struct field provider_rows[] = {
	ROW("name", STRING, crd_ext_provider, name, "Name, which policies and Telemetry use."),
	ROW("envoyExtAuthzHttp", MESSAGE, crd_ext_provider, authz_http, "Decides for AuthorizationPolicies with CUSTOM, by HTTP.", .sub = &http_table),
	ROW("envoyExtAuthzGrpc", MESSAGE, crd_ext_provider, authz_grpc, "Decides for AuthorizationPolicies with CUSTOM, by gRPC.", .sub = &grpc_table),
	ROW("envoyFileAccessLog", MESSAGE, crd_ext_provider, file, "Access log in a file.", .sub = &file_table),
	ROW("opentelemetry", MESSAGE, crd_ext_provider, otel, "Traces by OTLP.", .sub = &otel_table),
	ROW("prometheus", PRESENT, crd_ext_provider, prometheus, "Metrics, on the port of metrics."),
	OTHER("envoyHttpAls", 0), OTHER("envoyTcpAls", 1), OTHER("envoyOtelAls", 2), OTHER("stackdriver", 3), OTHER("datadog", 4),
	OTHER("skywalking", 5), OTHER("lightstep", 6), OTHER("opencensus", 7), OTHER("sds", 8),
	OTHER("zipkin", 9),
	{ 0 },
};
const struct field_table crd_provider_table = {
	.name = "extensionProviders", .size = sizeof(struct crd_ext_provider), .fields = provider_rows, .check = check_provider,
};
