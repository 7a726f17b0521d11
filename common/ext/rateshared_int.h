/* SPDX-License-Identifier: Apache-2.0 */
/* The question and the answer; what is made lives in the arena. */
#ifndef EXT_RATESHARED_INT_H
#define EXT_RATESHARED_INT_H

#include "ext/headeredit.h"
#include "policy/ratelimit.h"

/* The body of a ShouldRateLimit call, with gRPC's prefix. All questions are of one object. */
struct str rateshared_ask(struct arena *a, const struct rate_question *q, int n);

struct rateshared_answer {
	bool over;                           /* a rule that is no dry run says so */
	bool known;                          /* `tightest` was said */
	struct rate_status tightest;         /* of what is over, else with the least that remains */
	struct header_edits request, response;
};
/* NULL; or what is wrong with the answer. */
const char *rateshared_answer(struct arena *a, const struct rate_question *q, int n, struct str body, struct rateshared_answer *ret);

#endif
