/* SPDX-License-Identifier: Apache-2.0 */
/* WDS: messages packed by protobuf-c become objects of the mesh, or are refused with a reason. */
#include <check.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "policy/authz.h"
#include "proto/authorization.pb-c.h"
#include "proto/workload.pb-c.h"
#include "source/wds.h"
#include "source/wds_int.h"
#include "tests/unit/suite.h"

static struct wds *wds;
static int n_changes, n_policy_changes;
static uint64_t generation;
static struct err err;

static void on_change(void *arg, uint64_t g, bool policies)
{
	n_changes++;
	n_policy_changes += policies;
	generation = g;
}

static void setup(void)
{
	wds = wds_new(&(struct wds_conf){ .on_change = on_change });
}

static void teardown(void)
{
	wds_free(wds);
}

/* --- pushes --- */

static void open_push(void) { wds_address_ops.begin(wds); }
static void close_push(void) { wds_address_ops.end(wds); }

static int feed(const struct ads_type_ops *ops, const char *name, const char *version, const void *bytes, size_t n)
{
	struct ads_resource r = { str_c(name), str_c(version), { bytes, n } };

	err.msg[0] = '\0';
	return ops->on_resource(wds, &r, &err);
}

static int feed_message(const struct ads_type_ops *ops, const char *name, const char *version, const ProtobufCMessage *m)
{
	size_t n = protobuf_c_message_get_packed_size(m);
	uint8_t *bytes = malloc(n + 1);
	int rc;

	protobuf_c_message_pack(m, bytes);
	rc = feed(ops, name, version, bytes, n);
	free(bytes);
	return rc;
}

static int workload_in(Wds__Workload *w, const char *version)
{
	Wds__Address a = WDS__ADDRESS__INIT;

	a.type_case = WDS__ADDRESS__TYPE_WORKLOAD;
	a.workload = w;
	return feed_message(&wds_address_ops, w->uid, version, &a.base);
}

static int service_in(Wds__Service *s, const char *version)
{
	Wds__Address a = WDS__ADDRESS__INIT;
	char name[300];

	a.type_case = WDS__ADDRESS__TYPE_SERVICE;
	a.service = s;
	snprintf(name, sizeof(name), "%s/%s", s->namespace_, s->hostname);
	return feed_message(&wds_address_ops, name, version, &a.base);
}

static int push_workload(Wds__Workload *w)
{
	int rc;

	open_push();
	rc = workload_in(w, "1");
	close_push();
	return rc;
}

static int push_service(Wds__Service *s)
{
	int rc;

	open_push();
	rc = service_in(s, "1");
	close_push();
	return rc;
}

static void push_removed(const char *name)
{
	open_push();
	wds_address_ops.on_removed(wds, str_c(name));
	close_push();
}

static int push_policy(Authz__Authorization *a)
{
	char name[300];
	int rc;

	snprintf(name, sizeof(name), "%s/%s", a->namespace_, a->name);
	wds_authorization_ops.begin(wds);
	rc = feed_message(&wds_authorization_ops, name, "", &a->base);
	wds_authorization_ops.end(wds);
	return rc;
}

static void push_policy_removed(const char *name)
{
	wds_authorization_ops.begin(wds);
	wds_authorization_ops.on_removed(wds, str_c(name));
	wds_authorization_ops.end(wds);
}

/* --- messages --- */

static uint8_t ip4[] = { 10, 0, 0, 1 }, ip6[16] = { 0xfd, [15] = 1 };
static const uint8_t unknown_field[] = { 1 };

static ProtobufCBinaryData data(uint8_t *p, size_t n)
{
	return (ProtobufCBinaryData){ n, p };
}

static Wds__Workload pod(const char *uid)
{
	Wds__Workload w = WDS__WORKLOAD__INIT;

	w.uid = (char *)uid;
	w.name = (char *)"p";
	w.namespace_ = (char *)"n";
	return w;
}

static Wds__Service plain(const char *host)
{
	Wds__Service s = WDS__SERVICE__INIT;

	s.name = (char *)"s";
	s.namespace_ = (char *)"n";
	s.hostname = (char *)host;
	return s;
}

struct membership {
	Wds__Port port, *list;
	Wds__PortList ports;
	Wds__Workload__ServicePorts entry, *entries;
};

static void join(Wds__Workload *w, struct membership *m, const char *service, uint32_t port, uint32_t target)
{
	wds__port__init(&m->port);
	wds__port_list__init(&m->ports);
	wds__workload__service_ports__init(&m->entry);
	m->port.service_port = port;
	m->port.target_port = target;
	m->list = &m->port;
	m->ports.ports = &m->list;
	m->ports.n_ports = port != 0;
	m->entry.key = (char *)service;
	m->entry.value = &m->ports;
	m->entries = &m->entry;
	w->services = &m->entries;
	w->n_services = 1;
}

static struct workload *workload(const char *uid) { return mesh_workload(mesh_current(), str_c(uid)); }
static struct service *service(const char *key) { return mesh_service(mesh_current(), str_c(key)); }

/* --- workloads --- */

