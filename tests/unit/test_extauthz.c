/* SPDX-License-Identifier: Apache-2.0 */
#include "ext/extauthz_int.h"

#include <stdlib.h>

#include "http/grpc_frame.h"
#include "proto/ext_authz.pb-c.h"
#include "tests/unit/stages.h"

static struct exchange x;
static struct exchange_client client;
static struct ext_provider provider;

static void start(void)
{
	x = (struct exchange){ .client = &client, .version = HTTP_1_1 };
	x.request_fields.arena = x.response_fields.arena = &x.arena;
	x.request.method = str_c("GET");
	x.request.path = str_c("/a?b=c");
	x.request.authority = str_c("shop");
	fields_add(&x.request_fields, "X-User", str_c("ann"));
	fields_add(&x.request_fields, "X-Other", str_c("o"));
	fields_add(&x.request_fields, "Authorization", str_c("Bearer t"));
	fields_add(&x.request_fields, "x-user", str_c("bob"));
	provider = (struct ext_provider){ .name = "p", .service = "ext.test", .port = 9000, .path_prefix = "" };
}

static void stop(void)
{
	arena_done(&x.arena);
}

static struct str head_get(const struct http_head *h, const char *name)
{
	return http_head_get(h, name);
}

START_TEST(http_question_has_what_is_listed)
{
	static const struct match include[] = { { MATCH_PREFIX, "x-us" } };
	static const struct label add[] = { { "x-from", "meshd" }, { "x-user", "fixed" } };
	struct extauthz_question q;

	provider.include = include;
	provider.n_include = 1;
	provider.add = add;
	provider.n_add = 1;
	provider.path_prefix = "/check";
	extauthz_http_ask(&x, &provider, (struct str){ 0 }, &q);
	ck_assert(str_is(q.head.path, "/check/a?b=c"));
	ck_assert(str_is(q.head.authority, "shop"));
	ck_assert(q.head.end);
	ck_assert(str_is(head_get(&q.head, "authorization"), "Bearer t"));
	ck_assert(str_is(head_get(&q.head, "x-from"), "meshd"));
	ck_assert(head_get(&q.head, "x-other").p == NULL);
	ck_assert_int_eq(q.head.n_fields, 4);        /* both lines of x-user */
	provider.n_add = 2;                          /* a fixed header takes the client's place */
	extauthz_http_ask(&x, &provider, (struct str){ 0 }, &q);
	ck_assert_int_eq(q.head.n_fields, 3);
	ck_assert(str_is(head_get(&q.head, "x-user"), "fixed"));
}
END_TEST

static struct extauthz_answer http_answer(int status, const struct http_field *f, int n)
{
	struct http_head head = { .status = status, .fields = f, .n_fields = n };
	struct urequest_reply r = { .head = &head, .body = str_c("text"), .whole = true, .grpc_status = -1 };
	struct extauthz_answer a;

	extauthz_http_answer(&x, &provider, &r, &a);
	return a;
}

START_TEST(http_answers)
{
	static const struct match up[] = { { MATCH_EXACT, "x-user" } }, down[] = { { MATCH_SUFFIX, "-cookie" } };
	struct http_field f[] = {
		{ str_c("X-User"), str_c("eve") }, { str_c("set-cookie"), str_c("a=b") }, { str_c("set-cookie"), str_c("c=d") },
		{ str_c("location"), str_c("/login") }, { str_c("x-secret"), str_c("s") }, { str_c("content-length"), str_c("9") },
	};
	struct extauthz_answer a;

	provider.up_on_allow = up;
	provider.down_on_allow = provider.down_on_deny = down;
	provider.n_up_on_allow = provider.n_down_on_allow = provider.n_down_on_deny = 1;
	a = http_answer(200, f, ARRAY_LEN(f));
	ck_assert_int_eq(a.verdict, EXTAUTHZ_ALLOWED);
	ck_assert_int_eq(a.request.n, 1);
	ck_assert_int_eq(a.response.n, 2);
	header_edits_apply(&a.request, &x.request_fields);
	ck_assert(str_is(fields_get(&x.request_fields, "x-user"), "eve"));
	a = http_answer(302, f, ARRAY_LEN(f));
	ck_assert_int_eq(a.verdict, EXTAUTHZ_DENIED);
	ck_assert_int_eq(a.status, 302);
	ck_assert(str_is(a.body, "text"));
	ck_assert_int_eq(a.response.n, 3);           /* both cookies, the location */
	provider.n_down_on_deny = 0;                 /* nothing said: all but what frames */
	a = http_answer(403, f, ARRAY_LEN(f));
	ck_assert_int_eq(a.response.n, 5);
	ck_assert_int_eq(http_answer(500, f, 0).verdict, EXTAUTHZ_ERROR);
	ck_assert_int_eq(http_answer(204, f, 0).verdict, EXTAUTHZ_DENIED);
}
END_TEST

