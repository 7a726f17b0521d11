/* SPDX-License-Identifier: Apache-2.0 */
/* One worker's part of the host's own namespace, in sidecar or waypoint mode, over a directory whose workload is shop/me. Nothing is
 * captured and nothing listens. */
#ifndef TESTS_POD_FIXTURE_H
#define TESTS_POD_FIXTURE_H

#include "modes/l7.h"
#include "tests/unit/confdir_fixture.h"
#include "traffic/plan.h"

struct podlab {
	struct fixture f;
	struct proxy proxy;
	struct pworker worker;
	struct pod_shared shared;
	struct pod pod;
	struct listener *none[1];
};

static inline void podlab_report(void *arg, const char *object, const char *text) {}

static inline void podlab_tick(struct timer *t) {}

static inline struct workload *podlab_me(void)
{
	return mesh_workload_named(mesh_current(), str_c("shop"), str_c("me"));
}

/* Reads the directory again, and publishes what comes of it. */
static inline void podlab_load(struct podlab *p)
{
	ck_assert_int_eq(fixture_load(&p->f), 0);
	ck_assert_ptr_nonnull(podlab_me());
	plan_publish(plan_compile(mesh_current(), podlab_me(), plan_current(), podlab_report, NULL));
}

static inline void podlab_init(struct podlab *p, enum mesh_mode mode, const char *yaml)
{
	static const struct keepalive none;

	memset(p, 0, sizeof(*p));
	fixture_init(&p->f);
	p->f.settings.mode = mode;
	confdir_free(p->f.c);
	p->f.c = confdir_new(p->f.dir, &p->f.settings);
	fixture_write(&p->f, "me.yaml", "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: me, namespace: shop}\n"
		      "spec: {address: 10.2.0.1, serviceAccount: me, labels: {app: me}}\n");
	fixture_write(&p->f, "test.yaml", yaml);
	podlab_load(p);
	p->worker = (struct pworker){ .proxy = &p->proxy, .loop = loop_new(-1) };
	p->proxy.conf.mode = mode;
	p->shared = (struct pod_shared){ .proxy = &p->proxy, .ns = "shop", .name = "me", .netns = NETNS_OWN };
	atomic_init(&p->shared.refs, 2);     /* one that is never given back */
	p->pod = (struct pod){ .shared = &p->shared, .worker = &p->worker, .listeners = p->none };
	list_init(&p->pod.conns);
	outsock_init(&p->pod.out, 0, &none, NETNS_OWN);
	outsock_init(&p->pod.app, 0, &none, NETNS_OWN);
	p->worker.metrics = flow_metrics_new();
	timer_init(&p->worker.tick, p->worker.loop, podlab_tick);
	p->proxy.conf.pod_conns = 10;
	p->pod.l7 = l7_new(&p->pod);
}

static inline void podlab_done(struct podlab *p)
{
	l7_end(&p->pod);
	timer_stop(&p->worker.tick);
	for (int i = 0; i < 3; i++)
		ev_run(p->worker.loop->ev, EVRUN_NOWAIT);
	loop_free(p->worker.loop);
	fixture_done(&p->f);
}

#endif
