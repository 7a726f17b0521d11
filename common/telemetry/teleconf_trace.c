/* SPDX-License-Identifier: Apache-2.0 */
/* Tracing: Telemetry.tracing, else MeshConfig's default providers and ProxyConfig.tracing. */
#include <stdlib.h>

#include "telemetry/teleconf_int.h"

#define DEFAULT_PER_MYRIAD 100       /* PILOT_TRACE_SAMPLING: 1 % */
#define DEFAULT_PATH_BYTES 256

static unsigned per_myriad(double percent)
{
	return percent <= 0 ? 0 : percent >= 100 ? 10000 : (unsigned)(percent * 100 + 0.5);
}

/* {a} of a header's name, and the fallback beside it, as a format. */
static char *tag_text(const struct tele_custom *c)
{
	return c->kind == TELE_HEADER ? xasprintf("%%REQ(%s)%%", c->value) : xstrdup(c->value);
}

static void add_tag(struct teleconf_job *j, const char *object, struct tracing *t, const struct tele_custom *c)
{
	struct span_tag *tag = &t->tags[t->n_tags];
	struct format *f = NULL;
	struct err err = { "" };

	if (c->kind == TELE_HEADER || c->kind == TELE_FORMATTER) {
		char *text = tag_text(c);

		f = format_parse(str_c(text), &err);
		free(text);
	} else {
		/* Literals may hold percent signs. */
		const char *value = c->kind == TELE_ENVIRONMENT ? getenv(c->value) : c->value;
		struct buf doubled = { 0 };

		for (const char *at = value ? value : ""; *at; at++)
			buf_append(&doubled, "%%", *at == '%' ? 2 : 0), buf_append(&doubled, at, *at == '%' ? 0 : 1);
		f = format_parse(buf_str(&doubled), &err);
		buf_done(&doubled);
	}
	if (!f) {
		teleconf_report(j, object, "spans lack the tag '%s': %s", c->name, err.msg);
		return;
	}
	*tag = (struct span_tag){ arena_dup(&j->t->memory, str_c(c->name)), f, arena_dup(&j->t->memory, str_c(c->fallback)) };
	t->n_tags++;
}

static void take_tags(struct teleconf_job *j, struct tele_side *s, const char *object, const struct tele_custom *v, int n)
{
	struct tracing *t = &s->tracing;

	for (int i = 0; i < t->n_tags; i++)
		format_free(t->tags[i].format);
	t->n_tags = 0;
	t->tags = arena_alloc(&j->t->memory, (size_t)(n + 1) * sizeof(*t->tags));
	for (int i = 0; i < n; i++)
		add_tag(j, object, t, &v[i]);
}

static void take_provider(struct teleconf_job *j, struct tele_side *s, const char *object, const char *name)
{
	const struct tele_provider *p = teleconf_provider(j, name);

	if (!p)
		teleconf_report(j, object, "there is no extension provider '%s'", name);
	else if (p->kind != TELE_OPENTELEMETRY)
		teleconf_report(j, object, "the provider '%s' is a %s: meshd sends spans to opentelemetry; zipkin's collectors take OTLP, too", p->name, p->what);
	else if (j->t->collector && j->t->collector != p)
		teleconf_report(j, object, "spans already go to the provider '%s', and not to '%s' as well", j->t->collector->name, p->name);
	else {
		j->t->collector = p;
		s->tracing.on = true;
		if (p->max_tag_length)
			s->tracing.max_path = p->max_tag_length;
	}
}

void teleconf_tracing(struct teleconf_job *j, struct tele_side *s)
{
	const struct tele_settings *settings = &j->config->tele;
	const struct proxy_tracing *proxy = &j->config->proxy.tracing;
	const char *const *providers = settings->default_tracing.v;
	int n_providers = settings->default_tracing.n;
	const char *object = "MeshConfig";
	struct tracing *t = &s->tracing;
	bool off = false;

	*t = (struct tracing){ .by_request_id = true, .per_myriad = DEFAULT_PER_MYRIAD, .max_path = DEFAULT_PATH_BYTES };
	t->decide = settings->enable_tracing;
	t->istio_tags = proxy->istio_tags != OPT_NO;
	if (proxy->sampling.set)
		t->per_myriad = per_myriad(proxy->sampling.v);
	if (proxy->max_path_tag_length)
		t->max_path = proxy->max_path_tag_length;
	take_tags(j, s, object, proxy->tags.v, proxy->tags.n);
	for (int i = 0; i < j->n_objects; i++) {
		const struct telemetry *o = j->objects[i];

		for (int k = 0; k < o->tracing.n; k++) {
			const struct tele_tracing *n = &o->tracing.v[k];

			if (!teleconf_mode_is(n->mode, s))
				continue;
			if (n->providers.n) {
				providers = n->providers.v;
				n_providers = n->providers.n;
				object = o->r.key;
			}
			if (n->sampling.set)
				t->per_myriad = per_myriad(n->sampling.v);
			if (n->disable_reporting != OPT_UNSET)
				off = n->disable_reporting == OPT_YES;
			if (n->request_id != OPT_UNSET)
				t->by_request_id = n->request_id == OPT_YES;
			if (n->disable_propagation != OPT_UNSET)
				t->keep_to_itself = n->disable_propagation == OPT_YES;
			if (n->istio_tags != OPT_UNSET)
				t->istio_tags = n->istio_tags == OPT_YES;
			if (n->tags.n)
				take_tags(j, s, o->r.key, n->tags.v, n->tags.n);
		}
	}
	if (settings->enable_tracing && !off && n_providers > 0)
		take_provider(j, s, object, providers[0]);
}
