/* SPDX-License-Identifier: Apache-2.0 */
/* What is bound to waypoints: policies of each kind of target, at each waypoint and for each service. */
#include <stdio.h>
#include <time.h>

#include "base/epoch.h"
#include "confdir_fixture.h"
#include "policy/authz.h"
#include "policy/scope.h"
#include "suite.h"

#define OBJECT(API, KIND, NS, NAME, SPEC) "apiVersion: " API "\nkind: " KIND "\nmetadata: {name: " NAME ", namespace: " NS "}\nspec: {" SPEC "}\n---\n"
#define AUTHZ(NS, NAME, SPEC) OBJECT("security.istio.io/v1", "AuthorizationPolicy", NS, NAME, SPEC)
#define JWT(NS, NAME, SPEC) OBJECT("security.istio.io/v1", "RequestAuthentication", NS, NAME, SPEC)
#define LIMIT(NS, NAME, SPEC) OBJECT("meshd.io/v1alpha1", "RateLimit", NS, NAME, SPEC ", rules: [{name: a, amount: 1}]")
#define GATE(N) "targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: " N "}]"
#define CLASS(N) "targetRefs: [{group: gateway.networking.k8s.io, kind: GatewayClass, name: " N "}]"
#define SVC(N) "targetRefs: [{group: '', kind: Service, name: " N "}]"
#define ENTRY(N) "targetRef: {group: networking.istio.io, kind: ServiceEntry, name: " N "}"

/* Waypoints: n/wp by its label, and the host o/edge to which the Gateways o/w1, p/w2 lead by address and by service. */
#define MESH \
	"apiVersion: v1\nkind: Pod\nmetadata: {name: wp, namespace: n, labels: {gateway.networking.k8s.io/gateway-name: gw}}\nspec: {serviceAccountName: wp}\n" \
	"status: {podIP: 10.0.0.9, podIPs: [{ip: 10.0.0.9}], phase: Running, conditions: [{type: Ready, status: 'True'}]}\n---\n" \
	OBJECT("networking.istio.io/v1", "WorkloadEntry", "o", "edge", "address: 10.0.0.8, serviceAccount: edge, labels: {app: edge}") \
	OBJECT("gateway.networking.k8s.io/v1", "Gateway", "n", "gw", "gatewayClassName: istio-waypoint") \
	OBJECT("gateway.networking.k8s.io/v1", "Gateway", "o", "w1", "gatewayClassName: istio-waypoint, addresses: [{value: 10.0.0.8}]") \
	OBJECT("gateway.networking.k8s.io/v1", "Gateway", "p", "w2", "gatewayClassName: istio-waypoint, addresses: [{type: Hostname, value: w2.p.svc.cluster.local}]") \
	OBJECT("networking.istio.io/v1", "ServiceEntry", "p", "w2", "hosts: [w2.p.svc.cluster.local], ports: [{number: 15008, name: tcp-hbone}], resolution: STATIC, endpoints: [{address: 10.0.0.7}]") \
	OBJECT("v1", "Service", "n", "web", "ports: [{port: 80}]") \
	OBJECT("v1", "Service", "m", "web", "ports: [{port: 80}]") \
	OBJECT("networking.istio.io/v1", "ServiceEntry", "n", "ext", "hosts: [a.test, b.test], ports: [{number: 443, name: tls}]")

static void put_keys(struct buf *b, const struct scope *s)
{
	if (scope_broken(s))
		buf_printf(b, "!%s ", scope_broken(s)->key);
	scope_each(at, s)
		for (int i = 0; i < at->n; i++)
			buf_printf(b, "%s ", at->policies[i]->key);
	for (int i = 0; i < s->n_authns; i++)
		buf_printf(b, "jwt:%s%s ", s->authns[i]->broken ? "!" : "", s->authns[i]->key);
	for (int i = 0; i < s->n_limits; i++)
		buf_printf(b, "limit:%s ", s->limits[i]->key);
}

static const char *scope_text(const char *ns, const char *name, const char *service)
{
	static char text[1000];
	const struct mesh *m = mesh_current();
	const struct workload *w = mesh_workload_named(m, str_c(ns), str_c(name));
	const struct service *s = service ? mesh_service(m, str_c(service)) : NULL;
	struct buf b = { 0 };

	ck_assert_msg(w && (!service || s), "%s/%s %s", ns, name, service ? service : "");
	put_keys(&b, scope_of(m, w, s));
	buf_append(&b, "", 1);
	snprintf(text, sizeof(text), "%s", (const char *)buf_data(&b));
	buf_done(&b);
	return text;
}

