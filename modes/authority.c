/* SPDX-License-Identifier: Apache-2.0 */
#include "modes/authority.h"

#include "modes/proxy.h"

static uint16_t target_of(const struct service *s, const struct workload *w, uint16_t port)
{
	const struct endpoint *e = endpoints_find(s->endpoints, str_c(w->uid));
	uint16_t target = e ? endpoint_target(e, port) : 0;

	if (target)
		return target;
	for (int p = 0; p < s->n_ports; p++)
		if (s->ports[p].port == port)
			return s->ports[p].named ? 0 : s->ports[p].target ? s->ports[p].target : port;
	return 0;
}

static bool has_app_tunnel(const struct workload *w)
{
	return w->app_tunnel_port || w->proxy_protocol;
}

/* The address is another's, but this workload is its waypoint. */
static bool is_waypoint_of(const struct mesh *m, const struct workload *w, const struct ip *ip)
{
	struct str network = str_c(mesh_settings(m)->network);
	struct workload *target = mesh_workload_by_ip(m, network, ip);
	struct service *s = target ? NULL : mesh_service_by_vip(m, network, ip, str_c(w->ns));

	return target ? mesh_is_gateway(m, target->waypoint, w) : s && dest_serves(m, w, s);
}

static enum fail by_name(const struct mesh *m, const struct workload *w, uint16_t port, struct str host,
			 const struct authority_dice *dice, struct authority *ret)
{
	struct service *s = mesh_service_by_host(m, host, str_c(w->ns));
	struct dest d;

	ret->service = s;
	if (s && !endpoints_find(s->endpoints, str_c(w->uid)) &&
	    dest_forward(m, w, host, port, NULL, dice->seed, dice->now_ms, &d)) {
		ret->to = d.connect;
		ret->forward = true;
		return FAIL_NONE;
	}
	ret->to.port = s ? target_of(s, w, port) : 0;
	if (!ret->to.port)
		return FAIL_UNKNOWN_AUTHORITY;
	ret->asked = dest_address_of(s, mesh_settings(m)->network, port);
	return has_app_tunnel(w) && w->proxy_protocol && !ret->asked.port ? FAIL_UNKNOWN_AUTHORITY : FAIL_NONE;
}

bool authority_resolve(const struct mesh *m, const struct workload *w, const struct ip *local, const struct addr *at,
		       struct str host, const struct authority_dice *dice, struct authority *ret)
{
	*ret = (struct authority){ .to = { *local, at->port }, .asked = *at };
	if (host.n)
		ret->why = by_name(m, w, at->port, host, dice, ret);
	else if (!ip_eq(&at->ip, local) && !has_app_tunnel(w) && !is_waypoint_of(m, w, &at->ip))
		ret->why = FAIL_WRONG_AUTHORITY;
	if (ret->why != FAIL_NONE || ret->forward)
		return ret->why == FAIL_NONE;
	if (proxy_own_port(ret->to.port)) {
		ret->why = FAIL_LOOP;
		return false;
	}
	if (w->app_tunnel_port)
		ret->to.port = w->app_tunnel_port;
	ret->app_tunnel = w->proxy_protocol;
	return true;
}

/* ---- at a waypoint ---- */

bool authority_served(const struct mesh *m, const struct workload *w, const struct addr *at, struct str host, struct authority *ret)
{
	*ret = (struct authority){ .to = *at, .asked = *at };
	ret->why = dest_served(m, w, at, host, &ret->to, &ret->service);
	if (ret->why == FAIL_NONE && !ret->service && proxy_own_port(at->port))
		ret->why = FAIL_LOOP;
	return ret->why == FAIL_NONE;
}
