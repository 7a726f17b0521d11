/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run.h"

#include "net/cgroup.h"
#include "net/redirect.h"
#include "src/redirect_cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Only one meshd can have the ports of a network namespace, so one name is enough, and a run that was killed outright is
 * cleaned up by the next. */
#define RUN_TABLE      "meshd-run"
#define RUN_READY_MS   60000
#define RUN_STOP_MS    15000

enum { STATUS_USAGE = 2, STATUS_RUN = 125, STATUS_NOT_EXECUTABLE = 126, STATUS_NOT_FOUND = 127, STATUS_SIGNAL = 128 };

struct run {
	struct redirect capture;
	struct cgroup cgroup;
	char **meshd_argv;      /* owned; its words are borrowed */
	char **cmd;             /* borrowed */
	int notify_fd;
	char notify_name[16];   /* for NOTIFY_SOCKET */
	int signal_fd;
	sigset_t old_mask;
	pid_t meshd, command;   /* 0: not running */
	int command_status;     /* of waitpid */
	int signal;             /* that asked us to end before CMD ran */
	bool captured;
};

static void say(const char *text)
{
	fprintf(stderr, "meshd run: %s\n", text);
}

static const int handled[] = { SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 };

static int open_signals(struct run *run, struct err *err)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_LEN(handled); i++)
		sigaddset(&set, handled[i]);
	sigprocmask(SIG_BLOCK, &set, &run->old_mask);
	run->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return run->signal_fd < 0 ? err_set(err, -errno, "signalfd: %s", strerror(errno)) : 0;
}

/* An abstract name chosen by the kernel: nothing to remove afterwards. */
static int open_notify(struct run *run, struct err *err)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	socklen_t n = sizeof(sa_family_t);

	run->notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (run->notify_fd < 0 || bind(run->notify_fd, (struct sockaddr *)&at, n) < 0)
		return err_set(err, -errno, "cannot make a notification socket: %s", strerror(errno));
	n = sizeof(at);
	getsockname(run->notify_fd, (struct sockaddr *)&at, &n);
	snprintf(run->notify_name, sizeof(run->notify_name), "@%.*s",
		 (int)(n - offsetof(struct sockaddr_un, sun_path) - 1), at.sun_path + 1);
	return 0;
}

/* Our listeners share their ports among workers, and would share them with a stranger's meshd too. */
static int check_ports_free(struct err *err)
{
	static const uint16_t ports[] = { 15001, 15006, 15008 };

	for (size_t i = 0; i < ARRAY_LEN(ports); i++) {
		struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(ports[i]) };
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
		bool busy;

		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		busy = bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 && errno == EADDRINUSE;
		if (fd >= 0)
			close(fd);
		if (busy)
			return err_set(err, -EADDRINUSE, "port %u is taken: a mesh proxy runs here already (its capture: "
				       "`meshd redirect up`); end it, or run in a network namespace of its own", ports[i]);
	}
	return 0;
}

static void child_signals(const struct run *run)
{
	sigprocmask(SIG_SETMASK, &run->old_mask, NULL);
}

/* The terminal is CMD's: meshd gets a session of its own (so Ctrl-C does not reach it), no input, and stderr for its log. */
static void exec_meshd(struct run *run)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	setsid();
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	child_signals(run);
	dup2(null, STDIN_FILENO);
	dup2(STDERR_FILENO, STDOUT_FILENO);
	setenv("NOTIFY_SOCKET", run->notify_name, 1);
	execv("/proc/self/exe", run->meshd_argv);
	fprintf(stderr, "meshd run: cannot start meshd: %s\n", strerror(errno));
	_exit(STATUS_RUN);
}

static int start_meshd(struct run *run, struct err *err)
{
	pid_t pid = fork();

	if (pid < 0)
		return err_set(err, -errno, "fork: %s", strerror(errno));
	if (pid == 0)
		exec_meshd(run);
	run->meshd = pid;
	return 0;
}

