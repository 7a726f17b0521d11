/* SPDX-License-Identifier: Apache-2.0 */
#include "net/redirect.h"

#include "net/nft.h"
#include "net/route.h"
#include "net/sockopt.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

/* admin, outbound, inbound, HBONE, metrics, ready, DNS, stats */
static const uint16_t own_ports[] = { 15000, 15001, 15006, 15008, 15020, 15021, 15053, 15090 };

static void ports_set(struct ports *p, unsigned port)
{
	p->bits[port / 8] |= (uint8_t)(1u << port % 8);
}

static bool ports_has(const struct ports *p, unsigned port)
{
	return port <= UINT16_MAX && p->bits[port / 8] & 1u << port % 8;
}

/* $SSH_CONNECTION is "client port server port". */
static void exclude_ssh(struct ports *p)
{
	const char *session = getenv("SSH_CONNECTION");
	const char *last = session ? strrchr(session, ' ') : NULL;
	uint64_t port;

	ports_set(p, 22);
	if (last && str_to_u64(str_c(last + 1), &port) && port <= UINT16_MAX)
		ports_set(p, (unsigned)port);
}

void redirect_init(struct redirect *r, enum redirect_mode mode)
{
	*r = (struct redirect){ .table = REDIRECT_TABLE, .mode = mode, .ipv6 = true };
	for (size_t i = 0; i < ARRAY_LEN(own_ports); i++)
		ports_set(&r->in_excluded, own_ports[i]);
	exclude_ssh(&r->in_excluded);
}

void redirect_done(struct redirect *r)
{
	free(r->out_excluded_to.v);
	free(r->out_only_to.v);
	free(r->dns_local.v);
	free(r->uids.v);
	free(r->gids.v);
	free(r->cgroup);
	*r = (struct redirect){ 0 };
}

int ports_add(struct ports *p, struct str list, struct err *err)
{
	struct str rest;

	do {
		struct str last, item = str_cut(list, ',', &rest);
		struct str first = str_cut(item, '-', &last);
		uint64_t from, to;

		if (!str_to_u64(first, &from) || (last.p && !str_to_u64(last, &to)))
			return err_set(err, -EINVAL, "want ports such as 80,8000-8100, got '%.*s'", STR_FMT(item));
		if (!last.p)
			to = from;
		if (from < 1 || to > UINT16_MAX || from > to)
			return err_set(err, -ERANGE, "want ports in 1..65535, smaller first, got '%.*s'", STR_FMT(item));
		for (; from <= to; from++)
			ports_set(p, (unsigned)from);
		list = rest;
	} while (rest.p);
	return 0;
}

int cidrs_add(struct cidrs *c, struct str list, struct err *err)
{
	struct str rest;

	do {
		struct str item = str_cut(list, ',', &rest);
		struct cidr cidr;

		if (cidr_parse(item, &cidr) < 0)
			return err_set(err, -EINVAL, "want address blocks such as 10.0.0.0/8,fd00::/8, got '%.*s'",
				       STR_FMT(item));
		c->v = xrealloc(c->v, (c->n + 1) * sizeof(*c->v));
		c->v[c->n++] = cidr;
		list = rest;
	} while (rest.p);
	return 0;
}

int ids_add(struct ids *ids, struct str list, struct err *err)
{
	struct str rest;

	do {
		struct str item = str_cut(list, ',', &rest);
		uint64_t id;

		if (!str_to_u64(item, &id) || id >= UINT32_MAX)
			return err_set(err, -EINVAL, "want numeric ids such as 1000,1001, got '%.*s'", STR_FMT(item));
		ids->v = xrealloc(ids->v, (ids->n + 1) * sizeof(*ids->v));
		ids->v[ids->n++] = (uint32_t)id;
		list = rest;
	} while (rest.p);
	return 0;
}

/* "80, 8000-8100"; false, and nothing written, when the set is empty. */
static bool put_ports(struct buf *out, const char *before, const struct ports *p, const char *after)
{
	bool any = false;

	for (unsigned i = 1, j; i <= UINT16_MAX; i = j + 1) {
		j = i;
		if (!ports_has(p, i))
			continue;
		while (ports_has(p, j + 1))
			j++;
		buf_printf(out, "%s%u", any ? ", " : before, i);
		if (j > i)
			buf_printf(out, "-%u", j);
		any = true;
	}
	if (any)
		buf_puts(out, after);
	return any;
}

static void put_ids(struct buf *out, const char *key, const struct ids *ids)
{
	for (size_t i = 0; i < ids->n; i++)
		buf_printf(out, "\t\tmeta %s %" PRIu32 " return\n", key, ids->v[i]);
}

static void put_cidr(struct buf *out, const struct cidr *c)
{
	char text[ADDR_TEXT];

	buf_printf(out, "\t\t%s daddr %s", ip_is_v4(&c->ip) ? "ip" : "ip6", cidr_format(c, text));
}

