/* SPDX-License-Identifier: Apache-2.0 */
/* VirtualService: its fields, and what Istio's own validation says of them. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/virtualservice.h"
#include "source/check.h"
#include "source/crd.h"
#include "source/value.h"

#define BODY_MAX (1 << 20)
#define BODY_LARGE 100000
#define STRING_ROWS(STRUCT, MEMBER) \
	ROW("exact", ONE_TEXT, STRUCT, MEMBER, "The whole text.", .min = STRING_EXACT), \
	ROW("prefix", ONE_TEXT, STRUCT, MEMBER, "The beginning of the text.", .min = STRING_PREFIX), \
	ROW("regex", ONE_TEXT, STRUCT, MEMBER, "A regular expression of RE2, for the whole text.", .min = STRING_REGEX)

/* --- texts --- */

static void check_string_match(struct field_walk *w, void *out)
{
	const struct string_match *m = out;

	if (m->kind == STRING_PREFIX && !*m->text)
		field_error(w, 0, "prefix", "want at least one character");
	if (m->kind == STRING_REGEX)
		check_regex(w, "regex", m->text);
}

struct holder { struct string_match m; };
static const struct field string_match_rows[] = { STRING_ROWS(holder, m), { 0 } };
const struct field_table crd_string_match_table = {
	.name = "StringMatch", .size = sizeof(struct string_match), .fields = string_match_rows, .check = check_string_match,
};

static void check_named(struct field_walk *w, void *out)
{
	check_string_match(w, &((struct vs_named *)out)->value);
}

static const struct field named_rows[] = { STRING_ROWS(vs_named, value), { 0 } };
static const struct field_table named_table = {
	.name = "StringMatch", .size = sizeof(struct vs_named), .fields = named_rows, .check = check_named,
};

/* --- destinations and headers --- */

static const struct field port_rows[] = {
	ROW("number", PORT, vs_destination, port, "Port of the service; may be left out when it has one only, or the same as was called."),
	{ 0 },
};
static const struct field_table port_table = { .name = "port", .size = sizeof(struct vs_destination), .fields = port_rows };

static void check_destination(struct field_walk *w, void *out)
{
	struct vs_destination *d = out;

	if (!*d->host)
		field_error(w, 0, "host", "want a host, got nothing");
	else
		d->host = check_host(w, "host", d->host, false);
	if (!d->host)
		d->host = "";
	if (*d->subset)
		check_subset_name(w, "subset", d->subset);
}

static const struct field destination_rows[] = {
	ROW("host", STRING, vs_destination, host, "A service: a name without dots is one of the rule's own namespace."),
	ROW("subset", STRING, vs_destination, subset, "A subset of the service's DestinationRule."),
	ROW_WHOLE("port", "Port of the service.", &port_table),
	{ 0 },
};
const struct field_table crd_destination_table = {
	.name = "destination", .size = sizeof(struct vs_destination), .fields = destination_rows, .check = check_destination,
};

static void check_header_ops(struct field_walk *w, void *out)
{
	const struct vs_header_ops *h = out;

	for (int i = 0; i < h->set.n; i++)
		check_header_op(w, "set", h->set.v[i].key, h->set.v[i].value);
	for (int i = 0; i < h->add.n; i++)
		check_header_op(w, "add", h->add.v[i].key, h->add.v[i].value);
	for (int i = 0; i < h->remove.n; i++) {
		const char *name = h->remove.v[i];

		if (*name == ':' || str_eq_nocase(str_c(name), str_c("host")))
			field_error(w, 0, "remove", "want no pseudo-header and no Host, got '%.80s'", name);
		else
			check_header_name(w, "remove", name);
	}
}

static const struct field header_op_rows[] = {
	ROW("set", LABELS, vs_header_ops, set, "Headers that take the place of those with their names; %VARIABLES% of Envoy's access log are filled in."),
	ROW("add", LABELS, vs_header_ops, add, "Headers that are appended."),
	ROW("remove", STRINGS, vs_header_ops, remove, "Names of headers that are taken away."),
	{ 0 },
};
static const struct field_table header_op_table = {
	.name = "headers", .size = sizeof(struct vs_header_ops), .fields = header_op_rows, .check = check_header_ops,
};

static bool sets_host(const struct vs_header_ops *h, bool only_host)
{
	for (int k = 0; h && k < 2; k++) {
		const struct label *v = k ? h->add.v : h->set.v;

		for (int i = 0; i < (k ? h->add.n : h->set.n); i++)
			if (str_eq_nocase(str_c(v[i].key), str_c("host")) || (!only_host && !strcmp(v[i].key, ":authority")))
				return true;
	}
	return false;
}

static void check_headers(struct field_walk *w, void *out)
{
	const struct vs_headers *h = out;

	if (sets_host(h->response, false))
		field_error(w, 0, "response", "want no :authority and no Host in a response");
}

