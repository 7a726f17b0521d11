/* SPDX-License-Identifier: Apache-2.0 */
/* Istio's CA: /istio.v1.auth.IstioCertificateService/CreateCertificate over gRPC, for identity_conf.ca. */
#ifndef IDENTITY_CITADEL_H
#define IDENTITY_CITADEL_H

#include "http/grpc.h"
#include "identity/ca.h"

struct citadel;

struct citadel_conf {
	struct grpc *channel;      /* borrowed; its headers callback shows who we are */
	const char *address;       /* for sentences; copied */
	/* Ask for other identities than the caller's own (a node's proxy): the CA must list the caller in
	 * CA_TRUSTED_NODE_ACCOUNTS. Otherwise the CA signs for the caller, whatever is asked for. */
	bool impersonate;
};

struct citadel *citadel_new(const struct citadel_conf *conf);
void citadel_free(struct citadel *c);   /* NULL ok; all its calls ended or were cancelled */
extern const struct ca_ops citadel_ops; /* their ca: struct citadel */

#endif
