/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of what policies would say, in each mode. */
#include "confdir_fixture.h"
#include "source/authztest.h"
#include "suite.h"

#define AUTHZ(NAME, SPEC) "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: " NAME ", namespace: n}\nspec: {" SPEC "}\n---\n"
#define MESH \
	"apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: gw, namespace: n}\nspec: {gatewayClassName: istio-waypoint}\n---\n" \
	"apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: wp, namespace: n, labels: {gateway.networking.k8s.io/gateway-name: gw}}\nspec: {address: 10.0.0.9}\n---\n" \
	"apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: cart, namespace: n, labels: {app: cart}}\nspec: {address: 10.0.0.1}\n---\n" \
	"apiVersion: v1\nkind: Service\nmetadata: {name: cart, namespace: n, labels: {istio.io/use-waypoint: gw}}\nspec: {clusterIP: 10.96.0.1, selector: {app: cart}, ports: [{port: 80, name: http}]}\n---\n" \
	AUTHZ("service", "targetRefs: [{group: '', kind: Service, name: cart}], rules: [{from: [{source: {serviceAccounts: [web]}}], to: [{operation: {methods: [GET], ports: ['80']}}]}]") \
	AUTHZ("gateway", "targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: gw}], action: DENY, rules: [{to: [{operation: {paths: [/admin]}}]}]") \
	AUTHZ("selects", "selector: {matchLabels: {app: cart}}, action: DENY, rules: [{to: [{operation: {paths: [/cart]}}]}]")
#define WP "mode: waypoint\nworkload: n/wp\nservice: n/cart.n.svc.cluster.local\nport: 80\ntests:\n"
#define WEB "from: {principal: cluster.local/ns/n/sa/web}"

static const struct { const char *table, *said; } rows[] = {
	{ WP "- {" WEB ", request: {path: /}, expect: ALLOW, policy: n/service}\n", "1 tests, 0 failed." },
	{ WP "- {" WEB ", request: {path: /cart}, expect: ALLOW}\n", "1 tests, 0 failed." },                       /* of selectors nobody asks */
	{ WP "- {" WEB ", request: {path: /, method: POST}, expect: DENY}\n", "1 tests, 0 failed." },
	{ WP "- {" WEB ", request: {path: /admin}, expect: DENY, policy: n/gateway}\n", "1 tests, 0 failed." },
	{ WP "- {" WEB ", expect: DENY}\n", "1 tests, 0 failed." },                                               /* bytes have no method; and a DENY loses its path */
	{ WP "- {name: x, from: {principal: cluster.local/ns/n/sa/other}, request: {path: /}, expect: ALLOW}\n", "FAILED x: want ALLOW, got DENY. ALLOW policies in scope: n/service" },
	/* the workload itself: what is bound to the Gateway alone */
	{ "mode: waypoint\nworkload: n/wp\ntests:\n- {request: {path: /}, expect: ALLOW}\n- {request: {path: /admin}, expect: DENY}\n", "2 tests, 0 failed." },
	{ "mode: waypoint\nworkload: n/wp\nservice: n/none\ntests:\n- {name: x, request: {path: /}, expect: ALLOW}\n", "FAILED x: there is no service n/none" },
	{ "mode: sidecar\nworkload: n/cart\nservice: n/cart.n.svc.cluster.local\ntests:\n- {name: x, request: {path: /}, expect: ALLOW}\n", "FAILED x: service is for the mode waypoint" },
	{ "mode: sidecar\nworkload: n/cart\ntests:\n- {request: {path: /cart}, expect: DENY, policy: n/selects}\n- {request: {path: /admin}, expect: ALLOW}\n", "2 tests, 0 failed." },
	{ "mode: ztunnel\nworkload: n/cart\ntests:\n- {expect: ALLOW}\n", "1 tests, 0 failed." },
	/* several tables */
	{ "mode: ztunnel\nworkload: n/cart\ntests:\n- {expect: ALLOW}\n---\n" WP "- {" WEB ", request: {path: /admin}, expect: DENY}\n---\n"
	  "mode: sidecar\nworkload: n/cart\ntests:\n- {request: {path: /admin}, expect: ALLOW}\n", "3 tests, 0 failed." },
};

START_TEST(test_table)
{
	struct buf out = { 0 };
	struct fixture f;
	const char *said;
	char *path;

	fixture_init(&f);
	fixture_write(&f, "x.yaml", MESH);
	fixture_write(&f, ".table", rows[_i].table);
	path = xasprintf("%s/.table", f.dir);
	ck_assert_int_ge(authztest_run(f.dir, path, &f.settings, &out, &f.err), 0);
	buf_append(&out, "", 1);
	said = (const char *)buf_data(&out);
	ck_assert_msg(strstr(said, rows[_i].said) != NULL, "%s\nwant %s\ngot  %s", rows[_i].table, rows[_i].said, said);
	buf_done(&out);
	free(path);
	fixture_done(&f);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("authztest");
	TCase *t = tcase_create("authztest");

	tcase_add_loop_test(t, test_table, 0, ARRAY_LEN(rows));
	suite_add_tcase(s, t);
	return suite_run(s);
}
