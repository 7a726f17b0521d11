/* SPDX-License-Identifier: Apache-2.0 */
#include <time.h>

#include "tests/unit/clusters.h"
#include "tests/unit/suite.h"

static const struct seat three[] = { { .uid = "a", .ip = "10.0.0.1" }, { .uid = "b", .ip = "10.0.0.2" }, { .uid = "c", .ip = "10.0.0.3" } };

START_TEST(round_robin_takes_turns)
{
	struct cluster_conf conf = conf_of(LB_ROUND_ROBIN);
	struct cluster *c = cluster_new(&conf, NULL);
	struct pick_ask ask;
	int n[27];

	publish((struct service){ 0 }, three, 3);
	ask = ask_of(1000);
	count_picks(c, &ask, 300, n);
	ck_assert_int_eq(n[0], 100);
	ck_assert_int_eq(n[1], 100);
	ck_assert_int_eq(n[2], 100);
	cluster_unref(c);
}
END_TEST

START_TEST(random_and_least_request_reach_everybody)
{
	const enum lb_policy policies[] = { LB_RANDOM, LB_LEAST_REQUEST };
	int n[27];

	publish((struct service){ 0 }, three, 3);
	for (int i = 0; i < 2; i++) {
		struct cluster_conf conf = conf_of(policies[i]);
		struct cluster *c = cluster_new(&conf, NULL);
		struct pick_ask ask = ask_of(1000);

		count_picks(c, &ask, 30000, n);
		for (int k = 0; k < 3; k++)
			ck_assert_msg(n[k] > 9500 && n[k] < 10500, "%d of host %d", n[k], k);
		cluster_unref(c);
	}
}
END_TEST

START_TEST(least_request_avoids_the_busy)
{
	struct cluster_conf conf = conf_of(LB_LEAST_REQUEST);
	struct cluster *c = cluster_new(&conf, NULL);
	struct pick_ask ask;
	struct pick p[90];
	int n[27] = { 0 };

	publish((struct service){ 0 }, three, 3);
	ask = ask_of(1000);
	/* Started and never ended: two choices keep the numbers together. */
	for (int i = 0; i < 90; i++) {
		ck_assert(cluster_pick(c, &ask, &p[i]));
		host_started(c, p[i].host);
		n[*p[i].workload->uid - 'a']++;
	}
	for (int k = 0; k < 3; k++)
		ck_assert_msg(n[k] >= 28 && n[k] <= 32, "%d of host %d", n[k], k);
	for (int i = 0; i < 90; i++) {
		host_ended(c, p[i].host);
		pick_done(&p[i]);
	}
	cluster_unref(c);
}
END_TEST

START_TEST(weights_count_in_each_policy)
{
	const struct seat seats[] = { { "a", "10.0.0.1", .weight = 1 }, { "b", "10.0.0.2", .weight = 3 }, { "c", "10.0.0.3", .weight = 6 } };
	const enum lb_policy policies[] = { LB_ROUND_ROBIN, LB_RANDOM, LB_LEAST_REQUEST };
	int n[27];

	publish((struct service){ 0 }, seats, 3);
	for (int i = 0; i < 3; i++) {
		struct cluster_conf conf = conf_of(policies[i]);
		struct cluster *c = cluster_new(&conf, NULL);
		struct pick_ask ask = ask_of(1000);

		count_picks(c, &ask, 30000, n);
		ck_assert_msg(abs(n[0] - 3000) < 300 && abs(n[1] - 9000) < 450 && abs(n[2] - 18000) < 600, "%d: %d %d %d", i, n[0], n[1], n[2]);
		cluster_unref(c);
	}
}
END_TEST

START_TEST(tried_hosts_are_avoided_while_there_are_others)
{
	const enum lb_policy policies[] = { LB_ROUND_ROBIN, LB_RANDOM, LB_LEAST_REQUEST, LB_RING_HASH, LB_MAGLEV };

	publish((struct service){ 0 }, three, 3);
	for (int i = 0; i < 5; i++) {
		struct cluster_conf conf = conf_of(policies[i]);
		struct cluster *c;
		struct pick_ask ask = ask_of(1000);
		struct host *tried[3];
		struct pick p[4];

		conf.lb.hash.table_size = 251;
		c = cluster_new(&conf, NULL);
		ask.tried = tried;
		for (int k = 0; k < 3; k++) {
			ask.n_tried = k;
			ask.hash = 4711;
			ask.hashed = true;
			ck_assert(cluster_pick(c, &ask, &p[k]));
			for (int j = 0; j < k; j++)
				ck_assert_ptr_ne(p[k].host, tried[j]);
			tried[k] = p[k].host;
		}
		ask.n_tried = 3;
		ck_assert(cluster_pick(c, &ask, &p[3]));     /* all were: any will do */
		for (int k = 0; k < 4; k++)
			pick_done(&p[k]);
		cluster_unref(c);
	}
}
END_TEST

