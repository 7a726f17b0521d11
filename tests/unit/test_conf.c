/* SPDX-License-Identifier: Apache-2.0 */
/* Workloads, services and PeerAuthentications from YAML to the mesh, and what is said of those that are wrong. */
#include "confdir_fixture.h"
#include "suite.h"

#define WE(META, SPEC) "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {" META "}\nspec: {" SPEC "}\n---\n"
#define SE(META, SPEC) "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {" META "}\nspec: {" SPEC "}\n---\n"
#define POD(META, SPEC, STATUS) "apiVersion: v1\nkind: Pod\nmetadata: {" META "}\nspec: {" SPEC "}\nstatus: {" STATUS "}\n---\n"
#define SVC(META, SPEC) "apiVersion: v1\nkind: Service\nmetadata: {" META "}\nspec: {" SPEC "}\n---\n"
#define PA(META, SPEC) "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {" META "}\nspec: {" SPEC "}\n---\n"

#define STATIC_SE(SPEC) SE("name: s, namespace: n", "hosts: [s.test], addresses: [10.9.0.1], resolution: STATIC, " SPEC)
#define PORT80 "ports: [{number: 80, name: http, protocol: HTTP}]"

/* --- what came out, as text --- */

static bool on_workload(struct workload *w, void *arg)
{
	struct buf *b = arg;
	char ip[ADDR_TEXT];

	buf_printf(b, "%s %s", w->uid + strlen("Kubernetes/"), w->identity + strlen("spiffe://"));
	for (int i = 0; i < w->n_ips; i++)
		buf_printf(b, " %s", ip_format(&w->ips[i], ip));
	if (*w->hostname)
		buf_printf(b, " host=%s", w->hostname);
	buf_printf(b, " %s/%s", w->canonical_name, w->canonical_revision);
	if (strcmp(w->workload_name, w->name))
		buf_printf(b, " of=%s", w->workload_name);
	if (*w->network)
		buf_printf(b, " net=%s", w->network);
	if (*w->locality.region)
		buf_printf(b, " at=%s/%s/%s", w->locality.region, w->locality.zone, w->locality.subzone);
	if (*w->node)
		buf_printf(b, " node=%s", w->node);
	if (w->weight != 1)
		buf_printf(b, " weight=%u", w->weight);
	if (w->tunnel == TUNNEL_HBONE)
		buf_puts(b, " hbone");
	if (w->proxy_protocol)
		buf_printf(b, " proxy=%u", w->app_tunnel_port);
	if (!w->healthy)
		buf_puts(b, " unhealthy");
	buf_puts(b, "; ");
	return true;
}

static bool on_service(struct service *s, void *arg)
{
	static const char *const modes[] = { "", " strict", " failover", " passthrough" };
	struct buf *b = arg;
	char text[ADDR_TEXT];

	buf_printf(b, "%s", s->key);
	for (int i = 0; i < s->n_vips; i++)
		buf_printf(b, " %s", s->vips[i].cidr.bits == 128 ? ip_format(&s->vips[i].cidr.ip, text) : cidr_format(&s->vips[i].cidr, text));
	for (int i = 0; i < s->n_ports; i++)
		buf_printf(b, " %u:%u", s->ports[i].port, s->ports[i].target);
	for (int i = 0; i < s->endpoints->n; i++) {
		const struct endpoint *e = endpoints_at(s->endpoints, i);

		buf_printf(b, " >%s", e->workload->n_ips ? ip_format(&e->workload->ips[0], text) : e->workload->hostname);
		for (int k = 0; k < e->n_ports; k++)
			buf_printf(b, ",%u:%u", e->ports[k].port, e->ports[k].target);
	}
	for (int i = 0; i < s->n_sans; i++)
		buf_printf(b, " san=%s", s->sans[i]);
	buf_puts(b, modes[s->lb_mode]);
	for (int i = 0; i < s->n_scopes; i++)
		buf_printf(b, "%c%d", i ? ',' : ' ', s->scopes[i]);
	buf_printf(b, "%s%s; ", s->canonical ? "" : " not-canonical", s->allow_unhealthy ? " all" : "");
	return true;
}

