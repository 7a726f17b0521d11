/* SPDX-License-Identifier: Apache-2.0 */
/* SPIFFE IDs in Istio's form: spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE-ACCOUNT. */
#ifndef TLS_SPIFFE_H
#define TLS_SPIFFE_H

#include "base/str.h"

struct spiffe {
	struct str trust_domain, ns, sa;   /* borrowed from the text */
};

/* 0 or -EINVAL: another scheme, an empty part, or not exactly five segments. */
int spiffe_parse(struct str id, struct spiffe *ret);

#endif
