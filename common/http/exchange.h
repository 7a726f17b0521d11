/* SPDX-License-Identifier: Apache-2.0 */
/* One request and its response between two connections: filters judge and edit the heads, a router places it (and may place it
 * again), then it is relayed: bodies are lent from one stream to the other, backpressure is end to end, and half-close, trailers
 * and resets are kept. All on one worker.
 *
 *   on_request of each filter in order -> router.start -> exchange_send(up) -> on_response in reverse order -> relay -> on_end
 *
 * A filter may wait at each head; what comes meanwhile stays in the windows of its connection. Whoever answers by himself calls
 * exchange_reply: one table (base/fail.def) says status, response flag, details and text. */
#ifndef HTTP_EXCHANGE_H
#define HTTP_EXCHANGE_H

#include "base/addr.h"
#include "base/arena.h"
#include "http/conn.h"

struct exchange;
struct route;                /* traffic's; kept here for the filters between it and the router */
struct claims;               /* policy's: of the request's JSON web tokens */
struct workload;             /* model's */
struct service;
struct peer;                 /* telemetry's: what a workload says of itself */

/* A list of fields that can be edited; names compare without case. Memory is the exchange's arena. */
struct http_fields {
	struct http_field *v;
	int n, cap;
	struct arena *arena;
	bool doubtful;           /* something was put in that http_sendable must look at; else all came in a head that was settled */
};
struct str fields_find(const struct http_fields *f, struct str name);      /* the first; p NULL: absent */
/* Inline, so that the length of a name that is written down is known. */
static inline struct str fields_get(const struct http_fields *f, const char *name) { return fields_find(f, str_c(name)); }
void fields_set(struct http_fields *f, const char *name, struct str value);   /* replaces all of that name; both borrowed */
void fields_add(struct http_fields *f, const char *name, struct str value);
int fields_remove(struct http_fields *f, struct str name);                 /* how many */

/* ---- filters ---- */

enum filter_step {
	FILTER_NEXT,
	FILTER_WAIT,             /* exchange_resume goes on with the next filter */
	FILTER_DONE,             /* it has called exchange_reply */
};

struct filter_ops {
	const char *name;
	size_t state_bytes;      /* zeroed, for each exchange; until on_end */
	/* All may be NULL. x->request and x->response may be edited in their phase. */
	enum filter_step (*on_request)(struct exchange *x, void *state, const void *conf);
	enum filter_step (*on_response)(struct exchange *x, void *state, const void *conf);   /* local replies too */
	void (*on_data)(struct exchange *x, void *state, const void *conf, bool up, const struct iovec *iov, int n);   /* looks on */
	void (*on_trailers)(struct exchange *x, void *state, const void *conf, bool up, struct http_fields *t);
	/* Once, however it ended, also while it waits (what it asked elsewhere is then cancelled here). */
	void (*on_end)(struct exchange *x, void *state, const void *conf);
};

struct filter {
	const struct filter_ops *ops;
	const void *conf;        /* borrowed; outlives the exchange */
};

/* ---- the router: the last one in the chain ---- */

struct router_ops {
	/* The request passed all filters. Later: exchange_send, or exchange_reply. */
	void (*start)(struct exchange *x);
	/* Looks on at the request's body as it comes from the client, once with `end`; what was kept before start comes after it. NULL ok. */
	void (*on_request_data)(struct exchange *x, const struct iovec *iov, int n, bool end);
	/* The response's head came (x->response, before filters). False: it is not wanted; the router calls exchange_send again. */
	bool (*on_response)(struct exchange *x);
	/* `up` ended before a response's head; x->up is gone. why: the stream's own. False: the router tries again (exchange_send may be
	 * called at once); true: exchange replies with `why`. */
	bool (*on_failed)(struct exchange *x, enum fail why, bool refused);
	void (*on_end)(struct exchange *x);
};

/* What of a request's connection filters and logs ask for; one for each connection, borrowed by its exchanges. */
struct exchange_client {
	struct addr peer;        /* the TCP peer */
	struct addr local;       /* where it wanted to go: the original destination */
	struct str peer_id, local_id;   /* SPIFFE IDs under mutual TLS; empty */
	struct str asked;        /* the host that the tunnel's CONNECT named in the place of a wildcard; empty: none did */
	struct str sni, xfcc;    /* xfcc: "By=…;Hash=…;URI=…" of this connection, ready to be appended; empty: no client certificate */
	bool mtls, inbound;
	struct workload *peer_workload, *local_workload;   /* borrowed; NULL: unknown */
	struct str cluster;      /* inbound: where all requests of this port go, for logs of those that get nowhere */
	struct str service;      /* inbound: key of the service that leads to this port, "ns/host"; empty: none */
	struct service *target;  /* at a waypoint: the service that was asked for; borrowed; NULL: a workload was */
	struct str caller_id;    /* who asked, as the workload's own waypoint vouches, which then is peer_id; empty: the peer itself */
	struct addr caller;      /* the same: from where; port 0: the peer itself */
	bool vouched;            /* inbound: the peer is the workload's own waypoint */
	bool bypasses;           /* inbound: it is not, though one is named and waypoints are used */
	bool hearsay;            /* inbound: what its requests say of certificates that it saw (XFCC) is kept */
};

/* What dry runs of policies would have said. */
struct exchange_shadow {
	bool known, allowed;
	const char *policy;      /* that matched: "ns[NS]-policy[P]-rule[N]"; NULL: none */
};

