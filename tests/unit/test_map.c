/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "base/map.h"
#include "tests/unit/suite.h"

START_TEST(put_get_del)
{
	static char keys[3000][12];
	struct map m = { 0 };

	for (int i = 0; i < 3000; i++) {
		snprintf(keys[i], sizeof(keys[i]), "%d", i);
		ck_assert_ptr_null(map_put(&m, str_c(keys[i]), keys[i]));
	}
	for (int i = 0; i < 3000; i += 3)
		ck_assert_ptr_eq(map_del(&m, str_c(keys[i])), keys[i]);
	for (int i = 0; i < 3000; i++)
		ck_assert_ptr_eq(map_get(&m, str_c(keys[i])), i % 3 ? keys[i] : NULL);
	ck_assert_uint_eq(m.len, 2000);
	ck_assert_ptr_eq(map_put(&m, str_c(keys[1]), keys[0]), keys[1]);
	ck_assert_ptr_null(map_del(&m, str_c("none")));
	map_done(&m);
	ck_assert_ptr_null(map_get(&m, str_c("1")));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("map");
	TCase *t = tcase_create("map");

	tcase_add_test(t, put_get_del);
	suite_add_tcase(s, t);
	return suite_run(s);
}
