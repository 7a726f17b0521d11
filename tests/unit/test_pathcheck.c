/* SPDX-License-Identifier: Apache-2.0 */
#include "confdir_fixture.h"
#include "source/analyze.h"
#include "suite.h"

#define WE(NAME, IP, LABELS, MORE) "---\napiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: " NAME ", namespace: m, labels: {app: " NAME LABELS "}}\nspec: {address: " IP MORE "}\n"
#define SVC(NAME, IP, LABELS) "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: " NAME ", namespace: m, labels: {" LABELS "}}\nspec: {hosts: [" NAME ".m.svc.cluster.local], " \
	"addresses: [" IP "], location: MESH_INTERNAL, resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}], workloadSelector: {labels: {app: " NAME "}}}\n"
#define OBJ(API, KIND, NAME, SPEC) "---\napiVersion: " API "\nkind: " KIND "\nmetadata: {name: " NAME ", namespace: m}\nspec: {" SPEC "}\n"
#define AP(NAME, SPEC) OBJ("security.istio.io/v1", "AuthorizationPolicy", NAME, SPEC)
#define VS(NAME, SPEC) OBJ("networking.istio.io/v1", "VirtualService", NAME, SPEC)
#define HBONE   ", networking.istio.io/tunnel: http"
#define SIDECAR ", security.istio.io/tlsMode: istio"
#define USES    "istio.io/use-waypoint: wp"
#define TO_GATEWAY(NAME) "targetRefs: [{kind: Gateway, group: gateway.networking.k8s.io, name: " NAME "}]"
#define TO_ENTRY(NAME)   "targetRefs: [{kind: ServiceEntry, group: networking.istio.io, name: " NAME "}]"

/* An ambient client and servers of two services, one behind a waypoint. */
#define GATEWAY "---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: wp, namespace: m}\nspec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}\n"
#define WAYPOINT GATEWAY WE("wp", "10.3.0.1", HBONE, ", serviceAccount: wp") \
	"---\napiVersion: v1\nkind: Service\nmetadata: {name: wp, namespace: m}\nspec: {clusterIP: 10.0.0.9, ports: [{port: 15008, name: hbone}], selector: {app: wp}}\n"
#define MESH WE("web", "10.2.0.1", HBONE, "") WE("plain", "10.1.0.1", HBONE, "") WE("guarded", "10.1.0.2", HBONE, "") SVC("plain", "10.0.0.1", "") SVC("guarded", "10.0.0.2", USES)

static struct fixture f;

static void setup(void) { fixture_init(&f); }
static void teardown(void) { fixture_done(&f); }

static char *analyze(const char *yaml, const char *more)
{
	struct buf out = { 0 };
	char *text;

	fixture_write(&f, "m.yaml", yaml);
	fixture_write(&f, "x.yaml", more);
	analyze_dir(f.dir, &f.settings, &out);
	ck_assert_uint_eq(mesh_count(mesh_current(), NULL, NULL), 0);
	text = str_dup(buf_str(&out));
	buf_done(&out);
	return text;
}

static void expect(const char *yaml, const char *more, const char *want)
{
	char *text = analyze(yaml, more);

	ck_assert_msg(strstr(text, want) != NULL, "%s\nwant %s in\n%s", more, want, text);
	free(text);
}

