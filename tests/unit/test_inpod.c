/* SPDX-License-Identifier: Apache-2.0 */
/* The ZDS client against a CNI in this process: what it answers, and what it starts and stops. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/un.h>
#include <unistd.h>

#include "modes/inpod.h"
#include "tests/unit/suite.h"

#define PACKET(bytes) (bytes), sizeof(bytes) - 1
#define ADD(uid) "\x0a\x16\x0a\x02" uid "\x12\x10\x0a\x04" "cart\x12\x04shop\x1a\x02sa"
#define SNAPSHOT "\x1a\x00"

static struct loop *l;
static struct inpod *i;
static char dir[64], path[100], did[256];     /* did: "+u1 -u1 " */
static int listener, cni;
static bool start_fails;

static int on_start(const struct pod_conf *conf, void *arg, struct err *err)
{
	if (start_fails)
		return err_set(err, -EADDRINUSE, "occupied");
	ck_assert_str_eq(conf->ns, "shop");
	ck_assert_str_eq(conf->name, "cart");
	ck_assert_str_eq(conf->service_account, "sa");
	snprintf(did + strlen(did), sizeof(did) - strlen(did), "+%s ", conf->id);
	close(conf->netns);
	return 0;
}

static void on_stop(struct str id, void *arg)
{
	snprintf(did + strlen(did), sizeof(did) - strlen(did), "-%.*s ", STR_FMT(id));
}

static const struct inpod_ops ops = { .start = on_start, .stop = on_stop };

static void turn(void)
{
	for (int k = 0; k < 5; k++) {
		ev_run(l->ev, EVRUN_NOWAIT);
		usleep(2000);
	}
}

static void accept_hello(void)
{
	char hello[16];

	for (int k = 0; k < 500; k++) {
		turn();
		cni = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (cni >= 0)
			break;
	}
	ck_assert_int_ge(cni, 0);
	turn();
	ck_assert_int_eq(recv(cni, hello, sizeof(hello), MSG_DONTWAIT), 2);
	ck_assert(hello[0] == 8 && hello[1] == 1);
}

static void send_with(const char *packet, size_t n, int fd)
{
	union { char room[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } control = { { 0 } };
	struct iovec iov = { (void *)packet, n };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd >= 0) {
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
		control.align = (struct cmsghdr){ CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
		memcpy(CMSG_DATA(&control.align), &fd, sizeof(int));
	}
	ck_assert_int_eq(sendmsg(cni, &msg, 0), (ssize_t)n);
	turn();
}

/* The error text; "" is a yes. */
static const char *ask(const char *packet, size_t n, int fd)
{
	static char text[1025];
	ssize_t got;

	send_with(packet, n, fd);
	got = recv(cni, text, sizeof(text) - 1, MSG_DONTWAIT);
	ck_assert_int_ge(got, 2);
	text[got] = '\0';
	return got == 2 ? "" : text + 4;
}

static void start(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct inpod_conf conf = { .path = path };
	struct err err;

	snprintf(dir, sizeof(dir), "/tmp/meshd-inpod.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/zds.sock", dir);
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&sa, sizeof(sa)), 0);
	ck_assert_int_eq(listen(listener, 4), 0);
	did[0] = '\0';
	start_fails = false;
	l = loop_new(-1);
	ck_assert_int_eq(inpod_new(l, &conf, &ops, NULL, &i, &err), 0);
	inpod_start(i);
	accept_hello();
}

static void stop(void)
{
	inpod_free(i);
	loop_free(l);
	close(cni);
	close(listener);
	unlink(path);
	rmdir(dir);
}

static int own_netns(void)
{
	return open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
}

static bool ready(void)
{
	struct buf why = { 0 };
	bool r = inpod_ready(i, &why);

	ck_assert(r == (buf_len(&why) == 0));
	buf_done(&why);
	return r;
}

START_TEST(pods_of_a_snapshot)
{
	int fd = own_netns();

	ck_assert_str_eq(ask(PACKET(ADD("u1")), fd), "");
	ck_assert_str_eq(ask(PACKET(ADD("u2")), fd), "");
	ck_assert_str_eq(ask(PACKET(ADD("u1")), fd), "");
	ck_assert_str_eq(did, "+u1 +u2 ");
	ck_assert(!ready());
	ck_assert_str_eq(ask(PACKET(SNAPSHOT), -1), "");
	ck_assert(ready());
	ck_assert_str_eq(ask(PACKET("\x12\x04\x12\x02u1"), -1), "");
	ck_assert_str_eq(did, "+u1 +u2 -u1 ");
	close(cni);
	turn();
	ck_assert(!ready());
	accept_hello();
	ck_assert_str_eq(did, "+u1 +u2 -u1 ");
	ck_assert_str_eq(ask(PACKET(ADD("u3")), fd), "");
	ck_assert_str_eq(ask(PACKET(SNAPSHOT), -1), "");   /* u2 is not in it */
	ck_assert_str_eq(did, "+u1 +u2 -u1 +u3 -u2 ");
	ck_assert_uint_eq(inpod_counts(i).active, 1);
	ck_assert_uint_eq(inpod_counts(i).started, 3);
	ck_assert_uint_eq(inpod_counts(i).stopped, 2);
	close(fd);
}
END_TEST

START_TEST(kept_and_deleted_before_the_snapshot)
{
	int fd = own_netns();

	ck_assert_str_eq(ask(PACKET(ADD("u1")), fd), "");
	ck_assert_str_eq(ask(PACKET(ADD("u2")), fd), "");
	ck_assert_str_eq(ask(PACKET("\x12\x04\x12\x02u1"), -1), "");
	ck_assert_str_eq(ask(PACKET("\x2a\x04\x0a\x02u2"), -1), "");
	ck_assert_str_eq(did, "+u1 +u2 ");
	ck_assert_str_eq(ask(PACKET(SNAPSHOT), -1), "");
	ck_assert_str_eq(did, "+u1 +u2 -u1 ");
	close(fd);
}
END_TEST

START_TEST(protocol_errors_reconnect)
{
	char longer[1100] = { 0 };
	int fd = own_netns();

	ck_assert_str_eq(ask(PACKET(ADD("u1")), fd), "");
	ck_assert_ptr_nonnull(strstr(ask(longer, sizeof(longer), -1), "1024 bytes"));
	ck_assert_int_eq(recv(cni, longer, 1, 0), 0);
	close(cni);
	accept_hello();
	ck_assert_ptr_nonnull(strstr(ask(PACKET(SNAPSHOT), fd), "wants none"));
	ck_assert_int_eq(recv(cni, longer, 1, 0), 0);
	close(cni);
	accept_hello();
	ck_assert_str_eq(did, "+u1 ");    /* a connection that broke off ends nothing */
	close(fd);
}
END_TEST

START_TEST(failed_starts_wait)
{
	int fd = own_netns();

	start_fails = true;
	ck_assert_str_eq(ask(PACKET(ADD("u1")), fd), "failure to start proxy : occupied");
	ck_assert_str_eq(ask(PACKET(SNAPSHOT), -1), "");
	ck_assert(!ready());
	ck_assert_uint_eq(inpod_counts(i).pending, 1);
	start_fails = false;
	ck_assert_str_eq(ask(PACKET(ADD("u1")), fd), "");
	ck_assert_str_eq(did, "+u1 ");
	ck_assert(ready());
	close(fd);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("inpod");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, start, stop);
	tcase_add_test(tc, pods_of_a_snapshot);
	tcase_add_test(tc, kept_and_deleted_before_the_snapshot);
	tcase_add_test(tc, protocol_errors_reconnect);
	tcase_add_test(tc, failed_starts_wait);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
