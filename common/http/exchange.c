/* SPDX-License-Identifier: Apache-2.0 */
/* An exchange's life: its request as it came, the chain of filters both ways, its end. */
#include <stdlib.h>
#include <time.h>

#include "http/exchange_int.h"

#define ARENA_BYTES 4000

uint64_t ex_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static uint64_t wall_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* ---- the request as it came ---- */

static struct str lower(struct str s)
{
	for (char *p = (char *)s.p; p < s.p + s.n; p++)
		*p = *p >= 'A' && *p <= 'Z' ? (char)(*p | 32) : *p;
	return s;
}

void ex_copy_fields(struct ex *e, struct http_fields *to, const struct http_head *head)
{
	const struct exchange_conf *conf = e->x.conf;
	struct exchange *x = &e->x;

	to->arena = &x->arena;
	to->cap = head->n_fields + 16;     /* what filters add */
	to->v = arena_alloc(&x->arena, (size_t)to->cap * sizeof(*to->v));
	to->n = 0;
	to->doubtful = false;
	for (int i = 0; i < head->n_fields; i++) {
		const struct http_field *f = &head->fields[i];

		if (!conf->keep_underscores && memchr(f->name.p, '_', f->name.n))
			continue;
		to->v[to->n] = (struct http_field){ exchange_dup(x, f->name), exchange_dup(x, f->value) };
		if (!conf->preserve_case)
			lower(to->v[to->n].name);
		to->n++;
	}
}

static uint64_t head_bytes(const struct http_head *h)
{
	uint64_t n = h->method.n + h->authority.n + h->path.n;

	for (int i = 0; i < h->n_fields; i++)
		n += h->fields[i].name.n + h->fields[i].value.n + 4;
	return n;
}

static void take_request(struct ex *e, const struct http_head *head)
{
	struct exchange *x = &e->x;
	struct str type;

	x->request = (struct http_head){
		.method = exchange_dup(x, head->method), .authority = exchange_dup(x, head->authority), .scheme = exchange_dup(x, head->scheme),
		.path = exchange_dup(x, head->path), .upgrade = exchange_dup(x, head->upgrade),
	};
	x->original_path = x->request.path;
	x->log.request_head_bytes = head_bytes(head);
	ex_copy_fields(e, &x->request_fields, head);
	e->switching = head->upgrade.n || str_is(head->method, "CONNECT");
	e->down_end = head->end && !e->switching;
	if (e->down_end)
		x->log.request_end_ns = x->log.start_ns;
	type = fields_get(&x->request_fields, "content-type");
	x->log.grpc = str_starts(type, str_c("application/grpc")) && (type.n == 16 || type.p[16] == '+' || type.p[16] == ';');
}

/* Over it the client could say what nobody judges. What HTTP/1 has beside tokens ("TLS/1.2") was no such wish from the start. */
static bool is_other_switch(const struct exchange *x)
{
	if (x->request.upgrade.n)
		return !str_eq_nocase(x->request.upgrade, str_c("websocket"));
	return str_is(x->request.method, "CONNECT");
}

static void begin(struct ex *e)
{
	struct exchange *x = &e->x;
	struct str path = x->request.path;
	char *out;

	if (!x->request.authority.n) {
		e->bad = FAIL_NO_HOST;
	} else if (x->conf->websocket_alone && is_other_switch(x)) {
		e->bad = FAIL_BAD_UPGRADE;
	} else if (path.n && x->conf->path != HTTP_PATH_NONE) {
		out = arena_alloc(&x->arena, 3 * path.n);
		if (!http_path_normalise(path, x->conf->path, out, &x->request.path))
			e->bad = FAIL_BAD_PATH;
	}
	ex_go_on(e);
}

static void on_open(struct stage *s, enum stage_event ev, const struct iovec *iov, int n)
{
	struct ex *e = s->arg;

	s->on_event = ex_on_down;
	if (ev == STAGE_OPEN)
		begin(e);
	else
		ex_on_down(s, ev, iov, n);
}

