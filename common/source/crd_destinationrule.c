/* SPDX-License-Identifier: Apache-2.0 */
/* DestinationRule: its fields, and what Istio's own validation says of them. */
#include <stdio.h>
#include <stdlib.h>

#include "model/destinationrule.h"
#include "source/check.h"
#include "source/crd.h"
#include "source/value.h"

/* --- loadBalancer --- */

static const struct field attribute_rows[] = {
	ROW("name", STRING, dr_cookie_attribute, name, "Name, such as SameSite."),
	ROW("value", STRING, dr_cookie_attribute, value, "Value; none when absent."),
	{ 0 },
};
static const struct field_table attribute_table = {
	.name = "attributes", .size = sizeof(struct dr_cookie_attribute), .fields = attribute_rows,
};

static void check_cookie(struct field_walk *w, void *out)
{
	const struct dr_cookie *c = out;

	if (!*c->name)
		field_error(w, 0, "name", "want a name, got nothing");
	for (int i = 0; i < c->attributes.n; i++) {
		if (!*c->attributes.v[i].name)
			field_error(w, 0, "attributes", "want a name in each");
		for (int k = 0; k < i; k++)
			if (str_eq_nocase(str_c(c->attributes.v[i].name), str_c(c->attributes.v[k].name)))
				field_error(w, 0, "attributes", "want each once, got '%.40s' twice", c->attributes.v[i].name);
	}
}

static const struct field cookie_rows[] = {
	ROW("name", STRING, dr_cookie, name, "Name of the cookie."),
	ROW("path", STRING, dr_cookie, path, "Path of a cookie that is made."),
	ROW("ttl", OPT_MS, dr_cookie, ttl, "Makes a missing cookie, with this Max-Age; 0s: of the session."),
	ROW("attributes", MESSAGES, dr_cookie, attributes, "Attributes of a cookie that is made.", .sub = &attribute_table),
	{ 0 },
};
static const struct field_table cookie_table = { .name = "httpCookie", .size = sizeof(struct dr_cookie), .fields = cookie_rows, .check = check_cookie };

static const struct field ring_rows[] = {
	ROW("minimumRingSize", OPT_U32, dr_ring_hash, minimum_ring_size, "Least number of points on the ring; 1024 when absent.", .max = 8388608),
	{ 0 },
};
static const struct field_table ring_table = { .name = "ringHash", .size = sizeof(struct dr_ring_hash), .fields = ring_rows };

static bool is_prime(uint32_t n)
{
	for (uint32_t i = 2; i * i <= n; i++)
		if (n % i == 0)
			return false;
	return n > 1;
}

static void check_maglev(struct field_walk *w, void *out)
{
	const struct dr_maglev *m = out;

	if (m->table_size.set && (m->table_size.v >= 5000011 || !is_prime(m->table_size.v)))
		field_error(w, 0, "tableSize", "want a prime number below 5000011, got %u", m->table_size.v);
}

static const struct field maglev_rows[] = {
	ROW("tableSize", OPT_U32, dr_maglev, table_size, "Size of the table: a prime number below 5000011; 65537 when absent."),
	{ 0 },
};
static const struct field_table maglev_table = { .name = "maglev", .size = sizeof(struct dr_maglev), .fields = maglev_rows, .check = check_maglev };

static void check_hash(struct field_walk *w, void *out)
{
	const struct dr_consistent_hash *h = out;
	int n = (*h->header != 0) + (h->cookie != NULL) + (*h->query_parameter != 0) + h->source_ip;

	if (n != 1)
		field_error(w, 0, NULL, "want one of httpHeaderName, httpCookie, useSourceIp, httpQueryParameterName, got %d", n);
	if (h->ring_hash && h->maglev)
		field_error(w, 0, "maglev", "want it without ringHash");
	if (h->minimum_ring_size && (h->ring_hash || h->maglev))
		field_error(w, 0, "minimumRingSize", "want it without ringHash and maglev");
}

