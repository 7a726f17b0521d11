/* SPDX-License-Identifier: Apache-2.0 */
/* HTTPRoute, GRPCRoute, TCPRoute, TLSRoute and BackendTLSPolicy (gateway.networking.k8s.io). */
#include "source/check.h"
#include "source/crd.h"

/* --- references --- */

static const struct field parent_rows[] = {
	ROW("group", TEXT, crd_ref, group, "Empty for a Service, networking.istio.io for a ServiceEntry."),
	ROW("kind", STRING, crd_ref, kind, "Service or ServiceEntry; others have no effect here.", .deflt = "Gateway"),
	ROW("name", STRING, crd_ref, name, "Its name."),
	ROW("namespace", STRING, crd_ref, ns, "Its namespace; the route's own when absent."),
	ROW("port", PORT, crd_ref, port, "One of its ports; all when absent."),
	ROW("sectionName", STRING, crd_ref, section, "A listener of a Gateway."),
	{ 0 },
};
static const struct field_table parent_table = { .name = "parentRefs", .size = sizeof(struct crd_ref), .fields = parent_rows };

/* --- filters --- */

static void check_header(struct field_walk *w, void *out)
{
	const struct label *l = out;

	check_header_name(w, "name", l->key);
	for (const char *c = l->value; *c; c++)
		if ((unsigned char)*c < ' ' && *c != '\t')
			field_error(w, 0, "value", "want no control characters");
}

static const struct field header_rows[] = {
	ROW("name", STRING, label, key, "Its name."),
	ROW("value", STRING, label, value, "Its value."),
	{ 0 },
};
static const struct field_table header_table = { .name = "set", .size = sizeof(struct label), .fields = header_rows, .check = check_header };

static const struct field modifier_rows[] = {
	ROW("set", MESSAGES, crd_modifier, set, "Headers that take the place of others with their names.", .sub = &header_table),
	ROW("add", MESSAGES, crd_modifier, add, "Headers that are appended.", .sub = &header_table),
	ROW("remove", STRINGS, crd_modifier, remove, "Names of headers that are taken away."),
	{ 0 },
};
static const struct field_table modifier_table = { .name = "requestHeaderModifier", .size = sizeof(struct crd_modifier), .fields = modifier_rows };

static const char *const path_types[] = { "ReplaceFullPath", "ReplacePrefixMatch", NULL };
static void check_new_path(struct field_walk *w, void *out)
{
	const struct crd_new_path *p = out;

	if (p->type ? !p->prefix : !p->full)
		field_error(w, 0, path_types[p->type][7] == 'F' ? "replaceFullPath" : "replacePrefixMatch", "want a path, got nothing");
}

static const struct field new_path_rows[] = {
	ROW("type", ENUM, crd_new_path, type, "What is replaced.", .words = path_types, .deflt = "ReplaceFullPath"),
	ROW("replaceFullPath", TEXT, crd_new_path, full, "The whole path."),
	ROW("replacePrefixMatch", TEXT, crd_new_path, prefix, "The part of the path that matched a prefix."),
	{ 0 },
};
static const struct field_table new_path_table = { .name = "path", .size = sizeof(struct crd_new_path), .fields = new_path_rows, .check = check_new_path };

static const struct field redirect_rows[] = {
	ROW("scheme", STRING, crd_redirect, scheme, "http or https."),
	ROW("hostname", STRING, crd_redirect, host, "Host of the new URL."),
	ROW("path", MESSAGE, crd_redirect, path, "Path of the new URL.", .sub = &new_path_table),
	ROW("port", OPT_U32, crd_redirect, port, "Port of the new URL; that of the scheme, else of the request, when absent.", .min = 1, .max = 65535),
	ROW("statusCode", U32, crd_redirect, code, "Status.", .min = 301, .max = 308, .deflt = "302"),
	{ 0 },
};
static const struct field_table redirect_table = { .name = "requestRedirect", .size = sizeof(struct crd_redirect), .fields = redirect_rows };

static const struct field rewrite_rows[] = {
	ROW("hostname", STRING, crd_redirect, host, "Takes the place of the Host."),
	ROW("path", MESSAGE, crd_redirect, path, "Takes the place of the path.", .sub = &new_path_table),
	{ 0 },
};
static const struct field_table rewrite_table = { .name = "urlRewrite", .size = sizeof(struct crd_redirect), .fields = rewrite_rows };

