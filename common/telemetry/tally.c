/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/tally.h"

#include <stdlib.h>

/* One label set, summed over the workers. */
struct sum {
	const struct tally_row *row;         /* one of them, for the key */
	uint64_t count[TALLY_COUNTS];
	struct sum *next;
};

struct sums {
	struct map by_key;
	struct sum *first, **last;
};

static void sums_collect(struct tally_kind *k, struct sums *sums)
{
	*sums = (struct sums){ .last = &sums->first };
	for (struct tally *t = atomic_load_explicit(&k->tables, memory_order_acquire); t; t = t->next) {
		for (struct tally_row *r = atomic_load_explicit(&t->first, memory_order_acquire); r; r = r->next) {
			struct str key = { r->key, r->key_bytes };
			struct sum *s = map_get(&sums->by_key, key);

			if (!s) {
				s = xcalloc(1, sizeof(*s));
				s->row = r;
				*sums->last = s;
				sums->last = &s->next;
				map_put(&sums->by_key, key, s);
			}
			for (int i = 0; i < TALLY_COUNTS; i++)
				s->count[i] += atomic_load_explicit(&r->count[i], memory_order_relaxed);
		}
	}
}

static void sums_done(struct sums *sums)
{
	for (struct sum *s = sums->first, *next; s; s = next) {
		next = s->next;
		free(s);
	}
	map_done(&sums->by_key);
}

static void values_of(const struct tally_kind *k, const struct tally_row *r, struct str *values)
{
	const char *at = r->key;

	for (int i = 0; i < k->n_labels; i++) {
		values[i] = str_c(at);
		at += values[i].n + 1;
	}
}

static void labels_of(const struct tally_kind *k, const struct tally_row *r, struct prom_label *labels)
{
	struct str values[TALLY_LABELS];

	values_of(k, r, values);
	for (int i = 0; i < k->n_labels; i++)
		labels[i] = (struct prom_label){ k->labels[i], values[i] };
}

void tally_each(struct tally_kind *k, void (*fn)(const struct str *values, const uint64_t *count, void *arg), void *arg)
{
	struct str values[TALLY_LABELS];
	struct sums sums;

	sums_collect(k, &sums);
	for (const struct sum *s = sums.first; s; s = s->next) {
		values_of(k, s->row, values);
		fn(values, s->count, arg);
	}
	sums_done(&sums);
}

void tally_sum(struct tally_kind *k, void (*fn)(const struct prom_label *labels, const uint64_t *count, void *arg), void *arg)
{
	struct prom_label labels[TALLY_LABELS];
	struct sums sums;

	sums_collect(k, &sums);
	for (const struct sum *s = sums.first; s; s = s->next) {
		labels_of(k, s->row, labels);
		fn(labels, s->count, arg);
	}
	sums_done(&sums);
}

/* What a registered family belongs to. */
struct link {
	struct prom_family family;
	struct tally_kind *kind;
	int count;
};

static void collect(struct prom *p, void *arg)
{
	const struct link *l = arg;
	struct prom_label labels[TALLY_LABELS];
	struct sums sums;

	sums_collect(l->kind, &sums);
	for (const struct sum *s = sums.first; s; s = s->next) {
		if (!s->count[l->count])
			continue;
		labels_of(l->kind, s->row, labels);
		prom_put(p, labels, l->kind->n_labels, s->count[l->count]);
	}
	sums_done(&sums);
}

static void collect_histogram(struct prom *p, void *arg)
{
	const struct link *l = arg;
	const struct tally_histogram *h = &l->kind->histogram;
	struct prom_label labels[TALLY_LABELS];
	struct sums sums;

	sums_collect(l->kind, &sums);
	for (const struct sum *s = sums.first; s; s = s->next) {
		uint64_t any = 0;

		for (int i = 0; i <= h->n; i++)
			any |= s->count[h->first + i];
		if (!any)
			continue;
		labels_of(l->kind, s->row, labels);
		prom_put_histogram(p, labels, l->kind->n_labels, &(struct prom_histogram){
			h->bounds, s->count + h->first, h->n, (double)s->count[h->first + h->n + 1] / 1e9 });
	}
	sums_done(&sums);
}

void tally_register(struct tally_kind *k)
{
	int n = 0;
	struct link *links;

	if (k->registered)
		return;
	while (k->families[n].name)
		n++;
	links = xcalloc((size_t)n + 1, sizeof(*links));
	for (int i = 0; i < n; i++)
		links[i] = (struct link){ { k->families[i].name, PROM_COUNTER, k->families[i].help, collect, &links[i], NULL }, k, k->families[i].count };
	links[n] = (struct link){ { k->histogram.name, PROM_HISTOGRAM, k->histogram.help, collect_histogram, &links[n], NULL }, k, 0 };
	for (int i = 0; i < n + (k->histogram.name != NULL); i++)
		prom_register(&links[i].family);
	k->registered = &links[0].family;
}

struct tally *tally_new(struct tally_kind *k)
{
	struct tally *t = xcalloc(1, sizeof(*t));

	t->kind = k;
	t->next = atomic_load(&k->tables);
	while (!atomic_compare_exchange_weak(&k->tables, &t->next, t))
		;
	return t;
}

static struct tally_row *row_make(struct tally *t, struct str key)
{
	struct tally_row *r = calloc(1, sizeof(*r) + key.n);

	if (!r)
		return NULL;
	memcpy(r->key, key.p, key.n);
	r->key_bytes = (uint16_t)key.n;
	r->next = atomic_load_explicit(&t->first, memory_order_relaxed);
	atomic_store_explicit(&t->first, r, memory_order_release);
	return r;
}

static size_t key_build(const struct tally_kind *k, const struct str *values, char *out)
{
	char *at = out;

	for (int i = 0; i < k->n_labels; i++) {
		struct str v = values ? values[i] : str_c("overflow");

		if (v.n >= TALLY_VALUE_BYTES)
			v.n = TALLY_VALUE_BYTES - 1;
		/* NUL separates: a value ends at its own. */
		v.n = strnlen(v.p ? v.p : "", v.n);
		if (v.n)
			memcpy(at, v.p, v.n);
		at += v.n;
		*at++ = '\0';
	}
	return (size_t)(at - out);
}

struct tally_row *tally_row(struct tally *t, const struct str *values)
{
	char text[TALLY_LABELS * TALLY_VALUE_BYTES];
	struct str key = { text, key_build(t->kind, values, text) };
	struct tally_row *r = map_get(&t->by_key, key);

	if (r)
		return r;
	if (t->n >= TALLY_ROWS) {
		if (!t->overflow)
			t->overflow = row_make(t, (struct str){ text, key_build(t->kind, NULL, text) });
		return t->overflow;
	}
	r = row_make(t, key);
	if (!r)
		return NULL;
	map_put(&t->by_key, (struct str){ r->key, r->key_bytes }, r);
	t->n++;
	return r;
}
