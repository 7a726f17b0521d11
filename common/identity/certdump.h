/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IDENTITY_CERTDUMP_H
#define IDENTITY_CERTDUMP_H

#include "base/buf.h"

/* Appends a JSON array as ztunnel's /config_dump has it: {pem (base64), serialNumber, validFrom, expirationTime} per certificate.
 * pem: certificates only; empty gives []. */
void certdump_array(struct buf *out, struct str pem);

#endif