static Extauthz__CheckRequest *asked(struct str body)
{
	struct extauthz_question q;
	uint8_t prefix[GRPC_PREFIX_BYTES];

	extauthz_grpc_ask(&x, &provider, body, &q);
	ck_assert(str_is(q.head.path, "/envoy.service.auth.v3.Authorization/Check"));
	ck_assert(str_is(q.head.authority, "ext.test:9000"));
	grpc_frame_prefix(q.body.n - GRPC_PREFIX_BYTES, prefix);
	ck_assert_mem_eq(prefix, q.body.p, GRPC_PREFIX_BYTES);
	return extauthz__check_request__unpack(NULL, q.body.n - GRPC_PREFIX_BYTES, (const uint8_t *)q.body.p + GRPC_PREFIX_BYTES);
}

START_TEST(grpc_question)
{
	Extauthz__CheckRequest *m;
	Extauthz__CheckRequest__Http *h;
	const char *user = NULL;

	client.peer_id = str_c("spiffe://td/ns/a/sa/b");
	m = asked((struct str){ 0 });
	ck_assert_ptr_nonnull(m);
	h = m->attributes->request->http;
	ck_assert_str_eq(m->attributes->source->principal, "spiffe://td/ns/a/sa/b");
	ck_assert_str_eq(h->method, "GET");
	ck_assert_str_eq(h->path, "/a?b=c");
	ck_assert_str_eq(h->protocol, "HTTP/1.1");
	ck_assert_int_eq(h->size, -1);
	for (size_t i = 0; i < h->n_headers; i++)
		if (strcmp(h->headers[i]->key, "x-user") == 0)
			user = h->headers[i]->value;
	ck_assert_str_eq(user, "ann,bob");
	extauthz__check_request__free_unpacked(m, NULL);
	provider.body_bytes = true;
	m = asked((struct str){ "a\0b", 3 });
	ck_assert_int_eq(m->attributes->request->http->raw_body.len, 3);
	ck_assert_int_eq(m->attributes->request->http->size, 3);
	extauthz__check_request__free_unpacked(m, NULL);
}
END_TEST

static struct extauthz_answer grpc_answer(const Extauthz__CheckResponse *m, int grpc_status)
{
	size_t n = extauthz__check_response__get_packed_size(m);
	uint8_t *p = arena_alloc(&x.arena, n + GRPC_PREFIX_BYTES);
	struct http_head head = { .status = 200 };
	struct urequest_reply r = { .head = &head, .body = { (const char *)p, n + GRPC_PREFIX_BYTES }, .whole = true, .grpc_status = grpc_status };
	struct extauthz_answer a;

	grpc_frame_prefix(n, p);
	extauthz__check_response__pack(m, p + GRPC_PREFIX_BYTES);
	extauthz_grpc_answer(&x.arena, &r, &a);
	return a;
}