static void make_states(struct ex *e)
{
	const struct exchange_conf *conf = e->x.conf;
	size_t n = 0;
	char *at;

	for (int i = 0; i < conf->n_filters; i++)
		n += (conf->filters[i].ops->state_bytes + 15) & ~(size_t)15;
	e->state = arena_alloc(&e->x.arena, (size_t)conf->n_filters * sizeof(*e->state) + 16 + n);
	at = (char *)e->state + (((size_t)conf->n_filters * sizeof(*e->state) + 15) & ~(size_t)15);
	for (int i = 0; i < conf->n_filters; i++) {
		e->state[i] = at;
		at += (conf->filters[i].ops->state_bytes + 15) & ~(size_t)15;
		e->looked |= conf->filters[i].ops->on_data != NULL;
	}
}

static struct ex *ex_new(enum http_version v, const struct exchange_conf *conf, const struct exchange_client *client, void *arg)
{
	struct ex *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->x = (struct exchange){ .conf = conf, .client = client, .arg = arg, .arena = { .block = ARENA_BYTES }, .version = v };
	e->x.log.start_ns = ex_now_ns();
	e->x.log.wall_us = wall_us();
	e->x.log.grpc_status = -1;
	return e;
}

bool exchange_start(struct http_stream *down, enum http_version v, const struct exchange_conf *conf, const struct exchange_client *client,
		    void *arg)
{
	struct ex *e = ex_new(v, conf, client, arg);

	if (!e) {
		stage_done(&down->stage, FAIL_MEMORY);
		return false;
	}
	e->x.down = down;
	e->kept_all = true;
	e->replay_max = conf->replay_bytes;
	take_request(e, down->head);
	make_states(e);
	down->stage.on_event = on_open;
	down->stage.arg = e;
	return true;
}

/* ---- the chain ---- */

/* One filter's part. False: it stops here, by waiting, by an answer, or since all is over. */
static bool call(struct ex *e, bool response)
{
	const struct filter *f = &e->x.conf->filters[e->at];
	enum filter_step (*fn)(struct exchange *x, void *state, const void *conf) = response ? f->ops->on_response : f->ops->on_request;
	enum filter_step step = FILTER_NEXT;

	if (!fn)
		return true;
	do {
		e->body_max = 0;
		e->replied = false;
		e->calling = true;
		step = fn(&e->x, e->state[e->at], f->conf);
		e->calling = false;
	} while (step == FILTER_WAIT && e->body_max && !e->replied && e->phase == EX_REQUEST && ex_body_ready(e));
	if (e->phase == EX_DONE)
		return false;
	if (e->replied) {
		if (response)
			e->at--;          /* what it says instead goes to those before it */
		e->phase = EX_RESPONSE;
		return false;
	}
	e->waiting = step == FILTER_WAIT;
	return step == FILTER_NEXT;
}

static void run_request(struct ex *e)
{
	const struct exchange_conf *conf = e->x.conf;

	while (e->at < conf->n_filters) {
		if (e->bad && e->at)
			break;
		if (e->reached <= e->at)
			e->reached = e->at + 1;
		if (!call(e, false))
			return;
		e->at++;
	}
	if (e->bad) {
		exchange_reply(&e->x, e->bad, 0, NULL, (struct str){ 0 }, NULL, 0);
		return;
	}
	e->phase = EX_ROUTE;
	e->router_started = true;
	conf->router->start(&e->x);
	if (e->phase == EX_ROUTE)
		ex_kept_to_router(e);
}

static void run_response(struct ex *e)
{
	while (e->at >= 0) {
		if (call(e, true))
			e->at--;
		else if (e->waiting || e->phase != EX_RESPONSE)
			return;
	}
	ex_send_response(e);
}

void ex_go_on(struct ex *e)
{
	if (e->phase == EX_REQUEST)
		run_request(e);
	if (e->phase == EX_RESPONSE && !e->waiting)
		run_response(e);
}

