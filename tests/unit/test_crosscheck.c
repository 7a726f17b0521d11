/* SPDX-License-Identifier: Apache-2.0 */
/* What `meshd analyze` says of objects that do not go together. */
#include "confdir_fixture.h"
#include "suite.h"

#define OBJ(API, KIND, NAME, SPEC) "apiVersion: " API "\nkind: " KIND "\nmetadata: {name: " NAME ", namespace: n}\nspec: {" SPEC "}\n---\n"
#define VS(NAME, SPEC) OBJ("networking.istio.io/v1", "VirtualService", NAME, SPEC)
#define DR(NAME, SPEC) OBJ("networking.istio.io/v1", "DestinationRule", NAME, SPEC)
#define SC(NAME, SPEC) OBJ("networking.istio.io/v1", "Sidecar", NAME, SPEC)
#define SVC(NAME) OBJ("v1", "Service", NAME, "clusterIP: 10.9.0.1, ports: [{port: 80}]")
#define WE "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: w, namespace: n, labels: {app: a}}\nspec: {address: 10.0.0.1}\n---\n"
#define TO(HOST) "route: [{destination: {host: " HOST "}}]"
#define AP(SPEC) OBJ("security.istio.io/v1", "AuthorizationPolicy", "p", SPEC)
#define ALL_PORTS "ports: [{number: 80, name: http}], resolution: NONE"

static const struct { const char *yaml, *finding; } rows[] = {
	{ SVC("s") VS("v", "hosts: [s], http: [{" TO("s") "}]"), "" },
	{ VS("v", "hosts: [s], http: [{" TO("s") "}]"), "spec.http[0]: there is no service 's.n.svc.cluster.local' [IST0101]" },
	{ SVC("s") VS("v", "hosts: [s], http: [{mirror: {host: t}, " TO("s") "}]"), "there is no service 't.n.svc.cluster.local'" },
	{ OBJ("networking.istio.io/v1", "ServiceEntry", "e", "hosts: ['*.x.test'], " ALL_PORTS) VS("v", "hosts: [a.x.test], http: [{" TO("b.x.test") "}]"), "" },
	{ SVC("s") VS("v", "hosts: [s], http: [{route: [{destination: {host: s, subset: v1}}]}]"), "there is no DestinationRule with the subset 'v1' of 's.n.svc.cluster.local' [IST0101]" },
	{ SVC("s") DR("d", "host: s, subsets: [{name: v1}]") VS("v", "hosts: [s], http: [{route: [{destination: {host: s, subset: v1}}]}]"), "" },
	{ SVC("s") VS("a", "hosts: [s], http: [{" TO("s") "}]") VS("b", "hosts: [s], http: [{" TO("s") "}]"), "VirtualService n/b: spec.hosts: 's.n.svc.cluster.local' is the older n/a's" },
	{ SVC("s") VS("v", "hosts: [s], http: [{match: [{uri: {prefix: /}}], " TO("s") "}, {" TO("s") "}]"), "spec.http[1]: is never reached, since http[0] takes all requests [IST0130]" },
	{ SVC("s") VS("v", "hosts: [s], http: [{match: [{uri: {prefix: /a}}], " TO("s") "}, {" TO("s") "}]"), "" },
	{ SVC("s") VS("v", "hosts: [s], http: [{delegate: {name: d}}]"), "there is no delegate 'n/d' [IST0101]" },
	{ SVC("s") VS("v", "hosts: [s], http: [{delegate: {name: d}}]") VS("d", "http: [{" TO("s") "}]"), "" },
	{ DR("d", "host: t"), "spec.host: there is no service 't.n.svc.cluster.local' [IST0101]" },
	{ DR("d", "host: '*.svc.cluster.local'"), "" },
	{ SC("a", "egress: [{hosts: ['*/*']}]") SC("b", "egress: [{hosts: ['*/*']}]"), "Sidecar n/b: spec.workloadSelector: the older Sidecar 'a' has none either" },
	{ WE SC("a", "workloadSelector: {labels: {app: a}}, egress: [{hosts: ['*/*']}]"), "" },
	{ WE SC("a", "workloadSelector: {labels: {app: b}}, egress: [{hosts: ['*/*']}]"), "spec.workloadSelector: selects no workload [IST0127]" },
	{ AP("selector: {matchLabels: {app: a}}"), "spec.selector: selects no workload [IST0127]" },
	{ WE AP("selector: {matchLabels: {app: a}}"), "" },
	{ AP("action: CUSTOM, provider: {name: x}, rules: [{}]"), "warning: AuthorizationPolicy n/p: spec.provider: MeshConfig has no extensionProvider 'x'" },
	{ OBJ("telemetry.istio.io/v1", "Telemetry", "t", "tracing: [{providers: [{name: otel}]}]"), "spec.tracing: MeshConfig has no extensionProvider 'otel'" },
	{ OBJ("telemetry.istio.io/v1", "Telemetry", "t", "accessLogging: [{providers: [{name: envoy}]}]"), "" },
	{ OBJ("gateway.networking.k8s.io/v1", "HTTPRoute", "r", "parentRefs: [{group: '', kind: Service, name: s}], rules: []"), "spec.parentRefs: there is no service 's.n.svc.cluster.local'" },
};

