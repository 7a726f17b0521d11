/* SPDX-License-Identifier: Apache-2.0 */
/* What Telemetry objects, MeshConfig and ProxyConfig come to for one workload, a sidecar's or a waypoint's: which metrics with which labels, access
 * logs, spans, and the headers that a proxy adds. Compiled on the control thread after a change, published like the mesh; immutable. */
#ifndef TELEMETRY_TELECONF_H
#define TELEMETRY_TELECONF_H

#include "model/mesh.h"

struct teleconf;
struct tele_side;

/* w: the workload that is served. What cannot be honoured is reported with the object's key and left out: of it nothing else is lost. */
struct teleconf *teleconf_compile(const struct mesh *m, const struct workload *w,
				  void (*report)(void *arg, const char *object, const char *text), void *arg);
struct teleconf *teleconf_ref(const struct teleconf *t);       /* any thread */
void teleconf_unref(struct teleconf *t);                       /* NULL ok */
void teleconf_publish(struct teleconf *t);                     /* takes it over; control thread */
struct teleconf *teleconf_current(void);                       /* within a turn, borrowed; NULL: none yet */
/* The conf of telemetry_filter, and of flow.side; lives as long as t. A waypoint has the inbound one. */
const struct tele_side *teleconf_side(const struct teleconf *t, bool inbound);
/* The same for one service: at a waypoint Telemetry may be bound to it. service NULL: a workload was asked for. */
const struct tele_side *tele_side_for(const struct tele_side *s, const struct service *service);
/* Tracing providers that are in use, for otlp.h: the first whose service is known. NULL: none. */
const struct tele_provider *teleconf_collector(const struct teleconf *t);

#endif