START_TEST(unhealthy_endpoints_get_nothing_unless_the_service_allows)
{
	const struct seat seats[] = { { "a", "10.0.0.1", .sick = true }, { .uid = "b", .ip = "10.0.0.2" } };
	struct cluster_conf conf = conf_of(LB_ROUND_ROBIN);
	struct cluster *c = cluster_new(&conf, NULL);
	struct pick_ask ask;
	struct pick p;
	int n[27];

	publish((struct service){ 0 }, seats, 2);
	ask = ask_of(1);
	count_picks(c, &ask, 10, n);
	ck_assert_int_eq(n[1], 10);
	publish((struct service){ .allow_unhealthy = true }, seats, 2);
	ask = ask_of(1);
	count_picks(c, &ask, 10, n);
	ck_assert_int_eq(n[0], 5);
	publish((struct service){ 0 }, seats, 1);
	ask = ask_of(1);
	ck_assert(!cluster_pick(c, &ask, &p));
	ck_assert_int_eq(p.why, FAIL_NO_ENDPOINT);
	cluster_unref(c);
}
END_TEST

START_TEST(subsets_ports_and_networks_select)
{
	const struct seat seats[] = {
		{ "a", "10.0.0.1", .labels = { { "version", "v1" } } },
		{ "b", "10.0.0.2", .labels = { { "version", "v2" } } },
		{ "c", "10.0.0.3", .labels = { { "version", "v2" } }, .network = "far" },
	};
	const struct label v2[] = { { "version", "v2" } }, v3[] = { { "version", "v3" } };
	struct cluster_conf conf = conf_of(LB_RANDOM);
	struct cluster *c[4];
	struct pick_ask ask;
	struct pick p;
	int n[27];

	publish((struct service){ 0 }, seats, 3);
	ask = ask_of(1);
	conf.labels = v2;
	conf.n_labels = 1;
	c[0] = cluster_new(&conf, NULL);
	count_picks(c[0], &ask, 50, n);
	ck_assert_int_eq(n[1], 50);
	ck_assert(cluster_pick(c[0], &ask, &p));
	ck_assert(addr_eq(&p.addr, &(struct addr){ p.addr.ip, 8080 }));
	pick_done(&p);
	conf.labels = v3;
	c[1] = cluster_new(&conf, NULL);
	ck_assert(!cluster_pick(c[1], &ask, &p));
	conf.n_labels = 0;
	conf.port = 81;                   /* no target: itself */
	c[2] = cluster_new(&conf, NULL);
	ck_assert(cluster_pick(c[2], &ask, &p));
	ck_assert_uint_eq(p.addr.port, 81);
	pick_done(&p);
	conf.port = 82;
	c[3] = cluster_new(&conf, NULL);
	ck_assert(!cluster_pick(c[3], &ask, &p));
	publish((struct service){ 0 }, seats + 2, 1);
	ask = ask_of(1);
	ck_assert(!cluster_pick(c[0], &ask, &p));
	ck_assert_int_eq(p.why, FAIL_NO_GATEWAY);
	publish((struct service){ 0 }, (const struct seat[]){ seats[2], { .uid = "d", .ip = "10.0.0.4", .labels = { { "version", "v2" } }, .sick = true } }, 2);
	ask = ask_of(1);
	ck_assert(!cluster_pick(c[0], &ask, &p));
	ck_assert_int_eq(p.why, FAIL_NO_ENDPOINT);      /* a near one is there */
	for (int i = 0; i < 4; i++)
		cluster_unref(c[i]);
}
END_TEST

START_TEST(the_way_of_each_endpoint)
{
	static const struct { enum tls_mode mode; bool inbound; const char *ways; } rows[] = {
		{ TLS_AUTO, false, "pih" }, { TLS_DISABLE, false, "pph" }, { TLS_SIMPLE, false, "tth" }, { TLS_MUTUAL, false, "tth" },
		{ TLS_ISTIO_MUTUAL, false, "iih" }, { TLS_AUTO, true, "ppp" },
	};
	const struct seat seats[] = {
		{ "a", "10.0.0.1", .sa = "cart" },
		{ "b", "10.0.0.2", .mtls = true },
		{ "c", "10.0.0.3", .tunnel = true, .mtls = true },
	};

	publish((struct service){ 0 }, seats, 3);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct cluster_conf conf = conf_of(LB_ROUND_ROBIN);
		struct pick_ask ask = ask_of(1);
		struct cluster *c;

		conf.tls.mode = rows[i].mode;
		conf.inbound = rows[i].inbound;
		c = cluster_new(&conf, NULL);
		for (int k = 0; k < 3; k++) {
			struct pick p;

			ck_assert(cluster_pick(c, &ask, &p));
			ck_assert_int_eq("pith"[p.transport], rows[i].ways[*p.workload->uid - 'a']);
			pick_done(&p);
		}
		cluster_unref(c);
	}
}
END_TEST