static const struct field headers_rows[] = {
	ROW("request", MESSAGE, vs_headers, request, "Of requests.", .sub = &header_op_table),
	ROW("response", MESSAGE, vs_headers, response, "Of responses.", .sub = &header_op_table),
	{ 0 },
};
static const struct field_table headers_table = {
	.name = "headers", .size = sizeof(struct vs_headers), .fields = headers_rows, .check = check_headers,
};

static const struct field target_rows[] = {
	ROW("destination", MESSAGE, vs_target, destination, "Where it goes.", .sub = &crd_destination_table),
	ROW("weight", U32, vs_target, weight, "Share, relative to the sum of all weights; of a single destination it does not count.", .max = INT32_MAX),
	ROW("headers", MESSAGE, vs_target, headers, "Changes of headers on this way only.", .sub = &headers_table),
	{ 0 },
};
static const struct field_table target_table = { .name = "route", .size = sizeof(struct vs_target), .fields = target_rows };

static const struct field l4_target_rows[] = {
	ROW("destination", MESSAGE, vs_target, destination, "Where it goes.", .sub = &crd_destination_table),
	ROW("weight", U32, vs_target, weight, "Share, relative to the sum of all weights.", .max = INT32_MAX),
	{ 0 },
};
static const struct field_table l4_target_table = { .name = "route", .size = sizeof(struct vs_target), .fields = l4_target_rows };

static void check_route(struct field_walk *w, const struct vs_target *v, int n)
{
	uint64_t sum = 0;

	for (int i = 0; i < n; i++) {
		if (!v[i].destination)
			field_error(w, 0, "route", "want a destination in each");
		sum += v[i].weight;
	}
	if (n > 1 && !sum)
		field_error(w, 0, "route", "want weights of which one is more than 0, in %d destinations", n);
	if (sum > UINT32_MAX)
		field_error(w, 0, "route", "want weights whose sum is at most 4294967295");
}

/* --- http: match --- */

static void check_match(struct field_walk *w, void *out)
{
	struct vs_match *m = out;

	for (int i = 0; i < m->headers.n; i++)
		if (!*m->headers.v[i].name)
			field_error(w, 0, "headers", "want a name");
	for (int i = 0; i < m->without_headers.n; i++)
		check_header_name(w, "withoutHeaders", m->without_headers.v[i].name);
	for (int i = 0; i < m->query_params.n; i++)
		if (!*m->query_params.v[i].name)
			field_error(w, 0, "queryParams", "want a name");
	if (*m->source_ns && !value_is_label(m->source_ns))
		field_error(w, 0, "sourceNamespace", "want a namespace, got '%.80s'", m->source_ns);
	check_selector(w, "sourceLabels", m->source_labels.v, m->source_labels.n);
	if (m->ignore_uri_case && m->uri.kind == STRING_REGEX)
		field_warn(w, 0, "ignoreUriCase", "has no effect with a regular expression, as in Istio: write (?i)");
	for (int i = 0; i < m->headers.n; i++)
		if (str_starts(str_c(m->headers.v[i].name), str_c("@request.auth.claims")))
			field_warn(w, 0, "headers", "'%.80s' is for gateways: in sidecars it never matches, as in Istio", m->headers.v[i].name);
}

static const struct field match_rows[] = {
	ROW("name", STRING, vs_match, name, "Appended to the route's name in access logs."),
	ROW("uri", INLINE, vs_match, uri, "The path, without the query. A prefix is one of the text: /foo matches /foobar.", .sub = &crd_string_match_table),
	ROW("scheme", INLINE, vs_match, scheme, "http or https.", .sub = &crd_string_match_table),
	ROW("method", INLINE, vs_match, method, "GET and so on.", .sub = &crd_string_match_table),
	ROW("authority", INLINE, vs_match, authority, "The Host, with its port if it has one.", .sub = &crd_string_match_table),
	ROW("headers", MESSAGE_MAP, vs_match, headers, "By name; {} matches any value. The keys uri, scheme, method and authority are passed over.", .sub = &named_table),
	ROW("port", PORT, vs_match, port, "Port of the service that was called."),
	ROW("sourceLabels", LABELS, vs_match, source_labels, "Labels of the client's workload."),
	ROW("gateways", STRINGS, vs_match, gateways, "mesh, or gateways; takes the place of the gateways above."),
	ROW("queryParams", MESSAGE_MAP, vs_match, query_params, "By name.", .sub = &named_table),
	ROW("ignoreUriCase", BOOL, vs_match, ignore_uri_case, "Of uri's exact and prefix."),
	ROW("withoutHeaders", MESSAGE_MAP, vs_match, without_headers, "Must not match; a missing header counts as empty.", .sub = &named_table),
	ROW("sourceNamespace", STRING, vs_match, source_ns, "Namespace of the client's workload."),
	ROW_NOT("statPrefix", IGNORED, "Prefix of Envoy's own statistics of a route, which meshd does not have.", NULL),
	{ 0 },
};
static const struct field_table match_table = { .name = "match", .size = sizeof(struct vs_match), .fields = match_rows, .check = check_match };

