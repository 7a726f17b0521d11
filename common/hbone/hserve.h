/* SPDX-License-Identifier: Apache-2.0 */
/* The HBONE server: takes CONNECT requests off an HTTP/2 connection (facts: Istio's HBONE; RFC 9113 8.5). */
#ifndef HBONE_HSERVE_H
#define HBONE_HSERVE_H

#include "base/addr.h"
#include "hbone/baggage.h"
#include "http/h2.h"

struct hserve;

/* A CONNECT request that was checked for form. Borrowed until the callback returns. */
struct hserve_request {
	struct addr addr;             /* authority as address; port always set */
	struct str host;              /* authority's host when it is a name; empty when it was an address */
	struct baggage baggage;       /* empty when absent or malformed */
	struct str forwarded_host;    /* `host=` of the Forwarded header */
	struct addr forwarded_for;    /* its `for=`; port 0: none, or several Forwarded headers */
	struct str caller;            /* SPIFFE ID of who asks, as the TLS peer says (x-forwarded-client-cert); empty: it does not */
	struct str forwarded_network; /* x-forwarded-network */
	struct str traceparent;       /* well-formed or empty */
};

struct hserve_ops {
	/* Decide now or later: answer with hserve_accept or hserve_refuse. Until then bytes wait in the stream's window. */
	void (*on_connect)(struct hserve *h, struct http_stream *tunnel, const struct hserve_request *req, void *arg);
	void (*on_open)(struct hserve *h, void *arg);   /* the handshake is done; NULL ok */
	void (*on_closed)(struct hserve *h, enum fail why, void *arg);   /* the object is freed after this */
	void (*on_bad_request)(struct hserve *h, enum fail why, struct str detail, void *arg); /* already answered 400 */
};

struct hserve *hserve_new(struct stage *tls, const struct hserve_ops *ops, void *arg);
/* 200, with `baggage` when not empty. The tunnel then is an open stage. */
void hserve_accept(struct http_stream *tunnel, struct str baggage);
/* Answers status and ends the stream. The tunnel is gone for the caller. */
void hserve_refuse(struct http_stream *tunnel, int status);
void hserve_drain(struct hserve *h);
void hserve_close(struct hserve *h, enum fail why);
struct stage *hserve_tls(const struct hserve *h);
bool hserve_open(const struct hserve *h);   /* the handshake is done */

#endif
