/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "traffic/dest.h"
#include "tests/unit/suite.h"

static struct mesh_edit *edit;
static uint64_t seed = 1;

static struct addr addr(const char *text)
{
	struct addr a;

	ck_assert_msg(addr_parse(str_c(text), &a) == 0, "%s", text);
	return a;
}

/* An endpoint as a test writes it. */
struct spec {
	const char *uid, *ips[3];       /* up to two addresses */
	const char *network, *node, *cluster;
	struct locality at;
	enum tunnel_protocol tunnel;
	bool unhealthy;
	uint32_t weight;
	uint16_t target;                /* its own target for port 80; 0: the service's */
};

static struct workload *make(const struct spec *s)
{
	struct ip ips[2];
	int n = 0;

	for (; s->ips[n]; n++)
		ck_assert_int_eq(ip_parse(str_c(s->ips[n]), &ips[n]), 0);
	return workload_new(&(struct workload){ .uid = s->uid, .name = s->uid, .ns = "shop", .identity = "spiffe://td/ns/shop/sa/cart",
		.network = s->network, .node = s->node, .cluster = s->cluster, .locality = s->at, .tunnel = s->tunnel,
		.healthy = !s->unhealthy, .weight = s->weight, .ips = ips, .n_ips = n });
}

static const struct service_port ports[] = { { 80, 8080, "http", "HTTP" }, { 90, 0, "other", "TCP" } };

/* Puts the service with its endpoints; key and addresses come from its template. */
static void put(struct service t, const char *vip, const struct spec *specs, int n)
{
	struct endpoint_port own[64];
	struct endpoint endpoints[64];
	struct vip v = { "", { { { 0 } }, 0 } };

	ck_assert_int_eq(cidr_parse(str_c(vip), &v.cidr), 0);
	for (int i = 0; i < n; i++) {
		own[i] = (struct endpoint_port){ 80, specs[i].target };
		endpoints[i] = (struct endpoint){ make(&specs[i]), &own[i], specs[i].target ? 1 : 0, 0 };
		mesh_put_workload(edit, workload_ref(endpoints[i].workload));
	}
	t.key = t.key ? t.key : "shop/svc";
	t.ns = t.ns ? t.ns : "shop";
	t.vips = &v;
	t.n_vips = 1;
	t.ports = ports;
	t.n_ports = 2;
	t.endpoints = endpoints_of(endpoints, n);
	mesh_put_service(edit, service_new(&t));
	endpoints_unref(t.endpoints);
	for (int i = 0; i < n; i++)
		workload_unref(endpoints[i].workload);
}

static struct workload *known(const char *uid)
{
	struct workload *w = mesh_workload(mesh_current(), str_c(uid));

	ck_assert_msg(w != NULL, "%s", uid);
	return w;
}

static struct dest choose(const struct workload *client, const char *to, const struct dest_tried *tried, uint64_t now_ms)
{
	struct addr original = addr(to);
	struct dest d;

	dest_choose(mesh_current(), client, &original, tried, &seed, now_ms, &d);
	return d;
}

#define S(n, ...) static const struct spec n[] = { __VA_ARGS__ }

