/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/scope.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/log.h"
#include "model/waypoint.h"
#include "policy/jwt_filter.h"

#define SLOTS 1024   /* of each kind, per thread: a node has up to some hundred pods, and two in one slot drive each other out */

struct cache {
	struct scope workloads[SLOTS], services[SLOTS];
};

enum level { LEVEL_WORKLOAD, LEVEL_NAMESPACE, LEVEL_MESH };

static pthread_key_t key;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;

static void index_free(struct scope_index *x)
{
	if (!x)
		return;
	ruleindex_done(&x->deny);
	ruleindex_done(&x->allow);
	free(x);
}

static void scope_done(struct scope *s)
{
	index_free(s->bytes);
	index_free(s->requests);
	free(s->policies);
	free(s->authns);
	free(s->limits);
	workload_unref(s->workload);
	service_unref(s->service);
	*s = (struct scope){ 0 };
}

static void cache_free(void *p)
{
	struct cache *cache = p;

	for (int i = 0; i < SLOTS; i++) {
		scope_done(&cache->workloads[i]);
		scope_done(&cache->services[i]);
	}
	free(cache);
}

static void key_make(void)
{
	pthread_key_create(&key, cache_free);
}

static struct scope *slot_of(const struct workload *w, const struct service *service)
{
	const void *of[] = { w, service };
	struct cache *cache;

	pthread_once(&key_once, key_make);
	cache = pthread_getspecific(key);
	if (!cache) {
		cache = calloc(1, sizeof(*cache));
		if (!cache || pthread_setspecific(key, cache)) {
			free(cache);
			return NULL;
		}
	}
	return &(service ? cache->services : cache->workloads)[hash_bytes(of, sizeof(of)) % SLOTS];
}

struct finder {
	struct scope *s;
	const struct workload *w;
	bool root;            /* the objects at hand are the root namespace's */
	bool sidecar;         /* requests are seen, and their tokens */
	bool no_memory;
};

/* One more pointer in a list; false when memory is out. */
static bool append(struct finder *f, void *list, int *n, int *cap, void *value)
{
	void ***v = list;

	if (*n == *cap) {
		int more = *cap ? *cap * 2 : 8;
		void **to = realloc(*v, (size_t)more * sizeof(*to));

		if (!to) {
			f->no_memory = true;
			return false;
		}
		*v = to;
		*cap = more;
	}
	(*v)[(*n)++] = value;
	return true;
}

static bool add(struct finder *f, struct policy *p)
{
	struct scope *s = f->s;

	if (p->broken || !p->compiled) {
		if (!p->dry_run && (!s->broken || strcmp(p->key, s->broken->key) < 0))
			s->broken = p;
		return true;
	}
	return append(f, &s->policies, &s->n, &s->cap, p);
}

static bool reaches(const struct policy *p, const struct finder *f)
{
	switch (p->scope) {
	case POLICY_GLOBAL:
		return false;     /* take_policy finds them */
	case POLICY_NAMESPACE:
		return strcmp(p->ns, f->w->ns) == 0;
	case POLICY_SELECTOR:
		return !p->by_name && labels_match(p->selector, p->n_selector, f->w->labels, f->w->n_labels);
	case POLICY_TARGETS:
		return false;     /* of waypoints */
	}
	return true;
}

static bool on_policy(struct policy *p, void *arg)
{
	struct finder *f = arg;

	return !reaches(p, f) || add(f, p);
}

static bool take_policy(struct policy *p, void *arg)
{
	return add(arg, p);
}

/* What the source has bound to the workload by name, beside what reaches it anyway. */
static void add_bound(struct finder *f, const struct mesh *m)
{
	for (int i = 0; i < f->w->n_policies && !f->no_memory; i++) {
		struct policy *p = mesh_policy(m, str_c(f->w->policies[i]));

		if (p)
			add(f, p);
		else
			log_warn(LOG_POLICY, "workload %s: skipping unknown policy %s", f->w->uid, f->w->policies[i]);
	}
}

static enum scope_part part_of(const struct policy *p)
{
	static const enum scope_part parts[] = {
		[POLICY_ALLOW] = PART_ALLOW, [POLICY_DENY] = PART_DENY, [POLICY_AUDIT] = PART_QUIET, [POLICY_CUSTOM] = PART_CUSTOM,
	};

	return p->dry_run ? PART_QUIET : parts[p->action];
}

