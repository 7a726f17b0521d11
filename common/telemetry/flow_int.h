/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TELEMETRY_FLOW_INT_H
#define TELEMETRY_FLOW_INT_H

#include "telemetry/flow.h"
#include "telemetry/series.h"
#include "telemetry/why.h"

/* The labels of a flow; they borrow from it. */
void flow_key(const struct flow *f, struct series_key *key);

/* Of a sidecar's: flow_proxy.c. */
void flow_proxy_open(struct flow *f);
void flow_proxy_bytes(struct flow *f);
void flow_proxy_close(struct flow *f, const struct why_entry *e);
void flow_proxy_free(struct flow_proxy *p);              /* NULL ok */

#endif
