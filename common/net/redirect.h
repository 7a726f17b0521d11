/* SPDX-License-Identifier: Apache-2.0 */
/* Capture: the rules that lead an application's TCP connections to us. One table of nftables, replaced as a whole, and for
 * ztunnel mode the policy routing of net/route.h. Only the first packet of a connection is ever redirected, so what is
 * already open stays as it is. */
#ifndef NET_REDIRECT_H
#define NET_REDIRECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/buf.h"
#include "base/err.h"

#define REDIRECT_TABLE     "meshd"
#define REDIRECT_OUT_PORT  15001
#define REDIRECT_IN_PORT   15006
#define REDIRECT_DNS_PORT  15053

enum redirect_mode { REDIRECT_ZTUNNEL, REDIRECT_SIDECAR };

/* A set of ports. */
struct ports {
	uint8_t bits[8192];
};

struct cidrs {
	struct cidr *v;           /* owned */
	size_t n;
};

struct ids {
	uint32_t *v;              /* owned */
	size_t n;
};

struct redirect {
	const char *table;        /* borrowed */
	enum redirect_mode mode;
	bool ipv6;
	struct ports in_excluded; /* our own ports, SSH's, and what the user adds */
	struct ports in_only;     /* when in_listed: captured ports; else all are */
	bool in_listed;
	struct ports out_excluded;
	struct cidrs out_excluded_to;
	struct cidrs out_only_to; /* empty: everywhere */
	struct ids uids, gids;    /* sockets of these owners are not captured */
	bool one_uid;
	uint32_t uid;             /* with one_uid: only this owner's outgoing connections are captured */
	bool dns;                 /* questions to port 53, too, but only while the DNS proxy shows that it lives: see NET_PULSE_MS */
	struct cidrs dns_local;   /* resolvers of this host, on loopback, whose questions are captured, too */
	char *cgroup;             /* owned; only sockets of this cgroup v2 (and those below it) are; a path that nft can read, */
	unsigned cgroup_level;    /* relative to /sys/fs/cgroup, and how deep the group is in its hierarchy */
};

/* Presets: capture everything except our ports, port 22, and the port of the SSH session that we run in. */
void redirect_init(struct redirect *r, enum redirect_mode mode);
void redirect_done(struct redirect *r);

/* Comma-separated lists; what they hold is added. "80,8000-8100", "10.0.0.0/8,fd00::/8", "1000,1001". */
int ports_add(struct ports *p, struct str list, struct err *err);
int cidrs_add(struct cidrs *c, struct str list, struct err *err);
int ids_add(struct ids *i, struct str list, struct err *err);

/* The script for `nft -f -`, with the reasons as comments. */
void redirect_script(const struct redirect *r, struct buf *out);
int redirect_up(const struct redirect *r, struct err *err);
/* Removes the table and the routing, of either mode, if they are there. */
int redirect_down(const char *table, struct err *err);

#endif
