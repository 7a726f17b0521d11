/* SPDX-License-Identifier: Apache-2.0 */
#include "traffic/cluster.h"

#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "traffic/cluster_int.h"
#include "traffic/dest.h"

static struct cluster_state *state_new(void)
{
	struct cluster_state *st = xcalloc(1, sizeof(*st));

	atomic_init(&st->refs, 1);
	pthread_mutex_init(&st->build, NULL);
	return st;
}

static void state_unref(struct cluster_state *st)
{
	if (atomic_fetch_sub_explicit(&st->refs, 1, memory_order_acq_rel) != 1)
		return;
	hostset_unref(st->last);
	pthread_mutex_destroy(&st->build);
	free(st);
}

/* So that the first request need not wait for DNS. */
static void want_names(struct cluster *c)
{
	bool by_service = c->conf.kind == CLUSTER_DNS && *c->conf.service;
	struct service *s = by_service ? mesh_service(mesh_current(), str_c(c->conf.service)) : NULL;
	int max = c->conf.n_hosts + (s ? s->endpoints->n : 0);

	c->wanted = xcalloc((size_t)max + 1, sizeof(*c->wanted));
	for (int i = 0; !s && i < c->conf.n_hosts; i++)
		c->wanted[c->n_wanted++] = hostname_want(str_c(c->conf.hosts[i]));
	for (int i = 0; s && i < s->endpoints->n; i++) {
		const struct workload *w = endpoints_at(s->endpoints, i)->workload;

		if (!w->n_ips && *w->hostname)
			c->wanted[c->n_wanted++] = hostname_want(str_c(w->hostname));
	}
}

static struct cluster_state *state_ref(struct cluster_state *st)
{
	atomic_fetch_add_explicit(&st->refs, 1, memory_order_relaxed);
	return st;
}

static struct cluster *make(const struct cluster_conf *conf, struct cluster *before, struct cluster_state *limits)
{
	uint64_t print = cluster_conf_print(conf);
	struct cluster *c;

	if (before && before->print == print)
		return cluster_ref(before);
	c = xcalloc(1, sizeof(*c));
	atomic_init(&c->refs, 1);
	c->print = print;
	c->block = cluster_conf_copy(conf, &c->conf);
	c->state = before ? state_ref(before->state) : state_new();
	c->limits = state_ref(limits ? limits : c->state);
	if (c->conf.kind == CLUSTER_DNS || c->conf.kind == CLUSTER_NAME)
		want_names(c);
	if (c->conf.kind == CLUSTER_NAMED)
		c->names = names_new();
	if (c->conf.kind == CLUSTER_ORIGINAL_DST && c->conf.outlier.on && !before)
		log_warn(LOG_NET, "%s: outlierDetection is not honoured where clients choose the address themselves", c->conf.name);
	return c;
}

struct cluster *cluster_new(const struct cluster_conf *conf, struct cluster *before)
{
	return make(conf, before, NULL);
}

struct cluster *cluster_new_name(const struct cluster_conf *conf, struct cluster *of)
{
	return make(conf, NULL, of->limits);
}

struct cluster *cluster_ref(struct cluster *c)
{
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}

void cluster_unref(struct cluster *c)
{
	if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
		return;
	hostset_unref(atomic_load(&c->hosts));
	names_free(c->names);
	for (int i = 0; i < c->n_wanted; i++)
		hostname_unwant(c->wanted[i]);
	free(c->wanted);
	state_unref(c->limits);
	state_unref(c->state);
	free(c->block);
	free(c);
}

const struct cluster_conf *cluster_conf(const struct cluster *c)
{
	return &c->conf;
}

/* --- picking --- */

static bool none(struct pick *ret, enum fail why)
{
	*ret = (struct pick){ .why = why };
	return false;
}

/* What a waypoint is asked for: the address that the client called if it is one of the service's, else one that is, else its name. */
static struct addr target_of(const struct service *s, const char *network, const struct addr *original, uint16_t port)
{
	const struct vip *best = NULL;

	for (int i = 0; i < s->n_vips; i++) {
		const struct vip *v = &s->vips[i];

		if (*v->network && strcmp(v->network, network))
			continue;
		if (cidr_has(&v->cidr, &original->ip))
			return (struct addr){ original->ip, port };
		if (v->cidr.bits == 128 && (!best || (ip_is_v4(&v->cidr.ip) && !ip_is_v4(&best->cidr.ip))))
			best = v;
	}
	return best ? (struct addr){ best->cidr.ip, port } : (struct addr){ .port = port };
}

