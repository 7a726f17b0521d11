/* SPDX-License-Identifier: Apache-2.0 */
/* RequestAuthentication: tokens of requests are verified, and what they say is kept in x->claims. As istiod has Envoy do it: a request
 * passes when one rule accepts its token, or when it has none at all. */
#ifndef POLICY_JWT_FILTER_H
#define POLICY_JWT_FILTER_H

#include "base/err.h"
#include "http/exchange.h"
#include "model/security.h"
#include "policy/jwt.h"

/* Makes a->compiled, before a is put into a mesh. Control thread. 0, or negative with the reason: keys that cannot be read. Keys by URI are
 * fetched from then on (policy/jwksource.h). */
int jwt_compile(struct request_authn *a, struct err *err);

/* Any thread: a workload here needs its keys. */
void jwt_touch(const struct request_authn *a);

/* What the filter would say of the exchange's request, with the keys at hand and without an answer: for offline questions, of which only x's
 * request, its fields, arena and client need to be there. JWT_FETCH: the token is good but for its signature, whose keys are elsewhere.
 * ret: its claims, with a reference (claims_unref); NULL: none. */
enum jwt_status jwt_ask(struct exchange *x, const struct claims **ret);

/* By x->client->local_workload: no token passes, a bad one is answered 401 (403 for its audience). conf: unused. */
extern const struct filter_ops jwt_filter;

#endif
