/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>

#include "http/h1server_int.h"

#define TURN_PIECES 4      /* of a streamed reply that one turn makes: others want the thread, too */

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

static void target_split(struct h1server_request *c, struct str target)
{
	struct str query;

	c->path = str_cut(target, '?', &query);
	while (query.n && c->n_params < H1_PARAMS) {
		struct str value, name, one = str_cut(query, '&', &query);

		name = str_cut(one, '=', &value);
		c->param[c->n_params++] = (struct http_field){ decode(name), decode(value) };
	}
}

static struct str keep(struct h1server_request *c, struct str s)
{
	struct str r = { (const char *)buf_data(&c->text) + buf_len(&c->text), s.n };

	buf_append(&c->text, s.p, s.n);
	return r;
}

bool h1request_begin(struct h1server_request *c, const struct http_head *head)
{
	struct str target = head->path.n ? head->path : head->authority;

	c->method = c->path = str_c("");
	/* The authority may be there twice: a target that is one. */
	if (!buf_reserve(&c->text, 2 * LIMIT_ADMIN_HEAD_BYTES))
		return false;
	c->method = keep(c, head->method);
	c->head_only = str_is(c->method, "HEAD");
	c->authority = head->authority.p ? keep(c, head->authority) : (struct str){ 0 };
	for (int i = 0; i < head->n_fields; i++)
		c->field[c->n_fields++] = (struct http_field){ keep(c, head->fields[i].name), keep(c, head->fields[i].value) };
	target_split(c, keep(c, target));
	return true;
}

void h1request_reset(struct h1server_request *c)
{
	c->text.head = c->text.tail = 0;
	c->body_bytes = 0;
	c->n_fields = c->n_params = 0;
	c->head_only = c->replied = c->shut = false;
}

/* ---- replies ---- */

static void reply_over(struct h1server_request *c)
{
	struct stage *s = &c->rq->stage;

	c->shut = true;
	c->rq = NULL;
	timer_stop(&c->timer);
	stage_done(s, FAIL_NONE);
}

/* False: it was answered before. */
static bool put_head(struct h1server_request *c, int status, const char *content_type, const char *length, bool close)
{
	struct http_field f[4 + H1SERVER_FIELDS] = {
		{ str_c("content-type"), str_c(content_type) }, { str_c("x-content-type-options"), str_c("nosniff") },
		{ str_c("cache-control"), str_c("no-store") },
	};
	const struct h1server_site *site = c->server->site;
	int n = 3;

	if (c->replied || !c->rq)
		return false;
	c->replied = true;
	c->on_gone = NULL;
	for (int i = 0; i < site->n_fields; i++)
		f[n++] = site->fields[i];
	if (length)
		f[n++] = (struct http_field){ str_c("content-length"), str_c(length) };
	http_reply(c->rq, &(struct http_head){ .status = status, .fields = f, .n_fields = n, .close = close || c->server->closed });
	return true;
}

static void fill(struct h1server_request *c)
{
	if (!c->stream.more(c->stream.arg, &c->out))
		h1request_stream_end(c);
}

void h1request_send(struct h1server_request *c)
{
	int pieces = 0;

	while (c->rq && c->replied && c->rq->stage.queued <= LIMIT_QUEUE_LOW) {
		struct iovec iov;
		size_t n;

		if (!buf_len(&c->out) && !c->stream.more) {
			reply_over(c);
			return;
		}
		if (!buf_len(&c->out) && pieces++ == TURN_PIECES) {
			timer_start(&c->next, 0);
			return;
		}
		if (!buf_len(&c->out)) {
			fill(c);
			continue;   /* a piece may be empty */
		}
		n = buf_len(&c->out) < LIMIT_READ_BYTES ? buf_len(&c->out) : LIMIT_READ_BYTES;
		iov = (struct iovec){ buf_data(&c->out), n };
		stage_write(&c->rq->stage, &iov, 1);
		buf_consume(&c->out, n);
	}
}

static void reply(struct h1server_request *c, int status, const char *content_type, struct buf *body, bool close)
{
	char length[24];

	snprintf(length, sizeof(length), "%zu", body ? buf_len(body) : 0);
	if (put_head(c, status, content_type, length, close)) {
		if (body && !c->head_only) {
			c->out = *body;
			*body = (struct buf){ 0 };
		}
		h1request_send(c);
	}
	if (body)
		buf_done(body);
}

void h1server_reply(struct h1server_request *c, int status, const char *content_type, struct buf *body)
{
	reply(c, status, content_type, body, false);
}

/* HTTP/1.0 knows no chunks: there the body ends with the connection. */
void h1server_reply_stream(struct h1server_request *c, int status, const char *content_type,
			   const struct h1server_stream *body)
{
	if (!put_head(c, status, content_type, NULL, false)) {
		body->done(body->arg);
		return;
	}
	if (c->head_only)
		body->done(body->arg);
	else
		c->stream = *body;
	h1request_send(c);
}

void h1request_stream_end(struct h1server_request *c)
{
	struct h1server_stream s = c->stream;

	c->stream = (struct h1server_stream){ 0 };
	if (s.more)
		s.done(s.arg);
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
	if (str_eq_nocase(str_c(name), str_c("host")) && c->authority.p)
		return c->authority;
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

static bool is_route(const struct h1server_route *r, struct str path)
{
	struct str want = str_c(r->path);

	if (!str_ends(want, str_c("/*")))
		return str_eq(path, want);
	want.n--;
	return str_starts(path, want);
}

static void dispatch(struct h1server_request *c)
{
	const struct h1server_site *site = c->server->site;
	const char *allowed = NULL;

	if (site->admit && !site->admit(c, site->arg))
		return;
	for (int i = 0; i < site->n_routes; i++) {
		const struct h1server_route *r = &site->routes[i];

		if (!is_route(r, c->path))
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
	default:  return "out of memory\n";
	}
}

void h1request_refuse(struct h1server_request *c, int status)
{
	struct buf body = { 0 };

	buf_puts(&body, error_text(status));
	reply(c, status, "text/plain; charset=utf-8", &body, true);
}

void h1server_later(struct h1server_request *c, void (*on_gone)(void *arg), void *arg)
{
	c->on_gone = on_gone;
	c->gone_arg = arg;
}

int h1server_headers(const struct h1server_request *c, const struct http_field **ret)
{
	*ret = c->field;
	return c->n_fields;
}

void h1request_gone(struct h1server_request *c)
{
	void (*on_gone)(void *arg) = c->on_gone;

	c->on_gone = NULL;
	if (on_gone)
		on_gone(c->gone_arg);
}

void h1request_answer(struct h1server_request *c)
{
	dispatch(c);
	if (!c->replied && !c->on_gone)
		h1server_reply_text(c, 500, "the handler of this page gave no answer\n");
}