/* Which waypoint is dest's to say. */
static bool choose_waypoint(const struct pick_ask *ask, const struct gateway *g, struct dest *ret)
{
	struct dest_tried tried = { .n = 0 };

	for (int i = 0; i < ask->n_tried && tried.n < (int)ARRAY_LEN(tried.workload); i++)
		if (ask->tried[i]->workload)
			tried.workload[tried.n++] = ask->tried[i]->workload;
	if (dest_waypoint(ask->m, ask->client, g, &ask->original, &tried, ask->seed, ask->now_ms, ret))
		return true;
	tried.n = 0;
	return ask->n_tried && dest_waypoint(ask->m, ask->client, g, &ask->original, &tried, ask->seed, ask->now_ms, ret);
}

/* The workload is known by its address: for what is told of it, and, if the address is used in the name of a service, for how to
 * get there; through its waypoint where waypoints are used. Else the bytes go as they came, as with Istio. */
static bool pick_original(struct cluster *c, struct hostset *set, const struct pick_ask *ask, struct pick *ret)
{
	const char *network = ask->client ? ask->client->network : mesh_settings(ask->m)->network;
	struct workload *w = mesh_workload_by_ip(ask->m, str_c(network), &ask->original.ip);
	struct service *s = *c->conf.service ? mesh_service(ask->m, str_c(c->conf.service)) : NULL;
	bool nowhere = ip_is_any(&ask->original.ip);     /* asked for by name: to the kernel it would be ourselves */
	bool through = w && !c->conf.inbound && mesh_settings(ask->m)->through_waypoints;
	const struct gateway *g = through ? dest_workload_waypoint(ask->m, ask->client, w) : NULL;
	struct dest d;

	if (nowhere && !c->conf.inbound)
		return none(ret, FAIL_NO_ENDPOINT);
	*ret = (struct pick){ .host = set->entries[0].host, .workload = w, .addr = ask->original, .transport = hostset_transport(&c->conf, s, s || c->conf.by_workload ? w : NULL) };
	if (ret->transport == TRANSPORT_ISTIO_MTLS && c->conf.tls.mode == TLS_AUTO && !hostset_takes_mtls(set, ask->m, w, ask->original.port))
		ret->transport = TRANSPORT_PLAIN;
	if (through && dest_only_by_service(ask->m, w))
		return none(ret, FAIL_NOT_WAYPOINT);
	if (g && !choose_waypoint(ask, g, &d))
		return none(ret, d.why);
	if (g && d.resolve.n)
		return none(ret, FAIL_RESOLVE);
	if (g)
		*ret = (struct pick){ .host = ret->host, .workload = d.workload, .addr = d.connect, .target = ask->original, .transport = TRANSPORT_WAYPOINT };
	host_ref(ret->host);
	if (ret->workload)
		workload_ref(ret->workload);
	return true;
}

/* Its host lives in the set if the set has it: always but for the moment in which another worker makes the next one. */
static bool pick_waypoint(struct cluster *c, struct hostset *set, const struct pick_ask *ask, struct pick *ret)
{
	const struct gateway *g = set->naming ? dest_service_waypoint(set->naming, ask->seed) : NULL;
	const struct entry *e;
	struct dest d;

	if (!g)
		return none(ret, set->why);
	if (!choose_waypoint(ask, g, &d))
		return none(ret, d.why);
	e = hostset_entry(set, d.workload);
	if (!e && d.resolve.n)
		return none(ret, FAIL_RESOLVE);
	*ret = (struct pick){ .host = e ? host_ref(e->host) : host_new(d.workload, TRANSPORT_WAYPOINT, &d.connect, 1, ask->now_ms),
			      .workload = workload_ref(d.workload), .addr = d.resolve.n ? e->host->addrs[0] : d.connect,
			      .target = target_of(set->naming, set->network, &ask->original, c->conf.port), .transport = TRANSPORT_WAYPOINT };
	return true;
}

/* In a tunnel one address is asked for: of the family that the client called, which most likely is its own, so that its address can be kept. */
static const struct addr *liked_addr(const struct host *h, const struct addr *original)
{
	for (int i = 0; h->transport == TRANSPORT_HBONE && original->port && i < h->n_addrs; i++)
		if (ip_is_v4(&h->addrs[i].ip) == ip_is_v4(&original->ip))
			return &h->addrs[i];
	return &h->addrs[0];
}

