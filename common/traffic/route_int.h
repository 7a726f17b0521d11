/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRAFFIC_ROUTE_INT_H
#define TRAFFIC_ROUTE_INT_H

#include "base/arena.h"
#include "traffic/route.h"

#define ROUTE_TEXT 1024                  /* longest path or host that is lowered for a look-up */

/* What of a request routes look at. */
struct route_ask {
	const struct exchange *x;
	struct str path, query;          /* path without the query; query p NULL: none */
};

struct route_ask route_ask_of(const struct exchange *x);
bool text_matches(const struct text_match *m, struct str value);
/* path_known: the path is known to match. */
bool route_matches(const struct route *r, const struct route_ask *ask, bool path_known);
/* How much of the path the match covers: of prefixes their length, else all. */
size_t route_matched_bytes(const struct route *r, struct str path);

/* Which routes of a list a path may lead to. NULL: the list is too short to be worth it. */
struct route_index;
struct route_index *route_index_new(const struct route *routes, int n, struct arena *mem);
void route_index_done(struct route_index *i);    /* what is not in the arena; NULL ok */
const struct route *route_index_find(const struct route_index *i, const struct route_ask *ask);

/* Puts host, with its port cut off, in lower case into text (ROUTE_TEXT bytes). */
struct str route_host(struct str authority, char *text);
/* Of the exchange's authority, the part before the port. */
struct str route_without_port(struct str authority);

/* Where a redirect leads; in the exchange's arena. */
struct str route_location(struct exchange *x, const struct route *r);

#endif