START_TEST(every_field_of_a_workload)
{
	ProtobufCBinaryData ips[] = { data(ip4, 4), data(ip6, 16) };
	Wds__Workload w = pod("c//Pod/n/p");
	Wds__GatewayAddress wp = WDS__GATEWAY_ADDRESS__INIT, gw = WDS__GATEWAY_ADDRESS__INIT;
	Wds__NamespacedHostname host = WDS__NAMESPACED_HOSTNAME__INIT;
	Wds__NetworkAddress at = WDS__NETWORK_ADDRESS__INIT;
	Wds__ApplicationTunnel tunnel = WDS__APPLICATION_TUNNEL__INIT;
	Wds__Locality loc = WDS__LOCALITY__INIT;
	Pb__UInt32Value capacity = PB__UINT32_VALUE__INIT;
	struct membership m;
	char *policies[] = { (char *)"n/one", (char *)"istio-system/istio_converted_static_strict" };
	const struct workload *got;
	struct ip want;

	w.addresses = ips;
	w.n_addresses = 2;
	w.network = (char *)"net";
	w.tunnel_protocol = WDS__TUNNEL_PROTOCOL__HBONE;
	w.trust_domain = (char *)"td";
	w.service_account = (char *)"sa";
	host.namespace_ = (char *)"n";
	host.hostname = (char *)"wp.test";
	wp.destination_case = WDS__GATEWAY_ADDRESS__DESTINATION_HOSTNAME;
	wp.hostname = &host;
	wp.hbone_mtls_port = 15009;
	w.waypoint = &wp;
	at.network = (char *)"far";
	at.address = data(ip4, 4);
	gw.destination_case = WDS__GATEWAY_ADDRESS__DESTINATION_ADDRESS;
	gw.address = &at;
	w.network_gateway = &gw;
	w.node = (char *)"node";
	w.canonical_name = (char *)"app";
	w.canonical_revision = (char *)"v1";
	w.workload_type = WDS__WORKLOAD_TYPE__CRONJOB;
	w.workload_name = (char *)"wn";
	w.native_tunnel = true;
	w.authorization_policies = policies;
	w.n_authorization_policies = 2;
	w.status = WDS__WORKLOAD_STATUS__UNHEALTHY;
	w.cluster_id = (char *)"c";
	w.hostname = (char *)"h.test";
	join(&w, &m, "n/s.test", 80, 8080);
	tunnel.protocol = WDS__APPLICATION_TUNNEL__PROTOCOL__PROXY;
	tunnel.port = 15088;
	w.application_tunnel = &tunnel;
	loc.region = (char *)"r";
	loc.zone = (char *)"z";
	loc.subzone = (char *)"s";
	w.locality = &loc;
	w.network_mode = WDS__NETWORK_MODE__HOST_NETWORK;
	capacity.value = 7;
	w.capacity = &capacity;
	ck_assert_int_eq(push_workload(&w), 0);
	ck_assert_int_eq(n_changes, 1);
	ck_assert_int_eq(n_policy_changes, 0);
	ck_assert_uint_eq(generation, mesh_generation(mesh_current()));
	got = workload("c//Pod/n/p");
	ck_assert_ptr_nonnull(got);
	ck_assert_str_eq(got->name, "p");
	ck_assert_str_eq(got->ns, "n");
	ck_assert_str_eq(got->identity, "spiffe://td/ns/n/sa/sa");
	ck_assert_str_eq(got->network, "net");
	ck_assert_str_eq(got->cluster, "c");
	ck_assert_str_eq(got->node, "node");
	ck_assert_str_eq(got->hostname, "h.test");
	ck_assert_str_eq(got->canonical_name, "app");
	ck_assert_str_eq(got->canonical_revision, "v1");
	ck_assert_str_eq(got->workload_name, "wn");
	ck_assert_str_eq(got->workload_type, "cronjob");
	ck_assert_str_eq(got->locality.subzone, "s");
	ck_assert_str_eq(got->waypoint->service, "n/wp.test");
	ck_assert_uint_eq(got->waypoint->hbone_port, 15009);
	ck_assert_str_eq(got->network_gateway->service, "");
	ck_assert_str_eq(got->network_gateway->network, "far");
	ck_assert_uint_eq(got->network_gateway->hbone_port, 15008);
	ip_parse(str_c("10.0.0.1"), &want);
	ck_assert(ip_eq(&got->network_gateway->ip, &want));
	ck_assert_int_eq(got->n_ips, 2);
	ck_assert(ip_eq(&got->ips[0], &want));
	ip_parse(str_c("fd00::1"), &want);
	ck_assert(ip_eq(&got->ips[1], &want));
	ck_assert_int_eq(got->tunnel, TUNNEL_HBONE);
	ck_assert(got->native_tunnel && got->host_network && got->proxy_protocol && !got->healthy);
	ck_assert_uint_eq(got->app_tunnel_port, 15088);
	ck_assert_uint_eq(got->weight, 7);
	ck_assert_int_eq(got->n_policies, 2);
	ck_assert_str_eq(got->policies[1], policies[1]);
	ck_assert_int_eq(got->n_services, 1);
	ck_assert_str_eq(got->services[0], "n/s.test");
	ck_assert_str_eq(got->version, "1");
}
END_TEST

START_TEST(defaults_of_a_workload)
{
	Wds__Workload w = pod("u");
	const struct workload *got;

	ck_assert_int_eq(push_workload(&w), 0);
	got = workload("u");
	ck_assert_str_eq(got->trust_domain, "cluster.local");
	ck_assert_str_eq(got->service_account, "default");
	ck_assert_str_eq(got->cluster, "Kubernetes");
	ck_assert_str_eq(got->identity, "spiffe://cluster.local/ns/n/sa/default");
	ck_assert_str_eq(got->workload_type, "deployment");
	ck_assert(got->healthy);
	ck_assert_uint_eq(got->weight, 1);
	ck_assert_ptr_null(got->waypoint);
}
END_TEST

