/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/object.h"
#include "tests/unit/suite.h"

static struct workload *make(int i, uint32_t weight)
{
	char uid[32];

	snprintf(uid, sizeof(uid), "c//Pod/n/p-%d", i);
	return workload_new(&(struct workload){ .uid = uid, .weight = weight });
}

static void put(struct endpoints **e, int i, uint32_t weight)
{
	struct endpoint_port port = { 80, (uint16_t)(8000 + i % 2) };
	struct workload *w = make(i, weight);

	endpoints_put(e, w, &port, 1);
	workload_unref(w);
}

static const struct endpoint *find(const struct endpoints *e, int i)
{
	char uid[32];

	snprintf(uid, sizeof(uid), "c//Pod/n/p-%d", i);
	return endpoints_find(e, str_c(uid));
}

static bool del(struct endpoints **e, int i)
{
	char uid[32];

	snprintf(uid, sizeof(uid), "c//Pod/n/p-%d", i);
	return endpoints_del(e, str_c(uid));
}

/* Each is there once, by index and by uid. */
static void check_all(const struct endpoints *e, int from, int to)
{
	bool *seen = calloc((size_t)to, 1);

	ck_assert_int_eq(e->n, to - from);
	for (int i = 0; i < e->n; i++) {
		const struct endpoint *x = endpoints_at(e, i);
		int k = (int)strtol(x->workload->uid + strlen("c//Pod/n/p-"), NULL, 10);

		ck_assert(k >= from && k < to && !seen[k]);
		ck_assert_ptr_eq(find(e, k), x);
		ck_assert_uint_eq(x->ports[0].target, 8000 + k % 2);
		seen[k] = true;
	}
	free(seen);
}

START_TEST(few_keep_their_order)
{
	struct workload *a = make(1, 1), *b = make(2, 9);
	struct endpoint v[] = { { b, NULL, 0, 0 }, { a, &(struct endpoint_port){ 80, 81 }, 1, 0 } };
	struct endpoints *e = endpoints_of(v, 2);

	ck_assert_ptr_eq(endpoints_at(e, 0)->workload, b);
	ck_assert_ptr_eq(endpoints_at(e, 1)->workload, a);
	ck_assert_uint_eq(e->max_weight, 9);
	ck_assert_uint_eq(a->refs, 2);
	endpoints_unref(e);
	ck_assert_uint_eq(a->refs, 1);
	workload_unref(a);
	workload_unref(b);
	endpoints_unref(NULL);
}
END_TEST

START_TEST(grows_and_shrinks)
{
	enum { N = 5000 };
	struct endpoints *e = endpoints_new();

	ck_assert_ptr_null(find(e, 1));
	ck_assert(!del(&e, 1));
	for (int i = 0; i < N; i++) {
		put(&e, i, 1);
		if (i % 997 == 0)
			check_all(e, 0, i + 1);
	}
	check_all(e, 0, N);
	ck_assert_uint_gt(e->n_slots, N / 200);
	for (int i = 0; i < N; i++) {
		ck_assert(del(&e, i));
		ck_assert(!del(&e, i));
		if (i % 997 == 0)
			check_all(e, i + 1, N);
	}
	ck_assert_int_eq(e->n, 0);
	endpoints_unref(e);
}
END_TEST

START_TEST(versions_are_apart)
{
	struct endpoints *e = endpoints_new(), *old;
	struct workload *first;

	for (int i = 0; i < 1000; i++)
		put(&e, i, 1);
	old = endpoints_ref(e);
	first = find(old, 7)->workload;
	put(&e, 7, 5);
	put(&e, 1000, 1);
	ck_assert_ptr_ne(e, old);
	ck_assert_ptr_eq(find(old, 7)->workload, first);
	ck_assert_ptr_ne(find(e, 7)->workload, first);
	ck_assert_int_eq(old->n, 1000);
	ck_assert_int_eq(e->n, 1001);
	ck_assert_uint_eq(e->max_weight, 5);
	ck_assert_uint_eq(old->max_weight, 1);
	del(&e, 3);
	ck_assert_ptr_nonnull(find(old, 3));
	ck_assert_ptr_null(find(e, 3));
	endpoints_unref(e);
	check_all(old, 0, 1000);
	endpoints_unref(old);
}
END_TEST

START_TEST(the_largest_weight)
{
	struct endpoints *e = endpoints_new();

	for (int i = 0; i < 1000; i++)
		put(&e, i, (uint32_t)i);
	ck_assert_uint_eq(e->max_weight, 999);
	put(&e, 999, 0);
	ck_assert_uint_eq(e->max_weight, 998);
	for (int i = 998; i > 1; i--)
		del(&e, i);
	ck_assert_uint_eq(e->max_weight, 1);
	endpoints_unref(e);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("endpoints");
	TCase *tc = tcase_create("endpoints");

	tcase_add_test(tc, few_keep_their_order);
	tcase_add_test(tc, grows_and_shrinks);
	tcase_add_test(tc, versions_are_apart);
	tcase_add_test(tc, the_largest_weight);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
