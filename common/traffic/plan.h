/* SPDX-License-Identifier: Apache-2.0 */
/* What the engines of a sidecar or a waypoint read: for each address and port that an application may call, protocol and routes; for each port of the
 * workload (of a waypoint: of the services that it serves), what goes in. Immutable; compiled from the mesh on the control thread after a change, published like the mesh.
 * Clusters keep their run-time state from plan to plan. Endpoints are no part of it: a cluster looks at the mesh. */
#ifndef TRAFFIC_PLAN_H
#define TRAFFIC_PLAN_H

#include "traffic/route.h"

/* Bytes without HTTP: the first that matches decides (VirtualService tls and tcp, TCPRoute, TLSRoute). */
struct l4_route {
	const char *name;
	const char *const *sni;              /* exact, or "*.example.com"; TLS only */
	int n_sni;
	const struct cidr *to;               /* destinationSubnets; none: any */
	int n_to;
	const struct route_target *targets;  /* cluster, weight */
	int n_targets;
	uint32_t weight_sum;
	unsigned idle_ms;
};
/* The first for this address and name (NULL: without TLS); NULL: none. */
const struct l4_route *l4_route_find(const struct l4_route *v, int n, const struct ip *to, const char *sni);

struct outbound_port {
	const char *name;                    /* of the listener, as in Envoy: "10.0.0.1_80", "0.0.0.0_80" */
	uint16_t port;
	enum port_protocol protocol;
	bool real;                           /* a Sidecar's captureMode NONE: it is bound for real, at `at` */
	struct addr at;
	const struct route_table *http;      /* HTTP*, GRPC, AUTO */
	const struct l4_route *tls, *tcp;    /* by SNI; by address */
	int n_tls, n_tcp;
};

struct inbound_port {
	uint16_t port;                       /* of the workload; 0: any other */
	enum port_protocol protocol;
	struct cluster *to;                  /* the application: inbound|PORT||, or a Sidecar's defaultEndpoint */
	const struct route_table *http;
	const char *service;                 /* key of the first service that leads to it; of a waypoint, of the one that is served; "" */
	const struct l4_route *by_sni, *bytes;       /* of a waypoint: TLS by its SNI, then all bytes; where none fits: `to` */
	int n_by_sni, n_bytes;
	const char *server_name;             /* of a waypoint: the only one that TLS may ask for; NULL: any */
	bool real;                           /* a Sidecar's ingress with an own bind */
	struct addr at;
	struct tls_conf tls;                 /* a Sidecar's ingress.tls; mode TLS_AUTO: Istio's mutual TLS as PeerAuthentication says */
};

struct plan;
/* Compiles for one workload; `before` gives clusters their state (NULL ok). What could not be honoured is reported. */
struct plan *plan_compile(const struct mesh *m, const struct workload *w, const struct plan *before, void (*report)(void *arg, const char *object, const char *text), void *arg);
/* Whether another one would be made now: what plans are made of changed, or the workload's labels or place in services. */
bool plan_stale(const struct plan *p, const struct mesh *m, const struct workload *w);
void plan_publish(struct plan *p);                   /* takes it over; the old one goes by epoch and references */
const struct plan *plan_current(void);               /* within a turn; NULL: none yet */
struct plan *plan_ref(const struct plan *p);         /* for connections that keep it */
void plan_unref(struct plan *p);

/* The exact address, then any address of that port. NULL: nobody knows it; the policy decides. */
const struct outbound_port *plan_outbound(const struct plan *p, const struct addr *to);
const struct inbound_port *plan_inbound(const struct plan *p, uint16_t port);        /* never NULL */
/* Of a waypoint: what it does for a port of a service (key), and for workloads that are asked for by their own address. NULL: it
 * does not serve them; whether it is the one that the object names, the mesh says (traffic/dest.h). */
const struct inbound_port *plan_served(const struct plan *p, struct str service, uint16_t port);
const struct inbound_port *plan_direct(const struct plan *p);
/* outboundTrafficPolicy: where unknown destinations go: PassthroughCluster or BlackHoleCluster. */
struct cluster *plan_unknown(const struct plan *p);
/* The vhost of unknown hosts on HTTP ports is part of each table (allow_any, block_all). */
/* By name: "outbound|9000||ext-authz.foo.svc.cluster.local"; NULL: none. The services of extension providers have theirs though no
 * route leads there. */
struct cluster *plan_cluster(const struct plan *p, struct str name);
void plan_each_cluster(const struct plan *p, void (*fn)(struct cluster *c, void *arg), void *arg);
const struct outbound_port *plan_outbound_at(const struct plan *p, int i);   /* NULL beyond the last */
const struct inbound_port *plan_inbound_at(const struct plan *p, int i);     /* the first is that of all other ports */

#endif
