/* SPDX-License-Identifier: Apache-2.0 */
/* VirtualService, DestinationRule and Sidecar: what of them is in the mesh, and what is said of those that are wrong. */
#include "confdir_fixture.h"
#include "fielddump.h"
#include "source/crd.h"
#include "suite.h"

#define VS(SPEC) "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: v, namespace: n}\nspec: {" SPEC "}\n---\n"
#define HTTP(RULE) VS("hosts: [h], http: [{" RULE "}]")
#define DR(SPEC) "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: d, namespace: n}\nspec: {" SPEC "}\n---\n"
#define POLICY(P) DR("host: h, trafficPolicy: {" P "}")
#define SC(SPEC) "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: s, namespace: n}\nspec: {" SPEC "}\n---\n"
#define TO "route: [{destination: {host: r}}]"
#define FQ "h.n.svc.cluster.local"
#define ROUTE_R "route=[{destination={host=r.n.svc.cluster.local {}}}] "

static const struct field_table *table_of(const struct resource *r)
{
	return r->kind == RESOURCE_VIRTUAL_SERVICE ? &crd_virtual_service_table :
	       r->kind == RESOURCE_DESTINATION_RULE ? &crd_destination_rule_table : &crd_sidecar_table;
}

static char *describe(void)
{
	struct buf b = { 0 };
	char *text;

	for (int kind = 0; kind <= RESOURCE_SIDECAR; kind++) {
		int n;
		struct resource **v = mesh_resources(mesh_current(), (enum resource_kind)kind, str_c(""), &n);

		for (int i = 0; i < n; i++)
			fielddump(table_of(v[i]), v[i], &b);
		free(v);
	}
	text = str_dup(buf_str(&b));
	buf_done(&b);
	return text;
}

