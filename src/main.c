/* SPDX-License-Identifier: Apache-2.0 */
/* The table of subcommands. `meshd --mode=…` runs the proxy. */
#include <stdio.h>
#include <string.h>

#include "src/commands.h"
#include "src/options.h"
#include "src/redirect_cmd.h"
#include "src/run.h"

const struct command commands[] = {
	{ "ca", "init DIR [--trust-domain=TD] | issue DIR NS SA [--out=DIR]", "make a development CA, or certificates from it", ca_command },
	{ "redirect", "up|down|print --mode=ztunnel|sidecar [options]", "the capture rules of this host", redirect_command },
	{ "proxy", "ztunnel [options]", "as --mode=ztunnel: the words of Istio's images", proxy_command },
	{ "run", "[options] -- CMD [ARGS]", "put one command into the mesh for its lifetime", run_command },
	{ "analyze", "[--mode=MODE] DIR", "check a configuration directory, with the data plane's own reader", analyze_command },
	{ "authz", "test --config-dir=DIR FILE", "judge a table of requests by a directory's policies, with the data plane's own engine", authz_command },
	{ "explain", "FIELD | --config-dir=DIR --from=NS/NAME --to=HOST:PORT", "what a field means and whether it is honoured, or the way of a request through the mesh", explain_command },
	{ "status", "[--admin=HOST:PORT]", "ask a running meshd how it is", status_command },
	{ "why", "[ID] [--admin=HOST:PORT]", "why a connection was refused, and what would have allowed it", why_command },
	{ "version", "", "print the version", version_command },
	{ "help", "[SUBCOMMAND|environment]", "this text, or the variables of the environment", help_command },
	{ "completion", "bash|zsh|fish", "a completion script for the shell", completion_command },
	{ NULL, NULL, NULL, NULL },
};

/* As the program ztunnel: `proxy` (or nothing), `version` and `help`; what follows says nothing there, either. */
static int ztunnel(int argc, char **argv)
{
	char *run[] = { argv[0], "--mode=ztunnel", NULL };

	if (argc < 2 || strcmp(argv[1], "proxy") == 0)
		return serve_command(2, run);
	if (strcmp(argv[1], "version") == 0)
		return version_command(1, argv);
	if (strcmp(argv[1], "help") == 0)
		return help_command(2, (char *[]){ "help", "environment", NULL });
	fprintf(stderr, "meshd: as %s it knows proxy, version and help, not '%s'\n", argv[0], argv[1]);
	return 1;
}

int main(int argc, char **argv)
{
	const char *slash = argc ? strrchr(argv[0], '/') : NULL;

	if (argc && strcmp(slash ? slash + 1 : argv[0], "ztunnel") == 0)
		return ztunnel(argc, argv);
	if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return help_command(1, argv);
	if (strcmp(argv[1], "--version") == 0)
		return version_command(1, argv);
	if (argv[1][0] == '-')
		return serve_command(argc, argv);
	for (const struct command *c = commands; c->name; c++)
		if (strcmp(c->name, argv[1]) == 0)
			return c->run(argc - 1, argv + 1);
	fprintf(stderr, "meshd: no subcommand '%s'; see `meshd help`\n", argv[1]);
	return 2;
}
