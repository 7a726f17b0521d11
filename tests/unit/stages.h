/* SPDX-License-Identifier: Apache-2.0 */
/* Real sockets for tests of stages: a loopback TCP pair, one end plain, and a loop that is turned by hand. */
#ifndef TESTS_STAGES_H
#define TESTS_STAGES_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "io/sock.h"
#include "tests/unit/suite.h"

/* near is non-blocking, for sock_accept; far blocks for at most 5 s. */
static inline void tcp_pair(int *near, int *far)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	struct timeval limit = { .tv_sec = 5 };
	socklen_t len = sizeof(at);
	int l = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_eq(bind(l, (struct sockaddr *)&at, sizeof(at)), 0);
	ck_assert_int_eq(listen(l, 1), 0);
	getsockname(l, (struct sockaddr *)&at, &len);
	*far = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(connect(*far, (struct sockaddr *)&at, sizeof(at)), 0);
	*near = accept4(l, NULL, NULL, SOCK_NONBLOCK);
	ck_assert_int_ge(*near, 0);
	setsockopt(*far, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	close(l);
}

/* Turns the loop for a while; what is to happen on loopback has happened then. */
static inline void turn(struct loop *l)
{
	for (int i = 0; i < 40; i++) {
		ev_run(l->ev, EVRUN_NOWAIT);
		nanosleep(&(struct timespec){ .tv_nsec = 500000 }, NULL);
	}
}

static inline void reset_and_close(int fd)
{
	struct linger now = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

#endif
