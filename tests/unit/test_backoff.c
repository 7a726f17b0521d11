/* SPDX-License-Identifier: Apache-2.0 */
#include "base/backoff.h"
#include "tests/unit/suite.h"

START_TEST(doubles_to_the_cap)
{
	struct backoff b = { .min_ms = 10, .max_ms = 100 };
	static const unsigned want[] = { 10, 20, 40, 80, 100, 100 };

	for (int i = 0; i < 6; i++) {
		unsigned got = backoff_next(&b);

		ck_assert_uint_ge(got, want[i] - want[i] / 5);
		ck_assert_uint_le(got, want[i] + want[i] / 5);
	}
	backoff_reset(&b);
	ck_assert_uint_le(backoff_next(&b), 12);
}
END_TEST

START_TEST(chance_spreads)
{
	unsigned least = ~0u, most = 0;

	for (int i = 0; i < 200; i++) {
		struct backoff b = { .min_ms = 1000, .max_ms = 1000 };
		unsigned got = backoff_next(&b);

		least = got < least ? got : least;
		most = got > most ? got : most;
	}
	ck_assert_uint_lt(least, 900);
	ck_assert_uint_gt(most, 1100);
	ck_assert_uint_ge(least, 800);
	ck_assert_uint_le(most, 1200);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("backoff");
	TCase *t = tcase_create("backoff");

	tcase_add_test(t, doubles_to_the_cap);
	tcase_add_test(t, chance_spreads);
	suite_add_tcase(s, t);
	return suite_run(s);
}