static const struct { const char *yaml, *want; } rows[] = {
	{ VS("hosts: [reviews, a.test, '*.b.test'], exportTo: ['.', m], http: [{" TO "}]"),
	  "{hosts=reviews.n.svc.cluster.local,a.test,*.b.test http=[{" ROUTE_R "}] exportTo=.,m }" },
	{ HTTP("name: x, match: [{uri: {prefix: /a}, headers: {end-user: {exact: jason}, x: {}}, method: {regex: G.*}, port: 80, ignoreUriCase: true}, {uri: {exact: /b}}], " TO),
	  "{hosts=" FQ " http=[{name=x match=[{{prefix=/a }{}{regex=G.* }{}headers=[end-user:{exact=jason }x:{}] port=80 ignoreUriCase }{{exact=/b }{}{}{}}] " ROUTE_R "}] }" },
	{ HTTP("match: [{sourceLabels: {app: a}, sourceNamespace: m, gateways: [mesh], queryParams: {q: {regex: '\\d+'}}, withoutHeaders: {y: {prefix: z}}, authority: {exact: h}, scheme: {exact: https}}], " TO),
	  "{hosts=" FQ " http=[{match=[{{}{exact=https }{}{exact=h }sourceLabels:app=a gateways=mesh queryParams=[q:{regex=\\d+ }] withoutHeaders=[y:{prefix=z }] sourceNamespace=m }] " ROUTE_R "}] }" },
	{ HTTP("route: [{destination: {host: r, subset: v1, port: {number: 80}}, weight: 75, headers: {request: {set: {a: b}}}}, {destination: {host: r.m.svc.cluster.local}, weight: 25}]"),
	  "{hosts=" FQ " http=[{route=[{destination={host=r.n.svc.cluster.local subset=v1 {number=80 }}weight=75 headers={request={set:a=b }}}{destination={host=r.m.svc.cluster.local {}}weight=25 }] }] }" },
	{ HTTP("redirect: {uri: /x, authority: o.test, redirectCode: 307, derivePort: FROM_REQUEST_PORT}"), "{hosts=" FQ " http=[{redirect={uri=/x authority=o.test derivePort=2 redirectCode=307 }}] }" },
	{ HTTP("redirect: {scheme: https, port: 8443}"), "{hosts=" FQ " http=[{redirect={port=8443 scheme=https redirectCode=301 }}] }" },
	{ HTTP("directResponse: {status: 503, body: {string: hello}}"), "{hosts=" FQ " http=[{directResponse={status=503 body={string=hello }}}] }" },
	{ HTTP("rewrite: {uri: /y, authority: z}, timeout: 1.5s, retries: {attempts: 3, perTryTimeout: 2s, retryOn: '5xx, 503', retryRemoteLocalities: true, retryIgnorePreviousHosts: false, backoff: 10ms}, " TO),
	  "{hosts=" FQ " http=[{" ROUTE_R "rewrite={uri=/y authority=z }timeout=1500ms retries={attempts=3 perTryTimeout=2000ms retryOn=5xx, 503 retryRemoteLocalities=yes retryIgnorePreviousHosts=no backoff=10ms }}] }" },
	{ HTTP("rewrite: {uriRegexRewrite: {match: '^/a/(.*)$', rewrite: '/\\1'}}, " TO), "{hosts=" FQ " http=[{" ROUTE_R "rewrite={uriRegexRewrite={match=^/a/(.*)$ rewrite=/\\1 }}}] }" },
	{ HTTP("fault: {delay: {percentage: {value: 0.1}, fixedDelay: 5s}, abort: {percentage: {value: 10}, httpStatus: 418}}, " TO),
	  "{hosts=" FQ " http=[{" ROUTE_R "fault={delay={percentage={value=0.1 }fixedDelay=5000ms }abort={percentage={value=10 }httpStatus=418 }}}] }" },
	{ HTTP("mirror: {host: r, subset: v2}, mirror_percent: 5, " TO),
	  "{hosts=" FQ " http=[{" ROUTE_R "mirror={host=r.n.svc.cluster.local subset=v2 {}}mirrorPercent=5 mirrors=[{destination={host=r.n.svc.cluster.local subset=v2 {}}percentage={value=5 }}] }] }" },
	{ HTTP("mirrors: [{destination: {host: r}, percentage: {value: 1}}], " TO), "{hosts=" FQ " http=[{" ROUTE_R "mirrors=[{destination={host=r.n.svc.cluster.local {}}percentage={value=1 }}] }] }" },
	{ HTTP("corsPolicy: {allowOrigin: ['*', 'https://a'], allowMethods: [GET], maxAge: 24h, allowCredentials: false, unmatchedPreflights: IGNORE}, " TO),
	  "{hosts=" FQ " http=[{" ROUTE_R "corsPolicy={allowOrigins=[{regex=.* }{exact=https://a }] allowOrigin=*,https://a allowMethods=GET maxAge=86400000ms allowCredentials=no unmatchedPreflights=2 }}] }" },
	{ HTTP("delegate: {name: other, namespace: m}, match: [{uri: {prefix: /x}}]"), "{hosts=" FQ " http=[{match=[{{prefix=/x }{}{}{}}] delegate={name=other namespace=m }}] }" },
	{ VS("http: [{" TO "}]"), "{http=[{" ROUTE_R "}] }" },
	{ VS("hosts: ['*.test'], tls: [{match: [{port: 443, sniHosts: [a.test]}], " TO "}], tcp: [{match: [{port: 27017, destinationSubnets: [10.0.0.0/8]}], " TO "}]"),
	  "{hosts=*.test tls=[{match=[{sniHosts=a.test port=443 }] " ROUTE_R "}] tcp=[{match=[{destinationSubnets=10.0.0.0/8 port=27017 }] " ROUTE_R "}] }" },
	/* DestinationRule */
	{ DR("host: h, subsets: [{name: v1, labels: {version: v1}, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}}], exportTo: ['.'], workloadSelector: {matchLabels: {app: a}}"),
	  "{host=" FQ " subsets=[{name=v1 labels:version=v1 trafficPolicy={loadBalancer={simple=4 }}}] exportTo=. workloadSelector={matchLabels:app=a }}" },
	{ POLICY("connectionPool: {tcp: {maxConnections: 100, connectTimeout: 30ms, tcpKeepalive: {time: 7200s, interval: 75s, probes: 9}, idleTimeout: 0s}, http: {http2MaxRequests: 1000, maxRequestsPerConnection: 10, h2UpgradePolicy: UPGRADE, http2KeepAlive: {interval: 15s, timeout: 5s}}}"),
	  "{host=" FQ " trafficPolicy={connectionPool={tcp={maxConnections=100 connectTimeout=30ms tcpKeepalive={probes=9 time=7200000ms interval=75000ms }idleTimeout=0ms }http={http2MaxRequests=1000 maxRequestsPerConnection=10 h2UpgradePolicy=2 http2KeepAlive={interval=15000ms timeout=5000ms }}}}}" },
	{ POLICY("outlierDetection: {consecutive5xxErrors: 7, consecutiveGatewayErrors: 0, interval: 5m, baseEjectionTime: 15m, maxEjectionPercent: 100, outlierDetectionHttpErrorCodes: ['503', 4xx]}"),
	  "{host=" FQ " trafficPolicy={outlierDetection={consecutiveGatewayErrors=0 consecutive5xxErrors=7 interval=300000ms baseEjectionTime=900000ms maxEjectionPercent=100 outlierDetectionHttpErrorCodes=503,4xx }}}" },
	{ POLICY("loadBalancer: {consistentHash: {httpCookie: {name: user, ttl: 0s, attributes: [{name: SameSite, value: Lax}]}, maglev: {tableSize: 65537}}}"),
	  "{host=" FQ " trafficPolicy={loadBalancer={consistentHash={httpCookie={name=user ttl=0ms attributes=[{name=SameSite value=Lax }] }maglev={tableSize=65537 }}}}}" },
	{ POLICY("loadBalancer: {localityLbSetting: {enabled: true, distribute: [{from: us-west/zone1/*, to: {us-west/zone1/*: 80, us-west/zone2/*: 20}}]}, warmup: {duration: 300s, minimumPercent: 5.0, aggression: 5.0}}"),
	  "{host=" FQ " trafficPolicy={loadBalancer={localityLbSetting={distribute=[{from=us-west/zone1/* to:us-west/zone1/*=80 to:us-west/zone2/*=20 }] enabled=yes }warmup={duration=300000ms minimumPercent=5 aggression=5 }}}}" },
	{ POLICY("tls: {mode: MUTUAL, clientCertificate: /c, privateKey: /k, caCertificates: /r, sni: s, subjectAltNames: [x]}, portLevelSettings: [{port: {number: 80}, tls: {mode: DISABLE}}], retryBudget: {percent: 10}, proxyProtocol: {version: V2}"),
	  "{host=" FQ " trafficPolicy={tls={mode=2 clientCertificate=/c privateKey=/k caCertificates=/r subjectAltNames=x sni=s }portLevelSettings=[{port={number=80 }tls={}}] proxyProtocol={version=1 }retryBudget={percent=10 }}}" },
	/* Sidecar */
	{ SC("workloadSelector: {labels: {app: a}}, egress: [{port: {number: 80, protocol: HTTP, name: http}, bind: 127.0.0.1, captureMode: NONE, hosts: [./*, istio-system/*]}, {hosts: ['~/*', '~x/y.test']}], outboundTrafficPolicy: {}"),
	  "{workloadSelector={labels:app=a }egress=[{port={number=80 protocol=HTTP name=http }bind=127.0.0.1 captureMode=2 hosts=./*,istio-system/* }{hosts=~/*,~x/y.test }] outboundTrafficPolicy={}}" },
	{ SC("ingress: [{port: {number: 9080, protocol: HTTPS, name: x}, defaultEndpoint: '127.0.0.1:8080', tls: {mode: SIMPLE, privateKey: /k, serverCertificate: /c, minProtocolVersion: TLSV1_2}}], outboundTrafficPolicy: {mode: ALLOW_ANY}"),
	  "{ingress=[{port={number=9080 protocol=HTTPS name=x }defaultEndpoint=127.0.0.1:8080 tls={mode=1 serverCertificate=/c privateKey=/k }}] outboundTrafficPolicy={mode=1 }}" },
};

