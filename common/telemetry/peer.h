/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of the workload at one end: the values of Istio's labels. From the mesh, or from what the peer said of itself
 * (metadata exchange, baggage); texts are borrowed, empty: unknown. */
#ifndef TELEMETRY_PEER_H
#define TELEMETRY_PEER_H

#include "base/str.h"
#include "model/object.h"

struct peer {
	struct str name;                     /* the pod */
	struct str workload, type;           /* type: "deployment", "pod", … */
	struct str ns, service, revision;    /* canonical ones */
	struct str app, version, cluster;
	struct str region, zone;
};

/* One block with its texts, for free(). NULL: out of memory. */
struct peer *peer_dup(const struct peer *p);
/* w NULL: nothing. */
void peer_of_workload(const struct workload *w, struct peer *ret);

#endif
