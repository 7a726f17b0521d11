/* SPDX-License-Identifier: Apache-2.0 */
/* What a certificate says of its holder, as text. */
#ifndef TLS_CERTTEXT_INT_H
#define TLS_CERTTEXT_INT_H

#include <openssl/x509.h>

#include "base/buf.h"

/* "Hash=…;Subject="…";URI=…;DNS=…": Envoy's element of X-Forwarded-Client-Cert, after By. */
void certtext_xfcc(X509 *cert, struct buf *out);

#endif
