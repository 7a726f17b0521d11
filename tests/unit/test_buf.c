/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "tests/unit/suite.h"

START_TEST(queue)
{
	struct buf b = { 0 };
	uint8_t next_in = 0, next_out = 0;

	/* Bytes come out in the order they went in, whatever the sizes. */
	for (int round = 0; round < 2000; round++) {
		uint8_t part[97];

		for (size_t i = 0; i < sizeof(part); i++)
			part[i] = next_in++;
		ck_assert_int_eq(buf_append(&b, part, sizeof(part)), 0);
		for (size_t n = (size_t)round % 150; n && buf_len(&b); n--) {
			ck_assert_uint_eq(*buf_data(&b), next_out++);
			buf_consume(&b, 1);
		}
	}
	while (buf_len(&b)) {
		ck_assert_uint_eq(*buf_data(&b), next_out++);
		buf_consume(&b, 1);
	}
	ck_assert_uint_eq(next_in, next_out);
	ck_assert_ptr_null(b.mem);
}
END_TEST

START_TEST(iov_skip)
{
	struct buf b = { 0 };
	struct iovec iov[] = { { "abc", 3 }, { "", 0 }, { "defg", 4 } };

	ck_assert_int_eq(buf_append_iov(&b, iov, 3, 4), 0);
	ck_assert(str_is(buf_str(&b), "efg"));
	ck_assert_int_eq(buf_append_iov(&b, iov, 3, 7), 0);
	ck_assert_uint_eq(buf_len(&b), 3);
	buf_done(&b);
}
END_TEST

static const struct { const char *in; size_t n; const char *out; } json[] = {
	{ "a\"b\\c", 5, "\"a\\\"b\\\\c\"" }, { "\n\t\x01", 3, "\"\\n\\t\\u0001\"" },
	{ "\xc3\xa9", 2, "\"\xc3\xa9\"" }, { "\xc3", 1, "\"\\ufffd\"" }, { "\xc0\xaf", 2, "\"\\ufffd\\ufffd\"" },
	{ "\xed\xa0\x80", 3, "\"\\ufffd\\ufffd\\ufffd\"" }, { "", 0, "\"\"" },
};

START_TEST(json_string)
{
	struct buf b = { 0 };

	ck_assert_int_eq(buf_json_str(&b, (struct str){ json[_i].in, json[_i].n }), 0);
	ck_assert(str_is(buf_str(&b), json[_i].out));
	buf_done(&b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("buf");
	TCase *t = tcase_create("buf");

	tcase_add_test(t, queue);
	tcase_add_test(t, iov_skip);
	tcase_add_loop_test(t, json_string, 0, ARRAY_LEN(json));
	suite_add_tcase(s, t);
	return suite_run(s);
}
