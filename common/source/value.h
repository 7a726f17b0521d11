/* SPDX-License-Identifier: Apache-2.0 */
/* Texts with a meaning: durations, times, names. All pure. */
#ifndef SOURCE_VALUE_H
#define SOURCE_VALUE_H

#include "model/object.h"

bool value_is_number(struct str s);                    /* what YAML takes for an integer or a float */
bool value_duration(struct str s, uint32_t *ret_ms);   /* "1.5s", "1h2m"; false when finer than 1 ms, or over 2^32 ms */
bool value_time(struct str s, int64_t *ret);           /* RFC 3339, to Unix seconds */
bool value_is_name(const char *s);                     /* a Kubernetes object name: [a-z0-9.-], at most 253 */
bool value_is_label(const char *s);                    /* a DNS label: a namespace */
bool value_is_domain(const char *s);                   /* a trust domain: [a-z0-9._-] */
bool value_is_host_any(const char *s);                 /* value_is_host, or "*x.y" as VirtualServices have it; upper case too */
bool value_is_host(const char *s);                     /* an FQDN or a wildcard "*.x" in lower case; the last label is no number */
/* By Istio's rules: the protocol where it says one ("TCP" of Kubernetes says none: pass ""), else the beginning of the name ("http-x"),
 * else the well-known ports of MySQL, MongoDB, SMTP and DNS. */
enum port_protocol value_port_protocol(const char *protocol, const char *name, uint16_t port);

#endif
