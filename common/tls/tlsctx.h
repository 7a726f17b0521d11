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
	struct str more_roots_pem;          /* trusted too; may repeat some. Empty: none */
	struct str crl_pem;                 /* PEM concatenation or one DER; empty: no CRL */
	const struct str *trust_domains;    /* own first (empty: that of cert_chain_pem), then aliases: what a peer may come from */
	int n_trust_domains;
	bool allow_tls12;
	bool check_chain;                   /* refuse a chain of our own that is not good now, or does not lead to roots_pem */
};

int tlsctx_new(const struct tlsctx_conf *conf, struct tlsctx **ret, struct err *err);
struct tlsctx *tlsctx_ref(struct tlsctx *c);      /* any thread */
void tlsctx_unref(struct tlsctx *c);              /* NULL ok; the key is wiped with the last reference */
struct str tlsctx_identity(const struct tlsctx *c);       /* own SPIFFE ID */
int64_t tlsctx_not_before(const struct tlsctx *c);        /* Unix seconds */
int64_t tlsctx_not_after(const struct tlsctx *c);         /* of the leaf or an intermediate, whichever ends first */
/* Nobody but the caller has a reference. Means something only while nobody can get one. */
bool tlsctx_is_idle(const struct tlsctx *c);
/* 0 when text is what tlsctx_conf.more_roots_pem takes, else -errno. */
int tlsctx_check_roots(struct str text, struct err *err);
/* 0 when text is what tlsctx_conf.crl_pem takes, else -errno. */
int tlsctx_check_crl(struct str text, struct err *err);

#endif
