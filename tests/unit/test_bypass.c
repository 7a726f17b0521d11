/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdio.h>

#include "base/limits.h"
#include "telemetry/bypass.h"
#include "tests/unit/suite.h"

static struct {
	int n;
	uint64_t count;
	bool plaintext;
} seen;

static void on_row(const struct bypass *b, void *arg)
{
	seen.n++;
	seen.count += b->count;
	seen.plaintext |= strcmp(b->peer, "plaintext") == 0 && strcmp(b->workload, "shop/cart-1") == 0 && strcmp(b->waypoint, "shop/wp") == 0 &&
			  b->count == 2;
}

START_TEST(counted_and_listed)
{
	struct workload w = { .uid = "c//Pod/shop/cart-1", .ns = "shop", .name = "cart-1" };
	char peer[32];

	bypass_note(&w, "shop/wp", (struct str){ 0 });
	bypass_note(&w, "shop/wp", (struct str){ 0 });
	for (int i = 0; i < LIMIT_BYPASS_ROWS + 10; i++) {
		snprintf(peer, sizeof(peer), "spiffe://td/ns/web/sa/%d", i);
		bypass_note(&w, "shop/wp", str_c(peer));
	}
	ck_assert_uint_eq(bypass_total(), LIMIT_BYPASS_ROWS + 12);
	bypass_each(on_row, NULL);
	ck_assert_int_eq(seen.n, LIMIT_BYPASS_ROWS);
	ck_assert_uint_eq(seen.count, LIMIT_BYPASS_ROWS + 1);
	ck_assert(seen.plaintext);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("bypass");
	TCase *tc = tcase_create("bypass");

	tcase_add_test(tc, counted_and_listed);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
