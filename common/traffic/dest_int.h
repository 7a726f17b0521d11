/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the choice share. */
#ifndef TRAFFIC_DEST_INT_H
#define TRAFFIC_DEST_INT_H

#include "traffic/dest.h"

/* One step of the way: a workload, where to reach it, and as an endpoint of what. */
struct hop {
	struct workload *w;            /* NULL: there is none */
	struct service *via;           /* NULL: by its own address */
	struct addr at;                /* its address and target port */
	bool homeless;                 /* no address (yet): by its host name, or through its network's gateway */
};

struct dest_ask {
	const struct mesh *m;
	const struct workload *client; /* NULL: unknown */
	const char *network;           /* the client's */
	const struct dest_tried *tried;
	uint64_t *seed, now_ms;
	struct addr original;
	/* The gateway that was looked up last, since many endpoints have the same. */
	const struct gateway *gate_asked;
	struct hop gate;
};

/* How a service's endpoints are looked at. */
enum pick_as {
	PICK_ENDPOINT,                 /* those of other networks through their gateways */
	PICK_WAYPOINT,                 /* the same; the service need not have the port if the endpoint has an application tunnel */
	PICK_GATEWAY,                  /* of whatever network: they are reached directly */
	PICK_LOCAL,                    /* of the client's network only, with HBONE */
	PICK_NEAR_WAYPOINT,            /* as WAYPOINT, of the client's network only */
};

/* dest_pick.c. False: the service has no usable endpoint for the port. */
bool dest_pick(struct dest_ask *a, struct service *s, uint16_t port, enum pick_as as, struct hop *ret);
/* An address of h->w: `want` itself, else of the families that the service allows one of want's family, else the first; else
 * what its host name was resolved to. */
void dest_pick_ip(const struct dest_ask *a, struct hop *h, const struct ip *want);
bool dest_was_tried(const struct dest_tried *tried, const struct workload *w);
uint64_t dest_random_below(uint64_t *seed, uint64_t n);

/* dest_gate.c. The way to a waypoint or gateway. False: it is not there. */
bool dest_gate(struct dest_ask *a, const struct gateway *g, enum pick_as as, struct hop *ret);
/* What g names: a service, by its endpoints, or (NULL) the workload ret_w, which is NULL too if there is neither. */
struct service *dest_gate_find(const struct mesh *m, const struct gateway *g, struct workload **ret_w);
/* The gateway of w's network; false: none that works. */
bool dest_network_gate(struct dest_ask *a, const struct workload *w, struct hop *ret);

/* dest_memory.c */
bool dest_is_avoided(const struct workload *w, uint64_t now_ms);

#endif
