/* SPDX-License-Identifier: Apache-2.0 */
#include "io/share.h"

#include <stdlib.h>
#include <time.h>

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

struct share *share_new(struct loop *l)
{
	struct share *s = xcalloc(1, sizeof(*s));

	s->loop = l;
	s->refs = 1;
	return s;
}

struct share *share_ref(struct share *s)
{
	if (s)
		s->refs++;
	return s;
}

void share_unref(struct share *s)
{
	if (s && --s->refs == 0)
		free(s);
}

/* As many parties as the turn before had; the first event of a turn closes that count. */
static uint64_t budget_ns(struct loop *l)
{
	unsigned n = l->parties > l->parties_before ? l->parties : l->parties_before;
	uint64_t us = LIMIT_TURN_US / (n ? n : 1);

	return (us > LIMIT_TURN_LEAST_US ? us : LIMIT_TURN_LEAST_US) * 1000;
}

bool share_begin(struct share *s)
{
	if (!s)
		return true;
	if (s->turn != s->loop->turn) {
		s->turn = s->loop->turn;
		s->spent_ns = 0;
		s->loop->parties++;
	}
	if (s->spent_ns >= budget_ns(s->loop))
		return false;
	s->began_ns = now_ns();
	return true;
}

void share_end(struct share *s)
{
	if (s)
		s->spent_ns += now_ns() - s->began_ns;
}
