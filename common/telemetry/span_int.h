/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TELEMETRY_SPAN_INT_H
#define TELEMETRY_SPAN_INT_H

#include "base/addr.h"
#include "proto/otlp.pb-c.h"
#include "telemetry/span.h"

#define SPAN_ATTRS      64
#define SPAN_TEXT_BYTES 8192

/* A span under construction; everything lies in it. */
struct span_draft {
	Otlp__Span span;
	Otlp__Status status;
	Otlp__KeyValue pair[SPAN_ATTRS], *pairs[SPAN_ATTRS];
	Otlp__AnyValue value[SPAN_ATTRS];
	size_t used;
	char text[SPAN_TEXT_BYTES];
};

void span_init(struct span_draft *m);
/* A copy that UTF-8 has nothing against; NULL: no room. */
char *span_keep(struct span_draft *m, struct str s);
void span_put_text(struct span_draft *m, const char *key, struct str value);     /* empty: nothing */
void span_put_number(struct span_draft *m, const char *key, uint64_t n);
void span_put_addr(struct span_draft *m, const char *key, const char *port_key, const struct addr *a);
/* Packs it for the exporter, or drops and counts it. */
void span_push(const struct span_draft *m);

#endif
