/* SPDX-License-Identifier: Apache-2.0 */
/* Envoy's response flags, which Istio's users look for in logs and metrics (%RESPONSE_FLAGS%). */
#ifndef TELEMETRY_RESPFLAG_H
#define TELEMETRY_RESPFLAG_H

#include <stdbool.h>

#include "base/fail.h"

#define RESPFLAG_BYTES 24

/* "UF", "NR", "DI,UF,URX", "-": in Envoy's order. delayed: a fault's delay was injected (DI); retry_limit: another try was wanted (URX). */
const char *respflag(enum fail why, bool delayed, bool retry_limit, char text[RESPFLAG_BYTES]);
const char *respflag_long(enum fail why);     /* "UpstreamConnectionFailure"; "-" */

#endif