/* --- what kind of address --- */
static const struct {
	const char *to;
	enum dest_kind kind;
	const char *target, *connect, *service, *workload;
} kinds[] = {
	{ "192.0.2.1:80", DEST_PASSTHROUGH, "192.0.2.1:80", "192.0.2.1:80", "", "" },
	{ "10.0.0.1:9", DEST_HBONE, "10.0.0.1:9", "10.0.0.1:15008", "", "hbone" },
	{ "[fd00::1]:9", DEST_HBONE, "[fd00::1]:9", "[fd00::1]:15008", "", "hbone" },
	{ "10.0.0.2:9", DEST_PLAIN, "10.0.0.2:9", "10.0.0.2:9", "", "plain" },
	{ "10.0.0.4:9", DEST_HBONE, "10.0.0.4:9", "10.0.0.4:15008", "", "sick" },     /* asked for by its own address */
	{ "10.0.0.5:9", DEST_PASSTHROUGH, "10.0.0.5:9", "10.0.0.5:9", "", "" },       /* of another network */
	{ "10.1.0.1:80", DEST_HBONE, "10.0.0.1:8080", "10.0.0.1:15008", "shop/hbone", "hbone" },
	{ "10.1.0.1:90", DEST_HBONE, "10.0.0.1:90", "10.0.0.1:15008", "shop/hbone", "hbone" },
	{ "10.1.0.1:81", DEST_NONE, "10.1.0.1:81", "10.1.0.1:81", "shop/hbone", "" },
	{ "10.1.0.2:80", DEST_PLAIN, "10.0.0.2:7777", "10.0.0.2:7777", "shop/plain", "plain" },
	{ "10.1.0.2:90", DEST_PLAIN, "10.0.0.2:90", "10.0.0.2:90", "shop/plain", "plain" },
	{ "10.1.0.3:80", DEST_NONE, "10.1.0.3:80", "10.1.0.3:80", "shop/empty", "" },
	{ "10.1.0.4:80", DEST_NONE, "10.1.0.4:80", "10.1.0.4:80", "shop/sick", "" },
	{ "10.1.0.5:80", DEST_NONE, "10.1.0.5:80", "10.1.0.5:80", "shop/far", "" },   /* no gateway to its network */
	{ "10.1.0.6:80", DEST_PASSTHROUGH, "10.1.0.6:80", "10.1.0.6:80", "shop/pass", "" },
	{ "10.1.0.6:1", DEST_PASSTHROUGH, "10.1.0.6:1", "10.1.0.6:1", "shop/pass", "" },
	{ "10.1.0.7:80", DEST_NONE, "10.1.0.7:80", "10.1.0.7:80", "shop/homeless", "" },
	{ "10.2.7.7:80", DEST_HBONE, "10.0.0.8:8080", "10.0.0.8:15008", "shop/net", "net" },
	/* the VIP is also a workload's address: the service first, the workload for what the service does not have */
	{ "10.0.0.9:80", DEST_HBONE, "10.0.0.9:8080", "10.0.0.9:15008", "shop/own", "own" },
	{ "10.0.0.9:22", DEST_HBONE, "10.0.0.9:22", "10.0.0.9:15008", "", "own" },
};

static void put_kinds(void)
{
	S(hbone, { .uid = "hbone", .ips = { "10.0.0.1", "fd00::1" }, .tunnel = TUNNEL_HBONE });
	S(plain, { .uid = "plain", .ips = { "10.0.0.2" }, .target = 7777 });
	S(sick, { .uid = "sick", .ips = { "10.0.0.4" }, .tunnel = TUNNEL_HBONE, .unhealthy = true });
	S(far, { .uid = "far", .ips = { "10.0.0.5" }, .network = "far", .tunnel = TUNNEL_HBONE });
	S(homeless, { .uid = "homeless", .ips = { NULL } });
	S(net, { .uid = "net", .ips = { "10.0.0.8" }, .tunnel = TUNNEL_HBONE });
	S(own, { .uid = "own", .ips = { "10.0.0.9" }, .tunnel = TUNNEL_HBONE });

	edit = mesh_edit_begin();
	put((struct service){ .key = "shop/hbone" }, "10.1.0.1", hbone, 1);
	put((struct service){ .key = "shop/plain" }, "10.1.0.2", plain, 1);
	put((struct service){ .key = "shop/empty" }, "10.1.0.3", NULL, 0);
	put((struct service){ .key = "shop/sick" }, "10.1.0.4", sick, 1);
	put((struct service){ .key = "shop/far" }, "10.1.0.5", far, 1);
	put((struct service){ .key = "shop/pass", .lb_mode = LB_PASSTHROUGH }, "10.1.0.6", NULL, 0);
	put((struct service){ .key = "shop/homeless" }, "10.1.0.7", homeless, 1);
	put((struct service){ .key = "shop/net" }, "10.2.0.0/16", net, 1);
	put((struct service){ .key = "shop/own" }, "10.0.0.9", own, 1);
	mesh_edit_publish(edit);
}

