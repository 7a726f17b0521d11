/* SPDX-License-Identifier: Apache-2.0 */
/* What an operator may set of the data path (ztunnel's variables of the environment): filled before the first thread starts,
 * and constant from then on. The caps that nobody may set are in limits.h. */
#ifndef BASE_TUNING_H
#define BASE_TUNING_H

#include <stdbool.h>

struct tuning {
	unsigned pool_streams;        /* of one pooled tunnel; 0: as many as the peer allows */
	unsigned pool_idle_ms;        /* how long an unused tunnel stays */
	unsigned stream_window;       /* what a stream's receive window may grow to */
	unsigned conn_window;
	unsigned frame_bytes;         /* the largest frame that is accepted */
	unsigned keepalive_s;         /* towards other hosts: idle time before the first probe; 0: none */
	unsigned keepalive_interval_s, keepalive_count;
	unsigned user_timeout_ms;     /* TCP_USER_TIMEOUT; 0: the kernel's */
	bool baggage;                 /* tell peers of workloads in replies, and believe theirs */
	bool app_loopback;            /* an application that takes PROXY protocol is reached on loopback */
	bool dry_run_info;            /* what a dry-run policy would do is logged at info, else at debug */
};

extern struct tuning tuning;

#endif
