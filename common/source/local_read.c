/* SPDX-License-Identifier: Apache-2.0 */
/* Workloads and services of a local configuration. */
#include <stdio.h>

#include "source/local_int.h"

struct lx_locality { const char *region, *zone, *subzone; };
struct lx_gateway { const char *destination; uint16_t port; };
struct lx_tunnel { int protocol; uint16_t port; };

struct lx_workload {
	const char *uid, *name, *ns, *trust_domain, *service_account, *network, *hostname, *node, *cluster;
	const char *workload_name, *workload_type, *canonical_name, *canonical_revision;
	struct field_strings ips, policies;
	int protocol, network_mode, status;
	uint32_t capacity;
	bool native_tunnel;
	struct lx_locality *locality;
	struct lx_tunnel *tunnel;
	struct lx_gateway *waypoint, *network_gateway;
};

struct lx_endpoint { const char *key, *uid; struct field_ports ports; int status; };
struct lx_cidr { const char *network, *cidr; };
struct lx_weighted { struct lx_gateway *destination; uint32_t weight; };
struct lx_balancer { struct field_strings scopes; int mode, health; };

struct lx_service {
	const char *name, *ns, *hostname;
	struct field_strings vips, sans;
	struct field_list cidrs, endpoints, weighted;
	struct field_ports ports;
	struct lx_gateway *waypoint;
	struct lx_balancer *balancer;
	int families, visibility;
	bool canonical;
};

#define ROW(field, kind, of, member, ...) { .name = field, .type = FIELD_##kind, .offset = offsetof(struct of, member), __VA_ARGS__ }
#define PASS(field) { .name = field, .type = FIELD_ANY, .mark = FIELD_IGNORED }
#define TABLE(of, label) \
	static const struct field_table of##_table = { .name = label, .size = sizeof(struct of), .fields = of##_rows }

static const char *const protocols[] = { "TCP", "HBONE", "Tcp", "Hbone", NULL };
static const char *const network_modes[] = { "Standard", "HostNetwork", NULL };
static const char *const statuses[] = { "Healthy", "Unhealthy", NULL };
static const char *const tunnel_protocols[] = { "NONE", "PROXY", "None", "Proxy", NULL };
static const char *const modes[] = { "Standard", "Strict", "Failover", "Passthrough", NULL };
static const char *const healths[] = { "OnlyHealthy", "AllowAll", NULL };
static const char *const families[] = { "", "IPv4", "IPv6", "Dual", NULL };
static const char *const visibilities[] = { "Public", "Namespace", NULL };

static const struct field lx_locality_rows[] = {
	ROW("region", STRING, lx_locality, region), ROW("zone", STRING, lx_locality, zone), ROW("subzone", STRING, lx_locality, subzone), { 0 },
};
TABLE(lx_locality, "locality");

static const struct field lx_gateway_rows[] = {
	ROW("destination", STRING, lx_gateway, destination), ROW("hboneMtlsPort", PORT, lx_gateway, port), { 0 },
};
TABLE(lx_gateway, "gateway");

static const struct field lx_tunnel_rows[] = {
	ROW("protocol", ENUM, lx_tunnel, protocol, .words = tunnel_protocols), ROW("port", PORT, lx_tunnel, port), { 0 },
};
TABLE(lx_tunnel, "applicationTunnel");

