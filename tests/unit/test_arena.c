/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"
#include "suite.h"

START_TEST(test_alloc)
{
	struct arena a = { 0 };
	unsigned dirty = 0;

	for (size_t n = 0; n < 5000; n++) {
		unsigned char *p = arena_alloc(&a, n);

		ck_assert_uint_eq((uintptr_t)p % 16, 0);
		for (size_t i = 0; i < n; i++)
			dirty |= p[i];
		memset(p, 0xff, n);
		if (n % 1000 == 999)
			arena_reset(&a);
	}
	ck_assert_uint_eq(dirty, 0);
	arena_done(&a);
}
END_TEST

START_TEST(test_dup)
{
	struct arena a = { .block = 64 };
	const char *x = arena_dup(&a, str_c("abc")), *y = arena_dup(&a, (struct str){ NULL, 0 });

	for (int i = 0; i < 100; i++)
		arena_alloc(&a, 40);
	ck_assert_str_eq(x, "abc");
	ck_assert_str_eq(y, "");
	arena_done(&a);
	ck_assert_ptr_null(a.blocks);
	ck_assert_uint_eq(a.block, 64);
}
END_TEST

/* A block larger than usual is not kept for ever. */
START_TEST(test_reset)
{
	struct arena a = { 0 };

	arena_reset(&a);
	arena_alloc(&a, 1 << 20);
	arena_reset(&a);
	ck_assert_ptr_null(a.blocks);
	arena_alloc(&a, 10);
	arena_reset(&a);
	ck_assert_ptr_nonnull(a.blocks);
	arena_done(&a);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("arena");
	TCase *t = tcase_create("arena");

	tcase_add_test(t, test_alloc);
	tcase_add_test(t, test_dup);
	tcase_add_test(t, test_reset);
	suite_add_tcase(s, t);
	return suite_run(s);
}
