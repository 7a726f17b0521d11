/* SPDX-License-Identifier: Apache-2.0 */
#include "base/backoff.h"

#include <sys/random.h>

unsigned backoff_next(struct backoff *b)
{
	unsigned now = b->next_ms ? b->next_ms : b->min_ms, chance = 0, span = now * 2 / 5;

	b->next_ms = now < b->max_ms / 2 ? now * 2 : b->max_ms;
	if (getrandom(&chance, sizeof(chance), GRND_NONBLOCK) < 0)
		chance = now;
	return now - now / 5 + chance % (span + 1);
}

void backoff_reset(struct backoff *b)
{
	b->next_ms = 0;
}