/* Asked twice, since the second answer is remembered. */
#define expect(ns, name, service, want) \
	do { \
		ck_assert_str_eq(scope_text(ns, name, service), want); \
		ck_assert_str_eq(scope_text(ns, name, service), want); \
	} while (0)

#define WEB "n/web.n.svc.cluster.local"
#define WEB_M "m/web.m.svc.cluster.local"

static const struct { const char *yaml, *wp, *wp_web, *wp_web_m, *wp_ext, *edge, *edge_web; } rows[] = {
	{ AUTHZ("n", "a", GATE("gw")), "n/a ", "n/a ", "n/a ", "n/a ", "", "" },
	{ AUTHZ("m", "a", GATE("gw")), "", "", "", "", "", "" },                                   /* of another namespace */
	{ AUTHZ("o", "a", GATE("w1")), "", "", "", "", "o/a ", "o/a " },
	{ AUTHZ("p", "a", GATE("w2")), "", "", "", "", "", "" },                                   /* leads elsewhere */
	{ AUTHZ("istio-system", "a", CLASS("istio-waypoint")), "istio-system/a ", "istio-system/a ", "istio-system/a ", "istio-system/a ", "istio-system/a ", "istio-system/a " },
	{ AUTHZ("istio-system", "a", CLASS("istio")), "", "", "", "", "", "" },
	{ AUTHZ("n", "a", CLASS("istio-waypoint")), "", "", "", "", "", "" },                       /* the root namespace's alone */
	{ AUTHZ("n", "a", SVC("web")), "", "n/a ", "", "", "", "n/a " },
	{ AUTHZ("m", "a", SVC("web")), "", "", "m/a ", "", "", "" },
	{ AUTHZ("istio-system", "a", SVC("web")), "", "", "", "", "", "" },
	{ AUTHZ("n", "a", SVC("ext")), "", "", "", "", "", "" },                                   /* it is no Service */
	{ AUTHZ("n", "a", ENTRY("ext")), "", "", "", "n/a ", "", "" },
	{ AUTHZ("n", "a", ENTRY("web")), "", "", "", "", "", "" },
	/* without targets */
	{ AUTHZ("n", "a", ""), "", "", "", "", "", "" },
	{ AUTHZ("n", "a", "selector: {matchLabels: {gateway.networking.k8s.io/gateway-name: gw}}"), "", "", "", "", "", "" },
	{ AUTHZ("istio-system", "a", ""), "", "", "", "", "", "" },
	{ JWT("n", "a", "jwtRules: []") LIMIT("n", "b", "headers: true"), "", "", "", "", "", "" },
	/* several: the service's own, then those for all, DENY before ALLOW; each once */
	{ AUTHZ("n", "c", SVC("web")) AUTHZ("n", "b", GATE("gw") ", action: DENY, rules: [{}]")
	  AUTHZ("n", "a", "targetRefs: [{group: '', kind: Service, name: web}, {group: gateway.networking.k8s.io, kind: Gateway, name: gw}]"),
	  "n/b n/a ", "n/c n/b n/a ", "n/b n/a ", "n/b n/a ", "", "n/a n/c " },
	{ JWT("n", "j", SVC("web")) JWT("n", "k", GATE("gw")) LIMIT("n", "l", "targetRefs: [{group: core, kind: Service, name: web}, {group: gateway.networking.k8s.io, kind: Gateway, name: gw}]"),
	  "jwt:n/k limit:n/l ", "jwt:n/j jwt:n/k limit:n/l ", "jwt:n/k limit:n/l ", "jwt:n/k limit:n/l ", "", "jwt:n/j limit:n/l " },
	/* broken: refuses what it is bound to, and what cannot be read all of its namespace */
	{ AUTHZ("n", "a", SVC("web") ", ruels: []"), "", "!n/a ", "", "", "", "!n/a " },
	{ AUTHZ("n", "a", GATE("gw") ", ruels: []"), "!n/a ", "!n/a ", "!n/a ", "!n/a ", "", "" },
	{ AUTHZ("m", "a", "targetRefs: [{kind: Gateway}]"), "", "", "!m/a ", "", "", "" },
	{ AUTHZ("n", "a", "targetRefz: 5"), "!n/a ", "!n/a ", "!n/a ", "!n/a ", "", "!n/a " },
	{ AUTHZ("istio-system", "a", "targetRefs: x"), "!istio-system/a ", "!istio-system/a ", "!istio-system/a ", "!istio-system/a ", "!istio-system/a ", "!istio-system/a " },
	{ AUTHZ("n", "a", "selector: {matchLabels: {a: b}}, ruels: []"), "", "", "", "", "", "" },
	{ AUTHZ("n", "a", "ruels: []"), "", "", "", "", "", "" },
	{ JWT("n", "a", SVC("web") ", jwtRulez: []"), "", "jwt:!n/a ", "", "", "", "jwt:!n/a " },
};

