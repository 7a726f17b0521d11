/* SPDX-License-Identifier: Apache-2.0 */
/* The last LIMIT_WHY_ENTRIES connections that failed, with what `meshd why ID` tells about each. Any thread. */
#ifndef TELEMETRY_WHY_H
#define TELEMETRY_WHY_H

#include "telemetry/flow.h"

struct why_entry {
	const struct flow *flow;             /* its id is the entry's */
	enum fail why;
	const char *detail, *policy, *rule, *would_allow;   /* "" when there is none */
};

void why_remember(const struct why_entry *e);   /* copies */
/* Newest first; id 0: all, at most max of them (0: no limit). JSON: an array. Returns how many were written. */
int why_write_json(uint64_t id, int max, struct buf *out);
int why_write_text(uint64_t id, int max, struct buf *out);

#endif
