/* SPDX-License-Identifier: Apache-2.0 */
#include "http/stream.h"

static bool is_alnum(uint8_t c)
{
	return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
}

enum { TOKEN = 1, VALUE = 2 };
#define T (TOKEN | VALUE)
#define V VALUE

/* By byte: what may stand in a token, and in a value. */
static const uint8_t kinds[256] = {
	['\t'] = V, [' '] = V, ['!'] = T, ['"'] = V, ['#'] = T, ['$'] = T, ['%'] = T, ['&'] = T, ['\''] = T, ['('] = V, [')'] = V,
	['*'] = T, ['+'] = T, [','] = V, ['-'] = T, ['.'] = T, ['/'] = V, ['0' ... '9'] = T, [':'] = V, [';'] = V, ['<'] = V, ['='] = V,
	['>'] = V, ['?'] = V, ['@'] = V, ['A' ... 'Z'] = T, ['['] = V, ['\\'] = V, [']'] = V, ['^'] = T, ['_'] = T, ['`'] = T,
	['a' ... 'z'] = T, ['{'] = V, ['|'] = T, ['}'] = V, ['~'] = T, [0x80 ... 0xff] = V,
};

static bool all(struct str s, uint8_t kind)
{
	uint8_t seen = kind;

	for (size_t i = 0; i < s.n; i++)
		seen &= kinds[(uint8_t)s.p[i]];
	return seen;
}

bool http_token(struct str s)
{
	return s.n > 0 && all(s, TOKEN);
}

static bool is_value(struct str s)
{
	return (str_is_plain(s) || all(s, VALUE)) && (!s.n || (s.p[0] != ' ' && s.p[0] != '\t' && s.p[s.n - 1] != ' ' && s.p[s.n - 1] != '\t'));
}

static bool is_target(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((uint8_t)s.p[i] <= ' ' || (uint8_t)s.p[i] >= 0x7f || s.p[i] == '#')
			return false;
	return s.n && (s.p[0] == '/' || str_is(s, "*"));
}

/* host [":" port] of RFC 3986, without userinfo and without commas: a list of hosts is none. */
static bool is_authority(struct str s, bool port_needed)
{
	bool literal = s.n && s.p[0] == '[';
	size_t i = 0;
	uint64_t port;

	for (; i < s.n && (literal || s.p[i] != ':'); i++) {
		if (literal && s.p[i] == ']') {
			i++;
			break;
		}
		if (!is_alnum((uint8_t)s.p[i]) && !(literal && (s.p[i] == ':' || i == 0)) && (!s.p[i] || !strchr("-._~!$&'()*+;=%", s.p[i])))
			return false;
	}
	if (i == 0 || (literal && (i < 3 || s.p[i - 1] != ']')))
		return false;
	if (i == s.n)
		return !port_needed;
	return s.p[i] == ':' && s.n - i <= 6 && str_to_u64((struct str){ s.p + i + 1, s.n - i - 1 }, &port) && port <= UINT16_MAX;
}

/* Lengths differ mostly, and are known when this is compiled. */
static inline __attribute__((always_inline)) bool is_name(struct str s, const char *name)
{
	return s.n == strlen(name) && str_eq_nocase(s, (struct str){ name, strlen(name) });
}

static bool is_any(struct str s, const struct str *names)
{
	for (; names->n; names++)
		if (s.n == names->n && str_eq_nocase(s, *names))
			return true;
	return false;
}

static struct str trim(struct str s)
{
	while (s.n && (s.p[0] == ' ' || s.p[0] == '\t')) {
		s.p++;
		s.n--;
	}
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

static bool has_option(struct str list, struct str option)
{
	while (list.n)
		if (str_eq_nocase(trim(str_cut(list, ',', &list)), option))
			return true;
	return false;
}

struct str http_head_get(const struct http_head *head, const char *name)
{
	for (int i = 0; i < head->n_fields; i++)
		if (is_name(head->fields[i].name, name))
			return head->fields[i].value;
	return (struct str){ 0 };
}

struct str http_trailer(const struct http_stream *s, const char *name)
{
	struct http_field f[LIMIT_HEADER_COUNT];
	int n = http_received(s, f, LIMIT_HEADER_COUNT);

