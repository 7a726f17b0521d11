/* SPDX-License-Identifier: Apache-2.0 */
/* Envoy's response flags, which Istio's users look for in logs and metrics (%RESPONSE_FLAGS%). */
#ifndef TELEMETRY_RESPFLAG_H
#define TELEMETRY_RESPFLAG_H

#include <stdbool.h>

#include "base/fail.h"

/* "UF", "NR", "-". retries_exhausted: the retry policy wanted more tries ("URX" too). Static. */
const char *respflag(enum fail why, bool retries_exhausted);
const char *respflag_long(enum fail why);     /* "UpstreamConnectionFailure"; "-" */

#endif
