/* SPDX-License-Identifier: Apache-2.0 */
/* The server's side of SOCKS5 (RFC 1928): no authentication, CONNECT only. Pure: bytes in, what to do out. */
#ifndef NET_SOCKS_H
#define NET_SOCKS_H

#include "base/addr.h"

#define SOCKS_HEAD_MAX  262      /* the longer of greeting and request */
#define SOCKS_REPLY_MAX 10

enum socks_code {                /* of a reply */
	SOCKS_OK, SOCKS_FAILED, SOCKS_FORBIDDEN, SOCKS_NO_NETWORK, SOCKS_NO_HOST, SOCKS_REFUSED, SOCKS_TTL, SOCKS_NO_COMMAND,
	SOCKS_NO_ADDRESS_TYPE,
};

enum socks_step {
	SOCKS_MORE,              /* bytes are missing */
	SOCKS_GREETED,           /* send `reply` and go on */
	SOCKS_ASKED,             /* connect to `to`, or to `host` at to.port; then answer with socks_reply */
	SOCKS_BAD,               /* send `reply`, if there is one, and close */
};

/* All zero is a valid start. */
struct socks {
	uint8_t head[SOCKS_HEAD_MAX];
	uint16_t n;
	bool greeted;
	uint8_t reply[SOCKS_REPLY_MAX];
	uint8_t reply_n;
	struct addr to;
	char host[256];          /* "": `to` is an address. Any bytes but NUL: not checked further */
};

/* Takes bytes off the input until there is something to do; what follows the request stays in it. */
enum socks_step socks_take(struct socks *s, struct str *input);
/* The answer to a request; the bound address is not told (0.0.0.0:0). Returns its length. */
size_t socks_reply(enum socks_code code, uint8_t out[SOCKS_REPLY_MAX]);

#endif
