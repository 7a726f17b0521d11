/* SPDX-License-Identifier: Apache-2.0 */
#include "ext/rateshared.h"

#include "base/log.h"
#include "ext/rateshared_int.h"
#include "ext/server.h"
#include "traffic/urequest.h"

#define QUESTIONS_MAX 32
#define REPLY_MAX     (64 * 1024)
#define CALL_PATH     "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit"

/* Of one exchange: the questions, object after object. */
struct asking {
	struct exchange *x;
	struct rate_question *q;     /* in the arena; each object is a reference */
	int n, at, next;             /* those from `at` to before `next` are asked now */
	struct urequest *call;
	struct header_edits response;
	struct rate_status tightest;
	bool headers;
};

static enum filter_step ask_next(struct asking *a);

static void warn(const struct rate_limit *l, const char *why)
{
	static _Thread_local time_t told_s;

	if (server_warns(&told_s))
		log_warn(LOG_POLICY, "RateLimit %s cannot ask %s:%u: %s; requests %s", l->key, l->shared.service, l->shared.port, why,
			 l->shared.fail_open ? "pass (failOpen)" : "are refused");
}

static enum filter_step give_up(struct asking *a, const char *why)
{
	const struct rate_limit *l = a->q[a->at].of;

	warn(l, why);
	if (l->shared.fail_open)
		return ask_next(a);
	a->x->log.upstream_failure = exchange_dup(a->x, str_c(why)).p;
	exchange_reply(a->x, FAIL_RATE_SERVICE, 0, NULL, (struct str){ 0 }, NULL, 0);
	return FILTER_DONE;
}

static enum filter_step decide(struct asking *a, const struct urequest_reply *r)
{
	struct rateshared_answer answer;
	const char *wrong;

	if (r->grpc_status != 0)
		return give_up(a, r->grpc_status > 0 ? "it answered with an error" : "it does not speak gRPC");
	wrong = rateshared_answer(&a->x->arena, &a->q[a->at], a->next - a->at, r->body, &answer);
	if (wrong)
		return give_up(a, wrong);
	header_edits_apply(&answer.request, &a->x->request_fields);
	a->response = answer.response;
	if (answer.over) {
		rate_refuse(a->x, &answer.tightest, a->q[a->at].of->headers);
		return FILTER_DONE;
	}
	if (answer.known && a->q[a->at].of->headers && (!a->headers || answer.tightest.remaining < a->tightest.remaining)) {
		a->tightest = answer.tightest;
		a->headers = true;
	}
	return ask_next(a);
}

static void on_answer(void *arg, const struct urequest_reply *r, enum fail why, const char *detail)
{
	struct asking *a = arg;

	a->call = NULL;
	if ((r && r->head ? decide(a, r) : give_up(a, detail && *detail ? detail : fail_info(why)->reason)) == FILTER_NEXT)
		exchange_resume(a->x);
}

static enum filter_step ask(struct asking *a)
{
	const struct rate_service *s = &a->q[a->at].of->shared;
	const char *slash = strchr(s->service, '/'), *host = slash ? slash + 1 : s->service;
	struct cluster *cluster = server_cluster(a->x, s->service, s->port);
	struct http_head head = server_grpc_head(exchange_printf(a->x, "%s:%u", host, s->port), CALL_PATH);

	if (!cluster)
		return give_up(a, "no service of that name is known");
	a->call = urequest_start(a->x->arg, cluster, &head, rateshared_ask(&a->x->arena, &a->q[a->at], a->next - a->at), s->timeout_ms, REPLY_MAX, on_answer, a);
	return a->call ? FILTER_WAIT : give_up(a, "out of memory");
}

static enum filter_step ask_next(struct asking *a)
{
	if (a->next == a->n)
		return FILTER_NEXT;
	a->at = a->next++;
	while (a->next < a->n && a->q[a->next].of == a->q[a->at].of)
		a->next++;
	return ask(a);
}

static enum filter_step on_request(struct exchange *x, void *state, const void *conf)
{
	struct rate_question q[QUESTIONS_MAX];
	struct asking *a = state;

	if (a->x)
		return FILTER_NEXT;
	a->x = x;
	a->n = rate_questions(x, q, QUESTIONS_MAX);
	if (a->n == 0)
		return FILTER_NEXT;
	a->q = arena_alloc(&x->arena, (size_t)a->n * sizeof(*a->q));
	for (int i = 0; i < a->n; i++) {
		a->q[i] = q[i];
		rate_limit_ref(q[i].of);
	}
	return ask_next(a);
}

static enum filter_step on_response(struct exchange *x, void *state, const void *conf)
{
	struct asking *a = state;

	header_edits_apply(&a->response, &x->response_fields);
	if (a->headers)
		rate_headers(x, &a->tightest);
	return FILTER_NEXT;
}

static void on_end(struct exchange *x, void *state, const void *conf)
{
	struct asking *a = state;

	urequest_cancel(a->call);
	a->call = NULL;
	for (int i = 0; i < a->n; i++)
		rate_limit_unref(a->q[i].of);
	a->n = 0;
}

const struct filter_ops rate_shared_filter = {
	.name = "envoy.filters.http.ratelimit", .state_bytes = sizeof(struct asking),
	.on_request = on_request, .on_response = on_response, .on_end = on_end,
};
