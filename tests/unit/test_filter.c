/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/filter.h"

#include <stdlib.h>

#include "telemetry/span_int.h"
#include "telemetry/why.h"
#include "tests/unit/exchange_fixture.h"
#include "tests/unit/suite.h"
#include "tests/unit/teleconf_fixture.h"

static struct exchange x;
static struct exchange_client client;
static struct teleconf *conf;
static struct mesh_config *config;
static void *state;

/* The mesh with `config`, as a test has changed it. */
static void compile(void)
{
	mesh_fixture(config, NULL, 0);
	client.peer_workload = productpage;
	client.local_workload = reviews;
	conf = teleconf_of(reviews);
}

static void setup(void)
{
	config = config_fixture();
	exchange_fixture(&x, &client);
	state = calloc(1, telemetry_filter.state_bytes);
}

static void teardown(void)
{
	arena_done(&x.arena);
	teleconf_unref(conf);
	conf = NULL;
	free(state);
	span_stop();
}

static void request(bool inbound)
{
	client.inbound = inbound;
	ck_assert_int_eq(telemetry_filter.on_request(&x, state, teleconf_side(conf, inbound)), FILTER_NEXT);
}

static void response(bool inbound)
{
	ck_assert_int_eq(telemetry_filter.on_response(&x, state, teleconf_side(conf, inbound)), FILTER_NEXT);
}

static void end(bool inbound)
{
	telemetry_filter.on_end(&x, state, teleconf_side(conf, inbound));
}

static void sent(const char *name, const char *value)
{
	struct str s = fields_get(&x.request_fields, name);

	ck_assert_msg(value ? str_is(s, value) : !s.p, "%s: '%.*s', not '%s'", name, STR_FMT(s), value ? value : "absent");
}

static void answered(const char *name, const char *value)
{
	struct str s = fields_get(&x.response_fields, name);

	ck_assert_msg(value ? str_is(s, value) : !s.p, "%s: '%.*s', not '%s'", name, STR_FMT(s), value ? value : "absent");
}

START_TEST(inbound)
{
	compile();
	field(&x.request_fields, "x-envoy-attempt-count", "2");
	request(true);
	sent("x-request-id", "11111111-2222-4333-8444-555555555555");
	sent("x-envoy-attempt-count", "2");
	sent("traceparent", NULL);
	field(&x.response_fields, "server", "gunicorn");
	response(true);
	answered("server", "istio-envoy");
	answered("x-envoy-upstream-service-time", "4");
}
END_TEST

START_TEST(outbound)
{
	compile();
	x.request_fields.n = 0;
	request(false);
	sent("x-envoy-attempt-count", "1");
	ck_assert_int_eq((int)fields_get(&x.request_fields, "x-request-id").n, 36);
	response(false);
	answered("server", "envoy");
}
END_TEST

START_TEST(proxy_headers)
{
	struct proxy_headers *h = &config->proxy.headers;

	h->server_disabled = h->request_id_disabled = h->attempt_count_disabled = h->envoy_debug_disabled = OPT_YES;
	h->forwarded_host_enabled = h->details.chain = OPT_YES;
	compile();
	x.request_fields.n = x.response_fields.n = 0;
	field(&x.response_fields, "server", "gunicorn");
	request(true);
	ck_assert_ptr_nonnull(strstr(reports, "xForwardedHost"));
	ck_assert_ptr_nonnull(strstr(reports, "cert and chain"));
	sent("x-request-id", NULL);
	response(true);
	answered("server", "gunicorn");
	answered("x-envoy-upstream-service-time", NULL);
	request(false);
	sent("x-envoy-attempt-count", NULL);
}
END_TEST

START_TEST(answers_of_our_own)
{
	compile();
	x.response_fields.n = 0;
	x.log.why = FAIL_DENIED;
	x.log.up_head_ns = 0;
	x.response.status = 403;
	request(true);
	response(true);
	answered("server", "istio-envoy");
	answered("x-envoy-upstream-service-time", NULL);
}
END_TEST

START_TEST(sampling_goes_with_the_request_id)
{
	config->proxy.tracing.sampling = (struct opt_double){ 100, true };
	compile();
	request(true);
	sent("x-request-id", "11111111-2222-9333-8444-555555555555");
	/* Decided already. */
	fields_set(&x.request_fields, "x-request-id", str_c("11111111-2222-a333-8444-555555555555"));
	request(true);
	sent("x-request-id", "11111111-2222-a333-8444-555555555555");
	fields_set(&x.request_fields, "x-request-id", str_c("mine"));
	request(true);
	sent("x-request-id", "mine");
	teleconf_unref(conf);
	config = config_fixture();
	config->proxy.tracing.sampling = (struct opt_double){ 0, true };
	compile();
	fields_set(&x.request_fields, "x-request-id", str_c("11111111-2222-4333-8444-555555555555"));
	request(true);
	sent("x-request-id", "11111111-2222-4333-8444-555555555555");
}
END_TEST

