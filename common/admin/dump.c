/* SPDX-License-Identifier: Apache-2.0 */
/* /config_dump, in the shape that `istioctl ztunnel-config` reads: ztunnel's names and spellings. */
#include <stdio.h>

#include "admin/admin_int.h"
#include "model/mesh.h"

static void put_texts(struct json *j, const char *key, const char *const *text, int n)
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

static bool put_workload(struct workload *w, void *arg)
{
	struct json *j = arg;
	char text[ADDR_TEXT];

	json_open(j, NULL, '{');
	json_open(j, "workloadIps", '[');
	for (int i = 0; i < w->n_ips; i++)
		json_text(j, NULL, ip_format(&w->ips[i], text));
	json_close(j, ']');
	json_text(j, "protocol", w->tunnel == TUNNEL_HBONE ? "HBONE" : "TCP");
	json_text(j, "uid", w->uid);
	json_text(j, "name", w->name);
	json_text(j, "namespace", w->ns);
	put_optional(j, "trustDomain", w->trust_domain);
	json_text(j, "serviceAccount", w->service_account);
	put_optional(j, "network", w->network);
	json_text(j, "workloadName", w->workload_name);
	json_text(j, "workloadType", w->workload_type);
	json_text(j, "canonicalName", w->canonical_name);
	json_text(j, "canonicalRevision", w->canonical_revision);
	put_optional(j, "hostname", w->hostname);
	json_text(j, "node", w->node);
	if (w->n_policies)
		put_texts(j, "authorizationPolicies", w->policies, w->n_policies);
	json_text(j, "status", w->healthy ? "Healthy" : "Unhealthy");
	json_text(j, "clusterId", w->cluster);
	json_open(j, "locality", '{');
	put_optional(j, "region", w->locality.region);
	put_optional(j, "zone", w->locality.zone);
	put_optional(j, "subzone", w->locality.subzone);
	json_close(j, '}');
	json_number(j, "capacity", w->weight ? w->weight : 1);
	if (w->proxy_protocol || w->app_tunnel_port) {
		json_open(j, "applicationTunnel", '{');
		json_text(j, "protocol", w->proxy_protocol ? "PROXY" : "NONE");
		if (w->app_tunnel_port)
			json_number(j, "port", w->app_tunnel_port);
		json_close(j, '}');
	}
	json_close(j, '}');
	return true;
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

static void put_endpoints(struct json *j, const struct service *s)
{
	json_open(j, "endpoints", '{');
	for (int i = 0; i < s->endpoints->n; i++) {
		const struct endpoint *e = endpoints_at(s->endpoints, i);

		json_open(j, e->workload->uid, '{');
		json_text(j, "workloadUid", e->workload->uid);
		if (e->n_ports)
			put_endpoint_ports(j, e);
		else
			put_ports(j, "port", s->ports, s->n_ports);
		json_text(j, "status", e->workload->healthy ? "Healthy" : "Unhealthy");
		json_close(j, '}');
	}
	json_close(j, '}');
}

static bool put_service(struct service *s, void *arg)
{
	struct json *j = arg;

	json_open(j, NULL, '{');
	json_text(j, "name", s->name);
	json_text(j, "namespace", s->ns);
	json_text(j, "hostname", s->hostname);
	put_vips(j, s);
	put_ports(j, "ports", s->ports, s->n_ports);
	put_endpoints(j, s);
	put_texts(j, "subjectAltNames", s->sans, s->n_sans);
	put_lb(j, s);
	json_bool(j, "canonical", s->canonical);
	json_text(j, "visibility", s->hidden_outside_ns ? "Namespace" : "Public");
	json_close(j, '}');
	return true;
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

static bool put_policy(struct policy *p, void *arg)
{
	static const char *const scopes[] = { "Global", "Namespace", "WorkloadSelector" };
	struct json *j = arg;

	json_open(j, NULL, '{');
	json_text(j, "name", p->name);
	json_text(j, "namespace", p->ns);
	json_text(j, "scope", scopes[p->scope]);
	json_text(j, "action", p->action == POLICY_DENY ? "Deny" : "Allow");
	json_bool(j, "dryRun", p->dry_run);
	put_rules(j, p);
	put_optional(j, "where", p->where);
	if (p->broken)
		json_text(j, "problem", p->problem);
	json_close(j, '}');
	return true;
}

static bool put_peer_authn(struct peer_authn *p, void *arg)
{
	static const char *const modes[] = { "UNSET", "DISABLE", "PERMISSIVE", "STRICT" };
	struct json *j = arg;
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
	return true;
}

/* --- this process --- */

struct conn_list {
	struct json *j;
	int direction;
};

static void put_connection(const struct admin_connection *c, void *arg)
{
	struct conn_list *list = arg;
	struct json *j = list->j;
	char text[ADDR_TEXT];

	if ((int)c->direction != list->direction)
		return;
	json_open(j, NULL, '{');
	json_text(j, "src", addr_format(&c->source, text));
	if (c->direction == ADMIN_INBOUND && c->host[0])
		json_text(j, "originalDst", c->host);
	else if (c->direction == ADMIN_OUTBOUND && c->original.port)
		json_text(j, "originalDst", addr_format(&c->original, text));
	else
		json_null(j, "originalDst");
	json_text(j, "actualDst", addr_format(&c->actual, text));
	json_text(j, "protocol", c->protocol);
	json_close(j, '}');
}

struct state_list {
	struct admin *admin;
	struct json *j;
};

static void put_state(const struct admin_workload *w, void *arg)
{
	struct state_list *list = arg;
	struct admin *a = list->admin;
	struct json *j = list->j;
	struct str name, ns = str_cut(str_c(w->name), '/', &name);

	json_open(j, w->workload ? w->workload->uid : w->name, '{');
	json_text(j, "state", w->up ? "Up" : "Pending");
	json_open(j, "connections", '{');
	for (int d = ADMIN_INBOUND; d <= ADMIN_OUTBOUND; d++) {
		struct conn_list conns = { j, d };

		json_open(j, d == ADMIN_INBOUND ? "inbound" : "outbound", '[');
		if (w->workload && a->ops->each_connection)
			a->ops->each_connection(a->arg, w->workload->uid, put_connection, &conns);
		json_close(j, ']');
	}
	json_close(j, '}');
	json_open(j, "info", '{');
	json_str(j, "name", w->workload ? str_c(w->workload->name) : name);
	json_str(j, "namespace", w->workload ? str_c(w->workload->ns) : ns);
	json_text(j, "serviceAccount", w->workload ? w->workload->service_account : "");
	json_close(j, '}');
	json_close(j, '}');
}

static void put_config(struct json *j, const struct admin *a, const struct mesh *m)
{
	const struct mesh_settings *s = mesh_settings(m);

	json_open(j, "config", '{');
	json_text(j, "mode", a->conf.mode);
	json_number(j, "generation", mesh_generation(m));
	json_number(j, "adminPort", a->conf.admin_port);
	json_number(j, "statsPort", a->conf.stats_port);
	json_number(j, "readinessPort", a->conf.ready_port);
	json_text(j, "trustDomain", s->trust_domain);
	put_texts(j, "trustDomainAliases", s->aliases, s->n_aliases);
	json_text(j, "rootNamespace", s->root_ns);
	json_text(j, "clusterDomain", s->cluster_domain);
	json_text(j, "network", s->network);
	json_text(j, "clusterId", s->cluster);
	json_number(j, "connectTimeoutMs", s->connect_timeout_ms);
	json_bool(j, "strict", s->strict);
	json_close(j, '}');
}

void dump_write(struct admin *a, struct buf *out)
{
	const struct mesh *m = mesh_current();
	struct json j = { .out = out };

	json_open(&j, NULL, '{');
	json_open(&j, "workloads", '[');
	mesh_each_workload(m, put_workload, &j);
	json_close(&j, ']');
	json_open(&j, "services", '[');
	mesh_each_service(m, put_service, &j);
	json_close(&j, ']');
	json_open(&j, "policies", '[');
	mesh_each_policy(m, put_policy, &j);
	json_close(&j, ']');
	json_open(&j, "peerAuthentications", '[');
	mesh_each_peer_authn(m, put_peer_authn, &j);
	json_close(&j, ']');
	json_key(&j, "certificates");
	if (a->conf.identity)
		identity_dump(a->conf.identity, out);
	else
		buf_puts(out, "[]");
	json_open(&j, "workloadState", '{');
	if (a->ops->each_workload)
		a->ops->each_workload(a->arg, put_state, &(struct state_list){ a, &j });
	json_close(&j, '}');
	put_config(&j, a, m);
	json_open(&j, "version", '{');
	json_text(&j, "version", a->conf.version);
	json_close(&j, '}');
	json_close(&j, '}');
	buf_puts(out, "\n");
}
