/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"
#include "tests/unit/suite.h"

static const struct { const char *text; bool ok; uint64_t value; } numbers[] = {
	{ "0", true, 0 }, { "18446744073709551615", true, UINT64_MAX }, { "18446744073709551616", false, 0 },
	{ "", false, 0 }, { "-1", false, 0 }, { " 1", false, 0 }, { "1x", false, 0 }, { "007", true, 7 },
};

START_TEST(number)
{
	uint64_t v = 0;

	ck_assert(str_to_u64(str_c(numbers[_i].text), &v) == numbers[_i].ok);
	ck_assert_uint_eq(v, numbers[_i].value);
}
END_TEST

START_TEST(cut)
{
	struct str rest, first = str_cut(str_c("a,b,c"), ',', &rest);

	ck_assert(str_is(first, "a") && str_is(rest, "b,c"));
	first = str_cut(str_c("abc"), ',', &rest);
	ck_assert(str_is(first, "abc") && rest.p == NULL);
	first = str_cut(str_c("a,"), ',', &rest);
	ck_assert(str_is(first, "a") && rest.p != NULL && rest.n == 0);
}
END_TEST

START_TEST(compare)
{
	ck_assert(str_eq((struct str){ 0 }, str_c("")));
	ck_assert(str_eq_nocase(str_c("Host"), str_c("hOST")));
	ck_assert(str_starts(str_c("abc"), str_c("ab")) && !str_starts(str_c("a"), str_c("ab")));
	ck_assert(str_ends(str_c("abc"), str_c("bc")) && !str_ends(str_c("c"), str_c("bc")));
}
END_TEST

START_TEST(plain)
{
	char text[24];

	memset(text, 'x', sizeof(text));
	for (size_t n = 0; n <= sizeof(text); n++) {
		ck_assert(str_is_plain((struct str){ text, n }));
		for (size_t at = 0; at < n; at++) {
			for (int c = 0; c < 256; c++) {
				text[at] = (char)c;
				ck_assert_int_eq(str_is_plain((struct str){ text, n }), c >= ' ' && c != 0x7f);
			}
			text[at] = 'x';
		}
	}
}
END_TEST

START_TEST(hash_differs)
{
	char a[40] = "spiffe://cluster.local/ns/a/sa/b", b[40] = "spiffe://cluster.local/ns/a/sa/c";

	ck_assert_uint_eq(hash_bytes(a, 32), hash_bytes(a, 32));
	ck_assert_uint_ne(hash_bytes(a, 32), hash_bytes(b, 32));
	ck_assert_uint_ne(hash_bytes(a, 31), hash_bytes(a, 32));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("str");
	TCase *t = tcase_create("str");

	tcase_add_loop_test(t, number, 0, ARRAY_LEN(numbers));
	tcase_add_test(t, cut);
	tcase_add_test(t, compare);
	tcase_add_test(t, plain);
	tcase_add_test(t, hash_differs);
	suite_add_tcase(s, t);
	return suite_run(s);
}
