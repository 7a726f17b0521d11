/* SPDX-License-Identifier: Apache-2.0 */
/* Gateways, and who is sent through them. */
#include "suite.h"
#include "confdir_fixture.h"

static struct fixture f;

#define GATE(name, labels, spec) \
	"apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: " name ", namespace: n" labels "}\nspec: {" spec "}\n---\n"
#define WP(name, labels, more) GATE(name, labels, "gatewayClassName: istio-waypoint" more)
#define EW(name, net, more) GATE(name, ", labels: {topology.istio.io/network: " net "}", "gatewayClassName: istio-east-west" more)
#define SVC(name, labels) \
	"apiVersion: v1\nkind: Service\nmetadata: {name: " name ", namespace: n" labels "}\nspec: {selector: {app: " name "}, ports: [{port: 80}]}\n---\n"
#define WE(name, labels, spec) \
	"apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: " name ", namespace: n" labels "}\nspec: {serviceAccount: " name ", labels: {app: " name "}, " spec "}\n---\n"
#define NS(labels) "apiVersion: v1\nkind: Namespace\nmetadata: {name: n, labels: {" labels "}}\n---\n"
#define FAR(more) "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: w, namespace: g}\nspec: {gatewayClassName: istio-waypoint" more "}\n---\n"
#define FROM(namespaces) ", listeners: [{name: m, port: 15008, protocol: HBONE, allowedRoutes: {namespaces: {" namespaces "}}}]"
#define USE_FAR ", labels: {istio.io/use-waypoint: w, istio.io/use-waypoint-namespace: g}"
#define USE(wp) ", labels: {istio.io/use-waypoint: " wp "}"

static const char *show(const struct gateway *g)
{
	static char text[3][400];
	static int at;
	char ip[ADDR_TEXT];

	at = (at + 1) % 3;
	if (!g)
		return "-";
	snprintf(text[at], sizeof(text[at]), "%s%s%s:%u", *g->service ? g->service : g->network, *g->service ? "" : "/",
		 *g->service ? "" : ip_format(&g->ip, ip), g->hbone_port);
	return text[at];
}

