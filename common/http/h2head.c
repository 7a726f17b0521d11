/* SPDX-License-Identifier: Apache-2.0 */
/* Heads and trailers of an HTTP/2 connection, both ways. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "http/h2_int.h"

static struct stream *of(const struct http_stream *s)
{
	return container_of(s, struct stream, pub);
}

/* ---- what arrives ---- */

int h2_on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
	struct h2 *h = arg;
	struct stream *s;

	buf_done(&h->head);
	h->n_fields = 0;
	h->too_large = false;
	if (!h->server || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	s = stream_new(h);
	if (!s)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	s->id = h->last_id = frame->hd.stream_id;
	nghttp2_session_set_stream_user_data(ng, s->id, s);
	return 0;
}

int h2_on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name, size_t nn, const uint8_t *value, size_t vn,
		 uint8_t flags, void *arg)
{
	struct h2 *h = arg;
	struct stream *s = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);

	/* Trailers are of no use to a tunnel. */
	if (frame->hd.type != NGHTTP2_HEADERS || !s || h->too_large || (s->got_head && s->tunnel))
		return 0;
	if (buf_len(&h->head) + nn + vn > h->conf->head_bytes || h->n_fields >= h->conf->head_fields) {
		h->too_large = true;
		return 0;
	}
	h->n_fields++;
	if (buf_append(&h->head, name, nn + 1) < 0 || buf_append(&h->head, value, vn + 1) < 0)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	return 0;
}

static bool block_next(struct str *rest, struct http_field *ret)
{
	if (!rest->n)
		return false;
	ret->name = str_c(rest->p);
	ret->value = str_c(rest->p + ret->name.n + 1);
	rest->n -= ret->name.n + ret->value.n + 2;
	rest->p += ret->name.n + ret->value.n + 2;
	return true;
}

static bool put_pseudo(struct http_head *head, struct str name, struct str value)
{
	uint64_t status;

	if (!name.n || name.p[0] != ':')
		return false;
	if (str_is(name, ":method"))
		head->method = value;
	else if (str_is(name, ":authority"))
		head->authority = value;
	else if (str_is(name, ":scheme"))
		head->scheme = value;
	else if (str_is(name, ":path"))
		head->path = value;
	else if (str_is(name, ":protocol"))
		head->upgrade = value;
	else if (str_is(name, ":status"))
		head->status = str_to_u64(value, &status) ? (int)status : 0;
	return true;
}

/* 0, or the status to refuse it with. */
static int judge_request(struct h2 *h, struct stream *s, struct http_head *head, struct http_field *fields, const char **why)
{
	struct str upgrade = head->upgrade;
	struct http_framing framing;
	int r;

	s->tunnel = str_is(head->method, "CONNECT");
	s->extended = s->tunnel && upgrade.n;
	s->no_body = str_is(head->method, "HEAD");
	if (h->too_large)
		return *why = "the head is too large", 431;
	if (s->extended)
		head->method = str_c("GET");
	r = http_settle_request(head, fields, HTTP_2, &framing, why);
	head->upgrade = upgrade;
	/* h2c would lead past everything that reads this connection, were it asked for in HTTP/1. */
	if (!r && s->extended && (!http_token(upgrade) || str_eq_nocase(upgrade, str_c("h2c"))))
		return *why = "the protocol is not valid", 400;
	return r;
}

static void refuse_request(struct h2 *h, struct stream *s, const struct http_head *head, int status, const char *why)
{
	s->announced = s->got_head = true;
	if (h->ops->on_refused)
		h->ops->on_refused(h, head, status, why, h->arg);
	h2_reply(&s->pub, &(struct http_head){ .status = status, .end = true });
	stage_done(&s->pub.stage, FAIL_NONE);
}

static void offer_response(struct h2 *h, struct stream *s, struct http_head *head, struct http_field *fields)
{
	const char *method = s->no_body ? "HEAD" : s->tunnel && !s->extended ? "CONNECT" : "GET", *why = NULL;
	struct http_framing framing;

	if (h->too_large)
		why = "the head is too large";
	else if (http_settle_response(head, fields, HTTP_2, str_c(method), &framing, &why) == 0)
		why = NULL;
	if (!why && head->status < 200 && ++s->infos > LIMIT_H1_INFOS)
		why = "too many interim responses";
	if (why) {
		stream_fail(s, why);
		return;
	}
	s->pub.head = head;
	if (head->status < 200) {
		if (s->pub.on_info)
			s->pub.on_info(&s->pub);
	} else {
		s->got_head = true;
		if (s->extended && head->status == 200)
			head->status = 101;
		s->tunnel &= head->status < 300;
		stage_emit(&s->pub.stage, STAGE_OPEN, NULL, 0);
	}
	s->pub.head = NULL;
}

