/* SPDX-License-Identifier: Apache-2.0 */
/* networking.istio.io VirtualService, and what HTTPRoute, GRPCRoute, TCPRoute and TLSRoute become (gateway_api). Names and
 * meaning are the API's; what is said here is what the API leaves open. */
#ifndef MODEL_VIRTUALSERVICE_H
#define MODEL_VIRTUALSERVICE_H

#include "model/resource.h"

enum string_match_kind { STRING_ANY, STRING_EXACT, STRING_PREFIX, STRING_REGEX };
struct string_match { int kind; const char *text; };         /* ANY: nothing, or {}: of a header that it is there. REGEX: the whole value, RE2 */
struct vs_named { const char *name; struct string_match value; };

struct vs_destination {
	const char *host;            /* fully qualified; "": a reference that leads nowhere (gateway_api: its share is answered with 500) */
	const char *subset;
	uint16_t port;               /* 0: the port that was called */
};

struct vs_header_ops { LIST_OF(struct label) set, add; LIST_OF(const char *) remove; };
struct vs_headers { const struct vs_header_ops *request, *response; };   /* NULL: none */

struct vs_target {
	const struct vs_destination *destination;    /* not NULL */
	uint32_t weight;             /* relative to the sum; of a single target it does not count, but for gateway_api */
	const struct vs_headers *headers;            /* NULL */
};

/* --- http --- */

struct vs_match {
	const char *name;
	struct string_match uri, scheme, method, authority;  /* PREFIX of uri: of the text; gateway_api: of whole segments */
	LIST_OF(struct vs_named) headers, without_headers, query_params;
	uint16_t port;               /* of the listener; 0: any */
	LIST_OF(struct label) source_labels;         /* sorted */
	const char *source_ns;
	LIST_OF(const char *) gateways;
	bool ignore_uri_case;
	bool grpc;                   /* of a GRPCRoute */
};

enum vs_derive_port { VS_PORT_UNSET, VS_PORT_PROTOCOL_DEFAULT, VS_PORT_REQUEST };   /* FROM_PROTOCOL_DEFAULT, FROM_REQUEST_PORT */
struct vs_redirect {
	const char *uri;             /* "" */
	const char *prefix_rewrite;  /* NULL */
	const char *authority, *scheme;
	struct opt_u32 port;
	int derive_port;             /* enum vs_derive_port, when there is no port */
	uint32_t code;
};

struct vs_body { const char *string; struct str bytes; };    /* one of them; bytes are decoded */
struct vs_direct_response { uint32_t status; const struct vs_body *body; };
struct vs_delegate { const char *name, *ns; };               /* ns "": the root's */
struct vs_regex_rewrite { const char *match, *rewrite; };
struct vs_rewrite { const char *uri, *authority; const struct vs_regex_rewrite *regex; };

struct vs_retries {
	uint32_t attempts;           /* 0: none */
	struct opt_ms per_try;
	const char *retry_on;        /* words and status codes, with commas; "": the default ones */
	enum opt_bool remote_localities, ignore_previous_hosts;
	struct opt_ms backoff;
};

struct vs_percent { struct opt_double value; };                         /* of hundred */
struct vs_delay { const struct vs_percent *percentage; struct opt_u32 percent; struct opt_ms fixed; };   /* neither: never */
struct vs_abort { const struct vs_percent *percentage; struct opt_u32 percent, http_status; const char *grpc_status; /* a name */ };
struct vs_fault { const struct vs_delay *delay; const struct vs_abort *abort; };

struct vs_mirror { const struct vs_destination *destination; const struct vs_percent *percentage; /* NULL: all */ };

struct vs_cors {
	LIST_OF(struct string_match) allow_origins;          /* allowOrigin is in here as EXACT ("*": REGEX ".*") */
	LIST_OF(const char *) allow_methods, allow_headers, expose_headers;
	struct opt_ms max_age;
	enum opt_bool allow_credentials;
	bool ignore_unmatched;       /* unmatchedPreflights IGNORE: they are not forwarded */
	LIST_OF(const char *) allow_origin;                  /* for sources */
	int unmatched;
};

struct vs_http {
	const char *name;
	LIST_OF(struct vs_match) match;                      /* none: all */
	LIST_OF(struct vs_target) route;
	const struct vs_redirect *redirect;                  /* NULL, as all pointers here */
	const struct vs_direct_response *direct_response;
	const struct vs_delegate *delegate;
	const struct vs_rewrite *rewrite;
	struct opt_ms timeout;                               /* not set, or 0: none */
	const struct vs_retries *retries;                    /* NULL: the mesh's default */
	const struct vs_fault *fault;
	LIST_OF(struct vs_mirror) mirrors;                   /* `mirror` is in here */
	const struct vs_cors *cors;
	const struct vs_headers *headers;
	/* gateway_api */
	LIST_OF(uint16_t) retry_codes;                       /* beside the default conditions */
	struct opt_ms backend_timeout;                       /* backendRequest: per try when there are retries, else of all */
	bool invalid;                                        /* a filter that is not supported: 500 */
	int rule;                                            /* its place in the route */
	/* as they were written: for sources */
	const struct vs_destination *mirror;
	const struct vs_percent *mirror_percentage;
	struct opt_u32 mirror_percent;
};

/* --- tls, tcp --- */

struct vs_l4_match {
	LIST_OF(const char *) sni_hosts;                     /* tls only */
	LIST_OF(const char *) destination_subnets;           /* addresses or CIDR blocks, checked */
	uint16_t port;
	LIST_OF(struct label) source_labels;
	const char *source_ns;
	LIST_OF(const char *) gateways;
};
struct vs_l4 { LIST_OF(struct vs_l4_match) match; LIST_OF(struct vs_target) route; };

/* --- the object --- */

/* What a Gateway API route is attached to. */
struct vs_parent {
	const char *host;            /* of a Service; "" */
	uint16_t port;               /* 0: all */
	const char *entry;           /* or a ServiceEntry of that name, all its hosts; "" */
	const char *entry_ns;
};

struct virtual_service {
	struct resource r;
	LIST_OF(const char *) hosts;                         /* fully qualified; none: a delegate */
	LIST_OF(const char *) gateways;                      /* none: "mesh" */
	LIST_OF(struct vs_http) http;
	LIST_OF(struct vs_l4) tls, tcp;
	LIST_OF(const char *) export_to;                     /* none: the mesh's default */
	bool gateway_api;                                    /* segment prefixes, sorted rules, 500 for what leads nowhere */
	LIST_OF(struct vs_parent) parents;                   /* gateway_api: instead of hosts (which has each Service once) */
	LIST_OF(const char *) hostnames;                     /* of TLSRoute: SNI names */
};

/* Who a route is open to: "." or ns itself, "*", a name; list none: `deflt`. */
bool export_reaches(const char *const *export_to, int n, const char *own_ns, const char *client_ns);

#endif
