/* SPDX-License-Identifier: Apache-2.0 */
/* Where a captured connection goes: the destination choice of ztunnel's outbound path (waypoints, gateways to other networks,
 * load balancing), plus retries elsewhere and the avoidance of endpoints that failed lately. */
#ifndef TRAFFIC_DEST_H
#define TRAFFIC_DEST_H

#include "base/fail.h"
#include "model/mesh.h"

#define DEST_EXPECT_MAX 64        /* a workload's own identity, and the first sans of the service */
#define DEST_HBONE_PORT 15008

enum dest_kind {
	DEST_PASSTHROUGH,     /* nothing known: plain TCP to the original address */
	DEST_PLAIN,           /* plain TCP to an endpoint of the mesh */
	DEST_ISTIO_MTLS,      /* Istio's mutual TLS to an endpoint of the mesh that has a sidecar and speaks no HBONE */
	DEST_HBONE,           /* tunnel to `connect`, CONNECT to `target` */
	DEST_DOUBLE,          /* tunnel to the gateway of another network, and a second one in it; both CONNECT to host:target.port */
	DEST_NONE,            /* there is none: `why` */
};

struct dest {
	enum dest_kind kind;
	enum fail why;                 /* of NONE */
	struct addr target;            /* endpoint address and target port; with a waypoint and else the original destination */
	struct addr connect;           /* what to dial: target, workload:15008, or a waypoint or gateway */
	struct str host;               /* DOUBLE: the service's hostname; else empty. Borrowed from service */
	struct str resolve;            /* a host name whose address dest_tried must know first; empty: none. Borrowed */
	bool waypoint;                 /* the next hop is one */
	struct workload *workload;     /* the next hop; borrowed from the mesh; NULL for PASSTHROUGH and NONE */
	struct service *service;       /* borrowed; NULL when the address was no VIP */
	const struct gateway *missing; /* of NONE: the waypoint or gateway that was not found; borrowed; NULL: none */
	struct str expect[DEST_EXPECT_MAX];   /* identities accepted at `connect`; borrowed from workloads and services */
	int n_expect;
	struct str inner[DEST_EXPECT_MAX];    /* DOUBLE: those of the second tunnel; with none it must not be opened */
	int n_inner;
};

/* Next hops already tried for this connection: never picked again while another is left. */
struct dest_tried {
	const struct workload *workload[8];
	int n;
	/* The workload whose host name was resolved since the last call, and its address: it is preferred. NULL: none. */
	const struct workload *known;
	struct ip known_ip;
};

/* client may be NULL (unknown), tried too (none). The service that has the address as VIP is asked first, then the workload
 * that has it; NONE is a service without usable endpoint for the port, or one whose waypoint or gateway is not there, or, where the
 * stance and outboundTrafficPolicy admit only what the mesh has, an address that nobody has. Weighted
 * random among the preferred; endpoints that failed lately only if there are no others. `seed` is the caller's random state.
 * All that ret borrows is of m. */
void dest_choose(const struct mesh *m, const struct workload *client, const struct addr *original,
		 const struct dest_tried *tried, uint64_t *seed, uint64_t now_ms, struct dest *ret);
/* For who is not ztunnel but goes through waypoints: an HBONE port of the waypoint g, in the client's own network (no tunnel in a
 * tunnel): connect, workload, resolve, expect; kind HBONE, or NONE with why. `original` says which family of addresses is liked. */
bool dest_waypoint(const struct mesh *m, const struct workload *client, const struct gateway *g, const struct addr *original,
		   const struct dest_tried *tried, uint64_t *seed, uint64_t now_ms, struct dest *ret);
/* The waypoint that a service names now, one of several by weight; NULL: none. Borrowed from it. */
const struct gateway *dest_service_waypoint(const struct service *s, uint64_t *seed);
/* The same of a workload that is called by its own address; NULL too when the client, or the workload itself, is that waypoint. */
const struct gateway *dest_workload_waypoint(const struct mesh *m, const struct workload *client, const struct workload *w);
/* Whether w is outside the mesh and reached through the waypoint of its service only, so that its own address is a way around that: a server of
 * an external service that names one, where the stance is closed. Nobody stands before it who could refuse. */
bool dest_only_by_service(const struct mesh *m, const struct workload *w);
/* For the gateway of a network: where the bytes of a tunnel to host:port go on, in its own network: the HBONE port of an
 * endpoint, or of the service's waypoint. `gateway` is the workload that asks; it must be the network_gateway of that endpoint.
 * False: it is not, or there is no endpoint (ret->why). */
bool dest_forward(const struct mesh *m, const struct workload *gateway, struct str host, uint16_t port,
		  const struct dest_tried *tried, uint64_t *seed, uint64_t now_ms, struct dest *ret);

/* Whether w is a waypoint that the service names. */
bool dest_serves(const struct mesh *m, const struct workload *w, const struct service *s);
/* What w, a waypoint, is asked for by a CONNECT to an address, or to host with at->port: a service that names it (ret_service), or the workload
 * that has the address and names it (NULL). FAIL_NONE; NOT_SERVED; LOOP: itself. */
enum fail dest_served(const struct mesh *m, const struct workload *w, const struct addr *at, struct str host, struct addr *ret, struct service **ret_service);
/* For protocols that cannot carry a name: an address of the service in that network if there is one, and IPv4 first; port 0: it has none. */
struct addr dest_address_of(const struct service *s, const char *network, uint16_t port);
/* Whether id is the identity of one of the workloads that g names, or a san of its service. */
bool dest_has_identity(const struct mesh *m, const struct gateway *g, struct str id);
/* "ns/host" or "network/address". */
const char *dest_gateway_name(const struct gateway *g, char text[320]);

/* Failed endpoints are avoided for LIMIT_EJECT_MS. Process-wide, any thread, lock-free; now_ms is one monotonic clock's. */
void dest_failed(const struct workload *w, uint64_t now_ms);
void dest_worked(const struct workload *w);

#endif
