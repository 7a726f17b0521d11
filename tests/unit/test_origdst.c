/* SPDX-License-Identifier: Apache-2.0 */
/* Original destinations, socket options and own addresses, on real sockets in a network namespace of the test's own. */
#include "net/origdst.h"
#include "net/netns.h"
#include "net/ownaddr.h"
#include "net/redirect.h"
#include "net/sockopt.h"

#include "shell.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	if (fd >= 0) {
		ck_assert_int_ge(write(fd, text, strlen(text)), 0);
		close(fd);
	}
}

/* A namespace with lo and a network 10.9.0.0/24, fd09::/64. Without root: in a user namespace. */
static bool isolate(void)
{
	char map[64];
	unsigned uid = getuid(), gid = getgid();

	if (unshare(CLONE_NEWNET) < 0) {
		if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
			return false;
		write_file("/proc/self/setgroups", "deny");
		snprintf(map, sizeof(map), "0 %u 1", uid);
		write_file("/proc/self/uid_map", map);
		snprintf(map, sizeof(map), "0 %u 1", gid);
		write_file("/proc/self/gid_map", map);
	}
	return shell("ip link set lo up && ip link add m0 type veth peer name m1 && ip link set m0 up && "
		      "ip link set m1 up && ip addr add 10.9.0.2/24 dev m0 && ip addr add fd09::2/64 dev m0 nodad && "
		      "ip route add default dev m0 && ip -6 route add default dev m0") == 0;
}

static int listen_at(unsigned port)
{
	struct sockaddr_in6 at = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), off = 0;

	ck_assert_int_eq(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)), 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	ck_assert_int_eq(listen(fd, 8), 0);
	return fd;
}

static int connect_to(const char *text, const struct addr *source, const struct outsock *o)
{
	struct sockaddr_storage sa;
	struct addr to;
	socklen_t n;
	int fd;

	ck_assert_int_eq(addr_parse(str_c(text), &to), 0);
	n = addr_to_sockaddr(&to, 0, &sa);
	fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (o)
		ck_assert_int_eq(o->ops.prepare(fd, sa.ss_family, &o->ops, source), 0);
	ck_assert_msg(connect(fd, (struct sockaddr *)&sa, n) == 0, "connect %s: %s", text, strerror(errno));
	return fd;
}

static void expect_origdst(int fd, const char *want)
{
	char got[ADDR_TEXT];
	struct addr a;

	ck_assert_int_eq(origdst_get(fd, &a), 0);
	ck_assert_str_eq(addr_format(&a, got), want);
}

static const char *const dst_rows[] = { "10.9.0.77:80", "[fd09::77]:80" };

START_TEST(origdst_of_captured)
{
	struct redirect r;
	struct err err;
	int l, c, a;

	if (!isolate())
		return;
	redirect_init(&r, REDIRECT_ZTUNNEL);
	ck_assert_msg(redirect_up(&r, &err) == 0, "%s", err.msg);
	l = listen_at(REDIRECT_OUT_PORT);
	c = connect_to(dst_rows[_i], NULL, NULL);
	a = accept(l, NULL, NULL);
	expect_origdst(a, dst_rows[_i]);
	close(a);
	close(c);
	close(l);
	ck_assert_int_eq(redirect_down(r.table, &err), 0);
	redirect_done(&r);
}
END_TEST

static const char *const own_rows[] = { "10.9.0.2:8080", "[fd09::2]:8080", "127.0.0.1:8080", "[::1]:8080" };

START_TEST(origdst_of_others)
{
	int l, c, a;

	if (!isolate())
		return;
	l = listen_at(8080);
	c = connect_to(own_rows[_i], NULL, NULL);
	a = accept(l, NULL, NULL);
	expect_origdst(a, own_rows[_i]);
	close(a);
	close(c);
	close(l);
}
END_TEST

START_TEST(origdst_of_nonsense)
{
	struct addr a;

	ck_assert_int_eq(origdst_get(-1, &a), -EBADF);
}
END_TEST

static int option(int fd, int level, int name)
{
	int v = -1;
	socklen_t n = sizeof(v);

	getsockopt(fd, level, name, &v, &n);
	return v;
}

