/* SPDX-License-Identifier: Apache-2.0 */
/* Istio's metrics of sidecars: a row has the counters of one set of labels, whose text is made once. One table per thread, to
 * which that thread alone adds, without locks; the metrics page sums them. A process has at most LIMIT_METRIC_ROWS; what comes after is
 * counted in rows whose labels say "overflow". Rows that were idle everywhere for LIMIT_METRIC_IDLE_S leave the page, and their memory
 * goes when their thread next works. */
#ifndef TELEMETRY_ROWS_H
#define TELEMETRY_ROWS_H

#include <stdatomic.h>

#include "base/str.h"

enum row_metric {            /* as in the Telemetry API */
	ROW_REQUEST_COUNT, ROW_REQUEST_DURATION, ROW_REQUEST_SIZE, ROW_RESPONSE_SIZE,
	ROW_REQUEST_MESSAGES, ROW_RESPONSE_MESSAGES,
	ROW_TCP_OPENED, ROW_TCP_CLOSED, ROW_TCP_SENT, ROW_TCP_RECEIVED,
	ROW_METRICS
};
#define ROW_HTTP     0x00fu  /* sets of metrics, by bit */
#define ROW_GRPC     0x030u
#define ROW_TCP      0x3c0u

#define ROW_BUCKETS 19       /* Envoy's default bounds; what is above is one more */
extern const char *const row_bounds[ROW_BUCKETS];

struct row;
/* Of this thread: finds or makes the row of these metrics (all of one kind: of ROW_HTTP, ROW_GRPC or ROW_TCP) and labels: `a="b",c="d"`.
 * Good until the next call of rows_turn. NULL: out of memory. */
struct row *row_find(unsigned metrics, struct str labels);
void row_add(struct row *r, enum row_metric m, uint64_t n);
void row_sample(struct row *r, enum row_metric m, uint64_t value);     /* histograms */
/* Now and then (it looks at the clock itself): forgets rows. True: rows that were found before may be gone. */
bool rows_turn(uint32_t now_s);
/* A thread that ends: its figures stay until they are idle. Tests. */
int rows_count(void);

#endif
