/* SPDX-License-Identifier: Apache-2.0 */
/* What a plan says beyond where a request goes, in the words of Envoy's configuration where it has them. */
#include <stdio.h>

#include "tests/interop/decide.h"

static json_t *strings(const char *const *v, int n)
{
	json_t *a = json_array();

	for (int i = 0; i < n; i++)
		json_array_append_new(a, json_string(v[i]));
	return a;
}

static json_t *retry(const struct retry_policy *r)
{
	static const char *const words[] = {
		"5xx", "gateway-error", "reset", "connect-failure", "refused-stream", "retriable-status-codes", "retriable-4xx", "retriable-headers",
		"envoy-ratelimited", "reset-before-request", "cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable", "http3-post-connect-failure",
	};
	json_t *on = json_array(), *codes = json_array();

	for (int i = 0; i < 16; i++)
		if (r->on >> i & 1)
			json_array_append_new(on, json_string(words[i]));
	for (int i = 0; i < r->n_codes; i++)
		json_array_append_new(codes, json_integer(r->codes[i]));
	return json_pack("{s:o, s:o, s:i, s:i, s:i, s:b, s:b}", "on", on, "codes", codes, "attempts", r->attempts, "per_try", (int)r->per_try_ms,
			 "backoff", (int)r->backoff_ms, "previous_hosts", r->previous_hosts, "remote", r->remote_localities);
}

static json_t *hash(const struct hash_conf *h)
{
	static const char *const kinds[] = { "", "header", "cookie", "source_ip", "query" };

	if (!h->by)
		return json_null();
	return json_pack("[s, s, s, i]", kinds[h->by], h->name ? h->name : "", h->cookie_path ? h->cookie_path : "", h->cookie_make ? (int)h->cookie_ttl_s : -1);
}

static json_t *route(const struct route *r)
{
	json_t *mirrors = json_array(), *targets = json_array();

	for (int i = 0; i < r->n_mirrors; i++)
		json_array_append_new(mirrors, json_pack("[s, i, i]", cluster_conf(r->mirrors[i].cluster)->name, (int)r->mirrors[i].share.parts, (int)r->mirrors[i].share.of));
	for (int i = 0; i < r->n_targets; i++)
		json_array_append_new(targets, json_pack("[s, i]", r->targets[i].cluster_name, (int)r->targets[i].weight));
	return json_pack("{s:s?, s:s?, s:i, s:i, s:i, s:o, s:o, s:o, s:o}", "name", r->name, "operation", r->operation, "action", r->action,
			 "timeout", (int)r->timeout_ms, "grpc_timeout", (int)r->max_grpc_timeout_ms, "retry", r->retry.attempts ? retry(&r->retry) : json_null(),
			 "mirrors", mirrors, "targets", targets, "hash", hash(&r->hash));
}

static json_t *vhosts(const struct route_table *t)
{
	json_t *list = json_array();
	const struct vhost *v;
	int n = 0;

	for (v = t ? route_table_vhosts(t, &n) : NULL; n > 0; v++, n--) {
		json_t *routes = json_array();

		for (int i = 0; i < v->n_routes; i++)
			json_array_append_new(routes, route(&v->routes[i]));
		json_array_append_new(list, json_pack("{s:s, s:o, s:o}", "name", v->name, "domains", strings(v->domains, v->n_domains), "routes", routes));
	}
	return list;
}

static json_t *rows(const struct l4_route *r, int n)
{
	json_t *list = json_array();

	for (int i = 0; i < n; i++) {
		json_t *targets = json_array();
		char text[ADDR_TEXT] = "";

		for (int k = 0; k < r[i].n_targets; k++)
			json_array_append_new(targets, json_pack("[s, i]", r[i].targets[k].cluster_name, (int)r[i].targets[k].weight));
		json_array_append_new(list, json_pack("{s:s, s:s, s:o, s:i}", "sni", r[i].n_sni ? r[i].sni[0] : "", "to", r[i].n_to ? cidr_format(r[i].to, text) : "",
						      "targets", targets, "idle", (int)r[i].idle_ms));
	}
	return list;
}

static void add_cluster(struct cluster *cl, void *arg)
{
	static const char *const kinds[] = { "EDS", "STATIC", "DNS", "ORIGINAL_DST", "WAYPOINT", "NAMED", "NAME", "BLACKHOLE" };
	static const char *const lbs[] = { "LEAST_REQUEST", "ROUND_ROBIN", "RANDOM", "RING_HASH", "MAGLEV" };
	static const char *const tls[] = { "AUTO", "DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL" };
	const struct cluster_conf *c = cluster_conf(cl);
	const struct pool_conf *p = &c->pool;
	const struct outlier_conf *o = &c->outlier;
	json_t *out = json_pack("{s:s, s:s, s:[I,I,I,I], s:i, s:i, s:i, s:i, s:i, s:b, s:s, s:s?, s:o}", "type", kinds[c->kind], "lb", lbs[c->lb.policy], "thresholds",
				(json_int_t)p->max_connections, (json_int_t)p->max_pending, (json_int_t)p->max_requests, (json_int_t)p->max_retries,
				"connect", (int)p->connect_ms, "idle", (int)p->idle_ms, "per_connection", (int)p->max_requests_per_connection,
				"streams", (int)p->max_concurrent_streams, "duration", (int)p->max_connection_ms, "h2", c->http2 || p->h2 == H2_ALWAYS, "tls", tls[c->tls.mode],
				"sni", c->tls.sni, "sans", strings(c->tls.sans, c->tls.n_sans));

	if (o->on)
		json_object_set_new(out, "outlier", json_pack("[i, i, i, i, i, i]", (int)o->consecutive_5xx, (int)o->consecutive_gateway, (int)o->interval_ms,
							      (int)o->base_ms, (int)o->max_percent, (int)o->min_health_percent));
	json_object_set_new((json_t *)arg, c->name, out);
}

/* "ns/host:port", "" for workloads that are asked for by their own address. */
static json_t *served(const struct plan *p)
{
	json_t *list = json_object();
	const struct inbound_port *in;
	char name[600];

	for (int i = 0; (in = plan_inbound_at(p, i)); i++) {
		snprintf(name, sizeof(name), in->port ? "%s:%u" : "", in->service, in->port);
		json_object_set_new(list, name, json_pack("{s:o, s:o, s:o}", "vhosts", vhosts(in->http), "tls", rows(in->by_sni, in->n_by_sni), "tcp", rows(in->bytes, in->n_bytes)));
	}
	return list;
}

json_t *decide_dump(const struct plan *p, bool waypoint)
{
	json_t *ports = json_object(), *clusters = json_object();
	const struct outbound_port *o;

	for (int i = 0; (o = plan_outbound_at(p, i)); i++)
		json_object_set_new(ports, o->name, json_pack("{s:i, s:o, s:o, s:o}", "protocol", o->protocol, "vhosts", vhosts(o->http), "tls", rows(o->tls, o->n_tls),
							      "tcp", rows(o->tcp, o->n_tcp)));
	plan_each_cluster(p, add_cluster, clusters);
	return json_pack("{s:o, s:o, s:o}", "listeners", ports, "clusters", clusters, "served", waypoint ? served(p) : json_object());
}
