/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/clusters.h"

#include "tests/unit/clusters.h"
#include "tests/unit/suite.h"

START_TEST(hosts_with_their_state)
{
	const struct seat seats[] = { { .uid = "a", .ip = "10.0.0.1", .at = { "r1", "z1", "" } }, { .uid = "b", .ip = "10.0.0.2", .sick = true, .weight = 3 } };
	struct cluster_conf conf = conf_of(LB_ROUND_ROBIN);
	struct cluster *c;
	struct pick_ask ask;
	struct buf out = { 0 };
	struct pick p;

	conf.outlier = (struct outlier_conf){ .on = true, .consecutive_5xx = 1, .interval_ms = 1000, .base_ms = 30000, .max_percent = 100 };
	publish((struct service){ 0 }, seats, 2);
	c = cluster_new(&conf, NULL);
	clusters_text_one(c, &out);
	buf_append(&out, "", 1);
	ck_assert_ptr_nonnull(strstr((char *)buf_data(&out), "outbound|80||cart::default_priority::max_retries::4294967295\n"));
	ask = ask_of(1);
	ck_assert(cluster_pick(c, &ask, &p));
	host_started(c, p.host);
	host_answered(c, p.host, HOST_5XX, 500, 1);
	buf_consume(&out, buf_len(&out));
	clusters_text_one(c, &out);
	buf_append(&out, "", 1);
	static const char *const want[] = {
		"outbound|80||cart::10.0.0.1:8080::rq_active::1\n", "outbound|80||cart::10.0.0.1:8080::health_flags::/failed_outlier_check\n",
		"outbound|80||cart::10.0.0.1:8080::region::r1\n", "outbound|80||cart::10.0.0.2:8080::health_flags::/failed_eds_health\n",
		"outbound|80||cart::10.0.0.2:8080::weight::3\n",
	};
	for (size_t i = 0; i < ARRAY_LEN(want); i++)
		ck_assert_msg(strstr((char *)buf_data(&out), want[i]) != NULL, "no %s in\n%s", want[i], (char *)buf_data(&out));
	host_ended(c, p.host);
	pick_done(&p);
	cluster_unref(c);
	buf_done(&out);
}
END_TEST

START_TEST(no_plan_no_clusters)
{
	struct buf out = { 0 };

	clusters_text(NULL, &out);
	ck_assert_uint_eq(buf_len(&out), 0);
	clusters_json(NULL, &out);
	ck_assert_ptr_nonnull(memmem(buf_data(&out), buf_len(&out), "\"cluster_statuses\": []", 22));
	buf_done(&out);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("clusters");
	TCase *t = tcase_create("clusters");

	tcase_add_test(t, hosts_with_their_state);
	tcase_add_test(t, no_plan_no_clusters);
	suite_add_tcase(s, t);
	return suite_run(s);
}
