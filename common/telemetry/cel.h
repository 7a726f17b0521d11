/* SPDX-License-Identifier: Apache-2.0 */
/* The part of CEL that access-log filters, metric tags and %CEL()% of Istio use, over Envoy's attributes of a request or connection
 * (envoy: intro/arch_overview/advanced/attributes): ||, &&, !, ==, !=, <, <=, >, >=, in, ?:, +, lists, has(), size(), startsWith(), endsWith(),
 * contains(), matches(), string(), int(), duration(). Types are checked when it runs: what does not fit is an error, and an error is no match. */
#ifndef TELEMETRY_CEL_H
#define TELEMETRY_CEL_H

#include "base/err.h"
#include "http/exchange.h"

#define CEL_TEXT_BYTES 4096
#define CEL_DEPTH      40

struct cel;

/* 0, -EINVAL, or -ENOTSUP: an attribute or function that meshd does not have, by name. Immutable, any thread. */
int cel_parse(struct str text, struct cel **ret, struct err *err);
void cel_free(struct cel *c);                        /* NULL ok */
bool cel_match(const struct cel *c, const struct exchange *x);
/* What it is as text, borrowed from x, c or scratch; p NULL: an error, an absent attribute or null. */
struct str cel_text(const struct cel *c, const struct exchange *x, char *scratch, size_t size);
/* Whether its value can change while the request runs: false for what is known once the connection is. */
bool cel_is_constant(const struct cel *c);

#endif
