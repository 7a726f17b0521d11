/* SPDX-License-Identifier: Apache-2.0 */
#include "traffic/named.h"

#include "tests/unit/clusters.h"
#include "tests/unit/suite.h"

static struct loop *l;

static void setup(void)
{
	l = loop_new(0);
}

static void teardown(void)
{
	loop_free(l);
}

START_TEST(names_within_the_patterns)
{
	static const char *const patterns[] = { "*.example.com", "one.test" };
	static const struct { const char *authority; enum fail why; const char *name; } rows[] = {
		{ "a.example.com", FAIL_NONE, "a.example.com" }, { "a.b.example.com:8443", FAIL_NONE, "a.b.example.com" }, { "A.Example.COM:1", FAIL_NONE, "a.example.com" },
		{ "one.test", FAIL_NONE, "one.test" }, { "a_b-c.example.com", FAIL_NONE, "a_b-c.example.com" },
		{ "example.com", FAIL_HOST_OUTSIDE, "" }, { ".example.com", FAIL_HOST_OUTSIDE, "" }, { "aexample.com", FAIL_HOST_OUTSIDE, "" },
		{ "a.example.com.evil.test", FAIL_HOST_OUTSIDE, "" }, { "a..example.com", FAIL_HOST_OUTSIDE, "" }, { "a.one.test", FAIL_HOST_OUTSIDE, "" },
		{ "", FAIL_HOST_OUTSIDE, "" }, { ":80", FAIL_HOST_OUTSIDE, "" }, { "x@a.example.com", FAIL_HOST_OUTSIDE, "" }, { "evil.test/.example.com", FAIL_HOST_OUTSIDE, "" },
		{ "a%2eexample.com", FAIL_HOST_OUTSIDE, "" }, { "10.0.0.1", FAIL_HOST_ADDRESS, "" }, { "10.0.0.1:80", FAIL_HOST_ADDRESS, "" }, { "[::1]:80", FAIL_HOST_ADDRESS, "" },
		{ "[::1].example.com", FAIL_HOST_ADDRESS, "" }, { "127.1", FAIL_HOST_OUTSIDE, "" },
		/* Policies know it as another text. */
		{ "a.example.com.", FAIL_HOST_OUTSIDE, "" }, { "one.test.:80", FAIL_HOST_OUTSIDE, "" },
	};
	char longest[400] = "", name[NAMED_MAX];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		name[0] = '\0';
		ck_assert_msg(named_check(patterns, 2, str_c(rows[i].authority), name) == rows[i].why, "%s", rows[i].authority);
		ck_assert_str_eq(name, rows[i].name);
	}
	memset(longest, 'a', 300);
	memcpy(longest + 300, ".example.com", 13);
	ck_assert_int_eq(named_check(patterns, 2, str_c(longest), name), FAIL_HOST_OUTSIDE);
	ck_assert_int_eq(named_check(patterns, 2, (struct str){ "a\0.example.com", 14 }, name), FAIL_HOST_OUTSIDE);
}
END_TEST