static const struct {
	const char *yaml;
	enum stance stance;
	const char *service, *workload, *gate;      /* of n/a: its service's waypoint, the workload's, its network's gateway; NULL: "-" */
	const char *finding;
} rows[] = {
	{ WP("w", "", "") SVC("a", USE("w")) WE("a", "", "address: 10.0.0.1"), 0, "n/w.n.svc.cluster.local:15008", "-", "-", NULL },
	{ WP("w", "", "") SVC("a", "") WE("a", USE("w"), "address: 10.0.0.1"), 0, "-", "-", "-",
	  "x.yaml:11: warning: WorkloadEntry n/a: metadata.labels.istio.io/use-waypoint: the waypoint 'n/w' is not for workloads (its label istio.io/waypoint-for, service when absent)" },
	{ WP("w", ", labels: {istio.io/waypoint-for: workload}", "") SVC("a", USE("w")) WE("a", USE("w"), "address: 10.0.0.1"), 0,
	  "-", "n/w.n.svc.cluster.local:15008", "-", "Service n/a: metadata.labels.istio.io/use-waypoint: the waypoint 'n/w' is not for services" },
	{ WP("w", ", labels: {istio.io/waypoint-for: all}", "") NS("istio.io/use-waypoint: w") SVC("a", "") WE("a", "", "address: 10.0.0.1"), 0,
	  "n/w.n.svc.cluster.local:15008", "n/w.n.svc.cluster.local:15008", "-", NULL },
	{ WP("w", ", labels: {istio.io/waypoint-for: all}", "") NS("istio.io/use-waypoint: w") SVC("a", USE("none")) WE("a", USE("none"), "address: 10.0.0.1"), 0,
	  "-", "-", "-", NULL },
	{ WP("w", ", labels: {istio.io/waypoint-for: none}", "") SVC("a", USE("w")) WE("a", USE("w"), "address: 10.0.0.1"), 0, "-", "-", "-", "WorkloadEntry n/a: metadata.labels.istio.io/use-waypoint: the waypoint 'n/w' is not for workloads" },
	{ WP("w", ", labels: {istio.io/waypoint-for: nobody}", "") SVC("a", USE("w")) WE("a", "", "address: 10.0.0.1"), 0, "-", "-", "-",
	  "waypoint-for: want service, workload, all or none, got 'nobody'" },
	{ WP("w", "", ", addresses: [{value: 10.9.9.9}], listeners: [{name: m, port: 15099, protocol: HBONE}]") SVC("a", USE("w")) WE("a", "", "address: 10.0.0.1"), 0,
	  "/10.9.9.9:15099", "-", "-", NULL },
	{ WP("w", "", ", addresses: [{type: Hostname, value: w.test}]") SVC("a", USE("w")) WE("a", "", "address: 10.0.0.1"), 0,
	  "n/w.test:15008", "-", "-", NULL },
	/* in another namespace */
	{ WP("w", "", FROM("from: All")) "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: o, labels: {istio.io/use-waypoint: w, istio.io/use-waypoint-namespace: n}}\nspec: {ports: [{port: 80}]}\n---\n"
	  SVC("a", "") WE("a", "", "address: 10.0.0.1"), 0, "-", "-", "-", NULL },
	/* whom it is for */
	{ FAR(", listeners: [{name: m, port: 15008, protocol: HBONE}]") SVC("a", USE_FAR) WE("a", "", "address: 10.0.0.1"), 0, "-", "-", "-",
	  "the Gateway 'g/w' is not for objects of this namespace (its listener's allowedRoutes): traffic passes no waypoint" },
	{ FAR("") SVC("a", USE_FAR) WE("a", "", "address: 10.0.0.1"), STANCE_CLOSED, "g/w:15008", "-", "-", "not for objects of this namespace (its listener's allowedRoutes): traffic is refused" },
	{ FAR(FROM("from: All")) SVC("a", USE_FAR) WE("a", "", "address: 10.0.0.1"), 0, "g/w.g.svc.cluster.local:15008", "-", "-", NULL },
	{ FAR(FROM("from: None")) SVC("a", USE_FAR) WE("a", "", "address: 10.0.0.1"), 0, "-", "-", "-", "is not for objects of this namespace" },
	{ FAR(FROM("from: Selector, selector: {matchLabels: {kubernetes.io/metadata.name: n}}")) SVC("a", USE_FAR) WE("a", "", "address: 10.0.0.1"), 0,
	  "g/w.g.svc.cluster.local:15008", "-", "-", NULL },
	{ FAR(FROM("from: Selector, selector: {matchLabels: {team: x}}")) NS("team: x") SVC("a", USE_FAR) WE("a", "", "address: 10.0.0.1"), 0,
	  "g/w.g.svc.cluster.local:15008", "-", "-", NULL },
	{ FAR(FROM("from: Selector, selector: {matchLabels: {team: x}}")) NS("team: y") SVC("a", USE_FAR) WE("a", "", "address: 10.0.0.1"), 0, "-", "-", "-",
	  "is not for objects of this namespace" },
	{ FAR(FROM("from: Selector, selector: {matchExpressions: [{key: team, operator: In, values: [z, x]}, {key: no, operator: DoesNotExist}, {key: team, operator: NotIn, values: [q]}, {key: team, operator: Exists}]}"))
	  NS("team: x") SVC("a", USE_FAR) WE("a", "", "address: 10.0.0.1"), 0, "g/w.g.svc.cluster.local:15008", "-", "-", NULL },
	{ FAR(FROM("from: Selector")) SVC("a", USE_FAR) WE("a", "", "address: 10.0.0.1"), 0, "-", "-", "-", "is not for objects of this namespace" },
	{ FAR(FROM("from: Selector, selector: {matchExpressions: [{key: team, operator: Like}]}")) SVC("a", USE_FAR) WE("a", "", "address: 10.0.0.1"), 0, "-", "-", "-",
	  "want one of In, NotIn, Exists, DoesNotExist" },
	/* it is not there */
	{ SVC("a", USE("w")) WE("a", USE("w"), "address: 10.0.0.1"), 0, "-", "-", "-", "there is no Gateway 'n/w' of the class istio-waypoint: traffic passes no waypoint" },
	{ SVC("a", USE("w")) WE("a", USE("w"), "address: 10.0.0.1"), STANCE_CLOSED, "n/w:15008", "n/w:15008", "-", "there is no Gateway 'n/w' of the class istio-waypoint: traffic is refused" },
	{ EW("w", "far", "") SVC("a", USE("w")) WE("a", "", "address: 10.0.0.1"), 0, "-", "-", "-", "there is no Gateway 'n/w'" },
	/* a waypoint passes none */
	{ WP("w", "", "") NS("istio.io/use-waypoint: w") SVC("a", ", labels: {gateway.istio.io/managed: istio.io-mesh-controller}") WE("a", ", labels: {gateway.networking.k8s.io/gateway-name: w}", "address: 10.0.0.1"), 0,
	  "-", "-", "-", NULL },
	{ WP("a", "", "") NS("istio.io/use-waypoint: a") SVC("a", "") WE("a", "", "address: 10.0.0.1"), 0, "-", "-", "-", NULL },
	{ WP("a", "", "") WP("w", "", "") NS("istio.io/use-waypoint: w") SVC("a", "") WE("a", "", "address: 10.0.0.1"), 0, "-", "-", "-", NULL },
	/* networks */
	{ EW("g", "far", ", addresses: [{value: 192.0.2.1}]") SVC("a", "") WE("a", "", "network: far"), 0, "-", "-", "far/192.0.2.1:15008", NULL },
	{ EW("g", "far", "") SVC("a", "") WE("a", ", labels: {topology.istio.io/network: far}", "address: 10.0.0.1"), 0, "-", "-", "n/g.n.svc.cluster.local:15008", NULL },
	{ EW("g", "far", "") SVC("a", "") WE("a", "", "address: 10.0.0.1"), 0, "-", "-", "-", NULL },
	{ GATE("g", "", "gatewayClassName: istio-remote") SVC("a", "") WE("a", "", "address: 10.0.0.1"), 0, "-", "-", "-", "want topology.istio.io/network" },
	{ GATE("g", "", "gatewayClassName: nginx") SVC("a", "") WE("a", "", "address: 10.0.0.1"), 0, "-", "-", "-", "a Gateway of the class 'nginx' has no effect" },
	{ WP("w", "", ", addresses: [{value: '*.x'}]") SVC("a", "") WE("a", "", "address: 10.0.0.1"), 0, "-", "-", "-", "want an IP address or a host name, got '*.x'" },
};

