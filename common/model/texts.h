/* SPDX-License-Identifier: Apache-2.0 */
/* Tuples of strings that many objects have in common, stored once: of the pods of a Deployment all but name and address
 * are the same. The table is one thread's; tuples are refcounted and may be dropped by any thread. */
#ifndef MODEL_TEXTS_H
#define MODEL_TEXTS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct texts {
	atomic_uint refs;
	uint64_t hash;
	struct texts *next;          /* of the table */
	size_t n_bytes;
	int n;
	const char *v[];             /* the strings, in the order of texts_get; their bytes follow */
};

struct texts_table {
	struct texts **slots;        /* holds a reference on each */
	size_t cap, len;             /* cap: a power of two, or 0 */
	size_t kept;                 /* len after the last sweep */
};

/* A reference on the tuple; NULL strings are "". */
struct texts *texts_get(struct texts_table *t, const char *const *v, int n);
void texts_unref(struct texts *x);   /* NULL is allowed; any thread */
/* Frees what only the table holds, when that may be much. */
void texts_sweep(struct texts_table *t);
void texts_table_done(struct texts_table *t);

#endif
