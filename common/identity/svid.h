/* SPDX-License-Identifier: Apache-2.0 */
/* One certificate with its key and the roots that came with it (an X.509-SVID), and what is trusted besides: both immutable
 * and shared, so that any thread may make a TLS context of them. */
#ifndef IDENTITY_SVID_H
#define IDENTITY_SVID_H

#include <stdbool.h>
#include <stdint.h>

#include "identity/secret.h"
#include "tls/tlsctx.h"

struct svid {
	_Atomic unsigned refs;
	struct certset set;                /* the only copy of the key in text; wiped with the last reference */
	int64_t not_before, not_after;     /* Unix seconds */
};

struct trust {
	_Atomic unsigned refs;
	struct secret crl;                 /* empty: none */
	struct secret roots;               /* PEM: more than those of the certificate itself; empty: none */
	struct str *domains;               /* owned, the texts too; n == 0: that of the certificate */
	int n_domains;
	bool allow_tls12;
};

/* Takes set over, in each case. check_chain: see tlsctx_conf. ret_ctx: the context that proved it good. */
int svid_new(struct certset *set, const struct trust *trust, bool check_chain, struct svid **ret, struct tlsctx **ret_ctx,
	     struct err *err);
struct svid *svid_ref(struct svid *s);      /* any thread */
void svid_unref(struct svid *s);            /* NULL ok */
int svid_ctx(const struct svid *s, const struct trust *trust, struct tlsctx **ret, struct err *err);

/* A copy to change before others see it; from NULL: an empty one. */
struct trust *trust_copy(const struct trust *from);
void trust_set_domains(struct trust *t, const struct str *domains, int n);
struct trust *trust_ref(struct trust *t);   /* any thread */
void trust_unref(struct trust *t);          /* NULL ok */

#endif