START_TEST(kind)
{
	char text[ADDR_TEXT];
	struct dest d;

	put_kinds();
	for (int i = 0; i < 2; i++) {
		d = choose(i ? known("net") : NULL, kinds[_i].to, NULL, 1);
		ck_assert_int_eq(d.kind, kinds[_i].kind);
		ck_assert_str_eq(addr_format(&d.target, text), kinds[_i].target);
		ck_assert_str_eq(addr_format(&d.connect, text), kinds[_i].connect);
		ck_assert_str_eq(d.service ? d.service->key : "", kinds[_i].service);
		ck_assert_str_eq(d.workload ? d.workload->uid : "", kinds[_i].workload);
	}
}
END_TEST

START_TEST(own_network)
{
	struct dest d;

	put_kinds();
	d = choose(known("far"), "10.0.0.5:9", NULL, 1);
	ck_assert_int_eq(d.kind, DEST_HBONE);
	d = choose(known("far"), "10.0.0.1:9", NULL, 1);
	ck_assert_int_eq(d.kind, DEST_PASSTHROUGH);
	edit = mesh_edit_begin();
	mesh_edit_settings(edit, &(struct mesh_settings){ .network = "far" });
	mesh_edit_publish(edit);
	ck_assert_int_eq(choose(NULL, "10.0.0.5:9", NULL, 1).kind, DEST_HBONE);
}
END_TEST

START_TEST(hidden_from_other_namespaces)
{
	S(eps, { .uid = "a", .ips = { "10.0.0.1" } });
	struct workload *client;

	edit = mesh_edit_begin();
	put((struct service){ .ns = "shop", .hidden_outside_ns = true }, "10.1.0.1", eps, 1);
	mesh_edit_publish(edit);
	client = workload_new(&(struct workload){ .uid = "c", .ns = "web" });
	ck_assert_int_eq(choose(known("a"), "10.1.0.1:80", NULL, 1).kind, DEST_PLAIN);
	ck_assert_int_eq(choose(client, "10.1.0.1:80", NULL, 1).kind, DEST_PASSTHROUGH);
	workload_unref(client);
}
END_TEST

START_TEST(family)
{
	static const struct { const char *ips[3], *to, *want; } rows[] = {
		{ { "10.0.0.1", "fd00::1" }, "10.1.0.1:80", "10.0.0.1:8080" },
		{ { "fd00::1", "10.0.0.1" }, "10.1.0.1:80", "10.0.0.1:8080" },
		{ { "10.0.0.1", "fd00::1" }, "[fd01::1]:80", "[fd00::1]:8080" },
		{ { "fd00::1" }, "10.1.0.1:80", "[fd00::1]:8080" },
		{ { "fd00::1", "fd00::2" }, "10.1.0.1:80", "[fd00::1]:8080" },
		{ { "10.0.0.1", "10.1.0.1" }, "10.1.0.1:80", "10.1.0.1:8080" },     /* the address that was asked for */
	};
	struct spec s = { .uid = "a", .ips = { rows[_i].ips[0], rows[_i].ips[1] } };
	char text[ADDR_TEXT];
	struct dest d;

	edit = mesh_edit_begin();
	put((struct service){ .key = "shop/svc" }, strchr(rows[_i].to, '[') ? "fd01::1" : "10.1.0.1", &s, 1);
	mesh_edit_publish(edit);
	d = choose(NULL, rows[_i].to, NULL, 1);
	ck_assert_str_eq(addr_format(&d.target, text), rows[_i].want);
}
END_TEST

START_TEST(expected_identities)
{
	S(eps, { .uid = "a", .ips = { "10.0.0.1" }, .tunnel = TUNNEL_HBONE });
	const char *sans[40];
	struct dest d;

	for (int i = 0; i < 40; i++)
		sans[i] = i ? "spiffe://td/ns/x/sa/y" : "spiffe://td/ns/first/sa/y";
	for (int n = 0; n <= 40; n += 20) {
		edit = mesh_edit_begin();
		put((struct service){ .sans = sans, .n_sans = n }, "10.1.0.1", eps, 1);
		mesh_edit_publish(edit);
		d = choose(NULL, "10.1.0.1:80", NULL, 1);
		ck_assert_int_eq(d.n_expect, n ? DEST_EXPECT_MAX : 1);
		ck_assert(str_is(d.expect[0], "spiffe://td/ns/shop/sa/cart"));
		ck_assert(!n || str_is(d.expect[1], "spiffe://td/ns/first/sa/y"));
	}
	ck_assert_int_eq(choose(NULL, "10.0.0.1:80", NULL, 1).n_expect, 1);
	ck_assert_int_eq(choose(NULL, "192.0.2.1:80", NULL, 1).n_expect, 0);
}
END_TEST

