/* SPDX-License-Identifier: Apache-2.0 */
/* What the connection (h2.c) and its streams (h2stream.c) share. */
#ifndef HTTP_H2_INT_H
#define HTTP_H2_INT_H

#include <nghttp2/nghttp2.h>

#include "base/buf.h"
#include "base/tuning.h"
#include "http/h2.h"

#define PIECES 512

/* A new stream's window. */
static inline uint32_t h2_first_window(void)
{
	return tuning.stream_window < LIMIT_STREAM_WINDOW ? tuning.stream_window : LIMIT_STREAM_WINDOW;
}

/* A stretch of DATA that still lies in the buffer that nghttp2 reads. */
struct piece {
	const uint8_t *p;
	size_t n;
	int next;                 /* of the same stream; -1 ends */
};

struct stream {
	struct h2_stream pub;
	struct list link;         /* in h2.streams */
	struct list touched;      /* in h2.touched: events are due */
	struct deferred wake, grave;
	struct buf out;           /* accepted, waits for window */
	struct buf in;            /* received while the reader did not want it */
	int first_piece, last_piece;
	size_t owed;              /* taken by the reader's side but not yet returned to the peer's window */
	size_t grown_bytes;       /* taken since the window grew last */
	struct buf *trailers;     /* owned; NULL: none; as h2.head */
	int32_t window;
	uint64_t done_ms;
	bool provided;            /* a data provider is attached (client: from the start; server: with the reply) */
	bool announced;           /* the owner knows of it */
	bool got_head;            /* the final one; what follows are trailers */
	bool want_read, got_end, eof_told, shut, end_sent, closed, closed_told, done, held;
};

struct h2 {
	struct stage *below;
	nghttp2_session *ng;
	struct loop *loop;
	const struct h2_ops *ops;
	void *arg;
	struct deferred flush, grave;
	struct timer ping;
	struct timer notice;      /* a draining server: from the notice to the last stream number */
	struct list streams, touched;
	struct buf head;          /* the header block that is arriving: name NUL value NUL … */
	int n_fields;
	struct piece *pieces;     /* only inside h2_input */
	int n_pieces, n_streams;
	struct stream *lender;    /* what the present write() call lends, and how much of it was sent; NULL: nothing */
	const struct iovec *lent;
	int n_lent;
	size_t lent_len, lent_off;
	size_t buffered;          /* in all streams' `in` */
	size_t owed;              /* connection credit held back because of a cap */
	uint64_t stuck_ms;        /* since when the peer's connection window is zero; 0: it is not */
	uint64_t ping_ms;         /* when the unanswered PING left; 0: none */
	unsigned ping_after_ms, ping_timeout_ms;
	uint32_t goaway_error;
	bool server, busy, heard, got_settings, draining, goaway, dead, ping_only_busy;
};

/* h2.c */
void h2_send(struct h2 *h);              /* what is pending, unless nghttp2 is on the call stack */
void h2_flush_later(struct h2 *h);       /* at the end of the turn */

/* h2stream.c */
struct stream *stream_new(struct h2 *h);              /* NULL: no memory */
void stream_drop(struct stream *s);                   /* one that never began */
void stream_close(struct stream *s, enum fail why);   /* nghttp2, or the connection, let go of it */
void stream_orphan(struct stream *s);                 /* the connection is about to be freed */
int stream_take(struct stream *s, const uint8_t *p, size_t n);   /* DATA arrived; 0 or -ENOMEM */
void stream_touch(struct h2 *h, struct stream *s);    /* events are due */
void stream_deliver_touched(struct h2 *h);
void h2_credit(struct h2 *h, size_t n);               /* connection window for n more received bytes */
void stream_reap(struct h2 *h);                       /* streams that nobody holds and whose peer takes nothing */

#endif