START_TEST(mutual_tls_that_is_switched_off)
{
	const struct seat seats[] = { { .uid = "a", .ip = "10.0.0.1", .mtls = true, .labels = { { "app", "old" } } },
				      { .uid = "b", .ip = "10.0.0.2", .mtls = true } };
	const struct label old[] = { { "app", "old" } };
	const struct mtls_port ports[] = { { 9999, MTLS_DISABLE }, { 8080, MTLS_DISABLE } };
	struct cluster_conf conf = conf_of(LB_ROUND_ROBIN);
	struct cluster *c = cluster_new(&conf, NULL);

	publish((struct service){ 0 }, seats, 2);
	for (int round = 0; round < 3; round++) {
		struct pick_ask ask;

		/* Of another port; of ours; gone. */
		struct mesh_edit *e = mesh_edit_begin();

		if (round < 2)
			mesh_put_peer_authn(e, peer_authn_new(&(struct peer_authn){ .key = "shop/p", .ns = "shop", .name = "p", .selector = old,
				.n_selector = 1, .has_selector = true, .ports = ports, .n_ports = 1 + round }));
		else
			mesh_del_peer_authn(e, str_c("shop/p"));
		mesh_edit_publish(e);
		ask = ask_of(1);
		for (int k = 0; k < 2; k++) {
			struct pick p;

			ck_assert(cluster_pick(c, &ask, &p));
			ck_assert_int_eq(p.transport, *p.workload->uid == 'a' && round == 1 ? TRANSPORT_PLAIN : TRANSPORT_ISTIO_MTLS);
			pick_done(&p);
		}
	}
	cluster_unref(c);
}
END_TEST

START_TEST(fixed_addresses_original_and_nowhere)
{
	struct cluster_conf conf = conf_of(LB_ROUND_ROBIN);
	struct addr to = an_addr("127.0.0.1:8080");
	struct pick_ask ask;
	struct cluster *c;
	struct pick p, q;
	int n;

	publish((struct service){ 0 }, three, 3);
	ask = ask_of(1);
	conf.service = "";
	conf.kind = CLUSTER_STATIC;
	conf.addrs = &to;
	conf.n_addrs = 1;
	c = cluster_new(&conf, NULL);
	ck_assert(cluster_pick(c, &ask, &p));
	ck_assert(addr_eq(&p.addr, &to) && !p.workload && addr_eq(host_addrs(p.host, &n), &to) && n == 1);
	pick_done(&p);
	cluster_unref(c);

	conf.n_addrs = 0;
	conf.unix_path = "/run/app.sock";
	c = cluster_new(&conf, NULL);
	ck_assert(cluster_pick(c, &ask, &p));
	ck_assert_str_eq(cluster_conf(c)->unix_path, "/run/app.sock");
	ck_assert_uint_eq(p.addr.port, 0);
	pick_done(&p);
	cluster_unref(c);

	conf.kind = CLUSTER_ORIGINAL_DST;
	conf.unix_path = "";
	c = cluster_new(&conf, NULL);
	ask.original = an_addr("10.0.0.2:99");
	ck_assert(cluster_pick(c, &ask, &p));
	ck_assert(addr_eq(&p.addr, &ask.original));
	ck_assert_str_eq(p.workload->uid, "b");
	ask.original = an_addr("192.0.2.1:99");
	ck_assert(cluster_pick(c, &ask, &q));
	ck_assert_ptr_null(q.workload);
	ck_assert_ptr_eq(p.host, q.host);
	pick_done(&p);
	pick_done(&q);
	ask.original = (struct addr){ .port = 80 };      /* only a name was asked for: not to our own loopback */
	ck_assert(!cluster_pick(c, &ask, &p));
	ck_assert_int_eq(p.why, FAIL_NO_ENDPOINT);
	cluster_unref(c);

	conf.service = SERVICE_KEY;          /* in the name of a service: as its workload wants it */
	c = cluster_new(&conf, NULL);
	for (int i = 0; i < 2; i++) {
		const struct seat seats[] = { { .uid = "b", .ip = "10.0.0.2", .mtls = true } };

		publish((struct service){ .headless = true, .external = i }, seats, 1);
		ask = ask_of(1);
		ask.original = an_addr("10.0.0.2:99");
		ck_assert(cluster_pick(c, &ask, &p));
		ck_assert_int_eq(p.transport, i ? TRANSPORT_PLAIN : TRANSPORT_ISTIO_MTLS);
		pick_done(&p);
	}
	cluster_unref(c);

	conf.kind = CLUSTER_BLACKHOLE;
	c = cluster_new(&conf, NULL);
	ck_assert(!cluster_pick(c, &ask, &p));
	ck_assert_int_eq(p.why, FAIL_NO_ENDPOINT);
	cluster_unref(c);
	cluster_unref(NULL);
}
END_TEST