/* --- load balancing --- */
S(spread, { .uid = "rack", .ips = { "10.0.0.1" }, .at = { "eu", "eu-1", "r1" }, .node = "n2", .cluster = "c1" },
	  { .uid = "zone", .ips = { "10.0.0.2" }, .at = { "eu", "eu-1", "r2" }, .node = "n2", .cluster = "c1" },
	  { .uid = "region", .ips = { "10.0.0.3" }, .at = { "eu", "eu-2", "r1" }, .node = "n2", .cluster = "c2" },
	  { .uid = "other", .ips = { "10.0.0.4" }, .at = { "us", "us-1", "r1" }, .node = "n1", .cluster = "c2" });
S(clients, { .uid = "client", .ips = { "10.9.0.1" }, .at = { "eu", "eu-1", "r1" }, .node = "n1", .cluster = "c1" });

static const struct {
	struct service s;
	const char *left_out, *want;    /* uids; all that may be chosen, and must be in 200 tries */
} modes[] = {
	{ { .lb_mode = LB_STANDARD }, "", "rack zone region other" },
	{ { .lb_mode = LB_STANDARD, .scopes = { LB_REGION }, .n_scopes = 1 }, "", "rack zone region other" },
	{ { .lb_mode = LB_STRICT, .scopes = { LB_REGION }, .n_scopes = 1 }, "", "rack zone region" },
	{ { .lb_mode = LB_STRICT, .scopes = { LB_REGION, LB_ZONE }, .n_scopes = 2 }, "", "rack zone" },
	{ { .lb_mode = LB_STRICT, .scopes = { LB_SUBZONE }, .n_scopes = 1 }, "", "rack region other" },    /* each scope alone */
	{ { .lb_mode = LB_STRICT, .scopes = { LB_NODE }, .n_scopes = 1 }, "", "other" },
	{ { .lb_mode = LB_STRICT, .scopes = { LB_CLUSTER }, .n_scopes = 1 }, "", "rack zone" },
	{ { .lb_mode = LB_STRICT, .scopes = { LB_NETWORK, LB_NODE }, .n_scopes = 2 }, "", "other" },
	{ { .lb_mode = LB_STRICT, .scopes = { LB_NODE, LB_REGION }, .n_scopes = 2 }, "", "" },
	{ { .lb_mode = LB_STRICT, .n_scopes = 0 }, "", "rack zone region other" },
	{ { .lb_mode = LB_FAILOVER, .scopes = { LB_REGION, LB_ZONE, LB_SUBZONE }, .n_scopes = 3 }, "", "rack" },
	{ { .lb_mode = LB_FAILOVER, .scopes = { LB_REGION, LB_ZONE, LB_SUBZONE }, .n_scopes = 3 }, "rack", "zone" },
	{ { .lb_mode = LB_FAILOVER, .scopes = { LB_REGION, LB_ZONE, LB_SUBZONE }, .n_scopes = 3 }, "rack zone", "region" },
	{ { .lb_mode = LB_FAILOVER, .scopes = { LB_REGION, LB_ZONE, LB_SUBZONE }, .n_scopes = 3 }, "rack zone region", "other" },
	{ { .lb_mode = LB_FAILOVER, .scopes = { LB_REGION, LB_ZONE, LB_SUBZONE }, .n_scopes = 3 }, "rack zone region other", "" },
	{ { .lb_mode = LB_FAILOVER, .scopes = { LB_NODE, LB_REGION }, .n_scopes = 2 }, "", "other" },
	{ { .lb_mode = LB_FAILOVER, .scopes = { LB_ZONE, LB_REGION }, .n_scopes = 2 }, "zone rack", "region other" },  /* leading scopes only */
	{ { .lb_mode = LB_FAILOVER, .n_scopes = 0 }, "", "rack zone region other" },
};

