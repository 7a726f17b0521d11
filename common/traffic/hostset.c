/* SPDX-License-Identifier: Apache-2.0 */
/* The endpoints of a cluster at a moment of the mesh. */
#include <stdlib.h>

#include "base/epoch.h"
#include "base/log.h"
#include "policy/scope.h"
#include "traffic/cluster_int.h"
#include "traffic/dest_int.h"
#include "traffic/named.h"

#define ADDRS_MAX 8      /* of one endpoint */

/* An endpoint that will be an entry. */
struct found {
	struct workload *workload;
	uint32_t weight;
	bool healthy;
	enum transport transport;
	int n_addrs;
	struct addr addrs[ADDRS_MAX];
};

struct search {
	const struct cluster *cluster;
	const struct mesh *m;
	const struct hostset *set;
	const struct service_port *port;
	struct found *v;
	int n, cap;
};

static void set_free(struct hostset *s)
{
	for (int i = 0; i < s->n; i++) {
		host_unref(s->entries[i].host);
		workload_unref(s->entries[i].workload);
	}
	for (int i = 0; i < s->n_names; i++)
		hostname_unwant(s->names[i].name);
	for (int i = 0; i < s->n_gates; i++) {
		service_unref(s->gates[i].s);
		workload_unref(s->gates[i].w);
	}
	free(s->gates);
	free(s->names);
	service_unref(s->naming);
	service_unref(s->service);
	workload_unref(s->client);
	arena_done(&s->mem);
	free(s);
}

void hostset_unref(void *set)
{
	struct hostset *s = set;

	if (s && atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) == 1)
		set_free(s);
}

