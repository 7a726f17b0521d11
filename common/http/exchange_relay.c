/* SPDX-License-Identifier: Apache-2.0 */
/* What moves between the two streams: bodies, trailers, ends, tunnels; and what is kept of it for another try. */
#include <errno.h>
#include <stdlib.h>

#include "http/exchange_int.h"

static void look(struct ex *e, bool up, const struct iovec *iov, int n)
{
	const struct exchange_conf *conf = e->x.conf;

	for (int i = 0; e->looked && i < e->reached; i++)
		if (conf->filters[i].ops->on_data)
			conf->filters[i].ops->on_data(&e->x, e->state[i], conf->filters[i].conf, up, iov, n);
}

static void look_at_trailers(struct ex *e, bool up, struct http_fields *t)
{
	const struct exchange_conf *conf = e->x.conf;

	for (int i = 0; i < e->reached; i++) {
		int k = up ? i : e->reached - 1 - i;

		if (conf->filters[k].ops->on_trailers)
			conf->filters[k].ops->on_trailers(&e->x, e->state[k], conf->filters[k].conf, up, t);
	}
}

static void take_trailers(struct ex *e, const struct http_stream *s, struct http_fields *ret)
{
	struct http_field f[LIMIT_HEADER_COUNT];
	struct http_head head = { .fields = f, .n_fields = http_received(s, f, LIMIT_HEADER_COUNT) };

	*ret = (struct http_fields){ .arena = &e->x.arena };
	if (head.n_fields)
		ex_copy_fields(e, ret, &head);
}

static void take_grpc_status(struct ex *e, const struct http_fields *f)
{
	struct str text = e->x.log.grpc ? fields_get(f, "grpc-status") : (struct str){ 0 };
	uint64_t v;

	if (text.p)
		e->x.log.grpc_status = str_to_u64(text, &v) && v < 1000 ? (int)v : 2;
}

/* ---- from the client ---- */

bool ex_body_ready(const struct ex *e)
{
	return e->down_end || buf_len(&e->kept) > e->body_max;
}

static void body_came(struct ex *e)
{
	if (!e->waiting || !e->body_max || !ex_body_ready(e))
		return;
	stage_want(&e->x.down->stage, false);
	e->waiting = false;
	ex_go_on(e);      /* the same filter again */
}

/* The body from its start, as long as it may be sent once more. */
static bool keep(struct ex *e, const struct iovec *iov, int n)
{
	if (!e->kept_all)
		return true;
	if (e->sent && buf_len(&e->kept) + iov_len(iov, n) > e->replay_max) {
		e->kept_all = false;
		buf_done(&e->kept);
		return true;
	}
	return buf_append_iov(&e->kept, iov, n, 0) == 0;
}

static void down_data(struct ex *e, const struct iovec *iov, int n)
{
	struct exchange *x = &e->x;

	x->log.bytes_received += iov_len(iov, n);
	look(e, true, iov, n);
	if (e->router_started && x->conf->router->on_request_data && e->phase != EX_TUNNEL)
		x->conf->router->on_request_data(x, iov, n, false);
	if (e->phase == EX_DONE)
		return;
	if (e->phase != EX_TUNNEL && !keep(e, iov, n)) {
		ex_finish(e, FAIL_MEMORY);
		return;
	}
	if (x->up) {
		stage_write(&x->up->stage, iov, n);
		if (x->up->stage.queued > LIMIT_QUEUE_LOW)
			stage_want(&x->down->stage, false);
	} else {
		if (!(e->waiting && e->body_max))
			stage_want(&x->down->stage, false);
		body_came(e);
	}
}

static void end_request(struct ex *e)
{
	struct http_stream *up = e->x.up;

	if (e->trailers.n)
		http_trailers(up, e->trailers.v, e->trailers.n);
	stage_shut(&up->stage);
	e->request_sent = true;
}

static void down_eof(struct ex *e)
{
	struct exchange *x = &e->x;

	if (e->phase == EX_TUNNEL) {
		e->down_eof = true;
		if (e->up_eof)
			ex_finish(e, FAIL_NONE);
		else
			stage_shut(&x->up->stage);
		return;
	}
	e->down_end = true;
	x->log.request_end_ns = ex_now_ns();
	take_trailers(e, x->down, &e->trailers);
	if (e->trailers.n)
		look_at_trailers(e, true, &e->trailers);
	if (e->router_started && x->conf->router->on_request_data)
		x->conf->router->on_request_data(x, NULL, 0, true);
	if (e->phase == EX_DONE)
		return;
	if (x->up && e->sent && !e->request_sent)
		end_request(e);
	else
		body_came(e);
}

/* The end of one side of a tunnel: a reset may not take back what was passed on before. */
static void tunnel_closed(struct ex *e, bool down, enum fail why)
{
	bool clean = down ? e->down_eof : e->up_eof;

	e->x.log.why = e->x.log.why == FAIL_NONE && !clean ? why : e->x.log.why;
	if (down)
		ex_drop_up(e, clean ? FAIL_NONE : why);
	ex_finish(e, clean ? FAIL_NONE : why);
}