static const struct field hash_rows[] = {
	ROW("httpHeaderName", STRING, dr_consistent_hash, header, "By this header."),
	ROW("httpCookie", MESSAGE, dr_consistent_hash, cookie, "By this cookie.", .sub = &cookie_table),
	ROW("useSourceIp", BOOL, dr_consistent_hash, source_ip, "By the client's address."),
	ROW("httpQueryParameterName", STRING, dr_consistent_hash, query_parameter, "By this parameter of the query."),
	ROW("ringHash", MESSAGE, dr_consistent_hash, ring_hash, "On a ring; the default.", .sub = &ring_table),
	ROW("maglev", MESSAGE, dr_consistent_hash, maglev, "By a table, as Maglev.", .sub = &maglev_table),
	ROW("minimumRingSize", U32, dr_consistent_hash, minimum_ring_size, "As ringHash.minimumRingSize.", .max = 8388608),
	{ 0 },
};
static const struct field_table hash_table = {
	.name = "consistentHash", .size = sizeof(struct dr_consistent_hash), .fields = hash_rows, .check = check_hash,
};

/* region/zone/subzone, "*" at the end only. */
static bool locality_ok(const char *l)
{
	const char *star = strchr(l, '*');
	int parts = 1;

	for (const char *c = l; *c; c++)
		parts += *c == '/';
	return *l && *l != '/' && parts <= 3 && (!star || (!star[1] && (star == l || star[-1] == '/')));
}

static bool locality_overlaps(const char *a, const char *b)
{
	size_t n = strlen(a), k = strlen(b);

	if (n && a[n - 1] == '*')
		return !strncmp(a, b, n - 1);
	if (k && b[k - 1] == '*')
		return !strncmp(a, b, k - 1);
	return !strcmp(a, b) || (n < k && !strncmp(a, b, n) && b[n] == '/') || (k < n && !strncmp(a, b, k) && a[k] == '/');
}

static void check_distribute(struct field_walk *w, void *out)
{
	const struct dr_distribute *d = out;
	uint64_t sum = 0;

	if (!locality_ok(d->from))
		field_error(w, 0, "from", "want REGION/ZONE/SUBZONE, a star at the end only, got '%.80s'", d->from);
	for (int i = 0; i < d->to.n; i++) {
		const struct dr_share *s = &d->to.v[i];

		if (!locality_ok(s->key))
			field_error(w, 0, "to", "want REGION/ZONE/SUBZONE, a star at the end only, got '%.80s'", s->key);
		if (s->percent < 1 || s->percent > 100)
			field_error(w, 0, "to", "want weights from 1 to 100, got %u", s->percent);
		for (int k = 0; k < i; k++)
			if (locality_overlaps(s->key, d->to.v[k].key))
				field_error(w, 0, "to", "want localities that do not overlap, got '%.80s' and '%.80s'", d->to.v[k].key, s->key);
		sum += s->percent;
	}
	if (sum != 100)
		field_error(w, 0, "to", "want weights whose sum is 100, got %u", (unsigned)sum);
}

static const struct field distribute_rows[] = {
	ROW("from", STRING, dr_distribute, from, "Localities of clients."),
	ROW("to", U32_MAP, dr_distribute, to, "Share of each locality in percent."),
	{ 0 },
};
static const struct field_table distribute_table = {
	.name = "distribute", .size = sizeof(struct dr_distribute), .fields = distribute_rows, .check = check_distribute,
};

static void check_failover(struct field_walk *w, void *out)
{
	const struct dr_failover *f = out;

	if (strpbrk(f->from, "/*") || strpbrk(f->to, "/*"))
		field_error(w, 0, NULL, "want regions, without / and *");
	if (!strcmp(f->from, f->to))
		field_error(w, 0, NULL, "want two regions, got '%.80s' twice", f->from);
}

