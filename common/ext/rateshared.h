/* SPDX-License-Identifier: Apache-2.0 */
/* Rate limits that several proxies share: RateLimit objects whose `shared` names a server of Envoy's rate-limit protocol
 * (envoy.service.ratelimit.v3). All rules of an object that a request meets are one question to its server. */
#ifndef EXT_RATESHARED_H
#define EXT_RATESHARED_H

#include "http/exchange.h"

/* For inbound chains, after authorization. x->arg must be a struct router_env. conf: unused. */
extern const struct filter_ops rate_shared_filter;

#endif
