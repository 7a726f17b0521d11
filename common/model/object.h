/* SPDX-License-Identifier: Apache-2.0 */
/* What the mesh consists of: workloads, services, policies. Objects are immutable once they are in a mesh, refcounted,
 * and may be held by any thread. All strings are owned by the object ("" when absent, never NULL). */
#ifndef MODEL_OBJECT_H
#define MODEL_OBJECT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/str.h"
#include "model/endpoints.h"

struct texts;
struct texts_table;

struct label {
	const char *key, *value;
};

struct locality {
	const char *region, *zone, *subzone;
};

enum tunnel_protocol { TUNNEL_NONE, TUNNEL_HBONE, TUNNEL_ISTIO_MTLS };   /* WDS TunnelProtocol; the last: a sidecar without HBONE */

/* Where a waypoint or an east-west gateway is (WDS GatewayAddress): by service, or by address. */
struct gateway {
	const char *service;         /* "ns/hostname" (of a service, else of a workload); "": by address */
	const char *network;         /* of the address */
	struct ip ip;
	uint16_t hbone_port;
};
struct weighted_gateway {
	struct gateway gateway;
	uint32_t weight;
};
bool gateway_eq(const struct gateway *a, const struct gateway *b);   /* NULL ok: equal to NULL alone */

/* The order of the members leaves no holes: there are many. */
struct workload {
	atomic_uint refs;
	int n_ips;
	const struct ip *ips;
	const char *uid;             /* "CLUSTER//Pod/NS/NAME" or "CLUSTER/networking.istio.io/WorkloadEntry/NS/NAME": unique */
	const char *name, *ns, *service_account, *trust_domain;
	const char *identity;        /* spiffe://td/ns/x/sa/y */
	const char *network, *cluster, *node, *hostname;
	const char *canonical_name, *canonical_revision, *workload_name, *workload_type;   /* type: pod, deployment, … */
	struct locality locality;
	const struct gateway *waypoint;          /* that traffic to it must pass when no service is addressed; NULL: none */
	const struct gateway *network_gateway;   /* the way into its network; NULL: none */
	const struct label *labels;  /* workload_new sorts them by key */
	const char *const *policies; /* selector policies by "ns/name" that the source has bound (WDS) */
	const char *const *services; /* keys of those that it is an endpoint of, known or not (WDS) */
	int n_labels, n_policies, n_services;
	uint32_t weight;             /* capacity; 0 counts as 1 */
	uint16_t app_tunnel_port;    /* 0: none */
	bool proxy_protocol;         /* the application wants PROXY v2 */
	bool native_tunnel;          /* the application speaks HBONE itself */
	enum tunnel_protocol tunnel;
	bool istio_mtls;             /* has a sidecar: takes Istio's mutual TLS (label security.istio.io/tlsMode, or a WorkloadEntry's serviceAccount) */
	bool host_network;           /* shares its node's address: not found by address */
	bool healthy;
	const char *version;         /* the control plane's word for this content; "": none */
	uint64_t content;            /* hash of what it was made of; 0: not known */
	struct texts *shared[2];     /* owned; hold the strings that others have too; NULL: the block holds all */
};

/* How a port is spoken to, by its protocol or the beginning of its name. AUTO: nobody said; the first bytes decide. */
enum port_protocol { PROTOCOL_AUTO, PROTOCOL_HTTP, PROTOCOL_HTTP2, PROTOCOL_GRPC, PROTOCOL_TLS, PROTOCOL_TCP };

struct service_port {
	uint16_t port, target;       /* target 0: as port, unless it is named */
	const char *name, *protocol;
	bool named;                  /* only endpoints have it that say so themselves */
	enum port_protocol app;
};

struct vip {
	const char *network;
	struct cidr cidr;            /* a single address has 128 bits */
};

enum ip_families { FAMILIES_ANY, FAMILIES_V4, FAMILIES_V6, FAMILIES_DUAL };   /* WDS IPFamilies */
enum lb_mode { LB_STANDARD, LB_STRICT, LB_FAILOVER, LB_PASSTHROUGH };
enum lb_scope { LB_NETWORK, LB_REGION, LB_ZONE, LB_SUBZONE, LB_NODE, LB_CLUSTER };

