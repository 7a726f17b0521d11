/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/ruleindex.h"

#include <stdlib.h>

#define KEYED_FROM 8     /* fewer rules are simply tried */

struct entry { uint64_t key; uint32_t rule; };

struct maker {
	struct ruleindex *x;
	struct entry *v;
	size_t n, cap;
	uint32_t rule;
	bool no_memory, crowded;     /* crowded: too many lengths for this rule */
};

static void put_length(struct maker *m, size_t prefix)
{
	struct ruleindex *x = m->x;

	for (int i = 0; i < x->n_lengths; i++)
		if (x->lengths[i] == prefix)
			return;
	if (x->n_lengths == (int)ARRAY_LEN(x->lengths) || prefix > UINT16_MAX)
		m->crowded = true;
	else
		x->lengths[x->n_lengths++] = (uint16_t)prefix;
}

static void put_key(uint64_t key, size_t prefix, void *arg)
{
	struct maker *m = arg;

	if (prefix)
		put_length(m, prefix);
	if (m->n == m->cap) {
		size_t cap = m->cap ? m->cap * 2 : 64;
		struct entry *more = realloc(m->v, cap * sizeof(*more));

		if (!more) {
			m->no_memory = true;
			return;
		}
		m->v = more;
		m->cap = cap;
	}
	m->v[m->n++] = (struct entry){ key, m->rule };
}

static int order(const void *pa, const void *pb)
{
	const struct entry *a = pa, *b = pb;

	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	return a->rule < b->rule ? -1 : a->rule > b->rule;
}

static bool make_slots(struct maker *m)
{
	struct ruleindex *x = m->x;
	uint32_t slots = 2;

	if (!m->n)
		return true;
	qsort(m->v, m->n, sizeof(*m->v), order);
	while (slots < m->n * 2)
		slots *= 2;
	x->slots = calloc(slots, sizeof(*x->slots));
	x->lists = malloc(m->n * sizeof(*x->lists));
	if (!x->slots || !x->lists)
		return false;
	x->mask = slots - 1;
	for (size_t i = 0, end; i < m->n; i = end) {
		uint32_t at = (uint32_t)(m->v[i].key >> 32) & x->mask;

		for (end = i; end < m->n && m->v[end].key == m->v[i].key; end++)
			x->lists[end] = m->v[end].rule;
		while (x->slots[at].key)
			at = (at + 1) & x->mask;
		x->slots[at] = (struct key_slot){ m->v[i].key, (uint32_t)i, (uint32_t)(end - i) };
	}
	return true;
}

static void add_rule(struct maker *m, const struct rulebook *b, int rule, bool keyed)
{
	struct ruleindex *x = m->x;
	size_t mark = m->n;

	m->crowded = false;
	if (keyed && rulebook_keys(b, rule, put_key, m) && !m->crowded)
		return;
	m->n = mark;
	x->always[x->n_always++] = m->rule;
}

bool ruleindex_init(struct ruleindex *x, const struct rulebook *const *books, int n)
{
	struct maker m = { .x = x };
	bool ok;

	*x = (struct ruleindex){ .n_books = n };
	for (int i = 0; i < n; i++)
		x->n_refs += rulebook_len(books[i]);
	if (!x->n_refs)
		return true;
	x->books = malloc((size_t)n * sizeof(*x->books));
	x->refs = malloc((size_t)x->n_refs * sizeof(*x->refs));
	x->always = malloc((size_t)x->n_refs * sizeof(*x->always));
	ok = x->books && x->refs && x->always;
	for (int i = 0; ok && i < n; i++) {
		x->books[i] = books[i];
		for (int r = 0; r < rulebook_len(books[i]); r++) {
			x->refs[m.rule] = (struct rule_ref){ (uint32_t)i, (uint32_t)r };
			add_rule(&m, books[i], r, x->n_refs >= KEYED_FROM);
			m.rule++;
		}
	}
	ok = ok && !m.no_memory && make_slots(&m);
	free(m.v);
	if (!ok)
		ruleindex_done(x);
	return ok;
}

void ruleindex_done(struct ruleindex *x)
{
	free(x->books);
	free(x->refs);
	free(x->slots);
	free(x->lists);
	free(x->always);
	*x = (struct ruleindex){ 0 };
}

/* --- finding --- */

struct search {
	const struct ruleindex *x;
	struct subject *s;
	uint32_t best;               /* n_refs: none yet */
};

static void try_all(struct search *q, const uint32_t *rules, uint32_t n)
{
	for (uint32_t i = 0; i < n && rules[i] < q->best; i++) {
		const struct rule_ref *r = &q->x->refs[rules[i]];

		if (rulebook_rule_met(q->x->books[r->policy], (int)r->rule, q->s)) {
			q->best = rules[i];
			return;
		}
	}
}

static void try_key(struct search *q, enum key_kind kind, uint64_t hash)
{
	uint64_t key = key_of(kind, hash);

	for (uint32_t at = (uint32_t)(key >> 32) & q->x->mask; q->x->slots[at].key; at = (at + 1) & q->x->mask)
		if (q->x->slots[at].key == key) {
			try_all(q, q->x->lists + q->x->slots[at].first, q->x->slots[at].n);
			return;
		}
}

static void try_request(struct search *q)
{
	const struct subject *s = q->s;

	try_key(q, KEY_HOST, s->host_hash);
	try_key(q, KEY_PATH, s->path_hash);
	for (int i = 0; i < q->x->n_lengths; i++)
		if (q->x->lengths[i] <= s->path.n)
			try_key(q, KEY_PATH_PREFIX, subject_hash((struct str){ s->path.p, q->x->lengths[i] }));
}

const struct rule_ref *ruleindex_find(const struct ruleindex *x, struct subject *s)
{
	struct search q = { x, s, (uint32_t)x->n_refs };

	if (x->slots) {
		try_key(&q, KEY_PORT, s->in->dest.port);
		try_key(&q, KEY_NS, s->ns_hash);
		if (s->principal.n)
			try_key(&q, KEY_PRINCIPAL, s->tail_hash);
		if (s->account.n)
			try_key(&q, KEY_ACCOUNT, s->account_hash);
		if (s->in->request)
			try_request(&q);
	}
	try_all(&q, x->always, (uint32_t)x->n_always);
	return q.best < (uint32_t)x->n_refs ? &x->refs[q.best] : NULL;
}