/* Whose sockets; empty for everybody's. */
static void put_owner(struct buf *out, const struct redirect *r)
{
	if (r->one_uid)
		buf_printf(out, "meta skuid %" PRIu32 " ", r->uid);
	if (r->cgroup)
		buf_printf(out, "socket cgroupv2 level %u \"%s\" ", r->cgroup_level, r->cgroup);
}

static void put_target(struct buf *out, const struct redirect *r, unsigned port)
{
	put_owner(out, r);
	buf_printf(out, "meta l4proto tcp counter redirect to :%u\n", port);
}

/* Without the second rule a connection older than connection tracking would look new, and be cut in the middle. */
static void put_only_new_tcp(struct buf *out, const struct redirect *r)
{
	buf_puts(out, "\t\tmeta l4proto != tcp return\n"
		      "\t\ttcp flags & (fin | syn | rst | ack) != syn return\n");
	if (!r->ipv6)
		buf_puts(out, "\t\tmeta nfproto ipv6 return\n");
}

static void put_own(struct buf *out)
{
	buf_printf(out, "\t\tmeta mark & 0x%x == 0x%x return\n", NET_MARK_MASK, NET_MARK);
}

static void put_marks(struct buf *out)
{
	const unsigned keep = ~ROUTE_MARK_MASK;

	buf_puts(out, "\t# Our connections to the application may carry the client's address: its answers must return to us.\n"
		      "\tchain mark-in {\n"
		      "\t\ttype filter hook prerouting priority mangle; policy accept;\n");
	/* Only connections with a foreign source: marking more would route each of their packets twice. */
	buf_printf(out, "\t\tmeta mark & 0x%x == 0x%x tcp flags & (fin | syn | rst | ack) == syn fib saddr type != local "
		   "ct mark set ct mark & 0x%x | 0x%x\n\t}\n", NET_MARK_MASK, NET_MARK, keep, ROUTE_MARK);
	buf_puts(out, "\tchain mark-out {\n"
		      "\t\ttype route hook output priority mangle; policy accept;\n");
	buf_printf(out, "\t\tct mark & 0x%x == 0x%x meta mark set meta mark & 0x%x | 0x%x\n\t}\n", ROUTE_MARK_MASK,
		   ROUTE_MARK, keep, ROUTE_MARK);
}

static void put_inbound(struct buf *out, const struct redirect *r)
{
	buf_puts(out, "\tchain inbound {\n"
		      "\t\ttype nat hook prerouting priority dstnat; policy accept;\n");
	put_only_new_tcp(out, r);
	put_own(out);
	buf_puts(out, "\t\t# forwarded traffic is not this host's\n"
		      "\t\tfib daddr type != local return\n");
	put_ports(out, "\t\ttcp dport { ", &r->in_excluded, " } return\n");
	if (!r->in_listed) {
		buf_puts(out, "\t\t");
		put_target(out, r, REDIRECT_IN_PORT);
	} else if (put_ports(out, "\t\ttcp dport { ", &r->in_only, " } ")) {
		put_target(out, r, REDIRECT_IN_PORT);
	}
	buf_puts(out, "\t}\n");
}

/* A sidecar calling its own workload by an outside address must pass the inbound side too; what it hands to the
 * application (from 127.0.0.6 or ::6, or from its client's address) must not. */
static void put_self_calls(struct buf *out)
{
	static const struct { const char *family, *loopback, *source; } row[] = {
		{ "ip", "127.0.0.1", "127.0.0.6" }, { "ip6", "::1", "::6" },
	};

	buf_printf(out, "\t\tmeta mark & 0x%x == 0x%x oifname \"lo\" fib saddr type != local return\n", NET_MARK_MASK, NET_MARK);
	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		buf_printf(out, "\t\toifname \"lo\" %s saddr %s return\n", row[i].family, row[i].source);
		buf_printf(out, "\t\tmeta mark & 0x%x == 0x%x oifname \"lo\" %s daddr != %s tcp dport != 15008"
				" counter redirect to :%u\n", NET_MARK_MASK, NET_MARK, row[i].family, row[i].loopback,
			   REDIRECT_IN_PORT);
	}
}

static void put_outbound(struct buf *out, const struct redirect *r)
{
	buf_puts(out, "\tchain outbound {\n"
		      "\t\ttype nat hook output priority -100; policy accept;\n");
	put_only_new_tcp(out, r);
	put_ports(out, "\t\ttcp dport { ", &r->out_excluded, " } return\n");
	if (r->mode == REDIRECT_SIDECAR)
		put_self_calls(out);
	put_own(out);
	buf_puts(out, "\t\t# the application talking to itself or its own host\n"
		      "\t\toifname \"lo\" return\n");
	put_ids(out, "skuid", &r->uids);
	put_ids(out, "skgid", &r->gids);
	for (size_t i = 0; i < r->out_excluded_to.n; i++) {
		put_cidr(out, &r->out_excluded_to.v[i]);
		buf_puts(out, " return\n");
	}
	for (size_t i = 0; i < r->out_only_to.n; i++) {
		put_cidr(out, &r->out_only_to.v[i]);
		buf_puts(out, " ");
		put_target(out, r, REDIRECT_OUT_PORT);
	}
	if (r->out_only_to.n == 0) {
		buf_puts(out, "\t\t");
		put_target(out, r, REDIRECT_OUT_PORT);
	}
	buf_puts(out, "\t}\n");
}

