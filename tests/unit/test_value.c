/* SPDX-License-Identifier: Apache-2.0 */
#include "source/value.h"
#include "suite.h"

static const struct { const char *text; bool ok; uint32_t ms; } durations[] = {
	{ "0s", true, 0 }, { "0", true, 0 }, { "1s", true, 1000 }, { "1.5s", true, 1500 }, { "1h2m", true, 3720000 },
	{ "250ms", true, 250 }, { "0.25s", true, 250 }, { ".5s", true, 500 }, { "1m0.001s", true, 60001 }, { "1000us", true, 1 },
	{ "", false, 0 }, { "1", false, 0 }, { "s", false, 0 }, { ".s", false, 0 }, { "0.5ms", false, 0 }, { "1us", false, 0 },
	{ "-1s", false, 0 }, { "1 s", false, 0 }, { "1d", false, 0 }, { "1s ", false, 0 }, { "99999999h", false, 0 },
	{ "9999999999999999999s", false, 0 }, { "1.0000001s", false, 0 }, { "1.2.3s", false, 0 },
};

START_TEST(test_duration)
{
	uint32_t ms = 7;

	ck_assert_msg(value_duration(str_c(durations[_i].text), &ms) == durations[_i].ok, "%s", durations[_i].text);
	ck_assert_uint_eq(ms, durations[_i].ok ? durations[_i].ms : 7);
}
END_TEST

static const struct { const char *text; bool ok; int64_t t; } times[] = {
	{ "1970-01-01T00:00:00Z", true, 0 }, { "2026-01-31T08:00:00Z", true, 1769846400 },
	{ "2026-01-31T10:00:00+02:00", true, 1769846400 }, { "2026-01-31T08:00:00.123456Z", true, 1769846400 },
	{ "2026-01-31T08:00:00", false, 0 }, { "2026-13-31T08:00:00Z", false, 0 }, { "2026-01-31T08:00:00Zx", false, 0 },
	{ "yesterday", false, 0 }, { "", false, 0 }, { "2026-01-31T08:00:00+0200", false, 0 },
};

START_TEST(test_time)
{
	int64_t t = 0;

	ck_assert_msg(value_time(str_c(times[_i].text), &t) == times[_i].ok, "%s", times[_i].text);
	ck_assert_int_eq(t, times[_i].t);
}
END_TEST

static const struct { const char *text; bool number; } numbers[] = {
	{ "1", true }, { "-1", true }, { "+1", true }, { "1.0", true }, { ".5", true }, { "1e3", true }, { "0x1f", true },
	{ "", false }, { "-", false }, { "1.2.3", false }, { "10.0.0.1", false }, { "1a", false }, { "v1", false }, { "e3", false },
	{ "1e", false }, { ".", false },
};

START_TEST(test_number)
{
	ck_assert_msg(value_is_number(str_c(numbers[_i].text)) == numbers[_i].number, "%s", numbers[_i].text);
}
END_TEST

static const struct { const char *text; bool name, label, domain, host; } names[] = {
	{ "a", true, true, true, true }, { "a-b.c", true, false, true, true }, { "", false, false, false, false },
	{ "A", false, false, false, false }, { "a/b", false, false, false, false }, { "-a", false, false, false, false },
	{ "a-", false, false, false, false }, { "a_b", false, false, true, false }, { "a..b", true, false, true, false },
	{ "*.a.com", false, false, false, true }, { "*", false, false, false, false }, { "a.*.com", false, false, false, false },
	{ "a.com.", false, false, false, false }, { ".a", false, false, false, false },
	{ "a1234567890123456789012345678901234567890123456789012345678901234", true, false, true, false },
};

START_TEST(test_name)
{
	ck_assert_msg(value_is_name(names[_i].text) == names[_i].name, "name %s", names[_i].text);
	ck_assert_msg(value_is_label(names[_i].text) == names[_i].label, "label %s", names[_i].text);
	ck_assert_msg(value_is_domain(names[_i].text) == names[_i].domain, "domain %s", names[_i].text);
	ck_assert_msg(value_is_host(names[_i].text) == names[_i].host, "host %s", names[_i].text);
}
END_TEST

static const struct { const char *protocol, *name; uint16_t port; enum port_protocol is; } protocols[] = {
	{ "HTTP", "x", 80, PROTOCOL_HTTP }, { "", "http", 80, PROTOCOL_HTTP }, { "", "http-web", 80, PROTOCOL_HTTP }, { "", "httpx", 80, PROTOCOL_AUTO },
	{ "", "grpc", 80, PROTOCOL_GRPC }, { "", "grpc-web", 80, PROTOCOL_GRPC }, { "", "grpc-web-x", 80, PROTOCOL_GRPC }, { "HTTPS", "http", 80, PROTOCOL_TLS },
	{ "TCP", "http", 80, PROTOCOL_TCP }, { "", "tcp-x", 80, PROTOCOL_TCP }, { "", "mysql", 3307, PROTOCOL_TCP }, { "", "x", 3306, PROTOCOL_TCP },
	{ "", "", 80, PROTOCOL_AUTO }, { "kubernetes.io/h2c", "tcp", 80, PROTOCOL_HTTP2 }, { "bogus", "http", 80, PROTOCOL_AUTO }, { "", "HTTP2-x", 1, PROTOCOL_HTTP2 },
};

START_TEST(test_protocol)
{
	ck_assert_msg(value_port_protocol(protocols[_i].protocol, protocols[_i].name, protocols[_i].port) == protocols[_i].is, "%s %s",
		      protocols[_i].protocol, protocols[_i].name);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("value");
	TCase *t = tcase_create("value");

	tcase_add_loop_test(t, test_duration, 0, ARRAY_LEN(durations));
	tcase_add_loop_test(t, test_time, 0, ARRAY_LEN(times));
	tcase_add_loop_test(t, test_number, 0, ARRAY_LEN(numbers));
	tcase_add_loop_test(t, test_protocol, 0, ARRAY_LEN(protocols));
	tcase_add_loop_test(t, test_name, 0, ARRAY_LEN(names));
	suite_add_tcase(s, t);
	return suite_run(s);
}
