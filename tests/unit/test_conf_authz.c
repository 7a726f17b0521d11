/* SPDX-License-Identifier: Apache-2.0 */
/* AuthorizationPolicy from YAML to a verdict, by the engine that judges connections. */
#include "confdir_fixture.h"
#include "policy/authz.h"
#include "suite.h"

#define WORKLOAD "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: w, namespace: prod, labels: {app: w}}\n" \
		 "spec: {address: 10.0.0.9}\n---\n"
#define POLICY(SPEC) "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: prod}\nspec: " SPEC "\n"
#define ALLOW(RULES) POLICY("{action: ALLOW, rules: " RULES "}")
#define DENY(RULES) POLICY("{action: DENY, rules: " RULES "}")

#define A "spiffe://cluster.local/ns/web/sa/a"
#define B "spiffe://other.test/ns/web/sa/b"
#define NOBODY ""

static const struct row {
	const char *yaml;
	const char *who;
	bool allowed, strict;      /* allowed is that of the istio stance, strict the other */
} rows[] = {
	/* rules */
	{ POLICY("{}"), A, false, false },
	{ POLICY("{rules: []}"), A, false, false },
	{ ALLOW("[{}]"), NOBODY, true, true },
	{ DENY("[{}]"), A, false, false },
	/* from: sources are ORed, fields of one are ANDed */
	{ ALLOW("[{from: [{source: {namespaces: [web]}}]}]"), A, true, true },
	{ ALLOW("[{from: [{source: {namespaces: [other]}}]}]"), A, false, false },
	{ ALLOW("[{from: [{source: {namespaces: [other]}}, {source: {namespaces: ['w*']}}]}]"), A, true, true },
	{ ALLOW("[{from: [{source: {namespaces: ['*b']}}]}]"), A, true, true },
	{ ALLOW("[{from: [{source: {namespaces: ['*']}}]}]"), NOBODY, false, false },
	{ ALLOW("[{from: [{source: {notNamespaces: [web]}}]}]"), A, false, false },
	{ ALLOW("[{from: [{source: {notNamespaces: [web]}}]}]"), NOBODY, true, true },
	{ ALLOW("[{from: [{source: {principals: [cluster.local/ns/web/sa/a]}}]}]"), A, true, true },
	{ ALLOW("[{from: [{source: {principals: ['*/sa/a']}}]}]"), A, true, true },
	{ ALLOW("[{from: [{source: {principals: ['cluster.local/*']}}]}]"), B, false, false },
	{ ALLOW("[{from: [{source: {principals: ['*'], ipBlocks: [10.1.0.0/16]}}]}]"), A, true, true },
	{ ALLOW("[{from: [{source: {principals: ['*'], ipBlocks: [10.2.0.0/16]}}]}]"), A, false, false },
	{ ALLOW("[{from: [{source: {serviceAccounts: [web/a]}}]}]"), A, true, true },
	{ ALLOW("[{from: [{source: {serviceAccounts: [a]}}]}]"), A, false, false },
	{ DENY("[{from: [{source: {notIpBlocks: [10.1.0.0/16]}}]}]"), A, true, true },
	/* to, when */
	{ ALLOW("[{to: [{operation: {ports: ['80', '8080']}}]}]"), A, true, true },
	{ ALLOW("[{to: [{operation: {notPorts: ['8080']}}]}]"), A, false, false },
	{ ALLOW("[{from: [{source: {namespaces: [web]}}], to: [{operation: {ports: ['9']}}]}]"), A, false, false },
	{ ALLOW("[{when: [{key: source.namespace, values: [web]}, {key: destination.port, values: ['8080']}]}]"), A, true, true },
	{ ALLOW("[{when: [{key: source.namespace, values: [web]}, {key: source.ip, notValues: [10.1.2.3]}]}]"), A, false, false },
	{ ALLOW("[{when: [{key: destination.ip, values: [10.0.0.9]}]}]"), A, true, true },
	{ ALLOW("[{when: [{key: source.principal, values: ['*']}]}]"), NOBODY, false, false },
	/* HTTP attributes: ALLOW never matches; DENY loses them, and what is left empty never matches */
	{ ALLOW("[{to: [{operation: {methods: [GET]}}]}]"), A, false, false },
	{ ALLOW("[{to: [{operation: {ports: ['8080']}}, {operation: {paths: [/x]}}]}]"), A, false, false },
	{ ALLOW("[{to: [{operation: {methods: [GET]}}]}, {}]"), A, true, true },
	{ DENY("[{to: [{operation: {methods: [GET]}}]}]"), A, true, false },
	{ DENY("[{from: [{source: {namespaces: [web]}}], to: [{operation: {methods: [GET]}}]}]"), A, true, false },
	{ DENY("[{from: [{source: {namespaces: [other]}}], to: [{operation: {methods: [GET]}}]}]"), A, true, true },
	{ DENY("[{to: [{operation: {methods: [GET], ports: ['8080']}}]}]"), A, false, false },
	{ DENY("[{to: [{operation: {methods: [GET], ports: ['9']}}]}]"), A, true, true },
	{ DENY("[{from: [{source: {requestPrincipals: ['*']}}]}]"), A, true, false },
	{ DENY("[{from: [{source: {remoteIpBlocks: [10.0.0.0/8], namespaces: [web]}}]}]"), A, false, false },
	{ ALLOW("[{when: [{key: 'request.headers[x]', values: [a]}]}]"), A, false, false },
	{ DENY("[{when: [{key: 'request.headers[x]', values: [a]}]}]"), A, true, false },
	/* when keys that ztunnel could know, and does not */
	{ ALLOW("[{when: [{key: source.serviceAccount, values: [web/a]}]}]"), A, false, true },
	{ DENY("[{when: [{key: source.serviceAccount, values: [web/a]}]}]"), A, true, false },
	{ DENY("[{when: [{key: source.serviceAccount, values: [web/z]}]}]"), A, true, true },
	{ DENY("[{when: [{key: source.trustDomain, values: [cluster.local]}]}]"), A, true, false },
	{ DENY("[{when: [{key: source.trustDomain, values: [other.test]}]}]"), A, true, true },
	/* trustDomains: ignored beside another field, alone never matching */
	{ ALLOW("[{from: [{source: {namespaces: [web], trustDomains: [cluster.local]}}]}]"), B, true, false },
	{ ALLOW("[{from: [{source: {namespaces: [web], trustDomains: [cluster.local]}}]}]"), A, true, true },
	{ ALLOW("[{from: [{source: {trustDomains: [cluster.local]}}]}]"), A, false, true },
	{ ALLOW("[{from: [{source: {trustDomains: ['clus*']}}]}]"), A, false, true },
	{ ALLOW("[{from: [{source: {trustDomains: ['*']}}]}]"), A, false, true },
	{ ALLOW("[{from: [{source: {trustDomains: [cluster]}}]}]"), A, false, false },
	{ ALLOW("[{from: [{source: {namespaces: [web], notTrustDomains: [other.test]}}]}]"), B, true, false },
	{ ALLOW("[{from: [{source: {principals: ['other.test/ns/web/sa/b'], trustDomains: [cluster.local]}}]}]"), B, true, false },
	{ ALLOW("[{from: [{source: {principals: ['*'], trustDomains: [cluster.local]}}]}]"), B, true, false },
	{ ALLOW("[{from: [{source: {principals: ['clus*'], trustDomains: [cluster.local]}}]}]"), A, true, true },
	{ DENY("[{from: [{source: {trustDomains: [other.test]}}]}]"), B, true, false },
	/* aliases: as written; under strict a full principal of the mesh holds for them */
	{ ALLOW("[{from: [{source: {principals: [cluster.local/ns/web/sa/b]}}]}]"), B, false, true },
	{ ALLOW("[{from: [{source: {principals: [third.test/ns/web/sa/b]}}]}]"), B, false, false },
	{ DENY("[{from: [{source: {principals: [cluster.local/ns/web/sa/b]}}]}]"), B, true, false },
	/* scopes and what is for others */
	{ POLICY("{selector: {matchLabels: {app: w}}}"), A, false, false },
	{ POLICY("{selector: {matchLabels: {app: other}}}"), A, true, true },
	{ POLICY("{selector: {}}"), A, false, false },
	{ POLICY("{targetRefs: [{kind: Gateway, name: g, group: gateway.networking.k8s.io}]}"), A, true, true },
	{ POLICY("{action: AUDIT, rules: [{}]}"), A, true, true },
	{ POLICY("{action: CUSTOM, provider: {name: x}, rules: [{}]}"), A, true, false },
	/* envelope */
	{ "apiVersion: security.istio.io/v1beta1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: istio-system}\nspec: {}\n", A, false, false },
	{ "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: elsewhere}\nspec: {}\n", A, true, true },
	{ "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: prod, annotations: {istio.io/dry-run: 'true'}}\nspec: {}\n", A, true, true },
	{ "{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [{\"apiVersion\": \"security.istio.io/v1\", \"kind\": \"AuthorizationPolicy\","
	  " \"metadata\": {\"name\": \"p\", \"namespace\": \"prod\"}, \"spec\": {\"rules\": [{\"from\": [{\"source\": {\"ip_blocks\": [\"10.1.2.3\"]}}]}]}}]}", A, true, true },
	/* bad ones refuse over their scope */
	{ ALLOW("[{from: [{source: {ipBlocks: [abc]}}]}, {}]"), A, false, false },
	{ DENY("[]"), A, false, false },
	{ POLICY("{action: MAYBE}"), A, false, false },
	{ POLICY("{rules: [{}], surprise: 1}"), A, false, false },
	{ POLICY("{selector: {matchLabels: {app: other}}, action: MAYBE}"), A, true, true },
	{ POLICY("{selector: {matchLabels: {app: w}}, action: MAYBE}"), A, false, false },
	{ "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: elsewhere}\nspec: {action: MAYBE}\n", A, true, true },
	{ "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: istio-system}\nspec: {action: MAYBE}\n", A, false, false },
	{ "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: [x]}\nspec: {rules: [{}]}\n", A, false, false },
	{ "apiVersion: security.istio.io/v9\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: prod}\nspec: {rules: [{}]}\n", A, false, false },
	{ "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {namespace: prod}\nspec: {rules: [{}]}\n", A, false, false },
};

