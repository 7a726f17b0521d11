/* SPDX-License-Identifier: Apache-2.0 */
/* An upgrade without loss: taking over from the meshd that runs here, and later handing over to the next one. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "net/notify.h"
#include "src/serve_int.h"

/* Another process serves. What is left are live connections; they end by themselves, at the deadline, or at SIGTERM. */
static void on_taken(bool same_netns, void *arg)
{
	struct serve *s = arg;

	s->draining = s->handed_over = true;
	log_info(LOG_MAIN, "another meshd has taken over; %d live connections go on here%s", proxy_busy(s->proxy),
		 s->inpod ? " until SIGTERM" : "");
	proxy_drain(s->proxy, true);
	if (s->inpod)
		inpod_retire(s->inpod);
	if (same_netns) {
		admin_free(s->admin);
		s->admin = NULL;
	}
	/* In a container an early end would have the kubelet start the old version again. */
	if (s->inpod)
		return;
	s->drain_until_ms = loop_now_ms(s->loop) + s->opt.handover_ms;
	timer_start(&s->drain_poll, 0);
}

static void on_released(void *arg)
{
	struct serve *s = arg;
	struct err err;

	if (s->admin)
		return;
	if (serve_admin_start(s, &err) < 0)
		log_error(LOG_ADMIN, "no admin pages: %s", err.msg);
}

static const char *directory(const struct serve *s, char *room, size_t n)
{
	if (s->opt.handover_dir)
		return s->opt.handover_dir;
	if (!s->pods_mode || s->set.mode != MODE_SHARED)
		return NULL;
	/* Beside the CNI's socket: both pods of an upgrade see that folder of their node. */
	snprintf(room, n, "%s.meshd", s->set.inpod_uds);
	return room;
}

int serve_handover_take(struct serve *s, struct err *err)
{
	static const struct handover_ops ops = { .on_taken = on_taken, .on_released = on_released };
	char room[256];
	const char *dir = directory(s, room, sizeof(room));
	int r;

	if (!dir || !*dir)
		return 0;
	r = handover_new(s->loop, s->proxy, dir, &ops, s, &s->handover, err);
	if (r < 0 && s->opt.handover_dir)
		return r;
	if (r < 0) {
		log_warn(LOG_MAIN, "upgrades of this process will share ports instead of handing them over: %s", err->msg);
		return 0;
	}
	handover_take(s->handover);
	return 0;
}

/* Our admin ports may still be the old one's; they are free once it has let go. */
int serve_handover_admin(struct serve *s, struct err *err)
{
	int r = serve_admin_start(s, err);

	return r == -EADDRINUSE && s->handover && handover_pending(s->handover) ? 0 : r;
}

void serve_handover_check(struct serve *s)
{
	struct buf why = { 0 };

	if (s->handover && s->synced && !s->serving && !s->draining && (!s->inpod || inpod_ready(s->inpod, &why))) {
		s->serving = true;
		handover_serving(s->handover);
	}
	buf_done(&why);
}
