/* SPDX-License-Identifier: Apache-2.0 */
/* What policies say that decide nothing: dry runs, counted under the names that Istio's proxies have for them
 * (istio.io/docs/tasks/security/authorization/authz-dry-run: envoy_http_inbound_0_0_0_0_PORT_rbac, for bytes envoy_tcp_rbac), and AUDIT:
 * meshd_authz_audit_matches. The label `policy` is our own: "ns/name" of the one that matched. */
#ifndef TELEMETRY_SHADOW_H
#define TELEMETRY_SHADOW_H

#include <stdbool.h>
#include <stdint.h>

enum shadow_action { SHADOW_ALLOW, SHADOW_DENY, SHADOW_AUDIT };

void shadow_register(void);                  /* once, on the control thread */
/* Workers' threads. What the dry runs of an action, taken together, would have said; or a match of an AUDIT policy. port: where requests came
 * to; 0: it is about bytes. policy NULL: none matched. */
void shadow_count(enum shadow_action action, bool allowed, uint16_t port, const char *policy);

#endif