static bool on_peer(struct peer_authn *p, void *arg)
{
	struct buf *b = arg;

	buf_printf(b, "%s mode=%d", p->key, p->mode);
	for (int i = 0; i < p->n_ports; i++)
		buf_printf(b, " %u=%d", p->ports[i].port, p->ports[i].mode);
	for (int i = 0; i < p->n_selector; i++)
		buf_printf(b, " %s=%s", p->selector[i].key, p->selector[i].value);
	buf_printf(b, "%s%s; ", p->has_selector ? " selector" : "", p->broken ? " broken" : "");
	return true;
}

enum what { WORKLOADS, SERVICES, PEERS };

static char *describe(enum what what)
{
	struct buf b = { 0 };
	char *text;

	if (what == WORKLOADS)
		mesh_each_workload(mesh_current(), on_workload, &b);
	else if (what == SERVICES)
		mesh_each_service(mesh_current(), on_service, &b);
	else
		mesh_each_peer_authn(mesh_current(), on_peer, &b);
	text = str_dup(buf_str(&b));
	buf_done(&b);
	return text;
}

static const struct { enum what what; const char *yaml, *want; } rows[] = {
	/* WorkloadEntry */
	{ WORKLOADS, WE("name: a", "address: 10.0.0.1"), "networking.istio.io/WorkloadEntry/default/a cluster.local/ns/default/sa/default 10.0.0.1 a/latest; " },
	{ WORKLOADS, WE("name: a, namespace: n", "address: 'fd00::1', service_account: sa, network: west, locality: eu/z1/r2, weight: 7"),
	  "networking.istio.io/WorkloadEntry/n/a cluster.local/ns/n/sa/sa fd00::1 a/latest net=west at=eu/z1/r2 weight=7; " },
	{ WORKLOADS, WE("name: a, labels: {app: x, version: v2, networking.istio.io/tunnel: http}", "address: 10.0.0.1"),
	  "networking.istio.io/WorkloadEntry/default/a cluster.local/ns/default/sa/default 10.0.0.1 x/v2 hbone; " },
	{ WORKLOADS, WE("name: a, labels: {app: x, app.kubernetes.io/name: y, service.istio.io/canonical-name: z, service.istio.io/canonical-revision: r}", "address: 10.0.0.1"),
	  "networking.istio.io/WorkloadEntry/default/a cluster.local/ns/default/sa/default 10.0.0.1 z/r; " },
	{ WORKLOADS, WE("name: a, annotations: {ambient.istio.io/redirection: enabled, istio.io/autoRegistrationGroup: g}", "address: 10.0.0.1"),
	  "networking.istio.io/WorkloadEntry/default/a cluster.local/ns/default/sa/default 10.0.0.1 g/latest of=g hbone; " },
	{ WORKLOADS, WE("name: a", "address: 10.0.0.1, labels: {app: x, meshd.io/application-tunnel: proxy-15088}"),
	  "networking.istio.io/WorkloadEntry/default/a cluster.local/ns/default/sa/default 10.0.0.1 x/latest proxy=15088; " },
	{ WORKLOADS, WE("name: a, labels: {meshd.io/application-tunnel: proxy}", "address: 10.0.0.1"),
	  "networking.istio.io/WorkloadEntry/default/a cluster.local/ns/default/sa/default 10.0.0.1 a/latest proxy=0; " },
	{ WORKLOADS, WE("name: a", "address: db.example.com"), "networking.istio.io/WorkloadEntry/default/a cluster.local/ns/default/sa/default host=db.example.com a/latest; " },
	/* Pod */
	{ WORKLOADS, POD("name: p, namespace: n", "serviceAccountName: s, nodeName: k1, containers: [{name: c, image: x}], tolerations: []",
			 "podIP: 10.1.0.1, podIPs: [{ip: 10.1.0.1}, {ip: 'fd00::7'}], conditions: [{type: Ready, status: 'True', lastProbeTime: ~}]"),
	  "/Pod/n/p cluster.local/ns/n/sa/s 10.1.0.1 fd00::7 p/latest node=k1; " },
	{ WORKLOADS, POD("name: web-5d9-x7, labels: {pod-template-hash: 5d9}, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-5d9, controller: true}]", "", "podIP: 10.1.0.1"),
	  "/Pod/default/web-5d9-x7 cluster.local/ns/default/sa/default 10.1.0.1 web/latest of=web; " },
	{ WORKLOADS, POD("name: p", "", "podIP: 10.1.0.1, conditions: [{type: Ready, status: 'False'}]"), "/Pod/default/p cluster.local/ns/default/sa/default 10.1.0.1 p/latest unhealthy; " },
	{ WORKLOADS, POD("name: p, deletionTimestamp: '2026-01-01T00:00:00Z'", "", "podIP: 10.1.0.1"), "/Pod/default/p cluster.local/ns/default/sa/default 10.1.0.1 p/latest unhealthy; " },
	{ WORKLOADS, POD("name: p", "", "podIP: 10.1.0.1, phase: Succeeded"), "" },
	{ WORKLOADS, POD("name: p", "", "phase: Pending"), "" },
	/* ServiceEntry */
	{ SERVICES, SE("name: s, namespace: n", "hosts: [s.test], addresses: [10.9.0.1, 10.8.0.0/16], " PORT80 ", resolution: STATIC, endpoints: [{address: 10.0.0.1}, {address: 10.0.0.2, ports: {http: 8080}}]"),
	  "n/s.test 10.9.0.1 10.8.0.0/16 80:0 >10.0.0.1 >10.0.0.2,80:8080; " },
	{ SERVICES, STATIC_SE("ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}], workloadSelector: {labels: {app: a}}")
		    WE("name: x, namespace: n, labels: {app: a}", "address: 10.0.0.1, ports: {http: 9}") WE("name: y, namespace: n, labels: {app: b}", "address: 10.0.0.2")
		    WE("name: z, namespace: other, labels: {app: a}", "address: 10.0.0.3") POD("name: p, namespace: n, labels: {app: a, b: c}", "", "podIP: 10.0.0.4"),
	  "n/s.test 10.9.0.1 80:8080 >10.0.0.1,80:9 >10.0.0.4; " },
	{ SERVICES, SE("name: s, namespace: n", "hosts: [s.test], addresses: [10.8.0.0/16], " PORT80 ", resolution: NONE"), "n/s.test 10.8.0.0/16 80:0 passthrough all; " },
	{ SERVICES, STATIC_SE(PORT80 ", subjectAltNames: ['spiffe://x/ns/y/sa/z']"), "n/s.test 10.9.0.1 80:0 san=spiffe://x/ns/y/sa/z; " },
	{ SERVICES, SE("name: s, namespace: n, labels: {networking.istio.io/enable-autoallocate-ip: 'false'}", "hosts: [s.test], resolution: STATIC, " PORT80), "n/s.test 80:0; " },
	{ SERVICES, SE("name: s", "hosts: ['*.s.test'], resolution: DYNAMIC_DNS, " PORT80), "default/*.s.test 240.240.84.121 2001:2::f0f0:5479 80:0; " },
	{ SERVICES, SE("name: s", "hosts: [s.test], resolution: DNS, addresses: [10.9.0.1], " PORT80), "default/s.test 10.9.0.1 80:0 >s.test; " },
	{ SERVICES, SE("name: s", "hosts: [s.test], resolution: DNS, addresses: [10.9.0.1], endpoints: [{address: a.example}], " PORT80),
	  "default/s.test 10.9.0.1 80:0 >a.example; " },
	{ SERVICES, SE("name: s", "hosts: ['*.test'], resolution: STATIC, " PORT80), "" },
	{ SERVICES, SE("name: s, namespace: n, annotations: {networking.istio.io/traffic-distribution: PreferClose}", "hosts: [s.test], addresses: [10.9.0.1], resolution: STATIC"), "n/s.test 10.9.0.1 failover 0,1,2; " },
	{ SERVICES, STATIC_SE(PORT80) "apiVersion: v1\nkind: Namespace\nmetadata: {name: n, annotations: {networking.istio.io/traffic-distribution: PreferSameNode}}\n",
	  "n/s.test 10.9.0.1 80:0 failover 0,1,2,3,4; " },
	/* one host, several objects: within a namespace the older, or the core Service */
	{ SERVICES, SE("name: b, namespace: n, creationTimestamp: '2020-01-01T00:00:00Z'", "hosts: [s.test], addresses: [10.9.0.2], resolution: STATIC") STATIC_SE(PORT80), "n/s.test 10.9.0.2; " },
	{ SERVICES, SE("name: a, namespace: n", "hosts: [s.n.svc.cluster.local], addresses: [10.9.0.2], resolution: STATIC") SVC("name: s, namespace: n", "clusterIP: 10.9.0.3"),
	  "n/s.n.svc.cluster.local 10.9.0.3; " },
	/* core Service */
	{ SERVICES, SVC("name: s, namespace: n", "clusterIP: 10.9.0.3, selector: {app: a}, ports: [{port: 80, targetPort: 8080}, {port: 53, protocol: UDP}], type: ClusterIP, ipFamilies: [IPv4]")
		    POD("name: p, namespace: n, labels: {app: a}", "", "podIP: 10.0.0.4"), "n/s.n.svc.cluster.local 10.9.0.3 80:8080 >10.0.0.4; " },
	{ SERVICES, SVC("name: s, namespace: n", "clusterIPs: [10.9.0.3, 'fd00::3'], selector: {app: a}, ports: [{name: web, port: 80, targetPort: http}]")
		    POD("name: p, namespace: n, labels: {app: a}", "containers: [{ports: [{name: http, containerPort: 8081}]}]", "podIP: 10.0.0.4")
		    POD("name: q, namespace: n, labels: {app: a}", "", "podIP: 10.0.0.5") WE("name: w, namespace: n, labels: {app: a}", "address: 10.0.0.6, ports: {http: 8082}"),
	  "n/s.n.svc.cluster.local 10.9.0.3 fd00::3 80:0 >10.0.0.6,80:8082 >10.0.0.4,80:8081; " },
	{ SERVICES, SVC("name: s, namespace: n", "clusterIP: None, ports: [{name: web, port: 80}], selector: {a: b}") WE("name: w, namespace: n, labels: {a: b}", "address: 10.0.0.6, ports: {web: 8082}"),
	  "n/s.n.svc.cluster.local 80:0 >10.0.0.6,80:8082; " },
	{ SERVICES, SVC("name: s, namespace: n", "clusterIP: 10.9.0.3, internalTrafficPolicy: Local, publishNotReadyAddresses: true"), "n/s.n.svc.cluster.local 10.9.0.3 strict 4 all; " },
	{ SERVICES, SVC("name: s, namespace: n", "clusterIP: 10.9.0.3, trafficDistribution: PreferClose"), "n/s.n.svc.cluster.local 10.9.0.3 failover 0,1,2; " },
	{ SERVICES, SVC("name: s, namespace: n", "type: ExternalName, externalName: x.test"), "" },
	/* PeerAuthentication */
	{ PEERS, PA("name: a, namespace: n", "mtls: {mode: STRICT}"), "n/a mode=3; " },
	{ PEERS, PA("name: a, namespace: n", ""), "n/a mode=0; " },
	{ PEERS, PA("name: a, namespace: n", "selector: {matchLabels: {app: x}}, mtls: {mode: PERMISSIVE}, portLevelMtls: {8080: {mode: STRICT}, 9: {mode: DISABLE}}"), "n/a mode=2 8080=3 9=1 app=x selector; " },
	{ PEERS, PA("name: a, namespace: n", "mtls: {mode: strict}"), "n/a mode=0 broken; " },
	{ PEERS, PA("name: a, namespace: n", "selector: {matchLabels: {app: x}}, mtls: {mode: 3}"), "n/a mode=0 app=x selector broken; " },
	{ PEERS, PA("name: a, namespace: n", "portLevelMtls: {80: {mode: STRICT}}"), "n/a mode=0 broken; " },
	{ PEERS, PA("name: a, namespace: n", "mtsl: {mode: STRICT}"), "n/a mode=0 broken; " },
};

