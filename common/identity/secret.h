/* SPDX-License-Identifier: Apache-2.0 */
/* Private keys in memory: read, wiped after use, and kept from other programs of the same user. */
#ifndef IDENTITY_SECRET_H
#define IDENTITY_SECRET_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/str.h"

struct secret {
	char *p;        /* owned; NUL-terminated */
	size_t n;
};

/* A certificate with all that is needed to use it, in PEM. */
struct certset {
	struct secret chain, key, roots;
};

static inline struct str secret_str(const struct secret *s) { return (struct str){ s->p, s->n }; }

/* The whole file. */
int secret_read(const char *file, struct secret *ret, struct err *err);
/* Takes the contents of an OpenSSL memory BIO, whose own copy is wiped by BIO_free. */
struct bio_st;
void secret_from_bio(struct bio_st *bio, struct secret *ret);
/* A P-256 key as PKCS #8 in PEM, unencrypted. False: another key. */
struct evp_pkey_st;
bool secret_from_key(struct evp_pkey_st *key, struct secret *ret);
void secret_wipe(struct secret *s);          /* overwrites, frees, zeroes */
void certset_wipe(struct certset *c);

/* No core dumps, no ptrace and no /proc/PID/mem for other programs of our user. Call it at start, and again after
 * the uid changed. 0 or -errno. */
int secret_harden(void);

#endif
