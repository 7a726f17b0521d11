/* SPDX-License-Identifier: Apache-2.0 */
/* A request's place in a distributed trace: W3C Trace Context (traceparent, tracestate), B3 (b3, or x-b3-…), and Istio's rules
 * for sampling: what was decided before holds; else the request id's digit says it, which the first proxy draws. */
#ifndef TELEMETRY_TRACE_H
#define TELEMETRY_TRACE_H

#include "http/exchange.h"

struct tele_side;

enum trace_form { TRACE_NONE, TRACE_W3C, TRACE_B3, TRACE_B3_MULTI };

struct trace {
	enum trace_form form;            /* in which it came; it goes on in the same, and in W3C's */
	uint8_t id[16], span[8], parent[8];
	bool active, has_parent, sampled;
	bool decided;                    /* the sender said whether it is sampled */
	char text[56];                   /* "00-ID-SPAN-01" */
	struct str operation;            /* of the sender's (x-envoy-decorator-operation); empty */
};

/* What came; false: nothing that is well-formed. */
bool trace_read(const struct http_fields *f, struct trace *ret);
/* Goes on with what came or begins a trace, and writes it into the request if that is to tell of it. sampled: when nothing was decided
 * before. */
void trace_begin(struct trace *t, struct exchange *x, bool sampled, bool tell);
/* The request ended: its span, if it is sampled. */
void trace_end(const struct trace *t, const struct tele_side *s, const struct exchange *x);

/* RFC 4122 version 4. */
#define UUID_BYTES 36
void uuid_make(char text[UUID_BYTES]);
/* Envoy's reason in the request id (its 15th character): 'n' not traced, 's' sampled, 'c' client forced, 'f' forced; 0: no UUID. */
char uuid_reason(struct str id);
void uuid_set_reason(char text[UUID_BYTES], char reason);
/* 0 … 9999, the same for all who see the id. */
unsigned uuid_number(struct str id);

#endif
