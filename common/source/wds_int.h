/* SPDX-License-Identifier: Apache-2.0 */
/* From the messages of WDS to templates of the mesh's objects; for wds*.c only. */
#ifndef SOURCE_WDS_INT_H
#define SOURCE_WDS_INT_H

#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/err.h"
#include "proto/workload.pb-c.h"
#include "source/members.h"

/* Memory of protobuf-c that is the arena's. */
ProtobufCAllocator wds_allocator(struct arena *a);

/* A walk over one resource: where it is, and what is wrong first. */
struct wds_walk {
	struct arena *arena;         /* holds what the template points to */
	char path[160];              /* of the present message, with a dot at its end */
	struct err *err;
	bool failed;                 /* err is set */
};

void wds_enter(struct wds_walk *w, const char *field, int index);     /* index -1: no list */
void wds_leave(struct wds_walk *w, size_t path_len);
/* "PATH.FIELD: WHAT", the first only. Returns false. */
bool wds_fail(struct wds_walk *w, const char *field, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

bool wds_ip(struct wds_walk *w, const char *field, const ProtobufCBinaryData *b, struct ip *ret);
/* bits: of the family that the bytes have. */
bool wds_cidr(struct wds_walk *w, const char *field, const ProtobufCBinaryData *b, uint32_t bits, struct cidr *ret);
bool wds_port(struct wds_walk *w, const char *field, uint32_t port, uint32_t least, uint16_t *ret);
/* A text that becomes part of a name: no control characters, no slash, and not empty unless empty_ok. */
bool wds_name(struct wds_walk *w, const char *field, const char *text, bool empty_ok);

/* Calls fn for each field that is set, in m and in all messages below it; id is its number, name NULL when the descriptor does
 * not know it. Stops when fn returns false. */
typedef bool wds_field_fn(struct wds_walk *w, const ProtobufCMessage *in, unsigned id, const char *name, void *arg);
bool wds_each_field(struct wds_walk *w, const ProtobufCMessage *m, wds_field_fn *fn, void *arg);

/* Templates, whose memory is the arena's and the message's. False: w->err says why. */
bool wds_read_workload(struct wds_walk *w, const Wds__Workload *from, struct workload *ret, struct member **members,
		       int *n_members);
bool wds_read_service(struct wds_walk *w, const Wds__Service *from, struct service *ret);

/* Reads an Authorization into a template. False: w->err says why, and ret has what could be read of key, scope, action and
 * dry_run; where the scope could not be, it is POLICY_NAMESPACE. name: the resource's, "NS/NAME". */
bool wds_read_policy(struct wds_walk *w, struct str name, struct str bytes, struct policy *ret);
/* For its test: does the table of fields have this one? */
bool wds_policy_field_known(const ProtobufCMessageDescriptor *in, unsigned id);

#endif
