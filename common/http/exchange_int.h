/* SPDX-License-Identifier: Apache-2.0 */
/* What the chain (exchange.c), the bytes both ways (exchange_relay.c) and the answers of our own (exchange_reply.c) share. */
#ifndef HTTP_EXCHANGE_INT_H
#define HTTP_EXCHANGE_INT_H

#include "base/buf.h"
#include "http/exchange.h"

enum exchange_phase {
	EX_REQUEST,              /* filters look at the request */
	EX_ROUTE,                /* the router has it */
	EX_RESPONSE,             /* filters look at the response */
	EX_RELAY,                /* its head was sent */
	EX_TUNNEL,
	EX_DONE,
};

struct ex {
	struct exchange x;
	enum exchange_phase phase;
	int at;                  /* the filter whose turn it is */
	int reached;             /* filters that saw the request */
	void **state;            /* of each filter */
	struct buf kept;         /* the request's body from its start, while kept_all */
	size_t body_max;         /* what a filter waits for; 0: none does */
	size_t replay_max;
	enum fail bad;           /* the request is refused once the first filter, which logs, has seen it */
	struct http_fields trailers;     /* of the request */
	struct str text;         /* of a local answer */
	struct deferred grave;
	bool waiting, calling;   /* a filter waits; is on the call stack */
	bool replied;            /* while it was: exchange_reply */
	bool local;              /* the response is ours */
	bool router_started, kept_all, sent;
	bool down_end;           /* the request is whole */
	bool up_end;             /* the response is */
	bool request_sent;       /* up has all of the request */
	bool switching;          /* CONNECT or Upgrade: no byte moves before the answer */
	bool made_key;           /* the client has no part in Sec-WebSocket-Key */
	bool down_eof, up_eof;   /* of a tunnel */
	bool looked;             /* some filter has on_data */
};

static inline struct ex *ex_of(struct exchange *x) { return container_of(x, struct ex, x); }
uint64_t ex_now_ns(void);

/* exchange.c */
void ex_copy_fields(struct ex *e, struct http_fields *to, const struct http_head *head);
void ex_go_on(struct ex *e);                             /* the filters whose turn it is, then what comes after them */
void ex_finish(struct ex *e, enum fail why);             /* NONE: both messages were relayed */

/* exchange_relay.c */
void ex_on_down(struct stage *s, enum stage_event ev, const struct iovec *iov, int n);
void ex_drop_up(struct ex *e, enum fail why);
void ex_relay_response(struct ex *e);                    /* its head was sent */
void ex_kept_to_router(struct ex *e);
bool ex_body_ready(const struct ex *e);

/* exchange_reply.c */
void ex_send_response(struct ex *e);
void ex_reply_failed(struct ex *e, enum fail why);       /* a try failed, and there is no other */

/* websocket.c: what RFC 8441 has not and HTTP/1 needs. */
void websocket_request(struct ex *e, struct http_head *head, bool h2);
void websocket_response(struct ex *e);

#endif
