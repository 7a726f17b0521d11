/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <pthread.h>
#include <stdio.h>

#include "modes/demand.h"
#include "tests/unit/suite.h"

static struct loop *loop;
static struct demand *demand;
static int n_asked;
static bool answer_at_once;

static void on_ask(void *arg, struct str name)
{
	n_asked++;
	if (answer_at_once)
		demand_tell(demand, name, DEMAND_DONE);
}

static void begin(void)
{
	loop = loop_new(-1);
	demand = demand_new(loop, on_ask, NULL);
}

static void finish(void)
{
	demand_free(demand);
	loop_free(loop);
}

static void turn(void)
{
	ev_run(loop->ev, EVRUN_NOWAIT);
}

START_TEST(asked_once_until_answered)
{
	begin();
	ck_assert_int_eq(demand_ask(NULL, str_c("a")), DEMAND_DONE);
	ck_assert_int_eq(demand_ask(demand, str_c("a")), DEMAND_ASKED);
	ck_assert_int_eq(demand_ask(demand, str_c("a")), DEMAND_ASKED);
	ck_assert_int_eq(demand_ask(demand, str_c("b")), DEMAND_ASKED);
	ck_assert_int_eq(n_asked, 0);
	turn();
	turn();
	ck_assert_int_eq(n_asked, 2);
	demand_tell(demand, str_c("a"), DEMAND_DONE);
	demand_tell(demand, str_c("b"), DEMAND_SILENT);
	demand_tell(demand, str_c("nobody"), DEMAND_DONE);
	ck_assert_int_eq(demand_ask(demand, str_c("a")), DEMAND_DONE);
	ck_assert_int_eq(demand_ask(demand, str_c("b")), DEMAND_SILENT);
	turn();
	ck_assert_int_eq(n_asked, 2);
	finish();
}
END_TEST

/* At the limit nobody is taken for unknown. */
START_TEST(a_limit_of_names)
{
	char name[16];

	begin();
	for (int i = 0; i < LIMIT_DEMAND_NAMES; i++) {
		snprintf(name, sizeof(name), "%d", i);
		ck_assert_int_eq(demand_ask(demand, str_c(name)), DEMAND_ASKED);
	}
	ck_assert_int_eq(demand_ask(demand, str_c("one more")), DEMAND_SILENT);
	ck_assert_int_eq(demand_ask(demand, str_c("7")), DEMAND_ASKED);
	finish();
}
END_TEST

static void *asker(void *arg)
{
	char name[16];

	for (int i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "%d", i % 100);
		demand_ask(demand, str_c(name));
	}
	return NULL;
}

START_TEST(many_threads_ask)
{
	pthread_t t[3];

	begin();
	answer_at_once = true;
	for (int i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, asker, NULL);
	for (int i = 0; i < 1000; i++)
		turn();
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	turn();
	ck_assert_int_eq(n_asked, 100);
	ck_assert_int_eq(demand_ask(demand, str_c("5")), DEMAND_DONE);
	finish();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("demand");
	TCase *tc = tcase_create("demand");

	tcase_add_test(tc, asked_once_until_answered);
	tcase_add_test(tc, a_limit_of_names);
	tcase_add_test(tc, many_threads_ask);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
