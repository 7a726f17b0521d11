/* SPDX-License-Identifier: Apache-2.0 */
/* VirtualServices in the order in which they count for a sidecar, with their delegates; Gateway API routes merged by host and sorted. */
#include <ctype.h>
#include <stdlib.h>

#include "traffic/compile_int.h"

/* ---- delegates ---- */

static bool match_conflicts(const struct string_match *root, const struct string_match *leaf)
{
	size_t n = strlen(root->text ? root->text : "");

	if (root->kind == STRING_ANY || leaf->kind == STRING_ANY)
		return false;
	if (root->kind == STRING_REGEX || leaf->kind == STRING_REGEX)
		return true;
	if (root->kind == STRING_EXACT)
		return leaf->kind == STRING_PREFIX || strcmp(root->text, leaf->text);
	return strncmp(leaf->text, root->text, n) != 0;
}

static const struct vs_named *named_in(const struct vs_named *v, int n, const char *name)
{
	for (int i = 0; i < n; i++)
		if (!strcmp(v[i].name, name))
			return &v[i];
	return NULL;
}

static bool lists_conflict(const struct vs_named *root, int n_root, const struct vs_named *leaf, int n_leaf)
{
	for (int i = 0; i < n_leaf; i++) {
		const struct vs_named *r = named_in(root, n_root, leaf[i].name);

		if (r && match_conflicts(&r->value, &leaf[i].value))
			return true;
	}
	return false;
}

static bool labels_conflict(const struct vs_match *root, const struct vs_match *leaf)
{
	for (int i = 0; i < leaf->source_labels.n; i++)
		for (int k = 0; k < root->source_labels.n; k++)
			if (!strcmp(leaf->source_labels.v[i].key, root->source_labels.v[k].key) && strcmp(leaf->source_labels.v[i].value, root->source_labels.v[k].value))
				return true;
	return false;
}

static bool gateways_conflict(const struct vs_match *root, const struct vs_match *leaf)
{
	if (!root->gateways.n || !leaf->gateways.n)
		return false;
	if (root->gateways.n < leaf->gateways.n)
		return true;
	for (int i = 0; i < leaf->gateways.n; i++) {
		bool known = false;

		for (int k = 0; k < root->gateways.n; k++)
			known = known || !strcmp(leaf->gateways.v[i], root->gateways.v[k]);
		if (!known)
			return true;
	}
	return false;
}

static bool conflicts(const struct vs_match *root, const struct vs_match *leaf)
{
	return match_conflicts(&root->uri, &leaf->uri) || match_conflicts(&root->scheme, &leaf->scheme) ||
	       match_conflicts(&root->method, &leaf->method) || match_conflicts(&root->authority, &leaf->authority) ||
	       lists_conflict(root->headers.v, root->headers.n, leaf->headers.v, leaf->headers.n) ||
	       lists_conflict(root->without_headers.v, root->without_headers.n, leaf->without_headers.v, leaf->without_headers.n) ||
	       lists_conflict(root->query_params.v, root->query_params.n, leaf->query_params.v, leaf->query_params.n) ||
	       root->ignore_uri_case != leaf->ignore_uri_case || (root->port && leaf->port && root->port != leaf->port) ||
	       (*root->source_ns && strcmp(root->source_ns, leaf->source_ns)) || labels_conflict(root, leaf) || gateways_conflict(root, leaf);
}

static const struct vs_named *merge_named(struct compile *c, const struct vs_named *root, int n_root, const struct vs_named *leaf, int n_leaf, int *ret_n)
{
	struct vs_named *v = TMP(c, struct vs_named, n_root + n_leaf);
	int n = n_leaf;

	if (n_leaf)
		memcpy(v, leaf, (size_t)n_leaf * sizeof(*v));
	for (int i = 0; i < n_root; i++)
		if (!named_in(leaf, n_leaf, root[i].name))
			v[n++] = root[i];
	*ret_n = n;
	return v;
}

