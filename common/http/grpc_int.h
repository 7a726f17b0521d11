/* SPDX-License-Identifier: Apache-2.0 */
/* What the channel (grpc.c), its connections (grpc_conn.c) and its calls (grpc_call.c) share. */
#ifndef HTTP_GRPC_INT_H
#define HTTP_GRPC_INT_H

#include "base/backoff.h"
#include "base/list.h"
#include "http/dial.h"
#include "http/grpc.h"
#include "http/grpc_frame.h"
#include "http/h2.h"
#include "io/watch.h"
#include "tls/webctx.h"

struct grpc_meta {
	struct buf text;          /* name NUL value NUL … */
	int n;
	bool tls;
};

struct grpc {
	struct loop *loop;
	struct grpc_conf conf;    /* its texts are owned */
	char *who;                /* owned */
	struct dial_url url;      /* of conf.target */
	struct str names[2];      /* that the certificate may have */
	int n_names;
	struct tlsctx *ctx;       /* reference; the last that could be read; NULL: none yet */
	struct watch *watch;      /* owned; NULL: there is nothing to watch */
	struct grpc_conn *conn;   /* for new calls, or on the way to be that; NULL: none */
	struct list conns;        /* all, also those that are retired */
	struct list waiting;      /* calls without a stream */
	struct backoff backoff;
	struct timer retry;       /* armed: no dialing before */
	struct deferred serve, grave;
	char state[768];
	bool files_bad, dead;
};

struct grpc_conn {
	struct grpc *g;
	struct list link;         /* in g->conns */
	struct list calls;
	struct dial *dial;        /* NULL: it ended */
	struct stage *tls;        /* for its error; NULL: plaintext */
	struct h2 *h2;            /* NULL: not yet */
	struct addr addr;
	struct timer timer;       /* for SETTINGS, later of idleness */
	struct deferred grave;
	uint64_t up_ms;
	bool up, retired, dead;
};

struct grpc_call {
	struct grpc *g;
	struct grpc_conn *conn;   /* NULL while waiting */
	struct list link;         /* in g->waiting or conn->calls */
	const struct grpc_call_ops *ops;
	void *arg;
	char *path;               /* owned */
	struct http_stream *stream; /* owned; NULL while waiting */
	struct buf early;         /* sent while waiting, with prefixes */
	struct grpc_frame frame;
	struct timer deadline;
	struct deferred grave;
	uint64_t deadline_at;     /* loop_now_ms; 0: none */
	unsigned deadline_ms;
	/* A reply that is only trailers. */
	struct str head_status, head_message;   /* owned */
	bool half_closed, done;
	void (*on_reply)(const struct grpc_end *end, struct str reply, void *arg);   /* unary calls */
	struct buf reply;
	bool got_reply;
};

/* grpc.c */
void grpc_serve_later(struct grpc *g);
void grpc_is_up(struct grpc *g, struct grpc_conn *c);
void grpc_dial_failed(struct grpc *g, struct grpc_conn *c, const char *why);
/* c takes no new calls any more; it lived from c->up_ms on. */
void grpc_forget(struct grpc *g, struct grpc_conn *c);
/* A context from the files as they are now, or the last good one; NULL: err says why. */
struct tlsctx *grpc_ctx(struct grpc *g, struct err *err);
__attribute__((format(printf, 2, 3))) void grpc_set_state(struct grpc *g, const char *fmt, ...);

/* grpc_conn.c */
struct grpc_conn *grpc_conn_dial(struct grpc *g);       /* is_up or dial_failed follow; NULL: dial_failed was called */
void grpc_conn_retire(struct grpc_conn *c);             /* ends with its last call */
void grpc_conn_idle(struct grpc_conn *c);               /* a call ended */
void grpc_conn_end(struct grpc_conn *c, enum fail why); /* now; its calls must be gone */

/* grpc_call.c */
bool grpc_call_begin(struct grpc_call *c, struct grpc_conn *conn);   /* false: no room after all */
void grpc_call_end(struct grpc_call *c, const struct grpc_end *end);

#endif
