/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "admin/admin.h"
#include "admin/admin_int.h"
#include "base/log.h"
#include "io/loop.h"
#include "model/mesh.h"
#include "telemetry/edges.h"
#include "telemetry/flow.h"
#include "telemetry/refusal.h"

static struct {
	pthread_t thread;
	pthread_barrier_t ready;
	struct loop *loop;
	struct admin *admin;
	struct admin_conf conf;
	const char *pending;
	int reloads, result;
	char dir[32], path[64];
	struct err err;
} t;

static struct buf body;

static uint16_t free_port(void)
{
	struct sockaddr_storage sa = { .ss_family = AF_INET6 };
	socklen_t len = sizeof(struct sockaddr_in6);
	int fd = socket(AF_INET6, SOCK_STREAM, 0);
	struct addr a;

	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, len) < 0) {
		close(fd);
		fd = socket(AF_INET, SOCK_STREAM, 0);
		sa = (struct sockaddr_storage){ .ss_family = AF_INET };
		len = sizeof(struct sockaddr_in);
		ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, len), 0);
	}
	getsockname(fd, (struct sockaddr *)&sa, &len);
	addr_from_sockaddr(&sa, &a);
	close(fd);
	return a.port;
}

/* --- a mode --- */

static struct workload *cart;

static void quit(void *arg)
{
	loop_stop(t.loop);
}

static int reload(void *arg, struct err *err)
{
	return ++t.reloads == 1 ? 0 : err_set(err, -1, "the directory is gone");
}

static void pending(void *arg, struct buf *out)
{
	buf_puts(out, t.pending);
}

static void each_workload(void *arg, void (*fn)(const struct admin_workload *w, void *fn_arg), void *fn_arg)
{
	fn(&(struct admin_workload){ .name = "shop/cart-1", .workload = cart, .up = true, .problem = "", .uid = "pod-uid-1" }, fn_arg);
	fn(&(struct admin_workload){ .name = "shop/missing", .problem = "no WorkloadEntry <b>", .service_account = "sa" }, fn_arg);
}

static void each_connection(void *arg, const char *uid, void (*fn)(const struct admin_connection *c, void *fn_arg), void *fn_arg)
{
	struct admin_connection c = { .direction = ADMIN_INBOUND, .workload_uid = cart->uid, .host = "cart.shop.svc.cluster.local",
				      .protocol = "HBONE", .peer = "spiffe://cluster.local/ns/web/sa/front", .bytes_received = 5, .age_ms = 61000 };

	addr_parse(str_c("10.0.0.1:4000"), &c.source);
	addr_parse(str_c("10.0.0.2:8080"), &c.actual);
	fn(&c, fn_arg);
	c.direction = ADMIN_OUTBOUND;
	c.host = "";
	addr_parse(str_c("10.96.0.1:80"), &c.original);
	fn(&c, fn_arg);
}

static void each_finding(void *arg, void (*fn)(bool error, const char *text, void *fn_arg), void *fn_arg)
{
	fn(true, "a.yaml:3: AuthorizationPolicy shop/x: spec.action: want ALLOW, got \"Alow\"", fn_arg);
}

static void each_setting(void *arg, admin_setting_fn *fn, void *fn_arg)
{
	fn("XDS_ADDRESS", str_c("\"https://istiod:15012\""), fn_arg);
}

static const struct admin_ops ops = {
	.quit = quit, .reload = reload, .pending = pending, .each_workload = each_workload, .each_connection = each_connection,
	.each_finding = each_finding, .each_setting = each_setting,
};

