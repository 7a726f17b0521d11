/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TELEMETRY_ROWS_INT_H
#define TELEMETRY_ROWS_INT_H

#include "base/limits.h"
#include "base/map.h"
#include "telemetry/rows.h"
#include "telemetry/series.h"

#define ROW_LABELS_BYTES 8192        /* of one set; what is longer is cut */

struct row {
	_Atomic(struct row *) next;          /* changed by the table's thread; gone ones are freed by epoch */
	_Atomic uint32_t used_s;
	_Atomic bool expired;                /* set by the page: idle in all tables */
	unsigned metrics;                    /* by bit */
	char *key;                           /* the metrics' bytes, then the labels */
	size_t key_bytes;
	series_count count[];
};

struct row_table {
	struct row_table *next;              /* all of the process, never freed */
	_Atomic(struct row *) first;
	struct map by_key;
	uint32_t now_s, swept_s;
};

struct row_table *row_tables(void);
int row_at(const struct row *r, enum row_metric m);

static inline struct str row_labels(const struct row *r)
{
	return (struct str){ r->key + sizeof(r->metrics), r->key_bytes - sizeof(r->metrics) };
}

static inline bool row_is_idle(const struct row *r, uint32_t now_s)
{
	uint32_t used = atomic_load_explicit(&((struct row *)r)->used_s, memory_order_relaxed);

	return now_s > used && now_s - used >= LIMIT_METRIC_IDLE_S;
}

#endif
