/* SPDX-License-Identifier: Apache-2.0 */
/* RequestAuthentication, and meshd's own RateLimit. */
#include "source/check.h"
#include "source/crd.h"

/* --- RequestAuthentication --- */

static void check_from_header(struct field_walk *w, void *out)
{
	check_header_name(w, "name", ((const struct crd_jwt_header *)out)->name);
}

static const struct field from_header_rows[] = {
	ROW("name", STRING, crd_jwt_header, name, "Name of the header."),
	ROW("prefix", STRING, crd_jwt_header, prefix, "What stands before the token, such as \"Bearer \"."),
	{ 0 },
};
static const struct field_table from_header_table = {
	.name = "fromHeaders", .size = sizeof(struct crd_jwt_header), .fields = from_header_rows, .check = check_from_header,
};

static void check_claim_header(struct field_walk *w, void *out)
{
	const struct crd_claim_header *c = out;

	if (!*c->claim)
		field_error(w, 0, "claim", "want a claim, got nothing");
	if (*c->header == ':' || strpbrk(c->header, "!#$%&'*+.^`|~"))
		field_error(w, 0, "header", "want a name of letters, digits, - and _, got '%.80s'", c->header);
	else
		check_header_name(w, "header", c->header);
}

static const struct field claim_header_rows[] = {
	ROW("header", STRING, crd_claim_header, header, "The header that is set."),
	ROW("claim", STRING, crd_claim_header, claim, "The claim; a.b is b within a."),
	{ 0 },
};
static const struct field_table claim_header_table = {
	.name = "outputClaimToHeaders", .size = sizeof(struct crd_claim_header), .fields = claim_header_rows, .check = check_claim_header,
};

static void check_jwt_rule(struct field_walk *w, void *out)
{
	const struct crd_jwt_rule *r = out;

	if (!*r->issuer)
		field_error(w, 0, "issuer", "want an issuer, got nothing");
	if (*r->jwks && *r->jwks_uri)
		field_error(w, 0, "jwksUri", "want it without jwks");
	if (*r->jwks_uri)
		check_url(w, "jwksUri", r->jwks_uri);
	if (!*r->jwks && !*r->jwks_uri && *r->issuer && !str_starts(str_c(r->issuer), str_c("https://")) && !str_starts(str_c(r->issuer), str_c("http://")))
		field_warn(w, 0, "issuer", "without jwks and jwksUri keys are found by the issuer's URL, and '%.80s' is none: no token will pass", r->issuer);
	check_no_empty(w, "audiences", &r->audiences);
	check_no_empty(w, "fromParams", &r->params);
	check_no_empty(w, "fromCookies", &r->cookies);
	check_no_empty(w, "spaceDelimitedClaims", &r->space_delimited);
	if (*r->payload_header)
		check_header_name(w, "outputPayloadToHeader", r->payload_header);
}

static const struct field jwt_rows[] = {
	ROW("issuer", STRING, crd_jwt_rule, issuer, "Who signed: the claim iss."),
	ROW("audiences", STRINGS, crd_jwt_rule, audiences, "Of which the claim aud has one; any when absent."),
	ROW("jwksUri", STRING, crd_jwt_rule, jwks_uri, "Where the keys are; by OpenID discovery of the issuer when absent."),
	ROW("jwks", STRING, crd_jwt_rule, jwks, "The keys themselves."),
	ROW("fromHeaders", MESSAGES, crd_jwt_rule, headers, "Where the token is; Authorization with \"Bearer \", then the parameter access_token, when nothing is said.", .sub = &from_header_table),
	ROW("fromParams", STRINGS, crd_jwt_rule, params, "Parameters of the query."),
	ROW("fromCookies", STRINGS, crd_jwt_rule, cookies, "Cookies."),
	ROW("outputPayloadToHeader", STRING, crd_jwt_rule, payload_header, "A header that gets the payload in base64url."),
	ROW("forwardOriginalToken", BOOL, crd_jwt_rule, forward, "The token goes on to the application."),
	ROW("outputClaimToHeaders", MESSAGES, crd_jwt_rule, claim_headers, "Headers that get claims.", .sub = &claim_header_table),
	ROW("timeout", DURATION, crd_jwt_rule, timeout_ms, "Of fetching keys.", .min = 1, .max = 600000, .deflt = "5s"),
	ROW("spaceDelimitedClaims", STRINGS, crd_jwt_rule, space_delimited, "Claims whose words are a list, beside scope and permission."),
	ROW_NOT("presence", REFUSED, "REQUIRED: requests without a token are refused.", "deny them by an AuthorizationPolicy with notRequestPrincipals: [\"*\"]"),
	{ 0 },
};
static const struct field_table jwt_table = { .name = "jwtRules", .size = sizeof(struct crd_jwt_rule), .fields = jwt_rows, .check = check_jwt_rule };