void exchange_resume(struct exchange *x)
{
	struct ex *e = ex_of(x);

	if (!e->waiting || e->phase > EX_RESPONSE)
		return;
	e->waiting = false;
	e->body_max = 0;
	e->at += e->phase == EX_REQUEST ? 1 : -1;
	ex_go_on(e);
}

/* ---- the end ---- */

static void ex_free(struct deferred *d)
{
	struct ex *e = container_of(d, struct ex, grave);

	buf_done(&e->kept);
	arena_done(&e->x.arena);
	free(e);
}

static void log_end(struct ex *e, enum fail why)
{
	struct exchange_log *log = &e->x.log;

	log->end_ns = ex_now_ns();
	if (why != FAIL_NONE && log->why == FAIL_NONE) {
		log->why = why;
		log->details = why != FAIL_CLIENT_RESET && e->phase >= EX_RELAY && strstr(fail_http(why)->details, "before_response_started") ?
			exchange_printf(&e->x, "upstream_reset_after_response_started%s", strchr(fail_http(why)->details, '{')).p :
			fail_http(why)->details;
	} else if (!log->details) {
		log->details = fail_http(log->why)->details;
	}
	if (log->grpc && log->grpc_status < 0 && log->why == FAIL_CLIENT_RESET)
		log->grpc_status = 1;     /* CANCELLED */
}

void ex_finish(struct ex *e, enum fail why)
{
	const struct exchange_conf *conf = e->x.conf;
	struct exchange *x = &e->x;
	struct http_stream *down = x->down;
	bool whole = e->phase == EX_TUNNEL || (e->up_end && e->request_sent);

	if (e->phase == EX_DONE)
		return;
	log_end(e, why);
	e->phase = EX_DONE;
	e->waiting = false;
	if (x->up)
		ex_drop_up(e, why == FAIL_NONE && !whole ? FAIL_DRAIN : why);
	x->down = NULL;
	if (down)
		stage_done(&down->stage, why);
	for (int i = 0; i < e->reached; i++)
		if (conf->filters[i].ops->on_end)
			conf->filters[i].ops->on_end(x, e->state[i], conf->filters[i].conf);
	if (e->router_started && conf->router->on_end)
		conf->router->on_end(x);
	if (conf->on_end)
		conf->on_end(x, x->arg);
	e->grave.run = ex_free;
	if (down)
		loop_bury(down->stage.loop, &e->grave);
	else
		ex_free(&e->grave);     /* nobody else knows of it */
}

bool exchange_refused(struct http_conn *c, int status, const char *why, const struct exchange_conf *conf,
		      const struct exchange_client *client, void *arg)
{
	struct http_head none = { .status = 0 };
	struct ex *e = ex_new(http_conn_version(c), conf, client, arg);
	struct exchange *x;

	if (!e)
		return false;
	x = &e->x;
	ex_copy_fields(e, &x->request_fields, &none);
	ex_copy_fields(e, &x->response_fields, &none);
	make_states(e);
	if (conf->n_filters && conf->filters[0].ops->on_request)
		conf->filters[0].ops->on_request(x, e->state[0], conf->filters[0].conf);
	e->reached = conf->n_filters ? 1 : 0;
	x->response.status = status;
	x->log.why = status == 408 ? FAIL_SLOW_REQUEST : FAIL_BAD_MESSAGE;
	x->log.details = exchange_printf(x, "http%d.codec_error{%s}", x->version == HTTP_2 ? 2 : 1, why).p;
	for (char *p = (char *)x->log.details; *p; p++)
		*p = *p == ' ' ? '_' : *p;
	ex_finish(e, x->log.why);
	return true;
}

void exchange_abort(struct exchange *x, enum fail why)
{
	ex_finish(ex_of(x), why == FAIL_NONE ? FAIL_LOCAL_RESET : why);
}
