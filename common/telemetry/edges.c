/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/edges.h"

#include <stdio.h>
#include <stdlib.h>

#include "telemetry/refusal.h"

enum { REPORTER, SOURCE, DESTINATION, SERVICE, LABELS };

static const char *const labels[LABELS] = { "reporter", "source", "destination", "service" };
static struct tally_kind kind = { .labels = labels, .n_labels = LABELS };
static _Thread_local struct tally *mine;

static struct str name_of(const struct edge_end *e, char text[TALLY_VALUE_BYTES])
{
	int n;

	if (e->identity.n)
		return e->identity;
	if (!e->workload.n)
		return str_c("unknown");
	n = snprintf(text, TALLY_VALUE_BYTES, "%.*s/%.*s", STR_FMT(e->ns), STR_FMT(e->workload));
	return (struct str){ text, n < TALLY_VALUE_BYTES ? (size_t)n : TALLY_VALUE_BYTES - 1 };
}

struct tally_row *edge_row(struct str reporter, const struct edge_end *source, const struct edge_end *destination, struct str service)
{
	char text[2][TALLY_VALUE_BYTES];

	if (!mine)
		mine = tally_new(&kind);
	return tally_row(mine, (const struct str[LABELS]){
		[REPORTER] = reporter, [SOURCE] = name_of(source, text[0]), [DESTINATION] = name_of(destination, text[1]), [SERVICE] = service });
}

void edge_end(struct tally_row *r, enum fail why, int status)
{
	if (refusal_is(why))
		tally_add(r, EDGE_REFUSED, 1);
	else if (status >= 500 || (why != FAIL_NONE && why != FAIL_CLIENT_RESET && why != FAIL_SERVER_RESET && why != FAIL_DRAIN))
		tally_add(r, EDGE_FAILED, 1);
}

/* --- reading --- */

struct edges {
	struct edge *v;
	size_t n, cap;
};

static void collect(const struct str *values, const uint64_t *count, void *arg)
{
	struct edges *e = arg;
	struct edge *at;

	if (e->n == e->cap) {
		e->cap = e->cap ? 2 * e->cap : 64;
		e->v = xrealloc(e->v, e->cap * sizeof(*e->v));
	}
	at = &e->v[e->n++];
	*at = (struct edge){ values[REPORTER], values[SOURCE], values[DESTINATION], values[SERVICE], { 0 } };
	memcpy(at->count, count, sizeof(at->count));
}

static uint64_t weight(const struct edge *e)
{
	return e->count[EDGE_CONNECTIONS] + e->count[EDGE_REQUESTS] + e->count[EDGE_REFUSED];
}

static int by_weight(const void *a, const void *b)
{
	uint64_t x = weight(a), y = weight(b);

	return x < y ? 1 : x > y ? -1 : 0;
}

size_t edges_each(size_t max, void (*fn)(const struct edge *e, void *arg), void *arg, struct edge *rest)
{
	struct edges e = { 0 };

	*rest = (struct edge){ 0 };
	tally_each(&kind, collect, &e);
	if (e.n)
		qsort(e.v, e.n, sizeof(*e.v), by_weight);
	for (size_t i = 0; i < e.n; i++) {
		if (i < max)
			fn(&e.v[i], arg);
		else
			for (int c = 0; c < EDGE_COUNTS; c++)
				rest->count[c] += e.v[i].count[c];
	}
	free(e.v);
	return e.n > max ? e.n - max : 0;
}
