/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration or startup error: one complete sentence for the person who can act. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

struct err {
	char msg[1024];
};

/* Formats into err (NULL is allowed) and returns code, so that callers can `return err_set(...)`. */
int err_set(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
