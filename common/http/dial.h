/* SPDX-License-Identifier: Apache-2.0 */
/* Connects to a server by name: its addresses one after the other, with TLS over it where that is asked for. */
#ifndef HTTP_DIAL_H
#define HTTP_DIAL_H

#include "base/str.h"
#include "io/sock.h"
#include "dns/resolve.h"
#include "tls/tlsctx.h"

#define DIAL_ADDRS 8      /* of one name, that are tried */

/* "https://HOST:PORT/PATH"; https is understood, PORT is not. Borrows from the text. */
struct dial_url {
	struct str host;              /* without brackets */
	struct str authority;         /* HOST:PORT as it stands there */
	struct str path;              /* empty, or from its slash on, query included */
	uint16_t port;
	bool tls;
};
int dial_url_parse(struct str text, struct dial_url *ret);   /* 0 or -EINVAL */

struct dial;

/* Texts and tables are borrowed until on_done; of ctx a reference is kept. */
struct dial_conf {
	struct str host;              /* a DNS name or an address without brackets */
	uint16_t port;
	struct tlsctx *ctx;           /* of webctx.h; NULL: plaintext */
	const struct str *names;      /* for tls_client */
	int n_names;
	const struct sock_ops *sock_ops;   /* NULL ok */
	struct resolver *resolver;    /* of the same loop; NULL: host must be an address */
	/* Addresses that must not be dialled, whatever the name says: true is "no". NULL ok. */
	bool (*refuses)(const struct ip *ip);
};

/* on_done comes once, never inside the call: top is OPEN and the receiver's (tls_error() may be asked of it with TLS), or NULL and error
 * says why the last address failed. at: which it was; NULL: none was found. Each address gets LIMIT_DIAL_MS. */
struct dial *dial_start(struct loop *l, const struct dial_conf *conf,
			void (*on_done)(void *arg, struct stage *top, const struct addr *at, const char *error), void *arg);
void dial_cancel(struct dial *d);   /* NULL ok; no callback follows */

#endif
