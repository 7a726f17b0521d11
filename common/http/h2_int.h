/* SPDX-License-Identifier: Apache-2.0 */
/* What the connection (h2.c), its heads (h2head.c) and its streams (h2stream.c) share. */
#ifndef HTTP_H2_INT_H
#define HTTP_H2_INT_H

#include <nghttp2/nghttp2.h>

#include "base/buf.h"
#include "base/tuning.h"
#include "http/conn.h"
#include "http/h2.h"

#define PIECES 512
#define H2_SMALL 2048         /* a write that waits for others of this turn */
#define H2_GATHER 8192        /* frames that leave in one write, beside the data that is lent */
#define H2_ENDED 64           /* streams whose end is remembered */

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
	struct http_stream pub;
	struct h2 *h2;            /* NULL once the stream is detached from its connection */
	int32_t id;
	uint32_t error;           /* the code of RST_STREAM */
	struct list link;         /* in h2.streams */
	struct list touched;      /* in h2.touched: events are due */
	struct deferred wake, grave;
	struct buf out;           /* accepted, waits for window */
	struct buf in;            /* received while the reader did not want it */
	int first_piece, last_piece;
	size_t owed;              /* taken by the reader's side but not yet returned to the peer's window */
	size_t grown_bytes;       /* taken since the window grew last */
	struct buf *trailers;     /* owned; NULL: none; as h2.head; those that came, or */
	struct buf *out_trailers; /* those that go */
	uint64_t out_left;        /* of a body with a length: not yet written */
	int32_t window;
	uint64_t done_ms;
	bool provided;            /* a data provider is attached (client: from the start; server: with the reply) */
	bool announced;           /* the owner knows of it */
	bool got_head;            /* the final one; what follows are trailers */
	bool out_head;            /* the reply's, or the request's */
	bool head_sent;           /* client: the request's head left */
	bool tunnel;              /* CONNECT of either kind: its bytes are no message */
	bool extended;            /* RFC 8441 */
	bool no_body;             /* a HEAD request */
	bool limited;             /* out_left counts */
	bool peer_reset;
	uint8_t infos;
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
	bool too_large;           /* what arrives is */
	const struct http_conn_conf *conf;
	const char *error;        /* what the peer did wrong; NULL */
	int32_t last_id;          /* server: the highest that was opened */
	struct {
		int32_t id;
		bool by_peer;     /* frames that follow are wrong; else they may have been on their way */
	} ended[H2_ENDED];        /* server: the last streams that went, as a ring */
	unsigned n_ended;         /* counts on */
	unsigned empties;         /* DATA frames without data in a row */
	uint64_t idle_ms;         /* since when there is no stream; 0: there are some */
	struct piece *pieces;     /* only inside h2_input */
	int n_pieces, n_streams;
	struct stream *lender;    /* what the present write() call lends, and how much of it was sent; NULL: nothing */
	const struct iovec *lent;
	int n_lent;
	size_t lent_len, lent_off;
	uint8_t *gather;          /* inside h2_send: frames that were made and not written */
	size_t n_gather;
	size_t buffered;          /* in all streams' `in` */
	size_t owed;              /* connection credit held back because of a cap */
	uint64_t stuck_ms;        /* since when the peer's connection window is zero; 0: it is not */
	uint64_t ping_ms;         /* when the unanswered PING left; 0: none */
	unsigned ping_after_ms, ping_timeout_ms;
	uint32_t goaway_error;
	bool server, busy, heard, got_settings, draining, goaway, dead, ping_only_busy, ping_off;
};

/* h2.c */
void h2_send(struct h2 *h);              /* what is pending, unless nghttp2 is on the call stack */
void h2_flush_later(struct h2 *h);       /* at the end of the turn */

/* h2head.c */
int h2_on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *arg);
int h2_on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name, size_t nn, const uint8_t *value, size_t vn,
		 uint8_t flags, void *arg);
void h2_take_head(struct h2 *h, struct stream *s, bool end);
void h2_take_trailers(struct h2 *h, struct stream *s);
int h2_received(const struct http_stream *s, struct http_field *ret, int max);
bool h2_trailers(struct http_stream *s, const struct http_field *fields, int n);
int h2_submit_trailers(struct stream *s);
void h2_reply(struct http_stream *s, const struct http_head *head);

/* h2.c */
ssize_t h2_source_read(nghttp2_session *ng, int32_t id, uint8_t *out, size_t max, uint32_t *flags, nghttp2_data_source *source,
		       void *arg);

/* h2stream.c */
extern const struct http_stream_ops h2_stream_ops;
void stream_fail(struct stream *s, const char *why);   /* the peer's message is refused */
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
