/* SPDX-License-Identifier: Apache-2.0 */
/* An HTTP/2 connection (RFC 9113) by nghttp2 over any stage, as client or server. Each stream is a stage itself, with a
 * head on top, so that a CONNECT tunnel is pumped like a socket. DATA is passed on without copies in both directions.
 *
 * Flow control: a stream's window is returned as its reader takes the bytes; the connection's window is returned on
 * receipt, so that a stalled stream stops nobody else. Stream windows start at LIMIT_STREAM_WINDOW and grow while the
 * reader keeps up. */
#ifndef HTTP_H2_H
#define HTTP_H2_H

#include "http/message.h"
#include "io/stage.h"

struct h2;

struct h2_stream {
	struct stage stage;      /* OPEN comes with the head of the response (client) or of the request (server) */
	struct h2 *h2;           /* NULL once the stream is detached from its connection */
	int32_t id;
	struct http_head *head;    /* valid inside OPEN only */
	uint32_t error;          /* with CLOSED: the code of RST_STREAM (RFC 9113 section 7); 0: none, or the connection ended */
	bool refused;            /* with CLOSED: the peer certainly did not process the request; another try is safe */
	bool keep_trailers;      /* set by the owner in time: without it they are thrown away */
};

struct h2_ops {
	void (*on_settings)(struct h2 *h, void *arg);                          /* the peer's first SETTINGS came; NULL ok */
	void (*on_request)(struct h2 *h, struct h2_stream *s, void *arg);      /* server: set stage.on_event, then OPEN comes */
	void (*on_room)(struct h2 *h, void *arg);                              /* a stream ended; h2_streams() may be 0 */
	void (*on_closed)(struct h2 *h, enum fail why, void *arg);             /* dead: GOAWAY served, EOF, reset or protocol error; streams are CLOSED already */
};

/* Takes over `below`, which is OPEN. NULL when memory is out (below is ended). */
struct h2 *h2_new(struct stage *below, bool server, const struct h2_ops *ops, void *arg);
/* Ends the connection; live streams get CLOSED. FAIL_NONE sends GOAWAY and what is queued. The object is freed later. */
void h2_close(struct h2 *h, enum fail why);
/* GOAWAY; no new streams; live ones go on; closes by itself after the last. */
void h2_drain(struct h2 *h);
int h2_streams(const struct h2 *h);
/* The keepalive, instead of LIMIT_PING_MS and LIMIT_PING_TIMEOUT_MS: idle time before a PING, time for its answer.
 * Some servers take a PING without a stream for an attack: only_busy avoids it. */
void h2_keepalive(struct h2 *h, unsigned idle_ms, unsigned timeout_ms, bool only_busy);
/* The error code of the GOAWAY that the peer sent; -1: none came. */
int64_t h2_goaway(const struct h2 *h);
/* How many more streams may be opened now (peer's limit, GOAWAY and zero-window rule respected). */
int h2_room(const struct h2 *h);

/* Client: opens a stream. CONNECT: scheme and path empty. NULL: no room or no memory. Writing at once is allowed. */
struct h2_stream *h2_request(struct h2 *h, struct str method, struct str authority, struct str scheme, struct str path,
			     const struct http_field *fields, int n_fields);
/* From EOF or CLOSED on: the first trailer of that name; n == 0 and p == NULL when absent. */
struct str h2_trailer(const struct h2_stream *s, const char *name);
/* Server: answers; end closes our half with it. */
void h2_reply(struct h2_stream *s, int status, const struct http_field *fields, int n_fields, bool end);

#endif
