/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "ext/rateshared_int.h"
#include "http/grpc_frame.h"
#include "proto/ratelimit.pb-c.h"
#include "tests/unit/stages.h"

static struct arena arena;
static struct rate_rule rules[2] = { { .name = "per-user" }, { .name = "all" } };
static struct rate_limit limit = { .shared = { .domain = "shop" } };
static struct rate_question q[2];

static void start(void)
{
	rules[0].dry_run = rules[1].dry_run = false;
	q[0] = (struct rate_question){ &limit, &rules[0], { { "rule", str_c("per-user") }, { "header:x-user", str_c("ann") } }, 2 };
	q[1] = (struct rate_question){ &limit, &rules[1], { { "rule", str_c("all") } }, 1 };
}

static void stop(void)
{
	arena_done(&arena);
}

START_TEST(question)
{
	struct str body = rateshared_ask(&arena, q, 2);
	Ratelimit__Request *m = ratelimit__request__unpack(NULL, body.n - GRPC_PREFIX_BYTES, (const uint8_t *)body.p + GRPC_PREFIX_BYTES);

	ck_assert_str_eq(m->domain, "shop");
	ck_assert_int_eq(m->n_descriptors, 2);
	ck_assert_int_eq(m->descriptors[0]->n_entries, 2);
	ck_assert_str_eq(m->descriptors[0]->entries[1]->key, "header:x-user");
	ck_assert_str_eq(m->descriptors[0]->entries[1]->value, "ann");
	ck_assert_str_eq(m->descriptors[1]->entries[0]->value, "all");
	ratelimit__request__free_unpacked(m, NULL);
}
END_TEST

static struct rateshared_answer answer(uint32_t overall, uint32_t first, uint32_t second)
{
	Ratelimit__Response m = RATELIMIT__RESPONSE__INIT;
	Ratelimit__Response__Limit l = RATELIMIT__RESPONSE__LIMIT__INIT;
	Ratelimit__Response__Duration reset = RATELIMIT__RESPONSE__DURATION__INIT;
	Ratelimit__Response__Status s[2] = { RATELIMIT__RESPONSE__STATUS__INIT, RATELIMIT__RESPONSE__STATUS__INIT }, *v[] = { &s[0], &s[1] };
	Ratelimit__Header h = RATELIMIT__HEADER__INIT, bad = RATELIMIT__HEADER__INIT, *headers[] = { &h, &bad };
	struct rateshared_answer a;
	size_t n;
	uint8_t *p;

	h.key = "x-limited-by", h.value = "ratelimit";
	bad.key = "content-length", bad.value = "0";
	l.requests_per_unit = 10, l.unit = 2;
	reset.seconds = 30;
	for (int i = 0; i < 2; i++) {
		s[i].code = i ? second : first;
		s[i].current_limit = &l;
		s[i].limit_remaining = s[i].code == 2 ? 0 : (uint32_t)(5 + i);
		s[i].duration_until_reset = &reset;
	}
	m.overall_code = overall;
	m.n_statuses = 2;
	m.statuses = v;
	m.response_headers_to_add = headers;
	m.n_response_headers_to_add = 2;
	n = ratelimit__response__get_packed_size(&m);
	p = arena_alloc(&arena, n + GRPC_PREFIX_BYTES);
	grpc_frame_prefix(n, p);
	ratelimit__response__pack(&m, p + GRPC_PREFIX_BYTES);
	ck_assert_ptr_null(rateshared_answer(&arena, q, 2, (struct str){ (const char *)p, n + GRPC_PREFIX_BYTES }, &a));
	return a;
}

START_TEST(answers)
{
	struct rateshared_answer a = answer(1, 1, 1);

	ck_assert(!a.over && a.known);
	ck_assert_int_eq(a.tightest.limit, 10);
	ck_assert_int_eq(a.tightest.remaining, 5);
	ck_assert_int_eq(a.tightest.per_s, 60);
	ck_assert_int_eq(a.tightest.reset_s, 30);
	ck_assert_int_eq(a.response.n, 1);
	a = answer(2, 1, 2);
	ck_assert(a.over);
	ck_assert_ptr_eq(a.tightest.rule, &rules[1]);
	ck_assert_int_eq(a.tightest.remaining, 0);
}
END_TEST

START_TEST(dry_runs_decide_nothing)
{
	struct rateshared_answer a;

	rules[1].dry_run = true;
	a = answer(2, 1, 2);
	ck_assert(!a.over);
	ck_assert_ptr_eq(a.tightest.rule, &rules[0]);
	a = answer(2, 2, 2);
	ck_assert(a.over);
}
END_TEST

START_TEST(answers_that_are_none)
{
	struct rateshared_answer a;

	ck_assert_ptr_nonnull(rateshared_answer(&arena, q, 2, (struct str){ 0 }, &a));
	ck_assert_ptr_nonnull(rateshared_answer(&arena, q, 2, (struct str){ "\0\0\0\0\0", 5 }, &a));      /* no code */
	ck_assert_ptr_nonnull(rateshared_answer(&arena, q, 2, (struct str){ "\0\0\0\0\2\xff\xff", 7 }, &a));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("rateproto");
	TCase *t = tcase_create("rateproto");

	tcase_add_checked_fixture(t, start, stop);
	tcase_add_test(t, question);
	tcase_add_test(t, answers);
	tcase_add_test(t, dry_runs_decide_nothing);
	tcase_add_test(t, answers_that_are_none);
	suite_add_tcase(s, t);
	return suite_run(s);
}
