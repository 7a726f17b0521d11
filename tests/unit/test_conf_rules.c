/* SPDX-License-Identifier: Apache-2.0 */
/* AuthorizationPolicy in a sidecar, from YAML to a verdict about a request or about bytes. */
#include "confdir_fixture.h"
#include "policy/authz.h"
#include "policy/claims.h"
#include "suite.h"

#define WORKLOAD "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: w, namespace: prod, labels: {app: w}}\n" \
		 "spec: {address: 10.0.0.9}\n---\n"
#define POLICY(SPEC) "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: prod}\nspec: " SPEC "\n"
#define ALLOW(RULES) POLICY("{action: ALLOW, rules: " RULES "}")
#define DENY(RULES) POLICY("{action: DENY, rules: " RULES "}")
#define TO(OP) ALLOW("[{to: [{operation: {" OP "}}]}]")
#define FROM(SOURCE) ALLOW("[{from: [{source: {" SOURCE "}}]}]")
#define WHEN(KEY, VALUES) ALLOW("[{when: [{key: '" KEY "', " VALUES "}]}]")

#define A "spiffe://cluster.local/ns/web/sa/a"
#define B "spiffe://other.test/ns/web/sa/b"
#define NOBODY ""

#define GET(path)          { "GET", "shop.test", path, "", "" }
#define HEADERS(lines)     { "GET", "shop.test", "/", lines, "" }
#define TOKEN(json)        { "GET", "shop.test", "/", "", json }
#define BYTES              { NULL, "", "", "", "" }
#define JOE "{\"iss\":\"https://id.test/x\",\"sub\":\"joe\",\"aud\":[\"a\",\"b\"],\"azp\":\"app\",\"scope\":\"read write\"," \
	    "\"n\":7,\"groups\":[\"g1\",\"g2\"],\"a\":{\"b\":\"deep\"}}"

struct ask { const char *method, *authority, *path, *headers, *claims; };   /* headers: "name:value\n" … */

