/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "modes/authority.h"
#include "tests/unit/suite.h"

static const struct gateway wp = { .service = "shop/wp.test", .hbone_port = 15008 };
static const struct service_port ports[] = { { 80, 8080, "http", "HTTP", false, PROTOCOL_AUTO }, { 90, 0, "other", "TCP", false, PROTOCOL_AUTO }, { 81, 15008, "trap", "TCP", false, PROTOCOL_AUTO } };
static const struct service_port named[] = { { 15008, 0, "mesh", "TCP", false, PROTOCOL_AUTO } };

static struct mesh_edit *edit;
static struct gateway own_gate, ip_wp;

struct spec {
	const char *uid, *ip;
	const struct gateway *waypoint, *gate;
	bool proxy;
	uint16_t tunnel_port, target;
	enum tunnel_protocol tunnel;
};

static void put(const char *key, const char *vip, const char *vip2, const struct spec *s, int n, const struct service_port *v, int n_v,
		const struct gateway *waypoint)
{
	struct vip vips[2] = { { "", { { { 0 } }, 0 } }, { "", { { { 0 } }, 0 } } };
	struct endpoint_port own[4];
	struct endpoint e[4];
	struct service t = { .key = key, .ns = "shop", .hostname = strchr(key, '/') + 1, .ports = v, .n_ports = n_v, .waypoint = waypoint, .vips = vips };

	for (int i = 0; i < n; i++) {
		struct ip ip;

		ck_assert_int_eq(ip_parse(str_c(s[i].ip), &ip), 0);
		own[i] = (struct endpoint_port){ 80, s[i].target };
		e[i] = (struct endpoint){ workload_new(&(struct workload){ .uid = s[i].uid, .name = s[i].uid, .ns = "shop", .ips = &ip, .n_ips = 1,
			.waypoint = s[i].waypoint, .network_gateway = s[i].gate, .proxy_protocol = s[i].proxy, .app_tunnel_port = s[i].tunnel_port,
			.tunnel = s[i].tunnel, .healthy = true }), &own[i], s[i].target ? 1 : 0, 0 };
		mesh_put_workload(edit, workload_ref(e[i].workload));
	}
	for (const char *at = vip; at && t.n_vips < 2; at = vip2)
		ck_assert_int_eq(cidr_parse(str_c(at), &vips[t.n_vips++].cidr), 0);
	if (!vip2 && t.n_vips == 2)
		t.n_vips = 1;
	t.endpoints = endpoints_of(e, n);
	mesh_put_service(edit, service_new(&t));
	endpoints_unref(t.endpoints);
	for (int i = 0; i < n; i++)
		workload_unref(e[i].workload);
}

static void put_all(void)
{
	static const struct spec cart = { .uid = "cart", .ip = "10.0.0.1", .target = 7777 };
	static const struct spec plain = { .uid = "plain", .ip = "10.0.0.2", .waypoint = &wp };
	static const struct spec proxy = { .uid = "proxy", .ip = "10.0.0.3", .proxy = true, .tunnel_port = 15088 };
	static const struct spec bare = { .uid = "bare", .ip = "10.0.0.4", .proxy = true };
	static const struct spec port = { .uid = "port", .ip = "10.0.0.5", .tunnel_port = 15088 };
	static const struct spec wps = { .uid = "wp", .ip = "10.5.0.1" };
	static const struct spec gate = { .uid = "gate", .ip = "10.0.0.9" };
	static const struct spec back = { .uid = "back", .ip = "10.0.0.8", .gate = &own_gate, .tunnel = TUNNEL_HBONE };

	own_gate = (struct gateway){ .network = "", .hbone_port = 15008 };
	ip_wp = own_gate;
	ck_assert_int_eq(ip_parse(str_c("10.0.0.9"), &own_gate.ip), 0);
	ck_assert_int_eq(ip_parse(str_c("10.5.0.1"), &ip_wp.ip), 0);
	edit = mesh_edit_begin();
	put("shop/cart.test", "fd01::1", "10.1.0.1", &cart, 1, ports, 3, NULL);
	put("shop/plain.test", "10.1.0.2", NULL, &plain, 1, ports, 3, NULL);
	put("shop/guarded.test", "10.1.0.3", NULL, &plain, 1, ports, 3, &ip_wp);
	put("shop/proxy.test", "fd01::4", "10.1.0.4", &proxy, 1, ports, 3, NULL);
	put("shop/bare.test", NULL, NULL, &bare, 1, ports, 3, NULL);
	put("shop/port.test", "10.1.0.6", NULL, &port, 1, ports, 3, NULL);
	put("shop/wp.test", "10.6.0.1", NULL, &wps, 1, named, 1, NULL);
	put("shop/gates.test", "10.6.0.2", NULL, &gate, 1, named, 1, NULL);
	put("shop/back.test", "10.1.0.7", NULL, &back, 1, ports, 3, NULL);
	mesh_edit_publish(edit);
}

