/* SPDX-License-Identifier: Apache-2.0 */
/* What the connection (h1.c), its parser (h1parse.c) and its streams (h1stream.c) share. */
#ifndef HTTP_H1_INT_H
#define HTTP_H1_INT_H

#include <llhttp.h>

#include "base/buf.h"
#include "http/conn.h"
#include "http/h1.h"

#define H1_PIECES 64      /* chunks of a body that one event lends; more are copied */

/* Every line ends with CRLF, holds no other control byte, and none but the first begins with a blank. */
struct h1_lines {
	uint8_t last;             /* byte; 0: none yet */
	int ends;                 /* line ends so far */
};

struct h1_head {                  /* of a parsed head; points into its bytes */
	struct http_field field[LIMIT_HEADER_COUNT];
	int n_fields;
	struct str target;
};

struct h1_stream {
	struct http_stream pub;
	struct h1 *h1;            /* NULL: the connection has gone on, or died */
	struct deferred wake, grave;
	struct buf trailers;      /* received: name NUL value NUL …, for h1_trailer_next */
	struct buf early;         /* client: written before the switch */
	uint64_t out_left;        /* HTTP_BODY_LENGTH: not yet written */
	enum http_body out_body;
	char method[16];          /* of the request; "" for one that is longer and means nothing here */
	int infos;
	bool http10;              /* the peer's version */
	bool expect;              /* the client waits for a 100 */
	bool may_switch;          /* Upgrade or CONNECT: what follows the head waits for the reply */
	bool sent;                /* client: some of the request left */
	bool shut;                /* client: before the switch */
	bool skip;                /* server: the rest of the request is read away */
	bool want_read, in_end, eof_told, out_head, out_end, closed_told, done;
};

struct h1 {
	struct stage *below;      /* owned */
	struct loop *loop;
	const struct http_conn_conf *conf;
	const struct h1_ops *ops;
	void *arg;
	llhttp_t parser;
	struct h1_head *head;     /* while a head is parsed */
	struct h1_lines lines;
	const char *framed;       /* input up to here was seen as framing or as body */
	const char *error;        /* why the input is refused */
	size_t line_bytes;        /* framing since the last data of a body */
	struct iovec *pieces;     /* of the body, while input is parsed */
	int n_pieces, version;
	struct buf spill;         /* and what did not fit there */
	struct buf field;         /* trailers: the name or value that is arriving */
	struct buf in;            /* read and not yet parsed */
	struct buf out;           /* small things that wait for the end of the turn, or for a write */
	size_t held;              /* input that waits behind what is handled now */
	size_t checked;           /* of in's first head: bytes that lines has seen */
	struct h1_stream *s;      /* NULL: none */
	struct deferred turn, grave;
	struct timer timer;
	bool server, dead, served, eof, persist, draining, tunnel, head_begun, skipped, trailer_value, complete, chunked, closed_told, last_turn;
	enum fail why;            /* it died */
};

/* h1.c */
void h1_kick(struct h1 *h);                              /* goes on at the end of the turn */
void h1_die(struct h1 *h, enum fail why, bool tell);     /* on_closed comes at the end of the turn */
void h1_flush(struct h1 *h);

/* h1parse.c: each returns 0 or the status to refuse the connection with; h->error says why. */
int h1_scan(struct h1 *h, struct str in, size_t *ret);   /* the length of the head that in begins with; 0: incomplete */
int h1_parse_head(struct h1 *h, struct str head, struct h1_head *parsed, struct http_head *ret, struct http_framing *framing);
int h1_parse_body(struct h1 *h, struct str in, size_t *ret_used);   /* fills pieces and spill; h->complete at its end */
bool h1_parse_eof(struct h1 *h);                         /* whether the peer's end is the body's */

/* h1stream.c */
struct h1_stream *h1_stream_new(struct h1 *h);
void h1_stream_deliver(struct h1_stream *s, struct iovec *iov, int n);
void h1_stream_switched(struct h1_stream *s);            /* client: the connection is a tunnel now */
void h1_stream_detach(struct h1_stream *s);              /* the connection lets go of it */
void h1_stream_close(struct h1_stream *s, enum fail why);
bool h1_trailer_next(struct str *rest, struct http_field *ret);   /* false: not a pair */
void h1_note_method(struct h1_stream *s, struct str method);
void h1_put_status(struct buf *out, int status);          /* the status line */
int h1_put_request(struct h1_stream *s, const struct http_head *head, struct buf *out);

#endif