bool cluster_pick(struct cluster *c, const struct pick_ask *ask, struct pick *ret)
{
	const struct entry *e;
	struct hostset *s;

	if (c->conf.kind == CLUSTER_BLACKHOLE || c->conf.kind == CLUSTER_NAMED)
		return none(ret, FAIL_NO_ENDPOINT);
	s = hostset_current(c, ask);
	if (c->conf.kind == CLUSTER_WAYPOINT)
		return pick_waypoint(c, s, ask, ret);
	if (c->conf.kind == CLUSTER_ORIGINAL_DST)
		return pick_original(c, s, ask, ret);
	e = lb_pick(c, s, ask);
	if (!e)
		return none(ret, s->n ? FAIL_NO_ENDPOINT : s->why);
	*ret = (struct pick){ .host = host_ref(e->host), .workload = e->workload ? workload_ref(e->workload) : NULL,
			      .transport = e->host->transport };
	if (e->host->n_addrs)
		ret->addr = *liked_addr(e->host, &ask->original);
	return true;
}

void pick_connected(struct cluster *c, const struct pick *p, enum fail why, uint64_t now_ms)
{
	host_answered(c, p->host, why == FAIL_NONE ? HOST_OK : HOST_LOCAL_ERROR, 0, now_ms);
	if (p->transport != TRANSPORT_WAYPOINT)
		return;
	if (why == FAIL_NONE)
		dest_worked(p->workload);
	else if (why != FAIL_DENIED_BY_PEER && why != FAIL_OVERLOAD && why != FAIL_MEMORY && why != FAIL_DRAIN)
		dest_failed(p->workload, now_ms);
}

void pick_done(struct pick *p)
{
	host_unref(p->host);
	workload_unref(p->workload);
	p->host = NULL;
	p->workload = NULL;
}

struct each { void (*fn)(const struct host_view *v, void *arg); void *arg; };

static void each_of_name(const struct cluster *c, void *arg)
{
	struct each *e = arg;

	cluster_each_host(c, e->fn, e->arg);
}

void cluster_each_host(const struct cluster *c, void (*fn)(const struct host_view *v, void *arg), void *arg)
{
	struct hostset *s = atomic_load_explicit(&c->hosts, memory_order_acquire);

	if (c->names)
		names_each(c->names, each_of_name, &(struct each){ fn, arg });
	for (int i = 0; s && i < s->n; i++) {
		const struct entry *e = &s->entries[i];

		fn(&(struct host_view){ .host = e->host, .workload = e->workload, .weight = e->weight, .priority = e->priority,
					.healthy = e->healthy, .ejected = host_ejected(e->host),
					.active = atomic_load_explicit(&e->host->active, memory_order_relaxed) }, arg);
	}
}

/* --- limits --- */

/* The number of the present eighth of budgetInterval. */
static uint32_t eighth(const struct pool_conf *p)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint32_t)(((uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000) * 8 / p->retry_budget_ms);
}

static void note_request(struct cluster *c)
{
	uint32_t now = eighth(&c->conf.pool);
	atomic_uint_least64_t *slot = &c->limits->recent[now % ARRAY_LEN(c->limits->recent)];
	uint64_t old = atomic_load_explicit(slot, memory_order_relaxed), new;

	do {
		new = old >> 32 == now ? old + 1 : ((uint64_t)now << 32 | 1);
	} while (!atomic_compare_exchange_weak_explicit(slot, &old, new, memory_order_relaxed, memory_order_relaxed));
}

static uint64_t recent_requests(const struct cluster *c)
{
	uint32_t now = eighth(&c->conf.pool);
	uint64_t sum = 0;

	for (size_t i = 0; i < ARRAY_LEN(c->limits->recent); i++) {
		uint64_t v = atomic_load_explicit(&c->limits->recent[i], memory_order_relaxed);

		sum += now - (uint32_t)(v >> 32) < ARRAY_LEN(c->limits->recent) ? (uint32_t)v : 0;
	}
	return sum;
}

static uint64_t limit_of(const struct cluster *c, enum cluster_limit l)
{
	const struct pool_conf *p = &c->conf.pool;
	uint64_t busy;

	switch (l) {
	case LIMIT_OF_CONNECTIONS:
		return p->max_connections;
	case LIMIT_OF_PENDING:
		return p->max_pending;
	case LIMIT_OF_REQUESTS:
		return p->max_requests;
	default:
		break;
	}
	if (!p->retry_budget)
		return p->max_retries;
	busy = (uint64_t)cluster_used(c, LIMIT_OF_REQUESTS) + cluster_used(c, LIMIT_OF_PENDING);
	if (p->retry_budget_ms && recent_requests(c) > busy)
		busy = recent_requests(c);
	busy = (uint64_t)((double)busy * p->retry_budget_percent / 100);
	return busy > p->retry_min ? busy : p->retry_min;
}