START_TEST(test_bound)
{
	struct fixture f;

	fixture_in_mode(&f, MODE_WAYPOINT);
	fixture_write(&f, "mesh.d.yaml", MESH);
	fixture_write(&f, "x.yaml", rows[_i].yaml);
	ck_assert_msg(fixture_load(&f) == 0, "%s", f.err.msg);
	expect("n", "wp", NULL, rows[_i].wp);
	expect("n", "wp", WEB, rows[_i].wp_web);
	expect("n", "wp", WEB_M, rows[_i].wp_web_m);
	expect("n", "wp", "n/b.test", rows[_i].wp_ext);
	expect("o", "edge", NULL, rows[_i].edge);
	expect("o", "edge", WEB, rows[_i].edge_web);
	fixture_done(&f);
}
END_TEST

/* In the other modes none of them counts, broken or not. */
START_TEST(test_elsewhere)
{
	static const enum mesh_mode modes[] = { MODE_ZTUNNEL, MODE_SIDECAR };
	struct fixture f;

	fixture_in_mode(&f, modes[_i]);
	fixture_write(&f, "mesh.d.yaml", MESH);
	fixture_write(&f, "x.yaml", AUTHZ("n", "a", GATE("gw")) AUTHZ("n", "b", SVC("web") ", ruels: []") AUTHZ("istio-system", "c", "targetRefs: x")
		      JWT("n", "j", SVC("web")) JWT("n", "k", SVC("web") ", jwtRulez: []") LIMIT("n", "l", GATE("gw")));
	ck_assert_int_eq(fixture_load(&f), 0);
	expect("n", "wp", NULL, "");
	expect("n", "wp", WEB, "");
	fixture_done(&f);
}
END_TEST

/* A Gateway that comes to lead to the workload binds its policies, though no policy changed. */
START_TEST(test_gateway_moves)
{
	struct fixture f;

	fixture_in_mode(&f, MODE_WAYPOINT);
	fixture_write(&f, "mesh.d.yaml", MESH);
	fixture_write(&f, "x.yaml", AUTHZ("p", "a", GATE("w2")));
	ck_assert_int_eq(fixture_load(&f), 0);
	expect("o", "edge", WEB, "");
	fixture_write(&f, "y.yaml", OBJECT("gateway.networking.k8s.io/v1", "Gateway", "p", "w2b", "gatewayClassName: istio-waypoint, addresses: [{value: 10.0.0.8}]"));
	fixture_write(&f, "x.yaml", AUTHZ("p", "a", GATE("w2b")));
	ck_assert_int_eq(fixture_load(&f), 0);
	expect("o", "edge", WEB, "p/a ");
	fixture_remove(&f, "y.yaml");
	ck_assert_int_eq(fixture_load(&f), 0);
	expect("o", "edge", WEB, "");
	fixture_write(&f, "y.yaml", OBJECT("gateway.networking.k8s.io/v1", "Gateway", "p", "w2b", "gatewayClassName: istio-waypoint, addresses: [{value: 10.0.0.8}]"));
	ck_assert_int_eq(fixture_load(&f), 0);
	expect("o", "edge", WEB, "p/a ");
	fixture_done(&f);
}
END_TEST

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* A waypoint with 10 000 services, half of which have a policy, and a policy of 1 000 rules for all: services come in turn, so that
 * none is remembered when it comes again. */
