/* SPDX-License-Identifier: Apache-2.0 */
/* Both providers with a real loop and real handshakes. */
#include <check.h>
#include <errno.h>
#include <jansson.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <unistd.h>

#include "identity/identity.h"
#include "identity/localca.h"
#include "pki.h"
#include "tls/tlsctx_int.h"

#define WEB "spiffe://td/ns/default/sa/web"
#define DB  "spiffe://td/ns/default/sa/db"

static char base[64];
static struct loop *loop;
static struct pki root;
static int changes, lost;

static void setup(void)
{
	snprintf(base, sizeof(base), "/tmp/test_identity.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(base));
	loop = loop_new(-1);
	root = pki_ca(NULL, "root");
	changes = lost = 0;
}

static void teardown(void)
{
	char *cmd = xasprintf("rm -rf %s", base);

	ck_assert_int_eq(system(cmd), 0);
	free(cmd);
	pki_done(&root);
	loop_free(loop);
}

static const char *at(const char *file)
{
	static char path[64][128];    /* more than one test asks for */
	static int n;

	n = (n + 1) % 64;
	snprintf(path[n], sizeof(path[n]), "%s/%s", base, file);
	return path[n];
}

static void put(const char *file, const char *text)
{
	char *tmp = xasprintf("%s/.tmp", base);
	FILE *f = fopen(tmp, "w");

	fputs(text, f);
	fclose(f);
	ck_assert_int_eq(rename(tmp, at(file)), 0);
	free(tmp);
}

static void put_cert(const char *file, const struct pki *p)
{
	char *pem = pki_pem(p->cert);

	put(file, pem);
	free(pem);
}

static void put_key(const char *file, const struct pki *p)
{
	char *pem = pki_key_pem(p->key);

	put(file, pem);
	free(pem);
}

static struct pki leaf(const char *san, long to)
{
	return pki_issue(&root, &(struct pki_spec){ .san = san, .from = -60, .to = to });
}

static void put_all(const struct pki *p)
{
	put_key("key.pem", p);
	put_cert("cert.pem", p);
	put_cert("root.pem", &root);
}

static void on_change(struct identity *i, struct str id, struct tlsctx *old, void *arg)
{
	struct tlsctx *now = identity_get(i, id);

	ck_assert_ptr_ne(old, now);
	changes++;
	lost += !now;
	tlsctx_unref(now);
}

static const struct identity_ops ops = { .on_change = on_change };

struct until {
	struct timer t;
	const int *what;
	int want, left;
};

static void until_tick(struct timer *t)
{
	struct until *u = container_of(t, struct until, t);

	if ((u->what && *u->what >= u->want) || u->left-- <= 0)
		loop_stop(loop);
	else
		timer_start(t, 20);
}

/* Runs the loop until *what reached want; what NULL: for that time. */
static void run(const int *what, int want, int ms)
{
	struct until u = { .what = what, .want = want, .left = ms / 20 };

	timer_init(&u.t, loop, until_tick);
	timer_start(&u.t, 20);
	loop_run(loop);
	if (what)
		ck_assert_int_ge(*what, want);
}

static struct identity *identity_make(const struct identity_conf *conf)
{
	struct identity *i = NULL;
	struct err err;

	ck_assert_msg(identity_new(loop, conf, &ops, NULL, &i, &err) == 0, "%s", err.msg);
	return i;
}

static struct identity_conf files(void)
{
	return (struct identity_conf){ .cert_file = at("cert.pem"), .key_file = at("key.pem"), .root_file = at("root.pem") };
}

static struct identity_conf local_ca(void)
{
	struct err err;

	ck_assert_msg(localca_init(at("ca"), "td", &err) == 0, "%s", err.msg);
	return (struct identity_conf){ .ca_dir = at("ca") };
}

/* What the server says of the client; FAIL_NONE when both accept. */
static enum fail meet(struct identity *i, const char *client, const char *server, const char *expect)
{
	struct tlsctx *a = identity_get(i, str_c(client)), *b = identity_get(i, str_c(server));
	struct tls_verify av = { 0 }, bv = { 0 };
	BIO *x = BIO_new(BIO_s_mem()), *y = BIO_new(BIO_s_mem());
	struct str want = str_c(expect);
	SSL *as, *bs;

	ck_assert(a && b);
	as = SSL_new(tlsctx_ssl(a, false));
	bs = SSL_new(tlsctx_ssl(b, true));
	av.expect = &want;
	av.n_expect = expect != NULL;
	SSL_set_app_data(as, &av);
	SSL_set_app_data(bs, &bv);
	BIO_up_ref(x);
	BIO_up_ref(y);
	SSL_set_bio(as, x, y);
	SSL_set_bio(bs, y, x);
	SSL_set_connect_state(as);
	SSL_set_accept_state(bs);
	for (int n = 0; n < 4; n++)
		if (SSL_do_handshake(n % 2 ? bs : as) <= 0 && SSL_get_error(n % 2 ? bs : as, -1) == SSL_ERROR_SSL)
			tlsctx_explain(n % 2 ? &bv : &av);
	SSL_free(as);
	SSL_free(bs);
	tlsctx_unref(a);
	tlsctx_unref(b);
	return av.fail != FAIL_NONE ? av.fail : bv.fail;
}

START_TEST(local)
{
	struct identity_conf conf = local_ca();
	struct identity *i = identity_make(&conf);
	struct str domains[] = { str_c("other"), str_c("td") };
	struct err err;

	ck_assert_ptr_null(identity_get(i, str_c(WEB)));
	ck_assert_int_eq(identity_want(i, str_c(WEB), IDENTITY_NOW, &err), 0);
	ck_assert_int_eq(identity_want(i, str_c(WEB), IDENTITY_NOW, &err), 0);
	ck_assert_int_eq(identity_want(i, str_c(DB), IDENTITY_NOW, &err), 0);
	ck_assert_int_eq(changes, 2);
	ck_assert_int_eq(meet(i, WEB, DB, DB), FAIL_NONE);
	ck_assert_int_eq(meet(i, WEB, DB, WEB), FAIL_WRONG_IDENTITY);
	ck_assert_int_eq(identity_want(i, str_c("spiffe://other/ns/a/sa/b"), IDENTITY_NOW, &err), -EINVAL);
	ck_assert_msg(strstr(err.msg, "trust domain td only") != NULL, "%s", err.msg);
	ck_assert_int_eq(identity_want(i, str_c("spiffe://other/ns/a/sa/b"), IDENTITY_NOW, &err), -ENOENT);
	ck_assert_int_eq(identity_state(i, str_c(WEB), &err), IDENTITY_READY);
	ck_assert_int_eq(identity_state(i, str_c("spiffe://other/ns/a/sa/b"), &err), IDENTITY_FAILED);
	ck_assert_msg(strstr(err.msg, "trust domain td only") != NULL, "%s", err.msg);
	identity_set_trust(i, domains, 1);
	ck_assert_int_eq(changes, 4);
	ck_assert_int_eq(meet(i, WEB, DB, DB), FAIL_TLS);
	identity_set_trust(i, domains, 2);
	identity_set_trust(i, domains, 2);
	ck_assert_int_eq(changes, 6);
	ck_assert_int_eq(meet(i, WEB, DB, DB), FAIL_NONE);
	identity_forget(i, str_c(WEB));
	ck_assert_int_eq(meet(i, WEB, DB, DB), FAIL_NONE);      /* wanted twice */
	identity_forget(i, str_c(WEB));
	ck_assert_int_eq(lost, 1);
	ck_assert_int_eq(identity_state(i, str_c(WEB), &err), IDENTITY_UNKNOWN);
	identity_forget(i, str_c("spiffe://nobody/ns/a/sa/b"));
	ck_assert_ptr_null(identity_get(i, str_c(WEB)));
	identity_free(i);
}
END_TEST

static atomic_int stop;

static void *getter(void *arg)
{
	while (!atomic_load(&stop)) {
		struct tlsctx *c = identity_get(arg, str_c(WEB));

		if (c && !str_is(tlsctx_identity(c), WEB))
			abort();
		tlsctx_unref(c);
	}
	return NULL;
}

START_TEST(renewal)
{
	struct identity_conf conf = local_ca();
	struct identity *i;
	struct tlsctx *first;
	pthread_t thread;

	conf.ttl_s = 4;
	i = identity_make(&conf);
	ck_assert_int_eq(identity_want(i, str_c(WEB), IDENTITY_NOW, NULL), 0);
	first = identity_get(i, str_c(WEB));
	ck_assert_int_eq(pthread_create(&thread, NULL, getter, i), 0);
	run(&changes, 3, 7000);
	atomic_store(&stop, 1);
	pthread_join(thread, NULL);
	ck_assert_int_eq(lost, 0);
	ck_assert(str_is(tlsctx_identity(first), WEB));   /* a connection may still hold the first one */
	tlsctx_unref(first);
	identity_free(i);
}
END_TEST

START_TEST(rotated_files)
{
	struct pki a = leaf("URI:" WEB, 3600), b = leaf("URI:" WEB, 7200);
	struct identity_conf conf = files();
	struct tlsctx *c;
	struct identity *i;

	put_all(&a);
	i = identity_make(&conf);
	ck_assert_int_eq(identity_want(i, str_c(WEB), IDENTITY_NOW, NULL), 0);
	put_all(&a);
	run(NULL, 0, 600);
	ck_assert_int_eq(changes, 1);      /* the same contents */
	put_key("key.pem", &b);            /* half of the change: the old one stays */
	run(NULL, 0, 600);
	ck_assert_int_eq(changes, 1);
	ck_assert_int_eq(meet(i, WEB, WEB, WEB), FAIL_NONE);
	put("cert.pem", "-----BEGIN CERTIFICATE-----\nMIIB");
	run(NULL, 0, 600);
	ck_assert_int_eq(changes, 1);
	put_cert("cert.pem", &b);
	run(&changes, 2, 2000);
	c = identity_get(i, str_c(WEB));
	ck_assert_int_gt(tlsctx_not_after(c), time(NULL) + 7000);
	tlsctx_unref(c);
	ck_assert_int_eq(unlink(at("cert.pem")), 0);
	run(NULL, 0, 600);
	ck_assert_int_eq(meet(i, WEB, WEB, WEB), FAIL_NONE);
	ck_assert_int_eq(lost, 0);
	identity_free(i);
	pki_done(&a);
	pki_done(&b);
}
END_TEST

START_TEST(files_that_come_later)
{
	struct pki other = leaf("URI:" DB, 3600), old = leaf("URI:" WEB, -1), good = leaf("URI:" WEB, 3600);
	struct identity_conf conf = files();
	struct identity *i = identity_make(&conf);
	struct err err;

	ck_assert_int_eq(identity_want(i, str_c(WEB), IDENTITY_NOW, &err), -ENOENT);
	ck_assert_msg(strstr(err.msg, "cert.pem cannot be read") != NULL, "%s", err.msg);
	ck_assert_ptr_null(identity_get(i, str_c(WEB)));
	put_all(&other);
	run(NULL, 0, 600);
	ck_assert_int_lt(identity_want(i, str_c(WEB), IDENTITY_NOW, &err), 0);
	ck_assert_msg(strstr(err.msg, "is for " DB ", but wanted is " WEB) != NULL, "%s", err.msg);
	put_all(&old);
	run(NULL, 0, 600);
	ck_assert_int_lt(identity_want(i, str_c(WEB), IDENTITY_NOW, &err), 0);
	ck_assert_msg(strstr(err.msg, "expired at 20") != NULL, "%s", err.msg);
	put_all(&good);
	run(&changes, 1, 2000);
	ck_assert_int_eq(identity_want(i, str_c(WEB), IDENTITY_NOW, &err), 0);
	identity_free(i);
	pki_done(&other);
	pki_done(&old);
	pki_done(&good);
}
END_TEST

START_TEST(expired_files)
{
	struct pki a = leaf("URI:" WEB, 2);
	struct identity_conf conf = files();
	struct identity *i;

	put_all(&a);
	i = identity_make(&conf);
	ck_assert_int_eq(identity_want(i, str_c(WEB), IDENTITY_NOW, NULL), 0);
	run(&lost, 1, 5000);
	ck_assert_ptr_null(identity_get(i, str_c(WEB)));
	identity_free(i);
	pki_done(&a);
}
END_TEST

START_TEST(crl)
{
	struct pki a = leaf("URI:" WEB, 3600), nobody = leaf("URI:" DB, 3600);
	char *empty = pki_crl(&root, &nobody, 3600), *revokes = pki_crl(&root, &a, 3600);
	struct identity_conf conf = files();
	struct identity *i = NULL;
	struct err err;

	put_all(&a);
	conf.crl_file = at("crl.pem");
	ck_assert_int_eq(identity_new(loop, &conf, &ops, NULL, &i, &err), -ENOENT);
	put("crl.pem", "junk");
	ck_assert_int_eq(identity_new(loop, &conf, &ops, NULL, &i, &err), -EINVAL);
	ck_assert_msg(strstr(err.msg, "crl.pem: the CRL cannot be read") != NULL, "%s", err.msg);
	put("crl.pem", empty);
	i = identity_make(&conf);
	ck_assert_int_eq(identity_want(i, str_c(WEB), IDENTITY_NOW, NULL), 0);
	ck_assert_int_eq(meet(i, WEB, WEB, WEB), FAIL_NONE);
	put("crl.pem", revokes);
	run(&changes, 2, 2000);
	ck_assert_int_eq(meet(i, WEB, WEB, WEB), FAIL_CERT_REVOKED);
	put("crl.pem", "half written");
	run(NULL, 0, 600);
	ck_assert_int_eq(meet(i, WEB, WEB, WEB), FAIL_CERT_REVOKED);
	put("crl.pem", empty);
	run(&changes, 3, 2000);
	ck_assert_int_eq(meet(i, WEB, WEB, WEB), FAIL_NONE);
	identity_free(i);
	free(empty);
	free(revokes);
	pki_done(&a);
	pki_done(&nobody);
}
END_TEST

START_TEST(dump)
{
	struct identity_conf conf = local_ca();
	struct identity *i = identity_make(&conf);
	struct buf out = { 0 };
	const char *state, *pem, *id;
	json_t *all, *row, *cert;
	size_t n;

	identity_dump(i, &out);
	ck_assert(str_is(buf_str(&out), "[]"));
	buf_done(&out);
	out = (struct buf){ 0 };
	identity_want(i, str_c(WEB), IDENTITY_NOW, NULL);
	identity_want(i, str_c("spiffe://other/ns/a/sa/b"), IDENTITY_NOW, NULL);
	identity_dump(i, &out);
	all = json_loadb((const char *)buf_data(&out), buf_len(&out), 0, NULL);
	ck_assert_uint_eq(json_array_size(all), 2);
	json_array_foreach(all, n, row) {
		id = json_string_value(json_object_get(row, "identity"));
		state = json_string_value(json_object_get(row, "state"));
		if (strcmp(id, WEB) != 0) {
			ck_assert_int_eq(strncmp(state, "Unavailable: ", 13), 0);
			ck_assert_uint_eq(json_array_size(json_object_get(row, "certChain")), 0);
			continue;
		}
		ck_assert_str_eq(state, "Available");
		ck_assert_uint_eq(json_array_size(json_object_get(row, "rootCerts")), 1);
		cert = json_array_get(json_object_get(row, "certChain"), 0);
		pem = json_string_value(json_object_get(cert, "pem"));
		ck_assert_int_eq(strncmp(pem, "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t", 36), 0);
		ck_assert_uint_ge(strspn(json_string_value(json_object_get(cert, "serialNumber")), "0123456789"), 38);
		ck_assert_uint_eq(json_string_length(json_object_get(cert, "validFrom")), 20);
		ck_assert_uint_eq(json_string_length(json_object_get(cert, "expirationTime")), 20);
	}
	json_decref(all);
	buf_done(&out);
	identity_free(i);
}
END_TEST

START_TEST(refuses_conf)
{
	const struct {
		struct identity_conf conf;
		const char *says;
	} rows[] = {
		{ { 0 }, "give --ca-dir=DIR" },
		{ { .cert_file = "c", .key_file = "k" }, "needed all three" },
		{ { .ca_dir = "d", .key_file = "k" }, "exclude each other" },
		{ { .ca_dir = at("none") }, "meshd ca init" },
	};

	for (size_t n = 0; n < ARRAY_LEN(rows); n++) {
		struct identity *i = NULL;
		struct err err;

		ck_assert_int_lt(identity_new(loop, &rows[n].conf, &ops, NULL, &i, &err), 0);
		ck_assert_msg(strstr(err.msg, rows[n].says) != NULL, "%s", err.msg);
	}
}
END_TEST

START_TEST(hardened)
{
	struct rlimit core;

	ck_assert_int_eq(secret_harden(), 0);
	ck_assert_int_eq(getrlimit(RLIMIT_CORE, &core), 0);
	ck_assert_uint_eq(core.rlim_max, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("identity");
	TCase *tc = tcase_create("identity");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 30);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, local);
	tcase_add_test(tc, renewal);
	tcase_add_test(tc, rotated_files);
	tcase_add_test(tc, files_that_come_later);
	tcase_add_test(tc, expired_files);
	tcase_add_test(tc, crl);
	tcase_add_test(tc, dump);
	tcase_add_test(tc, refuses_conf);
	tcase_add_test(tc, hardened);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
