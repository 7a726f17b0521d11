/* SPDX-License-Identifier: Apache-2.0 */
/* Header operations of a rule while it is compiled. */
#ifndef TRAFFIC_COMPILE_ROUTE_INT_H
#define TRAFFIC_COMPILE_ROUTE_INT_H

#include "traffic/compile_int.h"

struct edits {
	const struct vs_headers *of[2];      /* of the route, and of its only destination */
	int n;
	bool single;                         /* the rule names one destination */
	const char *authority;               /* "": as it is */
};

/* The later one has the last word, but not over the authority. */
void edits_merge(struct compile *c, const struct vs *v, struct edits *e, const struct vs_headers *h);   /* h NULL: nothing */
void edits_finish(struct compile *c, const struct vs *v, const struct edits *e, struct route *r);
void edits_of_target(struct compile *c, const struct vs *v, const struct vs_headers *h, struct route_target *t);

#endif