static void fill_mesh(void)
{
	struct ip ip;
	struct vip vips[2] = { { .network = "" }, { .network = "net" } };
	struct mesh_edit *e = mesh_edit_begin();
	struct endpoints *endpoints;
	struct match principal[] = { { MATCH_SUFFIX, "/sa/front" }, { MATCH_PRESENCE, "" } };
	struct cidr block;
	uint16_t port = 8080;
	struct gateway by_name = { "shop/wp.shop.svc.cluster.local", "", { { 0 } }, 15008 }, by_ip = { "", "net-b", { { 0 } }, 15009 };
	struct weighted_gateway weighted = { by_name, 5 };
	struct policy_match match = { .n_principals = { 0, 2 }, .n_source_ips = { 1, 0 }, .n_dest_ports = { 1, 0 } };
	struct policy_clause clause = { &match, 1 };
	struct policy_rule rule = { .clauses = &clause, .n_clauses = 1 };
	struct workload w = { .uid = "c//Pod/shop/cart-1", .name = "cart-1", .ns = "shop", .service_account = "cart",
			      .trust_domain = "cluster.local", .identity = "spiffe://cluster.local/ns/shop/sa/cart", .network = "", .cluster = "c",
			      .node = "n1", .hostname = "", .canonical_name = "cart", .canonical_revision = "v1", .workload_name = "cart",
			      .workload_type = "pod", .locality = { "eu", "", "" }, .ips = &ip, .n_ips = 1, .tunnel = TUNNEL_HBONE,
			      .proxy_protocol = true, .app_tunnel_port = 15088, .healthy = true, .waypoint = &by_name, .network_gateway = &by_ip,
			      .services = (const char *const[]){ "shop/cart.shop.svc.cluster.local" }, .n_services = 1 };

	ip_parse(str_c("10.0.0.2"), &ip);
	ip_parse(str_c("192.0.2.9"), &by_ip.ip);
	cidr_parse(str_c("10.96.0.1"), &vips[0].cidr);
	cidr_parse(str_c("10.97.0.0/16"), &vips[1].cidr);
	cidr_parse(str_c("10.0.0.0/8"), &block);
	match.principals[1] = principal;
	match.source_ips[0] = &block;
	match.dest_ports[0] = &port;
	cart = workload_new(&w);
	endpoints = endpoints_of(&(struct endpoint){ cart, NULL, 0, 0 }, 1);
	mesh_put_workload(e, workload_ref(cart));
	mesh_put_service(e, service_new(&(struct service){
		.key = "shop/cart.shop.svc.cluster.local", .name = "cart", .ns = "shop", .hostname = "cart.shop.svc.cluster.local",
		.vips = vips, .n_vips = 2, .ports = &(struct service_port){ 80, 8080, "http", "HTTP", false, PROTOCOL_AUTO }, .n_ports = 1,
		.endpoints = endpoints, .lb_mode = LB_FAILOVER, .scopes = { LB_REGION, LB_ZONE },
		.n_scopes = 2, .waypoint = &by_name, .waypoints = &weighted, .n_waypoints = 1, .families = FAMILIES_DUAL }));
	endpoints_unref(endpoints);
	mesh_put_policy(e, policy_new(&(struct policy){ .key = "shop/only", .ns = "shop", .name = "only", .where = "p.yaml:1",
		.scope = POLICY_SELECTOR, .action = POLICY_DENY, .problem = "", .rules = &rule, .n_rules = 1 }));
	mesh_edit_publish(e);
}

static void *run(void *arg)
{
	t.loop = loop_new(-1);
	t.conf.control = t.loop;
	fill_mesh();
	t.result = admin_new(&t.conf, &ops, NULL, &t.admin, &t.err);
	pthread_barrier_wait(&t.ready);
	if (t.result == 0)
		loop_run(t.loop);
	admin_free(t.result == 0 ? t.admin : NULL);
	loop_free(t.loop);
	return NULL;
}

