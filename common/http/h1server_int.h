/* SPDX-License-Identifier: Apache-2.0 */
/* What h1server.c (listener, connections) and h1request.c (one request: parsing, routing, reply) share. */
#ifndef HTTP_H1SERVER_INT_H
#define HTTP_H1SERVER_INT_H

#include <llhttp.h>

#include "base/list.h"
#include "http/h1server.h"
#include "io/stage.h"

#define H1_HEADERS   48
#define H1_PARAMS    16
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

struct h1_field {
	struct str name, value;
};

struct h1server_request {
	struct list link;
	struct h1server *server;
	struct stage *sock;        /* owned */
	struct timer timer;
	struct deferred grave;
	llhttp_t parser;
	struct buf in;             /* read and not yet parsed */
	struct buf out;            /* reply not yet given to the socket */
	struct buf head;           /* target and headers of this request; reserved at once, so that it never moves */
	size_t head_bytes, body_bytes;
	struct str method, target, path;
	struct h1_field field[H1_HEADERS], param[H1_PARAMS];
	int n_fields, n_params;
	struct h1server_stream stream;   /* the rest of the reply; more NULL: there is none */
	struct timer next;         /* goes on with it in another turn */
	int error;                 /* status to answer */
	bool chunked;
	bool in_value, complete, keep_alive, head_only, replied, started, eof, dead;
};

/* Feeds c->in to the parser. 0: more is needed, or c->complete; else the status to refuse the request with. */
int h1request_parse(struct h1server_request *c);
/* A complete request: routes it and puts the reply into c->out. */
void h1request_answer(struct h1server_request *c);
void h1request_refuse(struct h1server_request *c, int status);
void h1request_init(struct h1server_request *c);
void h1request_reset(struct h1server_request *c);   /* ready for the next one */
void h1request_fill(struct h1server_request *c);    /* the stream's next piece into c->out */
void h1request_stream_end(struct h1server_request *c);

#endif
