/* SPDX-License-Identifier: Apache-2.0 */
#include "src/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "admin/admin.h"
#include "base/log.h"
#include "identity/localca.h"
#include "modes/proxy.h"
#include "source/analyze.h"
#include "source/authztest.h"
#include "source/path.h"
#include "src/options.h"
#include "src/settings.h"
#include "src/version.h"
#include "telemetry/why.h"

#define CERT_TTL_S (24 * 3600)

static int fail(const struct err *err)
{
	fprintf(stderr, "meshd: %s\n", err->msg);
	return 1;
}

static int usage(const char *name)
{
	for (const struct command *c = commands; c->name; c++)
		if (strcmp(c->name, name) == 0)
			fprintf(stderr, "usage: meshd %s %s\n", c->name, c->synopsis);
	return 2;
}

static int print(struct buf *b)
{
	if (buf_len(b))
		fwrite(buf_data(b), 1, buf_len(b), stdout);
	buf_done(b);
	return 0;
}

/* ---- proxy ---- */

int proxy_command(int argc, char **argv)
{
	char mode[32], *run[64] = { argv[0], mode };

	if (argc < 2 || argv[1][0] == '-')
		return usage("proxy");
	if (argc > (int)ARRAY_LEN(run) - 1) {
		fprintf(stderr, "meshd: proxy: more than %zu words\n", ARRAY_LEN(run) - 1);
		return 2;
	}
	snprintf(mode, sizeof(mode), "--mode=%.20s", argv[1]);
	memcpy(run + 2, argv + 2, (size_t)(argc - 2) * sizeof(*run));
	return serve_command(argc, run);
}

/* ---- ca ---- */

struct ca_options {
	const char *trust_domain, *out;
};

static const struct option_row ca_rows[] = {
	{ "trust-domain", OPTION_TEXT, "TD", "init: the trust domain (default cluster.local)", offsetof(struct ca_options, trust_domain), 0, 0 },
	{ "out", OPTION_TEXT, "DIR", "issue: where to write (default NS-SA)", offsetof(struct ca_options, out), 0, 0 },
	{ NULL, 0, NULL, NULL, 0, 0, 0 },
};

int ca_command(int argc, char **argv)
{
	struct ca_options opt = { 0 };
	const char *words[4];
	struct err err;
	char out[600];
	int n = options_parse(ca_rows, &opt, argc, argv, words, 4, &err);

	if (n < 0)
		return fail(&err) + 1;
	if (n == 2 && strcmp(words[0], "init") == 0) {
		if (localca_init(words[1], opt.trust_domain, &err) < 0)
			return fail(&err);
		printf("made a development CA for trust domain %s in %s: whoever reads its key can be any workload\n",
		       opt.trust_domain ? opt.trust_domain : "cluster.local", words[1]);
		return 0;
	}
	if (n != 4 || strcmp(words[0], "issue") != 0)
		return usage("ca");
	snprintf(out, sizeof(out), "%s-%s", words[2], words[3]);
	if (localca_issue(words[1], words[2], words[3], CERT_TTL_S, opt.out ? opt.out : out, &err) < 0)
		return fail(&err);
	printf("wrote cert-chain.pem, key.pem and root-cert.pem to %s, valid for 24 h\n", opt.out ? opt.out : out);
	return 0;
}

/* ---- offline ---- */

struct analyze_options {
	const char *mode;
};

static const struct option_row analyze_rows[] = {
	{ "mode", OPTION_TEXT, "MODE", "who would read it: ztunnel (the default), sidecar or waypoint", offsetof(struct analyze_options, mode), 0, 0 },
	{ NULL, 0, NULL, NULL, 0, 0, 0 },
};

static bool mode_of(const char *name, enum mesh_mode *ret)
{
	for (enum mesh_mode m = MODE_ZTUNNEL; m <= MODE_WAYPOINT; m++)
		if (!strcmp(name, mesh_mode_name(m))) {
			*ret = m;
			return true;
		}
	return false;
}

int analyze_command(int argc, char **argv)
{
	enum mesh_mode mode = MODE_ZTUNNEL;
	struct analyze_options opt = { 0 };
	const char *words[1];
	struct mesh_settings base;
	struct settings settings;
	struct buf out = { 0 };
	struct err err;
	int status, n = options_parse(analyze_rows, &opt, argc, argv, words, 1, &err);

	if (n < 0)
		return fail(&err) + 1;
	if (n != 1 || (opt.mode && !mode_of(opt.mode, &mode)))
		return usage("analyze");
	if (settings_read(&settings, &err) < 0 || settings_mesh(&settings, &base, &err) < 0)
		return fail(&err);
	base.mode = mode;
	log_set_levels(str_c("off"), &err);      /* what is found is printed */
	status = analyze_dir(words[0], &base, &out);
	settings_done(&settings);
	print(&out);
	return status;
}

