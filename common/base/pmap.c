/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pmap.h"

#include <stdlib.h>

#include "base/str.h"

/* A branch takes 5 bits of the hash. It is followed in memory by its entries (a hash that is alone at its place) and then
 * by its children, each in the order of their bits. A bucket holds several values of one hash. */
#define BITS 5

struct entry {
	uint64_t hash;
	void *value;
};

struct pmap_node {
	uint32_t refs;               /* of the editing thread only */
	uint32_t n_bucket;           /* 0: a branch */
	union {
		struct { uint32_t entry_map, child_map; };
		uint64_t hash;       /* of a bucket */
	};
};

static int count(uint32_t map)
{
	return __builtin_popcount(map);
}

static uint32_t bit_of(uint64_t hash, unsigned shift)
{
	return 1u << (hash >> shift & 31);
}

static struct entry *entries(struct pmap_node *n)
{
	return (struct entry *)(n + 1);
}

static struct pmap_node **children(struct pmap_node *n)
{
	return (struct pmap_node **)(entries(n) + count(n->entry_map));
}

static void **bucket_values(struct pmap_node *n)
{
	return (void **)(n + 1);
}

static struct entry *entry_at(struct pmap_node *n, uint32_t bit)
{
	return entries(n) + count(n->entry_map & (bit - 1));
}

static struct pmap_node **child_at(struct pmap_node *n, uint32_t bit)
{
	return children(n) + count(n->child_map & (bit - 1));
}

static size_t node_size(const struct pmap_node *n)
{
	if (n->n_bucket)
		return sizeof(*n) + n->n_bucket * sizeof(void *);
	return sizeof(*n) + (size_t)count(n->entry_map) * sizeof(struct entry) + (size_t)count(n->child_map) * sizeof(n);
}

static struct pmap_node *node_new(void)
{
	struct pmap_node *n = xcalloc(1, sizeof(*n));

	n->refs = 1;
	return n;
}

static void node_drop(struct pmap_node *n, const struct pmap_values *v)
{
	if (--n->refs)
		return;
	if (n->n_bucket) {
		for (uint32_t i = 0; v && i < n->n_bucket; i++)
			v->unref(bucket_values(n)[i]);
	} else {
		for (int i = 0; v && i < count(n->entry_map); i++)
			v->unref(entries(n)[i].value);
		for (int i = 0; i < count(n->child_map); i++)
			node_drop(children(n)[i], v);
	}
	free(n);
}

/* Makes *at a node that only this version sees. */
static struct pmap_node *node_own(struct pmap_node **at, const struct pmap_values *v)
{
	struct pmap_node *old = *at, *n;

	if (old->refs == 1)
		return old;
	n = xmalloc(node_size(old));
	memcpy(n, old, node_size(old));
	n->refs = 1;
	old->refs--;
	if (n->n_bucket) {
		for (uint32_t i = 0; v && i < n->n_bucket; i++)
			v->ref(bucket_values(n)[i]);
	} else {
		for (int i = 0; v && i < count(n->entry_map); i++)
			v->ref(entries(n)[i].value);
		for (int i = 0; i < count(n->child_map); i++)
			children(n)[i]->refs++;
	}
	return *at = n;
}

/* The four edits of an own branch. */
static void entry_insert(struct pmap_node **at, uint32_t bit, struct entry e)
{
	struct pmap_node *n = *at = xrealloc(*at, node_size(*at) + sizeof(e));
	struct entry *place = entry_at(n, bit);

	memmove(place + 1, place, node_size(n) - (size_t)((char *)place - (char *)n));
	*place = e;
	n->entry_map |= bit;
}

static struct entry entry_remove(struct pmap_node *n, uint32_t bit)
{
	struct entry *place = entry_at(n, bit), e = *place;

	memmove(place, place + 1, node_size(n) - (size_t)((char *)(place + 1) - (char *)n));
	n->entry_map &= ~bit;
	return e;
}

static void child_insert(struct pmap_node **at, uint32_t bit, struct pmap_node *child)
{
	struct pmap_node *n = *at = xrealloc(*at, node_size(*at) + sizeof(child));
	struct pmap_node **place = child_at(n, bit);

	memmove(place + 1, place, node_size(n) - (size_t)((char *)place - (char *)n));
	*place = child;
	n->child_map |= bit;
}

static struct pmap_node *child_remove(struct pmap_node *n, uint32_t bit)
{
	struct pmap_node **place = child_at(n, bit), *child = *place;

	memmove(place, place + 1, node_size(n) - (size_t)((char *)(place + 1) - (char *)n));
	n->child_map &= ~bit;
	return child;
}

static void bucket_add(struct pmap_node **at, void *value)
{
	struct pmap_node *n = *at = xrealloc(*at, node_size(*at) + sizeof(value));

	bucket_values(n)[n->n_bucket++] = value;
}

static struct pmap_node *bucket_new(uint64_t hash, void *a, void *b)
{
	struct pmap_node *n = xmalloc(sizeof(*n) + sizeof(a));

	*n = (struct pmap_node){ .refs = 1, .n_bucket = 1, .hash = hash };
	bucket_values(n)[0] = a;
	bucket_add(&n, b);
	return n;
}

