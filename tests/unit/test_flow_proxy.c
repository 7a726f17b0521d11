/* SPDX-License-Identifier: Apache-2.0 */
/* Connections of bytes in a sidecar: Istio's labels, when they are counted, and Envoy's line. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "telemetry/flow.h"
#include "telemetry/peer.h"
#include "telemetry/prom.h"
#include "tests/unit/exchange_fixture.h"
#include "tests/unit/suite.h"
#include "tests/unit/teleconf_fixture.h"

static struct flow_metrics *metrics;
static struct teleconf *conf;
static struct flow f;
static struct buf page;
static char path[64], text[4096];

static void setup(void)
{
	struct mesh_config *config = config_fixture();

	snprintf(path, sizeof(path), "/tmp/test_flow_proxy.%d", (int)getpid());
	unlink(path);
	config->tele.access_log_file = path;
	mesh_fixture(config, NULL, 0);
	conf = teleconf_of(reviews);
	metrics = metrics ? metrics : flow_metrics_new();
	f = (struct flow){ .direction = FLOW_INBOUND, .mtls = true, .source = addr_of("10.0.0.1:4000"), .dest = addr_of("10.0.0.2:9000") };
	f.dest_workload = workload_ref(reviews);
	flow_set(&f.source_id, str_c("spiffe://cluster.local/ns/default/sa/productpage"));
	ck_assert(flow_set_proxy(&f, conf));
	flow_set(&f.proxy->cluster, str_c("inbound|9000||"));
	flow_set(&f.proxy->service, str_c("default/reviews.default.svc.cluster.local"));
}

static void teardown(void)
{
	teleconf_unref(conf);
	buf_done(&page);
	unlink(path);
}

static bool has(const char *part)
{
	static const struct prom_build build = { "proxy", "1.30", "1.2.3" };

	buf_done(&page);
	prom_write(&page, false, &build);
	buf_append(&page, "", 1);
	return strstr((const char *)buf_data(&page), part);
}

static const char *written(void)
{
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

	close(fd);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void end(enum fail why, const char *detail)
{
	flow_close(metrics, &f, why, detail, NULL, NULL, NULL);
}

START_TEST(counted_when_the_peer_is_known)
{
	f.source_workload = workload_ref(productpage);
	flow_open(metrics, &f);
	ck_assert(has("istio_tcp_connections_opened_total{reporter=\"destination\",source_workload=\"productpage\""));
	ck_assert(has("destination_service=\"reviews.default.svc.cluster.local\""));
	ck_assert(has("request_protocol=\"tcp\",response_flags=\"-\",connection_security_policy=\"mutual_tls\"} 1\n"));
	flow_bytes(&f, 100, 200);
	end(FAIL_NONE, "");
	ck_assert(has("istio_tcp_connections_closed_total{"));
	ck_assert(has("\"mutual_tls\"} 100\n") && has("\"mutual_tls\"} 200\n"));
	ck_assert_msg(strstr(written(), "\"- - -\" 0 - - - \"-\" 100 200 ") && strstr(text, " inbound|9000|| - 10.0.0.2:9000 10.0.0.1:4000 - -\n"), "%s", text);
	/* ztunnel's own series have nothing of it. */
	ck_assert(!has("istio_tcp_connections_failed"));
}
END_TEST