struct authz_options {
	const char *dir;
};

static const struct option_row authz_rows[] = {
	{ "config-dir", OPTION_TEXT, "DIR", "the directory of Istio YAML", offsetof(struct authz_options, dir), 0, 0 },
	{ NULL, 0, NULL, NULL, 0, 0, 0 },
};

int authz_command(int argc, char **argv)
{
	struct authz_options opt = { 0 };
	struct mesh_settings base;
	struct settings settings;
	struct buf out = { 0 };
	const char *words[2];
	struct err err;
	int r;

	r = options_parse(authz_rows, &opt, argc, argv, words, 2, &err);
	if (r < 0)
		return fail(&err) + 1;
	if (r != 2 || strcmp(words[0], "test") != 0 || !opt.dir)
		return usage("authz");
	if (settings_read(&settings, &err) < 0 || settings_mesh(&settings, &base, &err) < 0)
		return fail(&err);
	r = authztest_run(opt.dir, words[1], &base, &out, &err);
	settings_done(&settings);
	print(&out);
	return r < 0 ? fail(&err) : r;
}

struct explain_options {
	const char *dir, *from, *to, *method, *path, *format;
	struct option_list headers, proxies;
};

static const struct option_row explain_rows[] = {
	{ "config-dir", OPTION_TEXT, "DIR", "the directory of Istio YAML", offsetof(struct explain_options, dir), 0, 0 },
	{ "from", OPTION_TEXT, "NS/NAME", "who asks: a workload, NS/SERVICEACCOUNT, or an address outside the mesh", offsetof(struct explain_options, from), 0, 0 },
	{ "to", OPTION_TEXT, "HOST:PORT", "what its application calls", offsetof(struct explain_options, to), 0, 0 },
	{ "method", OPTION_TEXT, "METHOD", "GET when absent", offsetof(struct explain_options, method), 0, 0 },
	{ "path", OPTION_TEXT, "PATH", "with the query; / when absent", offsetof(struct explain_options, path), 0, 0 },
	{ "header", OPTION_LIST, "'NAME: VALUE'", "of the request; any number", offsetof(struct explain_options, headers), 0, 0 },
	{ "mode-of", OPTION_LIST, "NS/NAME=MODE", "what stands before a workload: none, ztunnel, sidecar or waypoint; any number", offsetof(struct explain_options, proxies), 0, 0 },
	{ "format", OPTION_TEXT, "FORMAT", "text when absent, or json", offsetof(struct explain_options, format), 0, 0 },
	{ NULL, 0, NULL, NULL, 0, 0, 0 },
};

/* What becomes of a request. */
static int explain_request(int argc, char **argv)
{
	struct explain_options opt = { .method = "GET", .path = "/", .format = "text" };
	struct mesh_settings base;
	struct settings settings;
	struct buf out = { 0 };
	struct path_ask ask;
	const char *words[1];
	struct path path;
	struct err err;
	int r = options_parse(explain_rows, &opt, argc, argv, words, 1, &err);
	bool json = !strcmp(opt.format, "json");

	if (r < 0)
		return fail(&err) + 1;
	if (r != 0 || !opt.dir || !opt.from || !opt.to || (!json && strcmp(opt.format, "text")))
		return usage("explain");
	if (settings_read(&settings, &err) < 0 || settings_mesh(&settings, &base, &err) < 0)
		return fail(&err);
	log_set_levels(str_c("off"), &err);      /* the directory's faults are for `meshd analyze` to tell */
	ask = (struct path_ask){ opt.from, opt.to, opt.method, opt.path, opt.headers.v, opt.headers.n, opt.proxies.v, opt.proxies.n };
	r = path_find(opt.dir, &ask, &base, &path, &err);
	settings_done(&settings);
	if (r < 0)
		return fail(&err);
	(json ? path_write_json : path_write_text)(&path, &out);
	path_done(&path);
	return print(&out);
}

int explain_command(int argc, char **argv)
{
	struct buf out = { 0 };
	int r;

	if (argc == 2 && strcmp(argv[1], "--roff") == 0) {
		fields_man(&out);
		return print(&out);
	}
	if (argc > 2)
		return explain_request(argc, argv);
	if (argc != 2 || argv[1][0] == '-')
		return usage("explain");
	r = explain_field(argv[1], &out);
	print(&out);
	return r < 0;
}

/* ---- asking a running meshd ---- */

struct ask_options {
	const char *admin;
};

static const struct option_row ask_rows[] = {
	{ "admin", OPTION_TEXT, "HOST:PORT", "its admin address, or the path of its Unix socket (default 127.0.0.1:15000)", offsetof(struct ask_options, admin), 0, 0 },
	{ NULL, 0, NULL, NULL, 0, 0, 0 },
};

