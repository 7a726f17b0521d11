/* SPDX-License-Identifier: Apache-2.0 */
/* Gateway API routes: the virtual services that they become. */
#include "confdir_fixture.h"
#include "fielddump.h"
#include "source/crd.h"
#include "suite.h"

#define ROUTE(KIND, SPEC) "apiVersion: gateway.networking.k8s.io/v1\nkind: " KIND "\nmetadata: {name: r, namespace: n}\nspec: {" SPEC "}\n---\n"
#define PARENT "parentRefs: [{group: '', kind: Service, name: s}], "
#define HTTP(RULE) ROUTE("HTTPRoute", PARENT "rules: [{" RULE "}]")
#define GRPC(RULE) ROUTE("GRPCRoute", PARENT "rules: [{" RULE "}]")
#define TO "backendRefs: [{name: b, port: 80}]"
#define FQ "n.svc.cluster.local"
#define ANY "match=[{{prefix=/ }{}{}{}}] "
#define ROUTE_B "route=[{destination={host=b." FQ " {number=80 }}weight=1 }] "
#define R0 "n.r.0"

static char *describe(void)
{
	struct buf b = { 0 };
	char *text;
	int n;
	struct resource **v = mesh_resources(mesh_current(), RESOURCE_VIRTUAL_SERVICE, str_c(""), &n);

	for (int i = 0; i < n; i++) {
		const struct virtual_service *s = (const struct virtual_service *)v[i];

		for (int k = 0; k < s->parents.n; k++)
			buf_printf(&b, "%s%s%s%s:%u ", s->parents.v[k].host, s->parents.v[k].entry_ns, *s->parents.v[k].entry ? "/" : "", s->parents.v[k].entry, s->parents.v[k].port);
		for (int k = 0; k < s->hostnames.n; k++)
			buf_printf(&b, "sni=%s ", s->hostnames.v[k]);
		for (int k = 0; k < s->http.n; k++) {
			for (int c = 0; c < s->http.v[k].retry_codes.n; c++)
				buf_printf(&b, "code=%u ", s->http.v[k].retry_codes.v[c]);
			if (s->http.v[k].backend_timeout.set)
				buf_printf(&b, "try=%u ", s->http.v[k].backend_timeout.ms);
			buf_puts(&b, s->http.v[k].invalid ? "invalid " : "");
		}
		ck_assert(s->gateway_api);
		fielddump(&crd_virtual_service_table, v[i], &b);
	}
	free(v);
	text = str_dup(buf_str(&b));
	buf_done(&b);
	return text;
}