static const struct field lx_workload_rows[] = {
	ROW("uid", STRING, lx_workload, uid),
	ROW("name", STRING, lx_workload, name),
	ROW("namespace", STRING, lx_workload, ns),
	ROW("trustDomain", STRING, lx_workload, trust_domain),
	ROW("serviceAccount", STRING, lx_workload, service_account),
	ROW("network", STRING, lx_workload, network),
	ROW("workloadIps", STRINGS, lx_workload, ips),
	ROW("hostname", STRING, lx_workload, hostname),
	ROW("protocol", ENUM, lx_workload, protocol, .words = protocols),
	ROW("networkMode", ENUM, lx_workload, network_mode, .words = network_modes),
	ROW("node", STRING, lx_workload, node),
	ROW("clusterId", STRING, lx_workload, cluster),
	ROW("workloadName", STRING, lx_workload, workload_name),
	ROW("workloadType", STRING, lx_workload, workload_type),
	ROW("canonicalName", STRING, lx_workload, canonical_name),
	ROW("canonicalRevision", STRING, lx_workload, canonical_revision),
	ROW("locality", MESSAGE, lx_workload, locality, .sub = &lx_locality_table),
	ROW("status", ENUM, lx_workload, status, .words = statuses),
	ROW("capacity", U32, lx_workload, capacity, .deflt = "1"),
	ROW("nativeTunnel", BOOL, lx_workload, native_tunnel),
	ROW("applicationTunnel", MESSAGE, lx_workload, tunnel, .sub = &lx_tunnel_table),
	ROW("waypoint", MESSAGE, lx_workload, waypoint, .sub = &lx_gateway_table),
	ROW("networkGateway", MESSAGE, lx_workload, network_gateway, .sub = &lx_gateway_table),
	ROW("authorizationPolicies", STRINGS, lx_workload, policies),
	PASS("services"), { 0 },     /* read_members */
};
TABLE(lx_workload, "workload");

static const struct field lx_endpoint_rows[] = {
	ROW("workloadUid", STRING, lx_endpoint, uid), ROW("port", PORTS, lx_endpoint, ports),
	ROW("status", ENUM, lx_endpoint, status, .words = statuses), { 0 },
};
TABLE(lx_endpoint, "endpoint");

static const struct field lx_cidr_rows[] = {
	ROW("network", STRING, lx_cidr, network), ROW("cidr", STRING, lx_cidr, cidr), { 0 },
};
TABLE(lx_cidr, "cidrVip");

static const struct field lx_weighted_rows[] = {
	ROW("destination", MESSAGE, lx_weighted, destination, .sub = &lx_gateway_table), ROW("weight", U32, lx_weighted, weight), { 0 },
};
TABLE(lx_weighted, "weightedWaypoint");

static const struct field lx_balancer_rows[] = {
	ROW("routingPreferences", STRINGS, lx_balancer, scopes), ROW("mode", ENUM, lx_balancer, mode, .words = modes),
	ROW("healthPolicy", ENUM, lx_balancer, health, .words = healths), { 0 },
};
TABLE(lx_balancer, "loadBalancer");

static const struct field lx_service_rows[] = {
	ROW("name", STRING, lx_service, name),
	ROW("namespace", STRING, lx_service, ns),
	ROW("hostname", STRING, lx_service, hostname),
	ROW("vips", STRINGS, lx_service, vips),
	ROW("cidrVips", MESSAGES, lx_service, cidrs, .sub = &lx_cidr_table),
	ROW("ports", PORTS, lx_service, ports),
	ROW("endpoints", MESSAGE_MAP, lx_service, endpoints, .sub = &lx_endpoint_table),
	ROW("subjectAltNames", STRINGS, lx_service, sans),
	ROW("waypoint", MESSAGE, lx_service, waypoint, .sub = &lx_gateway_table),
	ROW("weightedWaypoints", MESSAGES, lx_service, weighted, .sub = &lx_weighted_table),
	ROW("loadBalancer", MESSAGE, lx_service, balancer, .sub = &lx_balancer_table),
	ROW("ipFamilies", ENUM, lx_service, families, .words = families),
	ROW("canonical", BOOL, lx_service, canonical),
	ROW("visibility", ENUM, lx_service, visibility, .words = visibilities), { 0 },
};
TABLE(lx_service, "service");

/* --- parts --- */

static void *take(struct field_walk *w, int n, size_t size)
{
	return arena_alloc(w->arena, (size_t)n * size + 1);
}

bool local_list(struct field_walk *w, const struct yaml_node *n, int *ret)
{
	*ret = 0;
	if (!n || yaml_is_null(n))
		return true;
	if (n->kind != YAML_LIST) {
		field_error(w, n->line, NULL, "want a list");
		return false;
	}
	*ret = (int)n->n;
	return true;
}