static const struct field failover_rows[] = {
	ROW("from", STRING, dr_failover, from, "Region of the client."),
	ROW("to", STRING, dr_failover, to, "Region that takes the traffic when its own has no healthy endpoint."),
	{ 0 },
};
static const struct field_table failover_table = {
	.name = "failover", .size = sizeof(struct dr_failover), .fields = failover_rows, .check = check_failover,
};

static void check_locality(struct field_walk *w, void *out)
{
	const struct dr_locality *l = out;

	if (l->distribute.n && (l->failover.n || l->failover_priority.n))
		field_error(w, 0, "distribute", "want it without failover and failoverPriority");
	for (int i = 0; i < l->distribute.n; i++)
		for (int k = 0; k < i; k++)
			if (locality_overlaps(l->distribute.v[i].from, l->distribute.v[k].from))
				field_error(w, 0, "distribute", "want from's that do not overlap, got '%.80s' and '%.80s'", l->distribute.v[k].from, l->distribute.v[i].from);
}

static const struct field locality_rows[] = {
	ROW("distribute", MESSAGES, dr_locality, distribute, "Fixed shares by the client's locality.", .sub = &distribute_table),
	ROW("failover", MESSAGES, dr_locality, failover, "Which region follows; needs outlierDetection.", .sub = &failover_table),
	ROW("failoverPriority", STRINGS, dr_locality, failover_priority, "Labels (or KEY=VALUE): endpoints that have the same as the client come first."),
	ROW("enabled", OPT_BOOL, dr_locality, enabled, "false: localities do not count; true when absent."),
	{ 0 },
};
const struct field_table crd_locality_table = {
	.name = "localityLbSetting", .size = sizeof(struct dr_locality), .fields = locality_rows, .check = check_locality,
};

static const struct field zone_rows[] = {
	ROW("enabled", OPT_BOOL, dr_zone_aware, enabled, "Prefers the client's zone as far as its share of endpoints allows."),
	ROW("failover", MESSAGES, dr_zone_aware, failover, "Which region follows.", .sub = &failover_table),
	ROW("failoverPriority", STRINGS, dr_zone_aware, failover_priority, "Labels, as in localityLbSetting."),
	ROW("minClusterSize", OPT_U32, dr_zone_aware, min_cluster_size, "Fewer endpoints than that: zones do not count; 6 when absent."),
	{ 0 },
};
const struct field_table crd_zone_aware_table = { .name = "zoneAwareLbSetting", .size = sizeof(struct dr_zone_aware), .fields = zone_rows };

static void check_warmup(struct field_walk *w, void *out)
{
	const struct dr_warmup *u = out;

	if (!u->duration.set)
		field_error(w, 0, "duration", "want a duration, got nothing");
	if (u->aggression.set && u->aggression.v <= 0)
		field_error(w, 0, "aggression", "want a number above 0");
}

static const struct field warmup_rows[] = {
	ROW("duration", OPT_MS, dr_warmup, duration, "How long a new endpoint gets less than its share."),
	ROW("minimumPercent", OPT_DOUBLE, dr_warmup, minimum_percent, "Share at the beginning; 10 when absent.", .max = 100),
	ROW("aggression", OPT_DOUBLE, dr_warmup, aggression, "1: linear; more: faster at first. 1 when absent."),
	{ 0 },
};
static const struct field_table warmup_table = { .name = "warmup", .size = sizeof(struct dr_warmup), .fields = warmup_rows, .check = check_warmup };

static const char *const simples[] = { "UNSPECIFIED", "LEAST_CONN", "RANDOM", "PASSTHROUGH", "ROUND_ROBIN", "LEAST_REQUEST", NULL };

