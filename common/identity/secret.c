/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"

#define KEY_DER_BYTES   138
#define PEM_LINE_BYTES  48

/* A buffer of the right size at once: growing would leave copies behind. */
static int read_all(int fd, size_t size, struct secret *ret)
{
	struct secret s = { xmalloc(size + 1), 0 };
	ssize_t n;

	while ((n = read(fd, s.p + s.n, size + 1 - s.n)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n > 0)
			s.n += (size_t)n;
		if (n < 0 || s.n > size) {
			n = n < 0 ? -errno : -EAGAIN;
			s.n = size;
			secret_wipe(&s);
			return (int)n;
		}
	}
	s.p[s.n] = 0;
	*ret = s;
	return 0;
}

int secret_read(const char *file, struct secret *ret, struct err *err)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK), r;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0) {
		r = err_set(err, -errno, "%s cannot be read: %s", file, strerror(errno));
		if (fd >= 0)
			close(fd);
		return r;
	}
	if (!S_ISREG(st.st_mode))
		r = err_set(err, -EINVAL, "%s is not a regular file", file);
	else if (st.st_size > (off_t)LIMIT_FILE_BYTES)
		r = err_set(err, -EFBIG, "%s is larger than %u MiB", file, LIMIT_FILE_BYTES >> 20);
	else if ((r = read_all(fd, (size_t)st.st_size, ret)) != 0)
		err_set(err, r, "%s cannot be read: %s", file, r == -EAGAIN ? "it changed meanwhile" : strerror(-r));
	close(fd);
	return r;
}

void secret_from_bio(BIO *bio, struct secret *ret)
{
	char *p;
	long n = BIO_get_mem_data(bio, &p);

	ret->n = n > 0 ? (size_t)n : 0;
	ret->p = str_dup((struct str){ p, ret->n });
}

static void key_to_pem(const unsigned char der[KEY_DER_BYTES], struct secret *ret)
{
	static const char begin[] = "-----BEGIN PRIVATE KEY-----\n", end[] = "-----END PRIVATE KEY-----\n";
	char *p = xmalloc(sizeof(begin) + sizeof(end) + KEY_DER_BYTES * 4 / 3 + 3);

	ret->p = p;
	p = stpcpy(p, begin);
	for (int at = 0; at < KEY_DER_BYTES; at += PEM_LINE_BYTES) {
		int n = KEY_DER_BYTES - at < PEM_LINE_BYTES ? KEY_DER_BYTES - at : PEM_LINE_BYTES;

		p += EVP_EncodeBlock((unsigned char *)p, der + at, n);
		*p++ = '\n';
	}
	ret->n = (size_t)(stpcpy(p, end) - ret->p);
}

/* By hand, since OpenSSL's encoder leaves the private number in freed memory. RFC 5958 around RFC 5915; zeros are filled in. */
bool secret_from_key(EVP_PKEY *key, struct secret *ret)
{
	static const unsigned char head[36] = {
		0x30, 0x81, 0x87, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08,
		0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x6d, 0x30, 0x6b, 0x02, 0x01, 0x01, 0x04, 0x20,
	}, middle[5] = { 0xa1, 0x44, 0x03, 0x42, 0x00 };
	unsigned char der[KEY_DER_BYTES];
	BIGNUM *n = NULL;
	size_t len = 0;
	bool ok;

	memcpy(der, head, 36);
	memcpy(der + 68, middle, 5);
	ok = EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_PRIV_KEY, &n) == 1 && BN_bn2binpad(n, der + 36, 32) == 32 &&
	     EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, der + 73, 65, &len) == 1 && len == 65 && der[73] == 0x04;
	BN_clear_free(n);
	if (ok)
		key_to_pem(der, ret);
	OPENSSL_cleanse(der, sizeof(der));
	return ok;
}

void secret_wipe(struct secret *s)
{
	if (s->p)
		OPENSSL_cleanse(s->p, s->n);
	free(s->p);
	*s = (struct secret){ 0 };
}

void certset_wipe(struct certset *c)
{
	secret_wipe(&c->chain);
	secret_wipe(&c->key);
	secret_wipe(&c->roots);
}

int secret_harden(void)
{
	if (prctl(PR_SET_DUMPABLE, 0) != 0 || setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 }) != 0)
		return -errno;
	return 0;
}