#define REF_ROWS \
	ROW("group", STRING, crd_backend, group, "Empty for a Service."), \
	ROW("kind", STRING, crd_backend, kind, "Service, or Hostname of the group networking.istio.io.", .deflt = "Service"), \
	ROW("name", STRING, crd_backend, name, "Its name."), \
	ROW("namespace", STRING, crd_backend, ns, "Its namespace; the route's own when absent."), \
	ROW("port", PORT, crd_backend, port, "Its port.")

static const struct field mirror_ref_rows[] = { REF_ROWS, { 0 } };
static const struct field_table mirror_ref_table = { .name = "backendRef", .size = sizeof(struct crd_backend), .fields = mirror_ref_rows };

static const struct field fraction_rows[] = {
	ROW("numerator", U32, crd_fraction, numerator, "Above.", .max = INT32_MAX),
	ROW("denominator", U32, crd_fraction, denominator, "Below.", .min = 1, .max = INT32_MAX, .deflt = "100"),
	{ 0 },
};
static const struct field_table fraction_table = { .name = "fraction", .size = sizeof(struct crd_fraction), .fields = fraction_rows };
static const struct field mirror_rows[] = {
	ROW("backendRef", MESSAGE, crd_mirror, backend, "Where copies go.", .sub = &mirror_ref_table),
	ROW("percent", OPT_U32, crd_mirror, percent, "Share of the requests; all when absent.", .max = 100),
	ROW("fraction", MESSAGE, crd_mirror, fraction, "As percent.", .sub = &fraction_table),
	{ 0 },
};
static const struct field_table mirror_table = { .name = "requestMirror", .size = sizeof(struct crd_mirror), .fields = mirror_rows };

static const struct field cors_rows[] = {
	ROW("allowOrigins", STRINGS, crd_cors, origins, "Origins that may; * is any, and may stand in a name."),
	ROW("allowCredentials", BOOL, crd_cors, credentials, "Access-Control-Allow-Credentials."),
	ROW("allowMethods", STRINGS, crd_cors, methods, "Access-Control-Allow-Methods."),
	ROW("allowHeaders", STRINGS, crd_cors, headers, "Access-Control-Allow-Headers."),
	ROW("exposeHeaders", STRINGS, crd_cors, expose, "Access-Control-Expose-Headers."),
	ROW("maxAge", U32, crd_cors, max_age_s, "Access-Control-Max-Age, in seconds.", .max = 4000000, .deflt = "5"),
	{ 0 },
};
static const struct field_table cors_table = { .name = "cors", .size = sizeof(struct crd_cors), .fields = cors_rows };

static const struct field filter_rows[] = {
	ROW("type", STRING, crd_filter, type, "RequestHeaderModifier, ResponseHeaderModifier, RequestRedirect, URLRewrite, RequestMirror or CORS; with others the rule answers 500."),
	ROW("requestHeaderModifier", MESSAGE, crd_filter, request, "Changes of a request's headers.", .sub = &modifier_table),
	ROW("responseHeaderModifier", MESSAGE, crd_filter, response, "Changes of a response's headers.", .sub = &modifier_table),
	ROW("requestRedirect", MESSAGE, crd_filter, redirect, "Answers with another URL.", .sub = &redirect_table),
	ROW("urlRewrite", MESSAGE, crd_filter, rewrite, "Changes path and Host on the way.", .sub = &rewrite_table),
	ROW("requestMirror", MESSAGE, crd_filter, mirror, "Copies of requests go there too.", .sub = &mirror_table),
	ROW("cors", MESSAGE, crd_filter, cors, "Answers browsers' preflights.", .sub = &cors_table),
	ROW_NOT("extensionRef", IGNORED, "Of the type ExtensionRef, which is not supported.", NULL),
	ROW_NOT("externalAuth", IGNORED, "Of the type ExternalAuth, which is not supported: use an AuthorizationPolicy with CUSTOM.", NULL),
	{ 0 },
};
static const struct field_table filter_table = { .name = "filters", .size = sizeof(struct crd_filter), .fields = filter_rows };

