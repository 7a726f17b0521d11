/* SPDX-License-Identifier: Apache-2.0 */
/* A relay between two open stages. Keeps half-close and resets, bounded memory, counts bytes. */
#ifndef IO_PUMP_H
#define IO_PUMP_H

#include <stdint.h>

#include "io/stage.h"

struct pump {
	struct stage *down, *up;         /* owned while the pump runs */
	uint64_t bytes_up;               /* from down to up, bytes accepted by up */
	uint64_t bytes_down;             /* from up to down */
	bool down_eof, up_eof;           /* may be set before the start */
	bool stopped;
	/* Both directions ended, or one side failed (why). Both stages are already done. Called once. */
	void (*on_done)(struct pump *p, enum fail why);
};

/* Takes both stages and starts reading on both. */
void pump_start(struct pump *p, struct stage *down, struct stage *up, void (*on_done)(struct pump *p, enum fail why));
/* Aborts both sides; on_done is not called. */
void pump_abort(struct pump *p, enum fail why);

#endif
