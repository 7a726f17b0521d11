/* SPDX-License-Identifier: Apache-2.0 */
/* External authorization: a CUSTOM AuthorizationPolicy asks a server (MeshConfig.extensionProviders envoyExtAuthzHttp and
 * envoyExtAuthzGrpc; protocols and edge cases as Envoy's filter envoy.filters.http.ext_authz). Who answers 200 allows and may
 * edit the request; what cannot be asked is refused, unless the provider says failOpen. */
#ifndef EXT_EXTAUTHZ_H
#define EXT_EXTAUTHZ_H

#include "http/exchange.h"

/* For inbound chains, before authentication. x->arg must be a struct router_env. conf: unused. */
extern const struct filter_ops ext_authz_filter;

#endif
