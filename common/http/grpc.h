/* SPDX-License-Identifier: Apache-2.0 */
/* A gRPC client (grpc's PROTOCOL-HTTP2.md): a channel to one server and its calls. Channel and calls belong to one loop and
 * its thread. A connection is made when a call wants one, and made anew when it is lost; between failed attempts the channel
 * waits 10 ms doubling to 15 s, and calls wait with it. No function calls back before it returns.
 *
 * Roots and own certificate are read anew for each connection and watched: after a change new calls get a new connection,
 * those under way go on with theirs. */
#ifndef HTTP_GRPC_H
#define HTTP_GRPC_H

#include "base/err.h"
#include "base/str.h"
#include "dns/resolve.h"
#include "io/sock.h"

struct grpc;
struct grpc_call;
struct grpc_meta;     /* the metadata of a call that is about to leave */

enum grpc_code {
	GRPC_OK, GRPC_CANCELLED, GRPC_UNKNOWN, GRPC_INVALID_ARGUMENT, GRPC_DEADLINE_EXCEEDED, GRPC_NOT_FOUND, GRPC_ALREADY_EXISTS,
	GRPC_PERMISSION_DENIED, GRPC_RESOURCE_EXHAUSTED, GRPC_FAILED_PRECONDITION, GRPC_ABORTED, GRPC_OUT_OF_RANGE,
	GRPC_UNIMPLEMENTED, GRPC_INTERNAL, GRPC_UNAVAILABLE, GRPC_DATA_LOSS, GRPC_UNAUTHENTICATED,
};
const char *grpc_code_name(enum grpc_code code);   /* "UNAVAILABLE" */

struct grpc_conf {
	const char *who;              /* for errors: "istiod", "the CA", "the collector" */
	struct str target;            /* "https://HOST:PORT", the same without scheme, or "http://HOST:PORT" for plaintext; IPv6 in [] */
	struct str roots;             /* https: path of a PEM file, PEM text, or "SYSTEM" */
	struct str alt_name;          /* https: another name that the server's certificate may have; empty: none */
	struct str cert_file, key_file;         /* https: own certificate (chain) and key in PEM; both empty: none is shown */
	const char *roots_hint, *name_hint;     /* the settings to name when the server is not trusted: "XDS_ROOT_CA", "ALT_XDS_HOSTNAME" */
	const struct sock_ops *sock_ops;        /* borrowed; NULL ok */
	struct resolver *resolver;              /* dns/resolve.h, of this loop; borrowed; NULL: HOST must be an address */
	/* Adds to each call's metadata, at the moment it leaves (a token is read here). NULL ok. Non-zero: the call ends with
	 * UNAUTHENTICATED and the text of err, nothing is sent. */
	int (*headers)(void *arg, struct grpc_meta *m, struct err *err);
	void *arg;
	size_t message_bytes;         /* largest message that is accepted; 0: LIMIT_GRPC_MESSAGE_BYTES */
};

/* All of conf is copied. Fails for a target or a pair of files that cannot be right; the files' content is judged later. */
int grpc_new(struct loop *l, const struct grpc_conf *conf, struct grpc **ret, struct err *err);
void grpc_free(struct grpc *g);   /* cancels its calls; NULL ok; allowed inside callbacks */
/* Copied; names are made lower-case. False, and nothing is added: not a legal name or value, or too many. */
bool grpc_meta_add(struct grpc_meta *m, struct str name, struct str value);
/* The call leaves over TLS: secrets may be added. */
bool grpc_meta_private(const struct grpc_meta *m);
/* The last connection's state for people: "connected to 10.0.0.1:15012", "connecting", "idle", or why it failed. */
const char *grpc_state(const struct grpc *g);
/* True while a connection is up that new calls may use. */
bool grpc_connected(const struct grpc *g);

/* How a call ended. Lent for the time of the callback. */
struct grpc_end {
	enum grpc_code code;
	struct str message;       /* a sentence, "" with GRPC_OK; control characters are made harmless */
	bool from_server;         /* the code is the server's own word; otherwise it was made here */
	bool goaway;              /* the server retired the connection, as it does now and then: start again at once */
	bool unprocessed;         /* the server certainly did not act on it: another try is safe */
};

struct grpc_call_ops {
	void (*on_open)(struct grpc_call *c, void *arg);                     /* the server's head came; NULL ok */
	void (*on_message)(struct grpc_call *c, struct str msg, void *arg);  /* msg: lent; whole, in order */
	void (*on_end)(struct grpc_call *c, const struct grpc_end *end, void *arg);   /* once; the call is gone after it */
};

/* Starts a call of either kind to "/package.Service/Method". deadline_ms counts from now, connecting included; 0: none.
 * ops are borrowed. NULL: out of memory. */
struct grpc_call *grpc_start(struct grpc *g, const char *path, const struct grpc_call_ops *ops, void *arg, unsigned deadline_ms);
/* Sends one message, which is copied where it cannot leave at once (also while the channel connects). */
void grpc_send(struct grpc_call *c, const void *p, size_t n);
size_t grpc_queued(const struct grpc_call *c);     /* bytes sent that wait for the connection or its window */
void grpc_half_close(struct grpc_call *c);         /* nothing more will be sent */
void grpc_cancel(struct grpc_call *c);             /* no callback follows; NULL ok */

/* One request, one reply. on_reply comes once: with GRPC_OK reply holds the message, otherwise it is empty. Until then it may be
 * cancelled; NULL: out of memory. */
struct grpc_call *grpc_unary(struct grpc *g, const char *path, const void *p, size_t n, unsigned deadline_ms,
			     void (*on_reply)(const struct grpc_end *end, struct str reply, void *arg), void *arg);

#endif
