/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/requests.h"

#include <stdlib.h>

#include "telemetry/edges.h"
#include "telemetry/peer.h"
#include "telemetry/prom.h"
#include "tests/unit/exchange_fixture.h"
#include "tests/unit/suite.h"
#include "tests/unit/teleconf_fixture.h"

static struct exchange x;
static struct exchange_client client;
static struct teleconf *conf;
static struct buf out;

static void setup(void)
{
	mesh_fixture(NULL, NULL, 0);
	exchange_fixture(&x, &client);
	client.peer_workload = productpage;
	client.local_workload = reviews;
	client.service = str_c("default/reviews.default.svc.cluster.local");
	conf = teleconf_of(reviews);
}

static void teardown(void)
{
	arena_done(&x.arena);
	teleconf_unref(conf);
	buf_done(&out);
}

static const char *page(void)
{
	static const struct prom_build build = { "proxy", "1.30", "1.2.3" };

	buf_done(&out);
	prom_write(&out, false, &build);
	buf_append(&out, "", 1);
	return (const char *)buf_data(&out);
}

static void has(const char *part)
{
	ck_assert_msg(strstr(page(), part) != NULL, "'%s' is missing in: %.3000s", part, page());
}

static void lacks(const char *part)
{
	ck_assert_msg(strstr(page(), part) == NULL, "'%s' is in: %.3000s", part, page());
}

static void outbound(void)
{
	client = (struct exchange_client){ .peer = addr_of("10.0.0.1:40000"), .local = addr_of("10.96.0.1:9080"), .local_workload = productpage };
	x.log.upstream_workload = reviews;
	x.log.upstream_peer_id = str_c("spiffe://cluster.local/ns/default/sa/reviews");
	x.log.cluster_name = str_c("outbound|9080||reviews.default.svc.cluster.local");
	x.log.service = str_c("default/reviews.default.svc.cluster.local");
	conf->side[0].id += 1000;    /* other shortcuts than the last test's */
}

#define SOURCE "source_workload=\"productpage\",source_canonical_service=\"productpage\",source_canonical_revision=\"v1\"," \
	"source_workload_namespace=\"default\",source_principal=\"spiffe://cluster.local/ns/default/sa/productpage\"," \
	"source_app=\"productpage\",source_version=\"v1\",source_cluster=\"Kubernetes\","
#define DESTINATION "destination_workload=\"reviews\",destination_workload_namespace=\"default\"," \
	"destination_principal=\"spiffe://cluster.local/ns/default/sa/reviews\",destination_app=\"reviews\",destination_version=\"v1\"," \
	"destination_service=\"reviews.default.svc.cluster.local\",destination_canonical_service=\"reviews\"," \
	"destination_canonical_revision=\"v1\",destination_service_name=\"reviews\",destination_service_namespace=\"default\"," \
	"destination_cluster=\"Kubernetes\","

START_TEST(labels_are_istios_in_order)
{
	requests_count(teleconf_side(conf, true), &x, 0, 0);
	requests_count(teleconf_side(conf, true), &x, 0, 0);
	has("\nistio_requests_total{reporter=\"destination\"," SOURCE DESTINATION "request_protocol=\"http\",response_code=\"200\","
	    "grpc_response_status=\"\",response_flags=\"-\",connection_security_policy=\"mutual_tls\"} 2\n");
	lacks("istio_request_messages_total");
	outbound();
	requests_count(teleconf_side(conf, false), &x, 0, 0);
	has("\nistio_requests_total{reporter=\"source\"," SOURCE DESTINATION "request_protocol=\"http\",response_code=\"200\","
	    "grpc_response_status=\"\",response_flags=\"-\",connection_security_policy=\"unknown\"} 1\n");
}
END_TEST

