/* SPDX-License-Identifier: Apache-2.0 */
/* A connection that carries HTTP of either version; its streams are all alike (http/stream.h), so who relays them never asks
 * which it is. */
#ifndef HTTP_CONN_H
#define HTTP_CONN_H

#include "http/stream.h"

enum http_codec { HTTP_CODEC_AUTO, HTTP_CODEC_H1, HTTP_CODEC_H2 };   /* AUTO: servers only; by the client's first bytes */

struct http_conn;

struct http_conn_conf {
	size_t head_bytes;           /* of one head, or of the trailers of one body; HTTP/1: at most LIMIT_H1_HEAD_BYTES */
	int head_fields;             /* at most LIMIT_HEADER_COUNT */
	unsigned head_ms;            /* server: from a head's first byte, or from the start, to its end; HTTP/1: then 408 */
	unsigned idle_ms;            /* server: between messages, without a stream; 0: for ever */
	unsigned stall_ms;           /* HTTP/1: a peer that sends nothing of a body that is wanted, or takes nothing of one that waits; 0: for ever */
	unsigned max_streams;        /* HTTP/2 server: concurrent ones */
	unsigned frame_bytes;        /* HTTP/2: MAX_FRAME_SIZE; 0: tuning's */
	unsigned resets, reset_burst;          /* HTTP/2 server: streams that the client may reset in a second, and at once */
	bool http10;                 /* serve HTTP/1.0 requests; else 426 as Envoy */
};
extern const struct http_conn_conf http_conn_default;

struct http_conn_ops {
	/* Server: set stage.on_event and arg, then OPEN comes with the head. */
	void (*on_request)(struct http_conn *c, struct http_stream *s, void *arg);
	/* Client: http_conn_room grew (also when it is known for the first time), or HTTP/2's GOAWAY came (http_conn_draining). Server: no stream is open any more. NULL ok. */
	void (*on_room)(struct http_conn *c, void *arg);
	/* Server: what came is no request; it was answered with this status. For logs: exchange_refused. NULL ok. */
	void (*on_refused)(struct http_conn *c, int status, const char *why, void *arg);
	/* Dead: live streams hear CLOSED before. detail: what was wrong, ""; borrowed until the return. */
	void (*on_closed)(struct http_conn *c, enum fail why, const char *detail, void *arg);
};

/* Takes over `below`, which is OPEN. conf is borrowed for good. NULL when memory is out (below is ended). */
struct http_conn *http_conn_server(struct stage *below, enum http_codec codec, const struct http_conn_conf *conf,
				   const struct http_conn_ops *ops, void *arg);
struct http_conn *http_conn_client(struct stage *below, enum http_codec codec, const struct http_conn_conf *conf,
				   const struct http_conn_ops *ops, void *arg);
/* Client: how many more requests it would take now; 0: busy, full, draining, or closed. */
int http_conn_room(const struct http_conn *c);
/* Client: whether the peer has said what it takes (HTTP/2: its SETTINGS came): requests to switch protocols must wait for it. on_room
 * tells. */
bool http_conn_knows(const struct http_conn *c);
int http_conn_streams(const struct http_conn *c);
bool http_conn_draining(const struct http_conn *c);          /* takes no more requests, for good */
/* Client: sends a request; head->end: without a body. What could not be sent as it is: NULL with errno EINVAL; no room, or
 * an `upgrade` over HTTP/2 before its SETTINGS came: EAGAIN, until on_room. */
struct http_stream *http_conn_request(struct http_conn *c, const struct http_head *head);
/* HTTP/2: idle time before a PING, and time for its answer, instead of LIMIT_PING_MS and LIMIT_PING_TIMEOUT_MS. idle_ms 0: no PINGs. */
void http_conn_keepalive(struct http_conn *c, unsigned idle_ms, unsigned timeout_ms);
/* Server: GOAWAY, or Connection: close after the present request. Client: no more requests. Closes after the last stream. */
void http_conn_drain(struct http_conn *c);
/* Ends it now, its streams too; on_closed does not come. */
void http_conn_close(struct http_conn *c, enum fail why);
enum http_version http_conn_version(const struct http_conn *c);   /* of the last head in HTTP/1; AUTO undecided: HTTP_1_1 */
struct stage *http_conn_below(const struct http_conn *c);

#endif
