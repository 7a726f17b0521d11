/* SPDX-License-Identifier: Apache-2.0 */
#include "net/redirect.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>

static char *script_of(const struct redirect *r)
{
	struct buf b = { 0 };
	char *text;

	redirect_script(r, &b);
	text = str_dup(buf_str(&b));
	buf_done(&b);
	return text;
}

static const struct { const char *list; int want; } port_rows[] = {
	{ "80", 0 }, { "1-65535", 0 }, { "80,8000-8100,443", 0 }, { "0", -ERANGE }, { "65536", -ERANGE }, { "9-8", -ERANGE },
	{ "", -EINVAL }, { "80,", -EINVAL }, { "80-", -EINVAL }, { "-80", -EINVAL }, { " 80", -EINVAL }, { "http", -EINVAL },
};

START_TEST(ports_rows)
{
	struct ports p = { 0 };
	struct err err;

	ck_assert_int_eq(ports_add(&p, str_c(port_rows[_i].list), &err), port_rows[_i].want);
}
END_TEST

static const struct { const char *list; int want; size_t n; } cidr_rows[] = {
	{ "10.0.0.0/8,fd00::/8,192.0.2.1", 0, 3 }, { "10.0.0.0/33", -EINVAL, 0 }, { "host", -EINVAL, 0 }, { "", -EINVAL, 0 },
};

START_TEST(cidrs_rows)
{
	struct cidrs c = { 0 };
	struct err err;

	ck_assert_int_eq(cidrs_add(&c, str_c(cidr_rows[_i].list), &err), cidr_rows[_i].want);
	ck_assert_uint_eq(c.n, cidr_rows[_i].n);
	free(c.v);
}
END_TEST

START_TEST(ids_bounds)
{
	struct ids i = { 0 };
	struct err err;

	ck_assert_int_eq(ids_add(&i, str_c("0,4294967294"), &err), 0);
	ck_assert_uint_eq(i.v[1], 4294967294u);
	ck_assert_int_eq(ids_add(&i, str_c("4294967295"), &err), -EINVAL);
	ck_assert_int_eq(ids_add(&i, str_c("root"), &err), -EINVAL);
	free(i.v);
}
END_TEST

/* What each setting puts into the script, or keeps out of it (first character '!'). */
static const struct {
	const char *ssh;
	enum redirect_mode mode;
	const char *in_excluded, *out_excluded, *to;
	bool one_uid, no_ipv6, dns;
	const char *cgroup;
	const char *want;
} script_rows[] = {
	{ .want = "add table inet meshd\ndelete table inet meshd\ntable inet meshd {\n" },
	{ .want = "tcp dport { 22, 15000-15001, 15006, 15008, 15020-15021, 15053, 15090 } return\n" },
	{ .ssh = "10.0.0.1 50000 10.0.0.2 2222", .want = "{ 22, 2222, 15000" },
	{ .ssh = "nonsense; drop", .want = "{ 22, 15000" },
	{ .in_excluded = "80,8000-8100,8050", .want = "{ 22, 80, 8000-8100, 15000" },
	{ .out_excluded = "65535", .want = "tcp dport { 65535 } return\n" },
	{ .want = "!tcp dport {  }" },
	{ .to = "10.0.0.0/8", .want = "\t\tip daddr 10.0.0.0/8 meta l4proto tcp counter redirect to :15001\n" },
	{ .to = "fd00::/8", .want = "\t\tip6 daddr fd00::/8 meta l4proto tcp counter redirect to :15001\n" },
	{ .to = "fd00::/8", .want = "!\t\tmeta l4proto tcp counter redirect to :15001\n" },
	{ .one_uid = true, .want = "\t\tmeta skuid 7 meta l4proto tcp counter redirect to :15001\n" },
	{ .one_uid = true, .want = "!15006\n" },
	{ .no_ipv6 = true, .want = "meta nfproto ipv6 return\n" },
	{ .want = "!nfproto" },
	{ .cgroup = "a/b", .want = "\t\tsocket cgroupv2 level 2 \"a/b\" meta l4proto tcp counter redirect to :15006\n" },
	{ .cgroup = "a/b", .want = "\t\tsocket cgroupv2 level 2 \"a/b\" meta l4proto tcp counter redirect to :15001\n" },
	{ .want = "!15053 " },
	{ .dns = true, .want = "meta mark & 0xfff == 0x539 udp sport 15053 update @dns-alive { meta nfproto }\n" },
	{ .dns = true, .want = "\t\toifname != \"lo\" meta l4proto tcp meta nfproto @dns-alive counter redirect to :15053\n" },
	{ .dns = true, .want = "\t\tip daddr 127.0.0.53/32 meta l4proto udp meta nfproto @dns-alive counter redirect to :15053\n" },
	{ .dns = true, .one_uid = true, .want = "\t\toifname != \"lo\" meta skuid 7 meta l4proto udp meta nfproto @dns-alive" },
	{ .want = "type route hook output" },
	{ .want = "!127.0.0.6" },
	{ .mode = REDIRECT_SIDECAR, .want = "type route hook output" },
	{ .mode = REDIRECT_SIDECAR, .want = "oifname \"lo\" fib saddr type != local return\n" },
	{ .want = "!oifname \"lo\" fib saddr" },
	{ .mode = REDIRECT_SIDECAR, .want = "oifname \"lo\" ip saddr 127.0.0.6 return\n" },
};

START_TEST(script_has)
{
	const char *want = script_rows[_i].want;
	struct redirect r;
	struct err err;
	char *text;

	unsetenv("SSH_CONNECTION");
	if (script_rows[_i].ssh)
		setenv("SSH_CONNECTION", script_rows[_i].ssh, 1);
	redirect_init(&r, script_rows[_i].mode);
	if (script_rows[_i].in_excluded)
		ck_assert_int_eq(ports_add(&r.in_excluded, str_c(script_rows[_i].in_excluded), &err), 0);
	if (script_rows[_i].out_excluded)
		ck_assert_int_eq(ports_add(&r.out_excluded, str_c(script_rows[_i].out_excluded), &err), 0);
	if (script_rows[_i].to)
		ck_assert_int_eq(cidrs_add(&r.out_only_to, str_c(script_rows[_i].to), &err), 0);
	r.dns = script_rows[_i].dns;
	if (r.dns)
		ck_assert_int_eq(cidrs_add(&r.dns_local, str_c("127.0.0.53"), &err), 0);
	r.one_uid = script_rows[_i].one_uid;
	r.uid = 7;
	r.ipv6 = !script_rows[_i].no_ipv6;
	r.cgroup = script_rows[_i].cgroup ? xstrdup(script_rows[_i].cgroup) : NULL;
	r.cgroup_level = 2;
	text = script_of(&r);
	ck_assert_msg(*want == '!' ? !strstr(text, want + 1) : strstr(text, want) != NULL, "%s\nin\n%s", want, text);
	free(text);
	redirect_done(&r);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("redirect");
	TCase *tc = tcase_create("all");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_add_loop_test(tc, ports_rows, 0, ARRAY_LEN(port_rows));
	tcase_add_loop_test(tc, cidrs_rows, 0, ARRAY_LEN(cidr_rows));
	tcase_add_test(tc, ids_bounds);
	tcase_add_loop_test(tc, script_has, 0, ARRAY_LEN(script_rows));
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
