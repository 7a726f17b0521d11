/* SPDX-License-Identifier: Apache-2.0 */
#include "io/watch.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"

#define LOST_MS 1000   /* how often a folder that went is looked for */

#define MASK (IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF)

struct watched {
	struct watched *next;
	int wd;                 /* -1: it was removed; looked for until it is back */
	bool tree;
	bool asked;             /* the caller named it: kept when it goes */
	char path[];
};

struct watch {
	struct loop *loop;
	ev_io io;
	struct timer quiet;
	uint64_t first_ms;      /* of the changes not yet reported; 0: none */
	unsigned quiet_ms;
	void (*on_change)(void *arg);
	void *arg;
	struct watched *dirs;
	int fd;
};

/* 0: watched now; 1: it was already. */
static int add_dir(struct watch *w, const char *dir, bool tree, struct err *err)
{
	int wd = inotify_add_watch(w->fd, dir, MASK | IN_ONLYDIR);
	struct watched *d;

	if (wd < 0)
		return err_set(err, -errno, "cannot watch %s: %s", dir, errno == ENOSPC ? "too many watches; raise fs.inotify.max_user_watches" : strerror(errno));
	for (d = w->dirs; d; d = d->next)
		if (d->wd == wd)
			return 1;
	for (d = w->dirs; d; d = d->next) {
		if (d->wd < 0 && strcmp(d->path, dir) == 0) {
			d->wd = wd;
			return 0;
		}
	}
	d = xmalloc(sizeof(*d) + strlen(dir) + 1);
	d->wd = wd;
	d->tree = tree;
	d->asked = false;
	memcpy(d->path, dir, strlen(dir) + 1);
	d->next = w->dirs;
	w->dirs = d;
	return 0;
}

/* Follows symlinks (a ConfigMap's ..data is one); a loop ends at a descriptor that is watched already. */
static void scan(struct watch *w, const char *dir)
{
	DIR *d = opendir(dir);

	if (!d)
		return;
	for (struct dirent *e; (e = readdir(d));) {
		struct stat st;
		char *path;

		if (str_is(str_c(e->d_name), ".") || str_is(str_c(e->d_name), ".."))
			continue;
		path = xasprintf("%s/%s", dir, e->d_name);
		if (stat(path, &st) == 0 && S_ISDIR(st.st_mode) && add_dir(w, path, true, NULL) == 0)
			scan(w, path);
		free(path);
	}
	closedir(d);
}

static void keep(struct watch *w, const char *dir)
{
	for (struct watched *d = w->dirs; d; d = d->next)
		d->asked |= strcmp(d->path, dir) == 0;
}

int watch_add_tree(struct watch *w, const char *dir, struct err *err)
{
	int r = add_dir(w, dir, true, err);

	if (r < 0)
		return r;
	keep(w, dir);
	scan(w, dir);
	return 0;
}

int watch_add_file(struct watch *w, const char *file, struct err *err)
{
	const char *slash = strrchr(file, '/');
	char *dir = slash == file ? xstrdup("/") : slash ? str_dup((struct str){ file, (size_t)(slash - file) }) : xstrdup(".");
	int r = add_dir(w, dir, false, err);

	keep(w, dir);
	free(dir);
	return r < 0 ? r : 0;
}

static void on_quiet(struct timer *t)
{
	struct watch *w = container_of(t, struct watch, quiet);
	bool lost = false, news = w->first_ms != 0;

	w->first_ms = 0;
	for (struct watched *d = w->dirs; d; d = d->next) {
		if (d->wd >= 0)
			continue;
		if (add_dir(w, d->path, d->tree, NULL) < 0)
			lost = true;
		else
			news = true;
	}
	if (lost)
		timer_start(t, LOST_MS);
	if (!news)
		return;
	/* New sub-folders and swapped links: look again before telling. */
	for (struct watched *d = w->dirs; d; d = d->next)
		if (d->tree && d->wd >= 0)
			scan(w, d->path);
	w->on_change(w->arg);
}

static void forget(struct watch *w, int wd)
{
	for (struct watched **at = &w->dirs; *at; at = &(*at)->next) {
		if ((*at)->wd == wd) {
			struct watched *d = *at;

			if (d->asked) {
				d->wd = -1;
				return;
			}
			*at = d->next;
			free(d);
			return;
		}
	}
}

static void on_event(struct ev_loop *ev, ev_io *io, int revents)
{
	struct watch *w = container_of(io, struct watch, io);
	_Alignas(struct inotify_event) char mem[4096];
	uint64_t now = loop_now_ms(w->loop);
	ssize_t n;

	while ((n = read(w->fd, mem, sizeof(mem))) > 0) {
		for (char *p = mem; p < mem + n;) {
			const struct inotify_event *e = (const void *)p;

			if (e->mask & IN_IGNORED)
				forget(w, e->wd);
			p += sizeof(*e) + e->len;
		}
	}
	if (!w->first_ms)
		w->first_ms = now;
	if (now - w->first_ms < 10u * w->quiet_ms || !timer_armed(&w->quiet))
		timer_start(&w->quiet, w->quiet_ms);
}

struct watch *watch_new(struct loop *l, unsigned quiet_ms, void (*on_change)(void *arg), void *arg, struct err *err)
{
	struct watch *w;
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

	if (fd < 0) {
		err_set(err, -errno, "cannot watch files: %s; raise fs.inotify.max_user_instances", strerror(errno));
		return NULL;
	}
	w = xcalloc(1, sizeof(*w));
	w->loop = l;
	w->fd = fd;
	w->quiet_ms = quiet_ms;
	w->on_change = on_change;
	w->arg = arg;
	timer_init(&w->quiet, l, on_quiet);
	ev_io_init(&w->io, on_event, fd, EV_READ);
	ev_io_start(l->ev, &w->io);
	return w;
}

void watch_free(struct watch *w)
{
	if (!w)
		return;
	ev_io_stop(w->loop->ev, &w->io);
	timer_stop(&w->quiet);
	while (w->dirs) {
		struct watched *next = w->dirs->next;

		free(w->dirs);
		w->dirs = next;
	}
	close(w->fd);
	free(w);
}
