/* SPDX-License-Identifier: Apache-2.0 */
/* A connector whose connections open and fail as the test says. */
#ifndef TESTS_DIALSTAGE_H
#define TESTS_DIALSTAGE_H

#include "tests/unit/memstage.h"
#include "traffic/router.h"

#define DIALS 16

static struct dial {
	struct memstage stage;
	struct addr to;
} dials[DIALS];
static int n_dials;
static struct loop *dials_loop;

static inline struct stage *dial_connect(struct connector *k, struct cluster *cl, const struct pick *p, const struct connect_ask *ask)
{
	struct dial *d = &dials[n_dials];

	if (n_dials == DIALS)
		return NULL;
	n_dials++;
	memstage_init(&d->stage, dials_loop);
	d->to = p->addr;
	return &d->stage.stage;
}

static inline const char *dial_error(struct connector *k, struct stage *s)
{
	return "it said no";
}

static struct connector dialer = { .connect = dial_connect, .error = dial_error };

static inline struct addr dial_addr(const char *text)
{
	struct addr a = { 0 };

	addr_parse(str_c(text), &a);
	return a;
}

static inline void dial_fails(int i, enum fail why)
{
	memstage_event(&dials[i].stage, STAGE_CLOSED, why);
}

static inline void dial_opens(int i)
{
	memstage_event(&dials[i].stage, STAGE_OPEN, FAIL_NONE);
}

#endif
