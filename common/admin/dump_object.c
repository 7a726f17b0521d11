/* SPDX-License-Identifier: Apache-2.0 */
/* The mesh's objects with ztunnel's names and spellings, as `istioctl ztunnel-config` reads them. */
#include "admin/dump_object.h"

#include <stdio.h>

void dump_texts(struct json *j, const char *key, const char *const *text, int n)
{
	json_open(j, key, '[');
	for (int i = 0; i < n; i++)
		json_text(j, NULL, text[i]);
	json_close(j, ']');
}

static void put_optional(struct json *j, const char *key, const char *value)
{
	if (value[0])
		json_text(j, key, value);
}

/* "ns/hostname", or "network/ip". */
static void put_gateway(struct json *j, const char *key, const struct gateway *g)
{
	char ip[ADDR_TEXT], at[512];

	if (!g)
		return;
	json_open(j, key, '{');
	if (g->service[0]) {
		json_text(j, "destination", g->service);
	} else {
		snprintf(at, sizeof(at), "%s/%s", g->network, ip_format(&g->ip, ip));
		json_text(j, "destination", at);
	}
	json_number(j, "hboneMtlsPort", g->hbone_port);
	json_close(j, '}');
}

static void put_locality(struct json *j, const struct locality *l)
{
	json_open(j, "locality", '{');
	put_optional(j, "region", l->region);
	put_optional(j, "zone", l->zone);
	put_optional(j, "subzone", l->subzone);
	json_close(j, '}');
}

static void put_app_tunnel(struct json *j, const struct workload *w)
{
	if (!w->proxy_protocol && !w->app_tunnel_port)
		return;
	json_open(j, "applicationTunnel", '{');
	json_text(j, "protocol", w->proxy_protocol ? "PROXY" : "NONE");
	if (w->app_tunnel_port)
		json_number(j, "port", w->app_tunnel_port);
	json_close(j, '}');
}

void dump_workload(struct json *j, const struct workload *w)
{
	char text[ADDR_TEXT];

	json_open(j, NULL, '{');
	json_open(j, "workloadIps", '[');
	for (int i = 0; i < w->n_ips; i++)
		json_text(j, NULL, ip_format(&w->ips[i], text));
	json_close(j, ']');
	put_gateway(j, "waypoint", w->waypoint);
	put_gateway(j, "networkGateway", w->network_gateway);
	json_text(j, "protocol", w->tunnel == TUNNEL_HBONE ? "HBONE" : w->tunnel == TUNNEL_ISTIO_MTLS ? "LegacyIstioMtls" : "TCP");
	json_text(j, "networkMode", w->host_network ? "HostNetwork" : "Standard");
	json_text(j, "uid", w->uid);
	json_text(j, "name", w->name);
	json_text(j, "namespace", w->ns);
	put_optional(j, "trustDomain", w->trust_domain);
	put_optional(j, "serviceAccount", w->service_account);
	put_optional(j, "network", w->network);
	put_optional(j, "workloadName", w->workload_name);
	put_optional(j, "workloadType", w->workload_type);
	put_optional(j, "canonicalName", w->canonical_name);
	put_optional(j, "canonicalRevision", w->canonical_revision);
	put_optional(j, "hostname", w->hostname);
	put_optional(j, "node", w->node);
	if (w->native_tunnel)
		json_bool(j, "nativeTunnel", true);
	put_app_tunnel(j, w);
	if (w->n_policies)
		dump_texts(j, "authorizationPolicies", w->policies, w->n_policies);
	json_text(j, "status", w->healthy ? "Healthy" : "Unhealthy");
	json_text(j, "clusterId", w->cluster);
	put_locality(j, &w->locality);
	if (w->n_services)
		dump_texts(j, "services", w->services, w->n_services);
	json_number(j, "capacity", w->weight ? w->weight : 1);
	json_close(j, '}');
}

static void put_ports(struct json *j, const char *key, const struct service_port *ports, int n)
{
	char text[8];

	json_open(j, key, '{');
	for (int i = 0; i < n; i++) {
		snprintf(text, sizeof(text), "%u", ports[i].port);
		json_number(j, text, ports[i].target ? ports[i].target : ports[i].port);
	}
	json_close(j, '}');
}

static void put_vips(struct json *j, const struct service *s)
{
	char text[ADDR_TEXT], vip[512];
	int blocks = 0;

	json_open(j, "vips", '[');
	for (int i = 0; i < s->n_vips; i++) {
		blocks += s->vips[i].cidr.bits != 128;
		if (s->vips[i].cidr.bits != 128)
			continue;
		snprintf(vip, sizeof(vip), "%s/%s", s->vips[i].network, ip_format(&s->vips[i].cidr.ip, text));
		json_text(j, NULL, vip);
	}
	json_close(j, ']');
	if (!blocks)
		return;
	json_open(j, "cidrVips", '[');
	for (int i = 0; i < s->n_vips; i++) {
		if (s->vips[i].cidr.bits == 128)
			continue;
		json_open(j, NULL, '{');
		json_text(j, "network", s->vips[i].network);
		json_text(j, "cidr", cidr_format(&s->vips[i].cidr, text));
		json_close(j, '}');
	}
	json_close(j, ']');
}

