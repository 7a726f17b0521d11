/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/dialstage.h"
#include "tests/unit/fakecluster.h"
#include "traffic/plan.h"
#include "traffic/upool_int.h"

static struct cluster cluster;
static struct router_env env;
static uint64_t seed = 1;
static struct connect_ask ask;
static struct { int calls; struct stage *stage; struct pick pick; enum fail why; } end;

static void on_done(void *arg, struct stage *s, const struct pick *p, enum fail why, const char *detail)
{
	end.calls++;
	end.stage = s;
	end.why = why;
	if (s)
		end.pick = *p;
}

static void step(void)
{
	ev_run(dials_loop->ev, EVRUN_NOWAIT);
}

static void start(void)
{
	dials_loop = loop_new(0);
	n_dials = 0;
	memset(&end, 0, sizeof(end));
	fakecluster_init(&cluster, "c");
	ask = (struct connect_ask){ .identity = str_c("spiffe://td/ns/a/sa/b"), .sni = str_c("x") };
	env = (struct router_env){ .pool = upool_new(dials_loop, &dialer), .seed = &seed, .loop = dials_loop };
}

static void hosts(int n)
{
	const struct addr at[] = { dial_addr("10.0.0.1:80"), dial_addr("10.0.0.2:80"), dial_addr("10.0.0.3:80"), dial_addr("10.0.0.4:80") };

	for (int i = 0; i < n; i++)
		fakecluster_host(&cluster, &at[i]);
}

static void stop(void)
{
	upool_free(env.pool);
	step();
	loop_free(dials_loop);
	fakecluster_check(&cluster);
}

static struct l4_try *connect_now(void)
{
	struct l4_try *t = l4_connect(&env, &cluster, &ask, on_done, NULL);

	ck_assert_ptr_nonnull(t);
	ck_assert_int_eq(n_dials, 0);
	step();
	return t;
}

START_TEST(test_connects)
{
	hosts(1);
	connect_now();
	dial_opens(0);
	ck_assert_int_eq(end.calls, 1);
	ck_assert_ptr_eq(end.stage, &dials[0].stage.stage);
	ck_assert_uint_eq(cluster.used[LIMIT_OF_CONNECTIONS], 1);
	ck_assert_uint_eq(cluster.used[LIMIT_OF_PENDING], 0);
	ck_assert_int_eq(cluster.hosts[0].active, 1);
	l4_ended(&cluster, &end.pick);
}
END_TEST

START_TEST(test_other_hosts)
{
	hosts(4);
	connect_now();
	dial_fails(0, FAIL_CONNECT);
	dial_fails(1, FAIL_CONNECT);
	ck_assert_int_eq(n_dials, 3);
	ck_assert_int_eq(end.calls, 0);
	dial_opens(2);
	ck_assert_ptr_eq(end.pick.host, &cluster.hosts[2]);
	ck_assert_int_eq(cluster.hosts[0].errors, 1);
	l4_ended(&cluster, &end.pick);
}
END_TEST

START_TEST(test_gives_up)
{
	hosts(4);
	connect_now();
	for (int i = 0; i < LIMIT_CONNECT_TRIES; i++)
		dial_fails(i, FAIL_CONNECT);
	ck_assert_int_eq(n_dials, LIMIT_CONNECT_TRIES);
	ck_assert_int_eq(end.calls, 1);
	ck_assert_int_eq(end.why, FAIL_CONNECT);
}
END_TEST

START_TEST(test_the_only_host_is_tried_once)
{
	hosts(1);
	connect_now();
	dial_fails(0, FAIL_TLS);
	ck_assert_int_eq(n_dials, 1);
	ck_assert_int_eq(end.why, FAIL_TLS);
}
END_TEST

START_TEST(test_no_host)
{
	connect_now();
	ck_assert_int_eq(end.calls, 1);
	ck_assert_int_eq(end.why, FAIL_NO_ENDPOINT);
}
END_TEST

START_TEST(test_limits)
{
	hosts(1);
	cluster.conf.pool.max_connections = 0;
	connect_now();
	ck_assert_int_eq(end.why, FAIL_OVERFLOW);
	cluster.conf.pool.max_connections = 1;
	cluster.conf.pool.max_pending = 0;
	connect_now();
	ck_assert_int_eq(end.calls, 2);
	ck_assert_int_eq(end.why, FAIL_OVERFLOW);
}
END_TEST

START_TEST(test_routes_by_name_and_address)
{
	static const char *const exact[] = { "a.test" }, *const wild[] = { "*.b.test" };
	static struct cidr net = { .bits = 104 };
	static const struct { const char *sni, *to; int want; } rows[] = {
		{ "A.test", "192.0.2.1", 0 }, { "x.b.test", "192.0.2.1", 1 }, { "b.test", "10.0.0.1", 2 }, { NULL, "10.0.0.1", 2 }, { NULL, "192.0.2.1", -1 },
		{ "c.test", "192.0.2.1", -1 },
	};
	const struct l4_route v[] = { { .sni = exact, .n_sni = 1 }, { .sni = wild, .n_sni = 1 }, { .to = &net, .n_to = 1 } };
	struct ip ip;

	ip_parse(str_c("10.0.0.0"), &net.ip);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		ip_parse(str_c(rows[i].to), &ip);
		ck_assert_ptr_eq(l4_route_find(v, 3, &ip, rows[i].sni), rows[i].want < 0 ? NULL : &v[rows[i].want]);
	}
}
END_TEST

START_TEST(test_cancel)
{
	hosts(2);
	l4_cancel(l4_connect(&env, &cluster, &ask, on_done, NULL));
	step();
	l4_cancel(connect_now());
	ck_assert(dials[0].stage.done);
	step();
	l4_cancel(NULL);
	ck_assert_int_eq(end.calls, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("l4");
	TCase *t = tcase_create("l4");

	tcase_add_checked_fixture(t, start, stop);
	tcase_add_test(t, test_connects);
	tcase_add_test(t, test_other_hosts);
	tcase_add_test(t, test_gives_up);
	tcase_add_test(t, test_the_only_host_is_tried_once);
	tcase_add_test(t, test_no_host);
	tcase_add_test(t, test_limits);
	tcase_add_test(t, test_cancel);
	tcase_add_test(t, test_routes_by_name_and_address);
	suite_add_tcase(s, t);
	return suite_run(s);
}
