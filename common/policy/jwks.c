/* SPDX-License-Identifier: Apache-2.0 */
#include <cjose/cjose.h>
#include <jansson.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "policy/jwt.h"
#include "tls/ed25519.h"

#define KEYS_MAX 256

struct key {
	cjose_jwk_t *jwk;            /* owned; NULL: Ed25519, which cjose does not know */
	uint8_t ed25519[ED25519_KEY_BYTES];
	char *kid, *alg;             /* owned; "": it says none */
	cjose_jwk_kty_t kty;
	char curve[8];               /* of EC: "P-256" */
};

struct jwks {
	atomic_uint refs;
	uint64_t id;
	int n;
	struct key keys[];
};

/* --- reading --- */

static const char *text_of(const json_t *j, const char *name)
{
	const char *s = json_string_value(json_object_get(j, name));

	return s ? s : "";
}

/* Why a key is passed by; NULL: it counts. */
static const char *unusable(const json_t *j, bool secrets)
{
	const char *kty = text_of(j, "kty");

	if (!strcmp(text_of(j, "use"), "enc"))
		return "is for encryption";
	if (!strcmp(kty, "oct"))
		return secrets ? NULL : "is a secret, which no server may publish";
	if (!strcmp(kty, "RSA"))
		return strlen(text_of(j, "n")) > LIMIT_JWK_RSA_BYTES * 4 / 3 + 4 ? "is an RSA key beyond 8192 bits" :
		       strlen(text_of(j, "e")) > 8 ? "is an RSA key with an exponent beyond 48 bits" : NULL;
	if (!strcmp(kty, "OKP"))
		return strcmp(text_of(j, "crv"), "Ed25519") ? "is of a curve that is not supported (want Ed25519)" : NULL;
	return !strcmp(kty, "EC") ? NULL : "is of a kind that is not supported (want RSA, EC or OKP)";
}

static bool copy_number(json_t *to, const json_t *from, const char *name)
{
	json_t *v = json_object_get(from, name);

	return json_is_string(v) && jwt_is_base64url((struct str){ json_string_value(v), json_string_length(v) }) &&
	       json_object_set(to, name, v) == 0;
}

/* The members that make up a key, which must be base64url: cjose asserts that they are. NULL: they are not. */
static char *essence(const json_t *j)
{
	static const struct { const char *kty, *numbers[3]; } kinds[] = { { "RSA", { "n", "e" } }, { "EC", { "x", "y" } }, { "oct", { "k" } } };
	json_t *to = json_object();
	bool good = false;
	char *text;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (strcmp(text_of(j, "kty"), kinds[i].kty))
			continue;
		good = json_object_set(to, "kty", json_object_get(j, "kty")) == 0;
		for (int k = 0; good && kinds[i].numbers[k]; k++)
			good = copy_number(to, j, kinds[i].numbers[k]);
		if (*text_of(j, "crv"))
			json_object_set(to, "crv", json_object_get(j, "crv"));
	}
	text = good ? json_dumps(to, JSON_COMPACT) : NULL;
	json_decref(to);
	return text;
}

static bool read_ed25519(const json_t *j, struct key *ret)
{
	struct str x = str_c(text_of(j, "x"));
	char room[44];
	size_t n;

	*ret = (struct key){ 0 };
	if (x.n > sizeof(room) || !jwt_base64url(x, room, &n) || n != ED25519_KEY_BYTES)
		return false;
	memcpy(ret->ed25519, room, n);
	return true;
}

static bool read_cjose(const json_t *j, struct key *ret)
{
	char *text = essence(j);
	cjose_err ce = { 0 };

	*ret = (struct key){ .jwk = text ? cjose_jwk_import(text, strlen(text), &ce) : NULL };
	free(text);
	if (ret->jwk)
		ret->kty = cjose_jwk_get_kty(ret->jwk, &ce);
	return ret->jwk;
}

static bool read_key(const json_t *j, bool secrets, struct key *ret, struct err *err)
{
	const char *why = json_is_object(j) ? unusable(j, secrets) : "is no object";

	if (why) {
		err_set(err, 0, "key '%.60s' %s", text_of(j, "kid"), why);
		return false;
	}
	if (strcmp(text_of(j, "kty"), "OKP") ? !read_cjose(j, ret) : !read_ed25519(j, ret)) {
		err_set(err, 0, "key '%.60s' is not valid", text_of(j, "kid"));
		return false;
	}
	ret->kid = xstrdup(text_of(j, "kid"));
	ret->alg = xstrdup(text_of(j, "alg"));
	snprintf(ret->curve, sizeof(ret->curve), "%s", text_of(j, "crv"));
	return true;
}