static void put_lb(struct json *j, const struct service *s)
{
	static const char *const scopes[] = { "Network", "Region", "Zone", "Subzone", "Node", "Cluster" };
	static const char *const modes[] = { "Standard", "Strict", "Failover", "Passthrough" };

	if (s->lb_mode == LB_STANDARD && !s->n_scopes && !s->allow_unhealthy)
		return;
	json_open(j, "loadBalancer", '{');
	json_open(j, "routingPreferences", '[');
	for (int i = 0; i < s->n_scopes; i++)
		json_text(j, NULL, scopes[s->scopes[i]]);
	json_close(j, ']');
	json_text(j, "mode", modes[s->lb_mode]);
	json_text(j, "healthPolicy", s->allow_unhealthy ? "AllowAll" : "OnlyHealthy");
	json_close(j, '}');
}

static void put_endpoint_ports(struct json *j, const struct endpoint *e)
{
	char text[8];

	json_open(j, "port", '{');
	for (int i = 0; i < e->n_ports; i++) {
		snprintf(text, sizeof(text), "%u", e->ports[i].port);
		json_number(j, text, e->ports[i].target ? e->ports[i].target : e->ports[i].port);
	}
	json_close(j, '}');
}

static void put_waypoints(struct json *j, const struct service *s)
{
	put_gateway(j, "waypoint", s->waypoint);
	if (!s->n_waypoints)
		return;
	json_open(j, "weightedWaypoints", '[');
	for (int i = 0; i < s->n_waypoints; i++) {
		json_open(j, NULL, '{');
		put_gateway(j, "destination", &s->waypoints[i].gateway);
		json_number(j, "weight", s->waypoints[i].weight);
		json_close(j, '}');
	}
	json_close(j, ']');
}

void dump_service_open(struct json *j, const struct service *s)
{
	static const char *const families[] = { "", "IPv4", "IPv6", "Dual" };

	json_open(j, NULL, '{');
	json_text(j, "name", s->name);
	json_text(j, "namespace", s->ns);
	json_text(j, "hostname", s->hostname);
	put_vips(j, s);
	put_ports(j, "ports", s->ports, s->n_ports);
	dump_texts(j, "subjectAltNames", s->sans, s->n_sans);
	put_waypoints(j, s);
	put_lb(j, s);
	put_optional(j, "ipFamilies", families[s->families]);
	json_bool(j, "canonical", s->canonical);
	json_text(j, "visibility", s->hidden_outside_ns ? "Namespace" : "Public");
	json_open(j, "endpoints", '{');
}

void dump_endpoint(struct json *j, const struct service *s, const struct endpoint *e)
{
	json_open(j, e->workload->uid, '{');
	json_text(j, "workloadUid", e->workload->uid);
	if (e->n_ports)
		put_endpoint_ports(j, e);
	else
		put_ports(j, "port", s->ports, s->n_ports);
	json_text(j, "status", e->workload->healthy ? "Healthy" : "Unhealthy");
	json_close(j, '}');
}

void dump_service_close(struct json *j)
{
	json_close(j, '}');
	json_close(j, '}');
}

/* --- policies --- */

static void put_matches(struct json *j, const char *key, const struct match *m, int n)
{
	static const char *const kinds[] = { "Exact", "Prefix", "Suffix", "Presence" };

	if (!n)
		return;
	json_open(j, key, '[');
	for (int i = 0; i < n; i++) {
		json_open(j, NULL, '{');
		if (m[i].kind == MATCH_PRESENCE) {
			json_open(j, kinds[m[i].kind], '[');
			json_close(j, ']');
		} else {
			json_text(j, kinds[m[i].kind], m[i].text);
		}
		json_close(j, '}');
	}
	json_close(j, ']');
}

static void put_accounts(struct json *j, const char *key, const struct ns_sa *a, int n)
{
	if (!n)
		return;
	json_open(j, key, '[');
	for (int i = 0; i < n; i++) {
		json_open(j, NULL, '{');
		json_text(j, "namespace", a[i].ns);
		json_text(j, "serviceAccount", a[i].sa);
		json_close(j, '}');
	}
	json_close(j, ']');
}

