/* SPDX-License-Identifier: Apache-2.0 */
/* Virtual hosts by authority. */
#include <ctype.h>
#include <stdlib.h>

#include "base/map.h"
#include "traffic/route_int.h"

/* Wildcards of one side: by text, and which lengths there are, the longest first. */
struct wild {
	struct map by_text;
	size_t *lengths;                 /* owned */
	int n_lengths;
};

struct entry {
	const struct vhost *vhost;
	struct route_index *index;       /* NULL: the list is short */
};

struct route_table {
	const struct vhost *vhosts;
	int n;
	struct entry *entries;
	struct entry *any;               /* "*"; NULL: none */
	struct map exact;
	struct wild suffixes, prefixes;
	struct arena mem;
};

struct str route_without_port(struct str a)
{
	size_t at = a.n;

	while (at > 0 && isdigit((unsigned char)a.p[at - 1]))
		at--;
	/* "[::1]:80", "host:80"; a bare IPv6 address has no port. */
	if (at == a.n || at == 0 || a.p[at - 1] != ':' || (a.p[0] != '[' && memchr(a.p, ':', at - 1)) || (a.p[0] == '[' && a.p[at - 2] != ']'))
		return a;
	return (struct str){ a.p, at - 1 };
}

struct str route_host(struct str authority, char *text)
{
	struct str h = route_without_port(authority);

	if (h.n > ROUTE_TEXT)
		return (struct str){ NULL, 0 };
	for (size_t i = 0; i < h.n; i++)
		text[i] = (char)tolower((unsigned char)h.p[i]);
	return (struct str){ text, h.n };
}

static int longest_first(const void *a, const void *b)
{
	size_t x = *(const size_t *)a, y = *(const size_t *)b;

	return x > y ? -1 : x < y;
}

static void put_once(struct map *m, struct str key, struct entry *e)
{
	if (!map_get(m, key))
		map_put(m, key, e);
}

static void wild_put(struct wild *w, struct str key, struct entry *e)
{
	bool known = false;

	for (int i = 0; i < w->n_lengths; i++)
		known = known || w->lengths[i] == key.n;
	if (!known) {
		w->lengths = xrealloc(w->lengths, (size_t)(w->n_lengths + 1) * sizeof(*w->lengths));
		w->lengths[w->n_lengths++] = key.n;
		qsort(w->lengths, (size_t)w->n_lengths, sizeof(*w->lengths), longest_first);
	}
	put_once(&w->by_text, key, e);
}

static void put_domain(struct route_table *t, const char *domain, struct entry *e)
{
	struct str d = str_c(domain);
	char *low;

	if (str_is(d, "*")) {
		if (!t->any)
			t->any = e;
		return;
	}
	low = arena_dup(&t->mem, d);
	for (size_t i = 0; i < d.n; i++)
		low[i] = (char)tolower((unsigned char)low[i]);
	d.p = low;
	if (d.n && d.p[0] == '*')
		wild_put(&t->suffixes, (struct str){ d.p + 1, d.n - 1 }, e);
	else if (d.n && d.p[d.n - 1] == '*')
		wild_put(&t->prefixes, (struct str){ d.p, d.n - 1 }, e);
	else
		put_once(&t->exact, d, e);
}

struct route_table *route_table_new(const struct vhost *vhosts, int n)
{
	struct route_table *t = xcalloc(1, sizeof(*t));

	t->vhosts = vhosts;
	t->n = n;
	t->mem.block = 512;
	t->entries = n ? xcalloc((size_t)n, sizeof(*t->entries)) : NULL;
	for (int i = 0; i < n; i++) {
		struct entry *e = &t->entries[i];

		*e = (struct entry){ &vhosts[i], route_index_new(vhosts[i].routes, vhosts[i].n_routes, &t->mem) };
		for (int d = 0; d < vhosts[i].n_domains; d++)
			put_domain(t, vhosts[i].domains[d], e);
	}
	return t;
}

static void wild_done(struct wild *w)
{
	map_done(&w->by_text);
	free(w->lengths);
}

void route_table_free(struct route_table *t)
{
	if (!t)
		return;
	for (int i = 0; i < t->n; i++)
		route_index_done(t->entries[i].index);
	map_done(&t->exact);
	wild_done(&t->suffixes);
	wild_done(&t->prefixes);
	arena_done(&t->mem);
	free(t->entries);
	free(t);
}

const struct vhost *route_table_vhosts(const struct route_table *t, int *ret_n)
{
	*ret_n = t->n;
	return t->vhosts;
}

/* The star stands for at least one byte. */
static const struct entry *wild_get(const struct wild *w, struct str host, bool suffix)
{
	for (int i = 0; i < w->n_lengths; i++) {
		size_t n = w->lengths[i];
		const struct entry *e;

		if (n < host.n && (e = map_get(&w->by_text, (struct str){ suffix ? host.p + host.n - n : host.p, n })))
			return e;
	}
	return NULL;
}

static const struct entry *entry_for(const struct route_table *t, struct str authority)
{
	const struct entry *e = NULL;
	char text[ROUTE_TEXT];
	struct str host;

	if (t->exact.len + t->suffixes.by_text.len + t->prefixes.by_text.len == 0)
		return t->any;
	host = route_host(authority, text);
	if (host.n)
		e = map_get(&t->exact, host);
	if (!e)
		e = wild_get(&t->suffixes, host, true);
	if (!e)
		e = wild_get(&t->prefixes, host, false);
	return e ? e : t->any;
}

const struct vhost *route_table_vhost(const struct route_table *t, struct str authority)
{
	const struct entry *e = entry_for(t, authority);

	return e ? e->vhost : NULL;
}

const struct route *route_find(const struct route_table *t, const struct exchange *x)
{
	const struct entry *e = entry_for(t, x->request.authority);
	struct route_ask ask;

	if (!e)
		return NULL;
	ask = route_ask_of(x);
	if (e->index)
		return route_index_find(e->index, &ask);
	for (int i = 0; i < e->vhost->n_routes; i++)
		if (route_matches(&e->vhost->routes[i], &ask, false))
			return &e->vhost->routes[i];
	return NULL;
}