START_TEST(row)
{
	const struct service *s;
	const struct workload *w;

	f.settings.stance = rows[_i].stance;
	confdir_free(f.c);
	f.c = confdir_new(f.dir, &f.settings);
	fixture_write(&f, "x.yaml", rows[_i].yaml);
	ck_assert_int_eq(fixture_load(&f), 0);
	s = mesh_service(mesh_current(), str_c("n/a.n.svc.cluster.local"));
	w = mesh_workload_named(mesh_current(), str_c("n"), str_c("a"));
	ck_assert_ptr_nonnull(s);
	ck_assert_ptr_nonnull(w);
	ck_assert_str_eq(show(s->waypoint), rows[_i].service);
	ck_assert_str_eq(show(w->waypoint), rows[_i].workload);
	ck_assert_str_eq(show(w->network_gateway), rows[_i].gate);
	ck_assert_int_eq(s->endpoints->n, 1);
	if (w->n_ips)
		ck_assert_ptr_eq(mesh_workload_by_ip(mesh_current(), str_c(w->network), &w->ips[0]), w);
	ck_assert_int_eq(w->n_ips, strstr(rows[_i].yaml, "address: 10.0.0.1") != NULL);
	ck_assert_ptr_eq(endpoints_at(s->endpoints, 0)->workload, w);
	if (rows[_i].finding) {
		fixture_expect(&f, rows[_i].finding);
	} else {
		char *text = fixture_findings(&f);

		ck_assert_str_eq(text, "");
		free(text);
	}
}
END_TEST

/* Behind the gateway of another network answer the endpoints that are there. */
START_TEST(names_of_remote_endpoints)
{
	const struct service *s;

	fixture_write(&f, "x.yaml", EW("g", "far", "") SVC("a", "") WE("a", "", "network: far") WE("b", "", "address: 10.0.0.2"));
	ck_assert_int_eq(fixture_load(&f), 0);
	s = mesh_service(mesh_current(), str_c("n/a.n.svc.cluster.local"));
	ck_assert_int_eq(s->n_sans, 1);
	ck_assert_str_eq(s->sans[0], "spiffe://cluster.local/ns/n/sa/a");
}
END_TEST

