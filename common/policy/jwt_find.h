/* SPDX-License-Identifier: Apache-2.0 */
/* Where tokens are in a request, and taking them out of it. As Envoy's extractor. */
#ifndef POLICY_JWT_FIND_H
#define POLICY_JWT_FIND_H

#include "http/exchange.h"
#include "model/security.h"

enum jwt_place { JWT_IN_HEADER, JWT_IN_PARAM, JWT_IN_COOKIE };
struct jwt_found {
	enum jwt_place place;
	const char *name;
	struct str token;            /* of the request or its arena */
};

/* In the order of the rule: headers, parameters, cookies; at most max. How many. */
int jwt_find(struct exchange *x, const struct jwt_rule *r, struct jwt_found *ret, int max);
/* The whole header goes, or the parameter; cookies stay. */
void jwt_take_out(struct exchange *x, const struct jwt_found *f);

#endif