	for (int i = 0; i < n; i++)
		if (is_name(f[i].name, name))
			return f[i].value;
	return (struct str){ 0 };
}

/* ---- what a head says of its connection ---- */

#define N(name) { name, sizeof(name) - 1 }
static const struct str hop_names[] = {
	N("connection"), N("proxy-connection"), N("keep-alive"), N("transfer-encoding"), N("upgrade"), N("http2-settings"), { 0 },
};
/* What Connection may not take away: it frames, routes or authorises. */
static const struct str kept_names[] = {
	N("host"), N("content-length"), N("content-type"), N("authorization"), N("cookie"), N("forwarded"), N("x-forwarded-for"),
	N("x-forwarded-proto"), N("x-forwarded-host"), N("x-forwarded-client-cert"), N("x-envoy-peer-metadata"),
	N("x-envoy-peer-metadata-id"), N("x-request-id"), { 0 },
};
static const struct str no_trailers[] = {
	N("content-length"), N("host"), N("te"), N("trailer"), N("authorization"), N("cookie"), N("set-cookie"),
	N("content-encoding"), N("content-type"), N("content-range"), N("expect"), N("max-forwards"), N("cache-control"),
	N("range"), N("forwarded"), N("authority"), { 0 },
};
/* Nor what heads say of the sender: who merges trailers into a head would believe it. */
static const struct str no_trailer_prefixes[] = { N("x-forwarded-"), N("x-envoy-peer-metadata"), { 0 } };

struct scan {
	struct str host, te;
	struct str connection[4];
	struct str upgrade, content_length, transfer_encoding, expect, keep_alive;
	int hosts, connections, upgrades, lengths, encodings, expects;
};

static const char *scan_fields(const struct http_field *f, int n, enum http_version v, struct scan *s)
{
	for (int i = 0; i < n; i++) {
		struct str name = f[i].name, value = f[i].value;

		if (!http_token(name))
			return "a header's name is not valid";
		if (!is_value(value))
			return "a header's value is not valid";
		if (v == HTTP_2) {
			for (size_t k = 0; k < name.n; k++)
				if (name.p[k] >= 'A' && name.p[k] <= 'Z')
					return "a header's name is not in lower case";
			if (is_any(name, hop_names))
				return "a header of the connection in HTTP/2";
			if (is_name(name, "te") && !is_name(value, "trailers"))
				return "TE in HTTP/2 may only be trailers";
		}
		if (is_name(name, "host")) {
			s->host = value;
			s->hosts++;
		} else if (is_name(name, "content-length")) {
			s->content_length = value;
			s->lengths++;
		} else if (is_name(name, "transfer-encoding")) {
			s->transfer_encoding = value;
			s->encodings++;
		} else if (is_name(name, "connection")) {
			if (s->connections == (int)ARRAY_LEN(s->connection))
				return "too many Connection headers";
			s->connection[s->connections++] = value;
		} else if (is_name(name, "upgrade")) {
			s->upgrade = value;
			s->upgrades++;
		} else if (is_name(name, "expect")) {
			s->expect = value;
			s->expects++;
		} else if (is_name(name, "keep-alive")) {
			s->keep_alive = value;
		}
	}
	return NULL;
}

static unsigned keep_alive_s(struct str list)
{
	while (list.n) {
		struct str value, name = trim(str_cut(str_cut(list, ',', &list), '=', &value));
		uint64_t v;

		if (is_name(name, "timeout") && str_to_u64(trim(value), &v) && v <= INT32_MAX)
			return (unsigned)v;
	}
	return 0;
}

static bool connection_has(const struct scan *s, struct str option)
{
	for (int i = 0; i < s->connections; i++)
		if (has_option(s->connection[i], option))
			return true;
	return false;
}

static const char *check_connection(const struct scan *s)
{
	for (int i = 0; i < s->connections; i++) {
		struct str list = s->connection[i];

		while (list.n) {
			struct str one = trim(str_cut(list, ',', &list));

			if (one.n && !http_token(one))
				return "Connection is not a list of options";
			if (is_any(one, kept_names))
				return "Connection names a header that is for everybody";
		}
	}
	return NULL;
}

/* Content-Length and Transfer-Encoding (RFC 9112 6.3), without repair of what is doubtful. */
static int settle_length(const struct scan *s, enum http_version v, struct http_framing *ret, const char **why)
{
	ret->body = HTTP_BODY_NONE;
	if (s->lengths > 1)
		return *why = "Content-Length is repeated", 400;
	if (s->lengths && s->encodings)
		return *why = "Content-Length and Transfer-Encoding", 400;
	if (s->encodings > 1)
		return *why = "Transfer-Encoding is repeated", 400;
	if (s->encodings && v != HTTP_1_1)
		return *why = "Transfer-Encoding in a version that has none", 400;
	if (s->encodings && !is_name(s->transfer_encoding, "chunked"))
		return *why = "a transfer coding other than chunked", 501;
	if (s->encodings) {
		ret->body = HTTP_BODY_CHUNKED;
	} else if (s->lengths) {
		if (!str_to_u64(s->content_length, &ret->length) || ret->length > INT64_MAX)
			return *why = "Content-Length is not a number", 400;
		ret->body = HTTP_BODY_LENGTH;
	}
	return 0;
}

static int drop_fields(struct http_field *f, int n, const struct scan *s)
{
	int kept = 0;

	for (int i = 0; i < n; i++) {
		bool te = is_name(f[i].name, "te");

		if (is_any(f[i].name, hop_names) || is_name(f[i].name, "host") || is_name(f[i].name, "expect"))
			continue;
		if (te ? !has_option(f[i].value, str_c("trailers")) : connection_has(s, f[i].name))
			continue;
		f[kept++] = te ? (struct http_field){ f[i].name, str_c("trailers") } : f[i];
	}
	return kept;
}

/* What both kinds of message share. */
static int settle(struct http_head *h, struct http_field *fields, enum http_version v, struct scan *s, struct http_framing *ret,
		  const char **why)
{
	*why = scan_fields(fields, h->n_fields, v, s);
	if (!*why)
		*why = check_connection(s);
	if (*why)
		return 400;
	ret->persist = v == HTTP_2 || (connection_has(s, str_c("close")) ? false : v == HTTP_1_1 || connection_has(s, str_c("keep-alive")));
	h->fields = fields;
	h->n_fields = drop_fields(fields, h->n_fields, s);
	return settle_length(s, v, ret, why);
}

/* RFC 9112 3.2: the four forms of a target. */
static const char *settle_target(struct http_head *h, enum http_version v, const struct scan *s)
{
	struct str target = h->path, http = str_c("http://"), rest;

	if (s->hosts > 1 || (v == HTTP_1_1 && !s->hosts))
		return s->hosts ? "Host is repeated" : "Host is missing";
	/* Empty is allowed (RFC 9110 7.2), and can be sent on by nobody. */
	if (s->host.n && !is_authority(s->host, false))
		return "Host is not valid";
	h->authority = s->host;
	h->scheme = http;
	h->scheme.n = 4;
	if (str_is(h->method, "CONNECT")) {
		h->authority = target;
		h->scheme = h->path = (struct str){ 0 };
		return is_authority(target, true) ? NULL : "the target of CONNECT is not host:port";
	}
	if (target.n > http.n && str_eq_nocase((struct str){ target.p, http.n }, http)) {
		rest = (struct str){ target.p + http.n, target.n - http.n };
		h->authority.p = rest.p;
		h->authority.n = 0;
		while (h->authority.n < rest.n && rest.p[h->authority.n] != '/' && rest.p[h->authority.n] != '?')
			h->authority.n++;
		h->path = (struct str){ rest.p + h->authority.n, rest.n - h->authority.n };
		if (!is_authority(h->authority, false))
			return "the target's authority is not valid";
		if (!h->path.n)
			h->path = str_is(h->method, "OPTIONS") ? str_c("*") : str_c("/");
	}
	if (!is_target(h->path) || (h->path.p[0] == '*' && !str_is(h->method, "OPTIONS")))
		return "the target is not valid";
	return NULL;
}

static const char *settle_pseudo(struct http_head *h, const struct scan *s)
{
	bool connect = str_is(h->method, "CONNECT");

	if (s->hosts > 1)
		return "Host is repeated";
	if (s->hosts && h->authority.n && !str_eq_nocase(s->host, h->authority))
		return "Host and :authority differ";
	if (!h->authority.n)
		h->authority = s->host;
	if (!is_authority(h->authority, connect))
		return "the authority is not valid";
	if (connect)
		return h->path.n || h->scheme.n ? "CONNECT has a path or a scheme" : NULL;
	if (!is_name(h->scheme, "http") && !is_name(h->scheme, "https"))
		return "the scheme is neither http nor https";
	if (!is_target(h->path) || (h->path.p[0] == '*' && !str_is(h->method, "OPTIONS")))
		return "the path is not valid";
	return NULL;
}

int http_settle_request(struct http_head *h, struct http_field *fields, enum http_version v, struct http_framing *ret,
			const char **why)
{
	struct scan s = { 0 };
	int r;

	*ret = (struct http_framing){ 0 };
	if (!http_token(h->method))
		return *why = "the method is not valid", 400;
	r = settle(h, fields, v, &s, ret, why);
	if (r)
		return r;
	*why = v == HTTP_2 ? settle_pseudo(h, &s) : settle_target(h, v, &s);
	if (*why)
		return 400;
	if (s.expects && (s.expects > 1 || !is_name(s.expect, "100-continue")))
		return *why = "an expectation other than 100-continue", 417;
	ret->expect = s.expects && v != HTTP_1_0 && ret->body != HTTP_BODY_NONE;
	if (str_is(h->method, "CONNECT")) {
		if (v != HTTP_2 && ret->body != HTTP_BODY_NONE)
			return *why = "CONNECT with a body", 400;
		ret->persist = false;
	}
	h->upgrade = (struct str){ 0 };
	/* h2c would lead past everything that reads this connection; with a body the switch would have to wait for its end. */
	if (v == HTTP_1_1 && s.upgrades == 1 && connection_has(&s, str_c("upgrade")) && http_token(s.upgrade) && !is_name(s.upgrade, "h2c") &&
	    ret->body == HTTP_BODY_NONE && !str_is(h->method, "CONNECT"))
		h->upgrade = s.upgrade;
	return 0;
}

int http_settle_response(struct http_head *h, struct http_field *fields, enum http_version v, struct str method,
			 struct http_framing *ret, const char **why)
{
	bool empty = h->status < 200 || h->status == 204 || h->status == 304 || str_is(method, "HEAD");
	struct scan s = { 0 };

