/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/format.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "telemetry/cel.h"
#include "telemetry/format_int.h"

const char format_default_text[] =
	"[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% %RESPONSE_FLAGS% "
	"%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% \"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" %BYTES_RECEIVED% "
	"%BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" "
	"\"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% "
	"%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n";

const struct format_pair format_default_json[] = {
	{ "authority", "%REQ(:AUTHORITY)%" },
	{ "bytes_received", "%BYTES_RECEIVED%" },
	{ "bytes_sent", "%BYTES_SENT%" },
	{ "connection_termination_details", "%CONNECTION_TERMINATION_DETAILS%" },
	{ "downstream_local_address", "%DOWNSTREAM_LOCAL_ADDRESS%" },
	{ "downstream_remote_address", "%DOWNSTREAM_REMOTE_ADDRESS%" },
	{ "duration", "%DURATION%" },
	{ "method", "%REQ(:METHOD)%" },
	{ "path", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%" },
	{ "protocol", "%PROTOCOL%" },
	{ "request_id", "%REQ(X-REQUEST-ID)%" },
	{ "requested_server_name", "%REQUESTED_SERVER_NAME%" },
	{ "response_code", "%RESPONSE_CODE%" },
	{ "response_code_details", "%RESPONSE_CODE_DETAILS%" },
	{ "response_flags", "%RESPONSE_FLAGS%" },
	{ "route_name", "%ROUTE_NAME%" },
	{ "start_time", "%START_TIME%" },
	{ "upstream_cluster", "%UPSTREAM_CLUSTER_RAW%" },
	{ "upstream_host", "%UPSTREAM_HOST%" },
	{ "upstream_local_address", "%UPSTREAM_LOCAL_ADDRESS%" },
	{ "upstream_service_time", "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%" },
	{ "upstream_transport_failure_reason", "%UPSTREAM_TRANSPORT_FAILURE_REASON%" },
	{ "user_agent", "%REQ(USER-AGENT)%" },
	{ "x_forwarded_for", "%REQ(X-FORWARDED-FOR)%" },
};
const int format_default_json_n = ARRAY_LEN(format_default_json);

/* What may stand in the parentheses of an operator. */
enum takes { TAKES_NOTHING, TAKES_NAMES /* X?Y */, TAKES_NAME, TAKES_TIME, TAKES_STATE, TAKES_CEL, TAKES_ENV, TAKES_PATH, TAKES_STATUS, TAKES_HOST };

static const struct operator {
	const char *name;
	enum format_op op;
	enum takes takes;
} operators[] = {
	{ "REQ", OP_REQ, TAKES_NAMES }, { "RESP", OP_RESP, TAKES_NAMES }, { "TRAILER", OP_TRAILER, TAKES_NAMES },
	{ "REQ_WITHOUT_QUERY", OP_REQ_WITHOUT_QUERY, TAKES_NAMES }, { "QUERY_PARAM", OP_QUERY_PARAM, TAKES_NAME },
	{ "PATH", OP_PATH, TAKES_PATH }, { "PROTOCOL", OP_PROTOCOL, TAKES_NOTHING },
	{ "UPSTREAM_PROTOCOL", OP_UPSTREAM_PROTOCOL, TAKES_NOTHING },
	{ "RESPONSE_CODE", OP_RESPONSE_CODE, TAKES_NOTHING },
	{ "RESPONSE_CODE_DETAILS", OP_RESPONSE_CODE_DETAILS, TAKES_NOTHING },
	{ "CONNECTION_TERMINATION_DETAILS", OP_TERMINATION_DETAILS, TAKES_NOTHING },
	{ "RESPONSE_FLAGS", OP_RESPONSE_FLAGS, TAKES_NOTHING }, { "RESPONSE_FLAGS_LONG", OP_RESPONSE_FLAGS_LONG, TAKES_NOTHING },
	{ "GRPC_STATUS", OP_GRPC_STATUS, TAKES_STATUS }, { "GRPC_STATUS_NUMBER", OP_GRPC_STATUS_NUMBER, TAKES_NOTHING },
	{ "TRACE_ID", OP_TRACE_ID, TAKES_NOTHING }, { "START_TIME", OP_START_TIME, TAKES_TIME },
	{ "DURATION", OP_DURATION, TAKES_NOTHING }, { "REQUEST_DURATION", OP_REQUEST_DURATION, TAKES_NOTHING },
	{ "REQUEST_TX_DURATION", OP_REQUEST_TX_DURATION, TAKES_NOTHING },
	{ "RESPONSE_DURATION", OP_RESPONSE_DURATION, TAKES_NOTHING },
	{ "RESPONSE_TX_DURATION", OP_RESPONSE_TX_DURATION, TAKES_NOTHING },
	{ "BYTES_RECEIVED", OP_BYTES_RECEIVED, TAKES_NOTHING }, { "BYTES_SENT", OP_BYTES_SENT, TAKES_NOTHING },
	{ "REQUEST_HEADERS_BYTES", OP_REQUEST_HEADERS_BYTES, TAKES_NOTHING },
	{ "RESPONSE_HEADERS_BYTES", OP_RESPONSE_HEADERS_BYTES, TAKES_NOTHING },
	{ "UPSTREAM_HOST", OP_UPSTREAM_HOST, TAKES_NOTHING }, { "UPSTREAM_REMOTE_ADDRESS", OP_UPSTREAM_HOST, TAKES_NOTHING },
	{ "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", OP_UPSTREAM_IP, TAKES_NOTHING },
	{ "UPSTREAM_REMOTE_PORT", OP_UPSTREAM_PORT, TAKES_NOTHING },
	{ "UPSTREAM_LOCAL_ADDRESS", OP_UPSTREAM_LOCAL, TAKES_NOTHING },
	{ "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT", OP_UPSTREAM_LOCAL_IP, TAKES_NOTHING },
	{ "UPSTREAM_LOCAL_PORT", OP_UPSTREAM_LOCAL_PORT, TAKES_NOTHING },
	{ "UPSTREAM_CLUSTER", OP_UPSTREAM_CLUSTER, TAKES_NOTHING }, { "UPSTREAM_CLUSTER_RAW", OP_UPSTREAM_CLUSTER, TAKES_NOTHING },
	{ "UPSTREAM_TRANSPORT_FAILURE_REASON", OP_UPSTREAM_FAILURE, TAKES_NOTHING },
	{ "UPSTREAM_REQUEST_ATTEMPT_COUNT", OP_UPSTREAM_ATTEMPTS, TAKES_NOTHING },
	{ "UPSTREAM_PEER_URI_SAN", OP_UPSTREAM_PEER_ID, TAKES_NOTHING },
	{ "DOWNSTREAM_REMOTE_ADDRESS", OP_REMOTE, TAKES_NOTHING },
	{ "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", OP_REMOTE_IP, TAKES_NOTHING },
	{ "DOWNSTREAM_REMOTE_PORT", OP_REMOTE_PORT, TAKES_NOTHING },
	{ "DOWNSTREAM_DIRECT_REMOTE_ADDRESS", OP_DIRECT, TAKES_NOTHING },
	{ "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT", OP_DIRECT_IP, TAKES_NOTHING },
	{ "DOWNSTREAM_DIRECT_REMOTE_PORT", OP_DIRECT_PORT, TAKES_NOTHING },
	{ "DOWNSTREAM_LOCAL_ADDRESS", OP_LOCAL, TAKES_NOTHING },
	{ "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT", OP_LOCAL_IP, TAKES_NOTHING },
	{ "DOWNSTREAM_LOCAL_PORT", OP_LOCAL_PORT, TAKES_NOTHING },
	{ "REQUESTED_SERVER_NAME", OP_SNI, TAKES_HOST }, { "ROUTE_NAME", OP_ROUTE_NAME, TAKES_NOTHING },
	{ "DOWNSTREAM_PEER_URI_SAN", OP_PEER_ID, TAKES_NOTHING }, { "DOWNSTREAM_LOCAL_URI_SAN", OP_LOCAL_ID, TAKES_NOTHING },
	{ "DOWNSTREAM_PEER_SUBJECT", OP_XFCC_SUBJECT, TAKES_NOTHING },
	{ "DOWNSTREAM_PEER_FINGERPRINT_256", OP_XFCC_HASH, TAKES_NOTHING },
	{ "FILTER_STATE", OP_FILTER_STATE, TAKES_STATE }, { "CEL", OP_CEL, TAKES_CEL },
	{ "HOSTNAME", OP_LITERAL, TAKES_NOTHING }, { "ENVIRONMENT", OP_LITERAL, TAKES_ENV },
};

/* Envoy's, which we do not have: told apart from what nobody has. */
static const char *const absent_here[] = {
	"START_TIME_LOCAL", "EMIT_TIME", "EMIT_TIME_LOCAL", "COMMON_DURATION", "ROUNDTRIP_DURATION", "UPSTREAM_HOST_NAME",
	"UPSTREAM_HOST_NAME_WITHOUT_PORT", "UPSTREAM_CONNECTION_ID", "UPSTREAM_CONNECTION_POOL_READY_DURATION", "UPSTREAM_FILTER_STATE",
	"UPSTREAM_METADATA", "UPSTREAM_TLS_VERSION", "UPSTREAM_TLS_CIPHER", "UPSTREAM_TLS_SESSION_ID", "UPSTREAM_PEER_SUBJECT",
	"UPSTREAM_PEER_ISSUER", "UPSTREAM_PEER_CERT", "UPSTREAM_LOCAL_URI_SAN", "UPSTREAM_LOCAL_SUBJECT", "UPSTREAM_HEADER_BYTES_SENT",
	"UPSTREAM_HEADER_BYTES_RECEIVED", "UPSTREAM_WIRE_BYTES_SENT", "UPSTREAM_WIRE_BYTES_RECEIVED", "DOWNSTREAM_WIRE_BYTES_SENT",
	"DOWNSTREAM_WIRE_BYTES_RECEIVED", "DOWNSTREAM_HEADER_BYTES_SENT", "DOWNSTREAM_HEADER_BYTES_RECEIVED", "DOWNSTREAM_TLS_VERSION",
	"DOWNSTREAM_TLS_CIPHER", "DOWNSTREAM_TLS_SESSION_ID", "DOWNSTREAM_PEER_ISSUER", "DOWNSTREAM_PEER_SERIAL",
	"DOWNSTREAM_PEER_FINGERPRINT_1", "DOWNSTREAM_PEER_CERT", "DOWNSTREAM_PEER_CERT_V_START", "DOWNSTREAM_PEER_CERT_V_END",
	"DOWNSTREAM_LOCAL_SUBJECT", "DOWNSTREAM_PEER_DNS_SAN", "DOWNSTREAM_LOCAL_DNS_SAN", "DOWNSTREAM_DETECTED_CLOSE_TYPE",
	"DOWNSTREAM_TRANSPORT_FAILURE_REASON", "DOWNSTREAM_LOCAL_CLOSE_REASON", "CONNECTION_ID", "STREAM_ID", "UNIQUE_ID",
	"VIRTUAL_CLUSTER_NAME", "VIRTUAL_HOST_NAME", "LOCAL_REPLY_BODY", "ACCESS_LOG_TYPE", "DYNAMIC_METADATA", "CLUSTER_METADATA",
	"METADATA", "TLS_JA3_FINGERPRINT", "TLS_JA4_FINGERPRINT", "RESPONSE_TRAILERS_BYTES", "QUERY_PARAMS", "SPAN_ID", "FILE_CONTENT",
	"SECRET",
};

static const struct operator *operator_find(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(operators); i++)
		if (str_is(name, operators[i].name))
			return &operators[i];
	return NULL;
}