START_TEST(at_a_waypoint)
{
	struct workload *wp = waypoint_fixture();

	flow_drop(&f);
	teleconf_unref(conf);
	fixture_mode = MODE_WAYPOINT;
	struct mesh_config *config = config_fixture();
	config->tele.access_log_file = path;
	mesh_fixture(config, NULL, 0);
	fixture_mode = MODE_SIDECAR;
	conf = teleconf_of(wp);
	f = (struct flow){ .direction = FLOW_INBOUND, .mtls = true, .source = addr_of("10.0.0.1:4000"), .dest = addr_of("10.96.0.9:6379") };
	f.source_workload = workload_ref(productpage);
	f.service = service_ref(mesh_service(mesh_current(), str_c("default/reviews.default.svc.cluster.local")));
	flow_set(&f.source_id, str_c("spiffe://cluster.local/ns/default/sa/productpage"));
	flow_set(&f.dest_id, str_c("spiffe://cluster.local/ns/mesh/sa/wp"));
	ck_assert(flow_set_proxy(&f, conf));
	flow_set(&f.proxy->cluster, str_c("inbound-vip|6379|tcp|reviews.default.svc.cluster.local"));
	flow_set(&f.proxy->service, str_c("default/reviews.default.svc.cluster.local"));
	f.proxy->upstream = addr_of("10.0.0.2:6379");
	flow_open(metrics, &f);
	ck_assert(!has("reporter=\"waypoint\""));
	flow_server(&f, reviews);
	ck_assert(has("istio_tcp_connections_opened_total{reporter=\"waypoint\",source_workload=\"productpage\""));
	ck_assert(has("destination_workload=\"reviews\",destination_workload_namespace=\"default\",destination_principal=\"spiffe://cluster.local/ns/default/sa/reviews\""));
	ck_assert(has("destination_service=\"reviews.default.svc.cluster.local\""));
	ck_assert(has("destination_service_namespace=\"mesh\",destination_cluster=\"C2\",request_protocol=\"tcp\",response_flags=\"-\",connection_security_policy=\"mutual_tls\"} 1"));
	flow_bytes(&f, 5, 7);
	end(FAIL_NONE, "");
	ck_assert(has("istio_tcp_sent_bytes_total{reporter=\"waypoint\""));
	ck_assert_msg(strstr(written(), "\"10.0.0.2:6379\" inbound-vip|6379|tcp|reviews.default.svc.cluster.local - 10.96.0.9:6379 10.0.0.1:4000 - -"), "%s", written());
	workload_unref(wp);
}
END_TEST

START_TEST(waits_for_what_the_peer_says)
{
	struct peer said = { .workload = str_c("vm"), .service = str_c("vms"), .ns = str_c("legacy") };

	flow_open(metrics, &f);
	flow_bytes(&f, 5, 0);
	ck_assert(!has("istio_tcp_connections_opened_total"));
	flow_peer(&f, &said);
	memset(&said, 0, sizeof(said));          /* it was copied */
	ck_assert(has("istio_tcp_connections_opened_total{reporter=\"destination\",source_workload=\"vm\",source_canonical_service=\"vms\""));
	ck_assert(has("istio_tcp_received_bytes_total{reporter=\"destination\",source_workload=\"vm\""));
	end(FAIL_SERVER_RESET, "");
	ck_assert(has("response_flags=\"-\""));
	ck_assert(!has("response_flags=\"UR\""));
}
END_TEST

START_TEST(bytes_both_ways_are_enough)
{
	flow_open(metrics, &f);
	flow_bytes(&f, 5, 5);
	ck_assert(has("istio_tcp_connections_opened_total{reporter=\"destination\",source_workload=\"unknown\""));
	end(FAIL_NONE, "");
}
END_TEST

START_TEST(a_server_that_is_not_there)
{
	flow_open(metrics, &f);
	end(FAIL_CONNECT, "Connection refused");
	ck_assert(has("response_flags=\"UF,URX\""));
	ck_assert_msg(strstr(written(), " 0 UF,URX - - \"Connection refused\" 0 0 "), "%s", text);
}
END_TEST

START_TEST(refused_before_it_was_open)
{
	flow_set(&f.proxy->details, str_c("rbac_access_denied_matched_policy[none]"));
	end(FAIL_DENIED, "");
	ck_assert(!has("istio_tcp_connections_opened_total"));
	ck_assert_msg(strstr(written(), " 0 - - rbac_access_denied_matched_policy[none] \"-\" 0 0 "), "%s", text);
	ck_assert_ptr_null(f.proxy);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("flow_proxy");
	TCase *t = tcase_create("flow_proxy");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, counted_when_the_peer_is_known);
	tcase_add_test(t, at_a_waypoint);
	tcase_add_test(t, waits_for_what_the_peer_says);
	tcase_add_test(t, bytes_both_ways_are_enough);
	tcase_add_test(t, a_server_that_is_not_there);
	tcase_add_test(t, refused_before_it_was_open);
	suite_add_tcase(s, t);
	return suite_run(s);
}
