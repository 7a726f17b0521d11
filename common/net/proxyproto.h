/* SPDX-License-Identifier: Apache-2.0 */
/* Writes headers of the PROXY protocol: version 2 as ztunnel sends it to an application that asks for it, and 1 and 2 as a
 * DestinationRule's proxyProtocol asks for. */
#ifndef NET_PROXYPROTO_H
#define NET_PROXYPROTO_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

#define PROXYPROTO_IDENTITY_MAX 2048    /* a SPIFFE ID is never longer */
#define PROXYPROTO_MAX          (16 + 36 + 3 + PROXYPROTO_IDENTITY_MAX)

/* A PROXY command for a TCP stream from src to dst; a pair of mixed families is sent as UNSPEC, without addresses.
 * identity: the peer's SPIFFE URI, goes into TLV 0xD0; n == 0 leaves the TLV out.
 * Returns the length, or 0 when the identity is longer than PROXYPROTO_IDENTITY_MAX. */
size_t proxyproto_v2(const struct addr *src, const struct addr *dst, struct str identity, uint8_t out[PROXYPROTO_MAX]);

#define PROXYPROTO_V1_MAX 108    /* with the NUL */
/* "PROXY TCP4 1.2.3.4 5.6.7.8 1000 80\r\n"; of mixed families "PROXY UNKNOWN\r\n". Returns the length. */
size_t proxyproto_v1(const struct addr *src, const struct addr *dst, char out[PROXYPROTO_V1_MAX]);

#endif
