/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "http/grpc.h"
#include "telemetry/cel.h"
#include "telemetry/format_int.h"
#include "telemetry/peer.h"
#include "telemetry/remote.h"
#include "telemetry/respflag.h"

/* ---- times ---- */

static const char default_time[] = "%Y-%m-%dT%H:%M:%E3SZ";

/* One directive after '%': its bytes; digits of a fraction in *ret_digits, *ret_kind 'f', 'S', 's' or the letter of strftime. 0: none. */
static size_t directive(const char *s, int *ret_digits, char *ret_kind)
{
	*ret_digits = 0;
	if (s[0] >= '1' && s[0] <= '9' && (s[1] == 'f' || s[1] == 's')) {
		*ret_digits = s[0] - '0';
		*ret_kind = s[1];
		return 2;
	}
	if (s[0] == 'E' && s[1] >= '0' && s[1] <= '9' && (s[2] == 'S' || s[2] == 'f')) {
		*ret_digits = s[1] - '0';
		*ret_kind = s[2];
		return 3;
	}
	*ret_kind = s[0];
	return s[0] && strchr("aAbBcCdDeFgGhHIjklmMnpPrRsSTtuUVwWxXyYzZf%", s[0]) ? 1 : 0;
}

bool format_time_ok(const char *spec)
{
	int digits;
	char kind;

	for (const char *c = spec; *c; c++) {
		if (*c != '%')
			continue;
		size_t n = directive(c + 1, &digits, &kind);

		if (!n)
			return false;
		c += n;
	}
	return strlen(spec) < 200;
}

static void put_fraction(struct buf *out, uint64_t ns, int digits)
{
	char text[16];

	snprintf(text, sizeof(text), "%09llu", (unsigned long long)ns);
	buf_append(out, text, (size_t)(digits < 9 ? digits : 9));
}

static void put_directive(struct buf *out, char kind, int digits, time_t s, const struct tm *tm, uint64_t ns)
{
	char spec[3] = { '%', kind, '\0' }, text[128];

	if (kind == 'f') {
		put_fraction(out, ns, digits ? digits : 9);
	} else if (kind == 's') {
		buf_printf(out, "%lld", (long long)s);
		if (digits)
			put_fraction(out, ns, digits);
	} else {
		buf_append(out, text, strftime(text, sizeof(text), spec, tm));
		if (digits) {
			buf_puts(out, ".");
			put_fraction(out, ns, digits);
		}
	}
}

/* The default is what nearly every line has: its seconds are made once a second. */
static void put_default_time(struct buf *out, time_t s, unsigned ms)
{
	static _Thread_local time_t cached = -1;
	static _Thread_local char text[32];
	static _Thread_local size_t n;
	char tail[5] = { '.', (char)('0' + ms / 100), (char)('0' + ms / 10 % 10), (char)('0' + ms % 10), 'Z' };

	if (s != cached) {
		struct tm tm;

		gmtime_r(&s, &tm);
		n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
		cached = s;
	}
	buf_append(out, text, n);
	buf_append(out, tail, sizeof(tail));
}

void format_time(const char *spec, uint64_t wall_us, struct buf *out)
{
	time_t s = (time_t)(wall_us / 1000000);
	struct tm tm;

	if (!spec || strcmp(spec, default_time) == 0) {
		put_default_time(out, s, (unsigned)(wall_us / 1000 % 1000));
		return;
	}
	gmtime_r(&s, &tm);
	for (const char *c = spec; *c; c++) {
		int digits;
		char kind;

		if (*c != '%') {
			buf_append(out, c, 1);
			continue;
		}
		c += directive(c + 1, &digits, &kind);
		put_directive(out, kind, digits, s, &tm, wall_us % 1000000 * 1000);
	}
}

/* ---- values ---- */

struct str format_request_field(const struct exchange *x, const char *name)
{
	struct str s = { 0 };

	if (name[0] != ':')
		return fields_get(&x->request_fields, name);
	switch (name[1]) {
	case 'm': s = strcmp(name, ":method") ? s : x->request.method; break;
	case 'p': s = strcmp(name, ":path") ? s : x->request.path; break;
	case 'a': s = strcmp(name, ":authority") ? s : x->request.authority; break;
	case 's': s = strcmp(name, ":scheme") ? s : x->request.scheme; break;
	default: break;
	}
	return s.n ? s : (struct str){ 0 };
}

struct str format_response_field(const struct exchange *x, const char *name, char scratch[16])
{
	if (name[0] != ':')
		return fields_get(&x->response_fields, name);
	if (strcmp(name, ":status") != 0 || !x->response.status)
		return (struct str){ 0 };
	snprintf(scratch, 16, "%d", x->response.status);
	return str_c(scratch);
}

