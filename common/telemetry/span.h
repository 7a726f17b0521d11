/* SPDX-License-Identifier: Apache-2.0 */
/* A span per connection that ended, made on its worker and taken by the exporter (otlp.h) on another thread. Nothing here
 * waits: when too many are under way, new ones are dropped and counted. Off until span_start.
 *
 * A tunnel carries the client side's ids in traceparent: that side's span has its parent id as its own id, the server side's span
 * has it as its parent. The ratio is decided by the trace id, as OpenTelemetry's TraceIdRatioBased does, so that both sides decide
 * alike; the sampled flag of what came is not looked at, since ztunnel never sets it. */
#ifndef TELEMETRY_SPAN_H
#define TELEMETRY_SPAN_H

#include "telemetry/why.h"

#define SPAN_QUEUE 16384      /* made and not yet exported */

struct span {
	struct span *next;
	size_t n;
	uint8_t bytes[];          /* an otlp.Span */
};

void span_start(double ratio);     /* of the traces, for connections; 0: none of them */
void span_stop(void);              /* drops what waits */
bool span_on(void);                /* for connections */
bool span_exporting(void);         /* there is an exporter: for requests, which are sampled by their own rules (trace.h) */
/* A tunnel will carry these ids for a flow; sets their sampled flag. */
void span_begin(struct flow *f, char traceparent[56]);
/* A tunnel came with these (well-formed, or empty). */
void span_join(struct flow *f, struct str traceparent);
/* A flow ended; any thread. */
void span_record(const struct flow *f, const struct why_entry *e);
/* All that wait, oldest first. The caller gives each to span_free, with why. */
struct span *span_take(void);
void span_free(struct span *s, bool exported);
uint64_t span_exported(void);
uint64_t span_dropped(void);

#endif
