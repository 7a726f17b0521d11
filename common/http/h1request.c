/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>

#include "http/h1server_int.h"

static struct h1server_request *of(llhttp_t *p)
{
	return container_of(p, struct h1server_request, parser);
}

static int fail_with(struct h1server_request *c, int status)
{
	c->error = status;
	return HPE_USER;
}

/* Appends to the text that s ends with: callbacks may bring it in pieces. */
static int head_add(struct h1server_request *c, struct str *s, const char *p, size_t n)
{
	if (!c->head.mem && !buf_reserve(&c->head, LIMIT_ADMIN_HEAD_BYTES + 1))
		return fail_with(c, 503);
	if (buf_len(&c->head) + n > LIMIT_ADMIN_HEAD_BYTES)
		return fail_with(c, 431);
	if (!s->p)
		s->p = (const char *)buf_data(&c->head) + buf_len(&c->head);
	buf_append(&c->head, p, n);
	s->n += n;
	return 0;
}

static int on_url(llhttp_t *p, const char *at, size_t n)
{
	return head_add(of(p), &of(p)->target, at, n);
}

static int on_field(llhttp_t *p, const char *at, size_t n)
{
	struct h1server_request *c = of(p);

	if (c->in_value || c->n_fields == 0) {
		if (c->n_fields == H1_HEADERS)
			return fail_with(c, 431);
		c->field[c->n_fields++] = (struct h1_field){ 0 };
		c->in_value = false;
	}
	return head_add(c, &c->field[c->n_fields - 1].name, at, n);
}

static int on_value(llhttp_t *p, const char *at, size_t n)
{
	struct h1server_request *c = of(p);

	c->in_value = true;
	return head_add(c, &c->field[c->n_fields - 1].value, at, n);
}

static int on_head_end(llhttp_t *p)
{
	struct h1server_request *c = of(p);

	if ((p->flags & F_CONTENT_LENGTH) && p->content_length > H1SERVER_BODY_BYTES)
		return fail_with(c, 413);
	return 0;
}

static int on_body(llhttp_t *p, const char *at, size_t n)
{
	struct h1server_request *c = of(p);

	c->body_bytes += n;
	return c->body_bytes > H1SERVER_BODY_BYTES ? fail_with(c, 413) : 0;
}

static int on_complete(llhttp_t *p)
{
	struct h1server_request *c = of(p);

	c->complete = true;
	c->keep_alive = llhttp_should_keep_alive(p) && !p->upgrade;
	return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
	.on_url = on_url, .on_header_field = on_field, .on_header_value = on_value, .on_headers_complete = on_head_end,
	.on_body = on_body, .on_message_complete = on_complete,
};

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* In place: decoding never makes text longer. A '%' that is not followed by two digits stays. */
static struct str decode(struct str s)
{
	char *at = (char *)s.p;
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '%' && i + 2 < s.n && hex(s.p[i + 1]) >= 0 && hex(s.p[i + 2]) >= 0) {
			at[n++] = (char)(hex(s.p[i + 1]) << 4 | hex(s.p[i + 2]));
			i += 2;
		} else {
			at[n++] = s.p[i] == '+' ? ' ' : s.p[i];
		}
	}
	return (struct str){ at, n };
}

static void target_split(struct h1server_request *c)
{
	struct str query;

	c->path = str_cut(c->target, '?', &query);
	while (query.n && c->n_params < H1_PARAMS) {
		struct str value, name, one = str_cut(query, '&', &query);

		name = str_cut(one, '=', &value);
		c->param[c->n_params++] = (struct h1_field){ decode(name), decode(value) };
	}
}

/* RFC 9112 3.2: one Host in HTTP/1.1, and the authority of an absolute target replaces it. */
static bool host_settle(struct h1server_request *c)
{
	struct str http = str_c("http://"), rest;
	struct h1_field *host = NULL;
	int hosts = 0;

	for (int i = 0; i < c->n_fields; i++)
		if (str_eq_nocase(c->field[i].name, str_c("host"))) {
			host = &c->field[i];
			hosts++;
		}
	if (hosts > 1 || (hosts == 0 && c->parser.http_major == 1 && c->parser.http_minor == 1))
		return false;
	if (str_starts(c->target, http)) {
		rest = (struct str){ c->target.p + http.n, c->target.n - http.n };
		if (!host)
			return false;
		host->value = str_cut(rest, '/', &rest);
		c->target = rest.p ? (struct str){ rest.p - 1, rest.n + 1 } : str_c("/");
	}
	return true;
}

void h1request_init(struct h1server_request *c)
{
	llhttp_init(&c->parser, HTTP_REQUEST, &settings);
}

void h1request_reset(struct h1server_request *c)
{
	buf_done(&c->head);
	c->head_bytes = c->body_bytes = 0;
	c->n_fields = c->n_params = 0;
	c->method = c->target = c->path = (struct str){ 0 };
	c->error = 0;
	c->in_value = c->complete = c->head_only = c->replied = c->started = false;
	llhttp_resume(&c->parser);
}

int h1request_parse(struct h1server_request *c)
{
	struct str in = buf_str(&c->in);
	llhttp_errno_t e = llhttp_execute(&c->parser, in.p, in.n);
	size_t used = e == HPE_OK ? in.n : (size_t)(llhttp_get_error_pos(&c->parser) - in.p);

	if (!c->complete && e != HPE_OK)
		return c->error ? c->error : 400;
	/* Line ends and colons are not kept, so the cap on the kept text does not bound what was sent. */
	c->head_bytes += used;
	buf_consume(&c->in, used);
	return c->head_bytes > 2 * LIMIT_ADMIN_HEAD_BYTES + H1SERVER_BODY_BYTES ? 431 : 0;
}