static const struct field backend_rows[] = {
	REF_ROWS,
	ROW("weight", U32, crd_backend, weight, "Share, relative to the sum of all weights; 0: none.", .max = 1000000, .deflt = "1"),
	ROW("filters", MESSAGES, crd_backend, filters, "Changes of headers on this way only.", .sub = &filter_table),
	{ 0 },
};
static const struct field_table backend_table = { .name = "backendRefs", .size = sizeof(struct crd_backend), .fields = backend_rows };
static const struct field l4_backend_rows[] = {
	REF_ROWS,
	ROW("weight", U32, crd_backend, weight, "Share, relative to the sum of all weights; 0: none.", .max = 1000000, .deflt = "1"),
	{ 0 },
};
static const struct field_table l4_backend_table = { .name = "backendRefs", .size = sizeof(struct crd_backend), .fields = l4_backend_rows };

/* --- matches --- */

static const char *const http_paths[] = { "PathPrefix", "Exact", "RegularExpression", NULL };
static const char *const kinds_of_text[] = { "Exact", "RegularExpression", NULL };

static void check_path(struct field_walk *w, void *out)
{
	const struct crd_path *p = out;

	if (p->type < 2 && *p->value != '/')
		field_error(w, 0, "value", "want a path that begins with /, got '%.80s'", p->value);
	if (p->type == 2)
		check_regex(w, "value", p->value);
}

static const struct field path_rows[] = {
	ROW("type", ENUM, crd_path, type, "How it is compared; a prefix is one of whole segments.", .words = http_paths, .deflt = "PathPrefix"),
	ROW("value", STRING, crd_path, value, "The path.", .deflt = "/"),
	{ 0 },
};
static const struct field_table path_table = { .name = "path", .size = sizeof(struct crd_path), .fields = path_rows, .check = check_path };

static void check_text(struct field_walk *w, void *out)
{
	const struct crd_text_match *m = out;

	if (!*m->name)
		field_error(w, 0, "name", "want a name, got nothing");
	if (m->type == 1)
		check_regex(w, "value", m->value);
}

static const struct field text_rows[] = {
	ROW("type", ENUM, crd_text_match, type, "How it is compared.", .words = kinds_of_text, .deflt = "Exact"),
	ROW("name", STRING, crd_text_match, name, "Its name."),
	ROW("value", STRING, crd_text_match, value, "Its value."),
	{ 0 },
};
static const struct field_table text_table = { .name = "headers", .size = sizeof(struct crd_text_match), .fields = text_rows, .check = check_text };

static void check_method(struct field_walk *w, void *out)
{
	const struct crd_grpc_method *m = out;

	if (!*m->service && !*m->method)
		field_error(w, 0, NULL, "want service or method");
	if (m->type == 1 && *m->service)
		check_regex(w, "service", m->service);
	if (m->type == 1 && *m->method)
		check_regex(w, "method", m->method);
}

static const struct field grpc_method_rows[] = {
	ROW("type", ENUM, crd_grpc_method, type, "How it is compared.", .words = kinds_of_text, .deflt = "Exact"),
	ROW("service", STRING, crd_grpc_method, service, "A service of gRPC, with its package."),
	ROW("method", STRING, crd_grpc_method, method, "One of its methods."),
	{ 0 },
};
static const struct field_table grpc_method_table = {
	.name = "method", .size = sizeof(struct crd_grpc_method), .fields = grpc_method_rows, .check = check_method,
};

static const struct field http_match_rows[] = {
	ROW("path", MESSAGE, crd_route_match, path, "The path; all when absent.", .sub = &path_table),
	ROW("headers", MESSAGES, crd_route_match, headers, "Headers, which must all match.", .sub = &text_table),
	ROW("queryParams", MESSAGES, crd_route_match, queries, "Parameters of the query, which must all match.", .sub = &text_table),
	ROW("method", STRING, crd_route_match, method, "GET and so on."),
	{ 0 },
};
static const struct field_table http_match_table = { .name = "matches", .size = sizeof(struct crd_route_match), .fields = http_match_rows };
static const struct field grpc_match_rows[] = {
	ROW("method", MESSAGE, crd_route_match, grpc, "Service and method.", .sub = &grpc_method_table),
	ROW("headers", MESSAGES, crd_route_match, headers, "Headers, which must all match.", .sub = &text_table),
	{ 0 },
};
static const struct field_table grpc_match_table = { .name = "matches", .size = sizeof(struct crd_route_match), .fields = grpc_match_rows };

