/* SPDX-License-Identifier: Apache-2.0 */
/* A request of our own over the worker's pool: what a mirror sends, and what authorization servers, rate limit servers and
 * collectors are asked. The whole body is known; no retries. */
#ifndef TRAFFIC_UREQUEST_H
#define TRAFFIC_UREQUEST_H

#include "traffic/router.h"

struct urequest;

struct urequest_reply {
	const struct http_head *head;    /* NULL: it failed, or no head came */
	struct str body;                 /* at most max_body bytes of it */
	bool whole;                      /* that is all of it */
	int grpc_status;                 /* of trailers, or of a head alone; -1: none */
	struct str grpc_message;         /* as sent: percent-encoded */
};

/* head and body are copied. HTTP/2 is wanted where the cluster says so, and when the head's content-type is
 * application/grpc. timeout_ms is for all of it; 0: none. A body beyond max_body ends the request as soon as it is met, without
 * failure and not `whole`; with max_body 0 all of it is read and dropped. on_done comes once, never within the call; r is borrowed until it returns. NULL: out of memory. */
struct urequest *urequest_start(struct router_env *env, struct cluster *c, const struct http_head *head, struct str body,
				unsigned timeout_ms, size_t max_body,
				void (*on_done)(void *arg, const struct urequest_reply *r, enum fail why, const char *detail), void *arg);
void urequest_cancel(struct urequest *r);    /* before on_done; NULL ok */

#endif
