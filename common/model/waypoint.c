/* SPDX-License-Identifier: Apache-2.0 */
#include "model/waypoint.h"

#include <stdlib.h>

static const char *labelled(const struct workload *w)
{
	for (int i = 0; i < w->n_labels; i++)
		if (!strcmp(w->labels[i].key, "gateway.networking.k8s.io/gateway-name"))
			return w->labels[i].value;
	return NULL;
}

struct waypoint_name *waypoint_names(const struct mesh *m, const struct workload *w, int *n)
{
	const char *own = labelled(w);
	struct waypoint_name *v;
	struct resource **all;
	int n_all;

	*n = 0;
	if (own) {
		v = xmalloc(sizeof(*v));
		v[(*n)++] = (struct waypoint_name){ w->ns, own };
		return v;
	}
	all = mesh_resources(m, RESOURCE_WAYPOINT, str_c(""), &n_all);
	v = xcalloc((size_t)n_all + 1, sizeof(*v));
	for (int i = 0; i < n_all; i++) {
		const struct waypoint *p = (const struct waypoint *)(const void *)all[i];

		if (mesh_is_gateway(m, &p->at, w))
			v[(*n)++] = (struct waypoint_name){ p->r.ns, p->r.name };
	}
	free(all);
	return v;
}
