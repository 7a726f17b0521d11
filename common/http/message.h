/* SPDX-License-Identifier: Apache-2.0 */
/* Heads of HTTP messages, the same for every version: what a codec offers after it judged what came, and what it takes.
 * Strict (RFC 9110, 9112, 9113): one reading of a message or none. */
#ifndef HTTP_MESSAGE_H
#define HTTP_MESSAGE_H

#include "base/str.h"

struct http_field {
	struct str name, value;      /* names in any case from HTTP/1, lower case from HTTP/2 */
};

/* A request or response head; everything is borrowed. */
struct http_head {
	struct str method, authority, scheme, path;   /* request; path with query, or "*" */
	struct str upgrade;                           /* HTTP/1: the protocol asked for, or switched to by a 101 */
	int status;                                   /* response */
	const struct http_field *fields;              /* the rest, in order */
	int n_fields;
	unsigned keep_alive_s;                        /* response of HTTP/1: Keep-Alive: timeout=; 0: it says nothing */
	bool end;                                     /* no body and no trailers follow */
	bool checked;                                 /* when sent: of the fields all is known that http_sendable asks */
	bool close;                                   /* HTTP/1, when sent: the connection ends after this message */
	bool unread;                                  /* reply: the rest of the request is not wanted; if it is long the connection ends */
};

enum http_version { HTTP_1_0, HTTP_1_1, HTTP_2 };

enum http_body { HTTP_BODY_NONE, HTTP_BODY_LENGTH, HTTP_BODY_CHUNKED, HTTP_BODY_CLOSE };

/* What a head says about its own connection. */
struct http_framing {
	enum http_body body;
	uint64_t length;             /* HTTP_BODY_LENGTH */
	bool persist;                /* the connection may carry another message */
	bool expect;                 /* 100-continue */
};

bool http_token(struct str s);     /* RFC 9110 5.6.2 */
/* The first field of that name; n == 0 and p == NULL when absent. */
struct str http_head_get(const struct http_head *head, const char *name);

/* Judges a head as it came, in HTTP/1 with the target in `path`, and settles it: Host becomes the authority, an absolute
 * target is taken apart, and what is only for this connection (RFC 9110 7.6.1) is dropped from `fields`, which
 * head->fields is set to. 0, or the status to refuse it with, and a phrase that says why. */
int http_settle_request(struct http_head *head, struct http_field *fields, enum http_version v, struct http_framing *ret,
			const char **why);
/* method: of the request. A response to be refused: 502. */
int http_settle_response(struct http_head *head, struct http_field *fields, enum http_version v, struct str method,
			 struct http_framing *ret, const char **why);
/* Fields that may be sent in HTTP/1 as they are: tokens and values, nothing that frames or routes another message, or says who
 * sent it. */
bool http_trailers_ok(const struct http_field *fields, int n);
/* Whether a field may be put into a settled head without another look at all of it. */
bool http_field_ok(const struct http_field *f);
/* Whether a settled head may be sent: no name or value of it can be read as something else. */
bool http_sendable(const struct http_head *head, bool request);

/* MeshConfig.pathNormalization. */
enum http_path { HTTP_PATH_NONE, HTTP_PATH_BASE, HTTP_PATH_MERGE_SLASHES, HTTP_PATH_DECODE_AND_MERGE_SLASHES };
/* What policies see and the server gets. BASE: RFC 3986 6.2.2 with '\' as '/' and with what may not stand in
 * a path escaped, as Envoy. The query stays as it is. out: 3 * path.n bytes, holds *ret. False: the path has no normal form
 * (it holds %00). "*" stays. */
bool http_path_normalise(struct str path, enum http_path level, char *out, struct str *ret);

#endif
