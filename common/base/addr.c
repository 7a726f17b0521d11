/* SPDX-License-Identifier: Apache-2.0 */
#include "base/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

bool ip_is_v4(const struct ip *ip)
{
	return memcmp(ip->b, mapped, sizeof(mapped)) == 0;
}

bool ip_is_loopback(const struct ip *ip)
{
	static const struct ip v6 = { { [15] = 1 } };

	return ip_is_v4(ip) ? ip->b[12] == 127 : ip_eq(ip, &v6);
}

bool ip_is_any(const struct ip *ip)
{
	static const uint8_t zero[16];

	return memcmp(ip->b + (ip_is_v4(ip) ? 12 : 0), zero, ip_is_v4(ip) ? 4 : 16) == 0;
}

bool ip_eq(const struct ip *a, const struct ip *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

int ip_parse(struct str s, struct ip *ret)
{
	char text[INET6_ADDRSTRLEN];
	struct ip ip;

	if (s.n == 0 || s.n >= sizeof(text) || memchr(s.p, 0, s.n))
		return -EINVAL;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	memcpy(ip.b, mapped, sizeof(mapped));
	if (inet_pton(AF_INET, text, ip.b + 12) != 1 && inet_pton(AF_INET6, text, ip.b) != 1)
		return -EINVAL;
	*ret = ip;
	return 0;
}

static char *put_number(char *to, unsigned v)
{
	char digits[10];
	int n = 0;

	do
		digits[n++] = (char)('0' + v % 10);
	while (v /= 10);
	while (n)
		*to++ = digits[--n];
	return to;
}

static char *put_v4(char *to, const uint8_t b[4])
{
	for (int i = 0; i < 4; i++) {
		if (i)
			*to++ = '.';
		to = put_number(to, b[i]);
	}
	return to;
}

const char *ip_format(const struct ip *ip, char text[ADDR_TEXT])
{
	if (ip_is_v4(ip))
		return inet_ntop(AF_INET, ip->b + 12, text, ADDR_TEXT);
	return inet_ntop(AF_INET6, ip->b, text, ADDR_TEXT);
}

bool addr_eq(const struct addr *a, const struct addr *b)
{
	return a->port == b->port && ip_eq(&a->ip, &b->ip);
}

int addr_parse(struct str s, struct addr *ret)
{
	struct addr a;
	struct str host, port;
	uint64_t v;

	if (s.n && s.p[0] == '[') {
		host = str_cut((struct str){ s.p + 1, s.n - 1 }, ']', &port);
		if (port.n < 2 || port.p[0] != ':' || !memchr(host.p, ':', host.n))
			return -EINVAL;
		port.p++;
		port.n--;
	} else {
		host = str_cut(s, ':', &port);
	}
	if (!str_to_u64(port, &v) || v > UINT16_MAX || ip_parse(host, &a.ip) < 0)
		return -EINVAL;
	a.port = (uint16_t)v;
	*ret = a;
	return 0;
}

const char *addr_format(const struct addr *a, char text[ADDR_TEXT])
{
	char *to = text;

	/* Every line of an access log has several: no printf. */
	if (ip_is_v4(&a->ip)) {
		to = put_v4(text, a->ip.b + 12);
	} else {
		*to++ = '[';
		inet_ntop(AF_INET6, a->ip.b, to, ADDR_TEXT - 8);
		to += strlen(to);
		*to++ = ']';
	}
	*to++ = ':';
	*put_number(to, a->port) = '\0';
	return text;
}

void addr_from_sockaddr(const struct sockaddr_storage *sa, struct addr *ret)
{
	if (sa->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)sa;

		memcpy(ret->ip.b, mapped, sizeof(mapped));
		memcpy(ret->ip.b + 12, &in->sin_addr, 4);
		ret->port = ntohs(in->sin_port);
	} else if (sa->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)sa;

		memcpy(ret->ip.b, &in6->sin6_addr, 16);
		ret->port = ntohs(in6->sin6_port);
	} else {
		*ret = (struct addr){ 0 };
	}
}

socklen_t addr_to_sockaddr(const struct addr *a, int want_family, struct sockaddr_storage *ret)
{
	*ret = (struct sockaddr_storage){ 0 };
	if (want_family != AF_INET6 && ip_is_v4(&a->ip)) {
		struct sockaddr_in *in = (void *)ret;

		in->sin_family = AF_INET;
		in->sin_port = htons(a->port);
		memcpy(&in->sin_addr, a->ip.b + 12, 4);
		return sizeof(*in);
	}
	struct sockaddr_in6 *in6 = (void *)ret;

	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(a->port);
	memcpy(&in6->sin6_addr, a->ip.b, 16);
	return sizeof(*in6);
}

static void ip_clear_host(struct ip *ip, unsigned bits)
{
	for (unsigned i = 0; i < 16; i++) {
		unsigned keep = bits > i * 8 ? bits - i * 8 : 0;

		if (keep < 8)
			ip->b[i] &= (uint8_t)(0xff00u >> keep);
	}
}

int cidr_parse(struct str s, struct cidr *ret)
{
	struct str bits, ip = str_cut(s, '/', &bits);
	struct cidr c;
	uint64_t n;

	if (ip_parse(ip, &c.ip) < 0)
		return -EINVAL;
	if (!bits.p)
		n = 128;
	else if (!str_to_u64(bits, &n) || n > (ip_is_v4(&c.ip) ? 32 : 128))
		return -EINVAL;
	else if (ip_is_v4(&c.ip))
		n += 96;
	c.bits = (uint8_t)n;
	ip_clear_host(&c.ip, c.bits);
	*ret = c;
	return 0;
}

bool cidr_has(const struct cidr *c, const struct ip *ip)
{
	unsigned whole = c->bits / 8, rest = c->bits % 8;
	uint8_t mask = (uint8_t)(0xff00u >> rest);

	return memcmp(c->ip.b, ip->b, whole) == 0 && (rest == 0 || ((c->ip.b[whole] ^ ip->b[whole]) & mask) == 0);
}

const char *cidr_format(const struct cidr *c, char text[ADDR_TEXT])
{
	bool v4 = ip_is_v4(&c->ip) && c->bits >= 96;
	char ip[ADDR_TEXT];

	ip_format(&c->ip, ip);
	snprintf(text, ADDR_TEXT, "%.48s/%u", ip, v4 ? c->bits - 96u : c->bits);
	return text;
}
