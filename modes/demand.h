/* SPDX-License-Identifier: Apache-2.0 */
/* What workers look for and the mesh does not have, where the control plane tells only what it is asked for (XDS_ON_DEMAND).
 * Workers ask, the control thread answers; an answer is good for a moment. */
#ifndef MODES_DEMAND_H
#define MODES_DEMAND_H

#include "base/str.h"
#include "io/loop.h"

struct demand;

enum demand_answer {
	DEMAND_DONE,        /* the control plane has said all it has: look once, then take it for unknown */
	DEMAND_ASKED,       /* the answer comes with the next proxy_wake */
	DEMAND_SILENT,      /* no answer came, or too much is asked: nobody may be taken for unknown now */
};

/* on_ask comes on the control thread, once for each name that waits for an answer. */
struct demand *demand_new(struct loop *control, void (*on_ask)(void *arg, struct str name), void *arg);
void demand_free(struct demand *d);                                      /* after the workers; NULL is allowed */
/* "network/ip" or "namespace/hostname". Any thread; d NULL: DEMAND_DONE. */
enum demand_answer demand_ask(struct demand *d, struct str name);
void demand_tell(struct demand *d, struct str name, enum demand_answer a);   /* the control thread; then wake who waits */

#endif
