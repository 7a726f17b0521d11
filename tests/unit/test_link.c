/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "source/link.h"
#include "suite.h"

static const char *const three[] = { "a/x", "b/x", "c/x" };

/* Also a record: these addresses must not change from one version to the next. */
START_TEST(test_stable)
{
	uint16_t slots[3];
	char v4[ADDR_TEXT], v6[ADDR_TEXT];
	struct cidr c;

	link_vip_slots(three, 3, slots);
	c = link_vip4(slots[0]);
	ck_assert_str_eq(ip_format(&c.ip, v4), "240.240.10.42");
	c = link_vip6(slots[0]);
	ck_assert_str_eq(ip_format(&c.ip, v6), "2001:2::f0f0:a2a");
	ck_assert_uint_eq(c.bits, 128);
}
END_TEST

START_TEST(test_subset)
{
	uint16_t all[3], some[2];

	link_vip_slots(three, 3, all);
	link_vip_slots(three + 1, 2, some);
	ck_assert_uint_eq(all[1], some[0]);
	ck_assert_uint_eq(all[2], some[1]);
}
END_TEST

/* More keys than slots: each slot once, none for the rest, and never the first or last address. */
START_TEST(test_full)
{
	enum { N = 66000 };
	char (*text)[16] = xcalloc(N, sizeof(*text));
	const char **keys = xcalloc(N, sizeof(char *));
	uint16_t *slots = xcalloc(N, sizeof(*slots));
	uint8_t *seen = xcalloc(65536, 1);
	size_t none = 0;

	for (int i = 0; i < N; i++) {
		snprintf(text[i], sizeof(text[i]), "n/%06d", i);
		keys[i] = text[i];
	}
	link_vip_slots(keys, N, slots);
	for (int i = 0; i < N; i++) {
		none += slots[i] == 0;
		ck_assert(!slots[i] || !seen[slots[i]]++);
	}
	ck_assert_uint_eq(none, N - 65534);
	ck_assert_uint_eq(seen[65535], 0);
	free(text);
	free(keys);
	free(slots);
	free(seen);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("link");
	TCase *t = tcase_create("link");

	tcase_add_test(t, test_stable);
	tcase_add_test(t, test_subset);
	tcase_add_test(t, test_full);
	suite_add_tcase(s, t);
	return suite_run(s);
}