START_TEST(grpc_answers)
{
	Extauthz__CheckResponse m = EXTAUTHZ__CHECK_RESPONSE__INIT;
	Extauthz__CheckResponse__Ok ok = EXTAUTHZ__CHECK_RESPONSE__OK__INIT;
	Extauthz__CheckResponse__Denied denied = EXTAUTHZ__CHECK_RESPONSE__DENIED__INIT;
	Extauthz__CheckResponse__HttpStatus status = EXTAUTHZ__CHECK_RESPONSE__HTTP_STATUS__INIT;
	Extauthz__HeaderValue value[3] = { EXTAUTHZ__HEADER_VALUE__INIT, EXTAUTHZ__HEADER_VALUE__INIT, EXTAUTHZ__HEADER_VALUE__INIT };
	Extauthz__HeaderOption option[3] = { EXTAUTHZ__HEADER_OPTION__INIT, EXTAUTHZ__HEADER_OPTION__INIT, EXTAUTHZ__HEADER_OPTION__INIT };
	Extauthz__HeaderOption *options[] = { &option[0], &option[1], &option[2] };
	Extauthz__BoolValue yes = { PROTOBUF_C_MESSAGE_INIT(&extauthz__bool_value__descriptor), 1 };
	Pb__Status code = PB__STATUS__INIT;
	char *gone[] = { "x-other" };
	struct extauthz_answer a;

	ck_assert_int_eq(grpc_answer(&m, 0).verdict, EXTAUTHZ_ALLOWED);
	ck_assert_int_eq(grpc_answer(&m, 14).verdict, EXTAUTHZ_ERROR);
	value[0].key = "x-user", value[0].value = "root";
	value[1].key = "x-more", value[1].value = "1";
	value[2].key = "transfer-encoding", value[2].value = "chunked";
	for (int i = 0; i < 3; i++)
		option[i].header = &value[i];
	option[1].append = &yes;
	ok.headers = options;
	ok.n_headers = 3;
	ok.headers_to_remove = gone;
	ok.n_headers_to_remove = 1;
	m.ok_response = &ok;
	a = grpc_answer(&m, 0);
	ck_assert_int_eq(a.request.n, 3);            /* no framing by strangers */
	header_edits_apply(&a.request, &x.request_fields);
	ck_assert(str_is(fields_get(&x.request_fields, "x-user"), "root"));
	ck_assert(str_is(fields_get(&x.request_fields, "x-more"), "1"));
	ck_assert(fields_get(&x.request_fields, "x-other").p == NULL);
	code.code = 7;
	m.status = &code;
	m.ok_response = NULL;
	ck_assert_int_eq(grpc_answer(&m, 0).status, 403);
	status.code = 401;
	denied.status = &status;
	denied.body = "who?";
	m.denied_response = &denied;
	a = grpc_answer(&m, 0);
	ck_assert_int_eq(a.verdict, EXTAUTHZ_DENIED);
	ck_assert_int_eq(a.status, 401);
	ck_assert(str_is(a.body, "who?"));
	status.code = 99;
	ck_assert_int_eq(grpc_answer(&m, 0).status, 403);
}
END_TEST

START_TEST(grpc_answers_that_are_none)
{
	struct http_head head = { .status = 200 };
	struct urequest_reply r = { .head = &head, .body = { "\0\0\0\0\5abc", 8 } };
	struct extauthz_answer a;

	extauthz_grpc_answer(&x.arena, &r, &a);
	ck_assert_int_eq(a.verdict, EXTAUTHZ_ERROR);
	r.body = (struct str){ "\1\0\0\0\0", 5 };
	extauthz_grpc_answer(&x.arena, &r, &a);
	ck_assert_int_eq(a.verdict, EXTAUTHZ_ERROR);
	r.body = (struct str){ 0 };
	extauthz_grpc_answer(&x.arena, &r, &a);
	ck_assert_int_eq(a.verdict, EXTAUTHZ_ERROR);
	head.status = 404;
	r.grpc_status = -1;
	extauthz_grpc_answer(&x.arena, &r, &a);
	ck_assert_int_eq(a.verdict, EXTAUTHZ_ERROR);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("extauthz");
	TCase *t = tcase_create("extauthz");

	tcase_add_checked_fixture(t, start, stop);
	tcase_add_test(t, http_question_has_what_is_listed);
	tcase_add_test(t, http_answers);
	tcase_add_test(t, grpc_question);
	tcase_add_test(t, grpc_answers);
	tcase_add_test(t, grpc_answers_that_are_none);
	suite_add_tcase(s, t);
	return suite_run(s);
}
