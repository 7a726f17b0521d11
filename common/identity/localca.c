/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/localca.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "tls/spiffe.h"

#define KEY_FILE    "ca-key.pem"
#define ROOT_FILE   "root-cert.pem"
#define CA_DAYS     3650
#define BACKDATE_S  60      /* clocks of the mesh differ a little */

struct localca {
	char *dir;
	X509 *cert;
	EVP_PKEY *key;
	char *trust_domain;
	time_t not_after;
};

static int openssl_err(struct err *err, const char *what)
{
	const char *why = ERR_reason_error_string(ERR_peek_last_error());

	ERR_clear_error();
	return err_set(err, -EINVAL, "%s: %s", what, why ? why : "OpenSSL failed without a reason");
}

/* Certificates */

static bool add_ext(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *e;
	X509V3_CTX ctx;
	bool ok;

	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	ok = e && X509_add_ext(x, e, -1) == 1;
	X509_EXTENSION_free(e);
	return ok;
}

static bool set_serial(X509 *x)
{
	BIGNUM *n = BN_new();
	bool ok = n && BN_rand(n, 127, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
		  BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x));

	BN_free(n);
	return ok;
}

/* All but names and extensions. */
static X509 *cert_new(EVP_PKEY *key, time_t until)
{
	X509 *x = X509_new();

	if (x && X509_set_version(x, X509_VERSION_3) == 1 && set_serial(x) && X509_set_pubkey(x, key) == 1 &&
	    X509_gmtime_adj(X509_getm_notBefore(x), -BACKDATE_S) && ASN1_TIME_set(X509_getm_notAfter(x), until))
		return x;
	X509_free(x);
	return NULL;
}

static X509 *root_new(EVP_PKEY *key, const char *trust_domain)
{
	X509 *x = cert_new(key, time(NULL) + CA_DAYS * 86400L);
	X509_NAME *name = x ? X509_get_subject_name(x) : NULL;
	char *permitted = xasprintf("critical,permitted;URI:%s", trust_domain);
	bool ok = x &&
		X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC, (const unsigned char *)"meshd", -1, -1, 0) == 1 &&
		X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"development CA", -1, -1, 0) == 1 &&
		X509_set_issuer_name(x, name) == 1 &&
		add_ext(x, x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
		add_ext(x, x, NID_key_usage, "critical,keyCertSign,cRLSign") &&
		add_ext(x, x, NID_name_constraints, permitted) &&
		add_ext(x, x, NID_subject_key_identifier, "hash") &&
		X509_sign(x, key, EVP_sha256()) > 0;

	free(permitted);
	if (ok)
		return x;
	X509_free(x);
	return NULL;
}

static X509 *leaf_new(const struct localca *ca, EVP_PKEY *key, struct str id, int64_t ttl_s)
{
	time_t until = time(NULL) + ttl_s;
	X509 *x = cert_new(key, until < ca->not_after ? until : ca->not_after);
	char *san = xasprintf("critical,URI:%.*s", STR_FMT(id));
	bool ok = x && X509_set_issuer_name(x, X509_get_subject_name(ca->cert)) == 1 &&
		add_ext(x, ca->cert, NID_basic_constraints, "critical,CA:FALSE") &&
		add_ext(x, ca->cert, NID_key_usage, "critical,digitalSignature") &&
		add_ext(x, ca->cert, NID_ext_key_usage, "serverAuth,clientAuth") &&
		add_ext(x, ca->cert, NID_authority_key_identifier, "keyid:always") &&
		add_ext(x, ca->cert, NID_subject_alt_name, san) &&
		X509_sign(x, ca->key, EVP_sha256()) > 0;

	free(san);
	if (ok)
		return x;
	X509_free(x);
	return NULL;
}

static bool cert_to_pem(X509 *x, struct secret *ret)
{
	BIO *bio = BIO_new(BIO_s_mem());
	bool ok = bio && PEM_write_bio_X509(bio, x) == 1;

	if (ok)
		secret_from_bio(bio, ret);
	BIO_free(bio);
	return ok;
}

/* Files */

static int write_all(int fd, struct str s)
{
	while (s.n > 0) {
		ssize_t n = write(fd, s.p, s.n);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			s = (struct str){ s.p + n, s.n - (size_t)n };
	}
	return fsync(fd) == 0 ? 0 : -errno;
}

/* By way of a temporary file: a reader sees the old or the new contents, never half of them. */
static int file_put(const char *dir, const char *name, mode_t mode, struct str text, struct err *err)
{
	char *path = xasprintf("%s/%s", dir, name), *tmp = xasprintf("%s/.%s.%d", dir, name, (int)getpid());
	int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600), r;

	if (fd < 0) {
		r = -errno;
	} else {
		r = write_all(fd, text);
		if (r == 0 && (fchmod(fd, mode) != 0 || rename(tmp, path) != 0))
			r = -errno;
		close(fd);
		if (r != 0)
			unlink(tmp);
	}
	if (r != 0)
		err_set(err, r, "%s cannot be written: %s", path, strerror(-r));
	free(path);
	free(tmp);
	return r;
}

