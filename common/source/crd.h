/* SPDX-License-Identifier: Apache-2.0 */
/* The objects that a configuration directory may hold: what the field tables read them into, and the list of kinds. */
#ifndef SOURCE_CRD_H
#define SOURCE_CRD_H

#include "model/meshconfig.h"
#include "source/field.h"

struct crd_owner { const char *kind, *name; bool controller; };

struct crd_meta {
	const char *name, *ns;
	struct field_labels labels, annotations;
	int64_t created, deleted;
	struct field_list owners;          /* crd_owner */
};

struct crd_selector { struct field_labels labels; };

/* networking.istio.io */
struct crd_workload_entry {
	const char *address;
	struct field_ports ports;
	struct field_labels labels;
	const char *network, *locality;
	uint32_t weight;
	const char *service_account;
};

struct crd_service_port { uint16_t number; const char *protocol, *name; uint16_t target; };

enum crd_location { CRD_EXTERNAL, CRD_INTERNAL };
enum crd_resolution { CRD_NONE, CRD_STATIC, CRD_DNS, CRD_DNS_ROUND_ROBIN, CRD_DYNAMIC_DNS };

struct crd_service_entry {
	struct field_strings hosts, addresses;
	struct field_list ports;           /* crd_service_port */
	int location, resolution;
	struct field_list endpoints;       /* crd_workload_entry */
	struct crd_selector *selector;
	struct field_strings sans, export_to;
};

/* security.istio.io */
struct crd_source {
	struct field_strings principals[2], request_principals[2], namespaces[2], service_accounts[2];
	struct field_strings ip_blocks[2], remote_ip_blocks[2], trust_domains[2];   /* [1]: the not-field */
};
struct crd_from { struct crd_source *source; };
struct crd_operation { struct field_strings hosts[2], ports[2], methods[2], paths[2]; };
struct crd_to { struct crd_operation *operation; };
struct crd_when { const char *key; struct field_strings values[2]; };
struct crd_rule { struct field_list from, to, when; };
struct crd_provider { const char *name; };
struct crd_target { const char *group, *kind, *name, *ns; };

enum crd_action { CRD_ALLOW, CRD_DENY, CRD_AUDIT, CRD_CUSTOM };

struct crd_authz {
	struct crd_selector *selector;
	struct field_list targets;         /* crd_target */
	struct crd_target *target;
	int action;
	struct crd_provider *provider;
	struct field_list rules;           /* crd_rule */
};

struct crd_mtls { int mode; };             /* enum mtls_mode */
struct crd_port_mtls { const char *port; int mode; };

struct crd_peer_authn {
	struct crd_selector *selector;
	struct crd_mtls *mtls;
	struct field_list ports;           /* crd_port_mtls */
};

struct crd_jwt_header { const char *name, *prefix; };
struct crd_claim_header { const char *header, *claim; };
struct crd_jwt_rule {
	const char *issuer, *jwks, *jwks_uri, *payload_header;
	struct field_strings audiences, params, cookies, space_delimited;
	struct field_list headers, claim_headers;    /* crd_jwt_header, crd_claim_header */
	uint32_t timeout_ms;
	bool forward;
};
struct crd_request_authn {
	struct crd_selector *selector;
	struct field_list targets;         /* crd_target */
	struct crd_target *target;
	struct field_list rules;           /* crd_jwt_rule */
};

/* meshd.io */
struct crd_rate_key { bool identity, address, path, method, host; const char *header, *claim; };
struct crd_rate_rule {
	const char *name;
	struct field_list match, by;       /* crd_rule, crd_rate_key */
	bool connections, dry_run;
	uint32_t amount, burst, per_ms;
};
struct crd_rate_shared { const char *service, *domain; uint16_t port; uint32_t timeout_ms; bool fail_open; };
struct crd_rate_limit {
	struct crd_selector *selector;
	struct field_list targets;         /* crd_target */
	struct crd_target *target;
	struct field_list rules;           /* crd_rate_rule */
	bool headers;
	struct crd_rate_shared *shared;
};

/* telemetry.istio.io; the object comes first: it is one. And ProxyConfig */
struct crd_telemetry {
	struct telemetry telemetry;
	struct crd_selector *selector;
	struct field_list targets;         /* crd_target */
	struct crd_target *target;
};
struct crd_proxy_object {
	struct opt_u32 concurrency;
	struct field_labels environment;
	struct crd_selector *selector;
	void *image;
};

/* EnvoyFilter, WasmPlugin, WorkloadGroup: no more than what is looked at */
struct crd_filter_match { const char *context; bool listener, route, cluster; uint16_t port; struct crd_filter_match *waypoint; };
struct crd_patch { struct crd_filter_match *match; };
struct crd_wasm_env { const char *name, *value; int from; };
struct crd_number { uint16_t port; };
struct crd_probe { uint32_t seconds; uint16_t port; const char *host, *path, *scheme, *service; struct field_list headers; struct field_strings command; };
struct crd_unsupported {
	struct crd_selector *selector;
	struct field_list targets, list;
	struct crd_target *target;
	const char *url, *sha256, *secret, *plugin;
	void *vm;
	struct crd_workload_entry *template;
	struct crd_probe *probe;
};

