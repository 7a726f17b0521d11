/* SPDX-License-Identifier: Apache-2.0 */
#include "modes/crowd.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/str.h"

#define HBONE_PORT 15008

struct search {
	const struct workload *w;
	struct service *found;
};

/* For its replicas a waypoint has a service with its HBONE port. */
static bool is_ours(const struct service *s, const struct workload *w)
{
	return service_port_at(s, HBONE_PORT) && endpoints_find(s->endpoints, str_c(w->uid));
}

static bool on_service(struct service *s, void *arg)
{
	struct search *q = arg;

	if (is_ours(s, q->w))
		q->found = s;
	return !q->found;
}

static struct service *find(struct crowd *c, const struct mesh *m, const struct workload *w)
{
	struct search q = { .w = w, .found = c->service ? mesh_service(m, str_c(c->service)) : NULL };

	if (q.found && is_ours(q.found, w))
		return q.found;
	q.found = NULL;
	mesh_each_service(m, on_service, &q);
	free(c->service);
	c->service = q.found ? xstrdup(q.found->key) : NULL;
	return q.found;
}

void crowd_look(struct crowd *c, const struct mesh *m, const struct workload *w, uint64_t now_ms)
{
	const struct service *s;
	int n = 0;

	if (c->generation == mesh_generation(m))
		return;
	c->generation = mesh_generation(m);
	s = find(c, m, w);
	for (int i = 0; s && i < s->endpoints->n; i++)
		n += endpoints_at(s->endpoints, i)->workload->healthy;
	if (c->n && n > c->n)
		c->grew_ms = now_ms;
	c->n = n;
}

bool crowd_leaves(const struct crowd *c, uint64_t opened_ms, uint64_t dice, uint64_t now_ms)
{
	return c->grew_ms && opened_ms <= c->grew_ms && now_ms >= c->grew_ms + dice % LIMIT_REBALANCE_MS;
}

void crowd_done(struct crowd *c)
{
	free(c->service);
}