START_TEST(addresses_that_no_name_has)
{
	static const char *const bad[] = {
		"127.0.0.1", "127.255.0.9", "0.0.0.0", "0.1.2.3", "169.254.169.254", "224.0.0.1", "255.255.255.255", "240.240.0.7", "::", "::1", "fe80::1", "ff02::1",
		"::ffff:127.0.0.1", "64:ff9b::7f00:1", "::7f00:1", "2001:2::f0f0:7", "fd00:ec2::254", "10.96.0.7", "64:ff9b::a60:7",
	};
	static const char *const good[] = { "10.0.0.9", "192.168.1.1", "1.1.1.1", "2001:db8::1", "fd00::1", "172.16.0.1", "64:ff9b::101:101" };
	struct vip vip = { .network = "", .cidr.bits = 128 };
	struct ip ip;

	ip_parse(str_c("10.96.0.7"), &vip.cidr.ip);
	publish((struct service){ .vips = &vip, .n_vips = 1 }, NULL, 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		ck_assert_int_eq(ip_parse(str_c(bad[i]), &ip), 0);
		ck_assert_msg(named_forbids(mesh_current(), NULL, &ip), "%s", bad[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		ck_assert_int_eq(ip_parse(str_c(good[i]), &ip), 0);
		ck_assert_msg(!named_forbids(mesh_current(), NULL, &ip), "%s", good[i]);
	}
	ip_parse(str_c("10.0.0.9"), &ip);
	ck_assert(named_forbids(mesh_current(), &(struct workload){ .network = "", .ns = "", .ips = &ip, .n_ips = 1 }, &ip));
}
END_TEST

static struct cluster *wild(uint32_t connections)
{
	static const char *const hosts[] = { "*.example.com" };
	struct cluster_conf conf = { .name = "outbound|80||*.example.com", .kind = CLUSTER_NAMED, .service = "", .subset = "", .hosts = hosts, .n_hosts = 1, .port = 80,
				     .target = 8080, .pool = { connections, UINT32_MAX, UINT32_MAX, UINT32_MAX, 0 } };

	return cluster_new(&conf, NULL);
}

struct told { struct named_wait w; struct cluster *name; int times; };

static void on_cluster(struct named_wait *w, struct cluster *name)
{
	struct told *t = container_of(w, struct told, w);

	t->name = name;
	t->times++;
}

static void learn(const char *name, const char *address)
{
	struct hostname *h = hostname_want(str_c(name));
	struct ip ip;

	ip_parse(str_c(address), &ip);
	hostname_learn(h, &ip, 1);
	hostname_unwant(h);
}

static struct cluster *known(struct cluster *c, const char *name)
{
	struct told t = { .w.on_cluster = on_cluster };
	struct cluster *found = NULL;

	ck_assert_int_eq(named_get(c, name, l, &t.w, &found), FAIL_NONE);
	ck_assert_ptr_nonnull(found);
	return found;
}

START_TEST(a_name_is_waited_for_once)
{
	struct told a = { .w.on_cluster = on_cluster }, b = a, left = a;
	struct cluster *c = wild(UINT32_MAX), *other = wild(UINT32_MAX), *found = c, *again;
	struct pick_ask ask = ask_of(1000);
	struct pick p;

	ck_assert(!cluster_pick(c, &ask, &p));
	ck_assert_int_eq(named_get(c, "a.example.com", l, &a.w, &found), FAIL_NONE);
	ck_assert_ptr_null(found);
	ck_assert_int_eq(named_get(c, "a.example.com", l, &b.w, &found), FAIL_NONE);
	ck_assert_int_eq(named_get(c, "a.example.com", l, &left.w, &found), FAIL_NONE);
	named_cancel(&left.w);
	named_cancel(&left.w);
	learn("a.example.com", "10.0.0.9");
	for (int i = 0; i < 10 && (!a.times || !b.times); i++)
		ev_run(l->ev, EVRUN_NOWAIT);
	ck_assert_int_eq(a.times, 1);
	ck_assert_int_eq(b.times, 1);
	ck_assert_int_eq(left.times, 0);
	ck_assert_ptr_eq(a.name, b.name);
	again = known(c, "a.example.com");
	ck_assert_ptr_eq(again, a.name);
	ck_assert(named_has(c, again) && !named_has(other, again) && !named_has(c, c) && !named_has(again, again));
	cluster_unref(other);
	ck_assert(cluster_pick(again, &ask, &p));
	ck_assert_uint_eq(p.addr.port, 8080);
	pick_done(&p);
	cluster_unref(a.name);
	cluster_unref(b.name);
	cluster_unref(again);
	cluster_unref(c);
}
END_TEST

START_TEST(a_name_that_leads_inside_has_no_host)
{
	struct cluster *c = wild(UINT32_MAX), *name;
	struct hostname *h = hostname_want(str_c("in.example.com"));
	struct vip vip = { .network = "", .cidr.bits = 128 };
	struct pick_ask ask;
	struct pick p;

	ip_parse(str_c("10.96.0.7"), &vip.cidr.ip);
	hostname_learn(h, &vip.cidr.ip, 1);
	ask = ask_of(1000);
	name = known(c, "in.example.com");
	ck_assert(cluster_pick(name, &ask, &p));
	pick_done(&p);
	publish((struct service){ .vips = &vip, .n_vips = 1 }, NULL, 0);      /* a service gets that address later */
	ask = ask_of(1001);
	ck_assert(!cluster_pick(name, &ask, &p));
	ck_assert_int_eq(p.why, FAIL_FORBIDDEN_ADDRESS);
	hostname_unwant(h);
	cluster_unref(name);
	cluster_unref(c);
}
END_TEST

START_TEST(names_share_the_limits_of_their_cluster)
{
	struct cluster *c = wild(1), *a, *b;
	struct hostname *h[2] = { hostname_want(str_c("a.example.com")), hostname_want(str_c("b.example.com")) };
	struct ip ip;

	ip_parse(str_c("10.0.0.9"), &ip);
	hostname_learn(h[0], &ip, 1);
	hostname_learn(h[1], &ip, 1);
	a = known(c, "a.example.com");
	b = known(c, "b.example.com");
	ck_assert_ptr_ne(a, b);
	ck_assert(cluster_shares(a, b) && cluster_shares(a, c));
	ck_assert(cluster_take(a, LIMIT_OF_CONNECTIONS));
	ck_assert(!cluster_take(b, LIMIT_OF_CONNECTIONS));
	cluster_give(c, LIMIT_OF_CONNECTIONS);
	ck_assert(cluster_take(b, LIMIT_OF_CONNECTIONS));
	cluster_give(b, LIMIT_OF_CONNECTIONS);
	cluster_unref(a);
	cluster_unref(b);
	cluster_unref(c);
	hostname_unwant(h[0]);
	hostname_unwant(h[1]);
}
END_TEST

static void count(const struct cluster *c, void *arg)
{
	++*(int *)arg;
}

START_TEST(there_are_so_many_names)
{
	struct cluster *c = wild(UINT32_MAX), *found, *held[LIMIT_NAMES];
	struct told t = { .w.on_cluster = on_cluster };
	char name[40];
	int n = 0;

	for (int i = 0; i < LIMIT_NAMES; i++) {
		snprintf(name, sizeof(name), "n%d.example.com", i);
		ck_assert_int_eq(named_get(c, name, l, &t.w, &found), FAIL_NONE);
		held[i] = cluster_ref(t.w.cluster);
		named_cancel(&t.w);
	}
	/* All are in use. */
	ck_assert_int_eq(named_get(c, "more.example.com", l, &t.w, &found), FAIL_NAMES_FULL);
	named_cancel(&t.w);
	cluster_unref(held[7]);
	ck_assert_int_eq(named_get(c, "more.example.com", l, &t.w, &found), FAIL_NONE);
	named_cancel(&t.w);
	names_each(c->names, count, &n);
	ck_assert_int_eq(n, LIMIT_NAMES);
	ck_assert_int_eq(named_get(c, "n8.example.com", l, &t.w, &found), FAIL_NONE);      /* a known one needs no room */
	ck_assert_ptr_eq(t.w.cluster, held[8]);
	named_cancel(&t.w);
	for (int i = 0; i < LIMIT_NAMES; i++)
		if (i != 7)
			cluster_unref(held[i]);
	cluster_unref(c);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("named");
	TCase *t = tcase_create("named");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, names_within_the_patterns);
	tcase_add_test(t, addresses_that_no_name_has);
	tcase_add_test(t, a_name_is_waited_for_once);
	tcase_add_test(t, a_name_that_leads_inside_has_no_host);
	tcase_add_test(t, names_share_the_limits_of_their_cluster);
	tcase_add_test(t, there_are_so_many_names);
	suite_add_tcase(s, t);
	return suite_run(s);
}
