/* SPDX-License-Identifier: Apache-2.0 */
/* What a waypoint is asked for, if it is one of those that name it. */
#include "traffic/dest.h"

struct serving { const struct mesh *m; const struct workload *w; struct service *found; };

static bool serves(struct service *s, void *arg)
{
	struct serving *v = arg;

	if (dest_serves(v->m, v->w, s))
		v->found = s;
	return !v->found;
}

struct addr dest_address_of(const struct service *s, const char *network, uint16_t port)
{
	const struct vip *best = NULL;
	int rank, best_rank = -1;

	for (int i = 0; i < s->n_vips; i++) {
		rank = strcmp(s->vips[i].network, network) ? 0 : ip_is_v4(&s->vips[i].cidr.ip) ? 2 : 1;
		if (rank <= best_rank)
			continue;
		best = &s->vips[i];
		best_rank = rank;
	}
	return best ? (struct addr){ best->cidr.ip, port } : (struct addr){ .port = 0 };
}

static enum fail by_name(const struct mesh *m, const struct workload *w, uint16_t port, struct str host, struct addr *ret, struct service **ret_service)
{
	struct serving v = { m, w, NULL };

	mesh_each_service_called(m, host, serves, &v);
	for (size_t at = 1; !v.found && at < host.n; at++) {       /* the longest wildcard that it is in */
		char wild[256] = "*";

		if (host.p[at] != '.' || host.n - at >= sizeof(wild))
			continue;
		memcpy(wild + 1, host.p + at, host.n - at);
		mesh_each_service_called(m, (struct str){ wild, host.n - at + 1 }, serves, &v);
	}
	if (!v.found)
		return FAIL_NOT_SERVED;
	*ret_service = v.found;
	*ret = dest_address_of(v.found, mesh_settings(m)->network, port);
	ret->port = port;
	return FAIL_NONE;
}

/* A service first, as those who dial it look. */
static enum fail by_address(const struct mesh *m, const struct workload *w, const struct addr *at, struct service **ret_service)
{
	struct str network = str_c(mesh_settings(m)->network);
	struct service *s = mesh_service_by_vip(m, network, &at->ip, str_c(w->ns));
	struct workload *target = s ? NULL : mesh_workload_by_ip(m, network, &at->ip);

	/* A waypoint's own workload, though its namespace may name it: that would come back here for ever. */
	if (target && (!strcmp(target->uid, w->uid) || mesh_is_gateway(m, target->waypoint, target)))
		return FAIL_LOOP;
	if (s ? !dest_serves(m, w, s) : !target || !mesh_is_gateway(m, target->waypoint, w) || dest_only_by_service(m, target))
		return FAIL_NOT_SERVED;
	*ret_service = s;
	return FAIL_NONE;
}

enum fail dest_served(const struct mesh *m, const struct workload *w, const struct addr *at, struct str host, struct addr *ret, struct service **ret_service)
{
	*ret = *at;
	*ret_service = NULL;
	return host.n ? by_name(m, w, at->port, host, ret, ret_service) : by_address(m, w, at, ret_service);
}