static void number(struct format_value *v, uint64_t n)
{
	char *at = v->scratch + 24;

	v->number = true;
	do
		*--at = (char)('0' + n % 10);
	while (n /= 10);
	v->text = (struct str){ at, (size_t)(v->scratch + 24 - at) };
}

static void span(struct format_value *v, uint64_t from_ns, uint64_t to_ns)
{
	if (from_ns && to_ns >= from_ns)
		number(v, (to_ns - from_ns) / 1000000);
}

enum part { WHOLE, IP, PORT };

static void address(struct format_value *v, const struct addr *a, enum part part)
{
	static const struct ip none;

	if (!a || (ip_eq(&a->ip, &none) && !a->port))
		return;
	if (part == PORT)
		number(v, a->port);
	else
		v->text = str_c(part == IP ? ip_format(&a->ip, v->scratch) : addr_format(a, v->scratch));
}

static void without_query(struct format_value *v)
{
	struct str rest;

	v->text = str_cut(v->text, '?', &rest);
}

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

static void percent_decode(struct format_value *v, struct str s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n && n < sizeof(v->scratch); i++) {
		if (s.p[i] == '%' && i + 2 < s.n && hex(s.p[i + 1]) >= 0 && hex(s.p[i + 2]) >= 0) {
			v->scratch[n++] = (char)(hex(s.p[i + 1]) << 4 | hex(s.p[i + 2]));
			i += 2;
		} else {
			v->scratch[n++] = s.p[i];
		}
	}
	v->text = (struct str){ v->scratch, n };
}

static void query_param(struct format_value *v, struct str path, const char *name)
{
	struct str rest, one, value;

	str_cut(path, '?', &rest);
	while (rest.p) {
		one = str_cut(rest, '&', &rest);
		if (!str_is(str_cut(one, '=', &value), name))
			continue;
		percent_decode(v, value);
		return;
	}
}

/* Envoy's details have no blanks, so that columns stay columns. */
static void details(struct format_value *v, const char *text)
{
	size_t n = 0;

	for (; text[n] && n < sizeof(v->scratch); n++)
		v->scratch[n] = text[n] == ' ' ? '_' : text[n];
	v->text = n ? (struct str){ v->scratch, n } : v->text;
}

static bool is_http(const struct exchange *x)
{
	return x->request.method.n != 0;
}