/* The source is who asked, the destination the server that was chosen; the service's namespace and cluster are the waypoint's, as Istio has it. */
START_TEST(at_a_waypoint)
{
	struct workload *wp = waypoint_fixture();

	teleconf_unref(conf);
	fixture_mode = MODE_WAYPOINT;
	mesh_fixture(NULL, NULL, 0);
	fixture_mode = MODE_SIDECAR;
	conf = teleconf_of(wp);
	client.peer_workload = productpage;
	client.local_workload = wp;
	client.local_id = str_c("spiffe://cluster.local/ns/mesh/sa/wp");
	x.log.upstream_workload = reviews;
	x.log.upstream_peer_id = str_c("spiffe://cluster.local/ns/default/sa/reviews");
	x.log.cluster_name = str_c("inbound-vip|80|http|reviews.default.svc.cluster.local");
	x.log.service = str_c("default/reviews.default.svc.cluster.local");
	requests_count(teleconf_side(conf, true), &x, 0, 0);
	has("\nistio_requests_total{reporter=\"waypoint\"," SOURCE "destination_workload=\"reviews\",destination_workload_namespace=\"default\","
	    "destination_principal=\"spiffe://cluster.local/ns/default/sa/reviews\",destination_app=\"reviews\",destination_version=\"v1\","
	    "destination_service=\"reviews.default.svc.cluster.local\",destination_canonical_service=\"reviews\",destination_canonical_revision=\"v1\","
	    "destination_service_name=\"reviews\",destination_service_namespace=\"mesh\",destination_cluster=\"C2\",request_protocol=\"http\","
	    "response_code=\"200\",grpc_response_status=\"\",response_flags=\"-\",connection_security_policy=\"mutual_tls\"} 1\n");
	/* another server, and nobody */
	x.log.upstream_workload = productpage;
	requests_count(teleconf_side(conf, true), &x, 0, 0);
	has("destination_workload=\"productpage\"");
	x.log.upstream_workload = NULL;
	x.log.service = str_c("");
	x.response.status = 403;
	requests_count(teleconf_side(conf, true), &x, 0, 0);
	has("destination_workload=\"unknown\",destination_workload_namespace=\"unknown\",destination_principal=\"unknown\",destination_app=\"unknown\","
	    "destination_version=\"unknown\",destination_service=\"reviews.default.svc.cluster.local\",destination_canonical_service=\"unknown\","
	    "destination_canonical_revision=\"unknown\",destination_service_name=\"reviews\",destination_service_namespace=\"mesh\"");
	/* a workload by its own address: its service is its own name */
	client.service = str_c("");
	x.log.upstream_workload = reviews;
	requests_count(teleconf_side(conf, true), &x, 0, 0);
	has("destination_service=\"reviews\",destination_canonical_service=\"reviews\",destination_canonical_revision=\"v1\",destination_service_name=\"reviews\"");
	workload_unref(wp);
}
END_TEST

START_TEST(histograms)
{
	const struct tele_side *s = teleconf_side(conf, true);

	x.log.request_head_bytes = 100;
	requests_count(s, &x, 0, 0);                      /* 7.9 ms, 112 and 345 bytes */
	x.log.end_ns = x.log.start_ns + UINT64_C(7200000) * 1000000;
	requests_count(s, &x, 0, 0);
	has("connection_security_policy=\"mutual_tls\",le=\"0.5\"} 0\n");
	has("istio_request_duration_milliseconds_bucket{reporter");
	has("connection_security_policy=\"mutual_tls\",le=\"5\"} 0\n");
	has("connection_security_policy=\"mutual_tls\",le=\"10\"} 1\n");
	has("connection_security_policy=\"mutual_tls\",le=\"3600000\"} 1\n");
	has("connection_security_policy=\"mutual_tls\",le=\"+Inf\"} 2\n");
	has("connection_security_policy=\"mutual_tls\"} 7200007\n");          /* the sum */
	has("connection_security_policy=\"mutual_tls\"} 224\n");              /* two times the request */
	has("connection_security_policy=\"mutual_tls\"} 690\n");
}
END_TEST

