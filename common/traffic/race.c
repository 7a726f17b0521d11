/* SPDX-License-Identifier: Apache-2.0 */
#include "traffic/race.h"

#include <stdio.h>
#include <stdlib.h>

#define LANES 4

struct lane {
	struct stage *stage;         /* owned; NULL: not begun, or failed */
	struct pick pick;            /* borrowed references, the address is its own */
};

struct race {
	struct loop *loop;
	struct connector *k;
	struct cluster *cluster;
	const struct connect_ask *ask;
	struct lane lane[LANES];
	int n, begun, failed;
	struct timer next;
	struct deferred grave;
	void (*on_done)(void *arg, struct stage *s, const struct addr *to, enum fail why, const char *detail);
	void *arg;
};

static void race_free(struct deferred *d)
{
	free(container_of(d, struct race, grave));
}

static void finish(struct race *r, enum fail why)
{
	timer_stop(&r->next);
	for (int i = 0; i < r->begun; i++)
		stage_done(r->lane[i].stage, why);
	r->grave.run = race_free;
	loop_bury(r->loop, &r->grave);
}

void race_cancel(struct race *r, enum fail why)
{
	if (r)
		finish(r, why == FAIL_NONE ? FAIL_CLIENT_RESET : why);
}

static void on_stage(struct stage *s, enum stage_event ev, const struct iovec *iov, int n);

static bool begin(struct race *r)
{
	struct lane *l = &r->lane[r->begun];

	l->stage = r->k->connect(r->k, r->cluster, &l->pick, r->ask);
	if (!l->stage)
		return false;
	r->begun++;
	l->stage->on_event = on_stage;
	l->stage->arg = r;
	if (r->begun < r->n)
		timer_start(&r->next, LIMIT_RACE_MS);
	return true;
}

static void on_next(struct timer *t)
{
	begin(container_of(t, struct race, next));
}

static void won(struct race *r, struct lane *l)
{
	struct stage *s = l->stage;

	l->stage = NULL;
	s->on_event = NULL;
	finish(r, FAIL_CLIENT_RESET);
	r->on_done(r->arg, s, &l->pick.addr, FAIL_NONE, "");
}

static void lost(struct race *r, struct lane *l, enum fail why)
{
	struct stage *s = l->stage;
	const char *text = r->k->error ? r->k->error(r->k, s) : NULL;
	char detail[256];

	snprintf(detail, sizeof(detail), "%s", text ? text : "");
	l->stage = NULL;
	stage_done(s, why);
	if (++r->failed < r->begun)
		return;
	timer_stop(&r->next);
	if (r->begun < r->n && begin(r))
		return;
	finish(r, why);
	r->on_done(r->arg, NULL, &l->pick.addr, why, detail);
}

static void on_stage(struct stage *s, enum stage_event ev, const struct iovec *iov, int n)
{
	struct race *r = s->arg;
	struct lane *l = r->lane;

	while (l->stage != s)
		l++;
	if (ev == STAGE_OPEN)
		won(r, l);
	else if (ev == STAGE_CLOSED)
		lost(r, l, s->fail);
	else if (ev == STAGE_EOF)
		lost(r, l, FAIL_PEER_CLOSED);
}

struct race *race_start(struct loop *l, struct connector *k, struct cluster *cl, const struct pick *p, const struct connect_ask *ask,
			void (*on_done)(void *arg, struct stage *s, const struct addr *to, enum fail why, const char *detail), void *arg)
{
	struct race *r = calloc(1, sizeof(*r));
	int n = 0;
	const struct addr *addrs;

	if (!r)
		return NULL;
	*r = (struct race){ .loop = l, .k = k, .cluster = cl, .ask = ask, .on_done = on_done, .arg = arg, .n = 1 };
	timer_init(&r->next, l, on_next);
	r->lane[0].pick = *p;
	addrs = p->transport == TRANSPORT_HBONE || p->transport == TRANSPORT_WAYPOINT ? NULL : host_addrs(p->host, &n);
	for (int i = 0; i < n && r->n < LANES; i++) {
		if (addr_eq(&addrs[i], &p->addr))
			continue;
		r->lane[r->n].pick = *p;
		r->lane[r->n++].pick.addr = addrs[i];
	}
	if (begin(r))
		return r;
	free(r);
	return NULL;
}
