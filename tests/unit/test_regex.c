/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <time.h>

#include "base/limits.h"
#include "base/regex.h"
#include "tests/unit/suite.h"

static struct regex *make(const char *pattern)
{
	struct err err = { "" };
	struct regex *r = regex_new(str_c(pattern), &err);

	ck_assert_msg(r != NULL, "%s: %s", pattern, err.msg);
	return r;
}

START_TEST(matches_the_whole_text)
{
	struct regex *r = make("/items/[0-9]+");

	ck_assert(regex_match(r, str_c("/items/12")));
	ck_assert(!regex_match(r, str_c("/items/12/")));
	ck_assert(!regex_match(r, str_c("x/items/12")));
	ck_assert(!regex_match(r, (struct str){ NULL, 0 }));
	ck_assert(!regex_match(r, (struct str){ "/items/1\0", 9 }));
	regex_free(r);
	r = make(".*");
	ck_assert(regex_match(r, (struct str){ NULL, 0 }));
	ck_assert(!regex_match(r, str_c("a\nb")));
	regex_free(r);
	regex_free(NULL);
}
END_TEST

START_TEST(refuses)
{
	static const char *const bad[] = { "(", "a**", "(?=x)", "\\1", "[z-a]", "a{1001}", "(((a{100}){100}){100})" };
	char longest[LIMIT_REGEX_PATTERN + 2];
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		err.msg[0] = '\0';
		ck_assert_msg(regex_new(str_c(bad[i]), &err) == NULL, "%s", bad[i]);
		ck_assert_str_ne(err.msg, "");
	}
	memset(longest, 'a', sizeof(longest));
	ck_assert_ptr_null(regex_new((struct str){ longest, sizeof(longest) - 1 }, &err));
	regex_free(regex_new((struct str){ longest, sizeof(longest) - 2 }, &err));
	ck_assert_ptr_null(regex_new(str_c("(\\pL{1,100}){1,10}"), &err));
	ck_assert_ptr_nonnull(strstr(err.msg, "too"));
}
END_TEST

/* What takes a backtracking engine years. */
START_TEST(takes_linear_time)
{
	struct regex *r = make("(a*)*b");
	struct timespec from, to;
	char text[60000];

	memset(text, 'a', sizeof(text));
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
	ck_assert(!regex_match(r, (struct str){ text, sizeof(text) }));
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
	ck_assert_int_lt(to.tv_sec - from.tv_sec, 3);
	regex_free(r);
}
END_TEST

START_TEST(replaces)
{
	struct regex *r = make("/v[0-9]/(\\w+)");
	struct err err;
	struct str got;

	ck_assert(regex_replace(r, str_c("/v1/a/v2/b/c"), str_c("/\\1"), 100, &got));
	ck_assert_str_eq(got.p, "/a/b/c");
	ck_assert_uint_eq(got.n, 6);
	free((char *)got.p);
	ck_assert(!regex_replace(r, str_c("/x"), str_c("/\\1"), 100, &got));
	ck_assert(!regex_replace(r, str_c("/v1/a"), str_c("/\\1\\1\\1"), 3, &got));
	ck_assert(regex_rewrite_ok(r, str_c("\\0 \\1 \\\\"), &err));
	ck_assert(!regex_rewrite_ok(r, str_c("\\2"), &err));
	ck_assert(!regex_rewrite_ok(r, str_c("\\x"), &err));
	regex_free(r);
}
END_TEST

START_TEST(matches_a_set)
{
	struct str p[100];
	char text[100][24];
	struct regex_set *s;
	uint64_t hits[2] = { 0, 0 };

	for (int i = 0; i < 100; i++) {
		snprintf(text[i], sizeof(text[i]), "/a%d/.*", i);
		p[i] = str_c(text[i]);
	}
	p[99] = str_c(".*/x");
	s = regex_set_new(p, 100);
	ck_assert_ptr_nonnull(s);
	ck_assert(regex_set_match(s, str_c("/a70/x"), hits));
	ck_assert(hits[0] == 0 && hits[1] == (UINT64_C(1) << (70 - 64) | UINT64_C(1) << (99 - 64)));
	hits[1] = 0;
	ck_assert(regex_set_match(s, str_c("/b"), hits));
	ck_assert(hits[0] == 0 && hits[1] == 0);
	regex_set_free(s);
	regex_set_free(NULL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("regex");
	TCase *t = tcase_create("regex");

	tcase_add_test(t, matches_the_whole_text);
	tcase_add_test(t, refuses);
	tcase_add_test(t, takes_linear_time);
	tcase_add_test(t, replaces);
	tcase_add_test(t, matches_a_set);
	suite_add_tcase(s, t);
	return suite_run(s);
}
