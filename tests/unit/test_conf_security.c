/* SPDX-License-Identifier: Apache-2.0 */
/* RequestAuthentication, RateLimit and Telemetry: what of them is in the mesh, and what is said of those that are wrong. */
#include "confdir_fixture.h"
#include "suite.h"

#define RA(SPEC) "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: a, namespace: n}\nspec: {" SPEC "}\n---\n"
#define RULE(R) RA("jwtRules: [{issuer: 'https://i.test', " R "}]")
#define RL(SPEC) "apiVersion: meshd.io/v1alpha1\nkind: RateLimit\nmetadata: {name: r, namespace: n}\nspec: {" SPEC "}\n---\n"
#define TEL(SPEC) "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {name: t, namespace: n}\nspec: {" SPEC "}\n---\n"
#define BT(SPEC) "apiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\nmetadata: {name: b, namespace: n}\nspec: {" SPEC "}\n---\n"
#define KEYS "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"1\",\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\",\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\"}]}"   /* of RFC 7517 */

static void put_texts(struct buf *b, const char *name, const char *const *v, int n)
{
	for (int i = 0; i < n; i++)
		buf_printf(b, " %s=%s", name, v[i]);
}

static bool on_authn(struct request_authn *a, void *arg)
{
	struct buf *b = arg;

	buf_printf(b, "%s%s", a->key, a->broken ? " broken" : "");
	for (int i = 0; i < a->n_selector; i++)
		buf_printf(b, " %s:%s", a->selector[i].key, a->selector[i].value);
	for (int i = 0; i < a->n_rules; i++) {
		const struct jwt_rule *r = &a->rules[i];

		buf_printf(b, " {%s %s%s %u", r->issuer, r->jwks, r->jwks_uri, r->timeout_ms);
		put_texts(b, "aud", r->audiences, r->n_audiences);
		put_texts(b, "param", r->params, r->n_params);
		put_texts(b, "cookie", r->cookies, r->n_cookies);
		put_texts(b, "space", r->space_delimited, r->n_space_delimited);
		for (int k = 0; k < r->n_headers; k++)
			buf_printf(b, " %s:'%s'", r->headers[k].name, r->headers[k].prefix);
		for (int k = 0; k < r->n_claim_headers; k++) {
			buf_printf(b, " %s", r->claim_headers[k].header);
			put_texts(b, "claim", r->claim_headers[k].claim, r->claim_headers[k].n_claim);
		}
		buf_printf(b, "%s%s%s}", *r->payload_header ? " payload=" : "", r->payload_header, r->forward ? " forward" : "");
	}
	buf_puts(b, ";");
	return true;
}

static bool on_limit(struct rate_limit *r, void *arg)
{
	struct buf *b = arg;

	buf_printf(b, "%s%s", r->key, r->headers ? " headers" : "");
	if (*r->shared.service)
		buf_printf(b, " %s:%u/%s %u%s", r->shared.service, r->shared.port, r->shared.domain, r->shared.timeout_ms, r->shared.fail_open ? " open" : "");
	for (int i = 0; i < r->n_rules; i++) {
		const struct rate_rule *u = &r->rules[i];

		buf_printf(b, " {%s %u/%us burst=%u match=%d%s%s", u->name, u->amount, u->per_s, u->burst, u->n_match, u->connections ? " connections" : "", u->dry_run ? " dry" : "");
		for (int k = 0; k < u->n_keys; k++) {
			buf_printf(b, " by%d", u->keys[k].by);
			put_texts(b, "", u->keys[k].name, u->keys[k].n_name);
		}
		buf_puts(b, "}");
	}
	buf_puts(b, ";");
	return true;
}

