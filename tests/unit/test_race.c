/* SPDX-License-Identifier: Apache-2.0 */
#include "traffic/race.h"

#include <stdio.h>
#include <time.h>

#include "tests/unit/dialstage.h"
#include "tests/unit/fakecluster.h"

static struct cluster cluster;
static struct pick pick;
static const struct connect_ask ask;
static struct { int calls; struct stage *stage; struct addr to; enum fail why; char detail[40]; } end;

static void on_done(void *arg, struct stage *s, const struct addr *to, enum fail why, const char *detail)
{
	end.calls++;
	end.stage = s;
	end.to = *to;
	end.why = why;
	snprintf(end.detail, sizeof(end.detail), "%s", detail);
}

static void start(void)
{
	const struct addr a = dial_addr("[fd00::1]:80"), b = dial_addr("10.0.0.1:80"), c = dial_addr("10.0.0.2:80");

	dials_loop = loop_new(0);
	n_dials = 0;
	memset(&end, 0, sizeof(end));
	fakecluster_init(&cluster, "c");
	fakecluster_host(&cluster, &a);
	memcpy(cluster.hosts[0].all, (struct addr[]){ a, b, c }, 3 * sizeof(a));
	cluster.hosts[0].n_all = 3;
	ck_assert(cluster_pick(&cluster, &(struct pick_ask){ 0 }, &pick));
}

static void stop(void)
{
	pick_done(&pick);
	ev_run(dials_loop->ev, EVRUN_NOWAIT);
	loop_free(dials_loop);
	fakecluster_check(&cluster);
}

static struct race *race(void)
{
	struct race *r = race_start(dials_loop, &dialer, &cluster, &pick, &ask, on_done, NULL);

	ck_assert_ptr_nonnull(r);
	return r;
}

static void wait_for(int n)
{
	for (int i = 0; i < 500 && n_dials < n; i++) {
		ev_run(dials_loop->ev, EVRUN_NOWAIT);
		nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
	}
	ck_assert_int_eq(n_dials, n);
}

START_TEST(test_first_answers)
{
	race();
	ck_assert_int_eq(n_dials, 1);
	dial_opens(0);
	ck_assert_int_eq(end.calls, 1);
	ck_assert_ptr_eq(end.stage, &dials[0].stage.stage);
	ck_assert(addr_eq(&end.to, &cluster.hosts[0].addr));
	stage_done(end.stage, FAIL_NONE);
}
END_TEST

START_TEST(test_silence_starts_the_next)
{
	race();
	wait_for(2);
	dial_opens(1);
	ck_assert_int_eq(end.calls, 1);
	ck_assert(addr_eq(&end.to, &cluster.hosts[0].all[1]));
	ck_assert(dials[0].stage.done && dials[0].stage.why == FAIL_CLIENT_RESET);
	ck_assert(!dials[1].stage.done);
}
END_TEST

START_TEST(test_failure_starts_the_next_at_once)
{
	race();
	dial_fails(0, FAIL_CONNECT);
	ck_assert_int_eq(n_dials, 2);
	ck_assert_int_eq(end.calls, 0);
	dial_fails(1, FAIL_CONNECT);
	dial_fails(2, FAIL_TLS);
	ck_assert_int_eq(end.calls, 1);
	ck_assert_ptr_null(end.stage);
	ck_assert_int_eq(end.why, FAIL_TLS);
	ck_assert_str_eq(end.detail, "it said no");
}
END_TEST

START_TEST(test_tunnels_do_not_race)
{
	pick.transport = TRANSPORT_HBONE;
	race();
	dial_fails(0, FAIL_CONNECT);
	ck_assert_int_eq(n_dials, 1);
	ck_assert_int_eq(end.calls, 1);
}
END_TEST

START_TEST(test_cancel)
{
	struct race *r = race();

	wait_for(2);
	race_cancel(r, FAIL_CONNECT_TIMEOUT);
	ck_assert(dials[0].stage.done && dials[1].stage.done);
	ck_assert_int_eq(end.calls, 0);
	race_cancel(NULL, FAIL_NONE);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("race");
	TCase *t = tcase_create("race");

	tcase_add_checked_fixture(t, start, stop);
	tcase_add_test(t, test_first_answers);
	tcase_add_test(t, test_silence_starts_the_next);
	tcase_add_test(t, test_failure_starts_the_next_at_once);
	tcase_add_test(t, test_tunnels_do_not_race);
	tcase_add_test(t, test_cancel);
	suite_add_tcase(s, t);
	return suite_run(s);
}