static int order(const void *pa, const void *pb)
{
	const struct policy *a = *(struct policy *const *)pa, *b = *(struct policy *const *)pb;
	int diff = (int)part_of(a) - (int)part_of(b);

	diff = diff || a->action != POLICY_CUSTOM || b->action != POLICY_CUSTOM ? diff : strcmp(a->provider, b->provider);
	return diff ? diff : strcmp(a->key, b->key);
}

static void sort(struct scope *s)
{
	int kept = 0;

	if (s->n)
		qsort(s->policies, (size_t)s->n, sizeof(*s->policies), order);
	for (int i = 0; i < s->n; i++) {
		if (kept && s->policies[kept - 1] == s->policies[i])
			continue;
		s->policies[kept++] = s->policies[i];
		for (int part = part_of(s->policies[i]) + 1; part <= PARTS; part++)
			s->start[part]++;
	}
	s->n = kept;
	for (int i = s->start[PART_CUSTOM] + 1; i < s->start[PART_DENY]; i++)
		s->many_providers = s->many_providers || strcmp(s->policies[i]->provider, s->policies[i - 1]->provider) != 0;
}

static bool chosen(const struct finder *f, const struct label *selector, int n)
{
	return labels_match(selector, n, f->w->labels, f->w->n_labels);
}

static bool take_request_authn(struct request_authn *a, void *arg)
{
	struct finder *f = arg;

	jwt_touch(a);
	return append(f, &f->s->authns, &f->s->n_authns, &f->s->authns_cap, a);
}

static bool on_request_authn(struct request_authn *a, void *arg)
{
	struct finder *f = arg;

	return !f->sidecar || a->n_targets || !chosen(f, a->selector, a->n_selector) || take_request_authn(a, f);
}

static bool take_rate_limit(struct rate_limit *r, void *arg)
{
	struct finder *f = arg;

	return append(f, &f->s->limits, &f->s->n_limits, &f->s->limits_cap, r);
}

static bool on_rate_limit(struct rate_limit *r, void *arg)
{
	struct finder *f = arg;

	return r->n_targets || !chosen(f, r->selector, r->n_selector) || take_rate_limit(r, f);
}

static int authn_order(const void *a, const void *b)
{
	return strcmp((*(struct request_authn *const *)a)->key, (*(struct request_authn *const *)b)->key);
}

static int limit_order(const void *a, const void *b)
{
	return strcmp((*(struct rate_limit *const *)a)->key, (*(struct rate_limit *const *)b)->key);
}

static bool on_peer_authn(struct peer_authn *p, void *arg)
{
	struct finder *f = arg;
	struct peer_authn **at = &f->s->levels[f->root ? LEVEL_MESH : LEVEL_NAMESPACE];

	if (p->n_selector) {
		/* In the root namespace these are dead, as in Istio. */
		if (f->root || !labels_match(p->selector, p->n_selector, f->w->labels, f->w->n_labels))
			return true;
		at = &f->s->levels[LEVEL_WORKLOAD];
	}
	if (!*at || p->created < (*at)->created || (p->created == (*at)->created && strcmp(p->name, (*at)->name) < 0))
		*at = p;
	return true;
}

static void find_in(struct finder *f, const struct mesh *m, struct str ns)
{
	int authns = f->s->n_authns, limits = f->s->n_limits;

	mesh_each_policy_in(m, ns, on_policy, f);
	mesh_each_peer_authn_in(m, ns, on_peer_authn, f);
	mesh_each_request_authn_in(m, ns, on_request_authn, f);
	mesh_each_rate_limit_in(m, ns, on_rate_limit, f);
	if (f->s->n_authns > authns)
		qsort(f->s->authns + authns, (size_t)(f->s->n_authns - authns), sizeof(void *), authn_order);
	if (f->s->n_limits > limits)
		qsort(f->s->limits + limits, (size_t)(f->s->n_limits - limits), sizeof(void *), limit_order);
}

static bool find(struct scope *s, const struct mesh *m, const struct workload *w)
{
	struct str root = str_c(mesh_settings(m)->root_ns), ns = str_c(w->ns);
	struct finder f = { .s = s, .w = w, .root = true, .sidecar = sees_requests(mesh_settings(m)) };

	mesh_each_policy_in(m, str_c(""), take_policy, &f);
	find_in(&f, m, root);
	if (!str_eq(root, ns)) {
		f.root = false;
		find_in(&f, m, ns);
	}
	add_bound(&f, m);
	sort(s);
	return !f.no_memory;
}

