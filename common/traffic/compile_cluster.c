/* SPDX-License-Identifier: Apache-2.0 */
/* Clusters: each port and subset of each service, with Istio's defaults where its DestinationRule is silent. */
#include <stdlib.h>

#include "traffic/compile_int.h"

#define HTTP_IDLE_MS     3600000
#define PASS_IDLE_MS     300000          /* of PassthroughCluster */
#define KEEPALIVE_UNSET  0

struct cluster *compile_cluster(struct compile *c, const struct cluster_conf *conf)
{
	struct cluster *x = map_get(&c->p->clusters, str_c(conf->name));

	if (x)
		return x;
	x = cluster_new(conf, c->before ? plan_cluster(c->before, str_c(conf->name)) : NULL);
	map_put(&c->p->clusters, str_c(cluster_conf(x)->name), x);
	return x;
}

/* ---- blocks of a DestinationRule ---- */

static uint32_t or_all(uint32_t v)
{
	return v ? v : UINT32_MAX;
}

static void fill_keepalive(const struct dr_keepalive *k, struct pool_conf *ret)
{
	if (!k)
		return;
	ret->keepalive.on = true;
	ret->keepalive.probes = k->probes;
	ret->keepalive.time_s = k->time.set ? k->time.ms / 1000 : KEEPALIVE_UNSET;
	ret->keepalive.interval_s = k->interval.set ? k->interval.ms / 1000 : KEEPALIVE_UNSET;
}

static void fill_http(const struct dr_http *h, struct pool_conf *ret)
{
	if (!h)
		return;
	ret->max_pending = or_all(h->http1_max_pending);
	ret->max_requests = or_all(h->http2_max_requests);
	ret->max_retries = or_all(h->max_retries);
	ret->max_requests_per_connection = h->max_requests_per_connection;
	ret->max_concurrent_streams = h->max_concurrent_streams;
	if (h->h2_keepalive) {
		ret->ping_ms = h->h2_keepalive->interval.ms;
		ret->ping_timeout_ms = h->h2_keepalive->timeout.ms;
	}
	if (h->use_client_protocol)
		ret->h2 = H2_AS_CLIENT;
	else if (h->h2_upgrade == DR_H2_UPGRADE)
		ret->h2 = H2_ALWAYS;
	else if (h->h2_upgrade == DR_H2_DO_NOT_UPGRADE)
		ret->h2 = H2_BY_PORT;    /* what speaks HTTP/2 by its port still does */
}

void compile_pool(struct compile *c, const struct blocks *b, struct pool_conf *ret)
{
	const struct dr_tcp *tcp = b->pool ? b->pool->tcp : NULL;
	const struct dr_http *http = b->pool ? b->pool->http : NULL;

	*ret = (struct pool_conf){
		.max_connections = UINT32_MAX, .max_pending = UINT32_MAX, .max_requests = UINT32_MAX, .max_retries = UINT32_MAX,
		.connect_ms = c->mc->connect_timeout_ms, .idle_ms = HTTP_IDLE_MS,
	};
	fill_keepalive(c->mc->keepalive, ret);
	fill_http(http, ret);
	if (tcp) {
		ret->max_connections = or_all(tcp->max_connections);
		ret->connect_ms = tcp->connect_timeout.set ? tcp->connect_timeout.ms : ret->connect_ms;
		ret->max_connection_ms = tcp->max_connection_duration.set ? tcp->max_connection_duration.ms : 0;
		fill_keepalive(tcp->keepalive, ret);
	}
	if (http && http->idle_timeout.set)
		ret->idle_ms = http->idle_timeout.ms;
	else if (tcp && tcp->idle_timeout.set)
		ret->idle_ms = tcp->idle_timeout.ms;
	if (b->proxy)
		ret->proxy_protocol = b->proxy->version == DR_PROXY_V2 ? 2 : 1;
	if (b->budget) {
		ret->retry_budget = true;
		ret->retry_budget_percent = b->budget->percent.set ? b->budget->percent.v : 20;
		ret->retry_min = b->budget->min_concurrency.set && b->budget->min_concurrency.v ? b->budget->min_concurrency.v : 3;
		ret->retry_budget_ms = b->budget->interval.set ? b->budget->interval.ms : 0;
	}
}

struct hash_conf compile_hash(struct compile *c, const struct dr_consistent_hash *h)
{
	struct hash_conf out = { .name = "", .cookie_path = "" };