static void node_add(struct pmap_node **at, unsigned shift, uint64_t hash, void *value, const struct pmap_values *v);

static void add_to_child(struct pmap_node **at, unsigned shift, uint64_t hash, void *value, const struct pmap_values *v)
{
	struct pmap_node *child = *at;

	if (child->n_bucket && child->hash == hash) {
		node_own(at, v);
		bucket_add(at, value);
		return;
	}
	if (child->n_bucket) {
		struct pmap_node *branch = node_new();

		child_insert(&branch, bit_of(child->hash, shift), child);
		*at = branch;
	}
	node_add(at, shift, hash, value, v);
}

static void node_add(struct pmap_node **at, unsigned shift, uint64_t hash, void *value, const struct pmap_values *v)
{
	struct pmap_node *n = node_own(at, v), *child;
	uint32_t bit = bit_of(hash, shift);
	struct entry e;

	if (n->child_map & bit) {
		add_to_child(child_at(n, bit), shift + BITS, hash, value, v);
		return;
	}
	if (!(n->entry_map & bit)) {
		entry_insert(at, bit, (struct entry){ hash, value });
		return;
	}
	e = entry_remove(n, bit);
	if (e.hash == hash) {
		child = bucket_new(hash, e.value, value);
	} else {
		child = node_new();
		entry_insert(&child, bit_of(e.hash, shift + BITS), e);
		node_add(&child, shift + BITS, hash, value, v);
	}
	child_insert(at, bit, child);
}

void pmap_add(struct pmap *m, uint64_t hash, void *value)
{
	if (!m->root)
		m->root = node_new();
	node_add(&m->root, 0, hash, value, m->values);
	m->len++;
}

/* If only one value is left in an own node, takes it out of there: it becomes its parent's entry. */
static bool node_single(struct pmap_node *n, struct entry *ret)
{
	if (n->n_bucket == 1)
		*ret = (struct entry){ n->hash, bucket_values(n)[0] };
	else if (!n->n_bucket && !n->child_map && count(n->entry_map) == 1)
		*ret = entries(n)[0];
	else
		return false;
	free(n);
	return true;
}

static void bucket_del(struct pmap_node *n, const void *value)
{
	void **values = bucket_values(n);
	uint32_t i = 0;

	while (values[i] != value)
		i++;
	values[i] = values[--n->n_bucket];
}

/* The value is there. */
static void node_del(struct pmap_node **at, unsigned shift, uint64_t hash, const void *value, const struct pmap_values *v)
{
	struct pmap_node *n = node_own(at, v), **child;
	uint32_t bit = bit_of(hash, shift);
	struct entry e;

	if (n->entry_map & bit) {
		entry_remove(n, bit);
		return;
	}
	child = child_at(n, bit);
	if ((*child)->n_bucket)
		bucket_del(node_own(child, v), value);
	else
		node_del(child, shift + BITS, hash, value, v);
	if (node_single(*child, &e)) {
		child_remove(n, bit);
		entry_insert(at, bit, e);
	}
}

bool pmap_del(struct pmap *m, uint64_t hash, const void *value)
{
	struct pmap_run run = pmap_find(m, hash);
	void *found = NULL;

	for (int i = 0; i < run.n && !found; i++)
		if (run.values[i] == value)
			found = run.values[i];
	if (!found)
		return false;
	node_del(&m->root, 0, hash, value, m->values);
	if (--m->len == 0) {
		free(m->root);
		m->root = NULL;
	}
	if (m->values)
		m->values->unref(found);
	return true;
}

struct pmap_run pmap_find(const struct pmap *m, uint64_t hash)
{
	struct pmap_node *n = m->root;

	for (unsigned shift = 0; n; shift += BITS) {
		uint32_t bit;

		if (n->n_bucket) {
			if (n->hash != hash)
				break;
			return (struct pmap_run){ bucket_values(n), (int)n->n_bucket };
		}
		bit = bit_of(hash, shift);
		if (n->entry_map & bit) {
			struct entry *e = entry_at(n, bit);

			if (e->hash != hash)
				break;
			return (struct pmap_run){ &e->value, 1 };
		}
		n = n->child_map & bit ? *child_at(n, bit) : NULL;
	}
	return (struct pmap_run){ NULL, 0 };
}

static bool node_each(struct pmap_node *n, bool (*fn)(void *value, void *arg), void *arg)
{
	if (n->n_bucket) {
		for (uint32_t i = 0; i < n->n_bucket; i++)
			if (!fn(bucket_values(n)[i], arg))
				return false;
		return true;
	}
	for (int i = 0; i < count(n->entry_map); i++)
		if (!fn(entries(n)[i].value, arg))
			return false;
	for (int i = 0; i < count(n->child_map); i++)
		if (!node_each(children(n)[i], fn, arg))
			return false;
	return true;
}

bool pmap_each(const struct pmap *m, bool (*fn)(void *value, void *arg), void *arg)
{
	return !m->root || node_each(m->root, fn, arg);
}

struct pmap pmap_ref(const struct pmap *m)
{
	if (m->root)
		m->root->refs++;
	return *m;
}

void pmap_done(struct pmap *m)
{
	if (m->root)
		node_drop(m->root, m->values);
	m->root = NULL;
	m->len = 0;
}