static int unknown(struct str name, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(absent_here); i++)
		if (str_is(name, absent_here[i]))
			return err_set(err, -ENOTSUP, "meshd does not have Envoy's operator %%%.*s%%; leave it out of the format", STR_FMT(name));
	return err_set(err, -EINVAL, "there is no operator %%%.*s%%", STR_FMT(name));
}

static int bad(const struct operator *o, const char *wanted, struct err *err)
{
	return err_set(err, -EINVAL, "%%%s%%: %s is wanted", o->name, wanted);
}

static char *lower_dup(struct str s)
{
	char *t = str_dup(s);

	for (char *c = t; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return t;
}

static bool field_name_ok(struct str s)
{
	if (s.n && s.p[0] == ':') {
		s.p++;
		s.n--;
	}
	return http_token(s);
}

static int take_names(const struct operator *o, struct format_element *e, struct str in, struct err *err)
{
	struct str alt, name = str_cut(in, '?', &alt);

	if (!field_name_ok(name) || (alt.p && !field_name_ok(alt)))
		return bad(o, "(NAME), (NAME?OTHER) of header names", err);
	e->arg = lower_dup(name);
	e->alt = alt.p ? lower_dup(alt) : NULL;
	return 0;
}

static int take_path(const struct operator *o, struct format_element *e, struct str in, struct err *err)
{
	struct str which, query = str_cut(in, ':', &which);

	e->op = OP_PATH;
	if (!which.p || str_is(which, "PATH"))
		e->arg = xstrdup(":path");
	else if (str_is(which, "ORIG"))
		e->arg = xstrdup("x-envoy-original-path");
	else if (str_is(which, "ORIG_OR_PATH")) {
		e->arg = xstrdup("x-envoy-original-path");
		e->alt = xstrdup(":path");
	} else {
		return bad(o, "ORIG, PATH or ORIG_OR_PATH after the colon", err);
	}
	if (str_is(query, "NQ"))
		e->op = OP_REQ_WITHOUT_QUERY;
	else if (!str_is(query, "WQ"))
		return bad(o, "(WQ) or (NQ), and perhaps :ORIG, :PATH or :ORIG_OR_PATH", err);
	return 0;
}

static const char *const states[] = {
	"io.istio.peer_principal", "io.istio.local_principal", "downstream_peer", "upstream_peer", "downstream_peer_obj", "upstream_peer_obj",
};

/* NAME:PLAIN, NAME:FIELD:name; what Istio's own configuration refers to. */
static int take_state(const struct operator *o, struct format_element *e, struct str in, struct err *err)
{
	static const char *const fields[] = { "name", "namespace", "workload", "service", "revision", "app", "version", "cluster", "type" };
	struct str rest, name = str_cut(in, ':', &rest), field, how = str_cut(rest, ':', &field);
	bool known = false;

	for (size_t i = 0; i < ARRAY_LEN(states); i++)
		known |= str_is(name, states[i]);
	if (!known)
		return err_set(err, -ENOTSUP, "%%FILTER_STATE(%.*s)%%: meshd has io.istio.peer_principal, io.istio.local_principal, downstream_peer "
			       "and upstream_peer", STR_FMT(in));
	e->arg = str_dup(name);
	if (!rest.p || str_is(how, "PLAIN") || str_is(how, "TYPED"))
		return 0;
	for (size_t i = 0; str_is(how, "FIELD") && i < ARRAY_LEN(fields); i++)
		if (str_is(field, fields[i])) {
			e->alt = str_dup(field);
			return 0;
		}
	return bad(o, "NAME:PLAIN or NAME:FIELD:name|namespace|workload|service|revision|app|version|cluster|type", err);
}

static int take_arg(const struct operator *o, struct format_element *e, struct str arg, bool given, struct err *err)
{
	const char *value;
	char host[256] = "";

	if (!given && (o->takes == TAKES_NAMES || o->takes == TAKES_NAME || o->takes == TAKES_STATE || o->takes == TAKES_CEL || o->takes == TAKES_ENV))
		return bad(o, "something in parentheses", err);
	switch (o->takes) {
	case TAKES_NOTHING:
		if (arg.n)
			return bad(o, "nothing in parentheses", err);
		if (o->op == OP_LITERAL) {
			gethostname(host, sizeof(host) - 1);
			e->literal = host[0] ? str_c(xstrdup(host)) : (struct str){ 0 };
		}
		return 0;
	case TAKES_NAMES:
		return take_names(o, e, arg, err);
	case TAKES_NAME:
		if (!arg.n)
			return bad(o, "a name", err);
		e->arg = str_dup(arg);
		return 0;
	case TAKES_TIME:
		e->arg = arg.n ? str_dup(arg) : NULL;
		return !arg.n || format_time_ok(e->arg) ? 0 : bad(o, "a format of strftime, or %s, %3f, %6f, %9f, %E3S", err);
	case TAKES_STATE:
		return take_state(o, e, arg, err);
	case TAKES_CEL:
		return cel_parse(arg, &e->cel, err);
	case TAKES_ENV:
		e->arg = str_dup(arg);
		value = getenv(e->arg);
		e->literal = str_c(xstrdup(value && value[0] ? value : "-"));
		return 0;
	case TAKES_PATH:
		return take_path(o, e, given ? arg : str_c("WQ"), err);
	case TAKES_STATUS:
		if (str_is(arg, "NUMBER"))
			e->op = OP_GRPC_STATUS_NUMBER;
		else if (arg.n && !str_is(arg, "CAMEL_STRING"))
			return bad(o, "(CAMEL_STRING) or (NUMBER)", err);
		return 0;
	case TAKES_HOST:
		if (arg.n && !str_is(arg, "SNI_ONLY") && !str_is(arg, "SNI_FIRST"))
			return bad(o, "(SNI_ONLY) or (SNI_FIRST)", err);
		return 0;
	}
	return 0;
}

/* The parenthesis that closes the one at s.p[0]; text in quotes does not count. 0: none. */
static size_t closing(struct str s)
{
	int depth = 0;
	char quote = 0;

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (quote) {
			quote = c == quote ? 0 : quote;
			continue;
		}
		if (c == '\'' || c == '"')
			quote = c;
		depth += (c == '(') - (c == ')');
		if (!depth)
			return i;
	}
	return 0;
}

