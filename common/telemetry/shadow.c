/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/shadow.h"

#include <stdio.h>
#include <stdlib.h>

#include "telemetry/prom_int.h"
#include "telemetry/tally.h"

enum { LABEL_ACTION, LABEL_RESULT, LABEL_POLICY, LABEL_PORT, LABELS };

static const char *const labels[LABELS] = { "authz_dry_run_action", "authz_dry_run_result", "policy", "port" };
static const struct tally_family no_families[] = { { NULL, NULL, 0 } };
static struct tally_kind kind = { .labels = labels, .n_labels = LABELS, .families = no_families };

static const char *const actions[] = { [SHADOW_ALLOW] = "allow", [SHADOW_DENY] = "deny", [SHADOW_AUDIT] = "audit" };

void shadow_count(enum shadow_action action, bool allowed, uint16_t port, const char *policy)
{
	static _Thread_local struct tally *mine;
	char number[8];

	if (!mine)
		mine = tally_new(&kind);
	snprintf(number, sizeof(number), "%u", port);
	tally_add(tally_row(mine, (struct str[]){
		str_c(actions[action]), str_c(allowed ? "allowed" : "denied"), str_c(policy ? policy : "none"), str_c(number) }), 0, 1);
}

/* ---- the page ---- */

struct line {
	struct prom_label label[LABELS];
	uint64_t count;
};

struct lines {
	struct line *v;
	int n, cap;
};

static void take(const struct prom_label *l, const uint64_t *count, void *arg)
{
	struct lines *to = arg;

	if (to->n == to->cap) {
		to->cap = to->cap ? to->cap * 2 : 16;
		to->v = xrealloc(to->v, (size_t)to->cap * sizeof(*to->v));
	}
	memcpy(to->v[to->n].label, l, sizeof(to->v[0].label));
	to->v[to->n++].count = count[0];
}

static int by_port(const void *a, const void *b)
{
	const struct line *x = a, *y = b;
	struct str p = x->label[LABEL_PORT].value, q = y->label[LABEL_PORT].value;

	return p.n != q.n ? (p.n < q.n ? -1 : 1) : memcmp(p.p, q.p, p.n);
}

static bool is_audit(const struct line *l)
{
	return str_is(l->label[LABEL_ACTION].value, actions[SHADOW_AUDIT]);
}

/* A family for each port, as Envoy's statistics have the port in their name. */
static void collect_dry_runs(struct prom *p, void *arg)
{
	const struct prom_family *own = p->family;
	struct lines all = { 0 };
	struct prom_family f = *own;
	char name[64];

	tally_sum(&kind, take, &all);
	if (all.n)
		qsort(all.v, (size_t)all.n, sizeof(*all.v), by_port);
	p->family = &f;
	f.name = name;
	for (int i = 0; i < all.n; i++) {
		struct str port = all.v[i].label[LABEL_PORT].value;

		if (!i || by_port(&all.v[i - 1], &all.v[i])) {
			snprintf(name, sizeof(name), str_is(port, "0") ? "envoy_tcp_rbac" : "envoy_http_inbound_0_0_0_0_%.*s_rbac", STR_FMT(port));
			p->headed = false;
		}
		if (!is_audit(&all.v[i]))
			prom_put(p, all.v[i].label, LABEL_PORT, all.v[i].count);
	}
	p->family = own;
	free(all.v);
}

static int by_policy(const void *a, const void *b)
{
	const struct line *x = a, *y = b;

	return strcmp(x->label[LABEL_POLICY].value.p, y->label[LABEL_POLICY].value.p);
}

static void collect_audit(struct prom *p, void *arg)
{
	struct lines all = { 0 };

	tally_sum(&kind, take, &all);
	if (all.n)
		qsort(all.v, (size_t)all.n, sizeof(*all.v), by_policy);
	for (int i = 0; i < all.n; i++) {
		uint64_t sum = is_audit(&all.v[i]) ? all.v[i].count : 0;

		while (i + 1 < all.n && !by_policy(&all.v[i], &all.v[i + 1]))
			sum += is_audit(&all.v[++i]) ? all.v[i].count : 0;
		if (sum)
			prom_put(p, &all.v[i].label[LABEL_POLICY], 1, sum);
	}
	free(all.v);
}

void shadow_register(void)
{
	static struct prom_family families[] = {
		{ .type = PROM_UNKNOWN, .collect = collect_dry_runs, .help = "What policies with the annotation istio.io/dry-run would have said" },
		{ .name = "meshd_authz_audit_matches", .type = PROM_COUNTER, .collect = collect_audit, .help = "Requests and connections that AUDIT policies match" },
	};

	for (size_t i = 0; i < ARRAY_LEN(families); i++)
		prom_register(&families[i]);
}
