/* SPDX-License-Identifier: Apache-2.0 */
#include "net/conntrack.h"

#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <unistd.h>

#include "net/netns.h"

/* Messages by hand on plain libnl, as in route.c: libnl-nf asks by the original direction, which is what we look for. */

/* istio's sidecar rules track DNS in zones 1 and 2; istio-cni's leave captured questions in 0. */
#define ZONES 3

void conntrack_init(struct conntrack *c, int netns)
{
	*c = (struct conntrack){ .netns = netns, .fd = -1 };
}

void conntrack_done(struct conntrack *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

static void put_ip(struct nl_msg *m, int v4, int v6, const struct ip *ip)
{
	if (ip_is_v4(ip))
		nla_put(m, v4, 4, ip->b + 12);
	else
		nla_put(m, v6, 16, ip->b);
}

/* The reply direction: from us to the peer. */
static struct nl_msg *question(uint32_t seq, int protocol, const struct addr *peer, const struct addr *local, unsigned zone)
{
	struct nfgenmsg head = { .nfgen_family = ip_is_v4(&peer->ip) ? AF_INET : AF_INET6, .version = NFNETLINK_V0 };
	struct nl_msg *m = nlmsg_alloc_simple(NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET, NLM_F_REQUEST | NLM_F_ACK);
	struct nlattr *tuple, *part;

	if (!m)
		return NULL;
	nlmsg_hdr(m)->nlmsg_seq = seq;
	nlmsg_append(m, &head, sizeof(head), NLMSG_ALIGNTO);
	tuple = nla_nest_start(m, CTA_TUPLE_REPLY | NLA_F_NESTED);
	part = nla_nest_start(m, CTA_TUPLE_IP | NLA_F_NESTED);
	put_ip(m, CTA_IP_V4_SRC, CTA_IP_V6_SRC, &local->ip);
	put_ip(m, CTA_IP_V4_DST, CTA_IP_V6_DST, &peer->ip);
	nla_nest_end(m, part);
	part = nla_nest_start(m, CTA_TUPLE_PROTO | NLA_F_NESTED);
	nla_put_u8(m, CTA_PROTO_NUM, (uint8_t)protocol);
	nla_put_u16(m, CTA_PROTO_SRC_PORT, htons(local->port));
	nla_put_u16(m, CTA_PROTO_DST_PORT, htons(peer->port));
	nla_nest_end(m, part);
	nla_nest_end(m, tuple);
	if (zone)
		nla_put_u16(m, CTA_ZONE, htons((uint16_t)zone));
	return m;
}

static int take_ip(struct nlattr *v4, struct nlattr *v6, struct ip *ret)
{
	struct sockaddr_storage sa = { 0 };
	struct addr a;

	if (v4 && nla_len(v4) == 4) {
		sa.ss_family = AF_INET;
		memcpy(&((struct sockaddr_in *)&sa)->sin_addr, nla_data(v4), 4);
	} else if (v6 && nla_len(v6) == 16) {
		sa.ss_family = AF_INET6;
		memcpy(&((struct sockaddr_in6 *)&sa)->sin6_addr, nla_data(v6), 16);
	} else {
		return -EBADMSG;
	}
	addr_from_sockaddr(&sa, &a);
	*ret = a.ip;
	return 0;
}

/* The destination of the original direction. */
static int answer(struct nlmsghdr *h, struct addr *ret)
{
	struct nlattr *ct[CTA_MAX + 1], *tuple[CTA_TUPLE_MAX + 1], *ip[CTA_IP_MAX + 1], *proto[CTA_PROTO_MAX + 1];
	struct addr a = { .port = 0 };
	int r;

	if (nlmsg_parse(h, sizeof(struct nfgenmsg), ct, CTA_MAX, NULL) < 0 || !ct[CTA_TUPLE_ORIG] ||
	    nla_parse_nested(tuple, CTA_TUPLE_MAX, ct[CTA_TUPLE_ORIG], NULL) < 0 || !tuple[CTA_TUPLE_IP] || !tuple[CTA_TUPLE_PROTO] ||
	    nla_parse_nested(ip, CTA_IP_MAX, tuple[CTA_TUPLE_IP], NULL) < 0 ||
	    nla_parse_nested(proto, CTA_PROTO_MAX, tuple[CTA_TUPLE_PROTO], NULL) < 0 || !proto[CTA_PROTO_DST_PORT] ||
	    nla_len(proto[CTA_PROTO_DST_PORT]) < 2)
		return -EBADMSG;
	a.port = ntohs(nla_get_u16(proto[CTA_PROTO_DST_PORT]));
	r = take_ip(ip[CTA_IP_V4_DST], ip[CTA_IP_V6_DST], &a.ip);
	if (r == 0)
		*ret = a;
	return r;
}

/* Reads answers until the one with our number, or its refusal. */
static int receive(struct conntrack *c, struct addr *ret)
{
	_Alignas(struct nlmsghdr) uint8_t b[8192];
	int r = 0;

	for (;;) {
		ssize_t n = recv(c->fd, b, sizeof(b), MSG_DONTWAIT);
		int left = (int)n;

		if (n < 0)
			return errno == EINTR ? -EAGAIN : -errno;
		for (struct nlmsghdr *h = (struct nlmsghdr *)b; nlmsg_ok(h, left); h = nlmsg_next(h, &left)) {
			if (h->nlmsg_seq != c->seq)
				continue;
			if (h->nlmsg_type != NLMSG_ERROR) {
				r = answer(h, ret);
				continue;
			}
			if (nlmsg_datalen(h) < (int)sizeof(int))
				return -EBADMSG;
			/* 0: the acknowledgement, after the answer */
			return r < 0 ? r : ((struct nlmsgerr *)nlmsg_data(h))->error;
		}
	}
}

static int exchange(struct conntrack *c, struct nl_msg *m, struct addr *ret)
{
	struct nlmsghdr *h;
	int r;

	if (!m)
		return -ENOMEM;
	h = nlmsg_hdr(m);
	r = send(c->fd, h, h->nlmsg_len, MSG_DONTWAIT) < 0 ? -errno : 0;
	nlmsg_free(m);
	return r < 0 ? r : receive(c, ret);
}

int conntrack_original(struct conntrack *c, int protocol, const struct addr *peer, const struct addr *local, struct addr *ret)
{
	struct addr got = *local;
	int r = -ENOENT;

	if (c->fd < 0)
		c->fd = netns_socket(c->netns, AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK, NETLINK_NETFILTER);
	if (c->fd < 0)
		return c->fd;
	for (unsigned zone = 0; r == -ENOENT && zone < ZONES; zone++) {
		c->seq++;
		r = exchange(c, question(c->seq, protocol, peer, local, zone), &got);
	}
	if (r == 0 && addr_eq(&got, local))
		r = -ENOENT;                     /* tracked, but sent to us on purpose */
	if (r == 0)
		*ret = got;
	return r;
}
