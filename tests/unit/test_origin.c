/* SPDX-License-Identifier: Apache-2.0 */
#include "tls/origin.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "tests/unit/pki.h"
#include "tests/unit/suite.h"

static char dir[32], cert[64], key[64], roots[64];
static struct pki ca, leaf;
static struct origin_conf conf;
static struct err err;
static uint64_t now = 1000000;

static void put(const char *path, const char *text)
{
	char tmp[80];
	FILE *f;

	snprintf(tmp, sizeof(tmp), "%s.tmp", path);
	f = fopen(tmp, "w");
	fputs(text, f);
	fclose(f);
	ck_assert_int_eq(rename(tmp, path), 0);
}

static void put_leaf(bool key_too)
{
	char *pem = pki_pem(leaf.cert), *key_pem = pki_key_pem(leaf.key);

	put(cert, pem);
	if (key_too)
		put(key, key_pem);
	free(pem);
	free(key_pem);
}

static struct pki another(void)
{
	return pki_issue(&ca, &(struct pki_spec){ .san = "DNS:client.example" });
}

static void setup(void)
{
	char *pem;

	log_set_levels(str_c("off"), NULL);
	snprintf(dir, sizeof(dir), "/tmp/test_origin.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(cert, sizeof(cert), "%s/cert.pem", dir);
	snprintf(key, sizeof(key), "%s/key.pem", dir);
	snprintf(roots, sizeof(roots), "%s/roots.pem", dir);
	ca = pki_ca(NULL, "root");
	leaf = another();
	pem = pki_pem(ca.cert);
	put(roots, pem);
	free(pem);
	put_leaf(true);
	conf = (struct origin_conf){ .cert = cert, .key = key, .roots = roots, .crl = "" };
}

static void teardown(void)
{
	origin_forget();
	unlink(cert);
	unlink(key);
	unlink(roots);
	ck_assert_int_eq(rmdir(dir), 0);
	pki_done(&leaf);
	pki_done(&ca);
}

/* Compared, not used. */
static const struct tlsctx *get(void)
{
	struct tlsctx *ctx = origin_get(&conf, now, &err);

	tlsctx_unref(ctx);
	return ctx;
}

static const struct tlsctx *get_later(void)
{
	now += ORIGIN_LOOK_MS;
	return get();
}

START_TEST(shared_and_read_anew)
{
	struct tlsctx *first = origin_get(&conf, now, &err);
	struct pki old = leaf;

	ck_assert_ptr_nonnull(first);
	ck_assert_ptr_eq(get(), first);
	ck_assert_ptr_eq(get_later(), first);          /* nothing changed */
	leaf = another();
	put_leaf(true);
	ck_assert_ptr_eq(get(), first);                /* not looked at yet */
	ck_assert_ptr_ne(get_later(), first);
	tlsctx_unref(first);
	pki_done(&old);
}
END_TEST

/* Certificate and key are two files: between their two renames they do not fit. */
START_TEST(a_bad_moment)
{
	struct tlsctx *first = origin_get(&conf, now, &err);
	struct pki old = leaf;

	leaf = another();
	put_leaf(false);
	ck_assert_ptr_eq(get_later(), first);
	put_leaf(true);
	ck_assert_ptr_ne(get_later(), first);
	unlink(roots);
	ck_assert_ptr_nonnull(get_later());
	tlsctx_unref(first);
	pki_done(&old);
}
END_TEST

START_TEST(never_good)
{
	put(key, "-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----\n");
	ck_assert_ptr_null(get());
	ck_assert_msg(strstr(err.msg, key) != NULL, "%s", err.msg);
	ck_assert_ptr_null(get_later());
	put_leaf(true);
	ck_assert_ptr_null(get());
	ck_assert_ptr_nonnull(get_later());
}
END_TEST

/* The files are right, but there was no descriptor to read them by. */
START_TEST(no_descriptor)
{
	struct rlimit before, none;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){ 0, before.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	ck_assert_ptr_null(get());
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	ck_assert_ptr_nonnull(get_later());
}
END_TEST

/* Each of its settings makes another context: who is not verified here is verified there. */
START_TEST(settings_are_apart)
{
	struct tlsctx *v[5];
	struct origin_conf c[5] = { conf, conf, conf, conf, conf };

	c[1].insecure = true;
	c[2].server = true;
	c[3].cert = c[3].key = "";
	c[4].roots = "";
	for (int i = 0; i < 5; i++) {
		v[i] = origin_get(&c[i], now, &err);
		ck_assert_msg(v[i] != NULL, "%d: %s", i, err.msg);
		for (int k = 0; k < i; k++)
			ck_assert_ptr_ne(v[i], v[k]);
	}
	for (int i = 0; i < 5; i++)
		tlsctx_unref(v[i]);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("origin");
	TCase *c = tcase_create("origin");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, shared_and_read_anew);
	tcase_add_test(c, a_bad_moment);
	tcase_add_test(c, never_good);
	tcase_add_test(c, no_descriptor);
	tcase_add_test(c, settings_are_apart);
	suite_add_tcase(s, c);
	return suite_run(s);
}
