/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "telemetry/edges.h"
#include "telemetry/flow.h"
#include "telemetry/series.h"
#include "telemetry/why.h"

static struct workload *wl(const char *ns, const char *name, const char *app)
{
	char uid[256], id[256];

	snprintf(uid, sizeof(uid), "Kubernetes//Pod/%s/%s", ns, name);
	snprintf(id, sizeof(id), "spiffe://cluster.local/ns/%s/sa/%s", ns, app);
	return workload_new(&(struct workload){
		.uid = uid, .name = name, .ns = ns, .service_account = app, .trust_domain = "cluster.local", .identity = id,
		.network = "", .cluster = "Kubernetes", .node = "", .hostname = "", .canonical_name = app,
		.canonical_revision = "v1", .workload_name = app, .workload_type = "deployment",
		.locality = { "eu", "eu-1", "" }, .healthy = true,
	});
}

static struct addr at(const char *text)
{
	struct addr a;

	ck_assert_int_eq(addr_parse(str_c(text), &a), 0);
	return a;
}

static struct flow inbound(void)
{
	struct flow f = { .direction = FLOW_INBOUND, .mtls = true };

	f.source = at("10.0.0.1:4000");
	f.dest = at("10.0.0.2:15008");
	f.hbone = at("10.0.0.2:8080");
	f.source_workload = wl("web", "front-1", "front");
	f.dest_workload = wl("shop", "cart-1", "cart");
	flow_set(&f.source_id, str_c("spiffe://cluster.local/ns/web/sa/front"));
	flow_set(&f.dest_id, str_c("spiffe://cluster.local/ns/shop/sa/cart"));
	flow_set(&f.service_host, str_c("cart.shop.svc.cluster.local"));
	return f;
}

static char logged[65536];
static int log_pipe[2];

static void log_begin(bool json)
{
	ck_assert_int_eq(pipe(log_pipe), 0);
	log_set_json(json);
	log_start(log_pipe[1]);
	log_reset_levels();
}

static const char *log_end(void)
{
	ssize_t n;

	log_stop();
	close(log_pipe[1]);
	n = read(log_pipe[0], logged, sizeof(logged) - 1);
	logged[n > 0 ? n : 0] = '\0';
	close(log_pipe[0]);
	return logged;
}

static void has(const char *text, const char *part)
{
	ck_assert_msg(strstr(text, part) != NULL, "'%s' is missing in: %s", part, text);
}

static void hasnt(const char *text, const char *part)
{
	ck_assert_msg(strstr(text, part) == NULL, "'%s' should not be in: %s", part, text);
}

START_TEST(log_line_of_success)
{
	struct flow_metrics *m = flow_metrics_new();
	struct flow f = inbound();

	log_begin(false);
	flow_open(m, &f);
	flow_bytes(&f, 11, 22);
	flow_close(m, &f, FAIL_NONE, "", "", "", "");
	log_end();
	has(logged, "\tinfo\taccess\tconnection complete\tsrc.addr=10.0.0.1:4000 src.workload=\"front-1\" src.namespace=\"web\" "
		    "src.identity=\"spiffe://cluster.local/ns/web/sa/front\" src.cluster=\"Kubernetes\" dst.addr=10.0.0.2:15008 "
		    "dst.hbone_addr=10.0.0.2:8080 dst.service=\"cart.shop.svc.cluster.local\" dst.workload=\"cart-1\" "
		    "dst.namespace=\"shop\" dst.identity=\"spiffe://cluster.local/ns/shop/sa/cart\" dst.cluster=\"Kubernetes\" "
		    "direction=\"inbound\" bytes_sent=22 bytes_recv=11 duration=\"0ms\"\n");
	ck_assert_ptr_null(f.source_workload);
	ck_assert_ptr_null(f.source_id);
	ck_assert(f.id == 0);
}
END_TEST

START_TEST(log_bytes_turn_at_the_source)
{
	struct flow_metrics *m = flow_metrics_new();
	struct flow f = inbound();

	f.direction = FLOW_OUTBOUND;
	log_begin(false);
	flow_open(m, &f);
	flow_bytes(&f, 11, 22);
	flow_close(m, &f, FAIL_NONE, "", "", "", "");
	has(log_end(), "direction=\"outbound\" bytes_sent=11 bytes_recv=22");
}
END_TEST

START_TEST(log_line_of_refusal_json)
{
	struct flow_metrics *m = flow_metrics_new();
	struct flow f = inbound();
	char id[64];

	log_begin(true);
	flow_open(m, &f);
	flow_close(m, &f, FAIL_DENIED, "no allow policy matched", "shop/only-web", "rule 2", "be spiffe://x");
	log_end();
	snprintf(id, sizeof(id), "\"id\":\"%016llx\"", (unsigned long long)f.id);
	ck_assert(f.id != 0);
	has(logged, id);
	has(logged, "\"level\":\"error\"");
	has(logged, "\"error\":\"denied by policy: no allow policy matched\"");
	has(logged, "\"reason\":\"DENIED\"");
	has(logged, "\"policy\":\"shop/only-web\"");
	has(logged, "\"rule\":\"rule 2\"");
	has(logged, "\"hint\":");
	has(logged, "\"bytes_sent\":0");
}
END_TEST

