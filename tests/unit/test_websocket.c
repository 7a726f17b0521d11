/* SPDX-License-Identifier: Apache-2.0 */
#include "http/exchange_int.h"
#include "tests/unit/suite.h"

static struct ex e;
static struct http_fields *request = &e.x.request_fields, *response = &e.x.response_fields;

static void setup(void)
{
	e = (struct ex){ .x = { .version = HTTP_1_1, .request = { .upgrade = { "WebSocket", 9 } }, .response = { .status = 101 } } };
	request->arena = response->arena = &e.x.arena;
}

static void teardown(void)
{
	arena_done(&e.x.arena);
}

/* RFC 6455 1.3 */
START_TEST(the_rfcs_example)
{
	struct http_head head = e.x.request;

	fields_add(request, "Sec-WebSocket-Key", str_c("dGhlIHNhbXBsZSBub25jZQ=="));
	websocket_request(&e, &head, true);
	ck_assert(str_is(head.upgrade, "WebSocket"));
	websocket_response(&e);
	ck_assert(str_is(fields_get(response, "sec-websocket-accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
	ck_assert(str_is(e.x.response.upgrade, "WebSocket"));
}
END_TEST

START_TEST(a_servers_own_word_stays)
{
	fields_add(request, "sec-websocket-key", str_c("k"));
	fields_add(response, "sec-websocket-accept", str_c("its"));
	websocket_response(&e);
	ck_assert_int_eq(response->n, 1);
	ck_assert(str_is(response->v[0].value, "its"));
}
END_TEST

START_TEST(keys_for_clients_without)
{
	struct http_head head = e.x.request;
	struct str first;

	e.x.version = HTTP_2;
	websocket_request(&e, &head, false);
	first = fields_get(request, "sec-websocket-key");
	ck_assert_uint_eq(first.n, 24);
	fields_add(response, "sec-websocket-accept", str_c("x"));
	websocket_response(&e);
	ck_assert_int_eq(response->n, 0);
	fields_remove(request, str_c("sec-websocket-key"));
	websocket_request(&e, &head, false);
	ck_assert(!str_eq(first, fields_get(request, "sec-websocket-key")));
}
END_TEST

START_TEST(other_protocols)
{
	struct http_head head = { .upgrade = str_c("foo") };

	websocket_request(&e, &head, false);
	ck_assert(str_is(head.upgrade, "foo") && request->n == 0);
	websocket_request(&e, &head, true);      /* HTTP/2 has no way to say it */
	ck_assert_uint_eq(head.upgrade.n, 0);
	e.x.response.status = 200;
	websocket_response(&e);
	ck_assert(response->n == 0 && !e.x.response.upgrade.n);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("websocket");
	TCase *t = tcase_create("websocket");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, the_rfcs_example);
	tcase_add_test(t, a_servers_own_word_stays);
	tcase_add_test(t, keys_for_clients_without);
	tcase_add_test(t, other_protocols);
	suite_add_tcase(s, t);
	return suite_run(s);
}
