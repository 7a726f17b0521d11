/* SPDX-License-Identifier: Apache-2.0 */
/* A cluster's configuration: copied as a whole, and compared as a whole. */
#include "model/pack.h"
#include "traffic/cluster_int.h"

static const struct label *copy_labels(struct pack *p, const struct label *from, int n)
{
	struct label *to = pack_array(p, n, sizeof(*to));

	for (int i = 0; i < n; i++) {
		struct label l = { pack_str(p, from[i].key), pack_str(p, from[i].value) };

		if (to)
			to[i] = l;
	}
	return to;
}

static const struct locality_weight *copy_distribute(struct pack *p, const struct locality_weight *from, int n)
{
	struct locality_weight *to = pack_array(p, n, sizeof(*to));

	for (int i = 0; i < n; i++) {
		struct locality_weight w = { pack_str(p, from[i].from), pack_strs(p, from[i].to, from[i].n),
					     pack_copy(p, from[i].weights, from[i].n, sizeof(uint32_t)), from[i].n };

		if (to)
			to[i] = w;
	}
	return to;
}

static const struct locality_failover *copy_failover(struct pack *p, const struct locality_failover *from, int n)
{
	struct locality_failover *to = pack_array(p, n, sizeof(*to));

	for (int i = 0; i < n; i++) {
		struct locality_failover f = { pack_str(p, from[i].from), pack_str(p, from[i].to) };

		if (to)
			to[i] = f;
	}
	return to;
}

static void copy_lb(struct pack *p, struct lb_conf *lb)
{
	lb->hash.name = pack_str(p, lb->hash.name);
	lb->hash.cookie_path = pack_str(p, lb->hash.cookie_path);
	lb->hash.cookie_attributes = pack_strs(p, lb->hash.cookie_attributes, lb->hash.n_cookie_attributes);
	lb->distribute = copy_distribute(p, lb->distribute, lb->n_distribute);
	lb->failover = copy_failover(p, lb->failover, lb->n_failover);
	lb->failover_priority = pack_strs(p, lb->failover_priority, lb->n_failover_priority);
}

static void copy_tls(struct pack *p, struct tls_conf *t)
{
	t->cert = pack_str(p, t->cert);
	t->key = pack_str(p, t->key);
	t->ca = pack_str(p, t->ca);
	t->crl = pack_str(p, t->crl);
	t->sni = pack_str(p, t->sni);
	t->sans = pack_strs(p, t->sans, t->n_sans);
}

static void copy(struct pack *p, const struct cluster_conf *from, struct cluster_conf *to)
{
	*to = *from;
	to->name = pack_str(p, from->name);
	to->service = pack_str(p, from->service);
	to->subset = pack_str(p, from->subset);
	to->unix_path = pack_str(p, from->unix_path);
	to->labels = copy_labels(p, from->labels, from->n_labels);
	to->addrs = pack_copy(p, from->addrs, from->n_addrs, sizeof(*from->addrs));
	to->hosts = pack_strs(p, from->hosts, from->n_hosts);
	to->outlier.codes = pack_copy(p, from->outlier.codes, from->outlier.n_codes, sizeof(*from->outlier.codes));
	copy_lb(p, &to->lb);
	copy_tls(p, &to->tls);
}

char *cluster_conf_copy(const struct cluster_conf *from, struct cluster_conf *to)
{
	struct pack p;

	pack_init(&p);
	copy(&p, from, to);
	pack_start(&p);
	copy(&p, from, to);
	pack_done(&p);
	return p.block;
}

/* --- the print --- */

static void add(uint64_t *h, const void *v, size_t n)
{
	uint64_t both[2] = { *h, hash_bytes(v ? v : "", n) };

	*h = hash_bytes(both, sizeof(both));
}

static void add_text(uint64_t *h, const char *s)
{
	add(h, s, s ? strlen(s) : 0);
}

static void add_texts(uint64_t *h, const char *const *v, int n)
{
	add(h, &n, sizeof(n));
	for (int i = 0; i < n; i++)
		add_text(h, v[i]);
}

#define ADD(h, field) add(h, &(field), sizeof(field))