static bool take(struct cluster *c, enum cluster_limit l)
{
	atomic_uint *used = &c->limits->used[l];
	uint64_t limit = limit_of(c, l);

	if (limit == UINT32_MAX) {
		atomic_fetch_add_explicit(used, 1, memory_order_relaxed);
		return true;
	}
	for (unsigned n = atomic_load_explicit(used, memory_order_relaxed); n < limit;)
		if (atomic_compare_exchange_weak_explicit(used, &n, n + 1, memory_order_relaxed, memory_order_relaxed))
			return true;
	return false;
}

bool cluster_take(struct cluster *c, enum cluster_limit l)
{
	if (!take(c, l))
		return false;
	if (l == LIMIT_OF_REQUESTS && c->conf.pool.retry_budget && c->conf.pool.retry_budget_ms)
		note_request(c);
	return true;
}

void cluster_give(struct cluster *c, enum cluster_limit l)
{
	atomic_fetch_sub_explicit(&c->limits->used[l], 1, memory_order_relaxed);
}

unsigned cluster_used(const struct cluster *c, enum cluster_limit l)
{
	return atomic_load_explicit(&c->limits->used[l], memory_order_relaxed);
}

bool cluster_shares(const struct cluster *a, const struct cluster *b)
{
	return a && b && a->limits == b->limits;
}

/* --- who may answer --- */

void cluster_sni(const struct cluster_conf *conf, struct buf *out)
{
	if (conf->tls.sni && *conf->tls.sni) {
		buf_puts(out, conf->tls.sni);
		return;
	}
	for (const char *p = conf->name; *p; p++) {
		if (*p == '|')
			buf_puts(out, "_.");
		else
			buf_append(out, p, 1);
	}
}


static bool listed(const char *const *v, int n, struct str id)
{
	for (int i = 0; i < n; i++)
		if (str_is(id, v[i]))
			return true;
	return false;
}

static bool admits_anybody(const struct mesh *m)
{
	return mesh_settings(m)->stance != STANCE_STRICT;
}

bool cluster_admits(const struct cluster *c, const struct mesh *m, struct str id)
{
	struct service *s = *c->conf.service ? mesh_service(m, str_c(c->conf.service)) : NULL;
	bool named = false;

	if (c->conf.tls.n_sans)
		return listed(c->conf.tls.sans, c->conf.tls.n_sans, id);
	if (!s)
		return admits_anybody(m);
	if (listed(s->sans, s->n_sans, id))
		return true;
	for (int i = 0; i < s->endpoints->n; i++) {
		const char *of = endpoints_at(s->endpoints, i)->workload->identity;

		if (str_is(id, of))
			return true;
		named |= *of;
	}
	return !named && !s->n_sans && admits_anybody(m);
}

static void add_peer(const struct cluster *c, struct str *v, int max, int *n, const char *id)
{
	static atomic_flag told = ATOMIC_FLAG_INIT;

	if (!*id)
		return;
	for (int i = 0; i < *n; i++)
		if (str_is(v[i], id))
			return;
	if (*n < max)
		v[(*n)++] = str_c(id);
	else if (!atomic_flag_test_and_set(&told))
		log_warn(LOG_TLS, "%s: more than %d identities may answer: others are believed only where an endpoint is known to have them; name subjectAltNames (said once)",
			 c->conf.name, max);
}

bool cluster_peers(const struct cluster *c, const struct mesh *m, const struct workload *w, struct str *v, int max, int *ret_n)
{
	struct service *s = *c->conf.service ? mesh_service(m, str_c(c->conf.service)) : NULL;

	*ret_n = 0;
	if (w && *w->identity && cluster_admits(c, m, str_c(w->identity)))
		add_peer(c, v, max, ret_n, w->identity);
	for (int i = 0; i < c->conf.tls.n_sans; i++)
		add_peer(c, v, max, ret_n, c->conf.tls.sans[i]);
	if (c->conf.tls.n_sans)
		return true;
	for (int i = 0; s && i < s->n_sans; i++)
		add_peer(c, v, max, ret_n, s->sans[i]);
	for (int i = 0; s && i < s->endpoints->n; i++)
		add_peer(c, v, max, ret_n, endpoints_at(s->endpoints, i)->workload->identity);
	return *ret_n || admits_anybody(m);
}
