/* SPDX-License-Identifier: Apache-2.0 */
#include "base/addr.h"
#include "tests/unit/suite.h"

static const struct { const char *cidr, *ip; bool has; } cidrs[] = {
	{ "10.0.0.0/8", "10.255.0.1", true }, { "10.0.0.0/8", "11.0.0.1", false },
	{ "10.0.0.0/8", "::ffff:10.1.2.3", true }, { "0.0.0.0/0", "1.2.3.4", true }, { "0.0.0.0/0", "::1", false },
	{ "fd00::/8", "fd12::1", true }, { "fd00::/8", "fe80::1", false }, { "10.1.2.3", "10.1.2.3", true },
	{ "10.1.2.3/32", "10.1.2.2", false }, { "10.1.2.3/31", "10.1.2.2", true },
};

START_TEST(cidr_holds)
{
	struct cidr c;
	struct ip ip;

	ck_assert_int_eq(cidr_parse(str_c(cidrs[_i].cidr), &c), 0);
	ck_assert_int_eq(ip_parse(str_c(cidrs[_i].ip), &ip), 0);
	ck_assert(cidr_has(&c, &ip) == cidrs[_i].has);
}
END_TEST

static const char *const bad_cidrs[] = { "10.0.0.0/33", "fd00::/129", "abc", "10.0.0/8", "", "/8", "10.0.0.0/", "10.0.0.0/-1" };

START_TEST(cidr_refused)
{
	struct cidr c;

	ck_assert_int_lt(cidr_parse(str_c(bad_cidrs[_i]), &c), 0);
}
END_TEST

static const struct { const char *in, *out; } addrs[] = {
	{ "1.2.3.4:80", "1.2.3.4:80" }, { "[::1]:443", "[::1]:443" }, { "[::ffff:1.2.3.4]:1", "1.2.3.4:1" },
	{ "1.2.3.4", NULL }, { "::1:80", NULL }, { "[1.2.3.4]:80", NULL }, { "1.2.3.4:65536", NULL }, { "[::1]80", NULL },
	{ "1.2.3.4:80x", NULL }, { "[::1%lo]:80", NULL }, { "", NULL }, { "[", NULL }, { "[]:80", NULL },
};

START_TEST(addr_text)
{
	char text[ADDR_TEXT];
	struct addr a;
	int r = addr_parse(str_c(addrs[_i].in), &a);

	ck_assert_int_eq(r == 0, addrs[_i].out != NULL);
	if (r == 0)
		ck_assert_str_eq(addr_format(&a, text), addrs[_i].out);
}
END_TEST

START_TEST(sockaddr_both_ways)
{
	struct sockaddr_storage sa;
	struct addr a, b;

	addr_parse(str_c("9.8.7.6:54"), &a);
	addr_to_sockaddr(&a, 0, &sa);
	ck_assert_int_eq(sa.ss_family, AF_INET);
	addr_from_sockaddr(&sa, &b);
	ck_assert(addr_eq(&a, &b));
	addr_to_sockaddr(&a, AF_INET6, &sa);
	ck_assert_int_eq(sa.ss_family, AF_INET6);
	addr_from_sockaddr(&sa, &b);
	ck_assert(addr_eq(&a, &b));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("addr");
	TCase *t = tcase_create("addr");

	tcase_add_loop_test(t, cidr_holds, 0, ARRAY_LEN(cidrs));
	tcase_add_loop_test(t, cidr_refused, 0, ARRAY_LEN(bad_cidrs));
	tcase_add_loop_test(t, addr_text, 0, ARRAY_LEN(addrs));
	tcase_add_test(t, sockaddr_both_ways);
	suite_add_tcase(s, t);
	return suite_run(s);
}
