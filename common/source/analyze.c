/* SPDX-License-Identifier: Apache-2.0 */
#include "source/analyze.h"

#include <stdlib.h>

#include "source/confdir.h"
#include "source/pathcheck.h"

static void write_finding(const struct finding *f, struct buf *out)
{
	finding_format(f, true, out);
	buf_puts(out, "\n");
}

static int by_place(const void *a, const void *b)
{
	const struct finding *const pa = a, *const pb = b;

	return finding_compare(&pa, &pb);
}

/* What only the reader of waypoints tells: targets that name nothing. */
static void take_targets(const struct confdir *c, struct arena *mem, struct report *ret)
{
	size_t n;
	const struct finding **v = confdir_findings(c, &n);

	for (size_t i = 0; i < n; i++) {
		struct finding at = *v[i];

		at.file = arena_dup(mem, str_c(at.file));
		if (at.level == FINDING_WARNING && !strcmp(at.path, "spec.targetRefs"))
			report_add(ret, &at, "%s", at.message);
	}
	free(v);
}

/* Which of the two holds, where it matters. */
static const char *of_sidecars(const struct mesh *m)
{
	const struct mesh_settings *s = mesh_settings(m);

	if (!mesh_has_guarded(m))
		return "";
	if (s->waypoint_use != WAYPOINTS_AUTO)
		return s->through_waypoints ? "Sidecars send what is for a service with a waypoint there (MESHD_SIDECAR_USE_WAYPOINT=true).\n" :
			"Sidecars pass by the waypoints of services (MESHD_SIDECAR_USE_WAYPOINT=false).\n";
	return !s->through_waypoints ? "Sidecars pass by the waypoints of services, as Istio's do: some workload's sidecar takes no HBONE (MESHD_SIDECAR_USE_WAYPOINT=auto).\n" :
		s->stance >= STANCE_CLOSED ? "Sidecars send what is for a service with a waypoint there, since MESHD_ENFORCEMENT requires waypoints.\n" :
		"Sidecars send what is for a service with a waypoint there, since all workloads with a proxy speak HBONE (MESHD_SIDECAR_USE_WAYPOINT=auto).\n";
}

/* Said of what ztunnel does not read, or not all of. Where there are others, pathcheck says whom it concerns. */
static bool is_for_others(const struct finding *f)
{
	static const char *const says[] = { "has no effect in ztunnel mode", "it is for waypoints", "HTTP attributes (", "CUSTOM has NO EFFECT", "AUDIT has NO EFFECT" };
	bool is = false;

	for (size_t i = 0; i < ARRAY_LEN(says) && !is; i++)
		is = str_starts(str_c(f->message), str_c(says[i]));
	return is && f->level != FINDING_ERROR && strcmp(f->kind, "MeshConfig");
}

/* What is wrong with paths: the directory as each mode reads it, one after the other. */
static void find_paths(const char *dir, const struct mesh_settings *base, struct arena *mem, struct report *ret, const char **ret_sidecars, bool *ret_mixed)
{
	for (int mode = MODE_ZTUNNEL; mode <= MODE_WAYPOINT; mode++) {
		struct mesh_settings settings = *base;
		struct confdir *c;

		settings.mode = mode;
		c = confdir_new(dir, &settings);
		if (confdir_load(c, NULL) == 0)
			pathcheck(mesh_current(), c, base->mode, mem, ret);
		*ret_mixed = *ret_mixed || pathcheck_mixed(mesh_current());
		if (mode == MODE_SIDECAR)
			*ret_sidecars = of_sidecars(mesh_current());
		if (mode == MODE_WAYPOINT && base->mode != MODE_WAYPOINT)
			take_targets(c, mem, ret);
		confdir_withdraw(c);
		confdir_free(c);
	}
	if (ret->n > 1)
		qsort(ret->v, ret->n, sizeof(*ret->v), by_place);
}

int analyze_dir(const char *dir, const struct mesh_settings *base, struct buf *out)
{
	struct confdir *c = confdir_new(dir, base);
	struct err err = { "" };
	bool failed = confdir_check(c, &err) != 0;
	size_t n, errors = confdir_count(c, FINDING_ERROR), warnings = confdir_count(c, FINDING_WARNING);
	const struct finding **v = confdir_findings(c, &n);
	struct report paths = { .same_max = 1000 };
	const char *sidecars = "";
	struct arena mem = { 0 };
	bool mixed = false;

	if (!failed)
		find_paths(dir, base, &mem, &paths, &sidecars, &mixed);
	for (size_t i = 0; i < n; i++) {
		if (!mixed || !is_for_others(v[i]))
			write_finding(v[i], out);
		else if (v[i]->level == FINDING_WARNING)
			warnings -= 1 + v[i]->more;
	}
	for (size_t i = 0; i < paths.n; i++)
		write_finding(&paths.v[i], out);
	warnings += report_count(&paths, FINDING_WARNING);
	free(v);
	report_done(&paths);
	arena_done(&mem);
	if (failed && !errors) {
		buf_printf(out, "%s\n", err.msg);
		errors = 1;
	}
	if (failed)
		buf_puts(out, "The directory would not be loaded.\n");
	buf_puts(out, sidecars);
	buf_printf(out, "%zu objects, %zu errors, %zu warnings.\n", confdir_objects(c), errors, warnings);
	confdir_free(c);
	return errors ? ANALYZE_FOUND : 0;
}
