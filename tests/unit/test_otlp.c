/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/otlp.h"

#include <pthread.h>

#include "base/log.h"
#include "http/grpc_frame.h"
#include "proto/otlp.pb-c.h"
#include "telemetry/span.h"
#include "tests/unit/h2peer.h"

static struct loop *l;
static struct h2peer peer;
static struct otlp *o;
static struct flow_metrics *metrics;
static char endpoint[64];

static const struct otlp_pair resource[] = { { "deployment.environment", "test" }, { "service.name", "not this one" } };
static const struct otlp_pair headers[] = { { "X-Tenant", "me" } };

static void open_exporter(double ratio)
{
	struct err err = { .msg = "" };

	snprintf(endpoint, sizeof(endpoint), "http://127.0.0.1:%u", peer.port);
	ck_assert_msg(otlp_new(l, &(struct otlp_conf){ .endpoint = endpoint, .resource = resource, .n_resource = 2, .headers = headers, .n_headers = 1,
							 .service = "proxy", .ratio = ratio, .timeout_ms = 5000 }, &o, &err) == 0, "%s", err.msg);
}

static void start(void)
{
	l = loop_new(-1);
	peer_start(&peer);
	metrics = metrics ? metrics : flow_metrics_new();
}

static void stop(void)
{
	otlp_free(o);
	o = NULL;
	turn(l);
	peer_stop(&peer);
	loop_free(l);
}

#define PARENT "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"

static void flow(enum flow_direction d, const char *traceparent, enum fail why, const char *host)
{
	struct flow f = { .direction = d, .mtls = true };

	addr_parse(str_c("10.1.2.3:40000"), &f.source);
	addr_parse(str_c("10.9.9.9:80"), &f.dest);
	flow_set(&f.source_id, str_c("spiffe://td/ns/a/sa/b"));
	flow_set(&f.dest_id, str_c("spiffe://td/ns/c/sa/d"));
	flow_set(&f.service_host, str_c(host));
	if (d == FLOW_OUTBOUND) {
		char text[56];

		snprintf(text, sizeof(text), "%s", traceparent);
		span_begin(&f, text);
		ck_assert_int_eq(text[54], span_on() ? '1' : '0');
	} else {
		span_join(&f, str_c(traceparent));
	}
	flow_open(metrics, &f);
	flow_bytes(&f, 111, 222);
	flow_close(metrics, &f, why, why ? "because" : NULL, why ? "ns/policy" : NULL, NULL, NULL);
}

static Otlp__ExportTraceServiceRequest *request(void)
{
	Otlp__ExportTraceServiceRequest *r;

	ck_assert_uint_ge(buf_len(&peer.data), GRPC_PREFIX_BYTES);
	r = otlp__export_trace_service_request__unpack(NULL, buf_len(&peer.data) - GRPC_PREFIX_BYTES, buf_data(&peer.data) + GRPC_PREFIX_BYTES);
	ck_assert_ptr_nonnull(r);
	ck_assert_uint_eq(r->n_resource_spans, 1);
	ck_assert_uint_eq(r->resource_spans[0]->n_scope_spans, 1);
	buf_done(&peer.data);
	return r;
}

static void answer(const char *status, const uint8_t *message, size_t n)
{
	uint8_t prefix[GRPC_PREFIX_BYTES];

	grpc_frame_prefix(n, prefix);
	peer_head(&peer, peer.stream, false, ":status", "200", "content-type", "application/grpc", NULL);
	peer_data(&peer, peer.stream, prefix, sizeof(prefix), false);
	peer_data(&peer, peer.stream, message, n, false);
	peer_head(&peer, peer.stream, true, "grpc-status", status, NULL);
}

static const char *attribute(size_t n, Otlp__KeyValue **v, const char *name)
{
	static char number[32];

	for (size_t i = 0; i < n; i++) {
		if (strcmp(v[i]->key, name) != 0)
			continue;
		if (v[i]->value->value_case == OTLP__ANY_VALUE__VALUE_STRING_VALUE)
			return v[i]->value->string_value;
		snprintf(number, sizeof(number), "%lld", (long long)v[i]->value->int_value);
		return number;
	}
	return "(none)";
}

