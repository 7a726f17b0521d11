/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/scope.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/log.h"

#define SLOTS 1024   /* workloads remembered per thread: a node has up to some hundred pods, and two in one slot drive each other out */

enum level { LEVEL_WORKLOAD, LEVEL_NAMESPACE, LEVEL_MESH };

static pthread_key_t key;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;

static void cache_free(void *p)
{
	struct scope *cache = p;

	for (int i = 0; i < SLOTS; i++) {
		free(cache[i].policies);
		workload_unref(cache[i].workload);
	}
	free(cache);
}

static void key_make(void)
{
	pthread_key_create(&key, cache_free);
}

static struct scope *slot_of(const struct workload *w)
{
	struct scope *cache;

	pthread_once(&key_once, key_make);
	cache = pthread_getspecific(key);
	if (!cache) {
		cache = calloc(SLOTS, sizeof(*cache));
		if (!cache || pthread_setspecific(key, cache)) {
			free(cache);
			return NULL;
		}
	}
	return &cache[hash_bytes(&w, sizeof(w)) % SLOTS];
}

struct finder {
	struct scope *s;
	const struct workload *w;
	bool root;            /* the objects at hand are the root namespace's */
	int cap;
	bool no_memory;
};

static bool add(struct finder *f, struct policy *p)
{
	struct scope *s = f->s;

	if (p->broken || !p->compiled) {
		if (!p->dry_run && (!s->broken || strcmp(p->key, s->broken->key) < 0))
			s->broken = p;
		return true;
	}
	if (s->n == f->cap) {
		int cap = f->cap ? f->cap * 2 : 8;
		struct scope_policy *more = realloc(s->policies, (size_t)cap * sizeof(*more));

		if (!more) {
			f->no_memory = true;
			return false;
		}
		s->policies = more;
		f->cap = cap;
	}
	s->policies[s->n++] = (struct scope_policy){ p, p->compiled, *rulebook_keys(p->compiled) };
	return true;
}

static bool reaches(const struct policy *p, const struct finder *f)
{
	switch (p->scope) {
	case POLICY_GLOBAL:
		return false;     /* on_global finds them */
	case POLICY_NAMESPACE:
		return strcmp(p->ns, f->w->ns) == 0;
	case POLICY_SELECTOR:
		return !p->by_name && labels_match(p->selector, p->n_selector, f->w->labels, f->w->n_labels);
	}
	return true;
}

static bool on_policy(struct policy *p, void *arg)
{
	struct finder *f = arg;

	return !reaches(p, f) || add(f, p);
}

static bool on_global(struct policy *p, void *arg)
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

static int part_of(const struct policy *p)
{
	return p->dry_run ? 0 : p->action == POLICY_DENY ? 1 : 2;
}

static int order(const void *pa, const void *pb)
{
	const struct policy *a = ((const struct scope_policy *)pa)->policy, *b = ((const struct scope_policy *)pb)->policy;
	int diff = part_of(a) - part_of(b);

	return diff ? diff : strcmp(a->key, b->key);
}

static void sort(struct scope *s)
{
	int kept = 0;

	if (s->n)
		qsort(s->policies, (size_t)s->n, sizeof(*s->policies), order);
	s->n_dry_run = s->n_deny = 0;
	for (int i = 0; i < s->n; i++) {
		if (kept && s->policies[kept - 1].policy == s->policies[i].policy)
			continue;
		s->policies[kept++] = s->policies[i];
		s->n_dry_run += part_of(s->policies[i].policy) == 0;
		s->n_deny += part_of(s->policies[i].policy) == 1;
	}
	s->n = kept;
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

static bool find(struct scope *s, const struct mesh *m, const struct workload *w)
{
	struct str root = str_c(mesh_settings(m)->root_ns), ns = str_c(w->ns);
	struct finder f = { .s = s, .w = w, .root = true };

	mesh_each_policy_in(m, str_c(""), on_global, &f);
	mesh_each_policy_in(m, root, on_policy, &f);
	mesh_each_peer_authn_in(m, root, on_peer_authn, &f);
	if (!str_eq(root, ns)) {
		f.root = false;
		mesh_each_policy_in(m, ns, on_policy, &f);
		mesh_each_peer_authn_in(m, ns, on_peer_authn, &f);
	}
	add_bound(&f, m);
	sort(s);
	return !f.no_memory;
}

const struct scope *scope_of(const struct mesh *m, const struct workload *w)
{
	struct scope *s = slot_of(w);

	if (!s || (s->workload == w && s->generation == mesh_policy_generation(m)))
		return s;
	free(s->policies);
	workload_unref(s->workload);
	*s = (struct scope){ 0 };
	if (!find(s, m, w))
		return NULL;
	s->workload = workload_ref((struct workload *)w);
	s->generation = mesh_policy_generation(m);
	return s;
}

int scope_judge(const struct scope *s, int i, const struct subject *who)
{
	const struct scope_policy *p = &s->policies[i];

	return subject_has_key(who, &p->keys) ? rulebook_judge(p->rules, who) : -1;
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