/* left out: by sickness, by having been tried, by having failed */
static void check_mode(int row, int how)
{
	struct spec eps[4];
	struct dest_tried tried = { .n = 0 };
	char got[4] = { 0 };
	static uint64_t now = 1000;

	now += 2 * LIMIT_EJECT_MS;
	memcpy(eps, spread, sizeof(eps));
	for (int i = 0; i < 4 && how == 0; i++)
		eps[i].unhealthy = strstr(modes[row].left_out, eps[i].uid) != NULL;
	edit = mesh_edit_begin();
	put(modes[row].s, "10.1.0.1", eps, 4);
	mesh_put_workload(edit, make(clients));
	mesh_edit_publish(edit);
	for (int i = 0; i < 4 && how; i++) {
		if (!strstr(modes[row].left_out, eps[i].uid))
			continue;
		if (how == 1)
			tried.workload[tried.n++] = known(eps[i].uid);
		else
			dest_failed(known(eps[i].uid), now);
	}
	for (int k = 0; k < 200; k++) {
		struct dest d = choose(known("client"), "10.1.0.1:80", &tried, now);

		ck_assert_int_eq(d.kind, *modes[row].want ? DEST_PLAIN : DEST_NONE);
		for (int i = 0; i < 4; i++)
			got[i] = got[i] || (d.workload && strcmp(d.workload->uid, spread[i].uid) == 0);
	}
	for (int i = 0; i < 4; i++)
		ck_assert_msg(got[i] == (strstr(modes[row].want, spread[i].uid) != NULL), "row %d: %s", row, spread[i].uid);
}

START_TEST(mode)
{
	check_mode(_i, 0);
	check_mode(_i, 1);
	if (*modes[_i].want)      /* when all have failed one of them is taken: see failed_ones */
		check_mode(_i, 2);
}
END_TEST

/* Unknown client: no locality, the process's own cluster. */
START_TEST(unknown_client)
{
	edit = mesh_edit_begin();
	mesh_edit_settings(edit, &(struct mesh_settings){ .cluster = "c1" });
	put((struct service){ .lb_mode = LB_FAILOVER, .scopes = { LB_CLUSTER, LB_REGION }, .n_scopes = 2 }, "10.1.0.1", spread, 4);
	mesh_edit_publish(edit);
	for (int i = 0; i < 100; i++)
		ck_assert_str_eq(choose(NULL, "10.1.0.1:80", NULL, 1).workload->cluster, "c1");
}
END_TEST

START_TEST(allow_unhealthy)
{
	S(eps, { .uid = "a", .ips = { "10.0.0.1" }, .unhealthy = true });

	edit = mesh_edit_begin();
	put((struct service){ .allow_unhealthy = true }, "10.1.0.1", eps, 1);
	mesh_edit_publish(edit);
	ck_assert_int_eq(choose(NULL, "10.1.0.1:80", NULL, 1).kind, DEST_PLAIN);
}
END_TEST

/* Shares follow the weights: with few endpoints (walked), with many (thrown), and with many of which few are usable. */
START_TEST(weights)
{
	struct spec eps[40];
	char uid[40][16], at[40][24];
	int n = _i ? 40 : 4, usable = _i == 1 ? 40 : 4, got[40] = { 0 }, total = 0;
	enum { TRIES = 40000 };

	for (int i = 0; i < n; i++) {
		snprintf(uid[i], sizeof(uid[i]), "w%d", i);
		snprintf(at[i], sizeof(at[i]), "10.0.0.%d", i + 1);
		eps[i] = (struct spec){ .uid = uid[i], .ips = { at[i] }, .weight = (uint32_t)(i % 4), .unhealthy = i >= usable };
		total += i < usable ? (i % 4 ? i % 4 : 1) : 0;    /* 0 counts as 1 */
	}
	edit = mesh_edit_begin();
	put((struct service){ .key = "shop/svc" }, "10.1.0.1", eps, n);
	mesh_edit_publish(edit);
	for (int k = 0; k < TRIES; k++) {
		struct dest d = choose(NULL, "10.1.0.1:80", NULL, 1);

		got[(int)d.target.ip.b[15] - 1]++;
	}
	for (int i = 0; i < n; i++) {
		double want = i < usable ? (double)TRIES * (i % 4 ? i % 4 : 1) / total : 0;

		ck_assert_msg(got[i] >= want * 0.85 - 1 && got[i] <= want * 1.15 + 1, "%d: %d, not %.0f", i, got[i], want);
	}
}
END_TEST

