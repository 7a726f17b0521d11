/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "telemetry/flow.h"
#include "telemetry/meters.h"
#include "telemetry/prom.h"
#include "telemetry/refusal.h"
#include "telemetry/tally.h"

static const struct prom_build build = { "ztunnel", "1.30", "1.2.3" };
static struct buf out;

static const char *scrape(bool openmetrics)
{
	buf_done(&out);
	prom_write(&out, openmetrics, &build);
	buf_append(&out, "", 1);
	return (const char *)buf_data(&out);
}

static void has(const char *text, const char *part)
{
	ck_assert_msg(strstr(text, part) != NULL, "'%s' is missing in: %s", part, text);
}

static void one(struct flow_metrics *m, const char *host, enum fail why)
{
	struct flow f = { .direction = FLOW_OUTBOUND, .mtls = true };

	flow_set(&f.service_host, str_c(host));
	flow_set(&f.source_id, str_c("spiffe://td/ns/a/sa/b"));
	flow_open(m, &f);
	flow_bytes(&f, 100, 7);
	flow_close(m, &f, why, "", "", "", "");
}

START_TEST(all_labels_in_order)
{
	one(flow_metrics_new(), "x.example", FAIL_NONE);
	has(scrape(false), "\nistio_tcp_connections_closed_total{reporter=\"source\",source_workload=\"unknown\","
		"source_canonical_service=\"unknown\",source_canonical_revision=\"unknown\",source_workload_namespace=\"unknown\","
		"source_principal=\"spiffe://td/ns/a/sa/b\",source_app=\"unknown\",source_version=\"unknown\",source_cluster=\"unknown\","
		"destination_service=\"x.example\",destination_service_namespace=\"unknown\",destination_service_name=\"unknown\","
		"destination_workload=\"unknown\",destination_canonical_service=\"unknown\",destination_canonical_revision=\"unknown\","
		"destination_workload_namespace=\"unknown\",destination_principal=\"unknown\",destination_app=\"unknown\","
		"destination_version=\"unknown\",destination_cluster=\"unknown\",request_protocol=\"tcp\",response_flags=\"-\","
		"connection_security_policy=\"mutual_tls\"} 1\n");
}
END_TEST

START_TEST(workers_are_summed)
{
	struct flow_metrics *a = flow_metrics_new(), *b = flow_metrics_new();
	const char *text;

	one(a, "x.example", FAIL_NONE);
	one(b, "x.example", FAIL_NONE);
	one(b, "x.example", FAIL_DENIED);
	flow_sockets(a, FLOW_OUTBOUND, 2);
	flow_sockets(b, FLOW_OUTBOUND, 3);
	flow_sockets(b, FLOW_INBOUND, 1);
	flow_sockets(b, FLOW_OUTBOUND, -1);
	text = scrape(false);
	has(text, "# TYPE istio_tcp_connections_opened_total counter\n");
	has(text, "response_flags=\"-\",connection_security_policy=\"mutual_tls\"} 3\n");
	has(text, "response_flags=\"DENY\",connection_security_policy=\"mutual_tls\"} 1\n");
	has(strstr(text, "istio_tcp_received_bytes_total{"), "\"} 300\n");
	has(strstr(text, "istio_tcp_sent_bytes_total{"), "\"} 21\n");
	has(strstr(text, "istio_tcp_connections_failed_total{"), "response_flags=\"DENY\"");
	has(text, "istio_tcp_sockets_open{reporter=\"source\"} 4\n");
	has(text, "istio_tcp_sockets_open{reporter=\"destination\"} 1\n");
}
END_TEST

START_TEST(process_figures)
{
	const char *text;

	refusal_count(FAIL_NO_WAYPOINT, REFUSAL_OTHER);
	text = scrape(true);

	has(text, "istio_build{component=\"ztunnel\",tag=\"1.30\"} 1\n");
	has(text, "meshd_build{version=\"1.2.3\"} 1\n");
	has(text, "# TYPE process_cpu_seconds counter\nprocess_cpu_seconds_total 0.");
	has(text, "# TYPE process_open_fds gauge\nprocess_open_fds ");
	has(text, "\nprocess_max_fds ");
	has(text, "\nprocess_resident_memory_bytes ");
	has(text, "\nmeshd_config_generation 0\n");
	has(text, "# TYPE meshd_refusals counter\nmeshd_refusals_total{cause=\"NO_WAYPOINT\"} 1\n");
	has(text, "# TYPE meshd_log_lines_dropped counter\nmeshd_log_lines_dropped_total 0\n");
	ck_assert(str_ends((struct str){ text, strlen(text) }, str_c("# EOF\n")));
	ck_assert_ptr_null(strstr(text, "istio_tcp_connections_opened"));
}
END_TEST

START_TEST(values_are_made_safe)
{
	one(flow_metrics_new(), "a\"b\\c\nd\xff.example", FAIL_NONE);
	has(scrape(false), "destination_service=\"a\\\"b\\\\c_d_.example\"");
}
END_TEST

static void put_two(struct prom *p, void *arg)
{
	int *n = arg;

	if (!*n)
		return;
	prom_put(p, NULL, 0, (uint64_t)*n);
	prom_put(p, (struct prom_label[]){ { "a", str_c("x\ny") }, { NULL, { 0 } }, { "b", { 0 } } }, 3, 7);
}

