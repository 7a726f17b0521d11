/* SPDX-License-Identifier: Apache-2.0 */
/* `meshd explain --to`: the way of one request through the mesh, from a directory, offline, by the engines of the data plane. Each
 * hop reads the directory as what it is (mesh_settings.mode), so that its policies and routes mean there what they mean to it. */
#ifndef SOURCE_PATH_H
#define SOURCE_PATH_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "model/mesh.h"

struct path_ask {
	const char *from;            /* "ns/name" of a WorkloadEntry or Pod, else "ns/serviceaccount", else an address outside the mesh */
	const char *to;              /* "host:port" or "address:port", as the application dials it */
	const char *method, *path;
	const char *const *headers;  /* "name: value"; host: in place of that of `to` */
	int n_headers;
	const char *const *proxies;  /* "ns/name=PROXY": what files cannot tell */
	int n_proxies;
};

/* What stands before a workload. Told from the objects: an endpoint of a Gateway of the class istio-waypoint is one; with HBONE
 * (networking.istio.io/tunnel: http) it is a sidecar if the label security.istio.io/tlsMode is istio, else ztunnel; without HBONE it has a
 * sidecar if it takes Istio's mutual TLS, else nothing. */
enum path_proxy { PATH_NONE, PATH_ZTUNNEL, PATH_SIDECAR, PATH_WAYPOINT };
const char *path_proxy_name(enum path_proxy p);      /* "none", "ztunnel", "sidecar", "waypoint" */

enum path_proxy path_stands_before(const struct mesh *m, const struct workload *w);

enum path_end {
	PATH_ALLOW,                  /* it reaches the application */
	PATH_ANSWER,                 /* a route answers: redirects, direct answers */
	PATH_DENY,                   /* by policy: AuthorizationPolicy, PeerAuthentication, RequestAuthentication */
	PATH_REFUSE,                 /* by anything else: what is missing, not allowed by the stance, a fault */
};
const char *path_end_name(enum path_end e);          /* "ALLOW" … */

struct path_verdict {
	enum path_end end;
	int status;                  /* what the client's application sees; 0: the connection ends without an answer, or ALLOW */
	const char *by;              /* "ns/name" of the hop that decides */
	enum path_proxy proxy;
	const char *reason;          /* as in logs: "DENIED", "NO_WAYPOINT"; of ALLOW "" */
	const char *detail;          /* which object and rule; "" */
};

struct path_fact { const char *kind, *text; };
struct path_hop;
struct path_wire;

/* One of the ways on from a hop. */
struct path_leg {
	unsigned share;              /* of 10000 */
	const char *carried;         /* "plaintext", "Istio mTLS", "HBONE", "TLS"; NULL: it ends here, with the verdict */
	const char *to;              /* address, or what a waypoint is asked for */
	const char **endpoints;      /* "ns/name": those that are treated alike; the first is looked at */
	int n_endpoints;
	struct path_hop *next;
	struct path_verdict verdict;
	struct path_wire *wire;      /* private */
};

struct path_hop {
	const char *role;            /* "client", "waypoint", "server"; "gateway": of another network */
	const char *workload;        /* "ns/name", or an address */
	const char *identity;        /* SPIFFE ID; "" */
	enum path_proxy proxy;
	struct path_fact *facts;     /* in the order in which they were found */
	struct path_leg *legs;
	int n_facts, n_legs;
};

struct path_outcome { unsigned share; const struct path_verdict *verdict; };

struct path {
	struct arena mem;            /* of all that is here */
	const char *from, *to, *method, *host, *target;
	struct path_hop *first;
	struct path_outcome *outcomes;       /* those that differ, the likeliest first */
	int n_outcomes;
};

/* 0, or negative with err: what is named does not exist, or the directory cannot be read. Nothing of the directory stays in the mesh. */
int path_find(const char *dir, const struct path_ask *ask, const struct mesh_settings *base, struct path *ret, struct err *err);
void path_done(struct path *p);

/* The last line is "verdict: …", after "verdict: MIXED" there is one for each outcome; see meshd-explain(1). */
void path_write_text(const struct path *p, struct buf *out);
void path_write_json(const struct path *p, struct buf *out);

#endif
