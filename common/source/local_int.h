/* SPDX-License-Identifier: Apache-2.0 */
/* A local configuration as it was read; for local_*.c only. */
#ifndef SOURCE_LOCAL_INT_H
#define SOURCE_LOCAL_INT_H

#include "source/field.h"
#include "source/members.h"

/* An endpoint that a service names. */
struct local_endpoint {
	const char *uid;
	const struct endpoint_port *ports;
	int n_ports;
	bool unhealthy;
};

struct local_workload {
	struct workload t;
	struct member *members;
	int n_members;
};

struct local_service {
	struct service t;
	struct local_endpoint *endpoints;
	int n_endpoints;
};

struct local_policy {
	struct policy t;
	uint64_t hash;
};

struct local_conf {
	struct local_workload *workloads;
	struct local_service *services;
	struct local_policy *policies;
	int n_workloads, n_services, n_policies;
	uint64_t hash;               /* of workloads and services */
};

/* Reads a document; all that ret points to is the walk's arena's and the document's. False: the walk's report says why. */
bool local_read(struct field_walk *w, const struct yaml_node *root, struct local_conf *ret);
bool local_read_policies(struct field_walk *w, const struct yaml_node *list, struct local_conf *ret);

/* "NS/HOST" or "NETWORK/IP", as ztunnel writes gateways. */
bool local_gateway(struct field_walk *w, const char *field, const char *text, uint16_t port, struct gateway *ret);
/* Of a list; 0 when there is none. False: it is no list. */
bool local_list(struct field_walk *w, const struct yaml_node *n, int *ret);

#endif
