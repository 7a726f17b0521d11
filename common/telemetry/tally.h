/* SPDX-License-Identifier: Apache-2.0 */
/* Counters by labels: one table per worker, whose thread alone adds; the metrics page sums the tables of all workers. For what
 * is no connection (those are flow.h's): DNS questions, refused certificates. */
#ifndef TELEMETRY_TALLY_H
#define TELEMETRY_TALLY_H

#include <stdatomic.h>

#include "base/map.h"
#include "telemetry/prom.h"

#define TALLY_LABELS  16
#define TALLY_COUNTS  16
#define TALLY_ROWS    2000     /* of one table; what comes after is counted in a row whose values are "overflow" */
#define TALLY_VALUE_BYTES 256  /* longer label values are cut */

/* A counter family that is one count of each row; it is left out while it is 0 everywhere. */
struct tally_family {
	const char *name, *help;     /* as in prom_family; NULL ends the list */
	int count;                   /* index into tally_row.count */
};
/* A histogram that is several of them. */
struct tally_histogram {
	const char *name, *help;     /* NULL: none */
	const char *const *bounds;
	int n;                       /* of bounds; counts first .. first + n are the buckets, the next one is the sum in nanoseconds */
	int first;
};

/* Static: one for each set of labels. All but the last two members are given. */
struct tally_kind {
	const char *const *labels;
	int n_labels;
	const struct tally_family *families;   /* NULL: it is no metric, and never registered */
	struct tally_histogram histogram;
	_Atomic(struct tally *) tables;
	struct prom_family *registered;
};

struct tally_row {
	struct tally_row *next;      /* fixed before the row is published */
	_Atomic uint64_t count[TALLY_COUNTS];   /* one writer */
	uint16_t key_bytes;
	char key[];                  /* the values, each ended by NUL */
};

struct tally {
	struct tally_kind *kind;
	struct tally *next;          /* all of the kind */
	_Atomic(struct tally_row *) first;
	struct tally_row *overflow;  /* NULL until needed */
	struct map by_key;
	int n;
};

/* Makes the families known. Once, on the control thread, before the first scrape. */
void tally_register(struct tally_kind *k);
/* A worker's table. Never freed: a process has as many as it has workers. */
struct tally *tally_new(struct tally_kind *k);
/* Finds or makes the row. NULL: out of memory. Values: as many as the kind has labels; empty: "unknown". */
struct tally_row *tally_row(struct tally *t, const struct str *values);
/* The sums of all tables, by label set; values: as many as there are labels. Control thread. */
void tally_each(struct tally_kind *k, void (*fn)(const struct str *values, const uint64_t *count, void *arg), void *arg);
/* The rows of all tables, summed by labels; fn gets TALLY_COUNTS counts, borrowed like the labels from tables that live as long as the process.
 * Control thread. */
void tally_sum(struct tally_kind *k, void (*fn)(const struct prom_label *labels, const uint64_t *count, void *arg), void *arg);
/* Plain load and store: no locked instruction, since each row belongs to one worker. NULL ok. */
static inline void tally_add(struct tally_row *r, int count, uint64_t n)
{
	if (r)
		atomic_store_explicit(&r->count[count], atomic_load_explicit(&r->count[count], memory_order_relaxed) + n, memory_order_relaxed);
}

#endif