static void setup(void)
{
	snprintf(t.dir, sizeof(t.dir), "/tmp/admin.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(t.dir));
	snprintf(t.path, sizeof(t.path), "%s/sock", t.dir);
	t.pending = "";
	t.conf = (struct admin_conf){ .mode = "ztunnel", .version = "9.8", .admin_port = free_port(), .stats_port = free_port(),
				      .ready_port = free_port(), .ipv6 = true, .unix_path = t.path };
	pthread_barrier_init(&t.ready, NULL, 2);
}

static void start(void)
{
	pthread_create(&t.thread, NULL, run, NULL);
	pthread_barrier_wait(&t.ready);
	ck_assert_msg(t.result == 0, "%s", t.err.msg);
}

static int ask(const char *host, uint16_t port, const char *method, const char *path)
{
	struct err err;
	int r;

	buf_done(&body);
	r = admin_request(host, port, method, path, &body, &err);
	ck_assert_msg(r >= 0, "%s", err.msg);
	buf_append(&body, "", 1);
	return r;
}

static void teardown(void)
{
	if (t.result == 0) {
		ck_assert_int_eq(ask(t.path, 0, "POST", "/quitquitquit"), 200);
		ck_assert_str_eq((char *)buf_data(&body), "shutdown now\n");
	}
	pthread_join(t.thread, NULL);
	ck_assert_int_eq(access(t.path, F_OK), -1);
	rmdir(t.dir);
	buf_done(&body);
}

static void has(const char *part)
{
	ck_assert_msg(strstr((char *)buf_data(&body), part) != NULL, "'%s' is missing in: %s", part, (char *)buf_data(&body));
}

static json_t *parsed(void)
{
	json_error_t e;
	json_t *j = json_loads((char *)buf_data(&body), 0, &e);

	ck_assert_msg(j != NULL, "line %d: %s in: %s", e.line, e.text, (char *)buf_data(&body));
	return j;
}

static const char *at(json_t *j, const char *list, const char *key)
{
	return json_string_value(json_object_get(json_array_get(json_object_get(j, list), 0), key));
}

/* --- tests --- */

START_TEST(config_dump_has_istioctls_shape)
{
	json_t *j, *s, *m, *state;

	start();
	ck_assert_int_eq(ask("127.0.0.1", t.conf.admin_port, "GET", "/config_dump"), 200);
	j = parsed();
	ck_assert_str_eq(at(j, "workloads", "uid"), "c//Pod/shop/cart-1");
	ck_assert_str_eq(at(j, "workloads", "protocol"), "HBONE");
	ck_assert_str_eq(at(j, "workloads", "status"), "Healthy");
	ck_assert_str_eq(at(j, "workloads", "clusterId"), "c");
	s = json_array_get(json_object_get(j, "services"), 0);
	ck_assert_str_eq(json_string_value(json_array_get(json_object_get(s, "vips"), 0)), "/10.96.0.1");
	ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(s, "ports"), "80")), 8080);
	ck_assert_ptr_nonnull(json_object_get(json_object_get(s, "endpoints"), "c//Pod/shop/cart-1"));
	has("\"cidr\": \"10.97.0.0/16\"");
	has("\"mode\": \"Failover\"");
	ck_assert_str_eq(at(j, "policies", "scope"), "WorkloadSelector");
	ck_assert_str_eq(at(j, "policies", "action"), "Deny");
	m = json_object_get(json_array_get(json_object_get(j, "policies"), 0), "rules");
	m = json_array_get(json_array_get(json_array_get(m, 0), 0), 0);
	ck_assert_str_eq(json_string_value(json_object_get(json_array_get(json_object_get(m, "notPrincipals"), 0), "Suffix")), "/sa/front");
	ck_assert_str_eq(json_string_value(json_array_get(json_object_get(m, "sourceIps"), 0)), "10.0.0.0/8");
	ck_assert_str_eq(json_string_value(json_object_get(json_object_get(s, "waypoint"), "destination")), "shop/wp.shop.svc.cluster.local");
	ck_assert_str_eq(json_string_value(json_object_get(s, "ipFamilies")), "Dual");
	m = json_array_get(json_object_get(s, "weightedWaypoints"), 0);
	ck_assert_int_eq(json_integer_value(json_object_get(m, "weight")), 5);
	ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(m, "destination"), "hboneMtlsPort")), 15008);
	m = json_array_get(json_object_get(j, "workloads"), 0);
	ck_assert_str_eq(json_string_value(json_object_get(json_object_get(m, "waypoint"), "destination")), "shop/wp.shop.svc.cluster.local");
	ck_assert_str_eq(json_string_value(json_object_get(json_object_get(m, "networkGateway"), "destination")), "net-b/192.0.2.9");
	ck_assert_str_eq(json_string_value(json_array_get(json_object_get(m, "services"), 0)), "shop/cart.shop.svc.cluster.local");
	m = json_object_get(json_object_get(j, "workloadState"), "shop/missing");
	ck_assert_str_eq(json_string_value(json_object_get(m, "state")), "Pending");
	ck_assert_str_eq(json_string_value(json_object_get(json_object_get(m, "info"), "namespace")), "shop");
	ck_assert_str_eq(json_string_value(json_object_get(json_object_get(m, "info"), "serviceAccount")), "sa");
	m = json_object_get(json_object_get(j, "config"), "environment");
	ck_assert_str_eq(json_string_value(json_object_get(m, "XDS_ADDRESS")), "https://istiod:15012");
	state = json_object_get(json_object_get(j, "workloadState"), "pod-uid-1");
	ck_assert_str_eq(json_string_value(json_object_get(state, "state")), "Up");
	s = json_object_get(state, "connections");
	ck_assert_int_eq((int)json_array_size(json_object_get(s, "inbound")), 1);
	ck_assert_str_eq(at(s, "inbound", "originalDst"), "cart.shop.svc.cluster.local");
	ck_assert_str_eq(at(s, "outbound", "originalDst"), "10.96.0.1:80");
	ck_assert_ptr_nonnull(json_object_get(j, "certificates"));
	ck_assert_str_eq(json_string_value(json_object_get(json_object_get(j, "version"), "version")), "9.8");
	json_decref(j);
}
END_TEST

