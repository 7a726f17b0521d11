/* SPDX-License-Identifier: Apache-2.0 */
/* A named set of endpoints that a route can lead to, with all that was said about how to use it (Envoy's cluster; Istio:
 * a port and subset of a service with its DestinationRule). The configuration is immutable; what happens at run time (limits,
 * ejections, requests under way) is process-wide, in atomics, and survives a new configuration of the same name. */
#ifndef TRAFFIC_CLUSTER_H
#define TRAFFIC_CLUSTER_H

#include "base/buf.h"
#include "base/fail.h"
#include "model/mesh.h"

enum cluster_kind {
	CLUSTER_SERVICE,       /* endpoints of a service of the mesh, those with the subset's labels */
	CLUSTER_STATIC,        /* fixed addresses: a Sidecar's defaultEndpoint, the application itself */
	CLUSTER_DNS,           /* addresses of host names, looked up again and again (ServiceEntry resolution DNS, DNS_ROUND_ROBIN) */
	CLUSTER_ORIGINAL_DST,  /* where the client wanted to go (PASSTHROUGH, ServiceEntry resolution NONE) */
	CLUSTER_WAYPOINT,      /* through the waypoint that the service names, which does all else that is asked for it */
	CLUSTER_NAMED,         /* names that requests bring, within `hosts`; each has a cluster of its own (traffic/named.h; DYNAMIC_DNS) */
	CLUSTER_NAME,          /* such a one: its name is all of `hosts` */
	CLUSTER_BLACKHOLE,     /* nowhere */
};

enum lb_policy { LB_LEAST_REQUEST, LB_ROUND_ROBIN, LB_RANDOM, LB_RING_HASH, LB_MAGLEV };

/* networking.istio.io ConsistentHashLB: what a request is hashed by. */
enum hash_by { HASH_NONE, HASH_HEADER, HASH_COOKIE, HASH_SOURCE_IP, HASH_QUERY };
struct hash_conf {
	enum hash_by by;
	const char *name, *cookie_path;
	const char *const *cookie_attributes;    /* "SameSite=Lax", "Secure" */
	int n_cookie_attributes;
	uint64_t cookie_ttl_s;
	bool cookie_make;      /* a ttl was said, 0 too: a missing cookie is made */
	uint64_t ring_size;    /* minimum */
	uint32_t table_size;   /* Maglev */
};

struct locality_weight { const char *from; const char *const *to; const uint32_t *weights; int n; };
struct locality_failover { const char *from, *to; };

struct lb_conf {
	enum lb_policy policy;
	struct hash_conf hash;
	unsigned warmup_ms, warmup_min_percent;
	double warmup_aggression;
	bool locality;                                   /* localityLbSetting enabled and in force */
	bool locality_own;                               /* it is the DestinationRule's: it goes before the service's trafficDistribution */
	const struct locality_weight *distribute;        /* of the client's locality */
	int n_distribute;
	const struct locality_failover *failover;
	int n_failover;
	const char *const *failover_priority;            /* label keys, or "key=value" */
	int n_failover_priority;
	bool zone_aware;
	uint32_t zone_min_size;
};

struct pool_conf {
	uint32_t max_connections, max_pending, max_requests, max_retries;   /* UINT32_MAX: no limit */
	uint32_t max_requests_per_connection, max_concurrent_streams;       /* 0: no limit */
	unsigned connect_ms, idle_ms;                    /* idle 0: for ever */
	uint64_t max_connection_ms;                      /* 0: for ever */
	struct { bool on; uint32_t probes, time_s, interval_s; } keepalive;
	unsigned ping_ms, ping_timeout_ms;               /* HTTP/2; 0: none */
	enum { H2_BY_PORT, H2_ALWAYS, H2_NEVER, H2_AS_CLIENT } h2;
	bool retry_budget;
	double retry_budget_percent;
	uint32_t retry_min;
	uint64_t retry_budget_ms;                        /* requests that began so long ago count too, ended ones; to an eighth of it */
	int proxy_protocol;                              /* 0, 1, 2 */
};