START_TEST(test_mesh)
{
	fixture_reads(rows[_i].yaml, describe, rows[_i].want);
}
END_TEST

static const struct { const char *yaml, *finding; } findings[] = {
	/* VirtualService: the numbers are those of Istio's own cases */
	{ VS("hosts: [h]"), "spec: want http, tls or tcp, got none" },
	{ VS("hosts: ['*'], http: [{" TO "}]"), "spec.hosts: want no '*' in the mesh" },
	{ VS("hosts: [h, h], http: [{" TO "}]"), "want each host once, got '" FQ "' twice" },
	{ VS("hosts: [a.*.com], http: [{" TO "}]"), "spec.hosts: want a host name in lower case, or *.DOMAIN, got 'a.*.com'" },
	{ VS("gateways: [mesh], http: [{" TO "}]"), "spec.gateways: want none in a delegate" },
	{ VS("http: [{delegate: {name: x}}]"), "want no delegate of a delegate" },
	{ VS("hosts: [h], exportTo: ['.', n], http: [{" TO "}]"), "want either . or 'n', which is the same" },
	{ VS("hosts: [h], exportTo: ['*', m], http: [{" TO "}]"), "want '*' alone" },
	{ HTTP("match: [{uri: {prefix: /}}]"), "spec.http[0]: want one of route, redirect, directResponse, delegate" },
	{ HTTP("redirect: {uri: /x}, " TO), "spec.http[0]: want only one of route, redirect" },
	{ HTTP("redirect: {}"), "spec.http[0].redirect: want at least one of" },
	{ HTTP("redirect: {uri: /x, redirectCode: 200}"), "redirectCode: want one of 301" },
	{ HTTP("redirect: {scheme: ftp}"), "scheme: want http or https, got 'ftp'" },
	{ HTTP("redirect: {uri: /x, prefixRewrite: /y}"), "prefixRewrite: want it without uri" },
	{ HTTP("redirect: {prefixRewrite: /y}, match: [{uri: {exact: /x}}]"), "prefixRewrite: want it with matches of prefixes only" },
	{ HTTP("redirect: {uri: /x}, rewrite: {uri: /y}"), "redirect: want no fault and no rewrite beside it" },
	{ HTTP("directResponse: {status: 99}"), "status: want a status from 200 to 599, got 99" },
	{ HTTP("rewrite: {}, " TO), "rewrite: want at least one of uri" },
	{ HTTP("rewrite: {uri: /x, uriRegexRewrite: {match: a, rewrite: b}}, " TO), "uriRegexRewrite: want it without uri" },
	{ HTTP("rewrite: {uriRegexRewrite: {match: a}}, " TO), "uriRegexRewrite: want match and rewrite" },
	{ HTTP("mirror: {host: r}, mirrors: [{destination: {host: r}}], " TO), "mirrors: want either mirror or mirrors, got both" },
	{ HTTP("mirrorPercentage: {value: 101}, mirror: {host: r}, " TO), "mirrorPercentage.value: want a number from 0 to 100, got '101'" },
	{ HTTP("route: [{destination: {host: a}}, {destination: {host: b}}]"), "route: want weights of which one is more than 0, in 2 destinations" },
	{ HTTP("route: [{destination: {host: a}, weight: -1}]"), "weight: want a number from 0 to" },
	{ HTTP("headers: {request: {set: {':path': x}}}, " TO), "set: want no pseudo-header but :authority, got ':path'" },
	{ HTTP("headers: {request: {remove: [Host]}}, " TO), "remove: want no pseudo-header and no Host" },
	{ HTTP("headers: {request: {set: {a: 'abc%123'}}}, " TO), "set: %123 is not closed by a percent sign" },
	{ HTTP("headers: {request: {set: {a: '%DOWNSTREAM_REMOTE_ADDRESS% %REQ(x?y):10% %%'}}}, retries: {attempts: 0, retryOn: 5xx}, " TO), "attempts: want more than 0 beside" },
	{ HTTP("headers: {request: {set: {Host: x}}}, rewrite: {authority: y}, " TO), "want the authority set once" },
	{ HTTP("headers: {request: {add: {'a b': x}}}, " TO), "want the name of a header, got 'a b'" },
	{ HTTP("fault: {}, " TO), "fault: want delay or abort" },
	{ HTTP("fault: {delay: {exponentialDelay: 1s}}, " TO), "exponentialDelay: not supported" },
	{ HTTP("fault: {abort: {http2Error: x}}, " TO), "http2Error: not supported" },
	{ HTTP("fault: {abort: {httpStatus: 42}}, " TO), "httpStatus: want a number from 200 to 599" },
	{ HTTP("fault: {abort: {grpcStatus: '14'}}, " TO), "grpcStatus: want a name such as UNAVAILABLE" },
	{ HTTP("fault: {abort: {httpStatus: 500}}, " TO), "warning: VirtualService n/v: spec.http[0].fault.abort: without percentage it never fires" },
	{ HTTP("fault: {delay: {percent: 101, fixedDelay: 1s}}, " TO), "percent: want a number from 0 to 100" },
	{ HTTP("corsPolicy: {maxAge: 500ms}, " TO), "maxAge: want whole seconds" },
	{ HTTP("corsPolicy: {allowMethods: [FOO]}, " TO), "allowMethods: want methods of HTTP, got 'FOO'" },
	{ HTTP("corsPolicy: {allowOrigins: [{}]}, " TO), "allowOrigins: want exact, prefix or regex in each" },
	{ HTTP("retries: {attempts: -1}, " TO), "attempts: want a number from 0" },
	{ HTTP("retries: {attempts: 1, retryOn: sometimes}, " TO), "retryOn: want conditions of Envoy, such as 5xx or connect-failure, and status codes, got 'sometimes'" },
	{ HTTP("match: [{uri: {prefix: ''}}], " TO), "prefix: want at least one character" },
	{ HTTP("match: [{uri: {exact: /a, prefix: /b}}], " TO), "want only one of these beside each other" },
	{ HTTP("match: [{uri: {regex: '(?=x)'}}], " TO), "regex: want a regular expression of RE2" },
	{ HTTP("match: [{headers: {x: ~}}], " TO), "headers.x: want a map, got nothing" },
	{ HTTP("match: [{sourceNamespace: A_B}], " TO), "sourceNamespace: want a namespace" },
	{ HTTP("timeout: 0.5ms, " TO), "timeout: want a duration of whole milliseconds" },
	{ HTTP("rout: []"), "warning: VirtualService n/v: spec.http[0].rout: unknown field: it is ignored" },
	{ VS("hosts: [h], tls: [{" TO "}]"), "spec.tls[0].match: want at least one" },
	{ VS("hosts: [h], tls: [{match: [{port: 1}], " TO "}]"), "sniHosts: want at least one" },
	{ VS("hosts: [a.test], tls: [{match: [{sniHosts: [b.test]}], " TO "}]"), "want sniHosts that are among the hosts, got 'b.test'" },
	{ HTTP("route: [{destination: {host: '*.x'}}]"), "host: want a host name in lower case, got '*.x'" },
	{ HTTP("route: [{destination: {host: r, port: {number: 0}}}]"), "number: want a number from 1 to 65535" },
	{ HTTP("route: [{destination: {}}]"), "host: want a host, got nothing" },
	{ HTTP("match: [{uri: {prefix: ''}}], " TO), "error: VirtualService n/v" },
	/* DestinationRule */
	{ DR("host: ''"), "spec.host: want a host, got nothing" },
	{ DR("host: h, trafficPolicy: {}"), "spec.trafficPolicy: want at least one field, got none" },
	{ DR("host: h, subsets: [{name: a}, {name: a}]"), "subsets: want each name once, got 'a' twice" },
	{ DR("host: h, subsets: [{name: 'a b'}]"), "subsets[0].name: want a name of letters" },
	{ DR("host: h, workloadSelector: {matchLabels: {a: b}}, exportTo: ['*']"), "exportTo: want '.' only beside workloadSelector" },
	{ POLICY("connectionPool: {}"), "connectionPool: want tcp or http" },
	{ POLICY("connectionPool: {tcp: {maxConnections: -1}}"), "maxConnections: want a number from 0" },
	{ POLICY("connectionPool: {http: {h2UpgradePolicy: UPGRADE, useClientProtocol: true}}"), "useClientProtocol: want it without UPGRADE" },
	{ POLICY("connectionPool: {http: {http2KeepAlive: {interval: 1s}}}"), "http2KeepAlive: want interval and timeout" },
	{ POLICY("outlierDetection: {consecutiveLocalOriginFailures: 5}"), "want splitExternalLocalOriginErrors beside it" },
	{ POLICY("outlierDetection: {maxEjectionPercent: 101}"), "maxEjectionPercent: want a number from 0 to 100" },
	{ POLICY("loadBalancer: {consistentHash: {httpCookie: {ttl: 0s}}}"), "httpCookie.name: want a name" },
	{ POLICY("loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 65536}}}"), "tableSize: want a prime number" },
	{ POLICY("loadBalancer: {consistentHash: {useSourceIp: true, minimumRingSize: 5, ringHash: {}}}"), "minimumRingSize: want it without" },
	{ POLICY("loadBalancer: {consistentHash: {ringHash: {}}}"), "want one of httpHeaderName" },
	{ POLICY("loadBalancer: {localityLbSetting: {distribute: [{from: a, to: {b: 50}}]}}"), "to: want weights whose sum is 100, got 50" },
	{ POLICY("loadBalancer: {localityLbSetting: {distribute: [{from: 'a/*/b', to: {b: 100}}]}}"), "from: want REGION/ZONE/SUBZONE" },
	{ POLICY("loadBalancer: {localityLbSetting: {distribute: [{from: a, to: {'b/*': 50, b/c: 50}}]}}"), "do not overlap" },
	{ POLICY("loadBalancer: {localityLbSetting: {failover: [{from: a, to: a}]}}"), "failover[0]: want two regions" },
	{ POLICY("loadBalancer: {localityLbSetting: {failover: [{from: a, to: b}]}}"), "failover: has no effect without outlierDetection" },
	{ POLICY("loadBalancer: {localityLbSetting: {}, zoneAwareLbSetting: {}}"), "zoneAwareLbSetting: want it without localityLbSetting" },
	{ POLICY("loadBalancer: {warmup: {minimumPercent: 5}}"), "warmup.duration: want a duration" },
	{ POLICY("loadBalancer: {warmup: {duration: 1s, aggression: 0}}"), "aggression: want a number above 0" },
	{ POLICY("tls: {mode: MUTUAL}"), "tls: want clientCertificate and privateKey with MUTUAL" },
	{ POLICY("tls: {mode: SIMPLE, credentialName: x}"), "credentialName: not supported" },
	{ POLICY("tls: {mode: SIMPLE, insecureSkipVerify: true, caCertificates: /x}"), "insecureSkipVerify: want it without caCertificates" },
	{ POLICY("portLevelSettings: [{tls: {mode: SIMPLE}}]"), "portLevelSettings[0].port.number: want a port" },
	{ POLICY("portLevelSettings: [{port: {number: 80}}]"), "portLevelSettings[0]: want at least one of" },
	{ POLICY("tunnel: {targetHost: x, targetPort: 1}"), "tunnel: not supported" },
	{ "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: s, namespace: n}\nspec: {hosts: [a.test], resolution: NONE, ports: [{number: 99, name: tcp}]}\n",
	  "the TCP port 99 stands for that port of every address" },
	/* Sidecar */
	{ SC(""), "spec: want ingress, egress" },
	{ SC("egress: [{hosts: ['*/*']}, {port: {number: 80}, hosts: ['*/*']}]"), "egress: want the entry without a port last" },
	{ SC("egress: [{hosts: [x]}]"), "hosts: want NAMESPACE/HOST, got 'x'" },
	{ SC("egress: [{}]"), "egress[0].hosts: want at least one" },
	{ SC("egress: [{bind: 127.0.0.1, hosts: ['*/*']}]"), "bind: want a port beside it" },
	{ SC("egress: [{hosts: ['*/*', ./a.test]}]"), "'*/*' has all" },
	{ SC("ingress: [{port: {number: 80}, defaultEndpoint: '1.2.3.4:80'}]"), "defaultEndpoint: want 127.0.0.1:PORT" },
	{ SC("ingress: [{port: {number: 80}}, {port: {number: 80}}]"), "ingress: want each port once" },
	{ SC("ingress: [{port: {number: 80, protocol: HTTP}, tls: {mode: SIMPLE, serverCertificate: /c, privateKey: /k}}]"), "tls: want it with the protocol HTTPS or TLS" },
	{ SC("ingress: [{port: {number: 80, protocol: TLS}, tls: {mode: PASSTHROUGH}}]"), "mode: want SIMPLE or MUTUAL" },
	{ SC("outboundTrafficPolicy: {egressProxy: {host: p}}"), "egressProxy: want it with ALLOW_ANY only" },
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

/* A wrong one keeps its last good version; it comes, changes and goes like any other object. */
START_TEST(test_last_good)
{
	struct fixture f;
	struct resource *first;
	char *text;

	fixture_sidecar(&f);
	fixture_write(&f, "x.yaml", HTTP("timeout: 1s, " TO));
	ck_assert_int_eq(fixture_load(&f), 0);
	first = mesh_resource(mesh_current(), RESOURCE_VIRTUAL_SERVICE, str_c("VirtualService/n/v"));
	fixture_write(&f, "x.yaml", HTTP("timeout: never, " TO));
	ck_assert_int_eq(fixture_load(&f), 0);
	fixture_expect(&f, "its last good version stays in effect until it is mended");
	ck_assert_ptr_eq(mesh_resource(mesh_current(), RESOURCE_VIRTUAL_SERVICE, str_c("VirtualService/n/v")), first);
	fixture_write(&f, "x.yaml", HTTP("timeout: 1s, " TO) DR("host: h"));
	ck_assert_int_eq(fixture_load(&f), 0);
	ck_assert_ptr_eq(mesh_resource(mesh_current(), RESOURCE_VIRTUAL_SERVICE, str_c("VirtualService/n/v")), first);
	fixture_write(&f, "x.yaml", HTTP("timeout: 2s, " TO));
	ck_assert_int_eq(fixture_load(&f), 0);
	text = describe();
	ck_assert_str_eq(text, "{hosts=" FQ " http=[{" ROUTE_R "timeout=2000ms }] }");
	free(text);
	fixture_remove(&f, "x.yaml");
	ck_assert_int_eq(fixture_load(&f), 0);
	text = describe();
	ck_assert_str_eq(text, "");
	free(text);
	fixture_done(&f);
}
END_TEST

static bool on_service(struct service *s, void *arg)
{
	buf_printf(arg, "%s%s%s%s%s r%d", s->key, s->wildcard ? " wildcard" : "", s->external ? " external" : "", s->core ? " core" : "",
		   s->headless ? " headless" : "", s->resolution);
	for (int i = 0; i < s->n_export_to; i++)
		buf_printf(arg, " to=%s", s->export_to[i]);
	for (int i = 0; i < s->n_ports; i++)
		buf_printf(arg, " %u=%d", s->ports[i].port, s->ports[i].app);
	for (int i = 0; i < s->endpoints->n; i++)
		buf_printf(arg, " >%s%s", endpoints_at(s->endpoints, i)->workload->name, endpoints_at(s->endpoints, i)->workload->istio_mtls ? "+mtls" : "");
	return true;
}

static const struct { const char *yaml, *want; } services[] = {
	{ "apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: n, annotations: {networking.istio.io/exportTo: '., m'}}\n"
	  "spec: {clusterIP: None, ports: [{name: http-a, port: 80}, {name: x, port: 81, appProtocol: grpc}, {name: tcp, port: 82}, {name: y, port: 83}, {name: y2, port: 3306}]}\n",
	  "n/s.n.svc.cluster.local core headless r0 to=. to=m 80=1 81=3 82=5 83=0 3306=5" },
	{ "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: s, namespace: n}\n"
	  "spec: {hosts: ['*.ext.test'], exportTo: ['.'], resolution: NONE, ports: [{number: 443, name: tls, protocol: TLS}, {number: 80, name: http-x}]}\n",
	  "n/*.ext.test wildcard external r1 to=. 443=4 80=1" },
	{ "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: s, namespace: n}\n"
	  "spec: {hosts: [a.test], location: MESH_INTERNAL, resolution: STATIC, endpoints: [{address: 10.0.0.1, serviceAccount: x}, {address: 10.0.0.2}, {address: 10.0.0.3, labels: {security.istio.io/tlsMode: istio}}, {address: 10.0.0.4, serviceAccount: x, labels: {security.istio.io/tlsMode: disabled}}]}\n",
	  "n/a.test r0 >s+mtls >s >s+mtls >s" },
	{ "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: s, namespace: n}\nspec: {hosts: [a.test], resolution: DNS}\n", "n/a.test external r2 >s" },
};

START_TEST(test_services)
{
	struct fixture f;
	struct buf b = { 0 };

	fixture_sidecar(&f);
	fixture_write(&f, "x.yaml", services[_i].yaml);
	ck_assert_msg(fixture_load(&f) == 0, "%s", f.err.msg);
	mesh_each_service(mesh_current(), on_service, &b);
	ck_assert_msg(str_is(buf_str(&b), services[_i].want), "want %s\ngot  %.*s", services[_i].want, STR_FMT(buf_str(&b)));
	buf_done(&b);
	fixture_done(&f);
}
END_TEST

/* In ztunnel mode these kinds are named and say no more, however wrong. */
START_TEST(test_other_mode)
{
	struct fixture f;
	char *text;

	fixture_init(&f);
	fixture_write(&f, "x.yaml", HTTP("timeout: never"));
	ck_assert_int_eq(fixture_load(&f), 0);
	text = fixture_findings(&f);
	ck_assert_str_eq(text, "x.yaml:1: warning: VirtualService n/v: has no effect in ztunnel mode, as in Istio\n");
	free(text);
	fixture_done(&f);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("conf_traffic");
	TCase *t = tcase_create("conf_traffic");

	tcase_add_loop_test(t, test_mesh, 0, ARRAY_LEN(rows));
	tcase_add_loop_test(t, test_findings, 0, ARRAY_LEN(findings));
	tcase_add_loop_test(t, test_services, 0, ARRAY_LEN(services));
	tcase_add_test(t, test_last_good);
	tcase_add_test(t, test_other_mode);
	suite_add_tcase(s, t);
	return suite_run(s);
}
