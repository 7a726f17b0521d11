/* SPDX-License-Identifier: Apache-2.0 */
/* Listeners that a Sidecar object asks for, beside those for captured connections (captureMode NONE, an own bind): each worker opens
 * and closes its own as plans come and go. */
#ifndef MODES_BINDS_H
#define MODES_BINDS_H

#include "modes/chain.h"

struct pod;

void binds_renew(struct pod *pod);                   /* as the present plan says */
void binds_close(struct pod *pod, bool inbound_alone);

/* The plan's port at this address; NULL: there is none any more. */
const struct outbound_port *binds_outbound(const struct plan *p, const struct addr *at);
const struct inbound_port *binds_inbound(const struct plan *p, const struct addr *at);

#endif
