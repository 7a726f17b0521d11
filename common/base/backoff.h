/* SPDX-License-Identifier: Apache-2.0 */
/* How long to wait before the next try: doubling from min to max, a fifth more or less by chance, so that many who
 * lost the same server do not come back at the same moment. Embed it; zero apart from min and max. */
#ifndef BASE_BACKOFF_H
#define BASE_BACKOFF_H

struct backoff {
	unsigned min_ms, max_ms;
	unsigned next_ms;      /* before chance; 0: min_ms */
};

unsigned backoff_next(struct backoff *b);   /* milliseconds; at most max_ms and a fifth */
void backoff_reset(struct backoff *b);      /* something worked */

#endif
