/* SPDX-License-Identifier: Apache-2.0 */
/* The TLS stage over any other stage: TLS 1.3 by OpenSSL, and 1.2 towards Istio's sidecars and the web. Full records are encrypted straight from the writer's memory,
 * small writes are gathered into one record per turn, ciphertext leaves in as few writes as possible. */
#ifndef TLS_TLS_H
#define TLS_TLS_H

#include "base/buf.h"
#include "io/stage.h"
#include "tls/tlsctx.h"

/* Takes over `below` (connected or connecting). OPEN follows when the handshake is done and the peer was verified, or
 * CLOSED: FAIL_TLS, FAIL_TLS_TIMEOUT, FAIL_WRONG_IDENTITY, FAIL_CERT_REVOKED. `expect`: SPIFFE IDs of which the peer must
 * have one (client side), copied; n == 0: any that tlsctx trusts. NULL when memory is out (below is ended). */
struct stage *tls_client(struct stage *below, struct tlsctx *ctx, const struct str *expect, int n_expect);
/* Right after tls_client: the session may be resumed by, and may resume, one with the same key, context and expected peers. Without
 * it there is a full handshake. key is copied; any bytes that mean this peer. */
void tls_resume(struct stage *s, struct str key);
struct stage *tls_server(struct stage *below, struct tlsctx *ctx);

/* What is offered (client) or chosen from the client's offer (server). */
enum tls_alpn {
	TLS_ALPN_HBONE,              /* h2, and TLS 1.3 alone: the default. A server refuses who offers something else only */
	/* Istio's mutual TLS between sidecars, TLS 1.2 and 1.3. A server chooses nothing where it shares nothing with the client. */
	TLS_ALPN_ISTIO_TCP,          /* client: istio-peer-exchange, istio; server: istio-peer-exchange, h2, http/1.1 */
	TLS_ALPN_ISTIO_HTTP1,        /* client: istio-http/1.1, istio, http/1.1; server: h2, http/1.1 */
	TLS_ALPN_ISTIO_HTTP2,        /* client: istio-h2, istio, h2; server: as HTTP1 */
	/* Towards the web, TLS 1.2 and 1.3. */
	TLS_ALPN_HTTP1,              /* http/1.1 */
	TLS_ALPN_HTTP2,              /* client: h2; server: h2, http/1.1 */
	TLS_ALPN_NONE,
};
/* Right after tls_client or tls_server. */
void tls_set_alpn(struct stage *s, enum tls_alpn a);
bool tls_set_expect(struct stage *s, const struct str *expect, int n_expect);   /* a server's: of its clients; copied. False: no memory */
void tls_set_sni(struct stage *s, struct str name);      /* client; copied; empty or an address: none is sent */

/* After OPEN: the peer's SPIFFE ID ("spiffe://td/ns/x/sa/y"); "" when it has none. Borrowed from the stage. */
struct str tls_peer_id(const struct stage *s);
/* After OPEN: the agreed protocol, the server's name that the client asked for; "": none. */
struct str tls_alpn(const struct stage *s);
struct str tls_sni(const struct stage *s);
/* After OPEN of a server: the X-Forwarded-Client-Cert element of this connection: By, Hash, Subject, URI, DNS. Nothing without a
 * client certificate. */
void tls_xfcc(const struct stage *s, struct buf *out);
struct stage *tls_below(const struct stage *s);          /* borrowed */
bool tls_was_resumed(const struct stage *s);
/* Why the handshake failed, for the log; "" when it did not. */
const char *tls_error(const struct stage *s);
/* True while the peer's chain is not revoked under the CRL of `now`. Its dates count in the handshake alone: a peer renews its
 * certificate, and a connection cannot show the new one. */
bool tls_still_valid(const struct stage *s, struct tlsctx *now);
/* True when the certificate that the peer showed has ended meanwhile: a new stream should wait for a new connection. */
bool tls_expired(const struct stage *s);

#endif
