/* SPDX-License-Identifier: Apache-2.0 */
/* What a sidecar makes of a mesh: where each request goes, and what each cluster is. */
#include "plan_fixture.h"
#include "suite.h"

#define VS(NAME, SPEC) ISTIO("VirtualService", "shop", NAME, SPEC)
#define VS_IN(NS, NAME, SPEC) ISTIO("VirtualService", NS, NAME, SPEC)
#define DR(NAME, SPEC) ISTIO("DestinationRule", "shop", NAME, SPEC)
#define DR_IN(NS, NAME, SPEC) ISTIO("DestinationRule", NS, NAME, SPEC)

static const char services[] =
	ISTIO("ServiceEntry", "shop", "cart", "hosts: [cart.shop.svc.cluster.local], addresses: [10.0.0.1], location: MESH_INTERNAL, resolution: STATIC, "
	      "ports: [{number: 80, name: http, protocol: HTTP}, {number: 8080, name: web, protocol: HTTP}, {number: 9000, name: tcp, protocol: TCP}, {number: 90, name: any}], "
	      "endpoints: [{address: 10.1.0.1, labels: {app: cart, version: v1}}, {address: 10.1.0.2, labels: {app: cart, version: v2}}]")
	ISTIO("ServiceEntry", "shop", "user", "hosts: [user.shop.svc.cluster.local], addresses: [10.0.0.2], location: MESH_INTERNAL, resolution: STATIC, "
	      "ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}, {number: 9000, name: grpc, protocol: GRPC}], workloadSelector: {labels: {app: user}}")
	ISTIO("ServiceEntry", "bank", "pay", "hosts: [pay.bank.svc.cluster.local], addresses: [10.0.0.3], location: MESH_INTERNAL, resolution: STATIC, "
	      "ports: [{number: 80, name: http, protocol: HTTP}], endpoints: [{address: 10.1.0.5}]")
	ISTIO("ServiceEntry", "shop", "api", "hosts: [api.example.com], location: MESH_EXTERNAL, resolution: DNS, "
	      "ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]")
	ISTIO("WorkloadEntry", "shop", "me", "address: 10.2.0.1, labels: {app: user, version: v1}, serviceAccount: user");

static void load(struct world *w, const char *yaml) { world_load(w, MODE_SIDECAR, "shop", services, yaml); }

/* "GET 10.0.0.1:80 cart /path name=value": to which address, Host, path, one header. What becomes of it: "route>cluster*weight,… flags". */
static const char *decide(const struct world *w, const char *line)
{
	static char out[2000];
	struct str rest = str_c(line), method = str_cut(rest, ' ', &rest), to = str_cut(rest, ' ', &rest), host = str_cut(rest, ' ', &rest), path = str_cut(rest, ' ', &rest), value, name = str_cut(rest, '=', &value);
	struct http_field f = { name, value };
	struct exchange x = { .request = { .method = method, .authority = host, .path = path, .scheme = str_c("http") }, .request_fields = { .v = &f, .n = name.n != 0 } };
	const struct outbound_port *o;
	const struct route *r;
	struct addr a;
	size_t n;

	ck_assert_msg(addr_parse(to, &a) == 0, "%s", line);
	o = plan_outbound(w->p, &a);
	if (!o)
		return cluster_conf(plan_unknown(w->p))->name;
	r = o->http ? route_find(o->http, &x) : NULL;
	if (!o->http)
		snprintf(out, sizeof(out), "l4");
	else if (!r)
		snprintf(out, sizeof(out), "404");
	else
		snprintf(out, sizeof(out), "%s", r->name);
	n = strlen(out);
	if (r && r->action == ROUTE_REPLY)
		n += (size_t)snprintf(out + n, sizeof(out) - n, " %d", r->reply.status);
	for (int i = 0; r && r->action == ROUTE_FORWARD && i < r->n_targets; i++)
		n += (size_t)snprintf(out + n, sizeof(out) - n, " %s%s*%u", r->targets[i].cluster ? "" : "!", r->targets[i].cluster_name, r->targets[i].weight);
	return out;
}