#define GW(NAME) OBJ("gateway.networking.k8s.io/v1", "Gateway", NAME, "gatewayClassName: istio-waypoint")
#define USED(KIND, API, NAME, SPEC) "apiVersion: " API "\nkind: " KIND "\nmetadata: {name: " NAME ", namespace: n, labels: {istio.io/use-waypoint: w}}\nspec: {" SPEC "}\n---\n"
#define TCP_SVC USED("Service", "v1", "s", "clusterIP: 10.9.0.1, ports: [{port: 80, name: http}, {port: 6379, name: tcp-redis}]")
#define TO_GW(NAME) "targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: " NAME "}]"
#define TO_SVC(NAME) "targetRefs: [{group: '', kind: Service, name: " NAME "}]"
#define TO_ENTRY(NAME) "targetRefs: [{group: networking.istio.io, kind: ServiceEntry, name: " NAME "}]"
#define TO_CLASS(NAME) "targetRefs: [{group: gateway.networking.k8s.io, kind: GatewayClass, name: " NAME "}]"
#define RULE(TEXT) ", rules: [" TEXT "]"

/* In waypoint mode. */
static const struct { const char *yaml, *finding; } bound[] = {
	{ GW("w") AP(TO_GW("w")), "" },
	{ AP(TO_GW("w")), "warning: AuthorizationPolicy n/p: spec.targetRefs: there is no Gateway 'n/w' of the class istio-waypoint" },
	{ OBJ("security.istio.io/v1", "RequestAuthentication", "p", TO_GW("w")), "there is no Gateway 'n/w'" },
	{ OBJ("telemetry.istio.io/v1", "Telemetry", "p", TO_GW("w")), "there is no Gateway 'n/w'" },
	{ OBJ("meshd.io/v1alpha1", "RateLimit", "p", TO_GW("w") ", rules: [{name: a, amount: 1}]"), "there is no Gateway 'n/w'" },
	{ AP(TO_CLASS("istio-waypoint")), "a class may be named in the root namespace 'istio-system' alone" },
	{ AP(TO_CLASS("istio")), "the class of waypoints is istio-waypoint, not 'istio'" },
	{ GW("w") TCP_SVC AP(TO_SVC("s")), "" },
	{ SVC("s") AP(TO_SVC("s")), "Service 'n/s' has no waypoint: nobody looks at this object; label it, or its namespace, istio.io/use-waypoint" },
	{ AP(TO_SVC("s")), "there is no Service 'n/s', in the namespace of the object" },
	{ GW("w") TCP_SVC AP(TO_ENTRY("s")), "there is no ServiceEntry 'n/s'; it is a Service: write kind: Service" },
	{ GW("w") USED("ServiceEntry", "networking.istio.io/v1", "e", "hosts: [e.test], resolution: STATIC, ports: [{number: 80, name: http}]") AP(TO_ENTRY("e")), "" },
	{ GW("w") USED("ServiceEntry", "networking.istio.io/v1", "e", "hosts: [e.test], resolution: STATIC, ports: [{number: 80, name: http}]") AP(TO_SVC("e")), "it is a ServiceEntry: write kind: ServiceEntry" },
	{ AP("selector: {matchLabels: {app: a}}"), "info: AuthorizationPolicy n/p: spec: it has no targetRefs, without which waypoints pass it by, as in Istio" },
	{ OBJ("telemetry.istio.io/v1", "Telemetry", "p", "accessLogging: [{providers: [{name: envoy}]}]"), "" },
	{ OBJ("security.istio.io/v1", "PeerAuthentication", "p", "mtls: {mode: DISABLE}"), "info: PeerAuthentication n/p: spec: what comes to a waypoint is HBONE, whatever this says" },
	{ OBJ("security.istio.io/v1", "PeerAuthentication", "p", "mtls: {mode: DISABLE}"), "" },
	{ GW("w") TCP_SVC AP(TO_SVC("s") RULE("{to: [{operation: {methods: [GET]}}]}")), "spec.rules[0]: port 6379 of 's.n.svc.cluster.local' carries bytes: what asks for HTTP never matches there" },
	{ GW("w") TCP_SVC AP(TO_SVC("s") RULE("{to: [{operation: {methods: [GET], ports: ['80']}}]}")), "" },
	{ GW("w") TCP_SVC AP(TO_SVC("s") ", action: DENY" RULE("{to: [{operation: {ports: ['80']}}, {operation: {methods: [GET], ports: ['6379']}}]}")), "there the rule denies without regard to what is HTTP's" },
};

static void analyzed(enum mesh_mode mode, const char *yaml, const char *finding)
{
	struct fixture f;
	char *said;

	fixture_in_mode(&f, mode);
	fixture_write(&f, "x.yaml", yaml);
	ck_assert_int_eq(confdir_check(f.c, &f.err), 0);
	said = fixture_findings(&f);
	if (*finding)
		ck_assert_msg(strstr(said, finding) != NULL, "%s\nwant %s\ngot  %s", yaml, finding, said);
	else
		ck_assert_msg(!strstr(said, "warning: ") && !strstr(said, "error: "), "%s\ngot  %s", yaml, said);
	free(said);
	fixture_done(&f);
}

START_TEST(test_rows)
{
	analyzed(MODE_SIDECAR, rows[_i].yaml, rows[_i].finding);
}
END_TEST

START_TEST(test_bound)
{
	analyzed(MODE_WAYPOINT, bound[_i].yaml, bound[_i].finding);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("crosscheck");
	TCase *t = tcase_create("crosscheck");

	tcase_add_loop_test(t, test_rows, 0, ARRAY_LEN(rows));
	tcase_add_loop_test(t, test_bound, 0, ARRAY_LEN(bound));
	suite_add_tcase(s, t);
	return suite_run(s);
}
