/* SPDX-License-Identifier: Apache-2.0 */
/* What a waypoint serves, for /status: services with their ports, and how many workloads by their own address. Control thread. */
#ifndef ADMIN_SERVED_H
#define ADMIN_SERVED_H

#include "base/buf.h"
#include "traffic/plan.h"

/* w: the waypoint; NULL: not known. Nothing is written for a plan that is no waypoint's, or NULL. */
void served_text(const struct plan *p, const struct mesh *m, const struct workload *w, int max, struct buf *out);
/* An object: "services": {key: [port, …]}, "workloads": number; null of other plans. */
void served_json(const struct plan *p, const struct mesh *m, const struct workload *w, struct buf *out);

#endif
