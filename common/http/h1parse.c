/* SPDX-License-Identifier: Apache-2.0 */
/* What arrives: llhttp, and the checks that it does not make. */
#include "http/h1_int.h"

/* ---- lines ---- */

static const char no_crlf[] = "a line does not end with CRLF", blank_first[] = "a line begins with a blank";

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* A line without its end. */
static const char *line_check(struct str s)
{
	if (str_is_plain(s))
		return NULL;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\r')
			return no_crlf;
		if (((uint8_t)s.p[i] < ' ' && s.p[i] != '\t') || s.p[i] == 0x7f)
			return "a control byte in the head";
	}
	return NULL;
}

/* What follows what was seen before. */
static const char *lines_check(struct h1_lines *l, const char *p, size_t n)
{
	for (const char *end = p + n, *lf; p < end; p = lf ? lf + 1 : end) {
		const char *why, *stop = (lf = memchr(p, '\n', (size_t)(end - p))) ? lf : end;
		bool cr = stop > p && stop[-1] == '\r';

		if ((l->last == '\r' && lf != p) || (lf && !cr && !(lf == p && l->last == '\r')))
			return no_crlf;
		if (is_blank(*p) && (l->last == '\n' || (!l->last && !l->ends)))
			return blank_first;
		why = line_check((struct str){ p, (size_t)(stop - p) - cr });
		if (why)
			return why;
		l->ends += lf != NULL;
		l->last = lf ? '\n' : (uint8_t)stop[-1];
	}
	return NULL;
}

int h1_scan(struct h1 *h, struct str in, size_t *ret)
{
	size_t max = h->conf->head_bytes, from = h->checked, end = 0;
	const char *lf = in.p + from;

	*ret = 0;
	if (!from)
		h->lines = (struct h1_lines){ 0 };
	while (!end && lf < in.p + in.n && (lf = memchr(lf, '\n', (size_t)(in.p + in.n - lf)))) {
		if (lf - in.p >= 3 && lf[-1] == '\r' && lf[-2] == '\n')
			end = (size_t)(lf - in.p) + 1;
		lf++;
	}
	h->checked = end ? end : in.n;
	h->error = lines_check(&h->lines, in.p + from, h->checked - from);
	if (h->error)
		return 400;
	if (h->checked > max || h->lines.ends > h->conf->head_fields + 2)
		return h->error = "the head is too large", 431;
	*ret = end;
	return 0;
}

/* ---- llhttp's callbacks ---- */

static struct h1 *of(llhttp_t *p)
{
	return container_of(p, struct h1, parser);
}

static int refuse(struct h1 *h, const char *why)
{
	h->error = why;
	return HPE_USER;
}

static int on_url(llhttp_t *p, const char *at, size_t n)
{
	if (of(p)->head)
		of(p)->head->target = (struct str){ at, n };
	return 0;
}

static int on_field(llhttp_t *p, const char *at, size_t n)
{
	struct h1 *h = of(p);

	if (!h->head)
		return buf_append(&h->field, at, n);
	if (h->head->n_fields == LIMIT_HEADER_COUNT)
		return refuse(h, "too many headers");
	h->head->field[h->head->n_fields++] = (struct http_field){ { at, n }, { "", 0 } };
	return 0;
}

static int on_value(llhttp_t *p, const char *at, size_t n)
{
	struct h1 *h = of(p);

	if (!h->head)
		return buf_append(&h->field, at, n);
	while (n && (at[n - 1] == ' ' || at[n - 1] == '\t'))
		n--;
	if (h->head->n_fields)
		h->head->field[h->head->n_fields - 1].value = (struct str){ at, n };
	return 0;
}

/* A trailer's name or value is whole. */
static int on_trailer_part(llhttp_t *p)
{
	struct h1 *h = of(p);

	if (h->head)
		return 0;
	while (h->trailer_value && buf_len(&h->field) && strchr(" \t", h->field.mem[h->field.tail - 1]))
		h->field.tail--;
	h->trailer_value = !h->trailer_value;
	if (buf_append(&h->s->trailers, buf_data(&h->field), buf_len(&h->field)) < 0 || buf_append(&h->s->trailers, "", 1) < 0)
		return HPE_USER;
	h->field.head = h->field.tail = 0;
	return 0;
}