START_TEST(families_in_tunnels)
{
	const enum tunnel_protocol tunnels[] = { TUNNEL_NONE, TUNNEL_HBONE };
	static const char *const called[] = { "10.96.0.1:80", "[fd96::1]:80" };
	struct cluster_conf conf = conf_of(LB_LEAST_REQUEST);
	struct cluster *c = cluster_new(&conf, NULL);

	for (int i = 0; i < 2; i++)
		for (int k = 0; k < 2; k++) {
			static const struct seat seat = { .uid = "a", .ip = "10.0.0.1" };
			struct mesh_edit *e;
			struct workload *w;
			struct endpoint at;
			struct service t;
			struct pick_ask ask;
			struct ip ips[2];
			struct pick p;

			publish((struct service){ 0 }, &seat, 1);
			ip_parse(str_c("10.0.0.1"), &ips[0]);
			ip_parse(str_c("fd00::1"), &ips[1]);
			w = workload_new(&(struct workload){ .uid = "a", .name = "a", .ns = "shop", .identity = "a", .ips = ips, .n_ips = 2, .healthy = true, .tunnel = tunnels[i] });
			e = mesh_edit_begin();
			t = *mesh_service(mesh_edit_view(e), str_c(SERVICE_KEY));
			at = (struct endpoint){ .workload = w };
			t.endpoints = endpoints_of(&at, 1);
			mesh_put_workload(e, workload_ref(w));
			mesh_put_service(e, service_new(&t));
			mesh_edit_publish(e);
			endpoints_unref(t.endpoints);
			ask = ask_of(1);
			ask.original = an_addr(called[k]);
			ck_assert(cluster_pick(c, &ask, &p));
			ck_assert_int_eq(ip_is_v4(&p.addr.ip), !(i && k));
			pick_done(&p);
			workload_unref(w);
		}
	cluster_unref(c);
}
END_TEST

/* ---- through a waypoint ---- */

static struct workload *put_waypoint(struct mesh_edit *e, const char *uid, const char *at, bool sick, const char *network)
{
	struct workload *w;
	struct ip ip;

	ck_assert_int_eq(ip_parse(str_c(at), &ip), 0);
	w = workload_new(&(struct workload){ .uid = uid, .name = uid, .ns = "shop", .identity = "spiffe://td/ns/shop/sa/wp", .ips = &ip, .n_ips = 1,
		.healthy = !sick, .network = network });
	mesh_put_workload(e, workload_ref(w));
	return w;
}

static void put_waypoints(const char *key, struct workload *const *v, int n)
{
	static const struct service_port port = { .port = 15008, .name = "mesh", .protocol = "HBONE" };
	struct mesh_edit *e = mesh_edit_begin();
	struct endpoint at[8] = { { NULL, NULL, 0, 0 } };
	struct service t = { .key = key, .ns = "shop", .hostname = strchr(key, '/') + 1, .ports = &port, .n_ports = 1 };

	for (int i = 0; i < n; i++)
		at[i].workload = v[i];
	t.endpoints = endpoints_of(at, n);
	mesh_put_service(e, service_new(&t));
	endpoints_unref(t.endpoints);
	mesh_edit_publish(e);
}

static const struct gateway wp = { .service = "shop/wp.test", .network = "", .hbone_port = 15008 }, gone = { .service = "shop/gone.test", .network = "", .hbone_port = 15008 };

