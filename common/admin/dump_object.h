/* SPDX-License-Identifier: Apache-2.0 */
/* Objects of the mesh as JSON, one at a time. */
#ifndef ADMIN_DUMP_OBJECT_H
#define ADMIN_DUMP_OBJECT_H

#include "admin/json.h"
#include "model/mesh.h"

void dump_workload(struct json *j, const struct workload *w);
/* A service in three steps, as it may have any number of endpoints. */
void dump_service_open(struct json *j, const struct service *s);
void dump_endpoint(struct json *j, const struct service *s, const struct endpoint *e);
void dump_service_close(struct json *j);
void dump_policy(struct json *j, const struct policy *p);
void dump_peer_authn(struct json *j, const struct peer_authn *p);
void dump_texts(struct json *j, const char *key, const char *const *text, int n);

#endif
