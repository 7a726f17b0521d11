/* SPDX-License-Identifier: Apache-2.0 */
/* The files of a directory. */
#ifndef SOURCE_CONFSCAN_H
#define SOURCE_CONFSCAN_H

#include <stddef.h>
#include <sys/stat.h>

#include "base/err.h"

#define CONFSCAN_FILES_MAX 100000
#define CONFSCAN_DEPTH_MAX 16

struct confscan_file {
	char *path;              /* owned */
	struct stat st;
};

struct confscan {
	struct confscan_file *v; /* by path */
	size_t n, cap;
};

/* -errno with err when a folder cannot be read, or there are too many files. A link that points nowhere is an error too. */
int confscan_read(const char *dir, struct confscan *ret, struct err *err);
void confscan_done(struct confscan *s);

#endif