START_TEST(registered_families)
{
	int n = 0;
	struct prom_family one = { "istio_xds_message", PROM_COUNTER, "Total number of messages received (unstable)", put_two, &n, NULL };
	struct prom_family two = { "workload_manager_active_proxy_count", PROM_GAUGE, "Now", put_two, &n, NULL };
	const char *text;

	prom_register(&one);
	prom_register(&two);
	ck_assert_ptr_null(strstr(scrape(false), "istio_xds_message"));      /* nothing to tell: left out */
	n = 3;
	text = scrape(false);
	has(text, "# HELP istio_xds_message_total Total number of messages received (unstable).\n# TYPE istio_xds_message_total counter\n"
		  "istio_xds_message_total 3\nistio_xds_message_total{a=\"x_y\",b=\"unknown\"} 7\n");
	has(text, "# TYPE workload_manager_active_proxy_count gauge\nworkload_manager_active_proxy_count 3\n");
	has(scrape(true), "# TYPE istio_xds_message counter\nistio_xds_message_total 3\n");
	prom_unregister(&two);
	prom_unregister(&one);
	ck_assert_ptr_null(strstr(scrape(false), "istio_xds_message"));
	prom_register(&two);
	has(scrape(false), "workload_manager_active_proxy_count 3\n");
	prom_unregister(&two);
	prom_unregister(&two);
}
END_TEST

START_TEST(meters)
{
	struct flow_metrics *a = flow_metrics_new(), *b = flow_metrics_new();
	struct workload w = { .workload_name = "cart", .canonical_name = "cart", .canonical_revision = "v1", .ns = "shop", .cluster = "c" };
	const char *text;

	scrape(false);
	ck_assert_ptr_null(strstr(scrape(false), "istio_dns"));
	meters_dns_request(a, str_c("A"), METER_UDP, &w);
	meters_dns_request(b, str_c("a"), METER_UDP, &w);
	meters_dns_request(b, str_c("HTTPS"), METER_TCP, NULL);
	meters_dns_upstream(b, str_c("A"), METER_UDP, &w, true, 400000);
	meters_dns_upstream(b, str_c("A"), METER_UDP, &w, false, 6000000000);
	meters_on_demand_dns(a, &w, "spiffe://td/ns/shop/sa/cart", str_c("x.example"));
	flow_refused_early(a, &(struct flow){ .direction = FLOW_INBOUND }, FAIL_CERT_REVOKED, "");
	text = scrape(false);
	has(text, "# TYPE istio_dns_requests_total counter\n");
	has(text, "istio_dns_requests_total{request_query_type=\"a\",request_protocol=\"udp\",source_canonical_service=\"cart\","
		  "source_canonical_revision=\"v1\"} 2\n");
	has(text, "istio_dns_requests_total{request_query_type=\"https\",request_protocol=\"tcp\",source_canonical_service=\"unknown\","
		  "source_canonical_revision=\"unknown\"} 1\n");
	has(text, "istio_dns_upstream_requests_total{request_query_type=\"a\",request_protocol=\"udp\",source_canonical_service=\"cart\","
		  "source_canonical_revision=\"v1\"} 2\n");
	has(strstr(text, "istio_dns_upstream_failures_total{"), "} 1\n");
	has(text, "# TYPE istio_dns_upstream_request_duration_seconds histogram\n");
	has(text, "source_canonical_revision=\"v1\",le=\"0.0005\"} 1\n");
	has(text, "source_canonical_revision=\"v1\",le=\"5.0\"} 1\n");
	has(text, "source_canonical_revision=\"v1\",le=\"+Inf\"} 2\n");
	has(text, "istio_dns_upstream_request_duration_seconds_sum{");
	has(text, "} 6.0004\n");
	has(text, "istio_on_demand_dns_total{source_workload=\"cart\",source_canonical_service=\"cart\",source_canonical_revision=\"v1\","
		  "source_workload_namespace=\"shop\",source_principal=\"spiffe://td/ns/shop/sa/cart\",source_app=\"cart\","
		  "source_version=\"v1\",source_cluster=\"c\",hostname=\"x.example\"} 1\n");
	has(text, "istio_crl_policy_rejections_total{reporter=\"destination\"} 1\n");
	/* A client that asks for ever new things does not fill the memory. */
	for (int i = 0; i < TALLY_ROWS + 50; i++) {
		char host[32];

		snprintf(host, sizeof(host), "h%d.example", i);
		meters_on_demand_dns(b, &w, "", str_c(host));
	}
	has(scrape(false), "hostname=\"overflow\"} 50\n");
}
END_TEST

static void *scraper(void *arg)
{
	for (int i = 0; i < 20; i++) {
		struct buf mine = { 0 };

		prom_write(&mine, false, &build);
		buf_done(&mine);
	}
	return NULL;
}

START_TEST(read_while_written)
{
	struct flow_metrics *m = flow_metrics_new();
	pthread_t t;

	ck_assert_int_eq(pthread_create(&t, NULL, scraper, NULL), 0);
	for (int i = 0; i < 200; i++) {
		char host[32];

		snprintf(host, sizeof(host), "h%d", i);
		one(m, host, FAIL_NONE);
	}
	pthread_join(t, NULL);
	has(scrape(false), "destination_service=\"h199\"");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("prom");
	TCase *t = tcase_create("prom");
	SRunner *sr;
	int failures;

	log_set_levels(str_c("off"), NULL);
	tcase_add_test(t, all_labels_in_order);
	tcase_add_test(t, workers_are_summed);
	tcase_add_test(t, process_figures);
	tcase_add_test(t, values_are_made_safe);
	tcase_add_test(t, registered_families);
	tcase_add_test(t, meters);
	tcase_add_test(t, read_while_written);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failures = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failures != 0;
}
