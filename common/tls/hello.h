/* SPDX-License-Identifier: Apache-2.0 */
/* A look at a TLS ClientHello (RFC 8446 4.1.2, RFC 6066 3, RFC 7301) before anybody answers it: which server is meant, and
 * whether Istio's mutual TLS is offered. */
#ifndef TLS_HELLO_H
#define TLS_HELLO_H

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/* What the ALPN offers of Istio; where both are offered, the first decides, as with Envoy's filter chains. */
enum hello_istio {
	HELLO_ISTIO_NONE,        /* the application's own TLS */
	HELLO_ISTIO_TCP,         /* "istio", "istio-peer-exchange" */
	HELLO_ISTIO_HTTP,        /* "istio-http/1.0", "istio-http/1.1", "istio-h2" */
};

struct hello {
	char sni[256];           /* in lower case; "": none */
	enum hello_istio istio;
	bool h2;                 /* "h2" is offered */
};

enum hello_state {
	HELLO_MORE,              /* it is not complete */
	HELLO_OK,
	HELLO_NONE,              /* this is no TLS */
};

/* The first n bytes that a client sent. Decides at the first byte that can be no ClientHello. One of more than
 * LIMIT_HELLO_BYTES counts as none. ret is set for OK only. */
enum hello_state hello_parse(const uint8_t *p, size_t n, struct hello *ret);

#endif
