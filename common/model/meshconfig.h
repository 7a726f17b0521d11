/* SPDX-License-Identifier: Apache-2.0 */
/* MeshConfig and ProxyConfig beyond struct mesh_settings: what sidecars are told. Names and meaning are the API's. */
#ifndef MODEL_MESHCONFIG_H
#define MODEL_MESHCONFIG_H

#include "model/mesh.h"
#include "model/sidecarscope.h"
#include "model/telemetry.h"
#include "model/virtualservice.h"

enum mesh_path_normalization { PATHS_DEFAULT, PATHS_NONE, PATHS_BASE, PATHS_MERGE_SLASHES, PATHS_DECODE_AND_MERGE_SLASHES };   /* DEFAULT is BASE */
enum proxy_interception { PROXY_REDIRECT, PROXY_TPROXY, PROXY_NONE };
enum proxy_service_name { PROXY_APP_LABEL_AND_NAMESPACE, PROXY_CANONICAL_NAME_ONLY, PROXY_CANONICAL_NAME_AND_NAMESPACE };

/* MeshConfig.defaultConfig. */
struct proxy_config {
	int interception;                                    /* enum proxy_interception */
	int tracing_service_name;                            /* enum proxy_service_name */
	struct proxy_tracing tracing;
	struct proxy_headers headers;
	uint32_t trusted_proxies;                            /* gatewayTopology.numTrustedProxies; mesh_settings.trusted_hops */
	const char *mesh_id;
	LIST_OF(struct label) metadata;                      /* proxyMetadata */
};

struct mesh_config {
	struct resource r;
	int outbound;                                        /* enum scope_outbound; ALLOW_ANY */
	bool auto_mtls;                                      /* true */
	unsigned connect_timeout_ms;
	const struct dr_keepalive *keepalive;                /* NULL: none */
	const struct dr_locality *locality;                  /* NULL: enabled, nothing more */
	const struct dr_zone_aware *zone_aware;              /* NULL */
	int h2_upgrade;                                      /* enum dr_h2, never DEFAULT */
	int path_normalization;                              /* enum mesh_path_normalization */
	const struct vs_retries *retries, *inbound_retries;  /* NULL: the built-in default */
	const struct dr_policy *traffic_policy;              /* defaultTrafficPolicy: connectionPool and outlierDetection where a rule has none; NULL */
	LIST_OF(const char *) service_export_to, virtual_service_export_to, destination_rule_export_to;   /* none: "*" */
	struct tele_settings tele;
	struct proxy_config proxy;
};

/* Never NULL: the defaults when nobody said anything. */
const struct mesh_config *mesh_config(const struct mesh *m);

#endif
