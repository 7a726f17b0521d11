/* SPDX-License-Identifier: Apache-2.0 */
#include "source/confscan.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>

#include "base/str.h"

static int walk(struct confscan *s, const char *dir, int depth, struct err *err);

static bool is_config(const char *name)
{
	struct str n = str_c(name);

	return str_ends(n, str_c(".yaml")) || str_ends(n, str_c(".yml")) || str_ends(n, str_c(".json"));
}

static int on_entry(struct confscan *s, const char *dir, const char *name, int depth, struct err *err)
{
	char *path = xasprintf("%s/%s", dir, name);
	struct stat st;
	int rc = 0;

	if (stat(path, &st)) {
		if (is_config(name) && errno != ENOENT)
			rc = err_set(err, -errno, "%s: cannot be looked at: %s", path, strerror(errno));
		else if (is_config(name) && !lstat(path, &st))
			rc = err_set(err, -ENOENT, "%s: is a link that points nowhere", path);
	} else if (S_ISDIR(st.st_mode)) {
		rc = walk(s, path, depth + 1, err);
	} else if (is_config(name)) {
		if (s->n == CONFSCAN_FILES_MAX)
			rc = err_set(err, -E2BIG, "%s: more than %d files", path, CONFSCAN_FILES_MAX);
		if (!rc && s->n == s->cap) {
			s->cap = s->cap ? s->cap * 2 : 16;
			s->v = xrealloc(s->v, s->cap * sizeof(*s->v));
		}
		if (!rc) {
			s->v[s->n++] = (struct confscan_file){ path, st };
			return 0;
		}
	}
	free(path);
	return rc;
}

/* A link to a folder above would go round: the depth ends it. */
static int walk(struct confscan *s, const char *dir, int depth, struct err *err)
{
	struct dirent *e;
	int rc = 0;
	DIR *d;

	if (depth > CONFSCAN_DEPTH_MAX)
		return err_set(err, -ELOOP, "%s: more than %d folders deep (does a link point upwards?)", dir, CONFSCAN_DEPTH_MAX);
	d = opendir(dir);
	if (!d)
		return err_set(err, -errno, "%s: cannot be opened: %s", dir, strerror(errno));
	while (!rc && (e = readdir(d))) {
		if (e->d_name[0] != '.')
			rc = on_entry(s, dir, e->d_name, depth, err);
	}
	closedir(d);
	return rc;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct confscan_file *)a)->path, ((const struct confscan_file *)b)->path);
}

int confscan_read(const char *dir, struct confscan *ret, struct err *err)
{
	int rc;

	*ret = (struct confscan){ 0 };
	rc = walk(ret, dir, 0, err);
	if (rc)
		confscan_done(ret);
	else if (ret->n)
		qsort(ret->v, ret->n, sizeof(*ret->v), by_path);
	return rc;
}

void confscan_done(struct confscan *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->v[i].path);
	free(s->v);
	*s = (struct confscan){ 0 };
}
