/* SPDX-License-Identifier: Apache-2.0 */
/* The mesh: every object that the sources know, as one immutable snapshot with indexes. Snapshots share structure
 * (persistent maps): a change copies only its path. One writer, the control thread, edits and publishes; readers look
 * at mesh_current() within a loop turn (base/epoch.h) and take references on objects that they keep. */
#ifndef MODEL_MESH_H
#define MODEL_MESH_H

#include "model/resource.h"
#include "model/security.h"

/* MESHD_ENFORCEMENT; each implies those before it. */
enum stance {
	STANCE_ISTIO,                        /* as Istio */
	STANCE_CLOSED,                       /* a waypoint that is named is required */
	STANCE_STRICT,                       /* policies keep to their words */
};

const char *stance_name(enum stance s);

/* MESHD_SIDECAR_USE_WAYPOINT: whether a sidecar sends what is for a service that names a waypoint there. */
enum waypoint_use { WAYPOINTS_AUTO, WAYPOINTS_USED, WAYPOINTS_SKIPPED };

/* What this process is; objects mean what they mean to the proxy that Istio would have in its place. */
enum mesh_mode { MODE_ZTUNNEL, MODE_SIDECAR, MODE_WAYPOINT };

const char *mesh_mode_name(enum mesh_mode m);        /* "ztunnel", "sidecar", "waypoint" */

struct mesh_settings {
	const char *trust_domain;            /* "cluster.local" */
	const char *const *aliases;          /* trustDomainAliases */
	int n_aliases;
	const char *root_ns;                 /* "istio-system" */
	const char *cluster_domain;          /* "cluster.local" */
	const char *network, *cluster;       /* own; "" and "Kubernetes" */
	unsigned connect_timeout_ms;
	enum stance stance;
	enum mesh_mode mode;
	enum waypoint_use waypoint_use;
	bool through_waypoints;              /* what of it is in force here (mesh_through_waypoints) */
	unsigned trusted_hops;               /* gatewayTopology.numTrustedProxies: entries of X-Forwarded-For that are passed by */
	const struct ext_provider *providers;
	int n_providers;
};

/* Whether requests are seen, so that policies are read whole (struct policy); else as ztunnel has them. */
static inline bool sees_requests(const struct mesh_settings *s) { return s->mode != MODE_ZTUNNEL; }

/* AUTO: as Istio's sidecars, which skip waypoints, unless all others do the same (others: there are workloads whose sidecar takes
 * Istio's mutual TLS but no HBONE), or the stance requires waypoints. Only sidecars do. */
bool mesh_through_waypoints(const struct mesh_settings *s, bool others);

struct mesh;
struct mesh_edit;
struct plan;

/* --- writer --- */
struct mesh_edit *mesh_edit_begin(void);             /* on top of the published mesh */
void mesh_edit_settings(struct mesh_edit *e, const struct mesh_settings *s);   /* copied */
/* put takes over the caller's reference and replaces what has the same key; del ignores what is not there. A service keeps
 * the workload objects that it was made with: who replaces or deletes a workload puts its services again, too. */
void mesh_put_workload(struct mesh_edit *e, struct workload *w);
void mesh_del_workload(struct mesh_edit *e, struct str uid);
void mesh_put_service(struct mesh_edit *e, struct service *s);
void mesh_del_service(struct mesh_edit *e, struct str key);
void mesh_put_policy(struct mesh_edit *e, struct policy *p);
void mesh_del_policy(struct mesh_edit *e, struct str key);
void mesh_put_peer_authn(struct mesh_edit *e, struct peer_authn *p);
void mesh_del_peer_authn(struct mesh_edit *e, struct str key);
void mesh_put_resource(struct mesh_edit *e, struct resource *r);
void mesh_del_resource(struct mesh_edit *e, enum resource_kind kind, struct str key);
void mesh_put_request_authn(struct mesh_edit *e, struct request_authn *a);
void mesh_del_request_authn(struct mesh_edit *e, struct str key);
void mesh_put_rate_limit(struct mesh_edit *e, struct rate_limit *r);
void mesh_del_rate_limit(struct mesh_edit *e, struct str key);
/* Publishes as the next generation and retires the old snapshot by epoch. */
void mesh_edit_publish(struct mesh_edit *e);
void mesh_edit_abandon(struct mesh_edit *e);
const struct mesh *mesh_edit_view(const struct mesh_edit *e);   /* as it would be published now */