/* s begins after the '%'. How many bytes were read, or negative. */
static long parse_operator(struct str s, struct format_element *e, struct err *err)
{
	const struct operator *o;
	struct str name = s, arg = { 0 };
	size_t at = 0, close;
	uint64_t max = 0;
	bool given;
	int r;

	while (at < s.n && (isupper((unsigned char)s.p[at]) || isdigit((unsigned char)s.p[at]) || s.p[at] == '_'))
		at++;
	name.n = at;
	given = at < s.n && s.p[at] == '(';
	if (given) {
		close = closing((struct str){ s.p + at, s.n - at });
		if (!close)
			return err_set(err, -EINVAL, "the parenthesis of %%%.*s is not closed", STR_FMT(name));
		arg = (struct str){ s.p + at + 1, close - 1 };
		at += close + 1;
	}
	if (at < s.n && s.p[at] == ':') {
		size_t from = ++at;

		while (at < s.n && isdigit((unsigned char)s.p[at]))
			at++;
		if (!str_to_u64((struct str){ s.p + from, at - from }, &max) || !max)
			return err_set(err, -EINVAL, "a length is wanted after the colon of %%%.*s", STR_FMT(name));
	}
	if (at >= s.n || s.p[at] != '%')
		return err_set(err, -EINVAL, "%%%.*s is not closed by a percent sign; a percent sign itself is written %%%%", STR_FMT(name));
	o = operator_find(name);
	if (!o)
		return unknown(name, err);
	e->op = o->op;
	e->max = max;
	r = take_arg(o, e, arg, given, err);
	return r < 0 ? r : (long)at + 1;
}

