/* SPDX-License-Identifier: Apache-2.0 */
#include "net/notify.h"

#include <check.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A service manager's socket, at a path or in the abstract namespace ("@..."). */
static int manager(const char *name)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	memcpy(at.sun_path, name, strlen(name));
	if (*name == '@')
		at.sun_path[0] = '\0';
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
			 0);
	setenv("NOTIFY_SOCKET", name, 1);
	return fd;
}

static void expect(int fd, const char *want)
{
	char got[600];
	ssize_t n = recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT);

	ck_assert_int_ge(n, 0);
	got[n] = '\0';
	ck_assert_msg(strncmp(got, want, strlen(want)) == 0, "want %s, got %s", want, got);
}

START_TEST(notify_both_namespaces)
{
	char name[64];
	int fd;

	snprintf(name, sizeof(name), _i ? "@meshd-test-%d" : "/tmp/meshd-test-%d", (int)getpid());
	fd = manager(name);
	ck_assert_int_eq(notify_ready(), 0);
	expect(fd, "READY=1");
	ck_assert_int_eq(notify_reloading(), 0);
	expect(fd, "RELOADING=1\nMONOTONIC_USEC=");
	ck_assert_int_eq(notify_stopping(), 0);
	expect(fd, "STOPPING=1");
	ck_assert_int_eq(notify_status("3 workloads\nREADY=1"), 0);
	expect(fd, "STATUS=3 workloads");
	close(fd);
	if (!_i)
		unlink(name);
}
END_TEST

START_TEST(notify_nobody_listens)
{
	unsetenv("NOTIFY_SOCKET");
	ck_assert_int_eq(notify_ready(), 0);
	setenv("NOTIFY_SOCKET", "/nowhere/at/all", 1);
	ck_assert_int_eq(notify_ready(), -ENOENT);
	setenv("NOTIFY_SOCKET", "relative", 1);
	ck_assert_int_eq(notify_ready(), -EINVAL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("notify");
	TCase *tc = tcase_create("all");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_add_loop_test(tc, notify_both_namespaces, 0, 2);
	tcase_add_test(tc, notify_nobody_listens);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