START_TEST(sidecars)
{
	Wds__Workload w = pod("u");

	w.tunnel_protocol = WDS__TUNNEL_PROTOCOL__LEGACY_ISTIO_MTLS;
	ck_assert_int_eq(push_workload(&w), 0);
	ck_assert_int_eq(workload("u")->tunnel, TUNNEL_ISTIO_MTLS);
}
END_TEST

static void odd_tunnel(Wds__Workload *w) { w->tunnel_protocol = 9; }
static void odd_status(Wds__Workload *w) { w->status = 7; }
static void odd_mode(Wds__Workload *w) { w->network_mode = 7; }
static void slash(Wds__Workload *w) { w->service_account = (char *)"a/sa/b"; }
static void blank(Wds__Workload *w) { w->trust_domain = (char *)"a b"; }

static void short_ip(Wds__Workload *w)
{
	static ProtobufCBinaryData ips[2];

	ips[0] = data(ip4, 4);
	ips[1] = data(ip4, 3);
	w->addresses = ips;
	w->n_addresses = 2;
}

static struct membership odd_member;
static void port_0(Wds__Workload *w) { join(w, &odd_member, "n/s.test", 80, 0); odd_member.port.service_port = 0; }
static void port_70000(Wds__Workload *w) { join(w, &odd_member, "n/s.test", 70000, 0); }
static void target_70000(Wds__Workload *w) { join(w, &odd_member, "n/s.test", 80, 70000); }
static void no_slash(Wds__Workload *w) { join(w, &odd_member, "s.test", 80, 0); }

static Wds__GatewayAddress odd_gateway = WDS__GATEWAY_ADDRESS__INIT;
static Wds__NetworkAddress odd_address = WDS__NETWORK_ADDRESS__INIT;
static void no_destination(Wds__Workload *w) { w->waypoint = &odd_gateway; }

static void gateway_ip(Wds__Workload *w)
{
	odd_gateway.destination_case = WDS__GATEWAY_ADDRESS__DESTINATION_ADDRESS;
	odd_gateway.address = &odd_address;
	w->network_gateway = &odd_gateway;
}

static void gateway_port(Wds__Workload *w)
{
	gateway_ip(w);
	odd_address.address = data(ip4, 4);
	odd_gateway.hbone_mtls_port = 65536;
}

static Wds__ApplicationTunnel odd_app = WDS__APPLICATION_TUNNEL__INIT;
static void app_port(Wds__Workload *w) { odd_app.port = 65536; w->application_tunnel = &odd_app; }
static void app_protocol(Wds__Workload *w) { odd_app.protocol = 5; w->application_tunnel = &odd_app; }

static const struct { void (*spoil)(Wds__Workload *w); const char *want; } bad_workloads[] = {
	{ odd_tunnel, "workload.tunnelProtocol: want" },
	{ odd_status, "workload.status: want" }, { odd_mode, "workload.networkMode: want" },
	{ slash, "workload.serviceAccount: want a name without" }, { blank, "workload.trustDomain: want a name without" },
	{ short_ip, "workload.addresses[1]: want an address of 4 or 16 bytes, got 3" },
	{ port_0, "workload.services[0].ports[0].servicePort: want a port from 1 to 65535, got 0" },
	{ port_70000, "workload.services[0].ports[0].servicePort: want a port" },
	{ target_70000, "workload.services[0].ports[0].targetPort: want a port from 0 to 65535, got 70000" },
	{ no_slash, "workload.services: want NAMESPACE/HOSTNAME, got 's.test'" },
	{ no_destination, "workload.waypoint: want a destination" }, { gateway_ip, "workload.networkGateway: want an address" },
	{ gateway_port, "workload.networkGateway: want a port" }, { app_port, "workload.applicationTunnel.port: want" },
	{ app_protocol, "workload.applicationTunnel.protocol: want" },
};

/* What is wrong keeps what was there. */
START_TEST(a_bad_workload)
{
	Wds__Workload w = pod("u");

	ck_assert_int_eq(push_workload(&w), 0);
	w.node = (char *)"other";
	bad_workloads[_i].spoil(&w);
	ck_assert_int_eq(push_workload(&w), -22);
	ck_assert_msg(strstr(err.msg, bad_workloads[_i].want) == err.msg, "%s", err.msg);
	ck_assert_str_eq(workload("u")->node, "");
	ck_assert_int_eq(n_changes, 1);
}
END_TEST

START_TEST(no_message)
{
	Wds__Address a = WDS__ADDRESS__INIT;
	Wds__Workload w = pod("u");
	uint8_t bytes[100];
	size_t n;

	a.type_case = WDS__ADDRESS__TYPE_WORKLOAD;
	a.workload = &w;
	n = wds__address__pack(&a, bytes);
	open_push();
	for (size_t i = 1; i < n; i++) {
		ck_assert_int_eq(feed(&wds_address_ops, "u", "", bytes, i), -22);
		ck_assert_str_eq(err.msg, "is no istio.workload.Address");
	}
	ck_assert_int_eq(feed(&wds_address_ops, "u", "", bytes, 0), -22);
	ck_assert_ptr_nonnull(strstr(err.msg, "neither a workload nor a service"));
	ck_assert_int_eq(feed(&wds_address_ops, "v", "", bytes, n), -22);
	ck_assert_str_eq(err.msg, "workload.uid: want the resource's name, got 'u'");
	ck_assert_int_eq(feed(&wds_address_ops, "u", "", "\x0a\x02\x08\x01", 4), -22);   /* a number where a text belongs */
	close_push();
	ck_assert_int_eq(n_changes, 0);
}
END_TEST