bool local_gateway(struct field_walk *w, const char *field, const char *text, uint16_t port, struct gateway *ret)
{
	struct str rest, first = str_cut(str_c(text), '/', &rest);
	struct gateway g = { .service = "", .network = "", .hbone_port = port ? port : 15008 };

	if (!rest.n) {
		field_error(w, 0, field, "want NAMESPACE/HOSTNAME or NETWORK/IP, got '%.80s'", text);
		return false;
	}
	if (ip_parse(rest, &g.ip) == 0)
		g.network = arena_dup(w->arena, first);
	else
		g.service = text;
	*ret = g;
	return true;
}

static const struct gateway *gateway(struct field_walk *w, const char *field, const struct lx_gateway *from)
{
	struct gateway *to;

	if (!from)
		return NULL;
	to = take(w, 1, sizeof(*to));
	return local_gateway(w, field, from->destination, from->port, to) ? to : NULL;
}

/* { 80: 8080 } */
static const struct endpoint_port *port_map(struct field_walk *w, const char *field, const struct field_ports *from)
{
	struct endpoint_port *to = take(w, from->n, sizeof(*to));
	uint64_t port;

	for (int i = 0; i < from->n; i++) {
		if (!str_to_u64(str_c(from->v[i].name), &port) || port < 1 || port > 65535)
			field_error(w, 0, field, "want a port from 1 to 65535, got '%.40s'", from->v[i].name);
		else
			to[i] = (struct endpoint_port){ (uint16_t)port, from->v[i].port };
	}
	return to;
}

/* --- workloads --- */

static void read_members(struct field_walk *w, const struct yaml_node *n, struct local_workload *to)
{
	static const struct field ports_field = { .name = "", .type = FIELD_PORTS };
	size_t out = w->path_len, len;

	if (!n || yaml_is_null(n))
		return;
	field_enter(w, "services", 0);
	len = w->path_len;
	if (n->kind != YAML_MAP)
		field_error(w, n->line, NULL, "want a map of NAMESPACE/HOSTNAME to ports");
	to->members = take(w, (int)n->n, sizeof(*to->members));
	for (const struct yaml_node *c = n->kind == YAML_MAP ? n->child : NULL; c; c = c->next) {
		struct field_ports ports = { 0 };
		struct member *m = &to->members[to->n_members++];

		if (!memchr(c->key.p, '/', c->key.n))
			field_error(w, c->line, c->key.p, "want NAMESPACE/HOSTNAME");
		field_enter(w, c->key.p, 0);
		if (field_read_one(w, &ports_field, c, &ports))
			*m = (struct member){ c->key.p, port_map(w, NULL, &ports), ports.n };
		field_leave(w, len);
	}
	field_leave(w, out);
}

static const struct ip *read_ips(struct field_walk *w, const struct field_strings *from)
{
	struct ip *to = take(w, from->n, sizeof(*to));

	for (int i = 0; i < from->n; i++)
		if (ip_parse(str_c(from->v[i]), &to[i]) < 0)
			field_error(w, 0, "workloadIps", "want an IP address, got '%.80s'", from->v[i]);
	return to;
}

