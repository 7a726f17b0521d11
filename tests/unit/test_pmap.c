/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdlib.h>

#include "base/pmap.h"
#include "base/str.h"
#include "tests/unit/suite.h"

#define N 3000

static int refs[N];      /* of value i; its address is the value */

static void hold(void *v) { ++*(int *)v; }
static void drop(void *v) { --*(int *)v; }
static const struct pmap_values held = { hold, drop };

/* How the hash is made of a value's number: well spread, all alike, alike in low bits, in high bits, pairs. */
static uint64_t spread(uint64_t i) { return hash_bytes(&i, sizeof(i)); }
static uint64_t alike(uint64_t i) { return 42; }
static uint64_t high(uint64_t i) { return i << 52 | 7; }
static uint64_t top(uint64_t i) { return i << 60; }
static uint64_t pairs(uint64_t i) { return spread(i / 2); }
static uint64_t (*const hashes[])(uint64_t i) = { spread, alike, high, top, pairs };

static bool has(const struct pmap *m, uint64_t hash, int i)
{
	struct pmap_run run = pmap_find(m, hash);
	int n = 0;

	for (int k = 0; k < run.n; k++)
		n += run.values[k] == &refs[i];
	ck_assert_int_le(n, 1);
	return n == 1;
}

static bool count_one(void *value, void *arg)
{
	++*(size_t *)arg;
	return true;
}

static bool stop_at_three(void *value, void *arg)
{
	return ++*(size_t *)arg < 3;
}

START_TEST(add_find_del)
{
	uint64_t (*hash)(uint64_t) = hashes[_i];
	int n = hash == alike ? 300 : N;
	struct pmap m = { .values = &held };
	size_t seen = 0;

	ck_assert_int_eq(pmap_find(&m, 1).n, 0);
	for (int i = 0; i < n; i++) {
		refs[i] = 1;
		pmap_add(&m, hash((uint64_t)i), &refs[i]);
	}
	ck_assert_uint_eq(m.len, (size_t)n);
	pmap_each(&m, count_one, &seen);
	ck_assert_uint_eq(seen, (size_t)n);
	seen = 0;
	ck_assert(!pmap_each(&m, stop_at_three, &seen));
	ck_assert_uint_eq(seen, 3);
	for (int i = 0; i < n; i += 3) {
		ck_assert(pmap_del(&m, hash((uint64_t)i), &refs[i]));
		ck_assert(!pmap_del(&m, hash((uint64_t)i), &refs[i]));
	}
	for (int i = 0; i < n; i++) {
		ck_assert_int_eq(has(&m, hash((uint64_t)i), i), i % 3 != 0);
		ck_assert_int_eq(refs[i], i % 3 != 0);
	}
	for (int i = 0; i < n; i++)
		pmap_del(&m, hash((uint64_t)i), &refs[i]);
	ck_assert_uint_eq(m.len, 0);
	ck_assert_ptr_null(m.root);
	for (int i = 0; i < n; i++)
		ck_assert_int_eq(refs[i], 0);
}
END_TEST

/* Many versions, edited at random, each compared with a plain array. */
START_TEST(versions)
{
	enum { VALUES = 200, VERSIONS = 30 };
	uint64_t (*hash)(uint64_t) = hashes[_i];
	static bool model[VERSIONS][VALUES];
	struct pmap m[VERSIONS] = { { .values = &held } };
	unsigned seed = 1;

	memset(model, 0, sizeof(model));
	memset(refs, 0, sizeof(refs));
	for (int v = 0; v < VERSIONS; v++) {
		if (v) {
			int from = (int)(seed % (unsigned)v);

			m[v] = pmap_ref(&m[from]);
			memcpy(model[v], model[from], sizeof(model[v]));
		}
		for (int k = 0; k < 40; k++) {
			int i;

			seed = seed * 1103515245 + 12345;
			i = (int)(seed >> 8) % VALUES;
			if (model[v][i]) {
				ck_assert(pmap_del(&m[v], hash((uint64_t)i), &refs[i]));
			} else {
				refs[i]++;
				pmap_add(&m[v], hash((uint64_t)i), &refs[i]);
			}
			model[v][i] = !model[v][i];
		}
		for (int old = 0; old <= v; old++)
			for (int i = 0; i < VALUES; i++)
				ck_assert_int_eq(has(&m[old], hash((uint64_t)i), i), model[old][i]);
	}
	for (int v = 0; v < VERSIONS; v++)
		pmap_done(&m[(v * 7) % VERSIONS]);
	for (int i = 0; i < VALUES; i++)
		ck_assert_int_eq(refs[i], 0);
}
END_TEST

START_TEST(borrowed_values)
{
	struct pmap a = { 0 }, b;

	pmap_add(&a, 5, &refs[0]);
	b = pmap_ref(&a);
	pmap_add(&b, 5, &refs[1]);
	pmap_del(&a, 5, &refs[0]);
	ck_assert_int_eq(pmap_find(&a, 5).n, 0);
	ck_assert_int_eq(pmap_find(&b, 5).n, 2);
	ck_assert(!pmap_del(&b, 6, &refs[0]));
	pmap_done(&a);
	pmap_done(&b);
	ck_assert_int_eq(pmap_find(&b, 5).n, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("pmap");
	TCase *tc = tcase_create("pmap");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, add_find_del, 0, (int)ARRAY_LEN(hashes));
	tcase_add_loop_test(tc, versions, 0, (int)ARRAY_LEN(hashes));
	tcase_add_test(tc, borrowed_values);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
