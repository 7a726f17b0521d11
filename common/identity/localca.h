/* SPDX-License-Identifier: Apache-2.0 */
/* A development CA in a folder: DIR/ca-key.pem (0600) and DIR/root-cert.pem. It signs SPIFFE certificates of one trust
 * domain, which its own certificate is constrained to. The key is read once, when the CA is opened. */
#ifndef IDENTITY_LOCALCA_H
#define IDENTITY_LOCALCA_H

#include <stdint.h>

#include "identity/secret.h"

#define LOCALCA_TTL_S (24 * 3600)

struct localca;

/* `meshd ca init`. Makes the folder (0700) if needed; -EEXIST when there is a CA already. trust_domain NULL: cluster.local. */
int localca_init(const char *dir, const char *trust_domain, struct err *err);

/* Refused when others can read the key or write in the folder, and when the CA has expired. */
int localca_open(const char *dir, struct localca **ret, struct err *err);
struct str localca_trust_domain(const struct localca *ca);
int64_t localca_not_after(const struct localca *ca);        /* Unix seconds */
/* A fresh P-256 key and its certificate, valid ttl_s from now (at most as long as the CA). -EINVAL: not a SPIFFE ID of
 * our trust domain. */
int localca_sign(const struct localca *ca, struct str id, int64_t ttl_s, struct certset *ret, struct err *err);
void localca_free(struct localca *ca);      /* wipes the key; NULL ok */

/* `meshd ca issue`. Writes cert-chain.pem, key.pem (0600) and root-cert.pem to out_dir, replacing older ones; it is made
 * (0700) if it does not exist. */
int localca_issue(const char *dir, const char *ns, const char *sa, int64_t ttl_s, const char *out_dir, struct err *err);

#endif