struct outlier_conf {
	bool on;
	uint32_t consecutive_5xx, consecutive_gateway, consecutive_local;   /* 0: off */
	bool split_local;
	uint64_t interval_ms, base_ms;
	uint32_t max_percent, min_health_percent;
	const uint16_t *codes;                           /* what counts as an error instead of 5xx; NULL */
	int n_codes;
};

enum tls_mode { TLS_AUTO, TLS_DISABLE, TLS_SIMPLE, TLS_MUTUAL, TLS_ISTIO_MUTUAL };
struct tls_conf {
	enum tls_mode mode;
	const char *cert, *key, *ca, *crl;               /* files; ca "": the system's */
	const char *sni;                                 /* "": the Host of the request, or the service's */
	const char *const *sans;                         /* may answer; none: the SNI (SIMPLE, MUTUAL), the service accounts (ISTIO_MUTUAL) */
	int n_sans;
	bool insecure;                                   /* insecureSkipVerify */
};

struct cluster_conf {
	const char *name;          /* "outbound|80|v1|reviews.default.svc.cluster.local" */
	enum cluster_kind kind;
	const char *service;       /* SERVICE, DNS, WAYPOINT, and for telemetry: the key in the mesh; "" */
	const char *subset;        /* "" */
	const struct label *labels;/* of the subset */
	int n_labels;
	uint16_t port;             /* of the service */
	bool http2;                /* the port's protocol is HTTP2, GRPC */
	bool inbound;
	bool by_workload;          /* ORIGINAL_DST: reached as the workload that has the address is; else, without service, as the client came */
	const struct addr *addrs;  /* STATIC */
	const char *const *hosts;  /* DNS without service, at `port`; else the service's endpoints say. NAMED: patterns, "*.example.com" */
	uint16_t target;           /* NAMED, NAME: the port that is dialled */
	bool dns_one;              /* DNS_ROUND_ROBIN: the first address of the newest answer */
	int n_addrs, n_hosts;
	const char *unix_path;     /* STATIC: instead of addresses; "" */
	struct lb_conf lb;
	struct pool_conf pool;
	struct outlier_conf outlier;
	struct tls_conf tls;
};

struct cluster;
/* Deep copy. Takes over the run-time state of `before` (same name; may be NULL); when nothing differs, it is another reference
 * of it. Control thread. */
struct cluster *cluster_new(const struct cluster_conf *conf, struct cluster *before);
struct cluster *cluster_ref(struct cluster *c);        /* any thread */
void cluster_unref(struct cluster *c);                 /* NULL ok */
const struct cluster_conf *cluster_conf(const struct cluster *c);

/* How the bytes travel to the chosen endpoint. */
enum transport {
	TRANSPORT_PLAIN,
	TRANSPORT_ISTIO_MTLS,
	TRANSPORT_TLS,             /* tls.mode SIMPLE, MUTUAL */
	TRANSPORT_HBONE,           /* through the workload's port 15008, CONNECT to addr; with TLS within where tls.mode is SIMPLE or MUTUAL */
	TRANSPORT_WAYPOINT,        /* HBONE to a waypoint at addr, CONNECT to target: the client's bytes, whatever they are */
};

/* A place to send a request to. */
struct host;
struct pick {
	struct host *host;         /* the run-time state of the endpoint; reference held: pick_done */
	struct workload *workload; /* reference held; NULL: no workload of the mesh */
	struct addr addr;          /* of the application; what to dial unless TRANSPORT_HBONE; port 0 with conf.unix_path */
	struct addr target;        /* WAYPOINT: what it is asked for; no address: the service by name, at that port */
	enum transport transport;
	enum fail why;             /* when there is none */
};

struct pick_ask {
	const struct mesh *m;
	const struct workload *client;       /* NULL: unknown; its locality, network; one cluster is always asked for the same one */
	struct addr original;                /* ORIGINAL_DST; else the family of addresses that is liked in tunnels; port 0: unknown */
	uint64_t hash;                       /* of the request, when lb.hash asks for one */
	bool hashed;
	struct host *const *tried;           /* avoided while there is another (previous hosts) */
	int n_tried;
	bool avoid_tried_localities;         /* retryRemoteLocalities */
	uint64_t *seed, now_ms;              /* the caller's random state; monotonic time */
};

