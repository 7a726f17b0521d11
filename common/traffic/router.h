/* SPDX-License-Identifier: Apache-2.0 */
/* Carries an exchange to an endpoint: picks the cluster by weight and the host by its policy, takes a connection from the worker's
 * pool or has one made, tries again where that is safe and asked for, mirrors, and keeps timeouts. */
#ifndef TRAFFIC_ROUTER_H
#define TRAFFIC_ROUTER_H

#include "traffic/route.h"

struct connect_ask {
	bool http;                           /* else bytes */
	bool h2;                             /* HTTP/2 is wanted */
	struct str sni;                      /* of the request, where the configuration leaves it open */
	struct str identity;                 /* who is calling: our workload's SPIFFE ID */
	struct str caller;                   /* for whom, where the server is told (HBONE); empty: for ourselves */
	struct addr source;                  /* the client, where its address is kept; port 0: not */
	struct addr client;                  /* the client, for the PROXY protocol (pool.proxy_protocol) and hashes; port 0: unknown */
	struct addr original;
	const struct exchange *x;            /* NULL for bytes */
};

/* How to reach a host; the mode fills it in. */
struct connector {
	/* A transport to p->addr as p->transport says: OPEN or CLOSED follows, never in the call. http: protocols to offer (ALPN);
	 * NULL for bytes. sni: of TLS origination. The pool keeps connections by cluster, host
	 * and identity. NULL: out of memory. */
	struct stage *(*connect)(struct connector *c, struct cluster *cl, const struct pick *p, const struct connect_ask *ask);
	/* The protocol that was agreed on, and who answered; valid once OPEN. */
	enum http_codec (*codec)(struct connector *c, struct stage *s);
	struct str (*peer_id)(struct connector *c, struct stage *s);
	const char *(*error)(struct connector *c, struct stage *s);   /* of a CLOSED one, for logs; "" */
	void (*local)(struct connector *c, struct stage *s, struct addr *ret);   /* our address; NULL ok */
	/* A server of this cluster said that it goes away (GOAWAY): who came to us for it may be told, too. NULL ok. */
	void (*leaving)(struct connector *c, struct cluster *cl);
	const struct http_conn_conf *http;                            /* of connections to servers; NULL: http_conn_default */
};

struct upool;                                /* one worker's connections to upstream hosts */
struct upool *upool_new(struct loop *l, struct connector *c);
void upool_free(struct upool *p);
void upool_drain(struct upool *p);           /* idle ones go; busy ones after their streams */
/* Hosts or clusters went, certificates were replaced: what is not right any more takes no new streams. Hosts that are gone need
 * no word of `stale`, which may be NULL. */
void upool_retire(struct upool *p, bool (*stale)(const struct cluster *c, const struct workload *w, void *arg), void *arg);

/* x->arg must be a struct router_env. */
struct router_env {
	struct upool *pool;
	const struct workload *local;        /* borrowed while the exchange lives */
	struct str identity;
	uint64_t *seed;
	struct loop *loop;                   /* the worker's */
	void *owner;                         /* the mode's */
	struct plan *plan;                   /* reference of the connection's */
	const struct route_table *routes;    /* what route_filter looks in */
	bool inbound;
	bool keep_source;                    /* servers see the client's address (connect_ask.source) */
	bool tell_caller;                    /* they are told who asks (connect_ask.caller, source) */
};
extern const struct router_ops router;

/* For bytes: picks and connects, with other hosts tried while nothing moved. on_done comes once, never within the call: the stage
 * is open, and p moved to the receiver, who calls l4_ended when the connection is over; or NULL with why. env is borrowed. */
struct l4_try;
struct l4_try *l4_connect(struct router_env *env, struct cluster *c, const struct connect_ask *ask,
			  void (*on_done)(void *arg, struct stage *up, const struct pick *p, enum fail why, const char *detail), void *arg);
void l4_cancel(struct l4_try *t);            /* before on_done; NULL ok */
void l4_ended(struct cluster *c, struct pick *p);

#endif