START_TEST(test_mesh)
{
	struct fixture f;
	char *text, *said;

	fixture_init(&f);
	fixture_write(&f, "x.yaml", rows[_i].yaml);
	ck_assert_msg(fixture_load(&f) == 0, "%s", f.err.msg);
	text = describe(rows[_i].what);
	said = fixture_findings(&f);
	ck_assert_msg(!strcmp(text, rows[_i].want), "%s\nwant %s\ngot  %s\n%s", rows[_i].yaml, rows[_i].want, text, said);
	free(text);
	free(said);
	fixture_done(&f);
}
END_TEST

static const struct { const char *yaml, *finding; } findings[] = {
	/* envelope */
	{ "foo\n", "x.yaml:1: error: object: want a map with apiVersion, kind and metadata" },
	{ "a: b\n", "x.yaml:1: error: object: apiVersion: want it, got nothing" },
	{ "apiVersion: v1\n", "kind: want it, got nothing" },
	{ "apiVersion: v1\nkind: Sevice\nmetadata: {name: x}\n", "error: Sevice: kind: want a kind that meshd knows, got 'Sevice' of 'v1'" },
	{ "apiVersion: networking.istio.io/v1\nkind: VirtualServise\nmetadata: {name: x}\n", "error: VirtualServise: kind: want a kind that meshd knows" },
	{ "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {name: x}\n", "warning: Application: kind: meshd knows nothing of 'Application' of 'argoproj.io/v1alpha1'" },
	{ "apiVersion: networking.istio.io/v2\nkind: WorkloadEntry\nmetadata: {name: x}\nspec: {address: 1.2.3.4}\n", "apiVersion: want the version v1, got 'v2'" },
	{ "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n", "info: ConfigMap x: says nothing to a data plane" },
	{ "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: x, namespace: n}\n", "warning: VirtualService n/x: has no effect in ztunnel mode" },
	{ "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: x, namespace: n}\n", "warning: RequestAuthentication n/x: has no effect in ztunnel mode, as in Istio: tokens are not looked at" },
	{ "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: x}\n", "warning: HTTPRoute x: has no effect" },
	{ "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nspec: {address: 1.2.3.4}\n", "metadata: want a map with a name" },
	{ WE("namespace: n", "address: 1.2.3.4"), "metadata.name: want a name of a-z" },
	{ WE("name: a/b", "address: 1.2.3.4"), "metadata.name: want a name of a-z, 0-9, - and ., got 'a/b'" },
	{ WE("name: a, namespace: n/sa/root", "address: 1.2.3.4"), "metadata.namespace: want a name" },
	{ WE("name: 12", "address: 1.2.3.4"), "metadata.name: want a string (quote the number), got '12'" },
	{ WE("name: a, colour: red", "address: 1.2.3.4"), "warning: WorkloadEntry default/a: metadata.colour: unknown field: it is ignored" },
	{ WE("name: a, creationTimestamp: monday", "address: 1.2.3.4"), "metadata.creationTimestamp: want a time such as" },
	{ WE("name: a, labels: {istio.io/rev: x}", "address: 1.2.3.4"), "labels.istio.io/rev: not honoured" },
	{ WE("name: a, labels: {a: 1}", "address: 1.2.3.4"), "metadata.labels.a: want a string (quote the number), got '1'" },
	/* WorkloadEntry */
	{ WE("name: a", "addres: 1.2.3.4"), "spec.addres: unknown field: it is ignored" },
	{ WE("name: a", ""), "error: WorkloadEntry default/a: spec.address: want an IP address, or the name of another network, got nothing" },
	{ WE("name: a", "address: 10.0.0.300"), "spec.address: want an IP address or a host name, got '10.0.0.300'" },
	{ WE("name: a", "address: '*.test'"), "spec.address: want an IP address or a host name, got '*.test'" },
	{ WE("name: a", "address: 'unix:///x'"), "spec.address: unix:// is not honoured yet" },
	{ WE("name: a", "address: 10.0.0.1, serviceAccount: a/sa/root"), "spec.serviceAccount: want a name" },
	{ WE("name: a", "address: 10.0.0.1, weight: many"), "x.yaml:4: error: WorkloadEntry default/a: spec.weight: want a number from 0 to 4294967295, got 'many'" },
	{ WE("name: a", "address: 10.0.0.1, weight: -1"), "spec.weight: want a number" },
	{ WE("name: a", "address: 10.0.0.1, weight: '1'"), "spec.weight: want a number from 0 to 4294967295, got '1'" },
	{ WE("name: a", "address: 10.0.0.1, ports: {http: 0}"), "spec.ports.http: want a number from 1 to 65535, got '0'" },
	{ WE("name: a", "address: [10.0.0.1]"), "spec.address: want a string, got a list" },
	{ WE("name: a", "address: 10.0.0.1, serviceAccount: a, service_account: b"), "spec.serviceAccount: is here twice, once in camelCase and once in snake_case" },
	{ WE("name: a, labels: {meshd.io/application-tunnel: tls}", "address: 10.0.0.1"), "want proxy or proxy-PORT, got 'tls'" },
	{ WE("name: a, labels: {istio.io/use-waypoint: w}", "address: 10.0.0.1"), "labels.istio.io/use-waypoint: there is no Gateway 'default/w' of the class istio-waypoint: traffic passes no waypoint" },
	/* the line is that of the field, as far as it is there */
	{ "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata:\n  name: s\nspec:\n  hosts:\n  - a.b\n  resolution: STATIC\n  endpoints:\n  - address: 10.0.0.1\n  - address: 1.2\n", "x.yaml:11: error: ServiceEntry default/s: spec.endpoints[1].address: want" },
	/* ServiceEntry */
	{ SE("name: s", "resolution: STATIC"), "spec.hosts: want at least one host, got none" },
	{ SE("name: s", "hosts: ['*'], resolution: STATIC"), "spec.hosts: want a host name in lower case, got '*'" },
	{ SE("name: s", "hosts: ['a.*.com'], resolution: STATIC"), "spec.hosts: want a host name" },
	{ SE("name: s", "hosts: ['*.com'], resolution: STATIC"), "warning: ServiceEntry default/s: spec.hosts: the wildcard '*.com' has no effect" },
	{ SE("name: s", "hosts: [a.b], resolution: FOO"), "spec.resolution: want one of NONE, STATIC, DNS, DNS_ROUND_ROBIN, DYNAMIC_DNS, got 'FOO'" },
	{ SE("name: s", "hosts: [a.b], addresses: [x], resolution: STATIC"), "spec.addresses: want an IP address or CIDR block, got 'x'" },
	{ STATIC_SE("ports: [{number: 80, name: a}, {number: 80, name: b}]"), "spec.ports: want each number once, got 80 twice" },
	{ STATIC_SE("ports: [{number: 80, name: a}, {number: 81, name: a}]"), "spec.ports: want each name once, got 'a' twice" },
	{ STATIC_SE("ports: [{number: 70000, name: a}]"), "spec.ports[0].number: want a number from 1 to 65535, got '70000'" },
	{ STATIC_SE("ports: [{name: a}]"), "spec.ports: want a number in each port" },
	{ STATIC_SE("endpoints: [{address: 10.0.0.1}], workloadSelector: {labels: {a: b}}"), "want either endpoints or workloadSelector, got both" },
	{ STATIC_SE("workloadSelector: {}"), "spec.workloadSelector.labels: without a label it selects nothing" },
	{ STATIC_SE("endpoints: [{address: x.test}]"), "spec.endpoints: want IP addresses with the resolution STATIC, got 'x.test'" },
	{ STATIC_SE("endpoints: [{address: 10.0.0.1, ports: {http: 1}}]"), "spec.endpoints[0].ports: want the name of one of the service's ports, got 'http'" },
	{ SE("name: s", "hosts: [a.b], endpoints: [{address: 10.0.0.1}]"), "spec.endpoints: want none with the resolution NONE, got 1" },
	{ SE("name: s", "hosts: [a.b], resolution: DNS, addresses: [10.0.0.0/8]"), "want no CIDR block with a DNS resolution" },
	{ SE("name: s", "hosts: [a.b, c.d], resolution: DNS"), "spec.endpoints: want endpoints, or one host only, with a DNS resolution, got 2 hosts" },
	{ SE("name: s", "hosts: [a.b], resolution: DYNAMIC_DNS"), "spec.hosts: want wildcards with the resolution DYNAMIC_DNS, got 'a.b'" },
	{ SE("name: s", "hosts: ['*.b'], resolution: DYNAMIC_DNS, addresses: [10.9.0.1]"), "spec.addresses: want none with the resolution DYNAMIC_DNS, got 1" },
	{ SE("name: s", "hosts: ['*.b'], resolution: DYNAMIC_DNS, endpoints: [{address: a.b}]"), "spec.endpoints: want none with the resolution DYNAMIC_DNS" },
	{ SE("name: s", "hosts: ['*.b'], resolution: DYNAMIC_DNS, ports: [{number: 9, name: tcp, protocol: TCP}]"), "spec.ports: want HTTP, HTTP2, GRPC or TLS with the resolution DYNAMIC_DNS, got 'TCP' for 9" },
	{ SE("name: s, labels: {istio.io/use-waypoint: w}", "hosts: ['*.b'], resolution: DYNAMIC_DNS, location: MESH_INTERNAL"), "spec.location: want MESH_EXTERNAL with the resolution DYNAMIC_DNS and a waypoint" },
	{ SE("name: s", "hosts: ['*.b'], resolution: DYNAMIC_DNS"), "spec.resolution: DYNAMIC_DNS needs a waypoint" },
	{ STATIC_SE("exportTo: ['.']"), "info: ServiceEntry n/s: spec.exportTo: has no effect in ztunnel mode, as in Istio: it is read as *" },
	{ STATIC_SE(PORT80) SE("name: t, namespace: n", "hosts: [s.test], resolution: STATIC"), "spec.hosts: left out, since another object of the namespace has the host 's.test'" },
	/* core */
	{ SVC("name: s", "clusterIP: x"), "spec.clusterIP: want an IP address or None, got 'x'" },
	{ SVC("name: s", "externalIPs: [1.2.3.4]"), "spec.externalIPs: not honoured yet: name the addresses in a ServiceEntry" },
	{ SVC("name: s", "sessionAffinity: ClientIP"), "spec.sessionAffinity: ClientIP is not honoured yet" },
	{ SVC("name: s", "trafficDistribution: Far"), "traffic distribution: want PreferClose" },
	{ SVC("name: s", "ports: [{port: 80, targetPort: true}]"), "spec.ports[0].targetPort: want a string (quote the word), got 'true'" },
	{ SVC("name: s, labels: {istio.io/use-waypoint: w}", ""), "labels.istio.io/use-waypoint: there is no Gateway 'default/w'" },
	{ SVC("name: s", "selector: {a: b}, ports: [{port: 80, targetPort: http}]") POD("name: p, labels: {a: b}", "", "podIP: 10.0.0.1"), "endpoints are left out that have no port named 'http'" },
	{ POD("name: p", "hostNetwork: true", "podIP: 10.0.0.1"), "spec.hostNetwork: not honoured yet: the Pod is left out" },
	{ POD("name: p", "", "podIP: x"), "status.podIP: want an IP address, got 'x'" },
	{ "apiVersion: v1\nkind: Namespace\nmetadata: {name: n, labels: {meshd.io/enforcement: strict}}\n", "meshd.io/enforcement: not honoured: set MESHD_ENFORCEMENT" },
	{ SE("name: s", "hosts: [a.b], resolution: DNS_ROUND_ROBIN, endpoints: [{address: a.x}, {address: b.x}]"), "endpoints: want at most one" },
	{ SE("name: s", "hosts: [a.b], workloadSelector: {labels: {a: '*'}}"), "want keys that are not empty, and no stars" },
	{ WE("name: s", "address: 'unix:///dir/'"), "address: want unix:///PATH or unix://@NAME" },
	{ WE("name: s", "address: 'unix://relative'"), "address: want unix:///PATH or unix://@NAME" },
	{ WE("name: s", "address: 'unix://@foo', ports: {http: 80}"), "ports: want none with unix://" },
	{ WE("name: s", "address: 'unix://@foo'"), "address: unix:// is not honoured yet" },
	{ WE("name: s", "address: 1.1.1.1, ports: {'@': 80}"), "ports: want names of letters" },
	/* PeerAuthentication */
	{ PA("name: a", "mtls: {mode: strict}"), "spec.mtls.mode: want one of UNSET, DISABLE, PERMISSIVE, STRICT, got 'strict'" },
	{ PA("name: a", "portLevelMtls: {80: {mode: STRICT}}"), "spec.portLevelMtls: want a selector beside it, got none" },
	{ PA("name: a", "selector: {matchLabels: {a: b}}, portLevelMtls: {}"), "spec.portLevelMtls: want at least one port, got none" },
	{ PA("name: a", "selector: {matchLabels: {a: b}}, portLevelMtls: {0: {mode: STRICT}}"), "want ports from 1 to 65535 as keys, got '0'" },
	{ PA("name: a", "mtls: {mode: DISABLE}"), "DISABLE counts as PERMISSIVE in ztunnel mode" },
	{ PA("name: a, namespace: istio-system", "selector: {matchLabels: {a: b}}"), "a policy with selector has no effect in the root namespace" },
	{ PA("name: a", "mtsl: {mode: STRICT}"), "spec.mtsl: unknown field: the object is refused" },
	{ PA("name: a", "mtls: {mode: strict}"), "refuses all connections to what it selects until it is mended" },
};

START_TEST(test_findings)
{
	struct fixture f;

	fixture_init(&f);
	fixture_write(&f, "x.yaml", findings[_i].yaml);
	ck_assert_msg(fixture_load(&f) == 0, "%s", f.err.msg);
	fixture_expect(&f, findings[_i].finding);
	fixture_done(&f);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("conf");
	TCase *t = tcase_create("conf");

	tcase_add_loop_test(t, test_mesh, 0, ARRAY_LEN(rows));
	tcase_add_loop_test(t, test_findings, 0, ARRAY_LEN(findings));
	suite_add_tcase(s, t);
	return suite_run(s);
}
