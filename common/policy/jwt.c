/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/jwt.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"

#define SKEW_S 60

static const char *const texts[] = {
	[JWT_OK] = "OK",
	[JWT_MISSED] = "Jwt is missing",
	[JWT_NOT_YET_VALID] = "Jwt not yet valid",
	[JWT_EXPIRED] = "Jwt is expired",
	[JWT_BAD_FORMAT] = "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections",
	[JWT_HEADER_BASE64] = "Jwt header is an invalid Base64url encoded",
	[JWT_HEADER_JSON] = "Jwt header is an invalid JSON",
	[JWT_HEADER_ALG] = "Jwt header [alg] field is required and must be a string",
	[JWT_HEADER_ALG_UNKNOWN] = "Jwt header [alg] is not supported",
	[JWT_HEADER_KID] = "Jwt header [kid] field is not a string",
	[JWT_HEADER_CRIT] = "Jwt header [crit] is not supported",
	[JWT_PAYLOAD_BASE64] = "Jwt payload is an invalid Base64url encoded",
	[JWT_PAYLOAD_JSON] = "Jwt payload is an invalid JSON",
	[JWT_ISS] = "Jwt payload [iss] field is not a string",
	[JWT_SUB] = "Jwt payload [sub] field is not a string",
	[JWT_IAT] = "Jwt payload [iat] field is not an integer",
	[JWT_NBF] = "Jwt payload [nbf] field is not an integer",
	[JWT_EXP] = "Jwt payload [exp] field is not an integer",
	[JWT_IAT_RANGE] = "Jwt payload [iat] field is not a positive 64 bit integer",
	[JWT_NBF_RANGE] = "Jwt payload [nbf] field is not a positive 64 bit integer",
	[JWT_EXP_RANGE] = "Jwt payload [exp] field is not a positive 64 bit integer",
	[JWT_AUD] = "Jwt payload [aud] field is not a string or string list",
	[JWT_SIGNATURE_BASE64] = "Jwt signature is an invalid Base64url encoded",
	[JWT_UNKNOWN_ISSUER] = "Jwt issuer is not configured",
	[JWT_AUDIENCE] = "Audiences in Jwt are not allowed",
	[JWT_VERIFICATION] = "Jwt verification fails",
	[JWT_NO_KEY] = "Jwks doesn't have key to match kid or alg from Jwt",
	[JWT_FETCH] = "Jwks remote fetch is failed",
	[JWT_MEMORY] = "Jwt verification fails",
};

const char *jwt_status_text(enum jwt_status s)
{
	return texts[s];
}

/* --- base64url --- */

static int digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '-' ? 62 : c == '_' ? 63 : -1;
}

bool jwt_base64url(struct str s, char *out, size_t *ret)
{
	uint32_t bits = 0;
	int n_bits = 0;
	size_t n = 0;

	if (s.n % 4 == 1)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		int d = digit(s.p[i]);

		if (d < 0)
			return false;
		bits = bits << 6 | (uint32_t)d;
		n_bits += 6;
		if (n_bits >= 8) {
			n_bits -= 8;
			out[n++] = (char)(bits >> n_bits);
		}
	}
	*ret = n;
	return true;
}

bool jwt_is_base64url(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (digit(s.p[i]) < 0)
			return false;
	return s.n > 0 && s.n % 4 != 1;
}

/* --- reading --- */

static bool alg_known(const char *alg)
{
	static const char *const known[] = {
		"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "HS256", "HS384", "HS512",
		"EdDSA",
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (!strcmp(alg, known[i]))
			return true;
	return false;
}

static enum jwt_status read_header(struct str text, struct jwt *t)
{
	json_t *h = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, NULL), *alg = json_object_get(h, "alg"), *kid = json_object_get(h, "kid");
	enum jwt_status s = JWT_OK;

	if (!json_is_object(h))
		s = JWT_HEADER_JSON;
	else if (!json_is_string(alg))
		s = JWT_HEADER_ALG;
	else if (!alg_known(json_string_value(alg)))
		s = JWT_HEADER_ALG_UNKNOWN;
	else if (kid && (!json_is_string(kid) || json_string_length(kid) >= sizeof(t->kid)))
		s = JWT_HEADER_KID;
	else if (json_object_get(h, "crit") || json_object_get(h, "b64"))
		s = JWT_HEADER_CRIT;
	if (s == JWT_OK) {
		snprintf(t->alg, sizeof(t->alg), "%s", json_string_value(alg));
		snprintf(t->kid, sizeof(t->kid), "%s", kid ? json_string_value(kid) : "");
	}
	json_decref(h);
	return s;
}