#define ATTR(m, name) attribute((m)->n_attributes, (m)->attributes, name)

static void assert_bytes(ProtobufCBinaryData d, const char *hex)
{
	char text[64] = "";

	for (size_t i = 0; i < d.len; i++)
		snprintf(text + 2 * i, 3, "%02x", d.data[i]);
	ck_assert_str_eq(text, hex);
}

START_TEST(both_sides_of_a_tunnel)
{
	Otlp__ExportTraceServiceRequest *r;
	Otlp__ScopeSpans *scope;
	Otlp__Span *client, *server;

	open_exporter(1);
	flow(FLOW_OUTBOUND, PARENT, FAIL_NONE, "shop.default.svc");
	flow(FLOW_INBOUND, PARENT, FAIL_DENIED, "evil\xff\nname");
	UNTIL(l, &peer, peer.ended == 1);
	ck_assert_ptr_nonnull(strstr((char *)buf_data(&peer.head), ":path: /opentelemetry.proto.collector.trace.v1.TraceService/Export\n"));
	ck_assert_ptr_nonnull(strstr((char *)buf_data(&peer.head), "\nx-tenant: me\n"));
	r = request();
	ck_assert_str_eq(ATTR(r->resource_spans[0]->resource, "service.name"), "proxy");
	ck_assert_str_eq(ATTR(r->resource_spans[0]->resource, "deployment.environment"), "test");
	scope = r->resource_spans[0]->scope_spans[0];
	ck_assert_str_eq(scope->scope->name, "meshd");
	ck_assert_uint_eq(scope->n_spans, 2);
	client = scope->spans[0];
	server = scope->spans[1];
	assert_bytes(client->trace_id, "0af7651916cd43dd8448eb211c80319c");
	assert_bytes(client->span_id, "b7ad6b7169203331");
	ck_assert_uint_eq(client->parent_span_id.len, 0);
	ck_assert_int_eq(client->kind, OTLP__SPAN__KIND__CLIENT);
	ck_assert_str_eq(client->name, "outbound shop.default.svc");
	ck_assert_ptr_null(client->status);
	ck_assert_str_eq(ATTR(client, "source_principal"), "spiffe://td/ns/a/sa/b");
	ck_assert_str_eq(ATTR(client, "destination_principal"), "spiffe://td/ns/c/sa/d");
	ck_assert_str_eq(ATTR(client, "source.address"), "10.1.2.3");
	ck_assert_str_eq(ATTR(client, "destination.port"), "80");
	ck_assert_str_eq(ATTR(client, "received_bytes"), "111");
	ck_assert_str_eq(ATTR(client, "sent_bytes"), "222");
	ck_assert_str_eq(ATTR(client, "response_flags"), "-");
	ck_assert_str_eq(ATTR(client, "reporter"), "source");
	ck_assert(client->end_time_unix_nano >= client->start_time_unix_nano);
	ck_assert(client->end_time_unix_nano - client->start_time_unix_nano < UINT64_C(5000000000));
	ck_assert_uint_eq(client->dropped_attributes_count, 0);
	assert_bytes(server->trace_id, "0af7651916cd43dd8448eb211c80319c");
	assert_bytes(server->parent_span_id, "b7ad6b7169203331");
	ck_assert_uint_eq(server->span_id.len, 8);
	ck_assert(memcmp(server->span_id.data, client->span_id.data, 8) != 0);
	ck_assert_int_eq(server->kind, OTLP__SPAN__KIND__SERVER);
	ck_assert_str_eq(server->name, "inbound evil??name");
	ck_assert_int_eq(server->status->code, OTLP__STATUS__CODE__ERROR);
	ck_assert_str_eq(server->status->message, "denied by policy: because");
	ck_assert_str_eq(ATTR(server, "policy"), "ns/policy");
	ck_assert_str_eq(ATTR(server, "response_flags"), "DENY");
	otlp__export_trace_service_request__free_unpacked(r, NULL);
	answer("0", NULL, 0);
	UNTIL(l, &peer, span_exported() == 2);
	ck_assert_uint_eq(span_dropped(), 0);
}
END_TEST

