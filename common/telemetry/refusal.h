/* SPDX-License-Identifier: Apache-2.0 */
/* Refusals by cause: connections and requests that were not let on because that was decided of them, or because what decides
 * is missing or cannot be evaluated. Process-wide, any thread. */
#ifndef TELEMETRY_REFUSAL_H
#define TELEMETRY_REFUSAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fail.h"

/* Of FAIL_DENIED and FAIL_EXT_DENIED, which say less than policies know. */
enum refusal {
	REFUSAL_OTHER,               /* what the failure says */
	REFUSAL_RULE,                /* a rule denies it */
	REFUSAL_NO_ALLOW,            /* there are ALLOW policies, and none allows it */
	REFUSAL_MTLS,                /* mutual TLS is required */
	REFUSAL_BROKEN,              /* a security object could not be loaded */
	REFUSAL_BLIND,               /* a policy asks for what cannot be evaluated here */
	REFUSAL_UNASKED,             /* a CUSTOM policy's provider is not known or cannot be asked */
	REFUSALS,
};

/* Whether a failure is a refusal; all others went wrong. */
bool refusal_is(enum fail why);
/* Once for each connection or request that ended so; what is no refusal is not counted. */
void refusal_count(enum fail why, enum refusal more);

struct refusal_cause {
	const char *cause;           /* "NOT_WAYPOINT", as reasons in logs, or one of policies: "DENIED_MTLS" … */
	const char *reason, *remedy; /* "" when there is none */
	uint64_t n;
};
/* Those that were met, the most frequent first. */
void refusals_each(void (*fn)(const struct refusal_cause *c, void *arg), void *arg);

#endif
