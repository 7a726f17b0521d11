/* SPDX-License-Identifier: Apache-2.0 */
/* The DNS proxy of a pod: its sockets, and what it asks of the pod. */
#ifndef MODES_POD_DNS_H
#define MODES_POD_DNS_H

#include "modes/pod.h"

/* Binds one pair of sockets for each address of proxy_conf.dns; inside the namespace. On success out[2 * i] is UDP, out[2 * i + 1]
 * TCP; returns how many descriptors, or -errno with none left open. Loopback without IPv6 is no error. */
int pod_dns_bind(const struct proxy_conf *conf, const struct sock_ops *ops, int out[2 * PROXY_DNS_MAX]);
/* On the pod's home; takes over the pod's DNS sockets. */
void pod_dns_start(struct pod *pod);

#endif
