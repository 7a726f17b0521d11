/* SPDX-License-Identifier: Apache-2.0 */
/* identity.c is what others ask; entry.c gets one identity's certificate, renews it and tries again. */
#ifndef IDENTITY_IDENTITY_INT_H
#define IDENTITY_IDENTITY_INT_H

#include <pthread.h>

#include "base/map.h"
#include "identity/fetch.h"
#include "identity/identity.h"
#include "identity/localca.h"
#include "identity/rootset.h"
#include "identity/svid.h"
#include "io/watch.h"

struct entry {
	struct identity *owner;
	char *id;
	unsigned wanted;              /* identity_want minus identity_forget */
	enum identity_priority priority;
	struct fetch fetch;           /* with a CA that answers later */
	struct timer timer;
	int64_t due;                  /* Unix seconds: when to renew or try again */
	unsigned backoff_s;           /* 0: the last try went well */
	uint64_t files_hash;          /* of the files that svid was made from */

	/* Written under the owner's lock */
	struct svid *svid;            /* NULL: none now */
	struct tlsctx *ctx;           /* of svid and the owner's trust; NULL: nobody asked yet */
	uint64_t used_ms;             /* when ctx was asked for last */
	bool failed;                  /* the last try; err says why */
	struct err err;
};

struct identity {
	struct loop *loop;
	struct identity_ops ops;
	void *arg;
	struct fetcher *fetcher;      /* a CA that answers later */
	const struct ca_ops *ca_ops;
	void *ca_arg;
	struct localca *ca;           /* or this one; both NULL: files */
	char *cert_file, *key_file, *root_file, *crl_file;
	struct secret more_roots;     /* root_file's text, where it is not the certificate's own */
	struct rootset roots;         /* with a CA that answers later: all that are trusted */
	int64_t ttl_s;
	unsigned ctx_idle_ms;
	struct watch *watch;
	struct timer sweep;           /* drops contexts that nobody uses */
	pthread_mutex_t lock;         /* entries and trust against other threads; never held while OpenSSL works */
	struct trust *trust;
	struct map entries;
};

/* Takes t over. Contexts are made anew, and who has an old one is told. */
void identity_retrust(struct identity *i, struct trust *t);
/* With a CA that answers later: what one certificate's roots, or those of the file, were and are. True when contexts were
 * made anew for it. */
bool identity_swap_roots(struct identity *i, struct str old, struct str now);

struct entry *entry_new(struct identity *i, struct str id, enum identity_priority priority);
/* A new certificate, unless the files are as they were. 0 also when it comes later. */
int entry_refresh(struct entry *e, struct err *err);
void entry_drop_ctx(struct entry *e);       /* on_change follows if there is one */
void entry_free(struct entry *e);

#endif
