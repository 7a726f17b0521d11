/* SPDX-License-Identifier: Apache-2.0 */
#include "source/yaml.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

#include "base/limits.h"
#include "base/map.h"

#define MAP_HASHED 24   /* maps with more keys than this find duplicates by hash */

struct anchor {
	struct str name;
	struct yaml_node *node;
	bool open;                /* its node is still being read */
	struct anchor *next;
};

struct level {
	struct yaml_node *node;
	struct yaml_node **tail;  /* where the next child goes */
	struct yaml_node *key;    /* a map's key that waits for its value */
	struct map *keys;         /* of a large map */
	struct anchor *anchor;
	bool is_items;            /* the `items` of a List: each child is a document */
};

struct reader {
	yaml_parser_t parser;
	const char *name;
	int fd;
	int io_errno;             /* why reading failed; 0 when it did not */
	size_t seen;              /* bytes read */
	struct arena *a;
	int (*on_doc)(const struct yaml_node *root, void *arg);
	void *arg;
	struct err *err;
	struct arena *doc, item;  /* a holds the nodes made now: doc's, or those of one item of a List */
	struct anchor *doc_anchors;
	unsigned doc_nodes;
	struct level level[LIMIT_YAML_DEPTH];
	unsigned depth;
	struct anchor *anchors;
	unsigned nodes;           /* of the present object */
	struct yaml_node *root;
};

static int fail(struct reader *r, int code, size_t line, const char *what)
{
	return err_set(r->err, code, "%s:%zu: %s", r->name, line, what);
}

static int parse_failed(struct reader *r)
{
	const yaml_parser_t *p = &r->parser;
	const char *problem = p->problem ? p->problem : "cannot be read as YAML";

	if (r->io_errno)
		return err_set(r->err, -r->io_errno, "%s: cannot be read: %s", r->name, strerror(r->io_errno));
	if (r->seen > LIMIT_FILE_BYTES)
		return err_set(r->err, -E2BIG, "%s: is larger than the limit of %u MiB: split it", r->name,
			       LIMIT_FILE_BYTES >> 20);
	if (p->error == YAML_MEMORY_ERROR)
		return err_set(r->err, -ENOMEM, "%s: out of memory", r->name);
	if (p->error == YAML_READER_ERROR)
		return err_set(r->err, -EINVAL, "%s:%zu: %s (byte %zu): want UTF-8 text", r->name,
			       (size_t)p->mark.line + 1, problem, p->problem_offset);
	if (p->context)
		return err_set(r->err, -EINVAL, "%s:%zu: %s (%s from line %zu)", r->name,
			       (size_t)p->problem_mark.line + 1, problem, p->context, (size_t)p->context_mark.line + 1);
	return fail(r, -EINVAL, p->problem_mark.line + 1, problem);
}

static struct yaml_node *node_new(struct reader *r, enum yaml_kind kind, const yaml_event_t *e, const yaml_char_t *tag)
{
	struct yaml_node *n = arena_alloc(r->a, sizeof(*n));
	const char *own = (const char *)tag;

	n->kind = kind;
	n->tag = own && own[0] == '!' && own[1] && own[1] != '!' ? arena_dup(r->a, str_c(own + 1)) : "";
	n->line = (unsigned)e->start_mark.line + 1;
	n->weight = 1;
	return n;
}

static struct anchor *anchor_add(struct reader *r, const yaml_char_t *name, struct yaml_node *n)
{
	struct anchor *x;

	if (!name)
		return NULL;
	x = arena_alloc(r->a, sizeof(*x));
	x->name = str_c(arena_dup(r->a, str_c((const char *)name)));
	x->node = n;
	x->open = true;
	x->next = r->anchors;
	r->anchors = x;
	return x;
}

static int key_check(struct reader *r, struct level *l, struct yaml_node *key)
{
	const struct yaml_node *old = NULL;

	if (str_is(key->text, "<<") && !key->quoted)
		return fail(r, -EINVAL, key->line, "merge keys (<<) are not supported: write the fields out");
	if (l->node->n < MAP_HASHED) {
		for (const struct yaml_node *c = l->node->child; c && !old; c = c->next)
			old = str_eq(c->key, key->text) ? c : NULL;
	} else {
		if (!l->keys) {
			l->keys = xcalloc(1, sizeof(*l->keys));
			for (struct yaml_node *c = l->node->child; c; c = c->next)
				map_put(l->keys, c->key, c);
		}
		old = map_put(l->keys, key->text, key);
	}
	if (old)
		return err_set(r->err, -EINVAL, "%s:%u: the key '%.*s' is here a second time; the first is in line %u",
			       r->name, key->line, STR_FMT(key->text), old->line);
	return 0;
}

