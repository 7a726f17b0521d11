/* SPDX-License-Identifier: Apache-2.0 */
/* What the pages of admin share. */
#ifndef ADMIN_ADMIN_INT_H
#define ADMIN_ADMIN_INT_H

#include "admin/admin.h"
#include "admin/json.h"
#include "http/h1server.h"

#define ADMIN_LISTENERS 8

struct admin {
	struct admin_conf conf;
	const struct admin_ops *ops;
	void *arg;
	uint64_t started_ms;
	struct h1server *server[ADMIN_LISTENERS];
	int n_servers;
	struct deferred grave;
	struct admin_site {                  /* one per listener: the arg of its handlers */
		struct admin *admin;
		bool local_socket;           /* the Unix socket: no Host check, POST allowed */
		struct h1server_site site;
	} site[ADMIN_LISTENERS];
};

#define ADMIN_CONNECTIONS_MAX 10000   /* listed in one reply */
#define ADMIN_EDGES_MAX       500

/* Made of the files next to page.c. */
extern const char page_html[], page_css[], page_js[];

/* A duration for people: "3d 4h", "5m 2s". */
const char *admin_duration(uint64_t seconds, char text[32]);
uint64_t admin_uptime_s(const struct admin *a);

/* /config_dump, as h1server_stream wants it. */
struct dump *dump_new(struct admin *a);
bool dump_more(void *dump, struct buf *out);
void dump_free(void *dump);

void status_write_json(struct admin *a, struct buf *out);      /* /status */
void status_write_text(struct admin *a, struct buf *out);
void connections_write_json(struct admin *a, int max, struct buf *out);   /* /connections */
void connections_write_text(struct admin *a, int max, struct buf *out);
void traffic_write_json(struct buf *out);                      /* /traffic */
void page_write(struct admin *a, struct buf *out);             /* / */

#endif
