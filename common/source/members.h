/* SPDX-License-Identifier: Apache-2.0 */
/* Which workloads are endpoints of which services, when they come one by one and in any order. Between members_begin and
 * members_end workloads and services are put and deleted; at the end each service that this touched is put once, with its
 * new set of endpoints. Endpoints of services that do not exist (yet) are staged. Control thread. */
#ifndef SOURCE_MEMBERS_H
#define SOURCE_MEMBERS_H

#include "base/map.h"
#include "model/mesh.h"
#include "model/texts.h"

/* A workload's part in one service: its overrides of the service's targets. */
struct member {
	const char *service;                 /* key */
	const struct endpoint_port *ports;
	int n_ports;
};

struct members {
	struct map staged;                   /* by service key: struct staged */
	struct texts_table texts;
	/* between begin and end */
	struct mesh_edit *e;
	struct map drafts;                   /* by service key: struct draft */
	bool changed;
};

/* Zeroed: initialized. The mesh keeps what was published. */
void members_done(struct members *m);

void members_begin(struct members *m, struct mesh_edit *e);
/* from->services is made of v. */
void members_put_workload(struct members *m, const struct workload *from, const struct member *v, int n);
bool members_del_workload(struct members *m, struct str uid);    /* false: there is none */
/* from->endpoints counts for nothing: they are the workloads that were put with this service, and members_add's. */
void members_put_service(struct members *m, const struct service *from);
bool members_del_service(struct members *m, struct str key);
/* Makes a workload of the mesh an endpoint that it does not say itself to be, or with other ports. */
void members_add(struct members *m, const char *service, struct workload *w, const struct endpoint_port *ports, int n_ports);
/* Takes an endpoint out, whatever the workload says. */
void members_drop(struct members *m, const char *service, struct str uid);
/* Puts what was touched. True when the mesh was changed. The edit is still the caller's to publish. */
bool members_end(struct members *m);

#endif
