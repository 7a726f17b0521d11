/* SPDX-License-Identifier: Apache-2.0 */
#include "net/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

static int own = -1;

int netns_init(struct err *err)
{
	int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return err_set(err, -errno, "cannot open /proc/self/ns/net: %s", strerror(errno));
	if (setns(fd, CLONE_NEWNET) < 0) {
		int r = -errno;

		close(fd);
		return err_set(err, r, "cannot enter network namespaces: %s; serving pods needs CAP_SYS_ADMIN", strerror(-r));
	}
	if (own >= 0)
		close(own);
	own = fd;
	return 0;
}

static void come_back(void)
{
	if (setns(own, CLONE_NEWNET) == 0)
		return;
	log_error(LOG_NET, "cannot return to our own network namespace: %s", strerror(errno));
	log_stop();
	abort();
}

int netns_run(int netns, int (*fn)(void *arg), void *arg)
{
	int r;

	if (netns == NETNS_OWN)
		return fn(arg);
	if (own < 0)
		return -EPERM;
	if (setns(netns, CLONE_NEWNET) < 0)
		return -errno;
	r = fn(arg);
	come_back();
	return r;
}

struct socket_args {
	int family, type, protocol;
};

static int make_socket(void *arg)
{
	const struct socket_args *a = arg;
	int fd = socket(a->family, a->type | SOCK_CLOEXEC, a->protocol);

	return fd < 0 ? -errno : fd;
}

int netns_socket(int netns, int family, int type, int protocol)
{
	struct socket_args a = { family, type, protocol };

	return netns_run(netns, make_socket, &a);
}

int netns_identify(int netns, struct netns_id *ret)
{
	struct stat st;

	if (netns == NETNS_OWN) {
		int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC), r = fd < 0 ? -errno : netns_identify(fd, ret);

		if (fd >= 0)
			close(fd);
		return r;
	}
	if (fstat(netns, &st) < 0)
		return -errno;
	if (ioctl(netns, NS_GET_NSTYPE) != CLONE_NEWNET)
		return -EINVAL;
	*ret = (struct netns_id){ st.st_dev, st.st_ino };
	return 0;
}
