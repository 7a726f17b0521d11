/* SPDX-License-Identifier: Apache-2.0 */
/* A plan of what a directory says, for tests of what is compiled. */
#ifndef TESTS_UNIT_PLAN_FIXTURE_H
#define TESTS_UNIT_PLAN_FIXTURE_H

#include "confdir_fixture.h"
#include "traffic/plan.h"

#define ISTIO(KIND, NS, NAME, SPEC) "apiVersion: networking.istio.io/v1\nkind: " KIND "\nmetadata: {name: " NAME ", namespace: " NS "}\nspec: {" SPEC "}\n---\n"
#define TO(HOST) "route: [{destination: {host: " HOST "}}]"

struct world {
	struct fixture f;
	const char *ns;              /* the plan is for its workload "me" */
	struct plan *p;
	char *reports;               /* of the last compilation */
};

static inline void world_report(void *arg, const char *object, const char *text)
{
	struct world *w = arg;
	char *more = xasprintf("%s%s: %s\n", w->reports, object, text);

	free(w->reports);
	w->reports = more;
}

/* Of the present mesh, with the state of the plan before. */
static inline void world_compile(struct world *w)
{
	struct workload *me = mesh_workload_named(mesh_current(), str_c(w->ns), str_c("me"));
	struct plan *before = w->p;

	ck_assert_ptr_nonnull(me);
	free(w->reports);
	w->reports = xstrdup("");
	w->p = plan_compile(mesh_current(), me, before, world_report, w);
	ck_assert(!plan_stale(w->p, mesh_current(), me));
	plan_unref(before);
}

/* Two files, of which nothing is an error. */
static inline void world_load(struct world *w, enum mesh_mode mode, const char *ns, const char *base, const char *yaml)
{
	char *findings;

	*w = (struct world){ .ns = ns };
	fixture_in_mode(&w->f, mode);
	fixture_write(&w->f, "base.yaml", base);
	fixture_write(&w->f, "test.yaml", yaml);
	ck_assert_int_eq(fixture_load(&w->f), 0);
	findings = fixture_findings(&w->f);
	ck_assert_msg(strstr(findings, "rror") == NULL, "%s", findings);
	free(findings);
	world_compile(w);
}

static inline void world_done(struct world *w)
{
	plan_unref(w->p);
	free(w->reports);
	fixture_done(&w->f);
}

#endif
