/* SPDX-License-Identifier: Apache-2.0 */
#include "src/redirect_cmd.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "dns/resolvconf.h"

struct option_row {
	const char *name;
	const char *value;    /* NULL: the option takes none */
	const char *help;
	int (*set)(struct redirect *r, const char *value, struct err *err);
};

static int exclude_in(struct redirect *r, const char *v, struct err *err)
{
	return ports_add(&r->in_excluded, str_c(v), err);
}

static int include_in(struct redirect *r, const char *v, struct err *err)
{
	if (strcmp(v, "*") == 0)
		return 0;
	r->in_listed = true;
	return *v ? ports_add(&r->in_only, str_c(v), err) : 0;
}

static int exclude_out(struct redirect *r, const char *v, struct err *err)
{
	return ports_add(&r->out_excluded, str_c(v), err);
}

static int exclude_out_to(struct redirect *r, const char *v, struct err *err)
{
	return cidrs_add(&r->out_excluded_to, str_c(v), err);
}

static int include_out_to(struct redirect *r, const char *v, struct err *err)
{
	return strcmp(v, "*") == 0 ? 0 : cidrs_add(&r->out_only_to, str_c(v), err);
}

static int exclude_uids(struct redirect *r, const char *v, struct err *err)
{
	return ids_add(&r->uids, str_c(v), err);
}

static int exclude_gids(struct redirect *r, const char *v, struct err *err)
{
	return ids_add(&r->gids, str_c(v), err);
}

static int no_ipv6(struct redirect *r, const char *v, struct err *err)
{
	(void)v;
	(void)err;
	r->ipv6 = false;
	return 0;
}

/* A resolver on loopback that the host asks (systemd-resolved, dnsmasq) is asked by way of us, too. */
static int with_dns(struct redirect *r, const char *v, struct err *err)
{
	struct resolvconf c;

	(void)v;
	(void)err;
	r->dns = true;
	resolvconf_init(&c, NULL);
	resolvconf_refresh(&c, 1);
	for (int i = 0; i < c.n_servers; i++) {
		if (!ip_is_loopback(&c.servers[i].ip))
			continue;
		r->dns_local.v = xrealloc(r->dns_local.v, (r->dns_local.n + 1) * sizeof(*r->dns_local.v));
		r->dns_local.v[r->dns_local.n++] = (struct cidr){ c.servers[i].ip, 128 };
	}
	resolvconf_done(&c);
	return 0;
}

static int only_uid(struct redirect *r, const char *v, struct err *err)
{
	uint64_t uid;

	if (!str_to_u64(str_c(v), &uid) || uid >= UINT32_MAX)
		return err_set(err, -EINVAL, "want a numeric user id, got '%s'", v);
	r->one_uid = true;
	r->uid = (uint32_t)uid;
	return 0;
}

/* nft looks below /sys/fs/cgroup; where cgroup v1 lives there too, version 2 is in the folder "unified". */
static int only_cgroup(struct redirect *r, const char *v, struct err *err)
{
	bool hybrid = access("/sys/fs/cgroup/unified/cgroup.procs", F_OK) == 0;
	char *path;

	while (*v == '/')
		v++;
	if (!*v || strpbrk(v, "\"\\\n"))
		return err_set(err, -EINVAL, "want the path of a cgroup v2, such as system.slice/app.service, got '%s'", v);
	path = xasprintf("%s%s", hybrid ? "unified/" : "", v);
	for (size_t n = strlen(path); path[n - 1] == '/'; n--)
		path[n - 1] = '\0';
	free(r->cgroup);
	r->cgroup = path;
	r->cgroup_level = 1;
	for (const char *p = path + (hybrid ? strlen("unified/") : 0); *p; p++)
		r->cgroup_level += *p == '/';
	return 0;
}

