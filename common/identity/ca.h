/* SPDX-License-Identifier: Apache-2.0 */
/* What the identity room wants of a CA that answers later. */
#ifndef IDENTITY_CA_H
#define IDENTITY_CA_H

#include <stdint.h>

#include "base/str.h"

struct ca_call;

/* certs: PEM, leaf first, then intermediates; the last holds the roots, maybe several. Borrowed. error: a whole sentence with a
 * remedy, or NULL when certs came. What came is checked by the caller. */
struct ca_reply {
	const struct str *certs;
	size_t n_certs;
	const char *error;
};

struct ca_ops {
	/* Asks for a certificate of id, valid ttl_s. csr: PEM, borrowed. on_reply follows exactly once, never inside this call; not
	 * after cancel. No deadline is needed: the caller has one. NULL: cannot be asked now (out of memory). */
	struct ca_call *(*sign)(void *ca, struct str csr, struct str id, int64_t ttl_s,
				void (*on_reply)(void *arg, const struct ca_reply *reply), void *arg);
	void (*cancel)(void *ca, struct ca_call *call);
	const char *(*name)(void *ca);        /* for sentences: "the CA at https://…"; borrowed */
};

#endif