/* n is complete in structure or about to be filled: put it where it belongs. */
static int attach(struct reader *r, struct yaml_node *n)
{
	struct level *l = r->depth ? &r->level[r->depth - 1] : NULL;

	if (!l || l->is_items) {
		r->root = n;
		return 0;
	}
	if (l->node->kind == YAML_MAP) {
		if (!l->key) {
			int rc;

			if (n->kind != YAML_SCALAR)
				return fail(r, -EINVAL, n->line, "a key must be a plain word, not a list or a map");
			rc = key_check(r, l, n);
			if (rc)
				return rc;
			l->key = n;
			return 0;
		}
		n->key = l->key->text;
		l->key = NULL;
	}
	*l->tail = n;
	l->tail = &n->next;
	l->node->n++;
	return 0;
}

static int weigh(struct reader *r, unsigned weight, size_t line)
{
	if (weight > YAML_NODES_MAX || (r->nodes += weight) > YAML_NODES_MAX)
		return fail(r, -E2BIG, line, "one object grows beyond the limit of nodes (aliases are counted each time)");
	return 0;
}

static int on_scalar(struct reader *r, const yaml_event_t *e)
{
	struct yaml_node *n = node_new(r, YAML_SCALAR, e, e->data.scalar.tag);
	const char *tag = (const char *)e->data.scalar.tag;
	struct anchor *x;
	int rc;

	n->text = (struct str){ (const char *)e->data.scalar.value, e->data.scalar.length };
	n->text.p = arena_dup(r->a, n->text);
	n->quoted = e->data.scalar.style > YAML_PLAIN_SCALAR_STYLE || (tag && !strcmp(tag, YAML_STR_TAG));
	x = anchor_add(r, e->data.scalar.anchor, n);
	if (x)
		x->open = false;
	rc = weigh(r, 1, n->line);
	return rc ? rc : attach(r, n);
}

static int on_open(struct reader *r, const yaml_event_t *e, enum yaml_kind kind, const yaml_char_t *anchor,
		   const yaml_char_t *tag)
{
	struct level *up = r->depth ? &r->level[r->depth - 1] : NULL;
	struct yaml_node *n;
	struct level *l;
	bool items = kind == YAML_LIST && r->depth == 1 && up->key && str_is(up->key->text, "items");
	int rc;

	if (r->depth == LIMIT_YAML_DEPTH)
		return fail(r, -E2BIG, e->start_mark.line + 1, "nested too deeply");
	n = node_new(r, kind, e, tag);
	rc = weigh(r, 1, n->line);
	if (!rc)
		rc = attach(r, n);
	if (rc)
		return rc;
	l = &r->level[r->depth++];
	*l = (struct level){ .node = n, .tail = &n->child, .is_items = items };
	l->anchor = anchor_add(r, anchor, n);
	return 0;
}

static int on_close(struct reader *r)
{
	struct level *l = &r->level[--r->depth];

	if (l->anchor)
		l->anchor->open = false;
	if (l->keys) {
		map_done(l->keys);
		free(l->keys);
	}
	for (const struct yaml_node *c = l->node->child; c; c = c->next)
		l->node->weight += c->weight + (l->node->kind == YAML_MAP);
	return 0;
}

static int on_alias(struct reader *r, const yaml_event_t *e)
{
	struct yaml_node *n = node_new(r, YAML_SCALAR, e, NULL);
	const struct anchor *x = r->anchors;
	unsigned line = n->line;
	int rc;

	while (x && !str_is(x->name, (const char *)e->data.alias.anchor))
		x = x->next;
	if (!x || x->open)
		return err_set(r->err, -EINVAL, "%s:%u: the alias *%s %s", r->name, line, (const char *)e->data.alias.anchor,
			       x ? "stands inside its own anchor" : "has no anchor before it in this object");
	*n = *x->node;
	n->line = line;
	n->key = (struct str){ NULL, 0 };
	n->next = NULL;
	rc = weigh(r, n->weight, line);
	return rc ? rc : attach(r, n);
}

static bool in_items(const struct reader *r)
{
	return r->depth >= 2 && r->level[1].is_items;
}

static int item_begin(struct reader *r)
{
	r->a = &r->item;
	r->doc_anchors = r->anchors;
	r->doc_nodes = r->nodes;
	r->nodes = 0;
	r->root = NULL;
	return 0;
}

static int deliver(struct reader *r)
{
	struct yaml_node *n = r->root;

	r->root = NULL;
	return !n || yaml_is_null(n) ? 0 : r->on_doc(n, r->arg);
}

static int item_end(struct reader *r)
{
	int rc = deliver(r);

	arena_reset(&r->item);
	r->a = r->doc;
	r->anchors = r->doc_anchors;
	r->nodes = r->doc_nodes;
	return rc;
}

static int doc_end(struct reader *r)
{
	int rc;

	r->root = r->level[0].node ? r->level[0].node : r->root;
	rc = deliver(r);
	arena_reset(r->doc);
	r->anchors = NULL;
	r->nodes = 0;
	r->level[0].node = NULL;
	return rc;
}

