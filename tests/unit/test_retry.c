/* SPDX-License-Identifier: Apache-2.0 */
#include "traffic/retry.h"

#include "tests/unit/suite.h"

/* What Istio's routes say when nobody said anything. */
#define DEFAULTS (RETRY_CONNECT_FAILURE | RETRY_REFUSED_STREAM | RETRY_GRPC_UNAVAILABLE | RETRY_GRPC_CANCELLED | RETRY_CODES)

static const uint16_t codes[] = { 418, 503 };

static bool answered(uint32_t on, int status, int grpc)
{
	return retry_wanted(&(struct retry_policy){ .on = on, .codes = codes, .n_codes = 2 },
			    &(struct try_result){ .end = TRY_ANSWERED, .sent = true, .status = status, .grpc_status = grpc });
}

static bool ended(uint32_t on, enum try_end end, bool sent)
{
	return retry_wanted(&(struct retry_policy){ .on = on }, &(struct try_result){ .end = end, .sent = sent, .grpc_status = -1 });
}

START_TEST(test_answers)
{
	ck_assert(answered(RETRY_5XX, 500, -1) && answered(RETRY_5XX, 599, -1) && !answered(RETRY_5XX, 499, -1));
	ck_assert(answered(RETRY_GATEWAY_ERROR, 502, -1) && answered(RETRY_GATEWAY_ERROR, 504, -1));
	ck_assert(!answered(RETRY_GATEWAY_ERROR, 500, -1) && !answered(RETRY_GATEWAY_ERROR, 505, -1));
	ck_assert(answered(RETRY_4XX, 409, -1) && !answered(RETRY_4XX, 404, -1));
	ck_assert(answered(RETRY_CODES, 418, -1) && answered(RETRY_CODES, 503, -1) && !answered(RETRY_CODES, 500, -1));
	ck_assert(!answered(RETRY_RESET | RETRY_CONNECT_FAILURE | RETRY_REFUSED_STREAM, 503, -1));
	ck_assert(!answered(0, 503, -1));
	ck_assert(answered(RETRY_GRPC_UNAVAILABLE, 200, 14) && !answered(RETRY_GRPC_UNAVAILABLE, 200, 13));
	ck_assert(answered(RETRY_GRPC_CANCELLED, 200, 1) && answered(RETRY_GRPC_DEADLINE, 200, 4));
	ck_assert(answered(RETRY_GRPC_INTERNAL, 200, 13) && answered(RETRY_GRPC_EXHAUSTED, 200, 8));
	ck_assert(!answered(~0u, 200, 0) && !answered(~0u, 200, -1) && !answered(~0u, 200, 2));
}
END_TEST

START_TEST(test_overloaded_peers_are_left_alone)
{
	struct try_result r = { .end = TRY_ANSWERED, .status = 503, .grpc_status = -1, .ratelimited = true };

	ck_assert(!retry_wanted(&(struct retry_policy){ .on = RETRY_5XX }, &r));
	ck_assert(retry_wanted(&(struct retry_policy){ .on = RETRY_ENVOY_RATELIMITED }, &r));
}
END_TEST

START_TEST(test_ends_without_answer)
{
	/* A reset counts as a 5xx and as a gateway's error. */
	for (int end = TRY_NO_CONNECTION; end <= TRY_TIMED_OUT; end++) {
		ck_assert(ended(RETRY_5XX, end, true) && ended(RETRY_GATEWAY_ERROR, end, true) && ended(RETRY_RESET, end, true));
		ck_assert(ended(RETRY_RESET_BEFORE_REQUEST, end, false) && !ended(RETRY_RESET_BEFORE_REQUEST, end, true));
		ck_assert(!ended(RETRY_CODES | RETRY_4XX | RETRY_GRPC_UNAVAILABLE, end, false));
	}
	ck_assert(ended(RETRY_CONNECT_FAILURE, TRY_NO_CONNECTION, false) && !ended(RETRY_CONNECT_FAILURE, TRY_RESET, false));
	ck_assert(ended(RETRY_REFUSED_STREAM, TRY_REFUSED, true) && !ended(RETRY_REFUSED_STREAM, TRY_RESET, true));
	ck_assert(!ended(~0u, TRY_OVERFLOW, false));
}
END_TEST

START_TEST(test_istio_defaults_repeat_nothing_that_was_done)
{
	ck_assert(ended(DEFAULTS, TRY_NO_CONNECTION, false) && ended(DEFAULTS, TRY_REFUSED, true));
	ck_assert(!ended(DEFAULTS, TRY_RESET, true) && !ended(DEFAULTS, TRY_TIMED_OUT, true));
	ck_assert(!retry_wanted(&(struct retry_policy){ .on = DEFAULTS },
				&(struct try_result){ .end = TRY_ANSWERED, .status = 503, .grpc_status = -1 }));
}
END_TEST

START_TEST(test_backoff)
{
	struct retry_policy p = { 0 };
	unsigned max[6] = { 0 };

	for (uint64_t r = 0; r < 1000; r++)
		for (int n = 1; n < 6; n++) {
			unsigned ms = retry_backoff_ms(&p, n, r);

			max[n] = ms > max[n] ? ms : max[n];
		}
	ck_assert_uint_eq(max[1], 24);
	ck_assert_uint_eq(max[2], 74);
	ck_assert_uint_eq(max[3], 174);
	ck_assert_uint_eq(max[4], 249);
	ck_assert_uint_eq(max[5], 249);
	p = (struct retry_policy){ .backoff_ms = 10, .backoff_max_ms = 15 };
	ck_assert_uint_lt(retry_backoff_ms(&p, 1, ~0ull), 10);
	ck_assert_uint_lt(retry_backoff_ms(&p, 1000, ~0ull), 15);
}
END_TEST

START_TEST(test_unasked)
{
	struct try_result reset = { .end = TRY_RESET, .sent = true }, refused = { .end = TRY_REFUSED, .sent = true };

	ck_assert(retry_unasked(str_c("GET"), &reset, true, true));
	ck_assert(!retry_unasked(str_c("GET"), &reset, false, true));     /* a new connection: the server did this on purpose */
	ck_assert(!retry_unasked(str_c("GET"), &reset, true, false));     /* the stream alone: it saw it */
	ck_assert(!retry_unasked(str_c("POST"), &reset, true, true));
	ck_assert(!retry_unasked(str_c("PATCH"), &reset, true, true));
	ck_assert(retry_unasked(str_c("POST"), &refused, false, false));
	ck_assert(!retry_unasked(str_c("GET"), &(struct try_result){ .end = TRY_TIMED_OUT }, true, true));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("retry");
	TCase *t = tcase_create("retry");

	tcase_add_test(t, test_answers);
	tcase_add_test(t, test_overloaded_peers_are_left_alone);
	tcase_add_test(t, test_ends_without_answer);
	tcase_add_test(t, test_istio_defaults_repeat_nothing_that_was_done);
	tcase_add_test(t, test_backoff);
	tcase_add_test(t, test_unasked);
	suite_add_tcase(s, t);
	return suite_run(s);
}
