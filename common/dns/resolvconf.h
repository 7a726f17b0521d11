/* SPDX-License-Identifier: Apache-2.0 */
/* The name servers and search domains of a resolv.conf(5), read anew when it changes. One thread's. */
#ifndef DNS_RESOLVCONF_H
#define DNS_RESOLVCONF_H

#include <sys/stat.h>

#include "base/addr.h"

#define RESOLVCONF_SERVERS 3     /* as in glibc */
#define RESOLVCONF_SEARCH  32

struct resolvconf {
	const char *path;            /* borrowed */
	struct addr servers[RESOLVCONF_SERVERS];
	int n_servers;               /* 0 when there is none, or the file cannot be read */
	char *search[RESOLVCONF_SEARCH];   /* owned; lower case, without dots at the ends */
	int n_search;
	struct stat seen;
	uint64_t looked_ms;          /* 0: never */
};

void resolvconf_init(struct resolvconf *c, const char *path);   /* NULL: /etc/resolv.conf */
void resolvconf_done(struct resolvconf *c);
/* Looks at the file once a second at most. */
void resolvconf_refresh(struct resolvconf *c, uint64_t now_ms);
/* As if the file had this text. */
void resolvconf_parse(struct resolvconf *c, struct str text);

#endif
