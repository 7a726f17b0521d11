/* SPDX-License-Identifier: Apache-2.0 */
#include "net/nft.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define NFT_MISSING 127

/* A file in memory: nft may stop reading at an error, and a pipe would then have to be watched from both sides. */
static int memory_file(const char *name, struct str text)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	for (size_t done = 0; done < text.n;) {
		ssize_t n = write(fd, text.p + done, text.n - done);

		if (n < 0) {
			n = -errno;
			close(fd);
			return (int)n;
		}
		done += (size_t)n;
	}
	lseek(fd, 0, SEEK_SET);
	return fd;
}

static void nft_child(int in, int out)
{
	const char *path = getenv("PATH");
	char *wide = xasprintf("%s:/usr/sbin:/sbin", path ? path : "/usr/bin:/bin");
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setenv("PATH", wide, 1);    /* su without `-` leaves the sbin folders out */
	if (dup2(in, 0) >= 0 && dup2(out, 1) >= 0 && dup2(out, 2) >= 0)
		execlp("nft", "nft", "-f", "-", (char *)NULL);
	_exit(NFT_MISSING);
}

/* The first complaint of nft, without the source lines that follow it. */
static void read_complaint(int fd, char *text, size_t size)
{
	ssize_t n = pread(fd, text, size - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
}

static int judge(int status, int out, struct err *err)
{
	char said[512];

	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == NFT_MISSING)
		return err_set(err, -ENOENT, "the program nft is missing: install the package nftables");
	read_complaint(out, said, sizeof(said));
	if (strstr(said, "Operation not permitted"))
		return err_set(err, -EPERM, "nft may not change the rules: capture needs CAP_NET_ADMIN, run as root");
	return err_set(err, -EIO, "nft refused the rules (nothing was changed): %s", said[0] ? said : "no reason given");
}

int nft_apply(struct str script, struct err *err)
{
	int in = memory_file("nft-script", script), out = memory_file("nft-said", (struct str){ 0 });
	int r = in < 0 ? in : out < 0 ? out : 0;
	int status;
	pid_t pid = r < 0 ? -1 : fork();

	if (r == 0 && pid < 0)
		r = -errno;
	if (pid == 0)
		nft_child(in, out);
	while (r == 0 && waitpid(pid, &status, 0) < 0)
		r = errno == EINTR ? 0 : -errno;
	r = r < 0 ? err_set(err, r, "cannot run nft: %s", strerror(-r)) : judge(status, out, err);
	if (in >= 0)
		close(in);
	if (out >= 0)
		close(out);
	return r;
}
