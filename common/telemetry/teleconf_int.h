/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TELEMETRY_TELECONF_INT_H
#define TELEMETRY_TELECONF_INT_H

#include "base/map.h"
#include "model/meshconfig.h"
#include "telemetry/cel.h"
#include "telemetry/format.h"
#include "telemetry/rows.h"
#include "telemetry/teleconf.h"

/* A change of a metric's labels, in the order in which they were said. */
struct tag_edit {
	const char *name, *value;            /* value: as written; "": removed */
	struct cel *cel;                     /* NULL: removed */
};

/* Metrics of one kind that have the same labels. */
struct metric_group {
	unsigned metrics;                    /* bits of enum row_metric */
	struct tag_edit *edits;
	int n_edits;
	bool varies;                         /* an edit looks at the request itself: no shortcut to the row */
};

struct log_key { const char *key; struct format *format; };
struct access_log {
	const char *provider;                /* for messages */
	struct format *text;                 /* NULL: JSON */
	struct log_key *keys;
	int n_keys;
	bool omit_empty;
	int sink;                            /* log.h's */
	struct cel *filter;                  /* NULL: all */
};

struct span_tag { const char *name; struct format *format; const char *fallback; };

struct tracing {
	bool on;                             /* spans are reported: there is a provider */
	bool decide;                         /* enableTracing: the request ids carry a decision */
	bool by_request_id;                  /* useRequestIdForTraceSampling */
	bool keep_to_itself;                 /* disableContextPropagation: requests go on as they came */
	bool istio_tags;
	unsigned per_myriad;                 /* of new traces, in 1/10000 */
	uint32_t max_path;
	struct span_tag *tags;
	int n_tags;
};

struct tele_side {
	uint64_t id;                         /* unique in the process, for shortcuts */
	bool inbound;
	bool waypoint;                       /* inbound, and the other end is the server that was chosen */
	const struct map *of_services;       /* of a waypoint: other sides, by what Telemetry is bound to; NULL: there are none */
	struct metric_group *groups;
	int n_groups;
	struct access_log *logs;
	int n_logs;
	struct tracing tracing;
	bool keep_server, request_id, attempt_count, upstream_time;
	const char *server;
	/* Of the workload itself, for labels and tags. */
	const char *mesh_id;
};

struct teleconf {
	atomic_uint refs;
	struct arena memory;
	struct tele_side side[2];            /* outbound, inbound */
	struct map of_services;              /* struct tele_side in memory, by tele_target_key */
	struct workload *workload;           /* reference */
	struct resource *collector_of;       /* reference of what `collector` lies in */
	const struct tele_provider *collector;
};

/* teleconf_log.c, teleconf_trace.c, teleconf_metric.c */
struct teleconf_job {
	const struct mesh *m;
	const struct mesh_config *config;
	struct teleconf *t;
	const struct telemetry **objects;    /* root's, namespace's, workload's (at a waypoint all that are bound to it); the nearer ones later */
	int n_objects;
	void (*report)(void *arg, const char *object, const char *text);
	void *arg;
};
void teleconf_logs(struct teleconf_job *j, struct tele_side *s);
void teleconf_metrics(struct teleconf_job *j, struct tele_side *s);
void teleconf_tracing(struct teleconf_job *j, struct tele_side *s);
const struct tele_provider *teleconf_provider(const struct teleconf_job *j, const char *name);
void teleconf_report(const struct teleconf_job *j, const char *object, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static inline bool teleconf_mode_is(int mode, const struct tele_side *s)
{
	return mode == TELE_CLIENT_AND_SERVER || mode == (s->inbound ? TELE_SERVER : TELE_CLIENT);
}

#endif
