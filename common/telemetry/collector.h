/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps an exporter of spans (otlp.h) for the tracing provider that a sidecar's configuration names: follows it, and the collector's
 * endpoints, as the mesh changes. Control thread. */
#ifndef TELEMETRY_COLLECTOR_H
#define TELEMETRY_COLLECTOR_H

#include "http/grpc.h"
#include "telemetry/teleconf.h"

struct collector;

/* sock_ops and resolver as in otlp_conf; borrowed. */
struct collector *collector_new(struct loop *l, const struct sock_ops *sock_ops, struct resolver *resolver);
/* After each change of the mesh or of t. w: the workload that is served, whose service.name spans have. What is in the way is logged
 * once. Does nothing while OpenTelemetry's variables have set an exporter. */
void collector_update(struct collector *c, const struct mesh *m, const struct teleconf *t, const struct workload *w);
void collector_free(struct collector *c);        /* NULL ok */

#endif