/* Unknown fields outside policies are no reason to refuse. */
START_TEST(unknown_fields_pass)
{
	ProtobufCMessageUnknownField f = { 99, PROTOBUF_C_WIRE_TYPE_VARINT, 1, (uint8_t *)unknown_field };
	Wds__Workload w = pod("u");

	w.base.n_unknown_fields = 1;
	w.base.unknown_fields = &f;
	ck_assert_int_eq(push_workload(&w), 0);
	ck_assert_ptr_nonnull(workload("u"));
}
END_TEST

/* --- services --- */

START_TEST(every_field_of_a_service)
{
	Wds__NetworkAddress at[3] = { WDS__NETWORK_ADDRESS__INIT, WDS__NETWORK_ADDRESS__INIT, WDS__NETWORK_ADDRESS__INIT };
	Wds__NetworkAddress *ats[] = { &at[0], &at[1], &at[2] };
	Wds__Port port = WDS__PORT__INIT, *list = &port;
	Wds__LoadBalancing lb = WDS__LOAD_BALANCING__INIT;
	Wds__LoadBalancing__Scope scopes[] = { 6, 1, 2, 3, 4, 5, 0 };
	Wds__GatewayAddress wp = WDS__GATEWAY_ADDRESS__INIT;
	Wds__WeightedWaypoint weighted = WDS__WEIGHTED_WAYPOINT__INIT, *weights = &weighted;
	Wds__Service s = plain("s.test");
	char *sans[] = { (char *)"spiffe://td/ns/n/sa/x" };
	const struct service *got;
	char text[ADDR_TEXT];

	at[0].network = (char *)"net";
	at[0].address = data(ip4, 4);
	at[1].address = data(ip6, 16);
	at[2].address = data(ip4, 4);
	at[2].prefix_case = WDS__NETWORK_ADDRESS__PREFIX_LENGTH;
	at[2].length = 8;
	s.addresses = ats;
	s.n_addresses = 3;
	port.service_port = 80;
	port.target_port = 8080;
	port.app_protocol = WDS__APP_PROTOCOL__HTTP2;
	s.ports = &list;
	s.n_ports = 1;
	s.subject_alt_names = sans;
	s.n_subject_alt_names = 1;
	wp.destination_case = WDS__GATEWAY_ADDRESS__DESTINATION_ADDRESS;
	wp.address = &at[0];
	s.waypoint = &wp;
	lb.routing_preference = scopes;
	lb.n_routing_preference = 7;
	lb.mode = WDS__LOAD_BALANCING__MODE__FAILOVER;
	lb.health_policy = WDS__LOAD_BALANCING__HEALTH_POLICY__ALLOW_ALL;
	s.load_balancing = &lb;
	s.ip_families = WDS__IPFAMILIES__DUAL;
	s.canonical = true;
	s.ingress_use_waypoint = true;
	weighted.destination = &wp;
	weighted.weight = 5;
	s.weighted_waypoints = &weights;
	s.n_weighted_waypoints = 1;
	s.visibility = WDS__SERVICE__VISIBILITY__NAMESPACE;
	ck_assert_int_eq(push_service(&s), 0);
	got = service("n/s.test");
	ck_assert_str_eq(got->name, "s");
	ck_assert_str_eq(got->hostname, "s.test");
	ck_assert_int_eq(got->n_vips, 3);
	ck_assert_str_eq(got->vips[0].network, "net");
	ck_assert_str_eq(ip_format(&got->vips[0].cidr.ip, text), "10.0.0.1");
	ck_assert_uint_eq(got->vips[0].cidr.bits, 128);
	ck_assert_uint_eq(got->vips[1].cidr.bits, 128);
	ck_assert_str_eq(cidr_format(&got->vips[2].cidr, text), "10.0.0.0/8");
	ck_assert_uint_eq(got->ports[0].target, 8080);
	ck_assert_str_eq(got->ports[0].protocol, "HTTP2");
	ck_assert_str_eq(got->sans[0], sans[0]);
	ck_assert_str_eq(got->waypoint->network, "net");
	ck_assert_uint_eq(got->waypoints[0].weight, 5);
	ck_assert_int_eq(got->families, FAMILIES_DUAL);
	ck_assert_int_eq(got->lb_mode, LB_FAILOVER);
	ck_assert_int_eq(got->n_scopes, 6);
	ck_assert_int_eq(got->scopes[0], LB_NETWORK);
	ck_assert_int_eq(got->scopes[5], LB_CLUSTER);
	ck_assert(got->allow_unhealthy && got->canonical && got->hidden_outside_ns);

	at[2].length = 33;
	ck_assert_int_eq(push_service(&s), -22);
	ck_assert_str_eq(err.msg, "service.addresses[2]: want a prefix of at most 32 bits, got 33");
	at[2].length = 32;
	lb.mode = 9;
	ck_assert_int_eq(push_service(&s), -22);
	ck_assert_str_eq(err.msg, "service.loadBalancing.mode: want STRICT, FAILOVER or PASSTHROUGH, got 9");
	lb.mode = 1;
	scopes[0] = 77;
	ck_assert_int_eq(push_service(&s), -22);
	scopes[0] = 1;
	scopes[6] = 1;
	ck_assert_int_eq(push_service(&s), -22);
	scopes[6] = 0;
	port.service_port = 0;
	ck_assert_int_eq(push_service(&s), -22);
	ck_assert_str_eq(err.msg, "service.ports[0].servicePort: want a port from 1 to 65535, got 0");
	port.service_port = 1;
	s.ip_families = 4;
	ck_assert_int_eq(push_service(&s), -22);
	s.ip_families = 0;
	s.hostname = (char *)"";
	ck_assert_int_eq(push_service(&s), -22);
	s.hostname = (char *)"s.test";
	weighted.destination = NULL;
	ck_assert_int_eq(push_service(&s), -22);
	ck_assert_str_eq(err.msg, "service.weightedWaypoints[0].destination: is missing");
	ck_assert_int_eq(n_changes, 1);
	weighted.destination = &wp;
	s.visibility = 5;                                              /* unknown: public, as in Istio */
	ck_assert_int_eq(push_service(&s), 0);
	ck_assert(!service("n/s.test")->hidden_outside_ns);
}
END_TEST

