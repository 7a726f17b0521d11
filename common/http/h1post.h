/* SPDX-License-Identifier: Apache-2.0 */
/* One POST or GET over HTTP/1.1, on a connection of its own: for collectors, for what is fetched. Redirects are not followed. */
#ifndef HTTP_H1POST_H
#define HTTP_H1POST_H

#include "http/dial.h"
#include "http/message.h"

struct h1post;

/* Borrowed until h1post_start returns, except dial. */
struct h1post_conf {
	const struct dial_conf *dial;        /* its host and names until on_done */
	struct str authority;                /* the Host header */
	struct str path;                     /* with query */
	struct str content_type;
	const struct http_field *fields;       /* more headers */
	int n_fields;
	const void *body;
	size_t body_bytes;
	unsigned deadline_ms;                /* for everything */
	bool get;                            /* without content_type and body */
	size_t reply_bytes;                  /* of the answer's body, that are kept; 0: LIMIT_REPLY_BYTES */
};

struct h1post_reply {
	int status;                          /* 0: there was none, error says why */
	struct str body;                     /* at most reply_bytes, the rest is dropped */
	bool cut;                            /* there was a rest */
	const char *error;
};

/* on_done comes once, never inside the call; the reply is lent. NULL: out of memory. */
struct h1post *h1post_start(struct loop *l, const struct h1post_conf *conf,
			    void (*on_done)(void *arg, const struct h1post_reply *reply), void *arg);
void h1post_cancel(struct h1post *p);        /* NULL ok; no callback follows */

#endif
