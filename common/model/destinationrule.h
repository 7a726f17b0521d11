/* SPDX-License-Identifier: Apache-2.0 */
/* networking.istio.io DestinationRule. Names and meaning are the API's. */
#ifndef MODEL_DESTINATIONRULE_H
#define MODEL_DESTINATIONRULE_H

#include "model/resource.h"

/* --- loadBalancer --- */

enum dr_simple { DR_UNSPECIFIED, DR_LEAST_CONN, DR_RANDOM, DR_PASSTHROUGH, DR_ROUND_ROBIN, DR_LEAST_REQUEST };

struct dr_cookie_attribute { const char *name, *value; };
struct dr_cookie { const char *name, *path; struct opt_ms ttl; LIST_OF(struct dr_cookie_attribute) attributes; };
struct dr_ring_hash { struct opt_u32 minimum_ring_size; };
struct dr_maglev { struct opt_u32 table_size; };
struct dr_consistent_hash {
	const char *header;                          /* one of these four */
	const struct dr_cookie *cookie;
	const char *query_parameter;
	bool source_ip;
	const struct dr_ring_hash *ring_hash;        /* NULL */
	const struct dr_maglev *maglev;              /* NULL; neither: ring hash of 1024 */
	uint32_t minimum_ring_size;                  /* deprecated; 0: not said */
};

struct dr_share { const char *key; uint32_t percent; };
struct dr_distribute { const char *from; LIST_OF(struct dr_share) to; };     /* locality patterns: region/zone/subzone, "*" at the end */
struct dr_failover { const char *from, *to; };
struct dr_locality {
	LIST_OF(struct dr_distribute) distribute;
	LIST_OF(struct dr_failover) failover;        /* regions */
	LIST_OF(const char *) failover_priority;     /* label keys, or "key=value" */
	enum opt_bool enabled;
};
struct dr_zone_aware {
	enum opt_bool enabled;
	LIST_OF(struct dr_failover) failover;
	LIST_OF(const char *) failover_priority;
	struct opt_u32 min_cluster_size;
};
struct dr_warmup { struct opt_ms duration; struct opt_double minimum_percent, aggression; };   /* not set: 10 and 1 */

struct dr_load_balancer {
	int simple;                                  /* enum dr_simple */
	const struct dr_consistent_hash *consistent_hash;    /* NULL, as all pointers here */
	const struct dr_locality *locality;
	const struct dr_zone_aware *zone_aware;
	const struct dr_warmup *warmup;
	struct opt_ms warmup_duration;               /* deprecated warmupDurationSecs */
};

/* --- connectionPool; 0: the default, as in the API --- */

struct dr_keepalive { uint32_t probes; struct opt_ms time, interval; };
struct dr_tcp {
	uint32_t max_connections;
	struct opt_ms connect_timeout;
	const struct dr_keepalive *keepalive;
	struct opt_ms max_connection_duration, idle_timeout;
};
enum dr_h2 { DR_H2_DEFAULT, DR_H2_DO_NOT_UPGRADE, DR_H2_UPGRADE };
struct dr_h2_keepalive { struct opt_ms interval, timeout; };
struct dr_http {
	uint32_t http1_max_pending, http2_max_requests, max_requests_per_connection, max_retries, max_concurrent_streams;
	struct opt_ms idle_timeout;
	int h2_upgrade;                              /* enum dr_h2 */
	bool use_client_protocol;
	const struct dr_h2_keepalive *h2_keepalive;
};
struct dr_pool { const struct dr_tcp *tcp; const struct dr_http *http; };

/* --- outlierDetection --- */

struct dr_outlier {
	bool split_external_local;
	struct opt_u32 consecutive_local, consecutive_gateway, consecutive_5xx;
	struct opt_ms interval, base_ejection;
	uint32_t max_ejection_percent;               /* 0: 10 */
	uint32_t min_health_percent;
	LIST_OF(const char *) http_errors;           /* status codes and classes as written, checked: "503", "5xx" */
};

/* --- tls --- */

enum dr_tls_mode { DR_TLS_DISABLE, DR_TLS_SIMPLE, DR_TLS_MUTUAL, DR_TLS_ISTIO_MUTUAL };
struct dr_tls {
	int mode;                                    /* enum dr_tls_mode */
	const char *client_certificate, *private_key, *ca_certificates, *ca_crl, *sni;
	LIST_OF(const char *) subject_alt_names;
	enum opt_bool insecure_skip_verify;
};

/* --- trafficPolicy --- */

struct dr_retry_budget { struct opt_double percent; struct opt_ms interval; struct opt_u32 min_concurrency; };
enum dr_proxy_protocol { DR_PROXY_V1, DR_PROXY_V2 };
struct dr_proxy { int version; };
struct dr_port { uint16_t number; };

struct dr_port_policy {                              /* takes the place of the four blocks; what is absent is the default */
	const struct dr_port *port;
	const struct dr_load_balancer *load_balancer;
	const struct dr_pool *pool;
	const struct dr_outlier *outlier;
	const struct dr_tls *tls;
};
struct dr_policy {
	const struct dr_load_balancer *load_balancer;        /* NULL: not said, as all of these */
	const struct dr_pool *pool;
	const struct dr_outlier *outlier;
	const struct dr_tls *tls;
	LIST_OF(struct dr_port_policy) ports;
	const struct dr_proxy *proxy;
	const struct dr_retry_budget *retry_budget;
};
struct dr_subset { const char *name; LIST_OF(struct label) labels; const struct dr_policy *policy; };
struct dr_selector { LIST_OF(struct label) labels; };

struct destination_rule {
	struct resource r;
	const char *host;                            /* fully qualified, or a wildcard */
	const struct dr_policy *policy;              /* NULL */
	LIST_OF(struct dr_subset) subsets;
	LIST_OF(const char *) export_to;             /* none: the mesh's default */
	const struct dr_selector *selector;          /* workloadSelector: of clients; NULL: all */
	bool fills_gaps;                             /* made from a BackendTLSPolicy: only where no DestinationRule says otherwise */
};

#endif
