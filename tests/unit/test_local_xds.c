/* SPDX-License-Identifier: Apache-2.0 */
/* ztunnel's local configuration as it is. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "policy/authz.h"
#include "source/local_xds.h"
#include "tests/unit/suite.h"

static const char example[] =
"workloads:\n"
"- uid: c-east//Pod/shop/cart-1\n"
"  name: cart-1\n"
"  namespace: shop                      # required (with workloadIps and services)\n"
"  trustDomain: mesh.test\n"
"  serviceAccount: cart\n"
"  network: net-a\n"
"  workloadIps: [\"10.7.0.5\", \"fd07::5\"]\n"
"  hostname: \"\"\n"
"  protocol: HBONE                      # HBONE | TCP (default TCP)\n"
"  networkMode: Standard                # Standard | HostNetwork\n"
"  node: node-1\n"
"  clusterId: c-east\n"
"  workloadName: cart\n"
"  workloadType: deployment\n"
"  canonicalName: cart\n"
"  canonicalRevision: r3\n"
"  locality: {region: eu, zone: eu-1, subzone: rack-2}   # all three or none\n"
"  status: Healthy                      # Healthy | Unhealthy\n"
"  capacity: 2\n"
"  nativeTunnel: false\n"
"  applicationTunnel: {protocol: PROXY, port: 15088}     # NONE | PROXY\n"
"  waypoint: {destination: shop/wp.shop.svc.mesh.test, hboneMtlsPort: 15008}   # \"ns/host\" or \"network/ip\"\n"
"  networkGateway: {destination: net-b/192.0.2.9, hboneMtlsPort: 15008}\n"
"  authorizationPolicies: [shop/only-web]\n"
"  services: {shop/cart.shop.svc.mesh.test: {80: 8080}}  # ns/host -> servicePort: targetPort\n"
"services:\n"
"- name: cart\n"
"  namespace: shop\n"
"  hostname: cart.shop.svc.mesh.test\n"
"  vips: [\"net-a/10.96.3.4\"]            # \"network/ip\"; empty network = \"/ip\"\n"
"  cidrVips: [{network: net-a, cidr: 10.97.0.0/16}]\n"
"  ports: {80: 8080}\n"
"  endpoints: {c-east//Pod/shop/cart-1: {workloadUid: c-east//Pod/shop/cart-1, port: {80: 8080}, status: Healthy}}\n"
"  subjectAltNames: [\"spiffe://mesh.test/ns/shop/sa/cart\"]\n"
"  waypoint: {destination: shop/wp.shop.svc.mesh.test, hboneMtlsPort: 15008}\n"
"  weightedWaypoints: [{destination: {destination: net-a/10.96.9.9, hboneMtlsPort: 15008}, weight: 5}]\n"
"  loadBalancer: {routingPreferences: [Network, Region, Zone, Subzone, Node, Cluster], mode: Failover, healthPolicy: OnlyHealthy}\n"
"  ipFamilies: Dual                     # Dual | IPv4 | IPv6\n"
"  canonical: true\n"
"  visibility: Namespace                # Public | Namespace\n"
"policies:\n"
"- name: only-web\n"
"  namespace: shop\n"
"  scope: WorkloadSelector              # Global | Namespace | WorkloadSelector\n"
"  action: Allow                        # Allow | Deny\n"
"  dryRun: false                        # required\n"
"  rules:                               # [rule][clause][match]\n"
"  - - - namespaces: [!Exact web]\n"
"        notNamespaces: [!Prefix tmp-]\n"
"        serviceAccounts: [{namespace: web, serviceAccount: front}]\n"
"        notServiceAccounts: [{namespace: web, serviceAccount: job}]\n"
"        principals: [!Suffix /sa/front]\n"
"        notPrincipals: [!Presence []]\n"
"        sourceIps: [10.0.0.0/8]\n"
"        notSourceIps: [10.9.0.0/16]\n"
"        destinationIps: [10.7.0.5/32]\n"
"        notDestinationIps: [10.7.0.6/32]\n"
"        destinationPorts: [8080]\n"
"        notDestinationPorts: [9]\n";

static struct err err;

static const struct workload *workload(const char *uid) { return mesh_workload(mesh_current(), str_c(uid)); }
static const struct service *service(const char *key) { return mesh_service(mesh_current(), str_c(key)); }
static const struct policy *policy(const char *key) { return mesh_policy(mesh_current(), str_c(key)); }

static void check_example(void)
{
	const struct workload *w = workload("c-east//Pod/shop/cart-1");
	const struct service *s = service("shop/cart.shop.svc.mesh.test");
	const struct policy *p = policy("shop/only-web");
	const struct policy_match *m;
	char text[ADDR_TEXT];

	ck_assert(w && s && p);
	ck_assert_str_eq(w->identity, "spiffe://mesh.test/ns/shop/sa/cart");
	ck_assert_str_eq(w->network, "net-a");
	ck_assert_int_eq(w->n_ips, 2);
	ck_assert_str_eq(ip_format(&w->ips[1], text), "fd07::5");
	ck_assert(w->tunnel == TUNNEL_HBONE && w->healthy && !w->host_network && w->proxy_protocol && !w->native_tunnel);
	ck_assert_str_eq(w->node, "node-1");
	ck_assert_str_eq(w->cluster, "c-east");
	ck_assert_str_eq(w->workload_name, "cart");
	ck_assert_str_eq(w->workload_type, "deployment");
	ck_assert_str_eq(w->canonical_revision, "r3");
	ck_assert_str_eq(w->locality.subzone, "rack-2");
	ck_assert_uint_eq(w->weight, 2);
	ck_assert_uint_eq(w->app_tunnel_port, 15088);
	ck_assert_str_eq(w->waypoint->service, "shop/wp.shop.svc.mesh.test");
	ck_assert_str_eq(w->network_gateway->network, "net-b");
	ck_assert_str_eq(ip_format(&w->network_gateway->ip, text), "192.0.2.9");
	ck_assert_str_eq(w->policies[0], "shop/only-web");
	ck_assert_str_eq(w->services[0], "shop/cart.shop.svc.mesh.test");

	ck_assert_int_eq(s->n_vips, 2);
	ck_assert_str_eq(s->vips[0].network, "net-a");
	ck_assert_str_eq(cidr_format(&s->vips[1].cidr, text), "10.97.0.0/16");
	ck_assert_uint_eq(s->ports[0].target, 8080);
	ck_assert_int_eq(s->endpoints->n, 1);
	ck_assert_uint_eq(endpoint_target(endpoints_at(s->endpoints, 0), 80), 8080);
	ck_assert_str_eq(s->sans[0], "spiffe://mesh.test/ns/shop/sa/cart");
	ck_assert_uint_eq(s->waypoints[0].weight, 5);
	ck_assert_str_eq(s->waypoint->service, "shop/wp.shop.svc.mesh.test");
	ck_assert(s->lb_mode == LB_FAILOVER && s->n_scopes == 6 && s->scopes[0] == LB_NETWORK && s->scopes[5] == LB_CLUSTER);
	ck_assert(s->families == FAMILIES_DUAL && s->canonical && s->hidden_outside_ns && !s->allow_unhealthy);

	ck_assert(p->by_name && p->action == POLICY_ALLOW && !p->dry_run && p->compiled && p->n_rules == 1);
	m = &p->rules[0].clauses[0].matches[0];
	ck_assert(m->namespaces[0][0].kind == MATCH_EXACT && !strcmp(m->namespaces[0][0].text, "web"));
	ck_assert(m->namespaces[1][0].kind == MATCH_PREFIX && !strcmp(m->namespaces[1][0].text, "tmp-"));
	ck_assert(m->principals[0][0].kind == MATCH_SUFFIX && m->principals[1][0].kind == MATCH_PRESENCE);
	ck_assert_str_eq(m->service_accounts[1][0].sa, "job");
	ck_assert(m->n_source_ips[0] == 1 && m->source_ips[1][0].bits == 112 && m->dest_ips[0][0].bits == 128 && m->n_dest_ips[1] == 1);
	ck_assert(m->dest_ports[0][0] == 8080 && m->dest_ports[1][0] == 9);
}

START_TEST(the_whole_example)
{
	struct local_xds *l = local_xds_new(NULL, example);

	ck_assert_msg(local_xds_load(l, &err) == 0, "%s", err.msg);
	check_example();
	ck_assert_uint_eq(mesh_generation(mesh_current()), 1);
	ck_assert_int_eq(local_xds_load(l, &err), 0);
	ck_assert_uint_eq(mesh_generation(mesh_current()), 1);      /* nothing changed */
	local_xds_free(l);
	local_xds_free(NULL);
}
END_TEST