#define CART "outbound|80||cart.shop.svc.cluster.local*1"
#define USER "outbound|80||user.shop.svc.cluster.local*1"
#define PAY "outbound|80||pay.bank.svc.cluster.local*1"

struct row { const char *ask, *want; };

static void check(const char *yaml, const struct row *rows, size_t n)
{
	struct world w;

	load(&w, yaml);
	for (size_t i = 0; i < n; i++)
		ck_assert_msg(!strcmp(decide(&w, rows[i].ask), rows[i].want), "%s\n  is %s\nwant %s\n%s", rows[i].ask, decide(&w, rows[i].ask), rows[i].want, w.reports);
	world_done(&w);
}
#define CHECK(YAML, ...) do { static const struct row rows_[] = { __VA_ARGS__ }; check(YAML, rows_, ARRAY_LEN(rows_)); } while (0)

START_TEST(services_by_all_their_names)
{
	CHECK("", { "GET 10.0.0.1:80 cart /", "default " CART }, { "GET 10.9.9.9:80 cart.shop /", "default " CART }, { "GET 10.0.0.1:80 cart.shop.svc:80 /x", "default " CART },
	      { "GET 10.0.0.1:80 cart.shop.svc.cluster.local. /", "default " CART }, { "GET 10.0.0.1:80 10.0.0.1 /", "default " CART }, { "GET 10.0.0.1:80 PAY.bank /", "default " PAY },
	      { "GET 10.0.0.1:80 pay /", "allow_any PassthroughCluster*1" }, { "GET 10.0.0.9:80 api.example.com /", "default outbound|80||api.example.com*1" },
	      { "GET 10.0.0.1:9000 cart /", "l4" }, { "GET 10.0.0.1:90 whatever /", "default outbound|90||cart.shop.svc.cluster.local*1" },
	      { "GET 10.0.0.7:9000 user /", "default outbound|9000||user.shop.svc.cluster.local*1" }, { "GET 1.2.3.4:999 cart /", "PassthroughCluster" });
}
END_TEST

START_TEST(rules_in_their_order)
{
	CHECK(VS("cart", "hosts: [cart], http: [{name: a, match: [{uri: {prefix: /a}}, {uri: {exact: /b}, name: m}], " TO("user") "}, {match: [{port: 8080}], name: c, " TO("user") "}, "
		 "{match: [{headers: {x: {exact: '1'}}}], name: d, " TO("pay.bank.svc.cluster.local") "}, {match: [{sourceLabels: {app: other}}], name: e, " TO("user") "}, "
		 "{match: [{sourceLabels: {app: user}, uri: {prefix: /l}}], name: f, " TO("cart") "}, {name: z, " TO("cart") "}, {name: never, " TO("user") "}]"),
	      { "GET 10.0.0.1:80 cart /abc", "a " USER }, { "GET 10.0.0.1:80 cart /b", "a.m " USER }, { "GET 10.0.0.1:80 cart /c", "z " CART },
	      { "GET 10.0.0.1:8080 cart /c", "c !outbound|8080||user.shop.svc.cluster.local*1" }, { "GET 10.0.0.1:80 cart / x=1", "d " PAY },
	      { "GET 10.0.0.1:80 cart /l", "f " CART }, { "GET 10.0.0.1:80 user /abc", "default " USER });
}
END_TEST

