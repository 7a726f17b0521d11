/* SPDX-License-Identifier: Apache-2.0 */
#include "net/privs.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int caps_get(uint64_t *ret_permitted)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data) < 0)
		return -errno;
	*ret_permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
	return 0;
}

static int caps_set(uint64_t caps)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = {
		{ .effective = (uint32_t)caps, .permitted = (uint32_t)caps },
		{ .effective = (uint32_t)(caps >> 32), .permitted = (uint32_t)(caps >> 32) },
	};

	return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

static bool has_threads(void)
{
	struct stat st;

	return stat("/proc/self/task", &st) == 0 && st.st_nlink > 3;    /* itself, its parent, one per thread */
}

/* The capabilities survive the change of uid in the permitted set only; caps_set makes them effective again. */
static int become(const char *user, struct err *err)
{
	const struct passwd *pw;

	errno = 0;
	pw = getpwnam(user);
	if (!pw)
		return err_set(err, -ENOENT, "there is no user '%s': create it, or name another with --user", user);
	if (getuid() == pw->pw_uid && geteuid() == pw->pw_uid)
		return 0;
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || initgroups(user, pw->pw_gid) < 0 ||
	    setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) < 0 || setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) < 0)
		return err_set(err, -errno, "cannot become user '%s': %s; start as root, or as that user", user,
			       strerror(errno));
	if (pw->pw_uid != 0 && setuid(0) == 0)
		return err_set(err, -EPERM, "became user '%s', but could become root again", user);
	return 0;
}

bool privs_has_user(const char *user)
{
	return getpwnam(user) != NULL;
}

int privs_drop(const char *user, uint64_t keep, struct err *err)
{
	uint64_t permitted = 0;
	int r;

	if (has_threads())
		return err_set(err, -EBUSY, "privileges must be given up before threads run");
	r = caps_get(&permitted);
	if (r < 0)
		return err_set(err, r, "cannot read our capabilities: %s", strerror(-r));
	keep &= permitted;
	/* Needs CAP_SETPCAP, and only hardens: no_new_privs already stops exec from giving any of them back. */
	for (unsigned cap = 0; cap < 64; cap++)
		if (!(keep & PRIVS_CAP(cap)))
			prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	r = user ? become(user, err) : 0;
	if (r < 0)
		return r;
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	r = caps_set(keep);
	if (r < 0)
		return err_set(err, r, "cannot drop capabilities: %s", strerror(-r));
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_set(err, -errno, "cannot set no_new_privs: %s", strerror(errno));
	return 0;
}

uint64_t privs_raise_files(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) < 0)
		return 1024;
	if (lim.rlim_cur < lim.rlim_max) {
		rlim_t soft = lim.rlim_cur;

		lim.rlim_cur = lim.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &lim) < 0)
			lim.rlim_cur = soft;
	}
	return lim.rlim_cur;
}
