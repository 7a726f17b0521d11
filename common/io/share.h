/* SPDX-License-Identifier: Apache-2.0 */
/* Divides a loop's turns among parties, so that one with ten thousand busy sockets does not make another's first one wait.
 * Readiness is level-triggered: an event that is passed over comes again in the next turn. */
#ifndef IO_SHARE_H
#define IO_SHARE_H

#include "io/loop.h"

struct share {
	struct loop *loop;
	unsigned refs;           /* sockets that linger outlive their party */
	unsigned long turn;      /* of the loop, in which spent_ns was spent */
	uint64_t spent_ns, began_ns;
};

/* All on the loop's thread. */
struct share *share_new(struct loop *l);
struct share *share_ref(struct share *s);      /* NULL ok */
void share_unref(struct share *s);
/* False: this party had its part of LIMIT_TURN_US; leave the event alone. Else work, then share_end. NULL: nobody counts. */
bool share_begin(struct share *s);
void share_end(struct share *s);

#endif
