/* SPDX-License-Identifier: Apache-2.0 */
#include "base/xxhash64.h"

#include <string.h>

#include "tests/unit/suite.h"

/* The values of the reference implementation. */
START_TEST(test_vectors)
{
	static const struct { const char *text; uint64_t want; } rows[] = {
		{ "", 0xef46db3751d8e999 }, { "a", 0xd24ec4f1a98c6e5b }, { "abc", 0x44bc2cf5ad770999 },
		{ "Nobody inspects the spammish repetition", 0xfbcea83c8a378bf1 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		ck_assert_uint_eq(xxhash64(rows[i].text, strlen(rows[i].text), 0), rows[i].want);
	ck_assert_uint_ne(xxhash64("a", 1, 1), xxhash64("a", 1, 0));
}
END_TEST

/* Where the text lies makes no difference. */
START_TEST(test_any_alignment)
{
	char text[128], at[160];

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)(i * 7);
	for (size_t n = 0; n <= sizeof(text); n++)
		for (size_t off = 0; off < 9; off++) {
			memcpy(at + off, text, n);
			ck_assert_uint_eq(xxhash64(at + off, n, 3), xxhash64(text, n, 3));
		}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("xxhash64");
	TCase *t = tcase_create("xxhash64");

	tcase_add_test(t, test_vectors);
	tcase_add_test(t, test_any_alignment);
	suite_add_tcase(s, t);
	return suite_run(s);
}
