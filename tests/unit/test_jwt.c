/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens, good and bad, from jwt.txt; sets of keys. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "policy/jwt.h"
#include "suite.h"

#define NOW 2000000000

static const char *const names[] = {
	[JWT_OK] = "OK", [JWT_NOT_YET_VALID] = "NOT_YET_VALID", [JWT_EXPIRED] = "EXPIRED", [JWT_BAD_FORMAT] = "BAD_FORMAT",
	[JWT_HEADER_BASE64] = "HEADER_BASE64", [JWT_HEADER_JSON] = "HEADER_JSON", [JWT_HEADER_ALG] = "HEADER_ALG",
	[JWT_HEADER_ALG_UNKNOWN] = "HEADER_ALG_UNKNOWN", [JWT_HEADER_KID] = "HEADER_KID", [JWT_HEADER_CRIT] = "HEADER_CRIT",
	[JWT_PAYLOAD_BASE64] = "PAYLOAD_BASE64", [JWT_PAYLOAD_JSON] = "PAYLOAD_JSON", [JWT_ISS] = "ISS", [JWT_SUB] = "SUB", [JWT_IAT] = "IAT",
	[JWT_NBF] = "NBF", [JWT_EXP] = "EXP", [JWT_AUD] = "AUD", [JWT_IAT_RANGE] = "IAT_RANGE", [JWT_NBF_RANGE] = "NBF_RANGE", [JWT_EXP_RANGE] = "EXP_RANGE", [JWT_SIGNATURE_BASE64] = "SIGNATURE_BASE64",
	[JWT_VERIFICATION] = "VERIFICATION", [JWT_NO_KEY] = "NO_KEY", [JWT_MEMORY] = "MEMORY",
};

static enum jwt_status judge(struct str token, const struct jwks *keys)
{
	struct jwt t;
	enum jwt_status s = jwt_parse(token, NULL, 0, &t);

	if (s != JWT_OK)
		return s;
	s = jwt_times(&t, NOW);
	if (s == JWT_OK)
		s = jwt_verify(&t, keys);
	jwt_done(&t);
	return s;
}

static FILE *vectors(void)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%.*s/jwt.txt", (int)(strrchr(__FILE__, '/') - __FILE__), __FILE__);
	f = fopen(path, "r");
	ck_assert_msg(f != NULL, "%s", path);
	return f;
}

static bool next_line(FILE *f, char **line, size_t *cap, struct str *ret)
{
	ssize_t n = getline(line, cap, f);

	*ret = (struct str){ *line, n > 0 ? (size_t)n - 1 : 0 };
	return n > 0;
}

START_TEST(table)
{
	FILE *f = vectors();
	char *line = NULL;
	size_t cap = 0;
	struct str row;
	struct jwks *keys;
	struct err err;
	int n = 0;

	ck_assert(next_line(f, &line, &cap, &row) && next_line(f, &line, &cap, &row));
	keys = jwks_parse(row, true, &err);
	ck_assert_ptr_nonnull(keys);
	ck_assert_int_eq(jwks_count(keys), 9);      /* without the one for encryption */
	for (; next_line(f, &line, &cap, &row); n++) {
		struct str status, token, name = str_cut(row, '|', &status);
		enum jwt_status s;

		status = str_cut(status, '|', &token);
		s = judge(token, keys);
		ck_assert_msg(str_is(status, names[s]), "%.*s: want %.*s, got %s", STR_FMT(name), STR_FMT(status), names[s]);
	}
	ck_assert_int_ge(n, 150);
	jwks_unref(keys);
	free(line);
	fclose(f);
}
END_TEST

