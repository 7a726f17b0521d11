/* SPDX-License-Identifier: Apache-2.0 */
/* A stage without a socket: what is written is kept, and the test says what arrives, in pieces as it likes. */
#ifndef TESTS_MEMSTAGE_H
#define TESTS_MEMSTAGE_H

#include <stdlib.h>

#include "base/buf.h"
#include "io/stage.h"

struct memstage {
	struct stage stage;
	struct buf out;           /* all that was written */
	bool want, shut, done, full;   /* full: it takes nothing, queued grows */
	enum fail why;
};

static inline void memstage_write(struct stage *s, const struct iovec *iov, int n)
{
	struct memstage *m = container_of(s, struct memstage, stage);

	buf_append_iov(&m->out, iov, n, 0);
	if (m->full)
		stage_set_queued(s, s->queued + iov_len(iov, n));
}

static inline void memstage_want(struct stage *s, bool read)
{
	container_of(s, struct memstage, stage)->want = read;
}

static inline void memstage_shut(struct stage *s)
{
	container_of(s, struct memstage, stage)->shut = true;
}

static inline void memstage_end(struct stage *s, enum fail why)
{
	struct memstage *m = container_of(s, struct memstage, stage);

	m->done = true;
	m->why = why;
}

static const struct stage_ops memstage_ops = {
	.name = "mem", .write = memstage_write, .want = memstage_want, .shut = memstage_shut, .done = memstage_end,
};

static inline void memstage_init(struct memstage *m, struct loop *l)
{
	*m = (struct memstage){ .stage = { .ops = &memstage_ops, .loop = l } };
}

static inline void memstage_turn(struct memstage *m)
{
	ev_run(m->stage.loop->ev, EVRUN_NOWAIT);
}

/* Pieces of `step` bytes, a copy each, so that nothing may be read beside them. False: nobody reads any more. */
static inline bool memstage_feed(struct memstage *m, const void *p, size_t n, size_t step)
{
	for (size_t at = 0; at < n; at += step) {
		size_t len = n - at < step ? n - at : step;
		uint8_t *copy;

		if (m->done || !m->want)
			return false;
		copy = malloc(len);
		memcpy(copy, (const uint8_t *)p + at, len);
		stage_emit(&m->stage, STAGE_DATA, &(struct iovec){ copy, len }, 1);
		free(copy);
		memstage_turn(m);
	}
	return true;
}

static inline void memstage_event(struct memstage *m, enum stage_event ev, enum fail why)
{
	m->stage.fail = why;
	stage_emit(&m->stage, ev, NULL, 0);
	memstage_turn(m);
}

static inline void memstage_drain(struct memstage *m)
{
	m->full = false;
	stage_set_queued(&m->stage, 0);
	memstage_turn(m);
}

#endif
