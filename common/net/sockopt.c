/* SPDX-License-Identifier: Apache-2.0 */
#include "net/sockopt.h"

#include "base/log.h"
#include "base/tuning.h"
#include "net/netns.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

static int set_int(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

int sockopt_mark(int fd, unsigned mark)
{
	return set_int(fd, SOL_SOCKET, SO_MARK, (int)mark);
}

int sockopt_transparent(int fd, int family)
{
	return family == AF_INET6 ? set_int(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, 1)
				  : set_int(fd, IPPROTO_IP, IP_TRANSPARENT, 1);
}

static int bind_source(int fd, int family, const struct addr *source)
{
	struct addr from = { source->ip, 0 };
	struct sockaddr_storage sa;
	/* Without this each (source, destination) pair would use up a port of the whole source address. */
	int r = set_int(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
	socklen_t n;

	if (r < 0)
		return r;
	if (family == AF_INET && !ip_is_v4(&from.ip))
		return -EAFNOSUPPORT;
	n = addr_to_sockaddr(&from, family, &sa);
	return bind(fd, (struct sockaddr *)&sa, n) < 0 ? -errno : 0;
}

int sockopt_spoof(int fd, int family, const struct addr *source)
{
	int r = sockopt_transparent(fd, family);

	return r < 0 ? r : bind_source(fd, family, source);
}

int sockopt_keepalive(int fd, const struct keepalive *k)
{
	int r = 0;

	if (k->idle_s > 0) {
		r = set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, (int)k->idle_s);
		if (r == 0 && k->interval_s > 0)
			r = set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, (int)k->interval_s);
		if (r == 0 && k->count > 0)
			r = set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, (int)k->count);
		if (r == 0)
			r = set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	}
	if (r == 0 && k->user_timeout_ms > 0)
		r = set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)k->user_timeout_ms);
	return r;
}

static bool tried(int (*try)(int fd, int family))
{
	int family = AF_INET, fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ok;

	if (fd < 0)
		fd = socket(family = AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	ok = try(fd, family) == 0;
	close(fd);
	return ok;
}

static int try_mark(int fd, int family)
{
	return sockopt_mark(fd, NET_MARK);
}

bool net_can_mark(void)
{
	return tried(try_mark);
}

bool net_can_spoof(void)
{
	return tried(sockopt_transparent);
}

static void spoof_failed(const struct addr *source, int r)
{
	static atomic_flag told = ATOMIC_FLAG_INIT;
	char text[ADDR_TEXT];

	if (atomic_flag_test_and_set(&told))
		return;
	log_warn(LOG_NET, "cannot connect from %s: %s; the application sees our own address instead (said once)", ip_format(&source->ip, text), strerror(-r));
}

static bool is_stream(int fd)
{
	int type = 0;
	socklen_t n = sizeof(type);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) == 0 && type == SOCK_STREAM;
}

static int outsock_prepare(int fd, int family, const struct sock_ops *ops, const struct addr *source)
{
	const struct outsock *o = container_of(ops, const struct outsock, ops);
	int r = o->mark ? sockopt_mark(fd, o->mark) : 0;

	if (r == 0 && (o->keepalive.idle_s || o->keepalive.user_timeout_ms) && is_stream(fd))
		r = sockopt_keepalive(fd, &o->keepalive);
	if (r < 0 || !source)
		return r;
	r = o->own_source ? bind_source(fd, family, source) : sockopt_spoof(fd, family, source);
	if (r < 0)
		spoof_failed(source, r);
	return 0;
}

static int outsock_open(int family, const struct sock_ops *ops)
{
	return netns_socket(container_of(ops, const struct outsock, ops)->netns, family, SOCK_STREAM | SOCK_NONBLOCK, 0);
}

void outsock_init(struct outsock *o, unsigned mark, const struct keepalive *k, int netns)
{
	const struct keepalive preset = {
		.idle_s = tuning.keepalive_s, .interval_s = tuning.keepalive_interval_s, .count = tuning.keepalive_count,
		.user_timeout_ms = tuning.user_timeout_ms,
	};

	*o = (struct outsock){ .ops = { .open = outsock_open, .prepare = outsock_prepare }, .mark = mark, .netns = netns, .keepalive = k ? *k : preset };
}

static int insock_prepare(int fd, int family, const struct sock_ops *ops, const struct addr *source)
{
	const struct insock *i = container_of(ops, const struct insock, ops);
	int r = i->mark ? sockopt_mark(fd, i->mark) : 0;

	(void)source;
	if (r == 0 && i->share_port)
		r = set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (i->transparent) {
		set_int(fd, IPPROTO_IP, IP_TRANSPARENT, 1);
		if (family == AF_INET6)
			sockopt_transparent(fd, family);
	}
	return r;
}

void insock_init(struct insock *i, unsigned mark, bool transparent, bool share_port)
{
	*i = (struct insock){ .ops.prepare = insock_prepare, .mark = mark, .transparent = transparent, .share_port = share_port };
}
