/* SPDX-License-Identifier: Apache-2.0 */
/* Tells the service manager how we are: sd_notify(3) as one sendto. Without NOTIFY_SOCKET everything succeeds and does
 * nothing. All return 0 or -errno. */
#ifndef NET_NOTIFY_H
#define NET_NOTIFY_H

int notify_ready(void);
int notify_stopping(void);
int notify_reloading(void);               /* notify_ready ends it */
int notify_status(const char *text);      /* one line for `systemctl status` */

#endif
