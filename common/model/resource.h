/* SPDX-License-Identifier: Apache-2.0 */
/* What objects of configuration have in common that compilers of plans read as they were written: VirtualService, DestinationRule
 * and so on. Each is one struct that begins with `struct resource`, with the API's own field names and meaning; it and all that it
 * points to lie in its arena. Immutable once in a mesh, refcounted, any thread. Strings are "" when absent unless a comment says NULL. */
#ifndef MODEL_RESOURCE_H
#define MODEL_RESOURCE_H

#include <stdatomic.h>

#include "base/arena.h"
#include "model/object.h"

/* present: the list was written, though it may be empty. */
#define LIST_OF(T) struct { const T *v; int n; bool present; }

/* Wrappers of the API, for which 0 and false are not absence. */
struct opt_u32 { uint32_t v; bool set; };
struct opt_ms { uint32_t ms; bool set; };
struct opt_double { double v; bool set; };
enum opt_bool { OPT_UNSET, OPT_YES, OPT_NO };

enum resource_kind {
	RESOURCE_VIRTUAL_SERVICE,    /* struct virtual_service; also HTTPRoute, GRPCRoute, TCPRoute, TLSRoute with mesh parents */
	RESOURCE_DESTINATION_RULE,   /* struct destination_rule */
	RESOURCE_SIDECAR,            /* struct sidecar */
	RESOURCE_TELEMETRY,          /* struct telemetry */
	RESOURCE_MESH_CONFIG,        /* struct mesh_config: one, or none */
	RESOURCE_WAYPOINT,           /* struct waypoint: a Gateway of the class istio-waypoint */
	RESOURCE_KINDS,
};

struct resource {
	atomic_uint refs;
	enum resource_kind kind;
	const char *origin;          /* "VirtualService", "HTTPRoute" */
	const char *key;             /* "ORIGIN/ns/name": unique */
	const char *ns, *name;
	const char *where;           /* "file:line" */
	int64_t created;             /* Unix seconds; INT64_MAX: not known */
	struct arena mem;
};

/* Zeroed, `size` bytes, of which the head is filled (texts are copied); refs is 1. Fill the rest from r->mem. */
void *resource_new(enum resource_kind kind, size_t size, const char *origin, const char *ns, const char *name, const char *where,
		   int64_t created);
struct resource *resource_ref(struct resource *r);
void resource_unref(struct resource *r);                                        /* NULL is allowed */
/* The oldest first: by creation, then name, then namespace, then origin. */
int resource_compare(const struct resource *a, const struct resource *b);

#endif