static int dir_make(const char *dir, struct err *err)
{
	if (mkdir(dir, 0700) == 0 || errno == EEXIST)
		return 0;
	return err_set(err, -errno, "the folder %s cannot be made: %s", dir, strerror(errno));
}

/* What others can write, others can replace. */
static int check_mode(const char *path, mode_t forbidden, const char *danger, const char *remedy, struct err *err)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return err_set(err, -errno, "%s cannot be read: %s%s", path, strerror(errno),
			       errno == ENOENT ? "; `meshd ca init` makes a CA" : "");
	if (st.st_mode & forbidden)
		return err_set(err, -EPERM, "%s has mode %04o: %s; run `chmod %s %s`", path, st.st_mode & 07777u, danger,
			       remedy, path);
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return err_set(err, -EPERM, "%s belongs to uid %u: "
			       "only root or the user that runs meshd (uid %u) may own it", path,
			       (unsigned)st.st_uid, (unsigned)geteuid());
	return 0;
}

static int check_dir(const char *dir, struct err *err)
{
	return check_mode(dir, 022, "others can exchange the CA in it", "go-w", err);
}

/* The CA */

static int trust_domain_check(const char *td, struct err *err)
{
	char *id = xasprintf("spiffe://%s/ns/a/sa/b", td);
	struct spiffe parts;
	int r = spiffe_parse(str_c(id), &parts);

	free(id);
	if (r != 0)
		err_set(err, r, "the trust domain \"%s\" is not valid: letters, digits, '.', '-' and '_' are wanted", td);
	return r;
}

static int save_ca(const char *dir, EVP_PKEY *key, X509 *root, struct err *err)
{
	struct secret key_pem = { 0 }, root_pem = { 0 };
	char *key_path = xasprintf("%s/%s", dir, KEY_FILE);
	int r;

	if (!secret_from_key(key, &key_pem) || !cert_to_pem(root, &root_pem))
		r = openssl_err(err, "the CA cannot be encoded");
	else if ((r = file_put(dir, KEY_FILE, 0600, secret_str(&key_pem), err)) == 0 &&
		 (r = file_put(dir, ROOT_FILE, 0644, secret_str(&root_pem), err)) != 0)
		unlink(key_path);
	free(key_path);
	secret_wipe(&key_pem);
	secret_wipe(&root_pem);
	return r;
}

int localca_init(const char *dir, const char *trust_domain, struct err *err)
{
	static const char *const names[] = { KEY_FILE, ROOT_FILE };
	EVP_PKEY *key;
	X509 *root;
	int r;

	trust_domain = trust_domain ? trust_domain : "cluster.local";
	if ((r = trust_domain_check(trust_domain, err)) != 0 || (r = dir_make(dir, err)) != 0 ||
	    (r = check_dir(dir, err)) != 0)
		return r;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char *path = xasprintf("%s/%s", dir, names[i]);
		struct stat st;

		if (lstat(path, &st) == 0)
			r = err_set(err, -EEXIST, "%s exists already; choose another folder, or remove it first", path);
		free(path);
		if (r != 0)
			return r;
	}
	key = EVP_EC_gen("P-256");
	root = key ? root_new(key, trust_domain) : NULL;
	r = root ? save_ca(dir, key, root, err) : openssl_err(err, "the CA cannot be made");
	X509_free(root);
	EVP_PKEY_free(key);
	return r;
}

/* The one permitted URI host of the CA's name constraints. */
static char *permitted_domain(X509 *cert)
{
	NAME_CONSTRAINTS *nc = X509_get_ext_d2i(cert, NID_name_constraints, NULL, NULL);
	char *td = NULL;

	if (nc && sk_GENERAL_SUBTREE_num(nc->permittedSubtrees) == 1) {
		GENERAL_NAME *base = sk_GENERAL_SUBTREE_value(nc->permittedSubtrees, 0)->base;

		if (base->type == GEN_URI)
			td = str_dup((struct str){ (const char *)ASN1_STRING_get0_data(base->d.uniformResourceIdentifier),
						   (size_t)ASN1_STRING_length(base->d.uniformResourceIdentifier) });
	}
	NAME_CONSTRAINTS_free(nc);
	return td;
}

