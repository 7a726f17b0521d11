/* SPDX-License-Identifier: Apache-2.0 */
#include "net/ownaddr.h"

#include <errno.h>
#include <ifaddrs.h>
#include <stdlib.h>

#include "net/netns.h"

static int ip_cmp(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct ip));
}

static bool has_ip(const struct ifaddrs *i)
{
	return i->ifa_addr && (i->ifa_addr->sa_family == AF_INET || i->ifa_addr->sa_family == AF_INET6);
}

static void ip_of(const struct sockaddr *from, struct ip *ret)
{
	struct sockaddr_storage sa = { 0 };
	struct addr a;

	memcpy(&sa, from, from->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
	addr_from_sockaddr(&sa, &a);
	*ret = a.ip;
}

void ownaddr_init(struct ownaddr *o, int netns)
{
	*o = (struct ownaddr){ .netns = netns };
}

static int list_addresses(void *arg)
{
	return getifaddrs(arg) < 0 ? -errno : 0;
}

int ownaddr_refresh(struct ownaddr *o, uint64_t now_ms)
{
	struct ifaddrs *all;
	struct ip *v;
	size_t n = 0;
	int r = netns_run(o->netns, list_addresses, &all);

	if (r < 0)
		return r;
	for (struct ifaddrs *i = all; i; i = i->ifa_next)
		n += has_ip(i);
	v = calloc(n ? n : 1, sizeof(*v));
	if (!v) {
		freeifaddrs(all);
		return -ENOMEM;
	}
	n = 0;
	for (struct ifaddrs *i = all; i; i = i->ifa_next)
		if (has_ip(i))
			ip_of(i->ifa_addr, &v[n++]);
	freeifaddrs(all);
	qsort(v, n, sizeof(*v), ip_cmp);
	free(o->v);
	*o = (struct ownaddr){ .v = v, .n = n, .read_ms = now_ms, .netns = o->netns, .read = true };
	return 0;
}

bool ownaddr_has(struct ownaddr *o, const struct ip *ip, uint64_t now_ms)
{
	if (ip_is_loopback(ip) || ip_is_any(ip))
		return true;
	if (!o->read || now_ms - o->read_ms > OWNADDR_FRESH_MS)
		ownaddr_refresh(o, now_ms);
	return o->n > 0 && bsearch(ip, o->v, o->n, sizeof(*o->v), ip_cmp) != NULL;
}

void ownaddr_done(struct ownaddr *o)
{
	free(o->v);
	ownaddr_init(o, o->netns);
}