static const struct { const char *source, *to, *want; } source_rows[] = {
	{ "192.0.2.7:9", "10.9.0.2:8080", "192.0.2.7" }, { "[fd77::7]:9", "[fd09::2]:8080", "fd77::7" },
	{ "[fd77::7]:9", "10.9.0.2:8080", "10.9.0.2" },      /* the wrong family is done without */
};

/* The application's answers to a foreign address come back by the routing of redirect_up. */
START_TEST(outsock_source)
{
	struct sockaddr_storage sa;
	socklen_t n = sizeof(sa);
	struct addr source, peer;
	struct redirect r;
	struct outsock o;
	struct err err;
	char text[ADDR_TEXT];
	int l, c, a;

	if (!isolate())
		return;
	ck_assert(net_can_mark() && net_can_spoof());
	redirect_init(&r, REDIRECT_ZTUNNEL);
	ck_assert_msg(redirect_up(&r, &err) == 0, "%s", err.msg);
	ck_assert_int_eq(addr_parse(str_c(source_rows[_i].source), &source), 0);
	outsock_init(&o, NET_MARK, NULL, NETNS_OWN);
	l = listen_at(8080);
	c = connect_to(source_rows[_i].to, &source, &o);
	a = accept(l, (struct sockaddr *)&sa, &n);
	addr_from_sockaddr(&sa, &peer);
	ck_assert_str_eq(ip_format(&peer.ip, text), source_rows[_i].want);
	ck_assert_int_eq(write(a, "pong", 4), 4);
	ck_assert_int_eq(read(c, text, 4), 4);
	ck_assert_int_eq(option(c, SOL_SOCKET, SO_MARK), NET_MARK);
	ck_assert_int_eq(option(c, SOL_SOCKET, SO_KEEPALIVE), 1);
	ck_assert_int_eq(option(c, IPPROTO_TCP, TCP_KEEPIDLE), 180);
	ck_assert_int_eq(option(c, IPPROTO_TCP, TCP_KEEPINTVL), 180);
	ck_assert_int_eq(option(c, IPPROTO_TCP, TCP_KEEPCNT), 9);
	close(a);
	close(c);
	close(l);
	redirect_done(&r);
}
END_TEST

START_TEST(keepalive_off)
{
	struct outsock o;
	struct keepalive k = { .user_timeout_ms = 5000 };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	outsock_init(&o, 0, &k, NETNS_OWN);
	ck_assert_int_eq(o.ops.prepare(fd, AF_INET, &o.ops, NULL), 0);
	ck_assert_int_eq(option(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
	ck_assert_int_eq(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 5000);
	close(fd);
}
END_TEST

static bool has(struct ownaddr *o, const char *text, uint64_t now_ms)
{
	struct ip ip;

	ck_assert_int_eq(ip_parse(str_c(text), &ip), 0);
	return ownaddr_has(o, &ip, now_ms);
}

START_TEST(ownaddr_follows)
{
	struct ownaddr o;

	ownaddr_init(&o, NETNS_OWN);
	if (!isolate())
		return;
	ck_assert(has(&o, "10.9.0.2", 1000) && has(&o, "fd09::2", 1000));
	ck_assert(has(&o, "127.3.4.5", 1000) && has(&o, "::1", 1000) && has(&o, "0.0.0.0", 1000) && has(&o, "::", 1000));
	ck_assert(!has(&o, "10.9.0.3", 1000));
	ck_assert_int_eq(shell("ip addr add 10.9.0.3/24 dev m0"), 0);
	ck_assert(!has(&o, "10.9.0.3", 1000 + OWNADDR_FRESH_MS));
	ck_assert(has(&o, "10.9.0.3", 1001 + OWNADDR_FRESH_MS));
	ownaddr_done(&o);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("origdst");
	TCase *tc = tcase_create("all");
	SRunner *sr = srunner_create(s);
	int failed;

	setenv("PATH", "/usr/sbin:/sbin:/usr/bin:/bin", 1);
	tcase_add_loop_test(tc, origdst_of_captured, 0, ARRAY_LEN(dst_rows));
	tcase_add_loop_test(tc, origdst_of_others, 0, ARRAY_LEN(own_rows));
	tcase_add_test(tc, origdst_of_nonsense);
	tcase_add_loop_test(tc, outsock_source, 0, ARRAY_LEN(source_rows));
	tcase_add_test(tc, keepalive_off);
	tcase_add_test(tc, ownaddr_follows);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
