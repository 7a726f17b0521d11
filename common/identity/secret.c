/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"

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