static struct authz_verdict judge_as(const struct row *row, enum stance stance)
{
	static const char *const aliases[] = { "other.test" };
	struct authz_input in = { .principal = str_c(row->who) };
	struct authz_verdict v;
	struct fixture f;

	fixture_init(&f);
	f.settings.aliases = aliases;
	f.settings.n_aliases = 1;
	f.settings.stance = stance;
	confdir_free(f.c);
	f.c = confdir_new(f.dir, &f.settings);
	fixture_write(&f, "w.yaml", WORKLOAD);
	fixture_write(&f, "x.yaml", row->yaml);
	ck_assert_msg(fixture_load(&f) == 0, "%s", f.err.msg);
	ck_assert_int_eq(addr_parse(str_c("10.1.2.3:999"), &in.source), 0);
	ck_assert_int_eq(addr_parse(str_c("10.0.0.9:8080"), &in.dest), 0);
	v = authz_judge(mesh_current(), mesh_workload_named(mesh_current(), str_c("prod"), str_c("w")), &in, NULL, NULL);
	confdir_withdraw(f.c);
	fixture_done(&f);
	return v;
}

static bool judge(const struct row *row, bool strict)
{
	return judge_as(row, strict ? STANCE_STRICT : STANCE_ISTIO).allowed;
}

START_TEST(test_istio)
{
	ck_assert_msg(judge(&rows[_i], false) == rows[_i].allowed, "%s for '%s'", rows[_i].yaml, rows[_i].who);
}
END_TEST