	if (!h)
		return out;
	if (h->cookie) {
		const char **v = TMP(c, const char *, h->cookie->attributes.n);

		out.by = HASH_COOKIE;
		out.name = arena_dup(c->mem, str_c(h->cookie->name));
		out.cookie_path = arena_dup(c->mem, str_c(h->cookie->path));
		for (int i = 0; i < h->cookie->attributes.n; i++)
			v[i] = *h->cookie->attributes.v[i].value ? compile_printf(c->mem, "%s=%s", h->cookie->attributes.v[i].name, h->cookie->attributes.v[i].value)
							       : arena_dup(c->mem, str_c(h->cookie->attributes.v[i].name));
		out.n_cookie_attributes = h->cookie->attributes.n;
		if (out.n_cookie_attributes) {
			out.cookie_attributes = NEW(c, const char *, out.n_cookie_attributes);
			memcpy((void *)out.cookie_attributes, v, (size_t)out.n_cookie_attributes * sizeof(*v));
		}
		out.cookie_make = h->cookie->ttl.set;
		out.cookie_ttl_s = h->cookie->ttl.ms / 1000;
	} else if (*h->header) {
		out.by = HASH_HEADER;
		out.name = arena_dup(c->mem, str_c(h->header));
	} else if (*h->query_parameter) {
		out.by = HASH_QUERY;
		out.name = arena_dup(c->mem, str_c(h->query_parameter));
	} else if (h->source_ip) {
		out.by = HASH_SOURCE_IP;
	}
	if (h->maglev)
		out.table_size = h->maglev->table_size.set && h->maglev->table_size.v ? h->maglev->table_size.v : 65537;
	else if (h->ring_hash)
		out.ring_size = h->ring_hash->minimum_ring_size.set && h->ring_hash->minimum_ring_size.v ? h->ring_hash->minimum_ring_size.v : 1024;
	else
		out.ring_size = h->minimum_ring_size ? h->minimum_ring_size : 1024;
	return out;
}

static void fill_failover(struct compile *c, const struct dr_failover *v, int n, struct lb_conf *ret)
{
	struct locality_failover *f = TMP(c, struct locality_failover, n);

	for (int i = 0; i < n; i++)
		f[i] = (struct locality_failover){ v[i].from, v[i].to };
	ret->failover = f;
	ret->n_failover = n;
}

static void fill_locality(struct compile *c, const struct dr_locality *l, struct lb_conf *ret)
{
	struct locality_weight *d;

	ret->locality = !l || l->enabled != OPT_NO;
	if (!l || !ret->locality)
		return;
	d = TMP(c, struct locality_weight, l->distribute.n);
	for (int i = 0; i < l->distribute.n; i++) {
		const struct dr_distribute *from = &l->distribute.v[i];
		const char **to = TMP(c, const char *, from->to.n);
		uint32_t *weights = TMP(c, uint32_t, from->to.n);

		for (int k = 0; k < from->to.n; k++) {
			to[k] = from->to.v[k].key;
			weights[k] = from->to.v[k].percent;
		}
		d[i] = (struct locality_weight){ from->from, to, weights, from->to.n };
	}
	ret->distribute = d;
	ret->n_distribute = l->distribute.n;
	fill_failover(c, l->failover.v, l->failover.n, ret);
	ret->failover_priority = l->failover_priority.v;
	ret->n_failover_priority = l->failover_priority.n;
}

static void fill_zones(struct compile *c, const struct dr_zone_aware *z, struct lb_conf *ret)
{
	if (!z || z->enabled == OPT_NO)
		return;
	ret->zone_aware = true;
	ret->zone_min_size = z->min_cluster_size.set ? z->min_cluster_size.v : 6;
	fill_failover(c, z->failover.v, z->failover.n, ret);
	ret->failover_priority = z->failover_priority.v;
	ret->n_failover_priority = z->failover_priority.n;
}

static void fill_lb(struct compile *c, const struct dr_load_balancer *lb, struct lb_conf *ret)
{
	*ret = (struct lb_conf){ .policy = LB_LEAST_REQUEST, .hash = compile_hash(c, lb ? lb->consistent_hash : NULL) };
	ret->locality_own = lb && lb->locality;
	if (lb && lb->zone_aware)
		fill_zones(c, lb->zone_aware, ret);
	else if (c->mc->zone_aware && !ret->locality_own)
		fill_zones(c, c->mc->zone_aware, ret);
	if (!ret->zone_aware)
		fill_locality(c, ret->locality_own ? lb->locality : c->mc->locality, ret);
	if (!lb)
		return;
	if (lb->simple == DR_RANDOM)
		ret->policy = LB_RANDOM;
	else if (lb->simple == DR_ROUND_ROBIN)
		ret->policy = LB_ROUND_ROBIN;
	if (lb->consistent_hash)
		ret->policy = lb->consistent_hash->maglev ? LB_MAGLEV : LB_RING_HASH;
	if (lb->warmup && (ret->policy == LB_LEAST_REQUEST || ret->policy == LB_ROUND_ROBIN)) {
		ret->warmup_ms = lb->warmup->duration.ms;
		ret->warmup_min_percent = lb->warmup->minimum_percent.set ? (unsigned)lb->warmup->minimum_percent.v : 10;
		ret->warmup_aggression = lb->warmup->aggression.set ? lb->warmup->aggression.v : 1;
	} else if (lb->warmup_duration.set && (ret->policy == LB_LEAST_REQUEST || ret->policy == LB_ROUND_ROBIN)) {
		ret->warmup_ms = lb->warmup_duration.ms;
		ret->warmup_min_percent = 10;
		ret->warmup_aggression = 1;
	}
}

