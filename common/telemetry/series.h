/* SPDX-License-Identifier: Apache-2.0 */
/* Counters of connections by label set, one table per worker. The worker adds without locks; any thread may read: the
 * list of series only grows, and each counter has one writer. */
#ifndef TELEMETRY_SERIES_H
#define TELEMETRY_SERIES_H

#include <stdatomic.h>

#include "base/fail.h"
#include "base/map.h"

#define SERIES_MAX          10000   /* per worker; what comes after is counted as "overflow" */
#define SERIES_VALUE_BYTES  256     /* longer label values are cut */

/* Istio's labels, in its order; response_flags is no part of the key. */
#define SERIES_LABELS(X) \
	X(reporter) X(source_workload) X(source_canonical_service) X(source_canonical_revision) \
	X(source_workload_namespace) X(source_principal) X(source_app) X(source_version) X(source_cluster) \
	X(destination_service) X(destination_service_namespace) X(destination_service_name) X(destination_workload) \
	X(destination_canonical_service) X(destination_canonical_revision) X(destination_workload_namespace) \
	X(destination_principal) X(destination_app) X(destination_version) X(destination_cluster) \
	X(request_protocol) X(connection_security_policy) \
	X(source_region) X(source_zone) X(destination_region) X(destination_zone)

enum series_label {
#define X(name) SERIES_##name,
	SERIES_LABELS(X)
#undef X
	SERIES_LABEL_COUNT
};

enum series_flag {
	SERIES_FLAG_NONE, SERIES_FLAG_DENY, SERIES_FLAG_CONNECT, SERIES_FLAG_TLS_FAILURE, SERIES_FLAG_H2,
	SERIES_FLAG_NETWORK_POLICY, SERIES_FLAG_IDENTITY, SERIES_FLAG_CERT_REVOKED, SERIES_FLAG_COUNT
};

extern const char *const series_label_names[SERIES_LABEL_COUNT];
extern const char *const series_flag_names[SERIES_FLAG_COUNT];
enum series_flag series_flag(enum fail f);

/* Values by label. NULL or empty: "unknown"; the four of locality are left out when `locality` is false. */
struct series_key {
	struct str value[SERIES_LABEL_COUNT];
	bool locality;
};

typedef _Atomic uint64_t series_count;   /* one writer: see series_add */

struct flow_series {
	struct flow_series *next;            /* fixed before the series is published */
	series_count opened, received, sent;
	series_count closed[SERIES_FLAG_COUNT], failed[SERIES_FLAG_COUNT];
	uint16_t key_bytes;
	char key[];                          /* the values, each ended by NUL */
};

/* Plain load and store: no locked instruction, since each counter belongs to one worker. */
static inline void series_add(series_count *c, uint64_t n)
{
	atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n, memory_order_relaxed);
}

static inline uint64_t series_get(const series_count *c)
{
	return atomic_load_explicit(c, memory_order_relaxed);
}

struct flow_metrics {
	struct flow_metrics *next;           /* all tables of the process */
	_Atomic(struct flow_series *) first; /* newest first */
	_Atomic long sockets[2];             /* by enum flow_direction */
	series_count shed[2];                /* by enum flow_shed */
	series_count revoked[2];             /* connections refused or cut for a revoked certificate, by direction */
	struct meters *meters;
	struct flow_series *overflow[2];     /* the same; NULL until needed */
	int count;
	struct map by_key;
};

/* Finds or makes the series; direction chooses the overflow series when the table is full. NULL: out of memory. */
struct flow_series *series_find(struct flow_metrics *m, const struct series_key *key, int direction);
/* The first of all tables of the process. */
struct flow_metrics *series_tables(void);

#endif
