/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdio.h>

#include "base/limits.h"
#include "modes/crowd.h"
#include "tests/unit/suite.h"

static struct crowd crowd;
static uint64_t now_ms = 1000;

static struct workload *replica(int i, bool healthy)
{
	char uid[16];

	snprintf(uid, sizeof(uid), "wp%d", i);
	return workload_new(&(struct workload){ .uid = uid, .name = uid, .ns = "shop", .identity = "x", .version = "", .healthy = healthy });
}

/* A waypoint's service with n replicas, beside another service of the first of them. */
static void publish(int n, int healthy)
{
	static const struct service_port hbone = { 15008, 0, "hbone", "TCP", false, PROTOCOL_AUTO }, other = { 80, 0, "other", "TCP", false, PROTOCOL_AUTO };
	struct service wp = { .key = "shop/wp.test", .ns = "shop", .hostname = "wp.test", .ports = &hbone, .n_ports = 1, .endpoints = endpoints_new() };
	struct service of = { .key = "shop/a.test", .ns = "shop", .hostname = "a.test", .ports = &other, .n_ports = 1, .endpoints = endpoints_new() };
	struct mesh_edit *edit = mesh_edit_begin();

	for (int i = 0; i < n; i++) {
		struct workload *w = replica(i, i < healthy);

		endpoints_put(&wp.endpoints, w, NULL, 0);
		endpoints_put(&of.endpoints, w, NULL, 0);
		mesh_put_workload(edit, w);
	}
	mesh_put_service(edit, service_new(&wp));
	mesh_put_service(edit, service_new(&of));
	endpoints_unref(wp.endpoints);
	endpoints_unref(of.endpoints);
	mesh_edit_publish(edit);
	now_ms += 100;
	crowd_look(&crowd, mesh_current(), mesh_workload(mesh_current(), str_c("wp0")), now_ms);
}

/* How many of a hundred connections that are so old have left. */
static int left(uint64_t opened_ms, uint64_t at_ms)
{
	int n = 0;

	for (uint64_t dice = 0; dice < 100; dice++)
		n += crowd_leaves(&crowd, opened_ms, dice * (LIMIT_REBALANCE_MS / 100), at_ms);
	return n;
}

START_TEST(growth)
{
	uint64_t old = now_ms;

	publish(1, 1);
	ck_assert_int_eq(crowd.n, 1);
	ck_assert_str_eq(crowd.service, "shop/wp.test");
	ck_assert_int_eq(left(old, now_ms + LIMIT_REBALANCE_MS), 0);
	publish(3, 1);               /* not ready yet */
	ck_assert_int_eq(left(old, now_ms + LIMIT_REBALANCE_MS), 0);
	publish(3, 3);
	ck_assert_int_eq(left(old, now_ms), 1);
	ck_assert_int_eq(left(old, now_ms + LIMIT_REBALANCE_MS / 2), 51);
	ck_assert_int_eq(left(old, now_ms + LIMIT_REBALANCE_MS), 100);
	ck_assert_int_eq(left(now_ms + 1, now_ms + LIMIT_REBALANCE_MS), 0);    /* came after that */
	crowd_done(&crowd);
}
END_TEST

START_TEST(fewer)
{
	publish(3, 3);
	publish(1, 1);
	ck_assert_int_eq(left(1, now_ms + LIMIT_REBALANCE_MS), 0);
	publish(2, 2);
	ck_assert_int_eq(left(1, now_ms + LIMIT_REBALANCE_MS), 100);
	crowd_done(&crowd);
}
END_TEST

START_TEST(nobody)
{
	struct mesh_edit *edit = mesh_edit_begin();

	mesh_put_workload(edit, replica(0, true));
	mesh_edit_publish(edit);
	crowd_look(&crowd, mesh_current(), mesh_workload(mesh_current(), str_c("wp0")), now_ms);
	ck_assert_int_eq(crowd.n, 0);
	publish(2, 2);               /* the service came late: who was there before may stay */
	ck_assert_int_eq(left(1, now_ms + LIMIT_REBALANCE_MS), 0);
	crowd_done(&crowd);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("crowd");
	TCase *tc = tcase_create("crowd");

	tcase_add_test(tc, growth);
	tcase_add_test(tc, fewer);
	tcase_add_test(tc, nobody);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
