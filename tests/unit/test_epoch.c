/* SPDX-License-Identifier: Apache-2.0 */
#include "base/epoch.h"
#include "tests/unit/suite.h"

static int freed;

static void count(void *obj)
{
	freed++;
}

START_TEST(waits_for_awake_readers)
{
	struct epoch_reader a, b;

	epoch_join(&a);
	epoch_join(&b);
	epoch_retire(&freed, count);
	ck_assert_int_eq(freed, 1);         /* both sleep */
	epoch_wake(&a);
	epoch_retire(&freed, count);
	ck_assert_int_eq(freed, 1);
	epoch_wake(&b);                     /* woke after the retirement: cannot have seen it */
	ck_assert_int_eq(epoch_collect(), 1);
	epoch_sleep(&a);
	ck_assert_int_eq(epoch_collect(), 0);
	ck_assert_int_eq(freed, 2);
	epoch_retire(&freed, count);
	epoch_leave(&b);                    /* a reader that is gone holds nothing */
	ck_assert_int_eq(epoch_collect(), 0);
	ck_assert_int_eq(freed, 3);
	epoch_leave(&a);
}
END_TEST

START_TEST(any_thread_defers_and_the_writer_frees)
{
	struct epoch_reader a;

	freed = 0;
	epoch_join(&a);
	epoch_wake(&a);
	epoch_defer(&freed, count);
	ck_assert_int_eq(epoch_collect(), 1);
	epoch_sleep(&a);
	epoch_defer(&freed, count);
	ck_assert_int_eq(freed, 0);         /* not here, though nobody is awake */
	ck_assert_int_eq(epoch_collect(), 0);
	ck_assert_int_eq(freed, 2);
	epoch_leave(&a);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("epoch");
	TCase *t = tcase_create("epoch");

	tcase_add_test(t, waits_for_awake_readers);
	tcase_add_test(t, any_thread_defers_and_the_writer_frees);
	suite_add_tcase(s, t);
	return suite_run(s);
}