START_TEST(config_dump_of_what_is_bound)
{
	struct mesh_edit *e;

	start();
	e = mesh_edit_begin();
	mesh_put_policy(e, policy_new(&(struct policy){ .key = "shop/bound", .ns = "shop", .name = "bound", .scope = POLICY_TARGETS, .action = POLICY_CUSTOM,
		.targets = (struct target_ref[]){ { TARGET_SERVICE, "cart" }, { TARGET_GATEWAY, "" } }, .n_targets = 2 }));
	mesh_edit_publish(e);
	ck_assert_int_eq(ask("127.0.0.1", t.conf.admin_port, "GET", "/config_dump"), 200);
	has("\"scope\": \"Targets\"");
	has("\"action\": \"Custom\"");
	has("\"kind\": \"Service\"");
	has("\"name\": \"*\"");
}
END_TEST

/* Pieces meet in the right places: many workloads, and a service with many endpoints. */
START_TEST(config_dump_of_many)
{
	enum { N = 3000 };
	struct mesh_edit *e;
	struct endpoints *eps = endpoints_new();
	char uid[64];
	json_t *j, *s;

	start();
	e = mesh_edit_begin();
	for (int i = 0; i < N; i++) {
		struct workload *w;

		snprintf(uid, sizeof(uid), "c//Pod/many/w-%05d", i);
		w = workload_new(&(struct workload){ .uid = uid, .name = uid + 12, .ns = "many", .identity = "", .cluster = "c", .healthy = true });
		endpoints_put(&eps, w, NULL, 0);
		mesh_put_workload(e, w);
	}
	mesh_put_service(e, service_new(&(struct service){ .key = "many/m.example", .name = "m", .ns = "many", .hostname = "m.example", .endpoints = eps }));
	endpoints_unref(eps);
	mesh_edit_publish(e);
	ck_assert_int_eq(ask("127.0.0.1", t.conf.admin_port, "GET", "/config_dump"), 200);
	j = parsed();
	ck_assert_int_eq((int)json_array_size(json_object_get(j, "workloads")), N + 1);
	for (int i = 0; i < N; i++) {
		snprintf(uid, sizeof(uid), "c//Pod/many/w-%05d", i);
		s = json_array_get(json_object_get(j, "workloads"), (size_t)i);
		ck_assert_str_eq(json_string_value(json_object_get(s, "uid")), uid);
	}
	s = json_array_get(json_object_get(j, "services"), 0);
	ck_assert_int_eq((int)json_object_size(json_object_get(s, "endpoints")), N);
	ck_assert_int_eq((int)json_array_size(json_object_get(j, "services")), 2);
	ck_assert_ptr_nonnull(json_object_get(j, "version"));
	json_decref(j);
}
END_TEST

START_TEST(status_in_both_forms)
{
	json_t *j, *cause;

	refusal_count(FAIL_NOT_WAYPOINT, REFUSAL_OTHER);
	start();
	ck_assert_int_eq(ask(t.path, 0, "GET", "/status"), 200);
	j = parsed();
	ck_assert_str_eq(json_string_value(json_object_get(j, "mode")), "ztunnel");
	cause = json_array_get(json_object_get(j, "refusalsByCause"), 0);
	ck_assert_str_eq(json_string_value(json_object_get(cause, "cause")), "NOT_WAYPOINT");
	ck_assert_int_eq(json_integer_value(json_object_get(cause, "count")), 1);
	ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(j, "connections"), "inbound")), 1);
	json_decref(j);
	ck_assert_int_eq(ask(t.path, 0, "GET", "/status?format=text"), 200);
	has("meshd 9.8, mode ztunnel, up 0s: ready\n");
	has("  shop/cart-1                      up\n    identity     spiffe://cluster.local/ns/shop/sa/cart\n    certificate  none yet\n");
	has("error: a.yaml:3: AuthorizationPolicy");
	has("\nRefused since the start, by cause:\n  NOT_WAYPOINT              1  refused because the destination admits only its waypoint: send through the waypoint");
	t.pending = "certificates, listeners";
	ask(t.path, 0, "GET", "/status?format=text");
	has("not ready, waiting for certificates, listeners\n");
	ck_assert_int_eq(ask(t.path, 0, "GET", "/connections"), 200);
	json_decref(parsed());
	ck_assert_int_eq(ask(t.path, 0, "GET", "/connections?format=text"), 200);
	has("inbound  HBONE 10.0.0.1:4000");
}
END_TEST

