/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "policy/cidrset.h"
#include "tests/unit/suite.h"

START_TEST(rows)
{
	static const struct {
		const char *blocks[6];
		const char *in[4], *out[4];
	} table[] = {
		{ { NULL }, { NULL }, { "10.0.0.1", "::1" } },
		{ { "10.0.0.0/8" }, { "10.0.0.0", "10.255.255.255" }, { "9.255.255.255", "11.0.0.0", "::ffff:0:0:1" } },
		{ { "10.0.0.0/8", "10.1.0.0/16", "10.0.0.0/8", "10.200.0.1" }, { "10.1.0.0", "10.200.0.2", "10.255.0.1" }, { "11.0.0.0" } },
		{ { "10.1.0.0/16", "10.3.0.0/16", "10.5.0.9" }, { "10.1.255.255", "10.3.0.0", "10.5.0.9" }, { "10.2.0.0", "10.4.0.0", "10.5.0.8" } },
		{ { "0.0.0.0/0" }, { "0.0.0.0", "255.255.255.255" }, { "::1", "fd00::1" } },
		{ { "::/0" }, { "::1", "fd00::1" }, { "10.0.0.1", "0.0.0.0" } },
		{ { "::/0", "10.0.0.0/8" }, { "::1", "10.1.1.1" }, { "11.0.0.1" } },
		{ { "fd00::/8", "fd00:1::/32", "fe80::1" }, { "fd00:1::9", "fdff::", "fe80::1" }, { "fc00::1", "fe80::2", "10.0.0.1" } },
	};
	struct cidr blocks[6];
	struct cidrset s;
	struct ip ip;
	int n = 0;

	for (; n < 6 && table[_i].blocks[n]; n++)
		ck_assert_int_eq(cidr_parse(str_c(table[_i].blocks[n]), &blocks[n]), 0);
	cidrset_init(&s, blocks, n);
	for (int i = 0; i < 4 && table[_i].in[i]; i++) {
		ck_assert_int_eq(ip_parse(str_c(table[_i].in[i]), &ip), 0);
		ck_assert_msg(cidrset_has(&s, &ip), "%s is out", table[_i].in[i]);
	}
	for (int i = 0; i < 4 && table[_i].out[i]; i++) {
		ck_assert_int_eq(ip_parse(str_c(table[_i].out[i]), &ip), 0);
		ck_assert_msg(!cidrset_has(&s, &ip), "%s is in", table[_i].out[i]);
	}
}
END_TEST

/* Against the plain walk over all blocks. */
START_TEST(random_blocks)
{
	static struct cidr given[1000], sorted[1000];
	struct cidrset s;

	srandom(7);
	for (int i = 0; i < 1000; i++) {
		struct ip ip = { { [10] = 255, 255, (uint8_t)(random() % 3), (uint8_t)random(), (uint8_t)random(), (uint8_t)random() } };
		char text[ADDR_TEXT], with_bits[ADDR_TEXT];

		snprintf(with_bits, sizeof(with_bits), "%.40s/%d", ip_format(&ip, text), 12 + (int)(random() % 21));
		ck_assert_int_eq(cidr_parse(str_c(with_bits), &given[i]), 0);
	}
	memcpy(sorted, given, sizeof(given));
	cidrset_init(&s, sorted, 1000);
	for (int k = 0; k < 20000; k++) {
		struct ip ip = { { [10] = 255, 255, (uint8_t)(random() % 4), (uint8_t)random(), (uint8_t)random(), (uint8_t)random() } };
		bool want = false;

		for (int i = 0; i < 1000 && !want; i++)
			want = cidr_has(&given[i], &ip);
		ck_assert_int_eq(cidrset_has(&s, &ip), want);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("cidrset");
	TCase *tc = tcase_create("cidrset");

	tcase_add_loop_test(tc, rows, 0, 8);
	tcase_add_test(tc, random_blocks);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