static void tell_telemetry(struct buf *b)
{
	int n;
	struct resource **v = mesh_resources(mesh_current(), RESOURCE_TELEMETRY, str_c("n"), &n);

	for (int i = 0; i < n; i++) {
		const struct telemetry *t = (const struct telemetry *)v[i];

		buf_printf(b, "%s%s%s", t->r.key, t->has_selector ? " selector" : "", t->targets.n ? " targets" : "");
		for (int k = 0; k < t->metrics.n; k++) {
			put_texts(b, "m", t->metrics.v[k].providers.v, t->metrics.v[k].providers.n);
			for (int o = 0; o < t->metrics.v[k].overrides.n; o++) {
				const struct tele_override *x = &t->metrics.v[k].overrides.v[o];

				buf_printf(b, " {%s %d %d", x->metric, x->mode, x->disabled);
				for (int g = 0; g < x->tags.n; g++)
					buf_printf(b, " %s %d %s", x->tags.v[g].name, x->tags.v[g].op, x->tags.v[g].value);
				buf_puts(b, "}");
			}
		}
		for (int k = 0; k < t->logging.n; k++) {
			put_texts(b, "l", t->logging.v[k].providers.v, t->logging.v[k].providers.n);
			buf_printf(b, " {%d %d %s}", t->logging.v[k].mode, t->logging.v[k].disabled, t->logging.v[k].filter);
		}
		for (int k = 0; k < t->tracing.n; k++) {
			const struct tele_tracing *x = &t->tracing.v[k];

			put_texts(b, "t", x->providers.v, x->providers.n);
			buf_printf(b, " {%d %g %d %d", x->mode, x->sampling.v, x->disable_reporting, x->request_id);
			for (int g = 0; g < x->tags.n; g++)
				buf_printf(b, " %s %d %s %s", x->tags.v[g].name, x->tags.v[g].kind, x->tags.v[g].value, x->tags.v[g].fallback);
			buf_puts(b, "}");
		}
		buf_puts(b, ";");
	}
	free(v);
}

static void tell_tls(struct buf *b)
{
	int n;
	struct resource **v = mesh_resources(mesh_current(), RESOURCE_DESTINATION_RULE, str_c("n"), &n);

	for (int i = 0; i < n; i++) {
		const struct destination_rule *d = (const struct destination_rule *)v[i];

		buf_printf(b, "%s %s%s tls %d %s", d->r.key, d->host, d->fills_gaps ? " gaps" : "", d->policy->tls->mode, d->policy->tls->sni);
		put_texts(b, "san", d->policy->tls->subject_alt_names.v, d->policy->tls->subject_alt_names.n);
		buf_puts(b, ";");
	}
	free(v);
}

static char *describe(void)
{
	struct buf b = { 0 };
	char *text;

	mesh_each_request_authn(mesh_current(), on_authn, &b);
	mesh_each_rate_limit(mesh_current(), on_limit, &b);
	tell_telemetry(&b);
	tell_tls(&b);
	text = str_dup(buf_str(&b));
	buf_done(&b);
	return text;
}

static const struct { const char *yaml, *want; } rows[] = {
	{ RULE("jwks: '" KEYS "', audiences: [x], fromHeaders: [{name: X-Token, prefix: 'T '}], fromParams: [t], fromCookies: [c], outputPayloadToHeader: X-P, "
	       "forwardOriginalToken: true, outputClaimToHeaders: [{header: X-Sub, claim: a.b}], timeout: 2s, spaceDelimitedClaims: [s]"),
	  "n/a {https://i.test " KEYS " 2000 aud=x param=t cookie=c space=s x-token:'T ' x-sub claim=a claim=b payload=x-p forward};" },
	{ RA("selector: {matchLabels: {app: x}}, jwtRules: [{issuer: i, jwks: '" KEYS "'}]"), "n/a app:x {i " KEYS " 5000};" },
	{ RA("selector: {matchLabels: {app: x}}, jwtRules: [{issuer: '', jwks: '" KEYS "'}]"), "n/a broken app:x;" },
	{ RA("jwtRulez: []"), "n/a broken;" },
	{ RA("targetRefs: [{kind: Service, group: '', name: s}]"), "" },
	{ RULE("jwks: 'no keys'"), "n/a broken;" },
	{ RL("headers: true, rules: [{name: a, amount: 10, per: 1m, burst: 20, by: [{identity: true}, {header: X-User}, {claim: a.b}], match: [{to: [{operation: {paths: [/x]}}]}], dryRun: true}]"),
	  "n/r headers {a 10/60s burst=20 match=1 dry by0 by2 =x-user by3 =a =b};" },
	{ RL("shared: {service: ns/ratelimit.test, port: 8081, domain: d, failOpen: true}, rules: [{name: a, amount: 1, by: [{path: true}]}]"),
	  "n/r ns/ratelimit.test:8081/d 20 open {a 1/1s burst=0 match=0 by4};" },
	{ RL("rules: [{name: c, connections: true, amount: 5, by: [{remoteAddress: true}]}]"), "n/r {c 5/1s burst=0 match=0 connections by1};" },
	{ RL("rules: []"), "" },
	{ BT("targetRefs: [{group: '', kind: Service, name: s}], validation: {hostname: x.test, wellKnownCACertificates: System, subjectAltNames: [{type: URI, uri: 'spiffe://a'}, {hostname: y}]}"),
	  "BackendTLSPolicy/n/b s.n.svc.cluster.local gaps tls 1 x.test san=spiffe://a san=y;" },
	/* a bad one demands what nobody can prove */
	{ BT("targetRefs: [{group: '', kind: Service, name: s}], validation: {hostname: x.test, caCertificateRefs: [{name: c, kind: ConfigMap, group: ''}]}"),
	  "BackendTLSPolicy/n/b s.n.svc.cluster.local gaps tls 1  san=the-policy-is-broken.invalid;" },
	{ TEL("selector: {matchLabels: {a: b}}, metrics: [{providers: [{name: prometheus}], overrides: [{match: {metric: REQUEST_COUNT, mode: CLIENT}, disabled: true}, "
	      "{tagOverrides: {m: {value: request.method}, x: {operation: REMOVE}}}]}]"),
	  "Telemetry/n/t selector m=prometheus {REQUEST_COUNT 1 1} { 0 0 m 0 request.method x 1 };" },
	{ TEL("accessLogging: [{providers: [{name: envoy}], match: {mode: SERVER}, disabled: false, filter: {expression: 'response.code >= 400'}}]"), "Telemetry/n/t l=envoy {2 2 response.code >= 400};" },
	{ TEL("tracing: [{providers: [{name: otel}], randomSamplingPercentage: 54.5, useRequestIdForTraceSampling: false, customTags: {e: {environment: {name: N, defaultValue: d}}, l: {literal: {value: v}}}}]"),
	  "Telemetry/n/t t=otel {0 54.5 0 2 e 2 N d l 1 v };" },
};

