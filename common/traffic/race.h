/* SPDX-License-Identifier: Apache-2.0 */
/* Connects to a host, to whichever of its addresses answers first (RFC 8305, "Happy Eyeballs"): the next one is tried after
 * LIMIT_RACE_MS, or as soon as one failed. */
#ifndef TRAFFIC_RACE_H
#define TRAFFIC_RACE_H

#include "traffic/router.h"

struct race;

/* p and ask, with its texts, are borrowed until the end. on_done comes once, never within the call: the stage is OPEN and now the
 * receiver's; or NULL: why, and what the last one said. NULL: out of memory. */
struct race *race_start(struct loop *l, struct connector *k, struct cluster *cl, const struct pick *p, const struct connect_ask *ask,
			void (*on_done)(void *arg, struct stage *s, const struct addr *to, enum fail why, const char *detail), void *arg);
void race_cancel(struct race *r, enum fail why);      /* before on_done; NULL ok */

#endif