START_TEST(tried_ones)
{
	S(eps, { .uid = "a", .ips = { "10.0.0.1" } }, { .uid = "b", .ips = { "10.0.0.2" } });
	struct dest_tried tried = { .n = 0 };

	edit = mesh_edit_begin();
	put((struct service){ .key = "shop/svc" }, "10.1.0.1", eps, 2);
	mesh_edit_publish(edit);
	for (int i = 0; i < 2; i++) {
		struct dest d = choose(NULL, "10.1.0.1:80", &tried, 1);

		ck_assert_int_eq(d.kind, DEST_PLAIN);
		for (int k = 0; k < tried.n; k++)
			ck_assert_ptr_ne(d.workload, tried.workload[k]);
		tried.workload[tried.n++] = workload_ref(d.workload);
		/* New objects of the same workloads count as tried, too. */
		edit = mesh_edit_begin();
		put((struct service){ .key = "shop/svc" }, "10.1.0.1", eps, 2);
		mesh_edit_publish(edit);
	}
	ck_assert_int_eq(choose(NULL, "10.1.0.1:80", &tried, 1).kind, DEST_NONE);
	ck_assert_int_eq(choose(NULL, "10.0.0.1:80", &tried, 1).kind, DEST_NONE);
	for (int i = 0; i < 2; i++)
		workload_unref((struct workload *)tried.workload[i]);
}
END_TEST

START_TEST(failed_ones)
{
	S(eps, { .uid = "a", .ips = { "10.0.0.1" } }, { .uid = "b", .ips = { "10.0.0.2" } });
	uint64_t now = 5000;
	int n_a = 0;

	edit = mesh_edit_begin();
	put((struct service){ .key = "shop/svc" }, "10.1.0.1", eps, 2);
	mesh_edit_publish(edit);
	dest_worked(known("a"));
	dest_failed(known("a"), now);
	for (int i = 0; i < 100; i++)
		ck_assert_str_eq(choose(NULL, "10.1.0.1:80", NULL, now + LIMIT_EJECT_MS - 1).workload->uid, "b");
	ck_assert_str_eq(choose(NULL, "10.0.0.1:80", NULL, now).workload->uid, "a");      /* there is no other */
	for (int i = 0; i < 100; i++)
		n_a += strcmp(choose(NULL, "10.1.0.1:80", NULL, now + LIMIT_EJECT_MS).workload->uid, "a") == 0;
	ck_assert_int_gt(n_a, 10);
	dest_failed(known("b"), now);
	n_a = 0;
	for (int i = 0; i < 100; i++)                                                    /* all failed: any */
		n_a += strcmp(choose(NULL, "10.1.0.1:80", NULL, now).workload->uid, "a") == 0;
	ck_assert(n_a > 10 && n_a < 90);
	dest_worked(known("a"));
	dest_worked(known("a"));
	for (int i = 0; i < 100; i++)
		ck_assert_str_eq(choose(NULL, "10.1.0.1:80", NULL, now).workload->uid, "a");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("dest");
	TCase *tc = tcase_create("dest");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, kind, 0, (int)ARRAY_LEN(kinds));
	tcase_add_test(tc, own_network);
	tcase_add_test(tc, hidden_from_other_namespaces);
	tcase_add_loop_test(tc, family, 0, 6);
	tcase_add_test(tc, expected_identities);
	tcase_add_loop_test(tc, mode, 0, (int)ARRAY_LEN(modes));
	tcase_add_test(tc, unknown_client);
	tcase_add_test(tc, allow_unhealthy);
	tcase_add_loop_test(tc, weights, 0, 3);
	tcase_add_test(tc, tried_ones);
	tcase_add_test(tc, failed_ones);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