static const struct row {
	const char *yaml, *who;
	struct ask ask;
	bool allowed, strict;        /* allowed is that of the istio stance, strict the other */
} rows[] = {
	/* surprise 1: stars in namespaces */
	{ FROM("namespaces: [web]"), A, GET("/"), true, true },
	{ FROM("namespaces: [we]"), A, GET("/"), false, false },
	{ FROM("namespaces: ['*a']"), A, GET("/"), true, false },
	{ FROM("namespaces: ['*sa']"), A, GET("/"), true, false },
	{ FROM("namespaces: ['*b']"), A, GET("/"), true, true },
	{ FROM("namespaces: ['w*']"), A, GET("/"), true, true },
	{ FROM("namespaces: ['s*']"), A, GET("/"), false, false },
	{ FROM("namespaces: ['*']"), A, GET("/"), true, true },
	{ FROM("namespaces: ['*']"), NOBODY, GET("/"), false, false },
	{ FROM("notNamespaces: ['*']"), NOBODY, GET("/"), true, true },
	{ FROM("namespaces: ['*e*']"), A, GET("/"), true, false },
	/* surprise 2: stars at both ends */
	{ TO("paths: ['*foo*']"), A, GET("/a/foo"), false, false },
	{ TO("paths: ['*foo*']"), A, GET("/a/foo*"), true, true },
	{ FROM("principals: ['*web*']"), A, GET("/"), false, false },
	{ TO("hosts: ['*shop*']"), A, GET("/"), false, false },
	/* surprise 3: HTTP in rules for bytes */
	{ ALLOW("[{to: [{operation: {ports: ['8080']}}, {operation: {paths: [/x]}}]}]"), A, BYTES, false, false },
	{ ALLOW("[{to: [{operation: {ports: ['8080']}}, {operation: {paths: [/x]}}]}]"), A, GET("/y"), true, true },
	{ DENY("[{to: [{operation: {methods: [POST]}}]}]"), A, BYTES, false, false },
	{ DENY("[{to: [{operation: {methods: [POST]}}]}]"), A, GET("/"), true, true },
	{ DENY("[{to: [{operation: {methods: [POST], ports: ['9']}}]}]"), A, BYTES, true, true },
	{ DENY("[{from: [{source: {namespaces: [other]}}], to: [{operation: {methods: [POST]}}]}]"), A, BYTES, true, true },
	{ DENY("[{when: [{key: 'request.headers[x]', values: [a]}]}]"), A, BYTES, false, false },
	{ ALLOW("[{from: [{source: {namespaces: [web]}}]}, {to: [{operation: {methods: [GET]}}]}]"), A, BYTES, true, true },
	/* surprise 5: remote addresses */
	{ FROM("remoteIpBlocks: [7.7.7.0/24]"), A, HEADERS("x-forwarded-for:1.1.1.1, 7.7.7.7\n"), true, true },
	{ FROM("remoteIpBlocks: [1.1.1.1]"), A, HEADERS("x-forwarded-for:1.1.1.1, 7.7.7.7\n"), false, false },
	{ FROM("remoteIpBlocks: [7.7.7.7]"), A, HEADERS("x-forwarded-for:1.1.1.1\nX-Forwarded-For:7.7.7.7\n"), true, true },
	{ FROM("remoteIpBlocks: [10.1.2.3]"), A, HEADERS("x-forwarded-for:1.1.1.1, junk\n"), true, true },
	{ FROM("remoteIpBlocks: [10.1.2.3]"), A, GET("/"), true, true },
	{ FROM("remoteIpBlocks: [10.1.2.3]"), A, BYTES, true, true },
	{ FROM("ipBlocks: [10.1.2.3]"), A, HEADERS("x-forwarded-for:7.7.7.7\n"), true, true },
	{ FROM("notRemoteIpBlocks: [7.7.7.7]"), A, HEADERS("x-forwarded-for:7.7.7.7\n"), false, false },
	{ WHEN("remote.ip", "values: ['7.7.7.7']"), A, HEADERS("x-forwarded-for:7.7.7.7\n"), true, true },
	/* surprise 6: trust domains */
	{ FROM("principals: [cluster.local/ns/web/sa/b]"), B, GET("/"), true, true },
	{ FROM("principals: [other.test/ns/web/sa/a]"), A, GET("/"), true, true },
	{ FROM("principals: ['cluster.local/ns/web/*']"), B, GET("/"), false, false },
	{ FROM("principals: ['cluster.local/ns/web/sa/*']"), B, GET("/"), true, true },
	{ FROM("principals: ['*local/ns/web/sa/b']"), B, GET("/"), true, true },
	{ FROM("principals: ['*nowhere/ns/web/sa/b']"), B, GET("/"), false, false },
	{ FROM("principals: ['*local/ns/web/sa/*']"), B, GET("/"), true, true },
	{ FROM("principals: ['*local/ns/web/sa/*']"), A, GET("/"), false, false },
	{ FROM("principals: [strange/ns/web/sa/b]"), B, GET("/"), false, false },
	{ FROM("trustDomains: [other.test]"), B, GET("/"), true, true },
	{ FROM("trustDomains: [cluster.local]"), B, GET("/"), true, true },      /* it is the mesh's own name here */
	{ FROM("trustDomains: ['other*']"), B, GET("/"), true, true },
	{ FROM("trustDomains: ['*test']"), A, GET("/"), false, false },
	{ FROM("trustDomains: ['*']"), NOBODY, GET("/"), false, false },
	{ FROM("trustDomains: [strange]"), A, BYTES, false, false },
	{ FROM("namespaces: [web], trustDomains: [strange]"), A, GET("/"), false, false },
	/* surprise 8: templates */
	{ TO("paths: ['/a/{**}']"), A, GET("/a/"), true, true },
	{ TO("paths: ['/a/{**}']"), A, GET("/a"), false, false },
	{ TO("paths: ['/a/{**}']"), A, GET("/a/b/c?x=1"), true, true },
	{ TO("paths: ['/a/{*}']"), A, GET("/a/"), false, false },
	{ TO("paths: ['/a/{*}']"), A, GET("/a/b/c"), false, false },
	{ TO("paths: ['/a/{*}/c']"), A, GET("/a/b/c"), true, true },
	{ TO("paths: ['/a/{**}/z']"), A, GET("/a/b/c/z"), true, true },
	{ TO("paths: ['/a/{**}/z']"), A, GET("/a/z"), false, false },
	{ DENY("[{to: [{operation: {paths: ['/admin/{**}']}}]}]"), A, GET("/admin/x[1]"), true, false },
	{ DENY("[{to: [{operation: {paths: ['/admin/{**}']}}]}]"), A, GET("/admin"), true, true },
	{ DENY("[{to: [{operation: {paths: ['/admin/{*}']}}]}]"), A, GET("/admin/x]"), true, false },
	/* surprise 9, 10: headers */
	{ WHEN("request.headers[X-a]", "values: [one]"), A, HEADERS("x-A:two\nx-a:one\n"), true, true },
	{ WHEN("request.headers[x-a]", "values: ['one,two']"), A, HEADERS("x-a:one\nx-a:two\n"), false, false },
	{ WHEN("request.headers[x-a]", "notValues: [one]"), A, HEADERS("x-a:two\nx-a:one\n"), false, false },
	{ WHEN("request.headers[x-a]", "notValues: [one]"), A, GET("/"), true, true },
	{ WHEN("request.headers[x-a]", "values: ['*']"), A, HEADERS("x-a:\n"), true, true },
	{ WHEN("request.headers[x-a]", "values: ['*']"), A, GET("/"), false, false },
	{ WHEN("request.headers[x-a]", "values: ['o*']"), A, HEADERS("x-a:one\n"), true, true },
	{ WHEN("request.headers[x-a]", "values: ['*e']"), A, HEADERS("x-a:one\n"), true, true },
	{ WHEN("request.headers[:method]", "values: [GET]"), A, GET("/"), true, true },
	{ WHEN("request.headers[host]", "values: [shop.test]"), A, GET("/"), true, true },
	/* methods, hosts, paths */
	{ TO("methods: [GET, POST]"), A, GET("/"), true, true },
	{ TO("methods: [get]"), A, GET("/"), false, false },
	{ TO("methods: ['G*']"), A, GET("/"), true, true },
	{ TO("notMethods: [GET]"), A, GET("/"), false, false },
	{ TO("hosts: [SHOP.test]"), A, GET("/"), true, true },
	{ TO("hosts: ['*.TEST']"), A, GET("/"), true, true },
	{ TO("hosts: ['shop*']"), A, { "GET", "Shop.test:8080", "/", "", "" }, true, true },
	{ TO("hosts: [shop.test]"), A, { "GET", "shop.test:8080", "/", "", "" }, false, false },
	{ TO("hosts: ['*']"), A, GET("/"), true, true },
	{ TO("paths: [/a]"), A, GET("/a?b=/c"), true, true },
	{ TO("paths: [/a]"), A, GET("/A"), false, false },
	{ TO("paths: ['/a*']"), A, GET("/ab/c"), true, true },
	{ TO("paths: ['*.html']"), A, GET("/x.html?y"), true, true },
	{ TO("paths: ['*']"), A, GET("/"), true, true },
	{ TO("notPaths: [/a, '/b*']"), A, GET("/bc"), false, false },
	{ ALLOW("[{from: [{source: {namespaces: [web]}}], to: [{operation: {paths: [/a], methods: [PUT]}}]}]"), A, GET("/a"), false, false },
	/* tokens */
	{ FROM("requestPrincipals: ['https://id.test/x/joe']"), A, TOKEN(JOE), true, true },
	{ FROM("requestPrincipals: ['https://id.test/x/*']"), A, TOKEN(JOE), true, true },
	{ FROM("requestPrincipals: ['*/joe']"), A, TOKEN(JOE), true, true },
	{ FROM("requestPrincipals: ['*oe']"), A, TOKEN(JOE), true, true },
	{ FROM("requestPrincipals: ['https://id.test/x/j*']"), A, TOKEN(JOE), true, true },
	{ FROM("requestPrincipals: ['https://id.test/y/*']"), A, TOKEN(JOE), false, false },
	{ FROM("requestPrincipals: ['*']"), A, TOKEN(JOE), true, true },
	{ FROM("requestPrincipals: ['*']"), A, GET("/"), false, false },
	{ FROM("requestPrincipals: ['*']"), A, TOKEN("{\"iss\":\"x\"}"), false, false },
	{ FROM("notRequestPrincipals: ['*']"), A, GET("/"), true, true },
	{ WHEN("request.auth.principal", "values: ['https://id.test/x/joe']"), A, TOKEN(JOE), true, true },
	{ WHEN("request.auth.audiences", "values: [b]"), A, TOKEN(JOE), true, true },
	{ WHEN("request.auth.presenter", "values: [app]"), A, TOKEN(JOE), true, true },
	{ WHEN("request.auth.claims[groups]", "values: [g2]"), A, TOKEN(JOE), true, true },
	{ WHEN("request.auth.claims[groups]", "notValues: [g2]"), A, TOKEN(JOE), false, false },
	{ WHEN("request.auth.claims[a][b]", "values: ['de*']"), A, TOKEN(JOE), true, true },
	{ WHEN("request.auth.claims[n]", "values: ['7']"), A, TOKEN(JOE), false, false },
	{ WHEN("request.auth.claims[scope]", "values: [write]"), A, TOKEN(JOE), true, true },
	{ WHEN("request.auth.claims[nothing]", "values: ['*']"), A, TOKEN(JOE), false, false },
	{ FROM("requestPrincipals: ['*']"), A, BYTES, false, false },
	/* other conditions */
	{ WHEN("source.trustDomain", "values: [other.test]"), B, GET("/"), true, true },
	{ WHEN("source.serviceAccount", "values: [web/a]"), A, GET("/"), true, true },
	{ WHEN("source.serviceAccount", "values: [web/a]"), A, BYTES, true, true },
	{ WHEN("connection.sni", "values: ['*.sni.test']"), A, GET("/"), true, true },
	{ WHEN("connection.sni", "notValues: [a.sni.test]"), A, GET("/"), false, false },
	/* actions */
	{ POLICY("{action: AUDIT, rules: [{}]}"), A, GET("/"), true, true },
	{ POLICY("{action: CUSTOM, provider: {name: x}, rules: [{}]}"), A, GET("/"), true, true },
	{ POLICY("{targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: g}]}"), A, GET("/"), true, true },
	{ WHEN("experimental.envoy.filters.a[b]", "values: [c]"), A, GET("/"), false, false },
};

