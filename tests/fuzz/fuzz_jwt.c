/* SPDX-License-Identifier: Apache-2.0 */
/* The first line is a token, what follows a JWKS. Neither may be believed without a signature of the other. */
#include <stdlib.h>

#include "base/log.h"
#include "policy/jwt.h"

static struct jwks *ours;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const char keys[] = "{\"keys\":[{\"kty\":\"EC\",\"kid\":\"k\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
				   "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}";
	struct err err;

	ours = jwks_parse(str_c(keys), false, &err);
	return log_set_levels(str_c("off"), NULL);
}

static bool any(struct str text, void *arg)
{
	(*(size_t *)arg) += text.n;
	return false;
}

static void use(const struct jwt *t)
{
	static const char *const path[] = { "a", "b" }, *const aud[] = { "x" };
	char out[64];
	size_t n = 0;
	bool plain;

	claims_any(t->claims, path, 1, any, &n);
	claims_any(t->claims, path, 2, any, &n);
	claims_format(t->claims, path, 1, out, sizeof(out), &n, &plain);
	jwt_audience(t, aud, 1);
	jwt_times(t, 1e9);
	if (jwt_verify(t, ours) == JWT_OK)
		abort();     /* nobody has that key */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct str rest, token = str_cut((struct str){ (const char *)data, n }, '\n', &rest);
	struct jwks *keys = rest.p ? jwks_parse(rest, true, NULL) : NULL;
	struct jwt t;

	if (jwt_parse(token, NULL, 0, &t) == JWT_OK) {
		use(&t);
		if (keys)
			jwt_verify(&t, keys);
		jwt_done(&t);
	}
	jwks_unref(keys);
	return 0;
}
