/* SPDX-License-Identifier: Apache-2.0 */
/* Where an HTTP request goes, as engines read it: virtual hosts by authority, in each a list of routes of which the first that
 * matches decides. Made from VirtualServices and Gateway API routes (traffic/plan.h), or from istiod's RDS; immutable. */
#ifndef TRAFFIC_ROUTE_H
#define TRAFFIC_ROUTE_H

#include "http/exchange.h"
#include "traffic/cluster.h"

struct format;                       /* telemetry/format.h: a text with %VARIABLES% */

enum text_match_kind { TEXT_EXACT, TEXT_PREFIX, TEXT_SUFFIX, TEXT_REGEX, TEXT_PRESENT };
struct regex;                        /* base/regex.h: RE2 */
struct text_match {
	enum text_match_kind kind;
	const char *text;
	const struct regex *regex;   /* REGEX: the whole value must match */
	bool nocase, invert, missing_is_empty;
};

enum path_match { PATH_ANY, PATH_EXACT, PATH_PREFIX /* of the text */, PATH_SEGMENTS /* of whole segments */, PATH_REGEX };

struct named_match { const char *name; struct text_match value; };   /* header (also ":method", ":authority", ":scheme"), query parameter */

struct route_match {
	enum path_match path;
	const char *path_text;
	const struct regex *path_regex;
	bool path_nocase;
	const struct named_match *headers, *queries, *claims;
	int n_headers, n_queries, n_claims;
	bool grpc;                   /* only gRPC requests */
};

enum header_op_kind { HEADER_SET, HEADER_ADD, HEADER_REMOVE };
/* A list has the removals first, then what is set, then what is added; SET and ADD do nothing with an empty value. */
struct header_op { enum header_op_kind kind; const char *name; const struct format *value; };

struct percent { uint32_t parts, of; };   /* of: 100 or 1000000 */

struct retry_policy {
	uint32_t on;                 /* RETRY_ bits */
	int n_codes; const uint16_t *codes;
	int attempts;                /* beyond the first; 0: none */
	unsigned per_try_ms, backoff_ms, backoff_max_ms;
	bool previous_hosts;         /* avoid those that were tried */
	bool remote_localities;
	int host_attempts;
};
enum {
	RETRY_5XX = 1, RETRY_GATEWAY_ERROR = 2, RETRY_RESET = 4, RETRY_CONNECT_FAILURE = 8, RETRY_REFUSED_STREAM = 16, RETRY_CODES = 32,
	RETRY_4XX = 64, RETRY_HEADERS = 128, RETRY_ENVOY_RATELIMITED = 256, RETRY_RESET_BEFORE_REQUEST = 512,
	RETRY_GRPC_CANCELLED = 1024, RETRY_GRPC_DEADLINE = 2048, RETRY_GRPC_INTERNAL = 4096, RETRY_GRPC_EXHAUSTED = 8192, RETRY_GRPC_UNAVAILABLE = 16384,
	RETRY_HTTP3_POST_CONNECT = 32768,
};

struct route_target {                /* one of the weighted destinations */
	struct cluster *cluster;     /* reference; NULL: there is none of that name */
	const char *cluster_name;
	uint32_t weight;
	const struct header_op *request, *response;
	int n_request, n_response;
	const char *host_rewrite;    /* "" */
};

/* CorsPolicy. The texts are those of the answer's headers, "": none. */
struct cors {
	const struct text_match *origins;
	int n_origins;
	const char *methods, *headers, *expose, *max_age_s;
	bool credentials;
	bool answer_unmatched;       /* preflights of other origins are answered here too, without a word of CORS */
};

enum route_action { ROUTE_FORWARD, ROUTE_REDIRECT, ROUTE_REPLY };

struct route {
	const char *name;            /* ROUTE_NAME in logs; "" */
	const char *operation;       /* of spans: "host:port/path*" */
	struct route_match match;
	enum route_action action;
	/* FORWARD */
	const struct route_target *targets;
	int n_targets;
	uint32_t weight_sum;
	bool outside;                /* of hosts that are not the service's: refused, with a word why */
	int missing_status;          /* for a target without cluster: 503, or 500 of Gateway API routes */
	/* "": none. prefix_rewrite takes the place of what the path match says: the prefix, or all of the path but the query. */
	const char *host_rewrite, *prefix_rewrite;
	struct { const struct regex *regex; const char *substitution; } regex_rewrite;
	uint64_t timeout_ms, max_grpc_timeout_ms;                  /* 0: none */
	struct retry_policy retry;
	const struct route_mirror { struct cluster *cluster; struct percent share; } *mirrors;
	int n_mirrors;
	struct hash_conf hash;
	/* REDIRECT */
	/* path: of the whole path, or (path_is_prefix) of what matched; texts "": as in the request */
	struct { int status; const char *host, *path, *scheme; uint16_t port; bool path_is_prefix; } redirect;
	/* REPLY */
	struct { int status; struct str body; } reply;
	/* of all */
	const struct header_op *request, *response;
	int n_request, n_response;
	struct { struct percent delay_share, abort_share; uint64_t delay_ms; int abort_status, grpc_status /* -1 */; } fault;
	const struct cors *cors;     /* NULL: none */
	bool websocket;              /* Upgrade is allowed: always, as in Istio */
};

/* A virtual host: who is addressed, and the list of what may follow. */
struct vhost {
	const char *name;                    /* "reviews.default.svc.cluster.local:80" */
	const char *const *domains;          /* without port: exact, "*.suffix", "prefix.*", "*"; of several alike the first counts */
	int n_domains;
	const struct route *routes;
	int n_routes;
};

/* Indexes over virtual hosts, which it borrows with all that they point to. */
struct route_table;
struct route_table *route_table_new(const struct vhost *vhosts, int n);
void route_table_free(struct route_table *t);        /* NULL ok */
const struct vhost *route_table_vhosts(const struct route_table *t, int *ret_n);
/* By Host; its port does not count, nor does case. Exact, longest suffix, longest prefix, "*"; NULL: none. */
const struct vhost *route_table_vhost(const struct route_table *t, struct str authority);
/* The route for what x->request and x->request_fields say: the first in the vhost's list that matches. NULL: 404, FAIL_NO_ROUTE.
 * Its cost does not grow with the number of exact paths and prefixes. */
const struct route *route_find(const struct route_table *t, const struct exchange *x);

/* One of the destinations, by weight; NULL: all weights are 0. */
const struct route_target *route_choose(const struct route *r, uint64_t *seed);
/* The edits of the chosen way, once, before the first try: host, path (x-envoy-original-path tells the old one), the target's
 * headers, then the route's. */
void route_apply_request(struct exchange *x, const struct route *r, const struct route_target *t);
/* On a response of the upstream. */
void route_apply_response(struct exchange *x, const struct route *r, const struct route_target *t);
/* Whether this time is one of those. */
bool percent_hit(struct percent p, uint64_t *seed);

/* Filters, in this order in a chain; then, last, the router (traffic/router.h). x->arg is a struct router_env. No conf.
 * route_filter finds the route in env->routes and sets x->route, or answers 404; fault_filter waits and aborts; cors_filter answers
 * preflights and marks responses; answer_filter redirects and replies where the route says so. */
extern const struct filter_ops route_filter, fault_filter, cors_filter, answer_filter;

#endif