static int on_node(struct reader *r, const yaml_event_t *e)
{
	switch (e->type) {
	case YAML_SCALAR_EVENT:
		return on_scalar(r, e);
	case YAML_ALIAS_EVENT:
		return on_alias(r, e);
	case YAML_SEQUENCE_START_EVENT:
		return on_open(r, e, YAML_LIST, e->data.sequence_start.anchor, e->data.sequence_start.tag);
	case YAML_MAPPING_START_EVENT:
		return on_open(r, e, YAML_MAP, e->data.mapping_start.anchor, e->data.mapping_start.tag);
	default:
		return on_close(r);
	}
}

static int on_event(struct reader *r, const yaml_event_t *e)
{
	bool ends = e->type == YAML_SEQUENCE_END_EVENT || e->type == YAML_MAPPING_END_EVENT;
	int rc;

	if (e->type == YAML_DOCUMENT_END_EVENT)
		return doc_end(r);
	if (e->type < YAML_ALIAS_EVENT)
		return 0;
	if (in_items(r) && r->depth == 2 && !ends)
		item_begin(r);
	rc = on_node(r, e);
	if (!rc && in_items(r) && r->depth == 2 && e->type != YAML_SEQUENCE_START_EVENT && e->type != YAML_MAPPING_START_EVENT)
		rc = item_end(r);
	return rc;
}

static int run(struct reader *r)
{
	bool more = true;
	int rc = 0;

	r->doc = r->a;
	while (more && !rc) {
		yaml_event_t e;

		if (!yaml_parser_parse(&r->parser, &e))
			return parse_failed(r);
		more = e.type != YAML_STREAM_END_EVENT;
		rc = on_event(r, &e);
		yaml_event_delete(&e);
	}
	return rc;
}

static int read_all(struct reader *r)
{
	int rc = run(r);

	while (r->depth)
		on_close(r);
	yaml_parser_delete(&r->parser);
	arena_done(&r->item);
	arena_reset(r->doc);
	return rc;
}

static int on_read(void *arg, unsigned char *to, size_t size, size_t *got)
{
	struct reader *r = arg;
	ssize_t n;

	do
		n = read(r->fd, to, size);
	while (n < 0 && errno == EINTR);
	if (n < 0) {
		r->io_errno = errno;
		return 0;
	}
	r->seen += (size_t)n;
	*got = (size_t)n;
	return r->seen <= LIMIT_FILE_BYTES;
}

static int reader_init(struct reader *r, struct err *err)
{
	if (!yaml_parser_initialize(&r->parser))
		return err_set(err, -ENOMEM, "%s: out of memory", r->name);
	return 0;
}

int yaml_read_text(const char *name, struct str text, struct arena *a,
		   int (*on_doc)(const struct yaml_node *root, void *arg), void *arg, struct err *err)
{
	struct reader r = { .name = name, .fd = -1, .a = a, .on_doc = on_doc, .arg = arg, .err = err };
	int rc = reader_init(&r, err);

	if (rc)
		return rc;
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)text.p, text.n);
	return read_all(&r);
}

int yaml_read_file(const char *path, struct arena *a, int (*on_doc)(const struct yaml_node *root, void *arg), void *arg,
		   struct err *err)
{
	struct reader r = { .name = path, .a = a, .on_doc = on_doc, .arg = arg, .err = err };
	struct stat st;
	int rc;

	r.fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (r.fd < 0)
		return err_set(err, -errno, "%s: cannot be opened: %s", path, strerror(errno));
	if (fstat(r.fd, &st) || !S_ISREG(st.st_mode))
		rc = err_set(err, -EINVAL, "%s: is no regular file", path);
	else if ((uint64_t)st.st_size > LIMIT_FILE_BYTES)
		rc = err_set(err, -E2BIG, "%s: has %llu MiB, more than the limit of %u MiB: split it", path,
			     (unsigned long long)st.st_size >> 20, LIMIT_FILE_BYTES >> 20);
	else
		rc = reader_init(&r, err);
	if (!rc) {
		yaml_parser_set_input(&r.parser, on_read, &r);
		rc = read_all(&r);
	}
	close(r.fd);
	return rc;
}

const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key)
{
	if (!map || map->kind != YAML_MAP)
		return NULL;
	for (const struct yaml_node *c = map->child; c; c = c->next) {
		if (str_is(c->key, key))
			return c;
	}
	return NULL;
}

bool yaml_is_null(const struct yaml_node *n)
{
	return n->kind == YAML_SCALAR && !n->quoted &&
	       (n->text.n == 0 || str_is(n->text, "~") || str_is(n->text, "null") || str_is(n->text, "Null") ||
		str_is(n->text, "NULL"));
}

static uint64_t stir(uint64_t h, struct str s)
{
	return (h ^ hash_bytes(s.p, s.n)) * 0x9e3779b97f4a7c15u + s.n;
}

uint64_t yaml_hash(const struct yaml_node *n)
{
	uint64_t h = stir((uint64_t)n->kind * 2 + n->quoted + 1, n->text);

	if (*n->tag)
		h = stir(h, str_c(n->tag));

	for (const struct yaml_node *c = n->child; c; c = c->next) {
		h = stir(h, c->key);
		h = (h ^ yaml_hash(c)) * 0xff51afd7ed558ccdu;
		h ^= h >> 29;
	}
	return h;
}