/* "503", or a class: "5xx". */
static void fill_codes(struct compile *c, const struct dr_outlier *o, struct outlier_conf *ret)
{
	uint16_t *codes = TMP(c, uint16_t, 100 * o->http_errors.n);

	for (int i = 0; i < o->http_errors.n; i++) {
		const char *text = o->http_errors.v[i];
		uint64_t code;

		if (strlen(text) == 3 && text[1] == 'x')
			for (int k = 0; k < 100; k++)
				codes[ret->n_codes++] = (uint16_t)((text[0] - '0') * 100 + k);
		else if (str_to_u64(str_c(text), &code) && code < 600)
			codes[ret->n_codes++] = (uint16_t)code;
	}
	ret->codes = ret->n_codes ? codes : NULL;
}

static uint32_t opt(struct opt_u32 o, uint32_t deflt)
{
	return o.set ? o.v : deflt;
}

static void fill_outlier(struct compile *c, const struct dr_outlier *o, struct outlier_conf *ret)
{
	*ret = (struct outlier_conf){ .on = o != NULL };
	if (!o)
		return;
	ret->consecutive_5xx = opt(o->consecutive_5xx, 5);
	ret->consecutive_gateway = opt(o->consecutive_gateway, 0);
	ret->split_local = o->split_external_local;
	ret->consecutive_local = o->split_external_local ? (opt(o->consecutive_local, 0) ? o->consecutive_local.v : 5) : 0;
	ret->interval_ms = o->interval.set ? o->interval.ms : 10000;
	ret->base_ms = o->base_ejection.set ? o->base_ejection.ms : 30000;
	ret->max_percent = o->max_ejection_percent ? o->max_ejection_percent : 10;
	ret->min_health_percent = o->min_health_percent;
	fill_codes(c, o, ret);
}

/* ---- TLS ---- */

struct authn { struct compile *c; const struct peer_authn *oldest; };

static bool older_authn(struct peer_authn *p, void *arg)
{
	struct authn *a = arg;

	if (!p->has_selector && (!a->oldest || p->created < a->oldest->created || (p->created == a->oldest->created && strcmp(p->name, a->oldest->name) < 0)))
		a->oldest = p;
	return true;
}

/* Whether the service's namespace, or the mesh, has switched mutual TLS off. */
static bool mtls_disabled(struct compile *c, const char *ns)
{
	const char *const levels[] = { ns, c->set->root_ns };

	for (int i = 0; i < 2; i++) {
		struct authn a = { c, NULL };

		mesh_each_peer_authn_in(c->m, str_c(levels[i]), older_authn, &a);
		if (a.oldest && a.oldest->mode != MTLS_UNSET)
			return a.oldest->mode == MTLS_DISABLE;
	}
	return false;
}

static void fill_tls(struct compile *c, const struct dr_tls *t, struct seen *s, uint16_t port, const char *subset, struct tls_conf *ret)
{
	*ret = (struct tls_conf){ .mode = TLS_AUTO, .cert = "", .key = "", .ca = "", .crl = "", .sni = "" };
	if (!t) {
		if (s->s->external || !c->mc->auto_mtls || mtls_disabled(c, s->s->ns))
			ret->mode = TLS_DISABLE;
	} else {
		static const enum tls_mode modes[] = {
			[DR_TLS_DISABLE] = TLS_DISABLE, [DR_TLS_SIMPLE] = TLS_SIMPLE, [DR_TLS_MUTUAL] = TLS_MUTUAL, [DR_TLS_ISTIO_MUTUAL] = TLS_ISTIO_MUTUAL,
		};

		*ret = (struct tls_conf){
			.mode = modes[t->mode], .cert = t->client_certificate, .key = t->private_key, .ca = t->ca_certificates, .crl = t->ca_crl,
			.sni = t->sni, .sans = t->subject_alt_names.v, .n_sans = t->subject_alt_names.n, .insecure = t->insecure_skip_verify == OPT_YES,
		};
	}
	if ((ret->mode == TLS_AUTO || ret->mode == TLS_ISTIO_MUTUAL) && !*ret->sni)
		ret->sni = compile_printf(&c->tmp, "outbound_.%u_.%s_.%s", port, subset, s->host);
	if (!ret->n_sans && ret->mode != TLS_DISABLE) {
		ret->sans = s->s->sans;
		ret->n_sans = s->s->n_sans;
	}
}