START_TEST(test_many_services)
{
	enum { SERVICES = 10000, RULES = 1000 };
	struct mesh_settings settings = { .trust_domain = "cluster.local", .root_ns = "istio-system", .mode = MODE_WAYPOINT };
	struct mesh_edit *e = mesh_edit_begin();
	struct policy_rule *rules = calloc(RULES, sizeof(*rules));
	static struct policy_clause clauses[RULES];
	static struct policy_match matches[RULES];
	static struct match texts[RULES];
	static char names[RULES][40];
	struct label label = { "gateway.networking.k8s.io/gateway-name", "gw" };
	struct workload *w = workload_new(&(struct workload){ .uid = "wp", .ns = "n", .name = "wp", .labels = &label, .n_labels = 1 });
	struct target_ref gate = { TARGET_GATEWAY, "gw" };
	struct service **services = calloc(SERVICES, sizeof(struct service *));
	struct authz_input in = { .principal = str_c("cluster.local/ns/a/sa/b") };
	struct policy *p;
	uint64_t from;
	int found = 0;

	mesh_edit_settings(e, &settings);
	for (int i = 0; i < RULES; i++) {
		snprintf(names[i], sizeof(names[i]), "cluster.local/ns/a/sa/s%d", i);
		texts[i] = (struct match){ MATCH_EXACT, names[i] };
		matches[i] = (struct policy_match){ .principals = { &texts[i] }, .n_principals = { 1 } };
		clauses[i] = (struct policy_clause){ &matches[i], 1 };
		rules[i] = (struct policy_rule){ .clauses = &clauses[i], .n_clauses = 1 };
	}
	p = policy_new(&(struct policy){ .key = "n/all", .ns = "n", .name = "all", .scope = POLICY_TARGETS, .action = POLICY_DENY, .whole = true,
					 .targets = &gate, .n_targets = 1, .rules = rules, .n_rules = RULES });
	ck_assert_int_eq(authz_compile(p), 0);
	mesh_put_policy(e, p);
	for (int i = 0; i < SERVICES; i++) {
		char key[60], name[20];
		struct target_ref t = { TARGET_SERVICE, name };

		snprintf(name, sizeof(name), "s%d", i);
		snprintf(key, sizeof(key), "n/%s", name);
		services[i] = service_new(&(struct service){ .key = key, .ns = "n", .name = name, .hostname = name, .core = true });
		mesh_put_service(e, service_ref(services[i]));
		if (i % 2)
			continue;
		p = policy_new(&(struct policy){ .key = key, .ns = "n", .name = name, .scope = POLICY_TARGETS, .action = POLICY_DENY, .whole = true,
						 .targets = &t, .n_targets = 1 });
		ck_assert_int_eq(authz_compile(p), 0);
		mesh_put_policy(e, p);
	}
	mesh_edit_publish(e);
	for (int odd = 1; odd >= 0; odd--) {
		from = now_ns();
		for (int i = odd; i < SERVICES; i += 2) {
			const struct scope *s = scope_of(mesh_current(), w, services[i]);

			found += s->n == 1 && (s->all != NULL) == !odd;
		}
		ck_assert_int_eq(found, SERVICES / 2);
		printf("a service %s policies that is not remembered: %llu ns to find its scope", odd ? "without" : "with",
		       (unsigned long long)((now_ns() - from) / (SERVICES / 2)));
		from = now_ns();
		for (int i = odd; i < SERVICES; i += 2) {
			in.service = services[i];
			found -= authz_judge(mesh_current(), w, &in, NULL, NULL).allowed;
		}
		ck_assert_int_eq(found, 0);
		printf(", %llu ns to judge\n", (unsigned long long)((now_ns() - from) / (SERVICES / 2)));
	}
	from = now_ns();
	for (int i = 0; i < 100000; i++)
		found += scope_of(mesh_current(), w, services[i % 2]) != NULL;
	ck_assert_int_eq(found, 100000);
	printf("one that is remembered: %llu ns\n", (unsigned long long)((now_ns() - from) / 100000));
	for (int i = 0; i < SERVICES; i++)
		service_unref(services[i]);
	workload_unref(w);
	free(services);
	free(rules);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("scope");
	TCase *c = tcase_create("waypoint");

	tcase_add_loop_test(c, test_bound, 0, sizeof(rows) / sizeof(rows[0]));
	tcase_add_loop_test(c, test_elsewhere, 0, 2);
	tcase_add_test(c, test_gateway_moves);
	tcase_add_test(c, test_many_services);
	suite_add_tcase(s, c);
	return suite_run(s);
}
