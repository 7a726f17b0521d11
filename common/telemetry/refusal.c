/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/refusal.h"

#include <stdatomic.h>
#include <stdlib.h>

static atomic_uint_least64_t by_fail[FAIL_COUNT], by_policy[REFUSALS];

static const struct refusal_cause policies[REFUSALS] = {
	[REFUSAL_RULE] = { "DENIED_BY_RULE", "a rule of a policy denies it", "run `meshd why ID` for the rule", 0 },
	[REFUSAL_NO_ALLOW] = { "DENIED_NO_ALLOW", "no ALLOW policy allows it", "run `meshd why ID` for what would", 0 },
	[REFUSAL_MTLS] = { "DENIED_MTLS", "mutual TLS is required", "put the client into the mesh, or relax the PeerAuthentication", 0 },
	[REFUSAL_BROKEN] = { "DENIED_BROKEN", "a security object could not be loaded", "`meshd status` shows the error; fix the object", 0 },
	[REFUSAL_BLIND] = { "DENIED_BLIND", "a policy asks for what cannot be evaluated here", "bind it to a waypoint with targetRefs: `meshd analyze` lists such policies", 0 },
	[REFUSAL_UNASKED] = { "EXT_NOT_ASKED", "a CUSTOM policy's provider cannot be asked", "name one that mesh.yaml has as an extensionProvider: `meshd analyze` says what is wrong", 0 },
};

bool refusal_is(enum fail why)
{
	switch (why) {
	case FAIL_DENIED:
	case FAIL_DENIED_BY_PEER:
	case FAIL_POLICY_CHANGE:
	case FAIL_NO_WAYPOINT:
	case FAIL_NO_PEER_NAMES:
	case FAIL_NOT_WAYPOINT:
	case FAIL_NOT_SERVED:
	case FAIL_WRONG_IDENTITY:
	case FAIL_CERT_REVOKED:
	case FAIL_WRONG_AUTHORITY:
	case FAIL_UNSAFE_CONFIG:
	case FAIL_RATE_LIMITED:
	case FAIL_RATE_SERVICE:
	case FAIL_EXT_DENIED:
	case FAIL_EXT_ERROR:
	case FAIL_FILTER_CONFIG:
	case FAIL_JWT:
	case FAIL_BAD_UPGRADE:
	case FAIL_NO_PORT:
	case FAIL_UNREGISTERED:
	case FAIL_NO_SNI:
	case FAIL_SNI_OUTSIDE:
	case FAIL_NAME_MISMATCH:
	case FAIL_HOST_OUTSIDE:
	case FAIL_HOST_ADDRESS:
	case FAIL_FORBIDDEN_ADDRESS:
		return true;
	default:
		return false;
	}
}

void refusal_count(enum fail why, enum refusal more)
{
	atomic_uint_least64_t *at = (why == FAIL_DENIED || why == FAIL_EXT_DENIED) && more != REFUSAL_OTHER ? &by_policy[more] : &by_fail[why];

	if (refusal_is(why))
		atomic_fetch_add_explicit(at, 1, memory_order_relaxed);
}

static int by_count(const void *a, const void *b)
{
	const struct refusal_cause *x = a, *y = b;

	return x->n == y->n ? 0 : x->n > y->n ? -1 : 1;
}

void refusals_each(void (*fn)(const struct refusal_cause *c, void *arg), void *arg)
{
	struct refusal_cause v[FAIL_COUNT + REFUSALS];
	size_t n = 0;

	for (int i = 0; i < FAIL_COUNT; i++) {
		const struct fail_info *f = fail_info(i);

		v[n] = (struct refusal_cause){ f->name, f->reason, f->hint, atomic_load_explicit(&by_fail[i], memory_order_relaxed) };
		n += v[n].n != 0;
	}
	for (int i = 0; i < REFUSALS; i++) {
		v[n] = policies[i];
		v[n].n = atomic_load_explicit(&by_policy[i], memory_order_relaxed);
		n += v[n].n != 0;
	}
	if (n > 1)
		qsort(v, n, sizeof(v[0]), by_count);
	for (size_t i = 0; i < n; i++)
		fn(&v[i], arg);
}