START_TEST(test_strict)
{
	ck_assert_msg(judge(&rows[_i], true) == rows[_i].strict, "%s for '%s'", rows[_i].yaml, rows[_i].who);
}
END_TEST

/* What ztunnel's place cannot evaluate refuses, where Istio's meaning is that it does nothing; and it is counted as that. */
static const struct row blind[] = {
	{ DENY("[{to: [{operation: {methods: [GET]}}]}]"), A, true, false },
	{ DENY("[{from: [{source: {principals: ['*']}}], to: [{operation: {paths: [/x]}}]}]"), A, true, false },
	{ DENY("[{when: [{key: 'request.headers[x]', values: [y]}]}]"), A, true, false },
	{ POLICY("{action: CUSTOM, provider: {name: x}, rules: [{}]}"), A, true, false },
	{ POLICY("{action: CUSTOM, provider: {name: x}, rules: [{to: [{operation: {paths: [/x]}}]}]}"), A, true, false },
	{ POLICY("{action: CUSTOM, provider: {name: x}, rules: [{to: [{operation: {ports: ['1']}}]}]}"), A, true, true },
	{ POLICY("{action: AUDIT, rules: [{}]}"), A, true, true },
};

START_TEST(test_closed)
{
	struct authz_verdict v = judge_as(&blind[_i], STANCE_CLOSED);

	ck_assert(judge_as(&blind[_i], STANCE_ISTIO).allowed == blind[_i].allowed);
	ck_assert(v.allowed == blind[_i].strict);
	ck_assert_int_eq(v.cause, v.allowed ? REFUSAL_OTHER : REFUSAL_BLIND);
}
END_TEST

