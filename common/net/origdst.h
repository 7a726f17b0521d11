/* SPDX-License-Identifier: Apache-2.0 */
/* Where a captured connection wanted to go. */
#ifndef NET_ORIGDST_H
#define NET_ORIGDST_H

#include "base/addr.h"

/* The destination before redirection of an accepted TCP socket; of one that nobody redirected, its own address.
 * 0 or -errno. */
int origdst_get(int fd, struct addr *ret);

#endif