static const struct { const char *yaml, *want; } bad[] = {
	{ OBJ("security.istio.io/v1", "RequestAuthentication", "j", "jwtRules: [{issuer: me, jwksUri: 'https://id.test/keys'}]"),
	  "x.yaml:2: warning: RequestAuthentication m/j: spec: 3 workloads that it reaches (m/guarded) are behind ztunnel, which reads no tokens: " },
	{ VS("v", "hosts: [plain], http: [{fault: {abort: {httpStatus: 500}}, route: [{destination: {host: plain}}]}]"),
	  "x.yaml:2: warning: VirtualService m/v: spec: nobody applies it: clients behind ztunnel (m/guarded) go to 'plain.m.svc.cluster.local' by connections, and it has no waypoint: no match" },
	{ OBJ("gateway.networking.k8s.io/v1", "HTTPRoute", "r", "parentRefs: [{kind: ServiceEntry, group: networking.istio.io, name: plain}], rules: [{}]"),
	  "HTTPRoute m/r: spec: nobody applies it: clients behind ztunnel (m/guarded) go to 'plain.m.svc.cluster.local' by connections" },
	{ AP("p", TO_GATEWAY("gone") ", rules: [{}]"), "m/p: spec.targetRefs: there is no Gateway 'm/gone' of the class istio-waypoint" },
	{ AP("p", TO_ENTRY("gone") ", rules: [{}]"), "m/p: spec.targetRefs: there is no ServiceEntry 'm/gone'" },
	{ AP("p", TO_ENTRY("plain") ", rules: [{}]"), "m/p: spec.targetRefs: ServiceEntry 'm/plain' has no waypoint: nobody looks at this object" },
	{ "---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: idle, namespace: m}\nspec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}\n"
	  AP("p", TO_GATEWAY("idle") ", rules: [{}]"), "m/p: spec.targetRefs: no service and no workload uses the waypoint 'idle': nothing comes to it. Label them with" },
	{ WE("side", "10.2.0.9", SIDECAR, ", serviceAccount: side") AP("p", TO_GATEWAY("wp") ", rules: [{}]"), "m/p: spec.targetRefs: 1 sidecars (m/side) go past waypoints, as Istio's do" },
	{ WE("side", "10.2.0.9", SIDECAR, ", serviceAccount: side") AP("p", TO_ENTRY("guarded") ", rules: [{}]"), "m/p: spec.targetRefs: 1 sidecars (m/side) go past waypoints, as Istio's do" },
	{ AP("only-web", "selector: {matchLabels: {app: guarded}}, rules: [{from: [{source: {principals: [cluster.local/ns/m/sa/web]}}]}]"),
	  "ServiceEntry m/guarded: its endpoint m/guarded denies what comes from its waypoint (no allow policy matched): allow the principal spiffe://cluster.local/ns/m/sa/wp there" },
	{ VS("v", "hosts: [guarded.m.svc.cluster.local], http: [{route: [{destination: {host: guarded}}]}]")
	  OBJ("gateway.networking.k8s.io/v1", "HTTPRoute", "r", "parentRefs: [{kind: Service, group: '', name: guarded}], rules: [{}]"),
	  "VirtualService m/v: spec.hosts: at the waypoint of 'guarded.m.svc.cluster.local' the HTTPRoute m/r goes first: this one does not count there" },
	{ OBJ("networking.istio.io/v1", "ServiceEntry", "out", "hosts: [out.test], location: MESH_EXTERNAL, resolution: NONE, addresses: [10.9.0.0/16], ports: [{number: 80, name: http, protocol: HTTP}]")
	  OBJ("networking.istio.io/v1", "DestinationRule", "out", "host: out.test, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}"),
	  "DestinationRule m/out: spec.trafficPolicy.tls: nothing says who may answer for 'out.test' in Istio's mutual TLS: whoever the mesh's roots vouch for does, as in Istio" },
};

START_TEST(tells)
{
	expect(MESH WAYPOINT, bad[_i].yaml, bad[_i].want);
}
END_TEST

/* Each object is told of once, and what is right is not. */
START_TEST(tells_once)
{
	static const enum mesh_mode modes[] = { MODE_ZTUNNEL, MODE_SIDECAR, MODE_WAYPOINT };

	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		f.settings.mode = modes[i];
		expect(MESH WAYPOINT, AP("p", TO_GATEWAY("gone") ", rules: [{}]"), "0 errors, 1 warnings.");
	}
}
END_TEST