static void check_load_balancer(struct field_walk *w, void *out)
{
	const struct dr_load_balancer *l = out;

	if (l->consistent_hash && l->simple != DR_UNSPECIFIED)
		field_error(w, 0, "consistentHash", "want it without simple");
	if (l->locality && l->zone_aware)
		field_error(w, 0, "zoneAwareLbSetting", "want it without localityLbSetting");
	if ((l->warmup || l->warmup_duration.set) &&
	    (l->consistent_hash || l->simple == DR_RANDOM || l->simple == DR_PASSTHROUGH))
		field_error(w, 0, l->warmup ? "warmup" : "warmupDurationSecs", "want it with ROUND_ROBIN or LEAST_REQUEST only");
	if (l->simple == DR_LEAST_CONN)
		field_warn(w, 0, "simple", "LEAST_CONN is an old name of LEAST_REQUEST");
}

static const struct field lb_rows[] = {
	ROW("simple", ENUM, dr_load_balancer, simple, "Which endpoint is next; UNSPECIFIED is LEAST_REQUEST. PASSTHROUGH: the one that was called.",
	    .words = simples, .deflt = "UNSPECIFIED"),
	ROW("consistentHash", MESSAGE, dr_load_balancer, consistent_hash, "The same endpoint for the same client.", .sub = &hash_table),
	ROW("localityLbSetting", MESSAGE, dr_load_balancer, locality, "Takes the place of MeshConfig's.", .sub = &crd_locality_table),
	ROW("zoneAwareLbSetting", MESSAGE, dr_load_balancer, zone_aware, "Instead of localityLbSetting.", .sub = &crd_zone_aware_table),
	ROW("warmup", MESSAGE, dr_load_balancer, warmup, "Slow start of new endpoints.", .sub = &warmup_table),
	ROW("warmupDurationSecs", OPT_MS, dr_load_balancer, warmup_duration, "As warmup.duration."),
	ROW_NOT("backendUtilization", TODO, "Balances by the load that endpoints report.", "endpoints count as with LEAST_REQUEST"),
	{ 0 },
};
static const struct field_table lb_table = {
	.name = "loadBalancer", .size = sizeof(struct dr_load_balancer), .fields = lb_rows, .check = check_load_balancer,
};

/* --- connectionPool --- */

static const struct field keepalive_rows[] = {
	ROW("probes", U32, dr_keepalive, probes, "Probes without an answer before the connection is dead."),
	ROW("time", OPT_MS, dr_keepalive, time, "Idle time before the first probe.", .min = 1000),
	ROW("interval", OPT_MS, dr_keepalive, interval, "Time between probes.", .min = 1000),
	{ 0 },
};
const struct field_table crd_keepalive_table = { .name = "tcpKeepalive", .size = sizeof(struct dr_keepalive), .fields = keepalive_rows };

static const struct field tcp_rows[] = {
	ROW("maxConnections", U32, dr_tcp, max_connections, "Connections to all endpoints together; no limit when absent or 0.", .max = INT32_MAX),
	ROW("connectTimeout", OPT_MS, dr_tcp, connect_timeout, "How long a connect may take; MeshConfig's when absent.", .min = 1),
	ROW("tcpKeepalive", MESSAGE, dr_tcp, keepalive, "SO_KEEPALIVE.", .sub = &crd_keepalive_table),
	ROW("maxConnectionDuration", OPT_MS, dr_tcp, max_connection_duration, "Connections end after that.", .min = 1),
	ROW("idleTimeout", OPT_MS, dr_tcp, idle_timeout, "Idle TCP connections end; 1h when absent, 0s: never."),
	{ 0 },
};
static const struct field_table tcp_table = { .name = "tcp", .size = sizeof(struct dr_tcp), .fields = tcp_rows };

static void check_h2_keepalive(struct field_walk *w, void *out)
{
	const struct dr_h2_keepalive *k = out;

	if (!k->interval.set || !k->timeout.set)
		field_error(w, 0, NULL, "want interval and timeout");
}

static const struct field h2_keepalive_rows[] = {
	ROW("interval", OPT_MS, dr_h2_keepalive, interval, "Time between PINGs.", .min = 1),
	ROW("timeout", OPT_MS, dr_h2_keepalive, timeout, "Without an answer so long the connection is closed.", .min = 1),
	{ 0 },
};
static const struct field_table h2_keepalive_table = {
	.name = "http2KeepAlive", .size = sizeof(struct dr_h2_keepalive), .fields = h2_keepalive_rows, .check = check_h2_keepalive,
};

