/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/respflag.h"

#include <stddef.h>
#include <string.h>

/* In Envoy's order (stream_info/response_flag): that is how several are printed. with_urx: together with URX. */
static const struct flag {
	const char *flag, *with_urx, *text;
} flags[] = {
	{ "-", "URX", "-" },
	{ "LH", "LH,URX", "FailedLocalHealthCheck" },
	{ "UH", "UH,URX", "NoHealthyUpstream" },
	{ "UT", "UT,URX", "UpstreamRequestTimeout" },
	{ "LR", "LR,URX", "LocalReset" },
	{ "UR", "UR,URX", "UpstreamRemoteReset" },
	{ "UF", "UF,URX", "UpstreamConnectionFailure" },
	{ "UC", "UC,URX", "UpstreamConnectionTermination" },
	{ "UO", "UO,URX", "UpstreamOverflow" },
	{ "NR", "NR,URX", "NoRouteFound" },
	{ "DI", "DI,URX", "DelayInjected" },
	{ "FI", "FI,URX", "FaultInjected" },
	{ "RL", "RL,URX", "RateLimited" },
	{ "UAEX", "UAEX,URX", "UnauthorizedExternalService" },
	{ "RLSE", "RLSE,URX", "RateLimitServiceError" },
	{ "DC", "DC,URX", "DownstreamConnectionTermination" },
	{ "URX", "URX", "UpstreamRetryLimitExceeded" },
	{ "SI", "URX,SI", "StreamIdleTimeout" },
	{ "IH", "URX,IH", "InvalidEnvoyRequestHeaders" },
	{ "DPE", "URX,DPE", "DownstreamProtocolError" },
	{ "UMSDR", "URX,UMSDR", "UpstreamMaxStreamDurationReached" },
	{ "RFCF", "URX,RFCF", "ResponseFromCacheFilter" },
	{ "NFCF", "URX,NFCF", "NoFilterConfigFound" },
	{ "DT", "URX,DT", "DurationTimeout" },
	{ "UPE", "URX,UPE", "UpstreamProtocolError" },
	{ "NC", "URX,NC", "NoClusterFound" },
	{ "OM", "URX,OM", "OverloadManagerTerminated" },
	{ "DF", "URX,DF", "DnsResolutionFailed" },
	{ "DO", "URX,DO", "DropOverload" },
	{ "DR", "URX,DR", "DownstreamRemoteReset" },
};

static const struct flag *find(enum fail why)
{
	const char *flag = fail_http(why)->flag;

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (strcmp(flags[i].flag, flag) == 0)
			return &flags[i];
	return &flags[0];
}

const char *respflag(enum fail why, bool retries_exhausted)
{
	const struct flag *f = find(why);

	return retries_exhausted ? f->with_urx : f->flag;
}

const char *respflag_long(enum fail why)
{
	return find(why)->text;
}