START_TEST(early_denial_touches_no_counter)
{
	struct flow_metrics *m = flow_metrics_new();
	struct flow f = { .direction = FLOW_OUTBOUND };

	f.source = at("10.0.0.1:4000");
	f.dest = at("[fd00::1]:80");
	log_begin(false);
	flow_refused_early(m, &f, FAIL_NO_ENDPOINT, "all endpoints are unhealthy");
	log_end();
	has(logged, "\twarn\taccess\tconnection failed\tsrc.addr=10.0.0.1:4000 dst.addr=[fd00::1]:80 direction=\"outbound\" "
		    "error=\"no healthy upstream: all endpoints are unhealthy\" reason=NO_ENDPOINT id=");
	ck_assert_int_eq(m->count, 0);
	ck_assert(f.id != 0);
}
END_TEST

static struct edge edge;

static void keep_edge(const struct edge *e, void *arg)
{
	edge = *e;
}

/* One that was refused before it was open is told of, too. */
START_TEST(edge_of_a_flow)
{
	struct flow_metrics *m = flow_metrics_new();
	struct flow f = inbound();
	struct edge rest;

	log_set_levels(str_c("off"), NULL);
	f.bytes_received = 3;
	flow_open(m, &f);
	flow_bytes(&f, 10, 20);
	flow_close(m, &f, FAIL_NONE, NULL, NULL, NULL, NULL);
	f = inbound();
	flow_open(m, &f);
	flow_close(m, &f, FAIL_DENIED, NULL, NULL, NULL, NULL);
	f = inbound();
	flow_refused_early(m, &f, FAIL_NOT_WAYPOINT, NULL);
	f = inbound();
	flow_refused_early(m, &f, FAIL_NONE, NULL);
	ck_assert_uint_eq(edges_each(9, keep_edge, NULL, &rest), 0);
	ck_assert(str_is(edge.source, "spiffe://cluster.local/ns/web/sa/front") && str_is(edge.service, "cart.shop.svc.cluster.local"));
	ck_assert_uint_eq(edge.count[EDGE_CONNECTIONS], 2);
	ck_assert_uint_eq(edge.count[EDGE_REFUSED], 2);
	ck_assert_uint_eq(edge.count[EDGE_FAILED], 0);
	ck_assert_uint_eq(edge.count[EDGE_RECEIVED], 13);
	ck_assert_uint_eq(edge.count[EDGE_SENT], 20);
}
END_TEST

START_TEST(silent_when_off)
{
	struct flow_metrics *m = flow_metrics_new();
	struct flow f = inbound();

	log_begin(false);
	ck_assert_int_eq(log_set_levels(str_c("access=off"), NULL), 0);
	flow_open(m, &f);
	flow_close(m, &f, FAIL_DENIED, NULL, NULL, NULL, NULL);
	ck_assert_str_eq(log_end(), "");
	log_reset_levels();
}
END_TEST

START_TEST(resets_are_no_failures)
{
	struct flow_metrics *m = flow_metrics_new();
	struct flow f = inbound();
	struct flow_series *s;

	log_begin(false);
	flow_open(m, &f);
	s = f.series;
	flow_close(m, &f, FAIL_CLIENT_RESET, "", "", "", "");
	has(log_end(), "\tinfo\t");
	ck_assert(f.id == 0);
	ck_assert(series_get(&s->closed[SERIES_FLAG_NONE]) == 1);
	ck_assert(series_get(&s->failed[SERIES_FLAG_NONE]) == 0);
}
END_TEST

START_TEST(one_series_per_label_set)
{
	struct flow_metrics *m = flow_metrics_new();
	struct flow_series *s = NULL;

	for (int i = 0; i < 3; i++) {
		struct flow f = inbound();

		flow_open(m, &f);
		ck_assert(!s || s == f.series);
		s = f.series;
		flow_bytes(&f, 1, 2);
		flow_close(m, &f, i ? FAIL_NONE : FAIL_CONNECT, "", "", "", "");
	}
	ck_assert_int_eq(m->count, 1);
	ck_assert(series_get(&s->opened) == 3);
	ck_assert(series_get(&s->received) == 3);
	ck_assert(series_get(&s->sent) == 6);
	ck_assert(series_get(&s->closed[SERIES_FLAG_NONE]) == 2);
	ck_assert(series_get(&s->closed[SERIES_FLAG_CONNECT]) == 1);
	ck_assert(series_get(&s->failed[SERIES_FLAG_CONNECT]) == 1);
}
END_TEST

