/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/watch.h"
#include "tests/unit/suite.h"

static struct loop *l;
static struct watch *w;
static char dir[64];
static int told;

static void on_change(void *arg)
{
	told++;
}

static void sh(const char *fmt)
{
	char cmd[512];

	snprintf(cmd, sizeof(cmd), "cd %s/.. && D=%s; %s", dir, dir, fmt);
	FILE *p = popen(cmd, "r");

	ck_assert_ptr_nonnull(p);
	ck_assert_int_eq(pclose(p), 0);
}

static void start(void)
{
	struct err err;

	snprintf(dir, sizeof(dir), "/tmp/test-watch-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	sh("mkdir -p $D/root/..1 && ln -s ..1 $D/root/..data && echo a >$D/root/..1/a.yaml");
	l = loop_new(-1);
	told = 0;
	w = watch_new(l, 20, on_change, NULL, &err);
	ck_assert_ptr_nonnull(w);
	snprintf(dir + strlen(dir), sizeof(dir) - strlen(dir), "/root");
	ck_assert_int_eq(watch_add_tree(w, dir, &err), 0);
	dir[strlen(dir) - 5] = '\0';
}

static void stop(void)
{
	watch_free(w);
	loop_free(l);
	sh("rm -rf $D");
}

/* Waits until it was told, at most two seconds. */
static void expect_told(void)
{
	for (int i = 0; i < 400 && !told; i++) {
		ev_run(l->ev, EVRUN_NOWAIT);
		usleep(5000);
	}
	ck_assert_int_ge(told, 1);
	told = 0;
}

static const char *const changes[] = {
	"echo x >$D/root/new.yaml",                                    /* written in place */
	"echo x >$D/tmp && mv $D/tmp $D/root/b.yaml",                  /* renamed into place */
	"mkdir $D/root/..2 && ln -s ..2 $D/root/l && mv -T $D/root/l $D/root/..data",   /* a ConfigMap's swap */
	"rm $D/root/..1/a.yaml",
	"echo y >$D/root/..data/a.yaml",                               /* through the link */
};

START_TEST(is_told)
{
	sh(changes[_i]);
	expect_told();
}
END_TEST

START_TEST(new_folders_are_watched)
{
	sh("mkdir -p $D/root/sub/deep");
	expect_told();
	sh("echo x >$D/root/sub/deep/c.yaml");
	expect_told();
}
END_TEST

START_TEST(survives_its_folder)
{
	sh("rm -rf $D/root");
	expect_told();
	sh("mkdir $D/root");
	expect_told();
	sh("echo x >$D/root/d.yaml");
	expect_told();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("watch");
	TCase *t = tcase_create("watch");

	tcase_add_checked_fixture(t, start, stop);
	tcase_set_timeout(t, 20);
	tcase_add_loop_test(t, is_told, 0, ARRAY_LEN(changes));
	tcase_add_test(t, new_folders_are_watched);
	tcase_add_test(t, survives_its_folder);
	suite_add_tcase(s, t);
	return suite_run(s);
}
