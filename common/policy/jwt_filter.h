/* SPDX-License-Identifier: Apache-2.0 */
/* RequestAuthentication: tokens of requests are verified, and what they say is kept in x->claims. Keys are fetched on the control
 * thread (policy/jwks.h). */
#ifndef POLICY_JWT_FILTER_H
#define POLICY_JWT_FILTER_H

#include "http/exchange.h"

/* By x->client->local_workload: no token passes, a bad one is answered 401. conf: unused. */
extern const struct filter_ops jwt_filter;

#endif