/* --- http: redirect, direct response, rewrite, delegate --- */

static const char *const derive_ports[] = { "FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT", NULL };

static void check_redirect(struct field_walk *w, void *out)
{
	const struct vs_redirect *r = out;

	if (!*r->uri && !r->prefix_rewrite && !*r->authority && !*r->scheme && !r->port.set && !r->derive_port)
		field_error(w, 0, NULL, "want at least one of uri, authority, port, derivePort, scheme");
	if (*r->uri && r->prefix_rewrite)
		field_error(w, 0, "prefixRewrite", "want it without uri");
	if (r->code != 301 && r->code != 302 && r->code != 303 && r->code != 307 && r->code != 308)
		field_error(w, 0, "redirectCode", "want one of 301, 302, 303, 307, 308, got %u", r->code);
	if (*r->scheme && strcmp(r->scheme, "http") && strcmp(r->scheme, "https"))
		field_error(w, 0, "scheme", "want http or https, got '%.40s'", r->scheme);
	if (r->port.set && r->derive_port)
		field_error(w, 0, "derivePort", "want it without port");
}

static const struct field redirect_rows[] = {
	ROW("uri", STRING, vs_redirect, uri, "The whole path of the new URL."),
	ROW("prefixRewrite", TEXT, vs_redirect, prefix_rewrite, "Takes the place of the part of the path that matched a prefix."),
	ROW("authority", STRING, vs_redirect, authority, "Host of the new URL."),
	ROW("port", OPT_U32, vs_redirect, port, "Port of the new URL.", .min = 1, .max = 65535),
	ROW("derivePort", ENUM, vs_redirect, derive_port, "Instead of port: the scheme's own, or that of the request.", .words = derive_ports, .min = VS_PORT_PROTOCOL_DEFAULT),
	ROW("scheme", STRING, vs_redirect, scheme, "http or https."),
	ROW("redirectCode", U32, vs_redirect, code, "Status: 301, 302, 303, 307 or 308.", .deflt = "301"),
	{ 0 },
};
static const struct field_table redirect_table = {
	.name = "redirect", .size = sizeof(struct vs_redirect), .fields = redirect_rows, .check = check_redirect,
};

static void check_body(struct field_walk *w, void *out)
{
	struct vs_body *b = out;
	size_t n = b->string ? strlen(b->string) : b->bytes.n;

	if (b->string && b->bytes.p)
		field_error(w, 0, NULL, "want either string or bytes, got both");
	if (n > BODY_MAX)
		field_error(w, 0, NULL, "want at most %d bytes, got %zu", BODY_MAX, n);
	else if (n > BODY_LARGE)
		field_warn(w, 0, NULL, "%zu bytes are much for a body that stands in the configuration", n);
	if (!b->string)
		b->string = "";
}

static const struct field body_rows[] = {
	ROW("string", TEXT, vs_body, string, "The body."),
	ROW("bytes", BYTES, vs_body, bytes, "The body, in base64."),
	{ 0 },
};
static const struct field_table body_table = { .name = "body", .size = sizeof(struct vs_body), .fields = body_rows, .check = check_body };

static void check_direct(struct field_walk *w, void *out)
{
	const struct vs_direct_response *d = out;

	if (d->status < 200 || d->status > 599)
		field_error(w, 0, "status", "want a status from 200 to 599, got %u", d->status);
}

static const struct field direct_rows[] = {
	ROW("status", U32, vs_direct_response, status, "Status of the answer."),
	ROW("body", MESSAGE, vs_direct_response, body, "Body of the answer.", .sub = &body_table),
	{ 0 },
};
static const struct field_table direct_table = {
	.name = "directResponse", .size = sizeof(struct vs_direct_response), .fields = direct_rows, .check = check_direct,
};

static const struct field delegate_rows[] = {
	ROW("name", STRING, vs_delegate, name, "A VirtualService without hosts, whose rules come here."),
	ROW("namespace", STRING, vs_delegate, ns, "Its namespace; the same when absent."),
	{ 0 },
};
static const struct field_table delegate_table = { .name = "delegate", .size = sizeof(struct vs_delegate), .fields = delegate_rows };

static void check_regex_rewrite(struct field_walk *w, void *out)
{
	const struct vs_regex_rewrite *r = out;

	if (!*r->match || !*r->rewrite)
		field_error(w, 0, NULL, "want match and rewrite, both not empty");
	else
		check_regex(w, "match", r->match);
}

static const struct field regex_rewrite_rows[] = {
	ROW("match", STRING, vs_regex_rewrite, match, "A regular expression of RE2, of parts of the path."),
	ROW("rewrite", STRING, vs_regex_rewrite, rewrite, "What takes the place of each part; \\1 is the first group."),
	{ 0 },
};
static const struct field_table regex_rewrite_table = {
	.name = "uriRegexRewrite", .size = sizeof(struct vs_regex_rewrite), .fields = regex_rewrite_rows, .check = check_regex_rewrite,
};

