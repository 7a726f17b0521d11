/* SPDX-License-Identifier: Apache-2.0 */
#include "traffic/retry.h"

#define BASE_MS 25

static bool status_wanted(const struct retry_policy *p, int status)
{
	if ((p->on & RETRY_5XX) && status >= 500 && status < 600)
		return true;
	if ((p->on & RETRY_GATEWAY_ERROR) && status >= 502 && status <= 504)
		return true;
	if ((p->on & RETRY_4XX) && status == 409)
		return true;
	for (int i = 0; (p->on & RETRY_CODES) && i < p->n_codes; i++)
		if (p->codes[i] == status)
			return true;
	return false;
}

static bool grpc_wanted(const struct retry_policy *p, int status)
{
	switch (status) {
	case 1:  return p->on & RETRY_GRPC_CANCELLED;
	case 4:  return p->on & RETRY_GRPC_DEADLINE;
	case 8:  return p->on & RETRY_GRPC_EXHAUSTED;
	case 13: return p->on & RETRY_GRPC_INTERNAL;
	case 14: return p->on & RETRY_GRPC_UNAVAILABLE;
	default: return false;
	}
}

bool retry_wanted(const struct retry_policy *p, const struct try_result *r)
{
	switch (r->end) {
	case TRY_ANSWERED:
		if (r->ratelimited)
			return p->on & RETRY_ENVOY_RATELIMITED;
		return status_wanted(p, r->status) || grpc_wanted(p, r->grpc_status);
	case TRY_OVERFLOW:
		return false;
	case TRY_TIMED_OUT:
	case TRY_RESET:
		break;
	case TRY_REFUSED:
		if (p->on & RETRY_REFUSED_STREAM)
			return true;
		break;
	case TRY_NO_CONNECTION:
		if (p->on & RETRY_CONNECT_FAILURE)
			return true;
		break;
	}
	/* Envoy counts what ended without an answer as a 5xx. */
	if (p->on & (RETRY_RESET | RETRY_5XX | RETRY_GATEWAY_ERROR))
		return true;
	return (p->on & RETRY_RESET_BEFORE_REQUEST) && !r->sent;
}

unsigned retry_backoff_ms(const struct retry_policy *p, int n, uint64_t random)
{
	uint64_t base = p->backoff_ms ? p->backoff_ms : BASE_MS, max = p->backoff_max_ms ? p->backoff_max_ms : 10 * base;
	uint64_t range = n < 32 ? base * ((1ull << n) - 1) : max;

	return (unsigned)(random % (range < max ? range : max));
}

bool retry_idempotent(struct str method)
{
	static const char *const safe[] = { "GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE" };

	for (size_t i = 0; i < ARRAY_LEN(safe); i++)
		if (str_is(method, safe[i]))
			return true;
	return false;
}

bool retry_unasked(struct str method, const struct try_result *r, bool reused, bool closed)
{
	if (r->end == TRY_REFUSED)
		return true;
	return r->end == TRY_RESET && reused && closed && retry_idempotent(method);
}
