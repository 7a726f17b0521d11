/* SPDX-License-Identifier: Apache-2.0 */
/* What parsing, writing and expressions share. */
#ifndef TELEMETRY_FORMAT_INT_H
#define TELEMETRY_FORMAT_INT_H

#include "telemetry/format.h"

struct cel;

enum format_op {
	OP_LITERAL,
	/* of the heads; arg, alt: names; max */
	OP_REQ, OP_RESP, OP_TRAILER, OP_REQ_WITHOUT_QUERY, OP_QUERY_PARAM, OP_PATH,
	OP_PROTOCOL, OP_UPSTREAM_PROTOCOL, OP_RESPONSE_CODE, OP_RESPONSE_CODE_DETAILS, OP_TERMINATION_DETAILS,
	OP_RESPONSE_FLAGS, OP_RESPONSE_FLAGS_LONG, OP_GRPC_STATUS, OP_GRPC_STATUS_NUMBER, OP_TRACE_ID,
	/* times and sizes */
	OP_START_TIME, OP_DURATION, OP_REQUEST_DURATION, OP_REQUEST_TX_DURATION, OP_RESPONSE_DURATION, OP_RESPONSE_TX_DURATION,
	OP_BYTES_RECEIVED, OP_BYTES_SENT, OP_REQUEST_HEADERS_BYTES, OP_RESPONSE_HEADERS_BYTES,
	/* the other side */
	OP_UPSTREAM_HOST, OP_UPSTREAM_IP, OP_UPSTREAM_PORT, OP_UPSTREAM_LOCAL, OP_UPSTREAM_LOCAL_IP, OP_UPSTREAM_LOCAL_PORT,
	OP_UPSTREAM_CLUSTER, OP_UPSTREAM_FAILURE, OP_UPSTREAM_ATTEMPTS, OP_UPSTREAM_PEER_ID,
	/* the client's connection */
	OP_REMOTE, OP_REMOTE_IP, OP_REMOTE_PORT, OP_DIRECT, OP_DIRECT_IP, OP_DIRECT_PORT, OP_LOCAL, OP_LOCAL_IP, OP_LOCAL_PORT,
	OP_SNI, OP_PEER_ID, OP_LOCAL_ID, OP_XFCC_SUBJECT, OP_XFCC_HASH,
	OP_ROUTE_NAME, OP_FILTER_STATE, OP_CEL,
};

struct format_element {
	enum format_op op;
	char *arg, *alt;             /* owned; NULL: none */
	size_t max;                  /* bytes of the value; 0: all */
	struct str literal;          /* owned; OP_LITERAL */
	struct cel *cel;             /* owned */
};

struct format {
	int n;
	struct format_element v[];
};

struct format_value {
	struct str text;             /* p NULL: not known; borrowed from the exchange, the format or scratch */
	bool number;
	char scratch[512];
};
void format_value(const struct format_element *e, const struct exchange *x, struct format_value *ret);
/* START_TIME(spec); spec NULL: the default. */
void format_time(const char *spec, uint64_t wall_us, struct buf *out);
/* False: strftime and Envoy do not know it. */
bool format_time_ok(const char *spec);

/* A field of the request by its name, also ":method", ":path", ":authority", ":scheme"; p NULL: absent. */
struct str format_request_field(const struct exchange *x, const char *name);
struct str format_response_field(const struct exchange *x, const char *name, char scratch[16]);

#endif
