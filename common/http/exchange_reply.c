/* SPDX-License-Identifier: Apache-2.0 */
/* The response's head on its way to the client, and answers of our own. */
#include "http/exchange_int.h"
#include "http/grpc_frame.h"

/* Control bytes, '%' and what is not ASCII are escaped (gRPC over HTTP/2, "Status-Message"). */
static struct str escape(struct exchange *x, struct str text)
{
	static const char digits[] = "0123456789ABCDEF";
	char *out = arena_alloc(&x->arena, 3 * text.n + 1);
	size_t n = 0;

	for (size_t i = 0; i < text.n; i++) {
		uint8_t c = (uint8_t)text.p[i];

		if (c >= ' ' && c <= '~' && c != '%') {
			out[n++] = (char)c;
		} else {
			out[n++] = '%';
			out[n++] = digits[c >> 4];
			out[n++] = digits[c & 15];
		}
	}
	return (struct str){ out, n };
}

static void make_grpc(struct ex *e, int status, struct str text)
{
	struct http_fields *f = &e->x.response_fields;
	struct exchange *x = &e->x;
	uint64_t code;

	fields_set(f, "content-type", str_c("application/grpc"));
	if (!fields_get(f, "grpc-status").p)
		fields_add(f, "grpc-status", exchange_number(x, (uint64_t)(status == 200 ? GRPC_UNKNOWN : grpc_code_of_http(status))));
	if (text.n && !fields_get(f, "grpc-message").p)
		fields_add(f, "grpc-message", escape(x, text));
	x->log.grpc_status = str_to_u64(fields_get(f, "grpc-status"), &code) ? (int)code : GRPC_UNKNOWN;
	x->response.status = 200;
	x->response.end = true;
}

static void make_plain(struct ex *e, int status, struct str text)
{
	struct http_fields *f = &e->x.response_fields;
	bool none = status < 200 || status == 204 || status == 304;

	e->x.response.status = status;
	e->x.response.end = none || !text.n;
	if (none)
		return;
	fields_set(f, "content-length", exchange_printf(&e->x, "%zu", text.n));
	if (!text.n)
		return;
	if (!fields_get(f, "content-type").p)
		fields_add(f, "content-type", str_c("text/plain"));
	e->text = exchange_dup(&e->x, text);
}

void exchange_reply(struct exchange *x, enum fail why, int status, const char *details, struct str text, const struct http_field *fields, int n)
{
	const struct fail_http *info = fail_http(why);
	struct http_head head = { .fields = fields, .n_fields = n };
	struct ex *e = ex_of(x);

	if (e->phase == EX_DONE)
		return;
	status = status ? status : info->status;
	if (e->phase > EX_RESPONSE || !status) {
		exchange_abort(x, why);
		return;
	}
	ex_drop_up(e, FAIL_DRAIN);
	x->log.why = why == FAIL_DIRECT || why == FAIL_CORS ? FAIL_NONE : why;
	x->log.details = details ? exchange_dup(x, str_c(details)).p : info->details;
	x->response = (struct http_head){ 0 };
	e->text = (struct str){ 0 };
	ex_copy_fields(e, &x->response_fields, &head);
	x->response_fields.doubtful = n != 0;     /* they never were a head */
	if (x->log.grpc)
		make_grpc(e, status, text.p ? text : str_c(info->text));
	else
		make_plain(e, status, text.p ? text : str_c(info->text));
	x->response.unread = !e->down_end;
	e->local = e->up_end = true;
	e->switching = e->waiting = false;
	e->replied = true;
	if (e->calling)
		return;            /* its caller goes on */
	e->at = e->phase == EX_RESPONSE ? e->at - 1 : e->phase == EX_ROUTE ? x->conf->n_filters - 1 : e->reached - 1;
	e->phase = EX_RESPONSE;
	ex_go_on(e);
}

/* As Envoy says it: {reason|what the transport said}. */
void ex_reply_failed(struct ex *e, enum fail why)
{
	const struct fail_http *info = fail_http(why);
	struct exchange *x = &e->x;
	const char *said = x->log.upstream_failure;
	size_t n = strlen(info->details);
	struct str details, text;

	if (!said || !n || info->details[n - 1] != '}') {
		exchange_reply(x, why, 0, NULL, (struct str){ 0 }, NULL, 0);
		return;
	}
	details = exchange_printf(x, "%.*s|%s}", (int)n - 1, info->details, said);
	for (char *p = (char *)details.p; *p; p++)
		*p = *p == ' ' ? '_' : *p;
	text = exchange_printf(x, "%s, transport failure reason: %s", info->text, said);
	exchange_reply(x, why, 0, details.p, text, NULL, 0);
}

void ex_send_response(struct ex *e)
{
	struct exchange *x = &e->x;
	struct iovec iov = { (void *)e->text.p, e->text.n };
	bool head = str_is(x->request.method, "HEAD");

	x->response.fields = x->response_fields.v;
	x->response.n_fields = x->response_fields.n;
	x->response.checked = !x->response_fields.doubtful;
	if (e->local)
		x->response.end |= head;
	http_reply(x->down, &x->response);
	if (!e->local) {
		ex_relay_response(e);
		return;
	}
	if (!x->response.end && iov.iov_len) {
		stage_write(&x->down->stage, &iov, 1);
		x->log.bytes_sent += iov.iov_len;
	}
	stage_shut(&x->down->stage);
	ex_finish(e, FAIL_NONE);
}
