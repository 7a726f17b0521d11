/* SPDX-License-Identifier: Apache-2.0 */
/* /clusters: where a sidecar sends what, with the state of each endpoint, in the two forms of Envoy's page of that name (people read
 * one, istioctl the other). Endpoints are shown of clusters that were used already. Control thread. */
#ifndef ADMIN_CLUSTERS_H
#define ADMIN_CLUSTERS_H

#include "base/buf.h"
#include "traffic/plan.h"

void clusters_text(const struct plan *p, struct buf *out);      /* p NULL: nothing */
void clusters_json(const struct plan *p, struct buf *out);
/* Of one of them. */
void clusters_text_one(struct cluster *c, struct buf *out);

#endif
