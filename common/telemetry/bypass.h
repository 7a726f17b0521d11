/* SPDX-License-Identifier: Apache-2.0 */
/* Connections that reached a workload past the waypoint that it names: Istio lets them in; they are counted, and who sends them
 * is listed, and the first are logged once. Process-wide, any thread. */
#ifndef TELEMETRY_BYPASS_H
#define TELEMETRY_BYPASS_H

#include <stdint.h>

#include "base/buf.h"
#include "model/object.h"

struct bypass {
	const char *workload;        /* "ns/name" */
	const char *waypoint;
	const char *peer;            /* SPIFFE ID, or "plaintext" */
	uint64_t count;
};

/* peer may be empty: not authenticated. Beyond LIMIT_BYPASS_ROWS pairs of workload and peer only the total counts. */
void bypass_note(const struct workload *w, const char *waypoint, struct str peer);
uint64_t bypass_total(void);
/* In no order, under a lock: fn must be brief. */
void bypass_each(void (*fn)(const struct bypass *b, void *arg), void *arg);

#endif
