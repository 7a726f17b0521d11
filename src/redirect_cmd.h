/* SPDX-License-Identifier: Apache-2.0 */
/* `meshd redirect up|down|print`, and its options, which `meshd run` takes too. */
#ifndef SRC_REDIRECT_CMD_H
#define SRC_REDIRECT_CMD_H

#include <stdio.h>

#include "net/redirect.h"

/* argv[0] is "redirect". Returns the exit status. */
int redirect_command(int argc, char **argv);

/* If argv[*at] is a capture option ("--name=value" or "--name value"), applies it, leaves *at on its last word, and returns
 * 1. 0: not one of them. -EINVAL: a bad value. */
int redirect_option(struct redirect *r, int argc, char **argv, int *at, struct err *err);
void redirect_options_help(FILE *out);
/* "ztunnel" or "sidecar" into r->mode. -EINVAL otherwise; -ENODATA: a waypoint, for which nothing is captured. */
int redirect_set_mode(struct redirect *r, const char *mode, struct err *err);

#endif
