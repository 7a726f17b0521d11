/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of plan_compile share. The rules are istiod's for sidecars; where it is silent, Envoy's. */
#ifndef TRAFFIC_COMPILE_INT_H
#define TRAFFIC_COMPILE_INT_H

#include "base/map.h"
#include "model/meshconfig.h"
#include "traffic/plan_int.h"

/* A service as this sidecar sees it: an egress entry may narrow its ports. */
struct seen {
	struct service *s;                   /* borrowed from the mesh */
	const char *host;                    /* in lower case */
	const struct service_port *ports;
	int n_ports;
	const struct rule *rule;             /* compile_rule's; NULL: none, or not looked for yet */
	bool rule_known;
	bool served;                         /* at a waypoint: that the service names */
	struct vs **vs;                      /* of a served one: whose routes it has, in their order */
	int n_vs, cap_vs;
};

/* The DestinationRules of one host and namespace, merged. */
struct rule {
	const char *host, *ns;
	const char *const *export_to;
	int n_export_to;
	const struct dr_selector *selector;
	const struct dr_policy *policy;      /* NULL: none */
	const struct dr_subset *const *subsets;
	int n_subsets;
	bool fills_gaps;
	struct rule *next;                   /* of the same host */
};

/* A VirtualService that clients of this namespace may use, delegates merged; or Gateway API routes of one namespace for one host. */
struct vs {
	const struct virtual_service *from;
	const char *name, *ns;
	const char *const *hosts;
	int n_hosts;
	const struct vs_http *http;
	int n_http;
	bool gateway;
	uint16_t port;                       /* of a Gateway API route's parent; 0: all */
	bool closed;                         /* exported to its own namespace only */
	bool named;                          /* to namespaces by name */
};

struct egress {                              /* one entry of a Sidecar's egress, or the default one */
	const struct scope_egress *conf;     /* NULL: the default */
	struct seen **services;
	int n_services;
	struct vs **vs;
	int n_vs;
	struct map wild;                     /* service host -> the VirtualService that names it best */
};

struct compile {
	const struct mesh *m;
	const struct mesh_config *mc;
	const struct mesh_settings *set;
	const struct workload *w;
	bool waypoint;                       /* w is one; else it has a sidecar */
	const struct plan *before;
	void (*report)(void *arg, const char *object, const char *text);
	void *arg;
	struct plan *p;
	struct arena *mem;                   /* the plan's */
	struct arena tmp;                    /* until the end of the compilation */
	const struct sidecar *scope;         /* NULL: the default */
	struct egress *egress;
	int n_egress;
	struct seen **services;              /* all that are imported */
	int n_services;
	struct map by_host;                  /* of struct seen, by host in lower case */
	struct map rules;                    /* namespace -> struct rules */
	struct map regexes;                  /* pattern -> struct regex */
	struct map vhosts;                   /* port -> struct vhosts */
	struct map reported;                 /* what was said once */
	struct vs **vs;                      /* of this mesh for this namespace, in the order of their rank */
	int n_vs;
};