/* As /config_dump prints matches. */
START_TEST(matches_as_maps)
{
	static const char text[] = "{\"policies\": [{\"name\": \"p\", \"namespace\": \"n\", \"scope\": \"Namespace\", \"action\": \"Deny\","
		"\"dryRun\": true, \"rules\": [[[{\"namespaces\": [{\"Exact\": \"a\"}, {\"Presence\": []}]}]]]}]}";
	struct local_xds *l = local_xds_new(NULL, text);

	ck_assert_msg(local_xds_load(l, &err) == 0, "%s", err.msg);
	ck_assert(policy("n/p")->dry_run && policy("n/p")->scope == POLICY_NAMESPACE);
	ck_assert_str_eq(policy("n/p")->rules[0].clauses[0].matches[0].namespaces[0][0].text, "a");
	ck_assert_int_eq(policy("n/p")->rules[0].clauses[0].matches[0].namespaces[0][1].kind, MATCH_PRESENCE);
	local_xds_free(l);
}
END_TEST

#define W "workloads:\n- uid: u\n  namespace: n\n"
#define S "services:\n- hostname: h\n  namespace: n\n"
#define P "policies:\n- name: p\n  namespace: n\n  scope: Global\n  action: Deny\n  dryRun: false\n"

static const struct { const char *text, *want; } wrong[] = {
	{ "workloads: [", "LOCAL_XDS:2: did not find" },
	{ "- a", "LOCAL_XDS:1: local xDS: want a map with workloads, services and policies" },
	{ "a: b", "LOCAL_XDS:1: local xDS: a: want workloads, services or policies" },
	{ "workloads: {}", "want a list" },
	{ "a: 1\n---\nb: 2\n", "LOCAL_XDS:3: want one document" },
	{ "workloads:\n- namespace: n\n", "LOCAL_XDS:2: local xDS: workloads[0].uid: is missing" },
	{ W "  workloadIps: [x]\n", "LOCAL_XDS:4: local xDS: workloads[0].workloadIps: want an IP address, got 'x'" },
	{ W "  protocol: HTTP\n", "LOCAL_XDS:4: local xDS: workloads[0].protocol: want one of TCP, HBONE" },
	{ W "  waypoint: {destination: x}\n", "workloads[0].waypoint.destination: want NAMESPACE/HOSTNAME or NETWORK/IP, got 'x'" },
	{ W "  services: {h: {80: 80}}\n", "want NAMESPACE/HOSTNAME" },
	{ W "  services: {n/h: {a: 80}}\n", "want a port from 1 to 65535, got 'a'" },
	{ W "  services: {n/h: {80: 70000}}\n", "want a number from 1 to 65535" },
	{ "services:\n- namespace: n\n", "services[0].hostname: is missing" },
	{ S "  vips: [10.0.0.1]\n", "LOCAL_XDS:4: local xDS: services[0].vips: want NETWORK/IP, or /IP, got '10.0.0.1'" },
	{ S "  cidrVips: [{network: '', cidr: x}]\n", "services[0].cidrVips: want a CIDR block, got 'x'" },
	{ S "  loadBalancer: {routingPreferences: [Moon]}\n", "services[0].loadBalancer.routingPreferences: want at most 6" },
	{ S "  ports: {0: 80}\n", "services[0].ports: want a port from 1 to 65535, got '0'" },
	{ "policies:\n- name: p\n  namespace: n\n", "is missing" },
	{ P, "policies[0].rules: is missing" },
	{ P "  rules: []\n  more: x\n", "policies[0].more: unknown field: the object is refused" },
	{ P "  rules: [[[{principals: [a]}]]]\n", "policies[0].rules[0][0][0].principals[0]: want !Exact TEXT" },
	{ P "  rules: [[[{principals: [!Nearly a]}]]]\n", "want !Exact TEXT" },
	{ P "  rules: [[[{colour: blue}]]]\n", "rules[0][0][0].colour: unknown field" },
	{ P "  rules: [[[{sourceIps: [x]}]]]\n", "rules[0][0][0].sourceIps: want an IP address or CIDR block, got 'x'" },
	{ P "  rules: [[[{destinationPorts: [x]}]]]\n", "destinationPorts: want a number from 1 to 65535" },
	{ P "  rules: [[{}]]\n", "want a list" },
};

