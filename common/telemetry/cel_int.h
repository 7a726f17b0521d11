/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TELEMETRY_CEL_INT_H
#define TELEMETRY_CEL_INT_H

#include "telemetry/cel.h"

enum cel_kind { CEL_ERROR, CEL_NULL, CEL_BOOL, CEL_INT, CEL_DOUBLE, CEL_STRING, CEL_DURATION /* ns, in i */ };

struct cel_value {
	enum cel_kind kind;
	union {
		bool b;
		int64_t i;
		double d;
		struct str s;
	};
};

enum cel_attr {
	ATTR_NONE,
	ATTR_REQUEST_PATH, ATTR_REQUEST_URL_PATH, ATTR_REQUEST_HOST, ATTR_REQUEST_SCHEME, ATTR_REQUEST_METHOD, ATTR_REQUEST_HEADERS,
	ATTR_REQUEST_REFERER, ATTR_REQUEST_USERAGENT, ATTR_REQUEST_ID, ATTR_REQUEST_PROTOCOL, ATTR_REQUEST_QUERY, ATTR_REQUEST_DURATION,
	ATTR_REQUEST_SIZE, ATTR_RESPONSE_CODE, ATTR_RESPONSE_CODE_DETAILS, ATTR_RESPONSE_HEADERS, ATTR_RESPONSE_GRPC_STATUS,
	ATTR_RESPONSE_SIZE, ATTR_RESPONSE_BACKEND_LATENCY, ATTR_SOURCE_ADDRESS, ATTR_SOURCE_PORT, ATTR_DESTINATION_ADDRESS,
	ATTR_DESTINATION_PORT, ATTR_CONNECTION_MTLS, ATTR_CONNECTION_SNI, ATTR_CONNECTION_PEER_SAN, ATTR_CONNECTION_LOCAL_SAN,
	ATTR_CONNECTION_TERMINATION, ATTR_UPSTREAM_ADDRESS, ATTR_UPSTREAM_PORT, ATTR_UPSTREAM_LOCAL, ATTR_UPSTREAM_FAILURE,
	ATTR_CLUSTER_NAME, ATTR_ROUTE_NAME, ATTR_UPSTREAM_PEER, ATTR_DOWNSTREAM_PEER,
};

enum cel_op {
	CEL_LITERAL, CEL_ATTR /* attr, and of maps key */, CEL_LIST, CEL_OR, CEL_AND, CEL_NOT, CEL_EQ, CEL_NE, CEL_LT, CEL_LE, CEL_GT, CEL_GE, CEL_IN,
	CEL_COND, CEL_PLUS, CEL_HAS, CEL_SIZE, CEL_STARTS, CEL_ENDS, CEL_CONTAINS, CEL_MATCHES, CEL_TO_STRING, CEL_TO_INT,
};

struct regex;

struct cel_node {
	enum cel_op op;
	enum cel_attr attr;
	struct cel_node *kid[3];         /* in the expression's memory */
	struct cel_node *next;           /* of a list's elements */
	struct cel_value literal;
	const char *key;                 /* of a map: header names in lower case */
	struct regex *regex;             /* owned by the expression */
	struct cel_node *owned;          /* the next one with a regex */
};

struct cel {
	struct arena memory;
	struct cel_node *root;
	struct cel_node *with_regex;
	bool changes;
};

/* Gives a `matches` node its engine. */
int cel_regex(struct cel *c, struct cel_node *n, struct str pattern, struct err *err);
/* The value of an attribute; scratch holds texts that are made. */
struct cel_value cel_attribute(const struct exchange *x, enum cel_attr attr, const char *key, char *scratch, size_t size);

#endif
