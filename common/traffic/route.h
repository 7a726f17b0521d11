/* SPDX-License-Identifier: Apache-2.0 */
/* Where an HTTP request goes, as engines read it: virtual hosts by authority, in each a list of routes of which the first that
 * matches decides. Made from VirtualServices and Gateway API routes (traffic/plan.h), or from istiod's RDS; immutable. */
#ifndef TRAFFIC_ROUTE_H
#define TRAFFIC_ROUTE_H

#include "http/exchange.h"
#include "traffic/cluster.h"

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
struct header_op { enum header_op_kind kind; const char *name; const struct format *value; };   /* telemetry/format.h: %VARIABLES% */

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
	int missing_status;          /* for a target without cluster: 503, or 500 of Gateway API routes */
	const char *host_rewrite, *prefix_rewrite;                 /* "": none; NULL prefix_rewrite: none, "" is one */
	struct { const struct regex *regex; const char *substitution; } regex_rewrite;
	uint64_t timeout_ms, max_grpc_timeout_ms;                  /* 0: none */
	struct retry_policy retry;
	const struct route_mirror { struct cluster *cluster; struct percent share; } *mirrors;
	int n_mirrors;
	struct hash_conf hash;
	/* REDIRECT */
	struct { int status; const char *host, *path, *scheme; uint16_t port; bool path_is_prefix; } redirect;
	/* REPLY */
	struct { int status; struct str body; } reply;
	/* of all */
	const struct header_op *request, *response;
	int n_request, n_response;
	struct { struct percent delay_share, abort_share; uint64_t delay_ms; int abort_status, grpc_status /* -1 */; } fault;
	const struct cors *cors;     /* traffic/cors.h; NULL: none */
	bool websocket;              /* Upgrade is allowed: always, as in Istio */
};

struct route_table;
/* The route for what x->request says, or NULL (FAIL_NO_ROUTE "NR", 404). Good as long as the table's plan. */
const struct route *route_find(const struct route_table *t, const struct exchange *x);

/* Filters, in this order in a chain: route (finds it; redirects and replies), cors, fault. Then, last, the router (traffic/router.h). */
extern const struct filter_ops route_filter;     /* conf: struct route_table (or chosen by x->arg: see traffic/plan.h) */
extern const struct filter_ops cors_filter, fault_filter;   /* conf: unused; they read x->route */

#endif
