/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRAFFIC_ROUTER_INT_H
#define TRAFFIC_ROUTER_INT_H

#include "traffic/named.h"
#include "traffic/retry.h"
#include "traffic/router.h"
#include "traffic/upool_int.h"

#define TRIED_MAX 8

/* An exchange's way to a server, with all its tries; lies in the exchange's arena. */
struct routing {
	struct exchange *x;
	struct router_env *env;
	const struct route *route;
	const struct route_target *target;
	struct cluster *cluster;         /* borrowed from the route, or `name` */
	struct cluster *name;            /* reference; of the name that the request brought; NULL: none, or not yet */
	struct named_wait naming;
	struct retry_policy retry;
	int retries;                     /* asked for by the policy, so far */
	bool repeated, fresh;            /* once unasked (retry_unasked); fresh: that try is next */

	struct pick pick;                /* of the present try */
	struct host *tried[TRIED_MAX];   /* references */
	int n_tried;
	struct uwait wait;
	struct uconn *conn;              /* from the send to the head or end of a try */
	bool picked, requesting, retrying;   /* requesting, retrying: it counts against the cluster's limits */
	bool sent, reused, h2, answered;     /* of the try: its head went out; on a connection that had been used; a response is relayed */

	uint64_t hash;
	bool hashed;
	struct str cookie;               /* Set-Cookie of the answer; empty: none */

	uint64_t timeout_ms, per_try_ms;  /* 0: none */
	uint64_t try_ms;                 /* when it was sent */
	struct timer deadline, per_try, backoff;
	struct buf mirrored;             /* the body so far */
	uint32_t mirrors;                /* bits: of the route's, those to be sent */
	bool mirroring;
};

/* One try more: a host, a connection, the request. */
void routing_try(struct routing *r);
/* The present try ended so; the exchange has no stream any more, or it is given up here. True: another one follows.
 * closed: the connection went with it. */
bool routing_again(struct routing *r, const struct try_result *res, bool closed);
/* Gives up: answers in the server's place. detail: what the connect or TLS said, "". */
void routing_fail(struct routing *r, enum fail why, const char *detail);
/* What the present try holds is given back: connection, host, places in the limits. avoid: the next try goes to another host. */
void routing_let_go(struct routing *r, bool avoid);

void routing_time_init(struct routing *r);
void routing_time_request(struct routing *r);    /* reads what route and request say of time, and starts it */
void routing_time_try(struct routing *r);        /* the try was sent */
void routing_time_stop(struct routing *r);       /* of the try; the deadline goes on */
void routing_time_done(struct routing *r);

void routing_hash(struct routing *r);

/* Mirrors (mirror.c): copies of the request, whose answers nobody waits for. */
void mirror_start(struct routing *r);
void mirror_data(struct routing *r, const struct iovec *iov, int n, bool end);
void mirror_end(struct routing *r);              /* the exchange ends: what is not whole is forgotten */

#endif
