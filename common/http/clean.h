/* SPDX-License-Identifier: Apache-2.0 */
/* What a request may say of who sent it, settled by what its connection is, as Envoy's connection manager does with Istio's settings:
 * client certificates, forwarded headers, what only proxies inside may say. In each chain it comes before all that looks at a request. */
#ifndef HTTP_CLEAN_H
#define HTTP_CLEAN_H

#include "http/exchange.h"
#include "model/mesh.h"
#include "model/telemetry.h"

struct clean {
	bool inbound;
	bool waypoint;                       /* its clients' requests came in the clear in a tunnel */
	enum tele_xfcc xfcc;                 /* what becomes of x-forwarded-client-cert */
	bool no_subject, no_uri, no_dns;     /* in our own element */
	bool forwarded_port;                 /* x-forwarded-port is added */
};

void clean_init(struct clean *c, const struct proxy_headers *h, enum mesh_mode mode, bool inbound);
extern const struct filter_ops clean_filter;     /* conf: struct clean */

#endif
