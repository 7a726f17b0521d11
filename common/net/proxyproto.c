/* SPDX-License-Identifier: Apache-2.0 */
#include "net/proxyproto.h"

#include <stdio.h>
#include <string.h>

#define TLV_IDENTITY 0xD0

static uint8_t *put(uint8_t *p, const void *from, size_t n)
{
	memcpy(p, from, n);
	return p + n;
}

static uint8_t *put_u16(uint8_t *p, size_t v)
{
	*p++ = (uint8_t)(v >> 8);
	*p++ = (uint8_t)v;
	return p;
}

size_t proxyproto_v2(const struct addr *src, const struct addr *dst, struct str identity, uint8_t out[PROXYPROTO_MAX])
{
	static const uint8_t signature[12] = "\r\n\r\n\0\r\nQUIT\n";
	bool v4 = ip_is_v4(&src->ip);
	bool mixed = v4 != ip_is_v4(&dst->ip);
	size_t skip = v4 ? 12 : 0;      /* an IPv4 address is the tail of its mapped form */
	uint8_t *p = out;

	if (identity.n > PROXYPROTO_IDENTITY_MAX)
		return 0;
	p = put(p, signature, sizeof(signature));
	*p++ = 0x21;                                       /* version 2, PROXY */
	*p++ = (uint8_t)((mixed ? 0 : v4 ? 0x10 : 0x20) | 1); /* family, STREAM */
	p += 2;                                            /* the length, below */
	if (!mixed) {
		p = put(p, src->ip.b + skip, sizeof(src->ip.b) - skip);
		p = put(p, dst->ip.b + skip, sizeof(dst->ip.b) - skip);
		p = put_u16(p, src->port);
		p = put_u16(p, dst->port);
	}
	if (identity.n > 0) {
		*p++ = TLV_IDENTITY;
		p = put_u16(p, identity.n);
		p = put(p, identity.p, identity.n);
	}
	put_u16(out + 14, (size_t)(p - out) - 16);
	return (size_t)(p - out);
}

size_t proxyproto_v1(const struct addr *src, const struct addr *dst, char out[PROXYPROTO_V1_MAX])
{
	char from[ADDR_TEXT], to[ADDR_TEXT];
	bool v4 = ip_is_v4(&src->ip);
	int n;

	if (v4 != ip_is_v4(&dst->ip))
		n = snprintf(out, PROXYPROTO_V1_MAX, "PROXY UNKNOWN\r\n");
	else
		n = snprintf(out, PROXYPROTO_V1_MAX, "PROXY TCP%c %s %s %u %u\r\n", v4 ? '4' : '6', ip_format(&src->ip, from),
			     ip_format(&dst->ip, to), src->port, dst->port);
	return (size_t)n;
}