static void put_dns(struct buf *out, const struct redirect *r)
{
	static const char *const protocols[] = { "udp", "tcp" };

	buf_printf(out, "\t# DNS is led to us only while we show that we live: each datagram from our DNS port counts for %u s.\n"
			"\tset dns-alive {\n\t\ttypeof meta nfproto\n\t\tsize 2\n\t\tflags dynamic,timeout\n\t\ttimeout %us\n\t}\n",
		   NET_PULSE_GONE_S, NET_PULSE_GONE_S);
	buf_printf(out, "\tchain dns-pulse {\n\t\ttype filter hook output priority mangle; policy accept;\n"
			"\t\tmeta mark & 0x%x == 0x%x udp sport %u update @dns-alive { meta nfproto }\n\t}\n",
		   NET_MARK_MASK, NET_MARK, REDIRECT_DNS_PORT);
	buf_puts(out, "\tchain dns {\n\t\ttype nat hook output priority -101; policy accept;\n"
		      "\t\tmeta l4proto != { tcp, udp } return\n\t\tth dport != 53 return\n");
	if (!r->ipv6)
		buf_puts(out, "\t\tmeta nfproto ipv6 return\n");
	put_own(out);
	put_ids(out, "skuid", &r->uids);
	put_ids(out, "skgid", &r->gids);
	for (size_t i = 0; i < r->out_excluded_to.n; i++) {
		put_cidr(out, &r->out_excluded_to.v[i]);
		buf_puts(out, " return\n");
	}
	for (size_t k = 0; k < ARRAY_LEN(protocols); k++) {
		for (size_t i = 0; i <= r->dns_local.n; i++) {
			if (i < r->dns_local.n)
				put_cidr(out, &r->dns_local.v[i]);
			else
				buf_puts(out, "\t\toifname != \"lo\"");
			buf_puts(out, " ");
			put_owner(out, r);
			buf_printf(out, "meta l4proto %s meta nfproto @dns-alive counter redirect to :%u\n", protocols[k], REDIRECT_DNS_PORT);
		}
	}
	buf_puts(out, "\t}\n");
}

static void put_notes(struct buf *out, const struct redirect *r)
{
	buf_puts(out, "# Capture rules of meshd: input for `nft -f -`.\n");
	buf_printf(out, "# With them go, for IPv4%s:\n"
			"#   ip rule add fwmark 0x%x/0x%x pref %u lookup %u\n"
			"#   ip route add local default dev lo table %u\n", r->ipv6 ? " and IPv6 (ip -6)" : "",
		   ROUTE_MARK, ROUTE_MARK_MASK, ROUTE_PREF, ROUTE_TABLE, ROUTE_TABLE);
	if (r->mode == REDIRECT_SIDECAR && r->ipv6)
		buf_puts(out, "# and:\n#   ip -6 address add ::6/128 dev lo\n");
}

static void put_empty_table(struct buf *out, const char *table)
{
	/* `delete` fails on a table that is not there; `add` never does, so the pair always leaves none. */
	buf_printf(out, "add table inet %s\ndelete table inet %s\n", table, table);
}

void redirect_script(const struct redirect *r, struct buf *out)
{
	put_notes(out, r);
	put_empty_table(out, r->table);
	buf_printf(out, "table inet %s {\n", r->table);
	put_marks(out);
	if (!r->one_uid)
		put_inbound(out, r);
	put_outbound(out, r);
	if (r->dns)
		put_dns(out, r);
	buf_puts(out, "}\n");
}

static int routing_up(const struct redirect *r, struct err *err)
{
	int res = route_up(r->ipv6, err);

	return res == 0 && r->mode == REDIRECT_SIDECAR && r->ipv6 && route_has_ipv6() ? route_add_v6_source(err) : res;
}

int redirect_up(const struct redirect *r, struct err *err)
{
	struct buf script = { 0 };
	struct err other;
	int res;

	redirect_script(r, &script);
	res = nft_apply(buf_str(&script), err);
	buf_done(&script);
	if (res < 0)
		return res;
	res = routing_up(r, err);
	if (res < 0)
		redirect_down(r->table, &other);    /* half a capture loses connections */
	return res;
}

int redirect_down(const char *table, struct err *err)
{
	struct buf script = { 0 };
	struct err other;
	int res, res2;

	put_empty_table(&script, table);
	res = nft_apply(buf_str(&script), err);
	buf_done(&script);
	/* Go on after a failure, report the first. */
	res2 = route_down(res < 0 ? &other : err);
	if (res == 0)
		res = res2;
	res2 = route_del_v6_source(res < 0 ? &other : err);
	return res < 0 ? res : res2;
}