START_TEST(refusals_are_remembered)
{
	struct buf out = { 0 };

	compile();
	request(true);
	x.log.why = FAIL_NO_ROUTE;
	x.log.details = "route_not_found";
	x.response.status = 404;
	end(true);
	ck_assert(x.log.id == UINT64_C(0x1111111122224333));
	ck_assert(why_id_parse(str_c("11111111-2222-4333-8444-555555555555")) == x.log.id);
	ck_assert_int_eq(why_write_text(x.log.id, 0, &out), 1);
	buf_append(&out, "", 1);
	ck_assert_msg(strstr((char *)buf_data(&out), "GET reviews:9080/path?q=1") && strstr((char *)buf_data(&out), "404") &&
		      strstr((char *)buf_data(&out), "11111111-2222-4333-8444-555555555555"), "%s", (char *)buf_data(&out));
	buf_done(&out);
	ck_assert_int_eq(why_write_json(x.log.id, 0, &out), 1);
	buf_append(&out, "", 1);
	ck_assert_msg(strstr((char *)buf_data(&out), "\"responseFlags\": \"NR\"") && strstr((char *)buf_data(&out), "\"host\": \"reviews:9080\""), "%s",
		      (char *)buf_data(&out));
	buf_done(&out);
}
END_TEST

START_TEST(what_is_no_refusal)
{
	static const enum fail fine[] = { FAIL_NONE, FAIL_CLIENT_RESET, FAIL_DIRECT, FAIL_CORS, FAIL_DRAIN };

	compile();
	request(true);
	for (size_t i = 0; i < ARRAY_LEN(fine); i++) {
		x.log.why = fine[i];
		end(true);
		ck_assert(x.log.id == 0);
	}
}
END_TEST

START_TEST(bad_ids_name_nothing)
{
	ck_assert(why_id_parse(str_c("")) == 0);
	ck_assert(why_id_parse(str_c("11111111222243338")) == 0);
	ck_assert(why_id_parse(str_c("1111111x22224333")) == 0);
	ck_assert(why_id_parse(str_c("1111111122224333")) == UINT64_C(0x1111111122224333));
}
END_TEST

/* ---- spans ---- */

static void with_collector(double percent)
{
	static struct tele_provider provider = { .name = "otel", .kind = TELE_OPENTELEMETRY, .what = "opentelemetry", .service = "collector", .port = 4317 };
	static const char *names[] = { "otel" };
	static struct tele_custom tags[] = {
		{ "lit", TELE_LITERAL, "100%", "" }, { "team", TELE_HEADER, "x-team", "nobody" }, { "code", TELE_FORMATTER, "%RESPONSE_CODE%!", "" },
	};

	config->tele.providers.v = &provider;
	config->tele.providers.n = 1;
	config->tele.default_tracing.v = names;
	config->tele.default_tracing.n = 1;
	config->proxy.tracing.tags.v = tags;
	config->proxy.tracing.tags.n = 3;
	config->proxy.tracing.sampling = (struct opt_double){ percent, true };
	compile();
	span_start(0);
}

static Otlp__Span *taken(void)
{
	struct span *s = span_take();
	Otlp__Span *o = s ? otlp__span__unpack(NULL, s->n, s->bytes) : NULL;

	if (s)
		span_free(s, true);
	return o;
}

static const char *attribute(const Otlp__Span *o, const char *key)
{
	for (size_t i = 0; i < o->n_attributes; i++)
		if (strcmp(o->attributes[i]->key, key) == 0)
			return o->attributes[i]->value->string_value;
	return "";
}

START_TEST(a_span)
{
	Otlp__Span *o;

	with_collector(100);
	x.log.operation = str_c("reviews.default.svc.cluster.local:9080/*");
	x.log.shadow[1] = (struct exchange_shadow){ .known = true, .policy = "ns[a]-policy[b]-rule[0]" };
	request(false);
	end(false);
	o = taken();
	ck_assert_ptr_nonnull(o);
	ck_assert_str_eq(o->name, "reviews.default.svc.cluster.local:9080/*");
	ck_assert_int_eq(o->kind, OTLP__SPAN__KIND__CLIENT);
	ck_assert_int_eq((int)o->parent_span_id.len, 0);
	ck_assert_str_eq(attribute(o, "http.url"), "http://reviews:9080/path?q=1&r=&flag");
	ck_assert_str_eq(attribute(o, "http.status_code"), "200");
	ck_assert_str_eq(attribute(o, "guid:x-request-id"), "11111111-2222-9333-8444-555555555555");
	ck_assert_str_eq(attribute(o, "istio.canonical_service"), "reviews");
	ck_assert_str_eq(attribute(o, "lit"), "100%");
	ck_assert_str_eq(attribute(o, "team"), "nobody");
	ck_assert_str_eq(attribute(o, "code"), "200!");
	ck_assert_str_eq(attribute(o, "istio.authorization.dry_run.deny_policy.name"), "ns[a]-policy[b]-rule[0]");
	ck_assert_str_eq(attribute(o, "istio.authorization.dry_run.deny_policy.result"), "denied");
	ck_assert_str_eq(attribute(o, "istio.authorization.dry_run.allow_policy.result"), "");
	ck_assert_str_eq(attribute(o, "error"), "");
	ck_assert(o->end_time_unix_nano - o->start_time_unix_nano == 7900000);
	otlp__span__free_unpacked(o, NULL);
}
END_TEST

