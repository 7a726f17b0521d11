/* SPDX-License-Identifier: Apache-2.0 */
#include "base/tuning.h"

#include "base/limits.h"

struct tuning tuning = {
	.pool_idle_ms = LIMIT_POOL_IDLE_MS, .stream_window = LIMIT_STREAM_WINDOW_MAX, .conn_window = LIMIT_CONN_WINDOW,
	.frame_bytes = LIMIT_FRAME_BYTES, .keepalive_s = 180, .keepalive_interval_s = 180, .keepalive_count = 9,
	.baggage = true, .app_loopback = true, .dry_run_info = true,
};