/* --- endpoints --- */

START_TEST(staged_endpoints)
{
	Wds__Workload a = pod("a"), b = pod("b");
	Wds__Service s = plain("s.test");
	struct membership ma, mb;

	join(&a, &ma, "n/s.test", 80, 8080);
	join(&b, &mb, "n/s.test", 0, 0);
	b.status = WDS__WORKLOAD_STATUS__UNHEALTHY;
	ck_assert_int_eq(push_workload(&a), 0);
	ck_assert_int_eq(push_workload(&b), 0);
	ck_assert_ptr_null(service("n/s.test"));
	ck_assert_int_eq(push_service(&s), 0);
	ck_assert_int_eq(service("n/s.test")->endpoints->n, 2);
	ck_assert_uint_eq(endpoint_target(endpoints_find(service("n/s.test")->endpoints, str_c("a")), 80), 8080);

	/* Gone and back again: the endpoints wait for it. */
	push_removed("n/s.test");
	ck_assert_ptr_null(service("n/s.test"));
	push_removed("b");
	ck_assert_int_eq(push_service(&s), 0);
	ck_assert_int_eq(service("n/s.test")->endpoints->n, 1);

	/* Ports move; the workload object is the new one. */
	join(&a, &ma, "n/s.test", 80, 9090);
	ck_assert_int_eq(push_workload(&a), 0);
	ck_assert_uint_eq(endpoint_target(endpoints_at(service("n/s.test")->endpoints, 0), 80), 9090);
	ck_assert_ptr_eq(endpoints_at(service("n/s.test")->endpoints, 0)->workload, workload("a"));

	/* It leaves for another service. */
	join(&a, &ma, "n/other.test", 80, 9090);
	ck_assert_int_eq(push_workload(&a), 0);
	ck_assert_int_eq(service("n/s.test")->endpoints->n, 0);
	s.hostname = (char *)"other.test";
	ck_assert_int_eq(push_service(&s), 0);
	ck_assert_int_eq(service("n/other.test")->endpoints->n, 1);
	push_removed("a");
	ck_assert_int_eq(service("n/other.test")->endpoints->n, 0);
	push_removed("a");
	push_removed("nobody");
	ck_assert_uint_eq(mesh_policy_generation(mesh_current()), 0);
}
END_TEST

START_TEST(all_in_one_push)
{
	Wds__Workload a = pod("a");
	Wds__Service s = plain("s.test");
	struct membership m;

	/* Duplicates: the last counts. Removed and put in one push: put. */
	open_push();
	join(&a, &m, "n/s.test", 80, 1);
	workload_in(&a, "1");
	service_in(&s, "1");
	join(&a, &m, "n/s.test", 80, 2);
	workload_in(&a, "2");
	s.canonical = true;
	service_in(&s, "2");
	close_push();
	ck_assert_int_eq(n_changes, 1);
	ck_assert(service("n/s.test")->canonical);
	ck_assert_int_eq(service("n/s.test")->endpoints->n, 1);
	ck_assert_uint_eq(endpoint_target(endpoints_at(service("n/s.test")->endpoints, 0), 80), 2);
	open_push();
	wds_address_ops.on_removed(wds, str_c("n/s.test"));
	wds_address_ops.on_removed(wds, str_c("a"));
	service_in(&s, "2");
	close_push();
	ck_assert_ptr_nonnull(service("n/s.test"));
	ck_assert_int_eq(service("n/s.test")->endpoints->n, 0);
	ck_assert_ptr_null(workload("a"));

	/* A service whose name looks like a workload's is deleted as what it is. */
	s.hostname = (char *)"x";
	a.uid = (char *)"n/y";
	a.n_services = 0;
	open_push();
	ck_assert_int_eq(service_in(&s, "1"), 0);
	ck_assert_int_eq(workload_in(&a, "1"), 0);
	close_push();
	push_removed("n/x");
	ck_assert_ptr_null(service("n/x"));
	ck_assert_ptr_nonnull(workload("n/y"));
	push_removed("n/y");
	ck_assert_ptr_null(workload("n/y"));
}
END_TEST

START_TEST(sent_again_unchanged)
{
	Wds__Workload a = pod("a");
	Wds__Service s = plain("s.test");
	struct workload *w;

	push_workload(&a);
	push_service(&s);
	w = workload("a");
	ck_assert_int_eq(n_changes, 2);
	push_workload(&a);
	push_service(&s);
	ck_assert_int_eq(n_changes, 2);
	ck_assert_ptr_eq(workload("a"), w);
	open_push();
	workload_in(&a, "another version");
	close_push();
	ck_assert_str_eq(workload("a")->version, "another version");
}
END_TEST

