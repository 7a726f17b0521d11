/* SPDX-License-Identifier: Apache-2.0 */
/* One worker's pool of HBONE connections, keyed by (own identity, expected identities, address). One handshake at a time
 * per key; more connections only when the peer's stream limit is reached; idle ones go after tuning.pool_idle_ms. */
#ifndef HBONE_HPOOL_H
#define HBONE_HPOOL_H

#include "base/addr.h"
#include "hbone/baggage.h"
#include "http/h2.h"
#include "io/sock.h"
#include "tls/tlsctx.h"

struct hpool;

struct hpool_target {
	struct tlsctx *ctx;            /* own certificate; the pool keeps a reference */
	struct str own_id;
	const struct str *expect;      /* SPIFFE IDs, one of which the peer must have; order does not matter */
	int n_expect;
	struct addr addr;              /* of the peer's HBONE port */
};

struct hpool_request {
	struct str authority;          /* copied */
	struct str baggage, forwarded, traceparent, forwarded_network, xfcc;   /* copied; empty: not sent */
};

/* The way to a peer that is only reached through a tunnel (the gateway of another network). */
struct hpool_via {
	struct hpool_target target;    /* the gateway */
	struct hpool_request request;  /* its CONNECT */
};

struct hpool *hpool_new(struct loop *l, const struct sock_ops *ops);
/* Opens a tunnel: a stage that may be written at once (at most LIMIT_EARLY_BYTES count before OPEN: watch `queued`). OPEN:
 * the peer answered 200. CLOSED: fail says why; hpool_status tells a reply other than 200, hpool_retry whether the
 * peer cannot have processed anything. Never calls back inside this call. NULL: out of memory. */
struct stage *hpool_open(struct hpool *p, const struct hpool_target *t, const struct hpool_request *r);
/* The same, through a tunnel to a gateway: TLS and HTTP/2 once more inside that, t->addr is not used. The outer tunnel is one
 * of a pooled connection's; the inner connection carries this one stream only, since the gateway has chosen an endpoint for it. */
struct stage *hpool_open_via(struct hpool *p, const struct hpool_via *via, const struct hpool_target *t, const struct hpool_request *r);
int hpool_status(const struct stage *tunnel);
bool hpool_may_retry(const struct stage *tunnel);
const char *hpool_error(const struct stage *tunnel);          /* TLS or connect detail for the log; "" */
struct str hpool_peer_id(const struct stage *tunnel);         /* inside OPEN; else empty */
struct str hpool_reply_baggage(const struct stage *tunnel);   /* borrowed; inside OPEN only */
void hpool_drain(struct hpool *p);
/* After a rotation or CRL change: idle connections with the old context go, busy ones take no new streams, and those whose
 * peer is revoked or expired under `now` are cut at the end of the turn. now NULL: there is no successor. */
void hpool_retire(struct hpool *p, struct tlsctx *old, struct tlsctx *now);
void hpool_free(struct hpool *p);

#endif
