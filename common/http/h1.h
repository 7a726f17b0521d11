/* SPDX-License-Identifier: Apache-2.0 */
/* An HTTP/1 connection (RFC 9112) by llhttp over any stage, as server or client. Its streams come one after the other;
 * what the peer pipelines waits, unparsed. Bodies are lent from the buffer that they were read into.
 *
 * Any doubt about where a message ends is the end of the connection: a server answers it with 400, 431, 501 or 505.
 * Besides llhttp's checks every line must end with CRLF, the request line must have exactly its three parts, no line
 * may be folded, and what http/message.h refuses is refused.
 *
 * A 100 (Continue) goes out when the owner of a stream first wants to read. After a 101, or a 2xx to CONNECT, the
 * stream is a tunnel. Timeouts: see http/conn.h. */
#ifndef HTTP_H1_H
#define HTTP_H1_H

#include "http/stream.h"

struct h1;
struct http_conn_conf;

struct h1_ops {
	void (*on_request)(struct h1 *h, struct http_stream *s, void *arg);   /* server: set stage.on_event, then OPEN comes */
	void (*on_idle)(struct h1 *h, void *arg);                  /* a stream ended and another may come; NULL ok */
	void (*on_closed)(struct h1 *h, enum fail why, void *arg); /* dead; a live stream hears CLOSED in the same turn */
	/* Server: bytes that are no request were answered with this status. NULL ok. */
	void (*on_refused)(struct h1 *h, int status, const char *why, void *arg);
};

/* Takes over `below`, which is OPEN. conf is borrowed for good. NULL when memory is out (below is ended). */
struct h1 *h1_new(struct stage *below, bool server, const struct http_conn_conf *conf, const struct h1_ops *ops, void *arg);
/* Ends the connection, its stream too; on_closed does not come. FAIL_NONE sends what is queued. */
void h1_close(struct h1 *h, enum fail why);
/* The present stream is the last one; closes by itself after it, on_closed comes. An idle server waits LIMIT_GOAWAY_MS for a
 * request that may be under way, which is then told that it was the last one. */
void h1_drain(struct h1 *h);
/* No stream is open and h1_request would be taken. */
bool h1_idle(const struct h1 *h);
/* It carries no message after the present one. */
bool h1_ending(const struct h1 *h);
/* With on_closed: what was wrong with the peer's bytes; "". */
const char *h1_error(const struct h1 *h);
/* The version of the last head that came: 10 or 11. */
int h1_version(const struct h1 *h);

/* Client: sends a request; head->end: without a body. NULL: busy, closing, out of memory, or (EINVAL) the head cannot be
 * sent as it is. A request that was given a body may be written at once. */
struct http_stream *h1_request(struct h1 *h, const struct http_head *head);

#endif
