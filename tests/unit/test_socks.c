/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdio.h>

#include "net/socks.h"
#include "tests/unit/suite.h"

#define HELLO "\5\1\0"
static const struct {
	const char *in;
	int n;
	enum socks_step end;
	const char *to;                /* of ASKED */
	const char *host, *rest;
	int reply;                     /* of BAD: the second byte; -1: no reply */
} rows[] = {
	{ HELLO "\5\1\0\1\12\0\0\7\0\120rest", 17, SOCKS_ASKED, "10.0.0.7:80", "", "rest", 0 },
	{ HELLO "\5\1\0\4\375\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\120", 25, SOCKS_ASKED, "[fd00::1]:80", "", "", 0 },
	{ HELLO "\5\1\0\3\4shop\37\220", 14, SOCKS_ASKED, ":8080", "shop", "", 0 },
	{ "\5\3\1\0\2\5\1\0\1\12\0\0\7\0\120", 15, SOCKS_ASKED, "10.0.0.7:80", "", "", 0 },
	{ "\5\1\2", 3, SOCKS_BAD, NULL, NULL, NULL, 0xff },                 /* a password is wanted */
	{ "\5\0", 2, SOCKS_BAD, NULL, NULL, NULL, 0xff },
	{ "\4\1\0\120\12\0\0\7", 8, SOCKS_BAD, NULL, NULL, NULL, -1 },      /* SOCKS4 */
	{ "GET / HTTP/1.1", 14, SOCKS_BAD, NULL, NULL, NULL, -1 },
	{ HELLO "\5\2\0\1\12\0\0\7\0\120", 13, SOCKS_BAD, NULL, NULL, NULL, SOCKS_NO_COMMAND },     /* BIND */
	{ HELLO "\5\3\0\1\12\0\0\7\0\120", 13, SOCKS_BAD, NULL, NULL, NULL, SOCKS_NO_COMMAND },     /* UDP ASSOCIATE */
	{ HELLO "\5\1\0\2\12\0\0\7\0\120", 13, SOCKS_BAD, NULL, NULL, NULL, SOCKS_NO_ADDRESS_TYPE },
	{ HELLO "\4\1\0\1\12\0\0\7\0\120", 13, SOCKS_BAD, NULL, NULL, NULL, SOCKS_FAILED },
	{ HELLO "\5\1\0\1\12\0\0\7\0\0", 13, SOCKS_BAD, NULL, NULL, NULL, SOCKS_FAILED },           /* port 0 */
	{ HELLO "\5\1\0\3\0\0\120", 10, SOCKS_BAD, NULL, NULL, NULL, SOCKS_FAILED },
	{ HELLO "\5\1\0\3\2a\0\0\120", 12, SOCKS_BAD, NULL, NULL, NULL, SOCKS_FAILED },
	{ HELLO "\5\1\0\1\12\0\0\7\0", 12, SOCKS_MORE, NULL, NULL, NULL, 0 },
	{ HELLO "\5\1\0\3\11shop", 12, SOCKS_MORE, NULL, NULL, NULL, 0 },
	{ "\5", 1, SOCKS_MORE, NULL, NULL, NULL, 0 },
};

/* Whatever the size of the pieces, the outcome is the same. */
START_TEST(row)
{
	for (int size = 1; size <= rows[_i].n; size++) {
		struct socks s = { .n = 0 };
		enum socks_step step = SOCKS_MORE;
		char rest[32] = "", text[ADDR_TEXT];
		int greeted = 0;

		for (int at = 0; at < rows[_i].n; at += size) {
			struct str in = { rows[_i].in + at, (size_t)(rows[_i].n - at < size ? rows[_i].n - at : size) };

			while (in.n && step != SOCKS_ASKED && step != SOCKS_BAD) {
				step = socks_take(&s, &in);
				greeted += step == SOCKS_GREETED;
				if (step == SOCKS_GREETED)
					ck_assert(s.reply_n == 2 && s.reply[0] == 5 && s.reply[1] == 0);
			}
			snprintf(rest + strlen(rest), sizeof(rest) - strlen(rest), "%.*s", STR_FMT(in));
		}
		ck_assert_int_eq(step, rows[_i].end);
		ck_assert_int_le(greeted, 1);
		if (step == SOCKS_ASKED) {
			ck_assert_str_eq(*s.host ? strrchr(addr_format(&s.to, text), ':') : addr_format(&s.to, text), rows[_i].to);
			ck_assert_str_eq(s.host, rows[_i].host);
			ck_assert_str_eq(rest, rows[_i].rest);
		} else if (step == SOCKS_BAD) {
			ck_assert_int_eq(s.reply_n ? s.reply[1] : -1, rows[_i].reply);
		}
	}
}
END_TEST

START_TEST(longest)
{
	struct socks s = { .n = 0 };
	char in[3 + 262];
	struct str at = { in, 3 };

	memcpy(in, HELLO "\5\1\0\3\377", 8);
	memset(in + 8, 'a', 255);
	memcpy(in + 8 + 255, "\0\120", 2);
	ck_assert_int_eq(socks_take(&s, &at), SOCKS_GREETED);
	at = (struct str){ in + 3, sizeof(in) - 3 };
	ck_assert_int_eq(socks_take(&s, &at), SOCKS_ASKED);
	ck_assert_uint_eq(strlen(s.host), 255);
	ck_assert_uint_eq(s.to.port, 80);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("socks");
	TCase *tc = tcase_create("socks");

	tcase_add_loop_test(tc, row, 0, (int)ARRAY_LEN(rows));
	tcase_add_test(tc, longest);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
