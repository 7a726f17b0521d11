/* SPDX-License-Identifier: Apache-2.0 */
/* What the authority of a CONNECT request means at the workload that received it (ztunnel's inbound path, the gateway of a
 * network, which passes the inner tunnel on, and a waypoint). */
#ifndef MODES_AUTHORITY_H
#define MODES_AUTHORITY_H

#include "traffic/dest.h"

struct authority {
	struct addr to;              /* where the bytes go: an application of the workload, or the next hop */
	struct addr asked;           /* what a PROXY header says: the authority, for a name one of the service's addresses */
	struct service *service;     /* borrowed from the mesh; NULL: the authority was an address, or unknown */
	bool app_tunnel;             /* to the application's own tunnel on loopback */
	bool forward;                /* to another host: the workload is the gateway of that host's network */
	enum fail why;
};

/* The source of the chances and the clock of a gateway's choice. */
struct authority_dice {
	uint64_t *seed, now_ms;
};

/* local is the address that the connection came to; host is empty when the authority is the address `at`, else at.port is its
 * port. False: ret->why. */
bool authority_resolve(const struct mesh *m, const struct workload *w, const struct ip *local, const struct addr *at,
		       struct str host, const struct authority_dice *dice, struct authority *ret);
/* At a waypoint, w: the service (ret->service) or the workload that ret->to was asked for, if it names this waypoint. */
bool authority_served(const struct mesh *m, const struct workload *w, const struct addr *at, struct str host, struct authority *ret);

#endif