static const char *const upgrades[] = { "DEFAULT", "DO_NOT_UPGRADE", "UPGRADE", NULL };
const char *const *const crd_h2_upgrades = upgrades;

static void check_http(struct field_walk *w, void *out)
{
	const struct dr_http *h = out;

	if (h->use_client_protocol && h->h2_upgrade == DR_H2_UPGRADE)
		field_error(w, 0, "useClientProtocol", "want it without UPGRADE");
}

static const struct field http_rows[] = {
	ROW("http1MaxPendingRequests", U32, dr_http, http1_max_pending, "Requests that wait for a connection; no limit when absent or 0.", .max = INT32_MAX),
	ROW("http2MaxRequests", U32, dr_http, http2_max_requests, "Requests to all endpoints together; no limit when absent or 0.", .max = INT32_MAX),
	ROW("maxRequestsPerConnection", U32, dr_http, max_requests_per_connection, "Then the connection is closed; no limit when absent or 0.", .max = INT32_MAX),
	ROW("maxRetries", U32, dr_http, max_retries, "Retries under way to all endpoints together; no limit when absent or 0.", .max = INT32_MAX),
	ROW("idleTimeout", OPT_MS, dr_http, idle_timeout, "Idle connections are closed; 1h when absent."),
	ROW("h2UpgradePolicy", ENUM, dr_http, h2_upgrade, "UPGRADE: HTTP/2 also for HTTP/1 clients; DEFAULT is MeshConfig's.", .words = upgrades, .deflt = "DEFAULT"),
	ROW("useClientProtocol", BOOL, dr_http, use_client_protocol, "The version that the client speaks."),
	ROW("maxConcurrentStreams", U32, dr_http, max_concurrent_streams, "Streams of one HTTP/2 connection.", .max = INT32_MAX),
	ROW("http2KeepAlive", MESSAGE, dr_http, h2_keepalive, "PINGs.", .sub = &h2_keepalive_table),
	{ 0 },
};
static const struct field_table http_table = { .name = "http", .size = sizeof(struct dr_http), .fields = http_rows, .check = check_http };

static void check_pool(struct field_walk *w, void *out)
{
	const struct dr_pool *p = out;

	if (!p->tcp && !p->http)
		field_error(w, 0, NULL, "want tcp or http");
}

static const struct field pool_rows[] = {
	ROW("tcp", MESSAGE, dr_pool, tcp, "Of TCP connections; HTTP runs over them.", .sub = &tcp_table),
	ROW("http", MESSAGE, dr_pool, http, "Of HTTP.", .sub = &http_table),
	{ 0 },
};
const struct field_table crd_pool_table = { .name = "connectionPool", .size = sizeof(struct dr_pool), .fields = pool_rows, .check = check_pool };

/* --- outlierDetection --- */

static void check_outlier(struct field_walk *w, void *out)
{
	const struct dr_outlier *o = out;

	if (o->consecutive_local.set && !o->split_external_local)
		field_error(w, 0, "consecutiveLocalOriginFailures", "want splitExternalLocalOriginErrors beside it");
	for (int i = 0; i < o->http_errors.n; i++) {
		struct str s = str_c(o->http_errors.v[i]);
		uint64_t code;

		if (s.n == 3 && s.p[0] >= '1' && s.p[0] <= '5' && s.p[1] == 'x' && s.p[2] == 'x')
			continue;
		if (!str_to_u64(s, &code) || code < 100 || code > 599)
			field_error(w, 0, "outlierDetectionHttpErrorCodes", "want status codes or 5xx, got '%.*s'", STR_FMT(s));
	}
}