static enum jwt_status read_time(const struct claims *c, const char *name, enum jwt_status bad, enum jwt_status range, double *ret, bool *ret_has)
{
	*ret_has = claims_number(c, name, ret);
	if (!*ret_has)
		return claims_kind(c, name) ? bad : JWT_OK;
	return *ret < 0 || *ret >= 18446744073709551616.0 ? range : JWT_OK;
}

static enum jwt_status read_payload(struct jwt *t)
{
	static const char *const iss = "iss", *const sub = "sub";
	enum jwt_status s;
	bool has_iat;
	double iat;

	if (claims_kind(t->claims, iss) > CLAIM_TEXT)
		return JWT_ISS;
	if (claims_kind(t->claims, sub) > CLAIM_TEXT)
		return JWT_SUB;
	s = read_time(t->claims, "iat", JWT_IAT, JWT_IAT_RANGE, &iat, &has_iat);
	s = s == JWT_OK ? read_time(t->claims, "nbf", JWT_NBF, JWT_NBF_RANGE, &t->nbf, &t->has_nbf) : s;
	s = s == JWT_OK ? read_time(t->claims, "exp", JWT_EXP, JWT_EXP_RANGE, &t->exp, &t->has_exp) : s;
	if (s != JWT_OK)
		return s;
	if (claims_kind(t->claims, "aud") > CLAIM_TEXTS)
		return JWT_AUD;
	t->issuer = claims_text(t->claims, &iss, 1);
	return JWT_OK;
}

static enum jwt_status read_parts(struct str header, struct str signature, char *room, const char *const *words, int n_words, struct jwt *t)
{
	enum jwt_status s;
	size_t n;

	if (!jwt_base64url(header, room, &n))
		return JWT_HEADER_BASE64;
	s = read_header((struct str){ room, n }, t);
	if (s != JWT_OK)
		return s;
	if (!jwt_base64url(t->payload, room, &n))
		return JWT_PAYLOAD_BASE64;
	t->claims = claims_new((struct str){ room, n }, words, n_words);
	if (!t->claims)
		return JWT_PAYLOAD_JSON;
	s = read_payload(t);
	return s == JWT_OK && !jwt_is_base64url(signature) ? JWT_SIGNATURE_BASE64 : s;
}

enum jwt_status jwt_parse(struct str token, const char *const *words, int n_words, struct jwt *ret)
{
	struct jwt t = { .text = token };
	struct str rest, signature, header = str_cut(token, '.', &rest);
	enum jwt_status s;
	char *room;

	t.payload = str_cut(rest, '.', &signature);
	if (!header.n || !t.payload.n || !signature.n || memchr(signature.p, '.', signature.n) || token.n > LIMIT_JWT_BYTES)
		return JWT_BAD_FORMAT;
	room = malloc(token.n + 1);
	if (!room)
		return JWT_MEMORY;
	s = read_parts(header, signature, room, words, n_words, &t);
	free(room);
	if (s == JWT_OK)
		*ret = t;
	else
		jwt_done(&t);
	return s;
}

void jwt_done(struct jwt *t)
{
	claims_unref(t->claims);
	t->claims = NULL;
}

/* --- judging --- */

enum jwt_status jwt_times(const struct jwt *t, double now_s)
{
	if (t->has_nbf && now_s + SKEW_S < t->nbf)
		return JWT_NOT_YET_VALID;
	return t->has_exp && now_s > t->exp + SKEW_S ? JWT_EXPIRED : JWT_OK;
}

struct wanted { const char *const *v; int n; };

/* As Envoy: without scheme and a slash at the end. */
static struct str bare(struct str s)
{
	if (str_starts(s, str_c("http://")))
		s = (struct str){ s.p + 7, s.n - 7 };
	else if (str_starts(s, str_c("https://")))
		s = (struct str){ s.p + 8, s.n - 8 };
	if (s.n && s.p[s.n - 1] == '/')
		s.n--;
	return s;
}

static bool is_wanted(struct str text, void *arg)
{
	const struct wanted *w = arg;

	for (int i = 0; i < w->n; i++)
		if (str_eq(bare(text), bare(str_c(w->v[i]))))
			return true;
	return false;
}

bool jwt_audience(const struct jwt *t, const char *const *audiences, int n)
{
	static const char *const aud = "aud";
	struct wanted w = { audiences, n };

	return n == 0 || claims_any(t->claims, &aud, 1, is_wanted, &w);
}
