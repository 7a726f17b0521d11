/* SPDX-License-Identifier: Apache-2.0 */
#include <time.h>
#include <unistd.h>

#include "io/share.h"
#include "io/sock.h"
#include "tests/unit/suite.h"

static struct loop *l;
static struct share *greedy, *modest;
static int greedy_turns, modest_turns;

static void start(void)
{
	l = loop_new(-1);
	greedy = share_new(l);
	modest = share_new(l);
}

static void stop(void)
{
	share_unref(greedy);
	share_unref(modest);
	loop_free(l);
}

static void work(unsigned us)
{
	struct timespec a, b;

	clock_gettime(CLOCK_MONOTONIC, &a);
	do
		clock_gettime(CLOCK_MONOTONIC, &b);
	while ((b.tv_sec - a.tv_sec) * 1000000 + (b.tv_nsec - a.tv_nsec) / 1000 < (long)us);
}

/* As many times as it may in this turn, at most max. */
static int use(struct share *s, unsigned us, int max)
{
	int n = 0;

	while (n < max && share_begin(s)) {
		work(us);
		share_end(s);
		n++;
	}
	return n;
}

START_TEST(a_party_has_its_part_of_each_turn)
{
	int alone, shared;

	ck_assert(share_begin(NULL));
	share_end(NULL);
	ev_run(l->ev, EVRUN_NOWAIT);
	alone = use(greedy, 1000, 1000);
	ck_assert_int_ge(alone, 1);
	ck_assert_int_le(alone, LIMIT_TURN_US / 1000 + 1);
	ck_assert_int_eq(use(modest, 10, 1), 1);          /* another is not held up by it */
	ck_assert_int_eq(use(greedy, 10, 1), 0);
	ev_run(l->ev, EVRUN_NOWAIT);
	shared = use(greedy, 1000, 1000);                 /* last turn had two */
	ck_assert_int_ge(shared, 1);
	ck_assert_int_le(shared, LIMIT_TURN_US / 2000 + 1);
}
END_TEST

/* Sockets that are always readable, of two parties. */
static void on_greedy(struct stage *s, enum stage_event ev, const struct iovec *iov, int n)
{
	if (ev == STAGE_DATA) {
		work(500);
		greedy_turns++;
	}
}

static void on_modest(struct stage *s, enum stage_event ev, const struct iovec *iov, int n)
{
	if (ev == STAGE_DATA) {
		modest_turns++;
		loop_stop(l);
	}
}

START_TEST(sockets_wait_for_their_turn)
{
	enum { MANY = 300 };
	struct stage *stages[MANY + 1];
	int peers[MANY + 1];

	greedy_turns = modest_turns = 0;
	for (int k = 0; k <= MANY; k++) {
		int pair[2];

		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
		peers[k] = pair[1];
		ck_assert_int_eq(write(pair[1], "x", 1), 1);
		stages[k] = sock_accept(l, pair[0]);
		sock_share(stages[k], k < MANY ? greedy : modest);
		stages[k]->on_event = k < MANY ? on_greedy : on_modest;
		stage_want(stages[k], true);
	}
	loop_run(l);
	ck_assert_int_eq(modest_turns, 1);
	ck_assert_int_lt(greedy_turns, MANY / 2);          /* without shares: about all of them, before it */
	for (int turns = 0; greedy_turns < MANY && turns < 1000; turns++)
		ev_run(l->ev, EVRUN_NOWAIT);
	ck_assert_int_eq(greedy_turns, MANY);              /* nothing is lost */
	for (int k = 0; k <= MANY; k++) {
		stage_done(stages[k], FAIL_CLIENT_RESET);
		close(peers[k]);
	}
	ev_run(l->ev, EVRUN_NOWAIT);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("share");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, start, stop);
	tcase_add_test(tc, a_party_has_its_part_of_each_turn);
	tcase_add_test(tc, sockets_wait_for_their_turn);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