static void offer_request(struct h2 *h, struct stream *s, struct http_head *head, struct http_field *fields)
{
	const char *why = NULL;
	int r = judge_request(h, s, head, fields, &why);

	if (r) {
		refuse_request(h, s, head, r, why);
		return;
	}
	s->announced = s->got_head = true;
	s->pub.head = head;
	h->ops->on_request(h, &s->pub, h->arg);
	stage_emit(&s->pub.stage, STAGE_OPEN, NULL, 0);
	s->pub.head = NULL;
}

void h2_take_head(struct h2 *h, struct stream *s, bool end)
{
	struct http_field fields[LIMIT_HEADER_COUNT];
	struct http_head head = { .fields = fields, .end = end };
	struct buf block = h->head;
	struct str rest = buf_str(&block);
	struct http_field f;

	h->head = (struct buf){ 0 };
	while (block_next(&rest, &f))
		if (!put_pseudo(&head, f.name, f.value))
			fields[head.n_fields++] = f;
	if (h->server)
		offer_request(h, s, &head, fields);
	else if (!s->done)
		offer_response(h, s, &head, fields);
	buf_done(&block);
}

/* What may not be a trailer is dropped: in HTTP/2 it cannot be taken for something else. */
void h2_take_trailers(struct h2 *h, struct stream *s)
{
	struct str rest = buf_str(&h->head);
	struct http_field f;

	if (h->too_large) {
		stream_fail(s, "the trailers are too large");
		return;
	}
	if (s->trailers || s->done || !rest.n || !(s->trailers = calloc(1, sizeof(*s->trailers))))
		return;
	while (block_next(&rest, &f))
		if (http_trailers_ok(&f, 1) && buf_reserve(s->trailers, f.name.n + f.value.n + 2)) {
			buf_append(s->trailers, f.name.p, f.name.n + 1);
			buf_append(s->trailers, f.value.p, f.value.n + 1);
		}
}

int h2_received(const struct http_stream *pub, struct http_field *ret, int max)
{
	const struct stream *s = of(pub);
	struct str rest = s->trailers ? buf_str(s->trailers) : (struct str){ 0 };
	int n = 0;

	while (n < max && block_next(&rest, &ret[n]))
		n++;
	return n;
}

/* ---- what goes ---- */

static nghttp2_nv nv(const char *name, struct str value, uint8_t flags)
{
	return (nghttp2_nv){ (uint8_t *)name, (uint8_t *)value.p, strlen(name), value.n, flags };
}

/* nghttp2 copies them, with names in lower case. */
static size_t put_fields(nghttp2_nv *to, size_t n, const struct http_field *fields, int n_fields)
{
	for (int i = 0; i < n_fields && i < LIMIT_HEADER_COUNT; i++)
		to[n++] = (nghttp2_nv){ (uint8_t *)fields[i].name.p, (uint8_t *)fields[i].value.p, fields[i].name.n,
					fields[i].value.n, NGHTTP2_NV_FLAG_NONE };
	return n;
}

static void expect_length(struct stream *s, const struct http_head *head)
{
	struct str length = http_head_get(head, "content-length");

	s->limited = length.p && !s->tunnel && str_to_u64(length, &s->out_left);
}

struct http_stream *h2_request(struct h2 *h, const struct http_head *head)
{
	nghttp2_data_provider provider = { .read_callback = h2_source_read };
	nghttp2_nv list[LIMIT_HEADER_COUNT + 5];
	bool connect = str_is(head->method, "CONNECT"), extended = !connect && head->upgrade.n;
	struct stream *s;
	size_t n = 0;