static void add_lb(uint64_t *h, const struct lb_conf *lb)
{
	const struct hash_conf *c = &lb->hash;

	ADD(h, lb->policy);
	ADD(h, c->by);
	add_text(h, c->name);
	add_text(h, c->cookie_path);
	add_texts(h, c->cookie_attributes, c->n_cookie_attributes);
	ADD(h, c->cookie_ttl_s);
	ADD(h, c->cookie_make);
	ADD(h, c->ring_size);
	ADD(h, c->table_size);
	ADD(h, lb->warmup_ms);
	ADD(h, lb->warmup_min_percent);
	ADD(h, lb->warmup_aggression);
	ADD(h, lb->locality);
	ADD(h, lb->locality_own);
	for (int i = 0; i < lb->n_distribute; i++) {
		add_text(h, lb->distribute[i].from);
		add_texts(h, lb->distribute[i].to, lb->distribute[i].n);
		add(h, lb->distribute[i].weights, (size_t)lb->distribute[i].n * sizeof(uint32_t));
	}
	ADD(h, lb->n_distribute);
	for (int i = 0; i < lb->n_failover; i++) {
		add_text(h, lb->failover[i].from);
		add_text(h, lb->failover[i].to);
	}
	ADD(h, lb->n_failover);
	add_texts(h, lb->failover_priority, lb->n_failover_priority);
	ADD(h, lb->zone_aware);
	ADD(h, lb->zone_min_size);
}

static void add_pool(uint64_t *h, const struct pool_conf *p)
{
	ADD(h, p->max_connections);
	ADD(h, p->max_pending);
	ADD(h, p->max_requests);
	ADD(h, p->max_retries);
	ADD(h, p->max_requests_per_connection);
	ADD(h, p->max_concurrent_streams);
	ADD(h, p->connect_ms);
	ADD(h, p->idle_ms);
	ADD(h, p->max_connection_ms);
	ADD(h, p->keepalive.on);
	ADD(h, p->keepalive.probes);
	ADD(h, p->keepalive.time_s);
	ADD(h, p->keepalive.interval_s);
	ADD(h, p->ping_ms);
	ADD(h, p->ping_timeout_ms);
	ADD(h, p->h2);
	ADD(h, p->retry_budget);
	ADD(h, p->retry_budget_percent);
	ADD(h, p->retry_min);
	ADD(h, p->retry_budget_ms);
	ADD(h, p->proxy_protocol);
}

static void add_outlier(uint64_t *h, const struct outlier_conf *o)
{
	ADD(h, o->on);
	ADD(h, o->consecutive_5xx);
	ADD(h, o->consecutive_gateway);
	ADD(h, o->consecutive_local);
	ADD(h, o->split_local);
	ADD(h, o->interval_ms);
	ADD(h, o->base_ms);
	ADD(h, o->max_percent);
	ADD(h, o->min_health_percent);
	add(h, o->codes, (size_t)o->n_codes * sizeof(*o->codes));
}

static void add_tls(uint64_t *h, const struct tls_conf *t)
{
	ADD(h, t->mode);
	add_text(h, t->cert);
	add_text(h, t->key);
	add_text(h, t->ca);
	add_text(h, t->crl);
	add_text(h, t->sni);
	add_texts(h, t->sans, t->n_sans);
	ADD(h, t->insecure);
}

uint64_t cluster_conf_print(const struct cluster_conf *c)
{
	uint64_t h = 0;

	add_text(&h, c->name);
	ADD(&h, c->kind);
	add_text(&h, c->service);
	add_text(&h, c->subset);
	for (int i = 0; i < c->n_labels; i++) {
		add_text(&h, c->labels[i].key);
		add_text(&h, c->labels[i].value);
	}
	ADD(&h, c->port);
	ADD(&h, c->http2);
	ADD(&h, c->inbound);
	ADD(&h, c->by_workload);
	ADD(&h, c->dns_one);
	for (int i = 0; i < c->n_addrs; i++) {
		ADD(&h, c->addrs[i].ip);
		ADD(&h, c->addrs[i].port);
	}
	ADD(&h, c->n_addrs);
	add_texts(&h, c->hosts, c->n_hosts);
	ADD(&h, c->target);
	add_text(&h, c->unix_path);
	add_lb(&h, &c->lb);
	add_pool(&h, &c->pool);
	add_outlier(&h, &c->outlier);
	add_tls(&h, &c->tls);
	return h;
}