START_TEST(waypoints)
{
	static const struct seat seat = { .uid = "z", .ip = "10.0.0.9" };
	static const struct weighted_gateway canary[] = { { { .service = "shop/wp.test", .network = "", .hbone_port = 15008 }, 1 }, { { .service = "shop/new.test", .network = "", .hbone_port = 15008 }, 3 } };
	struct vip vip = { .network = "" };
	struct cluster_conf conf = conf_of(LB_LEAST_REQUEST);
	struct mesh_edit *e = mesh_edit_begin();
	struct workload *a = put_waypoint(e, "a", "10.0.0.1", false, ""), *b = put_waypoint(e, "b", "10.0.0.2", false, ""), *c = put_waypoint(e, "c", "10.0.0.3", true, ""),
			*far = put_waypoint(e, "f", "10.0.0.4", false, "far"), *d = put_waypoint(e, "d", "10.0.0.5", false, "");
	struct workload *const all[] = { a, b, c, far };
	struct host *tried[2];
	struct pick_ask ask;
	struct cluster *x;
	struct pick p, q;
	int n[27];

	mesh_edit_publish(e);
	put_waypoints("shop/wp.test", all, 4);
	put_waypoints("shop/new.test", &d, 1);
	ck_assert_int_eq(cidr_parse(str_c("10.96.0.1/32"), &vip.cidr), 0);
	publish((struct service){ .waypoint = &wp, .vips = &vip, .n_vips = 1 }, &seat, 1);
	conf.kind = CLUSTER_WAYPOINT;
	x = cluster_new(&conf, NULL);
	ask = ask_of(1000);
	count_picks(x, &ask, 100, n);
	ck_assert_msg(n[0] > 20 && n[1] > 20 && n[0] + n[1] == 100, "%d %d", n[0], n[1]);       /* the healthy ones of the own network */
	ck_assert(cluster_pick(x, &ask, &p));
	ck_assert_int_eq(p.transport, TRANSPORT_WAYPOINT);
	ck_assert(p.addr.port == 15008 && addr_eq(&p.target, &(struct addr){ vip.cidr.ip, 80 }));
	/* another one next time, and for a while */
	tried[0] = p.host;
	ask.tried = tried;
	ask.n_tried = 1;
	ck_assert(cluster_pick(x, &ask, &q) && q.host != p.host && q.workload != p.workload);
	tried[1] = q.host;
	ask.n_tried = 2;
	pick_done(&q);
	ck_assert(cluster_pick(x, &ask, &q));            /* all were tried: any will do */
	pick_done(&q);
	ask.n_tried = 0;
	pick_connected(x, &p, FAIL_CONNECT, 1000);
	count_picks(x, &ask, 50, n);
	ck_assert_int_eq(n[*p.workload->uid - 'a'], 0);
	pick_connected(x, &p, FAIL_NONE, 1000);
	count_picks(x, &ask, 50, n);
	ck_assert_int_gt(n[*p.workload->uid - 'a'], 0);
	/* hosts stay what they are while others come */
	put_waypoints("shop/wp.test", all, 2);
	ask = ask_of(1000);
	count_picks(x, &ask, 50, n);
	ck_assert(!host_gone(p.host));
	put_waypoints("shop/wp.test", *p.workload->uid == 'a' ? &all[1] : &all[0], 1);
	ask = ask_of(1000);
	count_picks(x, &ask, 5, n);
	ck_assert(host_gone(p.host));
	pick_done(&p);
	/* canaries, by weight */
	publish((struct service){ .waypoints = canary, .n_waypoints = 2 }, &seat, 1);
	ask = ask_of(1000);
	count_picks(x, &ask, 4000, n);
	ck_assert_msg(n[3] > 2800 && n[3] < 3200, "%d", n[3]);
	ck_assert(cluster_pick(x, &ask, &p));
	ck_assert(ip_is_any(&p.target.ip) && p.target.port == 80);      /* no address: by name */
	pick_done(&p);
	/* it names none any more, but the plan still has this cluster */
	publish((struct service){ 0 }, &seat, 1);
	ask = ask_of(1000);
	ck_assert(cluster_pick(x, &ask, &p));
	pick_done(&p);
	publish((struct service){ .waypoint = &gone }, &seat, 1);
	ask = ask_of(1000);
	ck_assert(!cluster_pick(x, &ask, &p));
	ck_assert_int_eq(p.why, FAIL_NO_WAYPOINT);
	cluster_unref(x);
	for (int i = 0; i < 4; i++)
		workload_unref(all[i]);
	workload_unref(d);
}
END_TEST

