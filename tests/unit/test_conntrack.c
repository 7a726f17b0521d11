/* SPDX-License-Identifier: Apache-2.0 */
#include "net/conntrack.h"

#include <errno.h>

#include "net/netns.h"

#include "dnsnet.h"
#include "suite.h"

static const struct { const char *server, *local, *zone; } rows[] = {
	{ "10.9.0.53:53", "127.0.0.1:15053", "" }, { "[fd09::53]:53", "[::1]:15053", "" },
	{ "10.9.0.53:53", "127.0.0.1:15053", "ct zone set 1" }, { "10.9.0.53:5353", "127.0.0.1:15053", "" },
};

static int udp_at(const char *text)
{
	struct sockaddr_storage sa;
	struct addr at;
	socklen_t n;
	int fd;

	ck_assert_int_eq(addr_parse(str_c(text), &at), 0);
	n = addr_to_sockaddr(&at, 0, &sa);
	fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, n), 0);
	return fd;
}

static int udp_to(const char *text)
{
	struct sockaddr_storage sa;
	struct addr to;
	socklen_t n;
	int fd;

	ck_assert_int_eq(addr_parse(str_c(text), &to), 0);
	n = addr_to_sockaddr(&to, 0, &sa);
	fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&sa, n), 0);
	ck_assert_int_eq(send(fd, "?", 1, 0), 1);
	return fd;
}

static void take(int fd, struct addr *peer)
{
	struct sockaddr_storage sa;
	socklen_t n = sizeof(sa);
	char b[8];

	ck_assert_int_eq(recvfrom(fd, b, sizeof(b), 0, (struct sockaddr *)&sa, &n), 1);
	addr_from_sockaddr(&sa, peer);
}

START_TEST(of_captured_and_others)
{
	struct addr local, peer, dest = { .port = 7 };
	struct conntrack c;
	char script[1024], text[ADDR_TEXT];
	int server, client;

	if (!dnsnet_enter())
		return;
	snprintf(script, sizeof(script),
		 "ip link add d0 type veth peer name d1 && ip link set d0 up && ip link set d1 up && ip addr add 10.9.0.2/24 dev d0 && "
		 "ip addr add fd09::2/64 dev d0 nodad && nft add table inet t && "
		 "nft 'add chain inet t r { type filter hook output priority raw; }' && "
		 "nft 'add chain inet t o { type nat hook output priority -100; }' && %s%s%s "
		 "nft add rule inet t o meta oifname d0 udp dport '{ 53, 5353 }' redirect to :15053",
		 *rows[_i].zone ? "nft add rule inet t r udp dport 53 " : "", rows[_i].zone, *rows[_i].zone ? " &&" : "");
	ck_assert_int_eq(shell(script), 0);
	ck_assert_int_eq(addr_parse(str_c(rows[_i].local), &local), 0);
	conntrack_init(&c, NETNS_OWN);
	server = udp_at(rows[_i].local);
	client = udp_to(rows[_i].server);
	take(server, &peer);
	ck_assert_int_eq(conntrack_original(&c, IPPROTO_UDP, &peer, &local, &dest), 0);
	ck_assert_str_eq(addr_format(&dest, text), rows[_i].server);
	close(client);
	client = udp_to(rows[_i].local);          /* nobody redirects this one */
	take(server, &peer);
	ck_assert_int_eq(conntrack_original(&c, IPPROTO_UDP, &peer, &local, &dest), -ENOENT);
	peer.port ^= 1;
	ck_assert_int_eq(conntrack_original(&c, IPPROTO_UDP, &peer, &local, &dest), -ENOENT);
	ck_assert_str_eq(addr_format(&dest, text), rows[_i].server);
	close(client);
	close(server);
	conntrack_done(&c);
}
END_TEST

START_TEST(not_permitted)
{
	struct addr a, dest;
	struct conntrack c;

	if (!dnsnet_enter() || setuid(65534) < 0)
		return;
	addr_parse(str_c("127.0.0.1:15053"), &a);
	conntrack_init(&c, NETNS_OWN);
	ck_assert_int_eq(conntrack_original(&c, IPPROTO_UDP, &a, &a, &dest), -EPERM);
	conntrack_done(&c);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("conntrack");
	TCase *tc = tcase_create("all");

	tcase_add_loop_test(tc, of_captured_and_others, 0, ARRAY_LEN(rows));
	tcase_add_test(tc, not_permitted);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