static const struct field outlier_rows[] = {
	ROW_NOT("consecutiveErrors", TODO, "Errors in a row.", "it is old and has no effect, as in Istio: write consecutive5xxErrors or consecutiveGatewayErrors"),
	ROW("splitExternalLocalOriginErrors", BOOL, dr_outlier, split_external_local, "Failed connects and timeouts are counted apart."),
	ROW("consecutiveLocalOriginFailures", OPT_U32, dr_outlier, consecutive_local, "Failures of our own making before an endpoint is ejected; 5 when absent."),
	ROW("consecutiveGatewayErrors", OPT_U32, dr_outlier, consecutive_gateway, "502, 503, 504 in a row; 0: off, as when absent."),
	ROW("consecutive5xxErrors", OPT_U32, dr_outlier, consecutive_5xx, "5xx in a row; 5 when absent, 0: off."),
	ROW("interval", OPT_MS, dr_outlier, interval, "How often ejected ones are looked at; 10s when absent.", .min = 1),
	ROW("baseEjectionTime", OPT_MS, dr_outlier, base_ejection, "How long the first ejection lasts; 30s when absent.", .min = 1),
	ROW("maxEjectionPercent", U32, dr_outlier, max_ejection_percent, "How many may be ejected; 10 when absent or 0, but always one.", .max = 100),
	ROW("minHealthPercent", U32, dr_outlier, min_health_percent, "With fewer healthy ones nobody counts as ejected; 0: always as ejected.", .max = 100),
	ROW("outlierDetectionHttpErrorCodes", STRINGS, dr_outlier, http_errors, "Statuses that count instead of 5xx."),
	{ 0 },
};
const struct field_table crd_outlier_table = {
	.name = "outlierDetection", .size = sizeof(struct dr_outlier), .fields = outlier_rows, .check = check_outlier,
};

/* --- tls --- */

static const char *const tls_modes[] = { "DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL", NULL };

static void check_tls(struct field_walk *w, void *out)
{
	const struct dr_tls *t = out;
	bool files = *t->client_certificate || *t->private_key || *t->ca_certificates;

	if (t->mode == DR_TLS_MUTUAL && (!*t->client_certificate || !*t->private_key))
		field_error(w, 0, NULL, "want clientCertificate and privateKey with MUTUAL");
	if (t->mode == DR_TLS_ISTIO_MUTUAL && files)
		field_error(w, 0, NULL, "want no certificates with ISTIO_MUTUAL: it uses the mesh's");
	if (t->insecure_skip_verify == OPT_YES && (*t->ca_certificates || t->subject_alt_names.n))
		field_error(w, 0, "insecureSkipVerify", "want it without caCertificates and subjectAltNames");
}

static const struct field tls_rows[] = {
	ROW("mode", ENUM, dr_tls, mode, "DISABLE: plaintext; SIMPLE, MUTUAL: TLS is begun here; ISTIO_MUTUAL: with the mesh's certificates.",
	    .words = tls_modes, .deflt = "DISABLE"),
	ROW("clientCertificate", STRING, dr_tls, client_certificate, "File with our certificate, for MUTUAL."),
	ROW("privateKey", STRING, dr_tls, private_key, "File with its key."),
	ROW("caCertificates", STRING, dr_tls, ca_certificates, "File with the roots that are trusted; those of the system when absent."),
	ROW("caCrl", STRING, dr_tls, ca_crl, "File with revoked certificates."),
	ROW_NOT("credentialName", REFUSED, "A Secret with the certificates.", "Secrets are not read: name files"),
	ROW("subjectAltNames", STRINGS, dr_tls, subject_alt_names, "Names of which the server must prove one."),
	ROW("sni", STRING, dr_tls, sni, "Name of the handshake; that of the request when absent."),
	ROW("insecureSkipVerify", OPT_BOOL, dr_tls, insecure_skip_verify, "true: the server's certificate is not checked."),
	{ 0 },
};
static const struct field_table tls_table = { .name = "tls", .size = sizeof(struct dr_tls), .fields = tls_rows, .check = check_tls };

