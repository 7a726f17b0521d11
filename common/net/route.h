/* SPDX-License-Identifier: Apache-2.0 */
/* The policy routing behind preserved source addresses: what the application answers to a foreign address must come back
 * to us through lo. The same as
 *     ip rule add fwmark 0x111/0xfff pref 32764 lookup 100
 *     ip route add local default dev lo table 100
 * in each family that the network namespace has. Both are idempotent. */
#ifndef NET_ROUTE_H
#define NET_ROUTE_H

#include <stdbool.h>

#include "base/err.h"

#define ROUTE_MARK      0x111u
#define ROUTE_MARK_MASK 0xfffu
#define ROUTE_PREF      32764u
#define ROUTE_TABLE     100u

int route_up(bool ipv6, struct err *err);
int route_down(struct err *err);

/* ::6 on lo, the IPv6 twin of 127.0.0.6: the source of a sidecar's connections to its application. */
int route_add_v6_source(struct err *err);
int route_del_v6_source(struct err *err);

bool route_has_ipv6(void);

#endif