	if (!http_sendable(head, true) || head->n_fields > LIMIT_HEADER_COUNT ||
	    (extended && h->got_settings && !nghttp2_session_get_remote_settings(h->ng, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL))) {
		errno = EINVAL;
		return NULL;
	}
	errno = EAGAIN;
	s = h2_room(h) > 0 && (!extended || h->got_settings) ? stream_new(h) : NULL;
	if (!s)
		return NULL;
	s->announced = s->out_head = true;
	s->tunnel = connect || extended;
	s->extended = extended;
	s->no_body = str_is(head->method, "HEAD");
	s->provided = s->tunnel || !head->end;
	s->shut = !s->provided;
	expect_length(s, head);
	list[n++] = nv(":method", extended ? str_c("CONNECT") : head->method, NGHTTP2_NV_FLAG_NONE);
	if (extended)
		list[n++] = nv(":protocol", head->upgrade, NGHTTP2_NV_FLAG_NONE);
	if (!connect)
		list[n++] = nv(":scheme", head->scheme.n ? head->scheme : str_c("http"), NGHTTP2_NV_FLAG_NONE);
	list[n++] = nv(":authority", head->authority, NGHTTP2_NV_FLAG_NONE);
	if (!connect)
		list[n++] = nv(":path", head->path, NGHTTP2_NV_FLAG_NONE);
	n = put_fields(list, n, head->fields, head->n_fields);
	provider.source.ptr = s;
	s->id = nghttp2_submit_request(h->ng, NULL, list, n, s->provided ? &provider : NULL, s);
	if (s->id < 0) {
		stream_drop(s);
		return NULL;
	}
	h2_flush_later(h);
	return &s->pub;
}

void h2_reply(struct http_stream *pub, const struct http_head *head)
{
	const struct http_head bad = { .status = 502, .end = true };
	struct stream *s = of(pub);
	struct h2 *h = s->h2;
	nghttp2_data_provider provider = { .source = { .ptr = s }, .read_callback = h2_source_read };
	nghttp2_nv list[LIMIT_HEADER_COUNT + 1];
	char text[12];
	size_t n = 0;
	bool end;

	if (!h || !h->server || s->closed || s->done || s->out_head)
		return;
	if (!http_sendable(head, false) || head->n_fields > LIMIT_HEADER_COUNT || (head->status == 101 && !s->extended))
		head = &bad;
	snprintf(text, sizeof(text), "%d", head->status == 101 ? 200 : head->status);
	list[n++] = nv(":status", str_c(text), NGHTTP2_NV_FLAG_NONE);
	n = put_fields(list, n, head->fields, head->n_fields);
	if (head->status < 200 && head->status != 101) {
		nghttp2_submit_headers(h->ng, NGHTTP2_FLAG_NONE, s->id, NULL, list, n, NULL);
		h2_flush_later(h);
		return;
	}
	s->out_head = true;
	s->tunnel &= head->status == 101 || (!s->extended && head->status < 300);
	end = head->status != 101 && (head->end || s->no_body || head->status == 204 || head->status == 304);
	s->provided = !end;
	s->shut |= end;
	if (!end)
		expect_length(s, head);
	nghttp2_submit_response(h->ng, s->id, list, n, end ? NULL : &provider);
	h2_flush_later(h);
}

int h2_submit_trailers(struct stream *s)
{
	nghttp2_nv list[LIMIT_HEADER_COUNT];
	struct str rest = buf_str(s->out_trailers);
	struct http_field f;
	size_t n = 0;

	while (n < ARRAY_LEN(list) && block_next(&rest, &f))
		n = put_fields(list, n, &f, 1);
	return nghttp2_submit_trailer(s->h2->ng, s->id, list, n);
}

bool h2_trailers(struct http_stream *pub, const struct http_field *f, int n)
{
	struct stream *s = of(pub);

	if (!s->h2 || s->closed || s->shut || !s->out_head || s->tunnel || !http_trailers_ok(f, n) || n > LIMIT_HEADER_COUNT)
		return false;
	if (n && (s->out_trailers = calloc(1, sizeof(*s->out_trailers))))
		for (int i = 0; i < n; i++) {
			if (!buf_reserve(s->out_trailers, f[i].name.n + f[i].value.n + 2))
				break;
			buf_append(s->out_trailers, f[i].name.p, f[i].name.n);
			buf_append(s->out_trailers, "", 1);
			buf_append(s->out_trailers, f[i].value.p, f[i].value.n);
			buf_append(s->out_trailers, "", 1);
		}
	stage_shut(&pub->stage);
	return true;
}