/* The older one takes all; one without a rule for us does not count; an exact host before a wildcard. */
START_TEST(virtual_services_for_one_host)
{
	CHECK(VS("b", "hosts: [cart], http: [{name: b, " TO("cart") "}]") VS("a", "hosts: [cart], http: [{name: a, match: [{uri: {prefix: /x}}], " TO("user") "}]")
	      VS("w", "hosts: ['*.shop.svc.cluster.local'], http: [{name: w, " TO("cart") "}]"),
	      { "GET 10.0.0.1:80 cart /x", "a " USER }, { "GET 10.0.0.1:80 cart /y", "404" }, { "GET 10.0.0.1:80 user /", "w " CART });
	CHECK(VS("a", "hosts: [cart], http: [{name: a, match: [{port: 8080}], " TO("user") "}]") VS("b", "hosts: [cart], http: [{name: b, " TO("cart") "}]"),
	      { "GET 10.0.0.1:80 cart /", "b " CART }, { "GET 10.0.0.1:8080 cart /", "a !outbound|8080||user.shop.svc.cluster.local*1" });
	CHECK(VS("a", "hosts: [cart], http: [{name: a, " TO("user") "}]") VS_IN("shop", "b", "hosts: [cart], exportTo: ['.'], http: [{name: b, " TO("cart") "}]"),
	      { "GET 10.0.0.1:80 cart /", "b " CART });
	CHECK(VS_IN("bank", "a", "hosts: [pay], exportTo: ['.'], http: [{name: a, " TO("pay") "}]"), { "GET 10.0.0.1:80 pay.bank /", "default " PAY });
	CHECK(VS("a", "hosts: [other.test], http: [{name: a, " TO("cart") "}]") VS("g", "hosts: [third.test], gateways: [gw], http: [{name: g, " TO("cart") "}]"),
	      { "GET 1.1.1.1:80 other.test /", "a " CART }, { "GET 1.1.1.1:80 third.test /", "allow_any PassthroughCluster*1" });
}
END_TEST

START_TEST(delegates)
{
	CHECK(VS("root", "hosts: [cart], http: [{name: r, match: [{uri: {prefix: /a}}], delegate: {name: leaf}}, {name: z, " TO("cart") "}]")
	      VS("leaf", "http: [{name: l, match: [{uri: {prefix: /a/b}}], " TO("user") "}, {name: conflict, match: [{uri: {prefix: /c}}], " TO("user") "}, {name: rest, timeout: 3s, " TO("pay.bank.svc.cluster.local") "}]"),
	      { "GET 10.0.0.1:80 cart /a/b/c", "r-l " USER }, { "GET 10.0.0.1:80 cart /a/c", "r-rest " PAY }, { "GET 10.0.0.1:80 cart /c", "z " CART });
}
END_TEST

START_TEST(weights_and_missing_destinations)
{
	CHECK(DR("cart", "host: cart, subsets: [{name: v1, labels: {version: v1}}]")
	      VS("cart", "hosts: [cart], http: [{match: [{uri: {exact: /w}}], name: w, route: [{destination: {host: cart, subset: v1}, weight: 90}, {destination: {host: cart, subset: v9}, weight: 10}, {destination: {host: user}, weight: 0}]}, "
		 "{match: [{uri: {exact: /1}}], name: one, route: [{destination: {host: nowhere}}]}, {match: [{uri: {exact: /p}}], name: p, route: [{destination: {host: user, port: {number: 9000}}}]}]"),
	      { "GET 10.0.0.1:80 cart /w", "w outbound|80|v1|cart.shop.svc.cluster.local*90 !outbound|80|v9|cart.shop.svc.cluster.local*10" },
	      { "GET 10.0.0.1:80 cart /1", "one !outbound|80||nowhere.shop.svc.cluster.local*1" }, { "GET 10.0.0.1:80 cart /p", "p outbound|9000||user.shop.svc.cluster.local*1" });
}
END_TEST