/* A part of a service's traffic tries another waypoint. */
START_TEST(canaries)
{
	static const struct { const char *labels, *weight; int n; unsigned part; const char *finding; } cases[] = {
		{ "istio.io/use-waypoint: w, istio.io/use-waypoint-canary: c", "20", 2, 20, NULL },
		{ "istio.io/use-waypoint: w, istio.io/use-waypoint-canary: c", "100", 2, 100, NULL },
		{ "istio.io/use-waypoint: w, istio.io/use-waypoint-canary: c", "0", 2, 0, NULL },
		{ "istio.io/use-waypoint: w, istio.io/use-waypoint-canary: c", "x", 0, 0, "use-waypoint-canary-weight: want 0 to 100, got 'x': there is no canary" },
		{ "istio.io/use-waypoint: w, istio.io/use-waypoint-canary: no", "20", 0, 0, "there is no Gateway 'n/no'" },
		{ "istio.io/use-waypoint-canary: c", "20", 0, 0, NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char yaml[2000];
		const struct service *s;

		snprintf(yaml, sizeof(yaml), "%s%sapiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: n, labels: {%s}, annotations: {istio.io/use-waypoint-canary-weight: '%s'}}\n"
			 "spec: {ports: [{port: 80}]}\n", WP("w", "", ""), WP("c", "", ""), cases[i].labels, cases[i].weight);
		fixture_write(&f, "x.yaml", yaml);
		ck_assert_int_eq(fixture_load(&f), 0);
		s = mesh_service(mesh_current(), str_c("n/a.n.svc.cluster.local"));
		ck_assert_int_eq(s->n_waypoints, cases[i].n);
		if (s->n_waypoints) {
			ck_assert_str_eq(show(&s->waypoints[1].gateway), "n/c.n.svc.cluster.local:15008");
			ck_assert(s->waypoints[1].weight == cases[i].part && s->waypoints[0].weight == 100 - cases[i].part);
		}
		if (cases[i].finding)
			fixture_expect(&f, cases[i].finding);
	}
}
END_TEST

/* A service that has its waypoint of its namespace has the canary of it, too; not one with a waypoint of its own. */
START_TEST(canaries_of_namespaces)
{
	static const char space[] = "apiVersion: v1\nkind: Namespace\nmetadata: {name: n, labels: {istio.io/use-waypoint: w, istio.io/use-waypoint-canary: c}, "
				    "annotations: {istio.io/use-waypoint-canary-weight: '30'}}\n---\n";
	static const struct { const char *labels; int n; unsigned part; } cases[] = {
		{ "", 2, 30 }, { "istio.io/use-waypoint: w", 0, 0 }, { "istio.io/use-waypoint: none", 0, 0 }, { "istio.io/use-waypoint-canary: w2", 2, 30 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char yaml[3000];
		const struct service *s;

		snprintf(yaml, sizeof(yaml), "%s%s%s%sapiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: n, labels: {%s}}\nspec: {ports: [{port: 80}]}\n", space,
			 WP("w", "", ""), WP("c", "", ""), WP("w2", "", ""), cases[i].labels);
		fixture_write(&f, "x.yaml", yaml);
		ck_assert_int_eq(fixture_load(&f), 0);
		s = mesh_service(mesh_current(), str_c("n/a.n.svc.cluster.local"));
		ck_assert_int_eq(s->n_waypoints, cases[i].n);
		ck_assert(!s->n_waypoints || s->waypoints[1].weight == cases[i].part);
	}
}
END_TEST

/* A waypoint that comes or goes changes those who name it, and nobody else; what stays the same stays the same object. */
START_TEST(changes)
{
	const struct workload *a, *b;
	const struct service *s;

	fixture_write(&f, "x.yaml", SVC("a", USE("w")) SVC("b", "") WE("a", USE("w"), "address: 10.0.0.1") WE("b", "", "address: 10.0.0.2"));
	ck_assert_int_eq(fixture_load(&f), 0);
	a = mesh_workload_named(mesh_current(), str_c("n"), str_c("a"));
	b = mesh_workload_named(mesh_current(), str_c("n"), str_c("b"));
	ck_assert_ptr_null(a->waypoint);
	for (int i = 0; i < 2; i++) {
		fixture_write(&f, "w.yaml", i ? WP("w", ", labels: {istio.io/waypoint-for: all}", "") "# again\n" :
			      WP("w", ", labels: {istio.io/waypoint-for: all}", ""));
		ck_assert_int_eq(fixture_load(&f), 0);
		if (i)
			ck_assert_ptr_eq(mesh_workload_named(mesh_current(), str_c("n"), str_c("a")), a);
		a = mesh_workload_named(mesh_current(), str_c("n"), str_c("a"));
		s = mesh_service(mesh_current(), str_c("n/a.n.svc.cluster.local"));
		ck_assert_ptr_nonnull(a->waypoint);
		ck_assert_ptr_nonnull(s->waypoint);
		ck_assert_ptr_eq(endpoints_at(s->endpoints, 0)->workload, a);
		ck_assert_ptr_eq(mesh_workload_named(mesh_current(), str_c("n"), str_c("b")), b);
	}
	fixture_remove(&f, "w.yaml");
	ck_assert_int_eq(fixture_load(&f), 0);
	a = mesh_workload_named(mesh_current(), str_c("n"), str_c("a"));
	s = mesh_service(mesh_current(), str_c("n/a.n.svc.cluster.local"));
	ck_assert_ptr_null(a->waypoint);
	ck_assert_ptr_null(s->waypoint);
	ck_assert_ptr_eq(endpoints_at(s->endpoints, 0)->workload, a);
}
END_TEST

static void setup(void)
{
	fixture_init(&f);
}

static void teardown(void)
{
	fixture_done(&f);
}

int main(void)
{
	Suite *s = suite_create("conf_gateway");
	TCase *t = tcase_create("conf_gateway");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, row, 0, (int)ARRAY_LEN(rows));
	tcase_add_test(t, names_of_remote_endpoints);
	tcase_add_test(t, canaries);
	tcase_add_test(t, canaries_of_namespaces);
	tcase_add_test(t, changes);
	suite_add_tcase(s, t);
	return suite_run(s);
}