/* Of a ServiceEntry; a Kubernetes Service is STATIC, a headless one NONE. DNS: endpoints that have a hostname are looked up. */
enum service_resolution { RESOLUTION_STATIC, RESOLUTION_NONE, RESOLUTION_DNS, RESOLUTION_DNS_ROUND_ROBIN, RESOLUTION_DYNAMIC_DNS };

struct service {
	atomic_uint refs;
	const char *key;             /* "ns/hostname": unique */
	const char *name, *ns, *hostname;
	const struct vip *vips;
	int n_vips;
	const struct service_port *ports;
	int n_ports;
	const char *const *sans;     /* SPIFFE IDs beyond the endpoints' own */
	int n_sans;
	struct endpoints *endpoints; /* reference held, never NULL; of a template: NULL is none */
	const struct gateway *waypoint;   /* that traffic to it must pass; NULL: none */
	const struct weighted_gateway *waypoints;   /* take its place, by weight, unless all weights are 0 */
	int n_waypoints;
	enum ip_families families;
	enum lb_mode lb_mode;
	enum lb_scope scopes[6];
	int n_scopes;
	bool allow_unhealthy;        /* healthPolicy AllowAll */
	bool canonical;
	bool hidden_outside_ns;      /* visibility NAMESPACE */
	bool external;               /* MESH_EXTERNAL: outside the mesh */
	bool core;                   /* a Kubernetes Service */
	bool wildcard;               /* hostname is "*.x" (sidecars only) */
	bool headless;               /* clusterIP None: each endpoint is called by its own address */
	enum service_resolution resolution;
	const char *const *export_to;        /* namespaces that see it, as written; none: the mesh's default */
	int n_export_to;
	int64_t created;             /* Unix seconds; INT64_MAX: not known. "Oldest": then by name, then by namespace */
	const char *version;         /* as a workload's */
	uint64_t content;
};

/* NULL: it has no such port. */
static inline const struct service_port *service_port_at(const struct service *s, uint16_t port)
{
	for (int i = 0; i < s->n_ports; i++)
		if (s->ports[i].port == port)
			return &s->ports[i];
	return NULL;
}

/* Whether traffic to it must pass one. */
static inline bool service_has_waypoint(const struct service *s)
{
	bool any = s->waypoint != NULL;

	for (int i = 0; i < s->n_waypoints && !any; i++)
		any = s->waypoints[i].weight > 0;
	return any;
}

/* What an object is bound to by its targetRefs; such objects are for waypoints alone. GATEWAY and the services are of the object's
 * own namespace, the class is the root namespace's to name. The name "" stands for all of these: of objects that are broken so that what
 * they are bound to cannot be read. */
enum target_kind { TARGET_GATEWAY, TARGET_GATEWAY_CLASS, TARGET_SERVICE, TARGET_SERVICE_ENTRY };
struct target_ref { enum target_kind kind; const char *name; };

enum policy_scope { POLICY_GLOBAL, POLICY_NAMESPACE, POLICY_SELECTOR, POLICY_TARGETS };
enum policy_action { POLICY_ALLOW, POLICY_DENY, POLICY_AUDIT, POLICY_CUSTOM };

enum match_kind {
	MATCH_EXACT, MATCH_PREFIX, MATCH_SUFFIX, MATCH_PRESENCE,
	MATCH_GLOB,                  /* of namespaces: a star stands for anything, slashes too */
	MATCH_TEMPLATE,              /* of paths: {*} is a segment, {**} any number of them, of the characters that Envoy knows */
	MATCH_SEGMENTS,              /* the same of any characters */
};
struct match {
	enum match_kind kind;
	const char *text;            /* of the first three without the star */
};

/* What else a whole policy can ask for: of the request, or of the connection beyond L4. */
enum policy_attr {
	ATTR_DOMAIN,                 /* the trust domain of the principal */
	ATTR_SNI,
	ATTR_REMOTE_IP,              /* the client before proxies (X-Forwarded-For); of bytes: the peer */
	ATTR_METHOD, ATTR_HOST, ATTR_PATH,
	ATTR_HEADER,                 /* name[0] in lower case, also ":path" and such */
	ATTR_CLAIM,                  /* of the token, by the path `name` */
	ATTR_REQUEST_PRINCIPAL,      /* texts in pairs: issuer, subject; both must match */
};
#define ATTR_IS_HTTP(a) ((a) >= ATTR_METHOD)

