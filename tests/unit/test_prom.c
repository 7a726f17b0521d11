/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "telemetry/flow.h"

static struct buf out;

static const char *scrape(bool openmetrics)
{
	buf_done(&out);
	flow_metrics_write(&out, openmetrics, "1.2.3");
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
	const char *text = scrape(true);

	has(text, "istio_build{component=\"meshd\",tag=\"1.2.3\"} 1\n");
	has(text, "# TYPE process_open_fds gauge\nprocess_open_fds ");
	has(text, "\nprocess_max_fds ");
	has(text, "\nprocess_resident_memory_bytes ");
	has(text, "\nmeshd_config_generation 0\n");
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

static void *scraper(void *arg)
{
	for (int i = 0; i < 20; i++) {
		struct buf mine = { 0 };

		flow_metrics_write(&mine, false, "x");
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
	tcase_add_test(t, read_while_written);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failures = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failures != 0;
}
