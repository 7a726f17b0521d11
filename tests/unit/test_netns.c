/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/netns.h"
#include "tests/unit/suite.h"

/* A namespace of the test's own, and another one that only the descriptor holds; -1: not permitted here. */
static int another(void)
{
	int fd;

	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0 && unshare(CLONE_NEWNET) < 0)
		return -1;
	fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	return unshare(CLONE_NEWNET) < 0 ? -1 : fd;
}

static struct netns_id here(void)
{
	struct netns_id id = { 0 };
	int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

	ck_assert_int_eq(netns_identify(fd, &id), 0);
	close(fd);
	return id;
}

static int note(void *arg)
{
	*(struct netns_id *)arg = here();
	return 7;
}

static bool same(struct netns_id a, struct netns_id b)
{
	return a.dev == b.dev && a.ino == b.ino;
}

START_TEST(goes_in_and_comes_back)
{
	struct netns_id there, before, id;
	int fd = another(), s;
	struct err err;

	if (fd < 0)
		return;
	ck_assert_int_eq(netns_run(fd, note, &id), -EPERM);   /* before netns_init nobody could come back */
	ck_assert_int_eq(netns_init(&err), 0);
	before = here();
	ck_assert_int_eq(netns_identify(fd, &there), 0);
	ck_assert(!same(before, there));
	ck_assert_int_eq(netns_run(fd, note, &id), 7);
	ck_assert(same(id, there) && same(here(), before));
	ck_assert_int_eq(netns_run(NETNS_OWN, note, &id), 7);
	ck_assert(same(id, before));
	ck_assert_int_eq(netns_identify(NETNS_OWN, &id), 0);
	ck_assert(same(id, before));
	s = netns_socket(fd, AF_INET, SOCK_DGRAM, 0);
	ck_assert_int_ge(s, 0);
	ck_assert(fcntl(s, F_GETFD) & FD_CLOEXEC);
	ck_assert(same(here(), before));
	close(s);
	close(fd);
}
END_TEST

START_TEST(refuses_what_is_none)
{
	struct netns_id id = { 1, 1 };
	int file = open("/dev/null", O_RDONLY | O_CLOEXEC), uts = open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC), fd = another();
	struct err err;

	ck_assert_int_lt(netns_identify(file, &id), 0);
	ck_assert_int_lt(netns_identify(uts, &id), 0);
	ck_assert_int_lt(netns_identify(9999, &id), 0);
	ck_assert_uint_eq(id.ino, 1);
	if (fd < 0)
		return;
	ck_assert_int_eq(netns_init(&err), 0);
	ck_assert_int_eq(netns_socket(uts, AF_INET, SOCK_STREAM, 0), -EINVAL);
	ck_assert_int_lt(netns_socket(file, AF_INET, SOCK_STREAM, 0), 0);
	close(file);
	close(uts);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("netns");
	TCase *tc = tcase_create("all");

	tcase_add_test(tc, goes_in_and_comes_back);
	tcase_add_test(tc, refuses_what_is_none);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
