/* SPDX-License-Identifier: Apache-2.0 */
/* The last LIMIT_WHY_ENTRIES connections and requests that failed, with what `meshd why ID` tells about each. Any thread. */
#ifndef TELEMETRY_WHY_H
#define TELEMETRY_WHY_H

#include "http/exchange.h"
#include "telemetry/flow.h"

struct why_entry {
	const struct flow *flow;             /* its id is the entry's */
	enum fail why;
	const char *detail, *policy, *rule, *would_allow;   /* "" when there is none */
};

void why_remember(const struct why_entry *e);   /* copies */
/* A request, which its request id names; who decided may say why, and otherwise the telemetry filter does at its end. Sets x->log.id, so
 * that it is remembered once. Texts may be NULL. */
void why_remember_request(struct exchange *x, enum fail why, const char *policy, const char *rule, const char *would_allow);
/* What ID stands for: 16 hexadecimal digits, or a request id, whose first 16 digits those are. 0: neither. */
uint64_t why_id_parse(struct str text);
/* Newest first; id 0: all, at most max of them (0: no limit). JSON: an array. Returns how many were written. */
int why_write_json(uint64_t id, int max, struct buf *out);
int why_write_text(uint64_t id, int max, struct buf *out);

#endif
