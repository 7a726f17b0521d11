/* SPDX-License-Identifier: Apache-2.0 */
/* Objects that judge requests beyond AuthorizationPolicy: who signed their tokens, how many may come, whom else to ask. Rules of
 * objects as in object.h. */
#ifndef MODEL_SECURITY_H
#define MODEL_SECURITY_H

#include "model/object.h"

/* ---- RequestAuthentication (security.istio.io/v1) ---- */

struct jwt_header { const char *name, *prefix; };     /* the token follows the prefix */
struct jwt_claim_header { const char *header; const char *const *claim; int n_claim; };   /* claim: its path */

struct jwt_rule {
	const char *issuer;                  /* "": any */
	const char *const *audiences;        /* none: any */
	int n_audiences;
	const char *jwks;                    /* the keys themselves, or "" */
	const char *jwks_uri;                /* where they are; "" with jwks "": by OpenID discovery of the issuer */
	unsigned timeout_ms;                 /* of fetching them */
	const struct jwt_header *headers;    /* none of the three: Authorization with "Bearer ", then the parameter access_token */
	const char *const *params, *const *cookies;
	int n_headers, n_params, n_cookies;
	const char *payload_header;          /* outputPayloadToHeader; "" */
	const struct jwt_claim_header *claim_headers;
	int n_claim_headers;
	const char *const *space_delimited;  /* claims whose words are a list, beside scope and permission */
	int n_space_delimited;
	bool forward;                        /* the token goes on to the application */
};

struct request_authn {
	atomic_uint refs;
	const char *key, *ns, *name, *where;
	bool broken;                 /* could not be loaded: all requests are refused in its scope */
	const char *problem;
	const struct label *selector;
	int n_selector;              /* 0: the namespace; in the root namespace: the mesh */
	const struct target_ref *targets;        /* takes the selector's place: for waypoints alone */
	int n_targets;
	const struct jwt_rule *rules;
	int n_rules;
	void *compiled;              /* as a policy's */
	void (*compiled_free)(void *compiled);
};

struct request_authn *request_authn_new(const struct request_authn *from);
struct request_authn *request_authn_ref(struct request_authn *a);
void request_authn_unref(struct request_authn *a);

/* ---- RateLimit (meshd.io/v1alpha1) ---- */

enum rate_by { RATE_BY_IDENTITY, RATE_BY_ADDRESS, RATE_BY_HEADER, RATE_BY_CLAIM, RATE_BY_PATH, RATE_BY_METHOD, RATE_BY_HOST };
struct rate_key {
	enum rate_by by;
	const char *const *name;     /* header in lower case; path of a claim */
	int n_name;
};

/* So many may come in a time; `burst` may come at once. Each distinct value of the keys has a bucket of its own. */
struct rate_rule {
	const char *name;            /* unique in its object; for replies and metrics */
	const struct policy_rule *match;     /* any of them; none: all. As in an AuthorizationPolicy */
	int n_match;
	const struct rate_key *keys;
	int n_keys;
	bool connections;            /* counts connections, of every protocol; match then has no HTTP */
	uint32_t amount, burst;      /* burst 0: as amount */
	uint32_t per_s;
	bool dry_run;
};

/* Envoy's rate-limit protocol (envoy.service.ratelimit.v3), for all rules of the object. */
struct rate_service {
	const char *service;         /* host name, "NS/HOST" allowed: reached like any service; "": local buckets */
	uint16_t port;
	const char *domain;
	unsigned timeout_ms;         /* 20 */
	bool fail_open;
};

struct rate_limit {
	atomic_uint refs;
	const char *key, *ns, *name, *where;
	bool broken;                 /* could not be loaded: it limits nothing, and says so */
	const char *problem;
	const struct label *selector;
	int n_selector;
	const struct target_ref *targets;        /* as a RequestAuthentication's */
	int n_targets;
	const struct rate_rule *rules;
	int n_rules;
	bool headers;                /* RateLimit and RateLimit-Policy in responses (draft-ietf-httpapi-ratelimit-headers) */
	struct rate_service shared;
	void *compiled;
	void (*compiled_free)(void *compiled);
};

struct rate_limit *rate_limit_new(const struct rate_limit *from);
struct rate_limit *rate_limit_ref(struct rate_limit *r);
void rate_limit_unref(struct rate_limit *r);

/* ---- MeshConfig.extensionProviders: envoyExtAuthzHttp, envoyExtAuthzGrpc ---- */

struct ext_provider {
	const char *name;
	const char *problem;         /* why it cannot be used: what its policies match is denied; "" */
	bool grpc;
	const char *service;         /* host name, "NS/HOST" allowed */
	uint16_t port;
	unsigned timeout_ms;         /* 600000 */
	const char *path_prefix;     /* HTTP; "" */
	bool fail_open;
	int status_on_error;         /* 403 */
	const struct match *include;             /* request headers that go into the check; EXACT, PREFIX, SUFFIX, without regard to case */
	int n_include;
	const struct label *add;                 /* headers of the check */
	int n_add;
	uint32_t body_max;                       /* 0: the body is not sent */
	bool body_partial, body_bytes;
	const struct match *up_on_allow, *down_on_deny, *down_on_allow;
	int n_up_on_allow, n_down_on_deny, n_down_on_allow;
};

#endif
