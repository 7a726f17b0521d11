/* SPDX-License-Identifier: Apache-2.0 */
/* The data plane of one process: workers, their listeners, and the connections that they carry. The control thread makes
 * it, feeds it with changes by mail, and ends it. ztunnel mode composes the rest: inbound.c (HBONE server, captured
 * plaintext) and outbound.c. */
#ifndef MODES_PROXY_H
#define MODES_PROXY_H

#include "base/err.h"
#include "hbone/hpool.h"
#include "identity/identity.h"
#include "io/listen.h"
#include "io/worker.h"
#include "model/mesh.h"
#include "net/ownaddr.h"
#include "net/sockopt.h"
#include "telemetry/flow.h"

#define PROXY_TICK_MS 1000      /* how often the bytes of live connections reach the metrics */

#define PORT_OUTBOUND 15001
#define PORT_INBOUND  15006
#define PORT_HBONE    15008
#define PORT_ADMIN    15000
#define PORT_STATS    15020
#define PORT_READY    15021

enum proxy_listener { LISTEN_OUTBOUND, LISTEN_INBOUND, LISTEN_HBONE, LISTENERS };

struct proxy_conf {
	const char *const *workloads;    /* "NS/NAME" that this process serves; borrowed */
	int n_workloads;
	int concurrency;
	bool ipv6;
	bool spoof;                      /* keep the client's address towards the application */
	bool mark;                       /* sockets may carry NET_MARK */
};

struct proxy;

/* One worker's part; touched by its thread only, but for the atomics. */
struct pworker {
	struct proxy *proxy;
	struct worker *worker;
	struct loop *loop;
	struct hpool *pool;
	struct flow_metrics *metrics;
	struct outsock out;              /* towards other hosts */
	struct outsock app;              /* towards applications of this one: no keepalive */
	struct ownaddr own;
	struct listener *listeners[LISTENERS];
	int fds[LISTENERS];
	struct list conns;               /* struct conn */
	struct list tunnels;             /* struct inbound: HBONE connections */
	struct timer tick;
	uint64_t seed;                   /* random state of destination choice */
	atomic_int n_tunnels;            /* for placing accepted HBONE connections */
	atomic_int n_conns;
	bool draining;
};

struct proxy {
	struct proxy_conf conf;
	struct identity *identity;       /* borrowed */
	struct pworker *workers;
	int n_workers;
};

/* Opens the listeners (fails when a port is taken) and starts the workers. */
int proxy_start(const struct proxy_conf *conf, struct identity *identity, struct proxy **ret, struct err *err);

/* From the control thread; each returns at once. */
void proxy_rejudge(struct proxy *p);                            /* after a publish: live connections under the new policies */
void proxy_retire(struct proxy *p, struct tlsctx *old);         /* a certificate was replaced */
void proxy_recheck_certs(struct proxy *p);                      /* a CRL changed */
void proxy_drain(struct proxy *p);                              /* listeners close, GOAWAY; live connections go on */
int proxy_connections(const struct proxy *p);
/* Cuts what is left and joins the workers. */
void proxy_free(struct proxy *p);

/* What the control thread may learn of live connections: copied on the workers, handed over when all have answered. */
struct proxy_conn_info {
	char uid[256], host[256], peer[256];
	struct addr source, original, actual;
	uint64_t received, sent, age_ms;
	bool inbound, hbone;
};
/* Waits for the workers (they answer within a turn). *ret is the caller's to free. */
int proxy_list(struct proxy *p, struct proxy_conn_info **ret);

/* The workload that a connection on this local address belongs to; NULL: none is configured here. Borrowed from m. */
struct workload *proxy_local(const struct proxy *p, const struct mesh *m, const struct ip *local);
/* Ports that nobody may reach through us. */
bool proxy_own_port(uint16_t port);

/* The listeners' handlers; each owns fd. */
void outbound_accept(void *pworker, int fd, const struct addr *peer);
void inbound_accept_hbone(void *pworker, int fd, const struct addr *peer);
void inbound_accept_plain(void *pworker, int fd, const struct addr *peer);

/* For proxy.c's mail. */
void inbound_drain(struct pworker *w);
void inbound_recheck(struct pworker *w);
void inbound_close_all(struct pworker *w);

#endif
