/* SPDX-License-Identifier: Apache-2.0 */
#include "http/exchange.h"
#include "tests/unit/suite.h"

static struct exchange x;
static struct http_fields *f = &x.request_fields;

static void setup(void)
{
	x = (struct exchange){ .request_fields.arena = &x.arena };
}

static void teardown(void)
{
	arena_done(&x.arena);
}

START_TEST(names_have_no_case)
{
	fields_add(f, "X-A", str_c("1"));
	fields_add(f, "x-b", str_c("2"));
	fields_add(f, "x-a", str_c("3"));
	ck_assert(str_is(fields_get(f, "x-a"), "1"));
	ck_assert_ptr_null(fields_get(f, "x-").p);
	fields_set(f, "x-A", str_c("4"));
	ck_assert_int_eq(f->n, 2);
	ck_assert(str_is(f->v[0].name, "X-A") && str_is(f->v[0].value, "4"));
	ck_assert_int_eq(fields_remove(f, str_c("X-B")), 1);
	ck_assert_int_eq(fields_remove(f, str_c("x-b")), 0);
	ck_assert_int_eq(f->n, 1);
	fields_set(f, "new", (struct str){ 0 });
	ck_assert_ptr_nonnull(fields_get(f, "new").p);
}
END_TEST

START_TEST(lists_grow)
{
	for (int i = 0; i < 100; i++)
		fields_add(f, "n", exchange_printf(&x, "%d", i));
	ck_assert_int_eq(f->n, 100);
	ck_assert(str_is(f->v[99].value, "99") && str_is(f->v[0].value, "0"));
	ck_assert_int_eq(fields_remove(f, str_c("n")), 100);
}
END_TEST

START_TEST(long_texts)
{
	struct str s = exchange_printf(&x, "%01000d", 7);

	ck_assert_uint_eq(s.n, 1000);
	ck_assert_int_eq(s.p[999], '7');
	ck_assert_int_eq(s.p[1000], '\0');
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fields");
	TCase *t = tcase_create("fields");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, names_have_no_case);
	tcase_add_test(t, lists_grow);
	tcase_add_test(t, long_texts);
	suite_add_tcase(s, t);
	return suite_run(s);
}