START_TEST(page_escapes)
{
	start();
	ck_assert_int_eq(ask("127.0.0.1", t.conf.admin_port, "GET", "/"), 200);
	has("<!doctype html>");
	has("no WorkloadEntry &lt;b&gt;");
	ck_assert_ptr_null(strstr((char *)buf_data(&body), "{{"));
	ck_assert_ptr_null(strstr((char *)buf_data(&body), "<b>"));
	has("<script src=\"page.js\" defer></script>");
	ck_assert_int_eq(ask("127.0.0.1", t.conf.admin_port, "GET", "/page.js"), 200);
	has("'use strict';");
	ck_assert_int_eq(ask("127.0.0.1", t.conf.admin_port, "GET", "/page.css"), 200);
	has("prefers-color-scheme: dark");
	ck_assert_int_eq(ask("127.0.0.1", t.conf.stats_port, "GET", "/page.js"), 404);
}
END_TEST

#define EVIL "</script>\"\\\x01<img src=x onerror=alert(1)>\xff"

START_TEST(traffic)
{
	json_t *j, *e;

	start();
	ck_assert_int_eq(ask("127.0.0.1", t.conf.admin_port, "GET", "/traffic"), 200);
	j = parsed();
	ck_assert_uint_eq(json_array_size(json_object_get(j, "edges")), 0);
	json_decref(j);
	tally_add(edge_row(str_c("source"), &(struct edge_end){ .identity = str_c(EVIL) }, &(struct edge_end){ .identity = str_c("spiffe://a") },
			   str_c("cart.shop.svc.cluster.local")), EDGE_REQUESTS, 9);
	for (int i = 0; i < ADMIN_EDGES_MAX; i++) {
		char ns[16];

		snprintf(ns, sizeof(ns), "ns%d", i);
		edge_end(edge_row(str_c("destination"), &(struct edge_end){ .ns = str_c(ns), .workload = str_c("w") }, &(struct edge_end){ 0 }, str_c("")), FAIL_DENIED, 0);
	}
	ck_assert_int_eq(ask("127.0.0.1", t.conf.admin_port, "GET", "/traffic"), 200);
	j = parsed();
	ck_assert_uint_eq(json_array_size(json_object_get(j, "edges")), ADMIN_EDGES_MAX);
	e = json_array_get(json_object_get(j, "edges"), 0);
	ck_assert_ptr_nonnull(strstr(json_string_value(json_object_get(e, "source")), "</script>\"\\\x01<img"));
	ck_assert_int_eq(json_integer_value(json_object_get(e, "requests")), 9);
	ck_assert_int_eq(json_integer_value(json_object_get(j, "more")), 1);
	ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(j, "rest"), "refused")), 1);
	json_decref(j);
}
END_TEST

START_TEST(lists_may_be_short)
{
	struct flow_metrics *m = flow_metrics_new();
	json_t *j;

	log_set_levels(str_c("access=off"), NULL);
	start();
	ck_assert_int_eq(ask(t.path, 0, "GET", "/connections?max=1"), 200);
	j = parsed();
	ck_assert_uint_eq(json_array_size(json_object_get(j, "connections")), 1);
	ck_assert_int_eq(json_integer_value(json_object_get(j, "total")), 2);
	json_decref(j);
	ask(t.path, 0, "GET", "/connections?format=text&max=1");
	has("... and 1 more\n");
	for (int i = 0; i < 3; i++) {
		struct flow f = { .direction = FLOW_INBOUND };

		flow_refused_early(m, &f, FAIL_LOOP, "to :15001");
	}
	for (int i = 0; i < 4; i++) {
		static const char *const paths[] = { "/why?max=2", "/why?max=junk", "/why?max=99999999999999999999", "/why?max=-1" };

		ck_assert_int_eq(ask(t.path, 0, "GET", paths[i]), 200);
		j = parsed();
		ck_assert_uint_eq(json_array_size(j), i ? 3 : 2);
		json_decref(j);
	}
}
END_TEST

