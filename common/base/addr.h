/* SPDX-License-Identifier: Apache-2.0 */
/* IP addresses, addresses with a port, and CIDR blocks. IPv4 is kept as its IPv6-mapped self (::ffff:a.b.c.d), so
 * one comparison, one hash and one trie serve both families; text always shows the IPv4 form. */
#ifndef BASE_ADDR_H
#define BASE_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/str.h"

struct ip {
	uint8_t b[16];
};

struct addr {
	struct ip ip;
	uint16_t port;   /* host order */
};

struct cidr {
	struct ip ip;
	uint8_t bits;    /* 0..128 over the mapped form: 10.0.0.0/8 has 104 */
};

#define ADDR_TEXT 64     /* room for "[v6]:port" with NUL */

bool ip_is_v4(const struct ip *ip);
bool ip_is_loopback(const struct ip *ip);
bool ip_is_any(const struct ip *ip);
bool ip_eq(const struct ip *a, const struct ip *b);
int ip_parse(struct str s, struct ip *ret);                 /* 0 or -EINVAL; no zone, no brackets */
const char *ip_format(const struct ip *ip, char text[ADDR_TEXT]);

bool addr_eq(const struct addr *a, const struct addr *b);
int addr_parse(struct str s, struct addr *ret);             /* "1.2.3.4:80" or "[::1]:80" */
const char *addr_format(const struct addr *a, char text[ADDR_TEXT]);
void addr_from_sockaddr(const struct sockaddr_storage *sa, struct addr *ret);
/* want_family AF_INET6 gives the mapped form for an IPv4 address; 0 gives the natural family. Returns the length. */
socklen_t addr_to_sockaddr(const struct addr *a, int want_family, struct sockaddr_storage *ret);

/* "10.0.0.0/8", "fd00::/8", or a bare address (a block of one). Host bits are cleared. 0 or -EINVAL. */
int cidr_parse(struct str s, struct cidr *ret);
bool cidr_has(const struct cidr *c, const struct ip *ip);
const char *cidr_format(const struct cidr *c, char text[ADDR_TEXT]);

#endif
