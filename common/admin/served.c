/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/served.h"

#include <stdlib.h>

#include "admin/json.h"
#include "traffic/dest.h"

/* The ports of one service lie side by side. */
struct row { const char *service; int at, n; };

static int row_cmp(const void *a, const void *b)
{
	return strcmp(((const struct row *)a)->service, ((const struct row *)b)->service);
}

/* By name; free() it. */
static struct row *rows_of(const struct plan *p, int *ret_n)
{
	const struct inbound_port *in;
	struct row *v = NULL;
	int n = 0, cap = 0;

	for (int i = 1; (in = plan_inbound_at(p, i)); i++) {
		if (n && !strcmp(v[n - 1].service, in->service)) {
			v[n - 1].n++;
			continue;
		}
		if (n == cap)
			v = xrealloc(v, (size_t)(cap = cap ? cap * 2 : 64) * sizeof(*v));
		v[n++] = (struct row){ in->service, i, 1 };
	}
	if (n)
		qsort(v, (size_t)n, sizeof(*v), row_cmp);
	*ret_n = n;
	return v;
}

struct counting { const struct mesh *m; const struct workload *w; size_t n; };

static bool count(struct workload *target, void *arg)
{
	struct counting *c = arg;

	c->n += mesh_is_gateway(c->m, target->waypoint, c->w);
	return true;
}

static size_t workloads_of(const struct mesh *m, const struct workload *w)
{
	struct counting c = { m, w, 0 };

	if (w)
		mesh_each_workload(m, count, &c);
	return c.n;
}

void served_text(const struct plan *p, const struct mesh *m, const struct workload *w, int max, struct buf *out)
{
	size_t workloads;
	struct row *v;
	int n;

	if (!p || !plan_direct(p))
		return;
	v = rows_of(p, &n);
	workloads = workloads_of(m, w);
	buf_puts(out, "\nAs a waypoint:\n");
	for (int i = 0; i < n && i < max; i++) {
		buf_printf(out, "  %s", v[i].service);
		for (int k = 0; k < v[i].n; k++)
			buf_printf(out, "%s%u", k ? "," : ":", plan_inbound_at(p, v[i].at + k)->port);
		buf_puts(out, "\n");
	}
	if (n > max)
		buf_printf(out, "  ... and %d services more: see /status\n", n - max);
	if (workloads)
		buf_printf(out, "  %zu workloads by their own addresses\n", workloads);
	if (!n && !workloads)
		buf_puts(out, "  nothing: no service and no workload names it (istio.io/use-waypoint), or its Gateway does not admit them\n");
	free(v);
}

void served_json(const struct plan *p, const struct mesh *m, const struct workload *w, struct buf *out)
{
	struct json j = { .out = out };
	struct row *v;
	int n;

	if (!p || !plan_direct(p)) {
		buf_puts(out, "null");
		return;
	}
	v = rows_of(p, &n);
	json_open(&j, NULL, '{');
	json_open(&j, "services", '{');
	for (int i = 0; i < n; i++) {
		json_open(&j, v[i].service, '[');
		for (int k = 0; k < v[i].n; k++)
			json_number(&j, NULL, plan_inbound_at(p, v[i].at + k)->port);
		json_close(&j, ']');
	}
	json_close(&j, '}');
	json_number(&j, "workloads", workloads_of(m, w));
	json_close(&j, '}');
	free(v);
}