static const char *joined(struct compile *c, const char *root, const char *leaf)
{
	if (!*leaf || !*root)
		return *leaf ? leaf : root;
	return compile_printf(c->mem, "%s-%s", root, leaf);
}

#define MERGE_NAMED(c, out, root, field) \
	((out).field.v = merge_named(c, (root)->field.v, (root)->field.n, (out).field.v, (out).field.n, &(out).field.n))

static struct vs_match merge_match(struct compile *c, const struct vs_match *root, const struct vs_match *leaf)
{
	struct vs_match out = *leaf;
	struct label *labels = TMP(c, struct label, root->source_labels.n + leaf->source_labels.n);
	int n = leaf->source_labels.n;

	out.name = joined(c, root->name, leaf->name);
	if (out.uri.kind == STRING_ANY)
		out.uri = root->uri;
	if (out.scheme.kind == STRING_ANY)
		out.scheme = root->scheme;
	if (out.method.kind == STRING_ANY)
		out.method = root->method;
	if (out.authority.kind == STRING_ANY)
		out.authority = root->authority;
	MERGE_NAMED(c, out, root, headers);
	MERGE_NAMED(c, out, root, without_headers);
	MERGE_NAMED(c, out, root, query_params);
	if (!out.port)
		out.port = root->port;
	if (n)
		memcpy(labels, leaf->source_labels.v, (size_t)n * sizeof(*labels));
	for (int i = 0; i < root->source_labels.n; i++)
		labels[n++] = root->source_labels.v[i];      /* no conflict: twice is not wrong */
	out.source_labels.v = labels;
	out.source_labels.n = n;
	if (!*out.source_ns)
		out.source_ns = root->source_ns;
	if (!out.gateways.n)
		out.gateways = root->gateways;
	return out;
}

/* False: none of the delegate's matches can hold with the root's. */
static bool merge_matches(struct compile *c, const struct vs_http *root, struct vs_http *leaf)
{
	struct vs_match *v;
	int n = 0;

	if (!root->match.n)
		return true;
	if (!leaf->match.n) {
		leaf->match = root->match;
		return true;
	}
	v = TMP(c, struct vs_match, root->match.n * leaf->match.n);
	for (int i = 0; i < leaf->match.n; i++) {
		int before = n;

		for (int k = 0; k < root->match.n; k++)
			if (!conflicts(&root->match.v[k], &leaf->match.v[i]))
				v[n++] = merge_match(c, &root->match.v[k], &leaf->match.v[i]);
		if (n == before)
			return false;
	}
	leaf->match.v = v;
	leaf->match.n = n;
	return true;
}

static bool merge_rule(struct compile *c, const struct vs_http *root, struct vs_http *leaf)
{
	if (!merge_matches(c, root, leaf))
		return false;
	leaf->name = joined(c, root->name, leaf->name);
	leaf->rewrite = leaf->rewrite ? leaf->rewrite : root->rewrite;
	leaf->direct_response = leaf->direct_response ? leaf->direct_response : root->direct_response;
	leaf->timeout = leaf->timeout.set ? leaf->timeout : root->timeout;
	leaf->retries = leaf->retries ? leaf->retries : root->retries;
	leaf->fault = leaf->fault ? leaf->fault : root->fault;
	leaf->cors = leaf->cors ? leaf->cors : root->cors;
	leaf->headers = leaf->headers ? leaf->headers : root->headers;
	if (!leaf->mirrors.n)
		leaf->mirrors = root->mirrors;
	return true;
}

