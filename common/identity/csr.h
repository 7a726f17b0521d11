/* SPDX-License-Identifier: Apache-2.0 */
/* A certificate request as Istio's CAs take it (RFC 2986): a fresh P-256 key, empty subject, one URI name, SHA-256. */
#ifndef IDENTITY_CSR_H
#define IDENTITY_CSR_H

#include "identity/secret.h"

/* Both in PEM. The name is critical, as RFC 5280, 4.2.1.6 wants it where the subject is empty. -EINVAL: id is no SPIFFE ID. */
int csr_new(struct str id, struct secret *ret_key, struct secret *ret_csr, struct err *err);

#endif
