/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "identity/localca.h"
#include "pki.h"

#define WEB "spiffe://cluster.local/ns/default/sa/web"

static char base[64], dir[128];

static void setup(void)
{
	snprintf(base, sizeof(base), "/tmp/test_localca.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(base));
	snprintf(dir, sizeof(dir), "%s/ca", base);
}

static void teardown(void)
{
	char *cmd = xasprintf("rm -rf %s", base);

	ck_assert_int_eq(system(cmd), 0);
	free(cmd);
}

static const char *at(const char *file)
{
	static char path[2][256];     /* two in one call of rename */
	static int n;

	n = !n;
	snprintf(path[n], sizeof(path[n]), "%s/%s", base, file);
	return path[n];
}

static mode_t mode_of(const char *file)
{
	struct stat st;

	ck_assert_int_eq(stat(at(file), &st), 0);
	return st.st_mode & 07777;
}

static X509 *cert_of(const struct secret *pem)
{
	BIO *b = BIO_new_mem_buf(pem->p, (int)pem->n);
	X509 *x = PEM_read_bio_X509(b, NULL, NULL, NULL);

	BIO_free(b);
	ck_assert_ptr_nonnull(x);
	return x;
}

static bool has_ext(X509 *x, int nid, bool critical, const char *text)
{
	int at_ext = X509_get_ext_by_NID(x, nid, -1);
	BIO *b = BIO_new(BIO_s_mem());
	bool ok = false;
	char *p;
	long n;

	if (at_ext >= 0) {
		X509V3_EXT_print(b, X509_get_ext(x, at_ext), 0, 0);
		BIO_write(b, "", 1);
		n = BIO_get_mem_data(b, &p);
		ok = n > 0 && strstr(p, text) && X509_EXTENSION_get_critical(X509_get_ext(x, at_ext)) == critical;
	}
	BIO_free(b);
	return ok;
}

static struct localca *open_ca(void)
{
	struct localca *ca = NULL;
	struct err err;

	ck_assert_msg(localca_open(dir, &ca, &err) == 0, "%s", err.msg);
	return ca;
}

START_TEST(makes)
{
	struct secret pem;
	struct err err;
	X509 *root;

	ck_assert_int_eq(localca_init(dir, _i ? "my-td.example" : NULL, &err), 0);
	ck_assert_int_eq(mode_of("ca"), 0700);
	ck_assert_int_eq(mode_of("ca/ca-key.pem"), 0600);
	ck_assert_int_eq(secret_read(at("ca/root-cert.pem"), &pem, &err), 0);
	root = cert_of(&pem);
	ck_assert(has_ext(root, NID_basic_constraints, true, "CA:TRUE, pathlen:0"));
	ck_assert(has_ext(root, NID_key_usage, true, "Certificate Sign, CRL Sign"));
	ck_assert(has_ext(root, NID_name_constraints, true, _i ? "URI:my-td.example" : "URI:cluster.local"));
	X509_free(root);
	secret_wipe(&pem);
	ck_assert_int_eq(localca_init(dir, NULL, &err), -EEXIST);
	ck_assert_msg(strstr(err.msg, "ca-key.pem exists already") != NULL, "%s", err.msg);
}
END_TEST

START_TEST(refuses_trust_domain)
{
	const char *bad[] = { "", "a/b", "a b", "a,URI:b", "..", "a:80" };
	struct err err;

	ck_assert_int_eq(localca_init(dir, bad[_i], &err), -EINVAL);
	ck_assert_int_eq(access(dir, F_OK), -1);
}
END_TEST

static const struct {
	const char *file;
	mode_t mode;
	const char *says;   /* NULL: accepted */
} modes[] = {
	{ "ca/ca-key.pem", 0600, NULL },
	{ "ca/ca-key.pem", 0400, NULL },
	{ "ca/ca-key.pem", 0640, "others can read the CA's key; run `chmod 600 " },
	{ "ca/ca-key.pem", 0604, "others can read the CA's key; run `chmod 600 " },
	{ "ca", 0755, NULL },
	{ "ca", 0770, "others can exchange the CA in it; run `chmod go-w " },
	{ "ca", 0702, "others can exchange the CA in it" },
	{ "ca/root-cert.pem", 0664, "others can exchange the root" },
};

START_TEST(checks_modes)
{
	struct localca *ca = NULL;
	struct err err;
	int r;

	ck_assert_int_eq(localca_init(dir, NULL, &err), 0);
	ck_assert_int_eq(chmod(at(modes[_i].file), modes[_i].mode), 0);
	r = localca_open(dir, &ca, &err);
	ck_assert_msg((r == 0) == !modes[_i].says, "%s", err.msg);
	if (r != 0) {
		ck_assert_int_eq(r, -EPERM);
		ck_assert_msg(strstr(err.msg, modes[_i].says) != NULL, "%s", err.msg);
	}
	localca_free(ca);
}
END_TEST

START_TEST(refuses_broken)
{
	struct localca *ca = NULL;
	struct err err;
	int fd;

	ck_assert_int_eq(localca_open(dir, &ca, &err), -ENOENT);
	ck_assert_msg(strstr(err.msg, "meshd ca init") != NULL, "%s", err.msg);
	ck_assert_int_eq(localca_init(dir, NULL, &err), 0);
	fd = open(at("ca/ca-key.pem"), O_WRONLY | O_TRUNC);
	ck_assert_int_eq(write(fd, "junk", 4), 4);
	close(fd);
	ck_assert_int_eq(localca_open(dir, &ca, &err), -EINVAL);
	ck_assert_msg(strstr(err.msg, "ca-key.pem cannot be read") != NULL, "%s", err.msg);
	ck_assert_int_eq(unlink(at("ca/ca-key.pem")), 0);
	ck_assert_int_eq(rename(at("ca/root-cert.pem"), at("root")), 0);
	ck_assert_int_eq(localca_init(dir, NULL, &err), 0);
	ck_assert_int_eq(rename(at("root"), at("ca/root-cert.pem")), 0);
	ck_assert_int_eq(localca_open(dir, &ca, &err), -EINVAL);
	ck_assert_msg(strstr(err.msg, "is not the key of") != NULL, "%s", err.msg);
}
END_TEST

START_TEST(signs)
{
	struct certset set;
	struct localca *ca;
	struct err err;
	X509 *leaf, *root;
	int days, secs;

	ck_assert_int_eq(localca_init(dir, NULL, &err), 0);
	ca = open_ca();
	ck_assert(str_is(localca_trust_domain(ca), "cluster.local"));
	ck_assert_int_eq(localca_sign(ca, str_c(WEB), 3600, &set, &err), 0);
	leaf = cert_of(&set.chain);
	root = cert_of(&set.roots);
	ck_assert(has_ext(leaf, NID_subject_alt_name, true, "URI:" WEB));
	ck_assert(has_ext(leaf, NID_key_usage, true, "Digital Signature"));
	ck_assert(has_ext(leaf, NID_ext_key_usage, false, "TLS Web Server Authentication, TLS Web Client Authentication"));
	ck_assert(has_ext(leaf, NID_basic_constraints, true, "CA:FALSE"));
	ck_assert_int_eq(X509_NAME_entry_count(X509_get_subject_name(leaf)), 0);
	ck_assert_int_eq(X509_verify(leaf, X509_get0_pubkey(root)), 1);
	ck_assert_int_eq(ASN1_TIME_diff(&days, &secs, X509_get0_notBefore(leaf), X509_get0_notAfter(leaf)), 1);
	ck_assert_int_eq(days, 0);
	ck_assert_int_ge(secs, 3659);
	ck_assert_int_le(secs, 3661);
	ck_assert_int_lt(X509_cmp_current_time(X509_get0_notBefore(leaf)), 0);
	X509_free(leaf);
	certset_wipe(&set);
	ck_assert_int_eq(localca_sign(ca, str_c(WEB), 100LL * 365 * 86400, &set, &err), 0);
	leaf = cert_of(&set.chain);
	ck_assert_int_eq(ASN1_TIME_compare(X509_get0_notAfter(leaf), X509_get0_notAfter(root)), 0);
	X509_free(leaf);
	X509_free(root);
	certset_wipe(&set);
	ck_assert_int_eq(localca_sign(ca, str_c("spiffe://other/ns/a/sa/b"), 60, &set, &err), -EINVAL);
	ck_assert_msg(strstr(err.msg, "cluster.local only, not for spiffe://other/") != NULL, "%s", err.msg);
	ck_assert_int_eq(localca_sign(ca, str_c("default/web"), 60, &set, &err), -EINVAL);
	localca_free(ca);
}
END_TEST

START_TEST(issues)
{
	struct secret before, after;
	struct err err;

	ck_assert_int_eq(localca_init(dir, NULL, &err), 0);
	ck_assert_int_eq(localca_issue(dir, "default", "web/..", 60, at("out"), &err), -EINVAL);
	ck_assert_int_eq(access(at("out"), F_OK), -1);
	ck_assert_msg(localca_issue(dir, "default", "web", 60, at("out"), &err) == 0, "%s", err.msg);
	ck_assert_int_eq(mode_of("out"), 0700);
	ck_assert_int_eq(mode_of("out/key.pem"), 0600);
	ck_assert_int_eq(mode_of("out/cert-chain.pem"), 0644);
	ck_assert_int_eq(mode_of("out/root-cert.pem"), 0644);
	ck_assert_int_eq(secret_read(at("out/key.pem"), &before, &err), 0);
	ck_assert_int_eq(localca_issue(dir, "default", "web", 60, at("out"), &err), 0);
	ck_assert_int_eq(secret_read(at("out/key.pem"), &after, &err), 0);
	ck_assert(!str_eq(secret_str(&before), secret_str(&after)));
	secret_wipe(&before);
	secret_wipe(&after);
	ck_assert_int_eq(localca_issue(dir, "default", "web", 60, at("no/such"), &err), -ENOENT);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("localca");
	TCase *tc = tcase_create("localca");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, makes, 0, 2);
	tcase_add_loop_test(tc, refuses_trust_domain, 0, 6);
	tcase_add_loop_test(tc, checks_modes, 0, ARRAY_LEN(modes));
	tcase_add_test(tc, refuses_broken);
	tcase_add_test(tc, signs);
	tcase_add_test(tc, issues);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