/* What is refused for ever is dropped; what may pass later is sent again, once. */
START_TEST(failures)
{
	static const uint8_t partial[] = { 0x0a, 0x06, 0x08, 0x01, 0x12, 0x02, 'n', 'o' };
	Otlp__ExportTraceServiceRequest *r;

	open_exporter(1);
	flow(FLOW_OUTBOUND, PARENT, FAIL_NONE, "a");
	UNTIL(l, &peer, peer.ended == 1);
	answer("14", NULL, 0);
	flow(FLOW_OUTBOUND, PARENT, FAIL_NONE, "b");
	buf_done(&peer.data);
	UNTIL(l, &peer, peer.ended == 2);
	r = request();
	ck_assert_uint_eq(r->resource_spans[0]->scope_spans[0]->n_spans, 2);
	ck_assert_str_eq(r->resource_spans[0]->scope_spans[0]->spans[0]->name, "outbound a");
	otlp__export_trace_service_request__free_unpacked(r, NULL);
	answer("3", NULL, 0);
	UNTIL(l, &peer, span_dropped() == 2);
	flow(FLOW_OUTBOUND, PARENT, FAIL_NONE, "c");
	UNTIL(l, &peer, peer.ended == 3);
	answer("0", partial, sizeof(partial));
	UNTIL(l, &peer, span_exported() == 1);
	ck_assert_uint_eq(span_dropped(), 2);
}
END_TEST

START_TEST(batches_in_order)
{
	int seen = 0;

	open_exporter(1);
	for (int i = 0; i < 1200; i++) {
		char name[32];

		snprintf(name, sizeof(name), "host-%d", i);
		flow(FLOW_OUTBOUND, PARENT, FAIL_NONE, name);
	}
	for (int batch = 1; seen < 1200; batch++) {
		Otlp__ExportTraceServiceRequest *r;
		Otlp__ScopeSpans *s;

		UNTIL(l, &peer, peer.ended == batch);
		r = request();
		s = r->resource_spans[0]->scope_spans[0];
		ck_assert_uint_le(s->n_spans, 512);
		for (size_t i = 0; i < s->n_spans; i++, seen++)
			ck_assert_int_eq(strtol(s->spans[i]->name + strlen("outbound host-"), NULL, 10), seen);
		otlp__export_trace_service_request__free_unpacked(r, NULL);
		answer("0", NULL, 0);
		ck_assert_int_le(batch, 4);
	}
	UNTIL(l, &peer, span_exported() == 1200);
}
END_TEST

START_TEST(the_queue_is_bounded)
{
	open_exporter(1);
	for (int i = 0; i < SPAN_QUEUE + 100; i++)
		flow(FLOW_OUTBOUND, PARENT, FAIL_NONE, "x");
	ck_assert_uint_eq(span_dropped(), 100);
	otlp_free(o);
	o = NULL;
	ck_assert_uint_eq(span_dropped(), SPAN_QUEUE + 100);
	ck_assert(!span_on());
	flow(FLOW_OUTBOUND, PARENT, FAIL_NONE, "x");
	ck_assert_ptr_null(span_take());
}
END_TEST

START_TEST(ratio)
{
	int n = 0;

	span_start(0.25);
	for (int i = 0; i < 2000; i++) {
		struct flow f = { 0 };

		flow_close(metrics, &f, FAIL_NONE, NULL, NULL, NULL, NULL);
	}
	for (struct span *s = span_take(), *next; s; s = next, n++) {
		next = s->next;
		span_free(s, true);
	}
	ck_assert_int_gt(n, 400);
	ck_assert_int_lt(n, 600);
	span_stop();
	/* Both sides of one trace decide alike. */
	for (int i = 0; i < 100; i++) {
		struct flow out = { .direction = FLOW_OUTBOUND }, in = { .direction = FLOW_INBOUND };
		char text[56];

		span_start(0.5);
		traceparent_make(text);
		span_begin(&out, text);
		span_join(&in, str_c(text));
		flow_close(metrics, &out, FAIL_NONE, NULL, NULL, NULL, NULL);
		flow_close(metrics, &in, FAIL_NONE, NULL, NULL, NULL, NULL);
		n = 0;
		for (struct span *s = span_take(), *next; s; s = next, n++) {
			next = s->next;
			span_free(s, true);
		}
		ck_assert_int_eq(n, text[54] == '1' ? 2 : 0);
		span_stop();
	}
}
END_TEST