/* --- readers --- */
const struct mesh *mesh_current(void);               /* never NULL: an empty mesh before the first publish */
uint64_t mesh_generation(const struct mesh *m);
uint64_t mesh_policy_generation(const struct mesh *m);   /* when settings, policies or PeerAuthentications last changed */
/* When what plans are made of last changed: resources, settings, services but for their endpoints. */
uint64_t mesh_traffic_generation(const struct mesh *m);
const struct mesh_settings *mesh_settings(const struct mesh *m);
struct workload *mesh_workload(const struct mesh *m, struct str uid);
struct workload *mesh_workload_named(const struct mesh *m, struct str ns, struct str name);
struct workload *mesh_workload_by_host(const struct mesh *m, struct str ns, struct str hostname);
/* Several workloads on one address: a Pod before others, then HBONE before none, then the smallest uid. */
struct workload *mesh_workload_by_ip(const struct mesh *m, struct str network, const struct ip *ip);
struct service *mesh_service(const struct mesh *m, struct str key);
/* Exact VIP first, then CIDR VIPs: the client's namespace, the longest prefix, canonical, the first by key. Hidden services
 * are skipped; IPv6 blocks never hold IPv4 addresses. */
struct service *mesh_service_by_vip(const struct mesh *m, struct str network, const struct ip *ip, struct str client_ns);
/* By hostname: hidden skipped; the namespace `ns`, then canonical, then the first by key. */
struct service *mesh_service_by_host(const struct mesh *m, struct str hostname, struct str ns);
bool mesh_has_guarded(const struct mesh *m);         /* whether any service names a waypoint */
/* All that have this hostname, hidden ones too, in no particular order; stops when fn returns false. */
void mesh_each_service_called(const struct mesh *m, struct str hostname, bool (*fn)(struct service *s, void *arg), void *arg);
struct policy *mesh_policy(const struct mesh *m, struct str key);
struct peer_authn *mesh_peer_authn(const struct mesh *m, struct str key);
struct resource *mesh_resource(const struct mesh *m, enum resource_kind kind, struct str key);
/* Those of a kind in a namespace ("": in all), the oldest first. free() the list; its members are borrowed. */
struct resource **mesh_resources(const struct mesh *m, enum resource_kind kind, struct str ns, int *n);
struct request_authn *mesh_request_authn(const struct mesh *m, struct str key);
struct rate_limit *mesh_rate_limit(const struct mesh *m, struct str key);

/* Those of the namespace that are bound to it by their targetRefs, perhaps more than once; see struct target_ref. */
void mesh_each_policy_at(const struct mesh *m, struct str ns, enum target_kind kind, struct str name, bool (*fn)(struct policy *p, void *arg), void *arg);
void mesh_each_request_authn_at(const struct mesh *m, struct str ns, enum target_kind kind, struct str name,
				bool (*fn)(struct request_authn *a, void *arg), void *arg);
void mesh_each_rate_limit_at(const struct mesh *m, struct str ns, enum target_kind kind, struct str name,
			     bool (*fn)(struct rate_limit *r, void *arg), void *arg);
/* Whether the way to the gateway ends at this workload: by its service, its host name or its address. g NULL: no. */
bool mesh_is_gateway(const struct mesh *m, const struct gateway *g, const struct workload *w);

/* In no particular order; stops when fn returns false. */
void mesh_each_workload(const struct mesh *m, bool (*fn)(struct workload *w, void *arg), void *arg);
void mesh_each_service(const struct mesh *m, bool (*fn)(struct service *s, void *arg), void *arg);
void mesh_each_policy(const struct mesh *m, bool (*fn)(struct policy *p, void *arg), void *arg);
/* Of a namespace, whatever their scope; "": those of the scope POLICY_GLOBAL, whatever their namespace. */
void mesh_each_policy_in(const struct mesh *m, struct str ns, bool (*fn)(struct policy *p, void *arg), void *arg);
void mesh_each_peer_authn(const struct mesh *m, bool (*fn)(struct peer_authn *p, void *arg), void *arg);
void mesh_each_peer_authn_in(const struct mesh *m, struct str ns, bool (*fn)(struct peer_authn *p, void *arg), void *arg);
void mesh_each_request_authn(const struct mesh *m, bool (*fn)(struct request_authn *a, void *arg), void *arg);
void mesh_each_request_authn_in(const struct mesh *m, struct str ns, bool (*fn)(struct request_authn *a, void *arg), void *arg);
void mesh_each_rate_limit(const struct mesh *m, bool (*fn)(struct rate_limit *r, void *arg), void *arg);
void mesh_each_rate_limit_in(const struct mesh *m, struct str ns, bool (*fn)(struct rate_limit *r, void *arg), void *arg);
size_t mesh_count(const struct mesh *m, size_t *services, size_t *policies);   /* returns workloads; NULL is allowed */

#endif
