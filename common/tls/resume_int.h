/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions that are resumed (RFC 8446, 2.2), with (EC)DHE and without early data. A ticket's key lives and dies with the
 * context that made it, so a ticket is bound to our identity and role, our certificate, and everything that was trusted. It names the
 * peer's certificate, which is judged again when it is shown. */
#ifndef TLS_RESUME_INT_H
#define TLS_RESUME_INT_H

#include <openssl/ssl.h>

#include "tls/tlsctx_int.h"

/* What a context keeps for it: the issuers that its peers showed, and tickets that it may show. Any thread. */
struct resume;

/* For TLS 1.3 contexts. NULL: no memory, and full handshakes from then on are no error. */
struct resume *resume_new(void);
void resume_free(struct resume *r);      /* NULL ok */
bool resume_server(struct tlsctx *c);    /* false: OpenSSL does not want it */
void resume_client(struct tlsctx *c);

/* Client side, before the first byte: offers a session from before with v->session_key, if there is a good one. */
void resume_offer(struct tlsctx *c, SSL *ssl, struct tls_verify *v);

/* The chain that the peer was verified by, now or when the session began; leaf first. Borrowed; NULL: none. */
STACK_OF(X509) *resume_chain(SSL *ssl);

#endif