static const struct { const char *yaml, *want; } rows[] = {
	{ HTTP(TO), "s." FQ ":0 {hosts=s." FQ " http=[{name=" R0 " " ANY ROUTE_B "}] }" },
	{ ROUTE("HTTPRoute", "parentRefs: [{group: '', kind: Service, name: s, port: 80}, {group: '', kind: Service, name: s, port: 81}, {group: '', kind: Service, name: t, namespace: m}], rules: [{name: x, " TO "}]"),
	  "s." FQ ":80 s." FQ ":81 t.m.svc.cluster.local:0 {hosts=s." FQ ",t.m.svc.cluster.local http=[{name=x " ANY ROUTE_B "}] }" },
	{ HTTP("matches: [{path: {type: Exact, value: /a}, method: GET, headers: [{name: h, value: v}, {type: RegularExpression, name: i, value: 'x.*'}], queryParams: [{name: q, value: z}]}, {path: {value: /b/}}], " TO),
	  "s." FQ ":0 {hosts=s." FQ " http=[{name=" R0 " match=[{{exact=/a }{}{exact=GET }{}headers=[h:{exact=v }i:{regex=x.* }] queryParams=[q:{exact=z }] }{{prefix=/b }{}{}{}}] " ROUTE_B "}] }" },
	{ HTTP("filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: A, value: b}, {name: a, value: c}], add: [{name: d, value: e}], remove: [f]}}, "
	       "{type: ResponseHeaderModifier, responseHeaderModifier: {remove: [g]}}], " TO),
	  "s." FQ ":0 {hosts=s." FQ " http=[{name=" R0 " " ANY ROUTE_B "headers={request={set:A=b add:d=e remove=f }response={remove=g }}}] }" },
	{ HTTP("filters: [{type: RequestRedirect, requestRedirect: {scheme: https, hostname: x.test, path: {type: ReplacePrefixMatch, replacePrefixMatch: /y}}}]"),
	  "s." FQ ":0 {hosts=s." FQ " http=[{name=" R0 " " ANY "redirect={prefixRewrite=/y authority=x.test derivePort=1 scheme=https redirectCode=302 }}] }" },
	{ HTTP("filters: [{type: RequestRedirect, requestRedirect: {port: 8080, statusCode: 301}}]"),
	  "s." FQ ":0 {hosts=s." FQ " http=[{name=" R0 " " ANY "redirect={port=8080 redirectCode=301 }}] }" },
	{ HTTP("filters: [{type: URLRewrite, urlRewrite: {hostname: x, path: {type: ReplaceFullPath, replaceFullPath: /z}}}], " TO),
	  "s." FQ ":0 {hosts=s." FQ " http=[{name=" R0 " " ANY ROUTE_B "rewrite={authority=x uriRegexRewrite={match=/.* rewrite=/z }}}] }" },
	{ HTTP("filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}], " TO),
	  "s." FQ ":0 {hosts=s." FQ " http=[{name=" R0 " " ANY ROUTE_B "rewrite={uri=/ }}] }" },
	{ HTTP("filters: [{type: RequestMirror, requestMirror: {backendRef: {name: m, port: 81}, fraction: {numerator: 1, denominator: 8}}}], " TO),
	  "s." FQ ":0 {hosts=s." FQ " http=[{name=" R0 " " ANY ROUTE_B "mirrors=[{destination={host=m." FQ " {number=81 }}percentage={value=12.5 }}] }] }" },
	{ HTTP("filters: [{type: CORS, cors: {allowOrigins: ['*', 'https://a.test', 'https://b.*', 'https://*.c.test'], allowMethods: [GET], maxAge: 60}}], " TO),
	  "s." FQ ":0 {hosts=s." FQ " http=[{name=" R0 " " ANY ROUTE_B "corsPolicy={allowOrigins=[{regex=[a-zA-Z][a-zA-Z0-9+.-]*://[^/\\s?#]+ }{exact=https://a.test }{prefix=https://b. }{regex=https://.*\\.c\\.test }] allowMethods=GET maxAge=60000ms }}] }" },
	{ HTTP("timeouts: {request: 5s, backendRequest: 1s}, retry: {codes: [502, 503], backoff: 10ms}, " TO),
	  "s." FQ ":0 code=502 code=503 try=1000 {hosts=s." FQ " http=[{name=" R0 " " ANY ROUTE_B "timeout=5000ms retries={attempts=2 retryOn=connect-failure,refused-stream,unavailable,cancelled backoff=10ms }}] }" },
	{ HTTP("backendRefs: [{name: b, port: 80, weight: 9}, {kind: Hostname, group: networking.istio.io, name: x.test, port: 443, weight: 0}, {kind: XBackend, group: x, name: y}]"),
	  "s." FQ ":0 {hosts=s." FQ " http=[{name=" R0 " " ANY "route=[{destination={host=b." FQ " {number=80 }}weight=9 }{destination={host=x.test {number=443 }}}{destination={{}}weight=1 }] }] }" },
	{ HTTP("filters: [{type: ExternalAuth, externalAuth: {}}], " TO), "s." FQ ":0 invalid {hosts=s." FQ " http=[{name=" R0 " " ANY ROUTE_B "}] }" },
	{ GRPC("matches: [{method: {service: a.B, method: C}}, {method: {service: a.B}}, {method: {method: C}}, {method: {type: RegularExpression, service: 'a\\..*'}, headers: [{name: h, value: v}]}], " TO),
	  "s." FQ ":0 {hosts=s." FQ " http=[{name=" R0 " match=[{{exact=/a.B/C }{}{}{}}{{prefix=/a.B/ }{}{}{}}{{regex=/[^/]+/C }{}{}{}}{{regex=/a\\..*/.+ }{}{}{}headers=[h:{exact=v }] }] " ROUTE_B "}] }" },
	{ GRPC(TO), "s." FQ ":0 {hosts=s." FQ " http=[{name=" R0 " match=[{{}{}{}{}}] " ROUTE_B "}] }" },
	{ ROUTE("TCPRoute", PARENT "rules: [{" TO "}]"), "s." FQ ":0 {hosts=s." FQ " tcp=[{" ROUTE_B "}] }" },
	{ ROUTE("TLSRoute", PARENT "hostnames: [a.test, '*.b.test'], rules: [{" TO "}]"), "s." FQ ":0 sni=a.test sni=*.b.test {hosts=s." FQ " tls=[{" ROUTE_B "}] }" },
	{ ROUTE("TCPRoute", "parentRefs: [{group: networking.istio.io, kind: ServiceEntry, name: e, port: 80}], rules: [{" TO "}]"), "n/e:80 {tcp=[{" ROUTE_B "}] }" },
	{ ROUTE("HTTPRoute", "parentRefs: [{name: gw}], rules: [{" TO "}]"), "{http=[{name=" R0 " " ANY ROUTE_B "}] }" },
};