/* --- rules --- */

static const struct field timeout_rows[] = {
	ROW("request", OPT_MS, crd_route_rule, request_timeout, "Of the whole exchange; 0s: none."),
	ROW("backendRequest", OPT_MS, crd_route_rule, backend_timeout, "Of one try, where there is retry; else as request."),
	{ 0 },
};
static const struct field_table timeout_table = { .name = "timeouts", .size = sizeof(struct crd_route_rule), .fields = timeout_rows };

static const struct field retry_rows[] = {
	ROW("codes", U16S, crd_route_retry, codes, "Statuses after which it is tried again, beside failed connects.", .min = 400, .max = 599),
	ROW("attempts", U32, crd_route_retry, attempts, "Tries beyond the first.", .max = 1000, .deflt = "2"),
	ROW("backoff", OPT_MS, crd_route_retry, backoff, "Wait before a new try.", .min = 1),
	{ 0 },
};
static const struct field_table retry_table = { .name = "retry", .size = sizeof(struct crd_route_retry), .fields = retry_rows };

#define RULE_ROWS \
	ROW("name", STRING, crd_route_rule, name, "Name of the rule in access logs."), \
	ROW("filters", MESSAGES, crd_route_rule, filters, "What is done to requests and responses.", .sub = &filter_table), \
	ROW("backendRefs", MESSAGES, crd_route_rule, backends, "Where requests go; without any they are answered with 500.", .sub = &backend_table), \
	ROW_NOT("sessionPersistence", TODO, "The same endpoint for a session.", "use consistentHash of a DestinationRule")

static const struct field http_rule_rows[] = {
	ROW("matches", MESSAGES, crd_route_rule, matches, "One must match; the most specific of all rules counts.", .sub = &http_match_table),
	RULE_ROWS,
	ROW_WHOLE("timeouts", "Timeouts.", &timeout_table),
	ROW("retry", MESSAGE, crd_route_rule, retry, "Tries again.", .sub = &retry_table),
	{ 0 },
};
static const struct field_table http_rule_table = { .name = "rules", .size = sizeof(struct crd_route_rule), .fields = http_rule_rows };
static const struct field grpc_rule_rows[] = {
	ROW("matches", MESSAGES, crd_route_rule, matches, "One must match; the most specific of all rules counts.", .sub = &grpc_match_table),
	RULE_ROWS,
	{ 0 },
};
static const struct field_table grpc_rule_table = { .name = "rules", .size = sizeof(struct crd_route_rule), .fields = grpc_rule_rows };
static const struct field l4_rule_rows[] = {
	ROW("name", STRING, crd_route_rule, name, "Name of the rule."),
	ROW("backendRefs", MESSAGES, crd_route_rule, backends, "Where connections go.", .sub = &l4_backend_table),
	{ 0 },
};
static const struct field_table l4_rule_table = { .name = "rules", .size = sizeof(struct crd_route_rule), .fields = l4_rule_rows };

/* --- the kinds --- */

#define PARENTS ROW("parentRefs", MESSAGES, crd_route, parents, "Services and ServiceEntries to which calls are routed.", .sub = &parent_table), \
	ROW_NOT("useDefaultGateways", IGNORED, "Of gateways.", NULL)