static void put_cidrs(struct json *j, const char *key, const struct cidr *c, int n)
{
	char text[ADDR_TEXT];

	if (!n)
		return;
	json_open(j, key, '[');
	for (int i = 0; i < n; i++)
		json_text(j, NULL, cidr_format(&c[i], text));
	json_close(j, ']');
}

static void put_dest_ports(struct json *j, const char *key, const uint16_t *ports, int n)
{
	if (!n)
		return;
	json_open(j, key, '[');
	for (int i = 0; i < n; i++)
		json_number(j, NULL, ports[i]);
	json_close(j, ']');
}

static void put_match(struct json *j, const struct policy_match *m)
{
	static const char *const keys[][2] = {
		{ "namespaces", "notNamespaces" }, { "serviceAccounts", "notServiceAccounts" },
		{ "principals", "notPrincipals" }, { "sourceIps", "notSourceIps" },
		{ "destinationIps", "notDestinationIps" }, { "destinationPorts", "notDestinationPorts" },
	};

	json_open(j, NULL, '{');
	for (int not = 0; not < 2; not++) {
		put_matches(j, keys[0][not], m->namespaces[not], m->n_namespaces[not]);
		put_accounts(j, keys[1][not], m->service_accounts[not], m->n_service_accounts[not]);
		put_matches(j, keys[2][not], m->principals[not], m->n_principals[not]);
		put_cidrs(j, keys[3][not], m->source_ips[not], m->n_source_ips[not]);
		put_cidrs(j, keys[4][not], m->dest_ips[not], m->n_dest_ips[not]);
		put_dest_ports(j, keys[5][not], m->dest_ports[not], m->n_dest_ports[not]);
	}
	json_close(j, '}');
}

static void put_rules(struct json *j, const struct policy *p)
{
	json_open(j, "rules", '[');
	for (int r = 0; r < p->n_rules; r++) {
		json_open(j, NULL, '[');
		for (int c = 0; c < p->rules[r].n_clauses; c++) {
			const struct policy_clause *clause = &p->rules[r].clauses[c];

			json_open(j, NULL, '[');
			for (int m = 0; m < clause->n_matches; m++)
				put_match(j, &clause->matches[m]);
			json_close(j, ']');
		}
		json_close(j, ']');
	}
	json_close(j, ']');
}

static void put_targets(struct json *j, const struct target_ref *v, int n)
{
	static const char *const kinds[] = {
		[TARGET_GATEWAY] = "Gateway", [TARGET_GATEWAY_CLASS] = "GatewayClass", [TARGET_SERVICE] = "Service", [TARGET_SERVICE_ENTRY] = "ServiceEntry",
	};

	if (!n)
		return;
	json_open(j, "targetRefs", '[');
	for (int i = 0; i < n; i++) {
		json_open(j, NULL, '{');
		json_text(j, "kind", kinds[v[i].kind]);
		json_text(j, "name", *v[i].name ? v[i].name : "*");      /* of a broken one: cannot be read */
		json_close(j, '}');
	}
	json_close(j, ']');
}

void dump_policy(struct json *j, const struct policy *p)
{
	static const char *const scopes[] = {
		[POLICY_GLOBAL] = "Global", [POLICY_NAMESPACE] = "Namespace", [POLICY_SELECTOR] = "WorkloadSelector", [POLICY_TARGETS] = "Targets",
	};
	static const char *const actions[] = { [POLICY_ALLOW] = "Allow", [POLICY_DENY] = "Deny", [POLICY_AUDIT] = "Audit", [POLICY_CUSTOM] = "Custom" };

	json_open(j, NULL, '{');
	json_text(j, "name", p->name);
	json_text(j, "namespace", p->ns);
	json_text(j, "scope", scopes[p->scope]);
	put_targets(j, p->targets, p->n_targets);
	json_text(j, "action", actions[p->action]);
	json_bool(j, "dryRun", p->dry_run);
	put_rules(j, p);
	put_optional(j, "where", p->where);
	if (p->broken)
		json_text(j, "problem", p->problem);
	json_close(j, '}');
}

void dump_peer_authn(struct json *j, const struct peer_authn *p)
{
	static const char *const modes[] = { "UNSET", "DISABLE", "PERMISSIVE", "STRICT" };
	char text[8];

	json_open(j, NULL, '{');
	json_text(j, "name", p->name);
	json_text(j, "namespace", p->ns);
	json_text(j, "mode", modes[p->mode]);
	json_open(j, "portLevelMtls", '{');
	for (int i = 0; i < p->n_ports; i++) {
		snprintf(text, sizeof(text), "%u", p->ports[i].port);
		json_text(j, text, modes[p->ports[i].mode]);
	}
	json_close(j, '}');
	put_optional(j, "where", p->where);
	if (p->broken)
		json_text(j, "problem", p->problem);
	json_close(j, '}');
}
