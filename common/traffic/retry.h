/* SPDX-License-Identifier: Apache-2.0 */
/* When a request is tried again: Envoy's retry_on words with Envoy's meaning (router filter, x-envoy-retry-on), as Istio's
 * retryOn uses them, and the one case in which trying again is nobody's decision (RFC 9110 9.2.2). Pure. */
#ifndef TRAFFIC_RETRY_H
#define TRAFFIC_RETRY_H

#include "traffic/route.h"

enum try_end {
	TRY_ANSWERED,          /* a head came: status, grpc_status */
	TRY_NO_CONNECTION,     /* connecting failed, TLS included */
	TRY_REFUSED,           /* the peer certainly did not look at it: REFUSED_STREAM, beyond a GOAWAY */
	TRY_RESET,             /* the stream or connection ended before a head */
	TRY_TIMED_OUT,         /* perTryTimeout */
	TRY_OVERFLOW,          /* a limit of ours: never tried again */
};

struct try_result {
	enum try_end end;
	bool sent;             /* the request's head had gone out */
	int status;
	int grpc_status;       /* of a head that is the whole answer; -1: none */
	bool ratelimited;      /* x-envoy-ratelimited */
};

/* Whether the policy asks for another try after this; says nothing of how many there may be. */
bool retry_wanted(const struct retry_policy *p, const struct try_result *r);
/* Before retry number n (1 is the first): at random, below (2^n - 1) times the base (25 ms when it is 0), and the maximum (ten times the base). */
unsigned retry_backoff_ms(const struct retry_policy *p, int n, uint64_t random);
/* Whether the same request may go to another connection without anybody asking: the connection had been used, and the server
 * closed it before any byte of an answer, so that it most likely never saw the request; and if it did, no harm is done. */
bool retry_unasked(struct str method, const struct try_result *r, bool reused, bool closed);
/* GET, HEAD, OPTIONS, TRACE, PUT, DELETE (RFC 9110 9.2.2). */
bool retry_idempotent(struct str method);

#endif
