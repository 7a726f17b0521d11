/* SPDX-License-Identifier: Apache-2.0 */
/* Shell commands for tests that arrange a network namespace of their own. */
#ifndef TESTS_UNIT_SHELL_H
#define TESTS_UNIT_SHELL_H

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs command; what it writes goes into out (size bytes, cut) when there is one. Its exit status, -1 for a signal. */
static inline int shell_read(const char *command, char *out, size_t size)
{
	size_t n = 0;
	ssize_t got;
	int p[2], status;
	pid_t pid;

	if (pipe2(p, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		if (out)
			dup2(p[1], STDOUT_FILENO);
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	close(p[1]);
	while (out && n < size - 1 && (got = read(p[0], out + n, size - 1 - n)) > 0)
		n += (size_t)got;
	if (out)
		out[n] = '\0';
	close(p[0]);
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static inline int shell(const char *command)
{
	return shell_read(command, NULL, 0);
}

#endif
