/* SPDX-License-Identifier: Apache-2.0 */
/* `meshd run`, with this program as the meshd that it starts: a listener on 15001 and 15006 that says where a connection
 * wanted to go. Needs root: it makes network namespaces and cgroups. */
#include "src/run.h"

#include "base/str.h"
#include "net/notify.h"
#include "net/origdst.h"

#include "shell.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char self[512];
static char dir[64];

static int listen_at(unsigned port)
{
	struct sockaddr_in6 at = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), off = 0, one = 1;

	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 64) < 0)
		exit(9);
	return fd;
}

static void answer(int l, unsigned port)
{
	char text[ADDR_TEXT], line[128];
	int fd = accept(l, NULL, NULL);
	struct addr a;

	origdst_get(fd, &a);
	snprintf(line, sizeof(line), "%u %s", port, addr_format(&a, text));
	if (write(fd, line, strlen(line)) < 0)
		perror("write");
	close(fd);
}

/* Serves the given ports for ever. */
static int serve(const unsigned *ports, int n)
{
	struct pollfd p[4];

	for (int i = 0; i < n; i++)
		p[i] = (struct pollfd){ listen_at(ports[i]), POLLIN, 0 };
	notify_status("starting");
	notify_ready();
	while (poll(p, (nfds_t)n, -1) > 0)
		for (int i = 0; i < n; i++)
			if (p[i].revents)
				answer(p[i].fd, ports[i]);
	return 0;
}

static int fake_meshd(int argc, char **argv)
{
	static const unsigned ports[] = { 15001, 15006 };

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--fail") == 0)
			return 3;
		if (strcmp(argv[i], "--never-ready") == 0)
			return pause();
	}
	return serve(ports, 2);
}

/* Prints what the other side says, "refused" or "nobody". */
static int call(const char *to, FILE *out)
{
	struct sockaddr_storage sa;
	struct addr a;
	char got[128];
	ssize_t n;
	int fd, r;

	if (addr_parse(str_c(to), &a) < 0)
		return 2;
	n = addr_to_sockaddr(&a, 0, &sa);
	fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	r = connect(fd, (struct sockaddr *)&sa, (socklen_t)n);
	r = r < 0 && errno == EINPROGRESS ? poll(&(struct pollfd){ fd, POLLIN, 0 }, 1, 700) : -1;
	n = r > 0 ? read(fd, got, sizeof(got)) : 0;
	fprintf(out, "%.*s\n", n > 0 ? (int)n : 6, n > 0 ? got : n < 0 ? "refused" : "nobody");
	close(fd);
	return 0;
}

static pid_t last_run;

/* `meshd run` with these words, in a process of its own. */
static pid_t start_run(const char *const *words)
{
	char *argv[16] = { (char *)"run" };
	int n = 1;
	pid_t pid;

	while (*words)
		argv[n++] = (char *)*words++;
	pid = fork();
	if (pid == 0)
		_exit(run_command(n, argv));
	last_run = pid;
	return pid;
}