	*ret = (struct http_framing){ 0 };
	if (h->status < 100 || h->status > 599)
		return *why = "the status is not valid", 502;
	if (settle(h, fields, v, &s, ret, why))
		return 502;
	h->keep_alive_s = keep_alive_s(s.keep_alive);
	h->upgrade = h->status == 101 && s.upgrades == 1 && connection_has(&s, str_c("upgrade")) && http_token(s.upgrade) ? s.upgrade : (struct str){ 0 };
	if ((h->status < 200 || h->status == 204) && (s.encodings || (s.lengths && ret->length)))
		return *why = "a length where there is no body", 502;
	if (str_is(method, "CONNECT") && h->status >= 200 && h->status < 300) {
		if (s.encodings || s.lengths)
			return *why = "a length in an answer to CONNECT", 502;
		empty = true;
	}
	if (empty)
		ret->body = HTTP_BODY_NONE;
	else if (ret->body == HTTP_BODY_NONE && v != HTTP_2)
		ret->body = HTTP_BODY_CLOSE;
	if (ret->body == HTTP_BODY_CLOSE)
		ret->persist = false;
	return 0;
}

static bool begins_any(struct str s, const struct str *prefixes)
{
	for (; prefixes->n; prefixes++)
		if (s.n >= prefixes->n && str_eq_nocase((struct str){ s.p, prefixes->n }, *prefixes))
			return true;
	return false;
}

bool http_trailers_ok(const struct http_field *f, int n)
{
	for (int i = 0; i < n; i++)
		if (!http_token(f[i].name) || !is_value(f[i].value) || is_any(f[i].name, hop_names) || is_any(f[i].name, no_trailers) ||
		    begins_any(f[i].name, no_trailer_prefixes))
			return false;
	return true;
}

static bool may_stand(const struct http_field *f)
{
	return http_token(f->name) && is_value(f->value) && !is_any(f->name, hop_names) && !is_name(f->name, "host");
}

bool http_field_ok(const struct http_field *f)
{
	return may_stand(f) && !is_name(f->name, "content-length");
}

bool http_sendable(const struct http_head *h, bool request)
{
	int lengths = 0;
	uint64_t v;

	for (int i = 0; !h->checked && i < h->n_fields; i++) {
		const struct http_field *f = &h->fields[i];

		if (!may_stand(f))
			return false;
		if (is_name(f->name, "content-length") && (lengths++ || !str_to_u64(f->value, &v)))
			return false;
	}
	if (h->upgrade.n && !http_token(h->upgrade))
		return false;
	if (!request)
		return h->status >= 100 && h->status <= 599;
	if (!http_token(h->method) || !is_authority(h->authority, false))
		return false;
	return str_is(h->method, "CONNECT") ? !h->path.n : is_target(h->path);
}