static const struct {
	const char *at, *local, *authority;    /* the workload, the address that was dialled, the authority */
	enum fail why;
	const char *to, *asked;                /* asked "": none */
	bool app_tunnel, forward;
} rows[] = {
	{ "cart", "10.0.0.1", "10.0.0.1:9", FAIL_NONE, "10.0.0.1:9", "10.0.0.1:9", 0, 0 },
	{ "cart", "10.0.0.1", "10.0.0.7:9", FAIL_WRONG_AUTHORITY, NULL, NULL, 0, 0 },
	{ "cart", "10.0.0.1", "10.1.0.1:80", FAIL_WRONG_AUTHORITY, NULL, NULL, 0, 0 },
	{ "cart", "10.0.0.1", "10.0.0.1:15008", FAIL_LOOP, NULL, NULL, 0, 0 },
	{ "cart", "10.0.0.1", "10.0.0.1:15006", FAIL_LOOP, NULL, NULL, 0, 0 },
	/* names */
	{ "cart", "10.0.0.1", "cart.test:80", FAIL_NONE, "10.0.0.1:7777", "10.1.0.1:80", 0, 0 },
	{ "cart", "10.0.0.1", "cart.test:90", FAIL_NONE, "10.0.0.1:90", "10.1.0.1:90", 0, 0 },
	{ "cart", "10.0.0.1", "cart.test:81", FAIL_LOOP, NULL, NULL, 0, 0 },
	{ "cart", "10.0.0.1", "cart.test:82", FAIL_UNKNOWN_AUTHORITY, NULL, NULL, 0, 0 },
	{ "cart", "10.0.0.1", "nobody.test:80", FAIL_UNKNOWN_AUTHORITY, NULL, NULL, 0, 0 },
	{ "cart", "10.0.0.1", "plain.test:80", FAIL_NONE, "10.0.0.1:8080", "10.1.0.2:80", 0, 0 },   /* as ztunnel: whose service is not asked */
	/* the waypoint of others */
	{ "wp", "10.5.0.1", "10.0.0.2:9", FAIL_NONE, "10.5.0.1:9", "10.0.0.2:9", 0, 0 },
	{ "wp", "10.5.0.1", "10.1.0.3:80", FAIL_NONE, "10.5.0.1:80", "10.1.0.3:80", 0, 0 },
	{ "wp", "10.5.0.1", "10.0.0.1:9", FAIL_WRONG_AUTHORITY, NULL, NULL, 0, 0 },
	{ "wp", "10.5.0.1", "10.1.0.2:80", FAIL_WRONG_AUTHORITY, NULL, NULL, 0, 0 },
	{ "cart", "10.0.0.1", "10.0.0.2:9", FAIL_WRONG_AUTHORITY, NULL, NULL, 0, 0 },
	/* applications with their own tunnel */
	{ "proxy", "10.0.0.3", "10.9.9.9:9", FAIL_NONE, "10.0.0.3:15088", "10.9.9.9:9", 1, 0 },
	{ "proxy", "10.0.0.3", "proxy.test:80", FAIL_NONE, "10.0.0.3:15088", "10.1.0.4:80", 1, 0 },
	{ "proxy", "10.0.0.3", "10.9.9.9:15008", FAIL_LOOP, NULL, NULL, 0, 0 },
	{ "bare", "10.0.0.4", "10.9.9.9:9", FAIL_NONE, "10.0.0.4:9", "10.9.9.9:9", 1, 0 },
	{ "bare", "10.0.0.4", "bare.test:80", FAIL_UNKNOWN_AUTHORITY, NULL, NULL, 0, 0 },           /* no address to say */
	{ "port", "10.0.0.5", "10.9.9.9:9", FAIL_NONE, "10.0.0.5:15088", "10.9.9.9:9", 0, 0 },
	/* the gateway of a network */
	{ "gate", "10.0.0.9", "back.test:80", FAIL_NONE, "10.0.0.8:15008", "", 0, 1 },
	{ "gate", "10.0.0.9", "cart.test:80", FAIL_NONE, "10.0.0.9:8080", "10.1.0.1:80", 0, 0 },    /* not its network's: as any other */
	{ "gate", "10.0.0.9", "10.0.0.8:80", FAIL_WRONG_AUTHORITY, NULL, NULL, 0, 0 },
	{ "cart", "10.0.0.1", "back.test:80", FAIL_NONE, "10.0.0.1:8080", "10.1.0.7:80", 0, 0 },
};

START_TEST(row)
{
	uint64_t seed = 7;
	struct authority_dice dice = { &seed, 1 };
	const struct mesh *m;
	struct authority a;
	struct addr at;
	struct ip local;
	struct str host = { 0 }, rest;
	char text[ADDR_TEXT];
	bool ok;

	put_all();
	m = mesh_current();
	ck_assert_int_eq(ip_parse(str_c(rows[_i].local), &local), 0);
	if (addr_parse(str_c(rows[_i].authority), &at) < 0) {
		host = str_cut(str_c(rows[_i].authority), ':', &rest);
		at = (struct addr){ .port = (uint16_t)strtoul(rest.p, NULL, 10) };
	}
	ok = authority_resolve(m, mesh_workload(m, str_c(rows[_i].at)), &local, &at, host, &dice, &a);
	ck_assert_int_eq(a.why, rows[_i].why);
	ck_assert_int_eq(ok, a.why == FAIL_NONE);
	if (!ok)
		return;
	ck_assert_str_eq(addr_format(&a.to, text), rows[_i].to);
	if (*rows[_i].asked)
		ck_assert_str_eq(addr_format(&a.asked, text), rows[_i].asked);
	ck_assert_int_eq(a.app_tunnel, rows[_i].app_tunnel);
	ck_assert_int_eq(a.forward, rows[_i].forward);
	ck_assert_int_eq(a.service != NULL, host.n != 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("authority");
	TCase *tc = tcase_create("authority");

	tcase_add_loop_test(tc, row, 0, (int)ARRAY_LEN(rows));
	suite_add_tcase(s, tc);
	return suite_run(s);
}
