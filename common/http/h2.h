/* SPDX-License-Identifier: Apache-2.0 */
/* An HTTP/2 connection (RFC 9113) by nghttp2 over any stage, as client or server. Each stream is a stage itself, with a
 * head on top, so that a CONNECT tunnel is pumped like a socket. DATA is passed on without copies in both directions.
 * Heads are judged by http/message.h beyond what nghttp2 checks. An extended CONNECT (RFC 8441) is told as HTTP/1 says it: GET
 * with `upgrade`, answered by 101.
 *
 * Flow control: a stream's window is returned as its reader takes the bytes; the connection's window is returned on
 * receipt, so that a stalled stream stops nobody else. Stream windows start at LIMIT_STREAM_WINDOW and grow while the
 * reader keeps up. */
#ifndef HTTP_H2_H
#define HTTP_H2_H

#include "http/stream.h"

struct h2;
struct http_conn_conf;

struct h2_ops {
	void (*on_settings)(struct h2 *h, void *arg);                          /* the peer's first SETTINGS came; NULL ok */
	void (*on_goaway)(struct h2 *h, void *arg);                            /* the peer's GOAWAY came; NULL ok */
	void (*on_request)(struct h2 *h, struct http_stream *s, void *arg);    /* server: set stage.on_event, then OPEN comes */
	/* A request that is none (http/message.h); it was answered. NULL ok. */
	void (*on_refused)(struct h2 *h, const struct http_head *head, int status, const char *why, void *arg);
	void (*on_room)(struct h2 *h, void *arg);                              /* a stream ended; h2_streams() may be 0 */
	void (*on_closed)(struct h2 *h, enum fail why, void *arg);             /* dead: GOAWAY served, EOF, reset or protocol error; streams are CLOSED already */
};

extern const struct http_conn_conf h2_conf_tunnels;      /* of CONNECTs between proxies, and of calls to control planes */

/* Takes over `below`, which is OPEN. conf is borrowed for good. NULL when memory is out (below is ended). */
struct h2 *h2_new(struct stage *below, bool server, const struct http_conn_conf *conf, const struct h2_ops *ops, void *arg);
/* Ends the connection; live streams get CLOSED. FAIL_NONE sends GOAWAY and what is queued. The object is freed later. */
void h2_close(struct h2 *h, enum fail why);
/* GOAWAY; no new streams; live ones go on; closes by itself after the last. */
void h2_drain(struct h2 *h);
int h2_streams(const struct h2 *h);
/* The keepalive, instead of LIMIT_PING_MS and LIMIT_PING_TIMEOUT_MS: idle time before a PING, time for its answer.
 * Some servers take a PING without a stream, or any, for an attack: only_busy, and idle_ms 0 (no PINGs), avoid it. */
void h2_keepalive(struct h2 *h, unsigned idle_ms, unsigned timeout_ms, bool only_busy);
/* The error code of the GOAWAY that the peer sent; -1: none came. */
int64_t h2_goaway(const struct h2 *h);
/* How many more streams may be opened now (peer's limit, GOAWAY and zero-window rule respected). */
int h2_room(const struct h2 *h);
bool h2_knows(const struct h2 *h);         /* the peer's SETTINGS came */

bool h2_draining(const struct h2 *h);      /* no new streams: GOAWAY was sent or came */
/* What the peer did wrong, with on_closed; "". */
const char *h2_error(const struct h2 *h);

/* Client: sends a request. head->upgrade: an extended CONNECT (RFC 8441), whose 200 is told as 101. Writing at once is
 * allowed. NULL: EAGAIN no room, no memory, or such a CONNECT before on_settings; EINVAL: the head cannot be sent as it is, or the server knows no extended CONNECT. */
struct http_stream *h2_request(struct h2 *h, const struct http_head *head);
/* With CLOSED: the code of RST_STREAM (RFC 9113 section 7); 0: none, or the connection ended. */
uint32_t h2_stream_error(const struct http_stream *s);

#endif
