/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/format.h"

#include <stdlib.h>

#include "tests/unit/exchange_fixture.h"
#include "tests/unit/suite.h"

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

static void is(const char *text, const char *wanted)
{
	struct err err = { "" };
	struct format *f = format_parse(str_c(text), &err);
	struct buf out = { 0 };

	ck_assert_msg(f != NULL, "%s: %s", text, err.msg);
	format_write(f, &x, "-", &out);
	ck_assert_msg(str_is(buf_str(&out), wanted), "%s: '%.*s', not '%s'", text, STR_FMT(buf_str(&out)), wanted);
	buf_done(&out);
	format_free(f);
}

static void json_is(const char *text, const char *wanted)
{
	struct format *f = format_parse(str_c(text), NULL);
	struct buf out = { 0 };

	format_json(f, &x, &out);
	ck_assert_msg(str_is(buf_str(&out), wanted), "%s: '%.*s', not '%s'", text, STR_FMT(buf_str(&out)), wanted);
	buf_done(&out);
	format_free(f);
}

static void refused(const char *text, const char *part)
{
	struct err err = { "" };
	struct format *f = format_parse(str_c(text), &err);

	ck_assert_msg(f == NULL, "%s was taken", text);
	ck_assert_msg(strstr(err.msg, part) != NULL, "%s: '%s' lacks '%s'", text, err.msg, part);
}

START_TEST(istio_line)
{
	is(format_default_text,
	   "[2023-11-14T22:13:20.123Z] \"GET /path?q=1&r=&flag HTTP/1.1\" 200 - via_upstream - \"-\" 12 345 7 3 \"-\" \"curl/8\" "
	   "\"11111111-2222-4333-8444-555555555555\" \"reviews:9080\" \"10.0.0.2:9080\" inbound|9080|| 127.0.0.6:51000 10.0.0.2:9080 "
	   "10.0.0.1:40000 outbound_.9080_._.reviews.default.svc.cluster.local default\n");
}
END_TEST

START_TEST(heads)
{
	is("%REQ(user-agent)% %REQ(X-NONE?USER-AGENT):4% %REQ(x-none)%", "curl/8 curl -");
	is("%REQ(:authority)%%REQ(:SCHEME)%", "reviews:9080http");
	is("%RESP(:STATUS)% %RESP(X-Envoy-Upstream-Service-Time)%", "200 3");
	is("%REQ_WITHOUT_QUERY(:PATH)% %PATH(NQ)% %PATH(WQ:ORIG)% %PATH(WQ:ORIG_OR_PATH)%", "/path /path - /path?q=1&r=&flag");
	is("%QUERY_PARAM(q)%|%QUERY_PARAM(r)%|%QUERY_PARAM(none)%", "1||-");
	x.request.path = str_c("/?a=%41%20%2&b");
	is("%QUERY_PARAM(a)%|%QUERY_PARAM(b)%", "A %2|");
	is("%TRACE_ID%", "-");
	is("%TRAILER(X-T)% %UPSTREAM_PROTOCOL% %REQUEST_HEADERS_BYTES%", "- HTTP/2 77");
	x.response_trailers.arena = &x.arena;
	field(&x.response_trailers, "x-t", "1");
	is("%TRAILER(X-T)%%TRAILER(X-N?X-T)%", "11");
	field(&x.request_fields, "traceparent", "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01");
	is("%TRACE_ID%", "0123456789abcdef0123456789abcdef");
}
END_TEST

START_TEST(times)
{
	is("%START_TIME(%s.%3f)% %START_TIME(%Y/%m/%d %H:%M:%S)%", "1700000000.123 2023/11/14 22:13:20");
	is("%START_TIME(%6f)% %START_TIME(%E3S)%", "123456 20.123");
	is("%DURATION% %REQUEST_DURATION% %REQUEST_TX_DURATION% %RESPONSE_DURATION% %RESPONSE_TX_DURATION%", "7 1 2 5 2");
	x.log.up_head_ns = 0;
	is("%RESPONSE_DURATION%", "-");
}
END_TEST

START_TEST(sides)
{
	is("%UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %UPSTREAM_REMOTE_PORT% %UPSTREAM_REQUEST_ATTEMPT_COUNT%", "10.0.0.2 9080 1");
	is("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_LOCAL_PORT%", "10.0.0.1 9080");
	is("%DOWNSTREAM_PEER_URI_SAN% %DOWNSTREAM_PEER_SUBJECT% %DOWNSTREAM_PEER_FINGERPRINT_256%",
	   "spiffe://cluster.local/ns/default/sa/productpage CN=x abc");
	is("%FILTER_STATE(io.istio.peer_principal:PLAIN)%", "spiffe://cluster.local/ns/default/sa/productpage");
	/* The last address of X-Forwarded-For is believed, as Envoy does behind Istio. */
	field(&x.request_fields, "X-Forwarded-For", "192.0.2.1, 192.0.2.7");
	is("%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS%", "192.0.2.7:0 10.0.0.1:40000");
	x.log.upstream = (struct addr){ .port = 0 };
	is("%UPSTREAM_HOST%", "-");
}
END_TEST