static bool answers_without_body(const struct h1 *h, int status)
{
	const char *method = h->s ? h->s->method : "";

	return status < 200 || status == 204 || status == 304 || strcmp(method, "HEAD") == 0 ||
		(strcmp(method, "CONNECT") == 0 && status < 300);
}

static int on_head_end(llhttp_t *p)
{
	p->upgrade = 0;     /* a switch is the owner's to decide */
	return !of(p)->server && answers_without_body(of(p), p->status_code) ? 1 : 0;
}

/* Between the pieces of a chunked body stands framing. */
static int framing_check(struct h1 *h, const char *to)
{
	size_t n = (size_t)(to - h->framed);

	if (!h->chunked || !n)
		return 0;
	h->line_bytes += n;
	h->error = lines_check(&h->lines, h->framed, n);
	h->framed = to;
	return h->error ? HPE_USER : 0;
}

static int on_body(llhttp_t *p, const char *at, size_t n)
{
	struct h1 *h = of(p);
	int r = framing_check(h, at);

	if (r)
		return r;
	if (h->line_bytes > LIMIT_H1_LINE_BYTES)
		return refuse(h, "a chunk's line is too long");
	h->lines = (struct h1_lines){ .ends = 1 };
	h->line_bytes = 0;
	h->framed = at + n;
	if (h->n_pieces < H1_PIECES)
		h->pieces[h->n_pieces++] = (struct iovec){ (void *)at, n };
	else
		return buf_append(&h->spill, at, n);
	return 0;
}

static int on_complete(llhttp_t *p)
{
	of(p)->complete = true;
	return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
	.on_url = on_url, .on_header_field = on_field, .on_header_value = on_value, .on_headers_complete = on_head_end,
	.on_header_field_complete = on_trailer_part, .on_header_value_complete = on_trailer_part,
	.on_body = on_body, .on_message_complete = on_complete,
};

/* ---- heads ---- */

static bool is_version(const char *p)
{
	return memcmp(p, "HTTP/1.", 7) == 0 && (p[7] == '0' || p[7] == '1');
}

/* method SP target SP version, where llhttp saw the target. */
static int check_request_line(struct h1 *h, struct str line, struct str target, struct str *ret_method)
{
	bool there = target.p && target.p > line.p + 1;
	struct str method = { line.p, there ? (size_t)(target.p - line.p) - 1 : 0 };
	const char *version = there ? target.p + target.n + 1 : NULL;

	if (!there || target.p[-1] != ' ' || memchr(method.p, ' ', method.n) || version[-1] != ' ' ||
	    version + 8 != line.p + line.n)
		return h->error = "the request line is not valid", 400;
	if (!is_version(version))
		return h->error = "the version is not HTTP/1.0 or HTTP/1.1", 505;
	h->version = version[7] - '0' + 10;
	*ret_method = method;
	if (h->version == 10 && !h->conf->http10)
		return h->error = "HTTP/1.0 is not served here", 426;
	return 0;
}

static int check_status_line(struct h1 *h, struct str line, int *ret_status)
{
	struct str digits = { line.p + 9, 3 };
	uint64_t v;

	if (line.n < 12 || !is_version(line.p) || line.p[8] != ' ' || !str_to_u64(digits, &v) || (line.n > 12 && line.p[12] != ' '))
		return h->error = "the status line is not valid", 502;
	h->version = line.p[7] - '0' + 10;
	*ret_status = (int)v;
	return 0;
}

