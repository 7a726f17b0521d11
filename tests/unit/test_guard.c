/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdio.h>

#include "traffic/guard.h"
#include "tests/unit/suite.h"

static const struct gateway wp = { .service = "shop/wp.test", .hbone_port = 15008 };
static const struct gateway wp2 = { .service = "shop/wp2.test", .hbone_port = 15008 };
static const struct gateway gone = { .service = "shop/gone.test", .hbone_port = 15008 };
static const struct service_port ports[] = { { 80, 8080, "http", "HTTP", false, PROTOCOL_AUTO }, { 90, 0, "other", "TCP", false, PROTOCOL_AUTO } };

static struct mesh_edit *edit;

static struct workload *workload(const char *uid, const char *id, const struct gateway *waypoint, const char *version,
				 const char *const *services, int n_services)
{
	struct workload *w = workload_new(&(struct workload){ .uid = uid, .name = uid, .ns = "shop", .identity = id, .waypoint = waypoint,
		.version = version, .services = services, .n_services = n_services, .healthy = true });

	mesh_put_workload(edit, workload_ref(w));
	return w;
}

static void service(const char *key, struct workload *w, const struct gateway *waypoint, const struct weighted_gateway *v, int n, uint16_t own)
{
	const struct endpoint_port port = { 80, own };
	struct endpoint e = { w, &port, own ? 1 : 0, 0 };
	struct service t = { .key = key, .ns = "shop", .hostname = strchr(key, '/') + 1, .waypoint = waypoint, .waypoints = v, .n_waypoints = n,
			     .ports = ports, .n_ports = 2, .endpoints = endpoints_of(&e, 1) };

	mesh_put_service(edit, service_new(&t));
	endpoints_unref(t.endpoints);
}

static const struct {
	const char *workload;
	uint16_t port;
	const char *peer, *want;       /* the waypoint that was passed by; "": none is named; "met": the peer is one */
} rows[] = {
	{ "free", 8080, "web", "" },
	{ "own", 8080, "web", "shop/wp.test" },              /* the workload names one: for all ports */
	{ "own", 22, "", "shop/wp.test" },
	{ "own", 22, "wp", "met" },
	{ "own", 22, "wp2", "shop/wp.test" },
	{ "member", 8080, "web", "shop/wp.test" },           /* by the service, for its ports only */
	{ "member", 8080, "wp", "met" },
	{ "member", 90, "", "shop/wp.test" },
	{ "member", 80, "web", "" },
	{ "moved", 7777, "web", "shop/wp.test" },            /* the endpoint has its own target */
	{ "moved", 8080, "web", "" },
	{ "lost", 8080, "web", "shop/gone.test" },           /* nobody is a waypoint that is not there */
	{ "canary", 8080, "web", "shop/wp.test" },
	{ "canary", 8080, "wp", "met" },
	{ "canary", 8080, "wp2", "met" },
	{ "canary", 8080, "", "shop/wp.test" },
	{ "zero", 8080, "wp2", "met" },                      /* clients that know of an earlier weight still go there */
	{ "told", 8080, "web", "shop/wp.test" },             /* the control plane says what services there are */
	{ "told", 8080, "wp", "met" },
	{ "untold", 8080, "web", "" },
};

START_TEST(row)
{
	static const struct weighted_gateway canary[] = { { { .service = "shop/wp2.test", .hbone_port = 15008 }, 1 } };
	static const struct weighted_gateway zero[] = { { { .service = "shop/wp2.test", .hbone_port = 15008 }, 0 } };
	static const char *const told[] = { "shop/unknown.test", "shop/told.test" };
	const struct gateway *g;
	struct workload *v[12];
	char peer[64] = "";
	bool met;
	int n = 0;

	edit = mesh_edit_begin();
	v[n++] = workload("wp", "spiffe://td/ns/shop/sa/wp", NULL, "", NULL, 0);
	service("shop/wp.test", v[n - 1], NULL, NULL, 0, 0);
	v[n++] = workload("wp2", "spiffe://td/ns/shop/sa/wp2", NULL, "", NULL, 0);
	service("shop/wp2.test", v[n - 1], NULL, NULL, 0, 0);
	v[n++] = workload("free", "x", NULL, "", NULL, 0);
	v[n++] = workload("own", "x", &wp, "", NULL, 0);
	v[n++] = workload("member", "x", NULL, "", NULL, 0);
	service("shop/member.test", v[n - 1], &wp, NULL, 0, 0);
	v[n++] = workload("moved", "x", NULL, "", NULL, 0);
	service("shop/moved.test", v[n - 1], &wp, NULL, 0, 7777);
	v[n++] = workload("lost", "x", NULL, "", NULL, 0);
	service("shop/lost.test", v[n - 1], &gone, NULL, 0, 0);
	v[n++] = workload("canary", "x", NULL, "", NULL, 0);
	service("shop/canary.test", v[n - 1], &wp, canary, 1, 0);
	v[n++] = workload("zero", "x", NULL, "", NULL, 0);
	service("shop/zero.test", v[n - 1], &wp, zero, 1, 0);
	v[n++] = workload("told", "x", NULL, "1", told, 2);
	service("shop/told.test", v[n - 1], &wp, NULL, 0, 0);
	v[n++] = workload("untold", "x", NULL, "1", NULL, 0);
	service("shop/untold.test", v[n - 1], &wp2, NULL, 0, 0);
	mesh_edit_publish(edit);
	for (int i = 0; i < n; i++)
		workload_unref(v[i]);
	if (*rows[_i].peer)
		snprintf(peer, sizeof(peer), "spiffe://td/ns/shop/sa/%s", rows[_i].peer);
	g = guard_bypassed(mesh_current(), mesh_workload(mesh_current(), str_c(rows[_i].workload)), rows[_i].port, str_c(peer));
	met = guard_ask(mesh_current(), mesh_workload(mesh_current(), str_c(rows[_i].workload)), rows[_i].port, str_c(peer), NULL) == GUARD_MET;
	ck_assert_str_eq(g ? g->service : met ? "met" : "", rows[_i].want);
	ck_assert(!g || !met);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("guard");
	TCase *tc = tcase_create("guard");

	tcase_add_loop_test(tc, row, 0, (int)ARRAY_LEN(rows));
	suite_add_tcase(s, tc);
	return suite_run(s);
}