START_TEST(a_server_span_joins)
{
	Otlp__Span *o;

	with_collector(0);
	field(&x.request_fields, "traceparent", "00-0123456789abcdef0123456789abcdef-fedcba9876543210-01");
	field(&x.request_fields, "x-envoy-decorator-operation", "reviews:9080/*");
	field(&x.request_fields, "x-team", "blue");
	request(true);
	sent("x-envoy-decorator-operation", NULL);
	x.response.status = 503;
	x.log.why = FAIL_TIMEOUT;
	end(true);
	o = taken();
	ck_assert_ptr_nonnull(o);
	ck_assert_str_eq(o->name, "reviews:9080/*");
	ck_assert_int_eq(o->kind, OTLP__SPAN__KIND__SERVER);
	ck_assert_int_eq(o->parent_span_id.data[0], 0xfe);
	ck_assert_str_eq(attribute(o, "team"), "blue");
	ck_assert_str_eq(attribute(o, "response_flags"), "UT");
	ck_assert_str_eq(attribute(o, "error"), "true");
	ck_assert_int_eq(o->status->code, OTLP__STATUS__CODE__ERROR);
	otlp__span__free_unpacked(o, NULL);
}
END_TEST

/* Its other end is the server that was chosen. */
START_TEST(a_waypoints_span)
{
	Otlp__Span *o;

	fixture_mode = MODE_WAYPOINT;
	with_collector(100);
	fixture_mode = MODE_SIDECAR;
	client.local_workload = productpage;
	x.log.upstream_workload = reviews;
	request(true);
	end(true);
	o = taken();
	ck_assert_ptr_nonnull(o);
	ck_assert_int_eq(o->kind, OTLP__SPAN__KIND__SERVER);
	ck_assert_str_eq(attribute(o, "source_workload"), "productpage");
	ck_assert_str_eq(attribute(o, "destination_workload"), "reviews");
	ck_assert_str_eq(attribute(o, "istio.canonical_service"), "productpage");
	otlp__span__free_unpacked(o, NULL);
}
END_TEST

START_TEST(unsampled_ones_go_on_without_a_span)
{
	with_collector(0);
	request(false);
	ck_assert(str_ends(fields_get(&x.request_fields, "traceparent"), str_c("-00")));
	end(false);
	ck_assert_ptr_null(taken());
}
END_TEST

START_TEST(traces_that_are_not_passed_on)
{
	struct telemetry *t = telemetry_fixture("default", "t");
	static struct tele_tracing quiet = { .disable_propagation = OPT_YES };

	with_collector(100);
	t->tracing.v = &quiet;
	t->tracing.n = 1;
	teleconf_unref(conf);
	{
		struct mesh_edit *e = mesh_edit_begin();

		mesh_put_resource(e, &t->r);
		mesh_edit_publish(e);
	}
	conf = teleconf_of(reviews);
	request(false);
	sent("traceparent", NULL);
	end(false);
	otlp__span__free_unpacked(taken(), NULL);
	ck_assert_uint_eq(x.log.trace_id.n, 32);
}
END_TEST

START_TEST(messages_are_counted)
{
	static const uint8_t two[] = { 0, 0, 0, 0, 2, 'h', 'i', 0, 0, 0, 0, 0 };
	struct iovec iov;

	compile();
	x.log.grpc = true;
	x.log.grpc_status = 0;
	request(true);
	for (size_t i = 0; i < sizeof(two); i++) {
		iov = (struct iovec){ (void *)&two[i], 1 };
		telemetry_filter.on_data(&x, state, NULL, true, &iov, 1);
	}
	iov = (struct iovec){ (void *)two, sizeof(two) };
	telemetry_filter.on_data(&x, state, NULL, false, &iov, 1);
	ck_assert_int_eq(((uint64_t *)state)[0], 2);
	end(true);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("filter");
	TCase *t = tcase_create("filter");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, inbound);
	tcase_add_test(t, outbound);
	tcase_add_test(t, proxy_headers);
	tcase_add_test(t, answers_of_our_own);
	tcase_add_test(t, sampling_goes_with_the_request_id);
	tcase_add_test(t, refusals_are_remembered);
	tcase_add_test(t, what_is_no_refusal);
	tcase_add_test(t, bad_ids_name_nothing);
	tcase_add_test(t, a_span);
	tcase_add_test(t, a_server_span_joins);
	tcase_add_test(t, a_waypoints_span);
	tcase_add_test(t, unsampled_ones_go_on_without_a_span);
	tcase_add_test(t, traces_that_are_not_passed_on);
	tcase_add_test(t, messages_are_counted);
	suite_add_tcase(s, t);
	return suite_run(s);
}