static int n_each;

static void on_each(void *arg, struct str name, struct str version)
{
	ck_assert(str_is(name, "a") || str_is(name, "n/s.test") || str_is(name, "n/p"));
	ck_assert(str_is(version, str_is(name, "n/p") ? "" : "1"));
	n_each++;
}

START_TEST(names_that_are_held)
{
	Wds__Workload a = pod("a");
	Wds__Service s = plain("s.test");
	Authz__Authorization p = AUTHZ__AUTHORIZATION__INIT;
	struct mesh_edit *e = mesh_edit_begin();

	mesh_put_workload(e, workload_new(&(struct workload){ .uid = "from elsewhere" }));
	mesh_edit_publish(e);
	push_workload(&a);
	push_service(&s);
	p.name = (char *)"p";
	p.namespace_ = (char *)"n";
	ck_assert_int_eq(push_policy(&p), 0);
	wds_address_ops.each(wds, on_each, NULL);
	ck_assert_int_eq(n_each, 2);
	wds_authorization_ops.each(wds, on_each, NULL);
	ck_assert_int_eq(n_each, 3);
}
END_TEST

/* --- policies --- */

struct full {
	Authz__Authorization a;
	Authz__Group group, *groups[1];
	Authz__Rules rule, *rules[1];
	Authz__Match match, *matches[1];
	Authz__StringMatch text[4], *texts[4];
	Authz__Address block, *blocks[1];
	Authz__ServiceAccountMatch account, *accounts[1];
	Pb__Empty empty;
	uint32_t port;
};

static void full_policy(struct full *f)
{
	static const Authz__StringMatch__MatchTypeCase kinds[] = {
		AUTHZ__STRING_MATCH__MATCH_TYPE_EXACT, AUTHZ__STRING_MATCH__MATCH_TYPE_PREFIX, AUTHZ__STRING_MATCH__MATCH_TYPE_SUFFIX,
		AUTHZ__STRING_MATCH__MATCH_TYPE_PRESENCE,
	};

	authz__authorization__init(&f->a);
	authz__group__init(&f->group);
	authz__rules__init(&f->rule);
	authz__match__init(&f->match);
	authz__address__init(&f->block);
	authz__service_account_match__init(&f->account);
	pb__empty__init(&f->empty);
	f->a.name = (char *)"p";
	f->a.namespace_ = (char *)"n";
	f->a.scope = AUTHZ__SCOPE__WORKLOAD_SELECTOR;
	f->a.action = AUTHZ__ACTION__DENY;
	f->a.groups = f->groups;
	f->a.n_groups = 1;
	f->groups[0] = &f->group;
	f->group.rules = f->rules;
	f->group.n_rules = 1;
	f->rules[0] = &f->rule;
	f->rule.matches = f->matches;
	f->rule.n_matches = 1;
	f->matches[0] = &f->match;
	for (int i = 0; i < 4; i++) {
		authz__string_match__init(&f->text[i]);
		f->text[i].match_type_case = kinds[i];
		f->text[i].exact = (char *)"text";
		f->texts[i] = &f->text[i];
	}
	f->text[3].presence = &f->empty;
	f->block.address = data(ip4, 4);
	f->block.length = 8;
	f->blocks[0] = &f->block;
	f->account.namespace_ = (char *)"web";
	f->account.service_account = (char *)"front";
	f->accounts[0] = &f->account;
	f->port = 8080;
#define ALL(field, from, n) f->match.field = from, f->match.n_##field = n, f->match.not_##field = from, f->match.n_not_##field = n
	ALL(namespaces, f->texts, 4);
	ALL(principals, f->texts, 4);
	ALL(source_ips, f->blocks, 1);
	ALL(destination_ips, f->blocks, 1);
	ALL(destination_ports, &f->port, 1);
	ALL(service_accounts, f->accounts, 1);
}

static struct policy *policy(const char *key) { return mesh_policy(mesh_current(), str_c(key)); }

START_TEST(every_field_of_a_policy)
{
	const struct policy_match *m;
	const struct policy *p;
	struct full f;

	full_policy(&f);
	f.a.dry_run = true;
	ck_assert_int_eq(push_policy(&f.a), 0);
	ck_assert_int_eq(n_policy_changes, 1);
	p = policy("n/p");
	ck_assert_str_eq(p->name, "p");
	ck_assert_int_eq(p->scope, POLICY_SELECTOR);
	ck_assert_int_eq(p->action, POLICY_DENY);
	ck_assert(p->by_name && p->dry_run && !p->broken && p->compiled);
	ck_assert_int_eq(p->n_rules, 1);
	ck_assert_int_eq(p->rules[0].clauses[0].n_matches, 1);
	m = &p->rules[0].clauses[0].matches[0];
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(m->n_namespaces[i], 4);
		ck_assert_int_eq(m->n_principals[i], 4);
		for (int k = 0; k < 4; k++) {
			ck_assert_int_eq(m->principals[i][k].kind, MATCH_EXACT + k);
			ck_assert_str_eq(m->principals[i][k].text, k == 3 ? "" : "text");
		}
		ck_assert_int_eq(m->n_source_ips[i], 1);
		ck_assert_uint_eq(m->source_ips[i][0].bits, 104);
		ck_assert_int_eq(m->n_dest_ips[i], 1);
		ck_assert_uint_eq(m->dest_ports[i][0], 8080);
		ck_assert_str_eq(m->service_accounts[i][0].ns, "web");
		ck_assert_str_eq(m->service_accounts[i][0].sa, "front");
	}
	f.a.scope = AUTHZ__SCOPE__GLOBAL;
	ck_assert_int_eq(push_policy(&f.a), 0);
	ck_assert_int_eq(policy("n/p")->scope, POLICY_GLOBAL);
	f.a.scope = AUTHZ__SCOPE__NAMESPACE;
	f.a.action = AUTHZ__ACTION__ALLOW;
	ck_assert_int_eq(push_policy(&f.a), 0);
	ck_assert_int_eq(policy("n/p")->scope, POLICY_NAMESPACE);
	ck_assert_int_eq(policy("n/p")->action, POLICY_ALLOW);
	ck_assert_int_eq(n_policy_changes, 3);
	ck_assert_int_eq(push_policy(&f.a), 0);
	ck_assert_int_eq(n_policy_changes, 3);      /* the same again */
	push_policy_removed("n/p");
	push_policy_removed("n/p");
	ck_assert_ptr_null(policy("n/p"));
	ck_assert_int_eq(n_policy_changes, 4);
}
END_TEST

