/* SPDX-License-Identifier: Apache-2.0 */
/* Telemetry.metrics, as istiod merges it: later objects and entries change what earlier ones said. */
#include <stdlib.h>

#include "telemetry/teleconf_int.h"

static const char *const names[ROW_METRICS] = {
	"REQUEST_COUNT", "REQUEST_DURATION", "REQUEST_SIZE", "RESPONSE_SIZE", "GRPC_REQUEST_MESSAGES", "GRPC_RESPONSE_MESSAGES",
	"TCP_OPENED_CONNECTIONS", "TCP_CLOSED_CONNECTIONS", "TCP_SENT_BYTES", "TCP_RECEIVED_BYTES",
};
static const unsigned kinds[] = { ROW_HTTP, ROW_GRPC, ROW_TCP };

/* What is known of each metric while it is put together. */
struct draft {
	bool off;
	struct tag_edit edits[64];
	int n;
};

static bool known(const char *metric)
{
	if (!metric[0] || strcmp(metric, "ALL_METRICS") == 0)
		return true;
	for (int i = 0; i < ROW_METRICS; i++)
		if (strcmp(metric, names[i]) == 0)
			return true;
	return false;
}

static bool label_ok(const char *name)
{
	for (const char *c = name; *c; c++)
		if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || *c == '_' || (c > name && *c >= '0' && *c <= '9')))
			return false;
	return name[0];
}

static void edit(struct teleconf_job *j, const char *object, struct draft *d, const struct tele_tag *tag)
{
	struct tag_edit *e = NULL;
	struct cel *cel = NULL;
	struct err err;

	for (int i = 0; i < d->n; i++)
		if (strcmp(d->edits[i].name, tag->name) == 0)
			e = &d->edits[i];
	if (!e && d->n == (int)ARRAY_LEN(d->edits))
		return;
	if (tag->op == TELE_TAG_UPSERT && cel_parse(str_c(tag->value), &cel, &err) != 0) {
		teleconf_report(j, object, "the tag '%s' stays as it is: %s", tag->name, err.msg);
		return;
	}
	if (!e)
		e = &d->edits[d->n++];
	cel_free(e->cel);
	*e = (struct tag_edit){ tag->name, tag->op == TELE_TAG_UPSERT ? tag->value : "", cel };
}

static void apply(struct teleconf_job *j, const char *object, struct draft *drafts, const struct tele_override *o)
{
	bool all = !o->metric[0] || strcmp(o->metric, "ALL_METRICS") == 0;

	if (!known(o->metric)) {
		teleconf_report(j, object, "there is no metric '%s' here; meshd has Istio's own ones", o->metric);
		return;
	}
	for (int i = 0; i < ROW_METRICS; i++) {
		if (!all && strcmp(o->metric, names[i]) != 0)
			continue;
		if (o->disabled != OPT_UNSET)
			drafts[i].off = o->disabled == OPT_YES;
		for (int k = 0; k < o->tags.n; k++)
			if (label_ok(o->tags.v[k].name))
				edit(j, object, &drafts[i], &o->tags.v[k]);
			else if (i == 0 || !all)
				teleconf_report(j, object, "'%s' is no name that a label can have", o->tags.v[k].name);
	}
}

static bool prometheus(struct teleconf_job *j, const char *object, const char *const *providers, int n)
{
	bool found = false;

	for (int i = 0; i < n; i++) {
		const struct tele_provider *p = teleconf_provider(j, providers[i]);

		if (strcmp(providers[i], "prometheus") == 0 || (p && p->kind == TELE_PROMETHEUS))
			found = true;
		else if (object)
			teleconf_report(j, object, "metrics cannot be sent to the provider '%s': meshd has prometheus", providers[i]);
	}
	return found;
}

static bool same(const struct draft *a, const struct draft *b)
{
	if (a->n != b->n)
		return false;
	for (int i = 0; i < a->n; i++)
		if (strcmp(a->edits[i].name, b->edits[i].name) != 0 || strcmp(a->edits[i].value, b->edits[i].value) != 0 ||
		    !a->edits[i].cel != !b->edits[i].cel)
			return false;
	return true;
}

static void group(struct teleconf_job *j, struct tele_side *s, const struct draft *d, unsigned metrics)
{
	struct arena *a = &j->t->memory;
	struct metric_group *g = &s->groups[s->n_groups++];

	*g = (struct metric_group){ .metrics = metrics, .n_edits = d->n };
	g->edits = d->n ? arena_alloc(a, (size_t)d->n * sizeof(*g->edits)) : NULL;
	for (int i = 0; i < d->n; i++) {
		struct tag_edit *e = &g->edits[i];

		e->name = arena_dup(a, str_c(d->edits[i].name));
		e->value = arena_dup(a, str_c(d->edits[i].value));
		/* Parsed once more: each group owns its own. */
		if (d->edits[i].cel && cel_parse(str_c(e->value), &e->cel, NULL) == 0)
			g->varies |= !cel_is_constant(e->cel);
	}
}

static void groups(struct teleconf_job *j, struct tele_side *s, const struct draft *drafts)
{
	unsigned done = 0;

	s->groups = arena_alloc(&j->t->memory, ROW_METRICS * sizeof(*s->groups));
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
		for (int i = 0; i < ROW_METRICS; i++) {
			unsigned metrics = 0;

			if (!(kinds[k] & 1u << i) || done & 1u << i || drafts[i].off)
				continue;
			for (int n = i; n < ROW_METRICS; n++)
				if (kinds[k] & 1u << n && !drafts[n].off && same(&drafts[i], &drafts[n]))
					metrics |= 1u << n;
			done |= metrics;
			group(j, s, &drafts[i], metrics);
		}
}

void teleconf_metrics(struct teleconf_job *j, struct tele_side *s)
{
	const struct tele_settings *t = &j->config->tele;
	struct draft *drafts = xcalloc(ROW_METRICS, sizeof(*drafts));
	/* Without a word about it they are on: nothing else would show what goes on. */
	bool on = t->default_metrics.present ? prometheus(j, NULL, t->default_metrics.v, t->default_metrics.n) : true;

	for (int i = 0; i < j->n_objects; i++) {
		const struct telemetry *o = j->objects[i];

		for (int k = 0; k < o->metrics.n; k++) {
			const struct tele_metrics *m = &o->metrics.v[k];

			if (m->providers.n)
				on = prometheus(j, s->inbound && !s->waypoint ? NULL : o->r.key, m->providers.v, m->providers.n);
			for (int n = 0; on && n < m->overrides.n; n++)
				if (teleconf_mode_is(m->overrides.v[n].mode, s))
					apply(j, o->r.key, drafts, &m->overrides.v[n]);
		}
	}
	if (on)
		groups(j, s, drafts);
	for (int i = 0; i < ROW_METRICS; i++)
		for (int k = 0; k < drafts[i].n; k++)
			cel_free(drafts[i].edits[k].cel);
	free(drafts);
}