static void read_workload(struct field_walk *w, const struct yaml_node *n, struct local_workload *to)
{
	const struct mesh_settings *set = mesh_settings(mesh_current());
	static const char format[] = "spiffe://%s/ns/%s/sa/%s";
	struct lx_workload x = { 0 };
	struct workload *t = &to->t;
	size_t len;
	char *id;

	if (!field_read(w, &lx_workload_table, n, &x))
		return;
	if (!*x.uid || !*x.ns)
		field_error(w, n->line, *x.uid ? "namespace" : "uid", "is missing");
	*t = (struct workload){ .uid = x.uid, .name = x.name, .ns = x.ns, .network = x.network, .hostname = x.hostname, .node = x.node,
		.cluster = x.cluster, .workload_name = x.workload_name, .workload_type = x.workload_type,
		.canonical_name = x.canonical_name, .canonical_revision = x.canonical_revision, .ips = read_ips(w, &x.ips),
		.n_ips = x.ips.n, .policies = x.policies.v, .n_policies = x.policies.n, .tunnel = x.protocol % 2 ? TUNNEL_HBONE : TUNNEL_NONE,
		.host_network = x.network_mode == 1, .healthy = x.status == 0, .weight = x.capacity, .native_tunnel = x.native_tunnel };
	t->trust_domain = *x.trust_domain ? x.trust_domain : set->trust_domain;
	t->service_account = *x.service_account ? x.service_account : "default";
	len = sizeof(format) + strlen(t->trust_domain) + strlen(t->ns) + strlen(t->service_account);
	id = take(w, (int)len, 1);
	snprintf(id, len, format, t->trust_domain, t->ns, t->service_account);
	t->identity = id;
	if (x.locality)
		t->locality = (struct locality){ x.locality->region, x.locality->zone, x.locality->subzone };
	if (x.tunnel) {
		t->proxy_protocol = x.tunnel->protocol % 2;
		t->app_tunnel_port = x.tunnel->port;
	}
	t->waypoint = gateway(w, "waypoint.destination", x.waypoint);
	t->network_gateway = gateway(w, "networkGateway.destination", x.network_gateway);
	read_members(w, yaml_get(n, "services"), to);
}

/* --- services --- */

static void read_vips(struct field_walk *w, const struct lx_service *x, struct service *t)
{
	struct vip *to = take(w, x->vips.n + x->cidrs.n, sizeof(*to));
	const struct lx_cidr *c = x->cidrs.v;

	for (int i = 0; i < x->vips.n; i++) {
		struct str at, network = str_cut(str_c(x->vips.v[i]), '/', &at);
		struct vip *v = &to[t->n_vips++];

		v->network = arena_dup(w->arena, network);
		v->cidr.bits = 128;
		if (!at.p || ip_parse(at, &v->cidr.ip) < 0)
			field_error(w, 0, "vips", "want NETWORK/IP, or /IP, got '%.80s'", x->vips.v[i]);
	}
	for (int i = 0; i < x->cidrs.n; i++) {
		struct vip *v = &to[t->n_vips++];

		v->network = c[i].network;
		if (cidr_parse(str_c(c[i].cidr), &v->cidr) < 0)
			field_error(w, 0, "cidrVips", "want a CIDR block, got '%.80s'", c[i].cidr);
	}
	t->vips = to;
}

static void read_balancer(struct field_walk *w, const struct lx_balancer *x, struct service *t)
{
	static const char *const names[] = { "Network", "Region", "Zone", "Subzone", "Node", "Cluster" };   /* enum lb_scope */

	if (!x)
		return;
	t->lb_mode = (enum lb_mode)x->mode;
	t->allow_unhealthy = x->health == 1;
	for (int i = 0; i < x->scopes.n; i++) {
		size_t k = 0;

		while (k < ARRAY_LEN(names) && strcmp(names[k], x->scopes.v[i]) != 0)
			k++;
		if (k == ARRAY_LEN(names) || t->n_scopes == (int)ARRAY_LEN(t->scopes))
			field_error(w, 0, "loadBalancer.routingPreferences",
				    "want at most 6 of Network, Region, Zone, Subzone, Node, Cluster, got '%.40s'", x->scopes.v[i]);
		else
			t->scopes[t->n_scopes++] = (enum lb_scope)k;
	}
}

static void read_waypoints(struct field_walk *w, const struct lx_service *x, struct service *t)
{
	struct weighted_gateway *to = take(w, x->weighted.n, sizeof(*to));
	const struct lx_weighted *from = x->weighted.v;

	for (int i = 0; i < x->weighted.n; i++) {
		to[i].weight = from[i].weight;
		if (!from[i].destination)
			field_error(w, 0, "weightedWaypoints", "want a destination");
		else
			local_gateway(w, "weightedWaypoints", from[i].destination->destination, from[i].destination->port, &to[i].gateway);
	}
	t->waypoints = to;
	t->n_waypoints = x->weighted.n;
	t->waypoint = gateway(w, "waypoint.destination", x->waypoint);
}

