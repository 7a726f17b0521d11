/* SPDX-License-Identifier: Apache-2.0 */
/* A mesh with the workloads productpage and reviews and a service, and what MeshConfig and Telemetry objects make of it. */
#ifndef TESTS_TELECONF_FIXTURE_H
#define TESTS_TELECONF_FIXTURE_H

#include <stdio.h>

#include "model/meshconfig.h"
#include "telemetry/teleconf_int.h"

static struct workload *productpage, *reviews;
static enum mesh_mode fixture_mode = MODE_SIDECAR;
static char reports[4096];

static inline struct workload *workload_fixture(const char *name)
{
	char identity[128], uid[64];
	struct label labels[] = { { "app", name }, { "version", "v1" } };

	snprintf(identity, sizeof(identity), "spiffe://cluster.local/ns/default/sa/%s", name);
	snprintf(uid, sizeof(uid), "Kubernetes//Pod/default/%s-1", name);
	return workload_new(&(struct workload){
		.uid = uid, .name = name, .ns = "default", .identity = identity, .canonical_name = name, .canonical_revision = "v1",
		.workload_name = name, .workload_type = "deployment", .cluster = "Kubernetes", .labels = labels, .n_labels = 2,
	});
}

/* config may be NULL; telemetry: n objects, oldest first; their references are taken over. */
static inline void mesh_fixture(struct mesh_config *config, struct telemetry **telemetry, int n)
{
	struct mesh_edit *e = mesh_edit_begin();
	struct mesh_settings settings = { .trust_domain = "cluster.local", .root_ns = "istio-system", .cluster_domain = "cluster.local", .network = "", .cluster = "Kubernetes", .mode = fixture_mode };
	struct service_port port = { .port = 9080, .target = 9080, .name = "http", .protocol = "HTTP" };

	workload_unref(productpage);
	workload_unref(reviews);
	productpage = workload_fixture("productpage");
	reviews = workload_fixture("reviews");
	mesh_edit_settings(e, &settings);
	mesh_put_workload(e, workload_ref(productpage));
	mesh_put_workload(e, workload_ref(reviews));
	mesh_put_service(e, service_new(&(struct service){
		.key = "default/reviews.default.svc.cluster.local", .ns = "default", .name = "reviews", .hostname = "reviews.default.svc.cluster.local",
		.ports = &port, .n_ports = 1, .endpoints = NULL,
	}));
	if (config)
		mesh_put_resource(e, &config->r);
	for (int i = 0; i < n; i++)
		mesh_put_resource(e, &telemetry[i]->r);
	mesh_edit_publish(e);
	reports[0] = '\0';
}

static inline struct mesh_config *config_fixture(void)
{
	struct mesh_config *c = resource_new(RESOURCE_MESH_CONFIG, sizeof(*c), "MeshConfig", "", "", "mesh.yaml", 0);

	c->tele.access_log_file = c->tele.access_log_format = c->proxy.headers.server_value = c->proxy.mesh_id = "";
	c->tele.enable_tracing = true;
	return c;
}

static inline struct telemetry *telemetry_fixture(const char *ns, const char *name)
{
	struct telemetry *t = resource_new(RESOURCE_TELEMETRY, sizeof(*t), "Telemetry", ns, name, "t.yaml:1", 0);

	return t;
}

/* The proxy of the Gateway mesh/wp. */
static inline struct workload *waypoint_fixture(void)
{
	struct label label = { "gateway.networking.k8s.io/gateway-name", "wp" };

	return workload_new(&(struct workload){
		.uid = "C2//Pod/mesh/wp-1", .name = "wp-1", .ns = "mesh", .identity = "spiffe://cluster.local/ns/mesh/sa/wp", .canonical_name = "wp",
		.workload_name = "wp", .workload_type = "deployment", .cluster = "C2", .labels = &label, .n_labels = 1,
	});
}

static inline void on_report(void *arg, const char *object, const char *text)
{
	size_t n = strlen(reports);

	(void)arg;
	snprintf(reports + n, sizeof(reports) - n, "%s: %s\n", object, text);
}

static inline struct teleconf *teleconf_of(struct workload *w)
{
	return teleconf_compile(mesh_current(), w, on_report, NULL);
}

#endif