static void keep(struct scope *s, const struct mesh *m, const struct workload *w, const struct service *service)
{
	s->workload = workload_ref((struct workload *)w);
	s->service = service ? service_ref((struct service *)service) : NULL;
	s->generation = mesh_policy_generation(m);
}

/* --- at a waypoint --- */

static void find_at(struct finder *f, const struct mesh *m, const char *ns, enum target_kind kind, const char *name)
{
	mesh_each_policy_at(m, str_c(ns), kind, str_c(name), take_policy, f);
	mesh_each_request_authn_at(m, str_c(ns), kind, str_c(name), take_request_authn, f);
	mesh_each_rate_limit_at(m, str_c(ns), kind, str_c(name), take_rate_limit, f);
}

static void find_in_ns(struct finder *f, const struct mesh *m, const char *ns)
{
	find_at(f, m, ns, TARGET_GATEWAY, "");
}

static int drop_doubles(void **v, int n)
{
	int kept = 0;

	for (int i = 0; i < n; i++)
		if (!kept || v[kept - 1] != v[i])
			v[kept++] = v[i];
	return kept;
}

/* Objects may be there by several targets; sort() drops doubles of policies. */
static bool finish(struct finder *f)
{
	struct scope *s = f->s;

	if (s->n_authns)
		qsort(s->authns, (size_t)s->n_authns, sizeof(void *), authn_order);
	if (s->n_limits)
		qsort(s->limits, (size_t)s->n_limits, sizeof(void *), limit_order);
	s->n_authns = drop_doubles((void **)s->authns, s->n_authns);
	s->n_limits = drop_doubles((void **)s->limits, s->n_limits);
	sort(s);
	return !f->no_memory;
}

static void find_for_all(struct finder *f, const struct mesh *m)
{
	const char *root = mesh_settings(m)->root_ns;
	int n;
	struct waypoint_name *gates = waypoint_names(m, f->w, &n);

	find_at(f, m, root, TARGET_GATEWAY_CLASS, WAYPOINT_CLASS);
	find_in_ns(f, m, root);
	find_in_ns(f, m, f->w->ns);
	for (int i = 0; i < n; i++) {
		find_at(f, m, gates[i].ns, TARGET_GATEWAY, gates[i].name);
		find_in_ns(f, m, gates[i].ns);
	}
	free(gates);
	/* For who sends to w. */
	mesh_each_peer_authn_in(m, str_c(root), on_peer_authn, f);
	f->root = false;
	if (strcmp(root, f->w->ns) != 0)
		mesh_each_peer_authn_in(m, str_c(f->w->ns), on_peer_authn, f);
}

static void drop_shared(struct scope *s)
{
	int kept = 0;

	for (int i = 0; i < s->n; i++) {
		bool shared = false;

		for (int k = 0; s->policies[i]->n_targets > 1 && k < s->all->n && !shared; k++)
			shared = s->policies[i] == s->all->policies[k];
		if (!shared)
			s->policies[kept++] = s->policies[i];
	}
	s->n = kept;
}

static const char *first_provider(const struct scope *s)
{
	return s->start[PART_CUSTOM] < s->start[PART_DENY] ? s->policies[s->start[PART_CUSTOM]]->provider : NULL;
}

static bool find_for(struct scope *s, const struct mesh *m, const struct workload *w, const struct service *service, struct scope *all)
{
	struct finder f = { .s = s, .w = w };
	const char *a, *b;

	find_at(&f, m, service->ns, service->core ? TARGET_SERVICE : TARGET_SERVICE_ENTRY, service->name);
	find_in_ns(&f, m, service->ns);
	s->plain = !s->n && !s->broken && !s->n_authns && !s->n_limits && !f.no_memory;
	if (s->plain)
		return true;
	s->all = all;
	for (int i = 0; i < all->n_authns; i++)
		take_request_authn(all->authns[i], &f);
	for (int i = 0; i < all->n_limits; i++)
		take_rate_limit(all->limits[i], &f);
	drop_shared(s);
	if (!finish(&f))
		return false;
	a = first_provider(s);
	b = first_provider(all);
	s->many_providers = s->many_providers || all->many_providers || (a && b && strcmp(a, b) != 0);
	return true;
}

static bool find_at_waypoint(struct scope *s, const struct mesh *m, const struct workload *w)
{
	struct finder f = { .s = s, .w = w, .root = true };

	find_for_all(&f, m);
	return finish(&f);
}