START_TEST(labels_from_baggage)
{
	struct flow_metrics *m = flow_metrics_new();
	struct flow f = inbound();

	workload_unref(f.source_workload);
	f.source_workload = NULL;
	f.peer_baggage = strdup("k8s.cluster.name=c2,k8s.namespace.name=far,k8s.deployment.name=caller,service.name=calls,service.version=v9");
	log_begin(false);
	flow_open(m, &f);
	flow_close(m, &f, FAIL_NONE, "", "", "", "");
	has(log_end(), "src.workload=\"calls\" src.namespace=\"far\"");
	has(logged, "src.cluster=\"c2\"");
}
END_TEST

START_TEST(series_are_capped)
{
	struct flow_metrics *m = flow_metrics_new();
	struct flow_series *last[2] = { NULL, NULL };

	log_begin(false);
	for (int i = 0; i < SERIES_MAX + 2; i++) {
		struct flow f = { .direction = FLOW_OUTBOUND };
		char host[32];

		snprintf(host, sizeof(host), "h%d.example", i);
		flow_set(&f.service_host, str_c(host));
		flow_open(m, &f);
		last[i & 1] = f.series;
		f.opened = false;
		log_set_levels(str_c("access=off"), NULL);
		flow_close(m, &f, FAIL_NONE, "", "", "", "");
	}
	ck_assert_int_eq(m->count, SERIES_MAX);
	ck_assert_ptr_eq(last[0], last[1]);
	ck_assert(series_get(&last[0]->opened) == 2);
	has(log_end(), "overflow");
	ck_assert_ptr_null(strstr(strstr(logged, "overflow") + 8, "overflow"));
	log_reset_levels();
}
END_TEST

START_TEST(why_tells)
{
	struct flow_metrics *m = flow_metrics_new();
	struct flow f = inbound();
	struct buf out = { 0 };

	log_begin(false);
	flow_open(m, &f);
	flow_close(m, &f, FAIL_DENIED, "de\"tail", "shop/only-web", "deny policy matched", "a principal of ns web\n");
	log_end();
	ck_assert_int_eq(why_write_json(f.id, 0, &out), 1);
	buf_append(&out, "", 1);
	has((char *)buf_data(&out), "\"detail\": \"de\\\"tail\"");
	has((char *)buf_data(&out), "\"policy\": \"shop/only-web\"");
	has((char *)buf_data(&out), "\"sourceIdentity\": \"spiffe://cluster.local/ns/web/sa/front\"");
	buf_done(&out);
	ck_assert_int_eq(why_write_text(f.id, 0, &out), 1);
	buf_append(&out, "", 1);
	has((char *)buf_data(&out), "denied by policy");
	has((char *)buf_data(&out), "(web/front-1)");
	has((char *)buf_data(&out), "what would have allowed it:\na principal of ns web\n");
	hasnt((char *)buf_data(&out), "meshd why");
	buf_done(&out);
	ck_assert_int_eq(why_write_json(12345, 0, &out), 0);
	ck_assert(str_is(buf_str(&out), "[]"));
	buf_done(&out);
}
END_TEST

START_TEST(why_is_bounded_and_newest_first)
{
	struct flow_metrics *m = flow_metrics_new();
	struct buf out = { 0 };
	char newest[32];

	log_begin(false);
	log_set_levels(str_c("access=off"), NULL);
	for (int i = 0; i < LIMIT_WHY_ENTRIES + 10; i++) {
		struct flow f = { .id = (uint64_t)i + 1 };

		flow_refused_early(m, &f, FAIL_LOOP, "");
	}
	log_end();
	log_reset_levels();
	ck_assert_int_eq(why_write_text(0, 0, &out), LIMIT_WHY_ENTRIES);
	snprintf(newest, sizeof(newest), "%016x", LIMIT_WHY_ENTRIES + 10);
	ck_assert(str_starts(buf_str(&out), str_c(newest)));
	ck_assert_int_eq(why_write_text(1, 0, &out), 0);
	ck_assert_int_eq(why_write_text(0, 3, &out), 3);
	buf_done(&out);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("flow");
	TCase *t = tcase_create("flow");
	SRunner *sr;
	int failures;

	tcase_add_test(t, log_line_of_success);
	tcase_add_test(t, log_bytes_turn_at_the_source);
	tcase_add_test(t, log_line_of_refusal_json);
	tcase_add_test(t, early_denial_touches_no_counter);
	tcase_add_test(t, silent_when_off);
	tcase_add_test(t, edge_of_a_flow);
	tcase_add_test(t, resets_are_no_failures);
	tcase_add_test(t, one_series_per_label_set);
	tcase_add_test(t, labels_from_baggage);
	tcase_add_test(t, series_are_capped);
	tcase_add_test(t, why_tells);
	tcase_add_test(t, why_is_bounded_and_newest_first);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failures = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failures != 0;
}