static void check_rewrite(struct field_walk *w, void *out)
{
	const struct vs_rewrite *r = out;

	if (!*r->uri && !*r->authority && !r->regex)
		field_error(w, 0, NULL, "want at least one of uri, authority, uriRegexRewrite");
	if (*r->uri && r->regex)
		field_error(w, 0, "uriRegexRewrite", "want it without uri");
}

static const struct field rewrite_rows[] = {
	ROW("uri", STRING, vs_rewrite, uri, "Takes the place of the prefix that matched, or else of the whole path."),
	ROW("authority", STRING, vs_rewrite, authority, "Takes the place of the Host."),
	ROW("uriRegexRewrite", MESSAGE, vs_rewrite, regex, "By a regular expression.", .sub = &regex_rewrite_table),
	{ 0 },
};
static const struct field_table rewrite_table = {
	.name = "rewrite", .size = sizeof(struct vs_rewrite), .fields = rewrite_rows, .check = check_rewrite,
};

/* --- http: retries --- */

static bool retry_word(struct str s)
{
	static const char *const words[] = {
		"5xx", "gateway-error", "reset", "reset-before-request", "connect-failure", "envoy-ratelimited", "retriable-4xx",
		"refused-stream", "retriable-status-codes", "retriable-headers", "http3-post-connect-failure", "cancelled",
		"deadline-exceeded", "internal", "resource-exhausted", "unavailable",
	};
	uint64_t code;

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (str_is(s, words[i]))
			return true;
	return str_to_u64(s, &code) && code >= 100 && code <= 599;
}

static void check_retries(struct field_walk *w, void *out)
{
	const struct vs_retries *r = out;
	struct str rest = str_c(r->retry_on);

	if (!r->attempts && (r->per_try.set || *r->retry_on || r->remote_localities))
		field_error(w, 0, "attempts", "want more than 0 beside perTryTimeout, retryOn and retryRemoteLocalities");
	while (rest.n) {
		struct str word = str_cut(rest, ',', &rest);

		while (word.n && *word.p == ' ')
			word = (struct str){ word.p + 1, word.n - 1 };
		while (word.n && word.p[word.n - 1] == ' ')
			word.n--;
		if (word.n && !retry_word(word))
			field_error(w, 0, "retryOn", "want conditions of Envoy, such as 5xx or connect-failure, and status codes, got '%.*s'", STR_FMT(word));
	}
}

static const struct field retry_rows[] = {
	ROW("attempts", U32, vs_retries, attempts, "Tries beyond the first; 0: none.", .max = INT32_MAX),
	ROW("perTryTimeout", OPT_MS, vs_retries, per_try, "How long one try may take.", .min = 1),
	ROW("retryOn", STRING, vs_retries, retry_on, "Conditions of Envoy, and status codes, with commas."),
	ROW("retryRemoteLocalities", OPT_BOOL, vs_retries, remote_localities, "Tries again in other localities."),
	ROW("retryIgnorePreviousHosts", OPT_BOOL, vs_retries, ignore_previous_hosts, "Avoids hosts that were tried; true when absent, but for consistentHash."),
	ROW("backoff", OPT_MS, vs_retries, backoff, "Wait before the first new try; 25ms when absent.", .min = 1),
	{ 0 },
};
const struct field_table crd_retries_table = {
	.name = "retries", .size = sizeof(struct vs_retries), .fields = retry_rows, .check = check_retries,
};

/* --- http: fault --- */

static const struct field percent_rows[] = {
	ROW("value", OPT_DOUBLE, vs_percent, value, "Share in percent.", .max = 100),
	{ 0 },
};
static const struct field_table percent_table = { .name = "percentage", .size = sizeof(struct vs_percent), .fields = percent_rows };

static void check_delay(struct field_walk *w, void *out)
{
	const struct vs_delay *d = out;

	if (!d->fixed.set)
		field_error(w, 0, "fixedDelay", "want a duration, got nothing");
	if (!d->percentage && !d->percent.set)
		field_warn(w, 0, NULL, "without percentage it never fires, as in Istio");
}

static const struct field delay_rows[] = {
	ROW("percentage", MESSAGE, vs_delay, percentage, "Share of the requests; none when absent.", .sub = &percent_table),
	ROW("percent", OPT_U32, vs_delay, percent, "As percentage, in whole numbers.", .max = 100),
	ROW("fixedDelay", OPT_MS, vs_delay, fixed, "The delay.", .min = 1),
	ROW_NOT("exponentialDelay", REFUSED, "A delay that varies.", "Istio does not know it either: use fixedDelay"),
	{ 0 },
};
static const struct field_table delay_table = { .name = "delay", .size = sizeof(struct vs_delay), .fields = delay_rows, .check = check_delay };

