/* SPDX-License-Identifier: Apache-2.0 */
#include "http/xfcc.h"
#include "tests/unit/suite.h"

#define WP "spiffe://td/ns/way/sa/wp"

static const struct { const char *in, *caller; } values[] = {
	{ "By=" WP ";URI=spiffe://td/ns/a/sa/b", "spiffe://td/ns/a/sa/b" }, { "URI=spiffe://td/ns/a/sa/b;By=" WP, "spiffe://td/ns/a/sa/b" },
	{ "by=" WP ";uri=spiffe://x", "spiffe://x" }, { "By=" WP ";Hash=ab;Subject=\"CN=a,O=b;URI=spiffe://y\";URI=spiffe://x", "spiffe://x" },
	{ "By=spiffe://first;URI=spiffe://y,By=" WP ";URI=spiffe://x", "spiffe://x" },          /* the last proxy's word */
	{ "By=" WP ";URI=spiffe://x,By=spiffe://other;URI=spiffe://y", "" }, { "By=" WP ";URI=spiffe://x,", "" }, { "By=" WP ";URI=spiffe://x,spiffe://y", "" },
	{ "URI=spiffe://td/ns/a/sa/b", "" }, { "By=" WP, "" }, { "By=spiffe://td/ns/way/sa/other;URI=spiffe://x", "" }, { "By=;URI=spiffe://x", "" },
	{ "By=" WP ";By=" WP ";URI=spiffe://x", "" }, { "By=" WP ";URI=spiffe://x;URI=spiffe://y", "" }, { "By=" WP ";URI=https://x", "" },
	{ "By=" WP ";URI=spiffe://", "" }, { "By=" WP ";URI=\"spiffe://x\"", "" }, { "By=" WP ";URI=spiffe://x ", "" }, { "By=" WP ";URI=spiffe://\xc3", "" },
	{ "By=" WP ";Subject=\"URI=spiffe://x", "" }, { "By=" WP ";Subject=\"a\\\";URI=spiffe://y\";URI=spiffe://x", "spiffe://x" },
	{ "", "" }, { ";;", "" }, { "=", "" }, { ",", "" }, { "\"", "" }, { "\\", "" },
};

START_TEST(names_caller)
{
	ck_assert(str_is(xfcc_caller(str_c(values[_i].in), str_c(WP)), values[_i].caller));
	ck_assert(!xfcc_caller(str_c(values[_i].in), str_c("")).n);
}
END_TEST

START_TEST(round_trip)
{
	struct buf out = { 0 };

	xfcc_format(str_c(WP), str_c("spiffe://td/ns/a/sa/b"), &out);
	ck_assert(str_is(xfcc_caller(buf_str(&out), str_c(WP)), "spiffe://td/ns/a/sa/b"));
	buf_done(&out);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("xfcc");
	TCase *t = tcase_create("xfcc");

	tcase_add_loop_test(t, names_caller, 0, ARRAY_LEN(values));
	tcase_add_test(t, round_trip);
	suite_add_tcase(s, t);
	return suite_run(s);
}