struct jwks *jwks_parse(struct str text, bool secrets, struct err *err)
{
	static atomic_uint_fast64_t ids;
	json_t *root = json_loadb(text.p, text.n, 0, NULL), *keys = json_object_get(root, "keys");
	size_t n = json_array_size(keys);
	struct jwks *k = NULL;

	if (!json_is_array(keys)) {
		err_set(err, 0, json_is_object(root) ? "want a JWKS: an object with the list 'keys'" : "it is not JSON");
	} else if (n > KEYS_MAX) {
		err_set(err, 0, "want at most %d keys, got %zu", KEYS_MAX, n);
	} else {
		err_set(err, 0, "it has no keys");
		k = xcalloc(1, sizeof(*k) + n * sizeof(k->keys[0]));
		for (size_t i = 0; i < n; i++)
			k->n += read_key(json_array_get(keys, i), secrets, &k->keys[k->n], err);
		atomic_init(&k->refs, 1);
		k->id = atomic_fetch_add(&ids, 1) + 1;
	}
	json_decref(root);
	if (k && !k->n) {
		free(k);
		k = NULL;
	}
	return k;
}

struct jwks *jwks_ref(const struct jwks *k)
{
	atomic_fetch_add_explicit(&((struct jwks *)k)->refs, 1, memory_order_relaxed);
	return (struct jwks *)k;
}

void jwks_unref(const struct jwks *keys)
{
	struct jwks *k = (struct jwks *)keys;

	if (!k || atomic_fetch_sub_explicit(&k->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (int i = 0; i < k->n; i++) {
		if (k->keys[i].jwk)
			cjose_jwk_release(k->keys[i].jwk);
		free(k->keys[i].kid);
		free(k->keys[i].alg);
	}
	free(k);
}

int jwks_count(const struct jwks *k)
{
	return k->n;
}

uint64_t jwks_id(const struct jwks *k)
{
	return k->id;
}

/* --- verifying --- */

/* The algorithm is the key's, not the token's choice. */
static bool fits(const struct key *k, const char *alg)
{
	static const struct { const char *alg, *curve; } curves[] = { { "ES256", "P-256" }, { "ES384", "P-384" }, { "ES512", "P-521" } };

	if (!k->jwk)
		return !strcmp(alg, "EdDSA");
	switch (k->kty) {
	case CJOSE_JWK_KTY_RSA:
		return alg[0] == 'R' || alg[0] == 'P';
	case CJOSE_JWK_KTY_OCT:
		return alg[0] == 'H';
	case CJOSE_JWK_KTY_EC:
		for (size_t i = 0; i < ARRAY_LEN(curves); i++)
			if (!strcmp(alg, curves[i].alg))
				return !strcmp(k->curve, curves[i].curve);
		return false;
	}
	return false;
}

static bool verified_ed25519(const struct key *k, struct str token)
{
	const char *dot = memrchr(token.p, '.', token.n);
	struct str text = { token.p, (size_t)(dot - token.p) }, signature = { dot + 1, token.n - text.n - 1 };
	char room[88];
	size_t n;

	return signature.n <= sizeof(room) && jwt_base64url(signature, room, &n) && n == ED25519_SIGNATURE_BYTES &&
	       ed25519_verify(k->ed25519, text, (const uint8_t *)room);
}

static bool verified(const struct key *k, struct str token)
{
	cjose_err err = { 0 };
	cjose_jws_t *jws;
	bool good;

	if (!k->jwk)
		return verified_ed25519(k, token);
	/* Read anew for each key: a failed verification leaves it in no defined state. */
	jws = cjose_jws_import(token.p, token.n, &err);
	good = jws && cjose_jws_verify(jws, k->jwk, &err);
	if (jws)
		cjose_jws_release(jws);
	return good;
}

enum jwt_status jwt_verify(const struct jwt *t, const struct jwks *keys)
{
	enum jwt_status s = JWT_NO_KEY;

	for (int i = 0; i < keys->n; i++) {
		const struct key *k = &keys->keys[i];

		if ((*t->kid && *k->kid && strcmp(t->kid, k->kid)) || (*k->alg && strcmp(t->alg, k->alg)))
			continue;
		s = JWT_VERIFICATION;
		if (fits(k, t->alg) && verified(k, t->text))
			return JWT_OK;
	}
	return s;
}
