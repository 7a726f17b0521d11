/* SPDX-License-Identifier: Apache-2.0 */
/* What all servers that are asked have in common: how they are found, gRPC's frame around one message, and a word to the operator
 * when they fail. */
#ifndef EXT_SERVER_H
#define EXT_SERVER_H

#include <time.h>

#include "http/exchange.h"
#include "traffic/plan.h"

/* service: a host name, "NS/HOST" allowed. NULL: the plan knows none of that name and port. x->arg must be a struct router_env. */
struct cluster *server_cluster(struct exchange *x, const char *service, uint16_t port);
/* The head of a unary gRPC call. */
struct http_head server_grpc_head(struct str authority, const char *path);
/* The one message of a reply. False: that is not what the body is. */
bool server_grpc_message(struct str body, struct str *ret);
/* Whether a failure should be said now: one in ten seconds. *told_s is the thread's, 0 at first. */
bool server_warns(time_t *told_s);

#endif
