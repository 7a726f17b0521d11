/* SPDX-License-Identifier: Apache-2.0 */
/* The TLS stage over any other stage: TLS 1.3 by OpenSSL. Full records are encrypted straight from the writer's memory,
 * small writes are gathered into one record per turn, ciphertext leaves in as few writes as possible. */
#ifndef TLS_TLS_H
#define TLS_TLS_H

#include "base/str.h"
#include "io/stage.h"
#include "tls/tlsctx.h"

/* Takes over `below` (connected or connecting). OPEN follows when the handshake is done and the peer was verified, or
 * CLOSED: FAIL_TLS, FAIL_TLS_TIMEOUT, FAIL_WRONG_IDENTITY, FAIL_CERT_REVOKED. `expect`: SPIFFE IDs of which the peer must
 * have one (client side), borrowed until OPEN or CLOSED; n == 0: any that tlsctx trusts. NULL when memory is out (below is ended). */
struct stage *tls_client(struct stage *below, struct tlsctx *ctx, const struct str *expect, int n_expect);
/* Right after tls_client: the session may be resumed by, and may resume, one with the same key, context and expected peers. Without
 * it there is a full handshake. key is copied; any bytes that mean this peer. */
void tls_resume(struct stage *s, struct str key);
struct stage *tls_server(struct stage *below, struct tlsctx *ctx);

/* After OPEN: the peer's SPIFFE ID ("spiffe://td/ns/x/sa/y"); "" when it has none. Borrowed from the stage. */
struct str tls_peer_id(const struct stage *s);
bool tls_was_resumed(const struct stage *s);
/* Why the handshake failed, for the log; "" when it did not. */
const char *tls_error(const struct stage *s);
/* True while the peer's chain is not revoked under the CRL of `now`. Its dates count in the handshake alone: a peer renews its
 * certificate, and a connection cannot show the new one. */
bool tls_still_valid(const struct stage *s, struct tlsctx *now);
/* True when the certificate that the peer showed has ended meanwhile: a new stream should wait for a new connection. */
bool tls_expired(const struct stage *s);

#endif
