/* SPDX-License-Identifier: Apache-2.0 */
/* Which workloads a selector takes, without looking at each: an index of all labels, sorted by hash. */
#include <stdlib.h>

#include "source/link_service.h"

static uint64_t pair_hash(const char *ns, const struct label *l)
{
	uint64_t h = hash_bytes(ns, strlen(ns));

	h = h * 0x9e3779b97f4a7c15u + hash_bytes(l->key, strlen(l->key));
	return h * 0x9e3779b97f4a7c15u + hash_bytes(l->value, strlen(l->value));
}

static int compare(const void *a, const void *b)
{
	const struct select_entry *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return x->obj < y->obj ? -1 : x->obj > y->obj;
}

static const struct workload *workload_of(const struct conf_obj *o)
{
	bool has = (o->kind == CONF_WORKLOAD_ENTRY || o->kind == CONF_POD) && !o->bad && !o->skipped;

	return has ? o->u.workload : NULL;
}

void select_init(struct select *s, const struct link_input *in)
{
	size_t n = 0;

	*s = (struct select){ .in = in };
	for (size_t i = 0; i < in->n; i++) {
		const struct workload *w = workload_of(in->objs[i]);

		n += w ? (size_t)w->n_labels : 0;
	}
	s->v = xcalloc(n + 1, sizeof(*s->v));
	for (size_t i = 0; i < in->n; i++) {
		const struct workload *w = workload_of(in->objs[i]);

		for (int k = 0; w && k < w->n_labels; k++)
			s->v[s->n++] = (struct select_entry){ pair_hash(w->ns, &w->labels[k]), (uint32_t)i };
	}
	qsort(s->v, s->n, sizeof(*s->v), compare);
}

static size_t first_at(const struct select *s, uint64_t hash)
{
	size_t lo = 0, hi = s->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (s->v[mid].hash < hash)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

void select_each(const struct select *s, const char *ns, const struct label *selector, int n,
		 void (*fn)(const struct conf_obj *o, void *arg), void *arg)
{
	size_t from = 0, to = SIZE_MAX;

	for (int i = 0; i < n; i++) {   /* the rarest of the labels */
		uint64_t h = pair_hash(ns, &selector[i]);
		size_t lo = first_at(s, h), hi = h == UINT64_MAX ? s->n : first_at(s, h + 1);

		if (hi - lo < to - from) {
			from = lo;
			to = hi;
		}
	}
	for (size_t i = from; n && i < to; i++) {
		const struct conf_obj *o = s->in->objs[s->v[i].obj];
		const struct workload *w = o->u.workload;

		if (!strcmp(w->ns, ns) && labels_match(selector, n, w->labels, w->n_labels))
			fn(o, arg);
	}
}

void select_done(struct select *s)
{
	free(s->v);
}