static struct hostset *set_ref(struct hostset *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

/* --- finding --- */

static const char *network_of(const struct workload *client, const struct mesh *m)
{
	return client ? client->network : mesh_settings(m)->network;
}

/* Istio's choice per endpoint. An explicit mode speaks for the endpoints without a tunnel; a tunnel is always used. */
enum transport hostset_transport(const struct cluster_conf *c, const struct service *s, const struct workload *w)
{
	if (c->kind == CLUSTER_WAYPOINT)
		return TRANSPORT_WAYPOINT;
	if (c->inbound)
		return TRANSPORT_PLAIN;
	if (w && w->tunnel == TUNNEL_HBONE)
		return TRANSPORT_HBONE;
	switch (c->tls.mode) {
	case TLS_SIMPLE:
	case TLS_MUTUAL:
		return TRANSPORT_TLS;
	case TLS_ISTIO_MUTUAL:
		return TRANSPORT_ISTIO_MTLS;
	case TLS_DISABLE:
		return TRANSPORT_PLAIN;
	case TLS_AUTO:
		break;
	}
	return w && !(s && s->external) && w->istio_mtls ? TRANSPORT_ISTIO_MTLS : TRANSPORT_PLAIN;
}

/* --- PeerAuthentication: whose sidecar takes no mutual TLS gets none by itself --- */

static bool disables(struct peer_authn *p, void *arg)
{
	*(bool *)arg |= p->mode == MTLS_DISABLE;
	for (int i = 0; i < p->n_ports; i++)
		*(bool *)arg |= p->ports[i].mode == MTLS_DISABLE;
	return !*(bool *)arg;
}

static bool any_disables(const struct mesh *m)
{
	bool any = false;

	mesh_each_peer_authn(m, disables, &any);
	return any;
}

bool hostset_takes_mtls(const struct hostset *set, const struct mesh *m, const struct workload *w, uint16_t port)
{
	struct scope *s = set->disables ? scope_of(m, w, NULL) : NULL;
	enum mtls_mode mode;
	struct peer_authn *p = s ? scope_peer_authn(s, port, &mode) : NULL;

	return !p || p->broken || mode != MTLS_DISABLE;
}

static struct found *add(struct search *f)
{
	if (f->n == f->cap) {
		f->cap = f->cap ? f->cap * 2 : 16;
		f->v = xrealloc(f->v, (size_t)f->cap * sizeof(*f->v));
	}
	return &f->v[f->n++];
}

static bool is_allowed(const struct service *s, const struct ip *ip)
{
	return s->families == FAMILIES_V4 ? ip_is_v4(ip) : s->families == FAMILIES_V6 ? !ip_is_v4(ip) : true;
}

/* What DNS says of a name; each address is an endpoint, or all together one. */
static void add_named(struct search *f, struct hostset *set, struct str name, const struct found *like, uint16_t port)
{
	struct hostname *h = hostname_want(name);
	unsigned version = hostname_version(h);        /* before the answer: at worst the next set is made once too often */
	const struct hostname_answer *a = hostname_addrs(h);
	struct found *to = NULL;

	set->names = xrealloc(set->names, (size_t)(set->n_names + 1) * sizeof(*set->names));
	set->names[set->n_names++] = (struct named){ h, version };
	for (int i = 0; a && i < a->n; i++) {
		if (set->service && !is_allowed(set->service, &a->v[i]))
			continue;
		if (f->cluster->conf.kind == CLUSTER_NAME && named_forbids(f->m, set->client, &a->v[i])) {
			set->why = FAIL_FORBIDDEN_ADDRESS;
			continue;
		}
		if (!to || !f->cluster->conf.dns_one) {
			to = add(f);
			*to = *like;
		}
		if (to->n_addrs < ADDRS_MAX)
			to->addrs[to->n_addrs++] = (struct addr){ a->v[i], port };
	}
	if (!to && set->why != FAIL_FORBIDDEN_ADDRESS)
		set->why = FAIL_RESOLVE;
}

static void add_workload(struct search *f, struct hostset *set, struct workload *w, uint16_t port)
{
	struct found to = { .workload = w, .weight = w->weight ? w->weight : 1, .healthy = w->healthy || set->service->allow_unhealthy,
			    .transport = hostset_transport(&f->cluster->conf, set->service, w) };

	if (to.transport == TRANSPORT_ISTIO_MTLS && f->cluster->conf.tls.mode == TLS_AUTO && !hostset_takes_mtls(set, f->m, w, port))
		to.transport = TRANSPORT_PLAIN;
	if (!w->n_ips && *w->hostname)
		add_named(f, set, str_c(w->hostname), &to, port);
	for (int i = 0; i < w->n_ips && to.n_addrs < ADDRS_MAX; i++)
		if (is_allowed(set->service, &w->ips[i]))
			to.addrs[to.n_addrs++] = (struct addr){ w->ips[i], port };
	if (to.n_addrs)
		*add(f) = to;
}

static bool in_scope(const struct search *f, const struct workload *w, enum lb_scope scope)
{
	const struct workload *from = f->set->client;

	if (scope == LB_CLUSTER)
		return !strcmp(from ? from->cluster : mesh_settings(f->m)->cluster, w->cluster);
	if (scope == LB_NETWORK)
		return !strcmp(f->set->network, w->network);
	if (!from)
		return false;
	return scope == LB_REGION ? !strcmp(from->locality.region, w->locality.region) :
	       scope == LB_ZONE ? !strcmp(from->locality.zone, w->locality.zone) :
	       scope == LB_SUBZONE ? !strcmp(from->locality.subzone, w->locality.subzone) : !strcmp(from->node, w->node);
}

static bool is_meant(const struct search *f, const struct endpoint *e)
{
	const struct cluster_conf *c = &f->cluster->conf;
	const struct service *s = f->set->service;
	const struct workload *w = e->workload;

	if (!labels_match(c->labels, c->n_labels, w->labels, w->n_labels))
		return false;
	if (f->port->named && !endpoint_target(e, c->port))
		return false;
	/* Istio does not tell Envoy of unhealthy endpoints when it is to panic. */
	if (c->outlier.min_health_percent && !w->healthy && !s->allow_unhealthy)
		return false;
	for (int i = 0; s->lb_mode == LB_STRICT && i < s->n_scopes; i++)
		if (!in_scope(f, w, s->scopes[i]))
			return false;
	return true;
}

/* Said once, of the first. */
static void leave_out(struct search *f, struct hostset *set, const struct workload *w)
{
	static atomic_flag told = ATOMIC_FLAG_INIT;

	set->why = FAIL_NO_GATEWAY;
	if (!atomic_flag_test_and_set(&told))
		log_warn(LOG_NET, "%s: endpoints of the network '%s' are not used, nor are those of other services: a sidecar reaches its own network "
			 "('%s') only", f->cluster->conf.name, w->network, set->network);
}

static void find_in_service(struct search *f, struct hostset *set)
{
	const struct service *s = set->service;
	uint16_t number = f->cluster->conf.port;

	f->port = s ? service_port_at(s, number) : NULL;
	for (int i = 0; f->port && i < s->endpoints->n; i++) {
		const struct endpoint *e = endpoints_at(s->endpoints, i);
		uint16_t target = endpoint_target(e, number);

		if (!is_meant(f, e))
			continue;
		if (strcmp(e->workload->network, set->network))
			leave_out(f, set, e->workload);
		else
			add_workload(f, set, e->workload, target ? target : f->port->target ? f->port->target : number);
	}
}

/* --- waypoints --- */

static int n_named(const struct service *s)
{
	return 1 + s->n_waypoints;
}

/* NULL: none. */
static const struct gateway *named_at(const struct service *s, int i)
{
	return i == 0 ? s->waypoint : s->waypoints[i - 1].weight ? &s->waypoints[i - 1].gateway : NULL;
}

static void add_waypoint(struct search *f, struct hostset *set, struct workload *w, uint16_t port)
{
	struct found to = { .workload = w, .weight = w->weight ? w->weight : 1, .healthy = w->healthy, .transport = TRANSPORT_WAYPOINT };

	if (strcmp(w->network, set->network))
		return;
	if (!w->n_ips && *w->hostname)
		add_named(f, set, str_c(w->hostname), &to, port);
	for (int i = 0; i < w->n_ips && to.n_addrs < ADDRS_MAX; i++)
		to.addrs[to.n_addrs++] = (struct addr){ w->ips[i], port };
	if (to.n_addrs)
		*add(f) = to;
}

/* All that the service names, by whatever weight: traffic/dest chooses among them. A service that names none any more is read as it
 * was before, until a plan without this cluster comes. */
static void find_waypoints(struct search *f, struct hostset *set, const struct hostset *old)
{
	struct service *s = set->service && service_has_waypoint(set->service) ? set->service : old ? old->naming : NULL;

	set->why = FAIL_NO_WAYPOINT;
	if (!s)
		return;
	set->naming = service_ref(s);
	set->gates = xcalloc((size_t)n_named(s), sizeof(*set->gates));
	for (int i = 0; i < n_named(s); i++) {
		const struct gateway *g = named_at(s, i);
		struct gate *at = &set->gates[set->n_gates++];

		if (!g)
			continue;
		at->s = dest_gate_find(f->m, g, &at->w);
		if (at->s)
			service_ref(at->s);
		if (at->w) {
			workload_ref(at->w);
			add_waypoint(f, set, at->w, g->hbone_port);
		}
		for (int k = 0; at->s && k < at->s->endpoints->n; k++) {
			const struct endpoint *e = endpoints_at(at->s->endpoints, k);
			uint16_t target = endpoint_target(e, g->hbone_port);

			add_waypoint(f, set, e->workload, target ? target : g->hbone_port);
		}
	}
}

static bool same_gates(const struct mesh *m, const struct hostset *s)
{
	for (int i = 0; i < s->n_gates; i++) {
		const struct gateway *g = named_at(s->naming, i);
		struct workload *w = NULL;
		struct service *now = g ? dest_gate_find(m, g, &w) : NULL;

		if (now != s->gates[i].s || w != s->gates[i].w)
			return false;
	}
	return true;
}

const struct entry *hostset_entry(const struct hostset *s, const struct workload *w)
{
	for (int i = 0; i < s->n; i++)
		if (s->entries[i].workload && s->entries[i].host->n_addrs && !strcmp(s->entries[i].workload->uid, w->uid))
			return &s->entries[i];
	return NULL;
}

static void find(struct search *f, struct hostset *set, const struct hostset *old)
{
	const struct cluster_conf *c = &f->cluster->conf;

	switch (c->kind) {
	case CLUSTER_SERVICE:
	case CLUSTER_DNS:
		if (*c->service)
			find_in_service(f, set);
		for (int i = 0; !*c->service && i < c->n_hosts; i++)
			add_named(f, set, str_c(c->hosts[i]), &(struct found){ .weight = 1, .healthy = true, .transport = hostset_transport(c, NULL, NULL) }, c->port);
		break;
	case CLUSTER_STATIC:
		for (int i = 0; i < c->n_addrs; i++)
			*add(f) = (struct found){ .weight = 1, .healthy = true, .transport = hostset_transport(c, NULL, NULL), .n_addrs = 1,
						  .addrs = { c->addrs[i] } };
		if (!c->n_addrs && *c->unix_path)
			*add(f) = (struct found){ .weight = 1, .healthy = true, .transport = hostset_transport(c, NULL, NULL) };
		break;
	case CLUSTER_ORIGINAL_DST:
		*add(f) = (struct found){ .weight = 1, .healthy = true, .transport = hostset_transport(c, NULL, NULL) };
		break;
	case CLUSTER_WAYPOINT:
		find_waypoints(f, set, old);
		break;
	case CLUSTER_NAME:
		add_named(f, set, str_c(c->hosts[0]), &(struct found){ .weight = 1, .healthy = true, .transport = hostset_transport(c, NULL, NULL) }, c->target);
		break;
	case CLUSTER_NAMED:
	case CLUSTER_BLACKHOLE:
		break;
	}
}

/* --- entries --- */

/* By address and port, then uid. */
static int compare(const struct workload *w, const struct addr *a, int n, const struct workload *x, const struct addr *b, int k)
{
	int r = n && k ? memcmp(a->ip.b, b->ip.b, sizeof(a->ip.b)) : (n != 0) - (k != 0);

	if (!r && n && a->port != b->port)
		r = a->port < b->port ? -1 : 1;
	return r ? r : strcmp(w ? w->uid : "", x ? x->uid : "");
}

static int by_address(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	return compare(x->workload, x->addrs, x->n_addrs, y->workload, y->addrs, y->n_addrs);
}

static bool is_host(const struct host *h, const struct found *f)
{
	if (h->transport != f->transport || h->n_addrs != f->n_addrs ||
	    (f->n_addrs && memcmp(h->addrs, f->addrs, (size_t)f->n_addrs * sizeof(f->addrs[0]))))
		return false;
	return h->workload == f->workload || (h->workload && f->workload && !strcmp(h->workload->identity, f->workload->identity));
}

/* Hosts live on where their key does; both lists are in order. */
static void make_entries(const struct cluster *c, struct search *f, struct hostset *set, uint64_t now_ms)
{
	const struct hostset *old = c->state->last;
	int at = 0, r;

	if (f->n > 1)
		qsort(f->v, (size_t)f->n, sizeof(*f->v), by_address);
	set->n = f->n;
	set->mem.block = 256 + (size_t)f->n * (sizeof(*set->entries) + 2 * sizeof(uint32_t));
	set->network = arena_dup(&set->mem, str_c(network_of(set->client, f->m)));
	set->entries = arena_alloc(&set->mem, (size_t)f->n * sizeof(*set->entries));
	for (int i = 0; i < f->n; i++) {
		const struct found *x = &f->v[i];
		struct entry *e = &set->entries[i];

		for (r = 1; old && at < old->n; at++) {
			const struct host *h = old->entries[at].host;

			r = compare(x->workload, x->addrs, x->n_addrs, h->workload, h->addrs, h->n_addrs);
			if (r <= 0)
				break;
			r = 1;
		}
		*e = (struct entry){ .workload = x->workload ? workload_ref(x->workload) : NULL, .weight = x->weight, .healthy = x->healthy };
		if (r == 0 && is_host(old->entries[at].host, x))
			e->host = host_ref(old->entries[at++].host);
		else
			e->host = host_new(x->workload, x->transport, x->addrs, x->n_addrs, now_ms);
		e->usable = e->healthy && !host_ejected(e->host);
	}
}

/* --- sets --- */

/* Of the old set, those that are not in the new one; both are in order. */
static void retire_hosts(struct cluster_state *st, const struct hostset *old, const struct hostset *set)
{
	int at = 0;

	for (int i = 0; old && i < old->n; i++) {
		struct host *h = old->entries[i].host;
		int r = -1;

		for (; at < set->n; at++) {
			const struct host *k = set->entries[at].host;

			r = compare(k->workload, k->addrs, k->n_addrs, h->workload, h->addrs, h->n_addrs);
			if (r >= 0)
				break;
		}
		if (at == set->n || r || set->entries[at].host != h) {
			atomic_store_explicit(&h->gone, true, memory_order_relaxed);
			outlier_left(st, h);
		}
	}
	atomic_store_explicit(&st->n_hosts, (unsigned)set->n_used, memory_order_relaxed);
}

/* The present object of the client, whatever the caller still holds. */
static struct workload *client_of(const struct pick_ask *ask)
{
	struct workload *w = ask->client ? mesh_workload(ask->m, str_c(ask->client->uid)) : NULL;

	return w ? w : (struct workload *)ask->client;
}

static bool same_client(const struct hostset *s, const struct pick_ask *ask)
{
	const struct workload *w = client_of(ask);

	return s->client == w || (s->client && w && w == ask->client && !strcmp(s->client->uid, w->uid));
}

static struct service *service_of(const struct cluster *c, const struct mesh *m)
{
	bool needs = c->conf.kind == CLUSTER_SERVICE || c->conf.kind == CLUSTER_DNS || c->conf.kind == CLUSTER_WAYPOINT;

	return needs && *c->conf.service ? mesh_service(m, str_c(c->conf.service)) : NULL;
}

/* Most changes of policies are none to us. */
static bool same_policies(struct hostset *s, const struct mesh *m)
{
	uint64_t now = mesh_policy_generation(m);

	if (now != atomic_load_explicit(&s->policies, memory_order_relaxed)) {
		if (s->disables || any_disables(m))
			return false;
		atomic_store_explicit(&s->policies, now, memory_order_relaxed);
	}
	return true;
}

/* Nothing of it depends on anything that changed. */
static bool still_right(const struct cluster *c, struct hostset *s, const struct pick_ask *ask)
{
	if (atomic_load_explicit(&c->state->changes, memory_order_acquire) != s->changes)
		return false;
	for (int i = 0; i < s->n_names; i++)
		if (hostname_version(s->names[i].name) != s->names[i].version)
			return false;
	/* A worker may be in an older mesh than the one who built it. */
	if (atomic_load_explicit(&s->generation, memory_order_relaxed) >= mesh_generation(ask->m))
		return true;
	if (c->conf.kind == CLUSTER_NAME)
		return false;          /* its addresses may be a service's by now */
	if (service_of(c, ask->m) != s->service || !same_gates(ask->m, s) || !same_client(s, ask) || !same_policies(s, ask->m) || strcmp(s->network, network_of(s->client, ask->m)))
		return false;
	atomic_store_explicit(&s->generation, mesh_generation(ask->m), memory_order_relaxed);
	return true;
}

static struct hostset *build(struct cluster *c, const struct pick_ask *ask)
{
	struct hostset *set = xcalloc(1, sizeof(*set)), *old = c->state->last;
	struct search f = { .cluster = c, .m = ask->m, .set = set };
	struct workload *client = client_of(ask);

	atomic_init(&set->refs, 1);
	atomic_init(&set->generation, mesh_generation(ask->m));
	atomic_init(&set->policies, mesh_policy_generation(ask->m));
	set->disables = any_disables(ask->m);
	set->why = FAIL_NO_ENDPOINT;
	set->changes = atomic_load(&c->state->changes);
	set->service = service_of(c, ask->m);
	if (set->service)
		service_ref(set->service);
	set->client = client ? workload_ref(client) : NULL;
	set->network = network_of(client, ask->m);
	find(&f, set, old);
	make_entries(c, &f, set, ask->now_ms);
	free(f.v);
	levels_make(c, ask->m, set);
	retire_hosts(c->state, old, set);
	c->state->last = set_ref(set);
	if (old)
		epoch_defer(old, hostset_unref);
	return set;
}

struct hostset *hostset_current(struct cluster *c, const struct pick_ask *ask)
{
	struct hostset *s = atomic_load_explicit(&c->hosts, memory_order_acquire), *old;
	struct pick_ask newest = *ask;

	if (s && c->conf.outlier.on)
		outlier_sweep(c, s, ask->now_ms);
	if (s && still_right(c, s, ask))
		return s;
	if (!s)
		pthread_mutex_lock(&c->state->build);
	else if (pthread_mutex_trylock(&c->state->build))
		return s;
	old = atomic_load_explicit(&c->hosts, memory_order_acquire);
	if (!old || !still_right(c, old, ask)) {
		newest.m = mesh_current();
		s = build(c, &newest);
		atomic_store_explicit(&c->hosts, s, memory_order_release);
		if (old)
			epoch_defer(old, hostset_unref);
	} else {
		s = old;
	}
	pthread_mutex_unlock(&c->state->build);
	if (c->conf.outlier.on)
		outlier_sweep(c, s, ask->now_ms);
	return s;
}
