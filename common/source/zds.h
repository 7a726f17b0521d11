/* SPDX-License-Identifier: Apache-2.0 */
/* The packets between istio-cni and its node's proxy (istio pkg/zdsapi/zds.proto): one protobuf in each SOCK_SEQPACKET packet. */
#ifndef SOURCE_ZDS_H
#define SOURCE_ZDS_H

#include "base/buf.h"
#include "base/err.h"

#define ZDS_PACKET_MAX 1024     /* what either side reads at once; a longer one is an error */
#define ZDS_UID_MAX    128

enum zds_kind {
	ZDS_ADD,          /* serve this pod; with its network namespace as descriptor */
	ZDS_DEL,          /* serve it no longer */
	ZDS_KEEP,         /* before the snapshot's end: go on serving it */
	ZDS_SNAPSHOT,     /* the snapshot ends here: what it did not name is gone */
	ZDS_UNKNOWN,      /* well-formed, but not one of these */
};

/* The texts are copies within. */
struct zds_request {
	enum zds_kind kind;
	bool has_info;
	char uid[ZDS_UID_MAX];
	char ns[256], name[256], service_account[256];   /* when has_info */
};

/* -EPROTO with err when it is no request; a uid or name that is too long or has control characters is none. */
int zds_parse(const void *packet, size_t n, struct zds_request *ret, struct err *err);
/* Append one packet. error "": a yes. */
void zds_hello(struct buf *out);
void zds_ack(struct buf *out, const char *error);

#endif
