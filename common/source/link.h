/* SPDX-License-Identifier: Apache-2.0 */
/* From the objects of a directory to the objects of the mesh: selectors, automatic addresses, one winner per host name. */
#ifndef SOURCE_LINK_H
#define SOURCE_LINK_H

#include "source/conf.h"

/* What the directory wants in the mesh; references held, each list sorted by address. */
struct link_set {
	struct workload **workloads;
	struct service **services;
	struct policy **policies;
	struct peer_authn **peer_authns;
	struct request_authn **request_authns;
	struct rate_limit **rate_limits;
	struct resource **resources;
	size_t n_workloads, n_services, n_policies, n_peer_authns, n_request_authns, n_rate_limits, n_resources;
};

struct link_input {
	struct conf_obj *const *objs;       /* sorted by kind; one of each key */
	size_t n;
	const struct mesh_settings *settings;
	const char *const *paths;           /* by conf_obj.file */
	struct report *report;
	struct resource *config;            /* mesh.yaml; NULL: there is none */
};

/* Services that came out as they are in `old` are taken over from it. */
void link_set_build(const struct link_input *in, const struct link_set *old, struct link_set *ret);
/* Puts what differs from `old` and deletes what is gone. Returns how many objects were put or deleted. */
size_t link_set_apply(const struct link_set *set, const struct link_set *old, struct mesh_edit *e);
/* Whether any workload has a sidecar that takes Istio's mutual TLS but no HBONE. */
bool link_set_has_sidecars(const struct link_set *set);
void link_set_done(struct link_set *set);

/* A finding about an object of the input. */
void link_report(const struct link_input *in, const struct conf_obj *o, enum finding_level level, const char *path, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

/* Slots of 1..65534 for sorted, distinct keys: by hash, collisions go to the next free one in the order of the keys.
 * 0: none was left. */
void link_vip_slots(const char *const *keys, size_t n, uint16_t *slots);
struct cidr link_vip4(uint16_t slot);   /* 240.240.x.y */
struct cidr link_vip6(uint16_t slot);   /* 2001:2::f0f0:xyyy */

#endif
