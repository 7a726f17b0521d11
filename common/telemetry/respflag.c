/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/respflag.h"

#include <stdio.h>

#include "base/str.h"

/* Envoy's (stream_info/response_flag). */
static const struct flag {
	const char *flag, *text;
} flags[] = {
	{ "-", "-" },
	{ "LH", "FailedLocalHealthCheck" },
	{ "UH", "NoHealthyUpstream" },
	{ "UT", "UpstreamRequestTimeout" },
	{ "LR", "LocalReset" },
	{ "UR", "UpstreamRemoteReset" },
	{ "UF", "UpstreamConnectionFailure" },
	{ "UC", "UpstreamConnectionTermination" },
	{ "UO", "UpstreamOverflow" },
	{ "NR", "NoRouteFound" },
	{ "DI", "DelayInjected" },
	{ "FI", "FaultInjected" },
	{ "RL", "RateLimited" },
	{ "UAEX", "UnauthorizedExternalService" },
	{ "RLSE", "RateLimitServiceError" },
	{ "DC", "DownstreamConnectionTermination" },
	{ "URX", "UpstreamRetryLimitExceeded" },
	{ "SI", "StreamIdleTimeout" },
	{ "IH", "InvalidEnvoyRequestHeaders" },
	{ "DPE", "DownstreamProtocolError" },
	{ "UMSDR", "UpstreamMaxStreamDurationReached" },
	{ "RFCF", "ResponseFromCacheFilter" },
	{ "NFCF", "NoFilterConfigFound" },
	{ "DT", "DurationTimeout" },
	{ "UPE", "UpstreamProtocolError" },
	{ "NC", "NoClusterFound" },
	{ "OM", "OverloadManagerTerminated" },
	{ "DF", "DnsResolutionFailed" },
	{ "DO", "DropOverload" },
	{ "DR", "DownstreamRemoteReset" },
};

static int find(const char *flag)
{
	for (int i = 0; i < (int)ARRAY_LEN(flags); i++)
		if (strcmp(flags[i].flag, flag) == 0)
			return i;
	return 0;
}

const char *respflag(const struct exchange *x, char text[RESPFLAG_BYTES])
{
	const char *own = flags[find(fail_http(x->log.why)->flag)].flag;
	bool limit = x->log.retry_limit, first = x->request.method.n != 0;
	const char *set[] = { x->log.delayed ? "DI" : "-", limit && first ? "URX" : "-", own, limit && !first ? "URX" : "-" };
	size_t n = 0;

	if (!x->log.delayed && !limit)
		return own;
	for (size_t i = 0; i < ARRAY_LEN(set); i++)
		if (set[i][0] != '-')
			n += (size_t)snprintf(text + n, RESPFLAG_BYTES - n, "%s%s", n ? "," : "", set[i]);
	return text;
}

const char *respflag_long(enum fail why)
{
	return flags[find(fail_http(why)->flag)].text;
}