static const struct virtual_service *delegate_of(struct compile *c, const struct virtual_service *root, const struct vs_delegate *d)
{
	const char *ns = *d->ns ? d->ns : root->r.ns;
	const struct virtual_service *v = (const struct virtual_service *)mesh_resource(c->m, RESOURCE_VIRTUAL_SERVICE,
		str_c(compile_printf(&c->tmp, "VirtualService/%s/%s", ns, d->name)));
	const char *const *to = v && v->export_to.n ? v->export_to.v : c->mc->virtual_service_export_to.v;
	int n = v && v->export_to.n ? v->export_to.n : c->mc->virtual_service_export_to.n;
	bool open = n == 0;

	if (!v || v->hosts.n) {
		compile_report(c, &root->r, "its delegate %s/%s %s: the rule is left out", ns, d->name, v ? "names hosts itself" : "does not exist");
		return NULL;
	}
	for (int i = 0; i < n; i++)
		open = open || !strcmp(to[i], "*") || !strcmp(to[i], root->r.ns) || (!strcmp(to[i], ".") && !strcmp(ns, root->r.ns));
	if (!open)
		compile_report(c, &root->r, "its delegate %s/%s is not exported to it: the rule is left out", ns, d->name);
	return open ? v : NULL;
}

const struct vs_http *compile_delegates(struct compile *c, const struct virtual_service *root, int *ret_n)
{
	const struct virtual_service **of;
	struct vs_http *v;
	int max = 0, n = 0;

	of = TMP(c, const struct virtual_service *, root->http.n);
	for (int i = 0; i < root->http.n; i++) {
		of[i] = root->http.v[i].delegate ? delegate_of(c, root, root->http.v[i].delegate) : NULL;
		max += of[i] ? of[i]->http.n : 1;
	}
	v = TMP(c, struct vs_http, max);
	for (int i = 0; i < root->http.n; i++) {
		if (!root->http.v[i].delegate)
			v[n++] = root->http.v[i];
		for (int k = 0; of[i] && k < of[i]->http.n; k++) {
			v[n] = of[i]->http.v[k];
			if (v[n].delegate)
				compile_report(c, &of[i]->r, "a delegate delegates again: the rule is left out");
			else if (!merge_rule(c, &root->http.v[i], &v[n]))
				compile_report(c, &of[i]->r, "what a rule matches cannot be within what %s/%s delegates: the rule is left out", root->r.ns, root->r.name);
			else
				n++;
		}
		if (of[i])
			compile_hold(c, &of[i]->r);
	}
	*ret_n = n;
	return v;
}

static const char *const *lowered(struct compile *c, const char *const *from, int n)
{
	const char **v = NEW(c, const char *, n);

	for (int i = 0; i < n; i++) {
		char *s = arena_dup(c->mem, str_c(from[i]));

		for (char *p = s; *p; p++)
			*p = (char)tolower((unsigned char)*p);
		v[i] = s;
	}
	return v;
}

/* ---- Gateway API ---- */

/* sortHTTPRoutes: exact, prefix, regular expression; then the longer; then those with more to match. Stable by `rule`. */
static int rank(const struct vs_match *m)
{
	return m->uri.kind == STRING_EXACT ? 3 : m->uri.kind == STRING_PREFIX ? 2 : m->uri.kind == STRING_REGEX ? 1 : -1;
}

struct sorted { struct vs_http http; int at; };

static int sorted_cmp(const void *a, const void *b)
{
	const struct sorted *x = a, *y = b;
	const struct vs_match *p = x->http.match.n ? x->http.match.v : NULL, *q = y->http.match.n ? y->http.match.v : NULL;
	int d = 0;

	if (!p || !q)
		d = (p == NULL) - (q == NULL);
	else if (rank(p) != rank(q))
		d = rank(q) - rank(p);
	else if (rank(p) > 0 && strlen(p->uri.text) != strlen(q->uri.text))
		d = strlen(p->uri.text) > strlen(q->uri.text) ? -1 : 1;
	else if ((p->method.kind == STRING_ANY) != (q->method.kind == STRING_ANY))
		d = p->method.kind == STRING_ANY ? 1 : -1;
	else if (p->headers.n != q->headers.n)
		d = q->headers.n - p->headers.n;
	else
		d = q->query_params.n - p->query_params.n;
	return d ? d : x->at - y->at;
}

