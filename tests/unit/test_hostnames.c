/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/hostnames.h"

#include <pthread.h>
#include <stdio.h>

#include "net/netns.h"

#include "dnsnet.h"
#include "suite.h"

static struct loop *l;
static struct resolver *r;

static void on_tick(struct timer *t)
{
	timer_start(t, 1);
}

/* Until it is so, or some seconds passed. */
static void run_until(bool (*so)(void *arg), void *arg)
{
	struct timer tick;

	timer_init(&tick, l, on_tick);
	timer_start(&tick, 1);
	for (int i = 0; i < 5000 && !so(arg); i++)
		ev_run(l->ev, EVRUN_ONCE);
	timer_stop(&tick);
	ck_assert(so(arg));
}

static void setup(void)
{
	l = loop_new(-1);
	r = resolver_new(l, NULL, NETNS_OWN);
}

static void teardown(void)
{
	hostnames_close();
	resolver_free(r);
	loop_free(l);
}

static bool is_known(void *arg)
{
	return hostname_addrs(arg) != NULL;
}

static bool is_settled(void *arg)
{
	return hostnames_settled();
}

START_TEST(what_is_wanted_gets_asked_for)
{
	struct hostname *before = hostname_want(str_c("192.0.2.7")), *after;

	ck_assert_ptr_null(hostname_addrs(before));
	ck_assert(!hostnames_settled());
	hostnames_open(l, r);
	after = hostname_want(str_c("2001:db8::7"));
	run_until(is_known, before);
	run_until(is_known, after);
	run_until(is_settled, NULL);
	ck_assert_int_eq(hostname_addrs(before)->n, 1);
	ck_assert(ip_is_v4(&hostname_addrs(before)->v[0]) && !ip_is_v4(&hostname_addrs(after)->v[0]));
	ck_assert_uint_eq(hostname_version(before), 1);
	ck_assert_ptr_eq(hostname_want(str_c("192.0.2.7")), before);
	hostname_unwant(before);
	hostname_unwant(before);
	hostname_unwant(after);
	hostname_unwant(NULL);
}
END_TEST

START_TEST(failure_settles_and_keeps_the_last_answer)
{
	struct hostname *h = hostname_want(str_c("-- no name --"));
	struct ip v[1] = { { { 1 } } };

	hostname_learn(h, v, 1);
	hostname_learn(h, v, 1);                 /* the same: no new version */
	ck_assert_uint_eq(hostname_version(h), 1);
	hostnames_open(l, r);
	run_until(is_settled, NULL);
	ck_assert_int_eq(hostname_addrs(h)->n, 1);
	hostname_unwant(h);
}
END_TEST

START_TEST(addresses_without_a_route_yield)
{
	struct hostname *h = hostname_want(str_c("both.test"));

	if (!dnsnet_enter())                     /* a network with lo and its IPv4 alone */
		return;
	shell("ip addr add 10.5.5.5/24 dev lo && ip -6 addr del ::1/128 dev lo");
	dnsnet_file("/etc/hosts", "10.5.5.6 both.test\n2001:db8::6 both.test\n");
	hostnames_open(l, r);
	run_until(is_known, h);
	ck_assert_int_eq(hostname_addrs(h)->n, 1);
	ck_assert(ip_is_v4(&hostname_addrs(h)->v[0]));
	hostname_unwant(h);
}
END_TEST

static int told;

static void on_told(struct hostname_wait *w)
{
	told++;
}

static bool is_told(void *arg)
{
	return told >= *(int *)arg;
}

/* Good or bad, the first word wakes who waits; who comes later need not wait, and who left hears nothing. */
START_TEST(who_waits_hears_the_first_word)
{
	struct hostname *good = hostname_want(str_c("192.0.2.9")), *bad = hostname_want(str_c("-- no name --"));
	struct hostname_wait w[3] = { { .on_settled = on_told }, { .on_settled = on_told }, { .on_settled = on_told } }, late = w[0];

	told = 0;
	ck_assert(hostname_wait(good, l, &w[0]) && hostname_wait(bad, l, &w[1]) && hostname_wait(good, l, &w[2]));
	hostname_wait_end(&w[2]);
	hostname_wait_end(&w[2]);
	hostnames_open(l, r);
	run_until(is_told, &(int){ 2 });
	ck_assert_ptr_nonnull(hostname_addrs(good));
	ck_assert_ptr_null(hostname_addrs(bad));
	ck_assert(!hostname_wait(good, l, &late) && !hostname_wait(bad, l, &late));
	hostname_wait_end(&late);
	run_until(is_settled, NULL);
	ck_assert_int_eq(told, 2);
	hostname_unwant(good);
	hostname_unwant(bad);
}
END_TEST

/* What is wanted for a request alone does not hold back that we are ready. */
START_TEST(names_of_requests_are_not_waited_for_at_the_start)
{
	struct hostname *h = hostname_want(str_c("192.0.2.10"));

	ck_assert(!hostnames_settled());
	hostname_use(h, 1);
	ck_assert(hostnames_settled());
	hostname_unwant(h);
}
END_TEST

static void *want_and_forget(void *arg)
{
	for (int i = 0; i < 2000; i++) {
		char name[32];

		snprintf(name, sizeof(name), "192.0.2.%d", i % 7);
		hostname_unwant(hostname_want(str_c(name)));
	}
	atomic_fetch_add((atomic_int *)arg, 1);
	return NULL;
}

static bool both_done(void *arg)
{
	return atomic_load((atomic_int *)arg) == 2;
}

START_TEST(any_thread_may_want)
{
	atomic_int done = 0;
	pthread_t t[2];

	hostnames_open(l, r);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, want_and_forget, &done), 0);
	run_until(both_done, &done);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	run_until(is_settled, NULL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("hostnames");
	TCase *t = tcase_create("hostnames");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 30);
	tcase_add_test(t, what_is_wanted_gets_asked_for);
	tcase_add_test(t, failure_settles_and_keeps_the_last_answer);
	tcase_add_test(t, addresses_without_a_route_yield);
	tcase_add_test(t, who_waits_hears_the_first_word);
	tcase_add_test(t, names_of_requests_are_not_waited_for_at_the_start);
	tcase_add_test(t, any_thread_may_want);
	suite_add_tcase(s, t);
	return suite_run(s);
}
