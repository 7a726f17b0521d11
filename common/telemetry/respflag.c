/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/respflag.h"

#include <stdio.h>

#include "base/str.h"

/* In Envoy's order (stream_info/response_flag): that is how several are printed. */
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

const char *respflag(enum fail why, bool delayed, bool retry_limit, char text[RESPFLAG_BYTES])
{
	const char *own = fail_http(why)->flag;
	int set[3] = { find(own), delayed ? find("DI") : 0, retry_limit ? find("URX") : 0 };
	size_t n = 0;

	if (!delayed && !retry_limit)
		return flags[set[0]].flag;
	for (int i = 1; i < (int)ARRAY_LEN(flags); i++) {
		if (i != set[0] && i != set[1] && i != set[2])
			continue;
		n += (size_t)snprintf(text + n, RESPFLAG_BYTES - n, "%s%s", n ? "," : "", flags[i].flag);
	}
	return text;
}

const char *respflag_long(enum fail why)
{
	return flags[find(fail_http(why)->flag)].text;
}