START_TEST(test_mesh)
{
	fixture_reads(rows[_i].yaml, describe, rows[_i].want);
}
END_TEST

static const struct { const char *yaml, *finding; } findings[] = {
	{ RULE("jwks: '{}', jwksUri: 'https://x/'"), "jwksUri: want it without jwks" },
	{ RULE("jwksUri: 'ftp://x/'"), "jwksUri: want a URL of http or https" },
	{ RULE("presence: REQUIRED"), "presence: not supported" },
	{ RULE("audiences: ['']"), "audiences: want no empty string" },
	{ RULE("fromHeaders: [{prefix: x}]"), "fromHeaders[0].name: want the name of a header" },
	{ RULE("outputClaimToHeaders: [{claim: x, header: ':authority'}]"), "header: want a name of letters" },
	{ RULE("timeout: apple"), "timeout: want a duration" },
	{ RA("jwtRules: [{jwks: '{}'}]"), "jwtRules[0].issuer: want an issuer" },
	{ RA("jwtRules: [{issuer: me}]"), "no token will pass" },
	{ RA("selector: {matchLabels: {a: b}}, targetRef: {kind: Service, name: x}"), "want only one of selector" },
	{ RA("targetRef: {kind: Service, name: x, namespace: other}"), "targetRef: want no namespace" },
	{ RA("targetRef: {kind: Pod, name: x}"), "Service (\"\") or ServiceEntry (networking.istio.io), got 'Pod' of ''" },
	{ RA("jwtRulez: []"), "refuses all connections to what it selects until it is mended" },
	{ RL("rules: [{amount: 1}]"), "rules[0].name: want a name" },
	{ RL("rules: [{name: a}]"), "rules[0].amount: want a number above 0" },
	{ RL("rules: [{name: a, amount: 2, burst: 1}]"), "burst: want at least amount" },
	{ RL("rules: [{name: a, amount: 2, per: 1500ms}]"), "per: want whole seconds" },
	{ RL("rules: [{name: a, amount: 2, by: [{}]}]"), "by[0]: want one of identity" },
	{ RL("rules: [{name: a, amount: 2, connections: true, by: [{path: true}]}]"), "by: want identity and remoteAddress only" },
	{ RL("rules: [{name: a, amount: 2, connections: true, match: [{to: [{operation: {paths: [/x]}}]}]}]"), "want nothing of HTTP" },
	{ RL("rules: [{name: a, amount: 2}, {name: a, amount: 2}]"), "want each name once, got 'a' twice" },
	{ RL("shared: {service: x, port: 1}, rules: [{name: a, amount: 2}]"), "shared.domain: want the domain" },
	{ RL("shared: {service: x, port: 1, domain: d}, rules: [{name: a, amount: 2, connections: true}]"), "want no connections beside shared" },
	{ TEL("metrics: [{providers: [{name: ''}]}]"), "providers: want a name in each" },
	{ TEL("metrics: [{overrides: [{match: {customMetric: ''}}]}]"), "customMetric: want a name" },
	{ TEL("metrics: [{overrides: [{match: {metric: NOPE}}]}]"), "metric: want one of ALL_METRICS" },
	{ TEL("metrics: [{overrides: [{tagOverrides: {a: {operation: UPSERT}}}]}]"), "tagOverrides.a.value: want it with UPSERT" },
	{ TEL("metrics: [{overrides: [{tagOverrides: {a: {operation: REMOVE, value: x}}}]}]"), "value: want it without REMOVE" },
	{ TEL("metrics: [{overrides: [{tagOverrides: {a: {value: 'request.nope ('}}}]}]"), "tagOverrides.a.value: " },
	{ TEL("accessLogging: [{filter: {expression: 'a ='}}]"), "filter.expression: " },
	{ TEL("tracing: [{randomSamplingPercentage: 101}]"), "randomSamplingPercentage: want a number from 0 to 100" },
	{ TEL("tracing: [{customTags: {a: {formatter: {value: '%NOPE%'}}}}]"), "formatter.value: " },
	{ TEL("targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: w}]"), "it is for waypoints" },
	{ "apiVersion: networking.istio.io/v1beta1\nkind: ProxyConfig\nmetadata: {name: p}\nspec: {concurrency: 2, environmentVariables: {A: b}}\n", "concurrency: not honoured yet" },
	{ "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {name: p}\nspec: {}\n", "error: EnvoyFilter default/p: not supported: it patches Envoy" },
	{ BT("targetRefs: []"), "targetRefs: want one Service, got 0 targets" },
	{ BT("targetRefs: [{group: '', kind: Service, name: s, sectionName: http}]"), "sectionName: not supported" },
	{ BT("targetRefs: [{group: '', kind: Service, name: s}], validation: {hostname: x.test, caCertificateRefs: []}"), "caCertificateRefs: not supported" },
	{ BT("targetRefs: [{group: '', kind: Service, name: s}], validation: {hostname: x.test}"), "wellKnownCACertificates: want System" },
	{ "apiVersion: v1\nkind: Pod\nmetadata: {name: p, annotations: {proxy.istio.io/config: '{}'}}\nstatus: {podIP: 10.0.0.1}\n", "annotations.proxy.istio.io/config: not honoured: use defaultConfig" },
	{ "apiVersion: extensions.istio.io/v1alpha1\nkind: TrafficExtension\nmetadata: {name: p}\nspec: {}\n", "TrafficExtension p: not supported" },
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

/* A bad one keeps its last good version; a RequestAuthentication without one refuses what it selects. */
START_TEST(test_last_good)
{
	struct fixture f;
	char *text;

	fixture_sidecar(&f);
	fixture_write(&f, "x.yaml", RL("rules: [{name: a, amount: 1}]") RULE("jwks: '" KEYS "'"));
	ck_assert_int_eq(fixture_load(&f), 0);
	fixture_write(&f, "x.yaml", RL("rules: [{name: a, amount: x}]") RULE("jwks: 5"));
	ck_assert_int_eq(fixture_load(&f), 0);
	text = describe();
	ck_assert_str_eq(text, "n/a {https://i.test " KEYS " 5000};n/r {a 1/1s burst=0 match=0};");
	free(text);
	fixture_remove(&f, "x.yaml");
	ck_assert_int_eq(fixture_load(&f), 0);
	fixture_write(&f, "x.yaml", RL("rules: [{name: a, amount: x}]") RULE("jwks: 5"));
	ck_assert_int_eq(fixture_load(&f), 0);
	text = describe();
	ck_assert_str_eq(text, "n/a broken;");
	free(text);
	fixture_done(&f);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("conf_security");
	TCase *t = tcase_create("conf_security");

	tcase_add_loop_test(t, test_mesh, 0, ARRAY_LEN(rows));
	tcase_add_loop_test(t, test_findings, 0, ARRAY_LEN(findings));
	tcase_add_test(t, test_last_good);
	suite_add_tcase(s, t);
	return suite_run(s);
}