START_TEST(why)
{
	struct flow f = { .direction = FLOW_INBOUND };
	char path[64];

	log_set_levels(str_c("access=off"), NULL);
	start();
	ck_assert_int_eq(ask(t.path, 0, "GET", "/why?format=text"), 200);
	has("no connection was refused\n");
	flow_refused_early(flow_metrics_new(), &f, FAIL_LOOP, "to :15001");
	snprintf(path, sizeof(path), "/why?id=%016llx&format=text", (unsigned long long)f.id);
	ck_assert_int_eq(ask(t.path, 0, "GET", path), 200);
	has("the destination is this proxy itself");
	ck_assert_int_eq(ask(t.path, 0, "GET", "/why"), 200);
	json_decref(parsed());
	ck_assert_int_eq(ask(t.path, 0, "GET", "/why?id=123"), 404);
	ck_assert_int_eq(ask(t.path, 0, "GET", "/why?id=xyz"), 400);
}
END_TEST

START_TEST(readiness_and_metrics)
{
	start();
	ck_assert_int_eq(ask("127.0.0.1", t.conf.ready_port, "GET", "/healthz/ready"), 200);
	ck_assert_str_eq((char *)buf_data(&body), "ready\n");
	t.pending = "a, b";
	ck_assert_int_eq(ask("127.0.0.1", t.conf.ready_port, "GET", "/healthz/ready"), 500);
	ck_assert_str_eq((char *)buf_data(&body), "not ready, pending: a, b\n");
	ck_assert_int_eq(ask("127.0.0.1", t.conf.ready_port, "POST", "/healthz/ready"), 405);
	ck_assert_int_eq(ask("127.0.0.1", t.conf.ready_port, "GET", "/status"), 404);
	ck_assert_int_eq(ask("127.0.0.1", t.conf.stats_port, "GET", "/metrics"), 200);
	has("istio_build{component=\"ztunnel\",tag=\"unknown\"} 1");
	has("meshd_build{version=\"9.8\"} 1");
	ck_assert_int_eq(ask("127.0.0.1", t.conf.stats_port, "GET", "/stats/prometheus"), 200);
	ck_assert_int_eq(ask("127.0.0.1", t.conf.stats_port, "GET", "/config_dump"), 404);
}
END_TEST

START_TEST(logging)
{
	start();
	ck_assert_int_eq(ask(t.path, 0, "POST", "/logging"), 200);
	has("current log level is ");
	ck_assert_int_eq(ask(t.path, 0, "POST", "/logging?level=access=debug,info"), 200);
	has("current log level is access=debug,info\n");
	ck_assert_int_eq(ask(t.path, 0, "POST", "/logging?level="), 200);
	has("current log level is access=debug,info\n");
	ck_assert_int_eq(ask(t.path, 0, "POST", "/logging?level=access:info,ztunnel::xds::client=debug"), 200);
	has("current log level is xds=debug,info\n");
	ck_assert_int_eq(ask(t.path, 0, "POST", "/logging?level=debug,nowhere=info"), 400);
	ck_assert_int_eq(ask(t.path, 0, "POST", "/logging"), 200);
	has("current log level is xds=debug,info\n");
	ck_assert_int_eq(ask(t.path, 0, "GET", "/debug/pprof/heap"), 501);
	has("heaptrack");
	ck_assert_int_eq(ask(t.path, 0, "POST", "/logging?level=loud"), 400);
	has("Invalid level provided: loud\n");
	ck_assert_int_eq(ask(t.path, 0, "POST", "/logging?level=&reset"), 200);
	has("current log level is info\n");
	ck_assert_int_eq(ask(t.path, 0, "GET", "/logging"), 405);
	ck_assert_int_eq(ask(t.path, 0, "GET", "/quitquitquit"), 405);
	ck_assert_int_eq(ask(t.path, 0, "POST", "/reload"), 200);
	ck_assert_int_eq(ask(t.path, 0, "POST", "/reload"), 500);
	has("the directory is gone");
}
END_TEST