START_TEST(test_mesh)
{
	fixture_reads(rows[_i].yaml, describe, rows[_i].want);
}
END_TEST

static const struct { const char *yaml, *finding; } findings[] = {
	{ ROUTE("HTTPRoute", "parentRefs: [{name: gw}]"), "info: HTTPRoute n/r: spec.parentRefs: the Gateway 'gw' has no effect here" },
	{ ROUTE("HTTPRoute", "parentRefs: [{kind: Service, name: s}]"), "the group of the Service 's' must be said" },
	{ ROUTE("HTTPRoute", "parentRefs: [{kind: ServiceEntry, group: '', name: s}]"), "a ServiceEntry as parent is not honoured" },
	{ HTTP("matches: [{path: {value: a}}], " TO), "path.value: want a path that begins with /" },
	{ HTTP("matches: [{path: {type: RegularExpression, value: '('}}], " TO), "path.value: want a regular expression" },
	{ HTTP("matches: [{headers: [{value: v}]}], " TO), "headers[0].name: want a name" },
	{ HTTP("filters: [{type: ExtensionRef, extensionRef: {}}], " TO), "the type 'ExtensionRef' is not supported: the rule answers 500" },
	{ HTTP("filters: [{type: RequestRedirect, requestRedirect: {path: {type: ReplacePrefixMatch}}}], " TO), "replacePrefixMatch: want a path" },
	{ HTTP("backendRefs: [{name: b}]"), "want a Service with a port" },
	{ HTTP("sessionPersistence: {}, " TO), "sessionPersistence: not honoured yet" },
	{ HTTP("retry: {codes: [200]}, " TO), "codes[0]: want a number from 400 to 599" },
	{ GRPC("filters: [{type: URLRewrite}], " TO), "the type 'URLRewrite' is not supported" },
	{ GRPC("matches: [{method: {}}], " TO), "method: want service or method" },
	{ ROUTE("TCPRoute", PARENT "rules: [{}]"), "backendRefs: want at least one" },
	{ ROUTE("TLSRoute", PARENT "hostnames: [A_B], rules: [{" TO "}]"), "hostnames: want host names" },
	{ "apiVersion: gateway.networking.k8s.io/v1alpha2\nkind: UDPRoute\nmetadata: {name: r}\n", "UDPRoute r: has no effect here" },
};

START_TEST(test_findings)
{
	struct fixture f;

	fixture_sidecar(&f);
	fixture_write(&f, "x.yaml", findings[_i].yaml);
	ck_assert_msg(fixture_load(&f) == 0, "%s", f.err.msg);
	fixture_expect(&f, findings[_i].finding);
	fixture_done(&f);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("conf_route");
	TCase *t = tcase_create("conf_route");

	tcase_add_loop_test(t, test_mesh, 0, ARRAY_LEN(rows));
	tcase_add_loop_test(t, test_findings, 0, ARRAY_LEN(findings));
	suite_add_tcase(s, t);
	return suite_run(s);
}
