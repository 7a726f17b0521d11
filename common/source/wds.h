/* SPDX-License-Identifier: Apache-2.0 */
/* What istiod tells a ztunnel (WDS), as objects of the mesh: istio.workload.Address (workloads and services) and
 * istio.security.Authorization. Each push is one edit of the mesh, published when something in it changed. Control thread.
 *
 * A workload whose service is not known yet is staged as its endpoint. A service's endpoints keep those that are unhealthy:
 * whoever chooses judges them. A policy that was refused and has no predecessor takes effect as broken: it refuses all that
 * its scope covers, or its namespace when the scope cannot be read. */
#ifndef SOURCE_WDS_H
#define SOURCE_WDS_H

#include "model/mesh.h"
#include "source/ads.h"

#define WDS_ADDRESS_URL       "type.googleapis.com/istio.workload.Address"
#define WDS_AUTHORIZATION_URL "type.googleapis.com/istio.security.Authorization"

struct wds;

struct wds_conf {
	/* After a publish: the mesh has this generation; policies says whether policies changed in it. */
	void (*on_change)(void *arg, uint64_t generation, bool policies);
	void *arg;
};

struct wds *wds_new(const struct wds_conf *conf);
void wds_free(struct wds *w);    /* the mesh keeps its objects; NULL is allowed */

/* Rows for struct ads_type; their arg is the struct wds. */
extern const struct ads_type_ops wds_address_ops, wds_authorization_ops;

#endif
