/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates for the identities that this process serves. Runs on the control thread; hands TLS contexts to workers.
 * Two providers: a local development CA (keys only in memory, 24 h, renewed at half life with jitter), or files that
 * somebody else renews (watched). */
#ifndef IDENTITY_IDENTITY_H
#define IDENTITY_IDENTITY_H

#include "base/buf.h"
#include "io/loop.h"
#include "tls/tlsctx.h"

struct identity_conf {
	const char *ca_dir;                    /* sign with this CA; NULL: use the files */
	const char *cert_file, *key_file, *root_file;
	const char *crl_file;                  /* NULL: none. Watched in both cases */
	bool allow_tls12;
	int64_t ttl_s;                         /* of what the CA signs; 0: 24 h */
};

struct identity;

/* on_change: id's context was made, replaced, or lost; old is the one before (NULL at first), borrowed. Calls neither
 * identity_want nor identity_forget. */
struct identity_ops {
	void (*on_change)(struct identity *i, struct str id, struct tlsctx *old, void *arg);
};

int identity_new(struct loop *control, const struct identity_conf *conf, const struct identity_ops *ops, void *arg,
		 struct identity **ret, struct err *err);
/* Trust domains for verification, own first. Contexts are rebuilt when they change. Until the first call, a context trusts
 * the domain of its own certificate. */
void identity_set_trust(struct identity *i, const struct str *domains, int n);
/* Starts to keep a certificate for this SPIFFE ID (idempotent); the first comes before return with a local CA or files.
 * -errno with err when there is none now; it is tried again with backoff. */
int identity_want(struct identity *i, struct str id, struct err *err);
void identity_forget(struct identity *i, struct str id);
/* Any thread. A new reference to the present context, or NULL: none (FAIL_IDENTITY). Lock held for a few instructions. */
struct tlsctx *identity_get(struct identity *i, struct str id);
/* Appends ztunnel's `certificates` array of /config_dump. Control thread. */
void identity_dump(struct identity *i, struct buf *out);
void identity_free(struct identity *i);

#endif
