/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/bypass.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/map.h"

#define LOGGED 10        /* pairs that get a line of their own */

struct row {
	struct bypass pub;
	char *key;                   /* owned; so are the texts of pub */
};

static struct {
	pthread_mutex_t lock;
	struct map rows;             /* workload and peer -> struct row; never emptied */
	atomic_uint_least64_t total;
} all = { .lock = PTHREAD_MUTEX_INITIALIZER };

static struct row *row_new(const struct workload *w, const char *waypoint, const char *peer, const char *key)
{
	struct row *r = xcalloc(1, sizeof(*r));

	r->key = xstrdup(key);
	r->pub.workload = xasprintf("%s/%s", w->ns, w->name);
	r->pub.waypoint = xstrdup(waypoint);
	r->pub.peer = xstrdup(peer);
	map_put(&all.rows, str_c(r->key), r);
	return r;
}

void bypass_note(const struct workload *w, const char *waypoint, struct str peer)
{
	char *who = peer.n ? str_dup(peer) : xstrdup("plaintext");
	char *key = xasprintf("%s %s", w->uid, who);
	struct row *r;
	bool fresh = false;

	atomic_fetch_add(&all.total, 1);
	pthread_mutex_lock(&all.lock);
	r = map_get(&all.rows, str_c(key));
	if (!r && all.rows.len < LIMIT_BYPASS_ROWS) {
		r = row_new(w, waypoint, who, key);
		fresh = all.rows.len <= LOGGED;
	}
	if (r)
		r->pub.count++;
	pthread_mutex_unlock(&all.lock);
	if (fresh)
		log_warn(LOG_POLICY, "%s/%s was reached past its waypoint %s by %s; Istio allows this, MESHD_ENFORCEMENT=closed does not",
			 w->ns, w->name, waypoint, who);
	free(who);
	free(key);
}

uint64_t bypass_total(void)
{
	return atomic_load(&all.total);
}

void bypass_each(void (*fn)(const struct bypass *b, void *arg), void *arg)
{
	pthread_mutex_lock(&all.lock);
	map_each(slot, &all.rows)
		fn(&((struct row *)slot->value)->pub, arg);
	pthread_mutex_unlock(&all.lock);
}
