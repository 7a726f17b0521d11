/* SPDX-License-Identifier: Apache-2.0 */
/* ztunnel's metrics of what is no connection: DNS questions, and names that are resolved for connections. Counted in the
 * worker's struct flow_metrics, by its thread only. */
#ifndef TELEMETRY_METERS_H
#define TELEMETRY_METERS_H

#include "model/object.h"
#include "telemetry/flow.h"

enum meter_transport { METER_UDP, METER_TCP };

/* A question of an application. type: "A", "aaaa", empty: unreadable. client NULL: unknown. */
void meters_dns_request(struct flow_metrics *m, struct str type, enum meter_transport t, const struct workload *client);
/* It was handed to an upstream resolver, which answered, or not, after this long. */
void meters_dns_upstream(struct flow_metrics *m, struct str type, enum meter_transport t, const struct workload *client, bool answered,
			 uint64_t duration_ns);
/* A destination that is known by name was resolved for a connection. */
void meters_on_demand_dns(struct flow_metrics *m, const struct workload *source, const char *source_id, struct str hostname);
/* For flow_metrics_new and prom_write. */
struct meters *meters_new(void);
void meters_register(void);

#endif
