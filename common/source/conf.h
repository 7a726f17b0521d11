/* SPDX-License-Identifier: Apache-2.0 */
/* Objects of a configuration directory after they were read: each is turned into what the mesh wants of it, as far as
 * that can be said without looking at other objects. */
#ifndef SOURCE_CONF_H
#define SOURCE_CONF_H

#include "model/waypoint.h"
#include "source/crd.h"

struct conf_port { const char *name; uint16_t port; };

struct conf_ports {                 /* named ports of a WorkloadEntry or Pod; one block */
	int n;
	struct conf_port v[];
};

enum conf_distribution { CONF_DIST_UNSET, CONF_DIST_ANY, CONF_DIST_ZONE, CONF_DIST_NODE };

struct conf_service_port {
	uint16_t port, target;      /* target 0: as port, unless target_name says otherwise */
	const char *name, *protocol, *target_name;
	enum port_protocol app;
};

struct conf_endpoint {
	struct workload *workload;  /* reference held */
	struct workload *placed;    /* see conf_obj */
	const struct conf_port *ports;
	int n_ports;
};

/* The labels istio.io/use-waypoint and use-waypoint-namespace; name NULL: not there; "none": no waypoint. */
struct conf_waypoint { const char *name, *ns; };
/* use-waypoint-canary(-namespace) and the annotation use-waypoint-canary-weight: what takes over a part. */
struct conf_canary {
	struct conf_waypoint at;
	unsigned percent;
	bool weighed;               /* percent is written */
	bool bad;                   /* as no number: there is none */
};

/* A ServiceEntry or a core Service. All in `mem`. */
struct conf_service {
	struct arena mem;
	const char *ns, *name;
	int64_t created;
	bool core;                  /* a Kubernetes Service: wins over ServiceEntries of the same host */
	const char **hosts;
	int n_hosts;
	struct cidr *vips;
	int n_vips;
	bool auto_vip;              /* wants automatic addresses when n_vips is 0 */
	struct conf_service_port *ports;
	int n_ports;
	struct label *selector;     /* n_selector 0: none */
	int n_selector;
	struct conf_endpoint *endpoints;
	int n_endpoints;
	const char **sans;
	int n_sans;
	struct conf_waypoint waypoint;
	struct conf_canary canary;
	bool is_waypoint;           /* made for one: passes none */
	bool passthrough, local_only, allow_unhealthy, external, headless;
	enum service_resolution resolution;
	const char **export_to;
	int n_export_to;
	enum conf_distribution distribution;
};

struct conf_namespace {
	struct conf_canary canary;  /* of what inherits the waypoint */
	const char *name;
	const struct label *labels;
	int n_labels;
	enum conf_distribution distribution;
	struct conf_waypoint waypoint;
};

/* Of which namespaces objects may use a waypoint (allowedRoutes), in the order of the words. */
enum conf_origin { FROM_SAME, FROM_ALL, FROM_SELECTOR, FROM_NONE };
/* What a selector demands of a namespace's labels. */
struct conf_demand {
	const char *key;
	enum { LABEL_IN, LABEL_NOT_IN, LABEL_EXISTS, LABEL_ABSENT } how;
	const char *const *values;
	int n;
};

/* A Gateway that is a waypoint or the way into a network; one block. */
struct conf_gateway {
	const char *ns, *name;
	const char *network;        /* "": a waypoint */
	struct gateway at;
	bool for_services, for_workloads;
	enum conf_origin from;
	const struct conf_demand *demands;      /* of FROM_SELECTOR; in object's memory */
	int n_demands;
	struct waypoint *object;    /* what the mesh has of a waypoint: reference; else NULL */
};

struct conf_bad { const char *ns, *name; };

enum conf_kind {                    /* CRD_* without MeshConfig */
	CONF_WORKLOAD_ENTRY, CONF_SERVICE_ENTRY, CONF_AUTHZ, CONF_PEER_AUTHN, CONF_SERVICE, CONF_POD, CONF_GATEWAY,
	CONF_VIRTUAL_SERVICE, CONF_DESTINATION_RULE, CONF_SIDECAR, CONF_REQUEST_AUTHN, CONF_TELEMETRY, CONF_PROXY_CONFIG, CONF_RATE_LIMIT,
	CONF_HTTP_ROUTE, CONF_GRPC_ROUTE, CONF_TCP_ROUTE, CONF_TLS_ROUTE, CONF_BACKEND_TLS,
	CONF_ENVOY_FILTER, CONF_WASM, CONF_WORKLOAD_GROUP, CONF_NAMESPACE,
};

struct conf_obj {
	unsigned refs;
	unsigned line;
	uint64_t hash;              /* of the YAML; for security kinds of the place too */
	struct conf_ports *ports;
	struct workload *placed;    /* the workload with what other objects say of it: waypoint, gateway; NULL: nothing. Reference held */
	unsigned file;              /* index into the directory's list of paths */
	uint8_t kind;
	bool bad;                   /* could not be converted: u.bad, and if it bears on security `refuses` */
	bool skipped;               /* valid, and of no effect here: u.bad holds its name */
	union {
		struct workload *workload;
		struct conf_service *service;
		struct policy *policy;          /* bad: the broken one */
		struct peer_authn *peer_authn;  /* bad: the broken one */
		struct request_authn *request_authn;   /* bad: the broken one */
		struct rate_limit *rate_limit;
		struct conf_namespace *ns;
		struct conf_gateway *gateway;
		struct resource *resource;      /* of the kinds that have crd.object */
		struct conf_bad *named;         /* bad (not of security), or skipped */
	} u;
};

