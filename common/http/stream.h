/* SPDX-License-Identifier: Apache-2.0 */
/* One message each way, as a stage: the body is what is read and written, the heads and trailers stand around it.
 * A server's stream is a request and offers its reply's place; a client's is the other way round. */
#ifndef HTTP_STREAM_H
#define HTTP_STREAM_H

#include "http/message.h"
#include "io/stage.h"

struct http_stream;

struct http_stream_ops {
	void (*reply)(struct http_stream *s, const struct http_head *head);
	int (*received)(const struct http_stream *s, struct http_field *ret, int max);
	bool (*trailers)(struct http_stream *s, const struct http_field *fields, int n);
};

struct http_stream {
	struct stage stage;                  /* OPEN comes with the head of the request (server) or of the response (client) */
	const struct http_stream_ops *ops;
	struct http_head *head;              /* valid inside OPEN and on_info only */
	/* Client: an interim response (1xx except 101), any number before OPEN. NULL: not wanted. */
	void (*on_info)(struct http_stream *s);
	bool refused;                        /* with CLOSED: the peer certainly did not process the request; another try is safe */
	const char *error;                   /* with CLOSED: what was wrong with the peer's message; NULL: nothing */
};

/* Server: answers, once; before it an interim 1xx may be sent any number of times. What head->end, a Content-Length or
 * the request's method say of the body is kept to: more is cut off or aborts the message, less aborts it. A head that cannot be
 * sent as it is becomes a 502. Nothing may be written before. */
static inline void http_reply(struct http_stream *s, const struct http_head *head) { s->ops->reply(s, head); }
/* From EOF or CLOSED on: the trailers that came; how many, at most max. Borrowed from the stream. */
static inline int http_received(const struct http_stream *s, struct http_field *ret, int max) { return s->ops->received(s, ret, max); }
/* The first of that name; n == 0 and p == NULL when absent. */
struct str http_trailer(const struct http_stream *s, const char *name);
/* Before stage_shut: ends the body with these. False: they cannot be sent here, and the body ends without them when shut. */
static inline bool http_trailers(struct http_stream *s, const struct http_field *f, int n) { return s->ops->trailers(s, f, n); }

#endif