static enum fail client_failed(const struct http_stream *s)
{
	switch (s->stage.fail) {
	case FAIL_HTTP1:
	case FAIL_HTTP2:
		return FAIL_BAD_MESSAGE;
	case FAIL_NONE:
	case FAIL_SERVER_RESET:
	case FAIL_PEER_CLOSED:
		return FAIL_CLIENT_RESET;
	default:
		return s->stage.fail;
	}
}

void ex_on_down(struct stage *s, enum stage_event ev, const struct iovec *iov, int n)
{
	struct ex *e = s->arg;

	switch (ev) {
	case STAGE_DATA:
		down_data(e, iov, n);
		break;
	case STAGE_EOF:
		down_eof(e);
		break;
	case STAGE_DRAINED:
		if (e->x.up && e->phase >= EX_RELAY)
			stage_want(&e->x.up->stage, true);
		break;
	case STAGE_CLOSED:
		if (e->phase == EX_TUNNEL)
			tunnel_closed(e, true, client_failed(e->x.down));
		else
			ex_finish(e, client_failed(e->x.down));
		break;
	case STAGE_OPEN:
		break;
	}
}

/* ---- from the server ---- */

void ex_drop_up(struct ex *e, enum fail why)
{
	struct http_stream *up = e->x.up;

	e->x.up = NULL;
	if (up)
		stage_done(&up->stage, why);
}

static void take_response(struct ex *e, const struct http_head *head)
{
	struct exchange *x = &e->x;

	x->response = (struct http_head){ .status = head->status, .keep_alive_s = head->keep_alive_s, .end = head->end,
					  .unread = head->end && !e->down_end };
	if (head->upgrade.n)
		x->response.upgrade = exchange_dup(x, head->upgrade);
	x->log.response_head_bytes = 0;
	for (int i = 0; i < head->n_fields; i++)
		x->log.response_head_bytes += head->fields[i].name.n + head->fields[i].value.n + 4;
	ex_copy_fields(e, &x->response_fields, head);
	x->log.up_head_ns = ex_now_ns();
	take_grpc_status(e, &x->response_fields);
}

static void up_head(struct ex *e)
{
	struct exchange *x = &e->x;
	struct http_stream *up = x->up;

	take_response(e, up->head);
	if (x->conf->router->on_response && !x->conf->router->on_response(x)) {
		if (x->up == up)
			ex_drop_up(e, FAIL_DRAIN);
		return;
	}
	if (e->phase != EX_ROUTE || x->up != up)
		return;
	stage_want(&up->stage, false);
	e->up_end = x->response.end;
	if (e->up_end)
		x->log.up_end_ns = x->log.up_head_ns;
	if (e->switching)
		websocket_response(e);
	e->phase = EX_RESPONSE;
	e->at = x->conf->n_filters - 1;
	ex_go_on(e);
}

/* 100 is between us and each side. */
static void on_info(struct http_stream *up)
{
	struct ex *e = up->stage.arg;

	if (e->phase == EX_ROUTE && e->x.up == up && up->head->status != 100 && e->x.version != HTTP_1_0)
		http_reply(e->x.down, up->head);
}

void ex_relay_response(struct ex *e)
{
	struct exchange *x = &e->x;

	if (x->response.status == 101 || (e->switching && str_is(x->request.method, "CONNECT") && x->response.status < 300)) {
		e->phase = EX_TUNNEL;
		stage_want(&x->down->stage, x->up->stage.queued <= LIMIT_QUEUE_LOW);
	} else if (e->up_end) {
		ex_finish(e, FAIL_NONE);
		return;
	} else {
		e->phase = EX_RELAY;
	}
	stage_want(&x->up->stage, x->down->stage.queued <= LIMIT_QUEUE_LOW);
}

static void up_data(struct ex *e, const struct iovec *iov, int n)
{
	struct exchange *x = &e->x;

	x->log.bytes_sent += iov_len(iov, n);
	look(e, false, iov, n);
	if (e->phase == EX_DONE)
		return;
	stage_write(&x->down->stage, iov, n);
	if (x->down->stage.queued > LIMIT_QUEUE_LOW)
		stage_want(&x->up->stage, false);
}

static void up_eof(struct ex *e)
{
	struct exchange *x = &e->x;
	struct http_fields t;

	if (e->phase == EX_TUNNEL) {
		e->up_eof = true;
		if (e->down_eof)
			ex_finish(e, FAIL_NONE);
		else
			stage_shut(&x->down->stage);
		return;
	}
	e->up_end = true;
	x->log.up_end_ns = ex_now_ns();
	take_trailers(e, x->up, &t);
	take_grpc_status(e, &t);
	if (t.n)
		look_at_trailers(e, false, &t);
	if (e->phase == EX_DONE)
		return;
	if (t.n)
		http_trailers(x->down, t.v, t.n);
	stage_shut(&x->down->stage);
	ex_finish(e, FAIL_NONE);
}