static const struct field http_route_rows[] = {
	PARENTS,
	ROW("hostnames", STRINGS, crd_route, hostnames, "Have no effect in a mesh, as in Istio: the parent is the host."),
	ROW("rules", MESSAGES, crd_route, rules, "Rules.", .sub = &http_rule_table),
	{ 0 },
};
const struct field_table crd_http_route_table = {
	.name = "HTTPRoute.spec", .size = sizeof(struct crd_route), .fields = http_route_rows,
	.doc = "How requests to a Service are routed. Routes of the client's namespace come first. In ztunnel mode it has no effect.",
};
static const struct field grpc_route_rows[] = {
	PARENTS,
	ROW("hostnames", STRINGS, crd_route, hostnames, "Have no effect in a mesh, as in Istio: the parent is the host."),
	ROW("rules", MESSAGES, crd_route, rules, "Rules.", .sub = &grpc_rule_table),
	{ 0 },
};
const struct field_table crd_grpc_route_table = {
	.name = "GRPCRoute.spec", .size = sizeof(struct crd_route), .fields = grpc_route_rows,
	.doc = "As HTTPRoute, for services and methods of gRPC. In ztunnel mode it has no effect.",
};
static const struct field tcp_route_rows[] = {
	PARENTS,
	ROW("rules", MESSAGES, crd_route, rules, "Rules.", .sub = &l4_rule_table),
	{ 0 },
};
const struct field_table crd_tcp_route_table = {
	.name = "TCPRoute.spec", .size = sizeof(struct crd_route), .fields = tcp_route_rows,
	.doc = "Where TCP connections to a Service go. In ztunnel mode it has no effect.",
};
static const struct field tls_route_rows[] = {
	PARENTS,
	ROW("hostnames", STRINGS, crd_route, hostnames, "Names of the TLS handshake; any when absent."),
	ROW("rules", MESSAGES, crd_route, rules, "Rules.", .sub = &l4_rule_table),
	{ 0 },
};
const struct field_table crd_tls_route_table = {
	.name = "TLSRoute.spec", .size = sizeof(struct crd_route), .fields = tls_route_rows,
	.doc = "Where TLS connections to a Service go, which are not ended here. In ztunnel mode it has no effect.",
};

/* --- BackendTLSPolicy --- */

static const struct field tls_target_rows[] = {
	ROW("group", STRING, crd_ref, group, "Empty for a Service."),
	ROW("kind", STRING, crd_ref, kind, "Service."),
	ROW("name", STRING, crd_ref, name, "Its name."),
	ROW_NOT("sectionName", REFUSED, "One of its ports.", "the policy holds for all ports; use portLevelSettings of a DestinationRule"),
	{ 0 },
};
static const struct field_table tls_target_table = { .name = "targetRefs", .size = sizeof(struct crd_ref), .fields = tls_target_rows };

static const char *const san_types[] = { "Hostname", "URI", NULL };
static const struct field san_rows[] = {
	ROW("type", ENUM, crd_san, type, "What it is.", .words = san_types, .deflt = "Hostname"),
	ROW("hostname", STRING, crd_san, host, "A DNS name."),
	ROW("uri", STRING, crd_san, uri, "A URI, such as a SPIFFE identity."),
	{ 0 },
};
static const struct field_table san_table = { .name = "subjectAltNames", .size = sizeof(struct crd_san), .fields = san_rows };

static const char *const well_known[] = { "System", NULL };
static const struct field validation_rows[] = {
	ROW("hostname", STRING, crd_backend_tls, host, "Name of the handshake, which the server must prove unless there are subjectAltNames."),
	ROW("wellKnownCACertificates", ENUM, crd_backend_tls, roots, "System: the roots of the system.", .words = well_known, .min = 1),
	ROW("subjectAltNames", MESSAGES, crd_backend_tls, sans, "Names of which the server must prove one.", .sub = &san_table),
	ROW_NOT("caCertificateRefs", REFUSED, "ConfigMaps with roots.", "they are not read; use wellKnownCACertificates, or a DestinationRule with caCertificates"),
	{ 0 },
};
static const struct field_table validation_table = { .name = "validation", .size = sizeof(struct crd_backend_tls), .fields = validation_rows };

static const struct field backend_tls_rows[] = {
	ROW("targetRefs", MESSAGES, crd_backend_tls, targets, "A Service.", .sub = &tls_target_table),
	ROW_WHOLE("validation", "What is demanded of the server.", &validation_table),
	ROW_NOT("options", REFUSED, "An implementation's own.", "meshd has none"),
	{ 0 },
};
const struct field_table crd_backend_tls_table = {
	.name = "BackendTLSPolicy.spec", .size = sizeof(struct crd_backend_tls), .fields = backend_tls_rows,
	.doc = "TLS to the endpoints of a Service, where no DestinationRule says otherwise. In ztunnel mode it has no effect.",
};
