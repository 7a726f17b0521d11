/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of a walk share; for path*.c only. Each hop writes down what it finds and the legs on; the next hop may look at the
 * mesh as another mode reads it, so that nothing that is borrowed from the mesh goes from hop to hop. */
#ifndef SOURCE_PATH_INT_H
#define SOURCE_PATH_INT_H

#include "base/fail.h"
#include "http/exchange.h"
#include "source/confdir.h"
#include "source/path.h"
#include "traffic/plan.h"

#define PATH_SAMPLES 64          /* times that an engine is asked to choose */
#define PATH_LEGS    16          /* of one hop that are followed */
#define PATH_HOPS    8

struct path_walk {
	const char *dir;
	const struct path_ask *ask;
	const struct mesh_settings *base;
	struct mesh_settings settings;
	struct confdir *conf;            /* loaded as settings.mode; NULL: nothing is */
	struct path *path;
	struct err *err;
	int rc;                          /* negative: err says why, and the walk ends */
	int depth;
	const struct claims *claims;     /* of the request's token, at the hop that judges; reference */
};

/* How a request travels over a leg, and what is known of it at its end. All in path.mem. */
enum path_carried { CARRIED_PLAIN, CARRIED_ISTIO_MTLS, CARRIED_TLS, CARRIED_HBONE };
struct path_wire {
	enum path_carried how;
	const char *ns, *name;           /* of the workload at its end; NULL: it leaves the mesh */
	bool waypoint;                   /* which is asked as one: for `to`, or for host:to.port */
	bool across;                     /* the workload is the gateway of another network */
	struct addr to;                  /* the application's */
	const char *host;                /* in place of the address of `to`; NULL */
	struct addr source;              /* the TCP peer */
	const char *principal;           /* shown by TLS; "" */
	const char *caller;              /* of whom a waypoint speaks; "" */
	struct addr caller_addr;         /* port 0: of nobody */
	const char *sni;                 /* "" */
	bool requests;                   /* the sender handles requests: its ALPN says so */
	bool tls_inside;                 /* the application's own bytes are TLS by then */
	bool answered;                   /* a hop before answers requests: what fails behind it is its 503 */
	struct str method, path, authority;
	struct str named;                /* the Host before routes edited it; empty: `authority` */
	const struct http_field *fields;
	int n_fields;
};

/* The mesh as this mode reads it. NULL: the walk ends. */
const struct mesh *path_view(struct path_walk *k, enum mesh_mode mode);
enum path_proxy path_proxy_of(const struct path_walk *k, const struct mesh *m, const struct workload *w);

const char *path_printf(struct path_walk *k, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
const char *path_copy(struct path_walk *k, struct str s);
void path_fact(struct path_walk *k, struct path_hop *h, const char *kind, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
struct path_leg *path_leg(struct path_walk *k, struct path_hop *h, unsigned share);
/* The legs from `first` on have counts, and get their parts of the share. */
void path_divide(struct path_hop *h, int first, unsigned share);
/* A leg that ends at this hop. */
void path_ends(struct path_walk *k, struct path_hop *h, unsigned share, enum path_end end, int status, const char *reason, const char *detail);
/* The same of what fails below requests. */
void path_breaks(struct path_walk *k, struct path_hop *h, unsigned share, const struct path_wire *w, enum path_end end, enum fail why, const char *detail);
const char *path_host(struct path_walk *k, const struct path_wire *w);       /* of the authority, without port */
/* Room for the wire of a leg; a copy of `like`. */
struct path_wire *path_wire(struct path_walk *k, const struct path_wire *like);
void path_endpoint(struct path_walk *k, struct path_leg *l, const struct workload *w, const struct addr *to);

/* An exchange of what is on the wire; with its own arena: arena_done(&x->arena). */
void path_exchange(const struct path_wire *w, const struct exchange_client *client, struct exchange *x);
void path_exchange_keep(struct path_walk *k, const struct exchange *x, struct path_wire *w);

/* path_client.c: what leaves the client. */
void path_from_client(struct path_walk *k, struct path_hop *h, const struct workload *w, enum path_proxy proxy, struct path_wire *wire);
/* path_route.c: where requests, or bytes of a cluster, go from a hop that routes. Adds legs. */
struct path_sender { const struct mesh *m; const struct workload *w; const char *identity; };
void path_route(struct path_walk *k, struct path_hop *h, const struct path_sender *s, const struct route_table *t, const struct path_wire *wire);
void path_cluster(struct path_walk *k, struct path_hop *h, const struct path_sender *s, struct cluster *c, unsigned share, const struct path_wire *wire);
void path_l4(struct path_walk *k, struct path_hop *h, const struct path_sender *s, const struct l4_route *r, const struct path_wire *wire);
/* path_judge.c: policies of a hop. False: it ended. requests: else bytes. */
bool path_judge(struct path_walk *k, struct path_hop *h, const struct mesh *m, const struct workload *w, const struct service *service, struct path_wire *wire, bool requests);
/* What a request may say of who sent it, as the chains settle it. */
void path_clean(const struct mesh *m, struct exchange *x);
/* path_server.c: what arrives at a workload. */
void path_at_server(struct path_walk *k, struct path_hop *h, enum path_proxy proxy, struct path_wire *wire);
/* path_waypoint.c */
void path_at_waypoint(struct path_walk *k, struct path_hop *h, struct path_wire *wire);

#endif