static void meshd_ended(struct run *run, int status)
{
	run->meshd = 0;
	if (run->command)
		fprintf(stderr, "meshd run: meshd ended (%s %d); connections of the command are refused from now on\n",
			WIFSIGNALED(status) ? "signal" : "status",
			WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

static void reap(struct run *run)
{
	int status;

	if (run->meshd && waitpid(run->meshd, &status, WNOHANG) == run->meshd)
		meshd_ended(run, status);
	if (run->command && waitpid(run->command, &status, WNOHANG) == run->command) {
		run->command = 0;
		run->command_status = status;
	}
}

/* What the terminal sent has reached CMD as well: it is in our process group. */
static void forward(struct run *run, const struct signalfd_siginfo *si)
{
	if (!run->command)
		run->signal = (int)si->ssi_signo;
	else if (si->ssi_code != SI_KERNEL)
		kill(run->command, (int)si->ssi_signo);
}

static void read_signals(struct run *run)
{
	struct signalfd_siginfo si;

	while (read(run->signal_fd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		if (si.ssi_signo == SIGCHLD)
			reap(run);
		else
			forward(run, &si);
	}
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Waits for signals, and for notifications when ready is given. False once end_ms (0: never) has passed. */
static bool turn(struct run *run, int64_t end_ms, bool *ready)
{
	struct pollfd p[] = { { run->signal_fd, POLLIN, 0 }, { ready ? run->notify_fd : -1, POLLIN, 0 } };
	int64_t left = end_ms ? end_ms - now_ms() : -1;
	char text[256];
	ssize_t n;

	if (end_ms && left <= 0)
		return false;
	if (poll(p, ARRAY_LEN(p), (int)left) < 0)
		return errno == EINTR;
	read_signals(run);
	while (ready && (n = recv(run->notify_fd, text, sizeof(text) - 1, 0)) >= 0) {
		text[n] = '\0';
		*ready |= strncmp(text, "READY=1", 7) == 0 || strstr(text, "\nREADY=1");
	}
	return true;
}

static int wait_ready(struct run *run, struct err *err)
{
	int64_t end_ms = now_ms() + RUN_READY_MS;
	bool ready = false;

	while (!ready && run->meshd && !run->signal)
		if (!turn(run, end_ms, &ready))
			return err_set(err, -ETIMEDOUT, "meshd did not get ready within %d s; its log above says what it "
				       "waits for", RUN_READY_MS / 1000);
	if (run->signal)
		return err_set(err, -EINTR, "interrupted before the command was started");
	if (!run->meshd)
		return err_set(err, -ECHILD, "meshd ended before it was ready; its log above says why");
	return 0;
}

/* A uid of this range belongs to no account (systemd keeps it for services' passing users). */
static uint32_t spare_uid(void)
{
	const uint32_t first = 61184, n = 65519 - 61184 + 1;
	uint32_t at = (uint32_t)getpid() % n;

	while (getpwuid(first + at))
		at = (at + 1) % n;
	return first + at;
}

/* Decides how CMD's sockets are told from everybody else's. */
static void own_sockets(struct run *run)
{
	char name[64];
	struct err err;

	snprintf(name, sizeof(name), "meshd-run-%d", (int)getpid());
	if (cgroup_make(&run->cgroup, name, &err) == 0) {
		run->capture.cgroup = xstrdup(run->cgroup.nft_path);
		run->capture.cgroup_level = run->cgroup.level;
		return;
	}
	run->capture.one_uid = true;
	run->capture.uid = spare_uid();
	fprintf(stderr, "meshd run: %s; so the command runs as uid %u, and what connects to it is not captured\n",
		err.msg, run->capture.uid);
}

static void exec_command(struct run *run)
{
	int r = 0;

	if (run->capture.cgroup)
		r = cgroup_enter(&run->cgroup);
	else if (setresuid(run->capture.uid, run->capture.uid, run->capture.uid) < 0)
		r = -errno;
	if (r < 0) {
		fprintf(stderr, "meshd run: cannot set the command apart: %s\n", strerror(-r));
		_exit(STATUS_RUN);
	}
	child_signals(run);
	execvp(run->cmd[0], run->cmd);
	fprintf(stderr, "meshd run: %s: %s\n", run->cmd[0], strerror(errno));
	_exit(errno == ENOENT ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE);
}

static int start_command(struct run *run, struct err *err)
{
	pid_t pid = fork();

	if (pid < 0)
		return err_set(err, -errno, "fork: %s", strerror(errno));
	if (pid == 0)
		exec_command(run);
	run->command = pid;
	return 0;
}

static int start(struct run *run, struct err *err)
{
	int r;

	if (geteuid() != 0)
		return err_set(err, -EPERM, "capture needs CAP_NET_ADMIN: run as root");
	r = check_ports_free(err);
	if (r == 0)
		r = open_signals(run, err);
	if (r == 0)
		r = open_notify(run, err);
	if (r == 0)
		r = start_meshd(run, err);
	if (r == 0)
		r = wait_ready(run, err);
	if (r < 0)
		return r;
	own_sockets(run);
	run->captured = true;
	r = redirect_up(&run->capture, err);
	return r < 0 ? r : start_command(run, err);
}

static void stop_meshd(struct run *run)
{
	int64_t end_ms = now_ms() + RUN_STOP_MS;

	if (!run->meshd)
		return;
	kill(run->meshd, SIGTERM);
	run->signal = 0;
	/* A further signal means that somebody is tired of waiting. */
	while (run->meshd && !run->signal)
		if (!turn(run, end_ms, NULL))
			break;
	if (run->meshd) {
		kill(run->meshd, SIGKILL);
		waitpid(run->meshd, NULL, 0);
	}
}

static void stop(struct run *run)
{
	struct err err;
	int left;

	if (run->captured && redirect_down(run->capture.table, &err) < 0)
		say(err.msg);
	left = cgroup_remove(&run->cgroup);
	if (left > 0)
		fprintf(stderr, "meshd run: %d processes of the command are still there, no longer in the mesh\n", left);
	else if (left < 0)
		fprintf(stderr, "meshd run: the cgroup %s stays behind: %s\n", run->cgroup.name, strerror(-left));
	stop_meshd(run);
}

static int execute(struct run *run)
{
	struct err err;
	int status = STATUS_RUN, asked;

	if (start(run, &err) < 0) {
		say(err.msg);
		asked = run->signal;
		stop(run);
		return asked ? STATUS_SIGNAL + asked : status;
	}
	while (run->command)
		turn(run, 0, NULL);
	status = run->command_status;
	stop(run);
	return WIFSIGNALED(status) ? STATUS_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status);
}

static void help(FILE *out)
{
	fputs("usage: meshd run [meshd options] [capture options] -- CMD [args]\n"
	      "\n"
	      "Starts a meshd (--mode=ztunnel unless told otherwise), leads the TCP connections of CMD and its children\n"
	      "through it, and no others, and takes everything down when CMD ends. The exit status is CMD's.\n"
	      "\n", out);
	redirect_options_help(out);
	fputs("\nAll other options are meshd's: see `meshd --help`. Its log goes to stderr.\n", out);
}

/* Sorts the words before "--": capture options are ours, the rest is meshd's. Returns 1 when help was asked for. */
static int parse(struct run *run, int argc, char **argv, struct err *err)
{
	const char *mode = NULL;
	int n = 0, at, r;

	run->meshd_argv = xcalloc((size_t)argc + 3, sizeof(*run->meshd_argv));
	run->meshd_argv[n++] = (char *)"meshd";
	for (at = 1; at < argc && strcmp(argv[at], "--") != 0; at++) {
		if (strcmp(argv[at], "--help") == 0 || strcmp(argv[at], "-h") == 0)
			return 1;
		r = redirect_option(&run->capture, argc, argv, &at, err);
		if (r < 0)
			return r;
		if (r > 0)
			continue;
		if (strncmp(argv[at], "--mode=", 7) == 0)
			mode = argv[at] + 7;
		else if (strcmp(argv[at], "--mode") == 0 && at + 1 < argc)
			mode = argv[at + 1];
		run->meshd_argv[n++] = argv[at];
	}
	if (at >= argc - 1)
		return err_set(err, -EINVAL, "which command? meshd run [options] -- CMD [args]");
	run->cmd = argv + at + 1;
	if (!mode)
		run->meshd_argv[n] = (char *)"--mode=ztunnel";
	return mode ? redirect_set_mode(&run->capture, mode, err) : 0;
}

int run_command(int argc, char **argv)
{
	struct run run = { .cgroup = { .parent = -1, .dir = -1, .root = -1 }, .notify_fd = -1, .signal_fd = -1 };
	struct err err;
	int status;

	redirect_init(&run.capture, REDIRECT_ZTUNNEL);
	run.capture.table = RUN_TABLE;
	status = parse(&run, argc, argv, &err);
	if (status < 0) {
		fprintf(stderr, "meshd run: %s\nTry `meshd run --help`.\n", err.msg);
		status = STATUS_USAGE;
	} else if (status > 0) {
		help(stdout);
		status = 0;
	} else {
		status = execute(&run);
	}
	if (run.signal_fd >= 0)
		close(run.signal_fd);
	if (run.notify_fd >= 0)
		close(run.notify_fd);
	redirect_done(&run.capture);
	free(run.meshd_argv);
	return status;
}
