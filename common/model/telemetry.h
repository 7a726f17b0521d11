/* SPDX-License-Identifier: Apache-2.0 */
/* telemetry.istio.io Telemetry, and what MeshConfig says about telemetry. Names and meaning are the API's. */
#ifndef MODEL_TELEMETRY_H
#define MODEL_TELEMETRY_H

#include "model/resource.h"

enum tele_mode { TELE_CLIENT_AND_SERVER, TELE_CLIENT, TELE_SERVER };

/* --- metrics --- */

enum tele_tag_op { TELE_TAG_UPSERT, TELE_TAG_REMOVE };
struct tele_tag { const char *name; int op; const char *value; /* CEL */ };
struct tele_metric_match { const char *metric, *custom; int mode; };   /* as it was written; NULL: absent */
struct tele_override {
	const char *metric;                  /* "REQUEST_COUNT" … "ALL_METRICS", or a customMetric's name; "": all */
	int mode;
	enum opt_bool disabled;
	LIST_OF(struct tele_tag) tags;
	struct tele_metric_match match;       /* for sources */
};
struct tele_metrics { LIST_OF(const char *) providers; LIST_OF(struct tele_override) overrides; };

/* --- accessLogging --- */

struct tele_logging { int mode; LIST_OF(const char *) providers; enum opt_bool disabled; const char *filter; /* CEL; "" */ };

/* --- tracing --- */

enum tele_custom_kind { TELE_LITERAL = 1, TELE_ENVIRONMENT, TELE_HEADER, TELE_FORMATTER };
struct tele_custom { const char *name; int kind; const char *value, *fallback; };   /* value: text, variable, header, format */
struct tele_tracing {
	int mode;
	LIST_OF(const char *) providers;
	struct opt_double sampling;          /* percent */
	enum opt_bool disable_reporting, request_id, istio_tags, disable_propagation;
	LIST_OF(struct tele_custom) tags;
};

struct telemetry {
	struct resource r;
	LIST_OF(struct label) selector;      /* none: the namespace's */
	bool has_selector;
	LIST_OF(struct target_ref) targets;  /* takes the selector's place: for waypoints alone */
	LIST_OF(struct tele_metrics) metrics;
	LIST_OF(struct tele_logging) logging;
	LIST_OF(struct tele_tracing) tracing;
};

/* --- MeshConfig --- */

struct tele_header { const char *key, *value; const char *env; /* where value came from; "" */ };
enum tele_provider_kind { TELE_PROMETHEUS, TELE_FILE_LOG, TELE_OPENTELEMETRY, TELE_OTHER };
struct tele_provider {
	const char *name;
	enum tele_provider_kind kind;
	const char *what;                    /* the member's name, "envoyHttpAls": for messages */
	/* FILE_LOG */
	const char *path, *text;             /* text "": the default line */
	LIST_OF(struct label) labels;        /* JSON; not present: text */
	bool omit_empty;
	/* OPENTELEMETRY */
	const char *service;                 /* "ns/host" or host */
	uint16_t port;
	bool http;                           /* OTLP over HTTP, at http_path */
	const char *http_path;
	struct opt_ms timeout;
	LIST_OF(struct tele_header) headers;
	uint32_t max_tag_length;             /* 0: 256 */
	bool environment;                    /* resourceDetectors.environment: OTEL_RESOURCE_ATTRIBUTES */
	int otel_semantic;                   /* 1: serviceAttributeEnrichment OTEL_SEMANTIC_CONVENTIONS */
};

enum tele_xfcc { TELE_XFCC_UNDEFINED, TELE_XFCC_SANITIZE, TELE_XFCC_FORWARD_ONLY, TELE_XFCC_APPEND_FORWARD, TELE_XFCC_SANITIZE_SET, TELE_XFCC_ALWAYS_FORWARD_ONLY };

/* ProxyConfig.proxyHeaders; unset: as Istio's default for the direction. */
struct proxy_headers {
	enum opt_bool server_disabled, request_id_disabled, attempt_count_disabled, envoy_debug_disabled, forwarded_host_enabled, forwarded_port_enabled;
	const char *server_value;
	int xfcc;                            /* enum tele_xfcc */
	int exchange;                        /* metadataExchangeHeaders: 1 is IN_MESH */
	struct proxy_cert_details { enum opt_bool subject, uri, cert, chain, dns; bool set; } details;
	enum opt_bool preserve_case;
};

/* ProxyConfig.tracing */
struct proxy_tracing {
	struct opt_double sampling;          /* percent */
	LIST_OF(struct tele_custom) tags;
	uint32_t max_path_tag_length;        /* 0: 256 */
	enum opt_bool istio_tags;
};

struct tele_settings {
	const char *access_log_file, *access_log_format;     /* "": off; "": Envoy's line with Istio's fields */
	LIST_OF(struct label) access_log_labels;             /* accessLogFormat with the encoding JSON */
	bool access_log_json, enable_tracing;
	LIST_OF(const char *) default_metrics, default_tracing, default_logging;     /* defaultProviders */
	LIST_OF(struct tele_provider) providers;             /* extensionProviders, of telemetry's kinds */
};

#endif