static void up_closed(struct ex *e)
{
	struct exchange *x = &e->x;
	struct http_stream *up = x->up;
	enum fail why = up->stage.fail == FAIL_NONE ? FAIL_UPSTREAM_RESET : up->stage.fail;
	bool refused = up->refused;

	if (e->phase == EX_TUNNEL) {
		tunnel_closed(e, false, why);
		return;
	}
	if (up->error)
		x->log.upstream_failure = exchange_dup(x, str_c(up->error)).p;
	ex_drop_up(e, why);
	if (e->phase == EX_RELAY) {
		ex_finish(e, why);
		return;
	}
	if (e->down_end || !e->sent)
		;
	else
		stage_want(&x->down->stage, false);
	if (e->phase != EX_ROUTE || x->conf->router->on_failed(x, why, refused)) {
		if (e->phase == EX_ROUTE || e->phase == EX_RESPONSE)
			ex_reply_failed(e, why);
	}
}

static void on_up(struct stage *s, enum stage_event ev, const struct iovec *iov, int n)
{
	struct ex *e = s->arg;

	if (!e->x.up || &e->x.up->stage != s)
		return;
	switch (ev) {
	case STAGE_OPEN:
		up_head(e);
		break;
	case STAGE_DATA:
		up_data(e, iov, n);
		break;
	case STAGE_EOF:
		up_eof(e);
		break;
	case STAGE_DRAINED:
		if (!e->down_end && e->x.down)
			stage_want(&e->x.down->stage, true);
		break;
	case STAGE_CLOSED:
		up_closed(e);
		break;
	}
}

/* ---- the router's verbs ---- */

bool exchange_may_replay(const struct exchange *x)
{
	return container_of(x, struct ex, x)->kept_all;
}

void exchange_abandon(struct exchange *x)
{
	struct ex *e = ex_of(x);

	if (!x->up || e->phase != EX_ROUTE)
		return;
	ex_drop_up(e, FAIL_DRAIN);
	if (!e->down_end)
		stage_want(&x->down->stage, false);
}

static void send_kept(struct ex *e)
{
	struct iovec iov = { buf_data(&e->kept), buf_len(&e->kept) };

	if (iov.iov_len)
		stage_write(&e->x.up->stage, &iov, 1);
	if (iov.iov_len > e->replay_max) {
		e->kept_all = false;
		buf_done(&e->kept);
	}
}

bool exchange_send(struct exchange *x, struct http_conn *c)
{
	struct ex *e = ex_of(x);
	struct http_head head = x->request;
	struct http_stream *up;

	if (e->phase != EX_ROUTE || x->up || !e->kept_all) {
		errno = EINVAL;
		return false;
	}
	head.end = e->switching || (e->down_end && !buf_len(&e->kept) && !e->trailers.n);
	if (e->switching)
		websocket_request(e, &head, http_conn_version(c) == HTTP_2);
	head.fields = x->request_fields.v;
	head.n_fields = x->request_fields.n;
	head.checked = !x->request_fields.doubtful;
	up = http_conn_request(c, &head);
	if (!up)
		return false;
	x->up = up;
	x->log.upstream_version = http_conn_version(c);
	x->log.up_sent_ns = x->log.up_sent_ns ? x->log.up_sent_ns : ex_now_ns();
	up->stage.on_event = on_up;
	up->stage.arg = e;
	up->on_info = on_info;
	stage_want(&up->stage, true);      /* so that an end before the head is seen */
	e->sent = true;
	e->request_sent = head.end;
	if (head.end)
		return true;
	send_kept(e);
	if (e->down_end)
		end_request(e);
	else
		stage_want(&x->down->stage, up->stage.queued <= LIMIT_QUEUE_LOW);
	return true;
}

void ex_kept_to_router(struct ex *e)
{
	void (*fn)(struct exchange *x, const struct iovec *iov, int n, bool end) = e->x.conf->router->on_request_data;
	struct iovec iov = { buf_data(&e->kept), buf_len(&e->kept) };

	if (fn && iov.iov_len)
		fn(&e->x, &iov, 1, false);
	if (fn && e->down_end && e->phase == EX_ROUTE)
		fn(&e->x, NULL, 0, true);
}

/* ---- filters that need the body ---- */

enum filter_step exchange_want_body(struct exchange *x, size_t max)
{
	struct ex *e = ex_of(x);

	e->body_max = max ? max : 1;
	if (!ex_body_ready(e))
		stage_want(&x->down->stage, true);
	return FILTER_WAIT;
}

struct str exchange_body(const struct exchange *x, bool *ret_whole)
{
	const struct ex *e = container_of(x, struct ex, x);

	*ret_whole = e->down_end;
	return buf_len(&e->kept) ? buf_str(&e->kept) : str_c("");
}
