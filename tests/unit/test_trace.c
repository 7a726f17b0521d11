/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/trace.h"

#include "tests/unit/exchange_fixture.h"
#include "tests/unit/suite.h"

#define ID   "0123456789abcdef0123456789abcdef"
#define SPAN "fedcba9876543210"

static struct exchange x;
static struct exchange_client client;

static void setup(void)
{
	exchange_fixture(&x, &client);
}

static void teardown(void)
{
	arena_done(&x.arena);
}

static struct str header(const char *name)
{
	return fields_get(&x.request_fields, name);
}

START_TEST(contexts_are_read)
{
	static const struct { const char *name, *value; bool ok, sampled, decided; } rows[] = {
		{ "traceparent", "00-" ID "-" SPAN "-01", true, true, true }, { "traceparent", "00-" ID "-" SPAN "-00", true, false, true },
		{ "traceparent", "01-" ID "-" SPAN "-03-more", true, true, true }, { "traceparent", "00-" ID "-" SPAN "-01-more", false, false, false },
		{ "traceparent", "ff-" ID "-" SPAN "-01", false, false, false }, { "traceparent", "00-00000000000000000000000000000000-" SPAN "-01", false, false, false },
		{ "traceparent", "00-" ID "-0000000000000000-01", false, false, false }, { "traceparent", "00-" ID "-" SPAN "-0", false, false, false },
		{ "traceparent", "00-" ID "-" SPAN "-0x", false, false, false }, { "traceparent", "", false, false, false },
		{ "traceparent", "00_" ID "-" SPAN "-01", false, false, false }, { "traceparent", "00-x123456789abcdef0123456789abcdef-" SPAN "-01", false, false, false },
		{ "b3", ID "-" SPAN "-1", true, true, true }, { "b3", "0123456789abcdef-" SPAN "-0", true, false, true }, { "b3", ID "-" SPAN, true, false, false },
		{ "b3", ID "-" SPAN "-d-" SPAN, true, true, true }, { "b3", "0", false, false, false }, { "b3", ID, false, false, false },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct trace t;

		x.request_fields.n = 0;
		field(&x.request_fields, rows[i].name, rows[i].value);
		ck_assert_msg(trace_read(&x.request_fields, &t) == rows[i].ok, "%s: %s", rows[i].name, rows[i].value);
		ck_assert_msg(t.sampled == rows[i].sampled && t.decided == rows[i].decided, "%s: %s", rows[i].name, rows[i].value);
	}
}
END_TEST

START_TEST(a_trace_goes_on)
{
	struct trace t;

	field(&x.request_fields, "traceparent", "00-" ID "-" SPAN "-01");
	trace_begin(&t, &x, false, true);
	ck_assert(t.has_parent && t.sampled);
	ck_assert(str_starts(header("traceparent"), str_c("00-" ID "-")) && str_ends(header("traceparent"), str_c("-01")));
	ck_assert(!str_is((struct str){ header("traceparent").p + 36, 16 }, SPAN));
	ck_assert(str_is(x.log.trace_id, ID));
	ck_assert(!header("b3").p);
}
END_TEST

START_TEST(a_decision_is_kept)
{
	struct trace t;

	field(&x.request_fields, "traceparent", "00-" ID "-" SPAN "-00");
	trace_begin(&t, &x, true, true);
	ck_assert(!t.sampled && str_ends(header("traceparent"), str_c("-00")));
}
END_TEST

START_TEST(a_new_one_is_drawn)
{
	struct trace a, b;

	trace_begin(&a, &x, true, true);
	ck_assert(!a.has_parent && a.sampled);
	ck_assert_int_eq((int)header("traceparent").n, 55);
	x.request_fields.n = 0;
	trace_begin(&b, &x, false, true);
	ck_assert(!b.sampled);
	ck_assert_int_ne(memcmp(a.id, b.id, sizeof(a.id)), 0);
}
END_TEST

START_TEST(b3_goes_on_as_it_came)
{
	struct trace t;

	field(&x.request_fields, "b3", ID "-" SPAN "-1");
	trace_begin(&t, &x, false, true);
	ck_assert(str_starts(header("b3"), str_c(ID "-")) && str_ends(header("b3"), str_c("-1")));
	ck_assert(str_starts(header("traceparent"), str_c("00-" ID "-")));
	x.request_fields.n = 0;
	field(&x.request_fields, "X-B3-TraceId", "0123456789abcdef");
	field(&x.request_fields, "X-B3-SpanId", SPAN);
	trace_begin(&t, &x, true, true);
	ck_assert(t.sampled);
	ck_assert(str_is(header("x-b3-traceid"), "00000000000000000123456789abcdef"));
	ck_assert(str_is(header("x-b3-parentspanid"), SPAN));
	ck_assert(str_is(header("x-b3-sampled"), "1"));
}
END_TEST

START_TEST(request_ids)
{
	char text[UUID_BYTES], other[UUID_BYTES];
	struct str id = { text, sizeof(text) };

	uuid_make(text);
	uuid_make(other);
	ck_assert_int_ne(memcmp(text, other, sizeof(text)), 0);
	ck_assert(text[8] == '-' && text[13] == '-' && text[18] == '-' && text[23] == '-' && text[14] == '4');
	ck_assert_int_eq(uuid_reason(id), 'n');
	uuid_set_reason(text, 's');
	ck_assert(text[14] == '9' && uuid_reason(id) == 's');
	ck_assert_int_eq(uuid_reason(str_c("11111111-2222-a333-8444-555555555555")), 'f');
	ck_assert_int_eq(uuid_reason(str_c("11111111-2222-b333-8444-555555555555")), 'c');
	ck_assert_int_eq(uuid_reason(str_c("mine")), 0);
	ck_assert_int_eq(uuid_reason(str_c("1111111122224333844455555555555500000")), 0);
	ck_assert_int_eq(uuid_number(str_c("00002710-2222-4333-8444-555555555555")), 0);
	ck_assert_int_eq(uuid_number(str_c("00000063-2222-4333-8444-555555555555")), 99);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("trace");
	TCase *t = tcase_create("trace");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, contexts_are_read);
	tcase_add_test(t, a_trace_goes_on);
	tcase_add_test(t, a_decision_is_kept);
	tcase_add_test(t, a_new_one_is_drawn);
	tcase_add_test(t, b3_goes_on_as_it_came);
	tcase_add_test(t, request_ids);
	suite_add_tcase(s, t);
	return suite_run(s);
}