/* The rules of a route, each match by itself, with the parent's port in it. */
static int split_rules(struct compile *c, const struct virtual_service *from, uint16_t port, struct sorted **v, int n, int *cap)
{
	for (int i = 0; i < from->http.n; i++) {
		const struct vs_http *h = &from->http.v[i];

		for (int k = 0; k < h->match.n || k == 0; k++) {
			struct vs_match *m = NULL;

			if (n == *cap) {
				struct sorted *more = TMP(c, struct sorted, *cap ? *cap * 2 : 16);

				if (n)
					memcpy(more, *v, (size_t)n * sizeof(*more));
				*v = more;
				*cap = *cap ? *cap * 2 : 16;
			}
			if (h->match.n || port) {
				m = TMP(c, struct vs_match, 1);
				*m = h->match.n ? h->match.v[k] : (struct vs_match){ .name = "", .source_ns = "" };
				if (port)
					m->port = port;
			}
			(*v)[n].http = *h;
			(*v)[n].http.match.v = m;
			(*v)[n].http.match.n = m != NULL;
			(*v)[n].at = n;
			n++;
		}
	}
	return n;
}

struct group { struct vs vs; struct sorted *rules; int n, cap; };

static struct group *group_for(struct compile *c, struct map *groups, const struct virtual_service *from, const struct vs_parent *parent, int at, bool *ret_made)
{
	const char *key = parent->port ? compile_printf(c->mem, "%s~%u~%s", from->r.ns, parent->port, parent->host)
				       : compile_printf(c->mem, "%s~%s", from->r.ns, parent->host);
	struct group *g;

	/* Only rules of HTTP are merged. */
	if (!from->http.n)
		key = compile_printf(c->mem, "%s~%s~%s~%u", from->r.origin, from->r.name, key, (unsigned)at);
	g = map_get(groups, str_c(key));
	*ret_made = !g;
	if (g)
		return g;
	g = TMP(c, struct group, 1);
	g->vs = (struct vs){ .from = from, .name = key, .ns = from->r.ns, .hosts = lowered(c, &parent->host, 1), .n_hosts = 1, .gateway = true, .port = parent->port };
	map_put(groups, str_c(key), g);
	return g;
}

/* ---- the list ---- */

static bool for_mesh(const struct virtual_service *v)
{
	for (int i = 0; i < v->gateways.n; i++)
		if (!strcmp(v->gateways.v[i], "mesh"))
			return true;
	return v->gateways.n == 0;
}

/* Whether the client's namespace may use it, and how widely it is exported. */
static bool exported(struct compile *c, const struct virtual_service *v, struct vs *ret)
{
	const char *const *to = v->export_to.n ? v->export_to.v : c->mc->virtual_service_export_to.v;
	int n = v->export_to.n ? v->export_to.n : c->mc->virtual_service_export_to.n;
	bool all = n == 0;

	ret->closed = ret->named = false;
	for (int i = 0; i < n; i++)
		all = all || !strcmp(to[i], "*");
	if (all)
		return true;
	for (int i = 0; i < n; i++) {
		if (!strcmp(v->r.ns, c->w->ns) && (!strcmp(to[i], ".") || !strcmp(to[i], c->w->ns)))
			ret->closed = true;
		else if (!strcmp(to[i], c->w->ns))
			ret->named = true;
	}
	return ret->closed || ret->named;
}

/* Those for the own namespace alone, then those exported to it by name, then the public ones; within each, Gateway API routes of
 * the client's namespace first. */
static int precedence(struct compile *c, const struct vs *v)
{
	return (v->closed ? 0 : v->named ? 2 : 4) + !(v->gateway && !strcmp(v->ns, c->w->ns));
}