/* Workloads that are called by their own address. */
START_TEST(waypoints_of_workloads)
{
	struct cluster_conf conf = { .name = "PassthroughCluster", .kind = CLUSTER_ORIGINAL_DST, .service = "", .pool = { UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, 0 } };
	struct mesh_edit *e = mesh_edit_begin();
	struct workload *a = put_waypoint(e, "a", "10.0.0.1", false, "");
	struct ip ip;
	struct pick_ask ask;
	struct cluster *x;
	struct pick p;

	ip_parse(str_c("10.0.0.7"), &ip);
	mesh_put_workload(e, workload_new(&(struct workload){ .uid = "z", .name = "z", .ns = "shop", .identity = "z", .ips = &ip, .n_ips = 1, .healthy = true, .waypoint = &wp }));
	for (int on = 0; on < 2; on++) {
		struct mesh_settings s = *mesh_settings(mesh_edit_view(e));

		s.through_waypoints = on;
		mesh_edit_settings(e, &s);
		mesh_edit_publish(e);
		put_waypoints("shop/wp.test", &a, 1);
		ask = ask_of(1000);
		ask.original = an_addr("10.0.0.7:99");
		x = cluster_new(&conf, NULL);
		ck_assert(cluster_pick(x, &ask, &p));
		ck_assert_int_eq(p.transport, on ? TRANSPORT_WAYPOINT : TRANSPORT_PLAIN);
		ck_assert_str_eq(p.workload->uid, on ? "a" : "z");
		ck_assert(!on || addr_eq(&p.target, &ask.original));
		pick_done(&p);
		ask.client = a;              /* the waypoint itself */
		ck_assert(cluster_pick(x, &ask, &p));
		ck_assert_int_eq(p.transport, TRANSPORT_PLAIN);
		pick_done(&p);
		cluster_unref(x);
		e = mesh_edit_begin();
	}
	mesh_edit_abandon(e);
	workload_unref(a);
}
END_TEST

static void learn(struct hostname *h, const char *a, const char *b)
{
	struct ip v[2];

	ck_assert_int_eq(ip_parse(str_c(a), &v[0]), 0);
	ck_assert(!b || !ip_parse(str_c(b), &v[1]));
	hostname_learn(h, v, b ? 2 : 1);
}

static int addrs_seen(struct cluster *c, const struct pick_ask *ask, const char *const *want, int n)
{
	int seen = 0;

	for (int i = 0; i < 40; i++) {
		char text[ADDR_TEXT];
		struct pick p;

		ck_assert(cluster_pick(c, ask, &p));
		addr_format(&p.addr, text);
		for (int k = 0; k < n; k++)
			seen |= strcmp(text, want[k]) ? 0 : 1 << k;
		pick_done(&p);
	}
	return seen;
}

START_TEST(names_are_what_dns_says)
{
	const struct seat seats[] = { { .uid = "a", .host = "a.example" }, { .uid = "b", .ip = "10.0.0.9" } };
	const char *const want[] = { "192.0.2.1:8080", "192.0.2.2:8080", "[2001:db8::1]:8080", "10.0.0.9:8080" };
	struct hostname *h = hostname_want(str_c("a.example"));
	struct cluster_conf conf = conf_of(LB_ROUND_ROBIN);
	struct cluster *c, *one, *plain;
	struct pick_ask ask;
	struct pick p;
	int n;

	conf.kind = CLUSTER_DNS;
	publish((struct service){ 0 }, seats, 1);
	ask = ask_of(1);
	c = cluster_new(&conf, NULL);
	ck_assert(!cluster_pick(c, &ask, &p));
	ck_assert_int_eq(p.why, FAIL_RESOLVE);
	learn(h, "192.0.2.1", "192.0.2.2");
	ck_assert_int_eq(addrs_seen(c, &ask, want, 4), 3);
	learn(h, "192.0.2.2", "2001:db8::1");
	ck_assert_int_eq(addrs_seen(c, &ask, want, 4), 6);
	publish((struct service){ 0 }, seats, 2);
	ask = ask_of(1);
	ck_assert_int_eq(addrs_seen(c, &ask, want, 4), 14);
	publish((struct service){ .families = FAMILIES_V6 }, seats, 1);
	ask = ask_of(1);
	ck_assert_int_eq(addrs_seen(c, &ask, want, 4), 4);

	conf.dns_one = true;             /* all addresses are one endpoint's */
	publish((struct service){ 0 }, seats, 1);
	ask = ask_of(1);
	one = cluster_new(&conf, NULL);
	ck_assert(cluster_pick(one, &ask, &p));
	ck_assert(host_addrs(p.host, &n) && n == 2);
	pick_done(&p);

	conf.service = "";               /* without a service */
	conf.hosts = (const char *const[]){ "a.example" };
	conf.n_hosts = 1;
	plain = cluster_new(&conf, NULL);
	ck_assert(cluster_pick(plain, &ask, &p));
	ck_assert(!p.workload && p.addr.port == 80);
	pick_done(&p);
	cluster_unref(c);
	cluster_unref(one);
	cluster_unref(plain);
	hostname_unwant(h);
}
END_TEST

/* --- what lives on --- */