START_TEST(sidecar_scopes)
{
	CHECK(ISTIO("Sidecar", "shop", "s", "outboundTrafficPolicy: {mode: REGISTRY_ONLY}, egress: [{hosts: ['./cart.shop.svc.cluster.local', 'bank/*']}]"),
	      { "GET 10.0.0.1:80 cart /", "default " CART }, { "GET 10.0.0.1:80 user /", "block_all 502" }, { "GET 10.0.0.1:80 pay.bank /", "default " PAY },
	      { "GET 10.0.0.2:777 x /", "BlackHoleCluster" });
	CHECK(ISTIO("Sidecar", "shop", "s", "egress: [{hosts: ['*/*', '~bank/*', '~./user.shop.svc.cluster.local']}]"),
	      { "GET 10.0.0.1:80 cart /", "default " CART }, { "GET 10.0.0.1:80 user /", "allow_any PassthroughCluster*1" }, { "GET 10.0.0.1:80 pay.bank /", "allow_any PassthroughCluster*1" });
	CHECK(ISTIO("Sidecar", "shop", "other", "workloadSelector: {labels: {app: no}}, egress: [{hosts: ['~/*']}]"), { "GET 10.0.0.1:80 cart /", "default " CART });
	CHECK(ISTIO("Sidecar", "istio-system", "root", "egress: [{hosts: ['./*']}]"), { "GET 10.0.0.1:80 cart /", "default " CART }, { "GET 10.0.0.1:80 pay.bank /", "allow_any PassthroughCluster*1" });
	/* An entry of a port comes before the rest; destinations of VirtualServices have clusters all the same. */
	CHECK(ISTIO("Sidecar", "shop", "s", "egress: [{port: {number: 80, protocol: HTTP, name: h}, hosts: ['./cart.shop.svc.cluster.local']}, {hosts: ['*/*']}]")
	      VS("cart", "hosts: [cart], http: [{name: a, " TO("user") "}]"),
	      { "GET 10.0.0.1:80 cart /", "a " USER }, { "GET 10.0.0.1:80 user /", "allow_any PassthroughCluster*1" }, { "GET 10.0.0.2:9000 user /", "default outbound|9000||user.shop.svc.cluster.local*1" });
}
END_TEST

static const struct cluster_conf *conf_of(const struct world *w, const char *name)
{
	struct cluster *c = plan_cluster(w->p, str_c(name));

	ck_assert_msg(c != NULL, "%s", name);
	return cluster_conf(c);
}

START_TEST(destination_rules)
{
	struct world w;
	const struct cluster_conf *c;

	load(&w, DR("cart", "host: cart, trafficPolicy: {connectionPool: {tcp: {maxConnections: 7}}, outlierDetection: {consecutive5xxErrors: 3}, loadBalancer: {simple: RANDOM}, "
		    "portLevelSettings: [{port: {number: 8080}, loadBalancer: {simple: ROUND_ROBIN}}]}, subsets: [{name: v1, labels: {version: v1}, trafficPolicy: {tls: {mode: DISABLE}}}]")
	     DR_IN("istio-system", "all", "host: '*.local', trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}")
	     DR_IN("bank", "pay", "host: pay, exportTo: ['.'], trafficPolicy: {loadBalancer: {simple: RANDOM}}")
	     DR("sel", "host: api.example.com, workloadSelector: {matchLabels: {app: user}}, trafficPolicy: {tls: {mode: SIMPLE, sni: api.test}}"));
	c = conf_of(&w, "outbound|80||cart.shop.svc.cluster.local");
	ck_assert_int_eq(c->kind, CLUSTER_SERVICE);
	ck_assert_uint_eq(c->pool.max_connections, 7);
	ck_assert_uint_eq(c->pool.max_requests, UINT32_MAX);
	ck_assert_uint_eq(c->pool.connect_ms, 10000);
	ck_assert_uint_eq(c->pool.idle_ms, 3600000);
	ck_assert(c->outlier.on && c->outlier.consecutive_5xx == 3 && c->outlier.max_percent == 10 && c->outlier.interval_ms == 10000 && !c->outlier.consecutive_gateway);
	ck_assert_int_eq(c->lb.policy, LB_RANDOM);
	ck_assert_int_eq(c->tls.mode, TLS_AUTO);
	ck_assert_str_eq(c->tls.sni, "outbound_.80_._.cart.shop.svc.cluster.local");
	c = conf_of(&w, "outbound|8080||cart.shop.svc.cluster.local");
	ck_assert(c->lb.policy == LB_ROUND_ROBIN && c->pool.max_connections == UINT32_MAX && !c->outlier.on);
	c = conf_of(&w, "outbound|80|v1|cart.shop.svc.cluster.local");
	ck_assert(c->tls.mode == TLS_DISABLE && c->pool.max_connections == 7 && c->n_labels == 1 && c->lb.policy == LB_RANDOM);
	ck_assert_str_eq(c->labels[0].value, "v1");
	c = conf_of(&w, "outbound|80||user.shop.svc.cluster.local");
	ck_assert_int_eq(c->tls.mode, TLS_ISTIO_MUTUAL);
	c = conf_of(&w, "outbound|80||pay.bank.svc.cluster.local");
	ck_assert(c->tls.mode == TLS_ISTIO_MUTUAL && c->lb.policy == LB_LEAST_REQUEST);
	c = conf_of(&w, "outbound|443||api.example.com");
	ck_assert(c->kind == CLUSTER_DNS && c->tls.mode == TLS_SIMPLE);
	ck_assert_str_eq(c->tls.sni, "api.test");
	ck_assert(conf_of(&w, "outbound|9000||user.shop.svc.cluster.local")->http2);
	world_done(&w);
}
END_TEST

