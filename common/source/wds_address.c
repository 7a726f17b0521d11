/* SPDX-License-Identifier: Apache-2.0 */
/* istio.workload.Workload and Service. What is wrong in one refuses the whole resource. */
#include <stdio.h>

#include "source/wds_int.h"

#define HBONE_PORT 15008

static void *take(struct wds_walk *w, size_t n, size_t size)
{
	return n ? arena_alloc(w->arena, n * size) : NULL;
}

static const char *or(const char *text, const char *otherwise)
{
	return *text ? text : otherwise;
}

/* --- parts --- */

static bool read_destination(struct wds_walk *w, const char *field, const Wds__GatewayAddress *g, struct gateway *ret)
{
	struct gateway to = { .service = "", .network = "" };
	char *key;
	size_t n;

	switch (g->destination_case) {
	case WDS__GATEWAY_ADDRESS__DESTINATION_HOSTNAME:
		if (!*g->hostname->hostname || !*g->hostname->namespace_)
			return wds_fail(w, field, "want a namespace and a host name");
		n = strlen(g->hostname->namespace_) + strlen(g->hostname->hostname) + 2;
		key = arena_alloc(w->arena, n);
		snprintf(key, n, "%s/%s", g->hostname->namespace_, g->hostname->hostname);
		to.service = key;
		break;
	case WDS__GATEWAY_ADDRESS__DESTINATION_ADDRESS:
		to.network = g->address->network;
		if (!wds_ip(w, field, &g->address->address, &to.ip))
			return false;
		break;
	default:
		return wds_fail(w, field, "want a destination by host name or address");
	}
	if (!wds_port(w, field, g->hbone_mtls_port ? g->hbone_mtls_port : HBONE_PORT, 1, &to.hbone_port))
		return false;
	*ret = to;
	return true;
}

/* *ret stays NULL when there is none. */
static bool read_gateway(struct wds_walk *w, const char *field, const Wds__GatewayAddress *g, const struct gateway **ret)
{
	struct gateway *to;

	if (!g)
		return true;
	to = arena_alloc(w->arena, sizeof(*to));
	if (!read_destination(w, field, g, to))
		return false;
	*ret = to;
	return true;
}

static bool read_port(struct wds_walk *w, const Wds__Port *p, uint16_t *port, uint16_t *target)
{
	return wds_port(w, "servicePort", p->service_port, 1, port) && wds_port(w, "targetPort", p->target_port, 0, target);
}

/* --- workload --- */

static bool read_members(struct wds_walk *w, const Wds__Workload *from, struct member **ret, int *n)
{
	struct member *to = take(w, from->n_services, sizeof(*to));
	size_t len = strlen(w->path);

	for (size_t i = 0; i < from->n_services; i++) {
		const Wds__PortList *list = from->services[i]->value;
		size_t n_ports = list ? list->n_ports : 0;
		struct endpoint_port *ports = take(w, n_ports, sizeof(*ports));

		if (!strchr(from->services[i]->key, '/'))
			return wds_fail(w, "services", "want NAMESPACE/HOSTNAME, got '%.80s'", from->services[i]->key);
		for (size_t k = 0; k < n_ports; k++) {
			wds_enter(w, "services", (int)i);
			wds_enter(w, "ports", (int)k);
			if (!read_port(w, list->ports[k], &ports[k].port, &ports[k].target))
				return false;
			wds_leave(w, len);
		}
		to[i] = (struct member){ from->services[i]->key, ports, (int)n_ports };
	}
	*ret = to;
	*n = (int)from->n_services;
	return true;
}

static bool read_addresses(struct wds_walk *w, const Wds__Workload *from, struct workload *to)
{
	struct ip *ips = take(w, from->n_addresses, sizeof(*ips));

	for (size_t i = 0; i < from->n_addresses; i++) {
		char field[32];

		snprintf(field, sizeof(field), "addresses[%zu]", i);
		if (!wds_ip(w, field, &from->addresses[i], &ips[i]))
			return false;
	}
	to->ips = ips;
	to->n_ips = (int)from->n_addresses;
	return true;
}

