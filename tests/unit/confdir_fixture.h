/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration directory of a test, and what a load of it says. */
#ifndef TESTS_CONFDIR_FIXTURE_H
#define TESTS_CONFDIR_FIXTURE_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/meshconfig.h"
#include "source/confdir.h"

struct fixture {
	char dir[64];
	struct mesh_settings settings;
	struct confdir *c;
	struct err err;
};

static inline void fixture_init(struct fixture *f)
{
	*f = (struct fixture){ .dir = "/tmp/meshd-confdir-XXXXXX",
			       .settings = { .trust_domain = "cluster.local", .root_ns = "istio-system",
					     .cluster_domain = "cluster.local", .network = "", .cluster = "Kubernetes",
					     .connect_timeout_ms = 10000 } };
	ck_assert_ptr_nonnull(mkdtemp(f->dir));
	f->c = confdir_new(f->dir, &f->settings);
}

static inline void fixture_done(struct fixture *f)
{
	char *cmd = xasprintf("rm -rf '%s'", f->dir);

	confdir_free(f->c);
	ck_assert_int_eq(system(cmd), 0);
	free(cmd);
}

/* As editors do it: a new file, renamed into place. */
static inline void fixture_write_bytes(struct fixture *f, const char *name, const void *p, size_t n)
{
	char *path = xasprintf("%s/%s", f->dir, name), *tmp = xasprintf("%s/.tmp", f->dir);
	FILE *out = fopen(tmp, "w");

	ck_assert_ptr_nonnull(out);
	ck_assert_uint_eq(fwrite(p, 1, n, out), n);
	ck_assert_int_eq(fclose(out), 0);
	ck_assert_int_eq(rename(tmp, path), 0);
	free(path);
	free(tmp);
}

static inline void fixture_write(struct fixture *f, const char *name, const char *text)
{
	fixture_write_bytes(f, name, text, strlen(text));
}

static inline void fixture_remove(struct fixture *f, const char *name)
{
	char *path = xasprintf("%s/%s", f->dir, name);

	ck_assert_int_eq(unlink(path), 0);
	free(path);
}

static inline int fixture_load(struct fixture *f)
{
	return confdir_load(f->c, &f->err);
}

/* All findings, one a line, with their level and without the directory. free() it. */
static inline char *fixture_findings(const struct fixture *f)
{
	size_t n;
	const struct finding **v = confdir_findings(f->c, &n);
	struct buf b = { 0 };
	char *text, *at;

	for (size_t i = 0; i < n; i++) {
		finding_format(v[i], true, &b);
		buf_puts(&b, "\n");
	}
	free(v);
	text = str_dup(buf_str(&b));
	buf_done(&b);
	while ((at = strstr(text, f->dir)))
		memmove(at, at + strlen(f->dir) + 1, strlen(at + strlen(f->dir) + 1) + 1);
	return text;
}

static inline void fixture_expect(const struct fixture *f, const char *part)
{
	char *text = fixture_findings(f);

	ck_assert_msg(strstr(text, part) != NULL, "want a finding with\n  %s\ngot\n%s", part, text);
	free(text);
}

/* The same as it is read in another mode. */
static inline void fixture_in_mode(struct fixture *f, enum mesh_mode mode)
{
	fixture_init(f);
	f->settings.mode = mode;
	confdir_free(f->c);
	f->c = confdir_new(f->dir, &f->settings);
}
static inline void fixture_sidecar(struct fixture *f) { fixture_in_mode(f, MODE_SIDECAR); }

/* One file, as a sidecar reads it, makes the mesh that `describe` tells as `want`; the result of that is freed. */
static inline void fixture_reads(const char *yaml, char *(*describe)(void), const char *want)
{
	struct fixture f;
	char *text, *said;

	fixture_sidecar(&f);
	fixture_write(&f, "x.yaml", yaml);
	ck_assert_msg(fixture_load(&f) == 0, "%s", f.err.msg);
	text = describe();
	said = fixture_findings(&f);
	ck_assert_msg(!strcmp(text, want), "%s\nwant %s\ngot  %s\n%s", yaml, want, text, said);
	free(text);
	free(said);
	fixture_done(&f);
}

#endif
