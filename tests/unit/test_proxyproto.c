/* SPDX-License-Identifier: Apache-2.0 */
#include "net/proxyproto.h"

#include <check.h>
#include <stdlib.h>

#define HEAD "\r\n\r\n\0\r\nQUIT\n\x21"

static const struct {
	const char *src, *dst, *identity;
	const char *want;
	size_t n;
} rows[] = {
	{ "10.0.0.1:4660", "10.0.0.2:80", "",
	  HEAD "\x11\0\x0c\x0a\0\0\x01\x0a\0\0\x02\x12\x34\0\x50", 28 },
	{ "10.0.0.1:4660", "10.0.0.2:80", "spiffe://a/b",
	  HEAD "\x11\0\x1b\x0a\0\0\x01\x0a\0\0\x02\x12\x34\0\x50\xd0\0\x0cspiffe://a/b", 43 },
	{ "[fd00::1]:1", "[fd00::2]:2", "",
	  HEAD "\x21\0\x24\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02\0\x01\0\x02", 52 },
	{ "[fd00::1]:1", "10.0.0.2:2", "spiffe://a/b", HEAD "\x01\0\x0f\xd0\0\x0cspiffe://a/b", 31 },
	{ "10.0.0.1:1", "[fd00::2]:2", "", HEAD "\x01\0\0", 16 },
};

START_TEST(proxyproto_rows)
{
	uint8_t out[PROXYPROTO_MAX];
	struct addr src, dst;

	ck_assert_int_eq(addr_parse(str_c(rows[_i].src), &src), 0);
	ck_assert_int_eq(addr_parse(str_c(rows[_i].dst), &dst), 0);
	ck_assert_uint_eq(proxyproto_v2(&src, &dst, str_c(rows[_i].identity), out), rows[_i].n);
	ck_assert_mem_eq(out, rows[_i].want, rows[_i].n);
}
END_TEST

START_TEST(proxyproto_identity_is_bounded)
{
	uint8_t *out = malloc(PROXYPROTO_MAX);      /* the sanitizer watches its end */
	char *id = calloc(1, PROXYPROTO_IDENTITY_MAX + 1);
	struct addr a;

	ck_assert_int_eq(addr_parse(str_c("[fd00::1]:1"), &a), 0);
	ck_assert_uint_eq(proxyproto_v2(&a, &a, (struct str){ id, PROXYPROTO_IDENTITY_MAX }, out), PROXYPROTO_MAX);
	ck_assert_uint_eq(proxyproto_v2(&a, &a, (struct str){ id, PROXYPROTO_IDENTITY_MAX + 1 }, out), 0);
	free(id);
	free(out);
}
END_TEST

START_TEST(proxyproto_v1_text)
{
	char out[PROXYPROTO_V1_MAX];
	struct addr a, b, c;

	ck_assert_int_eq(addr_parse(str_c("1.2.3.4:1000"), &a), 0);
	ck_assert_int_eq(addr_parse(str_c("5.6.7.8:80"), &b), 0);
	ck_assert_int_eq(addr_parse(str_c("[fd00:1111:2222:3333:4444:5555:6666:7777]:65535"), &c), 0);
	ck_assert_uint_eq(proxyproto_v1(&a, &b, out), strlen(out));
	ck_assert_str_eq(out, "PROXY TCP4 1.2.3.4 5.6.7.8 1000 80\r\n");
	ck_assert_uint_eq(proxyproto_v1(&c, &c, out), strlen(out));
	ck_assert_str_eq(out, "PROXY TCP6 fd00:1111:2222:3333:4444:5555:6666:7777 fd00:1111:2222:3333:4444:5555:6666:7777 65535 65535\r\n");
	proxyproto_v1(&a, &c, out);
	ck_assert_str_eq(out, "PROXY UNKNOWN\r\n");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("proxyproto");
	TCase *tc = tcase_create("all");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_add_loop_test(tc, proxyproto_rows, 0, ARRAY_LEN(rows));
	tcase_add_test(tc, proxyproto_v1_text);
	tcase_add_test(tc, proxyproto_identity_is_bounded);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
