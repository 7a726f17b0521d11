/* SPDX-License-Identifier: Apache-2.0 */
/* Istio's metrics of one request or connection that a sidecar carried: labels as Istio's stats filter gives them
 * (istio.io/docs/reference/config/metrics), shortcuts to their rows, so that what happens again costs one look-up. */
#ifndef TELEMETRY_REQUESTS_H
#define TELEMETRY_REQUESTS_H

#include "http/exchange.h"
#include "telemetry/rows.h"

struct tele_side;

/* Counts a request that ended. messages: of gRPC, each way. */
void requests_count(const struct tele_side *s, const struct exchange *x, uint64_t request_messages, uint64_t response_messages);
/* Counts of a connection, which is an exchange without heads: what is given is added. why: of one that is closed. */
void requests_count_tcp(const struct tele_side *s, const struct exchange *x, unsigned opened, unsigned closed, enum fail why, uint64_t received,
			uint64_t sent);

#endif
