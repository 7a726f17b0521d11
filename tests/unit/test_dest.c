/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "model/meshconfig.h"
#include "model/sidecarscope.h"
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
	const char *hostname;
	const struct gateway *waypoint, *network_gateway;
	uint16_t app_tunnel_port;
	const char *sa;                 /* "cart" */
};

static struct workload *make(const struct spec *s)
{
	struct ip ips[2];
	char id[100];
	int n = 0;

	for (; s->ips[n]; n++)
		ck_assert_int_eq(ip_parse(str_c(s->ips[n]), &ips[n]), 0);
	snprintf(id, sizeof(id), "spiffe://td/ns/shop/sa/%s", s->sa ? s->sa : "cart");
	return workload_new(&(struct workload){ .uid = s->uid, .name = s->uid, .ns = "shop", .identity = id, .hostname = s->hostname,
		.waypoint = s->waypoint, .network_gateway = s->network_gateway, .app_tunnel_port = s->app_tunnel_port,
		.network = s->network, .node = s->node, .cluster = s->cluster, .locality = s->at, .tunnel = s->tunnel,
		.healthy = !s->unhealthy, .weight = s->weight, .ips = ips, .n_ips = n });
}

static const struct service_port ports[] = { { 80, 8080, "http", "HTTP", false, PROTOCOL_AUTO }, { 90, 0, "other", "TCP", false, PROTOCOL_AUTO } };

