/* SPDX-License-Identifier: Apache-2.0 */
/* Who sent a request, as Envoy sees it in Istio's sidecars (use_remote_address false): the last address of X-Forwarded-For, or the one
 * before `hops` trusted ones; without a usable one, the connection's peer. */
#ifndef TELEMETRY_REMOTE_H
#define TELEMETRY_REMOTE_H

#include "http/exchange.h"

/* Port 0: from X-Forwarded-For. hops: ProxyConfig.gatewayTopology.numTrustedProxies. */
struct addr remote_addr(const struct exchange *x, int hops);
/* Of these fields alone; false: none is usable. */
bool remote_forwarded(const struct http_field *v, int n, int hops, struct addr *ret);

#endif
