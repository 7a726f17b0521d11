/* SPDX-License-Identifier: Apache-2.0 */
/* The small subcommands: each takes its words, argv[0] being its name, and returns the exit status (0 done, 1 failed, 2 usage). */
#ifndef SRC_COMMANDS_H
#define SRC_COMMANDS_H

int proxy_command(int argc, char **argv);
int ca_command(int argc, char **argv);
int analyze_command(int argc, char **argv);
int authz_command(int argc, char **argv);
int explain_command(int argc, char **argv);
int status_command(int argc, char **argv);
int why_command(int argc, char **argv);
int version_command(int argc, char **argv);
int help_command(int argc, char **argv);
int completion_command(int argc, char **argv);

#endif
