/* SPDX-License-Identifier: Apache-2.0 */
/* `meshd run [options] -- CMD [args]`: a meshd for the lifetime of one command, which alone is captured. */
#ifndef SRC_RUN_H
#define SRC_RUN_H

/* argv[0] is "run". Returns the exit status: CMD's, 128+n when signal n ended it, 126 or 127 when it could not be
 * executed, 125 when the mesh around it could not be built, 2 for wrong usage. */
int run_command(int argc, char **argv);

#endif
