/* SPDX-License-Identifier: Apache-2.0 */
/* Envoy's response flags, which Istio's users look for in logs and metrics (%RESPONSE_FLAGS%). */
#ifndef TELEMETRY_RESPFLAG_H
#define TELEMETRY_RESPFLAG_H

#include "http/exchange.h"

#define RESPFLAG_BYTES 24

/* "UF", "NR", "DI,URX,UF", "-": in the order in which Envoy sets them, which for connections of bytes is "UF,URX". */
const char *respflag(const struct exchange *x, char text[RESPFLAG_BYTES]);
const char *respflag_long(enum fail why);     /* "UpstreamConnectionFailure"; "-" */

#endif