/* What conversions need to know. */
struct conf_load {
	const struct mesh_settings *settings;
	struct report *report;
	struct arena *arena;                /* of the present document */
	const char *file;                   /* path shown to people */
	unsigned file_id;
	/* The object of the last state with this key, or NULL: unchanged content is taken over from it. May be NULL. */
	struct conf_obj *(*find)(void *arg, enum conf_kind kind, const char *ns, const char *name);
	void *find_arg;
};

/* Reads one document. Returns a new reference, or NULL when it is nothing that can be kept (reported). */
struct conf_obj *conf_obj_read(struct conf_load *l, const struct yaml_node *root);
struct conf_obj *conf_obj_ref(struct conf_obj *o);
void conf_obj_unref(struct conf_obj *o);
void conf_obj_key(const struct conf_obj *o, const char **ns, const char **name);
bool conf_is_resource(const struct conf_obj *o);                                   /* u.resource is there, and counts */
/* A bad one of security refuses what it would have judged; not so where its kind, or what it is bound to, is not looked at. */
bool conf_refuses(const struct conf_obj *o, const struct mesh_settings *s);
const char *conf_kind_name(enum conf_kind kind);
bool conf_kind_is_security(enum conf_kind kind);

/* Reads mesh.yaml over what base says. The strings of *ret live in the object, of which the first reference is returned; NULL:
 * there was an error. */
struct mesh_config *conf_mesh_read(struct field_walk *w, const struct yaml_node *root, const struct mesh_settings *base, struct mesh_settings *ret);

/* --- one file each; w->errors counts; false: bad --- */
bool conf_workload_entry(struct conf_load *l, struct field_walk *w, const struct crd_meta *m,
			 const struct crd_workload_entry *spec, struct conf_obj *o);
bool conf_pod(struct conf_load *l, struct field_walk *w, const struct crd_meta *m, const struct crd_pod_spec *spec,
	      const struct crd_pod_status *status, struct conf_obj *o);
/* An endpoint written out in a ServiceEntry; NULL when it was reported. */
struct workload *conf_inline_endpoint(struct conf_load *l, struct field_walk *w, const struct crd_meta *m,
				      const struct crd_workload_entry *spec, const char *uid);
bool conf_service_entry(struct conf_load *l, struct field_walk *w, const struct crd_meta *m,
			const struct crd_service_entry *spec, struct conf_obj *o);
bool conf_core_service(struct conf_load *l, struct field_walk *w, const struct crd_meta *m, const struct crd_service *spec,
		       struct conf_obj *o);
struct conf_waypoint conf_waypoint_read(const struct field_labels *l);
struct conf_canary conf_canary_read(struct field_walk *w, const struct field_labels *labels, const struct field_labels *annotations);
bool conf_gateway(struct conf_load *l, struct field_walk *w, const struct crd_meta *m, const struct crd_gateway *spec,
		  const struct crd_gateway_status *status, struct conf_obj *o);
void conf_gateway_free(struct conf_gateway *g);
void conf_service_free(struct conf_service *s);
enum conf_distribution conf_distribution_read(struct field_walk *w, const struct crd_meta *m, const char *field);

/* One rule of an AuthorizationPolicy with all that it says, for sidecars. In the arena of l. */
void conf_rule(struct conf_load *l, struct field_walk *w, const struct crd_meta *m, const struct crd_rule *rule, struct policy_rule *ret);
bool conf_rule_has_http(const struct policy_rule *r);
/* Leaves *ret NULL when the policy has no effect in this mode (reported). */
bool conf_authz(struct conf_load *l, struct field_walk *w, const struct crd_meta *m, const struct crd_authz *spec,
		struct policy **ret);
bool conf_route(struct conf_load *l, struct field_walk *w, const struct crd_meta *m, const struct crd_route *spec, enum conf_kind kind,
		struct virtual_service *v);
bool conf_backend_tls(struct conf_load *l, struct field_walk *w, const struct crd_meta *m, const struct crd_backend_tls *spec, struct destination_rule *d);
/* What a bad one leaves: no server can prove what is demanded. `target` may be anything. */
void conf_backend_tls_broken(struct conf_load *l, const char *target, struct destination_rule *d);
bool conf_request_authn(struct conf_load *l, struct field_walk *w, const struct crd_meta *m, const struct crd_request_authn *spec,
			struct request_authn **ret);
bool conf_rate_limit(struct conf_load *l, struct field_walk *w, const struct crd_meta *m, const struct crd_rate_limit *spec, struct rate_limit **ret);
bool conf_peer_authn(struct conf_load *l, struct field_walk *w, const struct crd_meta *m,
		     const struct crd_peer_authn *spec, struct peer_authn **ret);

#endif
