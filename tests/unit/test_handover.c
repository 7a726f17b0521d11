/* SPDX-License-Identifier: Apache-2.0 */
/* Whom sockets are taken from, and what of them is kept. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "modes/handover.h"
#include "modes/pod.h"
#include "tests/unit/suite.h"

static char base[64], dir[80], path[108];
static struct loop *l;
static struct proxy proxy;
static struct handover *h;
static struct err err;

static void on_taken(bool same_netns, void *arg) {}
static void on_released(void *arg) {}
static const struct handover_ops ops = { on_taken, on_released };

static void start(void)
{
	snprintf(base, sizeof(base), "/tmp/meshd-handover.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(base));
	snprintf(dir, sizeof(dir), "%s/d", base);
	snprintf(path, sizeof(path), "%s/handover.sock", dir);
	l = loop_new(-1);
	list_init(&proxy.inherited);
	h = NULL;
}

static void stop(void)
{
	proxy_disinherit(&proxy);
	handover_free(h);
	loop_free(l);
	unlink(path);
	rmdir(dir);
	unlink(dir);
	rmdir(base);
}

static int make(void)
{
	return handover_new(l, &proxy, dir, &ops, NULL, &h, &err);
}

START_TEST(only_in_a_directory_of_our_own)
{
	struct stat st;

	ck_assert_int_eq(make(), 0);
	ck_assert_int_eq(stat(dir, &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0700);
	ck_assert_int_eq(handover_take(h), 0);             /* nobody is there */
	ck_assert(!handover_pending(h));
	handover_free(h);
	h = NULL;
	ck_assert_int_eq(chmod(dir, 0750), 0);
	ck_assert_int_eq(make(), -EPERM);
	ck_assert_ptr_nonnull(strstr(err.msg, "0700"));
	rmdir(dir);
	ck_assert_int_eq(symlink("/root", dir), 0);        /* somebody else's choice of place */
	ck_assert_int_eq(make(), -EPERM);
	unlink(dir);
	ck_assert_int_eq(symlink(base, dir), 0);
	ck_assert_int_eq(make(), -EPERM);
}
END_TEST

static bool no_listener;

static int listening(void)
{
	int s = socket(AF_INET, SOCK_STREAM, 0);

	return listen(s, 1) == 0 ? s : -1;
}

static void say(int fd, const char *packet, size_t n, int n_fds)
{
	union { char room[CMSG_SPACE(4 * sizeof(int))]; struct cmsghdr align; } control = { { 0 } };
	struct iovec iov = { (void *)packet, n };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	int fd0 = no_listener ? 0 : listening(), fds[4] = { fd0, fd0, fd0, fd0 };

	if (n_fds) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE((size_t)n_fds * sizeof(int));
		control.align = (struct cmsghdr){ CMSG_LEN((size_t)n_fds * sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
		memcpy(CMSG_DATA(&control.align), fds, (size_t)n_fds * sizeof(int));
	}
	sendmsg(fd, &msg, 0);
}

/* sockets { pod: "p" netns_dev: 1 netns_ino: 2 kinds: "hbone" kinds: "future" }, and end */
#define SOCKETS "\x12\x16\x0a\x01p\x10\x01\x18\x02\x22\x05hbone\x22\x06" "future"
#define END     "\x1a\x00"

enum behaviour { COMPLETE, BROKEN_OFF, GARBAGE, FEWER_KINDS };

/* An old process that says one of these. */
static pid_t old_one(enum behaviour what)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_SEQPACKET, 0), fd;
	char take[64];
	pid_t pid;

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	unlink(path);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&sa, sizeof(sa)), 0);
	ck_assert_int_eq(listen(listener, 1), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid) {
		close(listener);
		return pid;
	}
	fd = accept(listener, NULL, NULL);
	if (recv(fd, take, sizeof(take), 0) < 3 || take[0] != 10)
		_exit(1);
	if (what == GARBAGE)
		say(fd, "garbage", 7, 3);
	else
		say(fd, SOCKETS, sizeof(SOCKETS) - 1, what == FEWER_KINDS ? 4 : 2);
	if (what == COMPLETE || what == FEWER_KINDS)
		say(fd, END, 2, 0);
	_exit(0);
}

static int inherited(void)
{
	int n = 0;

	list_each(at, &proxy.inherited)
		n++;
	return n;
}

static void expect(enum behaviour what, int taken)
{
	int status;
	pid_t pid = old_one(what);

	ck_assert_int_eq(handover_take(h), taken);
	ck_assert_int_eq(inherited(), taken);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}

START_TEST(takes_all_or_nothing)
{
	ck_assert_int_eq(make(), 0);
	expect(BROKEN_OFF, 0);
	expect(GARBAGE, 0);
	expect(COMPLETE, 1);               /* a kind of a later version is left */
	ck_assert(handover_pending(h));
}
END_TEST

START_TEST(what_is_no_listener_is_not_kept)
{
	no_listener = true;
	ck_assert_int_eq(make(), 0);
	expect(COMPLETE, 0);
	no_listener = false;
}
END_TEST

START_TEST(more_descriptors_than_kinds)
{
	ck_assert_int_eq(make(), 0);
	expect(FEWER_KINDS, 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("handover");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, start, stop);
	tcase_add_test(tc, only_in_a_directory_of_our_own);
	tcase_add_test(tc, takes_all_or_nothing);
	tcase_add_test(tc, what_is_no_listener_is_not_kept);
	tcase_add_test(tc, more_descriptors_than_kinds);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
