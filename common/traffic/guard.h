/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a connection to a workload came by the waypoint that it, or a service of which it is an endpoint, names. Istio lets
 * both in; with MESHD_ENFORCEMENT=closed only the waypoint's identity is. */
#ifndef TRAFFIC_GUARD_H
#define TRAFFIC_GUARD_H

#include "model/mesh.h"

/* The waypoint that was passed by: `peer`, the sender's SPIFFE ID (empty: none), is not one of its identities. port is the
 * workload's own. NULL: none is named, or the sender is one of those named. Borrowed from the mesh. */
const struct gateway *guard_bypassed(const struct mesh *m, const struct workload *w, uint16_t port, struct str peer);
/* Whether the sender is one of those named: then what it says of who asks is believed. */
bool guard_vouches(const struct mesh *m, const struct workload *w, uint16_t port, struct str peer);

#endif