static void add_literal(struct format *f, const char *from, size_t n)
{
	struct format_element *e = f->n ? &f->v[f->n - 1] : NULL;
	char *t;

	if (!n)
		return;
	if (e && e->op == OP_LITERAL && !e->arg && !e->max && e->literal.p) {
		t = xrealloc((char *)e->literal.p, e->literal.n + n + 1);
		memcpy(t + e->literal.n, from, n);
		e->literal = (struct str){ t, e->literal.n + n };
		return;
	}
	f->v[f->n++] = (struct format_element){ .op = OP_LITERAL, .literal = { str_dup((struct str){ from, n }), n } };
}

struct format *format_parse(struct str text, struct err *err)
{
	struct format *f;
	size_t cap = 1, at = 0, plain = 0;

	for (size_t i = 0; i < text.n; i++)
		cap += text.p[i] == '%';
	f = xcalloc(1, sizeof(*f) + cap * 2 * sizeof(f->v[0]));
	while (at < text.n) {
		long n;

		if (text.p[at] != '%') {
			at++;
			continue;
		}
		add_literal(f, text.p + plain, at - plain);
		if (at + 1 < text.n && text.p[at + 1] == '%') {
			add_literal(f, "%", 1);
			at += 2;
			plain = at;
			continue;
		}
		n = parse_operator((struct str){ text.p + at + 1, text.n - at - 1 }, &f->v[f->n++], err);
		if (n < 0) {
			format_free(f);
			return NULL;
		}
		at += (size_t)n + 1;
		plain = at;
	}
	add_literal(f, text.p ? text.p + plain : "", text.n - plain);
	return f;
}

void format_free(struct format *f)
{
	if (!f)
		return;
	for (int i = 0; i < f->n; i++) {
		free(f->v[i].arg);
		free(f->v[i].alt);
		free((char *)f->v[i].literal.p);
		cel_free(f->v[i].cel);
	}
	free(f);
}
