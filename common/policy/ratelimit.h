/* SPDX-License-Identifier: Apache-2.0 */
/* RateLimit: token buckets on connections and requests. Buckets are the process's: all workers take from them by atomics. An
 * object that names a shared service has no buckets here: its questions are for ext/rateshared. */
#ifndef POLICY_RATELIMIT_H
#define POLICY_RATELIMIT_H

#include "policy/authz.h"

#define RATE_KEYS_MAX 8

/* Makes r->compiled, before r is put into a mesh. 0 or -ENOMEM. */
int ratelimit_compile(struct rate_limit *r);

/* What a rule says of a request or connection. Keys that users write into the configuration of a rate-limit server: "rule" (the rule's name)
 * first, then for each key of the rule "identity", "remote_address", "header:NAME", "claim:A.B", "path", "method", "host". */
struct rate_entry { const char *key; struct str value; };
struct rate_question {
	struct rate_limit *of;       /* borrowed from the mesh: for this turn */
	const struct rate_rule *rule;
	struct rate_entry entries[RATE_KEYS_MAX + 1];
	int n;
};
/* The rules of objects with a shared service that this request meets, at most max; how many. A rule with a header or claim that
 * the request lacks is not met. Texts lie in the exchange's arena. */
int rate_questions(struct exchange *x, struct rate_question *ret, int max);

/* The verdict on a connection, in every mode; counts it. False: refuse it (FAIL_RATE_LIMITED); *ret_rule says which rule. */
bool ratelimit_connection(const struct mesh *m, const struct workload *dest, const struct authz_input *in, const char **ret_rule);

/* What a limit says of itself in a response. */
struct rate_status {
	const struct rate_rule *rule;        /* borrowed while the exchange lives */
	uint32_t limit, remaining, reset_s;
	uint32_t per_s;
};
/* 429 with the flag RL, and with RateLimit headers if `headers`. */
void rate_refuse(struct exchange *x, const struct rate_status *s, bool headers);
/* Adds RateLimit and RateLimit-Policy to x->response_fields. */
void rate_headers(struct exchange *x, const struct rate_status *s);

/* Local buckets, by x->client->local_workload. conf: unused. */
extern const struct filter_ops ratelimit_filter;

#endif
