/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "suite.h"
#include "telemetry/refusal.h"

static void put(const struct refusal_cause *c, void *arg)
{
	buf_printf(arg, "%s %llu\n", c->cause, (unsigned long long)c->n);
	ck_assert(*c->reason);
}

static void expect(const char *want)
{
	struct buf out = { 0 };
	char *text;

	refusals_each(put, &out);
	text = buf_len(&out) ? str_dup(buf_str(&out)) : xstrdup("");
	ck_assert_str_eq(text, want);
	free(text);
	buf_done(&out);
}

/* What went wrong is no refusal; what policies know more of has a cause of its own. */
START_TEST(counts_by_cause)
{
	expect("");
	refusal_count(FAIL_NONE, REFUSAL_OTHER);
	refusal_count(FAIL_CONNECT, REFUSAL_OTHER);
	refusal_count(FAIL_CLIENT_RESET, REFUSAL_RULE);
	expect("");
	refusal_count(FAIL_NO_WAYPOINT, REFUSAL_OTHER);
	refusal_count(FAIL_NO_WAYPOINT, REFUSAL_OTHER);
	refusal_count(FAIL_NO_WAYPOINT, REFUSAL_RULE);        /* of DENIED alone */
	refusal_count(FAIL_DENIED, REFUSAL_BLIND);
	refusal_count(FAIL_DENIED, REFUSAL_BLIND);
	refusal_count(FAIL_DENIED, REFUSAL_OTHER);
	expect("NO_WAYPOINT 3\nDENIED_BLIND 2\nDENIED 1\n");
}
END_TEST

START_TEST(each_denial_has_a_name)
{
	struct buf out = { 0 };
	char *text;

	for (int i = REFUSAL_OTHER; i < REFUSALS; i++)
		refusal_count(i == REFUSAL_UNASKED ? FAIL_EXT_DENIED : FAIL_DENIED, i);
	refusals_each(put, &out);
	text = str_dup(buf_str(&out));
	for (const char *p = text, *e; (e = strchr(p, '\n')); p = e + 1)
		ck_assert_msg(!strncmp(p, "DENIED", 6) || !strncmp(p, "EXT_NOT_ASKED 1\n", 16), "%s", text);
	free(text);
	buf_done(&out);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("refusal");
	TCase *t = tcase_create("refusal");

	tcase_add_test(t, counts_by_cause);
	tcase_add_test(t, each_denial_has_a_name);
	suite_add_tcase(s, t);
	return suite_run(s);
}
