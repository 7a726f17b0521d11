/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates turned into OpenSSL contexts: one per identity and rotation, shared by all workers, refcounted and
 * immutable. Verification: chain to the roots, exactly one URI SAN and it is a SPIFFE ID (X.509-SVID), its trust
 * domain is one of ours, CRLs when there are any (unknown status is allowed, CRL expiry ignored). */
#ifndef TLS_TLSCTX_H
#define TLS_TLSCTX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct tlsctx;

struct tlsctx_conf {
	struct str cert_chain_pem;          /* leaf first, then intermediates */
	struct str key_pem;                 /* wiped by nobody here: the caller owns it */
	struct str roots_pem;               /* one or more */
	struct str crl_pem;                 /* PEM concatenation or one DER; empty: no CRL */
	const struct str *trust_domains;    /* own first, then aliases: what a peer may come from */
	int n_trust_domains;
	bool allow_tls12;
};

int tlsctx_new(const struct tlsctx_conf *conf, struct tlsctx **ret, struct err *err);
struct tlsctx *tlsctx_ref(struct tlsctx *c);      /* any thread */
void tlsctx_unref(struct tlsctx *c);              /* NULL ok; the key is wiped with the last reference */
struct str tlsctx_identity(const struct tlsctx *c);       /* own SPIFFE ID */
int64_t tlsctx_not_before(const struct tlsctx *c);        /* Unix seconds */
int64_t tlsctx_not_after(const struct tlsctx *c);
/* 0 when text is what tlsctx_conf.crl_pem takes, else -errno. */
int tlsctx_check_crl(struct str text, struct err *err);

#endif
