/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdio.h>

#include "base/str.h"
#include "model/object.h"
#include "model/texts.h"
#include "tests/unit/suite.h"

START_TEST(same_is_one)
{
	struct texts_table t = { 0 };
	struct texts *a = texts_get(&t, (const char *[]){ "x", NULL, "yz" }, 3);
	struct texts *b = texts_get(&t, (const char *[]){ "x", "", "yz" }, 3);
	struct texts *c = texts_get(&t, (const char *[]){ "x", "y", "z" }, 3);
	struct texts *d = texts_get(&t, (const char *[]){ "x", "", "yz", "" }, 4);

	ck_assert_ptr_eq(a, b);
	ck_assert_ptr_ne(a, c);
	ck_assert_ptr_ne(a, d);
	ck_assert_str_eq(a->v[1], "");
	ck_assert_str_eq(c->v[2], "z");
	texts_table_done(&t);
	ck_assert_str_eq(a->v[2], "yz");
	texts_unref(a);
	texts_unref(b);
	texts_unref(c);
	texts_unref(d);
	texts_unref(NULL);
}
END_TEST

START_TEST(sweep_drops_what_nobody_holds)
{
	struct texts_table t = { 0 };
	struct texts *held = NULL;
	char text[16];

	for (int i = 0; i < 1000; i++) {
		const char *v = text;
		struct texts *x;

		snprintf(text, sizeof(text), "%d", i);
		x = texts_get(&t, &v, 1);
		if (i == 500)
			held = x;
		else
			texts_unref(x);
	}
	ck_assert_uint_eq(t.len, 1000);
	texts_sweep(&t);
	ck_assert_uint_eq(t.len, 1);
	ck_assert_str_eq(held->v[0], "500");
	texts_unref(held);
	texts_sweep(&t);     /* not worth it */
	ck_assert_uint_eq(t.len, 1);
	texts_table_done(&t);
}
END_TEST

START_TEST(workloads_share)
{
	const char *services[] = { "n/a.test", "n/b.test" }, *policies[] = { "n/p" }, *many[100];
	struct gateway waypoint = { .service = "n/wp.test", .network = "", .hbone_port = 15008 };
	struct workload from = { .uid = "c//Pod/n/p-1", .name = "p-1", .ns = "n", .service_account = "sa", .trust_domain = "td",
		.identity = "spiffe://td/ns/n/sa/sa", .network = "net", .cluster = "c", .node = "node", .canonical_name = "app",
		.canonical_revision = "v1", .workload_name = "w", .workload_type = "pod", .locality = { "r", "z", "s" },
		.services = services, .n_services = 2, .policies = policies, .n_policies = 1, .waypoint = &waypoint, .version = "5" };
	struct texts_table t = { 0 };
	struct workload *a = workload_new_shared(&from, &t), *b, *c;

	from.uid = "c//Pod/n/p-2";
	from.name = "p-2";
	from.node = "other";
	b = workload_new_shared(&from, &t);
	ck_assert_ptr_eq(a->ns, b->ns);
	ck_assert_ptr_ne(a->node, b->node);
	texts_table_done(&t);
	workload_unref(a);
	ck_assert_str_eq(b->name, "p-2");
	ck_assert_str_eq(b->version, "5");
	ck_assert_str_eq(b->identity, "spiffe://td/ns/n/sa/sa");
	ck_assert_str_eq(b->network, "net");
	ck_assert_str_eq(b->cluster, "c");
	ck_assert_str_eq(b->node, "other");
	ck_assert_str_eq(b->locality.subzone, "s");
	ck_assert_str_eq(b->canonical_name, "app");
	ck_assert_str_eq(b->canonical_revision, "v1");
	ck_assert_str_eq(b->workload_name, "w");
	ck_assert_str_eq(b->workload_type, "pod");
	ck_assert_str_eq(b->trust_domain, "td");
	ck_assert_str_eq(b->service_account, "sa");
	ck_assert_str_eq(b->services[1], "n/b.test");
	ck_assert_str_eq(b->policies[0], "n/p");
	ck_assert_str_eq(b->waypoint->service, "n/wp.test");
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		many[i] = "n/x.test";
	from.services = many;
	from.n_services = (int)ARRAY_LEN(many);
	c = workload_new_shared(&from, &t);
	ck_assert_ptr_null(c->shared[0]);
	ck_assert_str_eq(c->services[99], "n/x.test");
	workload_unref(b);
	workload_unref(c);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("texts");
	TCase *tc = tcase_create("texts");

	tcase_add_test(tc, same_is_one);
	tcase_add_test(tc, sweep_drops_what_nobody_holds);
	tcase_add_test(tc, workloads_share);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