START_TEST(default_and_own_retries)
{
	struct exchange x = { .request = { .method = str_c("GET"), .authority = str_c("cart"), .path = str_c("/"), .scheme = str_c("http") } };
	const struct route *r;
	struct world w;
	struct addr a;

	addr_parse(str_c("10.0.0.1:80"), &a);
	load(&w, VS("cart", "hosts: [cart], http: [{match: [{uri: {exact: /r}}], retries: {attempts: 5, retryOn: '503, 5xx', perTryTimeout: 2s, retryIgnorePreviousHosts: false}, " TO("cart") "}, "
		    "{match: [{uri: {exact: /n}}], retries: {attempts: 0}, " TO("cart") "}, {timeout: 1500ms, " TO("cart") "}]"));
	r = route_find(plan_outbound(w.p, &a)->http, &x);
	ck_assert_uint_eq(r->retry.on, RETRY_CONNECT_FAILURE | RETRY_REFUSED_STREAM | RETRY_GRPC_UNAVAILABLE | RETRY_GRPC_CANCELLED | RETRY_CODES);
	ck_assert(r->retry.attempts == 2 && r->retry.n_codes == 0 && r->retry.previous_hosts && r->retry.backoff_ms == 25 && r->timeout_ms == 1500);
	x.request.path = str_c("/r");
	r = route_find(plan_outbound(w.p, &a)->http, &x);
	ck_assert_uint_eq(r->retry.on, RETRY_5XX | RETRY_CODES);
	ck_assert(r->retry.attempts == 5 && r->retry.n_codes == 1 && r->retry.codes[0] == 503 && !r->retry.previous_hosts && r->retry.per_try_ms == 2000 && r->timeout_ms == 0);
	x.request.path = str_c("/n");
	ck_assert_int_eq(route_find(plan_outbound(w.p, &a)->http, &x)->retry.attempts, 0);
	world_done(&w);
}
END_TEST

START_TEST(bytes)
{
	const struct outbound_port *o;
	struct world w;
	struct addr a;

	load(&w, VS("cart", "hosts: [cart], tcp: [{match: [{port: 9000, sourceLabels: {app: other}}], " TO("user") "}, {match: [{port: 9000}], route: [{destination: {host: cart, subset: v1}, weight: 1}, {destination: {host: cart}, weight: 3}]}]")
	     VS("api", "hosts: [api.example.com, '*.example.com'], tls: [{match: [{port: 443, sniHosts: ['*.example.com']}], " TO("cart") "}, {match: [{port: 443, sniHosts: [api.example.com]}], " TO("api.example.com") "}]")
	     DR("cart", "host: cart, subsets: [{name: v1, labels: {version: v1}}], trafficPolicy: {connectionPool: {tcp: {idleTimeout: 5s}}}"));
	addr_parse(str_c("10.0.0.1:9000"), &a);
	o = plan_outbound(w.p, &a);
	ck_assert(o && o->protocol == PROTOCOL_TCP && o->n_tcp == 1 && !o->http);
	ck_assert(o->tcp[0].n_targets == 2 && o->tcp[0].weight_sum == 4 && o->tcp[0].idle_ms == 5000);
	ck_assert_str_eq(o->tcp[0].targets[0].cluster_name, "outbound|9000|v1|cart.shop.svc.cluster.local");
	addr_parse(str_c("93.184.216.34:443"), &a);
	o = plan_outbound(w.p, &a);
	ck_assert(o && o->protocol == PROTOCOL_TLS && o->n_tls == 2);
	ck_assert_str_eq(o->tls[0].sni[0], "api.example.com");
	ck_assert_str_eq(o->tls[0].targets[0].cluster_name, "outbound|443||api.example.com");
	ck_assert_str_eq(o->tls[1].sni[0], "*.example.com");
	world_done(&w);
}
END_TEST

