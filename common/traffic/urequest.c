/* SPDX-License-Identifier: Apache-2.0 */
#include "traffic/urequest.h"

#include <errno.h>
#include <stdlib.h>

#include "traffic/retry.h"
#include "traffic/upool_int.h"

struct urequest {
	struct arena arena;              /* of the texts of both heads */
	struct upool *pool;
	struct loop *loop;
	uint64_t *seed;
	struct workload *local;          /* reference; NULL */
	struct str identity;
	struct addr original;
	struct cluster *cluster;         /* reference */
	struct http_head head, answer;
	struct buf body, reply;
	size_t max_body, body_at;
	struct pick pick;
	struct uwait wait;
	struct http_stream *stream;      /* owned */
	struct timer deadline;
	struct deferred begin, grave;
	void (*on_done)(void *arg, const struct urequest_reply *r, enum fail why, const char *detail);
	void *arg;
	int grpc_status;
	bool grpc, picked, requesting, reused, repeated, answered;
};

static struct str keep(struct urequest *r, struct str s)
{
	return s.n ? (struct str){ arena_dup(&r->arena, s), s.n } : (struct str){ s.p ? "" : NULL, 0 };
}

static void keep_head(struct urequest *r, const struct http_head *from, struct http_head *ret)
{
	struct http_field *f = arena_alloc(&r->arena, sizeof(*f) * (size_t)(from->n_fields + 1));

	*ret = *from;
	ret->method = keep(r, from->method);
	ret->authority = keep(r, from->authority);
	ret->scheme = keep(r, from->scheme);
	ret->path = keep(r, from->path);
	ret->upgrade = (struct str){ 0 };
	for (int i = 0; i < from->n_fields; i++)
		f[i] = (struct http_field){ keep(r, from->fields[i].name), keep(r, from->fields[i].value) };
	ret->fields = f;
}

/* ---- the end ---- */

static void bury(struct deferred *d)
{
	struct urequest *r = container_of(d, struct urequest, grave);

	arena_done(&r->arena);
	buf_done(&r->body);
	buf_done(&r->reply);
	free(r);
}

static void let_go(struct urequest *r, enum fail why)
{
	upool_cancel(&r->wait);
	if (r->stream)
		stage_done(&r->stream->stage, why);
	r->stream = NULL;
	if (r->requesting)
		cluster_give(r->cluster, LIMIT_OF_REQUESTS);
	r->requesting = false;
	if (r->picked) {
		host_ended(r->cluster, r->pick.host);
		pick_done(&r->pick);
	}
	r->picked = false;
}

static void end(struct urequest *r, enum fail why)
{
	timer_stop(&r->deadline);
	let_go(r, why);
	cluster_unref(r->cluster);
	workload_unref(r->local);
	r->on_done = NULL;
	r->grave.run = bury;
	loop_bury(r->loop, &r->grave);
}

static void tell(struct urequest *r, bool whole, enum fail why, const char *detail)
{
	struct urequest_reply reply = { .grpc_status = -1 };
	struct str status = { 0 };
	uint64_t n;

	if (!r->on_done)
		return;
	if (r->answered) {
		reply.head = &r->answer;
		reply.body = buf_str(&r->reply);
		reply.whole = whole;
		status = http_head_get(&r->answer, "grpc-status");
		reply.grpc_message = http_head_get(&r->answer, "grpc-message");
		if (!status.p && whole && r->stream) {
			status = http_trailer(r->stream, "grpc-status");
			reply.grpc_message = http_trailer(r->stream, "grpc-message");
		}
		if (status.p && str_to_u64(status, &n) && n <= 16)
			reply.grpc_status = (int)n;
	}
	r->on_done(r->arg, &reply, why, detail);
	end(r, whole ? FAIL_NONE : FAIL_CLIENT_RESET);
}

static void answered(struct urequest *r, enum host_event ev, int status)
{
	if (r->picked)
		host_answered(r->cluster, r->pick.host, ev, status, loop_now_ms(r->loop));
}

static void fail(struct urequest *r, enum fail why, const char *detail)
{
	answered(r, HOST_LOCAL_ERROR, 0);
	tell(r, false, why, detail);
}

static void on_deadline(struct timer *t)
{
	fail(container_of(t, struct urequest, deadline), FAIL_TIMEOUT, "");
}

/* ---- the stream ---- */

static void try(struct urequest *r, enum upool_want want);

static void push(struct urequest *r)
{
	while (r->stream->stage.queued <= LIMIT_QUEUE_LOW && r->body_at < buf_len(&r->body)) {
		size_t n = buf_len(&r->body) - r->body_at;
		struct iovec iov = { buf_data(&r->body) + r->body_at, n < LIMIT_READ_BYTES ? n : LIMIT_READ_BYTES };

		r->body_at += iov.iov_len;
		stage_write(&r->stream->stage, &iov, 1);
		if (r->body_at == buf_len(&r->body))
			stage_shut(&r->stream->stage);
	}
}

static void take(struct urequest *r, const struct iovec *iov, int n)
{
	for (int i = 0; i < n && r->max_body; i++) {
		size_t room = r->max_body - buf_len(&r->reply), len = iov[i].iov_len < room ? iov[i].iov_len : room;

		if (buf_append(&r->reply, iov[i].iov_base, len) < 0) {
			fail(r, FAIL_MEMORY, "");
			return;
		}
		if (len < iov[i].iov_len) {
			tell(r, false, FAIL_NONE, "");
			return;
		}
	}
}

