/* SPDX-License-Identifier: Apache-2.0 */
#include "traffic/dest.h"

#include "model/meshconfig.h"
#include "model/sidecarscope.h"
#include "policy/scope.h"
#include "traffic/dest_int.h"

static void expect(struct str *list, int *n, const char *id)
{
	if (*id && *n < DEST_EXPECT_MAX)
		list[(*n)++] = str_c(id);
}

/* Whom to find at a hop: the workload, or whoever the service says. */
static void expect_hop(struct dest *d, const struct hop *h)
{
	expect(d->expect, &d->n_expect, h->w->identity);
	for (int i = 0; h->via && i < h->via->n_sans; i++)
		expect(d->expect, &d->n_expect, h->via->sans[i]);
}

static void take_hop(struct dest *d, const struct hop *h)
{
	d->workload = h->w;
	d->connect = h->at;
	if (h->homeless)
		d->resolve = str_c(h->w->hostname);
	expect_hop(d, h);
}

static void none(struct dest *d, enum fail why, const struct gateway *missing)
{
	d->kind = DEST_NONE;
	d->workload = NULL;
	d->why = why;
	d->missing = missing;
}

static bool is_near(const struct dest_ask *a, const struct workload *w)
{
	return strcmp(w->network, a->network) == 0;
}

/* To another network: the gateway learns only which service is meant. What is behind it is known by its service's names. */
static void go_across(struct dest_ask *a, const struct hop *h, struct dest *d)
{
	struct hop gate;

	if (!dest_network_gate(a, h->w, &gate)) {
		none(d, FAIL_NO_GATEWAY, h->w->network_gateway);
		return;
	}
	take_hop(d, &gate);
	d->kind = DEST_DOUBLE;
	d->host = str_c(d->service->hostname);
	for (int i = 0; h->via && i < h->via->n_sans; i++)
		expect(d->inner, &d->n_inner, h->via->sans[i]);
}

static void go_to_waypoint(struct dest_ask *a, const struct gateway *g, bool across, struct dest *d)
{
	struct hop h;

	if (!dest_gate(a, g, PICK_WAYPOINT, &h)) {
		none(d, FAIL_NO_WAYPOINT, g);
		return;
	}
	d->waypoint = true;
	if (across && !is_near(a, h.w)) {
		go_across(a, &h, d);
	} else if (!is_near(a, h.w) || (h.homeless && !*h.w->hostname)) {
		none(d, FAIL_NO_WAYPOINT, g);
	} else {
		take_hop(d, &h);
		d->kind = DEST_HBONE;
	}
}

/* A sidecar takes Istio's mutual TLS unless it is told not to. */
static bool takes_mtls(const struct dest_ask *a, const struct workload *w, uint16_t port)
{
	const struct scope *s = w->tunnel == TUNNEL_ISTIO_MTLS ? scope_of(a->m, w, NULL) : NULL;
	enum mtls_mode mode;

	if (!s)
		return false;
	scope_peer_authn(s, port, &mode);
	return mode != MTLS_DISABLE;
}

static void go_direct(const struct dest_ask *a, const struct hop *h, struct dest *d)
{
	take_hop(d, h);
	d->target = h->at;
	d->kind = h->w->tunnel == TUNNEL_HBONE ? DEST_HBONE : takes_mtls(a, h->w, h->at.port) ? DEST_ISTIO_MTLS : DEST_PLAIN;
	if (d->kind == DEST_HBONE)
		d->connect.port = DEST_HBONE_PORT;
}

/* Its waypoint does not go through itself once more; nor is one its own waypoint. */
static bool needs_waypoint(const struct dest_ask *a, const struct workload *w)
{
	return w->waypoint && !(a->client && mesh_is_gateway(a->m, w->waypoint, a->client)) && !mesh_is_gateway(a->m, w->waypoint, w);
}