static const char *reason(int status)
{
	switch (status) {
	case 200: return "OK";
	case 400: return "Bad Request";
	case 403: return "Forbidden";
	case 404: return "Not Found";
	case 405: return "Method Not Allowed";
	case 408: return "Request Timeout";
	case 413: return "Content Too Large";
	case 431: return "Request Header Fields Too Large";
	case 501: return "Not Implemented";
	case 503: return "Service Unavailable";
	default:  return "Internal Server Error";
	}
}

/* False: it was answered before. framing: the header that says how long the body is, or nothing. */
static bool put_head(struct h1server_request *c, int status, const char *content_type, const char *framing)
{
	if (c->replied)
		return false;
	c->replied = true;
	if (c->eof || c->server->closed)
		c->keep_alive = false;
	buf_printf(&c->out, "HTTP/1.1 %d %s\r\ncontent-type: %s\r\n%s"
		   "x-content-type-options: nosniff\r\ncache-control: no-store\r\n",
		   status, reason(status), content_type, framing);
	if (!c->keep_alive)
		buf_puts(&c->out, "connection: close\r\n");
	else if (c->parser.http_minor == 0)
		buf_puts(&c->out, "connection: keep-alive\r\n");
	buf_puts(&c->out, "\r\n");
	return true;
}

void h1server_reply(struct h1server_request *c, int status, const char *content_type, struct buf *body)
{
	size_t n = body ? buf_len(body) : 0;
	char framing[48];

	snprintf(framing, sizeof(framing), "content-length: %zu\r\n", n);
	if (put_head(c, status, content_type, framing) && n && !c->head_only)
		buf_append(&c->out, buf_data(body), n);
	if (body)
		buf_done(body);
}

/* HTTP/1.0 knows no chunks: there the body ends with the connection. */
void h1server_reply_stream(struct h1server_request *c, int status, const char *content_type,
			   const struct h1server_stream *body)
{
	c->chunked = c->parser.http_minor != 0;
	if (!c->chunked)
		c->keep_alive = false;
	if (!put_head(c, status, content_type, c->chunked ? "transfer-encoding: chunked\r\n" : "") || c->head_only)
		body->done(body->arg);
	else
		c->stream = *body;
}

void h1request_stream_end(struct h1server_request *c)
{
	struct h1server_stream s = c->stream;

	c->stream = (struct h1server_stream){ 0 };
	if (s.more)
		s.done(s.arg);
}

void h1request_fill(struct h1server_request *c)
{
	struct buf piece = { 0 };
	bool more = c->stream.more(c->stream.arg, &piece);

	if (c->chunked && buf_len(&piece)) {
		buf_printf(&c->out, "%zx\r\n", buf_len(&piece));
		buf_append(&c->out, buf_data(&piece), buf_len(&piece));
		buf_puts(&c->out, "\r\n");
	} else {
		buf_append(&c->out, buf_data(&piece), buf_len(&piece));
	}
	buf_done(&piece);
	if (more)
		return;
	if (c->chunked)
		buf_puts(&c->out, "0\r\n\r\n");
	h1request_stream_end(c);
}

void h1server_reply_text(struct h1server_request *c, int status, const char *fmt, ...)
{
	char text[2048];
	struct buf body = { 0 };
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_puts(&body, text);
	h1server_reply(c, status, "text/plain; charset=utf-8", &body);
}

struct str h1server_method(const struct h1server_request *c)
{
	return c->method;
}

struct str h1server_path(const struct h1server_request *c)
{
	return c->path;
}

struct str h1server_header(const struct h1server_request *c, const char *name)
{
	for (int i = 0; i < c->n_fields; i++)
		if (str_eq_nocase(c->field[i].name, str_c(name)))
			return c->field[i].value.p ? c->field[i].value : str_c("");
	return (struct str){ 0 };
}

bool h1server_query(const struct h1server_request *c, const char *name, struct str *ret)
{
	for (int i = 0; i < c->n_params; i++)
		if (str_is(c->param[i].name, name)) {
			*ret = c->param[i].value;
			return true;
		}
	return false;
}

static void dispatch(struct h1server_request *c)
{
	const struct h1server_site *site = c->server->site;
	const char *allowed = NULL;

	if (site->admit && !site->admit(c, site->arg))
		return;
	for (int i = 0; i < site->n_routes; i++) {
		const struct h1server_route *r = &site->routes[i];

		if (!str_is(c->path, r->path))
			continue;
		if (!r->method || str_is(c->method, r->method) || (c->head_only && strcmp(r->method, "GET") == 0)) {
			r->handle(c, site->arg);
			return;
		}
		allowed = r->method;
	}
	if (allowed)
		h1server_reply_text(c, 405, "%.*s is not served here; use %s\n", STR_FMT(c->method), allowed);
	else
		h1server_reply_text(c, 404, "there is nothing at this path\n");
}

static const char *error_text(int status)
{
	switch (status) {
	case 408: return "the request did not end in time\n";
	case 413: return "the request's body is too large\n";
	case 431: return "the request's head is too large\n";
	case 503: return "out of memory\n";
	default:  return "this is not a valid HTTP/1.1 request\n";
	}
}

void h1request_refuse(struct h1server_request *c, int status)
{
	c->keep_alive = false;
	c->replied = false;
	h1server_reply_text(c, status, "%s", error_text(status));
}

void h1request_answer(struct h1server_request *c)
{
	c->method = str_c(llhttp_method_name((llhttp_method_t)llhttp_get_method(&c->parser)));
	c->head_only = str_is(c->method, "HEAD");
	if (!host_settle(c)) {
		h1request_refuse(c, 400);
		return;
	}
	target_split(c);
	dispatch(c);
	if (!c->replied)
		h1server_reply_text(c, 500, "the handler of this page gave no answer\n");
}