START_TEST(hosts_live_on_while_endpoints_come_and_go)
{
	const struct seat two[] = { { "b", "10.0.0.2", .weight = 5 }, { .uid = "d", .ip = "10.0.0.4" } }, moved[] = { { .uid = "b", .ip = "10.0.0.9" } };
	struct cluster_conf conf = conf_of(LB_ROUND_ROBIN);
	struct cluster *c = cluster_new(&conf, NULL), *next;
	struct host *of[26] = { NULL };
	struct pick_ask ask;
	struct pick p;

	publish((struct service){ 0 }, three, 3);
	ask = ask_of(1);
	for (int i = 0; i < 3; i++) {
		ck_assert(cluster_pick(c, &ask, &p));
		of[*p.workload->uid - 'a'] = host_ref(p.host);
		pick_done(&p);
	}
	host_started(c, of[1]);
	publish((struct service){ 0 }, two, 2);
	conf.lb.policy = LB_RANDOM;
	next = cluster_new(&conf, c);           /* a new configuration of the same name */
	ask = ask_of(2);
	for (int i = 0; i < 50; i++) {
		ck_assert(cluster_pick(next, &ask, &p));
		if (*p.workload->uid == 'b') {
			ck_assert_ptr_eq(p.host, of[1]);
			ck_assert_uint_eq(p.workload->weight, 5);     /* of today */
		}
		pick_done(&p);
	}
	ck_assert(host_gone(of[0]) && !host_gone(of[1]) && host_gone(of[2]));
	ck_assert_uint_eq(atomic_load(&of[1]->active), 1);
	publish((struct service){ 0 }, moved, 1);
	ask = ask_of(3);
	ck_assert(cluster_pick(next, &ask, &p));
	ck_assert_ptr_ne(p.host, of[1]);
	ck_assert(host_gone(of[1]));
	pick_done(&p);
	for (int i = 0; i < 3; i++)
		host_unref(of[i]);
	cluster_unref(c);
	cluster_unref(next);
}
END_TEST

START_TEST(an_equal_configuration_is_the_same_cluster)
{
	const struct locality_weight d[] = { { "r/*", (const char *const[]){ "r/z", "q" }, (const uint32_t[]){ 80, 20 }, 2 } };
	const uint16_t codes[] = { 500, 501 };
	struct cluster_conf conf = conf_of(LB_RING_HASH);
	struct cluster *c, *same, *other;

	conf.lb.distribute = d;
	conf.lb.n_distribute = 1;
	conf.outlier.codes = codes;
	conf.outlier.n_codes = 2;
	conf.tls.sni = "cart.example.com";
	c = cluster_new(&conf, NULL);
	same = cluster_new(cluster_conf(c), c);
	ck_assert_ptr_eq(c, same);
	ck_assert_str_eq(cluster_conf(c)->lb.distribute[0].to[1], "q");
	ck_assert_uint_eq(cluster_conf(c)->lb.distribute[0].weights[1], 20);
	conf.outlier.n_codes = 1;
	ck_assert(cluster_take(c, LIMIT_OF_REQUESTS));
	other = cluster_new(&conf, c);
	ck_assert_ptr_ne(c, other);
	ck_assert_uint_eq(cluster_used(other, LIMIT_OF_REQUESTS), 1);
	cluster_give(other, LIMIT_OF_REQUESTS);
	ck_assert_uint_eq(cluster_used(c, LIMIT_OF_REQUESTS), 0);
	cluster_unref(c);
	cluster_unref(same);
	cluster_unref(other);
}
END_TEST

START_TEST(limits_are_exact)
{
	struct cluster_conf conf = conf_of(LB_RANDOM);
	struct cluster *c;

	conf.pool.max_connections = 2;
	conf.pool.max_retries = 0;
	c = cluster_new(&conf, NULL);
	ck_assert(cluster_take(c, LIMIT_OF_CONNECTIONS) && cluster_take(c, LIMIT_OF_CONNECTIONS) && !cluster_take(c, LIMIT_OF_CONNECTIONS));
	cluster_give(c, LIMIT_OF_CONNECTIONS);
	ck_assert(cluster_take(c, LIMIT_OF_CONNECTIONS) && !cluster_take(c, LIMIT_OF_CONNECTIONS));
	ck_assert(!cluster_take(c, LIMIT_OF_RETRIES));
	ck_assert(cluster_take(c, LIMIT_OF_PENDING));
	cluster_unref(c);

	conf.pool.retry_budget = true;
	conf.pool.retry_budget_percent = 20;
	conf.pool.retry_min = 3;
	c = cluster_new(&conf, NULL);
	for (int i = 0; i < 3; i++)
		ck_assert(cluster_take(c, LIMIT_OF_RETRIES));
	ck_assert(!cluster_take(c, LIMIT_OF_RETRIES));
	for (int i = 0; i < 25; i++)
		ck_assert(cluster_take(c, LIMIT_OF_REQUESTS));
	for (int i = 0; i < 2; i++)          /* 20 % of 25 */
		ck_assert(cluster_take(c, LIMIT_OF_RETRIES));
	ck_assert(!cluster_take(c, LIMIT_OF_RETRIES));
	cluster_unref(c);
}
END_TEST

