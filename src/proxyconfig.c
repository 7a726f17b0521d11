/* SPDX-License-Identifier: Apache-2.0 */
#include "src/proxyconfig.h"

#include <errno.h>

#include "source/value.h"
#include "source/yaml.h"

struct reading {
	struct proxyconfig *to;
	const char *name;
	bool mesh;                 /* the document is MeshConfig */
	struct arena *mem;
	struct err *err;
};

static int bad(const struct reading *r, const struct yaml_node *n, const char *want)
{
	return err_set(r->err, -EINVAL, "%s:%u: %.*s: want %s, got '%.*s'", r->name, n->line, STR_FMT(n->key), want,
		       n->text.n < 100 ? (int)n->text.n : 100, n->kind == YAML_SCALAR ? n->text.p : "a map or list");
}

static int read_number(const struct reading *r, const struct yaml_node *n, unsigned lo, unsigned hi, unsigned *ret)
{
	uint64_t v;

	if (n->kind != YAML_SCALAR || !str_to_u64(n->text, &v) || v < lo || v > hi)
		return bad(r, n, lo ? "a port from 1 to 65535" : "a number from 0 to 65535");
	*ret = (unsigned)v;
	return 0;
}

static int put_metadata(struct reading *r, const struct yaml_node *n)
{
	struct proxyconfig *p = r->to;
	int at = 0;

	if (n->kind != YAML_SCALAR)
		return bad(r, n, "a string");
	while (at < p->n_metadata && !str_is(n->key, p->metadata[at].name))
		at++;
	if (at == PROXYCONFIG_METADATA_MAX)
		return err_set(r->err, -E2BIG, "%s:%u: proxyMetadata: more than %d entries", r->name, n->line, at);
	if (at == p->n_metadata)
		p->metadata[p->n_metadata++].name = arena_dup(r->mem, n->key);
	p->metadata[at].value = arena_dup(r->mem, n->text);
	return 0;
}

static int read_metadata(struct reading *r, const struct yaml_node *n)
{
	int e = 0;

	if (n->kind != YAML_MAP)
		return bad(r, n, "a map of strings");
	for (const struct yaml_node *c = n->child; c && e == 0; c = c->next)
		e = put_metadata(r, c);
	return e;
}

/* Fields of the other modes' proxies are none of a ztunnel's business. */
static int read_field(struct reading *r, const struct yaml_node *n)
{
	struct proxyconfig *p = r->to;
	unsigned v = 0;
	int e = 0;

	if (yaml_is_null(n))
		return 0;
	if (str_is(n->key, "discoveryAddress")) {
		if (n->kind != YAML_SCALAR)
			return bad(r, n, "HOST:PORT");
		p->discovery_address = arena_dup(r->mem, n->text);
	} else if (str_is(n->key, "proxyAdminPort")) {
		e = read_number(r, n, 1, 65535, &v);
		p->admin_port = e == 0 ? (uint16_t)v : 0;
	} else if (str_is(n->key, "statsPort")) {
		e = read_number(r, n, 1, 65535, &v);
		p->stats_port = e == 0 ? (uint16_t)v : 0;
	} else if (str_is(n->key, "concurrency")) {
		e = read_number(r, n, 0, 65535, &v);
		p->concurrency = e == 0 ? (int)v : -1;
	} else if (str_is(n->key, "proxyMetadata")) {
		e = read_metadata(r, n);
	}
	return e;
}

static int read_aliases(struct reading *r, const struct yaml_node *list)
{
	struct proxyconfig *p = r->to;

	if (!list || yaml_is_null(list))
		return 0;
	if (list->kind != YAML_LIST)
		return bad(r, list, "a list of trust domains");
	p->n_aliases = 0;
	for (const struct yaml_node *n = list->child; n; n = n->next) {
		if (p->n_aliases == PROXYCONFIG_ALIASES_MAX)
			return err_set(r->err, -E2BIG, "%s:%u: trustDomainAliases: more than %d", r->name, n->line, p->n_aliases);
		if (n->kind != YAML_SCALAR || !value_is_domain(n->text.p))
			return err_set(r->err, -EINVAL, "%s:%u: trustDomainAliases: want trust domains of a-z, 0-9, - and .", r->name, n->line);
		p->aliases[p->n_aliases++] = arena_dup(r->mem, n->text);
	}
	return 0;
}

static int on_doc(const struct yaml_node *root, void *arg)
{
	struct reading *r = arg;
	int e = 0;

	if (root->kind != YAML_MAP)
		return err_set(r->err, -EINVAL, "%s:%u: want a map, as %s is", r->name, root->line, r->mesh ? "MeshConfig" : "ProxyConfig");
	if (r->mesh) {
		e = read_aliases(r, yaml_get(root, "trustDomainAliases"));
		if (e < 0)
			return e;
		root = yaml_get(root, "defaultConfig");
		if (!root || yaml_is_null(root))
			return 0;
		if (root->kind != YAML_MAP)
			return bad(r, root, "a map");
	}
	for (const struct yaml_node *n = root->child; n && e == 0; n = n->next)
		e = read_field(r, n);
	return e;
}

void proxyconfig_init(struct proxyconfig *p)
{
	*p = (struct proxyconfig){ .concurrency = -1 };
}

int proxyconfig_read_mesh(struct proxyconfig *p, const char *path, struct arena *mem, struct err *err)
{
	struct reading r = { p, path, true, mem, err };
	struct arena a = { 0 };
	int e = yaml_read_file(path, &a, on_doc, &r, err);

	arena_done(&a);
	return e == -ENOENT ? 0 : e;
}

int proxyconfig_read_text(struct proxyconfig *p, const char *name, const char *text, struct arena *mem, struct err *err)
{
	struct reading r = { p, name, false, mem, err };
	struct arena a = { 0 };
	int e = yaml_read_text(name, str_c(text), &a, on_doc, &r, err);

	arena_done(&a);
	return e;
}