/* For telemetry. Times are of CLOCK_MONOTONIC in ns, 0: not yet; wall_us is since the epoch. */
struct exchange_log {
	enum fail why;
	const char *details;     /* response_code_details: "via_upstream", "route_not_found"; lives in the arena or is static */
	const char *upstream_failure;      /* UPSTREAM_TRANSPORT_FAILURE_REASON; NULL */
	uint64_t wall_us, start_ns, request_end_ns, up_sent_ns, up_head_ns, up_end_ns, end_ns;
	uint64_t bytes_received, bytes_sent;    /* bodies */
	unsigned attempts;       /* upstream tries */
	bool retry_limit;        /* URX: another try was wanted and not allowed; beside the flag of `why` */
	bool delayed;            /* DI: a fault's delay was injected */
	struct addr upstream, upstream_local;
	struct str route_name, cluster_name;    /* as configured; live as long as the exchange */
	struct str service;      /* outbound: the cluster's, as cluster_conf.service; empty: none */
	struct str operation;    /* of spans: "host:port/path*" */
	const struct peer *peer; /* what the other side said of itself (metadata exchange); NULL: nothing */
	struct str trace_id;
	uint64_t request_head_bytes, response_head_bytes;   /* of the fields */
	enum http_version upstream_version;     /* once there was a try */
	struct str upstream_peer_id;
	struct workload *upstream_workload;     /* reference held by the router until on_end; NULL */
	int grpc_status;         /* -1: no gRPC, or none came; final before the filters' on_end */
	bool grpc;
	uint64_t id;             /* for `meshd why`; 0: none */
	uint8_t refusal;         /* why more precisely (telemetry/refusal.h) */
	struct exchange_shadow shadow[2];       /* of ALLOW, of DENY */
};

struct exchange_conf {
	const struct filter *filters;
	int n_filters;
	const struct router_ops *router;
	enum http_path path;     /* how paths are normalised before anybody looks */
	size_t replay_bytes;     /* of a request's body, kept for another try (LIMIT_REPLAY_BYTES); more: no other try */
	bool websocket_alone;    /* as Envoy under Istio: CONNECT, and a switch to anything else that is asked for, is refused (FAIL_BAD_UPGRADE) */
	bool keep_underscores;   /* names with '_' are let through, as Envoy does; else they are dropped */
	bool preserve_case;      /* HTTP/1: names go out as they came in; else in lower case, as Envoy does */
	void (*on_end)(struct exchange *x, void *arg);   /* after all filters' */
};

struct exchange {
	const struct exchange_conf *conf;
	const struct exchange_client *client;
	void *arg;               /* the owner's */
	struct arena arena;
	struct http_stream *down, *up;       /* NULL: ended; up: or not sent */
	struct http_head request, response;  /* method, path, status, …; their `fields` are not used before they are sent */
	struct http_fields request_fields, response_fields;
	struct http_fields response_trailers;   /* kept by who logs them; else empty */
	struct str caller_id;                /* who asked for it, as the own waypoint says (clean_filter); empty: client->peer_id */
	struct str original_path;            /* before normalisation and rewrites */
	enum http_version version;           /* of the request */
	const struct route *route;           /* chosen by traffic's route filter; NULL: none */
	const struct claims *claims;         /* set by policy's jwt filter; NULL: none */
	void *router;                        /* the router's, in the arena */
	struct exchange_log log;
};      /* the start of a larger one: exchange_int.h */

/* Takes over a stream that http_conn_ops.on_request offered. False: out of memory (the stream is ended). */
bool exchange_start(struct http_stream *down, enum http_version v, const struct exchange_conf *conf, const struct exchange_client *client,
		    void *arg);
/* For logs: what http_conn_ops.on_refused told. The first filter sees a request without a head begin and end, then conf->on_end
 * comes, all in this call. False: out of memory, and nothing came. */
bool exchange_refused(struct http_conn *c, int status, const char *why, const struct exchange_conf *conf,
		      const struct exchange_client *client, void *arg);
/* Goes on after FILTER_WAIT, later, not within on_request or on_response. */
void exchange_resume(struct exchange *x);
/* For a filter in on_request that needs the body, as its return value: FILTER_WAIT until it is whole, or longer than max; then
 * on_request is called again, and exchange_body lends what there is (until the filter returns). It is sent on all the same. */
enum filter_step exchange_want_body(struct exchange *x, size_t max);
struct str exchange_body(const struct exchange *x, bool *ret_whole);
/* Answers in the server's place (also in the middle of a try). status 0: that of `why`. details NULL: as the table says. The
 * body is `text` (p NULL: the table's; text/plain; of gRPC: grpc-message). fields: more of the head, copied; of gRPC a grpc-status
 * among them is taken. The filters' on_response are called from the one that was reached to the first. After the response's head
 * was sent it resets. Of a 101 or 2xx to CONNECT: use none. */
void exchange_reply(struct exchange *x, enum fail why, int status, const char *details, struct str text, const struct http_field *fields, int n);
/* The router's. Sends the request, with what was kept of its body, on a stream of this connection; x owns the stream.
 * False: the connection would not take it (errno as http_conn_request). */
bool exchange_send(struct exchange *x, struct http_conn *c);
/* Whether another try could still send the whole request. */
bool exchange_may_replay(const struct exchange *x);
/* Gives up the present try without a word to the client; exchange_send may follow. */
void exchange_abandon(struct exchange *x);
/* Ends all at once: the client's stream is reset. */
void exchange_abort(struct exchange *x, enum fail why);
/* From the arena: a copy of it, a number, a formatted text. */
struct str exchange_dup(struct exchange *x, struct str s);
struct str exchange_number(struct exchange *x, uint64_t v);
struct str exchange_printf(struct exchange *x, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
