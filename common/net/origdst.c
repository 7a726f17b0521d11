/* SPDX-License-Identifier: Apache-2.0 */
#include "net/origdst.h"

#include <errno.h>

/* linux/netfilter_ipv4.h and its IPv6 twin clash with netinet/in.h; both options have this number. */
#define ORIGDST_OPTION 80

static int origdst_of(int fd, int level, struct addr *ret)
{
	struct sockaddr_storage sa = { 0 };
	socklen_t n = sizeof(sa);

	if (getsockopt(fd, level, ORIGDST_OPTION, &sa, &n) < 0)
		return -errno;
	addr_from_sockaddr(&sa, ret);
	return 0;
}

int origdst_get(int fd, struct addr *ret)
{
	struct sockaddr_storage sa = { 0 };
	socklen_t n = sizeof(sa);

	/* A dual-stack listener has IPv4 connections in IPv6 sockets, so the family does not tell which one to ask. */
	if (origdst_of(fd, IPPROTO_IP, ret) == 0 || origdst_of(fd, IPPROTO_IPV6, ret) == 0)
		return 0;
	if (getsockname(fd, (struct sockaddr *)&sa, &n) < 0)
		return -errno;
	addr_from_sockaddr(&sa, ret);
	return 0;
}