/* Puts the service with its endpoints; key and addresses come from its template. */
static void put(struct service t, const char *vip, const struct spec *specs, int n)
{
	struct endpoint_port own[64];
	struct endpoint endpoints[64];
	struct vip v = { t.n_vips ? t.vips->network : "", { { { 0 } }, 0 } };

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
	{ "10.3.0.2:80", DEST_PASSTHROUGH, "10.3.0.2:80", "10.3.0.2:80", "shop/block", "" },
	{ "10.3.0.1:80", DEST_HBONE, "10.3.0.1:80", "10.3.0.1:15008", "", "inside" },
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
	put((struct service){ .key = "shop/block", .lb_mode = LB_PASSTHROUGH }, "10.3.0.0/16", NULL, 0);
	mesh_put_workload(edit, make(&(struct spec){ .uid = "inside", .ips = { "10.3.0.1" }, .tunnel = TUNNEL_HBONE }));
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

/* REGISTRY_ONLY, where the stance is not Istio's: what nobody has is not reached, all else is as it was. */
START_TEST(only_what_is_registered)
{
	struct mesh_config *c;

	put_kinds();
	for (int closed = 0; closed < 2; closed++) {
		edit = mesh_edit_begin();
		mesh_edit_settings(edit, &(struct mesh_settings){ .stance = closed ? STANCE_CLOSED : STANCE_ISTIO });
		c = resource_new(RESOURCE_MESH_CONFIG, sizeof(*c), "MeshConfig", "", "", "mesh.yaml", 0);
		c->outbound = SCOPE_REGISTRY_ONLY;
		mesh_put_resource(edit, &c->r);
		mesh_edit_publish(edit);
		ck_assert_int_eq(choose(NULL, "192.0.2.1:80", NULL, 1).kind, closed ? DEST_NONE : DEST_PASSTHROUGH);
		ck_assert_int_eq(choose(NULL, "192.0.2.1:80", NULL, 1).why, closed ? FAIL_UNREGISTERED : FAIL_NONE);
		ck_assert_int_eq(choose(NULL, "10.0.0.2:9", NULL, 1).kind, DEST_PLAIN);
		ck_assert_int_eq(choose(NULL, "10.1.0.6:80", NULL, 1).kind, DEST_PASSTHROUGH);
		ck_assert_int_eq(choose(NULL, "10.1.0.1:80", NULL, 1).kind, DEST_HBONE);
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
	const char *sans[80];
	struct dest d;

	for (int i = 0; i < 80; i++)
		sans[i] = i ? "spiffe://td/ns/x/sa/y" : "spiffe://td/ns/first/sa/y";
	for (int n = 0; n <= 80; n += 40) {
		edit = mesh_edit_begin();
		put((struct service){ .sans = sans, .n_sans = n }, "10.1.0.1", eps, 1);
		mesh_edit_publish(edit);
		d = choose(NULL, "10.1.0.1:80", NULL, 1);
		ck_assert_int_eq(d.n_expect, n + 1 < DEST_EXPECT_MAX ? n + 1 : DEST_EXPECT_MAX);
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

/* --- waypoints --- */
static struct gateway by_ip(const char *network, const char *ip, uint16_t port)
{
	struct gateway g = { .network = network, .hbone_port = port };

	ck_assert_int_eq(ip_parse(str_c(ip), &g.ip), 0);
	return g;
}

static const struct gateway wp = { .service = "shop/wp.test", .hbone_port = 15008 };
static const struct gateway wp_host = { .service = "shop/wpw.test", .hbone_port = 15008 };
static const struct gateway wp_gone = { .service = "shop/gone.test", .hbone_port = 15008 };
static const struct gateway wp_empty = { .service = "shop/nobody.test", .hbone_port = 15008 };
static const struct service_port wp_ports[] = { { 15008, 15008, "mesh", "TCP", false, PROTOCOL_AUTO } };

static void put_ports(struct service t, const char *vip, const struct spec *specs, int n, const struct service_port *v, int n_v)
{
	struct endpoint endpoints[8];
	struct vip at = { t.n_vips ? t.vips->network : "", { { { 0 } }, 0 } };

	ck_assert_int_eq(cidr_parse(str_c(vip), &at.cidr), 0);
	for (int i = 0; i < n; i++) {
		endpoints[i] = (struct endpoint){ .workload = make(&specs[i]) };
		mesh_put_workload(edit, workload_ref(endpoints[i].workload));
	}
	t.ns = "shop";
	t.hostname = strchr(t.key, '/') + 1;
	t.vips = &at;
	t.n_vips = 1;
	t.ports = v;
	t.n_ports = n_v;
	t.endpoints = endpoints_of(endpoints, n);
	mesh_put_service(edit, service_new(&t));
	endpoints_unref(t.endpoints);
	for (int i = 0; i < n; i++)
		workload_unref(endpoints[i].workload);
}

static void put_waypoints(void)
{
	static const char *const san[] = { "spiffe://td/ns/shop/sa/extra" };
	static const struct weighted_gateway canary[] = { { { .service = "shop/wp.test", .hbone_port = 15008 }, 1 },
							  { { .service = "shop/canary.test", .hbone_port = 15008 }, 3 } };
	static const struct weighted_gateway zero[] = { { { .service = "shop/canary.test", .hbone_port = 15008 }, 0 } };
	static struct gateway ip_wp, ip_vip;
	S(wps, { .uid = "wp", .ips = { "10.5.0.1", "fd05::1" }, .tunnel = TUNNEL_HBONE, .sa = "wp" });
	S(canaries, { .uid = "canary", .ips = { "10.5.0.2" }, .sa = "wp" });
	S(tunnel, { .uid = "sandwich", .ips = { "10.5.0.3" }, .app_tunnel_port = 15088, .sa = "wp" });
	S(eps, { .uid = "ep", .ips = { "10.0.0.1" }, .tunnel = TUNNEL_HBONE });
	S(lone, { .uid = "lone", .ips = { "10.0.0.2" }, .waypoint = &wp },
	  { .uid = "wpw", .ips = { "10.5.0.4" }, .hostname = "wpw.test", .sa = "wp" },
	  { .uid = "guarded", .ips = { "10.0.0.3" }, .tunnel = TUNNEL_HBONE, .waypoint = &wp },
	  { .uid = "lost", .ips = { "10.0.0.4" }, .waypoint = &wp_gone },
	  { .uid = "byhost", .ips = { "10.0.0.5" }, .waypoint = &wp_host });

	ip_wp = by_ip("", "10.5.0.1", 15008);
	ip_vip = by_ip("", "10.6.0.1", 15008);
	edit = mesh_edit_begin();
	put_ports((struct service){ .key = "shop/wp.test", .sans = san, .n_sans = 1 }, "10.6.0.1", wps, 1, wp_ports, 1);
	put_ports((struct service){ .key = "shop/canary.test" }, "10.6.0.2", canaries, 1, wp_ports, 1);
	put_ports((struct service){ .key = "shop/sandwich.test" }, "10.6.0.3", tunnel, 1, ports, 2);   /* lacks 15008 */
	put_ports((struct service){ .key = "shop/portless.test" }, "10.6.0.4", canaries, 1, ports, 2);
	put_ports((struct service){ .key = "shop/nobody.test" }, "10.6.0.5", NULL, 0, wp_ports, 1);
	put_ports((struct service){ .key = "shop/lone" }, "10.1.0.9", lone, 5, ports, 2);
	put((struct service){ .key = "shop/s1", .waypoint = &wp }, "10.1.0.1", eps, 1);
	put((struct service){ .key = "shop/s2", .waypoint = &ip_wp }, "10.1.0.2", eps, 1);
	put((struct service){ .key = "shop/s3", .waypoint = &ip_vip }, "10.1.0.3", eps, 1);
	put((struct service){ .key = "shop/s4", .waypoint = &wp_gone }, "10.1.0.4", eps, 1);
	put((struct service){ .key = "shop/s5", .waypoint = &wp_empty }, "10.1.0.5", eps, 1);
	put((struct service){ .key = "shop/s6", .waypoint = &wp_host }, "10.1.0.6", eps, 1);
	put((struct service){ .key = "shop/s7", .waypoint = &wp_gone, .waypoints = canary, .n_waypoints = 2 }, "10.1.0.7", eps, 1);
	put((struct service){ .key = "shop/s8", .waypoint = &wp, .waypoints = zero, .n_waypoints = 1 }, "10.1.0.8", eps, 1);
	put((struct service){ .key = "shop/s10", .lb_mode = LB_PASSTHROUGH, .waypoint = &wp }, "10.1.0.10", NULL, 0);
	put((struct service){ .key = "shop/s11", .waypoint = &(struct gateway){ .service = "shop/sandwich.test", .hbone_port = 15008 } },
	    "10.1.0.11", eps, 1);
	put((struct service){ .key = "shop/s12", .waypoint = &(struct gateway){ .service = "shop/portless.test", .hbone_port = 15008 } },
	    "10.1.0.12", eps, 1);
	put((struct service){ .key = "shop/s13", .waypoint = &wp }, "fd01::13", eps, 1);
	put((struct service){ .key = "shop/s14", .waypoint = &wp }, "10.0.0.9", eps, 1);
	mesh_put_workload(edit, make(&(struct spec){ .uid = "same", .ips = { "10.0.0.9" }, .tunnel = TUNNEL_HBONE }));
	mesh_edit_publish(edit);
}

static const struct {
	const char *client, *to;
	enum dest_kind kind;
	const char *target, *connect, *workload, *service;
	enum fail why;
	int n_expect;
} waypoints[] = {
	{ "ep", "10.1.0.1:80", DEST_HBONE, "10.1.0.1:80", "10.5.0.1:15008", "wp", "shop/s1", 0, 2 },
	{ "ep", "10.1.0.1:9999", DEST_HBONE, "10.1.0.1:9999", "10.5.0.1:15008", "wp", "shop/s1", 0, 2 },   /* the waypoint decides */
	{ "ep", "[fd01::13]:80", DEST_HBONE, "[fd01::13]:80", "[fd05::1]:15008", "wp", "shop/s13", 0, 2 },
	{ "ep", "10.1.0.2:80", DEST_HBONE, "10.1.0.2:80", "10.5.0.1:15008", "wp", "shop/s2", 0, 1 },       /* by a workload's address */
	{ "ep", "10.1.0.3:80", DEST_HBONE, "10.1.0.3:80", "10.5.0.1:15008", "wp", "shop/s3", 0, 2 },       /* by a VIP */
	{ "ep", "10.1.0.4:80", DEST_NONE, "10.1.0.4:80", "10.1.0.4:80", "", "shop/s4", FAIL_NO_WAYPOINT, 0 },
	{ "ep", "10.1.0.5:80", DEST_NONE, "10.1.0.5:80", "10.1.0.5:80", "", "shop/s5", FAIL_NO_WAYPOINT, 0 },
	{ "ep", "10.1.0.6:80", DEST_HBONE, "10.1.0.6:80", "10.5.0.4:15008", "wpw", "shop/s6", 0, 1 },      /* by a workload's host name */
	{ "ep", "10.1.0.8:80", DEST_HBONE, "10.1.0.8:80", "10.5.0.1:15008", "wp", "shop/s8", 0, 2 },       /* all weights are 0 */
	{ "ep", "10.1.0.10:80", DEST_HBONE, "10.1.0.10:80", "10.5.0.1:15008", "wp", "shop/s10", 0, 2 },
	{ "ep", "10.1.0.11:80", DEST_HBONE, "10.1.0.11:80", "10.5.0.3:15008", "sandwich", "shop/s11", 0, 1 },
	{ "ep", "10.1.0.12:80", DEST_NONE, "10.1.0.12:80", "10.1.0.12:80", "", "shop/s12", FAIL_NO_WAYPOINT, 0 },
	{ "wp", "10.1.0.1:80", DEST_HBONE, "10.1.0.1:80", "10.5.0.1:15008", "wp", "shop/s1", 0, 2 },       /* services know no exception */
	/* workloads */
	{ "ep", "10.0.0.2:22", DEST_HBONE, "10.0.0.2:22", "10.5.0.1:15008", "wp", "", 0, 2 },              /* even one that speaks no HBONE */
	{ "ep", "10.0.0.3:22", DEST_HBONE, "10.0.0.3:22", "10.5.0.1:15008", "wp", "", 0, 2 },
	{ "ep", "10.0.0.9:9999", DEST_HBONE, "10.0.0.9:9999", "10.5.0.1:15008", "wp", "shop/s14", 0, 2 },   /* though a workload has the address */
	{ "wp", "10.0.0.3:22", DEST_HBONE, "10.0.0.3:22", "10.0.0.3:15008", "guarded", "", 0, 1 },         /* it is the waypoint */
	{ "wp", "10.0.0.2:22", DEST_PLAIN, "10.0.0.2:22", "10.0.0.2:22", "lone", "", 0, 1 },
	{ "canary", "10.0.0.3:22", DEST_HBONE, "10.0.0.3:22", "10.5.0.1:15008", "wp", "", 0, 2 },
	{ "ep", "10.0.0.4:22", DEST_NONE, "10.0.0.4:22", "10.0.0.4:22", "", "", FAIL_NO_WAYPOINT, 0 },
	{ "ep", "10.0.0.5:22", DEST_HBONE, "10.0.0.5:22", "10.5.0.4:15008", "wpw", "", 0, 1 },
	{ "wpw", "10.0.0.5:22", DEST_PLAIN, "10.0.0.5:22", "10.0.0.5:22", "byhost", "", 0, 1 },
};

START_TEST(waypoint)
{
	char text[ADDR_TEXT];
	struct dest d;

	put_waypoints();
	d = choose(known(waypoints[_i].client), waypoints[_i].to, NULL, 1);
	ck_assert_int_eq(d.kind, waypoints[_i].kind);
	ck_assert_int_eq(d.why, waypoints[_i].why);
	ck_assert_str_eq(addr_format(&d.target, text), waypoints[_i].target);
	ck_assert_str_eq(addr_format(&d.connect, text), waypoints[_i].connect);
	ck_assert_str_eq(d.workload ? d.workload->uid : "", waypoints[_i].workload);
	ck_assert_str_eq(d.service ? d.service->key : "", waypoints[_i].service);
	ck_assert_int_eq(d.n_expect, waypoints[_i].n_expect);
	ck_assert_int_eq(d.host.n + d.resolve.n, 0);
	if (d.why == FAIL_NO_WAYPOINT)
		ck_assert_ptr_nonnull(d.missing);
}
END_TEST

/* A service's endpoints do not count their own waypoints: only what is addressed as a workload passes those. */
START_TEST(workload_waypoint_of_an_endpoint)
{
	bool direct = false;

	put_waypoints();
	for (int i = 0; i < 200; i++)
		direct |= strcmp(choose(known("ep"), "10.1.0.9:80", NULL, 1).workload->uid, "guarded") == 0;
	ck_assert(direct);
}
END_TEST

START_TEST(weighted_waypoints)
{
	int canary = 0;

	put_waypoints();
	for (int i = 0; i < 4000; i++)
		canary += strcmp(choose(known("ep"), "10.1.0.7:80", NULL, 1).workload->uid, "canary") == 0;
	ck_assert_msg(canary > 2850 && canary < 3150, "%d", canary);
}
END_TEST

START_TEST(waypoint_elsewhere_when_one_failed)
{
	S(two, { .uid = "wp1", .ips = { "10.5.0.1" } }, { .uid = "wp2", .ips = { "10.5.0.2" } });
	S(eps, { .uid = "ep", .ips = { "10.0.0.1" } });
	struct dest_tried tried = { .n = 0 };

	edit = mesh_edit_begin();
	put_ports((struct service){ .key = "shop/wp.test" }, "10.6.0.1", two, 2, wp_ports, 1);
	put((struct service){ .key = "shop/s", .waypoint = &wp }, "10.1.0.1", eps, 1);
	mesh_edit_publish(edit);
	for (int i = 0; i < 2; i++) {
		struct dest d = choose(known("ep"), "10.1.0.1:80", &tried, 1);

		ck_assert_int_eq(d.kind, DEST_HBONE);
		tried.workload[tried.n++] = d.workload;
	}
	ck_assert_str_ne(tried.workload[0]->uid, tried.workload[1]->uid);
	ck_assert_int_eq(choose(known("ep"), "10.1.0.1:80", &tried, 1).kind, DEST_NONE);
}
END_TEST

/* --- other networks --- */
static struct gateway gate_ip, gate_gone;
static const struct gateway gate_svc = { .service = "shop/gate.test", .hbone_port = 15009 };

static void put_networks(void)
{
	static const char *const san[] = { "spiffe://td/ns/shop/sa/remote" };
	static const struct service_port gate_ports[] = { { 15009, 15008, "gate", "TCP", false, PROTOCOL_AUTO } };
	static const enum lb_scope region[] = { LB_NETWORK, LB_REGION };
	S(gate, { .uid = "gate", .ips = { "192.0.2.1" }, .network = "far", .sa = "gate" });
	S(here, { .uid = "here", .ips = { "10.0.0.1" }, .tunnel = TUNNEL_HBONE });
	S(remote, { .uid = "remote", .ips = { NULL }, .network = "far", .network_gateway = &gate_ip, .tunnel = TUNNEL_HBONE });
	S(remote2, { .uid = "remote2", .ips = { "10.0.0.1" }, .network = "far", .network_gateway = &gate_svc });
	S(remote3, { .uid = "remote3", .ips = { "10.0.0.1" }, .network = "farther", .network_gateway = &gate_gone });
	S(both, { .uid = "here", .ips = { "10.0.0.1" }, .tunnel = TUNNEL_HBONE },
		{ .uid = "remote", .ips = { NULL }, .network = "far", .network_gateway = &gate_ip, .tunnel = TUNNEL_HBONE });
	struct service mixed = { .key = "shop/f", .sans = san, .n_sans = 1, .lb_mode = LB_FAILOVER, .n_scopes = 2 };

	memcpy(mixed.scopes, region, sizeof(region));
	gate_ip = by_ip("far", "192.0.2.1", 15008);
	gate_gone = by_ip("farther", "192.0.2.9", 15008);
	edit = mesh_edit_begin();
	put_ports((struct service){ .key = "shop/gate.test" }, "10.6.0.1", gate, 1, gate_ports, 1);
	put((struct service){ .key = "shop/a", .hostname = "a.test", .sans = san, .n_sans = 1 }, "10.1.0.1", remote, 1);
	put((struct service){ .key = "shop/b", .hostname = "b.test", .sans = san, .n_sans = 1 }, "10.1.0.2", remote2, 1);
	put((struct service){ .key = "shop/c", .sans = san, .n_sans = 1 }, "10.1.0.3", remote3, 1);
	put((struct service){ .key = "shop/d" }, "10.1.0.4", remote, 1);
	put((struct service){ .key = "shop/e", .sans = san, .n_sans = 1 }, "10.1.0.5", both, 2);
	put(mixed, "10.1.0.6", both, 2);
	put((struct service){ .key = "shop/g", .hostname = "g.test", .waypoint = &(struct gateway){ .service = "shop/wpr", .hbone_port = 80 } },
	    "10.1.0.7", here, 1);
	put((struct service){ .key = "shop/wpr", .sans = san, .n_sans = 1 }, "10.6.0.7", remote, 1);
	/* Waypoints of another network that are no services: nothing tells whom to expect behind the gateway. */
	mesh_put_workload(edit, make(&(struct spec){ .uid = "named", .hostname = "wp.far", .network = "far", .network_gateway = &gate_ip }));
	put((struct service){ .key = "shop/h", .hostname = "h.test", .waypoint = &(struct gateway){ .service = "shop/wp.far", .hbone_port = 15008 } },
	    "10.1.0.8", here, 1);
	mesh_edit_publish(edit);
}

static const struct {
	const char *to;
	enum dest_kind kind;
	const char *host, *connect, *workload;
	enum fail why;
} networks[] = {
	{ "10.1.0.1:80", DEST_DOUBLE, "a.test", "192.0.2.1:15008", "gate", 0 },
	{ "10.1.0.2:80", DEST_DOUBLE, "b.test", "192.0.2.1:15008", "gate", 0 },
	{ "10.1.0.2:81", DEST_NONE, "", "10.1.0.2:81", "", FAIL_NO_ENDPOINT },
	{ "10.1.0.3:80", DEST_NONE, "", "10.1.0.3:80", "", FAIL_NO_GATEWAY },
	{ "10.1.0.4:80", DEST_NONE, "", "10.1.0.4:80", "", FAIL_NO_PEER_NAMES },
	{ "10.1.0.6:80", DEST_HBONE, "", "10.0.0.1:15008", "here", 0 },              /* the own network first */
	{ "10.1.0.7:80", DEST_DOUBLE, "g.test", "192.0.2.1:15008", "gate", 0 },      /* the waypoint is remote */
	{ "10.1.0.8:80", DEST_NONE, "h.test", "192.0.2.1:15008", "", FAIL_NO_PEER_NAMES },
};

START_TEST(network)
{
	char text[ADDR_TEXT];
	struct dest d;

	put_networks();
	d = choose(NULL, networks[_i].to, NULL, 1);
	ck_assert_int_eq(d.kind, networks[_i].kind);
	ck_assert_int_eq(d.why, networks[_i].why);
	ck_assert(str_is(d.host, networks[_i].host));
	ck_assert_str_eq(addr_format(&d.connect, text), networks[_i].connect);
	ck_assert_str_eq(d.workload ? d.workload->uid : "", networks[_i].workload);
	if (d.kind == DEST_DOUBLE) {
		ck_assert(str_is(d.expect[0], "spiffe://td/ns/shop/sa/gate"));
		ck_assert_int_eq(d.n_inner, 1);
		ck_assert(str_is(d.inner[0], "spiffe://td/ns/shop/sa/remote"));
		ck_assert_int_eq(d.target.port, 80);
	}
}
END_TEST

/* Without preference both; what is tried or has failed leaves the other. */
START_TEST(network_spread)
{
	struct dest_tried tried = { .n = 1 };
	int across = 0;

	put_networks();
	for (int i = 0; i < 200; i++)
		across += choose(NULL, "10.1.0.5:80", NULL, 1).kind == DEST_DOUBLE;
	ck_assert(across > 60 && across < 140);
	tried.workload[0] = known("gate");
	for (int i = 0; i < 50; i++)
		ck_assert_int_eq(choose(NULL, "10.1.0.5:80", &tried, 1).kind, DEST_HBONE);
	tried.workload[0] = known("here");
	for (int i = 0; i < 50; i++) {
		ck_assert_int_eq(choose(NULL, "10.1.0.5:80", &tried, 1).kind, DEST_DOUBLE);
		ck_assert_int_eq(choose(NULL, "10.1.0.6:80", &tried, 1).kind, DEST_DOUBLE);
	}
}
END_TEST

/* --- the gateway's own choice --- */
static bool forward(const char *gateway, const char *host, uint16_t port, struct dest *d)
{
	return dest_forward(mesh_current(), known(gateway), str_c(host), port, NULL, &seed, 1, d);
}

START_TEST(forwarding)
{
	static struct gateway own;
	S(eps, { .uid = "ep", .ips = { "10.0.0.1" }, .tunnel = TUNNEL_HBONE, .network_gateway = &own },
	       { .uid = "plain", .ips = { "10.0.0.2" }, .network_gateway = &own },
	       { .uid = "away", .ips = { "10.0.0.3" }, .tunnel = TUNNEL_HBONE, .network = "away", .network_gateway = &own });
	S(others, { .uid = "other", .ips = { "10.0.0.5" }, .tunnel = TUNNEL_HBONE });
	S(gates, { .uid = "gate", .ips = { "10.0.0.9" }, .tunnel = TUNNEL_HBONE }, { .uid = "not", .ips = { "10.0.0.8" } });
	S(wps, { .uid = "wp", .ips = { "10.5.0.1" }, .tunnel = TUNNEL_HBONE, .network_gateway = &own });
	char text[ADDR_TEXT];
	struct dest d;

	own = by_ip("", "10.0.0.9", 15008);
	edit = mesh_edit_begin();
	put((struct service){ .key = "shop/s.test", .hostname = "s.test" }, "10.1.0.1", eps, 3);
	put((struct service){ .key = "shop/o.test", .hostname = "o.test" }, "10.1.0.2", others, 1);
	put((struct service){ .key = "shop/w.test", .hostname = "w.test", .waypoint = &wp }, "10.1.0.3", eps, 3);
	put((struct service){ .key = "shop/l.test", .hostname = "l.test", .waypoint = &wp_gone }, "10.1.0.4", eps, 3);
	put((struct service){ .key = "shop/gates", .hostname = "gates" }, "10.1.0.5", gates, 2);
	put_ports((struct service){ .key = "shop/wp.test" }, "10.6.0.1", wps, 1, wp_ports, 1);
	mesh_edit_publish(edit);
	for (int i = 0; i < 50; i++) {
		ck_assert(forward("gate", "s.test", 80, &d));
		ck_assert_str_eq(addr_format(&d.connect, text), "10.0.0.1:15008");
	}
	ck_assert(forward("gate", "w.test", 80, &d));
	ck_assert_str_eq(addr_format(&d.connect, text), "10.5.0.1:15008");
	ck_assert(!forward("gate", "s.test", 81, &d));
	ck_assert_int_eq(d.why, FAIL_NO_ENDPOINT);
	ck_assert(!forward("gate", "l.test", 80, &d));
	ck_assert_int_eq(d.why, FAIL_NO_WAYPOINT);
	ck_assert(!forward("not", "s.test", 80, &d));       /* the mesh does not call it a gateway */
	ck_assert(!forward("gate", "o.test", 80, &d));      /* not of that endpoint */
	ck_assert(!forward("gate", "x.test", 80, &d));
	ck_assert_int_eq(d.why, FAIL_UNKNOWN_AUTHORITY);
}
END_TEST

/* --- families and host names --- */
START_TEST(families)
{
	static const struct { enum ip_families f; const char *to, *want; } rows[] = {
		{ FAMILIES_ANY, "10.1.0.1:80", "10.0.0.1:8080" }, { FAMILIES_DUAL, "10.1.0.1:80", "10.0.0.1:8080" },
		{ FAMILIES_V4, "10.1.0.1:80", "10.0.0.1:8080" }, { FAMILIES_V6, "10.1.0.1:80", "[fd00::1]:8080" },
	};
	S(eps, { .uid = "a", .ips = { "10.0.0.1", "fd00::1" } });
	char text[ADDR_TEXT];
	struct dest d;

	edit = mesh_edit_begin();
	put((struct service){ .key = "shop/svc", .families = rows[_i].f }, "10.1.0.1", eps, 1);
	mesh_edit_publish(edit);
	d = choose(NULL, rows[_i].to, NULL, 1);
	ck_assert_str_eq(addr_format(&d.target, text), rows[_i].want);
}
END_TEST

/* A port whose target has a name there: only who says what that is has it. */
START_TEST(named_port)
{
	static const struct service_port named[] = { { .port = 80, .named = true } };
	struct spec eps[] = { { .uid = "a", .ips = { "10.0.0.1" } }, { .uid = "b", .ips = { "10.0.0.2" }, .target = 7777 } };
	struct endpoint_port own = { 80, 7777 };
	struct endpoint endpoints[2];
	struct vip v = { "", { { { 0 } }, 0 } };
	struct service t = { .key = "shop/svc", .ns = "shop", .vips = &v, .n_vips = 1, .ports = named, .n_ports = 1 };
	char text[ADDR_TEXT];

	ck_assert_int_eq(cidr_parse(str_c("10.1.0.1"), &v.cidr), 0);
	edit = mesh_edit_begin();
	for (int i = 0; i < 2; i++)
		endpoints[i] = (struct endpoint){ make(&eps[i]), &own, i, 0 };
	t.endpoints = endpoints_of(endpoints, 2);
	mesh_put_service(edit, service_new(&t));
	endpoints_unref(t.endpoints);
	mesh_edit_publish(edit);
	for (int i = 0; i < 50; i++) {
		struct dest d = choose(NULL, "10.1.0.1:80", NULL, 1);

		ck_assert_str_eq(addr_format(&d.target, text), "10.0.0.2:7777");
	}
	for (int i = 0; i < 2; i++)
		workload_unref(endpoints[i].workload);
}
END_TEST

START_TEST(by_host_name)
{
	S(eps, { .uid = "a", .ips = { NULL }, .hostname = "db.example", .tunnel = TUNNEL_HBONE },
	       { .uid = "b", .ips = { NULL }, .hostname = "other.example", .tunnel = TUNNEL_HBONE });
	char text[ADDR_TEXT];
	struct dest d;
	struct dest_tried tried = { .n = 0 };

	edit = mesh_edit_begin();
	put((struct service){ .key = "shop/svc" }, "10.1.0.1", eps, 2);
	mesh_edit_publish(edit);
	do {
		d = choose(NULL, "10.1.0.1:80", NULL, 1);
	} while (!str_is(d.resolve, "db.example"));
	tried.known = d.workload;
	ck_assert_int_eq(ip_parse(str_c("10.7.7.7"), &tried.known_ip), 0);
	for (int i = 0; i < 20; i++)
		d = choose(NULL, "10.1.0.1:80", &tried, 1);
	ck_assert_str_eq(addr_format(&d.target, text), "10.7.7.7:8080");
	ck_assert_str_eq(addr_format(&d.connect, text), "10.7.7.7:15008");
	ck_assert_int_eq(d.resolve.n, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("dest");
	TCase *tc = tcase_create("dest");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, kind, 0, (int)ARRAY_LEN(kinds));
	tcase_add_test(tc, only_what_is_registered);
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
	tcase_add_loop_test(tc, waypoint, 0, (int)ARRAY_LEN(waypoints));
	tcase_add_test(tc, workload_waypoint_of_an_endpoint);
	tcase_add_test(tc, weighted_waypoints);
	tcase_add_test(tc, waypoint_elsewhere_when_one_failed);
	tcase_add_loop_test(tc, network, 0, (int)ARRAY_LEN(networks));
	tcase_add_test(tc, network_spread);
	tcase_add_test(tc, forwarding);
	tcase_add_loop_test(tc, families, 0, 4);
	tcase_add_test(tc, named_port);
	tcase_add_test(tc, by_host_name);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