static void lost(struct urequest *r)
{
	struct http_stream *s = r->stream;
	struct try_result res = { .end = s->refused ? TRY_REFUSED : TRY_RESET, .sent = true };

	if (!r->pool->closed && !r->answered && !r->repeated && retry_unasked(r->head.method, &res, r->reused, true)) {
		r->repeated = true;
		let_go(r, s->stage.fail);
		try(r, UPOOL_NEW);
		return;
	}
	fail(r, s->stage.fail == FAIL_NONE ? FAIL_UPSTREAM_CLOSED : s->stage.fail, s->error ? s->error : "");
}

static void on_event(struct stage *stage, enum stage_event ev, const struct iovec *iov, int n)
{
	struct urequest *r = stage->arg;
	int status;

	switch (ev) {
	case STAGE_OPEN:
		keep_head(r, r->stream->head, &r->answer);
		r->answered = true;
		status = r->answer.status;
		answered(r, status >= 502 && status <= 504 ? HOST_GATEWAY_ERROR : status >= 500 ? HOST_5XX : HOST_OK, status);
		break;
	case STAGE_DATA:
		take(r, iov, n);
		break;
	case STAGE_DRAINED:
		push(r);
		break;
	case STAGE_EOF:
		tell(r, true, FAIL_NONE, "");
		break;
	case STAGE_CLOSED:
		lost(r);
		break;
	}
}

static void send_on(struct urequest *r, struct uconn *c)
{
	int error;

	if (!cluster_take(r->cluster, LIMIT_OF_REQUESTS)) {
		tell(r, false, FAIL_OVERFLOW, "");
		return;
	}
	r->requesting = true;
	r->reused = c->uses > 0;
	uconn_begin(c);
	r->stream = http_conn_request(c->http, &r->head);
	if (r->stream) {
		r->stream->stage.on_event = on_event;
		r->stream->stage.arg = r;
		r->body_at = 0;
		push(r);
		stage_want(&r->stream->stage, true);
	}
	error = r->stream ? 0 : errno;
	uconn_sent(c, error);
	if (error)
		fail(r, error == EINVAL ? FAIL_UPSTREAM_PROTOCOL : FAIL_UPSTREAM_CLOSED, "");
}

static void on_conn(struct uwait *w, struct uconn *c, enum fail why, const char *detail)
{
	struct urequest *r = container_of(w, struct urequest, wait);

	if (c)
		send_on(r, c);
	else
		fail(r, why, detail);
}

static void try(struct urequest *r, enum upool_want want)
{
	struct pick_ask ask = {
		.m = mesh_current(), .client = r->local, .original = r->original, .seed = r->seed, .now_ms = loop_now_ms(r->loop),
	};
	const struct cluster_conf *conf = cluster_conf(r->cluster);
	struct connect_ask how = { .http = true, .identity = r->identity, .original = r->original };
	struct uconn *c;

	if (!cluster_pick(r->cluster, &ask, &r->pick)) {
		tell(r, false, r->pick.why, "");
		return;
	}
	r->picked = true;
	host_started(r->cluster, r->pick.host);
	how.h2 = r->grpc || conf->http2 || conf->pool.h2 == H2_ALWAYS;
	if (r->pick.transport != TRANSPORT_PLAIN && (conf->tls.mode == TLS_SIMPLE || conf->tls.mode == TLS_MUTUAL) && !(conf->tls.sni && *conf->tls.sni))
		how.sni = upool_sni(r->head.authority);
	switch (upool_take(r->pool, r->cluster, &r->pick, &how, want, &r->wait, &c)) {
	case UPOOL_READY:
		send_on(r, c);
		break;
	case UPOOL_OVERFLOW:
		tell(r, false, FAIL_OVERFLOW, "");
		break;
	case UPOOL_WAIT:
		break;
	}
}

static void on_begin(struct deferred *d)
{
	struct urequest *r = container_of(d, struct urequest, begin);

	if (!r->on_done)
		return;
	if (r->pool->closed)
		tell(r, false, FAIL_DRAIN, "");
	else
		try(r, UPOOL_SURE);
}

struct urequest *urequest_start(struct router_env *env, struct cluster *c, const struct http_head *head, struct str body,
				unsigned timeout_ms, size_t max_body,
				void (*on_done)(void *arg, const struct urequest_reply *r, enum fail why, const char *detail), void *arg)
{
	struct urequest *r = calloc(1, sizeof(*r));

	if (!r || buf_append(&r->body, body.p, body.n) < 0) {
		free(r);
		return NULL;
	}
	r->arena.block = 1024;
	r->pool = env->pool;
	r->loop = env->loop;
	r->seed = env->seed;
	r->local = env->local ? workload_ref((struct workload *)env->local) : NULL;
	r->identity = keep(r, env->identity);
	r->cluster = cluster_ref(c);
	keep_head(r, head, &r->head);
	r->head.end = body.n == 0;
	r->grpc = str_starts(http_head_get(head, "content-type"), str_c("application/grpc"));
	r->max_body = max_body;
	r->on_done = on_done;
	r->arg = arg;
	r->wait.on_conn = on_conn;
	timer_init(&r->deadline, r->loop, on_deadline);
	if (timeout_ms)
		timer_start(&r->deadline, timeout_ms);
	r->begin.run = on_begin;
	loop_defer(r->loop, &r->begin);
	return r;
}

void urequest_cancel(struct urequest *r)
{
	if (r && r->on_done)
		end(r, FAIL_CLIENT_RESET);
}