/* Its exit status; signals as 128+n. */
static int end_run(pid_t pid)
{
	int status;

	waitpid(pid, &status, 0);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

#define RUN(...) end_run(start_run((const char *const[]){ __VA_ARGS__, NULL }))

static const char *output(const char *command)
{
	static char got[4096];

	shell_read(command, got, sizeof(got));
	return got;
}

static void expect_clean(void)
{
	char find[160];

	ck_assert_str_eq(output("nft list tables"), "");
	ck_assert_str_eq(output("ip rule | grep 0x111; ip -6 rule | grep 0x111"), "");
	snprintf(find, sizeof(find), "find /sys/fs/cgroup -name 'meshd-run-%d'", (int)last_run);
	ck_assert_str_eq(output(find), "");
}

static void isolate(void)
{
	ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
	ck_assert_int_eq(shell("ip link set lo up && ip link add m0 type veth peer name m1 && ip link set m0 up && "
				"ip link set m1 up && ip addr add 10.9.0.2/24 dev m0 && "
				"ip addr add fd09::2/64 dev m0 nodad"), 0);
	snprintf(dir, sizeof(dir), "/tmp/test-run-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chmod(dir, 0777), 0);
	setenv("DIR", dir, 1);
	setenv("SELF", self, 1);
}

static void tidy(void)
{
	char rm[128];

	snprintf(rm, sizeof(rm), "rm -rf %s", dir);
	ck_assert_int_eq(shell(rm), 0);
}

static void wait_file(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	for (int i = 0; i < 100 && access(path, F_OK) < 0; i++)
		usleep(50000);
	ck_assert_int_eq(access(path, F_OK), 0);
}

static const struct { const char *shell; int want; } status_rows[] = {
	{ "exit 0", 0 }, { "exit 7", 7 }, { "kill -9 $$", 137 }, { "kill -TERM $$", 143 },
};

START_TEST(run_passes_status)
{
	isolate();
	ck_assert_int_eq(RUN("--", "sh", "-c", status_rows[_i].shell), status_rows[_i].want);
	expect_clean();
	tidy();
}
END_TEST

START_TEST(run_refuses)
{
	isolate();
	ck_assert_int_eq(RUN("--", "/no/such/program"), 127);
	ck_assert_int_eq(RUN("--", "/dev/null"), 126);
	ck_assert_int_eq(RUN("--fail", "--", "true"), 125);
	ck_assert_int_eq(RUN("--"), 2);
	ck_assert_int_eq(RUN("true"), 2);
	ck_assert_int_eq(RUN("--mode=waypoint", "--", "true"), 2);
	ck_assert_int_eq(RUN("--exclude-uids=x", "--", "true"), 2);
	close(listen_at(15006));
	listen_at(15008);
	ck_assert_int_eq(RUN("--", "true"), 125);
	expect_clean();
	tidy();
}
END_TEST

static const char *const call_rows[] = { "10.9.0.77:80", "[fd09::77]:80" };

START_TEST(run_captures_command_and_children)
{
	char want[128];

	isolate();
	setenv("TO", call_rows[_i], 1);
	ck_assert_int_eq(RUN("--", "sh", "-c", "\"$SELF\" call $TO >$DIR/1; sh -c '\"$SELF\" call $TO >$DIR/2; :'; :"), 0);
	snprintf(want, sizeof(want), "15001 %s\n15001 %s\n", call_rows[_i], call_rows[_i]);
	ck_assert_str_eq(output("cat $DIR/1 $DIR/2"), want);
	expect_clean();
	tidy();
}
END_TEST

START_TEST(run_leaves_others_alone)
{
	pid_t pid;

	isolate();
	pid = start_run((const char *const[]){ "--exclude-outbound-ports=81", "--", "sh", "-c",
		"\"$SELF\" call 10.9.0.77:81 >$DIR/excluded; touch $DIR/up; while [ ! -e $DIR/done ]; do sleep 0.05; done",
		NULL });
	wait_file("up");
	ck_assert_str_eq(output("nft list tables"), "table inet meshd-run\n");
	ck_assert_str_eq(output("\"$SELF\" call 10.9.0.77:80"), "nobody\n");
	ck_assert_int_eq(shell("touch $DIR/done"), 0);
	ck_assert_int_eq(end_run(pid), 0);
	ck_assert_str_eq(output("cat $DIR/excluded"), "nobody\n");
	expect_clean();
	tidy();
}
END_TEST

/* Another host at the far end of the wire. */
static pid_t far_host(void)
{
	char move[128];
	int sync[2];
	char c = 0;
	pid_t pid;

	ck_assert_int_eq(pipe(sync), 0);
	pid = fork();
	if (pid == 0) {
		unshare(CLONE_NEWNET);
		ck_assert_int_eq(write(sync[1], &c, 1), 1);
		for (;;)
			pause();
	}
	ck_assert_int_eq(read(sync[0], &c, 1), 1);
	snprintf(move, sizeof(move), "ip link set m1 netns %d && nsenter -t %d -n sh -c "
		 "'ip addr add 10.9.0.1/24 dev m1; ip link set m1 up'", (int)pid, (int)pid);
	ck_assert_int_eq(shell(move), 0);
	return pid;
}

START_TEST(run_captures_what_arrives)
{
	char far[128];
	pid_t host, pid;

	isolate();
	host = far_host();
	pid = start_run((const char *const[]){ "--", "sh", "-c",
		"\"$SELF\" serve 8080 & touch $DIR/up; while [ ! -e $DIR/done ]; do sleep 0.05; done; kill $!", NULL });
	wait_file("up");
	if (fork() == 0)
		serve(&(unsigned){ 8081 }, 1);
	usleep(300000);
	snprintf(far, sizeof(far), "nsenter -t %d -n \"$SELF\" call 10.9.0.2:8080", (int)host);
	ck_assert_str_eq(output(far), "15006 10.9.0.2:8080\n");
	snprintf(far, sizeof(far), "nsenter -t %d -n \"$SELF\" call 10.9.0.2:8081", (int)host);
	ck_assert_str_eq(output(far), "8081 10.9.0.2:8081\n");
	ck_assert_int_eq(shell("touch $DIR/done"), 0);
	ck_assert_int_eq(end_run(pid), 0);
	expect_clean();
	kill(host, SIGKILL);
	tidy();
}
END_TEST

static const int signal_rows[] = { SIGTERM, SIGINT, SIGHUP };

START_TEST(run_forwards_signals)
{
	pid_t pid;

	isolate();
	pid = start_run((const char *const[]){ "--", "sh", "-c",
		"trap 'exit 3' TERM INT HUP; touch $DIR/up; while :; do sleep 0.05; done", NULL });
	wait_file("up");
	kill(pid, signal_rows[_i]);
	ck_assert_int_eq(end_run(pid), 3);
	expect_clean();
	tidy();
}
END_TEST

START_TEST(run_stopped_before_ready)
{
	pid_t pid;

	isolate();
	pid = start_run((const char *const[]){ "--never-ready", "--", "touch", "/tmp/never", NULL });
	usleep(500000);
	kill(pid, SIGTERM);
	ck_assert_int_eq(end_run(pid), 143);
	expect_clean();
	tidy();
}
END_TEST

/* What CMD leaves running goes on, outside; a run that was killed outright is cleaned up by the next. */
START_TEST(run_leftovers)
{
	pid_t pid;

	isolate();
	ck_assert_int_eq(RUN("--", "sh", "-c", "sleep 300 & echo $! >$DIR/pid"), 0);
	expect_clean();
	ck_assert_int_eq(shell("kill $(cat $DIR/pid)"), 0);
	pid = start_run((const char *const[]){ "--", "sh", "-c", "echo $$ >$DIR/pid; touch $DIR/up; exec sleep 300", NULL });
	wait_file("up");
	kill(pid, SIGKILL);
	ck_assert_int_eq(end_run(pid), 137);
	usleep(300000);
	ck_assert_int_eq(RUN("--", "true"), 0);
	expect_clean();
	ck_assert_int_eq(shell("g=$(cut -d: -f3 /proc/$(cat $DIR/pid)/cgroup | tail -1); kill $(cat $DIR/pid); sleep 0.1; "
				"d=$(find /sys/fs/cgroup -path \"*$g\" | head -1); rmdir $d"), 0);
	tidy();
}
END_TEST

/* Without CAP_SYS_ADMIN there is no cgroup to be had. */
START_TEST(run_by_uid)
{
	isolate();
	ck_assert_int_eq(shell("setpriv --bounding-set -sys_admin \"$SELF\" run -- sh -c "
				"'id -u >$DIR/uid; \"$SELF\" call 10.9.0.77:80 >$DIR/1'"), 0);
	ck_assert_str_eq(output("cat $DIR/1"), "15001 10.9.0.77:80\n");
	ck_assert_int_ge(strtol(output("cat $DIR/uid"), NULL, 10), 61184);
	expect_clean();
	tidy();
}
END_TEST

static int run_suite(void)
{
	Suite *s = suite_create("run");
	TCase *tc = tcase_create("all");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_set_timeout(tc, 30);
	tcase_add_loop_test(tc, run_passes_status, 0, ARRAY_LEN(status_rows));
	tcase_add_test(tc, run_refuses);
	tcase_add_loop_test(tc, run_captures_command_and_children, 0, ARRAY_LEN(call_rows));
	tcase_add_test(tc, run_leaves_others_alone);
	tcase_add_test(tc, run_captures_what_arrives);
	tcase_add_loop_test(tc, run_forwards_signals, 0, ARRAY_LEN(signal_rows));
	tcase_add_test(tc, run_stopped_before_ready);
	tcase_add_test(tc, run_leftovers);
	tcase_add_test(tc, run_by_uid);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}

int main(int argc, char **argv)
{
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	self[n > 0 ? n : 0] = '\0';
	setenv("PATH", "/usr/sbin:/sbin:/usr/bin:/bin", 1);
	if (argc > 2 && strcmp(argv[1], "call") == 0)
		return call(argv[2], stdout);
	if (argc > 2 && strcmp(argv[1], "serve") == 0)
		return serve(&(unsigned){ (unsigned)strtoul(argv[2], NULL, 10) }, 1);
	if (argc > 1 && strcmp(argv[1], "run") == 0)
		return run_command(argc - 1, argv + 1);
	if (argc > 1)
		return fake_meshd(argc, argv);
	if (getuid() != 0) {
		puts("SKIP run: needs root");
		return 77;
	}
	signal(SIGHUP, SIG_DFL);   /* nohup's ignoring would be passed on */
	return run_suite();
}