bool dest_only_by_service(const struct mesh *m, const struct workload *w)
{
	if (mesh_settings(m)->stance == STANCE_ISTIO || w->tunnel != TUNNEL_NONE || w->istio_mtls)
		return false;
	for (int i = 0; i < w->n_services; i++) {
		const struct service *s = mesh_service(m, str_c(w->services[i]));

		if (s && s->external && service_has_waypoint(s))
			return true;
	}
	return false;
}

static void go_to_workload(struct dest_ask *a, struct workload *w, struct dest *d)
{
	struct hop h = { .w = w, .at = a->original };

	d->service = NULL;
	if (dest_only_by_service(a->m, w))
		none(d, FAIL_NOT_WAYPOINT, NULL);
	else if (needs_waypoint(a, w))
		go_to_waypoint(a, w->waypoint, false, d);
	else if (dest_was_tried(a->tried, w))
		none(d, FAIL_NO_ENDPOINT, NULL);
	else
		go_direct(a, &h, d);
}

/* Endpoints that are out of reach for want of something are not the same as none. */
static enum fail why_none(const struct dest_ask *a, const struct service *s)
{
	for (int i = 0; i < s->endpoints->n; i++)
		if (!is_near(a, endpoints_at(s->endpoints, i)->workload))
			return s->n_sans ? FAIL_NO_GATEWAY : FAIL_NO_PEER_NAMES;
	return FAIL_NO_ENDPOINT;
}

/* addressed: the service is meant, not a workload that has the same address. */
static void go_to_service(struct dest_ask *a, struct service *s, bool addressed, struct dest *d)
{
	const struct gateway *waypoint = addressed ? dest_service_waypoint(s, a->seed) : NULL;
	struct hop h;

	if (waypoint)
		go_to_waypoint(a, waypoint, true, d);
	else if (s->lb_mode == LB_PASSTHROUGH)
		d->kind = DEST_PASSTHROUGH;
	else if (!dest_pick(a, s, a->original.port, PICK_ENDPOINT, &h))
		none(d, service_port_at(s, a->original.port) ? why_none(a, s) : FAIL_NO_ENDPOINT, NULL);
	else if (!is_near(a, h.w))
		go_across(a, &h, d);
	else if (!addressed && needs_waypoint(a, h.w))
		go_to_waypoint(a, h.w->waypoint, false, d);
	else if (h.homeless && !*h.w->hostname)
		none(d, FAIL_NO_ENDPOINT, NULL);
	else
		go_direct(a, &h, d);
}

static void ask_init(struct dest_ask *a, const struct mesh *m, const struct workload *client, const struct dest_tried *tried,
		     uint64_t *seed, uint64_t now_ms)
{
	*a = (struct dest_ask){ .m = m, .client = client, .tried = tried, .seed = seed, .now_ms = now_ms };
	a->network = client ? client->network : mesh_settings(m)->network;
}

/* A block of addresses that are to be left alone says nothing of a workload of the mesh that has one of them. */
static bool yields(const struct service *s, const struct ip *ip)
{
	for (int i = 0; i < s->n_vips; i++)
		if (s->vips[i].cidr.bits == 128 && ip_eq(&s->vips[i].cidr.ip, ip))
			return false;
	return s->lb_mode == LB_PASSTHROUGH;
}

/* Istio's ztunnel passes on what nobody knows, whatever the policy says. */
static bool only_registered(const struct mesh *m)
{
	return mesh_config(m)->outbound == SCOPE_REGISTRY_ONLY && mesh_settings(m)->stance != STANCE_ISTIO;
}

