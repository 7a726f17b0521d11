/* SPDX-License-Identifier: Apache-2.0 */
/* Gateways of the class istio-waypoint, and which of them a workload serves: objects are bound to waypoints by their names. */
#ifndef MODEL_WAYPOINT_H
#define MODEL_WAYPOINT_H

#include "model/mesh.h"

#define WAYPOINT_CLASS "istio-waypoint"

struct waypoint {
	struct resource r;
	struct gateway at;
	bool for_services, for_workloads;    /* whose traffic passes it */
};

struct waypoint_name { const char *ns, *name; };

/* The Gateways that w serves: the one of its namespace that its label gateway.networking.k8s.io/gateway-name names, as Istio has it; without
 * the label those that lead to it. free() the list; its texts are borrowed from the mesh and from w. */
struct waypoint_name *waypoint_names(const struct mesh *m, const struct workload *w, int *n);

#endif
