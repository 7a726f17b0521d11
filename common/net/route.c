/* SPDX-License-Identifier: Apache-2.0 */
#include "net/route.h"

#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <sys/socket.h>
#include <unistd.h>

/* The messages are built by hand on plain libnl: libnl-route would cost every process 0.4 MB. */

static const uint8_t v6_source[16] = { [15] = 6 };

bool route_has_ipv6(void)
{
	char off = '1';
	int fd = open("/proc/sys/net/ipv6/conf/lo/disable_ipv6", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	if (read(fd, &off, 1) != 1)
		off = '1';
	close(fd);
	return off == '0';
}

/* Sends msg (taken over) and waits for the answer: 0, or a negative libnl error. */
static int exchange(struct nl_msg *msg)
{
	struct nl_sock *sk = nl_socket_alloc();
	int r = sk ? nl_connect(sk, NETLINK_ROUTE) : -NLE_NOMEM;

	if (r < 0)
		nlmsg_free(msg);
	else
		r = nl_send_sync(sk, msg);
	nl_socket_free(sk);
	return r;
}

static struct nl_msg *message(int type, int flags, void *head, size_t n)
{
	struct nl_msg *msg = nlmsg_alloc_simple(type, flags);

	if (!msg || nlmsg_append(msg, head, n, NLMSG_ALIGNTO) < 0) {
		nlmsg_free(msg);
		return NULL;
	}
	return msg;
}

static int rule(int type, int flags, int family)
{
	struct fib_rule_hdr head = { .family = (uint8_t)family, .table = ROUTE_TABLE, .action = FR_ACT_TO_TBL };
	struct nl_msg *msg = message(type, flags, &head, sizeof(head));

	if (!msg)
		return -NLE_NOMEM;
	nla_put_u32(msg, FRA_PRIORITY, ROUTE_PREF);
	nla_put_u32(msg, FRA_FWMARK, ROUTE_MARK);
	nla_put_u32(msg, FRA_FWMASK, ROUTE_MARK_MASK);
	nla_put_u32(msg, FRA_TABLE, ROUTE_TABLE);
	return exchange(msg);
}

static int local_route(int type, int flags, int family)
{
	struct rtmsg head = {
		.rtm_family = (uint8_t)family, .rtm_table = ROUTE_TABLE, .rtm_protocol = RTPROT_STATIC,
		.rtm_scope = RT_SCOPE_HOST, .rtm_type = RTN_LOCAL,
	};
	struct nl_msg *msg = message(type, flags, &head, sizeof(head));

	if (!msg)
		return -NLE_NOMEM;
	nla_put_u32(msg, RTA_OIF, if_nametoindex("lo"));
	return exchange(msg);
}

static int v6_source_address(int type, int flags)
{
	struct ifaddrmsg head = {
		.ifa_family = AF_INET6, .ifa_prefixlen = 128, .ifa_scope = RT_SCOPE_HOST,
		.ifa_index = if_nametoindex("lo"),
	};
	struct nl_msg *msg = message(type, flags, &head, sizeof(head));

	if (!msg)
		return -NLE_NOMEM;
	nla_put(msg, IFA_LOCAL, sizeof(v6_source), v6_source);
	nla_put(msg, IFA_ADDRESS, sizeof(v6_source), v6_source);
	return exchange(msg);
}

static int refused(struct err *err, const char *what, int r)
{
	if (r == -NLE_PERM)
		return err_set(err, -EPERM, "may not change %s: capture needs CAP_NET_ADMIN, run as root", what);
	return err_set(err, -EIO, "cannot change %s: %s%s", what, nl_geterror(-r),
		       if_nametoindex("lo") ? "; is lo up? (ip link set lo up)" : "; there is no interface lo");
}

static int add_family(int family, struct err *err)
{
	int r = rule(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, family);

	if (r < 0 && r != -NLE_EXIST)
		return refused(err, "the routing rule", r);
	r = local_route(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, family);
	if (r < 0 && r != -NLE_EXIST)
		return refused(err, "the route by lo", r);
	return 0;
}

/* What is not there (or whose family is not) need not be removed. */
static bool is_gone(int r)
{
	return r >= 0 || r == -NLE_OBJ_NOTFOUND || r == -NLE_NOADDR || r == -NLE_AF_NOSUPPORT || r == -NLE_OPNOTSUPP ||
	       r == -NLE_NODEV;
}

static int del_family(int family, struct err *err)
{
	int r = rule(RTM_DELRULE, 0, family);

	if (!is_gone(r))
		return refused(err, "the routing rule", r);
	r = local_route(RTM_DELROUTE, 0, family);
	return is_gone(r) ? 0 : refused(err, "the route by lo", r);
}

int route_up(bool ipv6, struct err *err)
{
	int r = add_family(AF_INET, err);

	return r < 0 || !ipv6 || !route_has_ipv6() ? r : add_family(AF_INET6, err);
}

int route_down(struct err *err)
{
	int r = del_family(AF_INET, err);

	return r < 0 ? r : del_family(AF_INET6, err);
}

int route_add_v6_source(struct err *err)
{
	int r = v6_source_address(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);

	return r == 0 || r == -NLE_EXIST ? 0 : refused(err, "the address ::6 of lo", r);
}

int route_del_v6_source(struct err *err)
{
	int r = v6_source_address(RTM_DELADDR, 0);

	return is_gone(r) ? 0 : refused(err, "the address ::6 of lo", r);
}
