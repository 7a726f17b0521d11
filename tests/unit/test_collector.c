/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/collector.h"

#include <stdlib.h>

#include "http/grpc_frame.h"
#include "telemetry/filter.h"
#include "telemetry/span_int.h"
#include "tests/unit/exchange_fixture.h"
#include "tests/unit/h2peer.h"
#include "tests/unit/teleconf_fixture.h"

static struct loop *l;
static struct h2peer peer;
static struct exchange x;
static struct exchange_client client;
static struct teleconf *conf;
static struct collector *c;
static struct tele_provider provider;

static void setup(void)
{
	static const char *names[] = { "otel" };
	static const struct tele_header headers[] = { { "x-tenant", "me", "" } };
	struct mesh_config *config = config_fixture();
	struct ip ip = { { 0 } };
	struct service_port port = { .port = 4317, .target = 0, .name = "grpc", .protocol = "GRPC" };
	struct mesh_edit *e;
	struct workload *w;
	struct endpoint end;

	l = loop_new(-1);
	peer_start(&peer);
	provider = (struct tele_provider){ .name = "otel", .kind = TELE_OPENTELEMETRY, .what = "opentelemetry", .service = "obs/collector.obs.svc.cluster.local", .port = 4317 };
	provider.headers.v = headers;
	provider.headers.n = 1;
	config->tele.providers.v = &provider;
	config->tele.providers.n = 1;
	config->tele.default_tracing.v = names;
	config->tele.default_tracing.n = 1;
	config->proxy.tracing.sampling = (struct opt_double){ 100, true };
	mesh_fixture(config, NULL, 0);
	e = mesh_edit_begin();
	ip_parse(str_c("127.0.0.1"), &ip);
	w = workload_new(&(struct workload){ .uid = "c", .name = "collector", .ns = "obs", .ips = &ip, .n_ips = 1, .healthy = true });
	port.target = (uint16_t)peer.port;
	end = (struct endpoint){ .workload = w };
	mesh_put_service(e, service_new(&(struct service){
		.key = "obs/collector.obs.svc.cluster.local", .ns = "obs", .name = "collector", .hostname = "collector.obs.svc.cluster.local",
		.ports = &port, .n_ports = 1, .endpoints = endpoints_of(&end, 1),
	}));
	mesh_put_workload(e, w);
	mesh_edit_publish(e);
	exchange_fixture(&x, &client);
	client.local_workload = reviews;
	conf = teleconf_of(reviews);
	c = collector_new(l, NULL, NULL);
}

static void teardown(void)
{
	collector_free(c);
	teleconf_unref(conf);
	arena_done(&x.arena);
	turn(l);
	peer_stop(&peer);
	loop_free(l);
}

START_TEST(follows_the_configuration)
{
	Otlp__ExportTraceServiceRequest *r;
	Otlp__Resource *resource;
	void *state = calloc(1, telemetry_filter.state_bytes);

	ck_assert_str_eq(reports, "");
	collector_update(c, mesh_current(), conf, reviews);
	ck_assert(span_exporting());
	telemetry_filter.on_request(&x, state, teleconf_side(conf, true));
	telemetry_filter.on_end(&x, state, teleconf_side(conf, true));
	UNTIL(l, &peer, peer.ended == 1);
	ck_assert_ptr_nonnull(strstr((char *)buf_data(&peer.head), "\nx-tenant: me\n"));
	r = otlp__export_trace_service_request__unpack(NULL, buf_len(&peer.data) - GRPC_PREFIX_BYTES, buf_data(&peer.data) + GRPC_PREFIX_BYTES);
	ck_assert_ptr_nonnull(r);
	ck_assert_uint_eq(r->resource_spans[0]->scope_spans[0]->n_spans, 1);
	resource = r->resource_spans[0]->resource;
	ck_assert_str_eq(resource->attributes[0]->key, "service.name");
	ck_assert_str_eq(resource->attributes[0]->value->string_value, "reviews.default");
	otlp__export_trace_service_request__free_unpacked(r, NULL);
	/* The same again: the exporter stays. */
	collector_update(c, mesh_current(), conf, reviews);
	ck_assert(span_exporting());
	collector_update(c, mesh_current(), NULL, reviews);
	ck_assert(!span_exporting());
	free(state);
}
END_TEST

START_TEST(the_environment_comes_first)
{
	span_start(1);
	collector_update(c, mesh_current(), conf, reviews);
	collector_free(c);
	c = NULL;
	ck_assert(span_exporting());
	span_stop();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("collector");
	TCase *t = tcase_create("collector");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, follows_the_configuration);
	tcase_add_test(t, the_environment_comes_first);
	suite_add_tcase(s, t);
	return suite_run(s);
}