static void peer_field(struct format_value *v, const struct peer *p, const char *field)
{
	const struct { const char *name; struct str value; } fields[] = {
		{ "name", p->name }, { "namespace", p->ns }, { "workload", p->workload }, { "service", p->service }, { "revision", p->revision },
		{ "app", p->app }, { "version", p->version }, { "cluster", p->cluster }, { "type", p->type },
	};

	if (!field) {
		int n = snprintf(v->scratch, sizeof(v->scratch), "%.*s.%.*s", STR_FMT(p->name), STR_FMT(p->ns));

		v->text = p->ns.n && n < (int)sizeof(v->scratch) ? (struct str){ v->scratch, (size_t)n } : v->text;
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (strcmp(fields[i].name, field) == 0 && fields[i].value.n)
			v->text = fields[i].value;
}

static void filter_state(struct format_value *v, const struct format_element *e, const struct exchange *x)
{
	struct peer p;

	if (strcmp(e->arg, "io.istio.peer_principal") == 0) {
		v->text = x->client->peer_id;
	} else if (strcmp(e->arg, "io.istio.local_principal") == 0) {
		v->text = x->client->local_id;
	} else {
		peer_of_workload(e->arg[0] == 'd' ? x->client->peer_workload : x->log.upstream_workload, &p);
		peer_field(v, &p, e->alt);
	}
}

/* Envoy's default is "PermissionDenied". */
static void camel(struct format_value *v, const char *name)
{
	size_t n = 0;
	bool up = true;

	for (; *name && n < sizeof(v->scratch); name++) {
		if (*name != '_')
			v->scratch[n++] = up ? *name : (char)(*name | 0x20);
		up = *name == '_';
	}
	v->text = (struct str){ v->scratch, n };
}

static void grpc_status(struct format_value *v, const struct exchange *x, bool as_number)
{
	if (!x->log.grpc || x->log.grpc_status < 0)
		return;
	if (as_number)
		number(v, (uint64_t)x->log.grpc_status);
	else if (x->log.grpc_status == GRPC_OK)
		v->text = str_c("OK");
	else
		camel(v, grpc_code_name((enum grpc_code)x->log.grpc_status));
}

static void trace_id(struct format_value *v, const struct exchange *x)
{
	struct str t = fields_get(&x->request_fields, "traceparent");

	v->text = t.n >= 35 ? (struct str){ t.p + 3, 32 } : fields_get(&x->request_fields, "x-b3-traceid");
}

/* Of XFCC as the connection's owner made it: Hash=…, Subject="…". */
static struct str xfcc_part(struct str xfcc, const char *key)
{
	struct str rest = xfcc, one, value;

	while (rest.n) {
		one = str_cut(rest, ';', &rest);
		if (!str_is(str_cut(one, '=', &value), key))
			continue;
		if (value.n >= 2 && value.p[0] == '"')
			value = (struct str){ value.p + 1, value.n - 2 };
		return value;
	}
	return (struct str){ 0 };
}

static void of_head(const struct format_element *e, const struct exchange *x, struct format_value *v)
{
	static const char *const protocols[] = { [HTTP_1_0] = "HTTP/1.0", [HTTP_1_1] = "HTTP/1.1", [HTTP_2] = "HTTP/2" };

	switch (e->op) {
	case OP_REQ:
	case OP_PATH:
	case OP_REQ_WITHOUT_QUERY:
		v->text = format_request_field(x, e->arg);
		if (!v->text.p && e->alt)
			v->text = format_request_field(x, e->alt);
		if (e->op == OP_REQ_WITHOUT_QUERY)
			without_query(v);
		break;
	case OP_RESP:
		v->text = format_response_field(x, e->arg, v->scratch);
		if (!v->text.p && e->alt)
			v->text = format_response_field(x, e->alt, v->scratch);
		break;
	case OP_TRAILER:
		v->text = fields_get(&x->response_trailers, e->arg);
		if (!v->text.p && e->alt)
			v->text = fields_get(&x->response_trailers, e->alt);
		break;
	case OP_UPSTREAM_PROTOCOL:
		if (is_http(x) && x->log.up_sent_ns)
			v->text = str_c(protocols[x->log.upstream_version]);
		break;
	case OP_QUERY_PARAM:
		query_param(v, x->request.path, e->arg);
		break;
	case OP_PROTOCOL:
		if (is_http(x))
			v->text = str_c(protocols[x->version]);
		break;
	case OP_RESPONSE_CODE:
		number(v, (uint64_t)x->response.status);
		break;
	case OP_RESPONSE_CODE_DETAILS:
		if (is_http(x) && x->log.details)
			details(v, x->log.details);
		else if (is_http(x) && x->response.status && x->log.why == FAIL_NONE)
			v->text = str_c("via_upstream");
		break;
	case OP_TERMINATION_DETAILS:
		if (!is_http(x) && x->log.details)
			details(v, x->log.details);
		break;
	default:
		break;
	}
}

static void of_times(const struct format_element *e, const struct exchange *x, struct format_value *v)
{
	const struct exchange_log *l = &x->log;

	switch (e->op) {
	case OP_DURATION:
		span(v, l->start_ns, l->end_ns);
		break;
	case OP_REQUEST_DURATION:
		span(v, l->start_ns, l->request_end_ns);
		break;
	case OP_REQUEST_TX_DURATION:
		span(v, l->start_ns, l->up_sent_ns);
		break;
	case OP_RESPONSE_DURATION:
		span(v, l->start_ns, l->up_head_ns);
		break;
	case OP_RESPONSE_TX_DURATION:
		span(v, l->up_head_ns, l->end_ns);
		break;
	default:
		break;
	}
}

void format_value(const struct format_element *e, const struct exchange *x, struct format_value *v)
{
	const struct exchange_log *l = &x->log;
	const struct exchange_client *c = x->client;
	struct addr remote;

	v->text = (struct str){ 0 };
	v->number = false;
	switch (e->op) {
	case OP_LITERAL: v->text = e->literal; break;
	case OP_DURATION: case OP_REQUEST_DURATION: case OP_REQUEST_TX_DURATION: case OP_RESPONSE_DURATION: case OP_RESPONSE_TX_DURATION:
		of_times(e, x, v);
		break;
	case OP_RESPONSE_FLAGS: v->text = str_c(respflag(x, v->scratch)); break;
	case OP_RESPONSE_FLAGS_LONG: v->text = str_c(respflag_long(l->why)); break;
	case OP_GRPC_STATUS: case OP_GRPC_STATUS_NUMBER: grpc_status(v, x, e->op == OP_GRPC_STATUS_NUMBER); break;
	case OP_TRACE_ID: trace_id(v, x); break;
	case OP_BYTES_RECEIVED: number(v, l->bytes_received); break;
	case OP_BYTES_SENT: number(v, l->bytes_sent); break;
	case OP_REQUEST_HEADERS_BYTES: number(v, l->request_head_bytes); break;
	case OP_RESPONSE_HEADERS_BYTES: number(v, l->response_head_bytes); break;
	case OP_UPSTREAM_HOST: address(v, &l->upstream, WHOLE); break;
	case OP_UPSTREAM_IP: address(v, &l->upstream, IP); break;
	case OP_UPSTREAM_PORT: address(v, &l->upstream, PORT); break;
	case OP_UPSTREAM_LOCAL: address(v, &l->upstream_local, WHOLE); break;
	case OP_UPSTREAM_LOCAL_IP: address(v, &l->upstream_local, IP); break;
	case OP_UPSTREAM_LOCAL_PORT: address(v, &l->upstream_local, PORT); break;
	case OP_UPSTREAM_CLUSTER: v->text = l->cluster_name; break;
	case OP_UPSTREAM_FAILURE: v->text = str_c(l->upstream_failure); break;
	case OP_UPSTREAM_ATTEMPTS: number(v, l->attempts); break;
	case OP_UPSTREAM_PEER_ID: v->text = l->upstream_peer_id; break;
	case OP_REMOTE: case OP_REMOTE_IP: case OP_REMOTE_PORT:
		remote = remote_addr(x, 0);
		address(v, &remote, e->op == OP_REMOTE ? WHOLE : e->op == OP_REMOTE_IP ? IP : PORT);
		break;
	case OP_DIRECT: address(v, &c->peer, WHOLE); break;
	case OP_DIRECT_IP: address(v, &c->peer, IP); break;
	case OP_DIRECT_PORT: address(v, &c->peer, PORT); break;
	case OP_LOCAL: address(v, &c->local, WHOLE); break;
	case OP_LOCAL_IP: address(v, &c->local, IP); break;
	case OP_LOCAL_PORT: address(v, &c->local, PORT); break;
	case OP_SNI: v->text = c->sni; break;
	case OP_PEER_ID: v->text = c->peer_id; break;
	case OP_LOCAL_ID: v->text = c->local_id; break;
	case OP_XFCC_SUBJECT: v->text = xfcc_part(c->xfcc, "Subject"); break;
	case OP_XFCC_HASH: v->text = xfcc_part(c->xfcc, "Hash"); break;
	case OP_ROUTE_NAME: v->text = l->route_name; break;
	case OP_FILTER_STATE: filter_state(v, e, x); break;
	case OP_CEL: v->text = cel_text(e->cel, x, v->scratch, sizeof(v->scratch)); break;
	default: of_head(e, x, v); break;
	}
	/* A header that is there and empty is known. */
	if (!v->text.n && e->op > OP_PATH && e->op != OP_CEL)
		v->text.p = NULL;
	if (e->max && v->text.n > e->max)
		v->text.n = e->max;
}

/* ---- writing ---- */

/* A line stays a line, whatever a peer sent. */
static void put_clean(struct buf *out, struct str s)
{
	size_t from = buf_len(out);

	if (buf_append(out, s.p, s.n) < 0)
		return;
	if (str_is_plain(s))
		return;
	for (uint8_t *c = buf_data(out) + from, *end = c + s.n; c < end; c++)
		if (*c < 0x20 || *c == 0x7f)
			*c = '?';
}

static void put_element(const struct format_element *e, const struct exchange *x, const char *absent, struct buf *out)
{
	struct format_value v;

	if (e->op == OP_LITERAL && e->literal.p && !e->max) {
		buf_append(out, e->literal.p, e->literal.n);
	} else if (e->op == OP_START_TIME) {
		format_time(e->arg, x->log.wall_us, out);
	} else {
		format_value(e, x, &v);
		if (v.text.p)
			put_clean(out, v.text);
		else
			buf_puts(out, absent);
	}
}

void format_write(const struct format *f, const struct exchange *x, const char *absent, struct buf *out)
{
	for (int i = 0; i < f->n; i++)
		put_element(&f->v[i], x, absent, out);
}

struct str format_text(const struct format *f, struct exchange *x)
{
	struct buf out = { 0 };
	struct str s;

	if (f->n == 1 && f->v[0].op == OP_LITERAL)
		return f->v[0].literal;
	format_write(f, x, "", &out);
	s = exchange_dup(x, buf_str(&out));
	buf_done(&out);
	return s;
}

bool format_json(const struct format *f, const struct exchange *x, struct buf *out)
{
	struct format_value v;
	struct buf text = { 0 };

	if (f->n == 1 && f->v[0].op != OP_START_TIME) {
		format_value(&f->v[0], x, &v);
		if (!v.text.p)
			buf_puts(out, "null");
		else if (v.number)
			buf_append(out, v.text.p, v.text.n);
		else
			buf_json_str(out, v.text);
		return v.text.p;
	}
	format_write(f, x, "-", &text);
	buf_json_str(out, buf_str(&text));
	buf_done(&text);
	return true;
}
