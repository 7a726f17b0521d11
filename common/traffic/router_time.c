/* SPDX-License-Identifier: Apache-2.0 */
/* Timeouts of a request: the route's, grpc-timeout, that of a try. Both clocks start when the request is whole (as Envoy's do),
 * which nobody tells us: a timer that fires looks, and goes on for what is left. */
#include "traffic/router_int.h"

#define GRPC_TIMEOUT_DIGITS 8

/* gRPC over HTTP/2, "Timeout": up to eight digits and a unit. False: malformed, or absent. */
static bool grpc_timeout(struct str s, uint64_t *ret_ms)
{
	uint64_t n;

	if (s.n < 2 || s.n > GRPC_TIMEOUT_DIGITS + 1 || !str_to_u64((struct str){ s.p, s.n - 1 }, &n))
		return false;
	switch (s.p[s.n - 1]) {
	case 'H': *ret_ms = n * 3600000; return true;
	case 'M': *ret_ms = n * 60000; return true;
	case 'S': *ret_ms = n * 1000; return true;
	case 'm': *ret_ms = n; return true;
	case 'u': *ret_ms = (n + 999) / 1000; return true;
	case 'n': *ret_ms = (n + 999999) / 1000000; return true;
	default: return false;
	}
}

static bool is_grpc(struct str type)
{
	return str_starts(type, str_c("application/grpc")) && (type.n == 16 || type.p[16] == '+' || type.p[16] == ';');
}

/* The route's time, or for gRPC what the client allows, up to that. Upstream is told what is left for it. */
void routing_time_request(struct routing *r)
{
	struct http_fields *f = &r->x->request_fields;
	uint64_t asked, expected;
	bool grpc = is_grpc(fields_get(f, "content-type"));

	r->timeout_ms = r->route->timeout_ms;
	r->per_try_ms = r->retry.per_try_ms;
	if (grpc && grpc_timeout(fields_get(f, "grpc-timeout"), &asked)) {
		r->timeout_ms = r->route->max_grpc_timeout_ms;
		if (!r->timeout_ms || asked < r->timeout_ms)
			r->timeout_ms = asked ? asked : 1;
	}
	if (r->timeout_ms && r->per_try_ms >= r->timeout_ms)
		r->per_try_ms = 0;
	expected = r->per_try_ms ? r->per_try_ms : r->timeout_ms;
	if (expected && !r->env->inbound) {
		fields_set(f, "x-envoy-expected-rq-timeout-ms", exchange_printf(r->x, "%llu", (unsigned long long)expected));
		if (grpc)
			fields_set(f, "grpc-timeout", exchange_printf(r->x, expected < 100000000 ? "%llum" : "%lluS",
								      (unsigned long long)(expected < 100000000 ? expected : expected / 1000)));
	}
	if (r->timeout_ms)
		timer_start(&r->deadline, r->timeout_ms);
}

/* What is left of `ms` since the request was whole and since `from_ms`; 0: it is over. */
static uint64_t left(const struct routing *r, uint64_t ms, uint64_t from_ms)
{
	uint64_t now = loop_now_ms(r->env->loop), whole = r->x->log.request_end_ns / 1000000;

	if (!whole)
		return ms;
	if (whole < from_ms)
		whole = from_ms;
	return now >= whole + ms ? 0 : whole + ms - now;
}

static void on_deadline(struct timer *t)
{
	struct routing *r = container_of(t, struct routing, deadline);
	uint64_t more = left(r, r->timeout_ms, 0);

	if (more) {
		timer_start(t, more);
		return;
	}
	if (r->sent && !r->answered)
		host_answered(r->cluster, r->pick.host, HOST_LOCAL_ERROR, 504, loop_now_ms(r->env->loop));
	if (r->answered)
		exchange_abort(r->x, FAIL_TIMEOUT);
	else
		routing_fail(r, FAIL_TIMEOUT, "");
}

static void on_per_try(struct timer *t)
{
	struct routing *r = container_of(t, struct routing, per_try);
	struct try_result res = { .end = TRY_TIMED_OUT, .sent = true, .grpc_status = -1 };
	uint64_t more = left(r, r->per_try_ms, r->try_ms);

	if (more) {
		timer_start(t, more);
		return;
	}
	host_answered(r->cluster, r->pick.host, HOST_LOCAL_ERROR, 504, loop_now_ms(r->env->loop));
	exchange_abandon(r->x);
	if (!routing_again(r, &res, false))
		routing_fail(r, FAIL_TRY_TIMEOUT, "");
}

static void on_backoff(struct timer *t)
{
	routing_try(container_of(t, struct routing, backoff));
}

void routing_time_init(struct routing *r)
{
	timer_init(&r->deadline, r->env->loop, on_deadline);
	timer_init(&r->per_try, r->env->loop, on_per_try);
	timer_init(&r->backoff, r->env->loop, on_backoff);
}

void routing_time_try(struct routing *r)
{
	r->try_ms = loop_now_ms(r->env->loop);
	if (r->per_try_ms)
		timer_start(&r->per_try, r->per_try_ms);
}

void routing_time_stop(struct routing *r)
{
	timer_stop(&r->per_try);
}

void routing_time_done(struct routing *r)
{
	timer_stop(&r->deadline);
	timer_stop(&r->per_try);
	timer_stop(&r->backoff);
}
