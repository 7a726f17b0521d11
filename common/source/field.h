/* SPDX-License-Identifier: Apache-2.0 */
/* Field tables: one row per field of Istio's and Kubernetes' objects. One walker reads them over YAML; the same rows give
 * defaults, errors, `meshd explain` and meshd-config(7). */
#ifndef SOURCE_FIELD_H
#define SOURCE_FIELD_H

#include "base/addr.h"
#include "model/resource.h"
#include "source/report.h"
#include "source/yaml.h"

enum field_type {             /* what lies at the row's offset */
	FIELD_STRING,         /* const char *: "" when absent */
	FIELD_BOOL,           /* bool */
	FIELD_PORT,           /* uint16_t, 1 to 65535; 0 when absent */
	FIELD_U32,            /* uint32_t within min and max */
	FIELD_OPT_U32,        /* struct opt_u32, likewise */
	FIELD_OPT_BOOL,       /* enum opt_bool */
	FIELD_OPT_MS,         /* struct opt_ms: a duration */
	FIELD_OPT_DOUBLE,     /* struct opt_double within min and max */
	FIELD_TEXT,           /* const char *: NULL when absent */
	FIELD_ONE_TEXT,       /* struct string_match: the text, and `min` as its kind; of several such rows at one offset one may be given */
	FIELD_BYTES,          /* struct str: base64 */
	FIELD_DURATION,       /* uint32_t milliseconds */
	FIELD_IP,             /* struct ip; all zero when absent */
	FIELD_ENUM,           /* int: the index in words, plus min */
	FIELD_TIME,           /* int64_t Unix seconds; INT64_MAX when absent */
	FIELD_PORT_OR_NAME,   /* struct field_port */
	FIELD_STRINGS,        /* struct field_strings */
	FIELD_LABELS,         /* struct field_labels, sorted by key */
	FIELD_PORTS,          /* struct field_ports: a map of names to ports */
	FIELD_U32_MAP,        /* struct field_numbers: a map of names to numbers within min and max */
	FIELD_U16S,           /* struct field_u16s: numbers within min and max */
	FIELD_MESSAGE,        /* pointer to sub's struct; NULL when absent */
	FIELD_INLINE,         /* sub's struct itself */
	FIELD_MESSAGES,       /* struct field_list of sub's structs */
	FIELD_MESSAGE_MAP,    /* struct field_list of sub's structs: a map; sub's first member takes the key (const char *) */
	FIELD_PRESENT,        /* bool: it is there, whatever it holds */
	FIELD_ANY,            /* nothing is read */
};

enum field_mark {
	FIELD_HONOURED,
	FIELD_TODO,           /* not honoured yet: a warning names it */
	FIELD_OTHER_MODE,     /* read by Istio in other modes only: an info names it */
	FIELD_SIDECAR,        /* honoured in sidecar mode, elsewhere as OTHER_MODE */
	FIELD_IGNORED,        /* harmless to a data plane: not reported */
	FIELD_REFUSED,        /* bears on security: `why` says so, and the object is refused */
};

struct field_table;
struct field_walk;

struct field {
	const char *name;                 /* camelCase; snake_case is read as well */
	uint8_t type, mark;
	uint16_t offset;
	uint32_t min, max;                /* U32, DURATION; max 0: no bound */
	const char *deflt;                /* as it would stand in YAML; NULL: absent */
	const char *const *words;         /* ENUM, NULL-terminated */
	const struct field_table *sub;
	const char *doc;                  /* one sentence */
	const char *why;                  /* REFUSED, TODO: the reason or the remedy */
};

struct field_table {
	const char *name;                 /* "ServiceEntry.spec" */
	const char *doc;
	size_t size;
	bool open;                        /* fields not named here are none of a data plane's business */
	const struct field *fields;       /* ends with a NULL name */
	/* Called with what was read without an error, defaults included: looks at how fields go together, and fills what no row does. NULL: nothing. */
	void (*check)(struct field_walk *w, void *out);
};

struct field_port { uint16_t number; const char *name; };        /* one of them, or 0 and "" */
/* As LIST_OF has them; present: written, though it may be empty. */
struct field_strings { const char **v; int n; bool present; };
struct field_labels { struct label *v; int n; bool present; };
struct field_u16s { uint16_t *v; int n; bool present; };
struct field_named_port { const char *name; uint16_t port; };
struct field_number { const char *name; uint32_t v; };
struct field_numbers { struct field_number *v; int n; bool present; };
struct field_ports { struct field_named_port *v; int n; };
struct field_list { void *v; int n; bool present; };

/* A walk over one object. The walker reports through it; conversions use field_error and field_warn likewise. */
struct field_walk {
	struct report *report;
	struct arena *arena;              /* holds all that the walk makes */
	const char *file, *kind;
	const char *ns, *name;            /* "" while unknown */
	const struct mesh_settings *settings;    /* NULL: the defaults */
	bool keep;                        /* strings are copied into the arena; else they lie in the YAML */
	bool security;                    /* an unknown field is an error */
	unsigned errors;
	const struct yaml_node *root;     /* of the object: finds the line of a path */
	char path[256];
	size_t path_len;
};

/* Reads node by the table into out (zeroed, t->size bytes). Goes on after errors; returns false when there was one. */
bool field_read(struct field_walk *w, const struct field_table *t, const struct yaml_node *node, void *out);
/* One value of a plain type without a table around it. */
bool field_read_one(struct field_walk *w, const struct field *f, const struct yaml_node *node, void *out);

void field_defaults(const struct field_table *t, void *out);             /* as of an empty object, without its check */

void field_enter(struct field_walk *w, const char *name, int index);     /* name, or the index when name is NULL */
void field_leave(struct field_walk *w, size_t path_len);
/* path is appended to the walk's own path; line 0: that of the path in the YAML, as far as it goes. */
void field_error(struct field_walk *w, unsigned line, const char *path, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void field_warn(struct field_walk *w, unsigned line, const char *path, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void field_info(struct field_walk *w, unsigned line, const char *path, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

const char *field_type_name(const struct field *f);                      /* "list of strings" */
const char *field_label(const struct field_labels *l, const char *key);  /* NULL when absent */

#endif