START_TEST(what_is_wrong_is_named)
{
	struct local_xds *l = local_xds_new(NULL, wrong[_i].text);

	ck_assert_int_lt(local_xds_load(l, &err), 0);
	ck_assert_msg(strstr(err.msg, wrong[_i].want) != NULL, "%s", err.msg);
	ck_assert_uint_eq(mesh_generation(mesh_current()), 0);
	local_xds_free(l);
}
END_TEST

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	ck_assert(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

START_TEST(changes)
{
	char path[] = "/tmp/meshd-local-XXXXXX";
	struct local_xds *l;
	uint64_t policies;

	close(mkstemp(path));
	l = local_xds_new(path, NULL);
	write_file(path, example);
	ck_assert_int_eq(local_xds_load(l, &err), 0);
	policies = mesh_policy_generation(mesh_current());

	/* The endpoint is named by the service only, on another port; the policy is as it was. */
	write_file(path, W "  services: {}\n- uid: v\n  namespace: n\n  status: Unhealthy\n  services: {n/h: {}}\n" S
		   "  endpoints: {u: {port: {80: 81}}, nobody: {}}\n");
	ck_assert_msg(local_xds_load(l, &err) == 0, "%s", err.msg);
	ck_assert_ptr_null(workload("c-east//Pod/shop/cart-1"));
	ck_assert_ptr_null(service("shop/cart.shop.svc.mesh.test"));
	ck_assert_ptr_null(policy("shop/only-web"));
	ck_assert_uint_gt(mesh_policy_generation(mesh_current()), policies);
	policies = mesh_policy_generation(mesh_current());
	ck_assert_int_eq(service("n/h")->endpoints->n, 2);
	ck_assert_uint_eq(endpoint_target(endpoints_find(service("n/h")->endpoints, str_c("u")), 80), 81);
	ck_assert_str_eq(workload("u")->trust_domain, "cluster.local");
	ck_assert_str_eq(workload("u")->identity, "spiffe://cluster.local/ns/n/sa/default");

	/* An endpoint that is unhealthy by itself is left out; one that is named no more goes. */
	write_file(path, W "- uid: v\n  namespace: n\n" S "  endpoints: {v: {status: Unhealthy}}\n");
	ck_assert_int_eq(local_xds_load(l, &err), 0);
	ck_assert_int_eq(service("n/h")->endpoints->n, 0);
	ck_assert_uint_eq(mesh_policy_generation(mesh_current()), policies);

	/* What is wrong changes nothing, and so does a file that is gone. */
	write_file(path, W "---\n" W);
	ck_assert_int_lt(local_xds_load(l, &err), 0);
	unlink(path);
	ck_assert_int_lt(local_xds_load(l, &err), 0);
	ck_assert_ptr_nonnull(workload("v"));

	write_file(path, "");
	ck_assert_int_eq(local_xds_load(l, &err), 0);
	ck_assert_uint_eq(mesh_count(mesh_current(), NULL, NULL), 0);
	local_xds_free(l);
	unlink(path);
}
END_TEST

START_TEST(a_policy_changes)
{
	char path[] = "/tmp/meshd-local-XXXXXX";
	const struct policy *p;
	struct local_xds *l;

	close(mkstemp(path));
	l = local_xds_new(path, NULL);
	write_file(path, P "  rules: []\n");
	ck_assert_msg(local_xds_load(l, &err) == 0, "%s", err.msg);
	p = policy("n/p");
	write_file(path, W P "  rules: []\n");
	ck_assert_int_eq(local_xds_load(l, &err), 0);
	ck_assert_ptr_eq(policy("n/p"), p);
	write_file(path, W P "  rules: [[[{destinationPorts: [1]}]]]\n");
	ck_assert_int_eq(local_xds_load(l, &err), 0);
	ck_assert_ptr_ne(policy("n/p"), p);
	ck_assert_int_eq(policy("n/p")->n_rules, 1);
	local_xds_free(l);
	unlink(path);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("local_xds");
	TCase *tc = tcase_create("local_xds");

	tcase_add_test(tc, the_whole_example);
	tcase_add_test(tc, matches_as_maps);
	tcase_add_loop_test(tc, what_is_wrong_is_named, 0, (int)ARRAY_LEN(wrong));
	tcase_add_test(tc, changes);
	tcase_add_test(tc, a_policy_changes);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
