/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of DNS: a network namespace with lo up and a resolv.conf and hosts file of the test's own, and a fake server. */
#ifndef TESTS_UNIT_DNSNET_H
#define TESTS_UNIT_DNSNET_H

#include <arpa/inet.h>
#include <check.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shell.h"

static inline void dnsnet_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

/* Makes the text what everybody in this process reads at path. */
static inline void dnsnet_file(const char *path, const char *text)
{
	char tmp[] = "/tmp/dnsnet.XXXXXX";
	int fd = mkstemp(tmp);

	ck_assert_int_ge(fd, 0);
	close(fd);
	dnsnet_write(tmp, text);
	ck_assert_int_eq(mount(tmp, path, NULL, MS_BIND, NULL), 0);
	unlink(tmp);
}

/* False: not permitted here. */
static inline bool dnsnet_enter(void)
{
	char map[64];
	unsigned uid = getuid(), gid = getgid();

	setenv("PATH", "/usr/sbin:/sbin:/usr/bin:/bin", 1);
	if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0) {
		if (unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS) < 0)
			return false;
		dnsnet_write("/proc/self/setgroups", "deny");
		snprintf(map, sizeof(map), "0 %u 1", uid);
		dnsnet_write("/proc/self/uid_map", map);
		snprintf(map, sizeof(map), "0 %u 1", gid);
		dnsnet_write("/proc/self/gid_map", map);
	}
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return false;
	return shell("ip link set lo up") == 0;
}

/* A bound socket; type SOCK_STREAM listens, too. */
static inline int dnsnet_bind(const char *ip, unsigned port, int type)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;

	ck_assert_int_eq(inet_pton(AF_INET, ip, &at.sin_addr), 1);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	if (type == SOCK_STREAM)
		ck_assert_int_eq(listen(fd, 64), 0);
	return fd;
}

#endif