#define NEW(c, type, n) ((type *)arena_alloc((c)->mem, (size_t)(n) * sizeof(type)))
#define TMP(c, type, n) ((type *)arena_alloc(&(c)->tmp, (size_t)(n) * sizeof(type)))
const char *compile_printf(struct arena *mem, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Says it once for each pair of object and text. */
void compile_report(struct compile *c, const struct resource *r, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Keeps the object as long as the plan, so that its texts may be borrowed. */
void compile_hold(struct compile *c, const struct resource *r);
const struct regex *compile_regex(struct compile *c, const struct resource *r, const char *pattern);   /* NULL: reported */
const struct format *compile_format(struct compile *c, const struct resource *r, const char *text);    /* NULL: reported */

/* host.Name of istiod: a wildcard begins with '*'. */
bool host_wild(const char *h);
bool host_matches(const char *a, const char *b);             /* they may mean the same name */
bool host_within(const char *h, const char *o);              /* all that h means, o means too */
/* Of a map by host the entry for `host` itself, else for the longest wildcard that it is in; NULL: none. */
void *host_best(struct compile *c, const struct map *m, const char *host);
bool export_to_ns(struct compile *c, const char *const *to, int n, const char *own_ns);   /* whether the client's namespace sees it */

void compile_scope(struct compile *c);               /* scope, egress, services, by_host */
void compile_served(struct compile *c);              /* the same of a waypoint: services that it serves, and where their routes lead */
void compile_virtual_services(struct compile *c);    /* vs */
const struct vs_http *compile_delegates(struct compile *c, const struct virtual_service *root, int *ret_n);
const struct rule *compile_rule(struct compile *c, struct seen *s);          /* the DestinationRule for the service; NULL: none */
const struct rule *compile_rule_inbound(struct compile *c, struct seen *s);
/* What holds for a port and subset (NULL: none). */
struct blocks {
	const struct dr_load_balancer *lb;
	const struct dr_pool *pool;
	const struct dr_outlier *outlier;
	const struct dr_tls *tls;
	const struct dr_proxy *proxy;
	const struct dr_retry_budget *budget;
};
struct blocks compile_blocks(struct compile *c, const struct rule *r, const struct dr_subset *subset, uint16_t port);
const struct dr_subset *rule_subset(const struct rule *r, const char *name);  /* NULL: none */
struct hash_conf compile_hash(struct compile *c, const struct dr_consistent_hash *h);

void compile_clusters(struct compile *c);            /* of all services, and the fixed ones */
void compile_pool(struct compile *c, const struct blocks *b, struct pool_conf *ret);
struct cluster *compile_cluster(struct compile *c, const struct cluster_conf *conf);
/* "outbound|PORT|SUBSET|HOST"; of a service that the waypoint serves "inbound-vip|PORT|http/SUBSET|HOST", for bytes "…|tcp/SUBSET|…". port: of a
 * destination that names none. In the plan's memory. */
const char *compile_cluster_name(struct compile *c, const struct vs_destination *d, uint16_t port, bool http);
/* The same for a service itself; subset "": none. */
const char *compile_service_cluster(struct compile *c, const struct seen *s, uint16_t port, const char *subset, bool http);

/* What a match says of the client, decided beforehand: it is our workload. A waypoint's clients are not known: labels never hold there, and
 * the namespace is the waypoint's, as istiod has it. */
bool compile_from_us(const struct compile *c, const struct label *labels, int n, const char *ns);
/* The routes of a VirtualService on a port. */
int compile_routes(struct compile *c, const struct vs *v, uint16_t port, const struct route **ret);
struct route compile_plain_route(struct compile *c, const char *name, const char *cluster, const char *operation);
void compile_retry(struct compile *c, const struct resource *r, const struct vs_retries *in, bool hashed, struct retry_policy *ret);
/* Virtual hosts of a port, without and with what is for unknown hosts. */
struct vhosts { struct vhost *v; int n; struct route_table *table; uint16_t port; };
struct vhosts *compile_vhosts(struct compile *c, uint16_t port);
const struct route_table *compile_port_table(struct compile *c, uint16_t port);
const struct route_table *compile_host_table(struct compile *c, const char *host, uint16_t port);

/* Whether what is for the service goes to its waypoint, which then does what VirtualServices and DestinationRules say of it. Endpoints of a
 * headless one are called by their own addresses, and name waypoints of their own. */
bool compile_through_waypoint(const struct compile *c, const struct service *s);
/* Says that a subset is the waypoint's to choose. to may be NULL. */
void compile_report_subset(struct compile *c, const struct vs *v, const struct vs_destination *d, const struct cluster *to);
void compile_outbound(struct compile *c);
void compile_l4(struct compile *c, struct egress *e, struct seen *s, const struct service_port *port, const struct cidr *to, int n_to, bool wildcard,
		struct l4_list *tls, struct l4_list *tcp);
/* A waypoint's, of one VirtualService or Gateway API route for the service. */
void compile_tls_rows(struct compile *c, const struct vs *v, const struct seen *s, uint16_t port, struct l4_list *l);
void compile_tcp_rows(struct compile *c, const struct vs *v, uint16_t port, struct l4_list *l);
void compile_inbound(struct compile *c);
void compile_waypoint(struct compile *c);            /* inbound, of a waypoint */

#endif