/* ---- the clusters ---- */

static enum cluster_kind kind_of(struct compile *c, const struct seen *x, const struct dr_load_balancer *lb)
{
	const struct service *s = x->s;

	if (s->resolution == RESOLUTION_DYNAMIC_DNS)
		return CLUSTER_NAMED;
	if (lb && lb->simple == DR_PASSTHROUGH)
		return CLUSTER_ORIGINAL_DST;
	switch (s->resolution) {
	case RESOLUTION_STATIC:
		return s->headless && !x->served ? CLUSTER_ORIGINAL_DST : CLUSTER_SERVICE;   /* who asks a waypoint names the service */
	case RESOLUTION_DNS:
	case RESOLUTION_DNS_ROUND_ROBIN:
		return CLUSTER_DNS;
	case RESOLUTION_NONE:
		return CLUSTER_ORIGINAL_DST;
	case RESOLUTION_DYNAMIC_DNS:
		break;
	}
	return CLUSTER_BLACKHOLE;
}

bool compile_through_waypoint(const struct compile *c, const struct service *s)
{
	return c->set->through_waypoints && service_has_waypoint(s) && !(s->core && s->headless);
}

void compile_report_subset(struct compile *c, const struct vs *v, const struct vs_destination *d, const struct cluster *to)
{
	bool own = false;        /* the rules of that very service are its waypoint's to follow */

	for (int i = 0; i < v->n_hosts; i++)
		own = own || !strcmp(v->hosts[i], d->host);
	if (to && *d->subset && !own && cluster_conf(to)->kind == CLUSTER_WAYPOINT)
		compile_report(c, &v->from->r, "the subset %s of %s is not chosen here: what is for that service goes to its waypoint", d->subset, d->host);
}

/* Of all ports and subsets alike: the client's own bytes in a tunnel. */
static void add_waypoint(struct compile *c, struct seen *s, const struct service_port *port, const char *subset)
{
	struct blocks none = { 0 };
	struct cluster_conf conf = {
		.name = compile_service_cluster(c, s, port->port, subset, true), .kind = CLUSTER_WAYPOINT, .service = s->s->key,
		.subset = subset, .port = port->port, .http2 = port->app == PROTOCOL_HTTP2 || port->app == PROTOCOL_GRPC, .unix_path = "",
		.tls = { .mode = TLS_DISABLE, .cert = "", .key = "", .ca = "", .crl = "", .sni = "" },
	};

	fill_lb(c, NULL, &conf.lb);
	compile_pool(c, &none, &conf.pool);
	conf.pool.h2 = H2_AS_CLIENT;
	compile_cluster(c, &conf);
}

static void add_cluster(struct compile *c, struct seen *s, const struct service_port *port, const struct rule *r, const struct dr_subset *subset, bool http_name)
{
	struct blocks b = compile_blocks(c, r, subset, port->port);
	const char *name = subset ? subset->name : "";
	struct cluster_conf conf = {
		.name = compile_service_cluster(c, s, port->port, name, http_name), .kind = kind_of(c, s, b.lb), .service = s->s->key,
		.subset = name, .labels = subset ? subset->labels.v : NULL, .n_labels = subset ? subset->labels.n : 0, .port = port->port,
		.http2 = port->app == PROTOCOL_HTTP2 || port->app == PROTOCOL_GRPC, .dns_one = s->s->resolution == RESOLUTION_DNS_ROUND_ROBIN, .unix_path = "",
	};
	const struct dr_http *http = b.pool ? b.pool->http : NULL;
	const char *host = s->host;

	if (compile_through_waypoint(c, s->s)) {
		add_waypoint(c, s, port, name);
		return;
	}
	fill_lb(c, b.lb, &conf.lb);
	compile_pool(c, &b, &conf.pool);
	/* MeshConfig.h2UpgradePolicy is for ports that are known to be HTTP. */
	if (c->mc->h2_upgrade == DR_H2_UPGRADE && port->app == PROTOCOL_HTTP && !(http && (http->use_client_protocol || http->h2_upgrade != DR_H2_DEFAULT)))
		conf.pool.h2 = H2_ALWAYS;
	if (port->app == PROTOCOL_AUTO)
		conf.pool.h2 = H2_AS_CLIENT;     /* what the client speaks, whatever a policy says */
	fill_outlier(c, b.outlier, &conf.outlier);
	fill_tls(c, b.tls, s, port->port, name, &conf.tls);
	if (conf.kind == CLUSTER_NAMED) {
		conf.hosts = &host;
		conf.n_hosts = 1;
		conf.target = port->target ? port->target : port->port;
	}
	compile_cluster(c, &conf);
}