static ProtobufCMessageUnknownField news = { 99, PROTOBUF_C_WIRE_TYPE_VARINT, 1, (uint8_t *)unknown_field };
static Wds__Extension extension = WDS__EXTENSION__INIT, *extensions[] = { &extension };
static void add_news(ProtobufCMessage *m) { m->n_unknown_fields = 1; m->unknown_fields = &news; }
static void news_top(struct full *f) { add_news(&f->a.base); }
static void news_group(struct full *f) { add_news(&f->group.base); }
static void news_match(struct full *f) { add_news(&f->match.base); }
static void news_text(struct full *f) { add_news(&f->text[2].base); }
static void news_kind(struct full *f) { f->text[1].match_type_case = 0; add_news(&f->text[1].base); }
static void no_kind(struct full *f) { f->text[1].match_type_case = 0; }
static void ext_top(struct full *f) { f->a.extensions = extensions; f->a.n_extensions = 1; }
static void ext_match(struct full *f) { f->match.extensions = extensions; f->match.n_extensions = 1; }
static void bad_block(struct full *f) { f->block.length = 33; }
static void bad_ip(struct full *f) { f->block.address = data(ip4, 2); }
static void bad_port(struct full *f) { f->port = 65536; }
static void zero_port(struct full *f) { f->port = 0; }
static void bad_account(struct full *f) { f->account.service_account = (char *)""; }
static void bad_action(struct full *f) { f->a.action = 2; }

static const struct { void (*spoil)(struct full *f); const char *want; } bad_policies[] = {
	{ news_top, "field 99: is not known" }, { news_group, "groups[0].field 99: is not known" },
	{ news_match, "groups[0].rules[0].matches[0].field 99: is not known" },
	{ news_text, "groups[0].rules[0].matches[0].namespaces[2].field 99: is not known" },
	{ news_kind, "groups[0].rules[0].matches[0].namespaces[1].field 99: is not known" },
	{ no_kind, "groups[0].rules[0].matches[0].namespaces: want one of exact, prefix, suffix, presence in entry 1" },
	{ ext_top, "extensions: extensions of a policy cannot be judged (field 7 of Authorization)" },
	{ ext_match, "groups[0].rules[0].matches[0].extensions: extensions" },
	{ bad_block, "groups[0].rules[0].matches[0].source_ips: want a prefix of at most 32 bits, got 33" },
	{ bad_ip, "groups[0].rules[0].matches[0].source_ips: want an address of 4 or 16 bytes, got 2" },
	{ bad_port, "groups[0].rules[0].matches[0].destination_ports: want a port from 1 to 65535, got 65536" },
	{ zero_port, "groups[0].rules[0].matches[0].destination_ports: want a port from 1 to 65535, got 0" },
	{ bad_account, "groups[0].rules[0].matches[0].service_accounts: is missing" }, { bad_action, "action: want ALLOW or DENY, got 2" },
};

static bool judge(const char *policies)
{
	const char *bound[] = { policies };
	struct workload *w = workload_new(&(struct workload){ .uid = "w", .ns = "n", .policies = bound, .n_policies = policies != NULL });
	bool allowed = authz_judge(mesh_current(), w, &(struct authz_input){ .principal = { "td/ns/x/sa/y", 12 } }, NULL, NULL).allowed;

	workload_unref(w);
	return allowed;
}

/* With a predecessor that stays in force; without one its scope is closed. */
START_TEST(a_bad_policy)
{
	struct full f;

	full_policy(&f);
	ck_assert_int_eq(push_policy(&f.a), 0);
	bad_policies[_i].spoil(&f);
	ck_assert_int_eq(push_policy(&f.a), -22);
	ck_assert_msg(strstr(err.msg, bad_policies[_i].want) == err.msg, "%s", err.msg);
	ck_assert(!policy("n/p")->broken);
	ck_assert_int_eq(n_policy_changes, 1);
	push_policy_removed("n/p");
	ck_assert(judge("n/p"));

	ck_assert_int_eq(push_policy(&f.a), -22);
	ck_assert(policy("n/p")->broken && policy("n/p")->by_name);
	ck_assert_str_eq(policy("n/p")->problem, err.msg);
	ck_assert(!judge("n/p"));
	ck_assert(judge(NULL));
	ck_assert_int_eq(n_policy_changes, 3);
	ck_assert_int_eq(push_policy(&f.a), -22);      /* again: nothing new */
	ck_assert_int_eq(n_policy_changes, 3);
	full_policy(&f);
	ck_assert_int_eq(push_policy(&f.a), 0);
	ck_assert(!policy("n/p")->broken);
	ck_assert(judge("n/p"));
}
END_TEST

