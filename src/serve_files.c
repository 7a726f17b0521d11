/* SPDX-License-Identifier: Apache-2.0 */
/* Standalone: a directory of Istio YAML, and the workloads of it that this process serves. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "src/serve_int.h"
#include "src/settings.h"

#define RELOAD_QUIET_MS 50

struct workload *serve_files_workload(struct serve *s, int i)
{
	struct str name, ns = str_cut(str_c(s->opt.workloads.v[i]), '/', &name);

	return mesh_workload_named(mesh_current(), ns, name);
}

char *serve_problem(struct serve *s, int i)
{
	return s->problems + (size_t)i * 256;
}

/* Keeps the certificate of the i-th workload, and only that; w NULL: none. */
static int want_identity(struct serve *s, int i, const struct workload *w, struct err *err)
{
	char *old = s->wanted[i];
	int r = 0;

	if (old && w && strcmp(old, w->identity) == 0)
		return identity_state(s->identity, str_c(old), err) == IDENTITY_FAILED ? -ENOENT : 0;
	s->wanted[i] = w ? xstrdup(w->identity) : NULL;
	if (w)
		r = identity_want(s->identity, str_c(w->identity), IDENTITY_NOW, err);
	if (old)
		identity_forget(s->identity, str_c(old));
	free(old);
	return r;
}

static void want_identities(struct serve *s)
{
	const struct mesh_settings *set = mesh_settings(mesh_current());
	struct str domains[1 + 16] = { str_c(set->trust_domain) };
	int n = 1;

	for (int i = 0; i < set->n_aliases && n < (int)ARRAY_LEN(domains); i++)
		domains[n++] = str_c(set->aliases[i]);
	identity_set_trust(s->identity, domains, n);
	for (int i = 0; i < s->opt.workloads.n; i++) {
		struct workload *w = serve_files_workload(s, i);
		struct err err;
		int r = want_identity(s, i, w, &err);
		char old[256];

		snprintf(old, sizeof(old), "%s", serve_problem(s, i));
		if (!w)
			snprintf(serve_problem(s, i), 256, "no WorkloadEntry or Pod %s in %s", s->opt.workloads.v[i], s->opt.config_dir);
		else if (r < 0)
			snprintf(serve_problem(s, i), 256, "%.255s", err.msg);
		else
			serve_problem(s, i)[0] = '\0';
		if (serve_problem(s, i)[0] && strcmp(old, serve_problem(s, i)) != 0)
			log_warn(LOG_MAIN, "workload %s is not served: %s", s->opt.workloads.v[i], serve_problem(s, i));
	}
}

int serve_files_reload(struct serve *s, struct err *err)
{
	uint64_t before = mesh_generation(mesh_current());
	int r = confdir_load(s->confdir, err);

	if (r < 0)
		return r;
	want_identities(s);
	serve_l7_refresh(s);
	serve_pods_refresh(s);
	if (s->proxy && mesh_generation(mesh_current()) != before)
		proxy_rejudge(s->proxy);
	return 0;
}

void serve_files_changed(void *arg)
{
	struct err err;

	if (serve_files_reload(arg, &err) < 0)
		log_error(LOG_SOURCE, "the configuration was not reloaded; the last good state stays: %s", err.msg);
}

int serve_files_load(struct serve *s, struct err *err)
{
	struct mesh_settings base;
	int r = settings_mesh(&s->set, &base, err);

	if (r < 0)
		return r;
	base.mode = s->mode;
	s->confdir = confdir_new(s->opt.config_dir, &base);
	/* Watched before it is read: no change falls between. */
	s->watch = watch_new(s->loop, RELOAD_QUIET_MS, serve_files_changed, s, err);
	r = s->watch ? watch_add_tree(s->watch, s->opt.config_dir, err) : -EIO;
	return r < 0 ? r : serve_files_reload(s, err);
}