START_TEST(grpc)
{
	x.log.grpc = true;
	x.log.grpc_status = 14;
	requests_count(teleconf_side(conf, true), &x, 3, 4);
	has("request_protocol=\"grpc\",response_code=\"200\",grpc_response_status=\"14\",");
	has("\nistio_request_messages_total{reporter=\"destination\"," SOURCE DESTINATION "request_protocol=\"grpc\"} 3\n");
	has("\nistio_response_messages_total{reporter=\"destination\"," SOURCE DESTINATION "request_protocol=\"grpc\"} 4\n");
}
END_TEST

START_TEST(flags_and_plaintext)
{
	client.peer_id = client.local_id = (struct str){ 0 };
	client.peer_workload = NULL;
	client.mtls = false;
	x.log.why = FAIL_UPSTREAM_CLOSED;
	x.log.retry_limit = true;
	x.response.status = 503;
	requests_count(teleconf_side(conf, true), &x, 0, 0);
	has("source_workload=\"unknown\",source_canonical_service=\"unknown\",source_canonical_revision=\"latest\"");
	has("response_code=\"503\",grpc_response_status=\"\",response_flags=\"URX,UC\",connection_security_policy=\"none\"");
}
END_TEST

START_TEST(unknown_destinations)
{
	outbound();
	x.log.service = (struct str){ 0 };
	x.log.upstream_workload = NULL;
	x.log.upstream_peer_id = (struct str){ 0 };
	x.log.cluster_name = str_c("PassthroughCluster");
	x.request.authority = str_c("Example.COM");
	requests_count(teleconf_side(conf, false), &x, 0, 0);
	has("destination_service=\"example.com\",destination_canonical_service=\"unknown\",destination_canonical_revision=\"latest\","
	    "destination_service_name=\"PassthroughCluster\",destination_service_namespace=\"unknown\"");
	x.log.cluster_name = (struct str){ 0 };
	x.log.route_name = str_c("block_all");
	requests_count(teleconf_side(conf, false), &x, 0, 0);
	has("destination_service_name=\"BlackHoleCluster\"");
}
END_TEST

START_TEST(inbound_passthrough)
{
	client.service = (struct str){ 0 };
	x.log.cluster_name = str_c("InboundPassthroughCluster");
	requests_count(teleconf_side(conf, true), &x, 0, 0);
	has("destination_service=\"reviews\",destination_canonical_service=\"reviews\",destination_canonical_revision=\"v1\","
	    "destination_service_name=\"InboundPassthroughCluster\",destination_service_namespace=\"default\"");
}
END_TEST

START_TEST(what_the_peer_says_of_itself)
{
	struct peer said = { .workload = str_c("vm-1"), .service = str_c("vm"), .ns = str_c("vms"), .revision = str_c("r2"), .cluster = str_c("c2") };

	client.peer_workload = NULL;
	client.peer_id = str_c("spiffe://cluster.local/ns/legacy/sa/vm");
	x.log.peer = &said;
	requests_count(teleconf_side(conf, true), &x, 0, 0);
	/* The identity is proven, the metadata is not. */
	has("source_workload=\"vm-1\",source_canonical_service=\"vm\",source_canonical_revision=\"r2\",source_workload_namespace=\"legacy\"");
}
END_TEST

START_TEST(a_million_hosts)
{
	char host[64];

	outbound();
	x.log.service = (struct str){ 0 };
	x.log.upstream_workload = NULL;
	x.log.cluster_name = str_c("PassthroughCluster");
	for (int i = 0; i < 1000000; i += 7) {
		x.request.authority = (struct str){ host, (size_t)snprintf(host, sizeof(host), "h%d.example", i) };
		requests_count(teleconf_side(conf, false), &x, 0, 0);
	}
	ck_assert_int_le(rows_count(), 110);
}
END_TEST

