/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TELEMETRY_FLOW_INT_H
#define TELEMETRY_FLOW_INT_H

#include "telemetry/flow.h"
#include "telemetry/series.h"

/* The labels of a flow; they borrow from it. */
void flow_key(const struct flow *f, struct series_key *key);

#endif
