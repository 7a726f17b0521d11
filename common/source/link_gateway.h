/* SPDX-License-Identifier: Apache-2.0 */
/* Which waypoint and which gateway of its network an object has. */
#ifndef SOURCE_LINK_GATEWAY_H
#define SOURCE_LINK_GATEWAY_H

#include "base/arena.h"
#include "base/map.h"
#include "source/link.h"

struct gates {
	const struct link_input *in;
	struct arena a;
	struct map named;        /* "ns/name" -> struct conf_gateway */
	struct map networks;     /* the first of each */
	struct map spaces;       /* struct conf_namespace */
	struct map services;     /* of waypoints, by key -> struct conf_gateway */
};

void gates_init(struct gates *g, const struct link_input *in);
void gates_done(struct gates *g);
/* What the object's own labels, else its namespace's, name. NULL: none. A Gateway that is not there is reported; under
 * MESHD_ENFORCEMENT=closed it is required all the same. Lives as long as g and the input. */
const struct gateway *gates_waypoint(struct gates *g, const struct conf_obj *o, const char *ns, const struct conf_waypoint *own, bool workload);
/* Whether the service is a waypoint's own: it passes none. */
bool gates_service(const struct gates *g, const char *key);
/* w, or *placed: a copy of it with its waypoint and gateway, kept while it stays right. Borrowed. */
struct workload *gates_place(struct gates *g, const struct conf_obj *o, struct workload *w, struct workload **placed);

#endif