static const struct option_row capture_options[] = {
	{ "--exclude-inbound-ports", "PORTS", "leave these local ports alone (always: 22, this SSH session, meshd's own)",
	  exclude_in },
	{ "--include-inbound-ports", "PORTS", "capture only these local ports; empty: none (default: * is all)", include_in },
	{ "--exclude-outbound-ports", "PORTS", "leave connections to these ports alone", exclude_out },
	{ "--exclude-outbound-cidrs", "CIDRS", "leave connections to these addresses alone", exclude_out_to },
	{ "--include-outbound-cidrs", "CIDRS", "capture only connections to these addresses (default: * is all)",
	  include_out_to },
	{ "--exclude-uids", "UIDS", "leave connections made by these users alone", exclude_uids },
	{ "--exclude-gids", "GIDS", "leave connections made by these groups alone", exclude_gids },
	{ "--dns", NULL, "capture DNS (port 53) for the DNS proxy, too, while that lives", with_dns },
	{ "--no-ipv6", NULL, "capture IPv4 only", no_ipv6 },
};

static const struct option_row narrow_options[] = {
	{ "--uid", "UID", "capture only what this user connects to, and nothing inbound", only_uid },
	{ "--cgroup", "PATH", "capture only sockets of this cgroup v2 and of those below it", only_cgroup },
};

static int take_option(const struct option_row *row, size_t rows, struct redirect *r, int argc, char **argv, int *at,
		       struct err *err)
{
	const char *arg = argv[*at];
	size_t n = strcspn(arg, "=");
	struct err why;

	for (; rows > 0; rows--, row++) {
		const char *value = arg[n] ? arg + n + 1 : NULL;

		if (strlen(row->name) != n || memcmp(row->name, arg, n) != 0)
			continue;
		if (!row->value && value)
			return err_set(err, -EINVAL, "%s takes no value", row->name);
		if (row->value && !value && *at + 1 == argc)
			return err_set(err, -EINVAL, "%s needs a value: %s=%s", row->name, row->name, row->value);
		if (row->value && !value)
			value = argv[++*at];
		if (row->set(r, value, &why) < 0)
			return err_set(err, -EINVAL, "%s: %s", row->name, why.msg);
		return 1;
	}
	return 0;
}

int redirect_option(struct redirect *r, int argc, char **argv, int *at, struct err *err)
{
	return take_option(capture_options, ARRAY_LEN(capture_options), r, argc, argv, at, err);
}

static void rows_help(FILE *out, const struct option_row *row, size_t rows)
{
	for (; rows > 0; rows--, row++) {
		char left[64];

		snprintf(left, sizeof(left), "%s%s%s", row->name, row->value ? "=" : "", row->value ? row->value : "");
		fprintf(out, "  %-32s %s\n", left, row->help);
	}
}

void redirect_options_help(FILE *out)
{
	rows_help(out, capture_options, ARRAY_LEN(capture_options));
}

int redirect_set_mode(struct redirect *r, const char *mode, struct err *err)
{
	if (strcmp(mode, "waypoint") == 0)
		return err_set(err, -ENODATA, "a waypoint is addressed on port 15008; there is nothing to capture for it");
	if (strcmp(mode, "ztunnel") != 0 && strcmp(mode, "sidecar") != 0)
		return err_set(err, -EINVAL, "want --mode=ztunnel, --mode=sidecar or --mode=waypoint, got '%s'", mode);
	r->mode = *mode == 'z' ? REDIRECT_ZTUNNEL : REDIRECT_SIDECAR;
	return 0;
}

static void help(FILE *out)
{
	fputs("usage: meshd redirect up|print --mode=ztunnel|sidecar|waypoint [options]\n"
	      "       meshd redirect down\n"
	      "\n"
	      "Leads the TCP connections of this host (or network namespace) through meshd: one nftables table,\n"
	      "'inet meshd', with the routing that preserved source addresses need. `up` replaces what was there,\n"
	      "`down` removes all of it, `print` shows it. Open connections stay as they are. Start meshd first.\n"
	      "\n"
	      "  --mode=MODE                      the mode that meshd runs in\n"
	      "  --dry-run                        `up` only prints\n", out);
	redirect_options_help(out);
	rows_help(out, narrow_options, ARRAY_LEN(narrow_options));
	fputs("\nPORTS: 80,8000-8100   CIDRS: 10.0.0.0/8,fd00::/8   options may be repeated\n", out);
}

