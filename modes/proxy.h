/* SPDX-License-Identifier: Apache-2.0 */
/* The data plane of one process: workers, and the pods that they serve (modes/pod.h). The control thread makes it, feeds it
 * with changes by mail, and ends it. ztunnel mode composes the rest: inbound.c (HBONE server, captured plaintext) and
 * outbound.c. */
#ifndef MODES_PROXY_H
#define MODES_PROXY_H

#include "base/err.h"
#include "base/map.h"
#include "dns/resolve.h"
#include "identity/identity.h"
#include "io/worker.h"
#include "model/mesh.h"
#include "net/sockopt.h"
#include "telemetry/flow.h"

#define PROXY_TICK_MS 1000      /* how often the bytes of live connections reach the metrics */

#define PORT_OUTBOUND 15001
#define PORT_INBOUND  15006
#define PORT_HBONE    15008
#define PORT_SOCKS    15080
#define PORT_ADMIN    15000
#define PORT_STATS    15020
#define PORT_READY    15021
#define PORT_ENVOY_STATS 15090

#define PROXY_DNS_MAX 2

struct demand;

struct proxy_conf {
	struct demand *demand;           /* borrowed; NULL: the mesh is all there is */
	const char *const *workloads;    /* "NS/NAME" that a pod without a name serves, by address; borrowed */
	int n_workloads;
	int concurrency;
	unsigned wait_ms;                /* how long a connection waits for its pod's workload and certificate; 0: not at all */
	int pod_conns, pod_handshakes;   /* caps of one pod, as LIMIT_POD_CONNS and LIMIT_POD_HANDSHAKES */
	struct {
		struct addr at[PROXY_DNS_MAX];   /* where pods' DNS proxies listen */
		int n;                           /* 0: there is none */
		bool search_file;                /* as for dnsproxy_conf */
		const char *preferred_ns;
	} dns;
	bool dns_only;                   /* no connections are carried */
	enum mesh_mode mode;             /* but for ztunnel mode: by plans (traffic/plan.h), with requests */
	bool ipv6;
	bool socks;                      /* SOCKS5 on 127.0.0.1 in every pod */
	bool spoof;                      /* keep the client's address towards the application */
	unsigned mark;                   /* of sockets in pods, and of those towards others; 0: none */
};

struct netns_id;
struct pod_conf;
struct pod_shared;
struct proxy;

/* One worker thread; touched by it only, but for the atomics. */
struct pworker {
	struct proxy *proxy;
	struct worker *worker;
	struct loop *loop;
	struct flow_metrics *metrics;
	struct list pods;                /* struct pod */
	struct outsock out;              /* for the resolver's sockets, in our own namespace */
	struct resolver *resolver;       /* owned, made on first use; of destinations that are known by host name */
	struct deferred grave;           /* of the resolver */
	struct timer tick;
	uint64_t seed;                   /* random state of destination choice */
	int index;
	atomic_int n_tunnels;            /* for placing accepted connections */
	atomic_int n_conns;
	atomic_bool waits;               /* somebody waits for the mesh or a certificate; proxy_wake clears it */
};

struct proxy {
	struct proxy_conf conf;
	struct identity *identity;       /* borrowed */
	struct pworker *workers;
	int n_workers;
	struct map pods;                 /* id -> struct pod_shared; the control thread's */
	struct list inherited;           /* listening sockets of the process before us, for pods to come */
};

/* Starts the workers; without pods. */
int proxy_start(const struct proxy_conf *conf, struct identity *identity, struct proxy **ret, struct err *err);

/* All of the following are the control thread's, and return at once. */

/* Opens the listeners in the pod's namespace and starts to serve it. conf->netns is taken over on success. -errno when a
 * socket cannot be opened: nothing is kept. */
int proxy_pod_add(struct proxy *p, const struct pod_conf *conf, struct err *err);
void proxy_pod_open(struct proxy *p, struct str id);            /* a held one */
/* Ends it: its listeners close, and its connections are cut. Unknown ids are ignored. */
void proxy_pod_del(struct proxy *p, struct str id);
struct pod_shared *proxy_pod(const struct proxy *p, struct str id);   /* NULL: not served */

/* A listening socket that the pod with this id and namespace shall have, once it is added. False: not of a kind that is known,
 * or not what that says. Else fd is taken over. */
bool proxy_inherit(struct proxy *p, struct str id, const struct netns_id *netns, struct str kind, int fd);
void proxy_disinherit(struct proxy *p);                         /* closes what no pod has asked for */

void proxy_rejudge(struct proxy *p);                            /* after a publish: live connections under the new policies */
void proxy_wake(struct proxy *p);                               /* certificates came, or a workload: who waits for them looks again */
void proxy_retire(struct proxy *p, struct tlsctx *old);         /* a certificate was replaced */
void proxy_recheck_certs(struct proxy *p);                      /* a CRL changed */
/* Listeners close, GOAWAY; live connections go on. A sidecar's outbound side works on, unless another process takes over. */
void proxy_drain(struct proxy *p, bool handed_over);
int proxy_connections(const struct proxy *p);
int proxy_busy(const struct proxy *p);                          /* with HBONE connections, and those that wait */
/* Cuts what is left and joins the workers. */
void proxy_free(struct proxy *p);

/* What the control thread may learn of a live connection: copied on its worker. */
struct proxy_conn_info {
	const char *uid, *host, *peer;
	const char *protocol;            /* "TCP", "HBONE", "DOUBLEHBONE"; in a sidecar also "MTLS", "HTTP" and "HTTP over MTLS" */
	struct addr source, original, actual;
	uint64_t received, sent, age_ms;
	bool inbound;
};
/* One worker after the other: waits for its answer (it comes within a turn), then calls fn for each of its connections. The
 * info is lent. fn NULL: only waits. */
void proxy_list(struct proxy *p, void (*fn)(const struct proxy_conn_info *info, void *arg), void *arg);

/* For pods. The worker for a connection that was accepted here: for a tunnel (which is then counted) the one with the
 * fewest; for a pod that is not spread here, unless another has much less to do. */
int proxy_place(struct pworker *here, bool tunnel, bool spread);
int proxy_emptiest(const struct proxy *p);   /* with the fewest pods */

/* Ports that nobody may reach through us. */
bool proxy_own_port(uint16_t port);

#endif
