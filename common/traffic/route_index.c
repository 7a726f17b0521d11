/* SPDX-License-Identifier: Apache-2.0 */
/* Routes of one virtual host by path: a hash of exact paths, a trie of prefixes, one set of all regular expressions. Each gives an
 * ordered list of candidates; merged by their place in the list, the first that matches wholly is the answer. */
#include <ctype.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/regex.h"
#include "traffic/route_int.h"

#define SHORT_LIST  8                    /* a list this long is walked */
#define CURSORS     32                   /* lists of candidates that are merged; with more the list is walked */
#define SET_WORDS   128                  /* room for 8192 regular expressions of one virtual host */

struct places { int n; const int *v; };  /* of routes in the list, ascending */

struct node {                            /* of the trie */
	struct str label;                /* what leads here from its parent */
	struct places at;                /* whose prefix ends here */
	struct node *children;           /* by the first byte of their labels */
	int n_children;
};


struct route_index {
	const struct route *routes;
	int n;
	struct map exact[2];             /* of struct places; [1]: in lower case, for those that do not care */
	struct node *prefixes[2];        /* NULL: none */
	struct places any, regexes;
	struct regex_set *set;           /* of regexes, in their order; NULL: each is asked by itself */
};

/* ---- making ---- */

struct entry { struct str key; int at; };

static int entry_cmp(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	size_t n = x->key.n < y->key.n ? x->key.n : y->key.n;
	int d = n ? memcmp(x->key.p, y->key.p, n) : 0;

	if (d == 0 && x->key.n != y->key.n)
		d = x->key.n < y->key.n ? -1 : 1;
	return d ? d : x->at < y->at ? -1 : 1;
}

static struct places places_of(const struct entry *e, int n, struct arena *mem)
{
	int *v = arena_alloc(mem, (size_t)n * sizeof(*v));

	for (int i = 0; i < n; i++)
		v[i] = e[i].at;
	return (struct places){ n, v };
}

/* e is sorted; all keys are the same up to `depth`. */
static void grow(struct node *at, const struct entry *e, int n, size_t depth, struct arena *mem)
{
	int ends = 0, groups = 0;

	while (ends < n && e[ends].key.n == depth)
		ends++;
	if (ends)
		at->at = places_of(e, ends, mem);
	for (int i = ends; i < n; i++)
		groups += i == ends || e[i].key.p[depth] != e[i - 1].key.p[depth];
	at->children = groups ? arena_alloc(mem, (size_t)groups * sizeof(*at->children)) : NULL;
	for (int i = ends, to; i < n; i = to) {
		struct node *child = &at->children[at->n_children++];
		size_t len = depth;

		for (to = i + 1; to < n && e[to].key.p[depth] == e[i].key.p[depth]; to++)
			;
		while (len < e[i].key.n && len < e[to - 1].key.n && e[i].key.p[len] == e[to - 1].key.p[len])
			len++;
		child->label = (struct str){ e[i].key.p + depth, len - depth };
		grow(child, e + i, to - i, len, mem);
	}
}

static struct str lowered(const char *text, bool nocase, struct arena *mem)
{
	struct str s = str_c(text);
	char *p;

	if (!nocase)
		return s;
	p = arena_dup(mem, s);
	for (size_t i = 0; i < s.n; i++)
		p[i] = (char)tolower((unsigned char)p[i]);
	return (struct str){ p, s.n };
}

/* Those of a kind, sorted by path. */
static int collect(const struct route *r, int n, bool exact, bool nocase, struct entry *e, struct arena *mem)
{
	int k = 0;

	for (int i = 0; i < n; i++) {
		const struct route_match *m = &r[i].match;

		if ((exact ? m->path == PATH_EXACT : m->path == PATH_PREFIX || m->path == PATH_SEGMENTS) && m->path_nocase == nocase)
			e[k++] = (struct entry){ lowered(m->path_text, nocase, mem), i };
	}
	qsort(e, (size_t)k, sizeof(*e), entry_cmp);
	return k;
}

static void index_exact(struct route_index *x, bool nocase, struct entry *e, struct arena *mem)
{
	int k = collect(x->routes, x->n, true, nocase, e, mem);

	for (int i = 0, to; i < k; i = to) {
		struct places *p = arena_alloc(mem, sizeof(*p));

		for (to = i + 1; to < k && str_eq(e[to].key, e[i].key); to++)
			;
		*p = places_of(e + i, to - i, mem);
		map_put(&x->exact[nocase], e[i].key, p);
	}
}

static void index_prefixes(struct route_index *x, bool nocase, struct entry *e, struct arena *mem)
{
	int k = collect(x->routes, x->n, false, nocase, e, mem);

	if (!k)
		return;
	x->prefixes[nocase] = arena_alloc(mem, sizeof(struct node));
	grow(x->prefixes[nocase], e, k, 0, mem);
}

static struct places index_kind(const struct route_index *x, enum path_match kind, struct entry *e, struct arena *mem)
{
	int k = 0;

	for (int i = 0; i < x->n; i++)
		if (x->routes[i].match.path == kind)
			e[k++].at = i;
	return places_of(e, k, mem);
}

static struct regex_set *set_of(const struct route_index *x)
{
	struct regex_set *s;
	struct str *texts;