static void headers_of(const char *lines, struct http_field *f, int *n)
{
	struct str rest = str_c(lines);

	for (*n = 0; rest.n;) {
		struct str line = str_cut(rest, '\n', &rest), value, name = str_cut(line, ':', &value);

		f[(*n)++] = (struct http_field){ name, value };
	}
}

static bool judge(const struct row *row, bool strict)
{
	static const char *const aliases[] = { "other.test" };
	struct authz_request req = { .method = str_c(row->ask.method), .authority = str_c(row->ask.authority), .path = str_c(row->ask.path) };
	struct authz_input in = { .principal = str_c(row->who), .sni = str_c("a.sni.test"), .request = row->ask.method ? &req : NULL };
	struct http_field fields[8];
	struct authz_verdict v;
	struct fixture f;

	fixture_init(&f);
	f.settings.aliases = aliases;
	f.settings.n_aliases = 1;
	f.settings.mode = MODE_SIDECAR;
	f.settings.stance = strict ? STANCE_STRICT : STANCE_ISTIO;
	confdir_free(f.c);
	f.c = confdir_new(f.dir, &f.settings);
	fixture_write(&f, "w.yaml", WORKLOAD);
	fixture_write(&f, "x.yaml", row->yaml);
	ck_assert_msg(fixture_load(&f) == 0, "%s", f.err.msg);
	ck_assert_int_eq(addr_parse(str_c("10.1.2.3:999"), &in.source), 0);
	ck_assert_int_eq(addr_parse(str_c("10.0.0.9:8080"), &in.dest), 0);
	headers_of(row->ask.headers, fields, &req.n_fields);
	req.fields = fields;
	req.claims = *row->ask.claims ? claims_new(str_c(row->ask.claims), NULL, 0) : NULL;
	v = authz_judge(mesh_current(), mesh_workload_named(mesh_current(), str_c("prod"), str_c("w")), &in, NULL, NULL);
	claims_unref(req.claims);
	fixture_done(&f);
	return v.allowed;
}