/* What ztunnel does not read is not without effect where others do. */
START_TEST(kinds_of_others)
{
	static const char yaml[] = VS("v", "hosts: [guarded.m.svc.cluster.local], http: [{route: [{destination: {host: guarded}}]}]");

	expect(MESH WAYPOINT, yaml, "0 errors, 0 warnings.");
	expect(WE("web", "10.2.0.1", HBONE, "") SVC("guarded", "10.0.0.2", ""), yaml, "VirtualService m/v: has no effect in ztunnel mode");
}
END_TEST

START_TEST(is_quiet)
{
	static const char *const good[] = {
		"", AP("p", TO_GATEWAY("wp") ", rules: [{}]"), AP("p", TO_ENTRY("guarded") ", action: DENY, rules: [{to: [{operation: {methods: [POST]}}]}]"),
		AP("p", "selector: {matchLabels: {app: guarded}}, rules: [{from: [{source: {principals: [cluster.local/ns/m/sa/wp]}}]}]"),
		AP("p", "selector: {matchLabels: {app: plain}}, action: DENY, rules: [{from: [{source: {namespaces: [x]}}]}]"),
	};

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		char *text = analyze(MESH WAYPOINT, good[i]);

		ck_assert_msg(strstr(text, "0 errors, 0 warnings.") != NULL, "%s\n%s", good[i], text);
		free(text);
	}
}
END_TEST

START_TEST(a_waypoint_without_replica)
{
	expect(MESH GATEWAY, "", "Gateway m/wp: no replica of this waypoint is ready: what goes to 1 services and 0 workloads is refused. Run");
}
END_TEST

/* Whom it concerns is said, and once, whatever mode is asked for. */
START_TEST(http_on_ambient_workloads)
{
	static const char yaml[] = AP("p", "selector: {matchLabels: {app: plain}}, action: DENY, rules: [{to: [{operation: {methods: [POST]}}]}]");

	expect(MESH WAYPOINT, yaml, "0 errors, 1 warnings.");
	expect(MESH WAYPOINT, yaml, "AuthorizationPolicy m/p: spec: 1 workloads that it reaches (m/plain) are behind ztunnel");
	expect(WE("side", "10.2.0.9", SIDECAR, ", serviceAccount: side"), AP("p", "selector: {matchLabels: {app: side}}, action: DENY, rules: [{to: [{operation: {methods: [POST]}}]}]"), "0 errors, 0 warnings.");
	f.settings.mode = MODE_SIDECAR;
	expect(MESH WAYPOINT, yaml, "AuthorizationPolicy m/p: spec: 1 workloads that it reaches (m/plain) are behind ztunnel, which sees no requests: a rule of HTTP attributes alone denies nothing there. "
	       "Bind it to their waypoint with targetRefs\n");
	expect(MESH WAYPOINT, yaml, "0 errors, 1 warnings.");
}
END_TEST

/* The stance, or the switch, closes the way around. */
START_TEST(nobody_goes_around)
{
	static const char yaml[] = WE("side", "10.2.0.9", SIDECAR, ", serviceAccount: side") AP("p", TO_GATEWAY("wp") ", rules: [{}]");

	f.settings.waypoint_use = WAYPOINTS_USED;
	expect(MESH WAYPOINT, yaml, "0 errors, 0 warnings.");
	f.settings.waypoint_use = WAYPOINTS_AUTO;
	f.settings.stance = STANCE_CLOSED;
	expect(MESH WAYPOINT, yaml, "0 errors, 0 warnings.");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("pathcheck");
	TCase *t = tcase_create("pathcheck");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, tells, 0, ARRAY_LEN(bad));
	tcase_add_test(t, tells_once);
	tcase_add_test(t, kinds_of_others);
	tcase_add_test(t, is_quiet);
	tcase_add_test(t, a_waypoint_without_replica);
	tcase_add_test(t, http_on_ambient_workloads);
	tcase_add_test(t, nobody_goes_around);
	suite_add_tcase(s, t);
	return suite_run(s);
}