#define WAYPOINT "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: wp, namespace: shop, labels: {istio.io/waypoint-for: all}}\nspec: {gatewayClassName: istio-waypoint}\n---\n"
#define GUARDED(NAME, SPEC) "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: " NAME ", namespace: shop, labels: {istio.io/use-waypoint: wp}}\nspec: {" SPEC "}\n---\n"

/* What is for a service with a waypoint: bytes at its address; elsewhere by its Host, but nothing of its VirtualServices. */
static const char through[] = WAYPOINT
	GUARDED("g", "hosts: [g.shop.svc.cluster.local], addresses: [10.0.1.1], location: MESH_INTERNAL, resolution: STATIC, endpoints: [{address: 10.1.0.9}], "
		"ports: [{number: 80, name: http, protocol: HTTP}, {number: 90, name: any}, {number: 443, name: tls, protocol: TLS}]")
	GUARDED("far", "hosts: ['*.far.test'], location: MESH_EXTERNAL, resolution: NONE, ports: [{number: 8443, name: tls, protocol: TLS}]")
	VS("g", "hosts: [g], http: [{name: own, fault: {abort: {httpStatus: 500, percentage: {value: 100}}}, " TO("cart") "}], tcp: [{match: [{port: 90}], " TO("cart") "}]")
	VS("subset", "hosts: [g], http: [{name: never, route: [{destination: {host: g, subset: v1}}]}]")
	VS("other", "hosts: [other.test], http: [{name: other, route: [{destination: {host: g, subset: v1}}]}]")
	DR("g", "host: g, subsets: [{name: v1, labels: {version: v1}}], trafficPolicy: {tls: {mode: SIMPLE}, connectionPool: {http: {maxRetries: 1}}}");

static const struct outbound_port *port_at(const struct world *w, const char *at)
{
	struct addr a;

	ck_assert_int_eq(addr_parse(str_c(at), &a), 0);
	return plan_outbound(w->p, &a);
}

START_TEST(through_waypoints)
{
	static const struct row rows[] = {
		{ "GET 10.0.1.1:80 g /", "l4" }, { "GET 10.0.1.1:90 g /", "l4" }, { "GET 10.0.9.9:80 g /", "default outbound|80||g.shop.svc.cluster.local*1" },
		{ "GET 10.0.9.9:80 other.test /", "other outbound|80|v1|g.shop.svc.cluster.local*1" }, { "GET 10.0.9.9:80 cart /", "default " CART },
	};
	const struct cluster_conf *conf;
	const struct outbound_port *o;
	struct world w;

	load(&w, through);
	w.f.settings.waypoint_use = WAYPOINTS_USED;
	confdir_free(w.f.c);
	w.f.c = confdir_new(w.f.dir, &w.f.settings);
	ck_assert_int_eq(fixture_load(&w.f), 0);
	world_compile(&w);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		ck_assert_msg(!strcmp(decide(&w, rows[i].ask), rows[i].want), "%s\n  is %s\nwant %s", rows[i].ask, decide(&w, rows[i].ask), rows[i].want);
	for (int i = 0; i < 3; i++) {
		o = port_at(&w, (const char *const[]){ "10.0.1.1:80", "10.0.1.1:90", "10.0.1.1:443" }[i]);
		ck_assert(o && o->protocol == PROTOCOL_TCP && !o->http && !o->n_tls && o->n_tcp == 1 && o->tcp[0].n_targets == 1);
		conf = cluster_conf(o->tcp[0].targets[0].cluster);
		ck_assert(conf->kind == CLUSTER_WAYPOINT && conf->tls.mode == TLS_DISABLE && conf->pool.max_retries == UINT32_MAX);
	}
	conf = cluster_conf(plan_cluster(w.p, str_c("outbound|80|v1|g.shop.svc.cluster.local")));
	ck_assert(conf->kind == CLUSTER_WAYPOINT && !conf->n_labels && conf->pool.h2 == H2_AS_CLIENT);
	ck_assert_msg(strstr(w.reports, "the subset v1 of g.shop.svc.cluster.local is not chosen here"), "%s", w.reports);
	ck_assert_msg(strstr(w.reports, "shop/other") && !strstr(w.reports, "shop/subset"), "%s", w.reports);
	o = port_at(&w, "93.184.216.34:8443");           /* without an address: by SNI */
	ck_assert(o && o->protocol == PROTOCOL_TLS && o->n_tls == 1 && cluster_conf(o->tls[0].targets[0].cluster)->kind == CLUSTER_WAYPOINT);
	world_done(&w);
}
END_TEST

