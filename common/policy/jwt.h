/* SPDX-License-Identifier: Apache-2.0 */
/* JSON web tokens (RFC 7519) in compact JWS form (RFC 7515), verified by cjose: RS, PS, ES and HS with 256, 384 and 512 bits; and EdDSA with
 * Ed25519 (RFC 8037). The algorithm
 * must be one that fits the key's type, so that a public key is never taken for a secret; tokens without signature, with a "crit"
 * that nobody understands, encrypted or in JSON form are refused. */
#ifndef POLICY_JWT_H
#define POLICY_JWT_H

#include "base/err.h"
#include "policy/claims.h"

/* In Envoy's words: clients see them. */
enum jwt_status {
	JWT_OK, JWT_MISSED, JWT_NOT_YET_VALID, JWT_EXPIRED, JWT_BAD_FORMAT, JWT_HEADER_BASE64, JWT_HEADER_JSON, JWT_HEADER_ALG,
	JWT_HEADER_ALG_UNKNOWN, JWT_HEADER_KID, JWT_HEADER_CRIT, JWT_PAYLOAD_BASE64, JWT_PAYLOAD_JSON, JWT_ISS, JWT_SUB, JWT_IAT, JWT_NBF, JWT_EXP,
	JWT_IAT_RANGE, JWT_NBF_RANGE, JWT_EXP_RANGE,
	JWT_AUD, JWT_SIGNATURE_BASE64, JWT_UNKNOWN_ISSUER, JWT_AUDIENCE, JWT_VERIFICATION, JWT_NO_KEY, JWT_FETCH, JWT_MEMORY,
};
const char *jwt_status_text(enum jwt_status s);      /* "Jwt is expired" */
bool jwt_is_base64url(struct str s);                 /* RFC 7515 2: without padding; not empty */
/* out: s.n bytes. False: it is none. */
bool jwt_base64url(struct str s, char *out, size_t *ret);

/* ---- keys ---- */

struct jwks;                 /* a set of public keys; immutable, refcounted, any thread */
/* text: a JWKS (RFC 7517). secrets: keys of HMAC ("oct") count, which only a configuration may have, never a server. Keys of kinds that
 * are not known are passed by; NULL when none is left. */
struct jwks *jwks_parse(struct str text, bool secrets, struct err *err);
struct jwks *jwks_ref(const struct jwks *k);
void jwks_unref(const struct jwks *k);               /* NULL ok */
int jwks_count(const struct jwks *k);
uint64_t jwks_id(const struct jwks *k);              /* no other set of this process had it */

/* ---- tokens ---- */

struct jwt {
	struct str text, payload;    /* borrowed from the token; payload: still base64url */
	struct claims *claims;       /* owned */
	struct str issuer;           /* p NULL: it names none */
	char alg[8], kid[256];
	bool has_exp, has_nbf;
	double exp, nbf;
};

/* Reads without believing. words: see claims_new. The token must outlive *ret. */
enum jwt_status jwt_parse(struct str token, const char *const *words, int n_words, struct jwt *ret);
void jwt_done(struct jwt *t);
/* Whether one of the keys signed it. JWT_NO_KEY: none has its kid and alg. */
enum jwt_status jwt_verify(const struct jwt *t, const struct jwks *keys);
/* 60 s of skew are forgiven, as Envoy does. */
enum jwt_status jwt_times(const struct jwt *t, double now_s);
/* Whether `aud` names one of these; none are wanted: yes. */
bool jwt_audience(const struct jwt *t, const char *const *audiences, int n);

#endif
