/* SPDX-License-Identifier: Apache-2.0 */
#include "net/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A mount that is in nobody's tree. The C library of some supported systems has no wrappers for these calls. */
static int mount_private(void)
{
	int fs = (int)syscall(SYS_fsopen, "cgroup2", FSOPEN_CLOEXEC);
	int fd = -1;

	if (fs < 0)
		return -errno;
	if (syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
		fd = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, 0);
	if (fd < 0)
		fd = -errno;
	close(fs);
	return fd;
}

/* "0::/user.slice/x" is our group; "/" is the root. */
static int own_group(char *path, size_t size)
{
	FILE *f = fopen("/proc/self/cgroup", "re");
	char line[PATH_MAX];
	int r = -ENOENT;

	if (!f)
		return -errno;
	while (r < 0 && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "0::/", 4) == 0)
			r = snprintf(path, size, "%s", line + 3) < (int)size ? 0 : -ENAMETOOLONG;
	}
	fclose(f);
	return r;
}

static unsigned depth(const char *path)
{
	unsigned n = 0;

	for (; *path; path++)
		n += *path == '/' && path[1] != '\0' && path[1] != '/';
	return n;
}

static int make(struct cgroup *c, const char **what)
{
	char own[PATH_MAX / 2];
	int r;

	*what = "mount cgroup2";
	c->root = mount_private();
	if (c->root < 0)
		return c->root;
	*what = "find our own group";
	r = own_group(own, sizeof(own));
	if (r < 0)
		return r;
	if (strpbrk(own, "\"\\") || strstr(own, "/../"))
		return -EINVAL;
	*what = "open our own group";
	c->parent = openat(c->root, own[1] ? own + 1 : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->parent < 0)
		return -errno;
	*what = "make a group";
	if (mkdirat(c->parent, c->name, 0755) < 0)
		return -errno;
	c->dir = openat(c->parent, c->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->dir < 0) {
		r = -errno;
		unlinkat(c->parent, c->name, AT_REMOVEDIR);
		return r;
	}
	c->level = depth(own) + 1;
	snprintf(c->nft_path, sizeof(c->nft_path), "../../../proc/%d/fd/%d%s%s%s", (int)getpid(), c->root, own,
		 own[1] ? "/" : "", c->name);
	return 0;
}

static void close_all(struct cgroup *c)
{
	int *fd[] = { &c->dir, &c->parent, &c->root };

	for (int i = 0; i < 3; i++) {
		if (*fd[i] >= 0)
			close(*fd[i]);
		*fd[i] = -1;
	}
}

int cgroup_make(struct cgroup *c, const char *name, struct err *err)
{
	const char *what;
	int r;

	*c = (struct cgroup){ .parent = -1, .dir = -1, .root = -1 };
	snprintf(c->name, sizeof(c->name), "%s", name);
	r = make(c, &what);
	if (r < 0) {
		close_all(c);
		return err_set(err, r, "cgroup v2: cannot %s: %s", what, strerror(-r));
	}
	return 0;
}

static int put_process(int dir, const char *pid)
{
	int fd = openat(dir, "cgroup.procs", O_WRONLY | O_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	r = write(fd, pid, strlen(pid)) < 0 ? -errno : 0;
	close(fd);
	return r;
}

int cgroup_enter(const struct cgroup *c)
{
	return put_process(c->dir, "0");
}

static int move_out(struct cgroup *c)
{
	int fd = openat(c->dir, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
	char pid[32];
	int n = 0;

	if (!f)
		return -errno;
	while (fgets(pid, sizeof(pid), f))
		n += put_process(c->parent, pid) == 0;
	fclose(f);
	return n;
}

int cgroup_remove(struct cgroup *c)
{
	int moved = 0, r = -EBUSY;

	if (c->parent < 0)
		return 0;
	/* Those inside may fork while they are being moved, hence some tries. */
	for (int i = 0; i < 10 && r == -EBUSY; i++) {
		int n = move_out(c);

		moved += n > 0 ? n : 0;
		r = unlinkat(c->parent, c->name, AT_REMOVEDIR) < 0 ? -errno : 0;
		if (r == -EBUSY)
			usleep(10000);
	}
	close_all(c);
	return r < 0 ? r : moved;
}
