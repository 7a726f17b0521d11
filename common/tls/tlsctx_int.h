/* SPDX-License-Identifier: Apache-2.0 */
/* What the TLS stage needs of a context, and how a handshake's verification is reported to it. */
#ifndef TLS_TLSCTX_INT_H
#define TLS_TLSCTX_INT_H

#include <openssl/ssl.h>

#include "base/fail.h"
#include "tls/tls.h"

#define TLS_ID_BYTES 256    /* a SPIFFE ID with its NUL; longer ones are refused */

struct tlsctx {
	_Atomic unsigned refs;
	SSL_CTX *server, *client;            /* owned */
	STACK_OF(X509_CRL) *crls;            /* owned; NULL: none */
	char id[TLS_ID_BYTES];
	struct str *trust_domains;           /* owned, the texts too */
	int n_trust_domains;
	int64_t not_before, not_after;
	struct resume *resume;               /* resume_int.h; NULL: full handshakes only */
	bool web;                            /* webctx.h: peers are named by DNS name or address; client only */
	bool insecure, any_name;             /* of a web context */
	const char *roots_hint, *name_hint;  /* static */
};

/* One handshake. Zero it, set expect, then SSL_set_app_data(ssl, v) before the first SSL_do_handshake. It and the context
 * must live until SSL_free. A peer that is refused gets a fitting alert by itself. */
struct tls_verify {
	const struct str *expect;            /* borrowed; client side: the peer must have one of these */
	int n_expect;                        /* 0: any that the context trusts */
	enum tls_alpn alpn;                  /* server side: what is chosen from */
	struct str session_key;              /* borrowed until SSL_free; client side: sessions are resumed among equal ones; empty: none */
	enum fail fail;                      /* FAIL_NONE, FAIL_TLS, FAIL_WRONG_IDENTITY, FAIL_CERT_REVOKED */
	char peer_id[TLS_ID_BYTES];          /* once the chain was good, also if the identity is not the wanted one */
	char error[768];                     /* a sentence: what was wanted, what came */
};

/* Borrowed. May be used from any thread: nothing in it changes after tlsctx_new. */
SSL_CTX *tlsctx_ssl(const struct tlsctx *c, bool server);

/* After SSL_do_handshake failed with SSL_ERROR_SSL: takes the thread's OpenSSL error queue and, unless verification already
 * said why, fills fail and error from it. */
void tlsctx_explain(struct tls_verify *v);

/* After SSL_do_handshake succeeded: fills peer_id of a resumed session's peer, judged again. False: fail and error say why. */
bool tlsctx_resumed(const struct tlsctx *c, SSL *ssl, struct tls_verify *v);

/* After the handshake: the peer's chain is not revoked under the CRL of `now`. */
bool tlsctx_peer_still_valid(const struct tlsctx *now, SSL *ssl);
bool tlsctx_peer_expired(SSL *ssl);

/* tlsctx.c, for webctx.c. */
struct tlsctx *tlsctx_alloc(void);                            /* one reference, all else zero */
X509_STORE *tlsctx_store(STACK_OF(X509) *roots);              /* NULL: no memory */
bool tlsctx_parameters(SSL_CTX *ssl, bool allow_tls12);
void tlsctx_choose_alpn(SSL_CTX *server);                     /* by tls_verify.alpn */
bool tlsctx_certs(SSL_CTX *ssl, STACK_OF(X509) *chain, EVP_PKEY *key);

/* verify.c, for tlsctx.c. */
int verify_peer(X509_STORE_CTX *store, void *tlsctx);         /* SSL_CTX_set_cert_verify_callback */
/* All but the chain's signatures: dates, CRL, name, trust domain. Fills only peer_id. */
bool verify_again(const struct tlsctx *c, STACK_OF(X509) *chain, struct tls_verify *v);
bool verify_revoked(const struct tlsctx *c, STACK_OF(X509) *chain, int *ret_depth);
int verify_spiffe_id(X509 *leaf, char ret[TLS_ID_BYTES], struct err *err);   /* exactly one URI SAN, a SPIFFE ID */

#endif