/* One endpoint for a request or connection. False: ret->why (NO_ENDPOINT, NO_GATEWAY, NO_WAYPOINT, RESOLVE). Any thread, within a turn of
 * its loop (base/epoch.h). */
bool cluster_pick(struct cluster *c, const struct pick_ask *ask, struct pick *ret);
void pick_done(struct pick *p);
/* Connecting to it succeeded (FAIL_NONE) or failed; as host_answered, and waypoints are remembered with traffic/dest's. */
void pick_connected(struct cluster *c, const struct pick *p, enum fail why, uint64_t now_ms);

/* Hosts. One is the same object as long as the workload's uid and identity, address, port and transport stay the same; an
 * ORIGINAL_DST cluster has one for all addresses. */
struct host *host_ref(struct host *h);                               /* any thread */
void host_unref(struct host *h);                                     /* NULL ok */
const struct addr *host_addrs(const struct host *h, int *ret_n);     /* all, pick.addr first: for Happy Eyeballs; n 0: ORIGINAL_DST, unix_path */
bool host_gone(const struct host *h);                                /* no endpoint of its cluster any more */
bool host_ejected(const struct host *h);

/* What becomes of it: least request and outlier detection live on these. started: when it was picked; ended: once for each
 * started; answered: once for each try. status: of HTTP, else 0; counts where outlier.codes redefines what an error is. */
enum host_event { HOST_OK, HOST_5XX, HOST_GATEWAY_ERROR /* 502 503 504 */, HOST_LOCAL_ERROR /* connect failed, reset, timeout */ };
void host_started(struct cluster *c, struct host *h);            /* a request (HTTP) or connection (TCP) */
void host_ended(struct cluster *c, struct host *h);
void host_answered(struct cluster *c, struct host *h, enum host_event ev, int status, uint64_t now_ms);

/* Circuit breakers, exact for the process. False: at the limit; FAIL_OVERFLOW ("UO"). Retries: the retry budget where there is
 * one, a share of the requests and pending ones that are taken, or were lately. */
enum cluster_limit { LIMIT_OF_CONNECTIONS, LIMIT_OF_PENDING, LIMIT_OF_REQUESTS, LIMIT_OF_RETRIES, LIMITS_OF_CLUSTER };
bool cluster_take(struct cluster *c, enum cluster_limit l);
void cluster_give(struct cluster *c, enum cluster_limit l);
unsigned cluster_used(const struct cluster *c, enum cluster_limit l);
/* Whether both count against the same limits: names of one cluster do. */
bool cluster_shares(const struct cluster *a, const struct cluster *b);

/* Whether id may answer for the cluster over Istio mTLS: tls.sans, else the service's sans and the identities of its endpoints.
 * Where nothing says a name, whoever the mesh's roots vouch for, as in Istio; nobody under the stance STRICT. */
bool cluster_admits(const struct cluster *c, const struct mesh *m, struct str id);
/* The same as a list, of w first (NULL ok); n 0 with true: anybody. False: nobody. What does not fit is left out, which is said once: those
 * are then believed only where they are w. Borrowed from c, m and w. */
bool cluster_peers(const struct cluster *c, const struct mesh *m, const struct workload *w, struct str *v, int max, int *ret_n);

/* The server name of Istio's mutual TLS: tls.sni, else "outbound|80|v1|HOST" as "outbound_.80_.v1_.HOST". */
void cluster_sni(const struct cluster_conf *c, struct buf *out);

/* What `meshd status` and tests see: each endpoint with its state, as of the last pick. Within a turn. */
struct host_view { const struct host *host; const struct workload *workload; uint32_t weight; int priority; bool healthy, ejected; unsigned active; };
void cluster_each_host(const struct cluster *c, void (*fn)(const struct host_view *v, void *arg), void *arg);

#endif