static void read_endpoints(struct field_walk *w, const struct lx_service *x, struct local_service *to)
{
	const struct lx_endpoint *from = x->endpoints.v;

	to->endpoints = take(w, x->endpoints.n, sizeof(*to->endpoints));
	to->n_endpoints = x->endpoints.n;
	for (int i = 0; i < x->endpoints.n; i++)
		to->endpoints[i] = (struct local_endpoint){ *from[i].uid ? from[i].uid : from[i].key,
			port_map(w, "endpoints", &from[i].ports), from[i].ports.n, from[i].status == 1 };
}

static void read_service(struct field_walk *w, const struct yaml_node *n, struct local_service *to)
{
	struct lx_service x = { 0 };
	struct service *t = &to->t;
	struct service_port *ports;
	const struct endpoint_port *map;
	size_t len;
	char *key;

	if (!field_read(w, &lx_service_table, n, &x))
		return;
	if (!*x.hostname || !*x.ns)
		field_error(w, n->line, *x.ns ? "hostname" : "namespace", "is missing");
	len = strlen(x.ns) + strlen(x.hostname) + 2;
	key = take(w, (int)len, 1);
	snprintf(key, len, "%s/%s", x.ns, x.hostname);
	*t = (struct service){ .key = key, .name = x.name, .ns = x.ns, .hostname = x.hostname, .sans = x.sans.v, .n_sans = x.sans.n,
			       .families = (enum ip_families)x.families, .canonical = x.canonical, .hidden_outside_ns = x.visibility == 1 };
	ports = take(w, x.ports.n, sizeof(*ports));
	map = port_map(w, "ports", &x.ports);
	for (int i = 0; i < x.ports.n; i++)
		ports[i] = (struct service_port){ map[i].port, map[i].target, "", "", !map[i].target, PROTOCOL_AUTO };
	t->ports = ports;
	t->n_ports = x.ports.n;
	read_vips(w, &x, t);
	read_balancer(w, x.balancer, t);
	read_waypoints(w, &x, t);
	read_endpoints(w, &x, to);
}

/* --- the document --- */

static uint64_t hash_of(const struct yaml_node *n)
{
	return n ? yaml_hash(n) : 0;
}

static bool check_top(struct field_walk *w, const struct yaml_node *root)
{
	if (root->kind != YAML_MAP) {
		field_error(w, root->line, NULL, "want a map with workloads, services and policies");
		return false;
	}
	for (const struct yaml_node *c = root->child; c; c = c->next)
		if (!str_is(c->key, "workloads") && !str_is(c->key, "services") && !str_is(c->key, "policies"))
			field_error(w, c->line, c->key.p, "want workloads, services or policies");
	return w->errors == 0;
}

bool local_read(struct field_walk *w, const struct yaml_node *root, struct local_conf *ret)
{
	const struct yaml_node *lists[] = { yaml_get(root, "workloads"), yaml_get(root, "services") };
	int i = 0;

	if (!check_top(w, root) || !local_list(w, lists[0], &ret->n_workloads) || !local_list(w, lists[1], &ret->n_services))
		return false;
	ret->workloads = take(w, ret->n_workloads, sizeof(*ret->workloads));
	ret->services = take(w, ret->n_services, sizeof(*ret->services));
	ret->hash = hash_of(lists[0]) * 31 + hash_of(lists[1]);
	for (const struct yaml_node *c = ret->n_workloads ? lists[0]->child : NULL; c; c = c->next, i++) {
		field_enter(w, "workloads", 0);
		field_enter(w, NULL, i);
		read_workload(w, c, &ret->workloads[i]);
		field_leave(w, 0);
	}
	i = 0;
	for (const struct yaml_node *c = ret->n_services ? lists[1]->child : NULL; c; c = c->next, i++) {
		field_enter(w, "services", 0);
		field_enter(w, NULL, i);
		read_service(w, c, &ret->services[i]);
		field_leave(w, 0);
	}
	return local_read_policies(w, yaml_get(root, "policies"), ret) && w->errors == 0;
}
