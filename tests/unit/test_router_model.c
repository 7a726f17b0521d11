/* SPDX-License-Identifier: Apache-2.0 */
/* Random policies and servers: a model that knows Envoy's words, and nothing of the router, says how many requests each server
 * gets and what the client sees. */
#include "tests/unit/routerlab.h"

#define RUNS 320
#define STEPS 6                /* of a server's script; its last one goes on */

static uint64_t dice_state;

static unsigned dice(unsigned n)
{
	dice_state = dice_state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(dice_state >> 33) % n;
}

static const int statuses[] = { 200, 404, 409, 418, 500, 502, 503, 504, 505 };
static const int grpc[] = { 0, 1, 2, 4, 8, 13, 14 };
static const uint16_t codes[] = { 404, 418, 503 };

struct run {
	bool h2, grpc, deaf[LAB_SERVERS], post;
	int servers;
};

/* ---- the model ---- */

struct want { int status, grpc, attempts, requests[LAB_SERVERS]; bool limit; };

/* docs/configuration/http/http_filters/router_filter: x-envoy-retry-on, x-envoy-retry-grpc-on. */
static bool model_wants(uint32_t on, enum upstream_does does, int status, bool deaf)
{
	if (deaf)
		return on & (RETRY_CONNECT_FAILURE | RETRY_5XX | RETRY_GATEWAY_ERROR | RETRY_RESET | RETRY_RESET_BEFORE_REQUEST);
	switch (does) {
	case DOES_ANSWER:
		return ((on & RETRY_5XX) && status / 100 == 5) || ((on & RETRY_GATEWAY_ERROR) && (status == 502 || status == 503 || status == 504)) ||
			((on & RETRY_4XX) && status == 409) || ((on & RETRY_CODES) && (status == 404 || status == 418 || status == 503));
	case DOES_GRPC:
		return (status == 1 && (on & RETRY_GRPC_CANCELLED)) || (status == 4 && (on & RETRY_GRPC_DEADLINE)) ||
			(status == 8 && (on & RETRY_GRPC_EXHAUSTED)) || (status == 13 && (on & RETRY_GRPC_INTERNAL)) ||
			(status == 14 && (on & RETRY_GRPC_UNAVAILABLE));
	case DOES_REFUSE:
		return on & (RETRY_REFUSED_STREAM | RETRY_5XX | RETRY_GATEWAY_ERROR | RETRY_RESET);
	default:
		return on & (RETRY_5XX | RETRY_GATEWAY_ERROR | RETRY_RESET);
	}
}

static int model_pick(const struct run *r, int *next, const bool *tried)
{
	int at = *next % r->servers;

	for (int i = 0; i < r->servers && tried[at]; i++)
		at = (at + 1) % r->servers;
	*next = at + 1;
	return at;
}

static struct want predict(const struct run *r, const struct retry_policy *p, int next)
{
	struct want w = { .attempts = 0 };
	bool tried[LAB_SERVERS] = { false }, again = false, fresh = false;
	int used = 0;

	for (;;) {
		int at = model_pick(r, &next, tried), step;
		const struct upstream *u = &lab.server[at];
		enum upstream_does does;

		w.attempts += !fresh;
		fresh = false;
		step = w.requests[at] < u->n_script ? w.requests[at] : u->n_script - 1;
		does = u->script[step];
		w.requests[at] += !r->deaf[at];
		w.status = r->deaf[at] || does == DOES_CLOSE || does == DOES_RESET || does == DOES_REFUSE ? 503 : does == DOES_GRPC ? 200 : u->statuses[step];
		w.grpc = does == DOES_GRPC && !r->deaf[at] ? u->statuses[step] : -1;
		if (!r->deaf[at] && does == DOES_REFUSE && !again) {
			again = fresh = true;
			continue;
		}
		if (!model_wants(p->on, does, u->statuses[step], r->deaf[at]) || !p->attempts)
			return w;
		if (used == p->attempts) {
			w.limit = true;
			return w;
		}
		used++;
		tried[at] = p->previous_hosts;
	}
}

/* ---- the runs ---- */

static void script(struct run *r, struct upstream *u)
{
	static const enum upstream_does h1[] = { DOES_ANSWER, DOES_ANSWER, DOES_ANSWER, DOES_CLOSE, DOES_RESET };
	static const enum upstream_does h2[] = { DOES_ANSWER, DOES_ANSWER, DOES_RESET, DOES_REFUSE, DOES_GRPC };

	for (int i = 0; i < STEPS; i++) {
		enum upstream_does does = r->grpc && dice(2) ? DOES_GRPC : (r->h2 ? h2 : h1)[dice(5)];

		does = does == DOES_GRPC && !r->grpc ? DOES_ANSWER : does;
		upstream_script(u, i, does, does == DOES_GRPC ? grpc[dice(ARRAY_LEN(grpc))] : statuses[dice(ARRAY_LEN(statuses))]);
	}
}

static void one(unsigned seed)
{
	struct http_field type = { str_c("content-type"), str_c("application/grpc") };
	struct run r = { 0 };
	struct retry_policy *p = &lab.route.retry;
	struct want w;
	struct asked a;

	dice_state = seed * 7919u + 1;
	r.h2 = dice(2);
	r.grpc = r.h2 && dice(2);
	r.post = r.grpc || dice(2);
	r.servers = 1 + (int)dice(3);
	lab_start(r.h2 ? HTTP_CODEC_H2 : HTTP_CODEC_H1, r.servers);
	lab.cluster.conf.pool.max_requests_per_connection = 1;       /* all connections are new: no close is an accident */
	for (int i = 0; i < r.servers; i++) {
		script(&r, &lab.server[i]);
		r.deaf[i] = dice(5) == 0;
		if (r.deaf[i])
			upstream_deaf(&lab.server[i]);
	}
	p->on = dice(4) ? (1u << dice(16)) | (1u << dice(16)) | (dice(3) ? 0 : 1u << dice(4)) : 0;
	p->attempts = (int)dice(4);
	p->previous_hosts = dice(2);
	p->codes = codes;
	p->n_codes = ARRAY_LEN(codes);
	lab.cluster.next = (int)dice(3);
	w = predict(&r, p, lab.cluster.next);
	lab_send(&a, r.post ? "POST" : "GET", &type, r.grpc, r.post ? "body" : NULL, true);
	lab_wait(&a);
	if (!r.grpc)
		ck_assert_msg(a.status == w.status, "seed %u: status %d, should be %d", seed, a.status, w.status);
	else if (w.grpc >= 0)
		ck_assert_msg(lab.log.grpc_status == w.grpc, "seed %u: grpc-status %d, should be %d", seed, lab.log.grpc_status, w.grpc);
	ck_assert_msg((int)lab.log.attempts == w.attempts, "seed %u: %u attempts, should be %d", seed, lab.log.attempts, w.attempts);
	ck_assert_msg(lab.log.retry_limit == w.limit, "seed %u: retry limit", seed);
	for (int i = 0; i < r.servers; i++)
		ck_assert_msg(lab.server[i].requests == w.requests[i], "seed %u: server %d got %d requests, should be %d", seed, i,
			      lab.server[i].requests, w.requests[i]);
	lab_stop();
}

START_TEST(test_model)
{
	for (unsigned i = 0; i < RUNS / 8; i++)
		one((unsigned)_i * (RUNS / 8) + i);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("router_model");
	TCase *t = tcase_create("model");

	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, test_model, 0, 8);
	suite_add_tcase(s, t);
	return suite_run(s);
}
