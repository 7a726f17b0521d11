/* SPDX-License-Identifier: Apache-2.0 */
/* One connection that carries requests: into the workload or out of it. Each request gets the chain of the configuration that is in
 * force when it comes. */
#ifndef MODES_HCONN_H
#define MODES_HCONN_H

#include "model/meshconfig.h"
#include "modes/chain.h"
#include "policy/authz.h"

/* Which part of the plan says what becomes of its requests, also after a change. */
enum hconn_place {
	HCONN_CAPTURED,                  /* the port that was called */
	HCONN_BOUND,                     /* a listener of its own (modes/binds.h) */
	HCONN_SERVED,                    /* at a waypoint: the port of a service */
	HCONN_DIRECT,                    /* at a waypoint: a workload's own address */
};

struct hconn {
	struct list link;                /* in pod.l7.https */
	struct pod *pod;                 /* a reference on what its parts share */
	struct http_conn *http;          /* NULL: closed */
	struct env *env;                 /* reference */
	struct exchange_client client;   /* its texts are `texts` */
	struct workload *peer;           /* reference; NULL: unknown */
	char *texts;                     /* owned */
	struct addr at;                  /* which port of the plan it is at: the original destination, or a listener of its own */
	enum hconn_place place;
	struct service *target;          /* reference; SERVED: as it is now */
	struct str said_id;              /* as in hconn_from */
	struct addr said_from;
	bool istio_http;
	uint64_t looked;                 /* the generation of the mesh that last said what the peer is */
	unsigned exchanges;
	uint64_t opened_ms;
	struct deferred grave;
	bool gone;
};

/* What is known of the connection when its first bytes told that it is HTTP. Texts are copied. */
struct hconn_from {
	enum hconn_place place;
	struct service *target;          /* SERVED: what was asked for */
	struct addr peer, local;
	struct str peer_id, sni, xfcc, asked, service;   /* service: inbound, the key of the one that leads here */
	struct str said_id;              /* who asks, as the peer's CONNECT says: believed of the own waypoint alone; empty: nothing */
	struct addr said_from;           /* and from where; port 0: nothing */
	const struct addr *at;           /* BOUND: the listener's */
	bool mtls, inbound;
	bool istio_http;                 /* Istio's mutual TLS, whose client says that it carries requests: a proxy that has seen to their heads */
};

/* Takes over an open stage and the connection's place in pod_count. False: it is refused or out of memory (below is ended). */
bool hconn_start(struct pod *pod, struct stage *below, enum http_codec codec, struct workload *local, const struct hconn_from *from);
/* The workload's policies changed: a connection that could not be made now is closed. */
void hconn_judge(struct hconn *h);
void hconn_drain(struct hconn *h);
/* Inbound: its port in a plan; NULL: the plan does not serve it. */
const struct inbound_port *hconn_port(const struct hconn *h, const struct plan *p);
void hconn_close(struct hconn *h, enum fail why);

/* For chains. */
void hconn_exchange_ended(struct exchange *x, void *arg);
enum http_path hconn_path(const struct mesh_config *mc);

#endif