static int ask(const char *where, const char *path)
{
	struct buf body = { 0 };
	struct addr at = { .port = PORT_ADMIN };
	char host[ADDR_TEXT];
	struct err err;
	int status;

	ip_parse(str_c("127.0.0.1"), &at.ip);
	if (where && where[0] != '/' && addr_parse(str_c(where), &at) < 0) {
		fprintf(stderr, "meshd: --admin: want HOST:PORT with an IP address, or the path of a Unix socket, got '%s'\n", where);
		return 2;
	}
	status = admin_request(where && where[0] == '/' ? where : ip_format(&at.ip, host), at.port, "GET", path, &body, &err);
	if (status < 0)
		return fail(&err);
	print(&body);
	return status == 200 ? 0 : 1;
}

int status_command(int argc, char **argv)
{
	struct ask_options opt = { 0 };
	struct err err;

	if (options_parse(ask_rows, &opt, argc, argv, NULL, 0, &err) < 0)
		return fail(&err) + 1;
	return ask(opt.admin, "/status?format=text");
}

int why_command(int argc, char **argv)
{
	struct ask_options opt = { 0 };
	const char *words[1] = { "" };
	char path[128];
	struct err err;

	if (options_parse(ask_rows, &opt, argc, argv, words, 1, &err) < 0)
		return fail(&err) + 1;
	if ((strspn(words[0], "0123456789abcdefABCDEF") != strlen(words[0]) || strlen(words[0]) > 16) && !why_id_parse(str_c(words[0]))) {
		fprintf(stderr, "meshd: why: want the id of a log line, at most 16 hexadecimal digits, or a request id, got '%s'\n", words[0]);
		return 2;
	}
	snprintf(path, sizeof(path), "/why?format=text%s%s", words[0][0] ? "&id=" : "", words[0]);
	return ask(opt.admin, path);
}

/* ---- about itself ---- */

int version_command(int argc, char **argv)
{
	puts("meshd " MESHD_VERSION);
	return 0;
}

static void help_one(const struct command *c)
{
	if (strcmp(c->name, "redirect") == 0 || strcmp(c->name, "run") == 0) {
		c->run(2, (char *[]){ (char *)c->name, "--help", NULL });
		return;
	}
	printf("usage: meshd %s %s\n\n%s\n", c->name, c->synopsis, c->doc);
	if (strcmp(c->name, "ca") == 0)
		options_help(ca_rows, stdout);
	else if (strcmp(c->name, "analyze") == 0)
		options_help(analyze_rows, stdout);
	else if (strcmp(c->name, "explain") == 0)
		options_help(explain_rows, stdout);
	else if (strcmp(c->name, "status") == 0 || strcmp(c->name, "why") == 0)
		options_help(ask_rows, stdout);
}

int help_command(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--roff") == 0) {
		options_roff(serve_options, stdout);
		settings_roff(stdout);
		return 0;
	}
	if (argc == 2 && strcmp(argv[1], "environment") == 0) {
		settings_help(stdout);
		return 0;
	}
	for (const struct command *c = commands; argc > 1 && c->name; c++) {
		if (strcmp(c->name, argv[1]) == 0) {
			help_one(c);
			return 0;
		}
	}
	puts("meshd: a service mesh's data plane in one program\n\n"
	     "usage: meshd --mode=sidecar|ztunnel|waypoint --config-dir=DIR --workload=NS/NAME --ca-dir=DIR [options]\n"
	     "       meshd --mode=ztunnel [options]     with a control plane: see `meshd help environment`\n"
	     "       meshd SUBCOMMAND [words]\n");
	options_help(serve_options, stdout);
	puts("");
	for (const struct command *c = commands; c->name; c++)
		printf("  %-12s %s\n", c->name, c->doc);
	return 0;
}

int completion_command(int argc, char **argv)
{
	bool bash = argc == 2 && strcmp(argv[1], "bash") == 0, zsh = argc == 2 && strcmp(argv[1], "zsh") == 0;

	if (argc == 2 && strcmp(argv[1], "fish") == 0) {
		for (const struct command *c = commands; c->name; c++)
			printf("complete -c meshd -n __fish_use_subcommand -a %s -d '%s'\n", c->name, c->doc);
		for (const struct option_row *o = serve_options; o->name; o++)
			printf("complete -c meshd -n __fish_use_subcommand -l %s%s\n", o->name, o->kind == OPTION_FLAG ? "" : " -r");
		return 0;
	}
	if (!bash && !zsh)
		return usage("completion");
	if (zsh)
		puts("autoload -U +X bashcompinit && bashcompinit");
	printf("complete -o default -W '");
	for (const struct command *c = commands; c->name; c++)
		printf("%s ", c->name);
	for (const struct option_row *o = serve_options; o->name; o++)
		printf("--%s%s ", o->name, o->kind == OPTION_FLAG ? "" : "=");
	puts("' meshd");
	return 0;
}
