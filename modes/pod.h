/* SPDX-License-Identifier: Apache-2.0 */
/* One network namespace that this process serves: its listeners, its own HBONE pool, its connections. Every worker has a
 * `struct pod` for each namespace, so that a connection touches its own thread's memory only; what they have in common is
 * `struct pod_shared`. A host, a container or a dedicated proxy is one pod whose namespace is the process's own. */
#ifndef MODES_POD_H
#define MODES_POD_H

#include "dns/dnsproxy.h"
#include "hbone/hpool.h"
#include "io/listen.h"
#include "io/sock.h"
#include "modes/proxy.h"
#include "net/netns.h"
#include "net/ownaddr.h"
#include "net/sockopt.h"

enum pod_listener { LISTEN_SOCKS, LISTEN_OUTBOUND, LISTEN_INBOUND, LISTEN_HBONE, LISTEN_DNS_UDP, LISTEN_DNS_TCP, LISTENERS };

struct pod_conf {
	const char *id;                  /* unique: the pod's uid; "" for a namespace of our own */
	const char *ns, *name, *service_account;   /* its workload. name NULL: by address, among proxy_conf.workloads */
	int netns;                       /* NETNS_OWN: the process's */
	bool hbone_only;                 /* the proxy's own namespace beside pods: no capture, and no foreign source addresses */
	bool held;                       /* the ports are taken now, connections only after proxy_pod_open */
	bool spread;                     /* every worker accepts; else one does, and passes on what is too much for it */
	bool share_ports;                /* another proxy may listen on the same ports, and gets a part of the connections */
};

const char *pod_listener_name(enum pod_listener kind);           /* "outbound": what a handover calls it */

struct pod_socket {
	enum pod_listener kind;
	int worker;                      /* who accepts on it */
	int fd;                          /* its listener's; open until the pod drains or ends */
};

/* What the workers' parts of one namespace share. Immutable but for the atomics; goes with its last reference. */
struct pod_shared {
	atomic_uint refs;
	struct proxy *proxy;
	char *id, *ns, *name, *service_account;    /* owned; name NULL as in the conf */
	int netns;                       /* owned */
	struct netns_id netns_id;
	struct pod_socket *sockets;      /* owned; the array */
	int n_sockets;
	int home;                        /* the worker that accepts, unless it is spread */
	bool spread, hbone_only;
	atomic_int n_conns;              /* connections and HBONE connections, live or still waiting */
	atomic_int n_handshakes;         /* of HBONE peers */
	_Atomic uint64_t told_ms;        /* when the log said last that connections are shed */
	atomic_uint shed;                /* since then */
	struct pod *parts;               /* owned; one for each worker */
};

/* One worker's part. */
struct pod {
	struct pod_shared *shared;
	struct pworker *worker;
	struct list link;                /* in pworker.pods */
	struct listener **listeners;     /* owned; one for each socket of shared; NULL where another worker accepts */
	struct outsock out;              /* towards other hosts */
	struct outsock app;              /* towards the pod's own applications: no keepalive */
	struct hpool *pool;
	struct l7_part *l7;         /* owned; NULL: ztunnel mode */
	struct dnsproxy *dns;            /* owned; NULL: none, or on another worker */
	struct timer dns_end;            /* draining: questions under way are still answered */
	struct ownaddr own;
	struct list conns;               /* struct conn */
	struct list tunnels;             /* struct inbound: HBONE connections */
	struct list waiting;             /* struct waiter, the oldest first */
	struct timer patience;           /* of the oldest */
	struct share *share;             /* of its worker's turns, owned; NULL: it has them for itself */
	struct deferred grave;
	bool draining, gone;
};

/* The control thread's: opens the sockets; the parts are started by mail. */
int pod_shared_new(struct proxy *p, const struct pod_conf *conf, struct pod_shared **ret, struct err *err);
struct pod_shared *pod_ref(struct pod_shared *s);      /* any thread */
void pod_unref(struct pod_shared *s);

/* A worker's, on its own part. */
void pod_start(struct pod *pod);         /* without accepting */
void pod_listen(struct pod *pod);        /* once all parts are started: connections are passed between them */
void pod_drain(struct pod *pod, bool handed_over);   /* as proxy_drain */
void pod_end(struct pod *pod);           /* cuts everything */
void pod_tick(struct pod *pod);          /* live connections' bytes to the metrics; those that were idle too long end */

/* Of a pod that has a name; NULL: unknown (yet). Borrowed from m. */
struct workload *pod_workload(const struct pod_shared *s, const struct mesh *m);
/* For what counts in shared->n_conns. pod_count is false at the cap: refuse. */
bool pod_count(struct pod *pod);
void pod_uncount(struct pod *pod);
/* A connection that was accepted: counts it. False: it was refused, and fd is closed. */
bool pod_admit(struct pod *pod, int fd);
void pod_shed(struct pod *pod, enum flow_shed why);   /* counts and tells that a connection is refused */
/* An accepted connection as a stage, in the pod's share; owns fd. NULL: out of memory. */
struct stage *pod_sock(struct pod *pod, int fd);

/* The workload that a connection on this local address belongs to; NULL: unknown (yet). Borrowed from m. */
struct workload *pod_local(const struct pod *pod, const struct mesh *m, const struct ip *local);

/* A connection that cannot go on before its workload or certificate came. wake is called when something changed (the waiter
 * may wait again, with the time that it has left), or, with late, when its time is over. */
struct waiter {
	struct list link;                /* list_init before its first use */
	uint64_t until_ms;               /* 0 at first */
	void (*wake)(struct waiter *w, bool late);
};
/* False: it has waited long enough, or nothing can come; wake is not called. */
bool pod_wait(struct pod *pod, struct waiter *w);
void pod_wake(struct pod *pod);

/* The listeners' handlers, called once the pod's workload is known (or will not be); each owns fd. */
void outbound_accept(struct pod *pod, int fd, const struct addr *peer);
void socks_accept(struct pod *pod, int fd, const struct addr *peer);
void inbound_accept_hbone(struct pod *pod, int fd, const struct addr *peer);
void inbound_accept_plain(struct pod *pod, int fd, const struct addr *peer);

/* For pod.c and proxy.c. */
void inbound_drain(struct pod *pod);
void inbound_recheck(struct pod *pod);
void inbound_close_all(struct pod *pod);

#endif