/* --- trafficPolicy --- */

static const struct field port_rows[] = {
	ROW("number", PORT, dr_port, number, "Port of the service."),
	{ 0 },
};
static const struct field_table port_table = { .name = "port", .size = sizeof(struct dr_port), .fields = port_rows };

#define POLICY_ROWS(STRUCT) \
	ROW("loadBalancer", MESSAGE, STRUCT, load_balancer, "Which endpoint is next.", .sub = &lb_table), \
	ROW("connectionPool", MESSAGE, STRUCT, pool, "Limits and timeouts of connections.", .sub = &crd_pool_table), \
	ROW("outlierDetection", MESSAGE, STRUCT, outlier, "Ejects endpoints that fail. Without it there is no locality failover.", .sub = &crd_outlier_table), \
	ROW("tls", MESSAGE, STRUCT, tls, "How endpoints are spoken to; without it by what each of them can.", .sub = &tls_table)

static void check_port_policy(struct field_walk *w, void *out)
{
	const struct dr_port_policy *p = out;

	if (!p->port || !p->port->number)
		field_error(w, 0, "port.number", "want a port, got nothing");
	if (!p->load_balancer && !p->pool && !p->outlier && !p->tls)
		field_error(w, 0, NULL, "want at least one of loadBalancer, connectionPool, outlierDetection, tls");
}

static const struct field port_policy_rows[] = {
	ROW("port", MESSAGE, dr_port_policy, port, "Port of the service.", .sub = &port_table),
	POLICY_ROWS(dr_port_policy),
	{ 0 },
};
static const struct field_table port_policy_table = {
	.name = "portLevelSettings", .size = sizeof(struct dr_port_policy), .fields = port_policy_rows, .check = check_port_policy,
};

static const char *const proxy_versions[] = { "V1", "V2", NULL };
static const struct field proxy_rows[] = {
	ROW("version", ENUM, dr_proxy, version, "Version of the header.", .words = proxy_versions, .deflt = "V1"),
	{ 0 },
};
static const struct field_table proxy_table = { .name = "proxyProtocol", .size = sizeof(struct dr_proxy), .fields = proxy_rows };

static const struct field budget_rows[] = {
	ROW("percent", OPT_DOUBLE, dr_retry_budget, percent, "Retries under way, in percent of requests; 20 when absent.", .max = 100),
	ROW("budgetInterval", OPT_MS, dr_retry_budget, interval, "Requests of so long ago still count; 0s when absent."),
	ROW("minRetryConcurrency", OPT_U32, dr_retry_budget, min_concurrency, "Retries that may always be under way; 3 when absent."),
	{ 0 },
};
static const struct field_table budget_table = { .name = "retryBudget", .size = sizeof(struct dr_retry_budget), .fields = budget_rows };

static void check_policy(struct field_walk *w, void *out)
{
	const struct dr_policy *p = out;

	if (!p->load_balancer && !p->pool && !p->outlier && !p->tls && !p->ports.n && !p->proxy && !p->retry_budget)
		field_error(w, 0, NULL, "want at least one field, got none");
	for (int i = 0; i < p->ports.n; i++)
		for (int k = 0; k < i; k++)
			if (p->ports.v[i].port && p->ports.v[k].port && p->ports.v[i].port->number == p->ports.v[k].port->number)
				field_error(w, 0, "portLevelSettings", "want each port once, got %u twice", p->ports.v[i].port->number);
	if (p->load_balancer && p->load_balancer->locality && p->load_balancer->locality->failover.n && !p->outlier)
		field_warn(w, 0, "loadBalancer.localityLbSetting.failover", "has no effect without outlierDetection");
}