static uint64_t hash_gates(const struct mesh *m, const struct workload *w)
{
	uint64_t hash = 0;
	int n;
	struct waypoint_name *v = waypoint_names(m, w, &n);

	for (int i = 0; i < n; i++) {
		uint64_t part[] = { hash, hash_bytes(v[i].ns, strlen(v[i].ns)), hash_bytes(v[i].name, strlen(v[i].name)) };

		hash = hash_bytes(part, sizeof(part));
	}
	free(v);
	return hash;
}

/* Where Gateways lead can change with any change of the mesh, unlike the rest. */
static struct scope *of_waypoint(const struct mesh *m, const struct workload *w, const struct service *service, struct scope *all, uint64_t gates)
{
	struct scope *s = slot_of(w, service);

	if (!s || (s->workload == w && s->service == service && s->generation == mesh_policy_generation(m) && s->gates == gates))
		return s;
	scope_done(s);
	if (!(service ? find_for(s, m, w, service, all) : find_at_waypoint(s, m, w))) {
		scope_done(s);
		return NULL;
	}
	keep(s, m, w, service);
	s->gates = gates;
	return s;
}

static struct scope *scope_at_waypoint(const struct mesh *m, const struct workload *w, const struct service *service)
{
	struct scope *all = slot_of(w, NULL), *s;
	uint64_t gates = !all ? 0 : all->workload == w && all->looked == mesh_generation(m) ? all->gates : hash_gates(m, w);

	all = of_waypoint(m, w, NULL, NULL, gates);
	if (!all)
		return NULL;
	all->looked = mesh_generation(m);
	s = service ? of_waypoint(m, w, service, all, gates) : all;
	return s && s->plain ? all : s;
}

struct scope *scope_of(const struct mesh *m, const struct workload *w, const struct service *service)
{
	struct scope *s;

	if (mesh_settings(m)->mode == MODE_WAYPOINT)
		return scope_at_waypoint(m, w, service);
	s = slot_of(w, NULL);
	if (!s || (s->workload == w && s->generation == mesh_policy_generation(m)))
		return s;
	scope_done(s);
	if (!find(s, m, w)) {
		scope_done(s);
		return NULL;
	}
	keep(s, m, w, NULL);
	return s;
}

const struct rulebook *scope_book(const struct policy *p, const struct subject *who)
{
	const struct policy_books *b = p->compiled;

	return who->in->request ? b->requests : b->bytes;
}

static bool index_part(struct ruleindex *x, const struct scope *s, enum scope_part part, const struct subject *who)
{
	int from = s->start[part], n = s->start[part + 1] - from;
	const struct rulebook **books = malloc(((size_t)n + 1) * sizeof(*books));
	bool ok;

	for (int i = 0; books && i < n; i++)
		books[i] = scope_book(s->policies[from + i], who);
	ok = books && ruleindex_init(x, books, n);
	free(books);
	return ok;
}

const struct scope_index *scope_index(struct scope *s, const struct subject *who)
{
	struct scope_index **at = who->in->request ? &s->requests : &s->bytes;

	if (*at)
		return *at;
	*at = calloc(1, sizeof(**at));
	if (*at && index_part(&(*at)->deny, s, PART_DENY, who) && index_part(&(*at)->allow, s, PART_ALLOW, who))
		return *at;
	index_free(*at);
	*at = NULL;
	return NULL;
}

struct policy *scope_broken(const struct scope *s)
{
	struct policy *first = NULL;

	scope_each(at, s)
		first = at->broken && (!first || strcmp(at->broken->key, first->key) < 0) ? at->broken : first;
	return first;
}

bool scope_has(const struct scope *s, enum scope_part part)
{
	scope_each(at, s)
		if (at->start[part + 1] > at->start[part])
			return true;
	return false;
}

static enum mtls_mode mode_at(const struct peer_authn *p, uint16_t port)
{
	for (int i = 0; p->n_selector && i < p->n_ports; i++)
		if (p->ports[i].port == port && p->ports[i].mode != MTLS_UNSET)
			return p->ports[i].mode;
	return p->mode;
}

struct peer_authn *scope_peer_authn(const struct scope *s, uint16_t port, enum mtls_mode *ret_mode)
{
	for (int i = LEVEL_WORKLOAD; i <= LEVEL_MESH; i++) {
		struct peer_authn *p = s->levels[i];
		enum mtls_mode mode = p ? mode_at(p, port) : MTLS_UNSET;

		if (p && (p->broken || mode != MTLS_UNSET)) {
			*ret_mode = mode;
			return p;
		}
	}
	*ret_mode = MTLS_PERMISSIVE;
	return NULL;
}