/* core */
struct crd_core_port { const char *name; uint16_t port; struct field_port target; const char *protocol, *app; };

enum crd_service_type { CRD_CLUSTER_IP, CRD_NODE_PORT, CRD_LOAD_BALANCER, CRD_EXTERNAL_NAME };

struct crd_service {
	struct field_labels selector;
	const char *cluster_ip;
	struct field_strings cluster_ips;
	struct field_list ports;           /* crd_core_port */
	int type, internal_policy;         /* internal_policy: 1 is Local */
	const char *distribution;
	const char *affinity;
	bool publish_not_ready;
};

struct crd_container_port { const char *name; uint16_t port; };
struct crd_container { struct field_list ports; };

struct crd_pod_spec {
	const char *service_account, *node;
	bool host_network;
	struct field_list containers;      /* crd_container */
};

struct crd_condition { const char *type, *status; };
struct crd_pod_ip { const char *ip; };

struct crd_pod_status {
	const char *phase, *ip;
	struct field_list ips;             /* crd_pod_ip */
	struct field_list conditions;      /* crd_condition */
};

/* gateway.networking.k8s.io */
struct crd_expression { const char *key; int operator; struct field_strings values; };
struct crd_space_selector { struct field_labels labels; struct field_list expressions; };   /* crd_expression */
struct crd_spaces { int from; struct crd_space_selector *selector; };
struct crd_allowed { struct crd_spaces *namespaces; };
struct crd_gateway_listener { const char *name, *protocol; uint16_t port; struct crd_allowed *allowed; };
struct crd_gateway_address { const char *type, *value; };
struct crd_gateway {
	const char *class;
	struct field_list listeners;       /* crd_gateway_listener */
	struct field_list addresses;       /* crd_gateway_address */
};
struct crd_gateway_status { struct field_list addresses; };

struct crd_ref { const char *group /* NULL: not said */, *kind, *name, *ns, *section; uint16_t port; };
struct crd_backend { const char *group, *kind, *name, *ns; uint16_t port; uint32_t weight; struct field_list filters; };
struct crd_modifier { struct field_list set, add; struct field_strings remove; };    /* label */
struct crd_new_path { int type; const char *full, *prefix; };                        /* type 1: prefix */
struct crd_redirect { const char *scheme, *host; struct crd_new_path *path; struct opt_u32 port; uint32_t code; };   /* also urlRewrite */
struct crd_fraction { uint32_t numerator, denominator; };
struct crd_mirror { struct crd_backend *backend; struct opt_u32 percent; struct crd_fraction *fraction; };
struct crd_cors { struct field_strings origins, methods, headers, expose; bool credentials; uint32_t max_age_s; };
struct crd_filter {
	const char *type;
	struct crd_modifier *request, *response;
	struct crd_redirect *redirect, *rewrite;
	struct crd_mirror *mirror;
	struct crd_cors *cors;
};
struct crd_path { int type; const char *value; };            /* 0: prefix, 1: exact, 2: regular expression */
struct crd_text_match { int type; const char *name, *value; };   /* 1: regular expression */
struct crd_grpc_method { int type; const char *service, *method; };
struct crd_route_match { struct crd_path *path; struct crd_grpc_method *grpc; struct field_list headers, queries; const char *method; };
struct crd_route_retry { struct field_u16s codes; uint32_t attempts; struct opt_ms backoff; };
struct crd_route_rule {
	const char *name;
	struct field_list matches, filters, backends;
	struct opt_ms request_timeout, backend_timeout;
	struct crd_route_retry *retry;
};
struct crd_san { int type; const char *host, *uri; };
struct crd_backend_tls {
	struct field_list targets, sans;   /* crd_ref, crd_san */
	const char *host;
	int roots;                         /* 1: System */
};
struct crd_route {                         /* HTTPRoute, GRPCRoute, TCPRoute, TLSRoute */
	struct field_list parents, rules;
	struct field_strings hostnames;
};

/* MeshConfig */
struct crd_authz_body { uint32_t max_bytes; bool partial, as_bytes; };
struct crd_authz_provider {                 /* envoyExtAuthzHttp, envoyExtAuthzGrpc */
	const char *service;
	uint16_t port;
	struct opt_ms timeout;
	const char *path_prefix, *status_on_error;
	bool fail_open;
	struct field_strings include, include_old, up_on_allow, down_on_deny, down_on_allow;
	struct field_labels add;
	struct crd_authz_body *body;
};
struct crd_ext_provider {
	const char *name;
	struct crd_authz_provider *authz_http, *authz_grpc;
	struct tele_provider *file, *otel;
	bool prometheus, others[10];         /* in the order of the rows */
};