static bool read_modes(struct wds_walk *w, const Wds__Workload *from, struct workload *to)
{
	static const char *const types[] = { "deployment", "cronjob", "pod", "job" };
	static const enum tunnel_protocol tunnels[] = {
		[WDS__TUNNEL_PROTOCOL__NONE] = TUNNEL_NONE, [WDS__TUNNEL_PROTOCOL__HBONE] = TUNNEL_HBONE,
		[WDS__TUNNEL_PROTOCOL__LEGACY_ISTIO_MTLS] = TUNNEL_ISTIO_MTLS,
	};
	const Wds__ApplicationTunnel *t = from->application_tunnel;

	if ((unsigned)from->tunnel_protocol >= ARRAY_LEN(tunnels))
		return wds_fail(w, "tunnelProtocol", "want NONE, HBONE or LEGACY_ISTIO_MTLS, got %d", from->tunnel_protocol);
	if ((unsigned)from->network_mode > WDS__NETWORK_MODE__HOST_NETWORK)
		return wds_fail(w, "networkMode", "want STANDARD or HOST_NETWORK, got %d", from->network_mode);
	if ((unsigned)from->status > WDS__WORKLOAD_STATUS__UNHEALTHY)
		return wds_fail(w, "status", "want HEALTHY or UNHEALTHY, got %d", from->status);
	to->tunnel = tunnels[from->tunnel_protocol];
	to->istio_mtls = to->tunnel == TUNNEL_ISTIO_MTLS;
	to->host_network = from->network_mode == WDS__NETWORK_MODE__HOST_NETWORK;
	to->healthy = from->status == WDS__WORKLOAD_STATUS__HEALTHY;
	to->native_tunnel = from->native_tunnel;
	to->workload_type = (unsigned)from->workload_type < ARRAY_LEN(types) ? types[from->workload_type] : "";
	to->weight = from->capacity ? from->capacity->value : 1;
	if (!t)
		return true;
	if ((unsigned)t->protocol > WDS__APPLICATION_TUNNEL__PROTOCOL__PROXY)
		return wds_fail(w, "applicationTunnel.protocol", "want NONE or PROXY, got %d", t->protocol);
	to->proxy_protocol = t->protocol == WDS__APPLICATION_TUNNEL__PROTOCOL__PROXY;
	return wds_port(w, "applicationTunnel.port", t->port, 0, &to->app_tunnel_port);
}

static bool read_names(struct wds_walk *w, const Wds__Workload *from, struct workload *to)
{
	static const char format[] = "spiffe://%s/ns/%s/sa/%s";
	size_t n;
	char *id;

	if (!*from->uid)
		return wds_fail(w, "uid", "is missing");
	to->uid = from->uid;
	to->name = from->name;
	to->ns = from->namespace_;
	to->trust_domain = or(from->trust_domain, "cluster.local");
	to->service_account = or(from->service_account, "default");
	if (!wds_name(w, "namespace", to->ns, true) || !wds_name(w, "trustDomain", to->trust_domain, false) ||
	    !wds_name(w, "serviceAccount", to->service_account, false))
		return false;
	n = sizeof(format) + strlen(to->trust_domain) + strlen(to->ns) + strlen(to->service_account);
	id = arena_alloc(w->arena, n);
	snprintf(id, n, format, to->trust_domain, to->ns, to->service_account);
	to->identity = id;
	to->network = from->network;
	to->hostname = from->hostname;
	to->cluster = or(from->cluster_id, "Kubernetes");
	to->node = from->node;
	to->canonical_name = from->canonical_name;
	to->canonical_revision = from->canonical_revision;
	to->workload_name = from->workload_name;
	if (from->locality)
		to->locality = (struct locality){ from->locality->region, from->locality->zone, from->locality->subzone };
	to->policies = (const char *const *)from->authorization_policies;
	to->n_policies = (int)from->n_authorization_policies;
	return true;
}

bool wds_read_workload(struct wds_walk *w, const Wds__Workload *from, struct workload *ret, struct member **members, int *n_members)
{
	struct workload to = { .healthy = true };

	if (!read_names(w, from, &to) || !read_addresses(w, from, &to) || !read_modes(w, from, &to) ||
	    !read_gateway(w, "waypoint", from->waypoint, &to.waypoint) ||
	    !read_gateway(w, "networkGateway", from->network_gateway, &to.network_gateway) ||
	    !read_members(w, from, members, n_members))
		return false;
	*ret = to;
	return true;
}

/* --- service --- */

static bool read_vips(struct wds_walk *w, const Wds__Service *from, struct service *to)
{
	struct vip *vips = take(w, from->n_addresses, sizeof(*vips));

	for (size_t i = 0; i < from->n_addresses; i++) {
		const Wds__NetworkAddress *a = from->addresses[i];
		bool block = a->prefix_case == WDS__NETWORK_ADDRESS__PREFIX_LENGTH;
		char field[32];

		snprintf(field, sizeof(field), "addresses[%zu]", i);
		vips[i].network = a->network;
		if (!wds_cidr(w, field, &a->address, block ? a->length : a->address.len == 4 ? 32 : 128, &vips[i].cidr))
			return false;
	}
	to->vips = vips;
	to->n_vips = (int)from->n_addresses;
	return true;
}

static bool read_ports(struct wds_walk *w, const Wds__Service *from, struct service *to)
{
	static const char *const protocols[] = { "", "HTTP", "HTTP2", "GRPC", "TCP", "TLS" };
	struct service_port *ports = take(w, from->n_ports, sizeof(*ports));
	size_t len = strlen(w->path);

	for (size_t i = 0; i < from->n_ports; i++) {
		unsigned protocol = (unsigned)from->ports[i]->app_protocol;

		wds_enter(w, "ports", (int)i);
		if (!read_port(w, from->ports[i], &ports[i].port, &ports[i].target))
			return false;
		wds_leave(w, len);
		ports[i].named = !ports[i].target;
		ports[i].protocol = protocol < ARRAY_LEN(protocols) ? protocols[protocol] : "";
	}
	to->ports = ports;
	to->n_ports = (int)from->n_ports;
	return true;
}

