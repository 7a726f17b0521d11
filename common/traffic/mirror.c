/* SPDX-License-Identifier: Apache-2.0 */
#include <stdatomic.h>

#include "base/log.h"
#include "traffic/router_int.h"
#include "traffic/urequest.h"

static _Thread_local int live;      /* mirrored requests of this worker */
static atomic_flag told = ATOMIC_FLAG_INIT;

static void on_done(void *arg, const struct urequest_reply *r, enum fail why, const char *detail)
{
	live--;
}

/* As it goes to the server: after the route's edits. */
static void send_all(struct routing *r)
{
	struct exchange *x = r->x;
	struct http_head head = x->request;

	head.fields = x->request_fields.v;
	head.n_fields = x->request_fields.n;
	for (int i = 0; i < r->route->n_mirrors; i++) {
		const struct route_mirror *m = &r->route->mirrors[i];

		if (!(r->mirrors & 1u << i) || live >= LIMIT_MIRRORS)
			continue;
		live += urequest_start(r->env, m->cluster, &head, buf_str(&r->mirrored), LIMIT_MIRROR_MS, 0, on_done, NULL) != NULL;
	}
	mirror_end(r);
}

void mirror_start(struct routing *r)
{
	for (int i = 0; i < r->route->n_mirrors && i < 32; i++)
		if (r->route->mirrors[i].cluster && percent_hit(r->route->mirrors[i].share, r->env->seed))
			r->mirrors |= 1u << i;
	if (!r->mirrors || r->x->request.upgrade.n)
		return;
	r->mirroring = true;
	if (r->x->request.end)
		send_all(r);
}

void mirror_data(struct routing *r, const struct iovec *iov, int n, bool end)
{
	if (buf_len(&r->mirrored) + iov_len(iov, n) > LIMIT_MIRROR_BYTES || buf_append_iov(&r->mirrored, iov, n, 0) < 0) {
		if (!atomic_flag_test_and_set(&told))
			log_warn(LOG_MAIN, "requests with bodies of more than %d bytes are not mirrored (said once)", LIMIT_MIRROR_BYTES);
		mirror_end(r);
	} else if (end) {
		send_all(r);
	}
}

void mirror_end(struct routing *r)
{
	r->mirroring = false;
	buf_done(&r->mirrored);
}