static bool grpc_name(const char *s)
{
	static const char *const names[] = {
		"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
		"RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE",
		"DATA_LOSS", "UNAUTHENTICATED",
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (!strcmp(s, names[i]))
			return true;
	return false;
}

static void check_abort(struct field_walk *w, void *out)
{
	const struct vs_abort *a = out;

	if (a->http_status.set && *a->grpc_status)
		field_error(w, 0, "grpcStatus", "want it without httpStatus");
	if (!a->http_status.set && !*a->grpc_status)
		field_error(w, 0, NULL, "want httpStatus or grpcStatus");
	if (*a->grpc_status && !grpc_name(a->grpc_status))
		field_error(w, 0, "grpcStatus", "want a name such as UNAVAILABLE, got '%.40s'", a->grpc_status);
	if (!a->percentage && !a->percent.set)
		field_warn(w, 0, NULL, "without percentage it never fires, as in Istio");
}

static const struct field abort_rows[] = {
	ROW("percentage", MESSAGE, vs_abort, percentage, "Share of the requests; none when absent.", .sub = &percent_table),
	ROW("percent", OPT_U32, vs_abort, percent, "As percentage, in whole numbers.", .max = 100),
	ROW("httpStatus", OPT_U32, vs_abort, http_status, "Status of the answer.", .min = 200, .max = 599),
	ROW("grpcStatus", STRING, vs_abort, grpc_status, "Name of a gRPC status."),
	ROW_NOT("http2Error", REFUSED, "A reset of HTTP/2.", "Istio does not know it either: use httpStatus or grpcStatus"),
	{ 0 },
};
static const struct field_table abort_table = { .name = "abort", .size = sizeof(struct vs_abort), .fields = abort_rows, .check = check_abort };

static void check_fault(struct field_walk *w, void *out)
{
	const struct vs_fault *f = out;

	if (!f->delay && !f->abort)
		field_error(w, 0, NULL, "want delay or abort");
}

static const struct field fault_rows[] = {
	ROW("delay", MESSAGE, vs_fault, delay, "Holds requests up.", .sub = &delay_table),
	ROW("abort", MESSAGE, vs_fault, abort, "Answers requests with a failure.", .sub = &abort_table),
	{ 0 },
};
static const struct field_table fault_table = { .name = "fault", .size = sizeof(struct vs_fault), .fields = fault_rows, .check = check_fault };

/* --- http: mirrors, CORS --- */

static const struct field mirror_rows[] = {
	ROW("destination", MESSAGE, vs_mirror, destination, "Where copies go.", .sub = &crd_destination_table),
	ROW("percentage", MESSAGE, vs_mirror, percentage, "Share of the requests; all when absent.", .sub = &percent_table),
	{ 0 },
};
static const struct field_table mirror_table = { .name = "mirrors", .size = sizeof(struct vs_mirror), .fields = mirror_rows };

static void check_cors(struct field_walk *w, void *out)
{
	static const char *const methods[] = { "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", "*" };
	struct vs_cors *c = out;
	struct string_match *v = arena_alloc(w->arena, (size_t)(c->allow_origins.n + c->allow_origin.n) * sizeof(*v));
	int n = 0;

	for (int i = 0; i < c->allow_origins.n; i++) {
		if (c->allow_origins.v[i].kind == STRING_ANY)
			field_error(w, 0, "allowOrigins", "want exact, prefix or regex in each");
		v[n++] = c->allow_origins.v[i];
	}
	for (int i = 0; i < c->allow_origin.n && !c->allow_origins.n; i++)
		v[n++] = strcmp(c->allow_origin.v[i], "*") ? (struct string_match){ STRING_EXACT, c->allow_origin.v[i] } :
							     (struct string_match){ STRING_REGEX, ".*" };
	c->allow_origins.v = v;
	c->allow_origins.n = n;
	c->ignore_unmatched = c->unmatched == 2;
	for (int i = 0; i < c->allow_methods.n; i++) {
		bool known = false;

		for (size_t k = 0; k < ARRAY_LEN(methods); k++)
			known = known || !strcmp(c->allow_methods.v[i], methods[k]);
		if (!known)
			field_error(w, 0, "allowMethods", "want methods of HTTP, got '%.40s'", c->allow_methods.v[i]);
	}
	for (int i = 0; i < c->allow_headers.n; i++)
		if (strcmp(c->allow_headers.v[i], "*"))
			check_header_name(w, "allowHeaders", c->allow_headers.v[i]);
	for (int i = 0; i < c->expose_headers.n; i++)
		if (strcmp(c->expose_headers.v[i], "*"))
			check_header_name(w, "exposeHeaders", c->expose_headers.v[i]);
	if (c->max_age.set && c->max_age.ms % 1000)
		field_error(w, 0, "maxAge", "want whole seconds");
}

static const char *const unmatched[] = { "UNSPECIFIED", "FORWARD", "IGNORE", NULL };

static const struct field cors_rows[] = {
	ROW("allowOrigins", MESSAGES, vs_cors, allow_origins, "Origins that may.", .sub = &crd_string_match_table),
	ROW("allowOrigin", STRINGS, vs_cors, allow_origin, "As allowOrigins, exact only; * is any."),
	ROW("allowMethods", STRINGS, vs_cors, allow_methods, "Access-Control-Allow-Methods."),
	ROW("allowHeaders", STRINGS, vs_cors, allow_headers, "Access-Control-Allow-Headers."),
	ROW("exposeHeaders", STRINGS, vs_cors, expose_headers, "Access-Control-Expose-Headers."),
	ROW("maxAge", OPT_MS, vs_cors, max_age, "Access-Control-Max-Age, in whole seconds."),
	ROW("allowCredentials", OPT_BOOL, vs_cors, allow_credentials, "Access-Control-Allow-Credentials."),
	ROW("unmatchedPreflights", ENUM, vs_cors, unmatched, "Preflights of other origins: FORWARD passes them on, IGNORE does not.",
	    .words = unmatched, .deflt = "UNSPECIFIED"),
	{ 0 },
};
const struct field_table crd_cors_table = { .name = "corsPolicy", .size = sizeof(struct vs_cors), .fields = cors_rows, .check = check_cors };

/* --- http --- */

static void gather_mirrors(struct field_walk *w, struct vs_http *h)
{
	struct vs_mirror *m;

	if (h->mirror && h->mirrors.n)
		field_error(w, 0, "mirrors", "want either mirror or mirrors, got both");
	for (int i = 0; i < h->mirrors.n; i++)
		if (!h->mirrors.v[i].destination)
			field_error(w, 0, "mirrors", "want a destination in each");
	if (!h->mirror)
		return;
	h->mirrors.v = m = arena_alloc(w->arena, sizeof(*m));
	h->mirrors.n = 1;
	m->destination = h->mirror;
	m->percentage = h->mirror_percentage;
	if (!m->percentage && h->mirror_percent.set) {
		struct vs_percent *p = arena_alloc(w->arena, sizeof(*p));

		p->value = (struct opt_double){ h->mirror_percent.v, true };
		m->percentage = p;
	}
}

static void check_authority_once(struct field_walk *w, const struct vs_http *h)
{
	int n = h->rewrite && *h->rewrite->authority;
	bool in_target = false;

	n += h->headers && sets_host(h->headers->request, false);
	for (int i = 0; i < h->route.n; i++)
		in_target = in_target || (h->route.v[i].headers && sets_host(h->route.v[i].headers->request, false));
	if (n + in_target > 1)
		field_error(w, 0, NULL, "want the authority set once: by rewrite or by headers, for all or for each destination");
}

static void check_http(struct field_walk *w, void *out)
{
	struct vs_http *h = out;
	int actions = (h->redirect != NULL) + (h->direct_response != NULL) + (h->route.n > 0) + (h->delegate != NULL);

	if (!actions)
		field_error(w, 0, NULL, "want one of route, redirect, directResponse, delegate");
	if (actions > 1)
		field_error(w, 0, NULL, "want only one of route, redirect, directResponse, delegate");
	if (h->redirect && (h->fault || h->rewrite))
		field_error(w, 0, "redirect", "want no fault and no rewrite beside it");
	if (h->direct_response && (h->rewrite || h->fault))
		field_error(w, 0, "directResponse", "want no fault and no rewrite beside it");
	if (h->redirect && h->redirect->prefix_rewrite)
		for (int i = 0; i < h->match.n; i++)
			if (h->match.v[i].uri.kind == STRING_EXACT || h->match.v[i].uri.kind == STRING_REGEX)
				field_error(w, 0, "redirect.prefixRewrite", "want it with matches of prefixes only");
	check_route(w, h->route.v, h->route.n);
	gather_mirrors(w, h);
	check_authority_once(w, h);
	if (h->delegate && !value_is_name(h->delegate->name))
		field_error(w, 0, "delegate.name", "want the name of a VirtualService, got '%.80s'", h->delegate->name);
}

static const struct field http_rows[] = {
	ROW("name", STRING, vs_http, name, "Name of the route in access logs."),
	ROW("match", MESSAGES, vs_http, match, "One must match; without any, all requests do.", .sub = &match_table),
	ROW("route", MESSAGES, vs_http, route, "Where requests go.", .sub = &target_table),
	ROW("redirect", MESSAGE, vs_http, redirect, "Answers with another URL.", .sub = &redirect_table),
	ROW("directResponse", MESSAGE, vs_http, direct_response, "Answers.", .sub = &direct_table),
	ROW("delegate", MESSAGE, vs_http, delegate, "Leaves the rest to another VirtualService.", .sub = &delegate_table),
	ROW("rewrite", MESSAGE, vs_http, rewrite, "Changes path and Host on the way.", .sub = &rewrite_table),
	ROW("timeout", OPT_MS, vs_http, timeout, "Of the whole exchange, with retries; none when absent."),
	ROW("retries", MESSAGE, vs_http, retries,
	    "Tries again. Without it: 2 more tries on connect-failure, refused-stream, unavailable, cancelled.", .sub = &crd_retries_table),
	ROW("fault", MESSAGE, vs_http, fault, "Failures on purpose.", .sub = &fault_table),
	ROW("mirror", MESSAGE, vs_http, mirror, "As mirrors, with one entry.", .sub = &crd_destination_table),
	ROW("mirrorPercentage", MESSAGE, vs_http, mirror_percentage, "Of mirror; all when absent.", .sub = &percent_table),
	ROW("mirrorPercent", OPT_U32, vs_http, mirror_percent, "As mirrorPercentage, in whole numbers.", .max = 100),
	ROW("mirrors", MESSAGES, vs_http, mirrors, "Copies of requests go there too; answers are thrown away.", .sub = &mirror_table),
	ROW("corsPolicy", MESSAGE, vs_http, cors, "Answers browsers' preflights.", .sub = &crd_cors_table),
	ROW("headers", MESSAGE, vs_http, headers, "Changes of headers.", .sub = &headers_table),
	{ 0 },
};
static const struct field_table http_table = { .name = "http", .size = sizeof(struct vs_http), .fields = http_rows, .check = check_http };

/* --- tls and tcp --- */

static void check_l4_match(struct field_walk *w, void *out)
{
	struct vs_l4_match *m = out;
	struct field_strings subnets = { .v = (const char **)(uintptr_t)m->destination_subnets.v, .n = m->destination_subnets.n };

	check_subnets(w, "destinationSubnets", &subnets);
	if (*m->source_ns && !value_is_label(m->source_ns))
		field_error(w, 0, "sourceNamespace", "want a namespace, got '%.80s'", m->source_ns);
	check_selector(w, "sourceLabels", m->source_labels.v, m->source_labels.n);
}

static void check_tls_match(struct field_walk *w, void *out)
{
	struct vs_l4_match *m = out;
	struct ip ip;

	check_l4_match(w, out);
	if (!m->sni_hosts.n)
		field_error(w, 0, "sniHosts", "want at least one, got none");
	for (int i = 0; i < m->sni_hosts.n; i++) {
		const char *h = m->sni_hosts.v[i];

		if (!ip_parse(str_c(h), &ip))
			field_warn(w, 0, "sniHosts", "'%.80s' never matches: TLS has no SNI for IP addresses", h);
		else if (strcmp(h, "*") && !value_is_host_any(h))
			field_error(w, 0, "sniHosts", "want host names, got '%.80s'", h);
	}
}

#define L4_MATCH_ROWS \
	ROW("destinationSubnets", STRINGS, vs_l4_match, destination_subnets, "Addresses or CIDR blocks that were called."), \
	ROW("port", PORT, vs_l4_match, port, "Port that was called."), \
	ROW("sourceLabels", LABELS, vs_l4_match, source_labels, "Labels of the client's workload."), \
	ROW("sourceNamespace", STRING, vs_l4_match, source_ns, "Namespace of the client's workload."), \
	ROW("gateways", STRINGS, vs_l4_match, gateways, "mesh, or gateways; takes the place of the gateways above.")

static const struct field tls_match_rows[] = {
	ROW("sniHosts", STRINGS, vs_l4_match, sni_hosts, "Names of the TLS handshake; exact, or *.x."),
	L4_MATCH_ROWS,
	{ 0 },
};
static const struct field_table tls_match_table = {
	.name = "match", .size = sizeof(struct vs_l4_match), .fields = tls_match_rows, .check = check_tls_match,
};
static const struct field tcp_match_rows[] = {
	ROW_NOT("sourceSubnet", TODO, "The client's address.", "it has no effect, as in Istio: use sourceLabels"),
	L4_MATCH_ROWS,
	{ 0 },
};
static const struct field_table tcp_match_table = {
	.name = "match", .size = sizeof(struct vs_l4_match), .fields = tcp_match_rows, .check = check_l4_match,
};

static void check_l4(struct field_walk *w, void *out)
{
	const struct vs_l4 *r = out;

	if (!r->route.n)
		field_error(w, 0, "route", "want at least one destination, got none");
	check_route(w, r->route.v, r->route.n);
}

static void check_tls(struct field_walk *w, void *out)
{
	if (!((const struct vs_l4 *)out)->match.n)
		field_error(w, 0, "match", "want at least one, got none");
	check_l4(w, out);
}

static const struct field tls_rows[] = {
	ROW("match", MESSAGES, vs_l4, match, "One must match.", .sub = &tls_match_table),
	ROW("route", MESSAGES, vs_l4, route, "Where connections go.", .sub = &l4_target_table),
	{ 0 },
};
static const struct field_table tls_table = { .name = "tls", .size = sizeof(struct vs_l4), .fields = tls_rows, .check = check_tls };
static const struct field tcp_rows[] = {
	ROW("match", MESSAGES, vs_l4, match, "One must match; without any, all connections do.", .sub = &tcp_match_table),
	ROW("route", MESSAGES, vs_l4, route, "Where connections go.", .sub = &l4_target_table),
	{ 0 },
};
static const struct field_table tcp_table = { .name = "tcp", .size = sizeof(struct vs_l4), .fields = tcp_rows, .check = check_l4 };

/* --- the object --- */

static bool in_mesh(const struct virtual_service *v)
{
	bool mesh = !v->gateways.n;

	for (int i = 0; i < v->gateways.n; i++)
		mesh = mesh || !strcmp(v->gateways.v[i], "mesh");
	return mesh;
}

static void check_delegate(struct field_walk *w, const struct virtual_service *v)
{
	if (v->gateways.n)
		field_error(w, 0, "gateways", "want none in a delegate, which has no hosts");
	if (v->tls.n || v->tcp.n)
		field_error(w, 0, v->tls.n ? "tls" : "tcp", "want none in a delegate, which has no hosts");
	for (int i = 0; i < v->http.n; i++)
		if (v->http.v[i].delegate)
			field_error(w, 0, "http", "want no delegate of a delegate");
}

static bool covers(const char *wide, const char *host)
{
	return !strcmp(wide, "*") || !strcmp(wide, host) || (*wide == '*' && str_ends(str_c(host), str_c(wide + 1)));
}

static void check_sni(struct field_walk *w, const struct virtual_service *v)
{
	for (int i = 0; i < v->tls.n; i++) {
		for (int k = 0; k < v->tls.v[i].match.n; k++) {
			const struct vs_l4_match *m = &v->tls.v[i].match.v[k];

			for (int s = 0; s < m->sni_hosts.n; s++) {
				bool ok = false;

				for (int h = 0; h < v->hosts.n; h++)
					ok = ok || covers(v->hosts.v[h], m->sni_hosts.v[s]);
				if (!ok)
					field_error(w, 0, "tls", "want sniHosts that are among the hosts, got '%.80s'", m->sni_hosts.v[s]);
			}
		}
	}
}

static void check_virtual_service(struct field_walk *w, void *out)
{
	struct virtual_service *v = out;
	struct field_strings hosts = { .v = (const char **)(uintptr_t)v->hosts.v, .n = v->hosts.n };
	struct field_strings to = { .v = (const char **)(uintptr_t)v->export_to.v, .n = v->export_to.n };
	bool mesh = in_mesh(v);
	struct ip ip;

	if (!v->http.n && !v->tls.n && !v->tcp.n)
		field_error(w, 0, NULL, "want http, tls or tcp, got none");
	for (int i = 0; i < hosts.n; i++) {
		if (mesh && !strcmp(hosts.v[i], "*"))
			field_error(w, 0, "hosts", "want no '*' in the mesh: name a host, or gateways");
		else if (mesh && !v->gateways.n && !ip_parse(str_c(hosts.v[i]), &ip))
			field_warn(w, 0, "hosts", "the address '%.80s' is matched against the Host only", hosts.v[i]);
	}
	check_hosts(w, "hosts", &hosts, true);
	for (int i = 0; i < hosts.n; i++)
		for (int k = 0; k < i; k++)
			if (*hosts.v[i] && !strcmp(hosts.v[i], hosts.v[k]))
				field_error(w, 0, "hosts", "want each host once, got '%.80s' twice", hosts.v[i]);
	if (!hosts.n)
		check_delegate(w, v);
	else
		check_sni(w, v);
	check_export_to(w, "exportTo", &to);
	if (hosts.n && !mesh)
		field_info(w, 0, "gateways", "has no effect here: it names gateways only");
}

static const struct field rows[] = {
	ROW("hosts", STRINGS, virtual_service, hosts, "Hosts of requests; exact, or *.x. Without any: a delegate."),
	ROW("gateways", STRINGS, virtual_service, gateways, "mesh: sidecars and waypoints. Others have no effect here."),
	ROW("http", MESSAGES, virtual_service, http, "Rules for HTTP and gRPC; the first that matches counts.", .sub = &http_table),
	ROW("tls", MESSAGES, virtual_service, tls, "Rules for TLS that is passed on, by SNI.", .sub = &tls_table),
	ROW("tcp", MESSAGES, virtual_service, tcp, "Rules for other TCP.", .sub = &tcp_table),
	ROW("exportTo", STRINGS, virtual_service, export_to, "Namespaces whose sidecars see it: ., * or names."),
	{ 0 },
};
const struct field_table crd_virtual_service_table = {
	.name = "VirtualService.spec", .size = sizeof(struct virtual_service), .fields = rows, .check = check_virtual_service,
	.doc = "How requests to hosts are routed. Of several with the same host the oldest counts. In ztunnel mode it has no effect.",
};
