/* SPDX-License-Identifier: Apache-2.0 */
/* The filters of routes: which one, what it answers by itself, and the faults that it injects. */
#include <stdio.h>

#include "io/loop.h"
#include "traffic/route_int.h"
#include "traffic/router_int.h"

static const struct str nothing;

static enum filter_step find_route(struct exchange *x, void *state, const void *conf)
{
	const struct router_env *env = x->arg;
	const struct route *r = env->routes ? route_find(env->routes, x) : NULL;

	if (!r) {
		exchange_reply(x, FAIL_NO_ROUTE, 0, NULL, nothing, NULL, 0);
		return FILTER_DONE;
	}
	x->route = r;
	x->log.route_name = str_c(r->name);
	x->log.operation = str_c(r->operation);
	return FILTER_NEXT;
}

/* Where the request goes, or, when it was answered before, would have gone. */
static const struct route_target *target_of(const struct exchange *x)
{
	const struct router_env *env = x->arg;

	if (x->route->action != ROUTE_FORWARD)
		return NULL;
	return x->router ? ((const struct routing *)x->router)->target : route_choose(x->route, env->seed);
}

/* Answers of the proxy have the route's headers too, but for those to preflights; on those of a server the router has put them. */
static enum filter_step mark_reply(struct exchange *x, void *state, const void *conf)
{
	if (x->route && (x->log.why != FAIL_NONE || x->route->action != ROUTE_FORWARD))
		route_apply_response(x, x->route, target_of(x));
	return FILTER_NEXT;
}

const struct filter_ops route_filter = { .name = "route", .on_request = find_route, .on_response = mark_reply };

/* ---- redirects and direct replies ---- */

static enum filter_step answer(struct exchange *x, void *state, const void *conf)
{
	const struct route *r = x->route;
	struct http_field location;

	if (!r || r->action == ROUTE_FORWARD)
		return FILTER_NEXT;
	if (r->action == ROUTE_REPLY) {
		exchange_reply(x, FAIL_DIRECT, r->reply.status, NULL, r->reply.body, NULL, 0);
		return FILTER_DONE;
	}
	location = (struct http_field){ str_c("location"), route_location(x, r) };
	exchange_reply(x, FAIL_DIRECT, r->redirect.status, NULL, nothing, &location, 1);
	return FILTER_DONE;
}

const struct filter_ops answer_filter = { .name = "answer", .on_request = answer };

/* ---- faults ---- */

struct fault_state {
	struct timer timer;
	struct exchange *x;              /* NULL: no delay was begun */
	bool waited;
};

static enum filter_step maybe_abort(struct exchange *x)
{
	const struct router_env *env = x->arg;
	const struct route *r = x->route;
	struct str text = str_c("fault filter abort");
	char code[12];
	struct http_field f;

	if (!percent_hit(r->fault.abort_share, env->seed))
		return FILTER_NEXT;
	if (r->fault.grpc_status < 0) {
		exchange_reply(x, FAIL_FAULT_ABORT, r->fault.abort_status, NULL, text, NULL, 0);
		return FILTER_DONE;
	}
	snprintf(code, sizeof(code), "%d", r->fault.grpc_status);
	f = (struct http_field){ str_c("grpc-status"), exchange_dup(x, str_c(code)) };
	exchange_reply(x, FAIL_FAULT_ABORT, 200, NULL, text, &f, x->log.grpc);
	return FILTER_DONE;
}

static void delay_over(struct timer *t)
{
	struct fault_state *s = container_of(t, struct fault_state, timer);

	s->waited = true;
	if (maybe_abort(s->x) == FILTER_NEXT)
		exchange_resume(s->x);
}

static enum filter_step fault(struct exchange *x, void *state, const void *conf)
{
	const struct router_env *env = x->arg;
	struct fault_state *s = state;

	if (!x->route || s->waited)
		return FILTER_NEXT;
	if (!percent_hit(x->route->fault.delay_share, env->seed))
		return maybe_abort(x);
	s->x = x;
	x->log.delayed = true;
	timer_init(&s->timer, env->loop, delay_over);
	timer_start(&s->timer, x->route->fault.delay_ms);
	return FILTER_WAIT;
}

static void fault_end(struct exchange *x, void *state, const void *conf)
{
	struct fault_state *s = state;

	if (s->x)
		timer_stop(&s->timer);
}

const struct filter_ops fault_filter = {
	.name = "fault", .state_bytes = sizeof(struct fault_state), .on_request = fault, .on_end = fault_end,
};
