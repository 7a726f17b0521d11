/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates for the identities that this process serves. Runs on the control thread; hands TLS contexts to workers.
 * Three providers: a control plane's CA (asynchronous), a local development CA, or files that somebody else renews (watched).
 * Keys of the first two live in memory only; certificates are renewed at half life with jitter. */
#ifndef IDENTITY_IDENTITY_H
#define IDENTITY_IDENTITY_H

#include "base/buf.h"
#include "identity/ca.h"
#include "io/loop.h"
#include "tls/tlsctx.h"

struct identity_conf {
	const struct ca_ops *ca;               /* sign with this CA, which answers later; NULL: one of the next two */
	void *ca_arg;
	const char *ca_dir;                    /* sign with this CA; NULL: use the files */
	const char *cert_file, *key_file;
	const char *root_file;                 /* with ca: NULL, or more roots to trust than the CA names. Watched */
	const char *crl_file;                  /* NULL: none. Watched in all cases */
	bool allow_tls12;
	unsigned ctx_idle_ms;                  /* 0: LIMIT_TLSCTX_IDLE_MS */
	unsigned ca_reply_ms;                  /* 0: LIMIT_CA_REPLY_MS */
	int64_t ttl_s;                         /* of what the CA signs (SECRET_TTL); 0: 24 h */
};

/* Who is served first when many wait for the CA. */
enum identity_priority {
	IDENTITY_NOW,             /* traffic waits */
	IDENTITY_WARMUP,          /* traffic is likely: a workload of this node */
	IDENTITY_BACKGROUND,
};

enum identity_state {
	IDENTITY_UNKNOWN,         /* nobody wants it */
	IDENTITY_PENDING,         /* the first certificate is on its way */
	IDENTITY_READY,
	IDENTITY_FAILED,          /* there is none now; it is tried again with backoff */
};

struct identity;

/* Called on the control thread. They call neither identity_want nor identity_forget. */
struct identity_ops {
	/* id's certificate came, was replaced, or is lost (expired or forgotten: identity_get gives NULL). old is the context that
	 * connections may still have, borrowed; NULL: nobody has one. Live connections go on; see tls_still_valid. */
	void (*on_change)(struct identity *i, struct str id, struct tlsctx *old, void *arg);
	/* id went from PENDING to FAILED: who waits for it need not wait longer. NULL ok. */
	void (*on_failed)(struct identity *i, struct str id, void *arg);
};

int identity_new(struct loop *control, const struct identity_conf *conf, const struct identity_ops *ops, void *arg,
		 struct identity **ret, struct err *err);
/* Trust domains for verification, own first (empty: that of each certificate). Contexts are rebuilt when they change. Until the first call, a context trusts
 * the domain of its own certificate. */
void identity_set_trust(struct identity *i, const struct str *domains, int n);
/* Keeps a certificate for this SPIFFE ID from now on; counted: as many identity_forget undo it. 0: there is one, or it is on
 * its way. -errno with err when there is none now; it is tried again with backoff, and is wanted all the same. */
int identity_want(struct identity *i, struct str id, enum identity_priority priority, struct err *err);
/* With the last one the key is wiped (by the last connection that uses it) and on_change tells the loss. Unknown: ignored. */
void identity_forget(struct identity *i, struct str id);
/* Any thread. A new reference to the present context, or NULL: none (identity_state says why; PENDING: wait for on_change or
 * on_failed). The first caller after a change makes the context; unused ones go after LIMIT_TLSCTX_IDLE_MS. A pending one that
 * is asked for here is served as IDENTITY_NOW. */
struct tlsctx *identity_get(struct identity *i, struct str id);
/* Any thread. FAILED: err says why. */
enum identity_state identity_state(struct identity *i, struct str id, struct err *err);
/* Unix seconds when the present certificate ends, 0: none. Any thread; makes no context. */
int64_t identity_not_after(struct identity *i, struct str id);
/* Appends ztunnel's `certificates` array of /config_dump. Control thread. */
void identity_dump(struct identity *i, struct buf *out);
void identity_free(struct identity *i);

#endif