/* Closed says nothing else of what policies mean. */
START_TEST(test_closed_is_not_strict)
{
	static const struct row domains = { DENY("[{from: [{source: {trustDomains: [cluster.local]}}]}]"), A, true, false };

	ck_assert(judge_as(&domains, STANCE_CLOSED).allowed == judge_as(&domains, STANCE_ISTIO).allowed);
}
END_TEST

static const struct { const char *yaml, *finding; } findings[] = {
	{ ALLOW("[{from: [{source: {}}]}]"), "error: AuthorizationPolicy prod/p: spec.rules[0].from[0].source: want at least one field, got none" },
	{ ALLOW("[{from: []}]"), "spec.rules[0].from: want at least one source, got none" },
	{ ALLOW("[{to: []}]"), "spec.rules[0].to: want at least one operation, got none" },
	{ ALLOW("[{to: [{operation: {ports: [80]}}]}]"), "x.yaml:4: error: AuthorizationPolicy prod/p: spec.rules[0].to[0].operation.ports[0]: want a string (quote the number), got '80'" },
	{ ALLOW("[{to: [{operation: {ports: ['70000']}}]}]"), "ports: want a port from 1 to 65535, got '70000'" },
	{ ALLOW("[{to: [{operation: {ports: ['x']}}]}]"), "ports: want a port from 1 to 65535, got 'x'" },
	{ ALLOW("[{from: [{source: {ipBlocks: [abc]}}]}]"), "from[0].ipBlocks: want an IP address or CIDR block, got 'abc'" },
	{ ALLOW("[{from: [{source: {namespaces: ['']}}]}]"), "namespaces: want no empty string" },
	{ ALLOW("[{from: [{source: {serviceAccounts: [a/b/c]}}]}]"), "want NAMESPACE/ACCOUNT or ACCOUNT without wildcards, got 'a/b/c'" },
	{ ALLOW("[{from: [{source: {serviceAccounts: ['a*']}}]}]"), "want NAMESPACE/ACCOUNT or ACCOUNT without wildcards" },
	{ ALLOW("[{from: [{source: {serviceAccounts: [a], namespaces: [b]}}]}]"), "want no principals or namespaces beside it" },
	{ ALLOW("[{when: [{key: source.color, values: [x]}]}]"), "when[0].key: want a key that Istio knows" },
	{ ALLOW("[{when: [{key: source.ip}]}]"), "when[0]: want values or notValues, got none" },
	{ DENY("[]"), "spec.rules: want at least one rule" },
	{ POLICY("{provider: {name: x}}"), "spec.provider: want it with the action CUSTOM only" },
	{ POLICY("{selector: {matchLabels: {a: b}}, targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: g}]}"), "want only one of selector, targetRefs, targetRef" },
	{ POLICY("{action: deny}"), "spec.action: want one of ALLOW, DENY, AUDIT, CUSTOM, got 'deny'" },
	{ POLICY("{rules: {}}"), "spec.rules: want a list, got a map" },
	{ POLICY("{rules: [~]}"), "spec.rules[0]: want a map, got nothing" },
	{ POLICY("[]"), "spec: want a map, got a list" },
	{ POLICY("{rules: [{form: []}]}"), "spec.rules[0].form: unknown field: the object is refused" },
	{ POLICY("{action: CUSTOM, provider: {name: x}, rules: [{}]}"), "warning: AuthorizationPolicy prod/p: spec.action: CUSTOM has NO EFFECT" },
	{ POLICY("{targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: g}]}"), "info: AuthorizationPolicy prod/p: spec.targetRefs: it is for waypoints" },
	{ POLICY("{targetRefs: [{kind: Gateway, name: g}]}"), "want kind and group of Gateway or GatewayClass (gateway.networking.k8s.io)" },
	{ POLICY("{targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: g, namespace: x}]}"), "want no namespace: it is the object's own" },
	{ ALLOW("[{to: [{operation: {methods: [GET], paths: [/a]}}]}]"), "spec.rules[0]: HTTP attributes (methods, paths): in ztunnel mode this rule never matches" },
	{ DENY("[{to: [{operation: {methods: [GET]}}]}]"), "HTTP attributes (methods): in ztunnel mode this rule never fires" },
	{ DENY("[{to: [{operation: {methods: [GET], ports: ['1']}}]}]"), "denies without regard to them" },
	{ ALLOW("[{from: [{source: {namespaces: [a], trustDomains: [b]}}]}]"), "the rule is wider than it says" },
	{ ALLOW("[{from: [{source: {trustDomains: [b]}}]}]"), "and so this rule never matches" },
	{ ALLOW("[{from: [{source: {principals: ['*foo*']}}]}]"), "'*foo*' matches the ending 'foo*' with its star" },
	{ ALLOW("[{from: [{source: {}}]}]"), "refuses all connections to what it selects until it is mended" },
};