/* A wildcard whose servers requests name. */
START_TEST(names_of_requests)
{
	static const struct row rows[] = {
		{ "GET 10.0.9.9:80 a.wild.test /", "default outbound|80||*.wild.test*1" }, { "GET 10.0.9.9:80 wild.test /", "allow_any PassthroughCluster*1" },
	};
	const struct cluster_conf *conf;
	struct world w;

	load(&w, ISTIO("ServiceEntry", "shop", "wild", "hosts: ['*.wild.test'], location: MESH_EXTERNAL, resolution: DYNAMIC_DNS, "
		       "ports: [{number: 80, targetPort: 443, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]")
		 DR("wild", "host: '*.wild.test', trafficPolicy: {loadBalancer: {simple: PASSTHROUGH}, tls: {mode: SIMPLE}}"));
	world_compile(&w);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		ck_assert_msg(!strcmp(decide(&w, rows[i].ask), rows[i].want), "%s\n  is %s\nwant %s", rows[i].ask, decide(&w, rows[i].ask), rows[i].want);
	conf = cluster_conf(plan_cluster(w.p, str_c("outbound|80||*.wild.test")));
	ck_assert(conf->kind == CLUSTER_NAMED && conf->n_hosts == 1 && conf->target == 443 && conf->tls.mode == TLS_SIMPLE);
	ck_assert_str_eq(conf->hosts[0], "*.wild.test");
	conf = cluster_conf(plan_cluster(w.p, str_c("outbound|443||*.wild.test")));
	ck_assert(conf->kind == CLUSTER_NAMED && conf->target == 443);
	ck_assert_msg(!strstr(w.reports, "DYNAMIC_DNS"), "%s", w.reports);
	world_done(&w);
}
END_TEST

/* Somebody has a sidecar of Istio's: as those do, waypoints are skipped, unless it is said otherwise. */
START_TEST(past_waypoints)
{
	struct world w;

	load(&w, through);
	ck_assert_str_eq(decide(&w, "GET 10.0.1.1:80 g /"), "own " CART);
	ck_assert(cluster_conf(port_at(&w, "10.0.1.1:90")->tcp[0].targets[0].cluster)->kind == CLUSTER_SERVICE);
	world_done(&w);
}
END_TEST