START_TEST(test_istio)
{
	ck_assert_msg(judge(&rows[_i], false) == rows[_i].allowed, "%s for '%s' %s", rows[_i].yaml, rows[_i].who, rows[_i].ask.path);
}
END_TEST

START_TEST(test_strict)
{
	ck_assert_msg(judge(&rows[_i], true) == rows[_i].strict, "%s for '%s' %s", rows[_i].yaml, rows[_i].who, rows[_i].ask.path);
}
END_TEST

static const struct { const char *yaml, *finding; } findings[] = {
	{ TO("paths: ['/a/{**}/{*}']"), "paths: want {**} as the last of the templates, got '/a/{**}/{*}'" },
	{ TO("paths: ['/a{*}']"), "paths: want braces as {*} or {**} in a segment of their own only" },
	{ TO("paths: ['/a[b]/{*}']"), "paths: want segments of letters, digits" },
	{ TO("paths: ['/%41dmin']"), "warning: AuthorizationPolicy prod/p: spec.rules[0].to[0].paths: '/%41dmin' never matches: %41 is decoded" },
	{ FROM("namespaces: ['*a']"), "'*a' is searched in the whole identity, as in Istio" },
	{ FROM("trustDomains: ['a*b']"), "want a trust domain, at most one star at its begin or end, got 'a*b'" },
	{ FROM("requestPrincipals: ['']"), "requestPrincipals: want no empty string" },
	{ WHEN("request.headers", "values: [a]"), "key: want a key that Istio knows" },
	{ WHEN("experimental.envoy.filters.a[b]", "values: [a]"), "metadata of Envoy's filters does not exist here" },
	{ POLICY("{action: CUSTOM, rules: [{}]}"), "spec.provider: want the name of an extensionProvider" },
	{ POLICY("{targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: g}]}"), "it has no effect in sidecar mode, as in Istio" },
};

START_TEST(test_findings)
{
	struct fixture f;

	fixture_init(&f);
	f.settings.mode = MODE_SIDECAR;
	confdir_free(f.c);
	f.c = confdir_new(f.dir, &f.settings);
	fixture_write(&f, "x.yaml", findings[_i].yaml);
	ck_assert_int_eq(fixture_load(&f), 0);
	fixture_expect(&f, findings[_i].finding);
	fixture_done(&f);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("conf_rules");
	TCase *t = tcase_create("conf_rules");

	tcase_add_loop_test(t, test_istio, 0, ARRAY_LEN(rows));
	tcase_add_loop_test(t, test_strict, 0, ARRAY_LEN(rows));
	tcase_add_loop_test(t, test_findings, 0, ARRAY_LEN(findings));
	suite_add_tcase(s, t);
	return suite_run(s);
}
