/* SPDX-License-Identifier: Apache-2.0 */
/* The command line as tables: the same rows parse, print --help, and make the manual and the shell completion. */
#ifndef SRC_OPTIONS_H
#define SRC_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"

enum option_kind { OPTION_FLAG, OPTION_TEXT, OPTION_NUMBER, OPTION_DURATION, OPTION_LIST };

struct option_row {
	const char *name;            /* without the dashes; NULL ends the table */
	enum option_kind kind;
	const char *arg;             /* "DIR" */
	const char *doc;             /* one sentence */
	size_t offset;               /* bool, const char *, unsigned, unsigned (ms), struct option_list */
	unsigned lo, hi;             /* OPTION_NUMBER */
};

struct option_list {
	const char *v[256];
	int n;
};

struct command {
	const char *name;
	const char *synopsis;        /* after the name: "DIR [--trust-domain=TD]" */
	const char *doc;
	int (*run)(int argc, char **argv);   /* argv[0] is the name; returns the exit status */
};

extern const struct command commands[];

/* Reads the options of argv (from 1 on) into `to`; words that are none go to words (at most max). -EINVAL with a sentence; `--`
 * ends the options. Returns the number of words. */
int options_parse(const struct option_row *rows, void *to, int argc, char **argv, const char **words, int max, struct err *err);
void options_help(const struct option_row *rows, FILE *out);
void options_roff(const struct option_row *rows, FILE *out);
/* "5s", "300ms", "1m30s", "1d", or a bare number of seconds. */
bool duration_parse(const char *text, uint64_t *ret_ms);

/* The options of `meshd --mode=…`. */
extern const struct option_row serve_options[];
int serve_command(int argc, char **argv);

#endif
