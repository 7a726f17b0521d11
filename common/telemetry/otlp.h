/* SPDX-License-Identifier: Apache-2.0 */
/* Exports the spans of connections (span.h) to an OpenTelemetry collector: OTLP over gRPC, or as protobuf over HTTP/1.1. On the
 * control thread; once a second it takes what the workers made. What a collector cannot take now is kept and tried again, within
 * span.h's bound; what it refuses is dropped and counted. */
#ifndef TELEMETRY_OTLP_H
#define TELEMETRY_OTLP_H

#include "base/err.h"
#include "http/grpc.h"

struct otlp;

struct otlp_pair {
	const char *name, *value;
};

/* All of it is copied, except sock_ops and resolver. */
struct otlp_conf {
	const char *endpoint;            /* "http://collector:4317", "https://…"; over HTTP with its path: ".../v1/traces" */
	bool http;                       /* over HTTP, not gRPC */
	const char *roots;               /* PEM file; NULL: the system's */
	const struct otlp_pair *headers, *resource;   /* of each request; attributes of this process */
	int n_headers, n_resource;
	const char *service;             /* service.name */
	double ratio;                    /* of the traces, for connections: 0 to 1 */
	unsigned timeout_ms;             /* of one export */
	const struct sock_ops *sock_ops; /* NULL ok */
	struct resolver *resolver;       /* of the same loop; NULL: the endpoint must be an address */
};

/* Switches spans on. One per process. */
int otlp_new(struct loop *l, const struct otlp_conf *conf, struct otlp **ret, struct err *err);
void otlp_free(struct otlp *o);      /* NULL ok; switches spans off and drops what waits */

#endif