	if (x->regexes.n < 2 || x->regexes.n > SET_WORDS * 64)
		return NULL;
	texts = xmalloc((size_t)x->regexes.n * sizeof(*texts));
	for (int i = 0; i < x->regexes.n; i++)
		texts[i] = str_c(x->routes[x->regexes.v[i]].match.path_text);
	s = regex_set_new(texts, x->regexes.n);
	free(texts);
	return s;
}

struct route_index *route_index_new(const struct route *routes, int n, struct arena *mem)
{
	struct route_index *x;
	struct entry *e;

	if (n <= SHORT_LIST)
		return NULL;
	x = arena_alloc(mem, sizeof(*x));
	*x = (struct route_index){ .routes = routes, .n = n };
	e = xcalloc((size_t)n, sizeof(*e));
	for (int nocase = 0; nocase < 2; nocase++) {
		index_exact(x, nocase, e, mem);
		index_prefixes(x, nocase, e, mem);
	}
	x->any = index_kind(x, PATH_ANY, e, mem);
	x->regexes = index_kind(x, PATH_REGEX, e, mem);
	x->set = set_of(x);
	free(e);
	return x;
}

void route_index_done(struct route_index *x)
{
	if (!x)
		return;
	map_done(&x->exact[0]);
	map_done(&x->exact[1]);
	regex_set_free(x->set);
}

/* ---- asking ---- */

struct search {
	const struct route_index *x;
	struct { const int *at, *end; } cursors[CURSORS];
	int n;
	bool full;                       /* there were more */
	const int *regex, *regex_end;    /* the next of the regular expressions */
	bool set_known;                  /* hits is filled */
	uint64_t hits[SET_WORDS];
};

static void add(struct search *s, const struct places *p)
{
	if (!p || !p->n)
		return;
	if (s->n == CURSORS) {
		s->full = true;
		return;
	}
	s->cursors[s->n].at = p->v;
	s->cursors[s->n++].end = p->v + p->n;
}

static const struct node *child_of(const struct node *at, char first)
{
	int lo = 0, hi = at->n_children;

	while (lo < hi) {
		int mid = (lo + hi) / 2;
		unsigned char c = (unsigned char)at->children[mid].label.p[0];

		if (c == (unsigned char)first)
			return &at->children[mid];
		if (c < (unsigned char)first)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

static void walk(struct search *s, const struct node *at, struct str path)
{
	while (at) {
		add(s, &at->at);
		if (!path.n || !(at = child_of(at, path.p[0])) || !str_starts(path, at->label))
			return;
		path.p += at->label.n;
		path.n -= at->label.n;
	}
}

/* Moves on to the next regular expression that may match. */
static void next_regex(struct search *s, struct str path)
{
	if (!s->set_known && s->x->set) {
		memset(s->hits, 0, (size_t)(s->x->regexes.n + 63) / 64 * sizeof(s->hits[0]));
		if (!regex_set_match(s->x->set, path, s->hits))
			memset(s->hits, 0xff, sizeof(s->hits));
	} else if (!s->set_known) {
		memset(s->hits, 0xff, sizeof(s->hits));
	}
	s->set_known = true;
	for (; s->regex < s->regex_end; s->regex++) {
		long i = s->regex - s->x->regexes.v;

		if (i >= SET_WORDS * 64 || s->hits[i / 64] >> (i % 64) & 1)
			return;
	}
}

/* The smallest place that any list has next, taken from it; -1: there is none. */
static int next_place(struct search *s, struct str path)
{
	int best = -1, place = -1;

	for (int i = 0; i < s->n; i++) {
		if (s->cursors[i].at == s->cursors[i].end || (place >= 0 && *s->cursors[i].at > place))
			continue;
		best = i;
		place = *s->cursors[i].at;
	}
	/* The set is asked only when one of its members could be the answer. */
	if (s->regex < s->regex_end && !s->set_known && (place < 0 || *s->regex < place))
		next_regex(s, path);
	if (s->regex < s->regex_end && (place < 0 || *s->regex < place)) {
		place = *s->regex++;
		next_regex(s, path);
		return place;
	}
	if (best >= 0)
		s->cursors[best].at++;
	return place;
}

static const struct route *walk_all(const struct route_index *x, const struct route_ask *ask)
{
	for (int i = 0; i < x->n; i++)
		if (route_matches(&x->routes[i], ask, false))
			return &x->routes[i];
	return NULL;
}

const struct route *route_index_find(const struct route_index *x, const struct route_ask *ask)
{
	bool nocase = x->exact[1].len || x->prefixes[1];
	struct search s;
	char low[ROUTE_TEXT];

	s.x = x;
	s.n = 0;
	s.full = s.set_known = false;
	s.regex = x->regexes.v;
	s.regex_end = x->regexes.v + x->regexes.n;
	add(&s, &x->any);
	add(&s, map_get(&x->exact[0], ask->path));
	walk(&s, x->prefixes[0], ask->path);
	if (nocase && ask->path.n <= sizeof(low)) {
		struct str path = { low, ask->path.n };

		for (size_t i = 0; i < path.n; i++)
			low[i] = (char)tolower((unsigned char)ask->path.p[i]);
		add(&s, map_get(&x->exact[1], path));
		walk(&s, x->prefixes[1], path);
	}
	if (s.full || (nocase && ask->path.n > sizeof(low)))
		return walk_all(x, ask);
	for (int place; (place = next_place(&s, ask->path)) >= 0;)
		if (route_matches(&x->routes[place], ask, x->routes[place].match.path == PATH_EXACT))
			return &x->routes[place];
	return NULL;
}