static void check_request_authn(struct field_walk *w, void *out)
{
	const struct crd_request_authn *a = out;

	check_targets(w, a->selector, &a->targets, a->target);
}

static const struct field request_authn_rows[] = {
	ROW("selector", MESSAGE, crd_request_authn, selector, "Workloads of the namespace; all of them when absent. In the root namespace: of the mesh.",
	    .sub = &crd_match_labels_table),
	ROW("targetRefs", MESSAGES, crd_request_authn, targets, CRD_TARGETS_DOC, .sub = &crd_target_table),
	ROW("targetRef", MESSAGE, crd_request_authn, target, "As targetRefs, with one entry.", .sub = &crd_target_table),
	ROW("jwtRules", MESSAGES, crd_request_authn, rules, "Whose tokens are taken; a request without one passes, without an identity.", .sub = &jwt_table),
	{ 0 },
};
const struct field_table crd_request_authn_table = {
	.name = "RequestAuthentication.spec", .size = sizeof(struct crd_request_authn), .fields = request_authn_rows, .check = check_request_authn,
	.doc = "Which tokens (JWT) requests may carry. A bad token is refused with 401; that there must be one is said by an AuthorizationPolicy. In ztunnel mode it has no effect.",
};

/* --- RateLimit --- */

static void check_key(struct field_walk *w, void *out)
{
	const struct crd_rate_key *k = out;
	int n = k->identity + k->address + k->path + k->method + k->host + (*k->header != 0) + (*k->claim != 0);

	if (n != 1)
		field_error(w, 0, NULL, "want one of identity, remoteAddress, header, claim, path, method, host, got %d", n);
	if (*k->header)
		check_header_name(w, "header", k->header);
}

static const struct field key_rows[] = {
	ROW("identity", BOOL, crd_rate_key, identity, "The client's SPIFFE identity."),
	ROW("remoteAddress", BOOL, crd_rate_key, address, "The client's address."),
	ROW("header", STRING, crd_rate_key, header, "A header of the request."),
	ROW("claim", STRING, crd_rate_key, claim, "A claim of its token; a.b is b within a."),
	ROW("path", BOOL, crd_rate_key, path, "Its path, without the query."),
	ROW("method", BOOL, crd_rate_key, method, "Its method."),
	ROW("host", BOOL, crd_rate_key, host, "Its Host."),
	{ 0 },
};
static const struct field_table key_table = { .name = "by", .size = sizeof(struct crd_rate_key), .fields = key_rows, .check = check_key };

static void check_rate_rule(struct field_walk *w, void *out)
{
	const struct crd_rate_rule *r = out;
	const struct crd_rate_key *k = r->by.v;

	if (!*r->name)
		field_error(w, 0, "name", "want a name, got nothing");
	if (!r->amount)
		field_error(w, 0, "amount", "want a number above 0");
	if (r->burst && r->burst < r->amount)
		field_error(w, 0, "burst", "want at least amount, got %u", r->burst);
	if (r->per_ms % 1000)
		field_error(w, 0, "per", "want whole seconds");
	for (int i = 0; i < r->by.n && r->connections; i++)
		if (!k[i].identity && !k[i].address)
			field_error(w, 0, "by", "want identity and remoteAddress only, of connections");
}