static const struct field policy_rows[] = {
	POLICY_ROWS(dr_policy),
	ROW("portLevelSettings", MESSAGES, dr_policy, ports, "For single ports; what is absent there is the default, not what stands above.",
	    .sub = &port_policy_table),
	ROW_NOT("tunnel", REFUSED, "TCP through an HTTP proxy by CONNECT.", "meshd does not tunnel to forward proxies"),
	ROW("proxyProtocol", MESSAGE, dr_policy, proxy, "Begins connections with the client's address.", .sub = &proxy_table),
	ROW("retryBudget", MESSAGE, dr_policy, retry_budget, "Limits retries by the number of requests.", .sub = &budget_table),
	{ 0 },
};
const struct field_table crd_policy_table = {
	.name = "trafficPolicy", .size = sizeof(struct dr_policy), .fields = policy_rows, .check = check_policy,
};

static void check_subset(struct field_walk *w, void *out)
{
	const struct dr_subset *s = out;

	check_subset_name(w, "name", s->name);
	check_selector(w, "labels", s->labels.v, s->labels.n);
}

static const struct field subset_rows[] = {
	ROW("name", STRING, dr_subset, name, "Name, which routes use."),
	ROW("labels", LABELS, dr_subset, labels, "Endpoints that have all of these."),
	ROW("trafficPolicy", MESSAGE, dr_subset, policy, "Takes the place of the rule's, block by block.", .sub = &crd_policy_table),
	{ 0 },
};
static const struct field_table subset_table = { .name = "subsets", .size = sizeof(struct dr_subset), .fields = subset_rows, .check = check_subset };

static void check_dr_selector(struct field_walk *w, void *out)
{
	const struct dr_selector *s = out;

	check_selector(w, "matchLabels", s->labels.v, s->labels.n);
}

static const struct field selector_rows[] = {
	ROW("matchLabels", LABELS, dr_selector, labels, "Labels that the client's workload must have, all of them."),
	{ 0 },
};
static const struct field_table selector_table = {
	.name = "workloadSelector", .size = sizeof(struct dr_selector), .fields = selector_rows, .check = check_dr_selector,
};

static void check_destination_rule(struct field_walk *w, void *out)
{
	struct destination_rule *d = out;
	struct field_strings to = { .v = (const char **)(uintptr_t)d->export_to.v, .n = d->export_to.n };

	if (!*d->host)
		field_error(w, 0, "host", "want a host, got nothing");
	else
		d->host = check_host(w, "host", d->host, true);
	if (!d->host)
		d->host = "";
	for (int i = 0; i < d->subsets.n; i++)
		for (int k = 0; k < i; k++)
			if (!strcmp(d->subsets.v[i].name, d->subsets.v[k].name))
				field_error(w, 0, "subsets", "want each name once, got '%.80s' twice", d->subsets.v[i].name);
	check_export_to(w, "exportTo", &to);
	if (d->selector && d->selector->labels.n && to.n && !(to.n == 1 && !strcmp(to.v[0], ".")))
		field_error(w, 0, "exportTo", "want '.' only beside workloadSelector");
}

static const struct field rows[] = {
	ROW("host", STRING, destination_rule, host, "A service, or *.x; a name without dots is one of the rule's own namespace."),
	ROW("trafficPolicy", MESSAGE, destination_rule, policy, "For all endpoints.", .sub = &crd_policy_table),
	ROW("subsets", MESSAGES, destination_rule, subsets, "Endpoints by labels, which routes name.", .sub = &subset_table),
	ROW("exportTo", STRINGS, destination_rule, export_to, "Namespaces whose sidecars see it: ., * or names."),
	ROW("workloadSelector", MESSAGE, destination_rule, selector, "Clients of the namespace for which it holds.", .sub = &selector_table),
	{ 0 },
};
const struct field_table crd_destination_rule_table = {
	.name = "DestinationRule.spec", .size = sizeof(struct destination_rule), .fields = rows, .check = check_destination_rule,
	.doc = "How endpoints of a host are used. The client's namespace comes first, then the service's, then the root namespace; they are not merged. In ztunnel mode it has no effect.",
};