START_TEST(a_policy_that_cannot_be_read)
{
	struct full f;

	wds_authorization_ops.begin(wds);
	ck_assert_int_eq(feed(&wds_authorization_ops, "n/p", "", "\x0a\x7f", 2), -22);
	wds_authorization_ops.end(wds);
	ck_assert_int_eq(policy("n/p")->scope, POLICY_NAMESPACE);
	ck_assert(!judge(NULL));
	push_policy_removed("n/p");
	ck_assert(judge(NULL));
	full_policy(&f);
	f.a.scope = 7;
	ck_assert_int_eq(push_policy(&f.a), -22);
	ck_assert_str_eq(err.msg, "scope: want GLOBAL, NAMESPACE or WORKLOAD_SELECTOR, got 7");
	ck_assert(!judge(NULL));
	push_policy_removed("n/p");
	f.a.scope = AUTHZ__SCOPE__GLOBAL;
	f.a.dry_run = true;
	bad_block(&f);
	ck_assert_int_eq(push_policy(&f.a), -22);      /* a dry run decides nothing, broken or not */
	ck_assert(judge(NULL));
	wds_authorization_ops.begin(wds);
	ck_assert_int_eq(feed(&wds_authorization_ops, "n/other", "", NULL, 0), -22);
	wds_authorization_ops.end(wds);
	ck_assert_str_eq(err.msg, "name: want the resource's name, got '/'");
}
END_TEST

/* No rules: never matches. As a DENY it denies nobody; as an ALLOW it lets nobody in. */
START_TEST(a_policy_without_rules)
{
	Authz__Authorization p = AUTHZ__AUTHORIZATION__INIT;

	p.name = (char *)"p";
	p.namespace_ = (char *)"n";
	p.scope = AUTHZ__SCOPE__NAMESPACE;
	p.action = AUTHZ__ACTION__DENY;
	ck_assert_int_eq(push_policy(&p), 0);
	ck_assert(judge(NULL));
	p.action = AUTHZ__ACTION__ALLOW;
	ck_assert_int_eq(push_policy(&p), 0);
	ck_assert(!judge(NULL));
}
END_TEST

static void rows_of(const ProtobufCMessageDescriptor *d)
{
	for (unsigned i = 0; i < d->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &d->fields[i];

		ck_assert_msg(wds_policy_field_known(d, f->id), "%s.%s has no row", d->short_name, f->name);
		if (f->type == PROTOBUF_C_TYPE_MESSAGE && strcmp(f->name, "extensions") != 0)
			rows_of(f->descriptor);
	}
}

START_TEST(every_field_has_a_row)
{
	rows_of(&authz__authorization__descriptor);
	ck_assert(!wds_policy_field_known(&authz__authorization__descriptor, 99));
}
END_TEST

/* --- many --- */

START_TEST(ten_thousand)
{
	enum { N = 10000 };
	struct membership m;
	char uid[40], host[40];

	open_push();
	for (int i = 0; i < N; i++) {
		Wds__Workload w = pod(uid);

		snprintf(uid, sizeof(uid), "c//Pod/n/p-%d", i);
		snprintf(host, sizeof(host), "n/s-%d.test", i % 100);
		join(&w, &m, host, 80, 8080);
		ck_assert_int_eq(workload_in(&w, "1"), 0);
		if (i >= 100)
			continue;
		Wds__Service s = plain(host + 2);
		ck_assert_int_eq(service_in(&s, "1"), 0);
	}
	close_push();
	ck_assert_int_eq(n_changes, 1);
	ck_assert_uint_eq(mesh_count(mesh_current(), NULL, NULL), N);
	for (int i = 0; i < 100; i++) {
		snprintf(host, sizeof(host), "n/s-%d.test", i);
		ck_assert_int_eq(service(host)->endpoints->n, N / 100);
	}
	open_push();
	for (int i = 0; i < N; i++) {
		snprintf(uid, sizeof(uid), "c//Pod/n/p-%d", i);
		wds_address_ops.on_removed(wds, str_c(uid));
	}
	close_push();
	ck_assert_uint_eq(mesh_count(mesh_current(), NULL, NULL), 0);
	ck_assert_int_eq(service("n/s-0.test")->endpoints->n, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("wds");
	TCase *tc = tcase_create("wds");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, every_field_of_a_workload);
	tcase_add_test(tc, defaults_of_a_workload);
	tcase_add_test(tc, sidecars);
	tcase_add_loop_test(tc, a_bad_workload, 0, (int)ARRAY_LEN(bad_workloads));
	tcase_add_test(tc, no_message);
	tcase_add_test(tc, unknown_fields_pass);
	tcase_add_test(tc, every_field_of_a_service);
	tcase_add_test(tc, staged_endpoints);
	tcase_add_test(tc, all_in_one_push);
	tcase_add_test(tc, sent_again_unchanged);
	tcase_add_test(tc, names_that_are_held);
	tcase_add_test(tc, every_field_of_a_policy);
	tcase_add_loop_test(tc, a_bad_policy, 0, (int)ARRAY_LEN(bad_policies));
	tcase_add_test(tc, a_policy_that_cannot_be_read);
	tcase_add_test(tc, a_policy_without_rules);
	tcase_add_test(tc, every_field_has_a_row);
	tcase_add_test(tc, ten_thousand);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