static const struct field rate_rule_rows[] = {
	ROW("name", STRING, crd_rate_rule, name, "Name, in replies, metrics, and questions to a shared service."),
	ROW("match", MESSAGES, crd_rate_rule, match, "As rules of an AuthorizationPolicy, of which one must match; all requests when absent.", .sub = &crd_rule_table),
	ROW("by", MESSAGES, crd_rate_rule, by, "Each value of these has a bucket of its own.", .sub = &key_table),
	ROW("connections", BOOL, crd_rate_rule, connections, "Counts connections of any protocol, in every mode, rather than requests."),
	ROW("amount", U32, crd_rate_rule, amount, "So many may come ...", .max = 1000000000),
	ROW("per", DURATION, crd_rate_rule, per_ms, "... in that time, in whole seconds.", .min = 1000, .max = 86400000, .deflt = "1s"),
	ROW("burst", U32, crd_rate_rule, burst, "So many may come at once; amount when absent.", .max = 1000000000),
	ROW("dryRun", BOOL, crd_rate_rule, dry_run, "Only counts what it would refuse."),
	{ 0 },
};
static const struct field_table rate_rule_table = {
	.name = "rules", .size = sizeof(struct crd_rate_rule), .fields = rate_rule_rows, .check = check_rate_rule,
};

static void check_shared(struct field_walk *w, void *out)
{
	const struct crd_rate_shared *s = out;

	if (!*s->service)
		field_error(w, 0, "service", "want a host, or NAMESPACE/HOST, got nothing");
	if (!s->port)
		field_error(w, 0, "port", "want a port, got nothing");
	if (!*s->domain)
		field_error(w, 0, "domain", "want the domain that the service is configured with");
}

static const struct field shared_rows[] = {
	ROW("service", STRING, crd_rate_shared, service, "A server of Envoy's rate-limit protocol: a host, or NAMESPACE/HOST."),
	ROW("port", PORT, crd_rate_shared, port, "Its port."),
	ROW("domain", STRING, crd_rate_shared, domain, "Its domain."),
	ROW("timeout", DURATION, crd_rate_shared, timeout_ms, "How long it may take.", .min = 1, .max = 60000, .deflt = "20ms"),
	ROW("failOpen", BOOL, crd_rate_shared, fail_open, "Without an answer requests pass; else they are refused."),
	{ 0 },
};
static const struct field_table shared_table = { .name = "shared", .size = sizeof(struct crd_rate_shared), .fields = shared_rows, .check = check_shared };

static void check_rate_limit(struct field_walk *w, void *out)
{
	const struct crd_rate_limit *r = out;
	const struct crd_rate_rule *v = r->rules.v;

	check_targets(w, r->selector, &r->targets, r->target);
	if (!r->rules.n)
		field_error(w, 0, "rules", "want at least one, got none");
	for (int i = 0; i < r->rules.n; i++) {
		if (r->shared && v[i].connections)
			field_error(w, 0, "rules", "want no connections beside shared, in '%.80s'", v[i].name);
		for (int k = 0; k < i; k++)
			if (!strcmp(v[i].name, v[k].name))
				field_error(w, 0, "rules", "want each name once, got '%.80s' twice", v[i].name);
	}
}

static const struct field rate_limit_rows[] = {
	ROW("selector", MESSAGE, crd_rate_limit, selector, "Workloads of the namespace; all of them when absent. In the root namespace: of the mesh.",
	    .sub = &crd_match_labels_table),
	ROW("targetRefs", MESSAGES, crd_rate_limit, targets, CRD_TARGETS_DOC, .sub = &crd_target_table),
	ROW("targetRef", MESSAGE, crd_rate_limit, target, "As targetRefs, with one entry.", .sub = &crd_target_table),
	ROW("rules", MESSAGES, crd_rate_limit, rules, "Limits, which all hold.", .sub = &rate_rule_table),
	ROW("headers", BOOL, crd_rate_limit, headers, "Responses say RateLimit and RateLimit-Policy."),
	ROW("shared", MESSAGE, crd_rate_limit, shared, "A server counts, for all workloads together; without it each process counts for itself. "
	    "The entries of a descriptor: rule with the rule's name, then for each of `by` header:NAME, claim:A.B, identity, remote_address, path, method or host.", .sub = &shared_table),
	{ 0 },
};
const struct field_table crd_rate_limit_table = {
	.name = "RateLimit.spec", .size = sizeof(struct crd_rate_limit), .fields = rate_limit_rows, .check = check_rate_limit,
	.doc = "How many requests or connections workloads take (apiVersion meshd.io/v1alpha1). Requests are counted in sidecar and waypoint mode only.",
};
