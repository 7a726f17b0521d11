/* SPDX-License-Identifier: Apache-2.0 */
#include "net/privs.h"
#include "net/sockopt.h"

#include "shell.h"

#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

static bool is_root(void)
{
	return getuid() == 0;
}

/* "CapEff:" of /proc/self/status */
static uint64_t status_caps(const char *key)
{
	FILE *f = fopen("/proc/self/status", "re");
	unsigned long long v = 0;
	char line[256];

	while (fgets(line, sizeof(line), f))
		if (strncmp(line, key, strlen(key)) == 0)
			v = strtoull(line + strlen(key), NULL, 16);
	fclose(f);
	return v;
}

START_TEST(privs_becomes_user)
{
	struct err err;

	if (!is_root())
		return;
	ck_assert(privs_has_user("nobody"));
	ck_assert_msg(privs_drop("nobody", PRIVS_NET, &err) == 0, "%s", err.msg);
	ck_assert_uint_ne(getuid(), 0);
	ck_assert_uint_ne(getgid(), 0);
	ck_assert_uint_eq(status_caps("CapEff:"), PRIVS_NET);
	ck_assert_uint_eq(status_caps("CapPrm:"), PRIVS_NET);
	ck_assert_uint_eq(status_caps("NoNewPrivs:"), 1);
	ck_assert_int_eq(setuid(0), -1);
	ck_assert(net_can_mark() && net_can_spoof());
	ck_assert_int_eq(chown("/tmp", 0, 0), -1);
}
END_TEST

START_TEST(privs_keeps_uid)
{
	struct err err;
	uid_t uid = getuid();

	ck_assert_msg(privs_drop(NULL, PRIVS_CAP(12), &err) == 0, "%s", err.msg);
	ck_assert_uint_eq(getuid(), uid);
	ck_assert_uint_eq(status_caps("CapEff:"), is_root() ? PRIVS_CAP(12) : 0);
	/* not even a root shell gets more */
	ck_assert_int_eq(shell("test $(sed -n 's/CapPrm:.//p' /proc/self/status) != 000001ffffffffff"), 0);
}
END_TEST

START_TEST(privs_unknown_user)
{
	struct err err;

	ck_assert(!privs_has_user("no-such-user"));
	ck_assert_int_eq(privs_drop("no-such-user", PRIVS_NET, &err), -ENOENT);
	ck_assert_ptr_nonnull(strstr(err.msg, "--user"));
}
END_TEST

static void *idle(void *arg)
{
	(void)arg;
	pause();
	return NULL;
}

START_TEST(privs_before_threads)
{
	struct err err;
	pthread_t t;

	ck_assert_int_eq(pthread_create(&t, NULL, idle, NULL), 0);
	ck_assert_int_eq(privs_drop(NULL, PRIVS_NET, &err), -EBUSY);
	pthread_cancel(t);
	pthread_join(t, NULL);
}
END_TEST

START_TEST(privs_files)
{
	struct rlimit lim;

	getrlimit(RLIMIT_NOFILE, &lim);
	lim.rlim_cur = 100;
	setrlimit(RLIMIT_NOFILE, &lim);
	ck_assert_uint_eq(privs_raise_files(), lim.rlim_max);
	getrlimit(RLIMIT_NOFILE, &lim);
	ck_assert_uint_eq(lim.rlim_cur, lim.rlim_max);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("privs");
	TCase *tc = tcase_create("all");
	SRunner *sr = srunner_create(s);
	int failed;

#ifdef __SANITIZE_THREAD__
	puts("SKIP privs: the thread sanitizer has a thread of its own");
	return 77;
#endif
	tcase_add_test(tc, privs_becomes_user);
	tcase_add_test(tc, privs_keeps_uid);
	tcase_add_test(tc, privs_unknown_user);
	tcase_add_test(tc, privs_before_threads);
	tcase_add_test(tc, privs_files);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
