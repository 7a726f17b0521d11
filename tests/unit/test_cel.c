/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/cel.h"

#include "tests/unit/exchange_fixture.h"
#include "tests/unit/suite.h"

static struct exchange x;
static struct exchange_client client;

static void setup(void)
{
	exchange_fixture(&x, &client);
	field(&x.request_fields, "x-team", "blue");
}

static void teardown(void)
{
	arena_done(&x.arena);
}

static const struct { const char *text; bool holds; } rows[] = {
	{ "true", true }, { "!true", false }, { "!!true", true }, { "'true'", false },
	{ "response.code == 200", true }, { "response.code >= 500", false }, { "response.code >= 400 || request.method == 'GET'", true },
	{ "response.code < 201 && response.code > 199", true }, { "response.code != 200", false },
	{ "request.url_path == '/path'", true }, { "request.path.startsWith('/path?')", true }, { "request.query == \"q=1&r=&flag\"", true },
	{ "request.url_path.matches('^/p.th$')", true }, { "request.url_path.matches('at')", true }, { "request.url_path.matches('^at')", false },
	{ "request.host.endsWith(':9080') && request.scheme == 'http'", true }, { "request.useragent.contains('url')", true },
	{ "request.headers['x-team'] == 'blue'", true }, { "request.headers['X-Team'] == 'blue'", true }, { "request.headers.none == 'blue'", false },
	{ "has(request.headers['x-team'])", true }, { "has(request.headers.none)", false }, { "!has(request.headers['none'])", true },
	{ "'x-team' in request.headers", true }, { "'X-Team' in request.headers", true }, { "'none' in request.headers", false },
	{ "request.method in ['POST', 'GET']", true }, { "response.code in [404, 503]", false }, { "request.method in []", false },
	{ "connection.mtls", true }, { "connection.mtls == false", false },
	{ "connection.uri_san_peer_certificate == 'spiffe://cluster.local/ns/default/sa/productpage'", true },
	{ "connection.requested_server_name.startsWith('outbound')", true },
	{ "source.address == '10.0.0.1:40000' && source.port == 40000 && destination.port == 9080", true },
	{ "upstream.address == '10.0.0.2:9080' && xds.cluster_name == 'inbound|9080||'", true },
	{ "request.duration > duration('5ms')", true }, { "request.duration > duration('1s')", false },
	{ "request.size == 12 && response.size == 345", true }, { "size(request.method) == 3", true }, { "request.method.size() == 3", true },
	{ "size([1, 2]) == 2", true }, { "int('12') + 1 == 13", true }, { "string(response.code) + 'x' == '200x'", true },
	{ "response.code == 200 ? true : false", true }, { "(false || false) || (true && true)", true }, { "1.5 < 2", true }, { "-1 < 0", true },
	/* An error decides nothing, and does not hide what the other side says. */
	{ "request.headers['none'] == 'a' || true", true }, { "true || request.headers['none'] == 'a'", true },
	{ "request.headers['none'] == 'a' && true", false }, { "!(request.headers['none'] == 'a')", false },
	{ "'a' < 1", false }, { "'a' == 1", false }, { "'a' != 1", true }, { "response.code + 'a' == '1'", false },
	{ "response.grpc_status == 0", false }, { "9223372036854775807 + 1 == 0", false },
};

START_TEST(row)
{
	struct err err = { "" };
	struct cel *c = NULL;

	ck_assert_msg(cel_parse(str_c(rows[_i].text), &c, &err) == 0, "%s: %s", rows[_i].text, err.msg);
	ck_assert_msg(cel_match(c, &x) == rows[_i].holds, "%s", rows[_i].text);
	cel_free(c);
}
END_TEST

static const struct { const char *text, *part; } wrong[] = {
	{ "", "something is wanted" }, { "a", "no attribute a" }, { "request.nope == 1", "request.nope" }, { "metadata.filter_metadata['a']", "metadata.filter_metadata" },
	{ "response.flags == 1", "response.flags" }, { "foo(1)", "no function foo" }, { "request.path.foo('a')", "foo" }, { "1 ==", "something is wanted" },
	{ "(1", "')' is wanted" }, { "[1", "']' is wanted" }, { "'a", "not closed" }, { "1 2", "nothing more" }, { "request.method in 'GET'", "a list" },
	{ "request.path.matches('(')", "(" }, { "request.path.matches(request.host)", "literal pattern" }, { "true ? 1", "':' is wanted" },
	{ "duration('x') == 1", "duration" }, { "has(1)", "has()" }, { "request.headers[request.path] == 'a'", "literal key" },
	{ "((((((((((((((((((((((((((((((((((((((((((((1))))))))))))))))))))))))))))))))))))))))))))", "deeply" },
	{ "!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!true", "deeply" },
};

START_TEST(refused)
{
	struct err err = { "" };
	struct cel *c = NULL;

	ck_assert_msg(cel_parse(str_c(wrong[_i].text), &c, &err) < 0, "%s was taken", wrong[_i].text);
	ck_assert_msg(strstr(err.msg, wrong[_i].part) != NULL, "%s: '%s' lacks '%s'", wrong[_i].text, err.msg, wrong[_i].part);
	ck_assert(c == NULL);
}
END_TEST

START_TEST(as_text)
{
	static const struct { const char *text, *value; } t[] = {
		{ "request.method", "GET" }, { "response.code", "200" }, { "connection.mtls", "true" }, { "response.grpc_status", "2" },
		{ "'a' + request.method + 'b'", "aGETb" }, { "request.headers['none']", NULL }, { "null", NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		char scratch[64];
		struct cel *c = NULL;
		struct str s;

		ck_assert_int_eq(cel_parse(str_c(t[i].text), &c, NULL), 0);
		s = cel_text(c, &x, scratch, sizeof(scratch));
		ck_assert_msg(t[i].value ? str_is(s, t[i].value) : !s.p, "%s: %.*s", t[i].text, STR_FMT(s));
		cel_free(c);
	}
}
END_TEST

START_TEST(long_texts_do_not_fit)
{
	char scratch[8];
	struct cel *c = NULL;

	ck_assert_int_eq(cel_parse(str_c("request.path + request.path"), &c, NULL), 0);
	ck_assert_ptr_null(cel_text(c, &x, scratch, sizeof(scratch)).p);
	cel_free(c);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("cel");
	TCase *t = tcase_create("cel");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, row, 0, ARRAY_LEN(rows));
	tcase_add_loop_test(t, refused, 0, ARRAY_LEN(wrong));
	tcase_add_test(t, as_text);
	tcase_add_test(t, long_texts_do_not_fit);
	suite_add_tcase(s, t);
	return suite_run(s);
}