static void add_fixed(struct compile *c, const char *name, enum cluster_kind kind, bool inbound, bool by_workload)
{
	struct blocks none = { 0 };
	struct cluster_conf conf = { .name = name, .kind = kind, .service = "", .subset = "", .unix_path = "", .inbound = inbound, .by_workload = by_workload };

	fill_lb(c, NULL, &conf.lb);
	compile_pool(c, &none, &conf.pool);
	conf.pool.idle_ms = PASS_IDLE_MS;
	conf.pool.h2 = H2_AS_CLIENT;
	conf.tls = (struct tls_conf){ .mode = by_workload ? TLS_AUTO : TLS_DISABLE, .cert = "", .key = "", .ca = "", .crl = "", .sni = "" };
	compile_cluster(c, &conf);
}

/* A waypoint has one cluster for requests, one for bytes. */
static void add_port(struct compile *c, struct seen *s, const struct service_port *port, const struct rule *r, const struct dr_subset *subset)
{
	bool bytes = port->app == PROTOCOL_TCP || port->app == PROTOCOL_TLS;

	if (!s->served || !bytes)
		add_cluster(c, s, port, r, subset, true);
	if (s->served && (bytes || port->app == PROTOCOL_AUTO))
		add_cluster(c, s, port, r, subset, false);
}

static void add_unknown(struct compile *c)
{
	int mode = c->scope && c->scope->outbound ? c->scope->outbound->mode : c->mc->outbound;

	if (mode == SCOPE_ALLOW_ANY_DYNAMIC_DNS) {
		struct resource mesh = { .origin = "MeshConfig", .ns = c->set->root_ns, .name = "mesh", .where = "" };

		compile_report(c, c->scope && c->scope->outbound ? &c->scope->r : &mesh, "its outboundTrafficPolicy ALLOW_ANY_DYNAMIC_DNS is taken as ALLOW_ANY: names are not looked up");
	}
	add_fixed(c, "PassthroughCluster", CLUSTER_ORIGINAL_DST, false, false);
	add_fixed(c, "BlackHoleCluster", CLUSTER_BLACKHOLE, false, false);
	add_fixed(c, "InboundPassthroughCluster", CLUSTER_ORIGINAL_DST, true, false);
	c->p->unknown = plan_cluster(c->p, str_c(mode == SCOPE_REGISTRY_ONLY ? "BlackHoleCluster" : "PassthroughCluster"));
}

void compile_clusters(struct compile *c)
{
	if (c->waypoint)
		add_fixed(c, "encap", CLUSTER_ORIGINAL_DST, false, true);
	else
		add_unknown(c);
	for (int i = 0; i < c->n_services; i++) {
		struct seen *s = c->services[i];
		const struct rule *r = compile_rule(c, s);

		for (int k = 0; k < s->n_ports; k++) {
			add_port(c, s, &s->ports[k], r, NULL);
			for (int j = 0; r && j < r->n_subsets; j++)
				add_port(c, s, &s->ports[k], r, r->subsets[j]);
		}
	}
}

const char *compile_service_cluster(struct compile *c, const struct seen *s, uint16_t port, const char *subset, bool http)
{
	if (!s->served)
		return compile_printf(c->mem, "outbound|%u|%s|%s", port, subset, s->host);
	return compile_printf(c->mem, "inbound-vip|%u|%s%s%s|%s", port, http ? "http" : "tcp", *subset ? "/" : "", subset, s->host);
}

const char *compile_cluster_name(struct compile *c, const struct vs_destination *d, uint16_t port, bool http)
{
	const struct seen unknown = { .host = d->host }, *s = c->waypoint ? map_get(&c->by_host, str_c(d->host)) : NULL;

	if (!*d->host)
		return "UnknownService";
	if (s && s->n_ports == 1)            /* waypoints alone: a sidecar takes the port that was called */
		port = s->ports[0].port;
	return compile_service_cluster(c, s ? s : &unknown, d->port ? d->port : port, d->subset, http);
}
