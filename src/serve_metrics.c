/* SPDX-License-Identifier: Apache-2.0 */
/* What the control thread adds to the metrics page: the pods, and the stream from istiod; ztunnel's names. */
#include "telemetry/prom.h"
#include "telemetry/shadow.h"

#include "src/serve_int.h"

/* --- pods --- */

static void put_active(struct prom *p, void *arg)
{
	struct serve *s = arg;

	if (s->inpod)
		prom_put(p, NULL, 0, inpod_counts(s->inpod).active);
}

static void put_pending(struct prom *p, void *arg)
{
	struct serve *s = arg;

	if (s->inpod)
		prom_put(p, NULL, 0, inpod_counts(s->inpod).pending);
}

static void put_started(struct prom *p, void *arg)
{
	struct serve *s = arg;

	if (s->inpod)
		prom_put(p, NULL, 0, inpod_counts(s->inpod).started);
}

static void put_stopped(struct prom *p, void *arg)
{
	struct serve *s = arg;

	if (s->inpod)
		prom_put(p, NULL, 0, inpod_counts(s->inpod).stopped);
}

/* --- istiod --- */

static void put_ends(struct prom *p, void *arg)
{
	struct serve *s = arg;
	struct ads_stats stats;

	if (!s->ads)
		return;
	ads_stats(s->ads, &stats);
	for (int i = 0; i < ADS_ENDS; i++)
		if (stats.ends[i])
			prom_put(p, &(struct prom_label){ "reason", str_c(ads_end_name((enum ads_end)i)) }, 1, stats.ends[i]);
}

static void put_type(struct prom *p, struct serve *s, uint64_t (*figure)(const struct ads_type_stats *t))
{
	struct ads_stats stats;

	if (!s->ads)
		return;
	ads_stats(s->ads, &stats);
	for (int i = 0; i < stats.n_types; i++)
		prom_put(p, &(struct prom_label){ "url", str_c(stats.types[i].url) }, 1, figure(&stats.types[i]));
}

static uint64_t messages(const struct ads_type_stats *t) { return t->messages; }
static uint64_t bytes(const struct ads_type_stats *t) { return t->bytes; }
static uint64_t refused(const struct ads_type_stats *t) { return t->refused_now; }

static void put_messages(struct prom *p, void *arg) { put_type(p, arg, messages); }
static void put_bytes(struct prom *p, void *arg) { put_type(p, arg, bytes); }
static void put_refused(struct prom *p, void *arg) { put_type(p, arg, refused); }

static void put_connected(struct prom *p, void *arg)
{
	struct serve *s = arg;

	if (s->ads)
		prom_put(p, NULL, 0, ads_connected(s->ads));
}

void serve_metrics_start(struct serve *s)
{
	static struct prom_family families[] = {
		{ .name = "workload_manager_active_proxy_count", .type = PROM_GAUGE, .collect = put_active,
		  .help = "The total number current workloads with active proxies (unstable)" },
		{ .name = "workload_manager_pending_proxy_count", .type = PROM_GAUGE, .collect = put_pending,
		  .help = "The total number current workloads with pending proxies (unstable)" },
		{ .name = "workload_manager_proxies_started", .type = PROM_COUNTER, .collect = put_started,
		  .help = "The total number of proxies that were started (unstable)" },
		{ .name = "workload_manager_proxies_stopped", .type = PROM_COUNTER, .collect = put_stopped,
		  .help = "The total number of proxies that were stopped (unstable)" },
		{ .name = "istio_xds_connection_terminations", .type = PROM_COUNTER, .collect = put_ends,
		  .help = "The total number of completed connections to xds server (unstable)" },
		{ .name = "istio_xds_message", .type = PROM_COUNTER, .collect = put_messages,
		  .help = "Total number of messages received (unstable)" },
		{ .name = "istio_xds_message_bytes", .type = PROM_COUNTER, .collect = put_bytes,
		  .help = "Total number of bytes received (unstable)" },
		{ .name = "meshd_xds_refused_resources", .type = PROM_GAUGE, .collect = put_refused,
		  .help = "Resources whose last version could not be honoured; /status says why" },
		{ .name = "meshd_xds_connected", .type = PROM_GAUGE, .collect = put_connected,
		  .help = "1 while istiod's stream has brought something, else 0" },
	};

	shadow_register();
	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		families[i].arg = s;
		prom_register(&families[i]);
	}
}
