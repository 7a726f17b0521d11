/* SPDX-License-Identifier: Apache-2.0 */
/* XDS_ON_DEMAND: what a worker misses is asked of the control plane. */
#include <stdlib.h>

#include "modes/demand.h"
#include "src/serve_int.h"

#define ANSWER_MS (LIMIT_POD_WAIT_MS * 4 / 5)     /* before the connection gives up */

struct question {
	struct serve *s;
	char name[];
};

static void on_answer(void *arg, enum ads_answer answer)
{
	struct question *q = arg;

	demand_tell(q->s->demand, str_c(q->name), answer == ADS_NO_ANSWER ? DEMAND_SILENT : DEMAND_DONE);
	if (q->s->proxy)
		proxy_wake(q->s->proxy);
	free(q);
}

static void on_ask(void *arg, struct str name)
{
	struct serve *s = arg;
	struct question *q = xcalloc(1, sizeof(*q) + name.n + 1);

	q->s = s;
	memcpy(q->name, name.p, name.n);
	if (!s->ads || !ads_want(s->ads, 0, name, ANSWER_MS, on_answer, q))
		on_answer(q, ADS_NO_ANSWER);
}

void serve_demand_start(struct serve *s)
{
	if (s->set.on_demand && s->xds_channel)
		s->demand = demand_new(s->loop, on_ask, s);
}
