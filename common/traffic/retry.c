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

bool retry_word(struct str word, uint32_t *ret_on, uint16_t *ret_code)
{
	static const struct { const char *word; uint32_t on; } words[] = {
		{ "5xx", RETRY_5XX }, { "gateway-error", RETRY_GATEWAY_ERROR }, { "reset", RETRY_RESET },
		{ "reset-before-request", RETRY_RESET_BEFORE_REQUEST }, { "connect-failure", RETRY_CONNECT_FAILURE },
		{ "envoy-ratelimited", RETRY_ENVOY_RATELIMITED }, { "retriable-4xx", RETRY_4XX }, { "refused-stream", RETRY_REFUSED_STREAM },
		{ "retriable-status-codes", RETRY_CODES }, { "retriable-headers", RETRY_HEADERS }, { "http3-post-connect-failure", RETRY_HTTP3_POST_CONNECT },
		{ "cancelled", RETRY_GRPC_CANCELLED }, { "deadline-exceeded", RETRY_GRPC_DEADLINE }, { "internal", RETRY_GRPC_INTERNAL },
		{ "resource-exhausted", RETRY_GRPC_EXHAUSTED }, { "unavailable", RETRY_GRPC_UNAVAILABLE },
	};
	uint64_t code;

	*ret_code = 0;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (str_is(word, words[i].word)) {
			*ret_on = words[i].on;
			return true;
		}
	if (!str_to_u64(word, &code) || code < 100 || code > 599)
		return false;
	*ret_on = RETRY_CODES;
	*ret_code = (uint16_t)code;
	return true;
}
