/* SPDX-License-Identifier: Apache-2.0 */
/* Where requests are seen: after each change of the mesh, what its engines read is compiled anew. */
#include <stdlib.h>

#include "base/log.h"
#include "src/serve_int.h"
#include "telemetry/collector.h"
#include "telemetry/teleconf.h"
#include "traffic/plan.h"

/* Once for each text: the same plan is made again at every change. */
static void report(void *arg, const char *object, const char *text)
{
	struct serve *s = arg;
	char *line = xasprintf("%s: %s", object ? object : "", text ? text : "");

	if (!map_get(&s->told, str_c(line))) {
		log_warn(LOG_SOURCE, "%s: %s", object ? object : "", text ? text : "");
		map_put(&s->told, str_c(line), line);
		return;
	}
	free(line);
}

void serve_l7_refresh(struct serve *s)
{
	struct workload *w = s->mode != MODE_ZTUNNEL && s->opt.workloads.n ? serve_files_workload(s, 0) : NULL;

	if (!w)
		return;
	if (!plan_current() || plan_stale(plan_current(), mesh_current(), w)) {
		teleconf_publish(teleconf_compile(mesh_current(), w, report, s));
		plan_publish(plan_compile(mesh_current(), w, plan_current(), report, s));
	}
	if (!s->collector)
		s->collector = collector_new(s->loop, &s->control_out.ops, s->resolver);
	collector_update(s->collector, mesh_current(), teleconf_current(), w);
}

int serve_l7_start(struct serve *s, struct err *err)
{
	return s->mode == MODE_SIDECAR && s->set.app_probers ? probes_new(s->loop, s->set.app_probers, s->proxy->conf.mark, &s->probes, err) : 0;
}

void serve_l7_stop(struct serve *s)
{
	collector_free(s->collector);
	s->collector = NULL;
	probes_free(s->probes);
	map_each(slot, &s->told)
		free(slot->value);
	map_done(&s->told);
}
