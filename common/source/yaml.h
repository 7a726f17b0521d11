/* SPDX-License-Identifier: Apache-2.0 */
/* YAML and JSON as trees, one document at a time, so that a file of 50 MB costs the memory of its largest object. */
#ifndef SOURCE_YAML_H
#define SOURCE_YAML_H

#include "base/arena.h"
#include "base/err.h"

/* Nodes of one object, aliases counted as often as they are used: beyond it a file is refused as an alias bomb. */
#define YAML_NODES_MAX (1u << 19)

enum yaml_kind { YAML_SCALAR, YAML_MAP, YAML_LIST };

struct yaml_node {
	enum yaml_kind kind;
	bool quoted;               /* a scalar that can only be a string: quoted, or tagged !!str */
	unsigned line;             /* from 1 */
	unsigned weight;           /* nodes below and including this one, aliases expanded */
	unsigned n;                /* children */
	struct str key;            /* when the parent is a map; NUL-terminated */
	struct str text;           /* scalar; NUL-terminated, may hold further NULs */
	const char *tag;           /* "Exact" of !Exact; "" for none, and for YAML's own (!!str) */
	struct yaml_node *child;   /* first of a map or list */
	struct yaml_node *next;    /* sibling */
};

/* Calls on_doc for each document that is not empty; of a map with the key `items` whose value is a list (kind: List) each
 * item is a document of its own. The tree lives in `a`, which is reset after each call. on_doc returns 0, or -errno to stop.
 * Returns 0, -errno of the file, -E2BIG beyond a limit, -EINVAL for what is no YAML; err says "FILE:LINE: why".
 * Documents before the fault have been delivered by then. Anchors and aliases are kept within one document; merge keys
 * (<<) are refused. */
int yaml_read_file(const char *path, struct arena *a, int (*on_doc)(const struct yaml_node *root, void *arg), void *arg,
		   struct err *err);
int yaml_read_text(const char *name, struct str text, struct arena *a,
		   int (*on_doc)(const struct yaml_node *root, void *arg), void *arg, struct err *err);

const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key);   /* NULL when absent, or no map */
bool yaml_is_null(const struct yaml_node *n);                                     /* NULL, ~, null or nothing */
uint64_t yaml_hash(const struct yaml_node *n);                                    /* of the content, not of the lines */

#endif