START_TEST(a_cap_on_series)
{
	char id[80];

	for (int i = 0; i < 6000; i++) {
		client.peer_id = (struct str){ id, (size_t)snprintf(id, sizeof(id), "spiffe://cluster.local/ns/n%d/sa/s", i) };
		requests_count(teleconf_side(conf, true), &x, 0, 0);
	}
	ck_assert_int_le(rows_count(), 5001);
	has("istio_requests_total{reporter=\"destination\",source_workload=\"overflow\",source_canonical_service=\"overflow\"");
	has("connection_security_policy=\"overflow\"} 1");
}
END_TEST

START_TEST(tcp)
{
	const struct tele_side *s = teleconf_side(conf, true);

	x.request = (struct http_head){ .status = 0 };
	requests_count_tcp(s, &x, 1, 0, FAIL_NONE, 10, 20);
	requests_count_tcp(s, &x, 0, 1, FAIL_NONE, 5, 6);
	has("\nistio_tcp_connections_opened_total{reporter=\"destination\"," SOURCE DESTINATION
	    "request_protocol=\"tcp\",response_flags=\"-\",connection_security_policy=\"mutual_tls\"} 1\n");
	has("\nistio_tcp_connections_closed_total{");
	has("\nistio_tcp_received_bytes_total{reporter=\"destination\"," SOURCE DESTINATION
	    "request_protocol=\"tcp\",response_flags=\"-\",connection_security_policy=\"mutual_tls\"} 15\n");
	has("} 26\n");
}
END_TEST

static struct edge first;

static void keep_first(const struct edge *e, void *arg)
{
	if (!first.source.n)
		first = *e;
}

/* Who talks to whom is known whatever a Telemetry object says of metrics. */
START_TEST(edges)
{
	struct tele_side *s = (struct tele_side *)teleconf_side(conf, true);
	struct edge rest;

	for (int metrics = 1; metrics >= 0; metrics--) {
		s->n_groups = metrics ? s->n_groups : 0;
		s->id += 1000;
		requests_count(s, &x, 0, 0);
		x.log.why = FAIL_DENIED;
		requests_count(s, &x, 0, 0);
		x.log.why = FAIL_NONE;
		requests_count_tcp(s, &x, 1, 0, FAIL_NONE, 10, 20);
		requests_count_tcp(s, &x, 0, 1, FAIL_POLICY_CHANGE, 5, 6);
	}
	ck_assert_uint_eq(edges_each(9, keep_first, NULL, &rest), 0);
	ck_assert(str_is(first.reporter, "destination") && str_is(first.source, "spiffe://cluster.local/ns/default/sa/productpage"));
	ck_assert(str_is(first.destination, "spiffe://cluster.local/ns/default/sa/reviews") && str_is(first.service, "reviews.default.svc.cluster.local"));
	ck_assert_uint_eq(first.count[EDGE_REQUESTS], 4);
	ck_assert_uint_eq(first.count[EDGE_CONNECTIONS], 2);
	ck_assert_uint_eq(first.count[EDGE_REFUSED], 4);
	ck_assert_uint_eq(first.count[EDGE_FAILED], 0);
	ck_assert_uint_eq(first.count[EDGE_RECEIVED], 4 * (x.log.bytes_received + x.log.request_head_bytes) + 30);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("requests");
	TCase *t = tcase_create("requests");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 120);
	tcase_add_test(t, labels_are_istios_in_order);
	tcase_add_test(t, at_a_waypoint);
	tcase_add_test(t, histograms);
	tcase_add_test(t, grpc);
	tcase_add_test(t, flags_and_plaintext);
	tcase_add_test(t, unknown_destinations);
	tcase_add_test(t, inbound_passthrough);
	tcase_add_test(t, what_the_peer_says_of_itself);
	tcase_add_test(t, a_million_hosts);
	tcase_add_test(t, a_cap_on_series);
	tcase_add_test(t, tcp);
	tcase_add_test(t, edges);
	suite_add_tcase(s, t);
	return suite_run(s);
}