START_TEST(failures)
{
	x.log.why = FAIL_CONNECT;
	x.log.details = "upstream_reset_before_response_started{connection failure}";
	x.response.status = 503;
	x.log.upstream_failure = "delayed connect error";
	is("%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_FLAGS_LONG% %RESPONSE_CODE_DETAILS% \"%UPSTREAM_TRANSPORT_FAILURE_REASON%\"",
	   "503 UF UpstreamConnectionFailure upstream_reset_before_response_started{connection_failure} \"delayed connect error\"");
	x.log.retry_limit = x.log.delayed = true;
	is("%RESPONSE_FLAGS%", "DI,URX,UF");
	x.log.why = FAIL_TRY_TIMEOUT;
	is("%RESPONSE_FLAGS%", "DI,URX,UT");
	x.log.why = FAIL_NONE;
	is("%RESPONSE_FLAGS%", "DI,URX");
	x.log.grpc = true;
	x.log.grpc_status = 7;
	is("%GRPC_STATUS% %GRPC_STATUS(NUMBER)% %GRPC_STATUS_NUMBER%", "PermissionDenied 7 7");
}
END_TEST

START_TEST(bytes_have_no_heads)
{
	struct exchange tcp = { .client = &client, .log = { .details = "rbac access denied", .end_ns = 3000000, .start_ns = 1000000 } };

	arena_done(&x.arena);
	x = tcp;
	is("%REQ(:METHOD)% %PROTOCOL% %RESPONSE_CODE% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% %DURATION%",
	   "- - 0 - rbac_access_denied 2");
}
END_TEST

START_TEST(json)
{
	json_is("%RESPONSE_CODE%", "200");
	json_is("%REQ(X-NONE)%", "null");
	json_is("%PROTOCOL%", "\"HTTP/1.1\"");
	json_is("%START_TIME%", "\"2023-11-14T22:13:20.123Z\"");
	json_is("code %RESPONSE_CODE% %REQ(X-NONE)%", "\"code 200 -\"");
	field(&x.request_fields, "x-a", "say \"hi\"\n");
	json_is("%REQ(x-a)%", "\"say \\\"hi\\\"\\n\"");
}
END_TEST

START_TEST(texts)
{
	setenv("FORMAT_TEST", "here", 1);
	is("100%% %ENVIRONMENT(FORMAT_TEST)%%ENVIRONMENT(FORMAT_NONE)%.", "100% here-.");
	is("", "");
	field(&x.request_fields, "x-evil", "a\tb");
	is("%REQ(x-evil)%", "a?b");
	is("%CEL(request.method + ' ' + string(response.code))%", "GET 200");
	is("%CEL(request.headers['x-none'])%", "-");
}
END_TEST

START_TEST(wrong_ones_are_named)
{
	refused("%NOPE%", "%NOPE%");
	refused("%DOWNSTREAM_TLS_VERSION%", "does not have Envoy's operator %DOWNSTREAM_TLS_VERSION%");
	refused("%METADATA(ROUTE:a:b)%", "METADATA");
	refused("100%", "closed");
	refused("%REQ%", "%REQ%");
	refused("%REQ()%", "%REQ%");
	refused("%REQ(a b)%", "%REQ%");
	refused("%REQ(a", "not closed");
	refused("%REQ(a):0%", "length");
	refused("%REQ(a):x%", "length");
	refused("%PROTOCOL(a)%", "nothing");
	refused("%START_TIME(%Q)%", "strftime");
	refused("%FILTER_STATE(wasm.foo)%", "wasm.foo");
	refused("%CEL(request.nope == 'a')%", "request.nope");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("format");
	TCase *t = tcase_create("format");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, istio_line);
	tcase_add_test(t, heads);
	tcase_add_test(t, times);
	tcase_add_test(t, sides);
	tcase_add_test(t, failures);
	tcase_add_test(t, bytes_have_no_heads);
	tcase_add_test(t, json);
	tcase_add_test(t, texts);
	tcase_add_test(t, wrong_ones_are_named);
	suite_add_tcase(s, t);
	return suite_run(s);
}