START_TEST(inbound)
{
	struct exchange x = { .request = { .method = str_c("GET"), .authority = str_c("anything"), .path = str_c("/"), .scheme = str_c("http") } };
	const struct inbound_port *in;
	const struct route *r;
	struct world w;

	load(&w, "");
	in = plan_inbound(w.p, 8080);
	ck_assert(in->port == 8080 && in->protocol == PROTOCOL_HTTP && in->tls.mode == TLS_AUTO);
	ck_assert_str_eq(in->service, "shop/user.shop.svc.cluster.local");
	ck_assert_str_eq(cluster_conf(in->to)->name, "inbound|8080||");
	ck_assert(cluster_conf(in->to)->kind == CLUSTER_ORIGINAL_DST && cluster_conf(in->to)->inbound);
	r = route_find(in->http, &x);
	ck_assert(r && r->retry.attempts == 2 && r->retry.on == RETRY_RESET_BEFORE_REQUEST);
	ck_assert_str_eq(r->operation, "user.shop.svc.cluster.local:80/*");
	in = plan_inbound(w.p, 9000);
	ck_assert(in->protocol == PROTOCOL_GRPC && cluster_conf(in->to)->http2);
	ck_assert_int_eq(route_find(in->http, &x)->retry.attempts, 0);
	in = plan_inbound(w.p, 1234);
	ck_assert(in->port == 0 && in->protocol == PROTOCOL_AUTO);
	ck_assert_str_eq(cluster_conf(in->to)->name, "InboundPassthroughCluster");
	world_done(&w);
	load(&w, ISTIO("Sidecar", "shop", "s", "inboundConnectionPool: {http: {http1MaxPendingRequests: 9}}, egress: [{hosts: ['*/*']}], "
		       "ingress: [{port: {number: 7000, protocol: HTTP, name: h}, defaultEndpoint: '127.0.0.1:7001'}, {port: {number: 7002, protocol: TCP, name: t}, defaultEndpoint: 'unix:///run/x'}, "
		       "{port: {number: 7003, protocol: HTTP, name: w}, defaultEndpoint: '0.0.0.0:7004'}]"));
	in = plan_inbound(w.p, 7000);
	ck_assert(in->port == 7000 && cluster_conf(in->to)->kind == CLUSTER_STATIC && cluster_conf(in->to)->addrs[0].port == 7001 && cluster_conf(in->to)->pool.max_pending == 9);
	ck_assert_str_eq(cluster_conf(plan_inbound(w.p, 7002)->to)->unix_path, "/run/x");
	ck_assert(plan_inbound(w.p, 7003)->port == 7003 && cluster_conf(plan_inbound(w.p, 7003)->to)->addrs[0].ip.b[13] == 2);
	ck_assert_int_eq(plan_inbound(w.p, 8080)->port, 0);
	world_done(&w);
}
END_TEST

START_TEST(keeps_clusters)
{
	struct world w;
	struct cluster *before;

	load(&w, DR("cart", "host: cart, trafficPolicy: {loadBalancer: {simple: RANDOM}}"));
	before = cluster_ref(plan_cluster(w.p, str_c("outbound|80||cart.shop.svc.cluster.local")));
	world_compile(&w);
	ck_assert_ptr_eq(plan_cluster(w.p, str_c("outbound|80||cart.shop.svc.cluster.local")), before);
	fixture_write(&w.f, "test.yaml", DR("cart", "host: cart, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}"));
	ck_assert_int_eq(fixture_load(&w.f), 0);
	ck_assert(plan_stale(w.p, mesh_current(), mesh_workload_named(mesh_current(), str_c("shop"), str_c("me"))));
	world_compile(&w);
	ck_assert_ptr_ne(plan_cluster(w.p, str_c("outbound|80||cart.shop.svc.cluster.local")), before);
	cluster_unref(before);
	world_done(&w);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("plan");
	TCase *t = tcase_create("plan");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, services_by_all_their_names);
	tcase_add_test(t, rules_in_their_order);
	tcase_add_test(t, virtual_services_for_one_host);
	tcase_add_test(t, delegates);
	tcase_add_test(t, weights_and_missing_destinations);
	tcase_add_test(t, sidecar_scopes);
	tcase_add_test(t, destination_rules);
	tcase_add_test(t, default_and_own_retries);
	tcase_add_test(t, bytes);
	tcase_add_test(t, through_waypoints);
	tcase_add_test(t, past_waypoints);
	tcase_add_test(t, names_of_requests);
	tcase_add_test(t, inbound);
	tcase_add_test(t, keeps_clusters);
	suite_add_tcase(s, t);
	return suite_run(s);
}