static const struct { const char *json, *why; } bad_keys[] = {
	{ "", "it is not JSON" },
	{ "<html>", "it is not JSON" },
	{ "[]", "it is not JSON" },
	{ "{}", "want a JWKS" },
	{ "{\"keys\":{}}", "want a JWKS" },
	{ "{\"keys\":[]}", "it has no keys" },
	{ "{\"keys\":[1]}", "is no object" },
	{ "{\"keys\":[null]}", "is no object" },
	{ "{\"keys\":null}", "want a JWKS" },
	{ "{\"keys\":[{\"kty\":null,\"kid\":null,\"n\":null}]}", "is of a kind that is not supported" },
	{ "{\"keys\":[{\"kty\":\"OKP\",\"kid\":\"e\",\"crv\":\"Ed25519\",\"x\":\"AA\"}]}", "key 'e' is not valid" },
	{ "{\"keys\":[{\"kty\":\"OKP\",\"kid\":\"e\",\"crv\":\"Ed448\",\"x\":\"AA\"}]}", "is of a curve that is not supported" },
	{ "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"r\",\"n\":\"A=A\",\"e\":\"AQAB\"}]}", "key 'r' is not valid" },
	{ "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"r\",\"n\":\"AQABx\",\"e\":\"AQAB\"}]}", "key 'r' is not valid" },
	{ "{\"keys\":[{\"kty\":\"EC\",\"kid\":\"c\",\"crv\":\"P-256\",\"x\":\"A\",\"y\":\"\"}]}", "key 'c' is not valid" },
	{ "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"r\"}]}", "key 'r' is not valid" },
	{ "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"r\",\"n\":\"AQAB\",\"e\":\"AQABAQABAQAB\"}]}", "with an exponent beyond 48 bits" },
	{ "{\"keys\":[{\"kty\":\"EC\",\"kid\":\"c\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}]}", "key 'c' is not valid" },
	{ "{\"keys\":[{\"kty\":\"EC\",\"kid\":\"c\",\"crv\":\"P-1\",\"x\":\"AA\",\"y\":\"AA\"}]}", "key 'c' is not valid" },
	{ "{\"keys\":[{\"kty\":\"oct\",\"kid\":\"s\",\"k\":\"AAAA\"}]}", "is a secret, which no server may publish" },
};

START_TEST(refused_keys)
{
	struct err err = { "" };

	ck_assert_ptr_null(jwks_parse(str_c(bad_keys[_i].json), false, &err));
	ck_assert_msg(strstr(err.msg, bad_keys[_i].why) != NULL, "%s: %s", bad_keys[_i].json, err.msg);
}
END_TEST

START_TEST(large_keys)
{
	struct buf text = { 0 };
	struct err err;

	buf_puts(&text, "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"big\",\"e\":\"AQAB\",\"n\":\"");
	for (int i = 0; i < 3000; i++)
		buf_puts(&text, "AAAAAAAAAA");
	buf_puts(&text, "\"}]}");
	ck_assert_ptr_null(jwks_parse(buf_str(&text), true, &err));
	ck_assert_ptr_nonnull(strstr(err.msg, "beyond 8192 bits"));
	buf_done(&text);
	buf_puts(&text, "{\"keys\":[{}");
	for (int i = 0; i < 299; i++)
		buf_puts(&text, ",{}");
	buf_puts(&text, "]}");
	ck_assert_ptr_null(jwks_parse(buf_str(&text), true, &err));
	ck_assert_ptr_nonnull(strstr(err.msg, "want at most 256 keys, got 300"));
	buf_done(&text);
}
END_TEST

START_TEST(audiences)
{
	static const char *const want[] = { "https://shop.test/", "other" };
	static const struct { const char *json; bool fits; } rows[] = {
		{ "{\"aud\":\"other\"}", true }, { "{\"aud\":[\"x\",\"other\"]}", true }, { "{\"aud\":\"shop.test\"}", true },
		{ "{\"aud\":\"http://shop.test\"}", true }, { "{\"aud\":\"othe\"}", false }, { "{\"aud\":[]}", false }, { "{}", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct jwt t = { .claims = claims_new(str_c(rows[i].json), NULL, 0) };

		ck_assert_msg(jwt_audience(&t, want, 2) == rows[i].fits, "%s", rows[i].json);
		ck_assert(jwt_audience(&t, NULL, 0));
		jwt_done(&t);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("jwt");
	TCase *t = tcase_create("jwt");

	tcase_add_test(t, table);
	tcase_add_loop_test(t, refused_keys, 0, ARRAY_LEN(bad_keys));
	tcase_add_test(t, large_keys);
	tcase_add_test(t, audiences);
	suite_add_tcase(s, t);
	return suite_run(s);
}