struct policy_demand {
	enum policy_attr attr;
	bool negative;               /* none may match */
	const char *const *name;
	int n_name, n;
	const struct match *texts;
	const struct cidr *blocks;   /* REMOTE_IP: instead of texts */
};

struct ns_sa {
	const char *ns, *sa;
};

/* What one clause demands; an empty list demands nothing. Values in a list are ORed, lists are ANDed; n_ lists: none may match.
 * As WDS istio.security.Match; each member i of positive/negative pairs shares its meaning. */
struct policy_match {
	const struct match *namespaces[2], *principals[2];     /* [0] must match, [1] must not */
	int n_namespaces[2], n_principals[2];
	const struct ns_sa *service_accounts[2];
	int n_service_accounts[2];
	const struct cidr *source_ips[2], *dest_ips[2];
	int n_source_ips[2], n_dest_ips[2];
	const uint16_t *dest_ports[2];
	int n_dest_ports[2];
	const struct policy_demand *more;
	int n_more;
};

/* rules OR; clauses AND; matches OR (Istio's from/to/when become clauses). No rules: never matches. A rule without
 * clauses matches all; a clause without matches matches; a match with nothing set never does. */
struct policy_clause { const struct policy_match *matches; int n_matches; };
struct policy_rule {
	const struct policy_clause *clauses;
	int n_clauses;
	bool blind;                  /* it asks for more than can be seen here, and holds without regard to that */
};

struct policy {
	atomic_uint refs;
	const char *key;             /* "ns/name": unique together with the kind that made it */
	const char *ns, *name;
	const char *where;           /* "file:line", or "" */
	const char *version;         /* as a workload's */
	uint64_t content;
	enum policy_scope scope;
	bool by_name;                /* POLICY_SELECTOR: reaches the workloads that list it in `policies` and no others (WDS) */
	enum policy_action action;
	bool whole;                  /* the rules are all that the policy says, as sidecars read it (AUDIT, CUSTOM: always);
	                              * false: what istiod hands to ztunnel */
	bool dry_run;
	const char *provider;        /* of CUSTOM */
	bool broken;                 /* could not be loaded: its scope refuses everything; `problem` says why */
	const char *problem;
	const struct label *selector;
	int n_selector;
	const struct target_ref *targets;    /* of POLICY_TARGETS */
	int n_targets;
	const struct policy_rule *rules;
	int n_rules;
	void *compiled;              /* owned; the policy room's, freed by compiled_free */
	void (*compiled_free)(void *compiled);
};

enum mtls_mode { MTLS_UNSET, MTLS_DISABLE, MTLS_PERMISSIVE, MTLS_STRICT };
struct mtls_port { uint16_t port; enum mtls_mode mode; };

struct peer_authn {
	atomic_uint refs;
	const char *key, *ns, *name, *where;
	int64_t created;             /* metadata.creationTimestamp, Unix seconds; INT64_MAX when absent: "oldest" then is by name */
	bool broken;
	const char *problem;
	const struct label *selector;
	int n_selector;
	bool has_selector;
	enum mtls_mode mode;
	const struct mtls_port *ports;
	int n_ports;
	const char *refusal;         /* what a connection is told that it refuses; peer_authn_new writes it */
};

/* *_new: copy everything that the template points to into one block (a service takes a reference on the endpoints; NULL
 * strings become ""; refs, shared and compiled of the template are not read). refs is 1.
 * *_unref(NULL) is allowed. Any thread. */
struct workload *workload_new(const struct workload *from);
/* As workload_new, but strings that many workloads have in common (model/texts.h) are stored once. Control thread. */
struct workload *workload_new_shared(const struct workload *from, struct texts_table *t);
struct workload *workload_ref(struct workload *w);
void workload_unref(struct workload *w);
struct service *service_new(const struct service *from);
struct service *service_ref(struct service *s);
void service_unref(struct service *s);
struct policy *policy_new(const struct policy *from);
struct policy *policy_ref(struct policy *p);
void policy_unref(struct policy *p);
struct peer_authn *peer_authn_new(const struct peer_authn *from);
struct peer_authn *peer_authn_ref(struct peer_authn *p);
void peer_authn_unref(struct peer_authn *p);

/* Every key of the selector is in the (sorted) labels with the same value; an empty selector selects all. */
bool labels_match(const struct label *selector, int n_selector, const struct label *labels, int n_labels);

#endif
