/* SPDX-License-Identifier: Apache-2.0 */
/* One proxied connection as telemetry sees it: Istio's TCP metrics and the access log, with ztunnel's names. A flow is
 * filled by the mode, opened once its destination is known, and closed once; a worker's flows are touched by that
 * worker only. */
#ifndef TELEMETRY_FLOW_H
#define TELEMETRY_FLOW_H

#include "base/addr.h"
#include "base/buf.h"
#include "base/fail.h"
#include "hbone/baggage.h"
#include "model/object.h"
#include "telemetry/refusal.h"

struct teleconf;
struct peer;
struct tally_row;

enum flow_direction { FLOW_INBOUND, FLOW_OUTBOUND };   /* reporter destination, source */

/* All zero is a valid start. The texts are owned, NULL when unknown, and set with flow_set. */
struct flow {
	enum flow_direction direction;
	struct addr source, dest;            /* dest: as ztunnel logs it (inbound HBONE keeps :15008) */
	struct addr hbone;                   /* dst.hbone_addr: the CONNECT authority; port 0: none */
	char *hbone_host;                    /* the authority's host when it was a name; hbone.port is its port */
	struct workload *source_workload;    /* references held; NULL: unknown */
	struct workload *dest_workload;
	struct service *service;             /* reference held; NULL: none */
	char *source_id, *dest_id;           /* SPIFFE IDs; dest_id may still be set after flow_open (the log shows it) */
	bool service_guessed;                /* by its port: nobody named it */
	char *service_host;                  /* destination_service when service is NULL */
	char *peer_baggage;                  /* raw text, for labels when the peer's workload is unknown */
	char *traceparent;                   /* of the tunnel, by span_begin or span_join */
	bool mtls;
	bool opened;                         /* flow_open was called */
	uint64_t opened_ns;                  /* CLOCK_MONOTONIC; flow_open sets it, or the caller earlier */
	uint64_t bytes_received;             /* so far, from downstream: client to server */
	uint64_t bytes_sent;                 /* so far, to downstream: server to client */
	enum refusal refusal;                /* of FAIL_DENIED, set before it is closed */
	uint64_t id;                         /* of a failed connection, made by flow_close: the argument of `meshd why` */
	struct flow_series *series;          /* borrowed from the worker's tables after flow_open; not of a sidecar's flow */
	struct tally_row *edge;
	struct flow_proxy *proxy;            /* owned; NULL: in ztunnel's terms */
};

/* A connection in a sidecar or at a waypoint: labels, flags and the line in the log are those of Istio's Envoy. */
struct flow_proxy {
	struct teleconf *conf;               /* reference held */
	struct addr local;                   /* where the client wanted to go */
	struct addr upstream, upstream_local;
	struct workload *server;             /* at a waypoint: whom it chose; reference held, by flow_server; NULL: nobody yet */
	char *cluster, *route, *sni;         /* owned, by flow_set */
	char *service;                       /* owned: its key, "ns/host" */
	char *failure;                       /* owned: of the transport to the server; NULL: what flow_close is told */
	char *details;                       /* owned: why it was ended (CONNECTION_TERMINATION_DETAILS) */
	/* Private. */
	struct peer *said;                   /* what the peer said of itself */
	uint64_t wall_us, counted[2];
	int64_t counted_s;
	bool counting;
};

/* Replaces an owned text of a flow by a copy (at most 1023 bytes; empty: NULL). */
void flow_set(char **field, struct str value);

/* Before flow_open. False: out of memory. */
bool flow_set_proxy(struct flow *f, const struct teleconf *conf);
/* At a waypoint: whom it has reached. Before flow_open, or while the flow is not counted, which this ends. */
void flow_server(struct flow *f, struct workload *server);
/* What the other side said of itself (metadata exchange); copied. Of no account once the flow is counted: a sidecar's flow is when
 * the mesh knows the peer, or this was called, or bytes went both ways, or at its end. */
void flow_peer(struct flow *f, const struct peer *p);

/* One worker's counters. Never freed: a process has as many as it has workers. */
struct flow_metrics;
struct flow_metrics *flow_metrics_new(void);

/* Counts opened (once the destination is known, before policy and dialling: as ztunnel) and fixes the labels. */
void flow_open(struct flow_metrics *m, struct flow *f);
/* Bytes moved since the last call. Cheap: a few adds. */
void flow_bytes(struct flow *f, uint64_t client_to_server, uint64_t server_to_client);
/* Ends a flow: counts closed, and failed too when `why` has a response flag; writes the access-log line; remembers
 * failures for `meshd why`; frees what the flow owns and zeroes it, except id. A flow that was never opened is an early
 * denial: no traffic counter moves and the line is WARN "connection failed".
 * detail: what happened in words; policy, rule: what decided; would_allow: for `why`. NULL or "": none. */
void flow_close(struct flow_metrics *m, struct flow *f, enum fail why, const char *detail, const char *policy,
		const char *rule, const char *would_allow);
/* The same for a flow that was never opened. */
static inline void flow_refused_early(struct flow_metrics *m, struct flow *f, enum fail why, const char *detail)
{
	flow_close(m, f, why, detail, NULL, NULL, NULL);
}

/* Forgets a flow that was never opened, without a word: the connection is told of by other means. */
void flow_drop(struct flow *f);

/* Connections that were refused before they were anything: meshd_connections_shed. */
enum flow_shed { SHED_POD_CONNECTIONS, SHED_POD_HANDSHAKES, SHED_COUNT };
void flow_shed(struct flow_metrics *m, enum flow_shed why);

void flow_sockets(struct flow_metrics *m, enum flow_direction d, int delta);   /* istio_tcp_sockets_open */

#endif
