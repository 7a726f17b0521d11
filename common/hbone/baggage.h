/* SPDX-License-Identifier: Apache-2.0 */
/* What HBONE headers say of a workload, of who asks, and of the request: baggage, forwarded, traceparent, authority. Parsers of bytes
 * from outside: bounded, never fail loudly; malformed means empty. */
#ifndef HBONE_BAGGAGE_H
#define HBONE_BAGGAGE_H

#include "base/addr.h"
#include "base/buf.h"
#include "base/str.h"

struct baggage {
	struct str cluster, ns, workload_name, workload_type, service_name, revision, region, zone;   /* borrowed */
};

void baggage_parse(struct str value, struct baggage *ret);    /* adds to ret: headers may repeat */
void baggage_format(const struct baggage *b, struct buf *out);
void forwarded_format(const struct addr *source, struct str host, struct buf *out);
struct str forwarded_host(struct str value);
/* Its first `for`, if that is an address that others may have, with a port; else port 0. */
struct addr forwarded_for(struct str value);
bool traceparent_valid(struct str value);
void traceparent_make(char text[56]);
/* "1.2.3.4:80", "[::1]:80" or "host:80": ret->port always, host empty when it is an address. 0 or -EINVAL. */
int authority_parse(struct str authority, struct addr *ret, struct str *host);

#endif