void dest_choose(const struct mesh *m, const struct workload *client, const struct addr *original,
		 const struct dest_tried *tried, uint64_t *seed, uint64_t now_ms, struct dest *ret)
{
	struct dest_ask a;
	struct service *s;
	struct workload *w;

	ask_init(&a, m, client, tried, seed, now_ms);
	a.original = *original;
	s = mesh_service_by_vip(m, str_c(a.network), &original->ip, str_c(client ? client->ns : ""));
	w = mesh_workload_by_ip(m, str_c(a.network), &original->ip);
	s = s && w && yields(s, &original->ip) ? NULL : s;
	*ret = (struct dest){ .kind = DEST_PASSTHROUGH, .target = *original, .connect = *original, .service = s };
	/* Who gives a service a workload's address and a waypoint wants its callers to pass it; ztunnel would go to the workload. */
	if (s)
		go_to_service(&a, s, !w || s->waypoint || s->n_waypoints, ret);
	/* Also when a service has this address but nothing for this port: the address is the workload's own. */
	if (w && (!s || ret->kind == DEST_NONE))
		go_to_workload(&a, w, ret);
	if (ret->kind == DEST_PASSTHROUGH && !s && only_registered(m))
		none(ret, FAIL_UNREGISTERED, NULL);
	/* Where no name is expected any peer would do. */
	if ((ret->kind == DEST_HBONE || ret->kind == DEST_DOUBLE) && (!ret->n_expect || (ret->kind == DEST_DOUBLE && !ret->n_inner)))
		none(ret, FAIL_NO_PEER_NAMES, NULL);
}

const struct gateway *dest_workload_waypoint(const struct mesh *m, const struct workload *client, const struct workload *w)
{
	const struct dest_ask a = { .m = m, .client = client };

	return needs_waypoint(&a, w) ? w->waypoint : NULL;
}

bool dest_waypoint(const struct mesh *m, const struct workload *client, const struct gateway *g, const struct addr *original,
		   const struct dest_tried *tried, uint64_t *seed, uint64_t now_ms, struct dest *ret)
{
	struct dest_ask a;
	struct hop h;

	ask_init(&a, m, client, tried, seed, now_ms);
	a.original = *original;
	*ret = (struct dest){ .kind = DEST_HBONE, .target = *original, .waypoint = true };
	if (!dest_gate(&a, g, PICK_NEAR_WAYPOINT, &h) || !is_near(&a, h.w) || (h.homeless && !*h.w->hostname))
		none(ret, FAIL_NO_WAYPOINT, g);
	else
		take_hop(ret, &h);
	if (ret->kind == DEST_HBONE && !ret->n_expect)
		none(ret, FAIL_NO_PEER_NAMES, g);
	return ret->kind == DEST_HBONE;
}

bool dest_forward(const struct mesh *m, const struct workload *gateway, struct str host, uint16_t port,
		  const struct dest_tried *tried, uint64_t *seed, uint64_t now_ms, struct dest *ret)
{
	struct service *s = mesh_service_by_host(m, host, str_c(gateway->ns));
	const struct gateway *waypoint = s ? dest_service_waypoint(s, seed) : NULL;
	struct hop h = { 0 };
	struct dest_ask a;
	bool found;

	*ret = (struct dest){ .kind = DEST_NONE, .why = FAIL_UNKNOWN_AUTHORITY, .service = s };
	if (!s)
		return false;
	ask_init(&a, m, gateway, tried, seed, now_ms);
	if (gateway->n_ips)
		a.original.ip = gateway->ips[0];
	found = waypoint ? dest_gate(&a, waypoint, PICK_WAYPOINT, &h) && is_near(&a, h.w) && !h.homeless :
		dest_pick(&a, s, port, PICK_LOCAL, &h) && !h.homeless;
	if (!found) {
		none(ret, waypoint ? FAIL_NO_WAYPOINT : FAIL_NO_ENDPOINT, waypoint);
		return false;
	}
	/* Only for a network whose gateway this workload is. */
	if (!mesh_is_gateway(m, h.w->network_gateway, gateway))
		return false;
	take_hop(ret, &h);
	ret->why = FAIL_NONE;
	ret->kind = DEST_PLAIN;
	ret->waypoint = waypoint != NULL;
	if (!waypoint)
		ret->connect.port = DEST_HBONE_PORT;
	ret->target = ret->connect;
	return true;
}