static int parse_error(struct h1 *h, llhttp_errno_t e, struct str line)
{
	if (!h->error)
		h->error = llhttp_get_error_reason(&h->parser);
	if (!h->server)
		return 502;
	if (e == HPE_INVALID_METHOD && line.n > 9 && line.p[line.n - 9] == ' ' && is_version(line.p + line.n - 8) &&
	    http_token(str_cut(line, ' ', &line)))
		return h->error = "the method is not known", 501;
	if (h->head && h->head->n_fields == LIMIT_HEADER_COUNT && e == HPE_USER)
		return 431;
	return 400;
}

int h1_parse_head(struct h1 *h, struct str head, struct h1_head *parsed, struct http_head *ret, struct http_framing *framing)
{
	const char *end = memchr(head.p, '\r', head.n);
	struct str line = { head.p, (size_t)(end - head.p) };
	enum http_version v;
	llhttp_errno_t e;
	int r;

	*parsed = (struct h1_head){ .n_fields = 0 };
	h->head = parsed;
	h->complete = h->trailer_value = false;
	h->error = NULL;
	llhttp_init(&h->parser, h->server ? HTTP_REQUEST : HTTP_RESPONSE, &settings);
	e = llhttp_execute(&h->parser, head.p, head.n);
	if (!(e == HPE_OK && !h->complete) && !(e == HPE_PAUSED && h->complete && llhttp_get_error_pos(&h->parser) == head.p + head.n)) {
		r = parse_error(h, e, line);
		h->head = NULL;
		return r;
	}
	h->head = NULL;
	*ret = (struct http_head){ .fields = parsed->field, .n_fields = parsed->n_fields, .path = parsed->target };
	r = h->server ? check_request_line(h, line, parsed->target, &ret->method) : check_status_line(h, line, &ret->status);
	if (r)
		return r;
	/* Both readings of the lines must agree. */
	if (h->lines.ends != parsed->n_fields + 2)
		r = 400;
	for (int i = 0; i < parsed->n_fields; i++)
		if (parsed->field[i].name.p[parsed->field[i].name.n] != ':')
			r = 400;
	if (r)
		return h->error = "a header line is not valid", r;
	v = h->version == 10 ? HTTP_1_0 : HTTP_1_1;
	r = h->server ? http_settle_request(ret, parsed->field, v, framing, &h->error) :
		http_settle_response(ret, parsed->field, v, str_c(h->s->method), framing, &h->error);
	if (r)
		return r;
	ret->end = framing->body == HTTP_BODY_NONE || (framing->body == HTTP_BODY_LENGTH && !framing->length);
	if (ret->end != h->complete)
		return h->error = "the body's length is in doubt", 400;
	h->chunked = framing->body == HTTP_BODY_CHUNKED;
	h->lines = (struct h1_lines){ .last = '\n', .ends = 1 };
	h->line_bytes = 0;
	return 0;
}

/* ---- bodies ---- */

static bool trailers_ok(struct h1_stream *s)
{
	struct http_field f[LIMIT_HEADER_COUNT];
	struct str rest = buf_str(&s->trailers);
	int n = 0;

	while (rest.n) {
		if (n == LIMIT_HEADER_COUNT || !h1_trailer_next(&rest, &f[n]))
			return false;
		n++;
	}
	return http_trailers_ok(f, n);
}

int h1_parse_body(struct h1 *h, struct str in, size_t *ret_used)
{
	llhttp_errno_t e;
	const char *end;

	h->framed = in.p;
	h->error = NULL;
	e = llhttp_execute(&h->parser, in.p, in.n);
	end = e == HPE_OK ? in.p + in.n : llhttp_get_error_pos(&h->parser);
	if (!h->complete && e != HPE_OK)
		return parse_error(h, e, (struct str){ 0 });
	if (framing_check(h, end))
		return 400;
	if (h->line_bytes > h->conf->head_bytes)
		return h->error = "the trailers are too large", 431;
	if (h->complete && !trailers_ok(h->s))
		return h->error = "a trailer that may not be one", 400;
	*ret_used = (size_t)(end - in.p);
	return 0;
}

bool h1_parse_eof(struct h1 *h)
{
	llhttp_finish(&h->parser);
	return h->complete;
}