START_TEST(retry_budget_of_an_interval)
{
	struct cluster_conf conf = conf_of(LB_RANDOM);
	struct cluster *c;

	conf.pool.retry_budget = true;
	conf.pool.retry_budget_percent = 10;
	conf.pool.retry_min = 1;
	for (int i = 0; i < 2; i++) {
		conf.pool.retry_budget_ms = i ? 8 : 3600000;
		c = cluster_new(&conf, NULL);
		for (int k = 0; k < 100; k++) {
			ck_assert(cluster_take(c, LIMIT_OF_REQUESTS));
			cluster_give(c, LIMIT_OF_REQUESTS);
		}
		nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
		for (int k = 0; k < (i ? 1 : 10); k++)          /* ended ones count, but not those of long ago */
			ck_assert(cluster_take(c, LIMIT_OF_RETRIES));
		ck_assert(!cluster_take(c, LIMIT_OF_RETRIES));
		cluster_unref(c);
	}
}
END_TEST

START_TEST(who_may_answer)
{
	const struct seat seats[] = { { "a", "10.0.0.1", .sa = "cart" }, { "b", "10.0.0.2", .sa = "cart" }, { "c", "10.0.0.3", .sa = "other" } };
	const struct str cart = str_c("spiffe://td/ns/shop/sa/cart"), eve = str_c("spiffe://td/ns/shop/sa/eve");
	const char *const sans[] = { "spiffe://td/ns/shop/sa/eve" };
	struct cluster_conf conf = conf_of(LB_RANDOM);
	struct cluster *c = cluster_new(&conf, NULL), *d;
	struct str v[8];
	int n;

	publish((struct service){ 0 }, seats, 3);
	ck_assert(cluster_admits(c, mesh_current(), cart) && !cluster_admits(c, mesh_current(), eve));
	ck_assert(cluster_peers(c, mesh_current(), NULL, v, 8, &n) && n == 2);
	publish((struct service){ .sans = sans, .n_sans = 1 }, seats, 3);
	ck_assert(cluster_admits(c, mesh_current(), cart) && cluster_admits(c, mesh_current(), eve));
	ck_assert(cluster_peers(c, mesh_current(), NULL, v, 8, &n) && n == 3);
	conf.tls.sans = sans;
	conf.tls.n_sans = 1;
	d = cluster_new(&conf, c);
	ck_assert(!cluster_admits(d, mesh_current(), cart) && cluster_admits(d, mesh_current(), eve));
	publish((struct service){ 0 }, three, 3);          /* nobody has a name */
	ck_assert(cluster_admits(c, mesh_current(), eve) && cluster_peers(c, mesh_current(), NULL, v, 8, &n) && n == 0);
	cluster_unref(c);
	cluster_unref(d);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("cluster");
	TCase *t = tcase_create("cluster");

	tcase_add_test(t, round_robin_takes_turns);
	tcase_add_test(t, random_and_least_request_reach_everybody);
	tcase_add_test(t, least_request_avoids_the_busy);
	tcase_add_test(t, weights_count_in_each_policy);
	tcase_add_test(t, tried_hosts_are_avoided_while_there_are_others);
	tcase_add_test(t, unhealthy_endpoints_get_nothing_unless_the_service_allows);
	tcase_add_test(t, subsets_ports_and_networks_select);
	tcase_add_test(t, the_way_of_each_endpoint);
	tcase_add_test(t, mutual_tls_that_is_switched_off);
	tcase_add_test(t, fixed_addresses_original_and_nowhere);
	tcase_add_test(t, names_are_what_dns_says);
	tcase_add_test(t, hosts_live_on_while_endpoints_come_and_go);
	tcase_add_test(t, an_equal_configuration_is_the_same_cluster);
	tcase_add_test(t, limits_are_exact);
	tcase_add_test(t, retry_budget_of_an_interval);
	tcase_add_test(t, who_may_answer);
	tcase_add_test(t, families_in_tunnels);
	tcase_add_test(t, waypoints);
	tcase_add_test(t, waypoints_of_workloads);
	suite_add_tcase(s, t);
	return suite_run(s);
}
