/* SPDX-License-Identifier: Apache-2.0 */
#include "io/pump.h"

#include "base/buf.h"

static void pump_finish(struct pump *p, enum fail why)
{
	if (p->stopped)
		return;
	p->stopped = true;
	stage_done(p->down, why);
	stage_done(p->up, why);
	p->on_done(p, why);
}

/* One direction: `from` spoke. */
static void relay(struct pump *p, struct stage *from, struct stage *to, enum stage_event ev, const struct iovec *iov, int n)
{
	bool *eof = from == p->down ? &p->down_eof : &p->up_eof;
	enum fail why = from->fail;

	switch (ev) {
	case STAGE_DATA:
		*(from == p->down ? &p->bytes_up : &p->bytes_down) += iov_len(iov, n);
		stage_write(to, iov, n);
		if (!p->stopped && to->queued > LIMIT_QUEUE_LOW)
			stage_want(from, false);
		break;
	case STAGE_EOF:
		*eof = true;
		if (p->down_eof && p->up_eof)
			pump_finish(p, FAIL_NONE);
		else
			stage_shut(to);
		break;
	case STAGE_DRAINED:
		stage_want(to, true);
		break;
	case STAGE_CLOSED:
		if (p->stopped)
			break;
		p->stopped = true;
		if (from == p->down && (why == FAIL_SERVER_RESET || why == FAIL_PEER_CLOSED))
			why = FAIL_CLIENT_RESET;
		stage_done(from, why);
		/* After its end everything that `from` said was passed on: a reset may not take that back. */
		stage_done(to, *eof ? FAIL_NONE : why);
		p->on_done(p, why);
		break;
	case STAGE_OPEN:
		break;
	}
}

static void on_down(struct stage *s, enum stage_event ev, const struct iovec *iov, int n)
{
	struct pump *p = s->arg;

	relay(p, p->down, p->up, ev, iov, n);
}

static void on_up(struct stage *s, enum stage_event ev, const struct iovec *iov, int n)
{
	struct pump *p = s->arg;

	relay(p, p->up, p->down, ev, iov, n);
}

void pump_start(struct pump *p, struct stage *down, struct stage *up, void (*on_done)(struct pump *p, enum fail why))
{
	p->down = down;
	p->up = up;
	p->on_done = on_done;
	down->on_event = on_down;
	up->on_event = on_up;
	down->arg = up->arg = p;
	stage_want(down, up->queued <= LIMIT_QUEUE_LOW);
	stage_want(up, down->queued <= LIMIT_QUEUE_LOW);
}

void pump_abort(struct pump *p, enum fail why)
{
	if (p->stopped)
		return;
	p->stopped = true;
	stage_done(p->down, why);
	stage_done(p->up, why);
}
