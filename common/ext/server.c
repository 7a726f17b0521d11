/* SPDX-License-Identifier: Apache-2.0 */
#include "ext/server.h"

#include "http/grpc_frame.h"
#include "traffic/router.h"

#define WARN_S 10

struct cluster *server_cluster(struct exchange *x, const char *service, uint16_t port)
{
	struct router_env *env = x->arg;
	const char *slash = strchr(service, '/');

	return plan_cluster(env->plan, exchange_printf(x, "outbound|%u||%s", port, slash ? slash + 1 : service));
}

struct http_head server_grpc_head(struct str authority, const char *path)
{
	static const struct http_field fields[] = {
		{ { "content-type", 12 }, { "application/grpc", 16 } }, { { "te", 2 }, { "trailers", 8 } },
	};

	return (struct http_head){
		.method = str_c("POST"), .scheme = str_c("http"), .path = str_c(path), .authority = authority,
		.fields = fields, .n_fields = ARRAY_LEN(fields),
	};
}

bool server_grpc_message(struct str body, struct str *ret)
{
	uint8_t prefix[GRPC_PREFIX_BYTES];

	if (body.n < GRPC_PREFIX_BYTES)
		return false;
	grpc_frame_prefix(body.n - GRPC_PREFIX_BYTES, prefix);
	if (memcmp(prefix, body.p, GRPC_PREFIX_BYTES) != 0)
		return false;
	*ret = (struct str){ body.p + GRPC_PREFIX_BYTES, body.n - GRPC_PREFIX_BYTES };
	return true;
}

bool server_warns(time_t *told_s)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	if (*told_s && now.tv_sec - *told_s < WARN_S)
		return false;
	*told_s = now.tv_sec;
	return true;
}