/* The oldest first; merged routes have the age of the oldest, and a name of their own. */
static int age_cmp(const void *a, const void *b)
{
	const struct vs *x = *(struct vs *const *)a, *y = *(struct vs *const *)b;
	int d = strcmp(x->name, y->name);

	if (x->from->r.created != y->from->r.created)
		return x->from->r.created < y->from->r.created ? -1 : 1;
	return d ? d : strcmp(x->ns, y->ns);
}

struct entry { struct compile *c; const struct vs_parent *from; struct vs_parent *v; int n, cap; };

static void add_parent(struct entry *e, struct vs_parent p)
{
	if (e->n == e->cap) {
		struct vs_parent *more = TMP(e->c, struct vs_parent, e->cap = e->cap ? 2 * e->cap : 8);

		if (e->n)
			memcpy(more, e->v, (size_t)e->n * sizeof(*more));
		e->v = more;
	}
	e->v[e->n++] = p;
}

static bool on_entry(struct service *s, void *arg)
{
	struct entry *e = arg;

	if (!s->core && !strcmp(s->name, e->from->entry) && !strcmp(s->ns, e->from->entry_ns))
		add_parent(e, (struct vs_parent){ s->hostname, e->from->port, "", "" });
	return true;
}

/* The parents of a route, ServiceEntries by their hosts. */
static const struct vs_parent *parents_of(struct compile *c, const struct virtual_service *from, int *n)
{
	struct entry e = { .c = c };

	for (int i = 0; from->gateway_api && i < from->parents.n; i++) {
		e.from = &from->parents.v[i];
		if (*e.from->entry)
			mesh_each_service(c->m, on_entry, &e);
		else
			add_parent(&e, *e.from);
	}
	*n = e.n;
	return e.v;
}

void compile_virtual_services(struct compile *c)
{
	struct map groups = { 0 };
	struct vs **all;
	int n, made = 0;
	struct resource **list = mesh_resources(c->m, RESOURCE_VIRTUAL_SERVICE, str_c(""), &n);
	int max = n;

	for (int i = 0, k; i < n; i++) {
		parents_of(c, (const struct virtual_service *)list[i], &k);
		max += k;
	}
	all = TMP(c, struct vs *, max);
	for (int i = 0; i < n; i++) {
		const struct virtual_service *from = (const struct virtual_service *)list[i];
		struct vs x = { .from = from, .name = from->r.name, .ns = from->r.ns, .n_hosts = from->hosts.n };
		const struct vs_parent *parents;
		int n_parents;

		if (!exported(c, from, &x) || (!from->gateway_api && (!from->hosts.n || !for_mesh(from))))
			continue;
		compile_hold(c, &from->r);
		parents = parents_of(c, from, &n_parents);
		for (int k = 0; k < n_parents; k++) {
			bool new_one;
			struct group *g = group_for(c, &groups, from, &parents[k], k, &new_one);

			g->n = split_rules(c, from, parents[k].port, &g->rules, g->n, &g->cap);
			if (new_one)
				all[made++] = &g->vs;
		}
		if (from->gateway_api)
			continue;
		x.hosts = lowered(c, from->hosts.v, from->hosts.n);
		x.http = compile_delegates(c, from, &x.n_http);
		all[made] = TMP(c, struct vs, 1);
		*all[made++] = x;
	}
	free(list);
	map_each(s, &groups) {
		struct group *g = s->value;
		struct vs_http *v = TMP(c, struct vs_http, g->n);

		if (g->n)
			qsort(g->rules, (size_t)g->n, sizeof(*g->rules), sorted_cmp);
		for (int i = 0; i < g->n; i++)
			v[i] = g->rules[i].http;
		g->vs.http = v;
		g->vs.n_http = g->n;
	}
	map_done(&groups);
	qsort(all, (size_t)made, sizeof(*all), age_cmp);
	c->vs = TMP(c, struct vs *, made);
	for (int p = 0; p < 6; p++)
		for (int i = 0; i < made; i++)
			if (precedence(c, all[i]) == p)
				c->vs[c->n_vs++] = all[i];
}
