/* SPDX-License-Identifier: Apache-2.0 */
/* A small HTTP/1.1 server for our own pages, by llhttp: one listener, a table of routes, handlers that answer at once or later.
 * Heads of at most LIMIT_ADMIN_HEAD_BYTES within H1SERVER_HEAD_MS, at most LIMIT_ADMIN_CONNS connections (the one that
 * was quiet longest makes room), request bodies are read and dropped. It stays reachable when the process is out of
 * descriptors: a few are kept in reserve. One thread. */
#ifndef HTTP_H1SERVER_H
#define HTTP_H1SERVER_H

#include "base/addr.h"
#include "base/buf.h"
#include "base/err.h"
#include "http/message.h"
#include "io/loop.h"

#define H1SERVER_HEAD_MS     2000    /* from its first byte, or from accept, to the end of a request */
#define H1SERVER_IDLE_MS     60000   /* between requests */
#define H1SERVER_STALL_MS    30000   /* a reply that the client does not read */
#define H1SERVER_FIELDS      8
#define H1SERVER_BODY_BYTES  65536   /* of a request */

struct h1server;
struct h1server_request;

struct h1server_route {
	const char *method;              /* "GET" serves HEAD too; NULL: any */
	const char *path;                /* exact, as sent, without the query; "/a/" followed by a star: all below */
	void (*handle)(struct h1server_request *rq, void *arg);   /* replies before it returns, or calls h1server_later */
};

struct h1server_site {
	const struct h1server_route *routes;   /* borrowed, as is everything here */
	int n_routes;
	bool (*admit)(struct h1server_request *rq, void *arg);   /* before any handler; false: it replied. NULL: all */
	void *arg;
	const struct http_field *fields; /* of every reply, beside content type, nosniff, no-store */
	int n_fields;                    /* at most H1SERVER_FIELDS */
};

/* Listens on an address, or on a Unix socket that only this user may open (a stale one is replaced, and it goes away
 * with the server). -errno and a sentence on failure, such as an address in use. */
int h1server_open(struct loop *l, const struct addr *at, const struct h1server_site *site, struct h1server **ret,
		  struct err *err);
int h1server_open_unix(struct loop *l, const char *path, const struct h1server_site *site, struct h1server **ret,
		       struct err *err);
/* Ends the listener; what was replied is still sent. NULL ok. */
void h1server_close(struct h1server *s);
/* The address that it listens on (for port 0). */
void h1server_addr(const struct h1server *s, struct addr *ret);

/* Borrowed until the handler returns. */
struct str h1server_method(const struct h1server_request *rq);
struct str h1server_path(const struct h1server_request *rq);
struct str h1server_header(const struct h1server_request *rq, const char *name);   /* the first; p NULL: absent */
/* A query parameter, decoded. False: absent. `?reset` has an empty value. */
bool h1server_query(const struct h1server_request *rq, const char *name, struct str *ret);

/* For a handler: the answer comes after its return, rq stays until then, unless on_gone comes: the client went. */
void h1server_later(struct h1server_request *rq, void (*on_gone)(void *arg), void *arg);
int h1server_headers(const struct h1server_request *rq, const struct http_field **ret);   /* all; how many */

/* Answers. body is taken over (emptied); NULL: none. */
void h1server_reply(struct h1server_request *rq, int status, const char *content_type, struct buf *body);
/* A body that is made while it is sent, so that its size needs no memory. */
struct h1server_stream {
	bool (*more)(void *arg, struct buf *out);   /* appends the next piece, of some tens of KiB; false: it was the last */
	void (*done)(void *arg);                    /* once, after the last piece, or when the client went */
	void *arg;
};
void h1server_reply_stream(struct h1server_request *rq, int status, const char *content_type,
			   const struct h1server_stream *body);
void h1server_reply_text(struct h1server_request *rq, int status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