static int parse_ca(struct localca *ca, struct str key_pem, struct str root_pem, struct err *err)
{
	BIO *key = BIO_new_mem_buf(key_pem.p, (int)key_pem.n), *root = BIO_new_mem_buf(root_pem.p, (int)root_pem.n);
	struct tm tm = { 0 };

	ca->key = PEM_read_bio_PrivateKey(key, NULL, NULL, "");
	ca->cert = PEM_read_bio_X509(root, NULL, NULL, NULL);
	BIO_free(key);
	BIO_free(root);
	if (!ca->key || !ca->cert)
		return openssl_err(err, ca->key ? "the CA's " ROOT_FILE " cannot be read" :
				   "the CA's " KEY_FILE " cannot be read");
	if (X509_check_private_key(ca->cert, ca->key) != 1) {
		ERR_clear_error();
		return err_set(err, -EINVAL, "%s/" KEY_FILE " is not the key of " ROOT_FILE "; "
			       "restore both, or make a new CA", ca->dir);
	}
	ca->trust_domain = permitted_domain(ca->cert);
	if (!ca->trust_domain)
		return err_set(err, -EINVAL, "%s/" ROOT_FILE " is not constrained to one trust domain; "
			       "`meshd ca init` makes one that is",
			       ca->dir);
	ASN1_TIME_to_tm(X509_get0_notAfter(ca->cert), &tm);
	ca->not_after = timegm(&tm);
	if (ca->not_after <= time(NULL))
		return err_set(err, -EINVAL, "the CA in %s has expired; make a new one with `meshd ca init`", ca->dir);
	return 0;
}

int localca_open(const char *dir, struct localca **ret, struct err *err)
{
	char *key_path = xasprintf("%s/%s", dir, KEY_FILE), *root_path = xasprintf("%s/%s", dir, ROOT_FILE);
	struct localca *ca = xcalloc(1, sizeof(*ca));
	struct secret key = { 0 }, root = { 0 };
	int r;

	ca->dir = xstrdup(dir);
	if ((r = check_dir(dir, err)) == 0 &&
	    (r = check_mode(key_path, 077, "others can read the CA's key", "600", err)) == 0 &&
	    (r = check_mode(root_path, 022, "others can exchange the root", "go-w", err)) == 0 &&
	    (r = secret_read(key_path, &key, err)) == 0 && (r = secret_read(root_path, &root, err)) == 0)
		r = parse_ca(ca, secret_str(&key), secret_str(&root), err);
	secret_wipe(&key);
	secret_wipe(&root);
	free(key_path);
	free(root_path);
	if (r == 0)
		*ret = ca;
	else
		localca_free(ca);
	return r;
}

struct str localca_trust_domain(const struct localca *ca)
{
	return str_c(ca->trust_domain);
}

int64_t localca_not_after(const struct localca *ca)
{
	return ca->not_after;
}

int localca_sign(const struct localca *ca, struct str id, int64_t ttl_s, struct certset *ret, struct err *err)
{
	struct certset set = { 0 };
	struct spiffe parts;
	EVP_PKEY *key;
	X509 *leaf;
	int r = 0;

	if (ca->not_after <= time(NULL))
		return err_set(err, -EINVAL, "the CA in %s has expired; make a new one with `meshd ca init`", ca->dir);
	if (spiffe_parse(id, &parts) != 0)
		return err_set(err, -EINVAL, "\"%.*s\" is not a SPIFFE ID "
			       "(spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE-ACCOUNT)",
			       STR_FMT(id));
	if (!str_is(parts.trust_domain, ca->trust_domain))
		return err_set(err, -EINVAL, "the CA in %s signs for the trust domain %s only, not for %.*s; "
			       "set trustDomain in mesh.yaml, or use another CA",
			       ca->dir, ca->trust_domain, STR_FMT(id));
	key = EVP_EC_gen("P-256");
	leaf = key ? leaf_new(ca, key, id, ttl_s) : NULL;
	if (!leaf || !cert_to_pem(leaf, &set.chain) || !secret_from_key(key, &set.key) || !cert_to_pem(ca->cert, &set.roots))
		r = openssl_err(err, "a certificate cannot be made");
	X509_free(leaf);
	EVP_PKEY_free(key);
	if (r == 0)
		*ret = set;
	else
		certset_wipe(&set);
	return r;
}

void localca_free(struct localca *ca)
{
	if (!ca)
		return;
	X509_free(ca->cert);
	EVP_PKEY_free(ca->key);     /* OpenSSL wipes private numbers */
	free(ca->trust_domain);
	free(ca->dir);
	free(ca);
}

int localca_issue(const char *dir, const char *ns, const char *sa, int64_t ttl_s, const char *out_dir, struct err *err)
{
	struct certset set = { 0 };
	struct localca *ca;
	char *id;
	int r = localca_open(dir, &ca, err);

	if (r != 0)
		return r;
	id = xasprintf("spiffe://%s/ns/%s/sa/%s", ca->trust_domain, ns, sa);
	if ((r = localca_sign(ca, str_c(id), ttl_s, &set, err)) == 0 && (r = dir_make(out_dir, err)) == 0 &&
	    (r = file_put(out_dir, "key.pem", 0600, secret_str(&set.key), err)) == 0 &&
	    (r = file_put(out_dir, "cert-chain.pem", 0644, secret_str(&set.chain), err)) == 0)
		r = file_put(out_dir, ROOT_FILE, 0644, secret_str(&set.roots), err);
	certset_wipe(&set);
	free(id);
	localca_free(ca);
	return r;
}