static void *make_spans(void *arg)
{
	struct flow_metrics *m = flow_metrics_new();

	for (int i = 0; i < 3000; i++) {
		struct flow f = { .direction = FLOW_OUTBOUND };

		flow_close(m, &f, FAIL_NONE, NULL, NULL, NULL, NULL);
	}
	return NULL;
}

START_TEST(many_workers)
{
	pthread_t t[4];
	int n = 0, live = 4;

	span_start(1);
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, make_spans, NULL);
	while (n < 12000) {
		for (struct span *s = span_take(), *next; s; s = next, n++) {
			next = s->next;
			span_free(s, true);
		}
	}
	while (live)
		pthread_join(t[--live], NULL);
	ck_assert_ptr_null(span_take());
	ck_assert_uint_eq(span_dropped(), 0);
	span_stop();
}
END_TEST

START_TEST(over_http)
{
	static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", busy[] = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";
	struct err err;
	char url[80];
	int fd;

	snprintf(url, sizeof(url), "http://127.0.0.1:%u/v1/traces", peer.port);
	ck_assert_int_eq(otlp_new(l, &(struct otlp_conf){ .endpoint = url, .http = true, .service = "proxy", .ratio = 1, .timeout_ms = 5000 }, &o, &err), 0);
	flow(FLOW_OUTBOUND, PARENT, FAIL_NONE, "x");
	for (int i = 0; i < 2; i++) {
		char got[8192] = "";
		ssize_t n = 0;

		fd = -1;
		for (int k = 0; k < 400 && fd < 0; k++) {
			turn(l);
			fd = accept4(peer.listener, NULL, NULL, SOCK_NONBLOCK);
		}
		ck_assert_int_ge(fd, 0);
		turn(l);
		n = recv(fd, got, sizeof(got) - 1, 0);
		ck_assert_int_gt(n, 0);
		ck_assert_ptr_nonnull(strstr(got, "POST /v1/traces HTTP/1.1\r\n"));
		ck_assert_ptr_nonnull(strstr(got, "Content-Type: application/x-protobuf\r\n"));
		ck_assert_int_gt(send(fd, i ? ok : busy, i ? sizeof(ok) - 1 : sizeof(busy) - 1, 0), 0);
		turn(l);
		close(fd);
	}
	turn(l);
	ck_assert_uint_eq(span_exported(), 1);
	ck_assert_uint_eq(span_dropped(), 0);
}
END_TEST

START_TEST(bad_settings)
{
	static const struct otlp_pair bad = { "a b", "c" };
	static const struct otlp_conf rows[] = {
		{ .endpoint = "collector", .service = "x", .ratio = 1 },
		{ .endpoint = "http://collector", .service = "x", .ratio = 1 },
		{ .endpoint = "http://collector:4317", .service = "x", .ratio = 1, .headers = &bad, .n_headers = 1 },
	};
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		ck_assert_int_lt(otlp_new(l, &rows[i], &o, &err), 0);
	ck_assert(!span_on());
}
END_TEST

int main(void)
{
	Suite *s = suite_create("otlp");
	TCase *t = tcase_create("otlp");

	tcase_add_checked_fixture(t, start, stop);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, both_sides_of_a_tunnel);
	tcase_add_test(t, failures);
	tcase_add_test(t, batches_in_order);
	tcase_add_test(t, the_queue_is_bounded);
	tcase_add_test(t, ratio);
	tcase_add_test(t, many_workers);
	tcase_add_test(t, over_http);
	tcase_add_test(t, bad_settings);
	suite_add_tcase(s, t);
	log_set_levels(str_c("off"), NULL);
	return suite_run(s);
}
