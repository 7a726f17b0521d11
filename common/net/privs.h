/* SPDX-License-Identifier: Apache-2.0 */
/* Gives up privileges before traffic, and takes the file descriptors that it may have. */
#ifndef NET_PRIVS_H
#define NET_PRIVS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define PRIVS_CAP(n) (UINT64_C(1) << (n))
/* CAP_NET_ADMIN, CAP_NET_RAW: marks and foreign source addresses. CAP_NET_BIND_SERVICE: ports below 1024. */
#define PRIVS_NET    (PRIVS_CAP(12) | PRIVS_CAP(13) | PRIVS_CAP(10))

#define PRIVS_SETNS  PRIVS_CAP(21)   /* CAP_SYS_ADMIN: to enter other network namespaces */

/* Becomes user (NULL: keeps the uid, as in pods) with its groups, keeps of its capabilities only those in keep, and gains
 * none by exec either. Call before any thread is started, log_start included. 0 or -errno; on failure do not go on. */
int privs_drop(const char *user, uint64_t keep, struct err *err);
bool privs_has_user(const char *user);
/* Raises the soft limit of open files to the hard one. Returns the limit. */
uint64_t privs_raise_files(void);

#endif