static const struct {
	const char *head;
	int status;
	bool post_unix_only;
} guard[] = {
	{ "GET /status HTTP/1.1\r\nHost: localhost", 200, false },
	{ "GET /status HTTP/1.1\r\nHost: LOCALHOST:15000", 200, false },
	{ "GET /status HTTP/1.1\r\nHost: 127.0.0.1:3456", 200, false },
	{ "GET /status HTTP/1.1\r\nHost: [::1]:15000", 200, false },
	{ "GET /status HTTP/1.1\r\nHost: evil.example:15000", 403, false },
	{ "GET /status HTTP/1.1\r\nHost: localhost.evil.example", 403, false },
	{ "GET /status HTTP/1.1\r\nHost: 127.0.0.1.evil.example", 403, false },
	{ "GET /status HTTP/1.1\r\nHost:", 403, false },
	{ "GET http://evil/status HTTP/1.1\r\nHost: localhost", 403, false },
	{ "GET /status HTTP/1.1\r\nHost: localhost:1\r\nOrigin: http://localhost:1", 200, false },
	{ "GET /status HTTP/1.1\r\nHost: localhost:1\r\nOrigin: http://localhost:2", 403, false },
	{ "GET /status HTTP/1.1\r\nHost: localhost:1\r\nOrigin: http://evil.example", 403, false },
	{ "POST /logging HTTP/1.1\r\nHost: localhost:1\r\nOrigin: null", 403, false },
	{ "POST /logging HTTP/1.1\r\nHost: localhost:1", 200, false },
	{ "POST /logging HTTP/1.1\r\nHost: localhost:1", 403, true },
	{ "GET /status HTTP/1.1\r\nHost: localhost:1", 200, true },
};

START_TEST(browsers_are_kept_out)
{
	struct addr to = { .port = t.conf.admin_port };
	struct sockaddr_storage sa;
	char text[512];
	int fd, status = 0;

	t.conf.post_unix_only = guard[_i].post_unix_only;
	start();
	ip_parse(str_c("127.0.0.1"), &to.ip);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&sa, addr_to_sockaddr(&to, AF_INET, &sa)), 0);
	snprintf(text, sizeof(text), "%s\r\nConnection: close\r\n\r\n", guard[_i].head);
	ck_assert_int_eq(send(fd, text, strlen(text), 0), (ssize_t)strlen(text));
	ck_assert_int_gt(recv(fd, text, 15, MSG_WAITALL), 0);
	ck_assert_int_eq(sscanf(text, "HTTP/1.1 %d", &status), 1);
	ck_assert_int_eq(status, guard[_i].status);
	close(fd);
}
END_TEST

START_TEST(a_taken_port_is_told)
{
	struct admin *second;
	struct admin_conf conf;
	struct err err;

	start();
	conf = t.conf;
	conf.control = loop_new(-1);   /* the first one's runs in its own thread */
	ck_assert_int_lt(admin_new(&conf, &ops, NULL, &second, &err), 0);
	ck_assert(strstr(err.msg, "another proxy"));
	loop_free(conf.control);
}
END_TEST

START_TEST(nobody_there)
{
	struct buf out = { 0 };
	struct err err;

	start();
	ck_assert_int_lt(admin_request("127.0.0.1", free_port(), "GET", "/", &out, &err), 0);
	ck_assert(strstr(err.msg, "is meshd running"));
	ck_assert_int_lt(admin_request("/nowhere/sock", 0, "GET", "/", &out, &err), 0);
	ck_assert_int_lt(admin_request("name", 0, "GET", "/", &out, &err), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("admin");
	TCase *c = tcase_create("admin");
	SRunner *sr;
	int failures;

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, config_dump_has_istioctls_shape);
	tcase_add_test(c, config_dump_of_what_is_bound);
	tcase_add_test(c, config_dump_of_many);
	tcase_add_test(c, status_in_both_forms);
	tcase_add_test(c, page_escapes);
	tcase_add_test(c, traffic);
	tcase_add_test(c, lists_may_be_short);
	tcase_add_test(c, why);
	tcase_add_test(c, readiness_and_metrics);
	tcase_add_test(c, logging);
	tcase_add_loop_test(c, browsers_are_kept_out, 0, (int)ARRAY_LEN(guard));
	tcase_add_test(c, a_taken_port_is_told);
	tcase_add_test(c, nobody_there);
	suite_add_tcase(s, c);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failures = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failures != 0;
}