enum action { UP, DOWN, PRINT };

struct request {
	enum action action;
	const char *mode;
	bool help;
};

static int parse_verb(const char *verb, struct request *req, struct err *err)
{
	static const char *const verbs[] = { [UP] = "up", [DOWN] = "down", [PRINT] = "print" };

	for (int i = 0; verb && i < (int)ARRAY_LEN(verbs); i++) {
		if (strcmp(verb, verbs[i]) == 0) {
			req->action = (enum action)i;
			return 0;
		}
	}
	return err_set(err, -EINVAL, "want up, down or print, got '%s'", verb ? verb : "");
}

static int parse_word(struct redirect *r, int argc, char **argv, int *at, struct request *req, struct err *err)
{
	const char *arg = argv[*at];
	int res;

	if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0) {
		req->help = true;
		return 0;
	}
	if (strncmp(arg, "--mode=", 7) == 0) {
		req->mode = arg + 7;
		return 0;
	}
	if (strcmp(arg, "--mode") == 0 && *at + 1 < argc) {
		req->mode = argv[++*at];
		return 0;
	}
	if (strcmp(arg, "--dry-run") == 0) {
		req->action = req->action == UP ? PRINT : req->action;
		return req->action == DOWN ? err_set(err, -EINVAL, "--dry-run belongs to up") : 0;
	}
	res = redirect_option(r, argc, argv, at, err);
	if (res == 0)
		res = take_option(narrow_options, ARRAY_LEN(narrow_options), r, argc, argv, at, err);
	return res == 0 ? err_set(err, -EINVAL, "unknown option '%s'", arg) : res < 0 ? res : 0;
}

static int parse(struct redirect *r, int argc, char **argv, struct request *req, struct err *err)
{
	int res = 0, at = 1;

	if (argc > 1 && argv[1][0] != '-')
		res = parse_verb(argv[at++], req, err);
	else if (argc < 2 || (strcmp(argv[1], "--help") != 0 && strcmp(argv[1], "-h") != 0))
		res = parse_verb(argv[1], req, err);
	for (; res == 0 && at < argc && !req->help; at++)
		res = parse_word(r, argc, argv, &at, req, err);
	if (res < 0 || req->help)
		return res;
	if (!req->mode && req->action != DOWN)
		return err_set(err, -EINVAL, "which mode does meshd run in? --mode=ztunnel, sidecar or waypoint");
	return req->mode ? redirect_set_mode(r, req->mode, err) : 0;
}

static int act(const struct redirect *r, enum action action, struct err *err)
{
	struct buf script = { 0 };

	if (action == UP)
		return redirect_up(r, err);
	if (action == DOWN)
		return redirect_down(r->table, err);
	redirect_script(r, &script);
	fwrite(buf_data(&script), 1, buf_len(&script), stdout);
	buf_done(&script);
	return fflush(stdout) == 0 ? 0 : err_set(err, -errno, "cannot write the script: %s", strerror(errno));
}

int redirect_command(int argc, char **argv)
{
	struct request req = { .action = UP };
	struct redirect r;
	struct err err;
	int res, status = 0;

	redirect_init(&r, REDIRECT_ZTUNNEL);
	res = parse(&r, argc, argv, &req, &err);
	if (res == -ENODATA) {
		fprintf(stderr, "meshd redirect: %s\n", err.msg);
	} else if (res < 0) {
		fprintf(stderr, "meshd redirect: %s\nTry `meshd redirect --help`.\n", err.msg);
		status = 2;
	} else if (req.help) {
		help(stdout);
	} else if (act(&r, req.action, &err) < 0) {
		fprintf(stderr, "meshd redirect: %s\n", err.msg);
		status = 1;
	}
	redirect_done(&r);
	return status;
}