struct crd_mesh_config {
	struct mesh_config mesh;             /* first: the object is one */
	struct scope_policy *outbound;
	int encoding;
	struct field_list providers;         /* crd_ext_provider */
	const char *trust_domain;
	struct field_strings aliases;
	const char *root_ns;
	uint32_t connect_timeout_ms;
};

/* order of the enum: the order in which the manual lists them */
enum crd_id {
	CRD_WORKLOAD_ENTRY, CRD_SERVICE_ENTRY, CRD_AUTHZ, CRD_PEER_AUTHN, CRD_SERVICE, CRD_POD, CRD_GATEWAY,
	CRD_VIRTUAL_SERVICE, CRD_DESTINATION_RULE, CRD_SIDECAR, CRD_REQUEST_AUTHN, CRD_TELEMETRY, CRD_PROXY_CONFIG, CRD_RATE_LIMIT,
	CRD_HTTP_ROUTE, CRD_GRPC_ROUTE, CRD_TCP_ROUTE, CRD_TLS_ROUTE, CRD_BACKEND_TLS,
	CRD_ENVOY_FILTER, CRD_WASM, CRD_WORKLOAD_GROUP, CRD_NAMESPACE, CRD_MESH_CONFIG, CRD_COUNT,
};

struct crd {
	const char *group;                 /* "" for core */
	const char *kind;
	const char *const *versions;       /* NULL-terminated */
	const struct field_table *spec, *status;   /* NULL: not read */
	bool security;
	bool cluster_wide;                 /* has no namespace */
	const char *elsewhere;             /* not loaded in ztunnel mode: what is said there; NULL: loaded in all */
	const char *not_at_waypoint;       /* nor in waypoint mode: the same; NULL: loaded there */
	const char *unsupported;           /* a good one has no effect, since …; NULL: it has */
	enum finding_level unsupported_level;
	size_t object;                     /* becomes a resource of this size; 0: does not */
	enum resource_kind resource;
	bool apart;                        /* spec is not read into the object itself */
};

extern const struct crd crds[CRD_COUNT];
extern const struct field_table crd_meta_table;
extern const struct field_table crd_workload_entry_table, crd_service_entry_table, crd_authz_table,
	crd_peer_authn_table, crd_service_table, crd_pod_table, crd_pod_status_table, crd_gateway_table, crd_gateway_status_table, crd_namespace_table,
	crd_mesh_table, crd_virtual_service_table, crd_destination_rule_table, crd_sidecar_table, crd_request_authn_table,
	crd_telemetry_table, crd_proxy_config_table, crd_rate_limit_table,
	crd_envoy_filter_table, crd_wasm_table, crd_workload_group_table, crd_http_route_table, crd_grpc_route_table,
	crd_tcp_route_table, crd_tls_route_table, crd_backend_tls_table;

/* Parts that several kinds have. */
extern const struct field_table crd_string_match_table, crd_destination_table, crd_retries_table, crd_cors_table, crd_locality_table,
	crd_zone_aware_table, crd_keepalive_table, crd_pool_table, crd_outlier_table, crd_policy_table, crd_outbound_table, crd_proxy_table,
	crd_provider_table, crd_custom_tag_table, crd_match_labels_table, crd_target_table, crd_rule_table;
extern const char *const *const crd_h2_upgrades, *const *const crd_outbound_modes;

/* A kind that is known and not loaded: VirtualService, Deployment and so on */
struct crd_other {
	const char *group, *kind;          /* kind "*": every kind of the group */
	enum finding_level level;
	const char *why;
	const char *sidecar;               /* in sidecar mode, instead; NULL: the same */
};

bool crd_group_known(struct str group);
const struct crd_other *crd_other_find(struct str group, struct str kind);   /* NULL: unknown */

#define CRD_TARGETS_DOC "Binds it to waypoints: by their Gateway, or for one service that they serve. Without it it has no effect there, with it none elsewhere."

/* Rows of a table. */
#define ROW(NAME, TYPE, STRUCT, MEMBER, DOC, ...) \
	{ .name = NAME, .type = FIELD_##TYPE, .offset = offsetof(struct STRUCT, MEMBER), .doc = DOC, ##__VA_ARGS__ }
/* A part whose fields lie in the struct around it. */
#define ROW_WHOLE(NAME, DOC, SUB, ...) { .name = NAME, .type = FIELD_INLINE, .doc = DOC, .sub = SUB, ##__VA_ARGS__ }
#define ROW_NOT(NAME, MARK, DOC, WHY) { .name = NAME, .type = FIELD_ANY, .mark = FIELD_##MARK, .doc = DOC, .why = WHY }

#endif
