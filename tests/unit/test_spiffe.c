/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "tls/spiffe.h"

static const struct {
	const char *id;
	const char *td, *ns, *sa;   /* NULL: refused */
} rows[] = {
	{ "spiffe://cluster.local/ns/default/sa/web", "cluster.local", "default", "web" },
	{ "spiffe://a/ns/b/sa/c", "a", "b", "c" },
	{ "spiffe://td_1/ns/n-1/sa/s.a", "td_1", "n-1", "s.a" },
	{ "spiffe://ns/ns/sa/sa/ns", "ns", "sa", "ns" },
	{ "", NULL, NULL, NULL },
	{ "spiffe://", NULL, NULL, NULL },
	{ "spiffe:/cluster.local/ns/a/sa/b", NULL, NULL, NULL },
	{ "https://cluster.local/ns/a/sa/b", NULL, NULL, NULL },
	{ "SPIFFE://cluster.local/ns/a/sa/b", NULL, NULL, NULL },
	{ "cluster.local/ns/a/sa/b", NULL, NULL, NULL },
	{ "spiffe:///ns/a/sa/b", NULL, NULL, NULL },
	{ "spiffe://td/ns//sa/b", NULL, NULL, NULL },
	{ "spiffe://td/ns/a/sa/", NULL, NULL, NULL },
	{ "spiffe://td/ns/a/sa", NULL, NULL, NULL },
	{ "spiffe://td/ns/a/sa/b/", NULL, NULL, NULL },
	{ "spiffe://td/ns/a/sa/b/c", NULL, NULL, NULL },
	{ "spiffe://td/sa/a/ns/b", NULL, NULL, NULL },
	{ "spiffe://td/NS/a/sa/b", NULL, NULL, NULL },
	{ "spiffe://td/ns/../sa/b", NULL, NULL, NULL },
	{ "spiffe://td/ns/a b/sa/b", NULL, NULL, NULL },
	{ "spiffe://td:80/ns/a/sa/b", NULL, NULL, NULL },
	{ "spiffe://user@td/ns/a/sa/b", NULL, NULL, NULL },
	{ "spiffe://td/ns/a/sa/b?x", NULL, NULL, NULL },
	{ "spiffe://td/ns/a/sa/b\n", NULL, NULL, NULL },
	{ "spiffe://td/ns/a/sa/%62", NULL, NULL, NULL },
};

START_TEST(parses)
{
	struct spiffe s;
	int r = spiffe_parse(str_c(rows[_i].id), &s);

	if (!rows[_i].td) {
		ck_assert_int_eq(r, -EINVAL);
		return;
	}
	ck_assert_int_eq(r, 0);
	ck_assert(str_is(s.trust_domain, rows[_i].td));
	ck_assert(str_is(s.ns, rows[_i].ns));
	ck_assert(str_is(s.sa, rows[_i].sa));
}
END_TEST

/* A NUL inside is a byte like any other that is not allowed: "b\0evil" must not become "b". */
START_TEST(refuses_nul)
{
	static const char id[] = "spiffe://td/ns/a/sa/b\0evil";
	struct spiffe s;

	ck_assert_int_eq(spiffe_parse((struct str){ id, sizeof(id) - 1 }, &s), -EINVAL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("spiffe");
	TCase *tc = tcase_create("spiffe");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(tc, parses, 0, ARRAY_LEN(rows));
	tcase_add_test(tc, refuses_nul);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