START_TEST(test_findings)
{
	struct fixture f;

	fixture_init(&f);
	fixture_write(&f, "x.yaml", findings[_i].yaml);
	ck_assert_int_eq(fixture_load(&f), 0);
	fixture_expect(&f, findings[_i].finding);
	fixture_done(&f);
}
END_TEST

START_TEST(test_alias_is_named)
{
	struct fixture f;

	fixture_init(&f);
	fixture_write(&f, "mesh.yaml", "trustDomain: own.test\ntrustDomainAliases: [old.test]\n");
	fixture_write(&f, "x.yaml", ALLOW("[{from: [{source: {principals: [cluster.local/ns/a/sa/b, old.test/ns/a/sa/b, own.test/ns/a/sa/b]}}]}]"));
	ck_assert_int_eq(fixture_load(&f), 0);
	fixture_expect(&f, "'cluster.local/ns/a/sa/b' stands for this mesh's trust domain with sidecars, but not in ztunnel mode: write 'own.test/ns/a/sa/b'");
	fixture_expect(&f, "'old.test/ns/a/sa/b' stands for");
	ck_assert_uint_eq(confdir_count(f.c, FINDING_WARNING), 2);
	fixture_done(&f);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("conf_authz");
	TCase *t = tcase_create("conf_authz");

	tcase_add_loop_test(t, test_istio, 0, ARRAY_LEN(rows));
	tcase_add_loop_test(t, test_strict, 0, ARRAY_LEN(rows));
	tcase_add_loop_test(t, test_closed, 0, ARRAY_LEN(blind));
	tcase_add_test(t, test_closed_is_not_strict);
	tcase_add_loop_test(t, test_findings, 0, ARRAY_LEN(findings));
	tcase_add_test(t, test_alias_is_named);
	suite_add_tcase(s, t);
	return suite_run(s);
}
