/* SPDX-License-Identifier: Apache-2.0 */
/* What h1server.c (listener, connections) and h1request.c (one request: routing, reply) share. */
#ifndef HTTP_H1SERVER_INT_H
#define HTTP_H1SERVER_INT_H

#include "base/list.h"
#include "http/h1.h"
#include "http/h1server.h"

#define H1_PARAMS    16
#define H1_FIELDS 64
#define H1_RESERVE   4      /* descriptors kept for connections that come when there are no others */

struct h1server {
	struct loop *loop;
	const struct h1server_site *site;
	ev_io io;
	struct list conns;         /* the longest quiet first */
	int n_conns;
	int fd;
	int reserve[H1_RESERVE];      /* -1: given up */
	char *path;                /* owned; of the Unix socket */
	bool closed;
	struct timer retry;        /* no descriptor, and no reserve left */
	struct deferred grave;
};

/* A connection, and its present request. */
struct h1server_request {
	struct list link;
	struct h1server *server;
	struct h1 *h1;
	struct http_stream *rq;    /* NULL: none */
	struct timer timer;        /* a body that does not end */
	struct timer next;         /* goes on with a streamed reply in another turn */
	struct deferred grave;
	struct buf text;           /* of this request's head; reserved at once, so that it never moves */
	struct buf out;            /* of a body that the peer does not take yet */
	size_t body_bytes;
	struct str method, authority, path;
	struct http_field field[H1_FIELDS], param[H1_PARAMS];
	int n_fields, n_params;
	struct h1server_stream stream;   /* the rest of the reply; more NULL: there is none */
	void (*on_gone)(void *arg);      /* not NULL: the answer comes later */
	void *gone_arg;
	bool head_only, replied, shut, dead;
};

/* Copies the head, as it lives only inside OPEN. False: no memory. */
bool h1request_begin(struct h1server_request *c, const struct http_head *head);
void h1request_answer(struct h1server_request *c);        /* the request is whole: routes it, replies */
void h1request_refuse(struct h1server_request *c, int status);   /* and the connection ends */
void h1request_reset(struct h1server_request *c);         /* ready for the next one */
void h1request_send(struct h1server_request *c);          /* as much of the reply as the peer takes now */
void h1request_stream_end(struct h1server_request *c);
void h1request_gone(struct h1server_request *c);          /* tells who would answer later */

#endif
