/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a connection to a workload came by the waypoint that it, or a service of which it is an endpoint, names. Istio lets
 * both in; with MESHD_ENFORCEMENT=closed only the waypoint's identity is. */
#ifndef TRAFFIC_GUARD_H
#define TRAFFIC_GUARD_H

#include "model/mesh.h"

enum guard {
	GUARD_NONE,                  /* no waypoint is named */
	GUARD_MET,                   /* the sender is one: what it says of who asks is believed */
	GUARD_BYPASSED,              /* it is not */
};

/* peer: the sender's SPIFFE ID; empty: none. port is the workload's own. ret: of BYPASSED, the waypoint; borrowed from the mesh; NULL ok. */
enum guard guard_ask(const struct mesh *m, const struct workload *w, uint16_t port, struct str peer, const struct gateway **ret);
/* The waypoint that was passed by; NULL: none. */
const struct gateway *guard_bypassed(const struct mesh *m, const struct workload *w, uint16_t port, struct str peer);

#endif