static bool read_balancing(struct wds_walk *w, const Wds__LoadBalancing *from, struct service *to)
{
	static const enum lb_scope scopes[] = {
		[WDS__LOAD_BALANCING__SCOPE__REGION] = LB_REGION, [WDS__LOAD_BALANCING__SCOPE__ZONE] = LB_ZONE,
		[WDS__LOAD_BALANCING__SCOPE__SUBZONE] = LB_SUBZONE, [WDS__LOAD_BALANCING__SCOPE__NODE] = LB_NODE,
		[WDS__LOAD_BALANCING__SCOPE__CLUSTER] = LB_CLUSTER, [WDS__LOAD_BALANCING__SCOPE__NETWORK] = LB_NETWORK,
	};
	static const enum lb_mode modes[] = { LB_STANDARD, LB_STRICT, LB_FAILOVER, LB_PASSTHROUGH };

	if (!from)
		return true;
	if ((unsigned)from->mode >= ARRAY_LEN(modes))
		return wds_fail(w, "loadBalancing.mode", "want STRICT, FAILOVER or PASSTHROUGH, got %d", from->mode);
	if ((unsigned)from->health_policy > WDS__LOAD_BALANCING__HEALTH_POLICY__ALLOW_ALL)
		return wds_fail(w, "loadBalancing.healthPolicy", "want ONLY_HEALTHY or ALLOW_ALL, got %d", from->health_policy);
	for (size_t i = 0; i < from->n_routing_preference; i++) {
		unsigned scope = (unsigned)from->routing_preference[i];

		if (scope == WDS__LOAD_BALANCING__SCOPE__UNSPECIFIED_SCOPE)
			continue;
		if (scope >= ARRAY_LEN(scopes))
			return wds_fail(w, "loadBalancing.routingPreference", "the scope %u is not known to this version", scope);
		if (to->n_scopes == (int)ARRAY_LEN(to->scopes))
			return wds_fail(w, "loadBalancing.routingPreference", "want at most %zu scopes", ARRAY_LEN(to->scopes));
		to->scopes[to->n_scopes++] = scopes[scope];
	}
	to->lb_mode = modes[from->mode];
	to->allow_unhealthy = from->health_policy == WDS__LOAD_BALANCING__HEALTH_POLICY__ALLOW_ALL;
	return true;
}

static bool read_waypoints(struct wds_walk *w, const Wds__Service *from, struct service *to)
{
	struct weighted_gateway *v = take(w, from->n_weighted_waypoints, sizeof(*v));

	for (size_t i = 0; i < from->n_weighted_waypoints; i++) {
		const Wds__WeightedWaypoint *g = from->weighted_waypoints[i];
		char field[64];

		snprintf(field, sizeof(field), "weightedWaypoints[%zu].destination", i);
		if (!g->destination)
			return wds_fail(w, field, "is missing");
		if (!read_destination(w, field, g->destination, &v[i].gateway))
			return false;
		v[i].weight = g->weight;
	}
	to->waypoints = v;
	to->n_waypoints = (int)from->n_weighted_waypoints;
	return read_gateway(w, "waypoint", from->waypoint, &to->waypoint);
}

bool wds_read_service(struct wds_walk *w, const Wds__Service *from, struct service *ret)
{
	static const enum ip_families families[] = { FAMILIES_ANY, FAMILIES_V4, FAMILIES_V6, FAMILIES_DUAL };
	struct service to = { .name = from->name, .ns = from->namespace_, .hostname = from->hostname, .canonical = from->canonical };
	size_t n = strlen(from->namespace_) + strlen(from->hostname) + 2;
	char *key = arena_alloc(w->arena, n);

	if (!wds_name(w, "namespace", from->namespace_, false) || !wds_name(w, "hostname", from->hostname, false))
		return false;
	if ((unsigned)from->ip_families >= ARRAY_LEN(families))
		return wds_fail(w, "ipFamilies", "want AUTOMATIC, IPV4_ONLY, IPV6_ONLY or DUAL, got %d", from->ip_families);
	snprintf(key, n, "%s/%s", from->namespace_, from->hostname);
	to.key = key;
	to.families = families[from->ip_families];
	to.sans = (const char *const *)from->subject_alt_names;
	to.n_sans = (int)from->n_subject_alt_names;
	to.hidden_outside_ns = from->visibility == WDS__SERVICE__VISIBILITY__NAMESPACE;
	if (!read_vips(w, from, &to) || !read_ports(w, from, &to) || !read_balancing(w, from->load_balancing, &to) ||
	    !read_waypoints(w, from, &to))
		return false;
	*ret = to;
	return true;
}
